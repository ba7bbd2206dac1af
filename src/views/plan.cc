#include "views/plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/totals.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

constexpr const char* kNoAlias = "";
constexpr int kAliasDepthMax = 8;

bool is_one_of(const std::string& text, std::initializer_list<const char*> options) {
  return std::any_of(options.begin(), options.end(), [&](const char* o) { return text == o; });
}

class Planner {
 public:
  Planner(SqlParser& parser, const FunctionCatalog& functions, const ViewDefinition& view,
          const std::vector<const Relation*>& relations,
          const std::vector<std::optional<Window>>& windows,
          const std::vector<engine::StoreColumn>& result)
      : parser_(parser),
        functions_(functions),
        view_(view),
        relations_(relations),
        windows_(windows),
        result_(result) {}

  Result<PlanOutcome> run() {
    PlanOutcome outcome;
    const bool planned = shape() && inputs() && select_list() && conditions() && heads();
    if (!failure_.ok()) return failure_.error();
    if (planned) {
      outcome.reason = describe();
      outcome.plan = std::move(plan_);
    } else {
      outcome.reason = reason_;
    }
    return outcome;
  }

 private:
  bool no(std::string reason, std::uint64_t offset = kNoOffset) {
    const std::string place = place_of(view_.source.sql, offset);
    if (!place.empty()) reason += " at " + place;
    if (reason_.empty()) reason_ = std::move(reason);
    return false;
  }

  bool printed(const Json& expression, std::string* sql) {
    auto text = parser_.print(expression);
    if (!text.ok()) {
      failure_ = text.error();
      return false;
    }
    *sql = std::move(text).value();
    return true;
  }

  // --- What kind of SELECT it is ---

  bool shape() {
    const Json& node = view_.node;
    const std::string type = text_of(node, "type");
    if (type == "SET_OPERATION_NODE")
      return no(text_of(node, "setop_type") + " of several SELECTs");
    if (type != "SELECT_NODE") return no("not a plain SELECT");
    if (!child(child(node, "cte_map"), "map").empty()) return no("a WITH query");
    for (const Json& modifier : child(node, "modifiers")) {
      const std::string kind = text_of(modifier, "type");
      if (kind == "DISTINCT_MODIFIER") return no("DISTINCT");
      // ORDER BY alone says nothing of a set of rows.
      if (kind != "ORDER_MODIFIER") return no("LIMIT or OFFSET");
    }
    if (!child(node, "qualify").is_null()) return no("QUALIFY");
    if (child(node, "group_sets").size() > 1) return no("several grouping sets");
    if (!parser_.prints_back(node)) return no("DuckDB does not print this SELECT back unchanged");
    return true;
  }

  // --- FROM ---

  bool inputs() {
    const Json& from = child(view_.node, "from_table");
    if (text_of(from, "type") != "JOIN") return add_input(from);
    if (!is_one_of(text_of(from, "ref_type"), {"REGULAR", "CROSS"}))
      return no(text_of(from, "ref_type") + " join", offset_of(from));
    if (text_of(from, "join_type") != "INNER")
      return no(text_of(from, "join_type") + " join", offset_of(from));
    if (text_of(child(from, "left"), "type") == "JOIN" ||
        text_of(child(from, "right"), "type") == "JOIN")
      return no("a join of more than two relations");
    if (!add_input(child(from, "left")) || !add_input(child(from, "right"))) return false;
    if (plan_.inputs[0].relation == plan_.inputs[1].relation) return no("a join with itself");
    if (same_name(names_[0], names_[1])) return no("two relations of one name");
    for (const Json& column : child(from, "using_columns"))
      if (column.is_string()) using_.push_back(column.get<std::string>());
    if (!child(from, "condition").is_null()) conditions_.push_back(child(from, "condition"));
    return true;
  }

  bool add_input(const Json& item) {
    const std::string type = text_of(item, "type");
    if (type == "EMPTY") return no("nothing in FROM");
    if (type == "SUBQUERY") return no("a subquery in FROM");
    if (type != "BASE_TABLE" && type != "TABLE_FUNCTION") return no("no table in FROM");
    if (!child(item, "column_name_alias").empty()) return no("renamed columns in FROM");
    for (std::size_t i = 0; i < view_.refs.size(); ++i) {
      if (view_.refs[i].start != offset_of(item)) continue;
      PlanInput input;
      input.relation = relations_[i];
      input.alias = fmt::format("i{}", plan_.inputs.size());
      input.window = windows_[i];
      if (input.window && input.window->goes_by_other_rows())
        return no("the " + input.window->text() +
                      " of a row go by other rows: a view SELECT * FROM session(...) is kept by "
                      "partition, read that",
                  offset_of(item));
      // Also where no column of the window is named it says how often a row comes.
      if (input.window) input.used.push_back(input.window->time_column);
      names_.push_back(view_.refs[i].alias.empty() ? view_.refs[i].name : view_.refs[i].alias);
      schemas_.push_back(view_.refs[i].alias.empty() ? relations_[i]->schema : "");
      plan_.inputs.push_back(std::move(input));
      return true;
    }
    return no("a table function in FROM");
  }

  // The input's columns in the order of SELECT *.
  std::vector<std::string> columns_of(std::size_t input) const {
    std::vector<std::string> columns;
    for (const auto& column : plan_.inputs[input].relation->columns) columns.push_back(column.name);
    if (plan_.inputs[input].window) {
      columns.push_back("window_start");
      columns.push_back("window_end");
    }
    return columns;
  }

  std::optional<std::string> find_column(std::size_t input, const std::string& name) const {
    for (const std::string& column : columns_of(input))
      if (same_name(column, name)) return column;
    return std::nullopt;
  }

  bool is_using(const std::string& name) const {
    return std::any_of(using_.begin(), using_.end(),
                       [&](const std::string& u) { return same_name(u, name); });
  }

  // --- Names ---

  struct Place {
    std::size_t input;
    std::string column;
  };

  // The column that a reference means, or nothing when it means no column of an input.
  std::optional<Place> find(const std::vector<std::string>& names) const {
    std::optional<Place> found;
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i) {
      std::optional<std::string> column;
      if (names.size() == 1) column = find_column(i, names[0]);
      if (names.size() == 2 && same_name(names[0], names_[i])) column = find_column(i, names[1]);
      if (names.size() == 3 && same_name(names[0], schemas_[i]) && same_name(names[1], names_[i]))
        column = find_column(i, names[2]);
      if (!column) continue;
      if (found && !is_using(names.back())) return std::nullopt;
      if (!found) found = Place{i, *column};
    }
    return found;
  }

  const Json* select_alias(const std::string& name) const {
    for (const Json& item : child(view_.node, "select_list")) {
      if (!text_of(item, "alias").empty() && same_name(text_of(item, "alias"), name)) return &item;
    }
    return nullptr;
  }

  // Replaces every column by (input alias, column) and every alias of the SELECT list by what it
  // stands for. False, with a reason, for what cannot be kept by deltas.
  bool canonicalise(Json& node, int depth = 0) {
    if (!node.is_structured()) return true;
    if (node.is_array())
      return std::all_of(node.begin(), node.end(), [&](Json& j) { return canonicalise(j, depth); });
    if (is_class(node, "SUBQUERY")) return no("a subquery", offset_of(node));
    if (is_class(node, "WINDOW"))
      return no("the window function " + text_of(node, "function_name") + "()", offset_of(node));
    if (is_class(node, "LAMBDA")) return no("a lambda", offset_of(node));
    if (is_class(node, "STAR")) return no("a star expression", offset_of(node));
    if (is_class(node, "POSITIONAL_REFERENCE"))
      return no("a positional reference", offset_of(node));
    if (is_class(node, "COLUMN_REF")) return canonicalise_column(node, depth);
    for (auto& [key, below] : node.items())
      if (!canonicalise(below, depth)) return false;
    return true;
  }

  bool canonicalise_column(Json& node, int depth) {
    const auto names = names_of(node);
    if (const auto place = find(names)) {
      node = make_column_ref({plan_.inputs[place->input].alias, place->column});
      return true;
    }
    const Json* item = names.size() == 1 ? select_alias(names[0]) : nullptr;
    if (item == nullptr || depth >= kAliasDepthMax)
      return no("the name " + names.back() + " cannot be followed", offset_of(node));
    Json expression = *item;
    expression["alias"] = kNoAlias;
    if (!canonicalise(expression, depth + 1)) return false;
    node = std::move(expression);
    return true;
  }

  // --- SELECT list ---

  bool select_list() {
    for (const Json& item : child(view_.node, "select_list")) {
      if (is_class(item, "STAR")) {
        if (!expand_star(item)) return false;
        continue;
      }
      Json expression = item;
      expression["alias"] = kNoAlias;
      if (!canonicalise(expression)) return false;
      strip_offsets(expression);
      items_.push_back(std::move(expression));
    }
    if (items_.size() != result_.size()) return no("a SELECT list that cannot be followed");
    return true;
  }

  bool expand_star(const Json& star) {
    for (const char* part : {"replace_list", "qualified_exclude_list", "rename_list"})
      if (!child(star, part).empty()) return no("a star with changes", offset_of(star));
    if (child(star, "columns") == true || !child(star, "expr").is_null())
      return no("COLUMNS()", offset_of(star));
    const std::string only = text_of(star, "relation_name");
    const auto excluded = [&](const std::string& column) {
      for (const Json& name : child(star, "exclude_list"))
        if (name.is_string() && same_name(name.get<std::string>(), column)) return true;
      return false;
    };
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i) {
      if (!only.empty() && !same_name(only, names_[i])) continue;
      for (const std::string& column : columns_of(i)) {
        if (excluded(column) || (only.empty() && i > 0 && is_using(column))) continue;
        Json reference = make_column_ref({plan_.inputs[i].alias, column});
        strip_offsets(reference);
        items_.push_back(std::move(reference));
      }
    }
    return true;
  }

  // --- WHERE and ON ---

  bool conditions() {
    if (!child(view_.node, "where_clause").is_null())
      conditions_.push_back(child(view_.node, "where_clause"));
    std::vector<Json> conjuncts;
    for (Json& condition : conditions_) {
      if (!canonicalise(condition)) return false;
      split(condition, &conjuncts);
    }
    for (const std::string& column : using_) {
      const auto left = find_column(0, column), right = find_column(1, column);
      if (!left || !right) return no("the name " + column + " cannot be followed");
      conjuncts.push_back({{"class", "COMPARISON"},
                           {"type", "COMPARE_EQUAL"},
                           {"alias", ""},
                           {"query_location", kNoOffset},
                           {"left", make_column_ref({"i0", *left})},
                           {"right", make_column_ref({"i1", *right})}});
    }
    for (Json& conjunct : conjuncts) {
      strip_offsets(conjunct);
      if (aggregates_in(conjunct)) return no("an aggregate in WHERE");
      std::string sql;
      if (!print_stripped(conjunct, &sql)) return false;
      plan_.conditions.push_back(std::move(sql));
      note_join_key(conjunct);
    }
    if (plan_.inputs.size() == 2 && plan_.join.empty())
      return no("a join without an equality of plain columns of one type");
    return true;
  }

  static void split(const Json& condition, std::vector<Json>* conjuncts) {
    if (is_class(condition, "CONJUNCTION") && text_of(condition, "type") == "CONJUNCTION_AND") {
      for (const Json& part : child(condition, "children")) split(part, conjuncts);
    } else {
      conjuncts->push_back(condition);
    }
  }

  // A column of an input that is a column of its relation, not of its window.
  const engine::StoreColumn* plain_column(const Json& reference, std::size_t* input) const {
    if (!is_class(reference, "COLUMN_REF")) return nullptr;
    const auto names = names_of(reference);
    if (names.size() != 2) return nullptr;
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i) {
      if (plan_.inputs[i].alias != names[0]) continue;
      for (const auto& column : plan_.inputs[i].relation->columns) {
        if (column.name != names[1]) continue;
        *input = i;
        return &column;
      }
    }
    return nullptr;
  }

  bool window_column(const Json& reference, std::size_t* input) const {
    const auto names = names_of(reference);
    if (!is_class(reference, "COLUMN_REF") || names.size() != 2) return false;
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i) {
      if (plan_.inputs[i].alias != names[0] || !plan_.inputs[i].window) continue;
      *input = i;
      return names[1] == "window_start" || names[1] == "window_end";
    }
    return false;
  }

  void note_join_key(const Json& conjunct) {
    if (plan_.inputs.size() != 2 || text_of(conjunct, "type") != "COMPARE_EQUAL") return;
    std::size_t left_input = 0, right_input = 0;
    const auto* left = plain_column(child(conjunct, "left"), &left_input);
    const auto* right = plain_column(child(conjunct, "right"), &right_input);
    if (left == nullptr || right == nullptr || left_input == right_input) return;
    if (left_input == 1) std::swap(left, right);
    if (!joinable(left->type, right->type)) return;
    // One partner a column is enough to look rows up; further equalities are conditions.
    for (const JoinKey& key : plan_.join)
      if (key.left.name == left->name || key.right.name == right->name) return;
    plan_.join.push_back({*left, *right});
  }

  // Expressions lose their offsets to be compared; printing wants them back.
  bool print_stripped(const Json& expression, std::string* sql) {
    Json whole = expression;
    restore_offsets(whole);
    note_used(whole);
    return printed(whole, sql);
  }

  static void restore_offsets(Json& node) {
    if (!node.is_structured()) return;
    for (Json& below : node) restore_offsets(below);
    if (node.is_object() && node.contains("class")) node["query_location"] = kNoOffset;
  }

  void note_used(const Json& expression) {
    walk(expression, [&](const Json& node) {
      std::size_t input = 0;
      const auto names = names_of(node);
      if (const auto* column = plain_column(node, &input)) {
        use(input, column->name);
      } else if (is_class(node, "COLUMN_REF") && names.size() == 2) {
        for (std::size_t i = 0; i < plan_.inputs.size(); ++i)
          if (plan_.inputs[i].alias == names[0] && plan_.inputs[i].window)
            use(i, plan_.inputs[i].window->time_column);
      }
      return true;
    });
  }

  void use(std::size_t input, const std::string& column) {
    auto& used = plan_.inputs[input].used;
    if (std::find(used.begin(), used.end(), column) == used.end()) used.push_back(column);
  }

  // --- Rows or groups ---

  bool aggregates_in(const Json& expression) const {
    bool found = false;
    walk(expression, [&](const Json& node) {
      found = found || (is_class(node, "FUNCTION") &&
                        functions_.is_aggregate(text_of(node, "function_name")));
      return !found;
    });
    return found;
  }

  bool heads() {
    const bool by_all = text_of(view_.node, "aggregate_handling") == "FORCE_AGGREGATES";
    plan_.grouped = by_all || !child(view_.node, "group_expressions").empty() ||
                    !child(view_.node, "having").is_null() ||
                    std::any_of(items_.begin(), items_.end(),
                                [&](const Json& item) { return aggregates_in(item); });
    if (!plan_.grouped) return row_columns();
    return group_keys(by_all) && group_columns() && aggregate_types() && finish_groups();
  }

  bool row_columns() {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      PlanColumn column;
      column.column = result_[i];
      if (!print_stripped(items_[i], &column.sql)) return false;
      std::size_t input = 0;
      if (const auto* source = plain_column(items_[i], &input))
        column.source = {input, source->name};
      else if (window_column(items_[i], &input))
        column.source = {input, names_of(items_[i])[1]};
      plan_.columns.push_back(std::move(column));
    }
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i) {
      if (!plan_.inputs[i].relation->unique) continue;
      for (const auto& key : plan_.inputs[i].relation->key) use(i, key.name);
    }
    return true;
  }

  bool group_keys(bool by_all) {
    const Json& expressions = child(view_.node, "group_expressions");
    const Json& sets = child(view_.node, "group_sets");
    if (!expressions.empty() && (sets.size() != 1 || sets[0].size() != expressions.size()))
      return no("grouping sets");
    std::vector<Json> keys;
    for (const Json& expression : expressions) {
      Json key = expression;
      const Json& value = child(child(key, "value"), "value");
      if (is_class(key, "CONSTANT") && value.is_number_integer()) {
        const auto ordinal = value.get<std::int64_t>();
        if (ordinal < 1 || ordinal > static_cast<std::int64_t>(items_.size()))
          return no("a GROUP BY ordinal that cannot be followed");
        key = items_[static_cast<std::size_t>(ordinal - 1)];
      } else {
        key["alias"] = kNoAlias;
        if (!canonicalise(key)) return false;
        strip_offsets(key);
      }
      keys.push_back(std::move(key));
    }
    if (by_all) {
      for (const Json& item : items_)
        if (!aggregates_in(item)) keys.push_back(item);
    }
    for (Json& key : keys) {
      if (std::find(keys_.begin(), keys_.end(), key) != keys_.end()) continue;
      if (aggregates_in(key)) return no("an aggregate in GROUP BY");
      std::string sql;
      if (!print_stripped(key, &sql)) return false;
      plan_.group_sql.push_back(std::move(sql));
      keys_.push_back(std::move(key));
    }
    plan_.global = keys_.empty();
    return true;
  }

  // Replaces group keys and aggregates by the columns of the state that hold them.
  bool to_state(Json& node) {
    if (!node.is_structured()) return true;
    if (node.is_object()) {
      const auto key = std::find(keys_.begin(), keys_.end(), node);
      if (key != keys_.end()) {
        node = make_column_ref({fmt::format("pgweir_g{}", key - keys_.begin())});
        return true;
      }
      if (is_class(node, "FUNCTION") && functions_.is_aggregate(text_of(node, "function_name")))
        return aggregate_to_state(node);
      if (is_class(node, "COLUMN_REF")) return no("a column that is not grouped by");
    }
    for (Json& below : node)
      if (!to_state(below)) return false;
    return true;
  }

  bool aggregate_to_state(Json& node) {
    const std::string name = lower(text_of(node, "function_name"));
    const std::size_t arguments = child(node, "children").size();
    Aggregate aggregate;
    if (name == "count_star" || (name == "count" && arguments <= 1)) aggregate.function = "count";
    if (name == "sum" && arguments == 1) aggregate.function = "sum";
    if ((name == "avg" || name == "mean") && arguments == 1) aggregate.function = "avg";
    if (aggregate.function.empty())
      return no(name + "() is not a total to which rows can be added and taken from");
    if (child(node, "distinct") == true) return no(name + "(DISTINCT ...)");
    if (!child(child(node, "order_bys"), "orders").empty()) return no(name + "(... ORDER BY ...)");
    if (arguments == 1) {
      if (aggregates_in(child(node, "children"))) return no("an aggregate in an aggregate");
      if (!print_stripped(child(node, "children")[0], &aggregate.argument)) return false;
    }
    if (!child(node, "filter").is_null() &&
        !print_stripped(child(node, "filter"), &aggregate.filter))
      return false;
    auto found = std::find(aggregates_.begin(), aggregates_.end(), aggregate);
    if (found == aggregates_.end()) found = aggregates_.insert(found, std::move(aggregate));
    node = make_column_ref({fmt::format("pgweir_a{}", found - aggregates_.begin())});
    return true;
  }

  bool group_columns() {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      PlanColumn column;
      column.column = result_[i];
      const auto key = std::find(keys_.begin(), keys_.end(), items_[i]);
      if (key != keys_.end()) column.group = static_cast<std::size_t>(key - keys_.begin());
      Json expression = items_[i];
      if (!to_state(expression)) return false;
      if (!print_stripped(expression, &column.sql)) return false;
      plan_.columns.push_back(std::move(column));
    }
    return having();
  }

  bool having() {
    if (child(view_.node, "having").is_null()) return true;
    Json expression = child(view_.node, "having");
    bool ambiguous = false;
    walk(expression, [&](const Json& node) {
      const auto names = names_of(node);
      ambiguous =
          ambiguous || (names.size() == 1 && find(names) && select_alias(names[0]) != nullptr);
      return true;
    });
    if (ambiguous) return no("HAVING over a name that is both a column and an alias");
    if (!canonicalise(expression)) return false;
    strip_offsets(expression);
    return to_state(expression) && print_stripped(expression, &plan_.having);
  }

  // FROM over the declared relations, for types.
  std::string declared_from() const {
    std::string from;
    for (const PlanInput& input : plan_.inputs) {
      std::string relation =
          quote_identifier(input.relation->schema) + "." + quote_identifier(input.relation->table);
      if (input.window) relation = windowed_rows(*input.window, relation);
      from += fmt::format("{}{} AS {}", from.empty() ? "" : ", ", relation, input.alias);
    }
    return from;
  }

  bool aggregate_types() {
    std::string list;
    for (const std::string& sql : plan_.group_sql)
      list += fmt::format("{}({})", list.empty() ? "" : ", ", sql);
    for (const Aggregate& aggregate : aggregates_) {
      list += list.empty() ? "" : ", ";
      list += aggregate.argument.empty() ? "1" : "(" + aggregate.argument + ")";
    }
    if (list.empty()) return true;
    auto types = parser_.describe(fmt::format("SELECT {} FROM {}", list, declared_from()));
    if (!types.ok() || types->size() != plan_.group_sql.size() + aggregates_.size())
      return no("an expression whose type DuckDB does not tell alone");
    for (std::size_t i = 0; i < plan_.group_sql.size(); ++i)
      plan_.groups.push_back({fmt::format("pgweir_g{}", i), types.value()[i].type});
    for (std::size_t i = 0; i < aggregates_.size(); ++i)
      aggregates_[i].argument_type = types.value()[plan_.group_sql.size() + i].type;
    return true;
  }

  bool finish_groups() {
    if (plan_.global) {
      plan_.groups.push_back({"pgweir_g0", "TINYINT"});
      plan_.group_sql.push_back("CAST(0 AS TINYINT)");
    }
    plan_.partials.push_back({"pgweir_n", "BIGINT", "CAST(1 AS BIGINT)"});
    for (std::size_t i = 0; i < aggregates_.size(); ++i) {
      std::string final_sql;
      const std::string reason = add_total(aggregates_[i], plan_, &final_sql);
      if (!reason.empty()) return no(reason);
      plan_.finals.emplace_back(fmt::format("pgweir_a{}", i), std::move(final_sql));
    }
    return true;
  }

  std::string describe() const {
    std::string text = plan_.inputs.size() == 2 ? "an inner join on equality" : "one relation";
    const auto in_windows = std::find_if(plan_.inputs.begin(), plan_.inputs.end(),
                                         [](const PlanInput& input) { return input.window; });
    if (in_windows != plan_.inputs.end()) text += " in " + in_windows->window->text();
    if (plan_.grouped)
      return text + (plan_.global ? ", totals over all rows" : ", totals by group");
    return text + (plan_.conditions.size() > plan_.join.size() ? ", filtered rows" : ", every row");
  }

  SqlParser& parser_;
  const FunctionCatalog& functions_;
  const ViewDefinition& view_;
  const std::vector<const Relation*>& relations_;
  const std::vector<std::optional<Window>>& windows_;
  const std::vector<engine::StoreColumn>& result_;

  Plan plan_;
  std::string reason_;
  Status failure_;
  std::vector<std::string> names_;  // by which the SQL calls the inputs
  std::vector<std::string> schemas_;
  std::vector<std::string> using_;
  std::vector<Json> conditions_;
  std::vector<Json> items_;  // SELECT list, canonical, without offsets
  std::vector<Json> keys_;   // GROUP BY, the same
  std::vector<Aggregate> aggregates_;
};

}  // namespace

Result<PlanOutcome> make_plan(SqlParser& parser, const FunctionCatalog& functions,
                              const ViewDefinition& view,
                              const std::vector<const Relation*>& relations,
                              const std::vector<std::optional<Window>>& windows,
                              const std::vector<engine::StoreColumn>& result) {
  return Planner(parser, functions, view, relations, windows, result).run();
}

}  // namespace pgweir::views
