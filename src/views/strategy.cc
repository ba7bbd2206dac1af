#include "views/strategy.h"

#include <algorithm>

#include "views/arrangement.h"

namespace pgweir::views {

void Lookup::set_key(const std::vector<engine::StoreColumn>& wanted) {
  const auto find = [&](const std::string& name) {
    return std::find_if(wanted.begin(), wanted.end(),
                        [&](const engine::StoreColumn& column) { return column.name == name; });
  };
  whole = wanted.empty();
  if (whole) {
    key = relation->key;
    own_key = relation->stored;
    return;
  }
  key.clear();
  for (const engine::StoreColumn& column : relation->key) {
    if (find(column.name) != wanted.end()) key.push_back(*find(column.name));
  }
  own_key = relation->stored && !relation->key.empty() && key.size() == relation->key.size();
  if (own_key) return;
  key.clear();
  for (const engine::StoreColumn& column : wanted) {
    const bool known = std::any_of(key.begin(), key.end(), [&](const engine::StoreColumn& other) {
      return other.name == column.name;
    });
    if (!known) key.push_back(column);
  }
  std::sort(key.begin(), key.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
}

Result<std::string> Lookup::rows_of(const std::string& keys) const {
  if (whole) return own_key ? relation->content : arrangement->content();
  if (!own_key) return arrangement->lookup(keys);
  const auto store = relation->store.lock();
  if (store == nullptr) return relation->content;
  return store->lookup(keys);
}

bool look_into(const Lookups& lookups, const Relation& relation) {
  return std::any_of(lookups->begin(), lookups->end(), [&](const Lookup& lookup) {
    return lookup.own_key && lookup.relation == &relation;
  });
}

std::string state_name(const std::string& view) {
  return "view " + view;
}

std::unique_ptr<ViewStrategy> make_strategy(StrategyInput input) {
  if (input.sessions) return make_session_strategy(std::move(input));
  if (input.keyed) return make_keyed_strategy(std::move(input));
  if (input.first_rows) return make_first_rows_strategy(std::move(input));
  if (!input.all_of.empty()) return make_union_strategy(std::move(input));
  if (!input.plan) return make_recompute_strategy(std::move(input));
  if (input.plan->grouped) return make_group_strategy(std::move(input));
  return make_row_strategy(std::move(input));
}

}  // namespace pgweir::views
