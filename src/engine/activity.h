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
  // The same for rows of a snapshot that come in no batch.
  void count_rows(const model::Table& table, model::Timestamp time, std::uint64_t rows,
                  std::uint64_t bytes);
  // Before a commit; `half_applied` when more of the last transaction is to come behind it.
  Status write(bool half_applied);
  // Before the rollback, then behind it.
  void rolled_back();
  Status read_open();

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
  Status keep_open(bool half_applied);

  duck::Connection& connection_;
  std::map<Key, Totals> totals_;
  // Of the transaction that came last: its (table OID, operation) so far; and what the database has
  // of one that is half applied, for the part behind a restart.
  std::set<std::pair<std::uint32_t, char>> open_transaction_;
  std::set<std::pair<std::uint32_t, char>> kept_open_;
  std::unique_ptr<duck::Appender> appender_;
  std::uint64_t recent_rows_ = 0;
};

}  // namespace pgweir::engine
