// Watermarks move with the transactions of a batch, and views in append mode with them.
#include <fmt/core.h>

#include "views/view_set_internal.h"

namespace pgweir::views {

// So that the parser knows the table that the SQL of open windows names.
void ViewSet::declare_closed_windows() {
  const Status declared = parser_->declare(
      engine::kInternalSchema, "closed_windows",
      {{"view", "VARCHAR"}, {"ends", "TIMESTAMP"}, {"ends_zoned", "TIMESTAMP WITH TIME ZONE"}});
  if (!declared.ok())
    logger_.warning("views: append mode cannot be planned: {}", declared.error().message);
}

// The watermarks as the engine's transaction has them; those that no row has moved yet begin with
// what the mirrors hold.
Status ViewSet::read_watermarks(duck::Connection& connection, Keep keep) {
  event_time_stale_ = false;
  TRY(watermarks_.read(connection));
  if (keep == Keep::kNothing) watermarks_.forget();
  for (std::size_t i = 0; i < watermarks_.marks().size(); ++i) {
    if (!watermarks_.marks()[i].at) TRY(start_watermark(connection, i));
  }
  TRY(watermarks_.write(connection));
  return {};
}

// As if the rows of the mirror had come in one transaction.
Status ViewSet::start_watermark(duck::Connection& connection, std::size_t mark) {
  const Watermarks::Mark& watermark = watermarks_.marks()[mark];
  for (const auto& [name, relation] : mirrors_) {
    if (!same_name(relation->schema, watermark.schema) ||
        !same_name(relation->table, watermark.table) || stopped_.contains(name) ||
        !relation->released.empty())
      continue;
    for (const auto& column : relation->columns) {
      if (!same_name(column.name, watermark.column)) continue;
      if (column.type != "DATE" && !column.type.starts_with("TIMESTAMP")) continue;
      const std::string quoted = duck::quote_identifier(column.name);
      const std::string time =
          column.type == "DATE" ? fmt::format("CAST({} AS TIMESTAMP)", quoted) : quoted;
      const std::int64_t commit_us = model::value(engine_->position().commit_time);
      std::string condition = fmt::format("isfinite({})", quoted);
      if (commit_us != 0)
        condition += fmt::format(" AND epoch_us({}) <= {}", time,
                                 commit_us + watermark.source.future.count() * 1000);
      TRY_ASSIGN(const auto rows,
                 connection.query_texts(fmt::format("SELECT epoch_us(max({})) FROM {} WHERE {}",
                                                    time, relation->rows, condition)));
      if (!rows.rows.empty() && rows.rows[0][0])
        watermarks_.start(mark, std::stoll(*rows.rows[0][0]));
    }
  }
  return {};
}

Result<engine::ViewMaintainer::Portion> ViewSet::take_transactions(duck::Connection& connection,
                                                                   const model::Batch& batch,
                                                                   std::size_t first) {
  const std::size_t count = batch.transactions.size() - first;
  TRY(before_changes(connection));
  bool moves = false;
  if (first == 0) {
    // What came of a transaction already is not taken back for this.
    if (batch.transactions.empty() || batch.transactions.front().begins) TRY(check_budgets());
    times_.take(batch.changes.size());
    TRY_ASSIGN(moves, advance_clock(connection));
  }
  if (watermarks_.empty()) return Portion{.transactions = count, .due = moves};
  if (event_time_stale_) {
    TRY(read_watermarks(connection, Keep::kUnchanged));
    for (const auto& view : views_)
      if (view->append != nullptr && view->live()) TRY(view->append->read_closed(connection));
  }
  if (first == 0) watermarks_.begin(batch);
  Portion portion;
  while (portion.transactions < count && !portion.due) {
    const model::Transaction& transaction = batch.transactions[first + portion.transactions];
    watermarks_.take(batch, transaction);
    ++portion.transactions;
    if (!transaction.ends) continue;
    for (const auto& view : views_) {
      if (view->append == nullptr || !view->live() || !view->append->is_due()) continue;
      view->append->close();
      portion.due = true;
    }
  }
  portion.due = portion.due || moves;
  if (portion.transactions == count) TRY(watermarks_.write(connection));
  return portion;
}

std::vector<WatermarkInfo> ViewSet::watermarks() const {
  MutexLock lock(mutex_);
  return published_watermarks_;
}

void ViewSet::publish_watermarks() {
  std::vector<WatermarkInfo> told;
  for (const Watermarks::Mark& mark : watermarks_.marks())
    told.push_back({mark.source.column, mark.source.delay, mark.at, mark.newest});
  MutexLock lock(mutex_);
  published_watermarks_ = std::move(told);
}

}  // namespace pgweir::views
