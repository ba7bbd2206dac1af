#include "views/scope.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::views {
namespace {

constexpr const char* kNoAlias = "";
constexpr int kAliasDepthMax = 8;

}  // namespace

Scope::Scope(const ViewDefinition& view, const std::vector<const Relation*>& relations,
             const std::vector<std::optional<Window>>& windows)
    : view_(view), relations_(relations), windows_(windows) {}

bool Scope::no(std::string reason, std::uint64_t offset) {
  const std::string place = place_of(view_.source.sql, offset);
  if (!place.empty()) reason += " at " + place;
  if (reason_.empty()) reason_ = std::move(reason);
  return false;
}

// --- FROM ----------------------------------------------------------------------------------------

bool Scope::add_any_from(const Json& from) {
  outer_allowed_ = true;
  return add_from(from);
}

bool Scope::add_from(const Json& from) {
  if (text_of(from, "type") != "JOIN") return add_input(from);
  const std::string ref = text_of(from, "ref_type");
  std::string kind = text_of(from, "join_type");
  if (kind == "OUTER") kind = "FULL";
  const bool natural = ref == "NATURAL";
  if (ref != "REGULAR" && ref != "CROSS" && !natural) return no(ref + " join", offset_of(from));
  const bool outer = kind == "LEFT" || kind == "RIGHT" || kind == "FULL";
  if (kind != "INNER" && !(outer && outer_allowed_)) return no(kind + " join", offset_of(from));
  const Json& shared = child(from, "using_columns");
  const std::size_t left = inputs_.size();
  if (!add_from(child(from, "left"))) return false;
  const std::size_t right = inputs_.size();
  if (!add_from(child(from, "right"))) return false;
  for (const Json& column : shared) {
    if (column.is_string() && !add_using(column.get<std::string>(), left, right, kind))
      return false;
  }
  if (natural && !add_shared(left, right, kind)) return false;
  if (!child(from, "condition").is_null()) conditions_.push_back(child(from, "condition"));
  return true;
}

// A NATURAL join: every name that stands on both sides.
bool Scope::add_shared(std::size_t left, std::size_t right, const std::string& join) {
  std::vector<std::string> names;
  for (std::size_t i = left; i < right; ++i) {
    for (const std::string& column : columns_of(i)) {
      bool shared = false;
      for (std::size_t j = right; j < inputs_.size(); ++j)
        shared = shared || find_column(j, column);
      const bool known = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return same_name(name, column);
      });
      if (shared && !known) names.push_back(column);
    }
  }
  return std::all_of(names.begin(), names.end(),
                     [&](const std::string& name) { return add_using(name, left, right, join); });
}

bool Scope::add_input(const Json& item) {
  const std::string type = text_of(item, "type");
  if (type == "EMPTY") return no("nothing in FROM");
  if (type == "SUBQUERY") return no("a subquery in FROM");
  if (type != "BASE_TABLE" && type != "TABLE_FUNCTION") return no("no table in FROM");
  if (!child(item, "column_name_alias").empty()) return no("renamed columns in FROM");
  for (std::size_t i = 0; i < view_.refs.size(); ++i) {
    const RelationRef& ref = view_.refs[i];
    if (ref.start != offset_of(item)) continue;
    inputs_.push_back({.relation = relations_[i],
                       .window = windows_[i],
                       .name = ref.alias.empty() ? ref.name : ref.alias,
                       .schema = ref.alias.empty() ? relations_[i]->schema : "",
                       .offset = ref.start});
    return true;
  }
  return no("a table function in FROM");
}

bool Scope::names_differ() {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const bool same_schema = inputs_[i].schema.empty() || inputs_[j].schema.empty() ||
                               same_name(inputs_[i].schema, inputs_[j].schema);
      if (same_name(inputs_[i].name, inputs_[j].name) && same_schema)
        return no("two relations of one name");
    }
  }
  return true;
}

std::vector<std::string> Scope::columns_of(std::size_t input) const {
  std::vector<std::string> columns;
  for (const auto& column : inputs_[input].relation->columns) columns.push_back(column.name);
  if (inputs_[input].window) {
    columns.push_back("window_start");
    columns.push_back("window_end");
  }
  return columns;
}

std::string Scope::type_of(const Place& place) const {
  for (const auto& column : inputs_[place.input].relation->columns)
    if (column.name == place.column) return column.type;
  return inputs_[place.input].window ? inputs_[place.input].window->type : "";
}

std::optional<std::string> Scope::find_column(std::size_t input, const std::string& name) const {
  for (const std::string& column : columns_of(input))
    if (same_name(column, name)) return column;
  return std::nullopt;
}

// The one input of [first, last) that has a column of this name.
std::optional<std::size_t> Scope::only_input_with(const std::string& column, std::size_t first,
                                                  std::size_t last) const {
  std::optional<std::size_t> found;
  for (std::size_t i = first; i < last; ++i) {
    if (!find_column(i, column) || is_merged(i, column)) continue;
    if (found) return std::nullopt;
    found = i;
  }
  return found;
}

bool Scope::add_using(const std::string& column, std::size_t left, std::size_t right,
                      const std::string& join) {
  // What a name of several pairs means is not followed.
  const bool again = std::any_of(usings_.begin(), usings_.end(), [&](const Using& pair) {
    return same_name(pair.column, column) && (join == "FULL" || pair.join == "FULL");
  });
  if (again) return no("the name " + column + " cannot be followed");
  const auto one = only_input_with(column, left, right);
  const auto other = only_input_with(column, right, inputs_.size());
  if (!one || !other) return no("the name " + column + " cannot be followed");
  usings_.push_back({column, *one, *other, join});
  return true;
}

// Whether the column is one of a USING that its name alone does not mean.
bool Scope::is_merged(std::size_t input, const std::string& name) const {
  return std::any_of(usings_.begin(), usings_.end(), [&](const Using& pair) {
    const bool hidden = input == (pair.join == "RIGHT" ? pair.left : pair.right) ||
                        (pair.join == "FULL" && input == pair.left);
    return hidden && same_name(pair.column, name);
  });
}

const Scope::Using* Scope::either_of(const std::string& name) const {
  for (const Using& pair : usings_)
    if (pair.join == "FULL" && same_name(pair.column, name)) return &pair;
  return nullptr;
}

Json Scope::value_of(const Using& pair) const {
  return {
      {"class", "OPERATOR"},
      {"type", "OPERATOR_COALESCE"},
      {"alias", ""},
      {"query_location", kNoOffset},
      {"children", Json::array({reference(pair.left, *find_column(pair.left, pair.column)),
                                reference(pair.right, *find_column(pair.right, pair.column))})}};
}

// --- Names ---------------------------------------------------------------------------------------

Json Scope::reference(std::size_t input, const std::string& column) const {
  const std::string alias = fmt::format("i{}", input);
  return flat_ ? make_column_ref({alias + "." + column}) : make_column_ref({alias, column});
}

std::optional<Scope::Place> Scope::place_of_reference(const Json& node) const {
  if (!is_class(node, "COLUMN_REF")) return std::nullopt;
  std::vector<std::string> names = names_of(node);
  if (flat_ && names.size() == 1) {
    const std::size_t dot = names[0].find('.');
    if (dot == std::string::npos) return std::nullopt;
    names = {names[0].substr(0, dot), names[0].substr(dot + 1)};
  }
  if (names.size() != 2) return std::nullopt;
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    if (fmt::format("i{}", i) == names[0]) return Place{i, names[1]};
  return std::nullopt;
}

const engine::StoreColumn* Scope::plain_column(const Json& node, std::size_t* input) const {
  const auto place = place_of_reference(node);
  if (!place) return nullptr;
  for (const auto& column : inputs_[place->input].relation->columns) {
    if (column.name != place->column) continue;
    *input = place->input;
    return &column;
  }
  return nullptr;
}

std::optional<std::size_t> Scope::only_input_of(const Json& expression) const {
  std::optional<std::size_t> only;
  bool several = false;
  walk(expression, [&](const Json& node) {
    if (const auto place = place_of_reference(node)) {
      several = several || (only && *only != place->input);
      only = place->input;
    }
    return !several;
  });
  return several ? std::nullopt : only;
}

bool Scope::is_expression_key(const Json& conjunct) const {
  if (text_of(conjunct, "type") != "COMPARE_EQUAL") return false;
  const auto left = only_input_of(child(conjunct, "left"));
  const auto right = only_input_of(child(conjunct, "right"));
  std::size_t input = 0;
  return left && right && *left != *right &&
         (plain_column(child(conjunct, "left"), &input) == nullptr ||
          plain_column(child(conjunct, "right"), &input) == nullptr);
}

std::optional<Scope::Place> Scope::find(const std::vector<std::string>& names) const {
  std::optional<Place> found;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    std::optional<std::string> column;
    if (names.size() == 1) column = find_column(i, names[0]);
    if (names.size() == 2 && same_name(names[0], inputs_[i].name))
      column = find_column(i, names[1]);
    if (names.size() == 3 && same_name(names[0], inputs_[i].schema) &&
        same_name(names[1], inputs_[i].name))
      column = find_column(i, names[2]);
    if (!column || (names.size() == 1 && is_merged(i, *column))) continue;
    if (found) return std::nullopt;
    found = Place{i, *column};
  }
  return found;
}

const Json* Scope::select_alias(const std::string& name) const {
  for (const Json& item : child(view_.node, "select_list")) {
    if (!text_of(item, "alias").empty() && same_name(text_of(item, "alias"), name)) return &item;
  }
  return nullptr;
}

bool Scope::canonicalise(Json& node, Windows windows, int depth) {
  if (!node.is_structured()) return true;
  if (node.is_array())
    return std::all_of(node.begin(), node.end(),
                       [&](Json& below) { return canonicalise(below, windows, depth); });
  if (is_class(node, "SUBQUERY")) return no("a subquery", offset_of(node));
  if (is_class(node, "WINDOW") && windows == Windows::kRefused)
    return no("the window function " + text_of(node, "function_name") + "()", offset_of(node));
  if (is_class(node, "LAMBDA")) return no("a lambda", offset_of(node));
  if (is_class(node, "STAR")) return no("a star expression", offset_of(node));
  if (is_class(node, "POSITIONAL_REFERENCE")) return no("a positional reference", offset_of(node));
  if (is_class(node, "COLUMN_REF")) return canonicalise_column(node, windows, depth);
  for (auto& [key, below] : node.items())
    if (!canonicalise(below, windows, depth)) return false;
  return true;
}

bool Scope::canonicalise_column(Json& node, Windows windows, int depth) {
  const auto names = names_of(node);
  if (const auto place = find(names)) {
    node = reference(place->input, place->column);
    return true;
  }
  if (const Using* pair = names.size() == 1 ? either_of(names[0]) : nullptr) {
    node = value_of(*pair);
    return true;
  }
  const Json* item = names.size() == 1 ? select_alias(names[0]) : nullptr;
  if (item == nullptr || depth >= kAliasDepthMax)
    return no("the name " + names.back() + " cannot be followed", offset_of(node));
  Json expression = *item;
  expression["alias"] = kNoAlias;
  if (!canonicalise(expression, windows, depth + 1)) return false;
  node = std::move(expression);
  return true;
}

bool Scope::select_list(std::vector<Json>* items, Windows windows) {
  for (const Json& item : child(view_.node, "select_list")) {
    if (is_class(item, "STAR")) {
      if (!expand_star(item, items)) return false;
      continue;
    }
    Json expression = item;
    expression["alias"] = kNoAlias;
    if (!canonicalise(expression, windows)) return false;
    strip_offsets(expression);
    items->push_back(std::move(expression));
  }
  return true;
}

bool Scope::expand_star(const Json& star, std::vector<Json>* items) {
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
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (!only.empty() && !same_name(only, inputs_[i].name)) continue;
    for (const std::string& column : columns_of(i)) {
      if (excluded(column)) continue;
      Json item = reference(i, column);
      const auto pair = std::find_if(usings_.begin(), usings_.end(), [&](const Using& other) {
        return same_name(other.column, column) && (other.left == i || other.right == i);
      });
      if (only.empty() && pair != usings_.end()) {
        // It stands where the left one does, once.
        if (pair->right == i) continue;
        if (pair->join == "RIGHT") item = reference(pair->right, *find_column(pair->right, column));
        if (pair->join == "FULL") item = value_of(*pair);
      }
      strip_offsets(item);
      items->push_back(std::move(item));
    }
  }
  return true;
}

void split_conjuncts(const Json& condition, std::vector<Json>* conjuncts) {
  if (is_class(condition, "CONJUNCTION") && text_of(condition, "type") == "CONJUNCTION_AND") {
    for (const Json& part : child(condition, "children")) split_conjuncts(part, conjuncts);
  } else {
    conjuncts->push_back(condition);
  }
}

}  // namespace pgweir::views
