#include "views/select_tree.h"

namespace pgweir::views {

Json& child_of(Json& node, const char* key) {
  return node[key];
}

void restore_offsets(Json& node) {
  if (!node.is_structured()) return;
  for (Json& below : node) restore_offsets(below);
  if (node.is_object() && (node.contains("class") || node.contains("type")) &&
      (node.contains("class") || node.contains("alias")))
    node["query_location"] = kNoOffset;
}

Json table_node(const std::string& name, const std::string& alias) {
  return {{"type", "BASE_TABLE"},
          {"alias", alias},
          {"sample", nullptr},
          {"query_location", kNoOffset},
          {"schema_name", "main"},
          {"table_name", name},
          {"column_name_alias", Json::array()},
          {"catalog_name", ""},
          {"at_clause", nullptr}};
}

Json true_node() {
  // As the parser reads `true`.
  const Json text = {{"class", "CONSTANT"},
                     {"type", "VALUE_CONSTANT"},
                     {"alias", ""},
                     {"query_location", kNoOffset},
                     {"value",
                      {{"type", {{"id", "VARCHAR"}, {"type_info", nullptr}}},
                       {"is_null", false},
                       {"value", "t"}}}};
  return {{"class", "CAST"},  {"type", "OPERATOR_CAST"},
          {"alias", ""},      {"query_location", kNoOffset},
          {"child", text},    {"cast_type", {{"id", "BOOLEAN"}, {"type_info", nullptr}}},
          {"try_cast", false}};
}

Json join_node(Json left, Json right, const std::string& kind, Json condition) {
  if (condition.is_null()) condition = true_node();
  return {{"type", "JOIN"},
          {"alias", ""},
          {"sample", nullptr},
          {"query_location", kNoOffset},
          {"left", std::move(left)},
          {"right", std::move(right)},
          {"condition", std::move(condition)},
          {"join_type", kind},
          {"ref_type", "REGULAR"},
          {"using_columns", Json::array()},
          {"delim_flipped", false},
          {"duplicate_eliminated_columns", Json::array()}};
}

void without_commas(Json& from) {
  if (text_of(from, "type") != "JOIN") return;
  without_commas(from["left"]);
  without_commas(from["right"]);
  if (text_of(from, "ref_type") != "CROSS") return;
  from["ref_type"] = "REGULAR";
  from["condition"] = true_node();
}

Json select_node(Json select_list, Json from) {
  return {{"type", "SELECT_NODE"},
          {"modifiers", Json::array()},
          {"cte_map", {{"map", Json::array()}}},
          {"select_list", std::move(select_list)},
          {"from_table", std::move(from)},
          {"where_clause", nullptr},
          {"group_expressions", Json::array()},
          {"group_sets", Json::array()},
          {"aggregate_handling", "STANDARD_HANDLING"},
          {"having", nullptr},
          {"sample", nullptr},
          {"qualify", nullptr}};
}

Json distinct_modifiers() {
  return Json::array({{{"type", "DISTINCT_MODIFIER"}, {"distinct_on_targets", Json::array()}}});
}

Json conjunction_of(const std::vector<Json>& conjuncts) {
  if (conjuncts.empty()) return nullptr;
  if (conjuncts.size() == 1) return conjuncts[0];
  return {{"class", "CONJUNCTION"},
          {"type", "CONJUNCTION_AND"},
          {"alias", ""},
          {"query_location", kNoOffset},
          {"children", conjuncts}};
}

Json equality(Json left, Json right) {
  left["alias"] = right["alias"] = "";
  return {{"class", "COMPARISON"},       {"type", "COMPARE_EQUAL"}, {"alias", ""},
          {"query_location", kNoOffset}, {"left", std::move(left)}, {"right", std::move(right)}};
}

Json is_not_null(Json expression) {
  expression["alias"] = "";
  return {{"class", "OPERATOR"},
          {"type", "OPERATOR_IS_NOT_NULL"},
          {"alias", ""},
          {"query_location", kNoOffset},
          {"children", Json::array({std::move(expression)})}};
}

void replace_equal(Json& node, const Json& from, const Json& to) {
  if (!node.is_structured()) return;
  if (node == from) {
    node = to;
    return;
  }
  for (Json& below : node) replace_equal(below, from, to);
}

static bool has_class(const Json& expression, const char* name) {
  bool found = false;
  walk(expression, [&](const Json& node) {
    found = found || is_class(node, name);
    return !found;
  });
  return found;
}

bool has_window(const Json& expression) {
  return has_class(expression, "WINDOW");
}

bool has_subquery(const Json& expression) {
  return has_class(expression, "SUBQUERY");
}

bool only_ordered(const Json& node) {
  for (const Json& modifier : child(node, "modifiers"))
    if (text_of(modifier, "type") != "ORDER_MODIFIER") return false;
  return true;
}

std::string direction_of(const Json& order) {
  const bool descends = text_of(order, "type") == "DESCENDING";
  const std::string nulls = text_of(order, "null_order");
  const bool first = nulls == "NULLS FIRST" || (nulls != "NULLS LAST" && descends);
  return std::string(descends ? "DESC" : "ASC") + (first ? " NULLS FIRST" : " NULLS LAST");
}

std::optional<std::int64_t> integer_of(const Json& expression) {
  const Json& value = child(child(expression, "value"), "value");
  if (!is_class(expression, "CONSTANT") || !value.is_number_integer()) return std::nullopt;
  return value.get<std::int64_t>();
}

std::string names_of_columns(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names)
    list += (list.empty() ? "" : ", ") + duck::quote_identifier(name);
  return list;
}

}  // namespace pgweir::views
