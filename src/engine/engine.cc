#include "engine/engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <thread>

#include "engine/duck_engine_internal.h"

namespace pgweir::engine {
namespace {

// Temporary tables, filled and emptied in every batch, grow for so many batches.
constexpr std::uint64_t kTemporaryCheckpointCommits = 64;
// A part may become this much smaller after failures: 2^8.
constexpr int kPartHalvingsMax = 8;
// More would find too little to do in what one batch looks up.
constexpr int kBaseReadersMax = 4;
}  // namespace

int base_readers_of(const EngineOptions& options) {
  const int processors = static_cast<int>(std::thread::hardware_concurrency());
  return options.base_readers.value_or(std::clamp(processors, 1, kBaseReadersMax));
}

// --- Opening ----------------------------------------------------------------------------------

Status DuckEngine::start() {
  TRY_ASSIGN(database_, EngineDatabase::open({.directory = options_.directory,
                                              .memory_bytes = options_.memory_bytes,
                                              .threads = threads_,
                                              .for_loading = threads_ != options_.threads}));
  TRY_ASSIGN(connection_, database_->take_first());
  TRY(readers_.open(*database_));
  store_options_.readers->open([this] { return database_->connect(); });
  TRY_ASSIGN(meta_, Meta::open(*connection_));
  TRY_ASSIGN(activity_, Activity::open(*connection_));
  TRY_ASSIGN(state_, meta_->read_state());
  if (state_.half_applied) readers_.hold();
  TRY(duck::in_transaction(*connection_, [&] { return load_tables(); }));
  MutexLock lock(mutex_);
  committed_ = state_.position;
  return {};
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

// What stands on the connection first, then the database itself.
void DuckEngine::close() {
  readers_.close(options_.readers_patience);
  tables_.clear();
  {
    MutexLock lock(mutex_);
    for (Mirror& mirror : mirrors_) mirror.store.reset();
  }
  activity_.reset();
  meta_.reset();
  store_options_.readers->close();
  connection_.reset();
  database_.reset();
}

Status DuckEngine::recover() {
  const bool looks_well = database_ != nullptr && !reopen_due_ && !readers_.found_broken();
  if (looks_well && database_->check(*connection_).ok()) return {};
  logger_.warning("engine: the database is opened anew");
  if (database_ != nullptr && in_transaction_) {
    const Status ignored = roll_back();  // fails on a database that DuckDB has given up
    (void)ignored;
  }
  return reopen(options_.threads);
}

Status DuckEngine::reopen(int threads) {
  if (maintainer_ != nullptr) maintainer_->database_closes();
  close();
  in_transaction_ = tables_changed_ = false;
  threads_ = threads;
  // What is half open must not be used.
  reopen_due_ = true;
  if (const Status started = start(); !started.ok()) return explain(started.error());
  reopen_due_ = false;
  return maintainer_ == nullptr ? Status{} : maintainer_->database_opened(*this);
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
  if (state_.half_applied) readers_.hold();
  TRY(connection_->execute("COMMIT"));
  ++store_options_.work->commits;
  in_transaction_ = false;
  open_changes_ = 0;
  if (!state_.half_applied) {
    part_halvings_ = store_options_.work->load_halvings = 0;
    readers_.release();
  }
  if (tables_changed_ && !publishes_later_) publish_mirrors();
  tables_changed_ = false;
  if (!publishes_later_) {
    MutexLock lock(mutex_);
    committed_ = state_.position;
  }
  if (maintainer_ != nullptr) maintainer_->committed(state_.position, !state_.half_applied);
  checkpoint_when_due();
  return {};
}

// Takes everything since the last commit back, in the database and in memory.
Status DuckEngine::roll_back() {
  // Appenders first: what they hold would be written at their end, be it outside of a transaction.
  activity_->rolled_back();
  for (auto& [oid, known] : tables_) {
    if (known.writer != nullptr) known.writer->rolled_back();
  }
  if (in_transaction_) {
    // A failed COMMIT has ended the transaction already: nothing is left to roll back then.
    const Status ignored = connection_->execute("ROLLBACK");
    (void)ignored;
  }
  in_transaction_ = false;
  open_changes_ = 0;
  TRY_ASSIGN(state_, meta_->read_state());
  TRY(activity_->read_open());
  if (!state_.half_applied) readers_.release();
  if (tables_changed_) TRY(duck::in_transaction(*connection_, [&] { return load_tables(); }));
  tables_changed_ = false;
  if (maintainer_ != nullptr) maintainer_->rolled_back();
  return {};
}

Status DuckEngine::fail(const Error& failure) {
  const Status undone = roll_back();
  return explain(undone.ok() ? failure : undone.error());
}

// What a failure of DuckDB means to people, and to recover().
Error DuckEngine::explain(const Error& failure) {
  if (failure.code == Code::kNoSpace) {
    return error(Code::kNoSpace, "the engine has no room on its disk", failure.text(),
                 fmt::format("Make room for {}; it goes on by itself", options_.directory));
  }
  if (failure.code != Code::kUnavailable && failure.code != Code::kBroken) return failure;
  reopen_due_ = true;
  // What was too much at once may come in parts.
  part_halvings_ = std::min(part_halvings_ + 1, kPartHalvingsMax);
  store_options_.work->load_halvings = part_halvings_;
  if (failure.code == Code::kBroken) {
    return error(Code::kBroken, "the engine's database has to be opened anew", failure.text(),
                 "It goes on by itself; if not, raise engine.memory, or make room on the disk");
  }
  return error(Code::kUnavailable, "the engine has run out of memory", failure.text(),
               fmt::format("Raise engine.memory, which is {}", format_size(options_.memory_bytes)));
}

// A transaction of an epoch that ended in it never comes to its end. True when there was one.
Result<bool> DuckEngine::leave_epoch(const model::Position& to) {
  if (!in_transaction_ || to.epoch <= state_.position.position.epoch) return false;
  TRY(roll_back());
  return true;
}

// `body` and the state in one transaction, which must not be open yet.
Status DuckEngine::commit(const std::function<Status()>& body) {
  if (in_transaction_)
    return error(Code::kInternal, "a transaction is half applied: only its next part can follow");
  TRY(begin_transaction());
  Status status = body();
  if (status.ok()) status = end_transaction();
  return status.ok() ? status : fail(status.error());
}

// `body` as part of the transaction that is half applied, else in one of its own.
Status DuckEngine::commit_or_join(const std::function<Status()>& body) {
  if (!in_transaction_) return commit(body);
  const Status status = body();
  return status.ok() ? status : fail(status.error());
}

void DuckEngine::checkpoint_when_due() {
  // So far the write-ahead log may grow beyond that while who computes keeps it from being
  // checkpointed: then that ends.
  constexpr std::uint64_t kRefusedWalMax = 8;
  // The room of rows that were deleted from temporary tables is given back only so.
  if (++commits_ % kTemporaryCheckpointCommits == 0) {
    const Status cleared = connection_->execute("CHECKPOINT temp");
    if (!cleared.ok()) logger_.warning("engine: no room is given back: {}", cleared.error().text());
  }
  // What DuckDB keeps in memory about deleted rows goes with a checkpoint, too.
  constexpr std::uint64_t kBytesOfDeletedRow = 64, kShareOfMemory = 16;
  const std::uint64_t wal_max =
      std::min(options_.checkpoint_bytes, options_.memory_bytes / kShareOfMemory);
  // With little memory every byte of it counts; with more, a checkpoint, which writes all recent
  // rows of a store anew where some of them were deleted, may wait for more.
  constexpr std::uint64_t kLittleMemoryBytes = 256 * kMiB, kShareOfFurtherMemory = 12;
  const std::uint64_t further =
      options_.memory_bytes - std::min(options_.memory_bytes, kLittleMemoryBytes);
  const std::uint64_t wal = database_->wal_bytes();
  const std::uint64_t kept = store_options_.work->deleted_rows * kBytesOfDeletedRow;
  if (wal >= wal_max || wal + kept >= wal_max + further / kShareOfFurtherMemory) checkpoint();
  if (checkpoint_failed_ && wal >= kRefusedWalMax * wal_max) readers_.interrupt_computing();
}

// One that fails is tried again after the next commit: what is committed does not need it. (DuckDB
// refuses it while a reader is open that began before a change of the catalog.)
void DuckEngine::checkpoint() {
  const Status done = database_->checkpoint(*connection_);
  if (!done.ok() && !checkpoint_failed_)
    logger_.warning("engine: no checkpoint now: {}", done.error().text());
  checkpoint_failed_ = !done.ok();
  if (done.ok()) store_options_.work->deleted_rows = 0;
}

// --- Batches ----------------------------------------------------------------------------------

Status DuckEngine::apply(const model::Batch& batch) {
  TRY_ASSIGN(const bool cut_off, leave_epoch(batch.to));
  TRY(check_follows(batch.from, batch.to, cut_off));
  // What was left beyond what memory allows now would leave too little for a batch.
  if (!in_transaction_) {
    TRY(work_off());
    TRY(settle_rows());
  }
  TRY(with_retries([&] { return apply_parts(batch); }));
  return in_transaction_ ? Status{} : work_off();
}

Status DuckEngine::check_follows(const model::Position& from, const model::Position& to,
                                 bool cut_off) const {
  const model::Position& at = state_.position.position;
  if ((cut_off || from <= at) && to > at) return {};
  return error(Code::kInternal, "the batch does not follow the engine's position",
               fmt::format("at {}, the batch begins after {}", model::to_string(at),
                           model::to_string(from)));
}

// A table whose mirror cannot hold a value stops; queries give way where memory runs out.
Status DuckEngine::with_retries(const std::function<Status()>& part) {
  const bool is_first_part = !in_transaction_;
  std::optional<ReaderPause> alone;
  Status status = part();
  while (!status.ok()) {
    const std::optional<Misfit> misfit = std::exchange(misfit_, std::nullopt);
    const Status undone = roll_back();
    if (!undone.ok()) return explain(undone.error());
    if (misfit) {
      TRY(stop_misfit(*misfit));
      if (!is_first_part) {
        return error(Code::kUnavailable, "a transaction is begun anew without a table that stopped",
                     misfit->table.qualified_name());
      }
    } else if (status.error().code == Code::kUnavailable && is_first_part && !alone) {
      // Queries from outside share the memory: they give way.
      logger_.warning("engine: out of memory, queries are stopped: {}", status.error().message);
      alone.emplace(readers_, options_.readers_patience);
    } else {
      return explain(status.error());
    }
    status = part();
  }
  return {};
}

// What stores have to rewrite, each bounded part in a transaction of its own: their content stays
// the same, and what DuckDB keeps of deleted rows goes with the checkpoints in between.
Status DuckEngine::work_off() {
  std::optional<ReaderPause> alone;
  std::set<Store*>& due = store_options_.work->due;
  while (!due.empty()) {
    const Status done =
        duck::in_transaction(*connection_, [&] { return (*due.begin())->work_off(); });
    if (done.ok()) {
      ++store_options_.work->commits;
      checkpoint_when_due();
    } else if (done.error().code == Code::kUnavailable && !alone) {
      alone.emplace(readers_, options_.readers_patience);
    } else {
      return explain(done.error());
    }
  }
  return {};
}

Status DuckEngine::let_time_pass() {
  if (in_transaction_ || state_.half_applied || state_.phase == Phase::kLoading ||
      maintainer_ == nullptr)
    return {};
  TRY(with_retries([this] { return pass_time(); }));
  return work_off();
}

Status DuckEngine::pass_time() {
  TRY(begin_transaction());
  TRY(maintainer_->time_passes(*connection_));
  return end_transaction();
}

Error DuckEngine::note_misfit(const KnownTable& known, const Error& failure) {
  if (known.writer->met_misfit()) misfit_ = {known.stored.table, failure.text()};
  return failure;
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
  const bool loading = state_.phase == Phase::kLoading;
  if (!batch.ends_transaction() && !loading && !is_part_full(batch)) return {};
  state_.half_applied = !batch.ends_transaction() && !loading;
  TRY(activity_->write(state_.half_applied));
  return end_transaction();
}

// Whether so much of an unfinished transaction is open that it should be committed.
bool DuckEngine::is_part_full(const model::Batch& batch) {
  constexpr std::uint64_t kMemoryBytesOfChange = 4096;
  open_changes_ += batch.changes.size();
  const std::uint64_t most =
      options_.part_changes_max.value_or(options_.memory_bytes / kMemoryBytesOfChange);
  return open_changes_ >= most >> part_halvings_;
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
    if (!known.takes_changes()) continue;
    const Status appended = known.writer->append_raw(batch, change);
    if (!appended.ok()) return note_misfit(known, appended.error());
  }
  for (KnownTable* known : tables) {
    if (known->takes_changes()) TRY(known->writer->flush_raw());
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
  std::size_t first = 0;
  do {
    ViewMaintainer::Portion portion{.transactions = batch.transactions.size()};
    if (maintainer_ != nullptr) {
      TRY_ASSIGN(portion, maintainer_->take_transactions(*connection_, batch, first));
    }
    TRY(apply_changes(batch, tables, first, portion));
    first += portion.transactions;
  } while (first < batch.transactions.size());
  return {};
}

// The changes of some of its transactions.
Status DuckEngine::apply_changes(const model::Batch& batch, const std::vector<KnownTable*>& tables,
                                 std::size_t first, ViewMaintainer::Portion portion) {
  const bool whole = portion.transactions == batch.transactions.size();
  std::size_t from = 0, to = batch.changes.size();
  if (!whole) {
    from = batch.transactions[first].first_change;
    const model::Transaction& last = batch.transactions[first + portion.transactions - 1];
    to = last.first_change + last.change_count;
  }
  for (std::size_t i = from; i < to; ++i) {
    const model::Change& change = batch.changes[i];
    KnownTable& known = *tables[change.table];
    if (known.stored.released) TRY(await_old_row(known, change));
    if (!known.takes_changes()) continue;
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
  const bool applies = maintainer_ != nullptr && (changed || portion.due);
  return applies ? maintainer_->batch_applied(*connection_) : Status{};
}

Status DuckEngine::apply_mirror(KnownTable& known, const model::Batch& batch) {
  const auto made = known.writer->make_delta(batch);
  if (!made.ok()) return note_misfit(known, made.error());
  const std::uint64_t rows = *made;
  const bool replaced = known.writer->truncated();
  const bool is_seen = !known.stored.hidden && !known.is_filled();
  ViewMaintainer* const maintainer = is_seen ? maintainer_ : nullptr;
  if (!replaced && rows != 0 && maintainer != nullptr) {
    TRY(maintainer->table_changed(*connection_, known.mirror,
                                  {.table = known.writer->delta_table(), .rows = rows}));
  }
  TRY(known.writer->apply_delta(rows));
  if (replaced && maintainer != nullptr)
    TRY(maintainer->table_replaced(*connection_, known.mirror));
  // What came behind the truncate was stored for the views alone.
  return replaced && known.stored.released ? known.writer->store()->clear() : Status{};
}

// --- Snapshots --------------------------------------------------------------------------------

Status DuckEngine::begin_snapshot(const model::Position& position) {
  if (in_transaction_) {
    // A transaction that the new snapshot replaces.
    TRY(roll_back());
  }
  return commit([&]() -> Status {
    tables_changed_ = true;
    TRY(hide_mirrors());
    tables_.clear();
    TRY(meta_->forget_tables());
    state_.phase = Phase::kLoading;
    state_.half_applied = false;
    state_.position.position = position;
    state_.position.snapshot_complete = false;
    return {};
  });
}

Status DuckEngine::advance(const model::Position& position, model::Lsn end_lsn) {
  TRY(leave_epoch(position));
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

std::vector<TableToRead> DuckEngine::tables_to_read() const {
  MutexLock lock(mutex_);
  return to_read_;
}

Result<std::unique_ptr<Engine>> Engine::open(const EngineOptions& options, WantedColumns wanted,
                                             Logger& logger) {
  auto engine = std::make_unique<DuckEngine>(options, std::move(wanted), logger);
  TRY(engine->start());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace pgweir::engine
