// A relation kept in DuckDB so that a few rows out of many millions are found, replaced and removed
// by key quickly, without an index in memory. Mirrors, view states and arrangements are all stores.
//
// Place:   docs/decisions/0001 says how rows are laid out and why: a small store is one table; a
//          large one is a base, in the order of the hash, that is only ever rewritten by ranges,
//          the rows that came since (recent), and the names of rows of the base that went (dead).
// Life:    open() in any transaction; everything else inside the engine's transaction of a batch.
//          What it remembers of a transaction that is rolled back it reads anew by itself.
// Threads: the engine's write connection only. Readers of other connections use content_name().
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "duck/duck.h"

namespace pgweir::engine {

// Name of the weight column of every delta table: +1 for a row that comes, -1 for one that goes.
inline constexpr const char* kWeightColumn = "pgweir_weight";
// Name of the key's hash in a store's content and in a delta made by its owner: UBIGINT,
// hash(key column, key column, ...), as DuckDB's hash() gives it.
inline constexpr const char* kHashColumn = "pgweir_hash";

// Another name that no column of a store may have.
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

class BaseReaders;
class Store;

// What the stores of a database do together.
struct StoreWork {
  // Those whose bases have ranges to rewrite: Store::work_off().
  std::set<Store*> due;
  // By rewriting ranges since the last checkpoint; the engine counts it back to 0 then. DuckDB
  // keeps up to 64 bytes of memory for each until the checkpoint.
  std::uint64_t deleted_rows = 0;
  // A load sorts 2^this times less at a time than load_bytes_max: memory has run out.
  int load_halvings = 0;
  // Transactions of the engine that were committed. (Others may commit, too: a change of a base
  // then seems to be open still.)
  std::uint64_t commits = 0;
  // Of all large stores, what is not yet worked into their bases.
  std::uint64_t pending_rows = 0;
};

struct StoreOptions {
  // A store with more rows is large. Looking something up in a small one reads all of it.
  std::uint64_t small_rows_max = 64 * 1024;
  // Of a large store: changes that are not yet worked into the base, as rows of the two tables that
  // every lookup reads whole. About an eighth of the base, within these bounds. The more, the less
  // often the base is rewritten: each change costs some (rows of the base) / (2 * this) rows.
  std::uint64_t pending_rows_min = 256 * 1024;
  std::uint64_t pending_rows_max = 1024 * 1024;
  // A batch that leaves so many more pending is one of a backlog, where rewriting costs more than
  // lookups: then a third of the base may be pending, and as many rows as memory allows.
  std::uint64_t backlog_rows_min = 8 * 1024;
  // Of all stores together: their deletes pin up to 64 bytes of DuckDB's memory a row. What one
  // store has, others cannot; but each has pending_rows_floor.
  std::uint64_t pending_rows_total_max = 4 * 1024 * 1024;
  std::uint64_t pending_rows_floor = 64 * 1024;
  // Rows of the base that one step of maintain() rewrites, at the least and at the most.
  std::uint64_t step_rows_min = 64 * 1024;
  std::uint64_t step_rows_max = 256 * 1024;
  // ... and at the most of wide rows: a step sorts so much in memory.
  std::uint64_t step_bytes_max = 32 * kMiB;
  // So many keys are many: they are looked up, and rows removed, in the ways that pay for large
  // batches.
  std::uint64_t many_keys_min = 1024;
  // Pending rows are found by an index in memory (some 24 bytes a row) once so many batches came
  // one after the other that were not of a backlog: to make it costs as much as looking through the
  // rows some times.
  std::uint64_t batches_to_index = 16;
  // So many pending rows, written one after the other, are found together.
  std::uint64_t run_rows = 16 * 1024;
  // Of a load: what is sorted at a time, in bytes of rows; DuckDB takes about twice as many. What
  // does not fit goes through temporary files, which costs more than reading the rows once again.
  std::uint64_t load_bytes_max = 192 * kMiB;
  std::shared_ptr<StoreWork> work;       // may be absent
  std::shared_ptr<BaseReaders> readers;  // may be absent
};

// The defaults, with as much pending and such steps as memory allows.
StoreOptions store_options_for(std::uint64_t memory_bytes);

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
  // Of a store that is not open. Requires that none has the new name.
  static Status rename(duck::Connection& connection, const std::string& from,
                       const std::string& to);
  virtual ~Store() = default;

  virtual const StoreSpec& spec() const = 0;

  // A DuckDB view, quoted, usable in FROM on any connection: the spec's columns, then kHashColumn.
  // Joined with a small relation on kHashColumn (and the key, for collisions: beside_hash()) it
  // reads only the few row groups it must. Equal rows of a store that is not unique appear as often
  // as they are.
  virtual const std::string& content_name() const = 0;

  // The same for such a join in a statement of the write connection, and cheaper there: SQL for
  // FROM with the rows of the content whose hash is in `keys`, a SELECT of few rows with a column
  // kHashColumn; it may give other rows as well. The text changes when the store becomes large.
  virtual Result<std::string> lookup(const std::string& keys) = 0;

  // The two halves of lookup(). With many keys it pays to look among the recent rows first, and for
  // what is not found there in the base: it has rows of every key's range, and many changes concern
  // rows that came a moment ago. recent_name(), quoted, has the same columns; a small store has
  // nothing else, and lookup_base() is then a SELECT without rows.
  virtual bool are_many(std::uint64_t keys) const = 0;
  virtual const std::string& recent_name() const = 0;
  virtual Result<std::string> lookup_base(const std::string& keys) = 0;

  // Removes the rows of weight -1 and adds those of weight +1 of `delta_table`, which has the
  // spec's columns, kHashColumn and kWeightColumn in this order and no row both ways (consolidated;
  // a row of a store that is not unique may come or go several times, as so many rows of the
  // delta). Every row to remove must be there. Where it costs nothing, one that is not there is
  // kInternal: in a small store, in one that is neither unique nor distinct, and when the same row
  // was found twice among recent ones. In the base of a large store nobody looks: its owner has
  // found the old rows himself, or knows them.
  Status apply(const std::string& delta_table) {
    TRY_ASSIGN(const DeltaRows rows, count_rows(delta_table));
    return apply(delta_table, rows);
  }

  // The same, for those who know how many rows the delta has.
  struct DeltaRows {
    std::uint64_t removals = 0;
    std::uint64_t all = 0;
  };
  virtual Result<DeltaRows> count_rows(const std::string& delta_table) = 0;
  virtual Status apply(const std::string& delta_table, const DeltaRows& rows) = 0;

  // Replaces everything by the rows of a SELECT with the spec's columns: the initial load.
  virtual Status load(const std::string& select) = 0;

  // The same with the rows of a table, which has the spec's columns. Many are taken range by range
  // of their hashes, so that each range is sorted in memory.
  virtual Status load_from(const std::string& table) = 0;

  // Removes every row.
  virtual Status clear() = 0;

  // Called after apply(), in the same transaction: finds out how much of the base is to be
  // rewritten. From then on is_due(), and the store stands in StoreWork::due.
  virtual Status maintain() = 0;
  virtual bool is_due() const = 0;
  // Rewrites a bounded part. It changes nothing of the content, so it is best called in a
  // transaction of its own, with checkpoints in between: what DuckDB keeps of deleted rows grows
  // with the transaction.
  virtual Status work_off() = 0;

  // Without reading rows, but for a large store that is neither unique nor distinct.
  virtual Result<std::uint64_t> row_count() = 0;
};

}  // namespace pgweir::engine
