#include "views/canonical_select.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/keyed_plan.h"
#include "views/select_tree.h"

namespace pgweir::views {

bool CanonicalSelect::read(const Json& node) {
  if (text_of(node, "type") != "SELECT_NODE" || !only_ordered(node)) return false;
  if (child(node, "group_sets").size() > 1) {
    for (const Json& set : child(node, "group_sets"))
      sets.push_back(set.get<std::vector<std::size_t>>());
  }
  from = child(node, "from_table");
  if (!scope.add_any_from(from) || !scope.names_differ()) return false;
  std::size_t next = 0;
  if (!name_leaves(from, &next)) return false;
  if (!scope.select_list(&items, Scope::Windows::kAllowed)) return false;
  if (items.size() != bound.columns.size()) return false;
  if (!canonical(child(node, "where_clause"), &where) ||
      !canonical(child(node, "qualify"), &qualify))
    return false;
  for (const Json& item : items) has_windows = has_windows || has_window(item);
  has_windows = has_windows || !qualify.is_null();
  return read_groups(node);
}

bool CanonicalSelect::read_groups(const Json& node) {
  const bool by_all = text_of(node, "aggregate_handling") == "FORCE_AGGREGATES";
  for (const Json& expression : child(node, "group_expressions")) {
    Json key;
    if (const auto ordinal = integer_of(expression)) {
      if (*ordinal < 1 || *ordinal > static_cast<std::int64_t>(items.size())) return false;
      key = items[static_cast<std::size_t>(*ordinal - 1)];
    } else if (!canonical(expression, &key)) {
      return false;
    }
    groups.push_back(std::move(key));
  }
  for (const Json& item : items) {
    const bool aggregates = has_aggregates(functions, item);
    grouped = grouped || aggregates;
    if (by_all && !aggregates) groups.push_back(item);
  }
  grouped = grouped || by_all || !groups.empty() || !child(node, "having").is_null();
  bool ambiguous = false;
  walk(child(node, "having"), [&](const Json& below) {
    const auto names = names_of(below);
    ambiguous = ambiguous ||
                (names.size() == 1 && scope.find(names) && scope.select_alias(names[0]) != nullptr);
    return true;
  });
  return !ambiguous && canonical(child(node, "having"), &having);
}

bool CanonicalSelect::canonical(const Json& expression, Json* out) {
  *out = expression;
  if (expression.is_null()) return true;
  if (!scope.canonicalise(*out, Scope::Windows::kAllowed)) return false;
  strip_offsets(*out);
  return true;
}

// FROM with its tables called i0, i1 ..., and USING as conditions of ON.
bool CanonicalSelect::name_leaves(Json& table, std::size_t* next) {
  if (text_of(table, "type") != "JOIN") {
    table["alias"] = fmt::format("i{}", (*next)++);
    return true;
  }
  const std::size_t first = *next;
  if (!name_leaves(child_of(table, "left"), next)) return false;
  const std::size_t middle = *next;
  if (!name_leaves(child_of(table, "right"), next)) return false;
  Json condition;
  if (!canonical(child(table, "condition"), &condition)) return false;
  for (const Scope::Using& pair : scope.usings()) {
    const bool here =
        pair.left >= first && pair.left < middle && pair.right >= middle && pair.right < *next;
    if (!here) continue;
    Json equal = equality(scope.reference(pair.left, *scope.find_column(pair.left, pair.column)),
                          scope.reference(pair.right, *scope.find_column(pair.right, pair.column)));
    strip_offsets(equal);
    condition = condition.is_null() ? equal : conjunction_of({condition, equal});
  }
  table["ref_type"] = "REGULAR";
  table["condition"] = condition.is_null() ? true_node() : condition;
  table["using_columns"] = Json::array();
  return true;
}

void CanonicalSelect::leaves_of(const Json& table, std::vector<std::size_t>* leaves) {
  if (text_of(table, "type") == "JOIN") {
    leaves_of(child(table, "left"), leaves);
    leaves_of(child(table, "right"), leaves);
  } else {
    leaves->push_back(static_cast<std::size_t>(std::stoul(text_of(table, "alias").substr(1))));
  }
}

std::vector<Scope::Place> CanonicalSelect::places_in(const std::vector<const Json*>& expressions,
                                                     const std::vector<std::size_t>& leaves) const {
  std::vector<Scope::Place> places;
  for (const Json* expression : expressions) {
    walk(*expression, [&](const Json& node) {
      const auto place = scope.place_of_reference(node);
      if (place && std::find(leaves.begin(), leaves.end(), place->input) != leaves.end() &&
          std::find(places.begin(), places.end(), *place) == places.end())
        places.push_back(*place);
      return true;
    });
  }
  return places;
}

Json CanonicalSelect::stripped_reference(const Scope::Place& place) const {
  Json reference = scope.reference(place.input, place.column);
  strip_offsets(reference);
  return reference;
}

Json CanonicalSelect::stripped_reference(const std::string& alias, const std::string& column) {
  Json reference = make_column_ref({alias, column});
  strip_offsets(reference);
  return reference;
}

std::string CanonicalSelect::print_canonical(Json node) {
  restore_offsets(node);
  return builder.printed(node);
}

std::string CanonicalSelect::part_of(const Json& table, const Json& condition,
                                     const std::vector<Scope::Place>& places,
                                     const std::vector<Json>& computed, const std::string& alias,
                                     const std::vector<Json*>& expressions,
                                     const std::vector<Json*>* computed_in) {
  Json list = Json::array();
  const auto add = [&](const Json& expression, const std::vector<Json*>& in) {
    Json item = expression;
    const std::string name = fmt::format("c{}", list.size());
    item["alias"] = name;
    list.push_back(std::move(item));
    for (Json* each : in) replace_equal(*each, expression, stripped_reference(alias, name));
  };
  // The longer ones first: they hold columns.
  for (const Json& expression : computed)
    add(expression, computed_in != nullptr ? *computed_in : expressions);
  for (const Scope::Place& place : places) add(stripped_reference(place), expressions);
  if (list.empty()) list.push_back(builder.expression_of("1", "c0"));
  Json select = select_node(std::move(list), table);
  select["where_clause"] = condition;
  return builder.add_part(print_canonical(std::move(select)));
}

void CanonicalSelect::put_groups(Json& select) const {
  Json set = Json::array();
  for (const Json& group : groups) {
    set.push_back(select["group_expressions"].size());
    select["group_expressions"].push_back(group);
  }
  if (!sets.empty())
    select["group_sets"] = sets;
  else if (!groups.empty())
    select["group_sets"].push_back(std::move(set));
}

void CanonicalSelect::print_rest(const Json& table) {
  Json list = Json::array();
  for (std::size_t i = 0; i < items.size(); ++i) {
    Json item = items[i];
    item["alias"] = bound.columns[i].name;
    list.push_back(std::move(item));
  }
  Json select = select_node(std::move(list), table);
  select["where_clause"] = where;
  select["having"] = having;
  select["qualify"] = qualify;
  put_groups(select);
  builder.outline().sql = print_canonical(std::move(select));
}

std::vector<Json*> CanonicalSelect::all_expressions() {
  std::vector<Json*> all = {&where, &having, &qualify};
  for (Json& item : items) all.push_back(&item);
  for (Json& group : groups) all.push_back(&group);
  return all;
}

bool CanonicalSelect::is_plain(const Json& expression) const {
  std::size_t input = 0;
  return scope.plain_column(expression, &input) != nullptr;
}

bool CanonicalSelect::is_aggregate(const Json& node) const {
  return is_class(node, "FUNCTION") && functions.is_aggregate(text_of(node, "function_name"));
}

}  // namespace pgweir::views
