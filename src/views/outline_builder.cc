#include "views/outline_builder.h"

#include <fmt/core.h>

#include <algorithm>

#include "views/select_tree.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

// The SELECT list that gives the columns their names, unless it has a star.
Json* plain_list(Json& node) {
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

}  // namespace

std::string OutlineBuilder::printed(const Json& select) {
  auto text = parser_.print_select(select);
  if (text.ok()) return std::move(text).value();
  failure_ = text.error();
  return "";
}

std::string OutlineBuilder::printed_expression(Json expression) {
  restore_offsets(expression);
  expression["alias"] = "";
  auto text = parser_.print(expression);
  if (text.ok()) return std::move(text).value();
  failure_ = text.error();
  return "";
}

Json OutlineBuilder::expression_of(const std::string& sql, const std::string& alias) {
  auto parsed = parser_.parse("SELECT " + sql + " FROM t");
  if (!parsed.ok()) {
    failure_ = parsed.error();
    return nullptr;
  }
  Json expression = child(*parsed, "select_list")[0];
  expression["alias"] = alias;
  return expression;
}

std::string OutlineBuilder::add_part(std::string sql, Extent extent) {
  outline_.parts.push_back({.name = name_part_(), .sql = std::move(sql), .extent = extent});
  return outline_.parts.back().name;
}

std::string OutlineBuilder::add_part(Json select, const std::vector<std::string>& names) {
  if (names.empty()) return add_part(printed(select));
  if (Json* list = plain_list(select); list != nullptr && list->size() == names.size()) {
    for (std::size_t i = 0; i < names.size(); ++i) (*list)[i]["alias"] = names[i];
    return add_part(printed(select));
  }
  const std::string sql = printed(select);
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

std::string OutlineBuilder::add_first_rows(const std::string& part,
                                           std::vector<FirstRows::Order> order,
                                           std::int64_t count) {
  const auto rows = static_cast<std::size_t>(std::max<std::int64_t>(count, 1));
  const std::string name = add_part(fmt::format("SELECT * FROM main.{} ORDER BY {} LIMIT {}",
                                                quote_identifier(part), order_text(order), rows));
  outline_.parts.back().first_rows = FirstRows{.order = std::move(order), .rows = rows};
  return name;
}

Result<std::optional<Outline>> OutlineBuilder::result(bool taken) {
  if (!failure_.ok() && failure_.error().code != Code::kInvalid) return failure_.error();
  if (!taken || !failure_.ok()) return std::optional<Outline>();
  return std::optional(std::move(outline_));
}

void qualify_tables(Json& node, const BoundSelect& select) {
  if (!node.is_structured()) return;
  if (node.is_object()) {
    const std::string type = text_of(node, "type");
    const bool is_table = type == "BASE_TABLE" || type == "TABLE_FUNCTION";
    for (std::size_t i = 0; is_table && i < select.definition.refs.size(); ++i) {
      const RelationRef& ref = select.definition.refs[i];
      if (ref.start != offset_of(node)) continue;
      const Relation& relation = *select.relations[i];
      node["alias"] = ref.alias.empty() ? ref.name : ref.alias;
      if (type == "BASE_TABLE") {
        node["schema_name"] = relation.schema;
        node["table_name"] = relation.table;
      } else {
        node["function"]["children"][0]["column_names"] = {relation.schema, relation.table};
      }
    }
  }
  for (Json& below : node) qualify_tables(below, select);
}

std::string order_text(const std::vector<FirstRows::Order>& order) {
  std::string text;
  for (const FirstRows::Order& by : order)
    text +=
        fmt::format("{}{} {}", text.empty() ? "" : ", ", quote_identifier(by.column), by.direction);
  return text;
}

}  // namespace pgweir::views
