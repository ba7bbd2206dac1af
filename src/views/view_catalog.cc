#include "views/view_catalog.h"

#include <fmt/core.h>

#include "engine/store.h"

namespace pgweir::views {
namespace {

using duck::quote_literal;

std::string table() {
  return fmt::format("{}.view_states", engine::kInternalSchema);
}

}  // namespace

Status ViewCatalog::create(duck::Connection& connection) {
  TRY(connection.execute(fmt::format("CREATE SCHEMA IF NOT EXISTS {}", engine::kInternalSchema)));
  return connection.execute(fmt::format(
      "CREATE TABLE IF NOT EXISTS {} (name VARCHAR, fingerprint VARCHAR, error VARCHAR)", table()));
}

Result<std::map<std::string, StoredView>> ViewCatalog::read(duck::Connection& connection) {
  std::map<std::string, StoredView> stored;
  TRY_ASSIGN(const auto rows,
             connection.query_texts("SELECT name, fingerprint, error FROM " + table()));
  for (const auto& row : rows.rows)
    stored[row[0].value_or("")] = {row[1].value_or(""), row[2].value_or("")};
  return stored;
}

Status ViewCatalog::save(duck::Connection& connection, const std::string& view,
                         const StoredView& stored) {
  TRY(forget(connection, view));
  return connection.execute(fmt::format("INSERT INTO {} VALUES ({}, {}, {})", table(),
                                        quote_literal(view), quote_literal(stored.fingerprint),
                                        quote_literal(stored.error)));
}

Status ViewCatalog::forget(duck::Connection& connection, const std::string& view) {
  return connection.execute(
      fmt::format("DELETE FROM {} WHERE name = {}", table(), quote_literal(view)));
}

}  // namespace pgweir::views
