#include "cli/render.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/units.h"

namespace pgweir::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? "" : cell_of(*found).value_or("");
}

struct Line {
  std::string name;
  std::string text;
};

struct Lines {
  std::vector<Line> lines;
  std::vector<std::pair<std::string, Json>> tables;
};

std::string shown(const std::string& name, const Json& value) {
  if (name.ends_with("bytes") && value.is_number_unsigned())
    return format_size(value.get<std::uint64_t>());
  return cell_of(value).value_or("");
}

void flatten(const Json& object, const std::string& prefix, Lines& out) {
  for (const auto& [key, value] : object.items()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    if (value.is_object()) {
      flatten(value, name, out);
    } else if (value.is_array() && !value.empty() && value[0].is_object()) {
      out.tables.emplace_back(name, value);
    } else if (!value.is_null() && value != "" && value != Json::array()) {
      out.lines.push_back({name, shown(name, value)});
    }
  }
}

std::string table_of(const std::string& name, const Json& objects) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : objects[0].items()) keys.push_back(key);
  return fmt::format("\n{}\n{}", name, table_text(pick_table(objects, keys), false));
}

}  // namespace

Cell cell_of(const Json& value) {
  if (value.is_null()) return std::nullopt;
  if (value.is_string()) return value.get<std::string>();
  return json_line(value);
}

Json list_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : Json::array();
}

Table pick_table(const Json& objects, const std::vector<std::string>& keys) {
  Table table;
  std::vector<std::string> used;
  for (const std::string& key : keys) {
    const bool any = std::any_of(objects.begin(), objects.end(), [&](const Json& object) {
      return object.is_object() && object.contains(key) && !object[key].is_null();
    });
    if (any || objects.empty()) used.push_back(key);
  }
  table.columns = used;
  for (const Json& object : objects) {
    std::vector<Cell> row;
    for (const std::string& key : used) {
      const bool there = object.is_object() && object.contains(key);
      row.push_back(there ? cell_of(object[key]) : std::nullopt);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table rows_table(const Json& answer) {
  Table table;
  for (const Json& column : list_of(answer, "columns"))
    table.columns.push_back(column.is_object() ? text_at(column, "name") : "");
  for (const Json& row : list_of(answer, "rows")) {
    if (!row.is_array()) continue;
    std::vector<Cell> cells;
    for (const Json& value : row) cells.push_back(cell_of(value));
    cells.resize(table.columns.size());
    table.rows.push_back(std::move(cells));
  }
  return table;
}

std::vector<Json> rows_objects(const Json& answer) {
  std::vector<std::string> names;
  std::map<std::string, int> counts;
  for (const Json& column : list_of(answer, "columns")) {
    const std::string name = text_at(column, "name");
    const int count = ++counts[name];
    names.push_back(count == 1 ? name : fmt::format("{}_{}", name, count));
  }
  std::vector<Json> out;
  for (const Json& row : list_of(answer, "rows")) {
    if (!row.is_array()) continue;
    Json object = Json::object();
    for (std::size_t i = 0; i < std::min(names.size(), row.size()); ++i) object[names[i]] = row[i];
    out.push_back(std::move(object));
  }
  return out;
}

std::string lines_text(const Json& object) {
  Lines lines;
  flatten(object, "", lines);
  std::size_t width = 0;
  for (const Line& line : lines.lines) width = std::max(width, line.name.size());
  std::string out;
  for (const Line& line : lines.lines) {
    std::string text = line.text;
    while (text.ends_with('\n')) text.pop_back();
    for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1))
      text.insert(at + 1, width + 2, ' ');
    out += fmt::format("{:<{}}  {}\n", line.name, width, text);
  }
  for (const auto& [name, objects] : lines.tables) out += table_of(name, objects);
  return out;
}

std::string status_text(const Json& status) {
  Json rest = status;
  rest.erase("findings");
  std::string out = lines_text(rest);
  for (const Json& finding : list_of(status, "findings")) {
    if (!finding.is_object()) continue;
    out += fmt::format("\n{}: {}: {}\n", text_at(finding, "severity"), text_at(finding, "subject"),
                       text_at(finding, "message"));
    const std::string hint = text_at(finding, "hint");
    if (!hint.empty()) out += fmt::format("  hint: {}\n", hint);
  }
  return out;
}

std::string change_text(const Json& change) {
  std::string out = fmt::format("{} {} {:<8} {}", text_at(change, "lsn"), text_at(change, "time"),
                                text_at(change, "op"), text_at(change, "table"));
  const auto after = change.find("after");
  const auto before = change.find("before");
  const bool has_after = after != change.end() && after->is_object();
  if (!has_after && (before == change.end() || !before->is_object())) return out;
  const Json& row = has_after ? *after : *before;
  for (const auto& [name, value] : row.items())
    out += fmt::format(" {}={}", name,
                       value.is_string() ? json_line(value) : cell_of(value).value_or("null"));
  return out;
}

}  // namespace pgweir::cli
