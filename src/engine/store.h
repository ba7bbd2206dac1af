// A relation kept in DuckDB so that a few rows out of many millions are found, replaced and removed
// by key quickly, without an index in memory. Mirrors, view states and arrangements are all stores.
//
// Place:   docs/decisions/ says how rows are laid out and why (clustered by the hash of the key).
// Life:    open() in any transaction; everything else inside the engine's transaction of a batch.
// Threads: the engine's write connection only. Readers of other connections use content_name().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "duck/duck.h"

namespace pgweir::engine {

// Name of the weight column of every delta table: +1 for a row that comes, -1 for one that goes.
inline constexpr const char* kWeightColumn = "pgweir_weight";
// Name of the key's hash in a store's content and in a delta made by its owner: UBIGINT,
// hash(key column, key column, ...), as DuckDB's hash() gives it.
inline constexpr const char* kHashColumn = "pgweir_hash";

// Name of the column that tells, inside a store's table, which rows were written together.
inline constexpr const char* kRunColumn = "pgweir_run";

struct StoreColumn {
  std::string name;
  std::string type;  // DuckDB's text
  bool operator==(const StoreColumn&) const = default;
};

struct StoreSpec {
  std::string name;  // unique in the database; any text
  // No name may be kHashColumn, kWeightColumn or kRunColumn.
  std::vector<StoreColumn> columns;
  std::vector<std::uint32_t> key;  // indexes into columns; NULLs are equal to each other
  // Several rows may have one key (a join key, a bag): rows are then told apart by all columns, and
  // equal rows are kept as often as they came. Without key columns every row has the hash 0.
  bool unique = true;
  // Of a store that is not unique: no two rows are equal in all columns. Removing a row then looks
  // for it once and not twice.
  bool distinct = false;
  bool operator==(const StoreSpec&) const = default;
};

struct StoreOptions {
  // Rows that wait unclustered: every lookup reads them all. Above it parts of them move on.
  std::uint64_t recent_rows_max = 128 * 1024;
  // Rows in the level between them and the large one. The larger, the less often that is rewritten.
  std::uint64_t middle_rows_max = 1024 * 1024;
  // Rows that one step of maintain() rewrites.
  std::uint64_t step_rows = 64 * 1024;
};

// The schema, in the database, of every physical table. Not for people.
inline constexpr const char* kInternalSchema = "pgweir_internal";

// Wraps a further condition of a join on kHashColumn, so that DuckDB does not make it a second key
// of the join: with the hash as the only key, and a WHERE on the small side (any: it says that the
// side is selective), the scan of the store filters single rows, not only row groups. Twice as
// fast.
//   FROM store AS m JOIN (SELECT * FROM delta WHERE weight < 0) AS d
//     ON m.pgweir_hash = d.pgweir_hash AND coalesce(m.k = d.k, false)
std::string beside_hash(const std::string& condition);

class Store {
 public:
  // Opens the store, or creates it empty. kCorruption when it exists with another spec.
  static Result<std::unique_ptr<Store>> open(duck::Connection& connection, const StoreSpec& spec,
                                             const StoreOptions& options = {});
  static Status drop(duck::Connection& connection, const std::string& name);
  virtual ~Store() = default;

  virtual const StoreSpec& spec() const = 0;

  // A DuckDB view, quoted, usable in FROM on any connection: the spec's columns, then kHashColumn.
  // Joined with a small relation on kHashColumn (and the key, for collisions: beside_hash()) it
  // reads only the few row groups it must. Equal rows of a store that is not unique appear as often
  // as they are.
  virtual const std::string& content_name() const = 0;

  // Removes the rows of weight -1 and adds those of weight +1 of `delta_table`, which has the
  // spec's columns, kHashColumn and kWeightColumn in this order and no row both ways (consolidated;
  // a row of a store that is not unique may come or go several times, as so many rows of the
  // delta). A row to remove that is not there is kInternal: the store and the delta disagree.
  virtual Status apply(const std::string& delta_table) = 0;

  // Replaces everything by the rows of a SELECT with the spec's columns: the initial load.
  virtual Status load(const std::string& select) = 0;

  // Removes every row.
  virtual Status clear() = 0;

  // Rewrites a bounded part when it is due; called after apply(), in the same transaction.
  virtual Status maintain() = 0;

  virtual Result<std::uint64_t> row_count() = 0;
};

}  // namespace pgweir::engine
