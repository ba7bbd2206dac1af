#include "views/delta_join.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/arrangement.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

// The input's change, only the columns that the view needs, added up: what the view does not see is
// no change to it.
std::string change_of(const PlanInput& input) {
  std::string columns;
  for (const std::string& column : input.used) columns += quote_identifier(column) + ", ";
  return fmt::format(
      "(SELECT * FROM (SELECT {0}CAST(sum({1}) AS BIGINT) AS pgweir_w FROM {2}{3}) WHERE pgweir_w "
      "<> 0)",
      columns, engine::kWeightColumn, input.relation->delta,
      columns.empty() ? "" : " GROUP BY ALL");
}

// The partners' columns, hashed as the looked-up key's own values are.
std::string partner_hash(const Plan& plan, const JoinStep& step) {
  if (step.columns.empty()) return "0";
  std::string list;
  for (std::size_t i = 0; i < step.columns.size(); ++i) {
    const auto& [input, column] = step.partners[i];
    std::string value = column_sql(plan, input, column.name);
    if (column.type != step.columns[i].type)
      value = fmt::format("TRY_CAST({} AS {})", value, step.columns[i].type);
    list += (i == 0 ? "" : ", ") + value;
  }
  return "hash(" + list + ")";
}

// The columns that expressions over the inputs may name, with their types.
std::vector<engine::StoreColumn> shown_columns(const PlanInput& input) {
  std::vector<engine::StoreColumn> columns;
  for (const engine::StoreColumn& column : input.relation->columns) {
    if (std::find(input.used.begin(), input.used.end(), column.name) != input.used.end())
      columns.push_back(column);
  }
  for (const engine::StoreColumn& column : input.relation->key) {
    const bool known = std::any_of(columns.begin(), columns.end(),
                                   [&](const auto& other) { return other.name == column.name; });
    if (!known && std::find(input.used.begin(), input.used.end(), column.name) != input.used.end())
      columns.push_back(column);
  }
  if (input.window) {
    columns.push_back({"window_start", input.window->type});
    columns.push_back({"window_end", input.window->type});
  }
  return columns;
}

std::string flat_name(std::size_t input, const std::string& column) {
  return fmt::format("i{}.{}", input, column);
}

std::string with_window(const PlanInput& input, const std::string& source) {
  return input.window ? windowed_rows(*input.window, source) : source;
}

// SELECT of an input's columns under their flat names, and `more`, from `source`.
std::string flat_select(const Plan& plan, std::size_t input, const std::string& more,
                        const std::string& source) {
  std::string list;
  for (const engine::StoreColumn& column : shown_columns(plan.inputs[input])) {
    list += fmt::format("{} AS {}, ", quote_identifier(column.name),
                        quote_identifier(flat_name(input, column.name)));
  }
  return fmt::format("SELECT {}{} FROM {}", list, more, with_window(plan.inputs[input], source));
}

}  // namespace

std::string column_sql(const Plan& plan, std::size_t input, const std::string& column) {
  if (plan.flat) return quote_identifier(flat_name(input, column));
  return plan.inputs[input].alias + "." + quote_identifier(column);
}

std::string input_from(const Plan& plan, std::size_t input, const std::string& source) {
  if (!plan.flat)
    return with_window(plan.inputs[input], source) + " AS " + plan.inputs[input].alias;
  return "(" + flat_select(plan, input, fmt::format("0 AS \"i{}.\"", input), source) + ")";
}

std::string full_from(const Plan& plan) {
  std::string from, conditions;
  for (std::size_t i = 0; i < plan.inputs.size(); ++i) {
    from += (from.empty() ? "FROM " : ", ") + input_from(plan, i, plan.inputs[i].relation->content);
  }
  for (const Condition& condition : plan.conditions)
    conditions += fmt::format("{}({})", conditions.empty() ? " WHERE " : " AND ", condition.sql);
  return from + conditions;
}

DeltaJoin::DeltaJoin(const Plan& plan, Lookups lookups, std::size_t id)
    : plan_(plan), lookups_(std::move(lookups)) {
  for (std::size_t changed = 0; plan.flat && changed < plan.inputs.size(); ++changed)
    chains_.push_back(make_chain(changed, id));
}

DeltaJoin::Chain DeltaJoin::make_chain(std::size_t changed, std::size_t id) const {
  Chain chain;
  std::vector<engine::StoreColumn> columns = {{"pgweir_w", "BIGINT"}};
  const auto add = [&](std::size_t input) {
    for (const engine::StoreColumn& column : shown_columns(plan_.inputs[input]))
      columns.push_back({flat_name(input, column.name), column.type});
    chain.tables.emplace_back(
        fmt::format("pgweir_chain_{}_{}_{}", id, changed, chain.tables.size()), columns);
  };
  add(changed);
  for (std::size_t i = 0; i + 1 < plan_.steps[changed].size(); ++i)
    add(plan_.steps[changed][i].input);
  return chain;
}

Status DeltaJoin::setup(duck::Connection& connection) {
  for (Chain& chain : chains_) {
    for (ScratchTable& table : chain.tables) TRY(table.create(connection));
    chain.fills.clear();
    chain.fills.resize(chain.tables.size());
    chain.filled = 0;
  }
  return {};
}

Status DeltaJoin::clear(duck::Connection& connection) {
  for (Chain& chain : chains_) {
    for (; chain.filled > 0; --chain.filled) TRY(chain.tables[chain.filled - 1].clear(connection));
  }
  return {};
}

Result<std::optional<std::string>> DeltaJoin::from(duck::Connection& connection,
                                                   std::size_t changed) {
  if (!plan_.flat) {
    TRY_ASSIGN(std::string text, pair_from(changed));
    return std::optional(std::move(text));
  }
  Chain& chain = chains_[changed];
  // Several changes of one input in a batch come one after the other.
  for (; chain.filled > 0; --chain.filled) TRY(chain.tables[chain.filled - 1].clear(connection));
  for (std::size_t i = 0; i < chain.tables.size(); ++i) {
    std::string source;
    if (i == 0) {
      const PlanInput& input = plan_.inputs[changed];
      source = fmt::format("FROM ({})", flat_select(plan_, changed, "pgweir_w", change_of(input)));
      const std::string conditions = new_conditions(changed, 0, false);
      if (!conditions.empty()) source += " WHERE " + conditions;
    } else {
      TRY_ASSIGN(source, step_from(changed, i - 1));
    }
    const std::vector<engine::StoreColumn>& columns = chain.tables[i].columns();
    std::string list;
    for (const engine::StoreColumn& column : columns)
      list += (list.empty() ? "" : ", ") + quote_identifier(column.name);
    chain.fills[i].set(
        fmt::format("INSERT INTO {} SELECT {} {}", chain.tables[i].name(), list, source));
    TRY_ASSIGN(const std::uint64_t rows, chain.fills[i].run(connection));
    if (rows == 0) return std::optional<std::string>();
    chain.filled = i + 1;
  }
  TRY_ASSIGN(std::string last, step_from(changed, chain.tables.size() - 1));
  return std::optional(std::move(last));
}

Result<std::string> DeltaJoin::pair_from(std::size_t changed) const {
  const PlanInput& input = plan_.inputs[changed];
  const std::string change = input_from(plan_, changed, change_of(input));
  std::string conditions;
  if (plan_.inputs.size() == 1) {
    for (const Condition& condition : plan_.conditions)
      conditions += fmt::format("{}({})", conditions.empty() ? " WHERE " : " AND ", condition.sql);
    return "FROM " + change + conditions;
  }
  // The change, which is small, stands on the right: the side that a hash join is built from. No
  // condition over both becomes a second key of the join.
  for (const Condition& condition : plan_.conditions) {
    conditions += fmt::format(
        "{}({})", conditions.empty() ? "" : " AND ",
        condition.inputs.size() > 1 ? engine::beside_hash(condition.sql) : condition.sql);
  }
  const JoinStep& step = plan_.steps[changed][0];
  const std::string hash = partner_hash(plan_, step);
  TRY_ASSIGN(const std::string rows,
             (*lookups_)[step.lookup].rows_of(
                 fmt::format("SELECT {} AS {} FROM {}", hash, engine::kHashColumn, change)));
  const std::string same =
      step.columns.empty()
          ? "true"
          : fmt::format("{}.{} = {}", plan_.inputs[step.input].alias, engine::kHashColumn, hash);
  return fmt::format("FROM {} JOIN {} ON {} WHERE {}", input_from(plan_, step.input, rows), change,
                     same, conditions.empty() ? "true" : conditions);
}

Result<std::string> DeltaJoin::step_from(std::size_t changed, std::size_t number) const {
  const JoinStep& step = plan_.steps[changed][number];
  const std::string& table = chains_[changed].tables[number].name();
  const std::string hash = partner_hash(plan_, step);
  TRY_ASSIGN(const std::string rows,
             step_rows(changed, step,
                       fmt::format("SELECT {} AS {} FROM {}", hash, engine::kHashColumn, table)));
  const std::string conditions = new_conditions(changed, number + 1, true);
  const std::string same =
      step.columns.empty() ? "true" : fmt::format("f.{} = {}", engine::kHashColumn, hash);
  return fmt::format(
      "FROM (SELECT f.* EXCLUDE (pgweir_v, {0}), c.* EXCLUDE (pgweir_w), c.pgweir_w * f.pgweir_v "
      "AS pgweir_w FROM ({1}) AS f JOIN {2} AS c ON {3} WHERE {4})",
      engine::kHashColumn, rows, table, same, conditions);
}

// A SELECT of the rows of the step's input: their columns, their hash and their weight pgweir_v.
Result<std::string> DeltaJoin::step_rows(std::size_t changed, const JoinStep& step,
                                         const std::string& keys) const {
  const Lookup& lookup = (*lookups_)[step.lookup];
  TRY_ASSIGN(const std::string stored, lookup.rows_of(keys));
  const std::string hash_and = engine::kHashColumn + std::string(", ");
  const std::string now =
      flat_select(plan_, step.input, hash_and + "CAST(1 AS BIGINT) AS pgweir_v", stored);
  const Relation& relation = *plan_.inputs[step.input].relation;
  if (&relation != plan_.inputs[changed].relation) return now;
  // The relation itself in another place: it has the change there when that place is in front of
  // this one. An arrangement gets the change behind the views.
  const bool wanted = step.input < changed;
  const bool has = lookup.own_key && relation.delta_in_store;
  if (wanted == has) return now;
  return fmt::format(
      "{} UNION ALL {}", now,
      flat_select(plan_, step.input,
                  fmt::format("{} AS {}, CAST({} AS BIGINT) AS pgweir_v", hash_of(step.columns),
                              engine::kHashColumn,
                              (wanted ? "" : "-") + std::string(engine::kWeightColumn)),
                  relation.delta));
}

std::set<std::size_t> DeltaJoin::joined_before(std::size_t changed, std::size_t step) const {
  std::set<std::size_t> joined = {changed};
  for (std::size_t i = 0; i < step; ++i) joined.insert(plan_.steps[changed][i].input);
  return joined;
}

std::string DeltaJoin::new_conditions(std::size_t changed, std::size_t step, bool beside) const {
  const std::set<std::size_t> now = joined_before(changed, step);
  const std::set<std::size_t> before =
      step == 0 ? std::set<std::size_t>() : joined_before(changed, step - 1);
  const auto covers = [](const std::set<std::size_t>& joined, const Condition& condition) {
    return std::includes(joined.begin(), joined.end(), condition.inputs.begin(),
                         condition.inputs.end());
  };
  std::string out;
  for (const Condition& condition : plan_.conditions) {
    if (!covers(now, condition) || (step > 0 && covers(before, condition))) continue;
    const bool both = beside && condition.inputs.size() > 1;
    out += fmt::format("{}({})", out.empty() ? "" : " AND ",
                       both ? engine::beside_hash(condition.sql) : condition.sql);
  }
  return out.empty() && beside ? "true" : out;
}

}  // namespace pgweir::views
