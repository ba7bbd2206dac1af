#include "views/analysis.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "views/postgres_semantics.h"
#include "views/scope.h"
#include "views/temporal_filter.h"

namespace pgweir::views {
namespace {

bool is_identifier(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' ||
         (static_cast<unsigned char>(c) & 0x80) != 0;
}

// Skips blanks and comments.
std::size_t skip_blank(const std::string& sql, std::size_t at) {
  while (at < sql.size()) {
    if (std::isspace(static_cast<unsigned char>(sql[at])) != 0) {
      ++at;
    } else if (sql.compare(at, 2, "--") == 0) {
      while (at < sql.size() && sql[at] != '\n') ++at;
    } else if (sql.compare(at, 2, "/*") == 0) {
      const std::size_t end = sql.find("*/", at + 2);
      at = end == std::string::npos ? sql.size() : end + 2;
    } else {
      break;
    }
  }
  return at;
}

// Behind the quoted text that starts at `at`; a doubled quote does not end it.
std::size_t skip_quoted(const std::string& sql, std::size_t at) {
  const char quote = sql[at++];
  while (at < sql.size()) {
    if (sql[at] != quote) {
      ++at;
    } else if (at + 1 < sql.size() && sql[at + 1] == quote) {
      at += 2;
    } else {
      return at + 1;
    }
  }
  return at;
}

// Behind the name that starts at `at`: a, "a", a.b, a . "b".
std::size_t skip_name(const std::string& sql, std::size_t at) {
  for (;;) {
    if (at < sql.size() && (sql[at] == '"' || sql[at] == '\'')) {
      at = skip_quoted(sql, at);
    } else {
      while (at < sql.size() && is_identifier(sql[at])) ++at;
    }
    const std::size_t dot = skip_blank(sql, at);
    if (dot >= sql.size() || sql[dot] != '.') return at;
    at = skip_blank(sql, dot + 1);
  }
}

// Behind the closing parenthesis of the call whose name starts at `at`.
std::size_t skip_call(const std::string& sql, std::size_t at) {
  at = skip_blank(sql, skip_name(sql, at));
  int depth = 0;
  while (at < sql.size()) {
    const std::size_t next = skip_blank(sql, at);
    if (next != at) {
      at = next;
      continue;
    }
    if (sql[at] == '"' || sql[at] == '\'') {
      at = skip_quoted(sql, at);
      continue;
    }
    if (sql[at] == '(') ++depth;
    if (sql[at] == ')' && --depth == 0) return at + 1;
    ++at;
  }
  return at;
}

class Analyser {
 public:
  Analyser(SqlParser& parser, const FunctionCatalog& functions, ViewDefinition& view,
           Wording wording)
      : parser_(parser), functions_(functions), view_(view), wording_(wording) {}

  // The names of WITH queries hide tables in what stands below them.
  void visit(const Json& node, std::set<std::string> ctes) {
    if (view_.refusal || !node.is_structured()) return;
    if (node.is_array()) {
      for (const Json& below : node) visit(below, ctes);
      return;
    }
    check_expression(node);
    const std::string type = text_of(node, "type");
    if (!text_of(node, "class").empty()) {
      // An expression; relations may stand in a subquery below it.
    } else if (type == "BASE_TABLE") {
      return add_table(node, ctes);
    } else if (type == "TABLE_FUNCTION") {
      return add_table_function(node, ctes);
    }
    if (type == "RECURSIVE_CTE_NODE") ctes.insert(lower(text_of(node, "cte_name")));
    for (const Json& entry : child(child(node, "cte_map"), "map")) {
      visit(child(entry, "value"), ctes);
      ctes.insert(lower(text_of(entry, "key")));
    }
    for (const auto& [key, below] : node.items()) {
      if (key == "where_clause" && type == "SELECT_NODE") {
        visit_where(below, ctes);
      } else if (key != "cte_map") {
        visit(below, ctes);
      }
    }
  }

 private:
  void refuse(const std::string& why, std::uint64_t offset) {
    if (view_.refusal) return;
    const std::string place = place_of(view_.source.sql, offset);
    view_.refusal = error(Code::kInvalid, place.empty() ? why : why + " at " + place);
  }

  // Alone here now() may stand.
  void visit_where(const Json& where, const std::set<std::string>& ctes) {
    std::vector<Json> conjuncts;
    split_conjuncts(where, &conjuncts);
    for (const Json& conjunct : conjuncts) {
      const TimeCondition condition = read_time_condition(parser_, conjunct);
      if (!condition.problem.empty()) return refuse(condition.problem, condition.offset);
      if (!condition.bounds.empty())
        view_.clock = std::min(view_.clock.value_or(kNoOffset), *find_clock(conjunct));
      const bool outside = std::exchange(clock_may_stand_, !condition.bounds.empty());
      visit(conjunct, ctes);
      clock_may_stand_ = outside;
    }
  }

  void check_expression(const Json& node) {
    if (clock_may_stand_ && is_clock(node)) return;
    if (!child(node, "sample").is_null())
      return refuse("a sample is not the same twice, so a view cannot take one", offset_of(node));
    std::string why = functions_.refusal(node);
    if (why.empty() && wording_ == Wording::kOfPeople)
      why = semantics_refusal(node, view_.source.sql);
    if (!why.empty()) refuse(why, offset_of(node));
  }

  void add_table(const Json& node, const std::set<std::string>& ctes) {
    RelationRef ref;
    ref.schema = text_of(node, "schema_name");
    ref.name = text_of(node, "table_name");
    ref.alias = text_of(node, "alias");
    if (ref.schema.empty() && ctes.contains(lower(ref.name))) return;
    if (!text_of(node, "catalog_name").empty() || !child(node, "at_clause").is_null())
      return refuse(fmt::format("a view reads tables as schema.table, not \"{}.{}.{}\"",
                                text_of(node, "catalog_name"), ref.schema, ref.name),
                    offset_of(node));
    ref.start = offset_of(node);
    if (ref.start >= view_.source.sql.size())
      return refuse("the table " + ref.text() + " has no place in the text", kNoOffset);
    ref.end = skip_name(view_.source.sql, ref.start);
    view_.refs.push_back(std::move(ref));
  }

  void add_table_function(const Json& node, const std::set<std::string>& ctes) {
    const Json& call = child(node, "function");
    const std::string name = text_of(call, "function_name");
    const std::string why = functions_.table_function_refusal(name);
    if (!why.empty()) return refuse(why, offset_of(node));
    const auto kind = window_kind_of(name);
    if (!kind) return visit(call, ctes);
    add_windows(node, call, *kind);
  }

  void add_windows(const Json& node, const Json& call, WindowKind kind) {
    WindowCall window;
    if (const auto problem = read_window_call(call, kind, &window))
      return refuse(problem->why, problem->offset == kNoOffset ? offset_of(node) : problem->offset);
    const Json& table = child(call, "children")[0];
    const auto names = names_of(table);
    if (names.size() > 2) return refuse("a view reads tables as schema.table", offset_of(table));
    RelationRef ref;
    ref.name = names.back();
    if (names.size() == 2) ref.schema = names[0];
    ref.alias = text_of(node, "alias");
    ref.start = offset_of(node);
    ref.end = skip_call(view_.source.sql, ref.start);
    walk(child(call, "children"), [&](const Json& below) {
      check_expression(below);
      return !view_.refusal;
    });
    ref.window = std::move(window);
    view_.refs.push_back(std::move(ref));
  }

  SqlParser& parser_;
  const FunctionCatalog& functions_;
  ViewDefinition& view_;
  const Wording wording_;
  bool clock_may_stand_ = false;
};

bool may_mean(const RelationRef& ref, const std::string& schema, const std::string& name) {
  return same_name(ref.name, name) && (ref.schema.empty() || same_name(ref.schema, schema));
}

}  // namespace

ViewDefinition analyse(SqlParser& parser, const FunctionCatalog& functions, ViewSource source,
                       Wording wording) {
  ViewDefinition view;
  view.source = std::move(source);
  auto node = parser.parse(view.source.sql);
  if (!node.ok()) {
    view.refusal = node.error();
    return view;
  }
  view.node = std::move(node).value();
  Analyser(parser, functions, view, wording).visit(view.node, {});
  if (view.clock) write_clocks_as_calls(parser, view.node);
  std::sort(view.refs.begin(), view.refs.end(),
            [](const RelationRef& a, const RelationRef& b) { return a.start < b.start; });
  return view;
}

std::set<std::string> columns_named(const ViewDefinition& view) {
  std::set<std::string> names;
  std::set<std::string> alone;  // written without a table before them
  walk(view.node, [&](const Json& node) {
    if (is_class(node, "COLUMN_REF")) {
      const auto parts = names_of(node);
      for (const auto& name : parts) names.insert(lower(name));
      if (parts.size() == 1) alone.insert(lower(parts[0]));
    }
    if (is_class(node, "STAR") || text_of(node, "ref_type") == "NATURAL") names.insert("*");
    for (const Json& name : child(node, "using_columns")) {
      if (name.is_string()) names.insert(lower(name.get<std::string>()));
    }
    return true;
  });
  // A table's name as an expression is a whole row of it.
  for (const auto& ref : view.refs) {
    if (alone.contains(lower(ref.alias.empty() ? ref.name : ref.alias)) && !ref.window)
      names.insert("*");
  }
  for (const auto& ref : view.refs) {
    if (!ref.window) continue;
    names.insert(lower(ref.window->time_column));
    for (const auto& [name, offset] : ref.window->partition) names.insert(lower(name));
  }
  return names;
}

std::optional<std::vector<std::uint32_t>> columns_used(const std::vector<ViewDefinition>& views,
                                                       const model::Table& table) {
  std::set<std::string> names;
  bool read = false;
  for (const ViewDefinition& view : views) {
    if (view.refusal) continue;
    for (const RelationRef& ref : view.refs) {
      if (!may_mean(ref, table.schema, table.name)) continue;
      read = true;
      names.merge(columns_named(view));
    }
  }
  if (!read) return std::nullopt;
  // Under FULL every column is marked, but rows are told apart by the primary key, where there is
  // one.
  const bool by_marks =
      table.replica_identity != model::ReplicaIdentity::kFull || table.primary_key.empty();
  std::vector<std::uint32_t> columns;
  for (std::uint32_t i = 0; i < table.columns.size(); ++i) {
    const bool in_key =
        (by_marks && table.columns[i].in_key) ||
        std::find(table.primary_key.begin(), table.primary_key.end(), i) != table.primary_key.end();
    if (in_key || names.contains("*") || names.contains(lower(table.columns[i].name)))
      columns.push_back(i);
  }
  return columns;
}

Result<Named> resolve(const RelationRef& ref, const std::string& reader, const std::string& sql,
                      const std::vector<Named>& known) {
  std::vector<Named> candidates;
  for (const Named& named : known) {
    if (named.schema.empty() && same_name(named.name, reader)) continue;
    if (may_mean(ref, named.schema.empty() ? "main" : named.schema, named.name))
      candidates.push_back(named);
  }
  if (candidates.size() == 1) return candidates[0];
  const std::string place = place_of(sql, ref.start);
  if (!candidates.empty()) {
    std::string list;
    for (const Named& named : candidates) list += (list.empty() ? "" : ", ") + named.text();
    return error(Code::kInvalid, fmt::format("\"{}\" at {} is ambiguous", ref.text(), place),
                 "it could be " + list, "write the schema before the name");
  }
  std::vector<std::string> names;
  for (const Named& named : known) {
    if (!named.schema.empty() || !same_name(named.name, reader)) {
      names.push_back(named.text());
      if (ref.schema.empty()) names.push_back(named.name);
    }
  }
  const std::string nearest = nearest_name(ref.text(), names);
  return error(Code::kNotFound,
               fmt::format("there is no table or view \"{}\" at {}", ref.text(), place), "",
               nearest.empty() ? "a view reads captured tables (source.tables) and other views"
                               : "did you mean \"" + nearest + "\"?");
}

std::vector<std::size_t> dependency_order(const std::vector<std::set<std::size_t>>& reads,
                                          std::vector<std::size_t>* cyclic) {
  std::vector<std::size_t> order;
  std::vector<bool> done(reads.size(), false);
  bool progress = true;
  while (progress) {
    progress = false;
    for (std::size_t i = 0; i < reads.size(); ++i) {
      if (done[i]) continue;
      if (!std::all_of(reads[i].begin(), reads[i].end(), [&](std::size_t r) { return done[r]; }))
        continue;
      done[i] = progress = true;
      order.push_back(i);
    }
  }
  for (std::size_t i = 0; i < reads.size(); ++i) {
    if (!done[i] && cyclic != nullptr) cyclic->push_back(i);
  }
  return order;
}

}  // namespace pgweir::views
