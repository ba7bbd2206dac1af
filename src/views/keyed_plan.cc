#include "views/keyed_plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/outer_joins.h"
#include "views/scope.h"
#include "views/select_tree.h"
#include "views/totals.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

class KeyedPlanner {
 public:
  KeyedPlanner(SqlParser& parser, const FunctionCatalog& functions, const ViewDefinition& view,
               const std::vector<const Relation*>& relations,
               const std::vector<std::optional<Window>>& windows,
               const std::vector<engine::StoreColumn>& result)
      : parser_(parser),
        functions_(functions),
        view_(view),
        scope_(view, relations, windows),
        result_(result) {}

  Result<KeyedOutcome> run() {
    KeyedOutcome outcome;
    const bool planned = shape() && inputs() && expressions() && keys() && columns() && texts();
    if (!failure_.ok()) return failure_.error();
    outcome.reason = planned ? reason_ : scope_.reason();
    plan_.plain = plan_.inputs.size() == 1 && !has_subquery(view_.node);
    plan_.distinct = planned && !grouped_ && shows_rows();
    if (planned) outcome.plan = std::move(plan_);
    return outcome;
  }

 private:
  bool no(std::string reason, std::uint64_t offset = kNoOffset) {
    return scope_.no(std::move(reason), offset);
  }

  bool shape() {
    const Json& node = view_.node;
    if (text_of(node, "type") != "SELECT_NODE") return no("not a plain SELECT");
    if (!child(child(node, "cte_map"), "map").empty()) return no("a WITH query");
    for (const Json& modifier : child(node, "modifiers"))
      if (text_of(modifier, "type") != "ORDER_MODIFIER") return no("DISTINCT or LIMIT");
    if (child(node, "group_sets").size() > 1) return no("several grouping sets");
    if (!parser_.prints_back(node)) return no("DuckDB does not print this SELECT back unchanged");
    return true;
  }

  bool inputs() {
    const Json& from = child(view_.node, "from_table");
    if (text_of(from, "type") == "JOIN") {
      const std::string kind = text_of(from, "join_type");
      if (kind == "LEFT") plan_.join = "LEFT";
      if (kind == "RIGHT") plan_.join = "RIGHT";
      if (kind == "FULL" || kind == "OUTER") plan_.join = "FULL";
      if (plan_.join.empty()) return no(kind + " join", offset_of(from));
      if (!scope_.add_any_from(from) || !scope_.names_differ()) return false;
      if (scope_.inputs().size() > 2) return no("an outer join of more than two relations");
    } else if (!scope_.add_from(from)) {
      return false;
    }
    for (const Scope::Input& read : scope_.inputs()) {
      if (read.window) return no("windows of time");
      plan_.inputs.push_back({.relation = read.relation,
                              .alias = fmt::format("i{}", plan_.inputs.size()),
                              .used = {},
                              .key = {}});
    }
    if (plan_.inputs.size() != (plan_.join.empty() ? 1U : 2U))
      return no("an outer join of more than two relations");
    if (!plan_.join.empty() && plan_.inputs[0].relation == plan_.inputs[1].relation)
      return no("an outer join of a relation with itself");
    return true;
  }

  // Every expression of the SELECT in canonical form.
  bool expressions() {
    const Json& node = view_.node;
    if (!scope_.select_list(&items_, Scope::Windows::kAllowed)) return false;
    if (items_.size() != result_.size()) return no("a SELECT list that cannot be followed");
    if (!child(node, "where_clause").is_null() && !canonical(child(node, "where_clause"), &where_))
      return false;
    if (!child(node, "qualify").is_null() && !canonical(child(node, "qualify"), &qualify_))
      return false;
    for (const Json& condition : scope_.conditions()) {
      Json written;
      if (!canonical(condition, &written)) return false;
      split_conjuncts(written, &on_);
    }
    const auto any = [&](const char* kind) {
      bool found = false;
      const auto look = [&](const Json& below) {
        found = found || is_class(below, kind);
        return !found;
      };
      for (const Json& item : items_) walk(item, look);
      walk(qualify_, look);
      return found;
    };
    has_windows_ = any("WINDOW");
    grouped_ = text_of(node, "aggregate_handling") == "FORCE_AGGREGATES" ||
               !child(node, "group_expressions").empty() || !child(node, "having").is_null() ||
               std::any_of(items_.begin(), items_.end(),
                           [&](const Json& item) { return has_aggregates(functions_, item); });
    if (grouped_ && has_windows_) return no("window functions over groups");
    Json from = child(node, "from_table");
    if (!plan_.join.empty() && reduce_outer_joins(scope_, where_, from))
      return no("an outer join that its WHERE makes a smaller one");
    if (!plan_.join.empty() && (grouped_ || has_windows_)) return no("an outer join in a query");
    return !grouped_ || groups();
  }

  bool canonical(const Json& expression, Json* out) {
    *out = expression;
    if (!scope_.canonicalise(*out, Scope::Windows::kAllowed)) return false;
    strip_offsets(*out);
    return true;
  }

  bool groups() {
    const Json& node = view_.node;
    for (const Json& expression : child(node, "group_expressions")) {
      Json key;
      const Json& value = child(child(expression, "value"), "value");
      if (is_class(expression, "CONSTANT") && value.is_number_integer()) {
        const auto ordinal = value.get<std::int64_t>();
        if (ordinal < 1 || ordinal > static_cast<std::int64_t>(items_.size()))
          return no("a GROUP BY ordinal that cannot be followed");
        key = items_[static_cast<std::size_t>(ordinal - 1)];
      } else if (!canonical(expression, &key)) {
        return false;
      }
      groups_.push_back(std::move(key));
    }
    if (text_of(node, "aggregate_handling") == "FORCE_AGGREGATES") {
      for (const Json& item : items_)
        if (!has_aggregates(functions_, item)) groups_.push_back(item);
    }
    if (child(node, "having").is_null()) return true;
    bool ambiguous = false;
    walk(child(node, "having"), [&](const Json& below) {
      const auto names = names_of(below);
      ambiguous = ambiguous || (names.size() == 1 && scope_.find(names) &&
                                scope_.select_alias(names[0]) != nullptr);
      return true;
    });
    if (ambiguous) return no("HAVING over a name that is both a column and an alias");
    return canonical(child(node, "having"), &having_);
  }

  // --- Keys ---

  bool keys() {
    if (!plan_.join.empty()) return join_keys();
    if (grouped_) return group_keys();
    if (has_windows_) return partition_keys();
    return no("rows of one relation");
  }

  bool add_key(const engine::StoreColumn& column) {
    KeyedInput& input = plan_.inputs[0];
    if (std::find(input.key.begin(), input.key.end(), column) != input.key.end()) return true;
    const std::string name = fmt::format("pgweir_k{}", plan_.key.size());
    input.key.push_back(column);
    plan_.key.push_back({name, column.type});
    plan_.key_sql.push_back("i0." + quote_identifier(column.name));
    return true;
  }

  bool group_keys() {
    for (const Json& key : groups_) {
      std::size_t input = 0;
      const engine::StoreColumn* column = scope_.plain_column(key, &input);
      if (column == nullptr) return no("groups by an expression");
      add_key(*column);
    }
    if (plan_.key.empty()) return no("aggregates over all rows");
    plan_.unique = true;
    reason_ = "groups whose aggregates are computed from their rows";
    return true;
  }

  // The columns by which every window function has its partitions.
  bool partition_keys() {
    std::vector<engine::StoreColumn> common;
    bool first = true;
    const auto look = [&](const Json& node) {
      if (!is_class(node, "WINDOW")) return true;
      std::vector<engine::StoreColumn> own;
      for (const Json& partition : child(node, "partitions")) {
        std::size_t input = 0;
        if (const auto* column = scope_.plain_column(partition, &input)) own.push_back(*column);
      }
      if (first) {
        common = own;
      } else {
        std::erase_if(common, [&](const engine::StoreColumn& column) {
          return std::find(own.begin(), own.end(), column) == own.end();
        });
      }
      first = false;
      return true;
    };
    for (const Json& item : items_) walk(item, look);
    walk(qualify_, look);
    for (const engine::StoreColumn& column : common) add_key(column);
    if (plan_.key.empty()) return no("window functions without a common plain PARTITION BY column");
    reason_ = "window functions within partitions";
    return true;
  }

  bool join_keys() {
    std::vector<Json> conjuncts = on_;
    for (const Scope::Using& pair : scope_.usings()) {
      Json equality = {{"class", "COMPARISON"},
                       {"type", "COMPARE_EQUAL"},
                       {"alias", ""},
                       {"left", scope_.reference(0, *scope_.find_column(0, pair.column))},
                       {"right", scope_.reference(1, *scope_.find_column(1, pair.column))}};
      strip_offsets(equality);
      conjuncts.push_back(equality);
      on_.push_back(std::move(equality));
    }
    for (const Json& conjunct : conjuncts) {
      if (text_of(conjunct, "type") != "COMPARE_EQUAL") continue;
      std::size_t left_input = 0, right_input = 0;
      const auto* left = scope_.plain_column(child(conjunct, "left"), &left_input);
      const auto* right = scope_.plain_column(child(conjunct, "right"), &right_input);
      if (left == nullptr || right == nullptr || left_input == right_input) continue;
      if (left_input == 1) std::swap(left, right);
      const std::string type = common_type(left->type, right->type);
      if (type.empty()) continue;
      const std::string name = fmt::format("pgweir_k{}", plan_.key.size());
      const std::string one = "i0." + quote_identifier(left->name);
      const std::string other = "i1." + quote_identifier(right->name);
      plan_.inputs[0].key.push_back(*left);
      plan_.inputs[1].key.push_back(*right);
      plan_.key.push_back({name, type});
      if (plan_.join == "LEFT") plan_.key_sql.push_back(one);
      if (plan_.join == "RIGHT") plan_.key_sql.push_back(other);
      // Equal values, or one that is NULL; a row without a partner has its own.
      if (plan_.join == "FULL")
        plan_.key_sql.push_back(fmt::format("coalesce(CAST({} AS {}), {})", one, type, other));
    }
    if (plan_.key.empty()) return no("an outer join without an equality of plain columns");
    reason_ = plan_.join + " join, by the joined columns";
    return true;
  }

  // --- Texts ---

  bool print(const Json& expression, std::string* sql) {
    if (expression.is_null()) return true;
    Json whole = expression;
    restore_offsets(whole);
    walk(whole, [&](const Json& node) {
      std::size_t input = 0;
      if (const auto* column = scope_.plain_column(node, &input)) use(input, column->name);
      return true;
    });
    auto text = parser_.print(whole);
    if (!text.ok()) {
      failure_ = text.error();
      return false;
    }
    *sql = std::move(text).value();
    return true;
  }

  void use(std::size_t input, const std::string& column) {
    auto& used = plan_.inputs[input].used;
    if (std::find(used.begin(), used.end(), column) == used.end()) used.push_back(column);
  }

  bool columns() {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      PlanColumn column;
      column.column = result_[i];
      if (!print(items_[i], &column.sql)) return false;
      std::size_t input = 0;
      if (const auto* source = scope_.plain_column(items_[i], &input))
        column.source = {input, source->name};
      plan_.columns.push_back(std::move(column));
    }
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i)
      for (const auto& key : plan_.inputs[i].key) use(i, key.name);
    return true;
  }

  // One row of the result for a row of the only input at the most, and with its key. (Of a function
  // in the SELECT list nobody knows how many rows it gives.)
  bool shows_rows() const {
    if (plan_.inputs.size() != 1 || !plan_.inputs[0].relation->unique) return false;
    for (std::size_t i = 0; i < items_.size(); ++i)
      if (!plan_.columns[i].source && !is_class(items_[i], "WINDOW")) return false;
    const auto& key = plan_.inputs[0].relation->key;
    return std::all_of(key.begin(), key.end(), [&](const engine::StoreColumn& wanted) {
      return std::any_of(plan_.columns.begin(), plan_.columns.end(), [&](const PlanColumn& column) {
        return column.source && column.source->second == wanted.name;
      });
    });
  }

  bool texts() {
    for (const Json& conjunct : on_) {
      std::string sql;
      if (!print(conjunct, &sql)) return false;
      plan_.on += fmt::format("{}({})", plan_.on.empty() ? "" : " AND ", sql);
    }
    for (const Json& group : groups_) {
      std::string sql;
      if (!print(group, &sql)) return false;
      plan_.group_by += (plan_.group_by.empty() ? "" : ", ") + sql;
    }
    return print(where_, &plan_.where) && print(having_, &plan_.having) &&
           print(qualify_, &plan_.qualify);
  }

  SqlParser& parser_;
  const FunctionCatalog& functions_;
  const ViewDefinition& view_;
  Scope scope_;
  const std::vector<engine::StoreColumn>& result_;

  KeyedPlan plan_;
  std::string reason_;
  Status failure_;
  bool grouped_ = false;
  bool has_windows_ = false;
  std::vector<Json> items_, groups_, on_;
  Json where_, having_, qualify_;
};

}  // namespace

bool has_aggregates(const FunctionCatalog& functions, const Json& expression) {
  bool found = false;
  walk(expression, [&](const Json& node) {
    found = found ||
            (is_class(node, "FUNCTION") && functions.is_aggregate(text_of(node, "function_name")));
    return !found && !is_class(node, "SUBQUERY");
  });
  return found;
}

Result<KeyedOutcome> make_keyed_plan(SqlParser& parser, const FunctionCatalog& functions,
                                     const ViewDefinition& view,
                                     const std::vector<const Relation*>& relations,
                                     const std::vector<std::optional<Window>>& windows,
                                     const std::vector<engine::StoreColumn>& result) {
  return KeyedPlanner(parser, functions, view, relations, windows, result).run();
}

}  // namespace pgweir::views
