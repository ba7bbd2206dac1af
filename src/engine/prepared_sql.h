// A statement that runs once a batch, prepared once.
//
// A trap in DuckDB 1.5.5: a join hands the keys of its small side as a filter to a scan of the
// other side, and a statement that is executed again still has the filter of the last time. Usually
// the scan waits for the new one; a scan below a GROUP BY or DISTINCT does not, and loses rows, now
// and then, without an error. So in a statement that is kept, no subquery with a GROUP BY or
// DISTINCT may be joined by a plain column of it: an expression (a hash, or coalesce(column, 0))
// gets no filter.
//
// Threads: those of its connection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "duck/duck.h"

namespace pgweir::engine {

// A statement prepared once. It is prepared anew after 1, 2, 4 ... kRenewUses uses and then every
// kRenewUses: DuckDB chooses the order of a join for the sizes that the tables have at that moment.
class PreparedSql {
 public:
  static constexpr std::uint64_t kRenewUses = 1024;

  PreparedSql() = default;
  explicit PreparedSql(std::string sql) : sql_(std::move(sql)) {}

  const std::string& sql() const { return sql_; }
  // Another text from now on; nothing happens when it is the same.
  void set(std::string sql);
  // The same text but for a constant. (A parameter would be dearer: DuckDB plans a statement with
  // one anew at every execution.)
  void vary(std::string sql);
  // Runs it; returns the number of rows that it changed.
  Result<std::uint64_t> run(duck::Connection& connection);
  Result<duck::Rows> query(duck::Connection& connection);

 private:
  std::string sql_;
  std::unique_ptr<duck::Statement> statement_;
  std::uint64_t uses_ = 0;
};

}  // namespace pgweir::engine
