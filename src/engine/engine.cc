#include "engine/engine.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/mutex.h"
#include "engine/activity.h"
#include "engine/database.h"
#include "engine/meta.h"
#include "engine/mirror_writer.h"
#include "engine/readers.h"

namespace pgweir::engine {
namespace {

using duck::quote_identifier;

// A schema that is called like one of DuckDB's databases needs ours in front.
std::string mirror_schema(const model::Table& table) {
  const std::string schema = quote_identifier(table.schema);
  for (const char* database : {kCatalog, "memory", "system", "temp"}) {
    if (table.schema == database) return fmt::format("{}.{}", kCatalog, schema);
  }
  return schema;
}

std::string mirror_name(const model::Table& table) {
  return mirror_schema(table) + "." + quote_identifier(table.name);
}

// Temporary tables, filled and emptied in every batch, grow for so many batches.
constexpr std::uint64_t kTemporaryCheckpointCommits = 64;

// A known table: with a writer and a public Mirror when it is mirrored.
struct KnownTable {
  StoredTable stored;
  std::unique_ptr<MirrorWriter> writer;
  Mirror mirror;
  bool touched = false;  // by the batch being applied
};

class DuckEngine : public Engine {
 public:
  DuckEngine(EngineOptions options, WantedColumns wanted, Logger& logger)
      : options_(std::move(options)), wanted_(std::move(wanted)), logger_(logger) {}

  Status start();
  void set_maintainer(ViewMaintainer* maintainer) override { maintainer_ = maintainer; }
  duck::Connection& write_connection() override { return *connection_; }
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
    return readers_->lend(timeout);
  }
  void interrupt_readers() override { readers_->interrupt_all(); }

 private:
  template <typename Body>
  Status commit(const Body& body);
  Status begin_transaction();
  Status end_transaction();
  Status roll_back(Status failure);
  Status load_tables();
  Status attach_mirror(KnownTable& known);
  Status show_mirror(const KnownTable& known);
  Status hide_mirrors();
  Status hide_mirror(KnownTable& known);
  Result<std::vector<std::uint32_t>> kept_places(const KnownTable& known,
                                                 const model::Table& table) const;
  Status define_new(const model::Table& table);
  Status redefine(KnownTable& known, const model::Table& table,
                  const std::vector<std::uint32_t>& kept);
  Status make_room(KnownTable& known);
  TypeOptions type_options() const {
    return {.numeric_precision = options_.numeric_precision,
            .numeric_scale = options_.numeric_scale};
  }
  Status apply_parts(const model::Batch& batch);
  Status apply_rows(const model::Batch& batch);
  Status apply_changes(const model::Batch& batch);
  Status apply_mirror(KnownTable& known, const model::Batch& batch);
  Result<KnownTable*> known_table(const model::Table& table);
  void publish_mirrors();
  Status checkpoint_when_due();

  const EngineOptions options_;
  const WantedColumns wanted_;
  Logger& logger_;
  ViewMaintainer* maintainer_ = nullptr;

  std::unique_ptr<EngineDatabase> database_;
  std::unique_ptr<ReaderPool> readers_;
  std::unique_ptr<duck::Connection> connection_;
  std::unique_ptr<Meta> meta_;
  std::unique_ptr<Activity> activity_;
  std::map<std::uint32_t, KnownTable> tables_;  // by OID
  State state_;                                 // with what the open transaction has applied
  std::uint64_t commits_ = 0;
  bool in_transaction_ = false;
  bool tables_changed_ = false;  // in the open transaction

  mutable Mutex mutex_;
  EnginePosition committed_ GUARDED_BY(mutex_);
  std::vector<Mirror> mirrors_ GUARDED_BY(mutex_);
};

// --- Opening ----------------------------------------------------------------------------------

Status DuckEngine::start() {
  TRY_ASSIGN(database_, EngineDatabase::open({.directory = options_.directory,
                                              .memory_bytes = options_.memory_bytes,
                                              .threads = options_.threads}));
  TRY_ASSIGN(connection_, database_->connect());
  TRY_ASSIGN(readers_, ReaderPool::open(*database_, options_.readers_max));
  TRY_ASSIGN(meta_, Meta::open(*connection_));
  TRY_ASSIGN(activity_, Activity::open(*connection_));
  TRY_ASSIGN(state_, meta_->read_state());
  TRY(duck::in_transaction(*connection_, [&] { return load_tables(); }));
  MutexLock lock(mutex_);
  committed_ = state_.position;
  return {};
}

// The tables as the database has them. Mirrors that are known already keep their place in memory.
Status DuckEngine::load_tables() {
  TRY_ASSIGN(const std::vector<StoredTable> stored, meta_->read_tables());
  std::map<std::uint32_t, KnownTable> loaded;
  for (const StoredTable& table : stored) {
    KnownTable& known = loaded[model::value(table.table.id)];
    known.stored = table;
    if (table.mirrored) TRY(attach_mirror(known));
  }
  tables_ = std::move(loaded);
  publish_mirrors();
  return {};
}

Status DuckEngine::attach_mirror(KnownTable& known) {
  const model::Table& table = known.stored.table;
  MirrorLayout layout = lay_out(table, known.stored.kept_columns, type_options());
  known.mirror = {.table = table,
                  .kind = layout.identity.kind,
                  .kept_columns = layout.identity.kept,
                  .name = mirror_name(table),
                  .stopped = known.stored.stopped};
  TRY_ASSIGN(known.writer, MirrorWriter::open(*connection_, std::move(layout)));
  known.mirror.store = &known.writer->store();
  return {};
}

void DuckEngine::publish_mirrors() {
  std::vector<Mirror> mirrors;
  for (const auto& [oid, known] : tables_) {
    if (known.stored.mirrored) mirrors.push_back(known.mirror);
  }
  std::sort(mirrors.begin(), mirrors.end(), [](const Mirror& a, const Mirror& b) {
    return a.table.qualified_name() < b.table.qualified_name();
  });
  MutexLock lock(mutex_);
  mirrors_ = std::move(mirrors);
}

Status DuckEngine::bind_log(const std::string& log_identity) {
  std::string& bound = state_.position.log_identity;
  if (bound == log_identity) return {};
  if (!bound.empty()) {
    return error(Code::kCorruption, "the engine's database belongs to another log",
                 fmt::format("bound to log {}, opened with log {}; position {}", bound,
                             log_identity, model::to_string(state_.position.position)),
                 "Put back the log that it was made from, or remove the folder engine to build it "
                 "anew from this log");
  }
  return commit([&]() -> Status {
    state_.position.log_identity = log_identity;
    return {};
  });
}

// --- Transactions -----------------------------------------------------------------------------

Status DuckEngine::begin_transaction() {
  if (in_transaction_) return {};
  TRY(connection_->execute("BEGIN TRANSACTION"));
  in_transaction_ = true;
  return {};
}

// Writes the state and commits.
Status DuckEngine::end_transaction() {
  TRY(meta_->write_state(state_));
  TRY(connection_->execute("COMMIT"));
  in_transaction_ = false;
  if (tables_changed_) publish_mirrors();
  tables_changed_ = false;
  {
    MutexLock lock(mutex_);
    committed_ = state_.position;
  }
  return checkpoint_when_due();
}

// Takes everything since the last commit back, in the database and in memory.
Status DuckEngine::roll_back(Status failure) {
  if (in_transaction_) {
    // A failed COMMIT has ended the transaction already: nothing is left to roll back then.
    const Status ignored = connection_->execute("ROLLBACK");
    (void)ignored;
  }
  in_transaction_ = false;
  activity_->rolled_back();
  TRY_ASSIGN(state_, meta_->read_state());
  for (auto& [oid, known] : tables_) {
    if (known.writer != nullptr) known.writer->rolled_back();
  }
  if (tables_changed_) TRY(duck::in_transaction(*connection_, [&] { return load_tables(); }));
  tables_changed_ = false;
  if (maintainer_ != nullptr) maintainer_->rolled_back();
  return failure;
}

// `body` and the state in one transaction, which must not be open yet.
template <typename Body>
Status DuckEngine::commit(const Body& body) {
  if (in_transaction_)
    return error(Code::kInternal, "a transaction is half applied: only its next part can follow");
  TRY(begin_transaction());
  Status status = body();
  if (status.ok()) status = end_transaction();
  return status.ok() ? status : roll_back(status);
}

Status DuckEngine::checkpoint_when_due() {
  // The room of rows that were deleted from temporary tables is given back only so.
  if (++commits_ % kTemporaryCheckpointCommits == 0) {
    const Status cleared = connection_->execute("CHECKPOINT temp");
    if (!cleared.ok()) logger_.warning("engine: no room is given back: {}", cleared.error().text());
  }
  if (database_->wal_bytes() < options_.checkpoint_bytes) return {};
  const Status done = database_->checkpoint(*connection_);
  if (!done.ok()) logger_.warning("engine: no checkpoint now: {}", done.error().text());
  return {};
}

// --- Tables -----------------------------------------------------------------------------------

// Whether every value of the old type is the same value, and the same text, of the new one.
bool keeps_values(const model::Column& old, const model::Column& now) {
  constexpr model::Oid kVarchar{1043};
  if (old.type != now.type) return false;
  const bool longer =
      now.type_modifier < 0 || (old.type_modifier >= 0 && old.type_modifier <= now.type_modifier);
  return old.type_modifier == now.type_modifier || (old.type == kVarchar && longer);
}

// The new places of the kept columns. Nothing that is kept may change: names, types, key.
Result<std::vector<std::uint32_t>> DuckEngine::kept_places(const KnownTable& known,
                                                           const model::Table& table) const {
  const MirrorLayout& old = known.writer->layout();
  std::string changes;
  std::vector<std::uint32_t> kept;
  for (const std::uint32_t i : old.identity.kept) {
    const model::Column& column = old.table.columns[i];
    const auto same = std::find_if(table.columns.begin(), table.columns.end(),
                                   [&](const model::Column& c) { return c.name == column.name; });
    if (same == table.columns.end()) {
      changes += fmt::format("column {} is gone; ", column.name);
    } else if (!keeps_values(column, *same)) {
      changes += fmt::format("column {} was {} and is {}; ", column.name, column.type_name,
                             same->type_name);
    } else {
      kept.push_back(static_cast<std::uint32_t>(same - table.columns.begin()));
    }
  }
  if (changes.empty()) {
    const MirrorLayout now = lay_out(table, kept, type_options());
    if (now.columns != old.columns)
      changes += "its key or the order of its columns is another; ";
    else if (now.identity.kind != old.identity.kind)
      changes += "its replica identity is another; ";
  }
  if (table.schema != old.table.schema || table.name != old.table.name)
    changes += fmt::format("it is now called {}; ", table.qualified_name());
  if (changes.empty()) return kept;
  changes.resize(changes.size() - 2);
  return error(Code::kUnsupported,
               fmt::format("table {} changed its shape", old.table.qualified_name()), changes,
               "Its mirror and the views over it stop here; a new snapshot takes it in again");
}

Status DuckEngine::define_table(const model::Table& table) {
  const auto found = tables_.find(model::value(table.id));
  const bool is_known = found != tables_.end();
  if (is_known && (found->second.stored.table == table || !found->second.stored.stopped.empty()))
    return {};
  std::function<Status()> body = [&] { return define_new(table); };
  if (is_known && found->second.writer != nullptr) {
    TRY_ASSIGN(const std::vector<std::uint32_t> kept, kept_places(found->second, table));
    body = [&, kept] { return redefine(found->second, table, kept); };
  }
  if (!in_transaction_) return commit(body);
  const Status status = body();
  return status.ok() ? status : roll_back(status);
}

// New columns are not mirrored before the next snapshot: the rows that are there lack them.
Status DuckEngine::redefine(KnownTable& known, const model::Table& table,
                            const std::vector<std::uint32_t>& kept) {
  MirrorLayout layout = lay_out(table, kept, type_options());
  known.stored.table = known.mirror.table = table;
  known.stored.kept_columns = known.mirror.kept_columns = layout.identity.kept;
  known.writer->set_table(table, std::move(layout.identity));
  tables_changed_ = true;
  return meta_->write_table(known.stored);
}

Status DuckEngine::define_new(const model::Table& table) {
  KnownTable& known = tables_[model::value(table.id)];
  tables_changed_ = true;
  const auto wanted = wanted_(table);
  known.stored = {.table = table, .mirrored = wanted.has_value()};
  if (wanted) known.stored.kept_columns = *wanted;
  TRY(make_room(known));
  TRY(meta_->write_table(known.stored));
  if (!known.stored.mirrored) return {};
  TRY(attach_mirror(known));
  if (state_.phase == Phase::kLoading) return known.writer->create_raw();
  return show_mirror(known);
}

// Another table with the name of this one: PostgreSQL has dropped or renamed it, or the two differ
// only in upper and lower case, which DuckDB does not tell apart.
Status DuckEngine::make_room(KnownTable& known) {
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  };
  const model::Table& table = known.stored.table;
  for (auto& [oid, other] : tables_) {
    const model::Table& old = other.stored.table;
    if (&other == &known || !known.stored.mirrored || !other.stored.mirrored ||
        lower(old.qualified_name()) != lower(table.qualified_name()))
      continue;
    if (old.qualified_name() != table.qualified_name()) {
      known.stored.mirrored = false;
      known.stored.stopped =
          fmt::format("the engine does not tell its name from {}", old.qualified_name());
      logger_.warning("engine: table {} is not mirrored: {}; exclude one of them in source.exclude",
                      table.qualified_name(), known.stored.stopped);
      return {};
    }
    TRY(hide_mirror(other));
    other.stored.mirrored = false;
    other.stored.stopped = "another table has its name now";
    TRY(meta_->write_table(other.stored));
  }
  return {};
}

Status DuckEngine::show_mirror(const KnownTable& known) {
  const model::Table& table = known.stored.table;
  std::string columns;
  for (const StoreColumn& column : known.writer->layout().columns)
    columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
  TRY(connection_->execute(fmt::format("CREATE SCHEMA IF NOT EXISTS {}", mirror_schema(table))));
  return connection_->execute(fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}",
                                          known.mirror.name, columns,
                                          known.mirror.store->content_name()));
}

Status DuckEngine::stop_table(model::Oid table, const std::string& reason) {
  const auto found = tables_.find(model::value(table));
  if (found == tables_.end() || !found->second.stored.mirrored)
    return error(Code::kNotFound, "the table to stop is not mirrored");
  KnownTable& known = found->second;
  if (!known.stored.stopped.empty()) return {};
  const auto body = [&]() -> Status {
    known.stored.stopped = known.mirror.stopped = reason;
    tables_changed_ = true;
    TRY(meta_->write_table(known.stored));
    const std::string text =
        fmt::format("table {} is stopped: {}", known.stored.table.qualified_name(), reason);
    TRY(connection_->execute(fmt::format("CREATE OR REPLACE VIEW {} AS SELECT error({}) AS stopped",
                                         known.mirror.name, duck::quote_literal(text))));
    return maintainer_ == nullptr ? Status{}
                                  : maintainer_->table_stopped(*connection_, known.mirror);
  };
  if (!in_transaction_) return commit(body);
  const Status status = body();
  return status.ok() ? status : roll_back(status);
}

Result<KnownTable*> DuckEngine::known_table(const model::Table& table) {
  const auto found = tables_.find(model::value(table.id));
  if (found == tables_.end() || !(found->second.stored.table == table)) TRY(define_table(table));
  return &tables_.at(model::value(table.id));
}

// --- Batches ----------------------------------------------------------------------------------

Status DuckEngine::apply(const model::Batch& batch) {
  if (batch.from > state_.position.position || batch.to <= state_.position.position) {
    return error(
        Code::kInternal, "the batch does not follow the engine's position",
        fmt::format("at {}, the batch begins after {}", model::to_string(state_.position.position),
                    model::to_string(batch.from)));
  }
  const bool is_first_part = !in_transaction_;
  Status status = apply_parts(batch);
  if (status.ok()) return status;
  const bool retry = status.error().code == Code::kUnavailable && is_first_part;
  status = roll_back(status);
  if (!retry) return status;
  // Queries from outside share the memory: they give way.
  logger_.warning("engine: out of memory, queries are stopped: {}", status.error().message);
  readers_->interrupt_all();
  status = apply_parts(batch);
  return status.ok() ? status : roll_back(status);
}

Status DuckEngine::apply_parts(const model::Batch& batch) {
  TRY(begin_transaction());
  if (state_.phase == Phase::kLoading) {
    TRY(apply_rows(batch));
  } else {
    TRY(apply_changes(batch));
  }
  activity_->count(batch);
  state_.position.position = batch.to;
  for (const model::Transaction& transaction : batch.transactions) {
    if (model::value(transaction.end_lsn) != 0) state_.position.end_lsn = transaction.end_lsn;
    state_.position.commit_time = transaction.commit_time;
  }
  if (!batch.ends_transaction() && state_.phase != Phase::kLoading) return {};
  TRY(activity_->write());
  return end_transaction();
}

// Rows that a snapshot read.
Status DuckEngine::apply_rows(const model::Batch& batch) {
  std::vector<KnownTable*> tables;
  for (const auto& table : batch.tables) {
    TRY_ASSIGN(KnownTable * known, known_table(*table));
    tables.push_back(known);
  }
  for (const model::Change& change : batch.changes) {
    if (change.op != model::Op::kRead)
      return error(Code::kInternal, "a change came before the snapshot ended",
                   batch.table_of(change).qualified_name());
    KnownTable& known = *tables[change.table];
    if (known.writer != nullptr) TRY(known.writer->append_raw(batch, change));
  }
  for (KnownTable* known : tables) {
    if (known->writer != nullptr) TRY(known->writer->flush_raw());
  }
  return {};
}

Status DuckEngine::apply_changes(const model::Batch& batch) {
  std::vector<KnownTable*> tables;
  for (const auto& table : batch.tables) {
    TRY_ASSIGN(KnownTable * known, known_table(*table));
    tables.push_back(known);
    known->touched = false;
  }
  for (const model::Change& change : batch.changes) {
    KnownTable& known = *tables[change.table];
    if (known.writer == nullptr || !known.stored.stopped.empty()) continue;
    if (!known.touched) TRY(known.writer->begin());
    known.touched = true;
    TRY(known.writer->add(batch, change));
  }
  bool changed = false;
  for (KnownTable* known : tables) {
    if (!known->touched) continue;
    known->touched = false;
    changed = true;
    TRY(apply_mirror(*known, batch));
  }
  return changed && maintainer_ != nullptr ? maintainer_->batch_applied(*connection_) : Status{};
}

Status DuckEngine::apply_mirror(KnownTable& known, const model::Batch& batch) {
  TRY_ASSIGN(const std::uint64_t rows, known.writer->make_delta(batch));
  const bool replaced = known.writer->truncated();
  if (!replaced && rows != 0 && maintainer_ != nullptr) {
    TRY(maintainer_->table_changed(*connection_, known.mirror,
                                   {.table = known.writer->delta_table(), .rows = rows}));
  }
  TRY(known.writer->apply_delta(rows));
  return replaced && maintainer_ != nullptr
             ? maintainer_->table_replaced(*connection_, known.mirror)
             : Status{};
}

// --- Snapshots --------------------------------------------------------------------------------

Status DuckEngine::begin_snapshot(const model::Position& position) {
  if (in_transaction_) {
    // A transaction that the new snapshot replaces.
    TRY(roll_back({}));
  }
  return commit([&]() -> Status {
    tables_changed_ = true;
    TRY(hide_mirrors());
    tables_.clear();
    TRY(meta_->forget_tables());
    state_.phase = Phase::kLoading;
    state_.position.position = position;
    state_.position.snapshot_complete = false;
    return {};
  });
}

Status DuckEngine::hide_mirrors() {
  for (auto& [oid, known] : tables_) {
    if (known.stored.mirrored) TRY(hide_mirror(known));
  }
  return {};
}

Status DuckEngine::hide_mirror(KnownTable& known) {
  known.writer.reset();
  known.mirror.store = nullptr;
  const std::uint32_t oid = model::value(known.stored.table.id);
  TRY(connection_->execute("DROP VIEW IF EXISTS " + mirror_name(known.stored.table)));
  TRY(connection_->execute(fmt::format("DROP TABLE IF EXISTS {}.raw_{}", kInternalSchema, oid)));
  return Store::drop(*connection_, fmt::format("mirror of {}", oid));
}

Status DuckEngine::end_snapshot(const model::Position& position, model::Lsn end_lsn) {
  if (state_.phase != Phase::kLoading)
    return error(Code::kInternal, "a snapshot ends that has not begun");
  const Status done = commit([&]() -> Status {
    for (auto& [oid, known] : tables_) {
      if (known.writer == nullptr) continue;
      TRY(known.writer->load_raw());
      TRY(show_mirror(known));
    }
    state_.phase = Phase::kLive;
    state_.position.position = position;
    state_.position.end_lsn = end_lsn;
    state_.position.snapshot_complete = true;
    return maintainer_ == nullptr ? Status{} : maintainer_->rebuild(*connection_);
  });
  if (!done.ok()) return done;
  return database_->checkpoint(*connection_);
}

Status DuckEngine::advance(const model::Position& position, model::Lsn end_lsn) {
  return commit([&]() -> Status {
    state_.position.position = position;
    state_.position.end_lsn = end_lsn;
    return {};
  });
}

EnginePosition DuckEngine::position() const {
  MutexLock lock(mutex_);
  return committed_;
}

std::vector<Mirror> DuckEngine::mirrors() const {
  MutexLock lock(mutex_);
  return mirrors_;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const EngineOptions& options, WantedColumns wanted,
                                             Logger& logger) {
  auto engine = std::make_unique<DuckEngine>(options, std::move(wanted), logger);
  TRY(engine->start());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace pgweir::engine
