#include "views/append_strategy.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::views {
namespace {

using duck::quote_identifier;
using duck::quote_literal;

// A bag of the view's rows: nothing is ever taken from it.
engine::StoreSpec emitted_spec(const StrategyInput& view) {
  engine::StoreSpec spec;
  spec.name = state_name(view.view);
  spec.columns = view.columns;
  spec.unique = false;
  for (std::uint32_t i = 0; i < spec.columns.size(); ++i) spec.key.push_back(i);
  return spec;
}

}  // namespace

AppendStrategy::AppendStrategy(AppendInput input, std::unique_ptr<ViewStrategy> open)
    : input_(std::move(input)),
      open_(std::move(open)),
      emitted_(input_.view, emitted_spec(input_.view)),
      count_late_(input_.plan.inputs.size()) {}

std::vector<std::string> AppendStrategy::stores() const {
  std::vector<std::string> stores = open_->stores();
  stores.push_back(emitted_.spec().name);
  return stores;
}

Status AppendStrategy::setup(duck::Connection& connection, bool keep) {
  closing_ = false;
  TRY(read_closed(connection));
  if (!keep) {
    closed_ = {.up_to = input_.plan.complete(*input_.watermarks), .late = 0};
    TRY(ClosedWindows::forget(connection, input_.view.view));
    TRY(ClosedWindows::write(connection, input_.view.view, closed_));
  }
  TRY(open_->setup(connection, keep));
  TRY(emitted_.open(connection, keep));
  TRY_ASSIGN(open_rows_, open_->state_rows());
  for (std::size_t i = 0; i < count_late_.size(); ++i) count_late_[i] = PreparedSql();
  if (keep || closed_.up_to == kNothingClosed) return {};
  std::string values;
  for (const auto& column : input_.view.columns) {
    const std::string name = quote_identifier(column.name);
    values +=
        fmt::format("{}CAST({} AS {}) AS {}", values.empty() ? "" : ", ", name, column.type, name);
  }
  return emitted_.load(fmt::format("SELECT {} FROM ({}\n) AS pgweir_new({}) WHERE {}", values,
                                   input_.view.select, name_list(input_.view.columns),
                                   closed_condition(kNothingClosed, closed_.up_to)));
}

// What has left stays: each window comes once.
Status AppendStrategy::renew(duck::Connection& connection) {
  TRY(open_->setup(connection, false));
  TRY_ASSIGN(open_rows_, open_->state_rows());
  return {};
}

Status AppendStrategy::read_closed(duck::Connection& connection) {
  closing_ = false;
  TRY_ASSIGN(closed_, ClosedWindows::read(connection, input_.view.view));
  return {};
}

// --- Closing -----------------------------------------------------------------------------------

// Rows of the view whose windows end after the one time and up to the other.
std::string AppendStrategy::closed_condition(std::int64_t after, std::int64_t up_to) const {
  const std::string end = input_.plan.end_sql(input_.view.columns);
  const Window& window = input_.plan.window();
  std::string out = fmt::format("{} <= {}", end, window.time_sql(up_to));
  if (after != kNothingClosed) out += fmt::format(" AND {} > {}", end, window.time_sql(after));
  return out;
}

Result<ViewStrategy::Change> AppendStrategy::finish(duck::Connection& connection) {
  TRY_ASSIGN(const Change change, open_->finish(connection));
  if (change.any) {
    open_rows_ =
        static_cast<std::uint64_t>(static_cast<std::int64_t>(open_rows_) + change.rows_more);
    TRY(open_->clear_delta(connection));
  }
  if (!closing_) return Change{};
  closing_ = false;
  TRY(emit(connection));
  return emitted_.take_delta();
}

Status AppendStrategy::emit(duck::Connection& connection) {
  const std::int64_t up_to = input_.plan.complete(*input_.watermarks);
  const std::string condition = closed_condition(closed_.up_to, up_to);
  TRY(connection.execute(emitted_.fill_statement(
      emitted_.delta().name(),
      fmt::format("SELECT {}, 1 AS pgweir_w FROM {} WHERE {}", name_list(input_.view.columns),
                  open_->relation().rows, condition))));
  closed_.up_to = up_to;
  TRY(ClosedWindows::write(connection, input_.view.view, closed_));
  TRY_ASSIGN(
      const std::uint64_t gone,
      open_->forget_rows(connection, input_.plan.column, [this, up_to](const std::string& c) {
        const std::string end = input_.plan.shows_end ? c : input_.plan.window().end_of(c);
        return fmt::format("{} <= {}", end, input_.plan.window().time_sql(up_to));
      }));
  open_rows_ -= std::min(gone, open_rows_);
  return {};
}

Status AppendStrategy::clear_delta(duck::Connection& connection) {
  return emitted_.clear_delta(connection);
}

Result<std::uint64_t> AppendStrategy::state_rows() {
  TRY_ASSIGN(open_rows_, open_->state_rows());
  return emitted_.row_count();
}

// --- Late rows ---------------------------------------------------------------------------------

std::vector<engine::StoreColumn> AppendStrategy::named_columns(
    const AppendPlan::Input& input) const {
  std::vector<engine::StoreColumn> columns;
  for (const auto& column : input.relation->columns) {
    if (input_.named.contains("*") || input_.named.contains(lower(column.name)))
      columns.push_back(column);
  }
  return columns;
}

// What changed in the columns that the view names, in windows that are closed. A row without a time
// is in no window that is ever complete.
std::string AppendStrategy::late_rows_of(const AppendPlan::Input& input) const {
  std::string columns;
  for (const auto& column : named_columns(input)) columns += quote_identifier(column.name) + ", ";
  const std::string changed = fmt::format(
      "(SELECT * FROM (SELECT {}CAST(sum({}) AS BIGINT) AS pgweir_w FROM {} GROUP BY ALL) WHERE "
      "pgweir_w <> 0)",
      columns, engine::kWeightColumn, input.relation->delta);
  Window all = input.window;
  all.only_sql.clear();
  return fmt::format("(SELECT * FROM {} WHERE ({}) IS NOT TRUE)", windowed_rows(all, changed),
                     ClosedWindows::open_sql(input_.view.view, all.type));
}

Status AppendStrategy::note_late(duck::Connection& connection, const Relation& relation) {
  for (std::size_t i = 0; i < input_.plan.inputs.size(); ++i) {
    const AppendPlan::Input& input = input_.plan.inputs[i];
    if (input.relation != &relation) continue;
    const std::string late = late_rows_of(input);
    count_late_[i].set("SELECT CAST(coalesce(sum(abs(pgweir_w)), 0) AS BIGINT) FROM " + late);
    TRY_ASSIGN(duck::Rows rows, count_late_[i].query(connection));
    const duck::Chunk* chunk = rows.next();
    const std::int64_t count = chunk->data<std::int64_t>(0)[0];
    if (count == 0) continue;
    closed_.late += static_cast<std::uint64_t>(count);
    TRY(ClosedWindows::write(connection, input_.view.view, closed_));
    if (input_.keeps_late_rows) TRY(keep_late(connection, input, late));
  }
  return {};
}

Status AppendStrategy::keep_late(duck::Connection& connection, const AppendPlan::Input& input,
                                 const std::string& late_rows) {
  const auto utc = [&](const char* column) {
    return fmt::format("CASE WHEN isfinite({0}) THEN make_timestamp(epoch_us({0})) END", column);
  };
  const std::string closed = closed_.up_to == kNothingClosed
                                 ? std::string("NULL")
                                 : fmt::format("make_timestamp({})", closed_.up_to);
  std::string values;
  for (const auto& column : named_columns(input))
    values += fmt::format("{}{}, {}", values.empty() ? "" : ", ", quote_literal(column.name),
                          quote_identifier(column.name));
  const std::string table = fmt::format("{}.late_rows", engine::kInternalSchema);
  TRY(connection.execute(
      fmt::format("INSERT INTO {} SELECT {}, {}, pgweir_w, {}, {}, {}, CAST(json_object({}) AS "
                  "VARCHAR) FROM {}",
                  table, quote_literal(input_.view.view), quote_literal(input.relation->name),
                  utc("window_start"), utc("window_end"), closed, values, late_rows)));
  TRY_ASSIGN(const std::int64_t kept, connection.query_int("SELECT count(*) FROM " + table));
  if (kept <= kLateRowsMax) return {};
  return connection.execute(
      fmt::format("DELETE FROM {0} WHERE rowid IN (SELECT rowid FROM {0} ORDER BY rowid LIMIT {1})",
                  table, kept - kLateRowsMax / 2));
}

}  // namespace pgweir::views
