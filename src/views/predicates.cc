#include "views/predicates.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/keyed_plan.h"
#include "views/outline_builder.h"
#include "views/scope.h"
#include "views/select_tree.h"

namespace pgweir::views {

using duck::quote_identifier;

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

// What an outer value is compared with, as a column of a part.
std::string column_name(std::size_t number) {
  return fmt::format("pgweir_c{}", number);
}

// The outer values that a subquery is computed for, as a table in it.
constexpr const char* kOuterValues = "pgweir_outer";

class PredicateTaker {
 public:
  PredicateTaker(SqlParser& parser, const FunctionCatalog& functions, const BoundSelect& select,
                 const NamePart& name_part)
      : functions_(functions),
        select_(select),
        outer_(select.definition, select.relations, select.windows),
        builder_(parser, name_part) {}

  Result<std::optional<Outline>> run(Json node) {
    if (text_of(node, "type") != "SELECT_NODE") return std::optional<Outline>();
    if (has_subquery(child(node, "having"))) return builder_.result(above_groups(node));
    const bool taken = outside(node) && qualify_stars(node) && conjuncts(node) && items(node) &&
                       !has_subquery(node) && !builder_.outline().parts.empty();
    if (taken) builder_.outline().sql = builder_.printed(node);
    return builder_.result(taken);
  }

 private:
  // A subquery whose conditions that name outer columns are equalities.
  struct Inner {
    Json node;                 // without these conditions
    std::vector<Json> inside;  // equal to
    std::vector<Json> outside;
  };

  // HAVING n > (SELECT ...): the groups become a part, of whose rows this is a condition.
  bool above_groups(Json& node) {
    std::vector<Json> found;
    bool alone = true;
    const auto note = [&](const Json& below) {
      if (is_class(below, "SUBQUERY")) {
        const auto sql = builder_.parser().print_select(child(child(below, "subquery"), "node"));
        alone = alone && sql.ok() && builder_.parser().describe(sql.value()).ok();
        return false;
      }
      const bool value =
          is_class(below, "COLUMN_REF") ||
          (is_class(below, "FUNCTION") && functions_.is_aggregate(text_of(below, "function_name")));
      if (value && std::find(found.begin(), found.end(), below) == found.end())
        found.push_back(below);
      return !value;
    };
    Json having = child(node, "having");
    walk(having, note);
    if (!alone || text_of(node, "aggregate_handling") != "STANDARD_HANDLING" ||
        !child(node, "qualify").is_null())
      return false;
    std::vector<std::string> names, shown;
    for (const auto& column : select_.columns) shown.push_back(column.name);
    names = shown;
    for (const Json& value : found) {
      names.push_back(fmt::format("pgweir_h{}", names.size()));
      Json item = value;
      item["alias"] = names.back();
      node["select_list"].push_back(std::move(item));
      replace_equal(having, value, make_column_ref({names.back()}));
    }
    node["having"] = nullptr;
    const std::string part = builder_.add_part(node, names);
    Json list = Json::array();
    for (const std::string& name : shown) list.push_back(make_column_ref({name}));
    Json rest = select_node(std::move(list), table_node(part, "pgweir_groups"));
    rest["where_clause"] = std::move(having);
    builder_.outline().sql = builder_.printed(rest);
    return true;
  }

  // The names of the outer FROM, before anything is joined to it.
  bool outside(Json& node) {
    Json& from = node["from_table"];
    without_commas(from);
    from_ = from;
    if (!outer_.add_any_from(from)) return false;
    // What is joined stands behind the conditions: without them FROM may be far more rows.
    if (text_of(from, "type") != "JOIN" || text_of(from, "join_type") != "INNER" ||
        text_of(from, "ref_type") != "REGULAR" || !child(from, "using_columns").empty() ||
        child(node, "where_clause").is_null())
      return true;
    std::vector<Json> written, kept, moved = {child(from, "condition")};
    split_conjuncts(child(node, "where_clause"), &written);
    for (const Json& conjunct : written) {
      bool known = !has_subquery(conjunct);
      walk(conjunct, [&](const Json& below) {
        known = known && (!is_class(below, "COLUMN_REF") || outer_.find(names_of(below)));
        return known;
      });
      (known ? moved : kept).push_back(conjunct);
    }
    from["condition"] = conjunction_of(moved);
    node["where_clause"] = conjunction_of(kept);
    return true;
  }

  // The table of the outer FROM of which alone the expressions name columns.
  std::optional<Json> outer_table_of(const std::vector<Json>& expressions) const {
    std::optional<std::size_t> only;
    bool known = true;
    for (const Json& expression : expressions) {
      walk(expression, [&](const Json& node) {
        if (!is_class(node, "COLUMN_REF")) return true;
        const auto place = outer_.find(names_of(node));
        known = known && place && (!only || *only == place->input);
        if (place) only = place->input;
        return true;
      });
    }
    if (!known || !only) return std::nullopt;
    std::size_t next = 0;
    return table_at(from_, *only, &next);
  }

  static std::optional<Json> table_at(const Json& from, std::size_t wanted, std::size_t* next) {
    if (text_of(from, "type") != "JOIN")
      return (*next)++ == wanted ? std::optional(from) : std::nullopt;
    auto left = table_at(child(from, "left"), wanted, next);
    return left ? left : table_at(child(from, "right"), wanted, next);
  }

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
      return child(from, "using_columns").empty() && text_of(from, "ref_type") != "NATURAL" &&
             leaves(child(from, "left"), names) && leaves(child(from, "right"), names);
    }
    names->push_back(text_of(from, "alias"));
    return !names->back().empty();
  }

  bool conjuncts(Json& node) {
    if (child(node, "where_clause").is_null()) return true;
    std::vector<Json> written, kept;
    split_conjuncts(child(node, "where_clause"), &written);
    for (Json& conjunct : written) {
      if (has_subquery(conjunct)) {
        bool negated = false;
        const Json& what = under_not(conjunct, &negated);
        const bool holds = is_subquery(what, "NOT_EXISTS") ? negated : !negated;
        if (holds && semi_join(node, what)) continue;
        if (!replace(node, conjunct)) return false;
      }
      kept.push_back(std::move(conjunct));
    }
    node["where_clause"] = conjunction_of(kept);
    return builder_.ok();
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
    std::vector<Json> written, kept, unequal;
    if (!child(node, "where_clause").is_null())
      split_conjuncts(child(node, "where_clause"), &written);
    for (Json& conjunct : written) {
      if (side_of(scope, conjunct) == Side::kInside) {
        kept.push_back(std::move(conjunct));
        continue;
      }
      if (is_unequal(conjunct)) {
        unequal.push_back(std::move(conjunct));
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
    if (!unequal.empty() && !meet_outer(scope, unequal, &kept, inner)) return false;
    inner->node["where_clause"] = conjunction_of(kept);
    return true;
  }

  static bool is_unequal(const Json& conjunct) {
    const std::string kind = text_of(conjunct, "type");
    return kind == "COMPARE_NOTEQUAL" || kind == "COMPARE_LESSTHAN" ||
           kind == "COMPARE_LESSTHANOREQUALTO" || kind == "COMPARE_GREATERTHAN" ||
           kind == "COMPARE_GREATERTHANOREQUALTO";
  }

  // Conditions that are no equalities are met inside: the different outer values that the subquery
  // names are joined to its FROM, and it is found by all of them. A comparison with NULL does not
  // hold, so that outer rows with a NULL may go without.
  bool meet_outer(const Scope& scope, std::vector<Json>& unequal, std::vector<Json>* kept,
                  Inner* inner) {
    std::vector<Json> values = inner->outside;
    for (Json& conjunct : unequal) {
      for (const char* side : {"left", "right"}) {
        const Side named = side_of(scope, child(conjunct, side));
        if (named == Side::kBoth) return false;
        if (named == Side::kOutside) values.push_back(child(conjunct, side));
      }
    }
    for (Json& value : values) strip_offsets(value);
    const auto table = outer_table_of(values);
    if (!table) return false;
    Json list = Json::array();
    std::vector<Json> conditions = unequal;
    for (std::size_t i = 0; i < inner->outside.size(); ++i)
      conditions.push_back(equality(inner->inside[i], inner->outside[i]));
    for (Json& condition : conditions) strip_offsets(condition);
    inner->inside.clear();
    inner->outside.clear();
    std::vector<Json> each;
    for (const Json& value : values) {
      if (std::find(each.begin(), each.end(), value) != each.end()) continue;
      each.push_back(value);
      const std::string name = fmt::format("pgweir_d{}", list.size());
      const Json inside = make_column_ref({kOuterValues, name});
      for (Json& condition : conditions)
        for (const char* side : {"left", "right"})
          if (condition[side] == value) condition[side] = inside;
      Json item = value;
      item["alias"] = name;
      list.push_back(std::move(item));
      inner->inside.push_back(inside);
      inner->outside.push_back(value);
    }
    Json distinct = select_node(std::move(list), *table);
    distinct["modifiers"] = distinct_modifiers();
    restore_offsets(distinct);
    const std::string part = builder_.add_part(builder_.printed(distinct));
    for (Json& condition : conditions) {
      restore_offsets(condition);
      kept->push_back(std::move(condition));
    }
    for (Json& value : inner->outside) restore_offsets(value);
    Json& from = inner->node["from_table"];
    without_commas(from);
    const Json written = from;
    from = join_node(written, table_node(part, kOuterValues), "INNER", nullptr);
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

  // The subquery as a part of its own, with its first columns called pgweir_v0 ...; nothing when it
  // names outer columns.
  std::optional<Inner> take_alone(const Json& subquery, std::size_t columns) {
    const Json& query = child(child(subquery, "subquery"), "node");
    const auto sql = builder_.parser().print_select(query);
    if (!sql.ok()) return std::nullopt;
    const auto described = builder_.parser().describe(sql.value());
    if (!described.ok() || described->size() < columns) return std::nullopt;
    std::vector<std::string> names;
    Json list = Json::array();
    for (std::size_t i = 0; i < columns; ++i) {
      names.push_back(fmt::format("pgweir_v{}", i));
      list.push_back(make_column_ref({names.back()}));
    }
    const std::string part = builder_.add_part(query, names);
    Inner inner;
    inner.node = select_node(std::move(list), table_node(part, "pgweir_alone"));
    return inner;
  }

  bool aggregates(const Inner& inner) const {
    return has_aggregates(functions_, child(inner.node, "select_list"));
  }

  // --- Joins ---

  // The subquery's `inside` columns, each combination once, and pgweir_found, which is 1.
  std::string distinct_part(const Inner& inner) {
    Json node = inner.node;
    Json list = Json::array();
    for (const Json& expression : inner.inside) {
      Json item = expression;
      item["alias"] = column_name(list.size());
      list.push_back(std::move(item));
    }
    list.push_back(builder_.expression_of("1", "pgweir_found"));
    node["select_list"] = std::move(list);
    node["modifiers"] = distinct_modifiers();
    return builder_.add_part(builder_.printed(node));
  }

  // The subquery in groups by its `inside` columns, which are its SELECT list.
  static Json grouped(const Inner& inner) {
    Json node = inner.node;
    Json columns = Json::array(), set = Json::array();
    for (const Json& expression : inner.inside) {
      Json item = expression;
      item["alias"] = "";
      set.push_back(node["group_expressions"].size());
      node["group_expressions"].push_back(item);
      item["alias"] = column_name(columns.size());
      columns.push_back(std::move(item));
    }
    if (!set.empty()) node["group_sets"] = Json::array({set});
    node["select_list"] = std::move(columns);
    return node;
  }

  // Joins a part to FROM by the equalities; returns its alias. Without any the part has one row.
  std::string join(Json& node, const std::string& part, const char* kind, const Inner& inner) {
    const std::string alias = fmt::format("pgweir_s{}", builder_.outline().parts.size());
    std::vector<Json> equalities;
    for (std::size_t i = 0; i < inner.outside.size(); ++i)
      equalities.push_back(equality(inner.outside[i], make_column_ref({alias, column_name(i)})));
    const Json from = node["from_table"];
    node["from_table"] = join_node(from, table_node(part, alias),
                                   equalities.empty() ? "INNER" : kind, conjunction_of(equalities));
    return alias;
  }

  // Each combination of values stands once in the part, so a join doubles no row.
  bool semi_join(Json& node, const Json& subquery) {
    const bool compares = is_subquery(subquery, "ANY");
    if (!compares && !is_subquery(subquery, "EXISTS") && !is_subquery(subquery, "NOT_EXISTS"))
      return false;
    if (compares && (text_of(subquery, "comparison_type") != "COMPARE_EQUAL" ||
                     has_subquery(child(subquery, "child"))))
      return false;
    Inner inner;
    const bool taken = take_inner(subquery, &inner) && !aggregates(inner);
    if (!compares) {
      if (!taken || inner.inside.empty()) return false;
    } else {
      if (!taken) {
        auto alone = take_alone(subquery, compared_in(subquery).size());
        if (!alone) return false;
        inner = std::move(*alone);
      }
      if (!add_compared(subquery, &inner)) return false;
    }
    join(node, distinct_part(inner), "INNER", inner);
    return true;
  }

  // What stands left of IN, one or several values.
  static std::vector<Json> compared_in(const Json& subquery) {
    const Json& compared = child(subquery, "child");
    if (!is_class(compared, "FUNCTION") || text_of(compared, "function_name") != "row")
      return {compared};
    const Json& row = child(compared, "children");
    return {row.begin(), row.end()};
  }

  // The two sides of IN become equalities.
  static bool add_compared(const Json& subquery, Inner* inner) {
    const std::vector<Json> compared = compared_in(subquery);
    const Json& list = child(inner->node, "select_list");
    if (list.size() != compared.size()) return false;
    for (std::size_t i = 0; i < compared.size(); ++i) {
      if (is_class(list[i], "STAR")) return false;
      inner->inside.push_back(list[i]);
      inner->outside.push_back(compared[i]);
    }
    return true;
  }

  // --- Values ---

  // Replaces subqueries in an expression by columns of what is joined.
  bool replace(Json& node, Json& expression) {
    if (!expression.is_structured()) return true;
    if (!is_class(expression, "SUBQUERY")) {
      return std::all_of(expression.begin(), expression.end(),
                         [&](Json& below) { return replace(node, below); });
    }
    const std::string written = text_of(expression, "alias");
    std::string text;
    bool taken = false;
    if (is_subquery(expression, "SCALAR"))
      taken = scalar(node, expression, &text);
    else if (is_subquery(expression, "ANY"))
      taken = contains(node, expression, &text);
    else if (is_subquery(expression, "EXISTS") || is_subquery(expression, "NOT_EXISTS"))
      taken = exists(node, expression, &text);
    if (!taken || !builder_.ok()) return false;
    expression = builder_.expression_of(text, written);
    return builder_.ok();
  }

  bool exists(Json& node, const Json& subquery, std::string* text) {
    const bool negated = is_subquery(subquery, "NOT_EXISTS");
    Inner inner;
    if (take_inner(subquery, &inner) && !inner.inside.empty() && !aggregates(inner)) {
      const std::string alias = join(node, distinct_part(inner), "LEFT", inner);
      *text = fmt::format("{}.pgweir_found IS {}NULL", alias, negated ? "" : "NOT ");
      return true;
    }
    auto alone = take_alone(subquery, 0);
    if (!alone) return false;
    alone->node["select_list"].push_back(builder_.expression_of("count(*)", "pgweir_rows"));
    const std::string alias =
        join(node, builder_.add_part(builder_.printed(alone->node)), "INNER", Inner());
    *text = fmt::format("{}.pgweir_rows {} 0", alias, negated ? "=" : ">");
    return true;
  }

  // x IN (SELECT y ...) as a value. Where no y equals x it is NULL when x, or some y, is; but false
  // when there is no y at all.
  bool contains(Json& node, const Json& subquery, std::string* text) {
    const std::vector<Json> compared = compared_in(subquery);
    if (text_of(subquery, "comparison_type") != "COMPARE_EQUAL" || compared.size() != 1 ||
        has_subquery(compared[0]))
      return false;
    Inner inner;
    if (!take_inner(subquery, &inner) || aggregates(inner)) {
      auto alone = take_alone(subquery, 1);
      if (!alone) return false;
      inner = std::move(*alone);
    }
    Inner equal = inner;
    if (!add_compared(subquery, &equal)) return false;
    Json counts = grouped(inner);
    // A constant cannot be joined by; how many values equal it is counted with the others.
    const bool constant = is_constant(compared[0]);
    std::string found;
    if (constant) {
      Json equals = builder_.expression_of("count(*) FILTER (WHERE true)", "pgweir_equal");
      if (!builder_.ok()) return false;
      equals["filter"] = equality(equal.inside.back(), compared[0]);
      counts["select_list"].push_back(std::move(equals));
    } else {
      found = join(node, distinct_part(equal), "LEFT", equal) + ".pgweir_found IS NOT NULL";
    }
    counts["select_list"].push_back(builder_.expression_of("count(*)", "pgweir_rows"));
    Json values = builder_.expression_of("count(a)", "pgweir_values");
    if (!builder_.ok()) return false;
    values["children"][0] = equal.inside.back();
    values["children"][0]["alias"] = "";
    counts["select_list"].push_back(std::move(values));
    const std::string all = join(node, builder_.add_part(builder_.printed(counts)), "LEFT", inner);
    if (constant) found = all + ".pgweir_equal > 0";
    *text = fmt::format(
        "CASE WHEN {0} THEN true WHEN coalesce({1}.pgweir_rows, 0) = 0 "
        "THEN false WHEN {1}.pgweir_values < {1}.pgweir_rows OR ({2}) IS NULL THEN NULL ELSE false "
        "END",
        found, all, builder_.printed_expression(compared[0]));
    return true;
  }

  static bool is_constant(const Json& expression) {
    bool constant = true;
    walk(expression, [&](const Json& node) {
      constant = constant && !is_class(node, "COLUMN_REF");
      return constant;
    });
    return constant;
  }

  bool scalar(Json& node, const Json& subquery, std::string* text) {
    Inner inner;
    if (take_inner(subquery, &inner) && !inner.inside.empty())
      return scalar_by_keys(node, inner, text);
    auto alone = take_alone(subquery, 1);
    if (!alone) return false;
    std::string part = builder_.outline().parts.back().name;
    const bool one_row = always_one_row(child(child(subquery, "subquery"), "node"));
    if (!one_row) {
      // More than one row is an error, as in PostgreSQL.
      part = builder_.add_part(fmt::format("SELECT (SELECT pgweir_v0 FROM main.{}) AS pgweir_v0",
                                           quote_identifier(part)),
                               Extent::kOneRow);
    }
    *text = join(node, part, "INNER", Inner()) + ".pgweir_v0";
    return true;
  }

  // Aggregates without GROUP BY.
  bool always_one_row(const Json& query) const {
    return text_of(query, "type") == "SELECT_NODE" && child(query, "modifiers").empty() &&
           child(query, "group_expressions").empty() && child(query, "group_sets").empty() &&
           child(query, "having").is_null() && child(query, "qualify").is_null() &&
           has_aggregates(functions_, child(query, "select_list"));
  }

  // One row for each combination of values; for others the aggregates are those of no rows.
  bool scalar_by_keys(Json& node, const Inner& inner, std::string* text) {
    const Json& list = child(inner.node, "select_list");
    if (list.size() != 1 || is_class(list[0], "STAR") || !aggregates(inner)) return false;
    Json by_keys = grouped(inner);
    Json value = list[0];
    value["alias"] = "pgweir_v0";
    by_keys["select_list"].push_back(value);
    by_keys["select_list"].push_back(builder_.expression_of("1", "pgweir_found"));
    Json of_nothing = list[0];
    aggregates_of_nothing(of_nothing);
    const std::string nothing = builder_.printed_expression(of_nothing);
    const std::string alias =
        join(node, builder_.add_part(builder_.printed(by_keys)), "LEFT", inner);
    *text = fmt::format("CASE WHEN {0}.pgweir_found IS NULL THEN {1} ELSE {0}.pgweir_v0 END", alias,
                        nothing);
    return true;
  }

  void aggregates_of_nothing(Json& node) {
    if (!node.is_structured()) return;
    const std::string name = lower(text_of(node, "function_name"));
    if (is_class(node, "FUNCTION") && functions_.is_aggregate(name)) {
      const bool counts = name == "count" || name == "count_star" || name == "count_if";
      node = builder_.expression_of(counts ? "CAST(0 AS BIGINT)" : "NULL");
      return;
    }
    for (Json& below : node) aggregates_of_nothing(below);
  }

  const FunctionCatalog& functions_;
  const BoundSelect& select_;
  Scope outer_;
  Json from_;  // the outer one
  OutlineBuilder builder_;
};

}  // namespace

Result<std::optional<Outline>> take_predicates(SqlParser& parser, const FunctionCatalog& functions,
                                               const BoundSelect& select, const Json& node,
                                               const NamePart& name_part) {
  return PredicateTaker(parser, functions, select, name_part).run(node);
}

}  // namespace pgweir::views
