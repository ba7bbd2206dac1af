#include "views/temporal_outline.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "views/outline_builder.h"
#include "views/scope.h"
#include "views/select_tree.h"
#include "views/temporal_filter.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

// The part's input in its SQL.
constexpr const char* kAlias = "i0";

// The type of a canonical expression over one input; "" when DuckDB does not tell it alone.
std::string type_over(SqlParser& parser, const Scope& scope, std::size_t input,
                      const std::string& sql) {
  const Scope::Input& read = scope.inputs()[input];
  const std::string declared =
      quote_identifier(read.relation->schema) + "." + quote_identifier(read.relation->table);
  const auto types = parser.describe(
      fmt::format("SELECT ({}) FROM {} AS i{}", sql,
                  read.window ? windowed_rows(*read.window, declared) : declared, input));
  return types.ok() && types->size() == 1 ? types->front().type : "";
}

class TemporalTaker {
 public:
  TemporalTaker(SqlParser& parser, const BoundSelect& select, const NamePart& name_part)
      : parser_(parser),
        select_(select),
        name_part_(name_part),
        scope_(select.definition, select.relations, select.windows) {}

  Result<TemporalLayer> run() {
    TemporalLayer layer;
    if (!is_plain()) return layer;
    if (!conditions()) {
      layer.problem = std::move(problem_);
      return layer;
    }
    if (wanted_.empty()) return layer;
    Json node = select_.definition.node;
    node["where_clause"] = conjunction_of(others_);
    qualify_tables(node, select_);
    Outline outline;
    for (const auto& [input, bounds] : wanted_) {
      Json* leaf = leaf_of(node["from_table"], scope_.inputs()[input].offset);
      if (leaf == nullptr) return layer;
      TRY_ASSIGN(std::string sql, part_sql(input, bounds, *leaf));
      const std::string alias = text_of(*leaf, "alias");
      outline.parts.push_back({.name = name_part_(), .sql = std::move(sql)});
      *leaf = table_node(outline.parts.back().name, alias);
      drop_schema(node, scope_.inputs()[input]);
    }
    TRY_ASSIGN(outline.sql, parser_.print_select(node));
    layer.outline = std::move(outline);
    return layer;
  }

 private:
  bool wrong(std::string why, std::uint64_t offset) {
    if (!problem_) problem_ = TemporalProblem{std::move(why), offset};
    return false;
  }

  // Nothing but tables, views and windows that rows have alone in FROM: the rest comes off first.
  bool is_plain() {
    const Json& node = select_.definition.node;
    if (text_of(node, "type") != "SELECT_NODE" || !child(child(node, "cte_map"), "map").empty())
      return false;
    if (!parser_.prints_back(node) || !scope_.add_any_from(child(node, "from_table"))) return false;
    return scope_.names_differ() &&
           std::none_of(scope_.inputs().begin(), scope_.inputs().end(), [](const auto& input) {
             return input.window && input.window->goes_by_other_rows();
           });
  }

  bool conditions() {
    std::vector<Json> conjuncts;
    if (!child(select_.definition.node, "where_clause").is_null())
      split_conjuncts(child(select_.definition.node, "where_clause"), &conjuncts);
    for (Json& conjunct : conjuncts) {
      TimeCondition condition = read_time_condition(parser_, conjunct);
      if (condition.bounds.empty()) {
        others_.push_back(std::move(conjunct));
        continue;
      }
      for (Json& other : condition.others) others_.push_back(std::move(other));
      for (TimeBound& bound : condition.bounds)
        if (!add(std::move(bound))) return false;
    }
    return true;
  }

  bool add(TimeBound bound) {
    std::uint64_t offset = offset_of(bound.time);
    if (offset == kNoOffset) offset = find_clock(bound.clock).value_or(kNoOffset);
    bound.time["alias"] = "";
    if (!scope_.canonicalise(bound.time)) return wrong(scope_.reason(), kNoOffset);
    std::optional<std::size_t> input;
    bool one = true;
    walk(bound.time, [&](const Json& node) {
      const auto place = scope_.place_of_reference(node);
      if (!place) return true;
      one = one && (!input || *input == place->input);
      input = place->input;
      return true;
    });
    if (!input) return wrong("it is compared with what is no time of a row", offset);
    if (!one) {
      return wrong(
          "it is compared with columns of several tables: make a view of the join, with that time "
          "as a column, and filter that",
          offset);
    }
    if (may_be_missing(child(select_.definition.node, "from_table"), *input)) {
      return wrong(
          "it is compared with a column of the side of an outer join that may be missing: filter "
          "that side in a subquery or a view of its own",
          offset);
    }
    const auto sql = parser_.print(bound.time);
    const std::string type = sql.ok() ? type_over(parser_, scope_, *input, *sql) : "";
    if (!is_time_type(type)) {
      return wrong(fmt::format("it is compared with {}, and not with a timestamp or date",
                               type.empty() ? "what has no type alone" : "a value of type " + type),
                   offset);
    }
    wanted_[*input].push_back(std::move(bound));
    return true;
  }

  // Whether outer joins above a table give rows without it.
  bool may_be_missing(const Json& from, std::size_t input) const {
    if (text_of(from, "type") != "JOIN") return false;
    const std::string kind = text_of(from, "join_type");
    const bool left = has_leaf(child(from, "left"), input);
    const bool kept = kind == "INNER" || kind == (left ? "LEFT" : "RIGHT");
    return !kept || may_be_missing(child(from, left ? "left" : "right"), input);
  }

  bool has_leaf(const Json& from, std::size_t input) const {
    if (text_of(from, "type") == "JOIN")
      return has_leaf(child(from, "left"), input) || has_leaf(child(from, "right"), input);
    return offset_of(from) == scope_.inputs()[input].offset;
  }

  static Json* leaf_of(Json& from, std::uint64_t offset) {
    if (text_of(from, "type") != "JOIN") return offset_of(from) == offset ? &from : nullptr;
    Json* found = leaf_of(from["left"], offset);
    return found != nullptr ? found : leaf_of(from["right"], offset);
  }

  // The columns of the input that the SELECT may mean, and its key.
  Result<std::string> part_sql(std::size_t input, const std::vector<TimeBound>& bounds,
                               const Json& leaf) const {
    const Scope::Input& read = scope_.inputs()[input];
    ViewDefinition rest = select_.definition;
    rest.node["where_clause"] = conjunction_of(others_);
    const std::set<std::string> named = columns_named(rest);
    const auto is_key = [&](const std::string& column) {
      return read.relation->unique &&
             std::any_of(read.relation->key.begin(), read.relation->key.end(),
                         [&](const auto& key) { return key.name == column; });
    };
    Json list = Json::array();
    for (const std::string& column : scope_.columns_of(input)) {
      if (named.contains("*") || named.contains(lower(column)) || is_key(column))
        list.push_back(make_column_ref({kAlias, column}));
    }
    // A part needs a column.
    if (list.empty()) list.push_back(make_column_ref({kAlias, scope_.columns_of(input).front()}));
    std::vector<Json> conditions;
    for (const TimeBound& bound : bounds) {
      conditions.push_back({{"class", "COMPARISON"},
                            {"type", bound.type},
                            {"alias", ""},
                            {"query_location", kNoOffset},
                            {"left", over_part(bound.time)},
                            {"right", bound.clock}});
    }
    Json from = leaf;
    from["alias"] = kAlias;
    Json node = select_node(std::move(list), std::move(from));
    node["where_clause"] = conjunction_of(conditions);
    return parser_.print_select(node);
  }

  // A canonical expression over one input, by that input's name in the part.
  Json over_part(Json expression) const {
    if (const auto place = scope_.place_of_reference(expression))
      return make_column_ref({kAlias, place->column});
    if (!expression.is_structured()) return expression;
    for (Json& below : expression) below = over_part(below);
    return expression;
  }

  // What was public.t.c is t.c now.
  static void drop_schema(Json& node, const Scope::Input& input) {
    if (!node.is_structured()) return;
    const auto names = names_of(node);
    if (is_class(node, "COLUMN_REF") && names.size() == 3 && !input.schema.empty() &&
        same_name(names[0], input.schema) && same_name(names[1], input.name))
      node["column_names"] = {names[1], names[2]};
    for (Json& below : node) drop_schema(below, input);
  }

  SqlParser& parser_;
  const BoundSelect& select_;
  const NamePart& name_part_;
  Scope scope_;
  std::map<std::size_t, std::vector<TimeBound>> wanted_;  // by input
  std::vector<Json> others_;
  std::optional<TemporalProblem> problem_;
};

void use(PlanInput& input, const std::string& column) {
  if (std::find(input.used.begin(), input.used.end(), column) == input.used.end())
    input.used.push_back(column);
}

}  // namespace

Result<TemporalLayer> take_temporal_filters(SqlParser& parser, const BoundSelect& select,
                                            const NamePart& name_part) {
  return TemporalTaker(parser, select, name_part).run();
}

Result<std::optional<TemporalSelect>> plan_temporal_filter(SqlParser& parser,
                                                           const FunctionCatalog& functions,
                                                           const BoundSelect& select) {
  std::optional<TemporalSelect> outcome;
  const Json& node = select.definition.node;
  std::vector<Json> conjuncts;
  std::vector<TimeBound> bounds;
  if (text_of(node, "type") != "SELECT_NODE") return outcome;
  split_conjuncts(child(node, "where_clause"), &conjuncts);
  for (const Json& conjunct : conjuncts) {
    TimeCondition condition = read_time_condition(parser, conjunct);
    if (condition.bounds.empty() || !condition.others.empty()) return outcome;
    for (TimeBound& bound : condition.bounds) bounds.push_back(std::move(bound));
  }
  ViewDefinition rows = select.definition;
  rows.node["where_clause"] = nullptr;
  TRY_ASSIGN(PlanOutcome planned,
             make_plan(parser, functions, rows, select.relations, select.windows, select.columns));
  Scope scope(rows, select.relations, select.windows);
  if (!planned.plan || planned.plan->grouped || planned.plan->flat ||
      planned.plan->inputs.size() != 1 || !scope.add_from(child(rows.node, "from_table")))
    return outcome;
  TemporalSelect made{.plan = std::move(*planned.plan), .times = {}};
  PlanInput& input = made.plan.inputs[0];
  for (TimeBound& bound : bounds) {
    bound.time["alias"] = "";
    if (!scope.canonicalise(bound.time)) return outcome;
    walk(bound.time, [&](const Json& below) {
      std::size_t number = 0;
      if (const auto* column = scope.plain_column(below, &number)) use(input, column->name);
      return true;
    });
    TRY_ASSIGN(std::string sql, parser.print(bound.time));
    const std::string type = type_over(parser, scope, 0, sql);
    if (!is_time_type(type)) return outcome;
    const std::string column = TemporalPlan::time_column(made.times.times.size());
    auto& steps = bound.kind == TimeBound::Kind::kEnters ? made.times.enters : made.times.leaves;
    steps.push_back(step_sql(bound, column, type));
    made.times.times.push_back(std::move(sql));
  }
  outcome = std::move(made);
  return outcome;
}

}  // namespace pgweir::views
