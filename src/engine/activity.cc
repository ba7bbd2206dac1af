#include "engine/activity.h"

#include <fmt/core.h>

#include "engine/database.h"

namespace pgweir::engine {
namespace {

constexpr std::int64_t kMicrosPerMinute = 60'000'000;
// Rows that batches have added before they are merged into one row a minute, table and operation.
constexpr std::uint64_t kRecentRowsMax = 4000;

std::int64_t minute_of(model::Timestamp time) {
  const std::int64_t micros = model::value(time);
  const std::int64_t into_minute =
      (micros % kMicrosPerMinute + kMicrosPerMinute) % kMicrosPerMinute;
  return micros - into_minute;
}

}  // namespace

Result<std::unique_ptr<Activity>> Activity::open(duck::Connection& connection) {
  const char* columns =
      "(minute TIMESTAMP WITH TIME ZONE, schema VARCHAR, \"table\" VARCHAR, op VARCHAR, "
      "changes BIGINT, bytes BIGINT, transactions BIGINT)";
  TRY(connection.execute(fmt::format(
      "CREATE TABLE IF NOT EXISTS pgweir_internal.activity_open (oid BIGINT, op VARCHAR);"
      "CREATE TABLE IF NOT EXISTS pgweir_internal.activity_minutes {0};"
      "CREATE TABLE IF NOT EXISTS pgweir_internal.activity_recent {0};"
      "CREATE OR REPLACE VIEW pgweir.activity AS SELECT minute, schema, \"table\", op, "
      "sum(changes)::BIGINT AS changes, sum(bytes)::BIGINT AS bytes, "
      "sum(transactions)::BIGINT AS transactions FROM (FROM pgweir_internal.activity_minutes "
      "UNION ALL FROM pgweir_internal.activity_recent) GROUP BY minute, schema, \"table\", op",
      columns)));
  auto activity = std::unique_ptr<Activity>(new Activity(connection));
  TRY_ASSIGN(const std::int64_t recent,
             connection.query_int("SELECT count(*) FROM pgweir_internal.activity_recent"));
  activity->recent_rows_ = static_cast<std::uint64_t>(recent);
  TRY(activity->read_open());
  return activity;
}

void Activity::count(const model::Batch& batch) {
  for (const model::Transaction& transaction : batch.transactions) {
    if (transaction.begins) open_transaction_.clear();
    const std::int64_t minute = minute_of(transaction.commit_time);
    const bool counts = transaction.kind == model::Transaction::Kind::kStream;
    // Neighbouring changes are mostly of one kind: the map is asked only when it changes.
    Totals* totals = nullptr;
    std::uint32_t table = 0;
    char op = 0;
    for (std::uint32_t i = 0; i < transaction.change_count; ++i) {
      const model::Change& change = batch.changes[transaction.first_change + i];
      if (totals == nullptr || change.table != table || static_cast<char>(change.op) != op) {
        table = change.table;
        op = static_cast<char>(change.op);
        const model::Table& changed = *batch.tables[table];
        totals = &totals_[Key{minute, changed.schema, changed.name, op}];
        const bool is_first =
            counts && open_transaction_.emplace(model::value(changed.id), op).second;
        if (is_first) ++totals->transactions;
      }
      ++totals->changes;
      totals->bytes += change.bytes;
    }
  }
}

void Activity::count_rows(const model::Table& table, model::Timestamp time, std::uint64_t rows,
                          std::uint64_t bytes) {
  constexpr char kRead = static_cast<char>(model::Op::kRead);
  Totals& totals = totals_[Key{minute_of(time), table.schema, table.name, kRead}];
  totals.changes += rows;
  totals.bytes += bytes;
}

Status Activity::keep_open(bool half_applied) {
  static const decltype(kept_open_) kNone;
  const auto& wanted = half_applied ? open_transaction_ : kNone;
  if (kept_open_ == wanted) return {};
  std::string values;
  for (const auto& [oid, op] : wanted)
    values += fmt::format("{}({}, '{}')", values.empty() ? " VALUES " : ", ", oid, op);
  TRY(connection_.execute("DELETE FROM pgweir_internal.activity_open"));
  if (!values.empty())
    TRY(connection_.execute("INSERT INTO pgweir_internal.activity_open" + values));
  kept_open_ = wanted;
  return {};
}

Status Activity::read_open() {
  TRY_ASSIGN(const duck::TextRows rows,
             connection_.query_texts("SELECT oid, op FROM pgweir_internal.activity_open"));
  open_transaction_.clear();
  for (const duck::TextRow& row : rows.rows)
    open_transaction_.emplace(std::stoul(row[0].value_or("0")), row[1].value_or("?")[0]);
  kept_open_ = open_transaction_;
  return {};
}

Status Activity::write(bool half_applied) {
  TRY(keep_open(half_applied));
  if (appender_ == nullptr) {
    TRY_ASSIGN(appender_, connection_.appender(kCatalog, "pgweir_internal", "activity_recent"));
  }
  for (const auto& [key, totals] : totals_) {
    const auto& [minute, schema, table, op] = key;
    appender_->append_int(minute);
    appender_->append_text(schema);
    appender_->append_text(table);
    appender_->append_text({&op, 1});
    appender_->append_int(static_cast<std::int64_t>(totals.changes));
    appender_->append_int(static_cast<std::int64_t>(totals.bytes));
    appender_->append_int(static_cast<std::int64_t>(totals.transactions));
    TRY(appender_->end_row());
  }
  recent_rows_ += totals_.size();
  totals_.clear();
  TRY(appender_->flush());
  return recent_rows_ > kRecentRowsMax ? merge() : Status{};
}

Status Activity::merge() {
  TRY(connection_.execute(
      "INSERT INTO pgweir_internal.activity_recent "
      "SELECT m.* FROM pgweir_internal.activity_minutes AS m "
      "SEMI JOIN pgweir_internal.activity_recent AS r USING (minute, schema, \"table\", op);"
      "DELETE FROM pgweir_internal.activity_minutes AS m USING pgweir_internal.activity_recent AS "
      "r "
      "WHERE m.minute = r.minute AND m.schema = r.schema AND m.\"table\" = r.\"table\" "
      "AND m.op = r.op;"
      "INSERT INTO pgweir_internal.activity_minutes SELECT minute, schema, \"table\", op, "
      "sum(changes), sum(bytes), sum(transactions) FROM pgweir_internal.activity_recent "
      "GROUP BY ALL ORDER BY minute;"
      "DELETE FROM pgweir_internal.activity_recent"));
  recent_rows_ = 0;
  return {};
}

void Activity::rolled_back() {
  totals_.clear();
  appender_.reset();  // it may hold rows of the batch that failed
}

}  // namespace pgweir::engine
