// The engine itself, over DuckDB. Private to engine/: engine.cc has its transactions, batches and
// snapshots, engine_tables.cc the tables that it knows.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "engine/activity.h"
#include "engine/base_readers.h"
#include "engine/database.h"
#include "engine/engine.h"
#include "engine/meta.h"
#include "engine/mirror_writer.h"
#include "engine/readers.h"
#include "model/table_change.h"

namespace pgweir::engine {

// A known table: with a writer and a public Mirror when it is mirrored.
struct KnownTable {
  StoredTable stored;
  std::unique_ptr<MirrorWriter> writer;
  Mirror mirror;
  bool touched = false;  // by the batch being applied

  bool is_shown() const { return stored.mirrored && !stored.hidden; }
  // Its rows are for nobody but us until they are all there.
  bool is_filled() const { return stored.reading && stored.awaits_rows; }
  bool takes_changes() const {
    return writer != nullptr && (stored.stopped.empty() || is_filled());
  }
};

// "schema"."table", quoted: under which a table's mirror is read.
std::string mirror_name(const model::Table& table);

// As many connections as may read a store's base for one batch.
int base_readers_of(const EngineOptions& options);

class DuckEngine : public Engine {
 public:
  DuckEngine(EngineOptions options, WantedColumns wanted, Logger& logger)
      : options_(std::move(options)),
        store_options_(make_store_options()),
        wanted_(std::move(wanted)),
        logger_(logger),
        readers_(options_.readers_max, options_.computing_readers_max) {}
  // Stores of others may still hold on to the connections that read bases.
  ~DuckEngine() override { store_options_.readers->close(); }

  Status start();
  void set_maintainer(ViewMaintainer* maintainer) override { maintainer_ = maintainer; }
  duck::Connection& write_connection() override { return *connection_; }
  const StoreOptions& store_options() const override { return store_options_; }
  Status bind_log(const std::string& log_identity) override;
  Status define_table(const model::Table& table) override;
  Status ask_wanted() override;
  Status stop_table(model::Oid table, const std::string& reason) override;
  Status begin_read(const model::Table& table, Reading how, const model::Position& position,
                    model::Lsn end_lsn) override;
  Status end_read(model::Oid table, const model::Position& position, model::Lsn end_lsn) override;
  Status apply(const model::Batch& batch) override;
  Status load(const model::RowBlocks& rows) override;
  void stop_loading() override EXCLUDES(loading_mutex_);
  Status begin_snapshot(const model::Position& position) override;
  Status end_snapshot(const model::Position& position, model::Lsn end_lsn) override;
  Status let_time_pass() override;
  Status advance(const model::Position& position, model::Lsn end_lsn) override;
  EnginePosition position() const override;
  std::vector<Mirror> mirrors() const override;
  std::vector<TableToRead> tables_to_read() const override;
  Result<std::unique_ptr<Reader>> reader(Milliseconds timeout, Reader::Purpose purpose) override {
    return readers_.lend(timeout, purpose);
  }
  void interrupt_readers() override { readers_.interrupt_all(); }
  bool is_in_transaction() const override { return in_transaction_; }
  bool needs_recovery() const override { return readers_.found_broken(); }
  Status recover() override;

 private:
  Status commit(const std::function<Status()>& body);
  Result<bool> leave_epoch(const model::Position& to);
  Status commit_or_join(const std::function<Status()>& body);
  Status begin_transaction();
  Status end_transaction();
  Status roll_back();
  Status fail(const Error& failure);
  Error explain(const Error& failure);
  void close();
  // Closes everything and opens it again. What is not committed is gone.
  Status reopen(int threads);
  Status load_tables();
  Status attach_mirror(KnownTable& known);
  Status show_mirror(const KnownTable& known);
  Status hide_mirrors();
  Status hide_mirror(KnownTable& known);
  Status stop(KnownTable& known, const std::string& reason);
  Status show_stopped(const KnownTable& known);
  Status show_unreadable(const KnownTable& known, const std::string& why);
  // Definitions (engine_shapes.cc).
  std::optional<std::vector<std::uint32_t>> columns_of(const model::Table& table) const;
  Status define_new(const model::Table& table);
  Status redefine(KnownTable& known, const model::Table& table);
  Status redefine_unmirrored(KnownTable& known, const model::Table& table, bool wanted);
  Status redefine_unpublished(KnownTable& known);
  Status adopt(KnownTable& known, const MirrorLayout& layout);
  Status show(const KnownTable& known);
  Status reshape(KnownTable& known, const MirrorLayout& layout, const model::TableChange& change);
  Result<std::string> rows_in_shape(const KnownTable& known, const MirrorLayout& now,
                                    const model::TableChange& change);
  Status write_missing(const MirrorLayout& layout, const std::vector<std::size_t>& missing);
  Status rebuild_store(KnownTable& known, const MirrorLayout& layout, const std::string& rows);
  Status await_rows(KnownTable& known, const MirrorLayout& layout, const std::string& reason);
  Status take_name(KnownTable& known, const model::Table& table);
  Status tell_mirrors();
  void new_rows_id(KnownTable& known);
  Status make_room(KnownTable& known);
  Status begin_read(const model::Table& table, Reading how);
  Status end_read(KnownTable& known);
  bool lacks_columns(const KnownTable& known) const;
  // Mirrors that keep no rows (engine_release.cc).
  Status settle_rows();
  bool can_release(const KnownTable& known) const;
  Status release(KnownTable& known);
  Status show_released(const KnownTable& known);
  Status await_old_row(KnownTable& known, const model::Change& change);
  void tell_released(KnownTable& known);
  void tell_reading(KnownTable& known);
  StoreOptions make_store_options() const {
    StoreOptions made = options_.store.value_or(store_options_for(options_.memory_bytes));
    made.work = std::make_shared<StoreWork>();
    made.readers = std::make_shared<BaseReaders>(base_readers_of(options_));
    return made;
  }
  TypeOptions type_options() const {
    return {.numeric_precision = options_.numeric_precision,
            .numeric_scale = options_.numeric_scale};
  }
  // A value that the mirror of a table cannot hold, met by the batch being applied.
  struct Misfit {
    model::Table table;
    std::string reason;
  };
  Error note_misfit(const KnownTable& known, const Error& failure);
  Status stop_misfit(const Misfit& misfit);
  Status check_follows(const model::Position& from, const model::Position& to, bool cut_off) const;
  Status with_retries(const std::function<Status()>& part);
  Status apply_parts(const model::Batch& batch);
  Status pass_time();
  // (engine_load.cc)
  Status load_parts(const model::RowBlocks& rows);
  Status take_load_threads();
  class Interruptible;
  Status write_loaded();
  Status work_off();
  bool is_part_full(const model::Batch& batch);
  Status apply_rows(const model::Batch& batch);
  Status apply_changes(const model::Batch& batch);
  Status apply_changes(const model::Batch& batch, const std::vector<KnownTable*>& tables,
                       std::size_t first, ViewMaintainer::Portion portion);
  Status apply_mirror(KnownTable& known, const model::Batch& batch);
  Result<KnownTable*> known_table(const model::Table& table);
  void publish_mirrors();
  std::vector<Mirror> shown_mirrors() const;
  void checkpoint_when_due();
  void checkpoint();

  const EngineOptions options_;
  const StoreOptions store_options_;
  int threads_ = options_.threads;  // of the database that is open
  const WantedColumns wanted_;
  Logger& logger_;
  ViewMaintainer* maintainer_ = nullptr;

  std::unique_ptr<EngineDatabase> database_;
  ReaderPool readers_;
  std::unique_ptr<duck::Connection> connection_;
  std::unique_ptr<Meta> meta_;
  std::unique_ptr<Activity> activity_;
  std::map<std::uint32_t, KnownTable> tables_;  // by OID
  KnownTable messages_;                         // logical messages: events, of which none is kept
  State state_;                                 // with what the open transaction has applied
  std::uint64_t commits_ = 0;
  bool in_transaction_ = false;
  int part_halvings_ = 0;  // of part_changes_max, after failures; until a whole transaction
  std::uint64_t open_changes_ = 0;  // of a transaction that is not applied to its end, in this one
  bool tables_changed_ = false;     // in the open transaction
  std::optional<Misfit> misfit_;    // why apply_parts() failed
  bool publishes_later_ = false;    // what is committed; reopen() does it
  bool reopen_due_ = false;         // the last failure asks for it
  bool checkpoint_failed_ = false;

  std::atomic<bool> loading_stopped_{false};
  Mutex loading_mutex_;
  duck::Connection* loading_ GUARDED_BY(loading_mutex_) = nullptr;  // what stop_loading() ends

  mutable Mutex mutex_;
  EnginePosition committed_ GUARDED_BY(mutex_);
  std::vector<Mirror> mirrors_ GUARDED_BY(mutex_);
  std::vector<TableToRead> to_read_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::engine
