// The embedded engine: mirrors of the captured tables, activity counts, and the maintained views,
// all moved together with the position in one DuckDB transaction a batch.
//
// Place:   uses duck/; fed by pipeline/ with model::Batch. Knows nothing of PostgreSQL's protocol
//          or the log. The views plug in through ViewMaintainer (views/ stands above engine/).
// Life:    open(); set_maintainer(); then apply() in the order of the log. Destroy = close.
// Threads: apply() and everything that writes: one thread. Readers: any thread, through reader().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/logger.h"
#include "base/result.h"
#include "base/units.h"
#include "duck/duck.h"
#include "engine/consolidate.h"
#include "engine/store.h"
#include "model/batch.h"
#include "model/copy_text.h"
#include "model/position.h"

namespace pgweir::engine {

struct EngineOptions {
  std::string directory;              // holds the database file and spilled data
  std::uint64_t memory_bytes = kGiB;  // DuckDB's limit is a part of it (database.cc)
  int threads = 1;
  // While a first snapshot is sorted and written, and nobody is answered yet. Without a value: as
  // many as there are processors, and as memory_bytes allows; never fewer than `threads`.
  std::optional<int> load_threads;
  // Who read the base of a large store at a time for one batch, each on a connection and a thread
  // of its own. Without a value: as many as there are processors, up to 4. With 1 nobody but the
  // batch.
  std::optional<int> base_readers;
  // A smaller snapshot is not worth opening the database with as many.
  std::uint64_t load_bytes_min = 64 * kMiB;
  // How numeric without a precision is kept: DECIMAL(precision, scale).
  int numeric_precision = 38;
  int numeric_scale = 9;
  // The database is checkpointed once its own write-ahead log is this large: a kill then costs at
  // most about this much replay at the next start.
  std::uint64_t checkpoint_bytes = 64 * kMiB;
  // A transaction of more changes is committed in parts, each with its position; queries from
  // outside wait meanwhile, so that nobody sees a part. What DuckDB keeps in memory of a
  // transaction that is open grows with it. Without a value it goes by memory_bytes.
  std::optional<std::uint64_t> part_changes_max;
  int readers_max = 4;            // queries from outside at a time
  int computing_readers_max = 4;  // beside them (Reader::Purpose)
  // Somebody answers tables_to_read(): a table whose rows here cannot be made into those of its new
  // shape, and one that comes later, waits for them. Without it the one stops for good, and the
  // other has what comes from its first change on.
  bool rows_are_read = false;
  // The mirror of a table whose rows nobody looks up keeps none, where its changes tell their old
  // rows (docs/decisions/0010). Only with rows_are_read: they come back so.
  bool releases_mirrors = false;
  // How long recover() waits for readers that were interrupted. One that takes longer keeps the old
  // database's memory until it ends.
  Milliseconds readers_patience{5'000};
  // Without it, what a store may leave pending goes by memory_bytes.
  std::optional<StoreOptions> store;
};

// A captured table as the engine keeps it.
struct Mirror {
  model::Table table;  // the newest version
  MirrorKind kind = MirrorKind::kKeyed;
  std::vector<std::uint32_t> kept_columns;  // indexes into table.columns
  // "schema"."table", quoted: a DuckDB view of its rows. (With the database in front where the
  // schema alone would be taken for a database.)
  std::string name;
  std::weak_ptr<Store> store;  // its columns: the kept ones, with DuckDB's names
  // Its table is read beside the stream: not all rows are there yet, or not all are right.
  bool reading = false;
  // Why its changes are no longer taken; empty while it is live. Its rows are then out of date, and
  // reading `name` fails with this reason.
  std::string stopped;
  // Why its rows are not kept, only its changes taken; empty while they are. Reading `name` fails
  // with this reason, and `store` is empty.
  std::string released;
  // Another one whenever the rows are others than those before, but for the changes applied: made
  // anew, not taken over into another shape.
  std::string rows_id;
};

// A table that waits for its rows, and why.
struct TableToRead {
  model::Oid id{};
  std::string name;  // qualified
  std::string reason;
};

// One relation's net change in the batch being applied.
struct Delta {
  // A temporary table on the write connection: the relation's columns, kHashColumn, kWeightColumn.
  // An update that leaves all kept columns equal is in it not at all.
  std::string table;
  std::uint64_t rows = 0;
};

class Engine;
struct EnginePosition;

// What views/ implements. Called on the write connection, inside the batch's transaction.
class ViewMaintainer {
 public:
  virtual ~ViewMaintainer() = default;
  // `mirror`'s rows are still the old ones, `delta` is what it is about to become; mirrors that
  // were given earlier in this batch are new already, those that come later are old (telescoping).
  virtual Status table_changed(duck::Connection& connection, const Mirror& mirror,
                               const Delta& delta) = 0;
  // Called before the changes of a batch, from its transaction number `first` on: how many of its
  // transactions are worked in before the next call. With `due`, batch_applied() is called behind
  // them even if no mirror has changed: something in the views goes by where a transaction ends. A
  // batch that fails begins from its first transaction again.
  struct Portion {
    std::size_t transactions = 0;
    bool due = false;
  };
  virtual Result<Portion> take_transactions(duck::Connection& connection, const model::Batch& batch,
                                            std::size_t first) {
    (void)connection;
    return Portion{.transactions = batch.transactions.size() - first};
  }
  // Every mirror is new: bring the views up to date, in dependency order.
  virtual Status batch_applied(duck::Connection& connection) = 0;
  // No mirror changes: bring the views up to date with the clock.
  virtual Status time_passes(duck::Connection& connection) {
    (void)connection;
    return {};
  }
  // The mirrors were replaced (first snapshot complete, or resync): build every view anew from
  // them.
  virtual Status rebuild(duck::Connection& connection) = 0;
  // The mirror was truncated, reloaded or changed its columns: its deltas no longer tell.
  virtual Status table_replaced(duck::Connection& connection, const Mirror& mirror) = 0;
  // Whether the rows of a mirror are needed, or its changes are enough. Between two batches.
  enum class RowsNeeded {
    kYes,
    kNo,       // somebody goes by its changes, nobody by its rows
    kUnknown,  // leave it as it is
  };
  virtual RowsNeeded rows_needed(const Mirror& mirror) const {
    (void)mirror;
    return RowsNeeded::kUnknown;
  }
  // The mirror is out of date from here on (mirror.stopped says why): views over it cannot be
  // right.
  virtual Status table_stopped(duck::Connection& connection, const Mirror& mirror) {
    (void)connection, (void)mirror;
    return {};
  }
  // The tables that are mirrored, their names or their shapes are others now: `mirrors` are those
  // that can be read from here on. Between batches or parts of one, in the engine's transaction.
  virtual Status mirrors_changed(duck::Connection& connection, std::vector<Mirror> mirrors) {
    (void)connection, (void)mirrors;
    return {};
  }
  // Everything since the last commit is committed, and true at `position`. With `whole` as false it
  // is a part of a large transaction, which nobody sees before its last one. No transaction is
  // open.
  virtual void committed(const EnginePosition& position, bool whole) {
    (void)position, (void)whole;
  }
  // Everything since the last commit was rolled back, whatever the reason. No transaction is open.
  virtual void rolled_back() {}
  // The database is closed and opened anew: what stands on the write connection must be given back,
  // then made on the new one, where all is as the last commit left it. No transaction is open.
  virtual void database_closes() {}
  virtual Status database_opened(Engine& engine) {
    (void)engine;
    return {};
  }
};

struct EnginePosition {
  model::Position position;
  model::Lsn end_lsn{};            // what people see
  model::Timestamp commit_time{};  // of the last transaction
  std::string log_identity;        // of the log that the position is in
  bool snapshot_complete = false;  // mirrors and views may be shown
};

// A consistent read: everything it reads is true at position(). Holds a connection of its own in a
// read-only transaction; destroy it soon. SQL from outside runs with no file, network or setting
// access, which the database as a whole has given up at open.
class Reader {
 public:
  enum class Purpose {
    kQueries,
    // SQL of the configuration, which may take long. Its transaction can write temporary tables;
    // the connection may be used behind its COMMIT, for tables of kScratchCatalog. (A transaction
    // that may write any other table would keep the database from being checkpointed, however long
    // it takes.) There are computing_readers_max places for those.
    kComputes,
  };
  virtual ~Reader() = default;
  virtual const EnginePosition& position() const = 0;
  virtual duck::Connection& connection() = 0;
};

class Engine {
 public:
  // Opens or creates the database. `tables` decides which captured tables are mirrored, with which
  // columns: asked whenever a table is seen first or anew; nothing = not mirrored.
  using WantedColumns =
      std::function<std::optional<std::vector<std::uint32_t>>(const model::Table&)>;
  static Result<std::unique_ptr<Engine>> open(const EngineOptions& options, WantedColumns wanted,
                                              Logger& logger);
  virtual ~Engine() = default;

  // Before the first apply(). `maintainer` must outlive the engine.
  virtual void set_maintainer(ViewMaintainer* maintainer) = 0;
  // Another one after recover().
  virtual duck::Connection& write_connection() = 0;
  // For the stores of view states.
  virtual const StoreOptions& store_options() const = 0;

  // Ties an empty engine to a log; kCorruption when it belongs to another one.
  virtual Status bind_log(const std::string& log_identity) = 0;

  // What a table looks like from here on, before rows of that shape come. A mirror takes on the new
  // shape: columns come with their value in all rows, go, get other names and types; another key;
  // another name; and it goes with its table. Where the rows here do not tell those of the new
  // shape (model/table_change.h), the table waits for its rows: see tables_to_read().
  virtual Status define_table(const model::Table& table) = 0;

  // A table is read beside the stream from here on: its rows come as changes of kind kRead, in any
  // order, and changes may concern rows that have not come yet. What the mirror has stays, if
  // `table` can still be what it was; with `kReplaces` it begins empty. Not while a transaction is
  // half applied.
  enum class Reading { kCompares, kReplaces };
  virtual Status begin_read(const model::Table& table, Reading how, const model::Position& position,
                            model::Lsn end_lsn) = 0;
  // All have come: rows of the mirror that did not are gone.
  virtual Status end_read(model::Oid table, const model::Position& position,
                          model::Lsn end_lsn) = 0;

  // `wanted` answers otherwise than before, or rows are needed that were not. A table that is
  // wanted now and has no mirror waits for its rows, where somebody reads them. A mirror stays as
  // it is, though it may lack columns that are wanted, or be wanted no more: it takes on the others
  // when the table is read again. Not while a transaction is open. One whose rows were not kept and
  // are needed waits for them, too.
  virtual Status ask_wanted() = 0;

  // Takes no more changes of a mirrored table (until the next snapshot); activity goes on counting
  // them. While a transaction is half applied it belongs to it, and is rolled back with it.
  virtual Status stop_table(model::Oid table, const std::string& reason) = 0;

  // Takes the next batch: consolidates, updates mirrors, activity and views. Commits when the batch
  // ends a transaction; else the DuckDB transaction stays open for the next part, unless it has
  // become too large (part_changes_max). On an error
  // everything since the last commit is rolled back: apply again from position().
  // A value that a mirror cannot hold stops that table alone, as stop_table() does, in front of the
  // transaction that brought it. When earlier parts of that transaction are lost so: kUnavailable.
  // kUnavailable, too, when memory runs out also once readers have given way; kBroken: see
  // recover().
  // Requires batch.from <= the position <= batch's first record: marks and the beginning of a
  // snapshot move the position, but are no records.
  virtual Status apply(const model::Batch& batch) = 0;

  // A snapshot begins: forgets all mirrors, views and rows (a new epoch starts from nothing).
  virtual Status begin_snapshot(const model::Position& position) = 0;
  // All rows of the snapshot are applied: builds views, makes everything visible.
  virtual Status end_snapshot(const model::Position& position, model::Lsn end_lsn) = 0;
  // Between the two: rows of the snapshot as the log has them, taken apart and taken in by as many
  // threads as load_threads says; each time a transaction of its own. Otherwise as apply().
  virtual Status load(const model::RowBlocks& rows) = 0;
  // load() and end_snapshot(), also one that runs, end soon with kCancelled from here on: the next
  // engine goes on from position(). Any thread; one that runs may have to be told again.
  virtual void stop_loading() = 0;
  // Works in what the views do as time passes, in a transaction of its own; the position stays.
  // Does nothing while a transaction is half applied, or a snapshot comes in: the next batch does
  // it. Fails as apply() does.
  virtual Status let_time_pass() = 0;
  // Nothing changed up to here.
  virtual Status advance(const model::Position& position, model::Lsn end_lsn) = 0;

  // Before the next call after one that failed: opens the database anew where DuckDB has given it
  // up (kBroken), or memory has run out, which frees what DuckDB still holds. Readers are
  // interrupted and waited for. Everything is as the last commit left it. Fails as open() does:
  // call it again.
  virtual Status recover() = 0;
  // Whether apply() has left a transaction open for its next part. The engine's thread.
  virtual bool is_in_transaction() const = 0;
  // Whether recover() is due though no call has failed: a reader met a database given up. Any
  // thread.
  virtual bool needs_recovery() const = 0;

  // The last committed position; any thread.
  virtual EnginePosition position() const = 0;
  // The mirrors, by qualified name; any thread.
  virtual std::vector<Mirror> mirrors() const = 0;
  // Those whose rows have to be read from the source again, as last committed; any thread.
  virtual std::vector<TableToRead> tables_to_read() const = 0;

  // Waits up to `timeout` for one of the places for that purpose. kTimeout when there was none.
  virtual Result<std::unique_ptr<Reader>> reader(
      Milliseconds timeout, Reader::Purpose purpose = Reader::Purpose::kQueries) = 0;
  // Ends the queries that readers run now, with kCancelled; any thread.
  virtual void interrupt_readers() = 0;
};

}  // namespace pgweir::engine
