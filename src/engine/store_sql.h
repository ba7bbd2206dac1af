// The SQL of a store. Private to engine/.
//
//   small:  content = recent
//   large:  content = base ANTI JOIN dead UNION ALL recent
//
// A row of `dead` says that no row of the base with its identity (the key of a unique store, all
// columns of another) counts any more. It never concerns recent rows. A range of hashes of the base
// is rewritten together with what is recent and dead in that range, so that afterwards nothing
// is.
//
// Recent and dead rows have a further column, the number of their run: rows that were written one
// after the other have the same, so whoever knows a row's run (PendingFinder) reads only the row
// groups of that run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/store.h"

namespace pgweir::engine {

// How the recent ones among rows to remove are found.
enum class Removal {
  kFew,    // by the hash of the key
  kMany,   // where the key is not unique, equal hashes of different rows would cost too much
  kFound,  // in the runs that stand in found_recent
};
inline constexpr std::size_t kRemovalKinds = 3;

struct StoreSql {
  explicit StoreSql(const StoreSpec& spec, std::int64_t id);

  const StoreSpec& spec;
  const std::string recent;  // the tables' names, quoted
  const std::string base;
  const std::string dead;
  const std::string content;
  const std::string counted;  // temporary, of a bag: the rows of a batch's removals, each copy
  // Temporary, their bare names: hashes of keys, and the runs in which rows with that hash are.
  const std::string found_recent;
  const std::string found_dead;
  const std::string from_base;  // the same: rows of the base that were read by others (BaseLookup)

  bool is_bag() const { return !spec.unique && !spec.distinct; }

  std::string create_recent() const;
  std::string create_large_tables() const;
  std::string create_counted() const;
  std::string create_content(bool large) const;
  std::string lookup(const std::string& keys) const;
  // The same with a table of those rows of the base that the keys may want.
  std::string lookup_read(const std::string& base_rows, const std::string& keys) const;
  // The same of a unique store for keys whose pending rows' runs were found.
  // `base_rows` is the base, or a table of those rows of it that the keys may want.
  std::string lookup_found(const std::string& base_rows) const;
  std::string create_from_base() const;
  // The rows of the base with a hash that stands in `wanted`, which BaseReaders fills: so many at
  // the most.
  std::string read_base(const std::string& wanted, std::uint64_t rows_max) const;
  // The base's rows but for those of `keys` that are dead.
  std::string live_base(const std::string& keys) const;
  // DuckDB 1.5.5 loses rows without an error: after an INSERT with an ORDER BY that gives no row,
  // the next large INSERT into that table in the same transaction leaves nothing behind. So no
  // such statement may be run for nothing; after load() of nothing the base is made anew.
  std::string renew_base() const;
  // A range of hashes, both ends included.
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
  };

  // Fills `table` from a SELECT of the spec's columns, in the order of the hash.
  std::string load(const std::string& table, const std::string& select) const;
  // The same for the base, with the rows of a table whose hashes are in the range.
  std::string load_range(const std::string& table, const Range& range) const;
  // Which of `count` ranges of hashes, each `width` wide but for the last, a table has rows in:
  // their numbers, in order.
  std::string numbers_of_ranges(const std::string& table, std::uint64_t width,
                                std::uint64_t count) const;
  std::string move_all(const std::string& from, const std::string& to) const;
  // About how many bytes a row of these tables has, by some of them.
  std::string row_bytes_of(const std::vector<std::string>& tables) const;

  // What a PendingFinder knows: the hash of each row's identity, and its run.
  std::string create_found() const;
  std::string read_pending(const std::string& table) const;
  // The greatest; -1 without rows.
  std::string last_run(const std::string& table) const;

  // Of a delta: the number of rows to remove, and of all.
  std::string count_rows(const std::string& delta) const;
  // Of each row: the hash of its key, that of its identity, and whether it goes.
  std::string read_delta(const std::string& delta) const;
  std::string add(const std::string& delta, std::int64_t run) const;
  // The rows to remove that are not recent are dead.
  std::string add_dead(const std::string& delta, Removal how, std::int64_t run) const;
  std::string remove_recent(const std::string& delta, Removal how) const;
  // Of a bag that is large: every copy of every row to remove is looked up, all of them are
  // removed, and those that stay are added again.
  std::string count_base_copies(const std::string& delta) const;
  std::string count_recent_copies(const std::string& delta) const;
  std::string count_taken_copies(const std::string& delta) const;
  std::string add_dead_copies() const;
  std::string remove_recent_copies() const;
  std::string add_remaining_copies() const;

  // Number of rows of the base, and their greatest rowid.
  std::string rows_in(const Range& range) const;
  std::string count_dead(const Range& range) const;
  std::string count_content(const Range& range) const;
  std::string read_pending_in(const std::string& table, const Range& range) const;
  std::string rewrite(const Range& range) const;
  std::string delete_old(const Range& range, std::int64_t rowid_max) const;
  std::string delete_range(const std::string& table, const Range& range) const;

 private:
  std::string live_rows(const std::string& base_rows, const std::string& keys) const;
  std::vector<StoreColumn> identity() const;
  std::string identity_hash() const;
  std::string found_rows(const std::string& table, const std::string& found) const;
  std::string removals(const std::string& delta) const;
  std::string distinct_rows(const std::string& from) const;
  std::string content_in(const Range& range) const;
};

}  // namespace pgweir::engine
