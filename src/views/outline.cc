#include "views/outline.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/canonical_layers.h"
#include "views/keyed_plan.h"
#include "views/outline_builder.h"
#include "views/predicates.h"
#include "views/scope.h"
#include "views/select_tree.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

class Taker {
 public:
  Taker(SqlParser& parser, const FunctionCatalog& functions, const BoundSelect& select,
        const NamePart& name_part)
      : functions_(functions),
        select_(select),
        name_part_(name_part),
        builder_(parser, name_part) {}

  Result<std::optional<Outline>> run() {
    Json node = select_.definition.node;
    if (!builder_.parser().prints_back(node)) {
      // As text, a comma in front of another join would be joined behind it.
      every_join(node);
      if (!builder_.parser().prints_back(node)) return std::optional<Outline>();
    }
    qualify_tables(node, select_);
    const bool taken =
        queries(node) || limit(node) || set_operation(node) || subqueries(node) || distinct(node);
    if (taken || !builder_.ok()) return builder_.result(taken);
    TRY_ASSIGN(auto predicates,
               take_predicates(builder_.parser(), functions_, select_, node, name_part_));
    if (predicates) return predicates;
    return take_canonical_layer(builder_.parser(), functions_, select_, node, name_part_);
  }

 private:
  static void every_join(Json& node) {
    if (!node.is_structured()) return;
    if (node.is_object() && text_of(node, "type") == "JOIN") without_commas(node);
    for (Json& below : node) every_join(below);
  }

  static std::vector<std::string> texts_of(const Json& names) {
    std::vector<std::string> texts;
    for (const Json& name : names)
      if (name.is_string()) texts.push_back(name.get<std::string>());
    return texts;
  }

  std::vector<std::string> result_names() const {
    std::vector<std::string> names;
    for (const auto& column : select_.columns) names.push_back(column.name);
    return names;
  }

  // --- WITH ---

  bool queries(Json& node) {
    Json& map = child_of(child_of(node, "cte_map"), "map");
    if (!map.is_array() || map.empty()) return false;
    const Json entries = map;
    map = Json::array();
    std::vector<std::pair<std::string, std::string>> known;  // WITH's name, the part's
    for (const Json& entry : entries) {
      Json body = child(child(child(entry, "value"), "query"), "node");
      if (text_of(body, "type") == "RECURSIVE_CTE_NODE") return false;
      if (!read_parts(body, known)) return false;
      const std::string part =
          builder_.add_part(body, texts_of(child(child(entry, "value"), "aliases")));
      known.emplace_back(text_of(entry, "key"), part);
    }
    if (!read_parts(node, known)) return false;
    builder_.outline().sql = builder_.printed(node);
    return true;
  }

  // False when the names mean something else further down.
  static bool read_parts(Json& node,
                         const std::vector<std::pair<std::string, std::string>>& known) {
    if (!node.is_structured()) return true;
    if (node.is_object()) {
      for (const Json& entry : child(child(node, "cte_map"), "map")) {
        for (const auto& [name, part] : known)
          if (same_name(text_of(entry, "key"), name)) return false;
      }
      if (text_of(node, "type") == "BASE_TABLE" && text_of(node, "schema_name").empty()) {
        // The last of one name hides those before it.
        for (auto query = known.rbegin(); query != known.rend(); ++query) {
          if (!same_name(text_of(node, "table_name"), query->first)) continue;
          if (text_of(node, "alias").empty()) node["alias"] = query->first;
          node["schema_name"] = "main";
          node["table_name"] = query->second;
          break;
        }
      }
    }
    return std::all_of(node.begin(), node.end(),
                       [&](Json& below) { return read_parts(below, known); });
  }

  // --- LIMIT ---

  // The first rows, and some more, are kept as a part, and the LIMIT is taken of those.
  bool limit(Json& node) {
    std::optional<std::int64_t> count;
    std::int64_t skipped = 0;
    Json orders = Json::array(), modifiers = Json::array();
    bool distinct_on = false, distinct = false;
    for (const Json& modifier : child(node, "modifiers")) {
      const std::string kind = text_of(modifier, "type");
      if (kind == "LIMIT_MODIFIER") {
        count = integer_of(child(modifier, "limit"));
        if (!count) return false;
        const Json& offset = child(modifier, "offset");
        if (offset.is_null()) continue;
        const auto rows = integer_of(offset);
        if (!rows) return false;
        skipped = *rows;
        continue;
      }
      if (kind == "ORDER_MODIFIER") {
        orders = child(modifier, "orders");
        if (!distinct_on) continue;
      } else if (kind == "DISTINCT_MODIFIER") {
        distinct = true;
        distinct_on = !child(modifier, "distinct_on_targets").empty();
      } else {
        return false;
      }
      modifiers.push_back(modifier);
    }
    if (!count || *count < 0 || skipped < 0 || *count > kFirstRowsMax ||
        skipped > kFirstRowsMax - *count)
      return false;
    node["modifiers"] = std::move(modifiers);
    std::vector<FirstRows::Order> order;
    std::vector<std::string> names = result_names();
    for (const Json& by : orders) {
      const auto column =
          order_column(node, child(by, "expression"), distinct && !distinct_on, &names);
      if (!column) return false;
      order.push_back({*column, direction_of(by)});
    }
    // Rows that the order leaves open are put in one, so that the same ones stay.
    for (const std::string& name : result_names()) {
      const bool known = std::any_of(order.begin(), order.end(),
                                     [&](const auto& by) { return by.column == name; });
      if (!known) order.push_back({name, "ASC NULLS LAST"});
    }
    const std::string all = builder_.add_part(node, names);
    const std::string first = builder_.add_first_rows(all, order, *count + skipped);
    Outline& outline = builder_.outline();
    outline.sql = fmt::format("SELECT {} FROM main.{} ORDER BY {} LIMIT {} OFFSET {}",
                              names_of_columns(result_names()), quote_identifier(first),
                              order_text(order), *count, skipped);
    outline.extent = Extent::kFewRows;
    return true;
  }

  // The column of the result that an expression of ORDER BY is, which may be a new one.
  std::optional<std::string> order_column(Json& node, const Json& expression, bool distinct,
                                          std::vector<std::string>* names) {
    if (const auto ordinal = integer_of(expression)) {
      if (*ordinal < 1 || *ordinal > static_cast<std::int64_t>(select_.columns.size()))
        return std::nullopt;
      return select_.columns[static_cast<std::size_t>(*ordinal - 1)].name;
    }
    const auto called = names_of(expression);
    if (is_class(expression, "COLUMN_REF") && called.size() == 1) {
      for (const auto& column : select_.columns)
        if (same_name(column.name, called[0])) return column.name;
    }
    const bool by_all = text_of(node, "aggregate_handling") == "FORCE_AGGREGATES" &&
                        !has_aggregates(functions_, expression);
    if (text_of(node, "type") != "SELECT_NODE" || distinct || by_all ||
        is_class(expression, "STAR") || has_subquery(expression))
      return std::nullopt;
    Json item = expression;
    names->push_back(fmt::format("pgweir_o{}", names->size()));
    item["alias"] = names->back();
    child_of(node, "select_list").push_back(std::move(item));
    return names->back();
  }

  // --- UNION and its like ---

  bool set_operation(Json& node) {
    if (text_of(node, "type") != "SET_OPERATION_NODE" || !only_ordered(node)) return false;
    const std::string kind = text_of(node, "setop_type");
    const bool all = child(node, "setop_all") == true;
    node["modifiers"] = Json::array();
    if (kind == "UNION" && all) return branches(node);
    const std::string names = names_of_columns(result_names());
    std::string& sql = builder_.outline().sql;
    if (kind == "UNION") {
      node["setop_all"] = true;
      const std::string part = builder_.add_part(builder_.printed(node));
      sql = fmt::format("SELECT {0} FROM main.{1} GROUP BY {0}", names, quote_identifier(part));
      return true;
    }
    if (kind != "EXCEPT" && kind != "INTERSECT") return false;
    std::string left = builder_.add_part(child(node, "left"), result_names());
    std::string right = builder_.add_part(child(node, "right"), result_names());
    if (all) {
      // Of equal rows the first meets the first, the second the second ...
      for (std::string* side : {&left, &right}) {
        *side = builder_.add_part(
            fmt::format("SELECT {0}, row_number() OVER (PARTITION BY {0}) AS pgweir_copy FROM "
                        "main.{1}",
                        names, quote_identifier(*side)));
      }
      sql = fmt::format(
          "SELECT {0} FROM (SELECT {0}, pgweir_copy FROM main.{1} {3} SELECT {0}, pgweir_copy FROM "
          "main.{2})",
          names, quote_identifier(left), quote_identifier(right), kind);
      return true;
    }
    // How often a row stands on either side decides.
    const std::string part = builder_.add_part(
        fmt::format("SELECT {0}, 1 AS pgweir_left, 0 AS pgweir_right FROM main.{1} UNION "
                    "ALL SELECT {0}, 0, 1 FROM main.{2}",
                    names, quote_identifier(left), quote_identifier(right)));
    sql = fmt::format(
        "SELECT {0} FROM main.{1} GROUP BY {0} HAVING sum(pgweir_left) > 0 AND "
        "sum(pgweir_right) {2} 0",
        names, quote_identifier(part), kind == "EXCEPT" ? "=" : ">");
    return true;
  }

  bool branches(const Json& node) {
    std::vector<Json> found;
    const std::function<void(const Json&)> collect = [&](const Json& below) {
      const bool plain =
          child(child(below, "cte_map"), "map").empty() && child(below, "modifiers").empty();
      if (text_of(below, "type") == "SET_OPERATION_NODE" &&
          text_of(below, "setop_type") == "UNION" && child(below, "setop_all") == true && plain) {
        collect(child(below, "left"));
        collect(child(below, "right"));
      } else {
        found.push_back(below);
      }
    };
    collect(node);
    for (const Json& branch : found)
      builder_.outline().all_of.push_back(builder_.add_part(branch, result_names()));
    return true;
  }

  // --- Subqueries in FROM ---

  bool subqueries(Json& node) {
    if (text_of(node, "type") != "SELECT_NODE") return false;
    push_ranks(node);
    bool found = false;
    take_subqueries(child_of(node, "from_table"), &found);
    if (!found) return false;
    builder_.outline().sql = builder_.printed(node);
    return true;
  }

  void take_subqueries(Json& from, bool* found) {
    const std::string type = text_of(from, "type");
    if (type == "JOIN") {
      take_subqueries(child_of(from, "left"), found);
      take_subqueries(child_of(from, "right"), found);
    } else if (type == "SUBQUERY") {
      const std::string part = builder_.add_part(child(child(from, "subquery"), "node"),
                                                 texts_of(child(from, "column_name_alias")));
      const std::string alias = text_of(from, "alias");
      from = table_node(part, alias.empty() ? part : alias);
      *found = true;
    } else if (type == "TABLE_FUNCTION" && goes_by_other_rows(from)) {
      const std::string alias = text_of(from, "alias");
      Json star = builder_.expression_of("*");
      const std::string part =
          builder_.add_part(builder_.printed(select_node(Json::array({star}), from)));
      from = table_node(part, alias);
      *found = true;
    }
  }

  bool goes_by_other_rows(const Json& from) const {
    for (std::size_t i = 0; i < select_.definition.refs.size(); ++i) {
      if (select_.definition.refs[i].start == offset_of(from))
        return select_.windows[i] && select_.windows[i]->goes_by_other_rows();
    }
    return false;
  }

  // FROM (SELECT ..., row_number() OVER (...) AS r ...) WHERE r <= 3: the subquery may leave the
  // others out itself.
  static void push_ranks(Json& node) {
    Json& from = child_of(node, "from_table");
    if (text_of(from, "type") != "SUBQUERY" || !child(from, "column_name_alias").empty() ||
        child(node, "where_clause").is_null())
      return;
    Json& query = child_of(child_of(from, "subquery"), "node");
    if (text_of(query, "type") != "SELECT_NODE" || !only_ordered(query)) return;
    std::vector<Json> conjuncts, kept;
    split_conjuncts(child(node, "where_clause"), &conjuncts);
    for (Json& conjunct : conjuncts) {
      const std::string kind = text_of(conjunct, "type");
      const auto names = names_of(child(conjunct, "left"));
      const bool bounds = (kind == "COMPARE_LESSTHAN" || kind == "COMPARE_LESSTHANOREQUALTO" ||
                           kind == "COMPARE_EQUAL") &&
                          is_class(child(conjunct, "left"), "COLUMN_REF") &&
                          integer_of(child(conjunct, "right"));
      const bool named = !names.empty() && names.size() <= 2 &&
                         (names.size() == 1 || same_name(names[0], text_of(from, "alias")));
      if (!bounds || !named) continue;
      for (const Json& item : child(query, "select_list")) {
        if (!is_class(item, "WINDOW") || !same_name(text_of(item, "alias"), names.back())) continue;
        Json rank = item;
        rank["alias"] = "";
        conjunct["left"] = std::move(rank);
        kept.push_back(conjunct);
        break;
      }
    }
    if (kept.empty()) return;
    if (!child(query, "qualify").is_null()) kept.push_back(child(query, "qualify"));
    query["qualify"] = conjunction_of(kept);
  }

  // --- DISTINCT ---

  bool distinct(Json& node) {
    if (text_of(node, "type") != "SELECT_NODE") return false;
    bool found = false;
    Json targets = Json::array(), orders = Json::array();
    for (const Json& modifier : child(node, "modifiers")) {
      const std::string kind = text_of(modifier, "type");
      if (kind == "DISTINCT_MODIFIER") {
        targets = child(modifier, "distinct_on_targets");
        found = true;
      } else if (kind == "ORDER_MODIFIER") {
        orders = child(modifier, "orders");
      } else {
        return false;
      }
    }
    if (!found) return false;
    node["modifiers"] = Json::array();
    if (!targets.empty()) return distinct_on(node, std::move(targets), std::move(orders));
    if (plain_rows(node)) {
      node["aggregate_handling"] = "FORCE_AGGREGATES";  // GROUP BY ALL
      builder_.outline().sql = builder_.printed(node);
      return true;
    }
    const std::string part = builder_.add_part(node, result_names());
    builder_.outline().sql = fmt::format("SELECT {0} FROM main.{1} GROUP BY {0}",
                                         names_of_columns(result_names()), quote_identifier(part));
    return true;
  }

  // The first row of each combination of values.
  bool distinct_on(Json& node, Json targets, Json orders) {
    if (!child(node, "qualify").is_null()) return false;
    for (Json& target : targets)
      if (!stands_for(node, target)) return false;
    for (Json& order : orders)
      if (!stands_for(node, child_of(order, "expression"))) return false;
    Json first = builder_.expression_of("row_number() OVER (PARTITION BY a ORDER BY b) = 1");
    if (!builder_.ok()) return false;
    first["left"]["partitions"] = std::move(targets);
    first["left"]["orders"] = std::move(orders);
    node["qualify"] = std::move(first);
    builder_.outline().sql = builder_.printed(node);
    return true;
  }

  // Replaces a position in the SELECT list, and a name given there, by what it stands for.
  bool stands_for(const Json& node, Json& expression) const {
    const Json& list = child(node, "select_list");
    if (const auto ordinal = integer_of(expression)) {
      const bool star =
          std::any_of(list.begin(), list.end(), [](const Json& i) { return is_class(i, "STAR"); });
      if (star || *ordinal < 1 || *ordinal > static_cast<std::int64_t>(list.size())) return false;
      expression = list[static_cast<std::size_t>(*ordinal - 1)];
    } else if (const auto names = names_of(expression);
               is_class(expression, "COLUMN_REF") && names.size() == 1) {
      for (const Json& item : list) {
        if (!same_name(text_of(item, "alias"), names[0])) continue;
        expression = item;
        break;
      }
    }
    expression["alias"] = "";
    return !is_class(expression, "STAR");
  }

  // Neither groups nor window functions, and every column by its name.
  bool plain_rows(const Json& node) const {
    if (!child(node, "group_expressions").empty() || !child(node, "having").is_null() ||
        !child(node, "qualify").is_null() ||
        text_of(node, "aggregate_handling") != "STANDARD_HANDLING")
      return false;
    bool plain = true;
    walk(child(node, "select_list"), [&](const Json& below) {
      plain = plain && !is_class(below, "WINDOW") && !is_class(below, "STAR") &&
              !is_class(below, "SUBQUERY");
      return plain;
    });
    return plain && !has_aggregates(functions_, child(node, "select_list"));
  }

  const FunctionCatalog& functions_;
  const BoundSelect& select_;
  const NamePart& name_part_;
  OutlineBuilder builder_;
};

}  // namespace

Result<std::optional<Outline>> take_apart(SqlParser& parser, const FunctionCatalog& functions,
                                          const BoundSelect& select, const NamePart& name_part) {
  return Taker(parser, functions, select, name_part).run();
}

}  // namespace pgweir::views
