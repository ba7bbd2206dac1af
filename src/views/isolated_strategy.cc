#include "views/isolated_strategy.h"

#include <fmt/core.h>

namespace pgweir::views {
namespace {

using duck::quote_literal;

std::string table_name() {
  return fmt::format("{}.isolated_views", engine::kInternalSchema);
}

engine::StoreSpec spec_of(const StrategyInput& input) {
  engine::StoreSpec spec;
  spec.name = state_name(input.view);
  spec.columns = input.columns;
  spec.unique = false;
  for (std::uint32_t i = 0; i < spec.columns.size(); ++i) spec.key.push_back(i);
  return spec;
}

}  // namespace

Result<std::optional<IsolatedPosition>> isolated_position(duck::Connection& connection,
                                                          const std::string& view) {
  TRY_ASSIGN(const auto stored, connection.query_texts(fmt::format(
                                    "SELECT end_lsn, commit_time FROM {} WHERE name = {}",
                                    table_name(), quote_literal(view))));
  if (stored.rows.empty()) return std::optional<IsolatedPosition>();
  const auto& row = stored.rows[0];
  return std::optional(IsolatedPosition{model::Lsn{std::stoull(row[0].value_or("0"))},
                                        model::Timestamp{std::stoll(row[1].value_or("0"))}});
}

IsolatedStrategy::IsolatedStrategy(StrategyInput input, IsolatedRunner& runner)
    : input_(std::move(input)),
      runner_(runner),
      id_(runner.add(input_.view)),
      state_(input_, spec_of(input_)) {}

Status IsolatedStrategy::create(duck::Connection& connection) {
  return connection.execute(fmt::format(
      "CREATE TABLE IF NOT EXISTS {} (name VARCHAR, end_lsn UBIGINT, commit_time BIGINT)",
      table_name()));
}

Status IsolatedStrategy::forget(duck::Connection& connection, const std::string& view) {
  return connection.execute(
      fmt::format("DELETE FROM {} WHERE name = {}", table_name(), quote_literal(view)));
}

Status IsolatedStrategy::rename(duck::Connection& connection, const std::string& from,
                                const std::string& to) {
  return connection.execute(fmt::format("UPDATE {} SET name = {} WHERE name = {}", table_name(),
                                        quote_literal(to), quote_literal(from)));
}

Status IsolatedStrategy::setup(duck::Connection& connection, bool keep) {
  TRY(state_.open(connection, keep));
  if (!keep) TRY(forget(connection, input_.view));
  TRY_ASSIGN(true_at_, isolated_position(connection, input_.view));
  if (!true_at_) TRY(hide(connection));
  const std::string both = fmt::format(
      "SELECT {0}, 1 AS pgweir_w FROM ({1}) UNION ALL SELECT {0}, -1 FROM {2}",
      name_list(state_.spec().columns), rows_of_select(input_), state_.relation().content);
  runner_.restart(id_, consolidated(both, state_.spec().columns, state_.relation().key, true));
  return {};
}

// Nobody takes a view that is not computed yet for an empty one.
Status IsolatedStrategy::hide(duck::Connection& connection) {
  std::string columns;
  for (const auto& column : state_.relation().columns)
    columns += fmt::format("{}CAST(error(why) AS {}) AS {}", columns.empty() ? "" : ", ",
                           column.type, duck::quote_identifier(column.name));
  return connection.execute(fmt::format(
      "CREATE OR REPLACE VIEW {} AS SELECT {} FROM (VALUES ({})) AS t(why) WHERE CAST(error(why) "
      "AS BOOLEAN)",
      state_.relation().rows, columns,
      quote_literal(fmt::format("view {} is isolated, and its first rows are still being computed",
                                input_.view))));
}

Status IsolatedStrategy::show(duck::Connection& connection) {
  return connection.execute(
      fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}", state_.relation().rows,
                  name_list(state_.relation().columns), state_.relation().content));
}

Status IsolatedStrategy::renew(duck::Connection&) {
  runner_.input_changed(id_);
  return {};
}

Status IsolatedStrategy::accumulate(duck::Connection&, std::size_t) {
  runner_.input_changed(id_);
  return {};
}

Result<ViewStrategy::Change> IsolatedStrategy::finish(duck::Connection& connection) {
  const auto outcome = runner_.take(id_);
  if (!outcome) return Change{};
  if (outcome->failure) return *outcome->failure;
  if (!true_at_) TRY(show(connection));
  true_at_ = {outcome->at.end_lsn, outcome->at.commit_time};
  TRY(forget(connection, input_.view));
  TRY(connection.execute(fmt::format("INSERT INTO {} VALUES ({}, {}, {})", table_name(),
                                     quote_literal(input_.view), model::value(true_at_->end_lsn),
                                     model::value(true_at_->commit_time))));
  if (outcome->rows == 0) return Change{};
  TRY(connection.execute(
      fmt::format("INSERT INTO {} SELECT * FROM {}", state_.delta().name(), outcome->table)));
  return state_.take_delta();
}

}  // namespace pgweir::views
