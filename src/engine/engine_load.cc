// The rows of a first snapshot: taken in by several threads, then sorted and written.
#include <algorithm>
#include <thread>

#include "engine/duck_engine_internal.h"
#include "engine/row_loader.h"

namespace pgweir::engine {
namespace {

constexpr int kLoadThreadsMax = 16;
// Of a load, each with what it sorts and writes.
constexpr std::uint64_t kBytesOfLoadThread = 64 * kMiB;

// Fewer once memory has run out: each holds a group of rows.
int load_threads_of(const EngineOptions& options, int halvings) {
  const int processors = static_cast<int>(std::thread::hardware_concurrency());
  const int room = static_cast<int>(
      std::min<std::uint64_t>(options.memory_bytes / kBytesOfLoadThread, kLoadThreadsMax));
  const int threads = options.load_threads.value_or(std::min(processors, room));
  return std::max(options.threads, threads >> halvings);
}

}  // namespace

// While it lives, stop_loading() ends what runs on the write connection.
class DuckEngine::Interruptible {
 public:
  explicit Interruptible(DuckEngine& engine) : engine_(engine) { set(engine.connection_.get()); }
  ~Interruptible() { set(nullptr); }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  Status check() const {
    if (!engine_.loading_stopped_) return {};
    return error(Code::kCancelled, "asked to stop while rows of a snapshot are loaded");
  }

 private:
  void set(duck::Connection* connection) {
    MutexLock lock(engine_.loading_mutex_);
    engine_.loading_ = connection;
  }

  DuckEngine& engine_;
};

void DuckEngine::stop_loading() {
  loading_stopped_ = true;
  MutexLock lock(loading_mutex_);
  if (loading_ != nullptr) loading_->interrupt();
}

// Nobody may change settings of a database that is open, not even we: SQL from outside runs there.
Status DuckEngine::take_load_threads() {
  const int threads = load_threads_of(options_, part_halvings_);
  const bool is_large = database_->file_bytes() >= options_.load_bytes_min;
  return is_large && threads != threads_ ? reopen(threads) : Status{};
}

Status DuckEngine::load(const model::RowBlocks& rows) {
  TRY(check_follows(rows.from, rows.to, false));
  if (state_.phase != Phase::kLoading || in_transaction_)
    return error(Code::kInternal, "rows of a snapshot come that has not begun");
  TRY(take_load_threads());
  return with_retries([&] { return load_parts(rows); });
}

Status DuckEngine::load_parts(const model::RowBlocks& rows) {
  TRY(begin_transaction());
  std::map<const model::Table*, std::vector<std::string_view>> of_tables;
  for (const model::RowBlock& block : rows.blocks)
    of_tables[block.table.get()].push_back(block.lines);
  for (const auto& [table, blocks] : of_tables) {
    TRY_ASSIGN(KnownTable* const known, known_table(*table));
    std::uint64_t bytes = 0, count = 0, last_lines = 0;  // those without a newline
    for (const std::string_view lines : blocks) {
      bytes += lines.size();
      last_lines += lines.empty() || lines.ends_with('\n') ? 0 : 1;
    }
    if (known->takes_changes()) {
      const Interruptible interruptible(*this);
      TRY(interruptible.check());
      const auto loaded = known->writer->append_raw(blocks, rows.to.lsn);
      if (!loaded.ok()) return note_misfit(*known, loaded.error());
      count = *loaded;
    } else {
      count = last_lines;
      for (const std::string_view lines : blocks)
        count += static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
    }
    activity_->count_rows(*table, rows.time, count, bytes - (count - last_lines));
  }
  state_.position.position = rows.to;
  state_.position.commit_time = rows.time;
  TRY(activity_->write(false));
  return end_transaction();
}

Status DuckEngine::end_snapshot(const model::Position& position, model::Lsn end_lsn) {
  if (state_.phase != Phase::kLoading)
    return error(Code::kInternal, "a snapshot ends that has not begun");
  TRY(take_load_threads());
  // Nobody is told of the rows before he can be answered.
  const bool is_reopened = threads_ != options_.threads;
  publishes_later_ = is_reopened;
  const Status done = commit([&]() -> Status {
    state_.phase = Phase::kLive;
    state_.position.position = position;
    state_.position.end_lsn = end_lsn;
    state_.position.snapshot_complete = true;
    return write_loaded();
  });
  publishes_later_ = false;
  if (done.ok()) checkpoint();
  if (is_reopened) TRY(reopen(options_.threads));
  return done;
}

Status DuckEngine::write_loaded() {
  const Interruptible interruptible(*this);
  for (auto& [oid, known] : tables_) {
    TRY(interruptible.check());
    if (known.is_shown() && known.stored.awaits_rows) TRY(show_stopped(known));
    if (!known.takes_changes()) continue;
    TRY(known.writer->load_raw());
    TRY(show_mirror(known));
  }
  TRY(interruptible.check());
  return maintainer_ == nullptr ? Status{} : maintainer_->rebuild(*connection_);
}

}  // namespace pgweir::engine
