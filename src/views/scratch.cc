#include "views/scratch.h"

#include <fmt/core.h>

namespace pgweir::views {

using duck::quote_identifier;

ScratchTable::ScratchTable(const std::string& name, std::vector<engine::StoreColumn> columns)
    : name_("temp.main." + name), columns_(std::move(columns)), delete_("DELETE FROM " + name_) {}

Status ScratchTable::create(duck::Connection& connection) {
  std::string list;
  for (const auto& column : columns_) {
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", quote_identifier(column.name),
                        column.type);
  }
  return connection.execute(fmt::format("CREATE OR REPLACE TEMP TABLE {} ({})", name_, list));
}

Status ScratchTable::clear(duck::Connection& connection) {
  TRY(delete_.run(connection));
  return {};
}

std::vector<engine::StoreColumn> delta_columns(std::vector<engine::StoreColumn> columns) {
  columns.push_back({engine::kHashColumn, "UBIGINT"});
  columns.push_back({engine::kWeightColumn, "INTEGER"});
  return columns;
}

std::string name_list(const std::vector<engine::StoreColumn>& columns, const std::string& prefix) {
  std::string out;
  for (const auto& column : columns)
    out += (out.empty() ? "" : ", ") + prefix + quote_identifier(column.name);
  return out;
}

std::string hash_of(const std::vector<engine::StoreColumn>& columns, const std::string& prefix) {
  if (columns.empty()) return "0::UBIGINT";
  return "hash(" + name_list(columns, prefix) + ")";
}

namespace {

std::string same_text(const std::string& left, const std::string& right,
                      const engine::StoreColumn& column) {
  const std::string name = quote_identifier(column.name);
  return fmt::format("{}.{} IS NOT DISTINCT FROM {}.{}", left, name, right, name);
}

}  // namespace

std::string and_same(const std::vector<engine::StoreColumn>& columns, const std::string& left,
                     const std::string& right) {
  std::string out;
  for (const auto& column : columns)
    out += " AND " + engine::beside_hash(same_text(left, right, column));
  return out;
}

std::string and_equal(const std::vector<engine::StoreColumn>& columns, const std::string& left,
                      const std::string& right) {
  std::string out;
  for (const auto& column : columns) out += " AND " + same_text(left, right, column);
  return out;
}

std::string consolidated(const std::string& source, const std::vector<engine::StoreColumn>& columns,
                         const std::vector<engine::StoreColumn>& key, bool repeat) {
  const std::string names = name_list(columns);
  std::string sums = fmt::format(
      "SELECT {}, CAST(sum(pgweir_w) AS BIGINT) AS pgweir_sum FROM ({}) GROUP BY ALL "
      "HAVING sum(pgweir_w) <> 0",
      names, source);
  if (repeat)
    sums = fmt::format("SELECT *, unnest(range(abs(pgweir_sum))) AS pgweir_copy FROM ({})", sums);
  return fmt::format(
      "SELECT {}, {}, CAST(CASE WHEN pgweir_sum < 0 THEN -1 ELSE 1 END AS INTEGER) FROM ({})",
      names, hash_of(key), sums);
}

}  // namespace pgweir::views
