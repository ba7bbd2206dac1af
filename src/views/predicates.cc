#include "views/predicates.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/keyed_plan.h"
#include "views/scope.h"

namespace pgweir::views {
namespace {

bool is_subquery(const Json& node, const char* type) {
  return is_class(node, "SUBQUERY") && text_of(node, "subquery_type") == type;
}

// What is under a NOT, and whether there was one.
const Json& under_not(const Json& node, bool* negated) {
  *negated = is_class(node, "OPERATOR") && text_of(node, "type") == "OPERATOR_NOT" &&
             child(node, "children").size() == 1;
  return *negated ? child(node, "children")[0] : node;
}

bool has_subquery(const Json& expression) {
  bool found = false;
  walk(expression, [&](const Json& node) {
    found = found || is_class(node, "SUBQUERY");
    return !found;
  });
  return found;
}

Json all_of(const std::vector<Json>& conjuncts) {
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

class PredicateTaker {
 public:
  PredicateTaker(SqlParser& parser, const FunctionCatalog& functions, const BoundSelect& select,
                 const NamePart& name_part)
      : parser_(parser), functions_(functions), select_(select), name_part_(name_part) {}

  Result<std::optional<Outline>> run(Json node) {
    if (text_of(node, "type") != "SELECT_NODE") return std::optional<Outline>();
    const bool taken = qualify_stars(node) && conjuncts(node) && items(node) && !has_subquery(node);
    if (!failure_.ok()) return failure_.error();
    if (!taken || outline_.parts.empty()) return std::optional<Outline>();
    TRY_ASSIGN(outline_.sql, parser_.print_select(node));
    return std::optional(std::move(outline_));
  }

 private:
  // A subquery whose conditions that name outer columns are equalities.
  struct Inner {
    Json node;                 // without these conditions
    std::vector<Json> inside;  // equal to
    std::vector<Json> outside;
  };

  // The parts that are joined must not show in a star.
  bool qualify_stars(Json& node) {
    Json list = Json::array();
    for (const Json& item : child(node, "select_list")) {
      if (!is_class(item, "STAR") || !text_of(item, "relation_name").empty()) {
        list.push_back(item);
        continue;
      }
      std::vector<std::string> names;
      if (!leaves(child(node, "from_table"), &names)) return false;
      for (const std::string& name : names) {
        Json star = item;
        star["relation_name"] = name;
        list.push_back(std::move(star));
      }
    }
    node["select_list"] = std::move(list);
    return true;
  }

  static bool leaves(const Json& from, std::vector<std::string>* names) {
    if (text_of(from, "type") == "JOIN") {
      return child(from, "using_columns").empty() && leaves(child(from, "left"), names) &&
             leaves(child(from, "right"), names);
    }
    names->push_back(text_of(from, "alias"));
    return !names->back().empty();
  }

  bool conjuncts(Json& node) {
    if (child(node, "where_clause").is_null()) return true;
    std::vector<Json> written, kept;
    split_conjuncts(child(node, "where_clause"), &written);
    for (Json& conjunct : written) {
      if (!has_subquery(conjunct)) {
        kept.push_back(std::move(conjunct));
        continue;
      }
      bool negated = false;
      const Json& what = under_not(conjunct, &negated);
      const bool exists = is_subquery(what, "EXISTS") || is_subquery(what, "NOT_EXISTS");
      if (exists) negated = negated != is_subquery(what, "NOT_EXISTS");
      if ((exists || is_subquery(what, "ANY")) && !negated) {
        if (!semi_join(node, what)) return false;
      } else {
        if (!replace(node, conjunct)) return false;
        kept.push_back(std::move(conjunct));
      }
    }
    node["where_clause"] = all_of(kept);
    return true;
  }

  bool items(Json& node) {
    Json list = node["select_list"];
    for (Json& item : list)
      if (!replace(node, item)) return false;
    node["select_list"] = std::move(list);
    return true;
  }

  // --- Inside and outside ---

  bool take_inner(const Json& subquery, Inner* inner) {
    inner->node = child(child(subquery, "subquery"), "node");
    const Json& node = inner->node;
    if (text_of(node, "type") != "SELECT_NODE" || !child(node, "qualify").is_null() ||
        !child(child(node, "cte_map"), "map").empty() ||
        !child(node, "group_expressions").empty() || !child(node, "having").is_null())
      return false;
    for (const Json& modifier : child(node, "modifiers"))
      if (text_of(modifier, "type") != "ORDER_MODIFIER") return false;
    inner->node["modifiers"] = Json::array();
    Scope scope(select_.definition, select_.relations, select_.windows);
    if (!scope.add_any_from(child(node, "from_table"))) return false;
    for (const Json& condition : scope.conditions())
      if (side_of(scope, condition) == Side::kOutside) return false;
    for (const Json& item : child(node, "select_list"))
      if (!is_class(item, "STAR") && side_of(scope, item) != Side::kInside) return false;
    std::vector<Json> written, kept;
    if (!child(node, "where_clause").is_null())
      split_conjuncts(child(node, "where_clause"), &written);
    for (Json& conjunct : written) {
      if (side_of(scope, conjunct) == Side::kInside) {
        kept.push_back(std::move(conjunct));
        continue;
      }
      if (text_of(conjunct, "type") != "COMPARE_EQUAL") return false;
      const Json& left = child(conjunct, "left");
      const Json& right = child(conjunct, "right");
      const Side l = side_of(scope, left), r = side_of(scope, right);
      if (l == Side::kBoth || r == Side::kBoth || l == r) return false;
      inner->inside.push_back(l == Side::kInside ? left : right);
      inner->outside.push_back(l == Side::kInside ? right : left);
    }
    inner->node["where_clause"] = all_of(kept);
    return true;
  }

  enum class Side { kInside, kOutside, kBoth };

  // Whose columns the expression names; one without columns is inside.
  static Side side_of(const Scope& scope, const Json& expression) {
    bool inside = false, outside = false;
    walk(expression, [&](const Json& node) {
      if (!is_class(node, "COLUMN_REF")) return true;
      (scope.find(names_of(node)) ? inside : outside) = true;
      return true;
    });
    if (outside) return inside ? Side::kBoth : Side::kOutside;
    return Side::kInside;
  }

  // --- Joins ---

  // The subquery's `inside` columns, each combination once, as c0, c1 ...; and m, which is 1.
  std::string distinct_part(const Inner& inner) {
    Json node = inner.node;
    Json list = Json::array();
    for (const Json& expression : inner.inside) {
      Json item = expression;
      item["alias"] = fmt::format("c{}", list.size());
      list.push_back(std::move(item));
    }
    list.push_back(expression_of("1", "m"));
    node["select_list"] = std::move(list);
    node["modifiers"] =
        Json::array({{{"type", "DISTINCT_MODIFIER"}, {"distinct_on_targets", Json::array()}}});
    return add_part(node);
  }

  std::string add_part(const Json& node) {
    auto sql = parser_.print_select(node);
    if (!sql.ok()) {
      failure_ = sql.error();
      return "";
    }
    outline_.parts.push_back({name_part_(), std::move(sql).value()});
    return outline_.parts.back().name;
  }

  // Joins a part to FROM; returns its alias.
  std::string join(Json& node, const std::string& part, const char* kind, const Inner& inner) {
    const std::string alias = fmt::format("pgweir_s{}", outline_.parts.size());
    std::vector<Json> equalities;
    for (std::size_t i = 0; i < inner.outside.size(); ++i)
      equalities.push_back(
          equality(inner.outside[i], make_column_ref({alias, fmt::format("c{}", i)})));
    const Json table = {{"type", "BASE_TABLE"},
                        {"alias", alias},
                        {"sample", nullptr},
                        {"query_location", kNoOffset},
                        {"schema_name", "main"},
                        {"table_name", part},
                        {"column_name_alias", Json::array()},
                        {"catalog_name", ""},
                        {"at_clause", nullptr}};
    const Json from = node["from_table"];
    node["from_table"] = {{"type", "JOIN"},
                          {"alias", ""},
                          {"sample", nullptr},
                          {"query_location", kNoOffset},
                          {"left", from},
                          {"right", table},
                          {"condition", all_of(equalities)},
                          {"join_type", kind},
                          {"ref_type", "REGULAR"},
                          {"using_columns", Json::array()},
                          {"delim_flipped", false},
                          {"duplicate_eliminated_columns", Json::array()}};
    return alias;
  }

  // Each combination of values stands once in the part, so a join doubles no row.
  bool semi_join(Json& node, const Json& subquery) {
    Inner inner;
    if (!take_inner(subquery, &inner)) return false;
    if (is_subquery(subquery, "ANY") && !add_compared(subquery, &inner)) return false;
    if (inner.inside.empty() || aggregates(inner)) return false;
    join(node, distinct_part(inner), "INNER", inner);
    return true;
  }

  bool aggregates(const Inner& inner) const {
    return has_aggregates(functions_, child(inner.node, "select_list"));
  }

  // The two sides of IN become equalities.
  static bool add_compared(const Json& subquery, Inner* inner) {
    if (text_of(subquery, "comparison_type") != "COMPARE_EQUAL") return false;
    std::vector<Json> compared = {child(subquery, "child")};
    if (is_class(compared[0], "FUNCTION") && text_of(compared[0], "function_name") == "row") {
      const Json row = child(compared[0], "children");
      compared.assign(row.begin(), row.end());
    }
    const Json& list = child(inner->node, "select_list");
    if (list.size() != compared.size()) return false;
    for (std::size_t i = 0; i < compared.size(); ++i) {
      if (is_class(list[i], "STAR")) return false;
      inner->inside.push_back(list[i]);
      inner->outside.push_back(compared[i]);
    }
    return true;
  }

  // Replaces EXISTS and scalar subqueries in an expression by columns of what is joined.
  bool replace(Json& node, Json& expression) {
    if (!expression.is_structured()) return true;
    if (!is_class(expression, "SUBQUERY")) {
      return std::all_of(expression.begin(), expression.end(),
                         [&](Json& below) { return replace(node, below); });
    }
    const std::string written = text_of(expression, "alias");
    const bool not_exists = is_subquery(expression, "NOT_EXISTS");
    if (!not_exists && !is_subquery(expression, "EXISTS") && !is_subquery(expression, "SCALAR"))
      return false;
    Inner inner;
    if (!take_inner(expression, &inner) || inner.inside.empty()) return false;
    std::string text;
    if (is_subquery(expression, "SCALAR")) {
      if (!scalar_join(node, inner, &text)) return false;
    } else {
      if (aggregates(inner)) return false;
      const std::string alias = join(node, distinct_part(inner), "LEFT", inner);
      text = fmt::format("{}.m IS {}NULL", alias, not_exists ? "" : "NOT ");
    }
    expression = expression_of(text, written);
    return failure_.ok();
  }

  // One row for each combination of values; for others the aggregates are those of no rows.
  bool scalar_join(Json& node, const Inner& inner, std::string* text) {
    const Json& list = child(inner.node, "select_list");
    if (list.size() != 1 || is_class(list[0], "STAR") || !aggregates(inner)) return false;
    Json grouped = inner.node;
    Json columns = Json::array(), set = Json::array();
    for (const Json& expression : inner.inside) {
      Json item = expression;
      item["alias"] = "";
      set.push_back(grouped["group_expressions"].size());
      grouped["group_expressions"].push_back(item);
      item["alias"] = fmt::format("c{}", columns.size());
      columns.push_back(std::move(item));
    }
    grouped["group_sets"] = Json::array({set});
    Json value = list[0];
    value["alias"] = "v";
    columns.push_back(value);
    columns.push_back(expression_of("1", "m"));
    grouped["select_list"] = std::move(columns);
    Json of_nothing = list[0];
    of_nothing["alias"] = "";
    aggregates_of_nothing(of_nothing);
    auto nothing = parser_.print(of_nothing);
    if (!nothing.ok()) {
      failure_ = nothing.error();
      return false;
    }
    const std::string alias = join(node, add_part(grouped), "LEFT", inner);
    *text = fmt::format("CASE WHEN {0}.m IS NULL THEN {1} ELSE {0}.v END", alias, nothing.value());
    return true;
  }

  void aggregates_of_nothing(Json& node) {
    if (!node.is_structured()) return;
    const std::string name = lower(text_of(node, "function_name"));
    if (is_class(node, "FUNCTION") && functions_.is_aggregate(name)) {
      const bool counts = name == "count" || name == "count_star" || name == "count_if";
      node = expression_of(counts ? "CAST(0 AS BIGINT)" : "NULL", "");
      return;
    }
    for (Json& below : node) aggregates_of_nothing(below);
  }

  Json expression_of(const std::string& sql, const std::string& alias) {
    auto parsed = parser_.parse("SELECT " + sql);
    if (!parsed.ok()) {
      failure_ = parsed.error();
      return nullptr;
    }
    Json expression = child(*parsed, "select_list")[0];
    expression["alias"] = alias;
    return expression;
  }

  SqlParser& parser_;
  const FunctionCatalog& functions_;
  const BoundSelect& select_;
  const NamePart& name_part_;
  Outline outline_;
  Status failure_;
};

}  // namespace

Result<std::optional<Outline>> take_predicates(SqlParser& parser, const FunctionCatalog& functions,
                                               const BoundSelect& select, const Json& node,
                                               const NamePart& name_part) {
  return PredicateTaker(parser, functions, select, name_part).run(node);
}

}  // namespace pgweir::views
