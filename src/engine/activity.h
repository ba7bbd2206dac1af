// pgweir.activity: how many changes and bytes came by minute, table and operation.
//
// Life:    open(); count() for every batch, then write() in the batch's transaction; rolled_back()
//          when that failed.
// Threads: the engine's write connection only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>

#include "base/result.h"
#include "duck/duck.h"
#include "model/batch.h"

namespace pgweir::engine {

class Activity {
 public:
  static Result<std::unique_ptr<Activity>> open(duck::Connection& connection);

  // Adds up a batch, by the minute of each transaction's commit. A transaction in several batches
  // counts once for a table and operation; rows that a snapshot read belong to no transaction.
  void count(const model::Batch& batch);
  Status write();
  void rolled_back();

 private:
  struct Totals {
    std::uint64_t changes = 0;
    std::uint64_t bytes = 0;
    std::uint64_t transactions = 0;
  };
  // Minute (microseconds), schema, table, operation.
  using Key = std::tuple<std::int64_t, std::string, std::string, char>;

  explicit Activity(duck::Connection& connection) : connection_(connection) {}
  Status merge();

  duck::Connection& connection_;
  std::map<Key, Totals> totals_;
  std::set<std::pair<std::uint32_t, char>> open_transaction_;  // its (table OID, operation) so far
  std::unique_ptr<duck::Appender> appender_;
  std::uint64_t recent_rows_ = 0;
};

}  // namespace pgweir::engine
