#include "views/outline.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/keyed_plan.h"
#include "views/predicates.h"
#include "views/scope.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

Json& child_of(Json& node, const char* key) {
  return node[key];
}

void restore_offsets(Json& node) {
  if (!node.is_structured()) return;
  for (Json& below : node) restore_offsets(below);
  if (node.is_object() && (node.contains("class") || node.contains("type")) &&
      (node.contains("class") || node.contains("alias")))
    node["query_location"] = kNoOffset;
}

Json table_node(const std::string& name, const std::string& alias) {
  return {{"type", "BASE_TABLE"},
          {"alias", alias},
          {"sample", nullptr},
          {"query_location", kNoOffset},
          {"schema_name", "main"},
          {"table_name", name},
          {"column_name_alias", Json::array()},
          {"catalog_name", ""},
          {"at_clause", nullptr}};
}

Json select_node(Json select_list, Json from) {
  return {{"type", "SELECT_NODE"},
          {"modifiers", Json::array()},
          {"cte_map", {{"map", Json::array()}}},
          {"select_list", std::move(select_list)},
          {"from_table", std::move(from)},
          {"where_clause", nullptr},
          {"group_expressions", Json::array()},
          {"group_sets", Json::array()},
          {"aggregate_handling", "STANDARD_HANDLING"},
          {"having", nullptr},
          {"sample", nullptr},
          {"qualify", nullptr}};
}

std::string names_of_columns(const std::vector<engine::StoreColumn>& columns) {
  std::string list;
  for (const auto& column : columns)
    list += (list.empty() ? "" : ", ") + quote_identifier(column.name);
  return list;
}

// Replaces every expression that equals `from`.
void replace_equal(Json& node, const Json& from, const Json& to) {
  if (!node.is_structured()) return;
  if (node == from) {
    node = to;
    return;
  }
  for (Json& below : node) replace_equal(below, from, to);
}

class Taker {
 public:
  Taker(SqlParser& parser, const FunctionCatalog& functions, const BoundSelect& select,
        const NamePart& name_part)
      : parser_(parser),
        functions_(functions),
        select_(select),
        name_part_(name_part),
        scope_(select.definition, select.relations, select.windows) {}

  Result<std::optional<Outline>> run() {
    if (!parser_.prints_back(select_.definition.node)) return std::optional<Outline>();
    Json node = select_.definition.node;
    qualify(node);
    bool taken = queries(node) || set_operation(node) || subqueries(node) || distinct(node);
    if (!taken && failure_.ok()) {
      TRY_ASSIGN(auto predicates, take_predicates(parser_, functions_, select_, node, name_part_));
      if (predicates) return predicates;
      taken = canonical_layers(node);
    }
    if (!failure_.ok() && failure_.error().code != Code::kInvalid) return failure_.error();
    if (!taken || !failure_.ok()) return std::optional<Outline>();
    return std::optional(std::move(outline_));
  }

 private:
  // Every table by its schema, so that the text means the same wherever it stands.
  void qualify(Json& node) {
    if (!node.is_structured()) return;
    if (node.is_object()) {
      const std::string type = text_of(node, "type");
      const bool is_table = type == "BASE_TABLE" || type == "TABLE_FUNCTION";
      for (std::size_t i = 0; is_table && i < select_.definition.refs.size(); ++i) {
        const RelationRef& ref = select_.definition.refs[i];
        if (ref.start != offset_of(node)) continue;
        const Relation& relation = *select_.relations[i];
        node["alias"] = ref.alias.empty() ? ref.name : ref.alias;
        if (type == "BASE_TABLE") {
          node["schema_name"] = relation.schema;
          node["table_name"] = relation.table;
        } else {
          child_of(child_of(node, "function"), "children")[0]["column_names"] = {relation.schema,
                                                                                 relation.table};
        }
      }
    }
    for (Json& below : node) qualify(below);
  }

  std::string printed(Json node) {
    auto text = parser_.print_select(node);
    if (!text.ok()) {
      failure_ = text.error();
      return "";
    }
    return std::move(text).value();
  }

  std::string add_part(std::string sql) {
    outline_.parts.push_back({name_part_(), std::move(sql)});
    return outline_.parts.back().name;
  }

  // A part whose columns have these names; all of them may be left out.
  std::string add_part(Json node, const std::vector<std::string>& names) {
    if (names.empty()) return add_part(printed(node));
    if (Json* list = plain_list(node); list != nullptr && list->size() == names.size()) {
      for (std::size_t i = 0; i < names.size(); ++i) (*list)[i]["alias"] = names[i];
      return add_part(printed(node));
    }
    const std::string sql = printed(node);
    auto columns = parser_.describe(sql);
    if (!columns.ok() || columns->size() < names.size()) {
      failure_ = error(Code::kInvalid, "columns that cannot be renamed");
      return "";
    }
    bool same = true;
    std::string list;
    for (std::size_t i = 0; i < columns->size(); ++i) {
      const std::string& old = columns.value()[i].name;
      const std::string& name = i < names.size() ? names[i] : old;
      same = same && old == name;
      list += fmt::format("{}{} AS {}", i == 0 ? "" : ", ", quote_identifier(old),
                          quote_identifier(name));
    }
    const std::string part = add_part(sql);
    if (same) return part;
    return add_part(fmt::format("SELECT {} FROM main.{}", list, quote_identifier(part)));
  }

  // The SELECT list that gives the columns their names, unless it has a star.
  static Json* plain_list(Json& node) {
    if (text_of(node, "type") == "SET_OPERATION_NODE") return plain_list(child_of(node, "left"));
    if (text_of(node, "type") != "SELECT_NODE") return nullptr;
    // What ORDER BY and HAVING name may be the old names.
    if (!child(node, "modifiers").empty() || !child(node, "having").is_null() ||
        !child(node, "qualify").is_null() || !child(node, "group_expressions").empty())
      return nullptr;
    Json& list = child_of(node, "select_list");
    for (const Json& item : list)
      if (is_class(item, "STAR")) return nullptr;
    return &list;
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
      const std::string part = add_part(body, texts_of(child(child(entry, "value"), "aliases")));
      known.emplace_back(text_of(entry, "key"), part);
    }
    if (!read_parts(node, known)) return false;
    outline_.sql = printed(node);
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

  // --- UNION and its like ---

  static bool only_ordered(const Json& node) {
    for (const Json& modifier : child(node, "modifiers"))
      if (text_of(modifier, "type") != "ORDER_MODIFIER") return false;
    return true;
  }

  bool set_operation(Json& node) {
    if (text_of(node, "type") != "SET_OPERATION_NODE" || !only_ordered(node)) return false;
    const std::string kind = text_of(node, "setop_type");
    const bool all = child(node, "setop_all") == true;
    node["modifiers"] = Json::array();
    if (kind == "UNION" && all) return branches(node);
    if (all) return false;
    const std::string names = names_of_columns(select_.columns);
    if (kind == "UNION") {
      node["setop_all"] = true;
      const std::string part = add_part(printed(node));
      outline_.sql =
          fmt::format("SELECT {0} FROM main.{1} GROUP BY {0}", names, quote_identifier(part));
      return true;
    }
    if (kind != "EXCEPT" && kind != "INTERSECT") return false;
    // How often a row stands on either side decides.
    const std::string left = add_part(child(node, "left"), result_names());
    const std::string right = add_part(child(node, "right"), result_names());
    const std::string part =
        add_part(fmt::format("SELECT {0}, 1 AS pgweir_left, 0 AS pgweir_right FROM main.{1} UNION "
                             "ALL SELECT {0}, 0, 1 FROM main.{2}",
                             names, quote_identifier(left), quote_identifier(right)));
    outline_.sql = fmt::format(
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
    for (const Json& branch : found) outline_.all_of.push_back(add_part(branch, result_names()));
    return true;
  }

  // --- Subqueries in FROM ---

  bool subqueries(Json& node) {
    if (text_of(node, "type") != "SELECT_NODE") return false;
    bool found = false;
    take_subqueries(child_of(node, "from_table"), &found);
    if (!found) return false;
    outline_.sql = printed(node);
    return true;
  }

  void take_subqueries(Json& from, bool* found) {
    const std::string type = text_of(from, "type");
    if (type == "JOIN") {
      take_subqueries(child_of(from, "left"), found);
      take_subqueries(child_of(from, "right"), found);
    } else if (type == "SUBQUERY") {
      const std::string part = add_part(child(child(from, "subquery"), "node"),
                                        texts_of(child(from, "column_name_alias")));
      const std::string alias = text_of(from, "alias");
      from = table_node(part, alias.empty() ? part : alias);
      *found = true;
    } else if (type == "TABLE_FUNCTION" && goes_by_other_rows(from)) {
      const std::string alias = text_of(from, "alias");
      Json star = expression_of("*");
      const std::string part = add_part(printed(select_node(Json::array({star}), from)));
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

  Json expression_of(const std::string& sql) {
    auto parsed = parser_.parse("SELECT " + sql + " FROM t");
    if (parsed.ok()) return child(*parsed, "select_list")[0];
    failure_ = parsed.error();
    return nullptr;
  }

  // --- DISTINCT ---

  bool distinct(Json& node) {
    if (text_of(node, "type") != "SELECT_NODE") return false;
    bool found = false;
    for (const Json& modifier : child(node, "modifiers")) {
      const std::string kind = text_of(modifier, "type");
      if (kind == "DISTINCT_MODIFIER") {
        if (!child(modifier, "distinct_on_targets").empty()) return false;
        found = true;
      } else if (kind != "ORDER_MODIFIER") {
        return false;
      }
    }
    if (!found) return false;
    node["modifiers"] = Json::array();
    if (plain_rows(node)) {
      node["aggregate_handling"] = "FORCE_AGGREGATES";  // GROUP BY ALL
      outline_.sql = printed(node);
      return true;
    }
    const std::string part = add_part(node, result_names());
    outline_.sql = fmt::format("SELECT {0} FROM main.{1} GROUP BY {0}",
                               names_of_columns(select_.columns), quote_identifier(part));
    return true;
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

  // --- Groups, window functions, outer joins ---

  // Everything that the SELECT says in canonical form: inputs are called i0, i1 ...
  bool canonical(const Json& node) {
    if (text_of(node, "type") != "SELECT_NODE" || !only_ordered(node)) return false;
    if (child(node, "group_sets").size() > 1) return false;
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
      const Json& value = child(child(expression, "value"), "value");
      if (is_class(expression, "CONSTANT") && value.is_number_integer()) {
        const auto ordinal = value.get<std::int64_t>();
        if (ordinal < 1 || ordinal > static_cast<std::int64_t>(items_.size())) return false;
        key = items_[static_cast<std::size_t>(ordinal - 1)];
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

  static bool has_window(const Json& expression) {
    bool found = false;
    walk(expression, [&](const Json& node) {
      found = found || is_class(node, "WINDOW");
      return !found;
    });
    return found;
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
      Json equality = {
          {"class", "COMPARISON"},
          {"type", "COMPARE_EQUAL"},
          {"alias", ""},
          {"left", scope_.reference(pair.left, *scope_.find_column(pair.left, pair.column))},
          {"right", scope_.reference(pair.right, *scope_.find_column(pair.right, pair.column))}};
      strip_offsets(equality);
      condition = condition.is_null() ? equality
                                      : Json{{"class", "CONJUNCTION"},
                                             {"type", "CONJUNCTION_AND"},
                                             {"alias", ""},
                                             {"children", {condition, equality}}};
    }
    from["condition"] = condition;
    from["using_columns"] = Json::array();
    return true;
  }

  bool canonical_layers(const Json& node) {
    if (!canonical(node)) return false;
    if (grouped_ && has_windows_) return below_windows();
    if (grouped_ || has_windows_) return below_groups();
    return outer_joins();
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
    return printed(std::move(node));
  }

  // A part with these columns of a FROM; then they stand in all `expressions` as columns of a table
  // called `alias`. A part needs a column.
  std::string part_of(const Json& from, const Json& where, const std::vector<Scope::Place>& places,
                      const std::vector<Json>& computed, const std::string& alias,
                      const std::vector<Json*>& expressions) {
    Json list = Json::array();
    const auto add = [&](const Json& expression) {
      Json item = expression;
      const std::string name = fmt::format("c{}", list.size());
      item["alias"] = name;
      list.push_back(std::move(item));
      for (Json* each : expressions)
        replace_equal(*each, expression, stripped_reference(alias, name));
    };
    // The longer ones first: they hold columns.
    for (const Json& expression : computed) add(expression);
    for (const Scope::Place& place : places) add(stripped_reference(place));
    if (list.empty()) {
      Json one = {{"class", "CONSTANT"},
                  {"type", "VALUE_CONSTANT"},
                  {"alias", "c0"},
                  {"value",
                   {{"type", {{"id", "INTEGER"}, {"type_info", nullptr}}},
                    {"is_null", false},
                    {"value", 1}}}};
      list.push_back(std::move(one));
    }
    Json select = select_node(std::move(list), from);
    select["where_clause"] = where;
    return add_part(print_canonical(std::move(select)));
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
    Json set = Json::array();
    for (const Json& group : groups_) {
      set.push_back(select["group_expressions"].size());
      select["group_expressions"].push_back(group);
    }
    if (!groups_.empty()) select["group_sets"].push_back(std::move(set));
    outline_.sql = print_canonical(std::move(select));
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
      if (!is_class(node, "FUNCTION") || !functions_.is_aggregate(text_of(node, "function_name")))
        return true;
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
    Json set = Json::array();
    for (const Json& group : groups_) {
      set.push_back(groups["group_expressions"].size());
      groups["group_expressions"].push_back(group);
    }
    if (!groups_.empty()) groups["group_sets"].push_back(std::move(set));
    const std::string part = add_part(print_canonical(std::move(groups)));
    where_ = having_ = nullptr;
    groups_.clear();
    print_rest(table_node(part, "p0"));
    return true;
  }

  static bool is_outer(const Json& from) {
    return text_of(from, "type") == "JOIN" && text_of(from, "join_type") != "INNER";
  }

  // Outer joins below others become parts, and so does what an outer join joins but is no table.
  bool outer_joins() {
    bool found = false;
    if (is_outer(from_)) {
      for (const char* side : {"left", "right"}) {
        Json& below = child_of(from_, side);
        if (!is_plain_table(below)) take_from(below, &found);
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

  // Makes a part of a subtree of FROM.
  void take_from(Json& from, bool* found) {
    std::vector<std::size_t> leaves;
    leaves_of(from, &leaves);
    const Json taken = from;
    const std::string alias = fmt::format("p{}", outline_.parts.size());
    from = Json();  // so that its own conditions stay as they are
    std::vector<Json*> expressions = all_expressions();
    conditions_of(from_, &expressions);
    std::vector<const Json*> named(expressions.begin(), expressions.end());
    const std::string part =
        part_of(taken, nullptr, places_in(named, leaves), {}, alias, expressions);
    from = table_node(part, alias);
    *found = true;
  }

  static void conditions_of(Json& from, std::vector<Json*>* conditions) {
    if (text_of(from, "type") != "JOIN") return;
    conditions->push_back(&child_of(from, "condition"));
    conditions_of(child_of(from, "left"), conditions);
    conditions_of(child_of(from, "right"), conditions);
  }

  SqlParser& parser_;
  const FunctionCatalog& functions_;
  const BoundSelect& select_;
  const NamePart& name_part_;
  Scope scope_;

  Outline outline_;
  Status failure_;
  Json from_, where_, having_, qualify_;
  std::vector<Json> items_, groups_;
  bool grouped_ = false;
  bool has_windows_ = false;
};

}  // namespace

Result<std::optional<Outline>> take_apart(SqlParser& parser, const FunctionCatalog& functions,
                                          const BoundSelect& select, const NamePart& name_part) {
  return Taker(parser, functions, select, name_part).run();
}

}  // namespace pgweir::views
