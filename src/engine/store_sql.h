// The SQL of a store. Private to engine/.
//
//   small:  content = recent
//   large:  content = base ANTI JOIN dead UNION ALL recent
//
// A row of `dead` says that no row of the base with its identity (the key of a unique store, all
// columns of another) counts any more. It never concerns recent rows. A range of hashes of the base
// is rewritten together with what is recent and dead in that range, so that afterwards nothing
// is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/store.h"

namespace pgweir::engine {

struct StoreSql {
  explicit StoreSql(const StoreSpec& spec, std::int64_t id);

  const StoreSpec& spec;
  const std::string recent;  // the tables' names, quoted
  const std::string base;
  const std::string dead;
  const std::string content;
  const std::string counted;  // temporary, of a bag: the rows of a batch's removals, each copy

  bool is_bag() const { return !spec.unique && !spec.distinct; }

  std::string create_recent() const;
  std::string create_large_tables() const;
  std::string create_counted() const;
  std::string create_content(bool large) const;
  std::string lookup(const std::string& keys) const;
  // The base's rows but for those of `keys` that are dead.
  std::string live_base(const std::string& keys) const;
  // DuckDB 1.5.5 loses rows without an error: after an INSERT with an ORDER BY that gives no row,
  // the next large INSERT into that table in the same transaction leaves nothing behind. So no
  // such statement may be run for nothing; after load() of nothing the base is made anew.
  std::string renew_base() const;
  // Fills `table` from a SELECT of the spec's columns, in the order of the hash.
  std::string load(const std::string& table, const std::string& select) const;
  std::string move_all(const std::string& from, const std::string& to) const;
  // About how many bytes a row of a large store has, by some of them.
  std::string row_bytes() const;

  // Of a delta; `many`: with so many rows to remove that the equal hashes of different rows, where
  // the key is not unique, would cost more than comparing whole rows at once.
  std::string count_removals(const std::string& delta) const;
  std::string add(const std::string& delta) const;
  std::string remove_recent(const std::string& delta, bool many) const;
  // The rows to remove that are not recent are dead.
  std::string add_dead(const std::string& delta, bool many) const;
  // Of a bag that is large: every copy of every row to remove is looked up, all of them are
  // removed, and those that stay are added again.
  std::string count_base_copies(const std::string& delta) const;
  std::string count_recent_copies(const std::string& delta) const;
  std::string count_taken_copies(const std::string& delta) const;
  std::string add_dead_copies() const;
  std::string remove_recent_copies() const;
  std::string add_remaining_copies() const;

  // A range of hashes, both ends included.
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
  };
  // Number of rows of the base, and their greatest rowid.
  std::string rows_in(const Range& range) const;
  std::string count_content(const Range& range) const;
  std::string rewrite(const Range& range) const;
  std::string delete_old(const Range& range, std::int64_t rowid_max) const;
  std::string delete_range(const std::string& table, const Range& range) const;

 private:
  std::vector<StoreColumn> identity() const;
  std::string removals(const std::string& delta) const;
  std::string distinct_rows(const std::string& from) const;
  std::string content_in(const Range& range) const;
};

}  // namespace pgweir::engine
