#include "engine/store.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "engine/prepared_sql.h"
#include "engine/store_sql.h"

namespace pgweir::engine {
namespace {

using duck::quote_identifier;
using duck::quote_literal;

constexpr std::uint64_t kLastHash = ~std::uint64_t{0};
constexpr const char* kStoresTable = "pgweir_internal.stores";
// The share of a store that may be pending, within the bounds of the options: the longer a change
// waits, the more others share the rewriting of its range.
constexpr std::uint64_t kPendingShare = 8;
constexpr std::uint64_t kPendingShareOfBacklog = 3;

// Everything that a stored table depends on, as text; compared when a store is opened again.
std::string describe_spec(const StoreSpec& spec) {
  std::string out = spec.unique ? "unique key(" : spec.distinct ? "distinct key(" : "key(";
  for (const std::uint32_t column : spec.key) out += fmt::format("{} ", column);
  out += ")";
  for (const StoreColumn& column : spec.columns)
    out += fmt::format(" {} {}", quote_identifier(column.name), column.type);
  return out;
}

Status check_spec(const StoreSpec& spec) {
  for (const StoreColumn& column : spec.columns) {
    for (const char* reserved : {kHashColumn, kWeightColumn}) {
      if (column.name == reserved)
        return error(Code::kInvalid,
                     fmt::format("store {} may not have a column named {}", spec.name, reserved));
    }
  }
  return {};
}

class ClusteredStore : public Store {
 public:
  ClusteredStore(duck::Connection& connection, StoreSpec spec, const StoreOptions& options,
                 std::int64_t id)
      : connection_(connection),
        spec_(std::move(spec)),
        options_(options),
        id_(id),
        sql_(spec_, id),
        row_bytes_(sql_.row_bytes()),
        rollbacks_(connection.rollbacks()) {}

  ~ClusteredStore() override { share_pending(0); }

  Status create() {
    TRY(connection_.execute(fmt::format("INSERT INTO {} VALUES ({}, {}, {}, false, 0)",
                                        kStoresTable, id_, quote_literal(spec_.name),
                                        quote_literal(describe_spec(spec_)))));
    TRY(connection_.execute(sql_.create_recent()));
    return connection_.execute(sql_.create_content(false));
  }

  // Reads what is remembered of the tables.
  Status read_state() {
    TRY_ASSIGN(duck::Rows rows,
               connection_.query(fmt::format("SELECT large, next_hash FROM {} WHERE id = {}",
                                             kStoresTable, id_)));
    const duck::Chunk* chunk = rows.next();
    if (chunk == nullptr || chunk->row_count() == 0)
      return error(Code::kInternal, fmt::format("store {} is gone", spec_.name));
    if (large_ != chunk->data<bool>(0)[0]) statements_.clear();
    large_ = chunk->data<bool>(0)[0];
    next_hash_ = chunk->data<std::uint64_t>(1)[0];
    TRY_ASSIGN(recent_rows_, count(sql_.recent));
    base_rows_ = dead_rows_ = 0;
    if (large_) {
      TRY_ASSIGN(base_rows_, count(sql_.base));
      TRY_ASSIGN(dead_rows_, count(sql_.dead));
    }
    maintained_rows_ = pending_rows();
    credit_rows_ = 0;
    share_pending(large_ ? pending_rows() : 0);
    // The temporary table of the copies may be gone.
    add_dead_copies_.set("");
    rollbacks_ = connection_.rollbacks();
    return {};
  }

  const StoreSpec& spec() const override { return spec_; }
  const std::string& content_name() const override { return sql_.content; }

  Result<std::string> lookup(const std::string& keys) override {
    TRY(settle());
    return large_ ? sql_.lookup(keys) : sql_.content;
  }

  bool are_many(std::uint64_t keys) const override { return keys >= options_.many_keys_min; }
  const std::string& recent_name() const override { return sql_.recent; }

  Result<std::string> lookup_base(const std::string& keys) override {
    TRY(settle());
    if (large_) return fmt::format("({})", sql_.live_base(keys));
    return fmt::format("(SELECT * FROM {} LIMIT 0)", sql_.recent);
  }

  Status apply(const std::string& delta_table) override {
    TRY(settle());
    Statements& statements = statements_for(delta_table);
    TRY_ASSIGN(const std::uint64_t removals, number(statements.count_removals));
    if (removals > 0) {
      TRY(!large_         ? remove_in_place(statements, removals)
          : sql_.is_bag() ? remove_copies(statements, removals)
                          : remove_large(statements, removals));
    }
    TRY_ASSIGN(const std::uint64_t added, statements.add.run(connection_));
    recent_rows_ += added;
    return {};
  }

  Status load(const std::string& select) override {
    TRY(clear());
    if (spec_.key.empty()) {
      TRY(connection_.execute(sql_.load(sql_.recent, select)));
      return read_state();
    }
    const bool was_large = large_;
    if (!was_large) TRY(become_large());
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
      TRY(connection_.execute("DELETE FROM " + sql_.base));
      TRY(connection_.execute("DELETE FROM " + sql_.dead));
    }
    recent_rows_ = base_rows_ = dead_rows_ = maintained_rows_ = credit_rows_ = 0;
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
      credit_rows_ = 0;
      return {};
    }
    const std::uint64_t all = base_rows_ + recent_rows_;
    const std::uint64_t worked_in = pending > pending_max ? 2 * grown : grown;
    const auto due = static_cast<long double>(worked_in) * static_cast<long double>(all) /
                     static_cast<long double>(pending);
    credit_rows_ = std::min(all, credit_rows_ + static_cast<std::uint64_t>(due));
    TRY_ASSIGN(const std::uint64_t row_bytes, number(row_bytes_));
    const std::uint64_t step_rows_max = std::clamp<std::uint64_t>(
        options_.step_bytes_max / std::max<std::uint64_t>(row_bytes, 1), 1, options_.step_rows_max);
    while (credit_rows_ >= std::min(options_.step_rows_min, step_rows_max)) {
      const std::uint64_t rows = std::min(credit_rows_, step_rows_max);
      TRY(step(rows));
      credit_rows_ -= rows;
    }
    maintained_rows_ = pending_rows();
    share_pending(maintained_rows_);
    return connection_.execute(fmt::format("UPDATE {} SET next_hash = {}::UBIGINT WHERE id = {}",
                                           kStoresTable, next_hash_, id_));
  }

  Result<std::uint64_t> row_count() override {
    TRY(settle());
    if (large_ && sql_.is_bag()) return count(sql_.content);
    return base_rows_ - std::min(base_rows_, dead_rows_) + recent_rows_;
  }

 private:
  // Prepared once for each delta table.
  struct Statements {
    PreparedSql count_removals;
    PreparedSql add;
    // Of few rows to remove, and of many.
    PreparedSql remove_recent[2];
    PreparedSql add_dead[2];
    PreparedSql count_base_copies;
    PreparedSql count_recent_copies;
    PreparedSql count_taken_copies;
  };

  Statements& statements_for(const std::string& delta) {
    const auto [found, is_new] = statements_.try_emplace(delta);
    Statements& made = found->second;
    if (!is_new) return made;
    made.count_removals.set(sql_.count_removals(delta));
    made.add.set(sql_.add(delta));
    for (const bool many : {false, true}) {
      made.remove_recent[many].set(sql_.remove_recent(delta, many));
      made.add_dead[many].set(sql_.add_dead(delta, many));
    }
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

  // How many rows may be pending, after a batch that left `grown` more.
  std::uint64_t pending_rows_max(std::uint64_t grown) const {
    const bool backlog = grown >= options_.backlog_rows_min;
    const std::uint64_t share =
        (base_rows_ + recent_rows_) / (backlog ? kPendingShareOfBacklog : kPendingShare);
    const std::uint64_t most = backlog
                                   ? options_.pending_rows_total_max
                                   : std::max(options_.pending_rows_min, options_.pending_rows_max);
    const std::uint64_t others =
        options_.work == nullptr ? 0 : options_.work->pending_rows - shared_pending_;
    const std::uint64_t left =
        options_.pending_rows_total_max - std::min(options_.pending_rows_total_max, others);
    const std::uint64_t wanted = std::min(std::max(share, options_.pending_rows_min), most);
    return std::max(std::min(wanted, left), std::min(wanted, options_.pending_rows_floor));
  }

  void share_pending(std::uint64_t pending) {
    if (options_.work == nullptr) return;
    options_.work->pending_rows += pending - shared_pending_;
    shared_pending_ = pending;
  }

  Error missing(std::uint64_t found, std::uint64_t expected) const {
    return error(Code::kInternal, fmt::format("store {} removed {} rows where the delta names {}",
                                              spec_.name, found, expected));
  }

  // --- Removing rows ----------------------------------------------------------------------------

  Status remove_in_place(Statements& statements, std::uint64_t expected) {
    const bool many = are_many(expected);
    TRY_ASSIGN(const std::uint64_t removed, statements.remove_recent[many].run(connection_));
    if (removed != expected) return missing(removed, expected);
    recent_rows_ -= removed;
    return {};
  }

  // A row that is not recent is one of the base, or not there at all: that nobody looks up.
  Status remove_large(Statements& statements, std::uint64_t expected) {
    const bool many = are_many(expected);
    TRY_ASSIGN(const std::uint64_t died, statements.add_dead[many].run(connection_));
    dead_rows_ += died;
    if (died == expected) return {};
    TRY_ASSIGN(const std::uint64_t removed, statements.remove_recent[many].run(connection_));
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
    TRY(connection_.execute(fmt::format("UPDATE {} SET large = {}, next_hash = 0 WHERE id = {}",
                                        kStoresTable, large, id_)));
    return read_state();
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
    if (!writes) {
      TRY_ASSIGN(const std::int64_t rows_left, connection_.query_int(sql_.count_content(range)));
      writes = rows_left > 0;
    }
    std::uint64_t new_rows = 0;
    if (writes) {
      TRY_ASSIGN(new_rows, run(sql_.rewrite(range)));
    }
    if (old_rows > 0) {
      TRY_ASSIGN(const std::uint64_t deleted, run(sql_.delete_old(range, rowid_max)));
      if (deleted != old_rows) return missing(deleted, old_rows);
    }
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
  PreparedSql add_dead_copies_;
  PreparedSql remove_recent_copies_;
  PreparedSql add_remaining_copies_;
  PreparedSql clear_counted_;
  // As the tables are now, with what the open transaction did; right until a rollback.
  std::uint64_t rollbacks_;
  bool large_ = false;
  std::uint64_t base_rows_ = 0;
  std::uint64_t recent_rows_ = 0;
  std::uint64_t dead_rows_ = 0;
  std::uint64_t next_hash_ = 0;        // where the next step begins
  std::uint64_t maintained_rows_ = 0;  // pending after the last maintain()
  std::uint64_t credit_rows_ = 0;      // to be rewritten
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
  constexpr std::uint64_t kShareOfMemory = 8;
  options.step_bytes_max = std::min(options.step_bytes_max, memory_bytes / kShareOfMemory);
  return options;
}

Result<std::unique_ptr<Store>> Store::open(duck::Connection& connection, const StoreSpec& spec,
                                           const StoreOptions& options) {
  TRY(check_spec(spec));
  TRY(connection.execute(fmt::format("CREATE SCHEMA IF NOT EXISTS {}", kInternalSchema)));
  TRY(
      connection.execute(fmt::format("CREATE TABLE IF NOT EXISTS {} (id BIGINT, name VARCHAR, "
                                     "spec VARCHAR, large BOOLEAN, next_hash UBIGINT)",
                                     kStoresTable)));
  TRY_ASSIGN(const duck::TextRows found,
             connection.query_texts(fmt::format("SELECT id, spec FROM {} WHERE name = {}",
                                                kStoresTable, quote_literal(spec.name))));
  if (found.rows.empty()) {
    TRY_ASSIGN(
        const std::int64_t id,
        connection.query_int(fmt::format("SELECT coalesce(max(id), 0) + 1 FROM {}", kStoresTable)));
    auto store = std::make_unique<ClusteredStore>(connection, spec, options, id);
    TRY(store->create());
    return std::unique_ptr<Store>(std::move(store));
  }
  const std::string text = describe_spec(spec);
  if (found.rows[0][1] != text) {
    return error(Code::kCorruption, fmt::format("store {} has another shape", spec.name),
                 fmt::format("found {}; expected {}", found.rows[0][1].value_or(""), text));
  }
  auto store = std::make_unique<ClusteredStore>(connection, spec, options,
                                                std::stoll(found.rows[0][0].value_or("0")));
  TRY(store->read_state());
  return std::unique_ptr<Store>(std::move(store));
}

Status Store::drop(duck::Connection& connection, const std::string& name) {
  TRY_ASSIGN(const std::int64_t id,
             connection.query_int(fmt::format("SELECT id FROM {} WHERE name = {}", kStoresTable,
                                              quote_literal(name))));
  const StoreSpec none;
  const StoreSql sql(none, id);
  TRY(connection.execute("DROP VIEW " + sql.content));
  TRY(connection.execute("DROP TABLE " + sql.recent));
  TRY(connection.execute("DROP TABLE IF EXISTS " + sql.base));
  TRY(connection.execute("DROP TABLE IF EXISTS " + sql.dead));
  return connection.execute(fmt::format("DELETE FROM {} WHERE id = {}", kStoresTable, id));
}

}  // namespace pgweir::engine
