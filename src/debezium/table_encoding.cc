#include "debezium/table_encoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "debezium/column_default.h"
#include "debezium/json_text.h"
#include "debezium/source_block.h"

namespace pgweir::debezium {
namespace {

constexpr std::string_view kBehindTransaction =
    R"({"type":"string","optional":false,"field":"op"},)"
    R"({"type":"int64","optional":true,"field":"ts_ms"},)"
    R"({"type":"int64","optional":true,"field":"ts_us"},)"
    R"({"type":"int64","optional":true,"field":"ts_ns"})";

bool stands_in_topics(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(text, out);
  return out;
}

bool has_value(const model::Cell& cell) {
  return cell.kind == model::CellKind::kText;
}

}  // namespace

std::string topic_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 && byte < 0xc0) continue;  // goes on with the character before
    if (byte >= 0xf0) out += '_';               // two units in UTF-16
    out += stands_in_topics(c) ? c : '_';
  }
  return out;
}

TableEncoding::TableEncoding(const model::Table& table, const TableOptions& options)
    : topic_(topic_name(fmt::format("{}.{}.{}", options.topic_prefix, table.schema, table.name))) {
  std::vector<std::string> schemas;
  for (std::uint32_t i = 0; i < table.columns.size(); ++i) {
    const model::Column& column = table.columns[i];
    const std::string qualified_name = table.qualified_name() + "." + column.name;
    if (!options.include_columns.is_empty() && !options.include_columns.matches(qualified_name))
      continue;
    if (options.exclude_columns.matches(qualified_name)) continue;
    std::optional<ValueType> type = ValueType::of(column, options.values);
    if (!type) continue;
    const std::optional<std::string> by_default = default_json(column.default_value, *type);
    // A primary key's columns are NOT NULL, even where the catalog's facts are not known.
    const bool in_key =
        std::find(table.primary_key.begin(), table.primary_key.end(), i) != table.primary_key.end();
    const bool optional = !column.not_null && !in_key;
    schemas.push_back(type->schema(optional, by_default.value_or(""), column.name));
    Field field{.column = i,
                .name = quoted(column.name) + ":",
                .type = std::move(*type),
                .absent = by_default.value_or("null"),
                .qualified_name = qualified_name};
    if (!by_default && !optional) field.absent = field.type.zero();
    fields_.push_back(std::move(field));
  }
  choose_key(table, options);
  std::vector<std::string> key_schemas;
  for (const std::uint32_t each : key_) key_schemas.push_back(schemas[each]);
  key_schema_ = struct_schema(key_schemas, false, "Key") + "}";
  const std::string row = struct_schema(schemas, true, "Value");
  envelope_schema_ = fmt::format(
      R"({{"type":"struct","fields":[{0},"field":"before"}},{0},"field":"after"}},{1},{2},{3}],)"
      R"("optional":false,"name":"{4}.Envelope","version":2}})",
      row, kSourceSchema, kTransactionBlockSchema, kBehindTransaction, topic_);
}

// The columns that message.key.columns names, else those of the primary key; of either those that
// events have.
void TableEncoding::choose_key(const model::Table& table, const TableOptions& options) {
  const auto add = [&](const auto& is_it) {
    const auto at = std::find_if(fields_.begin(), fields_.end(), is_it);
    if (at != fields_.end()) key_.push_back(static_cast<std::uint32_t>(at - fields_.begin()));
  };
  for (const TableOptions::KeyColumns& chosen : options.key_columns) {
    if (!chosen.tables.matches(table.qualified_name())) continue;
    for (const std::string& name : chosen.columns)
      add([&](const Field& field) { return table.columns[field.column].name == name; });
    return;
  }
  for (const std::uint32_t column : table.primary_key)
    add([&](const Field& field) { return field.column == column; });
}

// Without the closing brace: a field's name may follow.
std::string TableEncoding::struct_schema(const std::vector<std::string>& fields, bool optional,
                                         std::string_view suffix) const {
  std::string list;
  for (const std::string& field : fields) list += (list.empty() ? "" : ",") + field;
  return fmt::format(R"({{"type":"struct","fields":[{}],"optional":{},"name":"{}.{}")", list,
                     optional, topic_, suffix);
}

Status TableEncoding::append(const Field& field, const model::Cell& cell, std::string& out) const {
  switch (cell.kind) {
    case model::CellKind::kNull:
      out += "null";
      return {};
    case model::CellKind::kUnchanged:
      out += field.type.unavailable();
      return {};
    case model::CellKind::kAbsent:
      out += field.absent;
      return {};
    case model::CellKind::kText:
      break;
  }
  if (field.type.append(cell.text(), out)) return {};
  constexpr std::size_t kShown = 100;
  return error(Code::kInvalid, fmt::format("a value of {} is none of its type: '{}'",
                                           field.qualified_name, cell.text().substr(0, kShown)));
}

Status TableEncoding::append_key(std::span<const model::Cell> row, std::string& out) const {
  char before = '{';
  for (const std::uint32_t each : key_) {
    const Field& field = fields_[each];
    out += std::exchange(before, ',');
    out += field.name;
    TRY(append(field, row[field.column], out));
  }
  out += '}';
  return {};
}

Status TableEncoding::append_row(std::span<const model::Cell> row, std::string& out) const {
  char before = '{';
  for (const Field& field : fields_) {
    out += std::exchange(before, ',');
    out += field.name;
    TRY(append(field, row[field.column], out));
  }
  if (fields_.empty()) out += '{';
  out += '}';
  return {};
}

bool TableEncoding::is_same(std::uint32_t field, std::span<const model::Cell> a,
                            std::span<const model::Cell> b) const {
  const model::Cell& left = a[fields_[field].column];
  const model::Cell& right = b[fields_[field].column];
  if (left.kind == model::CellKind::kNull && right.kind == model::CellKind::kNull) return true;
  return has_value(left) && has_value(right) && left.text() == right.text();
}

bool TableEncoding::same_key(std::span<const model::Cell> a, std::span<const model::Cell> b) const {
  return std::all_of(key_.begin(), key_.end(),
                     [&](std::uint32_t each) { return is_same(each, a, b); });
}

bool TableEncoding::same_row(std::span<const model::Cell> a, std::span<const model::Cell> b) const {
  for (std::uint32_t i = 0; i < fields_.size(); ++i) {
    if (!is_same(i, a, b)) return false;
  }
  return true;
}

}  // namespace pgweir::debezium
