#include "views/aggregate_layers.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/keyed_plan.h"
#include "views/select_tree.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

class GroupingSets {
 public:
  explicit GroupingSets(CanonicalSelect& select) : select_(select) {}

  // One group for each set, over one plain relation.
  bool take() {
    for (const std::vector<std::size_t>& set : select_.sets) {
      const auto in_set = [&](std::size_t group) {
        return std::find(set.begin(), set.end(), group) != set.end();
      };
      Json list = Json::array();
      for (std::size_t i = 0; i < select_.items.size(); ++i) {
        Json item = select_.items[i];
        if (!to_set(item, in_set)) return false;
        Json cast =
            select_.builder.expression_of("CAST(NULL AS " + select_.bound.columns[i].type + ")");
        if (!select_.builder.ok()) return false;
        cast["child"] = std::move(item);
        cast["alias"] = select_.bound.columns[i].name;
        list.push_back(std::move(cast));
      }
      Json having = select_.having;
      if (!to_set(having, in_set)) return false;
      const bool total = having.is_null() && !has_aggregates(select_.functions, list);
      if (set.empty() && total) having = select_.builder.expression_of("count(*) >= 0");
      Json select = select_node(std::move(list), select_.from);
      select["having"] = std::move(having);
      Json numbers = Json::array();
      for (const std::size_t group : set) {
        if (group >= select_.groups.size()) return false;
        numbers.push_back(numbers.size());
        select["group_expressions"].push_back(select_.groups[group]);
      }
      if (!set.empty()) select["group_sets"].push_back(std::move(numbers));
      select_.builder.outline().all_of.push_back(
          select_.builder.add_part(select_.print_canonical(std::move(select))));
    }
    return true;
  }

 private:
  // What an expression is in the rows of one set: NULL for the columns that are not in it.
  template <typename InSet>
  bool to_set(Json& node, const InSet& in_set) {
    if (!node.is_structured()) return true;
    const auto group_of = [&](const Json& expression) {
      const auto at = std::find(select_.groups.begin(), select_.groups.end(), expression);
      return static_cast<std::size_t>(at - select_.groups.begin());
    };
    if (const std::size_t group = group_of(node); group < select_.groups.size()) {
      if (in_set(group)) return true;
      std::size_t input = 0;
      const engine::StoreColumn* column = select_.scope.plain_column(node, &input);
      if (column == nullptr) return false;
      node = select_.builder.expression_of("CAST(NULL AS " + column->type + ")");
      strip_offsets(node);
      return select_.builder.ok();
    }
    if (select_.is_aggregate(node)) return true;
    if (node.is_object() && text_of(node, "type") == "GROUPING_FUNCTION") {
      std::uint64_t bits = 0;
      for (const Json& expression : child(node, "children")) {
        const std::size_t group = group_of(expression);
        if (group == select_.groups.size()) return false;
        bits = bits * 2 + (in_set(group) ? 0 : 1);
      }
      node = select_.builder.expression_of(fmt::format("CAST({} AS BIGINT)", bits));
      strip_offsets(node);
      return select_.builder.ok();
    }
    return std::all_of(node.begin(), node.end(),
                       [&](Json& below) { return to_set(below, in_set); });
  }

  CanonicalSelect& select_;
};

class OverallAggregates {
 public:
  explicit OverallAggregates(CanonicalSelect& select) : select_(select) {}

  // Each in a part of its own, of one row: the least and the greatest of the different values, of
  // which the first are kept; what counts different values over these; totals; and the others.
  bool take() {
    std::vector<Json> found;
    const auto note = [&](const Json& node) {
      if (!select_.is_aggregate(node)) return true;
      if (std::find(found.begin(), found.end(), node) == found.end()) found.push_back(node);
      return false;
    };
    for (const Json& item : select_.items) walk(item, note);
    walk(select_.having, note);
    std::vector<Json> totals, others;
    std::vector<std::pair<Json, std::string>> single;  // an aggregate, and the part of its value
    for (const Json& aggregate : found) {
      std::string part = of_values(aggregate);
      if (!part.empty()) {
        single.emplace_back(aggregate, std::move(part));
      } else {
        (is_total(aggregate) ? totals : others).push_back(aggregate);
      }
    }
    if (!select_.builder.ok() || (single.empty() && (totals.empty() || others.empty())))
      return false;
    Json from;
    const auto join = [&](const std::string& part, const std::string& alias) {
      Json table = table_node(part, alias);
      from = from.is_null() ? std::move(table)
                            : join_node(std::move(from), std::move(table), "INNER", nullptr);
    };
    const auto replace = [&](const Json& aggregate, const std::string& alias,
                             const std::string& column) {
      const Json value = select_.stripped_reference(alias, column);
      for (Json& item : select_.items) replace_equal(item, aggregate, value);
      replace_equal(select_.having, aggregate, value);
    };
    std::size_t number = 0;
    for (const std::vector<Json>* several : {&totals, &others}) {
      if (several->empty()) continue;
      Json list = Json::array();
      const std::string alias = fmt::format("p{}", number++);
      for (const Json& aggregate : *several) {
        Json item = aggregate;
        const std::string name = fmt::format("c{}", list.size());
        item["alias"] = name;
        list.push_back(std::move(item));
        replace(aggregate, alias, name);
      }
      join(select_.builder.add_part(
               select_.print_canonical(select_node(std::move(list), select_.from))),
           alias);
    }
    for (const auto& [aggregate, part] : single) {
      const std::string alias = fmt::format("p{}", number++);
      replace(aggregate, alias, "v");
      join(part, alias);
    }
    select_.where = select_.having;
    select_.having = nullptr;
    select_.print_rest(from);
    return true;
  }

 private:
  static bool is_total(const Json& aggregate) {
    const std::string name = lower(text_of(aggregate, "function_name"));
    return child(aggregate, "distinct") != true &&
           child(child(aggregate, "order_bys"), "orders").empty() &&
           (name == "count" || name == "count_star" || name == "sum" || name == "avg" ||
            name == "mean");
  }

  // The part with the value "v" of an aggregate that goes by different values alone; "" for others.
  std::string of_values(const Json& aggregate) {
    const std::string name = lower(text_of(aggregate, "function_name"));
    const bool least = name == "min", greatest = name == "max";
    const bool counts =
        child(aggregate, "distinct") == true && (name == "count" || name == "sum" || name == "avg");
    if ((!least && !greatest && !counts) || child(aggregate, "children").size() != 1 ||
        !child(child(aggregate, "order_bys"), "orders").empty())
      return "";
    Json value = child(aggregate, "children")[0];
    std::vector<Json> conditions = {is_not_null(value)};
    if (!child(aggregate, "filter").is_null()) conditions.push_back(child(aggregate, "filter"));
    Json item = value;
    item["alias"] = "c0";
    Json select = select_node(Json::array({std::move(item)}), select_.from);
    select["where_clause"] = conjunction_of(conditions);
    select["group_expressions"].push_back(std::move(value));
    select["group_sets"].push_back(Json::array({0}));
    const std::string values = select_.builder.add_part(select_.print_canonical(std::move(select)));
    if (counts) {
      return select_.builder.add_part(
          fmt::format("SELECT {}(c0) AS v FROM main.{}", name, quote_identifier(values)));
    }
    const std::string first = select_.builder.add_first_rows(
        values, {{"c0", least ? "ASC NULLS LAST" : "DESC NULLS LAST"}}, 1);
    return select_.builder.add_part(
        fmt::format("SELECT {}(c0) AS v FROM main.{}", name, quote_identifier(first)),
        Extent::kOneRow);
  }

  CanonicalSelect& select_;
};

}  // namespace

bool take_grouping_sets(CanonicalSelect& select) {
  return GroupingSets(select).take();
}

bool take_overall_aggregates(CanonicalSelect& select) {
  return OverallAggregates(select).take();
}

}  // namespace pgweir::views
