// Temporary tables that are filled and emptied once a batch, and pieces of SQL over columns.
//
// Place:   used by the strategies and arrangements.
// Threads: the engine's write connection only.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "duck/duck.h"
#include "engine/prepared_sql.h"
#include "engine/store.h"

namespace pgweir::views {

using engine::PreparedSql;

// A temporary table on the write connection. Empty at the start and at the end of every batch; the
// engine gives back the room of deleted rows from time to time.
class ScratchTable {
 public:
  // `name` needs no quotes.
  ScratchTable(const std::string& name, std::vector<engine::StoreColumn> columns);

  const std::string& name() const { return name_; }  // for FROM and INTO
  const std::vector<engine::StoreColumn>& columns() const { return columns_; }
  Status create(duck::Connection& connection);
  Status clear(duck::Connection& connection);

 private:
  std::string name_;
  std::vector<engine::StoreColumn> columns_;
  PreparedSql delete_;
};

// `columns` and then kHashColumn and kWeightColumn, as Store::apply() wants a delta.
std::vector<engine::StoreColumn> delta_columns(std::vector<engine::StoreColumn> columns);

// "a, b" of quoted names, each behind `prefix`.
std::string name_list(const std::vector<engine::StoreColumn>& columns,
                      const std::string& prefix = "");
// hash(a, b) of quoted names; what a store uses when there is no key column.
std::string hash_of(const std::vector<engine::StoreColumn>& columns,
                    const std::string& prefix = "");
// "x.a IS NOT DISTINCT FROM y.a ...", each behind " AND ", for a join on the hash of a large
// relation and a small one. No key of the join (beside_hash()): for inner joins alone, as DuckDB
// makes an outer one a nested loop then.
std::string and_same(const std::vector<engine::StoreColumn>& columns, const std::string& left,
                     const std::string& right);

// The same as keys of the join, of any kind, beside the hash.
std::string and_equal(const std::vector<engine::StoreColumn>& columns, const std::string& left,
                      const std::string& right);

// SELECT of `columns`, their hash over `key` and weights of +1 or -1 from `source`, a SELECT with
// these columns and `pgweir_w`: equal rows added up, those that cancel out left away. With `repeat`
// a row that comes several times stands there several times.
std::string consolidated(const std::string& source, const std::vector<engine::StoreColumn>& columns,
                         const std::vector<engine::StoreColumn>& key, bool repeat);

}  // namespace pgweir::views
