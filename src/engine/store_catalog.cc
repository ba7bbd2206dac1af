#include "engine/store_catalog.h"

#include <fmt/core.h>

namespace pgweir::engine {
namespace {

using duck::quote_identifier;
using duck::quote_literal;

constexpr const char* kStoresTable = "pgweir_internal.stores";

// Everything that a stored table depends on, as text; compared when a store is opened again.
std::string describe_spec(const StoreSpec& spec) {
  std::string out = spec.unique ? "unique key(" : spec.distinct ? "distinct key(" : "key(";
  for (const std::uint32_t column : spec.key) out += fmt::format("{} ", column);
  out += ")";
  for (const StoreColumn& column : spec.columns)
    out += fmt::format(" {} {}", quote_identifier(column.name), column.type);
  return out;
}

Status check_spec(const StoreSpec& spec) {
  for (const StoreColumn& column : spec.columns) {
    for (const char* reserved : {kHashColumn, kWeightColumn, kRunColumn}) {
      if (column.name == reserved)
        return error(Code::kInvalid,
                     fmt::format("store {} may not have a column named {}", spec.name, reserved));
    }
  }
  return {};
}

}  // namespace

Result<StoreEntry> find_or_add_store(duck::Connection& connection, const StoreSpec& spec) {
  TRY(check_spec(spec));
  TRY(connection.execute(fmt::format("CREATE SCHEMA IF NOT EXISTS {}", kInternalSchema)));
  TRY(
      connection.execute(fmt::format("CREATE TABLE IF NOT EXISTS {} (id BIGINT, name VARCHAR, "
                                     "spec VARCHAR, large BOOLEAN, next_hash UBIGINT)",
                                     kStoresTable)));
  TRY_ASSIGN(const duck::TextRows found,
             connection.query_texts(fmt::format("SELECT id, spec FROM {} WHERE name = {}",
                                                kStoresTable, quote_literal(spec.name))));
  const std::string text = describe_spec(spec);
  if (found.rows.empty()) {
    TRY_ASSIGN(
        const std::int64_t id,
        connection.query_int(fmt::format("SELECT coalesce(max(id), 0) + 1 FROM {}", kStoresTable)));
    TRY(connection.execute(fmt::format("INSERT INTO {} VALUES ({}, {}, {}, false, 0)", kStoresTable,
                                       id, quote_literal(spec.name), quote_literal(text))));
    return StoreEntry{id, true};
  }
  if (found.rows[0][1] != text) {
    return error(Code::kCorruption, fmt::format("store {} has another shape", spec.name),
                 fmt::format("found {}; expected {}", found.rows[0][1].value_or(""), text));
  }
  return StoreEntry{std::stoll(found.rows[0][0].value_or("0")), false};
}

Result<std::int64_t> remove_store(duck::Connection& connection, const std::string& name) {
  TRY_ASSIGN(const std::int64_t id,
             connection.query_int(fmt::format("SELECT id FROM {} WHERE name = {}", kStoresTable,
                                              quote_literal(name))));
  TRY(connection.execute(fmt::format("DELETE FROM {} WHERE id = {}", kStoresTable, id)));
  return id;
}

Result<StoreShape> read_store_shape(duck::Connection& connection, std::int64_t id,
                                    const std::string& name) {
  TRY_ASSIGN(duck::Rows rows,
             connection.query(
                 fmt::format("SELECT large, next_hash FROM {} WHERE id = {}", kStoresTable, id)));
  const duck::Chunk* chunk = rows.next();
  if (chunk == nullptr || chunk->row_count() == 0)
    return error(Code::kInternal, fmt::format("store {} is gone", name));
  return StoreShape{chunk->data<bool>(0)[0], chunk->data<std::uint64_t>(1)[0]};
}

Status write_store_shape(duck::Connection& connection, std::int64_t id, const StoreShape& shape) {
  return connection.execute(
      fmt::format("UPDATE {} SET large = {}, next_hash = {}::UBIGINT WHERE id = {}", kStoresTable,
                  shape.large, shape.next_hash, id));
}

Status Store::rename(duck::Connection& connection, const std::string& from, const std::string& to) {
  return connection.execute(fmt::format("UPDATE {} SET name = {} WHERE name = {}", kStoresTable,
                                        quote_literal(to), quote_literal(from)));
}

}  // namespace pgweir::engine
