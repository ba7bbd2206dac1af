#include "engine/prepared_sql.h"

#include <bit>

namespace pgweir::engine {

void PreparedSql::set(std::string sql) {
  if (sql == sql_) return;
  *this = PreparedSql(std::move(sql));
}

void PreparedSql::vary(std::string sql) {
  sql_ = std::move(sql);
  statement_.reset();
}

Result<duck::Rows> PreparedSql::query(duck::Connection& connection) {
  const bool renew = std::has_single_bit(uses_) ? uses_ <= kRenewUses : uses_ % kRenewUses == 0;
  if (statement_ == nullptr || renew) {
    statement_.reset();
    TRY_ASSIGN(statement_, connection.prepare(sql_));
  }
  ++uses_;
  return statement_->execute();
}

Result<std::uint64_t> PreparedSql::run(duck::Connection& connection) {
  TRY_ASSIGN(const duck::Rows rows, query(connection));
  return rows.rows_changed();
}

}  // namespace pgweir::engine
