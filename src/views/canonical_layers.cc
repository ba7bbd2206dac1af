#include "views/canonical_layers.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/aggregate_layers.h"
#include "views/canonical_select.h"
#include "views/outer_joins.h"
#include "views/select_tree.h"

namespace pgweir::views {
namespace {

class CanonicalTaker {
 public:
  CanonicalTaker(SqlParser& parser, const FunctionCatalog& functions, const BoundSelect& select,
                 const NamePart& name_part)
      : select_(parser, functions, select, name_part) {}

  Result<std::optional<Outline>> run(const Json& node) {
    return select_.builder.result(layers(node));
  }

 private:
  bool layers(const Json& node) {
    if (!select_.read(node)) return false;
    if (select_.grouped && select_.has_windows) return below_windows();
    if (select_.has_windows && top_rows()) return true;
    if (select_.grouped || select_.has_windows) {
      if (below_groups()) return true;
      if (!select_.sets.empty()) return take_grouping_sets(select_);
      return select_.grouped && select_.groups.empty() && take_overall_aggregates(select_);
    }
    return inner_joins() || outer_joins() || expression_keys();
  }

  static bool is_plain_table(const Json& from) { return text_of(from, "type") == "BASE_TABLE"; }

  // Groups and window functions over one plain relation, by plain columns of it.
  bool below_groups() {
    std::vector<Json> computed;
    const auto note = [&](const Json& key) {
      if (!select_.is_plain(key) &&
          std::find(computed.begin(), computed.end(), key) == computed.end())
        computed.push_back(key);
    };
    for (const Json& group : select_.groups) note(group);
    const auto partitions = [&](const Json& node) {
      if (is_class(node, "WINDOW"))
        for (const Json& partition : child(node, "partitions")) note(partition);
      return true;
    };
    for (const Json& item : select_.items) walk(item, partitions);
    walk(select_.qualify, partitions);
    if (is_plain_table(select_.from) && select_.where.is_null() && computed.empty()) return false;
    std::vector<std::size_t> leaves;
    select_.leaves_of(select_.from, &leaves);
    const Json where = select_.where;
    select_.where = nullptr;
    std::vector<const Json*> named;
    for (const Json* each : select_.all_expressions()) named.push_back(each);
    const std::string part = select_.part_of(select_.from, where, select_.places_in(named, leaves),
                                             computed, "p0", select_.all_expressions());
    select_.print_rest(table_node(part, "p0"));
    return true;
  }

  // The groups become a part, over which the window functions stand.
  bool below_windows() {
    std::vector<Json> computed = select_.groups;
    const auto note = [&](const Json& node) {
      if (!select_.is_aggregate(node) && text_of(node, "type") != "GROUPING_FUNCTION") return true;
      if (std::find(computed.begin(), computed.end(), node) == computed.end())
        computed.push_back(node);
      return false;
    };
    for (const Json& item : select_.items) walk(item, note);
    walk(select_.qualify, note);
    Json list = Json::array();
    std::vector<Json*> outside = {&select_.qualify};
    for (Json& item : select_.items) outside.push_back(&item);
    for (const Json& expression : computed) {
      Json item = expression;
      const std::string name = fmt::format("c{}", list.size());
      item["alias"] = name;
      list.push_back(std::move(item));
      for (Json* each : outside)
        replace_equal(*each, expression, select_.stripped_reference("p0", name));
    }
    if (list.empty()) return false;
    Json groups = select_node(std::move(list), select_.from);
    groups["where_clause"] = select_.where;
    groups["having"] = select_.having;
    select_.put_groups(groups);
    const std::string part = select_.builder.add_part(select_.print_canonical(std::move(groups)));
    select_.where = select_.having = nullptr;
    select_.groups.clear();
    select_.sets.clear();
    select_.print_rest(table_node(part, "p0"));
    return true;
  }

  static bool is_outer(const Json& from) {
    return text_of(from, "type") == "JOIN" && text_of(from, "join_type") != "INNER";
  }

  // What WHERE makes inner joins of.
  bool inner_joins() {
    if (!reduce_outer_joins(select_.scope, select_.where, select_.from)) return false;
    select_.print_rest(select_.from);
    return true;
  }

  // Outer joins below others become parts, and so does what an outer join joins but is no table.
  bool outer_joins() {
    bool found = false;
    if (is_outer(select_.from)) {
      for (const char* side : {"left", "right"}) {
        Json& below = child_of(select_.from, side);
        if (is_plain_table(below)) continue;
        // When every row of this side is in the result.
        const bool is_kept =
            text_of(select_.from, "join_type") == (side == std::string("left") ? "LEFT" : "RIGHT");
        take_from(below, &found, is_kept ? taken_conditions(below, {&select_.where}) : Json());
      }
      if (!found && same_relations()) take_from(child_of(select_.from, "right"), &found);
    } else {
      std::vector<Json*> conditions = {&select_.where};
      take_outer(select_.from, &conditions, &found);
    }
    if (!found) return false;
    select_.print_rest(select_.from);
    return true;
  }

  bool same_relations() const {
    return select_.scope.inputs().size() == 2 &&
           select_.scope.inputs()[0].relation == select_.scope.inputs()[1].relation;
  }

  // `conditions`: of WHERE, and of the inner joins behind `from`.
  void take_outer(Json& from, std::vector<Json*>* conditions, bool* found) {
    if (is_outer(from)) {
      take_from(from, found, taken_conditions(from, *conditions));
    } else if (text_of(from, "type") == "JOIN") {
      conditions->push_back(&child_of(from, "condition"));
      take_outer(child_of(from, "left"), conditions, found);
      take_outer(child_of(from, "right"), conditions, found);
      conditions->pop_back();
    }
  }

  // What of the conditions goes by this part of FROM alone: it holds before the joins as behind
  // them. Requires that no join behind it adds rows without one of it.
  Json taken_conditions(const Json& below, const std::vector<Json*>& conditions) const {
    std::vector<std::size_t> leaves;
    select_.leaves_of(below, &leaves);
    const auto goes_by_it = [&](const Json& conjunct) {
      bool within = true, any = false;
      walk(conjunct, [&](const Json& node) {
        const auto place = select_.scope.place_of_reference(node);
        any = any || place;
        within = within &&
                 (!place || std::find(leaves.begin(), leaves.end(), place->input) != leaves.end());
        return within;
      });
      return any && within;
    };
    std::vector<Json> taken;
    for (Json* condition : conditions) {
      if (condition->is_null()) continue;
      std::vector<Json> written, kept;
      split_conjuncts(*condition, &written);
      for (Json& conjunct : written)
        (goes_by_it(conjunct) ? taken : kept).push_back(std::move(conjunct));
      *condition = conjunction_of(kept);
      if (kept.empty() && condition != &select_.where) *condition = true_node();
    }
    return conjunction_of(taken);
  }

  // Makes a part of a subtree of FROM.
  void take_from(Json& from, bool* found, const Json& where = nullptr) {
    std::vector<std::size_t> leaves;
    select_.leaves_of(from, &leaves);
    const Json taken = from;
    const std::string alias = fmt::format("p{}", select_.builder.outline().parts.size());
    from = Json();  // so that its own conditions stay as they are
    std::vector<Json*> expressions = select_.all_expressions();
    conditions_of(select_.from, &expressions);
    std::vector<const Json*> named(expressions.begin(), expressions.end());
    const std::string part =
        select_.part_of(taken, where, select_.places_in(named, leaves), {}, alias, expressions);
    from = table_node(part, alias);
    *found = true;
  }

  static void conditions_of(Json& from, std::vector<Json*>* conditions) {
    if (text_of(from, "type") != "JOIN") return;
    conditions->push_back(&child_of(from, "condition"));
    conditions_of(child_of(from, "left"), conditions);
    conditions_of(child_of(from, "right"), conditions);
  }

  // --- The first rows of all ---

  // row_number() OVER (ORDER BY ...) <= 10: what is behind the first rows needs no look.
  bool top_rows() {
    Json orders;
    bool alike = true;
    const auto look = [&](const Json& node) {
      if (!is_class(node, "WINDOW")) return true;
      const std::string kind = text_of(node, "type");
      alike = alike && (kind == "WINDOW_ROW_NUMBER" || kind == "WINDOW_RANK") &&
              child(node, "partitions").empty() && !child(node, "orders").empty() &&
              (orders.is_null() || orders == child(node, "orders"));
      orders = child(node, "orders");
      return true;
    };
    for (const Json& item : select_.items) walk(item, look);
    walk(select_.qualify, look);
    const auto count = ranks_most();
    if (!alike || !count || *count > kFirstRowsMax) return false;
    std::vector<Json> computed;
    for (const Json& order : orders) {
      const Json& key = child(order, "expression");
      if (!select_.is_plain(key) &&
          std::find(computed.begin(), computed.end(), key) == computed.end())
        computed.push_back(key);
    }
    std::vector<std::size_t> leaves;
    select_.leaves_of(select_.from, &leaves);
    const Json where = select_.where;
    select_.where = nullptr;
    std::vector<Json*> expressions = select_.all_expressions();
    expressions.push_back(&orders);
    const std::vector<const Json*> named(expressions.begin(), expressions.end());
    const std::string all = select_.part_of(select_.from, where, select_.places_in(named, leaves),
                                            computed, "p0", expressions);
    std::vector<FirstRows::Order> order;
    for (const Json& by : orders) {
      const auto names = names_of(child(by, "expression"));
      if (names.size() != 2) {
        select_.builder.fail(error(Code::kInvalid, "an order that is no column"));
        return false;
      }
      order.push_back({names[1], direction_of(by)});
    }
    select_.print_rest(
        table_node(select_.builder.add_first_rows(all, std::move(order), *count), "p0"));
    select_.builder.outline().extent = Extent::kFewRows;
    return true;
  }

  // The greatest rank that QUALIFY lets through.
  std::optional<std::int64_t> ranks_most() const {
    std::vector<Json> conjuncts;
    if (!select_.qualify.is_null()) split_conjuncts(select_.qualify, &conjuncts);
    for (const Json& conjunct : conjuncts) {
      const std::string kind = text_of(conjunct, "type");
      const auto most = integer_of(child(conjunct, "right"));
      if (!is_class(child(conjunct, "left"), "WINDOW") || !most) continue;
      if (kind == "COMPARE_LESSTHANOREQUALTO" || kind == "COMPARE_EQUAL") return *most;
      if (kind == "COMPARE_LESSTHAN") return *most;
    }
    return std::nullopt;
  }

  // --- Joins by expressions ---

  // ON l.a = lower(r.b): the expression becomes a column of a part.
  bool expression_keys() {
    std::vector<Json> conjuncts;
    // Behind an outer join an expression may be something else than before it.
    if (!select_.where.is_null() && !is_outer(select_.from))
      split_conjuncts(select_.where, &conjuncts);
    std::vector<Json*> conditions;
    conditions_of(select_.from, &conditions);
    for (const Json* condition : conditions)
      if (!condition->is_null()) split_conjuncts(*condition, &conjuncts);
    std::vector<std::vector<Json>> computed(select_.scope.inputs().size());
    bool found = false;
    for (const Json& conjunct : conjuncts) {
      if (!select_.scope.is_expression_key(conjunct)) continue;
      for (const char* side : {"left", "right"}) {
        const Json& expression = child(conjunct, side);
        if (select_.is_plain(expression)) continue;
        auto& own = computed[*select_.scope.only_input_of(expression)];
        if (std::find(own.begin(), own.end(), expression) == own.end()) own.push_back(expression);
        found = true;
      }
    }
    if (!found) return false;
    std::vector<Json*> leaves;
    leaves_in(select_.from, &leaves);
    for (std::size_t input = 0; input < leaves.size(); ++input) {
      if (computed[input].empty()) continue;
      const Json taken = *leaves[input];
      std::vector<Json*> expressions = select_.all_expressions();
      for (Json* condition : conditions) expressions.push_back(condition);
      const std::vector<const Json*> named(expressions.begin(), expressions.end());
      const std::string alias = fmt::format("p{}", input);
      const std::string part =
          select_.part_of(taken, nullptr, select_.places_in(named, {input}), computed[input], alias,
                          expressions, is_outer(select_.from) ? &conditions : nullptr);
      *leaves[input] = table_node(part, alias);
    }
    select_.print_rest(select_.from);
    return true;
  }

  static void leaves_in(Json& from, std::vector<Json*>* leaves) {
    if (text_of(from, "type") == "JOIN") {
      leaves_in(child_of(from, "left"), leaves);
      leaves_in(child_of(from, "right"), leaves);
    } else {
      leaves->push_back(&from);
    }
  }

  CanonicalSelect select_;
};

}  // namespace

Result<std::optional<Outline>> take_canonical_layer(SqlParser& parser,
                                                    const FunctionCatalog& functions,
                                                    const BoundSelect& select, const Json& node,
                                                    const NamePart& name_part) {
  return CanonicalTaker(parser, functions, select, name_part).run(node);
}

}  // namespace pgweir::views
