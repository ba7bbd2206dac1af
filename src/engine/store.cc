#include "engine/store.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <optional>

#include "engine/base_lookup.h"
#include "engine/pending_finder.h"
#include "engine/prepared_sql.h"
#include "engine/store_catalog.h"
#include "engine/store_sql.h"

namespace pgweir::engine {
namespace {

constexpr std::uint64_t kLastHash = ~std::uint64_t{0};
// The share of a store that may be pending, within the bounds of the options: the longer a change
// waits, the more others share the rewriting of its range.
constexpr std::uint64_t kPendingShare = 8;
constexpr std::uint64_t kPendingShareOfBacklog = 3;
// Rows of the base that readers may find for one lookup, by their bytes, and at the least: beyond
// them they stay where they are, and a statement goes through them.
constexpr std::uint64_t kReadBytesMax = 8 * kMiB;
constexpr std::uint64_t kReadRowsMin = 64;

class ClusteredStore : public Store {
 public:
  ClusteredStore(duck::Connection& connection, StoreSpec spec, const StoreOptions& options,
                 std::int64_t id)
      : connection_(connection),
        spec_(std::move(spec)),
        options_(options),
        id_(id),
        sql_(spec_, id),
        row_bytes_(sql_.row_bytes_of({sql_.recent, sql_.base})),
        finder_(connection, sql_),
        base_lookup_(connection, sql_, options_),
        rollbacks_(connection.rollbacks()) {}

  ~ClusteredStore() override {
    share_pending(0);
    if (options_.work != nullptr) options_.work->due.erase(this);
  }

  Status create() {
    TRY(connection_.execute(sql_.create_recent()));
    return connection_.execute(sql_.create_content(false));
  }

  // Reads what is remembered of the tables.
  Status read_state() {
    TRY_ASSIGN(const StoreShape shape, read_store_shape(connection_, id_, spec_.name));
    if (large_ != shape.large) statements_.clear();
    large_ = shape.large;
    next_hash_ = shape.next_hash;
    TRY_ASSIGN(recent_rows_, count(sql_.recent));
    base_rows_ = dead_rows_ = 0;
    if (large_) {
      TRY_ASSIGN(base_rows_, count(sql_.base));
      TRY_ASSIGN(dead_rows_, count(sql_.dead));
    }
    TRY(begin_run());
    maintained_rows_ = pending_rows();
    share_pending(large_ ? pending_rows() : 0);
    TRY(note_excess());
    // The temporary table of the copies may be gone.
    add_dead_copies_.set("");
    base_lookup_.forget();
    rollbacks_ = connection_.rollbacks();
    return {};
  }

  const StoreSpec& spec() const override { return spec_; }
  const std::string& content_name() const override { return sql_.content; }

  Result<std::string> lookup(const std::string& keys) override {
    TRY(settle());
    if (!large_) return sql_.content;
    const bool indexed = spec_.unique && finder_.ready();
    if (!indexed && !base_lookup_.may_read(base_rows_)) return sql_.lookup(keys);
    TRY(finder_.read_keys(keys));
    const bool finds = indexed && !are_many(finder_.wanted().size());
    if (finds) TRY(finder_.find_keys());
    std::optional<std::string> rows;
    if (base_lookup_.can_read(finder_.wanted().size(), base_rows_)) {
      TRY_ASSIGN(const std::uint64_t rows_max, read_rows_max());
      TRY_ASSIGN(rows, base_lookup_.read(finder_.wanted(), base_rows_, rows_max));
    }
    if (finds) return sql_.lookup_found(rows.value_or(sql_.base));
    return rows ? sql_.lookup_read(*rows, keys) : sql_.lookup(keys);
  }

  bool are_many(std::uint64_t keys) const override { return keys >= options_.many_keys_min; }
  const std::string& recent_name() const override { return sql_.recent; }

  Result<std::string> lookup_base(const std::string& keys) override {
    TRY(settle());
    if (large_) return fmt::format("({})", sql_.live_base(keys));
    return fmt::format("(SELECT * FROM {} LIMIT 0)", sql_.content);
  }

  using Store::apply;

  Result<DeltaRows> count_rows(const std::string& delta_table) override {
    TRY(settle());
    TRY_ASSIGN(duck::Rows rows, statements_for(delta_table).count_rows.query(connection_));
    const duck::Chunk* chunk = rows.next();
    return DeltaRows{static_cast<std::uint64_t>(chunk->data<std::int64_t>(0)[0]),
                     static_cast<std::uint64_t>(chunk->data<std::int64_t>(1)[0])};
  }

  Status apply(const std::string& delta_table, const DeltaRows& rows) override {
    TRY(settle());
    TRY(base_lookup_.clear());
    Statements& statements = statements_for(delta_table);
    TRY(keep_index(rows.all));
    const bool finds = finder_.ready();
    const bool few = !are_many(rows.removals);
    if (finds) TRY(finder_.find_delta(statements.read_delta, few));
    const std::uint64_t recent_rows = recent_rows_;
    if (rows.removals > 0) {
      TRY(!large_         ? remove_in_place(statements, rows.removals)
          : sql_.is_bag() ? remove_copies(statements, rows.removals)
                          : remove_large(statements, rows.removals,
                                         !few    ? Removal::kMany
                                         : finds ? Removal::kFound
                                                 : Removal::kFew));
    }
    if (finds) finder_.delta_applied(recent_rows - recent_rows_, run_);
    TRY_ASSIGN(const std::uint64_t added, statements.add.run(connection_));
    recent_rows_ += added;
    end_run(rows.all);
    return {};
  }

  Status load_from(const std::string& table) override {
    TRY_ASSIGN(const std::uint64_t rows, count(table));
    if (spec_.key.empty() || rows <= options_.small_rows_max) return load("SELECT * FROM " + table);
    TRY(clear());
    if (!large_) TRY(become_large());
    TRY_ASSIGN(const std::int64_t row_bytes, connection_.query_int(sql_.row_bytes_of({table})));
    TRY_ASSIGN(const auto ranges,
               filled_ranges(table, rows * static_cast<std::uint64_t>(row_bytes)));
    base_lookup_.base_changed();
    for (const StoreSql::Range& range : ranges)
      TRY(connection_.execute(sql_.load_range(table, range)));
    TRY_ASSIGN(base_rows_, count(sql_.base));
    if (base_rows_ == rows) return {};
    return error(Code::kInternal,
                 fmt::format("store {} took {} rows of {}", spec_.name, base_rows_, rows));
  }

  Status load(const std::string& select) override {
    TRY(clear());
    if (spec_.key.empty()) {
      TRY(connection_.execute(sql_.load(sql_.recent, select)));
      return read_state();
    }
    const bool was_large = large_;
    if (!was_large) TRY(become_large());
    base_lookup_.base_changed();
    TRY(connection_.execute(sql_.load(sql_.base, select)));
    TRY_ASSIGN(base_rows_, count(sql_.base));
    if (base_rows_ == 0) TRY(connection_.execute(sql_.renew_base()));
    if (was_large || base_rows_ > options_.small_rows_max) return {};
    return become_small();
  }

  Status clear() override {
    TRY(settle());
    TRY(connection_.execute("DELETE FROM " + sql_.recent));
    if (large_) {
      base_lookup_.base_changed();
      TRY(connection_.execute("DELETE FROM " + sql_.base));
      TRY(connection_.execute("DELETE FROM " + sql_.dead));
    }
    recent_rows_ = base_rows_ = dead_rows_ = maintained_rows_ = 0;
    forgo_work();
    finder_.forget();
    share_pending(0);
    return {};
  }

  Status maintain() override {
    // Rows without a key are never looked for.
    if (spec_.key.empty()) return {};
    TRY(settle());
    if (!large_) {
      if (recent_rows_ <= options_.small_rows_max) return {};
      TRY(become_large());
    }
    const std::uint64_t pending = pending_rows();
    const std::uint64_t grown = pending - std::min(pending, maintained_rows_);
    maintained_rows_ = pending;
    share_pending(pending);
    const std::uint64_t pending_max = pending_rows_max(grown);
    // Three quarters are let alone; beyond them as much is worked in as comes, and beyond the
    // maximum, which a backlog may have left, twice as much.
    if (pending <= pending_max / 4 * 3) {
      forgo_work();
      return {};
    }
    const std::uint64_t all = base_rows_ + recent_rows_;
    const std::uint64_t worked_in = pending > pending_max ? 2 * grown : grown;
    const auto due = static_cast<long double>(worked_in) * static_cast<long double>(all) /
                     static_cast<long double>(pending);
    credit_rows_ = std::min(all, credit_rows_ + static_cast<std::uint64_t>(due));
    TRY(measure_step());
    note_due();
    return {};
  }

  bool is_due() const override {
    return credit_rows_ >= std::min(options_.step_rows_min, step_rows_max_);
  }

  Status work_off() override {
    TRY(settle());
    if (!is_due()) return {};
    const std::uint64_t rows = std::min(credit_rows_, step_rows_max_);
    TRY(step(rows));
    credit_rows_ -= rows;
    note_due();
    maintained_rows_ = pending_rows();
    share_pending(maintained_rows_);
    return write_store_shape(connection_, id_, {large_, next_hash_});
  }

  Result<std::uint64_t> row_count() override {
    TRY(settle());
    if (large_ && sql_.is_bag()) return count(sql_.content);
    return base_rows_ - std::min(base_rows_, dead_rows_) + recent_rows_;
  }

 private:
  // Prepared once for each delta table.
  struct Statements {
    PreparedSql count_rows;
    PreparedSql read_delta;
    std::int64_t run = -1;  // that these two give
    PreparedSql add;
    std::array<PreparedSql, kRemovalKinds> add_dead;  // by Removal
    std::array<PreparedSql, kRemovalKinds> remove_recent;
    PreparedSql count_base_copies;
    PreparedSql count_recent_copies;
    PreparedSql count_taken_copies;
  };

  Statements& statements_for(const std::string& delta) {
    const auto [found, is_new] = statements_.try_emplace(delta);
    Statements& made = found->second;
    if (made.run != run_) {
      made.run = run_;
      made.add.vary(sql_.add(delta, run_));
      for (std::size_t how = 0; how < kRemovalKinds; ++how)
        made.add_dead[how].vary(sql_.add_dead(delta, static_cast<Removal>(how), run_));
    }
    if (!is_new) return made;
    made.count_rows.set(sql_.count_rows(delta));
    made.read_delta.set(sql_.read_delta(delta));
    for (std::size_t how = 0; how < kRemovalKinds; ++how)
      made.remove_recent[how].set(sql_.remove_recent(delta, static_cast<Removal>(how)));
    made.count_base_copies.set(sql_.count_base_copies(delta));
    made.count_recent_copies.set(sql_.count_recent_copies(delta));
    made.count_taken_copies.set(sql_.count_taken_copies(delta));
    return made;
  }

  // After a rollback the tables hold what they held before, and may have another shape.
  Status settle() { return rollbacks_ == connection_.rollbacks() ? Status{} : read_state(); }

  Result<std::uint64_t> number(PreparedSql& select) {
    TRY_ASSIGN(duck::Rows rows, select.query(connection_));
    return static_cast<std::uint64_t>(rows.next()->data<std::int64_t>(0)[0]);
  }

  Result<std::uint64_t> count(const std::string& table) {
    TRY_ASSIGN(const std::int64_t rows, connection_.query_int("SELECT count(*) FROM " + table));
    return static_cast<std::uint64_t>(rows);
  }

  std::uint64_t pending_rows() const { return recent_rows_ + dead_rows_; }

  // The runs that are there are older than any that is to come.
  Status begin_run() {
    finder_.forget();
    small_batches_ = run_rows_ = 0;
    run_ = 0;
    if (!large_ || sql_.is_bag()) return {};
    for (const std::string& table : {sql_.recent, sql_.dead}) {
      TRY_ASSIGN(const std::int64_t last, connection_.query_int(sql_.last_run(table)));
      run_ = std::max(run_, last + 1);
    }
    return {};
  }

  void end_run(std::uint64_t rows) {
    run_rows_ += rows;
    if (run_rows_ < options_.run_rows) return;
    ++run_;
    run_rows_ = 0;
  }

  // Before a batch of so many rows: in a backlog an index costs more than it gives. (The copies of
  // a bag's rows cannot be told apart.)
  Status keep_index(std::uint64_t delta_rows) {
    if (!large_ || sql_.is_bag()) return {};
    if (delta_rows >= options_.backlog_rows_min) {
      small_batches_ = 0;
      finder_.forget();
      return {};
    }
    if (finder_.ready() || ++small_batches_ < options_.batches_to_index) return {};
    return finder_.build();
  }

  // What several readers may find at a time. A power of two, so that the statement stays the same.
  Result<std::uint64_t> read_rows_max() {
    if (row_bytes_known_ == 0) TRY(measure_step());
    return std::bit_floor(std::max(kReadBytesMax / row_bytes_known_, kReadRowsMin));
  }

  // Of rows of this width.
  Status measure_step() {
    TRY_ASSIGN(const std::uint64_t row_bytes, number(row_bytes_));
    row_bytes_known_ = std::max<std::uint64_t>(row_bytes, 1);
    step_rows_max_ = std::clamp<std::uint64_t>(
        options_.step_bytes_max / std::max<std::uint64_t>(row_bytes, 1), 1, options_.step_rows_max);
    return {};
  }

  // What other options, or a batch that was too large, have left beyond what memory allows.
  Status note_excess() {
    credit_rows_ = 0;
    const std::uint64_t pending = pending_rows();
    const std::uint64_t most = std::max(pending_rows_left(), options_.pending_rows_floor);
    if (large_ && !spec_.key.empty() && pending > most) {
      TRY(measure_step());
      const auto share =
          static_cast<long double>(pending - most / 4 * 3) / static_cast<long double>(pending);
      const auto due =
          static_cast<std::uint64_t>(static_cast<long double>(base_rows_ + recent_rows_) * share);
      credit_rows_ = std::max(due, std::min(options_.step_rows_min, step_rows_max_));
    }
    note_due();
    return {};
  }

  // What other stores leave of the rows that may be pending in all of them.
  std::uint64_t pending_rows_left() const {
    const std::uint64_t others =
        options_.work == nullptr ? 0 : options_.work->pending_rows - shared_pending_;
    return options_.pending_rows_total_max - std::min(options_.pending_rows_total_max, others);
  }

  // How many rows may be pending, after a batch that left `grown` more.
  std::uint64_t pending_rows_max(std::uint64_t grown) const {
    const bool backlog = grown >= options_.backlog_rows_min;
    const std::uint64_t share =
        (base_rows_ + recent_rows_) / (backlog ? kPendingShareOfBacklog : kPendingShare);
    const std::uint64_t most = backlog
                                   ? options_.pending_rows_total_max
                                   : std::max(options_.pending_rows_min, options_.pending_rows_max);
    const std::uint64_t wanted = std::min(std::max(share, options_.pending_rows_min), most);
    return std::max(std::min(wanted, pending_rows_left()),
                    std::min(wanted, options_.pending_rows_floor));
  }

  void share_pending(std::uint64_t pending) {
    if (options_.work == nullptr) return;
    options_.work->pending_rows += pending - shared_pending_;
    shared_pending_ = pending;
  }

  void forgo_work() {
    credit_rows_ = 0;
    note_due();
  }

  void note_due() {
    if (options_.work == nullptr) return;
    if (is_due()) {
      options_.work->due.insert(this);
    } else {
      options_.work->due.erase(this);
    }
  }

  Error missing(std::uint64_t found, std::uint64_t expected) const {
    return error(Code::kInternal, fmt::format("store {} removed {} rows where the delta names {}",
                                              spec_.name, found, expected));
  }

  // --- Removing rows ----------------------------------------------------------------------------

  Status remove_in_place(Statements& statements, std::uint64_t expected) {
    const Removal how = are_many(expected) ? Removal::kMany : Removal::kFew;
    TRY_ASSIGN(const std::uint64_t removed, remove_recent(statements, how));
    if (removed != expected) return missing(removed, expected);
    recent_rows_ -= removed;
    return {};
  }

  Result<std::uint64_t> remove_recent(Statements& statements, Removal how) {
    return statements.remove_recent[static_cast<std::size_t>(how)].run(connection_);
  }

  // A row that is not recent is one of the base, or not there at all: that nobody looks up.
  Status remove_large(Statements& statements, std::uint64_t expected, Removal how) {
    PreparedSql& add_dead = statements.add_dead[static_cast<std::size_t>(how)];
    TRY_ASSIGN(const std::uint64_t died, add_dead.run(connection_));
    dead_rows_ += died;
    if (died == expected) return {};
    TRY_ASSIGN(const std::uint64_t removed, remove_recent(statements, how));
    if (removed + died != expected) return missing(removed + died, expected);
    recent_rows_ -= removed;
    return {};
  }

  Status remove_copies(Statements& statements, std::uint64_t expected) {
    if (add_dead_copies_.sql().empty()) {
      TRY(connection_.execute(sql_.create_counted()));
      add_dead_copies_.set(sql_.add_dead_copies());
      remove_recent_copies_.set(sql_.remove_recent_copies());
      add_remaining_copies_.set(sql_.add_remaining_copies());
      clear_counted_.set("DELETE FROM " + sql_.counted);
    }
    TRY_ASSIGN(const std::uint64_t in_base, statements.count_base_copies.run(connection_));
    TRY_ASSIGN(const std::uint64_t in_recent, statements.count_recent_copies.run(connection_));
    TRY(statements.count_taken_copies.run(connection_));
    const std::uint64_t found = in_base + in_recent;
    TRY_ASSIGN(const std::uint64_t died, add_dead_copies_.run(connection_));
    TRY_ASSIGN(const std::uint64_t removed, remove_recent_copies_.run(connection_));
    TRY_ASSIGN(const std::uint64_t remaining, add_remaining_copies_.run(connection_));
    TRY(clear_counted_.run(connection_));
    if (removed != in_recent) return missing(removed, in_recent);
    if (remaining + expected != found) return missing(found - std::min(found, remaining), expected);
    dead_rows_ += died;
    recent_rows_ += remaining;
    recent_rows_ -= removed;
    return {};
  }

  // --- Small and large --------------------------------------------------------------------------

  // All rows are recent at first: maintain() moves them into the base, range by range.
  Status become_large() {
    TRY(connection_.execute(sql_.create_large_tables()));
    TRY(connection_.execute(sql_.create_content(true)));
    return shape_changed(true);
  }

  Status become_small() {
    if (base_rows_ > 0) TRY(connection_.execute(sql_.move_all(sql_.base, sql_.recent)));
    TRY(connection_.execute(sql_.create_content(false)));
    TRY(connection_.execute(fmt::format("DROP TABLE {}; DROP TABLE {}", sql_.base, sql_.dead)));
    return shape_changed(false);
  }

  Status shape_changed(bool large) {
    base_lookup_.base_changed();
    TRY(write_store_shape(connection_, id_, {large, 0}));
    return read_state();
  }

  // Those of equal ranges of hashes that hold rows of a table of so many bytes (why the others must
  // not be loaded: StoreSql::renew_base()).
  Result<std::vector<StoreSql::Range>> filled_ranges(const std::string& table,
                                                     std::uint64_t bytes) {
    constexpr std::uint64_t kRangesMax = 1024;
    const int halvings = options_.work == nullptr ? 0 : options_.work->load_halvings;
    const std::uint64_t most = std::max<std::uint64_t>(options_.load_bytes_max >> halvings, 1);
    const std::uint64_t count = std::clamp<std::uint64_t>((bytes + most - 1) / most, 1, kRangesMax);
    const std::uint64_t width = kLastHash / count;
    std::vector<StoreSql::Range> ranges;
    TRY_ASSIGN(duck::Rows rows, connection_.query(sql_.numbers_of_ranges(table, width, count)));
    while (const duck::Chunk* chunk = rows.next()) {
      for (std::size_t row = 0; row < chunk->row_count(); ++row) {
        const auto i = static_cast<std::uint64_t>(chunk->data<std::int64_t>(0)[row]);
        ranges.push_back({i * width, i + 1 == count ? kLastHash : (i + 1) * width - 1});
      }
    }
    return ranges;
  }

  // Rewrites about `rows` rows of the base, in the range of hashes that is next.
  Status step(std::uint64_t rows) {
    const std::uint64_t all = base_rows_ + recent_rows_;
    const long double share = static_cast<long double>(rows) / static_cast<long double>(all);
    const auto width = static_cast<std::uint64_t>(std::min<long double>(share, 0.999L) *
                                                  static_cast<long double>(kLastHash));
    StoreSql::Range range{.first = next_hash_};
    range.last = kLastHash - range.first < width ? kLastHash : range.first + width;
    // New rows have greater rowids than those of any earlier statement.
    TRY_ASSIGN(duck::Rows found, connection_.query(sql_.rows_in(range)));
    const duck::Chunk* chunk = found.next();
    const auto old_rows = static_cast<std::uint64_t>(chunk->data<std::int64_t>(0)[0]);
    const std::int64_t rowid_max = chunk->data<std::int64_t>(1)[0];
    // Nothing may be written for nothing (StoreSql::renew_base()); mostly it is plain that there
    // is something.
    bool writes = !sql_.is_bag() && old_rows > dead_rows_;
    if (!writes && !sql_.is_bag()) {
      TRY_ASSIGN(const std::int64_t dead, connection_.query_int(sql_.count_dead(range)));
      writes = old_rows > static_cast<std::uint64_t>(dead);
    }
    if (!writes) {
      TRY_ASSIGN(const std::int64_t rows_left, connection_.query_int(sql_.count_content(range)));
      writes = rows_left > 0;
    }
    base_lookup_.base_changed();
    std::uint64_t new_rows = 0;
    if (writes) {
      TRY_ASSIGN(new_rows, run(sql_.rewrite(range)));
    }
    if (old_rows > 0) {
      TRY_ASSIGN(const std::uint64_t deleted, run(sql_.delete_old(range, rowid_max)));
      if (deleted != old_rows) return missing(deleted, old_rows);
    }
    TRY(finder_.leave(range));
    TRY_ASSIGN(const std::uint64_t moved, run(sql_.delete_range(sql_.recent, range)));
    TRY_ASSIGN(const std::uint64_t buried, run(sql_.delete_range(sql_.dead, range)));
    base_rows_ = base_rows_ + new_rows - old_rows;
    recent_rows_ -= moved;
    dead_rows_ -= buried;
    next_hash_ = range.last == kLastHash ? 0 : range.last + 1;
    if (options_.work != nullptr) options_.work->deleted_rows += old_rows + moved + buried;
    return {};
  }

  Result<std::uint64_t> run(const std::string& statement) {
    TRY_ASSIGN(const duck::Rows rows, connection_.query(statement));
    return rows.rows_changed();
  }

  duck::Connection& connection_;
  const StoreSpec spec_;
  const StoreOptions options_;
  const std::int64_t id_;
  const StoreSql sql_;
  std::map<std::string, Statements> statements_;
  PreparedSql row_bytes_;
  std::uint64_t row_bytes_known_ = 0;  // as they were measured last; 0: never
  PreparedSql add_dead_copies_;
  PreparedSql remove_recent_copies_;
  PreparedSql add_remaining_copies_;
  PreparedSql clear_counted_;
  PendingFinder finder_;
  BaseLookup base_lookup_;
  // As the tables are now, with what the open transaction did; right until a rollback.
  std::uint64_t rollbacks_;
  bool large_ = false;
  std::uint64_t base_rows_ = 0;
  std::uint64_t recent_rows_ = 0;
  std::uint64_t dead_rows_ = 0;
  std::uint64_t next_hash_ = 0;        // where the next step begins
  std::uint64_t maintained_rows_ = 0;  // pending after the last maintain()
  std::uint64_t credit_rows_ = 0;      // to be rewritten
  std::uint64_t step_rows_max_ = 1;    // of rows of this width
  std::int64_t run_ = 0;               // of the next pending rows
  std::uint64_t run_rows_ = 0;         // that it has, about
  std::uint64_t small_batches_ = 0;    // since there was a large one
  std::uint64_t shared_pending_ = 0;   // this store's part of options_.work->pending_rows
};

}  // namespace

std::string beside_hash(const std::string& condition) {
  return fmt::format("coalesce({}, false)", condition);
}

StoreOptions store_options_for(std::uint64_t memory_bytes) {
  // At 64 bytes a row that is a quarter of the memory, at the worst.
  constexpr std::uint64_t kMemoryBytesOfPendingRow = 256;
  StoreOptions options;
  options.pending_rows_total_max = memory_bytes / kMemoryBytesOfPendingRow;
  // Each step looks through what is pending; longer ones do so less often.
  constexpr std::uint64_t kMemoryBytesOfStepRow = 4096;
  options.step_rows_min = std::clamp<std::uint64_t>(memory_bytes / kMemoryBytesOfStepRow,
                                                    options.step_rows_min, options.step_rows_max);
  constexpr std::uint64_t kShareOfMemory = 8;
  options.step_bytes_max = std::min(options.step_bytes_max, memory_bytes / kShareOfMemory);
  constexpr std::uint64_t kShareOfLoad = 3;
  options.load_bytes_max = memory_bytes / kShareOfLoad;
  return options;
}

Result<std::unique_ptr<Store>> Store::open(duck::Connection& connection, const StoreSpec& spec,
                                           const StoreOptions& options) {
  TRY_ASSIGN(const StoreEntry entry, find_or_add_store(connection, spec));
  auto store = std::make_unique<ClusteredStore>(connection, spec, options, entry.id);
  TRY(entry.is_new ? store->create() : store->read_state());
  return std::unique_ptr<Store>(std::move(store));
}

Status Store::drop(duck::Connection& connection, const std::string& name) {
  TRY_ASSIGN(const std::int64_t id, remove_store(connection, name));
  const StoreSpec none;
  const StoreSql sql(none, id);
  TRY(connection.execute("DROP VIEW " + sql.content));
  TRY(connection.execute("DROP TABLE " + sql.recent));
  TRY(connection.execute("DROP TABLE IF EXISTS " + sql.base));
  TRY(connection.execute("DROP TABLE IF EXISTS " + sql.dead));
  for (const std::string& found : {sql.found_recent, sql.found_dead, sql.from_base})
    TRY(connection.execute("DROP TABLE IF EXISTS temp.main." + found));
  return {};
}

}  // namespace pgweir::engine
