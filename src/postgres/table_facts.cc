#include "postgres/table_facts.h"

#include <algorithm>
#include <utility>

#include "postgres/pgoutput.h"

namespace pgweir::postgres {
namespace {
using model::Column;
using model::Table;

// Messages have their columns in the order of the numbers.
bool ascending(const Table& table) {
  std::int16_t last = 0;
  for (const Column& column : table.columns) {
    if (column.number == 0) continue;
    if (column.number <= last) return false;
    last = column.number;
  }
  return true;
}

bool all_numbered(const Table& table) {
  return std::all_of(table.columns.begin(), table.columns.end(),
                     [](const Column& column) { return column.number != 0; });
}

// What the catalog no longer has under its name may be what was known before.
void fill_from(const Table& known, Table& table) {
  const Table filled = with_facts(table, known);
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].number == 0) table.columns[i] = filled.columns[i];
  }
}

std::vector<std::int16_t> key_numbers(const Table& table) {
  std::vector<std::int16_t> numbers;
  for (const std::uint32_t i : table.primary_key) numbers.push_back(table.columns[i].number);
  return numbers;
}

}  // namespace

Table merge_facts(Table relation, const Table* known, const Table* catalog) {
  if (catalog == nullptr)
    return known == nullptr ? relation : with_facts(std::move(relation), *known);
  Table table = with_facts(relation, *catalog);
  const bool current =
      all_numbered(table) && table.columns.size() == catalog->columns.size() && ascending(table);
  if (!current) {
    if (known != nullptr) fill_from(*known, table);
    if (!ascending(table))
      table = known == nullptr ? std::move(relation) : with_facts(std::move(relation), *known);
    // The same files: whatever has happened since, it rewrote nothing.
    const bool untouched = known != nullptr && known->storage == catalog->storage;
    table.storage = untouched ? catalog->storage : 0;
  }
  if (known != nullptr) {
    table.numbers_max = known->numbers_max;
    for (const Column& column : table.columns)
      table.numbers_max = std::max(table.numbers_max, column.number);
  }
  // Under FULL the message does not mark the primary key, and rows of a time when it did not hold
  // cannot be told apart by it.
  const bool key_holds = known != nullptr && key_numbers(*known) == key_numbers(*catalog);
  if (table.replica_identity == model::ReplicaIdentity::kFull && !key_holds)
    table.primary_key.clear();
  return table;
}

}  // namespace pgweir::postgres
