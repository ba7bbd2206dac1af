#include "views/row_spec.h"

#include <fmt/core.h>

namespace pgweir::views {
namespace {

void add_value(const std::string& sql, const engine::StoreColumn& column, RowSpec* rows) {
  rows->store.columns.push_back(column);
  rows->values += fmt::format("{}CAST({} AS {}) AS {}", rows->values.empty() ? "" : ", ", sql,
                              column.type, duck::quote_identifier(column.name));
}

// The column that shows this key column of an input, or a hidden one for it.
std::uint32_t key_column(const Plan& plan, std::size_t input, const engine::StoreColumn& key,
                         RowSpec* rows) {
  for (std::uint32_t i = 0; i < plan.columns.size(); ++i) {
    if (plan.columns[i].source == std::pair(input, key.name)) return i;
  }
  const std::size_t number = rows->store.columns.size();
  add_value(column_sql(plan, input, key.name), {fmt::format("pgweir_k{}", number), key.type}, rows);
  return static_cast<std::uint32_t>(number);
}

}  // namespace

RowSpec make_row_spec(const StrategyInput& input) {
  const Plan& plan = *input.plan;
  RowSpec rows;
  engine::StoreSpec& spec = rows.store;
  spec.name = state_name(input.view);
  for (const PlanColumn& column : plan.columns) add_value(column.sql, column.column, &rows);
  for (const PlanInput& each : plan.inputs) spec.unique = spec.unique && each.relation->unique;
  for (std::size_t i = 0; i < plan.inputs.size() && spec.unique; ++i) {
    for (const auto& key : plan.inputs[i].relation->key)
      spec.key.push_back(key_column(plan, i, key, &rows));
    const auto& window = plan.inputs[i].window;
    if (window && !window->told_by.empty())
      spec.key.push_back(key_column(plan, i, {window->told_by, window->type}, &rows));
  }
  if (!spec.unique) {
    for (std::uint32_t i = 0; i < spec.columns.size(); ++i) spec.key.push_back(i);
  }
  return rows;
}

}  // namespace pgweir::views
