#include "views/canonical_layers.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/keyed_plan.h"
#include "views/outer_joins.h"
#include "views/outline_builder.h"
#include "views/scope.h"
#include "views/select_tree.h"
#include "views/totals.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

class CanonicalTaker {
 public:
  CanonicalTaker(SqlParser& parser, const FunctionCatalog& functions, const BoundSelect& select,
                 const NamePart& name_part)
      : functions_(functions),
        select_(select),
        scope_(select.definition, select.relations, select.windows),
        builder_(parser, name_part) {}

  Result<std::optional<Outline>> run(const Json& node) { return builder_.result(layers(node)); }

 private:
  // Everything that the SELECT says in canonical form: inputs are called i0, i1 ...
  bool canonical(const Json& node) {
    if (text_of(node, "type") != "SELECT_NODE" || !only_ordered(node)) return false;
    if (child(node, "group_sets").size() > 1) {
      for (const Json& set : child(node, "group_sets"))
        sets_.push_back(set.get<std::vector<std::size_t>>());
    }
    from_ = child(node, "from_table");
    if (!scope_.add_any_from(from_) || !scope_.names_differ()) return false;
    std::size_t next = 0;
    if (!name_leaves(from_, &next)) return false;
    if (!scope_.select_list(&items_, Scope::Windows::kAllowed)) return false;
    if (items_.size() != select_.columns.size()) return false;
    if (!canonical(child(node, "where_clause"), &where_) ||
        !canonical(child(node, "qualify"), &qualify_))
      return false;
    for (const Json& item : items_) has_windows_ = has_windows_ || has_window(item);
    has_windows_ = has_windows_ || !qualify_.is_null();
    return canonical_groups(node);
  }

  bool canonical_groups(const Json& node) {
    const bool by_all = text_of(node, "aggregate_handling") == "FORCE_AGGREGATES";
    for (const Json& expression : child(node, "group_expressions")) {
      Json key;
      if (const auto ordinal = integer_of(expression)) {
        if (*ordinal < 1 || *ordinal > static_cast<std::int64_t>(items_.size())) return false;
        key = items_[static_cast<std::size_t>(*ordinal - 1)];
      } else if (!canonical(expression, &key)) {
        return false;
      }
      groups_.push_back(std::move(key));
    }
    for (const Json& item : items_) {
      const bool aggregates = has_aggregates(functions_, item);
      grouped_ = grouped_ || aggregates;
      if (by_all && !aggregates) groups_.push_back(item);
    }
    grouped_ = grouped_ || by_all || !groups_.empty() || !child(node, "having").is_null();
    bool ambiguous = false;
    walk(child(node, "having"), [&](const Json& below) {
      const auto names = names_of(below);
      ambiguous = ambiguous || (names.size() == 1 && scope_.find(names) &&
                                scope_.select_alias(names[0]) != nullptr);
      return true;
    });
    return !ambiguous && canonical(child(node, "having"), &having_);
  }

  bool canonical(const Json& expression, Json* out) {
    *out = expression;
    if (expression.is_null()) return true;
    if (!scope_.canonicalise(*out, Scope::Windows::kAllowed)) return false;
    strip_offsets(*out);
    return true;
  }

  // FROM with its tables called i0, i1 ..., and USING as conditions of ON.
  bool name_leaves(Json& from, std::size_t* next) {
    if (text_of(from, "type") != "JOIN") {
      from["alias"] = fmt::format("i{}", (*next)++);
      return true;
    }
    const std::size_t first = *next;
    if (!name_leaves(child_of(from, "left"), next)) return false;
    const std::size_t middle = *next;
    if (!name_leaves(child_of(from, "right"), next)) return false;
    Json condition;
    if (!canonical(child(from, "condition"), &condition)) return false;
    for (const Scope::Using& pair : scope_.usings()) {
      const bool here =
          pair.left >= first && pair.left < middle && pair.right >= middle && pair.right < *next;
      if (!here) continue;
      Json equal =
          equality(scope_.reference(pair.left, *scope_.find_column(pair.left, pair.column)),
                   scope_.reference(pair.right, *scope_.find_column(pair.right, pair.column)));
      strip_offsets(equal);
      condition = condition.is_null() ? equal : conjunction_of({condition, equal});
    }
    from["ref_type"] = "REGULAR";
    from["condition"] = condition.is_null() ? true_node() : condition;
    from["using_columns"] = Json::array();
    return true;
  }

  bool layers(const Json& node) {
    if (!canonical(node)) return false;
    if (grouped_ && has_windows_) return below_windows();
    if (has_windows_ && top_rows()) return true;
    if (grouped_ || has_windows_) {
      if (below_groups()) return true;
      if (!sets_.empty()) return grouping_sets();
      return grouped_ && groups_.empty() && overall_aggregates();
    }
    return inner_joins() || outer_joins() || expression_keys();
  }

  // The leaves of a FROM.
  void leaves_of(const Json& from, std::vector<std::size_t>* leaves) const {
    if (text_of(from, "type") == "JOIN") {
      leaves_of(child(from, "left"), leaves);
      leaves_of(child(from, "right"), leaves);
    } else {
      leaves->push_back(static_cast<std::size_t>(std::stoul(text_of(from, "alias").substr(1))));
    }
  }

  // The columns of some leaves that the expressions name, each once.
  std::vector<Scope::Place> places_in(const std::vector<const Json*>& expressions,
                                      const std::vector<std::size_t>& leaves) const {
    std::vector<Scope::Place> places;
    for (const Json* expression : expressions) {
      walk(*expression, [&](const Json& node) {
        const auto place = scope_.place_of_reference(node);
        if (place && std::find(leaves.begin(), leaves.end(), place->input) != leaves.end() &&
            std::find(places.begin(), places.end(), *place) == places.end())
          places.push_back(*place);
        return true;
      });
    }
    return places;
  }

  Json stripped_reference(const Scope::Place& place) const {
    Json reference = scope_.reference(place.input, place.column);
    strip_offsets(reference);
    return reference;
  }

  static Json stripped_reference(const std::string& alias, const std::string& column) {
    Json reference = make_column_ref({alias, column});
    strip_offsets(reference);
    return reference;
  }

  std::string print_canonical(Json node) {
    restore_offsets(node);
    return builder_.printed(node);
  }

  // A part with these columns of a FROM; then they stand in all `expressions` as columns of a table
  // called `alias`. A part needs a column.
  std::string part_of(const Json& from, const Json& where, const std::vector<Scope::Place>& places,
                      const std::vector<Json>& computed, const std::string& alias,
                      const std::vector<Json*>& expressions,
                      const std::vector<Json*>* computed_in = nullptr) {
    Json list = Json::array();
    const auto add = [&](const Json& expression, const std::vector<Json*>& in) {
      Json item = expression;
      const std::string name = fmt::format("c{}", list.size());
      item["alias"] = name;
      list.push_back(std::move(item));
      for (Json* each : in) replace_equal(*each, expression, stripped_reference(alias, name));
    };
    // The longer ones first: they hold columns.
    for (const Json& expression : computed)
      add(expression, computed_in != nullptr ? *computed_in : expressions);
    for (const Scope::Place& place : places) add(stripped_reference(place), expressions);
    if (list.empty()) list.push_back(builder_.expression_of("1", "c0"));
    Json select = select_node(std::move(list), from);
    select["where_clause"] = where;
    return builder_.add_part(print_canonical(std::move(select)));
  }

  void put_groups(Json& select) const {
    Json set = Json::array();
    for (const Json& group : groups_) {
      set.push_back(select["group_expressions"].size());
      select["group_expressions"].push_back(group);
    }
    if (!sets_.empty())
      select["group_sets"] = sets_;
    else if (!groups_.empty())
      select["group_sets"].push_back(std::move(set));
  }

  // The rest: `items_` and all that is behind FROM, over `from`.
  void print_rest(const Json& from) {
    Json list = Json::array();
    for (std::size_t i = 0; i < items_.size(); ++i) {
      Json item = items_[i];
      item["alias"] = select_.columns[i].name;
      list.push_back(std::move(item));
    }
    Json select = select_node(std::move(list), from);
    select["where_clause"] = where_;
    select["having"] = having_;
    select["qualify"] = qualify_;
    put_groups(select);
    builder_.outline().sql = print_canonical(std::move(select));
  }

  std::vector<Json*> all_expressions() {
    std::vector<Json*> all = {&where_, &having_, &qualify_};
    for (Json& item : items_) all.push_back(&item);
    for (Json& group : groups_) all.push_back(&group);
    return all;
  }

  static bool is_plain_table(const Json& from) { return text_of(from, "type") == "BASE_TABLE"; }

  bool is_plain(const Json& expression) const {
    std::size_t input = 0;
    return scope_.plain_column(expression, &input) != nullptr;
  }

  // Groups and window functions over one plain relation, by plain columns of it.
  bool below_groups() {
    std::vector<Json> computed;
    const auto note = [&](const Json& key) {
      if (!is_plain(key) && std::find(computed.begin(), computed.end(), key) == computed.end())
        computed.push_back(key);
    };
    for (const Json& group : groups_) note(group);
    const auto partitions = [&](const Json& node) {
      if (is_class(node, "WINDOW"))
        for (const Json& partition : child(node, "partitions")) note(partition);
      return true;
    };
    for (const Json& item : items_) walk(item, partitions);
    walk(qualify_, partitions);
    if (is_plain_table(from_) && where_.is_null() && computed.empty()) return false;
    std::vector<std::size_t> leaves;
    leaves_of(from_, &leaves);
    const Json where = where_;
    where_ = nullptr;
    std::vector<const Json*> named;
    for (const Json* each : all_expressions()) named.push_back(each);
    const std::string part =
        part_of(from_, where, places_in(named, leaves), computed, "p0", all_expressions());
    print_rest(table_node(part, "p0"));
    return true;
  }

  // The groups become a part, over which the window functions stand.
  bool below_windows() {
    std::vector<Json> computed = groups_;
    const auto note = [&](const Json& node) {
      if (!is_aggregate(node) && text_of(node, "type") != "GROUPING_FUNCTION") return true;
      if (std::find(computed.begin(), computed.end(), node) == computed.end())
        computed.push_back(node);
      return false;
    };
    for (const Json& item : items_) walk(item, note);
    walk(qualify_, note);
    Json list = Json::array();
    std::vector<Json*> outside = {&qualify_};
    for (Json& item : items_) outside.push_back(&item);
    for (const Json& expression : computed) {
      Json item = expression;
      const std::string name = fmt::format("c{}", list.size());
      item["alias"] = name;
      list.push_back(std::move(item));
      for (Json* each : outside) replace_equal(*each, expression, stripped_reference("p0", name));
    }
    if (list.empty()) return false;
    Json groups = select_node(std::move(list), from_);
    groups["where_clause"] = where_;
    groups["having"] = having_;
    put_groups(groups);
    const std::string part = builder_.add_part(print_canonical(std::move(groups)));
    where_ = having_ = nullptr;
    groups_.clear();
    sets_.clear();
    print_rest(table_node(part, "p0"));
    return true;
  }

  static bool is_outer(const Json& from) {
    return text_of(from, "type") == "JOIN" && text_of(from, "join_type") != "INNER";
  }

  // What WHERE makes inner joins of.
  bool inner_joins() {
    if (!reduce_outer_joins(scope_, where_, from_)) return false;
    print_rest(from_);
    return true;
  }

  // Outer joins below others become parts, and so does what an outer join joins but is no table.
  bool outer_joins() {
    bool found = false;
    if (is_outer(from_)) {
      for (const char* side : {"left", "right"}) {
        Json& below = child_of(from_, side);
        if (!is_plain_table(below)) take_from(below, &found, taken_where(below, side));
      }
      if (!found && same_relations()) take_from(child_of(from_, "right"), &found);
    } else {
      take_outer(from_, &found);
    }
    if (!found) return false;
    print_rest(from_);
    return true;
  }

  bool same_relations() const {
    return scope_.inputs().size() == 2 &&
           scope_.inputs()[0].relation == scope_.inputs()[1].relation;
  }

  void take_outer(Json& from, bool* found) {
    if (is_outer(from)) {
      take_from(from, found);
    } else if (text_of(from, "type") == "JOIN") {
      take_outer(child_of(from, "left"), found);
      take_outer(child_of(from, "right"), found);
    }
  }

  // The conditions of WHERE that go by this side of the outer join alone, when every row of it is
  // in the result: they hold before the join as behind it.
  Json taken_where(const Json& below, const std::string& side) {
    const std::string kind = text_of(from_, "join_type");
    if (where_.is_null() || kind != (side == "left" ? "LEFT" : "RIGHT")) return nullptr;
    std::vector<std::size_t> leaves;
    leaves_of(below, &leaves);
    std::vector<Json> written, kept, taken;
    split_conjuncts(where_, &written);
    for (const Json& conjunct : written) {
      bool within = true, any = false;
      walk(conjunct, [&](const Json& node) {
        const auto place = scope_.place_of_reference(node);
        any = any || place;
        within = within &&
                 (!place || std::find(leaves.begin(), leaves.end(), place->input) != leaves.end());
        return within;
      });
      (any && within ? taken : kept).push_back(conjunct);
    }
    where_ = conjunction_of(kept);
    return conjunction_of(taken);
  }

  // Makes a part of a subtree of FROM.
  void take_from(Json& from, bool* found, const Json& where = nullptr) {
    std::vector<std::size_t> leaves;
    leaves_of(from, &leaves);
    const Json taken = from;
    const std::string alias = fmt::format("p{}", builder_.outline().parts.size());
    from = Json();  // so that its own conditions stay as they are
    std::vector<Json*> expressions = all_expressions();
    conditions_of(from_, &expressions);
    std::vector<const Json*> named(expressions.begin(), expressions.end());
    const std::string part =
        part_of(taken, where, places_in(named, leaves), {}, alias, expressions);
    from = table_node(part, alias);
    *found = true;
  }

  static void conditions_of(Json& from, std::vector<Json*>* conditions) {
    if (text_of(from, "type") != "JOIN") return;
    conditions->push_back(&child_of(from, "condition"));
    conditions_of(child_of(from, "left"), conditions);
    conditions_of(child_of(from, "right"), conditions);
  }

  bool is_aggregate(const Json& node) const {
    return is_class(node, "FUNCTION") && functions_.is_aggregate(text_of(node, "function_name"));
  }

  // --- Grouping sets ---

  // One group for each set, over one plain relation.
  bool grouping_sets() {
    for (const std::vector<std::size_t>& set : sets_) {
      const auto in_set = [&](std::size_t group) {
        return std::find(set.begin(), set.end(), group) != set.end();
      };
      Json list = Json::array();
      for (std::size_t i = 0; i < items_.size(); ++i) {
        Json item = items_[i];
        if (!to_set(item, in_set)) return false;
        Json cast = builder_.expression_of("CAST(NULL AS " + select_.columns[i].type + ")");
        if (!builder_.ok()) return false;
        cast["child"] = std::move(item);
        cast["alias"] = select_.columns[i].name;
        list.push_back(std::move(cast));
      }
      Json having = having_;
      if (!to_set(having, in_set)) return false;
      const bool total = having.is_null() && !has_aggregates(functions_, list);
      if (set.empty() && total) having = builder_.expression_of("count(*) >= 0");
      Json select = select_node(std::move(list), from_);
      select["having"] = std::move(having);
      Json numbers = Json::array();
      for (const std::size_t group : set) {
        if (group >= groups_.size()) return false;
        numbers.push_back(numbers.size());
        select["group_expressions"].push_back(groups_[group]);
      }
      if (!set.empty()) select["group_sets"].push_back(std::move(numbers));
      builder_.outline().all_of.push_back(builder_.add_part(print_canonical(std::move(select))));
    }
    return true;
  }

  // What an expression is in the rows of one set: NULL for the columns that are not in it.
  template <typename InSet>
  bool to_set(Json& node, const InSet& in_set) {
    if (!node.is_structured()) return true;
    const auto group_of = [&](const Json& expression) {
      const auto at = std::find(groups_.begin(), groups_.end(), expression);
      return static_cast<std::size_t>(at - groups_.begin());
    };
    if (const std::size_t group = group_of(node); group < groups_.size()) {
      if (in_set(group)) return true;
      std::size_t input = 0;
      const engine::StoreColumn* column = scope_.plain_column(node, &input);
      if (column == nullptr) return false;
      node = builder_.expression_of("CAST(NULL AS " + column->type + ")");
      strip_offsets(node);
      return builder_.ok();
    }
    if (is_aggregate(node)) return true;
    if (node.is_object() && text_of(node, "type") == "GROUPING_FUNCTION") {
      std::uint64_t bits = 0;
      for (const Json& expression : child(node, "children")) {
        const std::size_t group = group_of(expression);
        if (group == groups_.size()) return false;
        bits = bits * 2 + (in_set(group) ? 0 : 1);
      }
      node = builder_.expression_of(fmt::format("CAST({} AS BIGINT)", bits));
      strip_offsets(node);
      return builder_.ok();
    }
    return std::all_of(node.begin(), node.end(),
                       [&](Json& below) { return to_set(below, in_set); });
  }

  // --- Aggregates over all rows ---

  // Each in a part of its own, of one row: the least and the greatest of the different values, of
  // which the first are kept; what counts different values over these; totals; and the others.
  bool overall_aggregates() {
    std::vector<Json> found;
    const auto note = [&](const Json& node) {
      if (!is_aggregate(node)) return true;
      if (std::find(found.begin(), found.end(), node) == found.end()) found.push_back(node);
      return false;
    };
    for (const Json& item : items_) walk(item, note);
    walk(having_, note);
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
    if (!builder_.ok() || (single.empty() && (totals.empty() || others.empty()))) return false;
    Json from;
    const auto join = [&](const std::string& part, const std::string& alias) {
      Json table = table_node(part, alias);
      from = from.is_null() ? std::move(table)
                            : join_node(std::move(from), std::move(table), "INNER", nullptr);
    };
    const auto replace = [&](const Json& aggregate, const std::string& alias,
                             const std::string& column) {
      const Json value = stripped_reference(alias, column);
      for (Json& item : items_) replace_equal(item, aggregate, value);
      replace_equal(having_, aggregate, value);
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
      join(builder_.add_part(print_canonical(select_node(std::move(list), from_))), alias);
    }
    for (const auto& [aggregate, part] : single) {
      const std::string alias = fmt::format("p{}", number++);
      replace(aggregate, alias, "v");
      join(part, alias);
    }
    where_ = having_;
    having_ = nullptr;
    print_rest(from);
    return true;
  }

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
    Json select = select_node(Json::array({std::move(item)}), from_);
    select["where_clause"] = conjunction_of(conditions);
    select["group_expressions"].push_back(std::move(value));
    select["group_sets"].push_back(Json::array({0}));
    const std::string values = builder_.add_part(print_canonical(std::move(select)));
    if (counts) {
      return builder_.add_part(
          fmt::format("SELECT {}(c0) AS v FROM main.{}", name, quote_identifier(values)));
    }
    const std::string first =
        builder_.add_first_rows(values, {{"c0", least ? "ASC NULLS LAST" : "DESC NULLS LAST"}}, 1);
    return builder_.add_part(
        fmt::format("SELECT {}(c0) AS v FROM main.{}", name, quote_identifier(first)),
        Extent::kOneRow);
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
    for (const Json& item : items_) walk(item, look);
    walk(qualify_, look);
    const auto count = ranks_most();
    if (!alike || !count || *count > kFirstRowsMax) return false;
    std::vector<Json> computed;
    for (const Json& order : orders) {
      const Json& key = child(order, "expression");
      if (!is_plain(key) && std::find(computed.begin(), computed.end(), key) == computed.end())
        computed.push_back(key);
    }
    std::vector<std::size_t> leaves;
    leaves_of(from_, &leaves);
    const Json where = where_;
    where_ = nullptr;
    std::vector<Json*> expressions = all_expressions();
    expressions.push_back(&orders);
    const std::vector<const Json*> named(expressions.begin(), expressions.end());
    const std::string all =
        part_of(from_, where, places_in(named, leaves), computed, "p0", expressions);
    std::vector<FirstRows::Order> order;
    for (const Json& by : orders) {
      const auto names = names_of(child(by, "expression"));
      if (names.size() != 2) {
        builder_.fail(error(Code::kInvalid, "an order that is no column"));
        return false;
      }
      order.push_back({names[1], direction_of(by)});
    }
    print_rest(table_node(builder_.add_first_rows(all, std::move(order), *count), "p0"));
    builder_.outline().extent = Extent::kFewRows;
    return true;
  }

  // The greatest rank that QUALIFY lets through.
  std::optional<std::int64_t> ranks_most() const {
    std::vector<Json> conjuncts;
    if (!qualify_.is_null()) split_conjuncts(qualify_, &conjuncts);
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
    if (!where_.is_null() && !is_outer(from_)) split_conjuncts(where_, &conjuncts);
    std::vector<Json*> conditions;
    conditions_of(from_, &conditions);
    for (const Json* condition : conditions)
      if (!condition->is_null()) split_conjuncts(*condition, &conjuncts);
    std::vector<std::vector<Json>> computed(scope_.inputs().size());
    bool found = false;
    for (const Json& conjunct : conjuncts) {
      if (!scope_.is_expression_key(conjunct)) continue;
      for (const char* side : {"left", "right"}) {
        const Json& expression = child(conjunct, side);
        if (is_plain(expression)) continue;
        auto& own = computed[*scope_.only_input_of(expression)];
        if (std::find(own.begin(), own.end(), expression) == own.end()) own.push_back(expression);
        found = true;
      }
    }
    if (!found) return false;
    std::vector<Json*> leaves;
    leaves_in(from_, &leaves);
    for (std::size_t input = 0; input < leaves.size(); ++input) {
      if (computed[input].empty()) continue;
      const Json taken = *leaves[input];
      std::vector<Json*> expressions = all_expressions();
      for (Json* condition : conditions) expressions.push_back(condition);
      const std::vector<const Json*> named(expressions.begin(), expressions.end());
      const std::string alias = fmt::format("p{}", input);
      const std::string part = part_of(taken, nullptr, places_in(named, {input}), computed[input],
                                       alias, expressions, is_outer(from_) ? &conditions : nullptr);
      *leaves[input] = table_node(part, alias);
    }
    print_rest(from_);
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

  const FunctionCatalog& functions_;
  const BoundSelect& select_;
  Scope scope_;
  OutlineBuilder builder_;

  Json from_, where_, having_, qualify_;
  std::vector<Json> items_, groups_;
  std::vector<std::vector<std::size_t>> sets_;  // of groups_; empty for one of all
  bool grouped_ = false;
  bool has_windows_ = false;
};

}  // namespace

Result<std::optional<Outline>> take_canonical_layer(SqlParser& parser,
                                                    const FunctionCatalog& functions,
                                                    const BoundSelect& select, const Json& node,
                                                    const NamePart& name_part) {
  return CanonicalTaker(parser, functions, select, name_part).run(node);
}

}  // namespace pgweir::views
