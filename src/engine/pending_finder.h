// Finds the pending rows of a large store without looking through all of them: it knows in memory
// in which run each one is, and writes the runs of those that are wanted into temporary tables that
// statements join (StoreSql::lookup_found(), Removal::kFound).
//
// Place:   private to engine/, a part of a store.
// Life:    build() reads the pending rows; from then on it is told of every change. forget(), after
//          which it is not ready, is always right: after a rollback, or when it pays no more.
// Threads: the engine's write connection only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/pending_index.h"
#include "engine/prepared_sql.h"
#include "engine/store_sql.h"

namespace pgweir::engine {

class PendingFinder {
 public:
  // Both must outlive it.
  PendingFinder(duck::Connection& connection, const StoreSql& sql)
      : connection_(connection), sql_(sql) {}

  bool ready() const { return ready_; }
  void forget();
  Status build();

  // Reads the hashes that `keys` (see Store::lookup()) gives; also when it is not ready.
  Status read_keys(const std::string& keys);
  // Those hashes, sorted, each once.
  const std::vector<std::uint64_t>& wanted() const { return wanted_; }
  // Looks for them. Of a unique store, when ready.
  Status find_keys();

  // A delta that is about to be applied: `read_delta` is sql.read_delta() of it. Writes nothing for
  // statements to join unless `fill`. Returns how many rows to remove are among the recent ones.
  Result<std::uint64_t> find_delta(PreparedSql& read_delta, bool fill);
  // The delta that was found last is applied: its new rows, and the dead, are in `run`.
  void delta_applied(std::uint64_t removed_from_recent, std::uint32_t run);

  // The range's pending rows are about to leave.
  Status leave(const StoreSql::Range& range);

 private:
  struct Found {
    std::uint64_t hash = 0;  // of the key
    std::uint32_t run = 0;
    // clang-tidy 14 takes the zero in the generated code for a null pointer.
    auto operator<=>(const Found&) const = default;  // NOLINT(modernize-use-nullptr)
  };
  // One of the temporary tables.
  struct FoundTable {
    std::string name;
    bool filled = true;
    PreparedSql clear;
    std::unique_ptr<duck::Appender> appender;
  };

  Status read_into(PendingIndex& index, const std::string& table);
  Status leave_from(PendingIndex& index, const std::string& table, const StoreSql::Range& range);
  Status fill(FoundTable& table, std::vector<Found>& rows);
  Status find_in(const PendingIndex& index, FoundTable& table);

  duck::Connection& connection_;
  const StoreSql& sql_;
  bool ready_ = false;
  PendingIndex recent_;
  PendingIndex dead_;
  FoundTable found_recent_;
  FoundTable found_dead_;
  std::map<std::string, PreparedSql> read_keys_;
  std::vector<std::uint64_t> wanted_;  // hashes of keys, each once
  // Of the delta that was found last, by the hashes of the rows' identities.
  std::vector<std::pair<std::uint64_t, std::uint32_t>> leaving_recent_;
  std::vector<std::uint64_t> dying_;
  std::vector<std::uint64_t> coming_;
};

}  // namespace pgweir::engine
