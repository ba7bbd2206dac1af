// The bytes of tables and schema records.
#include <fmt/core.h>

#include <algorithm>

#include "base/bytes.h"
#include "postgres/catalog.h"

namespace pgweir::postgres {
namespace {
using model::Column;
using model::Table;

// Persisted in the log: raise it with every change of the layout, and keep reading the old ones.
// Version 2 added the facts that follow a table through changes of its shape, 3 the row filter, 4
// when partitions were attached, 5 what publishes it, 6 what events say of types; a table is
// written as the first that can tell of it.
constexpr std::uint8_t kTableVersion = 6;
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

bool has_type_facts(const Column& column) {
  return column.facts != model::TypeFacts{} || !column.default_value.empty();
}

std::uint8_t version_of(const Table& table) {
  if (std::any_of(table.columns.begin(), table.columns.end(), has_type_facts)) return kTableVersion;
  if (!table.published_by.empty()) return 5;
  if (!table.partitions.empty()) return 4;
  return table.row_filter.empty() ? 2 : 3;
}

// Of each column, since version 6.
void append_type_facts(std::string& out, const Column& column) {
  append_text(out, column.facts.name);
  append_file(out, column.facts.modifier);
  append_file(out, model::value(column.facts.element));
  append_text(out, column.facts.element_name);
  append_file(out, static_cast<std::uint32_t>(column.facts.labels.size()));
  for (const std::string& label : column.facts.labels) append_text(out, label);
  append_text(out, column.default_value);
}

void read_type_facts(FileReader& in, Column& column) {
  column.facts.name = read_text(in);
  column.facts.modifier = in.read<std::int32_t>();
  column.facts.element = model::Oid{in.read<std::uint32_t>()};
  column.facts.element_name = read_text(in);
  const auto labels = in.read<std::uint32_t>();
  for (std::uint32_t i = 0; i < labels && in.ok(); ++i)
    column.facts.labels.emplace_back(read_text(in));
  column.default_value = read_text(in);
}

// Of the table as a whole, since version 2.
Status read_facts(FileReader& in, std::uint8_t version, Table& table) {
  const char presence = in.read<char>();
  if (in.ok() && std::string_view("cdu").find(presence) == std::string_view::npos)
    return damaged("table", in);
  table.presence = model::Presence{presence};
  table.storage = in.read<std::uint32_t>();
  table.numbers_max = static_cast<std::int16_t>(in.read<std::uint16_t>());
  const auto count = in.read<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    model::Partition partition;
    partition.id = model::Oid{in.read<std::uint32_t>()};
    partition.storage = in.read<std::uint32_t>();
    partition.made_here = in.read<std::uint8_t>() != 0;
    if (version >= 4) partition.attached = in.read<std::uint32_t>();
    table.partitions.push_back(partition);
  }
  return {};
}

}  // namespace

std::string encode_table(const Table& table) {
  std::string out;
  const std::uint8_t version = version_of(table);
  append_file(out, version);
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
    append_file(out, static_cast<std::uint8_t>((column.in_key ? 1 : 0) | (column.not_null ? 2 : 0) |
                                               (column.missing ? 4 : 0)));
    append_file(out, static_cast<std::uint16_t>(column.number));
    append_file(out, column.revision);
    if (column.missing) append_text(out, *column.missing);
  }
  append_file(out, static_cast<std::uint32_t>(table.primary_key.size()));
  for (const std::uint32_t key : table.primary_key) append_file(out, key);
  append_file(out, static_cast<char>(table.presence));
  append_file(out, table.storage);
  append_file(out, static_cast<std::uint16_t>(table.numbers_max));
  append_file(out, static_cast<std::uint32_t>(table.partitions.size()));
  for (const model::Partition& partition : table.partitions) {
    append_file(out, model::value(partition.id));
    append_file(out, partition.storage);
    append_file(out, static_cast<std::uint8_t>(partition.made_here ? 1 : 0));
    append_file(out, partition.attached);
  }
  if (version >= 3) append_text(out, table.row_filter);
  if (version < 5) return out;
  append_file(out, static_cast<std::uint32_t>(table.published_by.size()));
  for (const std::uint64_t each : table.published_by) append_file(out, each);
  if (version < 6) return out;
  for (const Column& column : table.columns) append_type_facts(out, column);
  return out;
}

Result<Table> decode_table(std::string_view bytes) {
  FileReader in(bytes);
  const auto version = in.read<std::uint8_t>();
  if (in.ok() && (version == 0 || version > kTableVersion)) {
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
    if (version >= 2) {
      column.number = static_cast<std::int16_t>(in.read<std::uint16_t>());
      column.revision = in.read<std::uint32_t>();
      if ((flags & 4) != 0) column.missing = std::string(read_text(in));
    }
    table.columns.push_back(std::move(column));
  }
  const auto keys = in.read<std::uint32_t>();
  if (keys > count) return damaged("table", in);
  for (std::uint32_t i = 0; i < keys && in.ok(); ++i) {
    table.primary_key.push_back(in.read<std::uint32_t>());
    if (table.primary_key.back() >= count) return damaged("table", in);
  }
  if (version >= 2) TRY(read_facts(in, version, table));
  if (version >= 3) table.row_filter = read_text(in);
  const auto publishers = version >= 5 ? in.read<std::uint32_t>() : 0;
  for (std::uint32_t i = 0; i < publishers && in.ok(); ++i)
    table.published_by.push_back(in.read<std::uint64_t>());
  if (version >= 6) {
    for (Column& column : table.columns) read_type_facts(in, column);
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

}  // namespace pgweir::postgres
