#include "views/plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/scope.h"
#include "views/select_tree.h"
#include "views/totals.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

constexpr const char* kNoAlias = "";

class Planner {
 public:
  Planner(SqlParser& parser, const FunctionCatalog& functions, const ViewDefinition& view,
          const std::vector<const Relation*>& relations,
          const std::vector<std::optional<Window>>& windows,
          const std::vector<engine::StoreColumn>& result)
      : parser_(parser),
        functions_(functions),
        view_(view),
        scope_(view, relations, windows),
        result_(result) {}

  Result<PlanOutcome> run() {
    PlanOutcome outcome;
    const bool planned = shape() && inputs() && select_list() && conditions() && heads();
    if (!failure_.ok()) return failure_.error();
    if (planned) {
      outcome.reason = describe();
      outcome.plan = std::move(plan_);
    } else {
      outcome.reason = scope_.reason();
    }
    return outcome;
  }

 private:
  bool no(std::string reason, std::uint64_t offset = kNoOffset) {
    return scope_.no(std::move(reason), offset);
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
    if (!scope_.add_from(child(view_.node, "from_table")) || !scope_.names_differ()) return false;
    for (const Scope::Input& read : scope_.inputs()) {
      for (const PlanInput& other : plan_.inputs)
        plan_.flat = plan_.flat || other.relation == read.relation;
      PlanInput input;
      input.relation = read.relation;
      input.alias = fmt::format("i{}", plan_.inputs.size());
      input.window = read.window;
      if (input.window && input.window->goes_by_other_rows())
        return no("the " + input.window->text() +
                      " of a row go by other rows: a view SELECT * FROM session(...) is kept by "
                      "partition, read that",
                  read.offset);
      // Also where no column of the window is named it says how often a row comes.
      if (input.window) input.used.push_back(input.window->time_column);
      plan_.inputs.push_back(std::move(input));
    }
    if (plan_.inputs.size() > kJoinInputsMax)
      return no(fmt::format("a join of more than {} relations", kJoinInputsMax));
    plan_.flat = plan_.flat || plan_.inputs.size() > 2;
    if (plan_.flat) scope_.make_flat();
    return true;
  }

  // --- SELECT list ---

  bool select_list() {
    if (!scope_.select_list(&items_)) return false;
    if (items_.size() != result_.size()) return no("a SELECT list that cannot be followed");
    return true;
  }

  // --- WHERE and ON ---

  bool conditions() {
    std::vector<Json> written = scope_.conditions();
    if (!child(view_.node, "where_clause").is_null())
      written.push_back(child(view_.node, "where_clause"));
    std::vector<Json> conjuncts;
    for (Json& condition : written) {
      if (!scope_.canonicalise(condition)) return false;
      split_conjuncts(condition, &conjuncts);
    }
    const auto side = [&](std::size_t input, const std::string& column) {
      return scope_.reference(input, *scope_.find_column(input, column));
    };
    for (std::size_t i = 0, written_ones = conjuncts.size(); i < written_ones; ++i)
      common_conjuncts(conjuncts[i], &conjuncts);
    for (const Scope::Using& pair : scope_.usings()) {
      conjuncts.push_back({{"class", "COMPARISON"},
                           {"type", "COMPARE_EQUAL"},
                           {"alias", ""},
                           {"query_location", kNoOffset},
                           {"left", side(pair.left, pair.column)},
                           {"right", side(pair.right, pair.column)}});
    }
    for (Json& conjunct : conjuncts) {
      strip_offsets(conjunct);
      if (aggregates_in(conjunct)) return no("an aggregate in WHERE");
      Condition condition;
      if (!print_stripped(conjunct, &condition.sql)) return false;
      walk(conjunct, [&](const Json& node) {
        if (const auto place = scope_.place_of_reference(node))
          condition.inputs.insert(place->input);
        return true;
      });
      plan_.conditions.push_back(std::move(condition));
      note_join_key(conjunct);
    }
    if (find_steps(plan_, false)) return true;
    for (const Json& conjunct : conjuncts)
      if (scope_.is_expression_key(conjunct)) return no("a join by an expression");
    every_pair_ = true;
    return find_steps(plan_, true);
  }

  // (a AND b) OR (a AND c): a holds in any case, and may be what is joined by.
  static void common_conjuncts(const Json& condition, std::vector<Json>* conjuncts) {
    if (text_of(condition, "type") != "CONJUNCTION_OR") return;
    std::vector<Json> common;
    bool first = true;
    for (Json branch : child(condition, "children")) {
      strip_offsets(branch);
      std::vector<Json> own;
      split_conjuncts(branch, &own);
      if (first) common = own;
      std::erase_if(common, [&](const Json& conjunct) {
        return std::find(own.begin(), own.end(), conjunct) == own.end();
      });
      first = false;
    }
    conjuncts->insert(conjuncts->end(), common.begin(), common.end());
  }

  void note_join_key(const Json& conjunct) {
    if (text_of(conjunct, "type") != "COMPARE_EQUAL") return;
    JoinKey key;
    const auto* left = scope_.plain_column(child(conjunct, "left"), &key.left_input);
    const auto* right = scope_.plain_column(child(conjunct, "right"), &key.right_input);
    if (left == nullptr || right == nullptr || key.left_input == key.right_input) return;
    if (!joinable(left->type, right->type)) return;
    key.left = *left;
    key.right = *right;
    plan_.join.push_back(std::move(key));
  }

  // Expressions lose their offsets to be compared; printing wants them back.
  bool print_stripped(const Json& expression, std::string* sql) {
    Json whole = expression;
    restore_offsets(whole);
    note_used(whole);
    return printed(whole, sql);
  }

  void note_used(const Json& expression) {
    walk(expression, [&](const Json& node) {
      const auto place = scope_.place_of_reference(node);
      if (!place) return true;
      std::size_t input = 0;
      const PlanInput& named = plan_.inputs[place->input];
      if (const auto* column = scope_.plain_column(node, &input))
        use(input, column->name);
      else if (named.window)
        use(place->input, named.window->time_column);
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
      if (const auto* source = scope_.plain_column(items_[i], &input))
        column.source = {input, source->name};
      else if (const auto place = scope_.place_of_reference(items_[i]))
        column.source = {place->input, place->column};
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
        if (!scope_.canonicalise(key)) return false;
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
      ambiguous = ambiguous || (names.size() == 1 && scope_.find(names) &&
                                scope_.select_alias(names[0]) != nullptr);
      return true;
    });
    if (ambiguous) return no("HAVING over a name that is both a column and an alias");
    if (!scope_.canonicalise(expression)) return false;
    strip_offsets(expression);
    return to_state(expression) && print_stripped(expression, &plan_.having);
  }

  // FROM over the declared relations, for types.
  std::string declared_from() const {
    std::string from;
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i) {
      const Relation& relation = *plan_.inputs[i].relation;
      from += (from.empty() ? "" : ", ") + input_from(plan_, i,
                                                      quote_identifier(relation.schema) + "." +
                                                          quote_identifier(relation.table));
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
    std::string text = "one relation";
    if (plan_.inputs.size() == 2) text = "an inner join on equality";
    if (plan_.inputs.size() > 2)
      text = fmt::format("an inner join of {} on equalities", plan_.inputs.size());
    if (every_pair_)
      text = fmt::format("a join of {} in which rows are met by all others", plan_.inputs.size());
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
  Scope scope_;
  const std::vector<engine::StoreColumn>& result_;

  Plan plan_;
  Status failure_;
  bool every_pair_ = false;  // some inputs are joined without an equality
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
