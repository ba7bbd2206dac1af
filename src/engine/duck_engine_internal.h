// The engine itself, over DuckDB. Private to engine/: engine.cc has its transactions, batches and
// snapshots, engine_tables.cc the tables that it knows.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "engine/activity.h"
#include "engine/database.h"
#include "engine/engine.h"
#include "engine/meta.h"
#include "engine/mirror_writer.h"
#include "engine/readers.h"

namespace pgweir::engine {

// A known table: with a writer and a public Mirror when it is mirrored.
struct KnownTable {
  StoredTable stored;
  std::unique_ptr<MirrorWriter> writer;
  Mirror mirror;
  bool touched = false;  // by the batch being applied

  bool takes_changes() const { return writer != nullptr && stored.stopped.empty(); }
};

class DuckEngine : public Engine {
 public:
  DuckEngine(EngineOptions options, WantedColumns wanted, Logger& logger)
      : options_(std::move(options)),
        store_options_(make_store_options()),
        wanted_(std::move(wanted)),
        logger_(logger),
        readers_(options_.readers_max) {}

  Status start();
  void set_maintainer(ViewMaintainer* maintainer) override { maintainer_ = maintainer; }
  duck::Connection& write_connection() override { return *connection_; }
  const StoreOptions& store_options() const override { return store_options_; }
  Status bind_log(const std::string& log_identity) override;
  Status define_table(const model::Table& table) override;
  Status stop_table(model::Oid table, const std::string& reason) override;
  Status apply(const model::Batch& batch) override;
  Status begin_snapshot(const model::Position& position) override;
  Status end_snapshot(const model::Position& position, model::Lsn end_lsn) override;
  Status advance(const model::Position& position, model::Lsn end_lsn) override;
  EnginePosition position() const override;
  std::vector<Mirror> mirrors() const override;
  Result<std::unique_ptr<Reader>> reader(Milliseconds timeout) override {
    return readers_.lend(timeout);
  }
  void interrupt_readers() override { readers_.interrupt_all(); }
  bool needs_recovery() const override { return readers_.found_broken(); }
  Status recover() override;

 private:
  Status commit(const std::function<Status()>& body);
  Status commit_or_join(const std::function<Status()>& body);
  Status begin_transaction();
  Status end_transaction();
  Status roll_back();
  Status fail(const Error& failure);
  Error explain(const Error& failure);
  void close();
  Status load_tables();
  Status attach_mirror(KnownTable& known);
  Status show_mirror(const KnownTable& known);
  Status hide_mirrors();
  Status hide_mirror(KnownTable& known);
  Status stop(KnownTable& known, const std::string& reason);
  Status show_stopped(const KnownTable& known);
  Result<std::vector<std::uint32_t>> kept_places(const KnownTable& known,
                                                 const model::Table& table) const;
  Status define_new(const model::Table& table);
  Status redefine(KnownTable& known, const model::Table& table,
                  const std::vector<std::uint32_t>& kept);
  Status make_room(KnownTable& known);
  StoreOptions make_store_options() const {
    StoreOptions made = options_.store.value_or(store_options_for(options_.memory_bytes));
    made.work = std::make_shared<StoreWork>();
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
  Status apply_parts(const model::Batch& batch);
  Status apply_rows(const model::Batch& batch);
  Status apply_changes(const model::Batch& batch);
  Status apply_mirror(KnownTable& known, const model::Batch& batch);
  Result<KnownTable*> known_table(const model::Table& table);
  void publish_mirrors();
  void checkpoint_when_due();
  void checkpoint();

  const EngineOptions options_;
  const StoreOptions store_options_;
  const WantedColumns wanted_;
  Logger& logger_;
  ViewMaintainer* maintainer_ = nullptr;

  std::unique_ptr<EngineDatabase> database_;
  ReaderPool readers_;
  std::unique_ptr<duck::Connection> connection_;
  std::unique_ptr<Meta> meta_;
  std::unique_ptr<Activity> activity_;
  std::map<std::uint32_t, KnownTable> tables_;  // by OID
  State state_;                                 // with what the open transaction has applied
  std::uint64_t commits_ = 0;
  bool in_transaction_ = false;
  bool tables_changed_ = false;   // in the open transaction
  std::optional<Misfit> misfit_;  // why apply_parts() failed
  bool reopen_due_ = false;       // the last failure asks for it
  bool checkpoint_failed_ = false;

  mutable Mutex mutex_;
  EnginePosition committed_ GUARDED_BY(mutex_);
  std::vector<Mirror> mirrors_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::engine
