// The FROM clauses of delta statements, and what strategies have in common.
#include <fmt/core.h>

#include <algorithm>

#include "views/arrangement.h"
#include "views/strategy.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

std::string with_window(const PlanInput& input, const std::string& source) {
  return input.window ? windowed_rows(*input.window, source) : source;
}

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

std::string all_conditions(const Plan& plan) {
  std::string out;
  for (const std::string& condition : plan.conditions)
    out += fmt::format("{}({})", out.empty() ? "" : " AND ", condition);
  return out;
}

// The same where rows are looked up by their hash: no condition becomes a second key of the join.
std::string conditions_beside_hash(const Plan& plan) {
  std::string out;
  for (const std::string& condition : plan.conditions) {
    const bool both =
        condition.find("i0.") != std::string::npos && condition.find("i1.") != std::string::npos;
    out += fmt::format("{}({})", out.empty() ? "" : " AND ",
                       both ? engine::beside_hash(condition) : condition);
  }
  return out;
}

// The other input's columns, hashed as the looked-up key's own values are.
std::string partner_hash(const Lookup& lookup, const std::string& alias) {
  std::string list;
  for (std::size_t i = 0; i < lookup.key.size(); ++i) {
    std::string value = fmt::format("{}.{}", alias, quote_identifier(lookup.partners[i].name));
    if (lookup.partners[i].type != lookup.key[i].type)
      value = fmt::format("TRY_CAST({} AS {})", value, lookup.key[i].type);
    list += (i == 0 ? "" : ", ") + value;
  }
  return "hash(" + list + ")";
}

}  // namespace

std::string full_from(const Plan& plan) {
  std::string from;
  for (const PlanInput& input : plan.inputs) {
    from += fmt::format("{}{} AS {}", from.empty() ? "FROM " : ", ",
                        with_window(input, input.relation->content), input.alias);
  }
  const std::string conditions = all_conditions(plan);
  return conditions.empty() ? from : from + " WHERE " + conditions;
}

Result<std::string> delta_from(const Plan& plan, const Lookups& lookups, std::size_t changed) {
  const PlanInput& input = plan.inputs[changed];
  const std::string change =
      fmt::format("{} AS {}", with_window(input, change_of(input)), input.alias);
  const std::string conditions = all_conditions(plan);
  if (plan.inputs.size() == 1)
    return "FROM " + change + (conditions.empty() ? "" : " WHERE " + conditions);
  // The change, which is small, stands on the right: the side that a hash join is built from.
  const PlanInput& other = plan.inputs[1 - changed];
  const Lookup& lookup = (*lookups)[1 - changed];
  const std::string hash = partner_hash(lookup, input.alias);
  TRY_ASSIGN(const std::string rows, lookup.rows_of(fmt::format("SELECT {} AS {} FROM {}", hash,
                                                                engine::kHashColumn, change)));
  return fmt::format("FROM {} AS {} JOIN {} ON {}.{} = {} WHERE {}", with_window(other, rows),
                     other.alias, change, other.alias, engine::kHashColumn, hash,
                     conditions_beside_hash(plan));
}

Result<std::string> Lookup::rows_of(const std::string& keys) const {
  if (!own_key) return arrangement->lookup(keys);
  const auto store = relation->store.lock();
  if (store == nullptr) return relation->content;
  return store->lookup(keys);
}

Lookups lookups_of(const Plan& plan) {
  auto lookups = std::make_shared<std::vector<Lookup>>();
  if (plan.inputs.size() < 2) return lookups;
  for (std::size_t i = 0; i < 2; ++i) {
    Lookup& lookup = lookups->emplace_back();
    lookup.relation = plan.inputs[i].relation;
    const auto own = [&](const JoinKey& key) { return i == 0 ? key.left : key.right; };
    const auto add = [&](const JoinKey& key) {
      lookup.key.push_back(own(key));
      lookup.partners.push_back(i == 0 ? key.right : key.left);
    };
    // The relation's own key does when the join names all of it.
    for (const auto& column : lookup.relation->key) {
      for (const JoinKey& key : plan.join)
        if (own(key).name == column.name) add(key);
    }
    lookup.own_key =
        !lookup.relation->key.empty() && lookup.key.size() == lookup.relation->key.size();
    if (lookup.own_key) continue;
    lookup.key.clear();
    lookup.partners.clear();
    std::vector<JoinKey> keys = plan.join;
    std::sort(keys.begin(), keys.end(),
              [&](const JoinKey& a, const JoinKey& b) { return own(a).name < own(b).name; });
    for (const JoinKey& key : keys) add(key);
  }
  return lookups;
}

std::string state_name(const std::string& view) {
  return "view " + view;
}

std::unique_ptr<ViewStrategy> make_strategy(StrategyInput input) {
  if (input.sessions) return make_session_strategy(std::move(input));
  if (!input.plan) return make_recompute_strategy(std::move(input));
  if (input.plan->grouped) return make_group_strategy(std::move(input));
  return make_row_strategy(std::move(input));
}

}  // namespace pgweir::views
