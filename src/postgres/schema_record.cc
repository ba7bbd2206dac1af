// The bytes of tables and schema records, and what differs between two versions of a table.
#include <fmt/core.h>

#include "base/bytes.h"
#include "postgres/catalog.h"

namespace pgweir::postgres {
namespace {
using model::Column;
using model::Table;

// Persisted in the log: raise it with every change of the layout, and keep reading the old ones.
constexpr std::uint8_t kTableVersion = 1;
constexpr std::uint8_t kSchemaVersion = 1;
constexpr std::uint32_t kColumnsMax = 1600;  // PostgreSQL's own limit

void append_text(std::string& out, std::string_view text) {
  append_file(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

std::string_view read_text(FileReader& in) {
  return in.bytes(in.read<std::uint32_t>());
}

Error damaged(std::string_view what, const FileReader& in) {
  return error(Code::kCorruption, fmt::format("a stored {} is damaged", what),
               fmt::format("at byte {}", in.offset()));
}

std::string type_text(const Column& column) {
  if (!column.type_name.empty()) return column.type_name;
  if (column.type_modifier < 0) return fmt::format("type {}", model::value(column.type));
  return fmt::format("type {} with modifier {}", model::value(column.type), column.type_modifier);
}

const Column* find(const Table& table, const std::string& name) {
  for (const Column& column : table.columns) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

std::string key_text(const Table& table) {
  std::string out;
  for (const std::uint32_t key : table.primary_key)
    out += (out.empty() ? "" : ", ") + table.columns[key].name;
  return out.empty() ? "none" : "(" + out + ")";
}

}  // namespace

std::string encode_table(const Table& table) {
  std::string out;
  append_file(out, kTableVersion);
  append_file(out, model::value(table.id));
  append_text(out, table.schema);
  append_text(out, table.name);
  append_file(out, static_cast<char>(table.replica_identity));
  append_file(out, static_cast<std::uint32_t>(table.columns.size()));
  for (const Column& column : table.columns) {
    append_text(out, column.name);
    append_file(out, model::value(column.type));
    append_file(out, column.type_modifier);
    append_text(out, column.type_name);
    append_file(out, model::value(column.base_type));
    append_file(out,
                static_cast<std::uint8_t>((column.in_key ? 1 : 0) | (column.not_null ? 2 : 0)));
  }
  append_file(out, static_cast<std::uint32_t>(table.primary_key.size()));
  for (const std::uint32_t key : table.primary_key) append_file(out, key);
  return out;
}

Result<Table> decode_table(std::string_view bytes) {
  FileReader in(bytes);
  const auto version = in.read<std::uint8_t>();
  if (in.ok() && version != kTableVersion) {
    return error(
        Code::kUnsupported,
        fmt::format("a stored table has format {}, this program knows {}", version, kTableVersion),
        {}, "Use the version of pgweir that wrote it, or a later one");
  }
  Table table;
  table.id = model::Oid{in.read<std::uint32_t>()};
  table.schema = read_text(in);
  table.name = read_text(in);
  table.replica_identity = model::ReplicaIdentity{in.read<char>()};
  const auto count = in.read<std::uint32_t>();
  if (count > kColumnsMax) return damaged("table", in);
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    Column column;
    column.name = read_text(in);
    column.type = model::Oid{in.read<std::uint32_t>()};
    column.type_modifier = in.read<std::int32_t>();
    column.type_name = read_text(in);
    column.base_type = model::Oid{in.read<std::uint32_t>()};
    const auto flags = in.read<std::uint8_t>();
    column.in_key = (flags & 1) != 0;
    column.not_null = (flags & 2) != 0;
    table.columns.push_back(std::move(column));
  }
  const auto keys = in.read<std::uint32_t>();
  if (keys > count) return damaged("table", in);
  for (std::uint32_t i = 0; i < keys && in.ok(); ++i) {
    table.primary_key.push_back(in.read<std::uint32_t>());
    if (table.primary_key.back() >= count) return damaged("table", in);
  }
  if (!in.ok() || !in.at_end()) return damaged("table", in);
  return table;
}

std::string encode_schema(const SchemaRecord& record) {
  std::string out;
  append_file(out, kSchemaVersion);
  append_text(out, record.relation_message);
  append_text(out, encode_table(record.table));
  return out;
}

Result<SchemaRecord> decode_schema(std::string_view bytes) {
  FileReader in(bytes);
  const auto version = in.read<std::uint8_t>();
  if (in.ok() && version != kSchemaVersion) {
    return error(Code::kUnsupported,
                 fmt::format("a schema record has format {}, this program knows {}", version,
                             kSchemaVersion),
                 {}, "Use the version of pgweir that wrote it, or a later one");
  }
  SchemaRecord record;
  record.relation_message = read_text(in);
  const std::string_view table = read_text(in);
  if (!in.ok() || !in.at_end()) return damaged("schema record", in);
  TRY_ASSIGN(record.table, decode_table(table));
  return record;
}

std::optional<std::string> unhandled_difference(const Table& known, const Table& now) {
  const std::string table = known.qualified_name();
  if (known.qualified_name() != now.qualified_name())
    return fmt::format("table {} is now called {}", table, now.qualified_name());
  const bool same_count = known.columns.size() == now.columns.size();
  for (std::size_t i = 0; i < known.columns.size(); ++i) {
    const Column& was = known.columns[i];
    const Column* is = find(now, was.name);
    if (is == nullptr) {
      const bool renamed = same_count && now.columns[i].type == was.type &&
                           find(known, now.columns[i].name) == nullptr;
      if (renamed) {
        return fmt::format("column {} of table {} is now called {}", was.name, table,
                           now.columns[i].name);
      }
      return fmt::format("column {} of table {} was dropped", was.name, table);
    }
    if (is->type != was.type || is->type_modifier != was.type_modifier) {
      return fmt::format("column {} of table {} changed its type from {} to {}", was.name, table,
                         type_text(was), type_text(*is));
    }
  }
  for (const Column& column : now.columns) {
    if (find(known, column.name) == nullptr)
      return fmt::format("column {} was added to table {}", column.name, table);
  }
  for (std::size_t i = 0; i < known.columns.size(); ++i) {
    if (known.columns[i].name != now.columns[i].name)
      return fmt::format("the columns of table {} stand in another order", table);
  }
  if (known.primary_key != now.primary_key) {
    return fmt::format("the primary key of table {} changed from {} to {}", table, key_text(known),
                       key_text(now));
  }
  return std::nullopt;
}

}  // namespace pgweir::postgres
