// The rows of a large store's base that a batch wants, read by BaseReaders into a temporary table
// that statements of the write connection use in the base's place.
//
// Place:   private to engine/, a part of a store.
// Threads: the engine's write connection only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/base_readers.h"
#include "engine/prepared_sql.h"
#include "engine/store.h"
#include "engine/store_sql.h"

namespace pgweir::engine {

class BaseLookup {
 public:
  // All must outlive it, but options.
  BaseLookup(duck::Connection& connection, const StoreSql& sql, const StoreOptions& options)
      : connection_(connection), sql_(sql), readers_(options.readers), work_(options.work) {
    base_changed();
  }

  // The open transaction changes the base: until a commit others do not see what is in it.
  void base_changed() {
    changed_at_ = work_ == nullptr ? 0 : work_->commits;
    held_.clear();
  }

  // Whether several readers may pay in a base of so many rows, whatever is looked up.
  bool may_read(std::uint64_t base_rows) const;
  // Whether it pays, and is possible now, to look so many hashes up among so many rows with
  // several readers.
  bool can_read(std::uint64_t hashes, std::uint64_t base_rows) const;

  // A table of rows of the base, with all those that have one of `hashes`, which are sorted: to be
  // used before the next call. Hashes that were read by the call before, as those of another view
  // over the same rows, are not read again. Nothing when they are `rows_max` or more, and for some
  // calls after that. Requires can_read().
  Result<std::optional<std::string>> read(std::span<const std::uint64_t> hashes,
                                          std::uint64_t base_rows, std::uint64_t rows_max);

  // Empties the table; nothing is in it, or is wanted, any more.
  Status clear();
  // After a rollback: the table may be gone.
  void forget();

 private:
  std::size_t parts_for(std::uint64_t hashes, std::uint64_t base_rows) const;

  duck::Connection& connection_;
  const StoreSql& sql_;
  const std::shared_ptr<BaseReaders> readers_;
  const std::shared_ptr<StoreWork> work_;
  std::uint64_t changed_at_ = 0;  // StoreWork::commits then
  bool filled_ = false;
  std::vector<std::uint64_t> held_;  // hashes whose rows the table has
  int left_out_ = 0;                 // so many times more, since there were too many rows
  PreparedSql clear_;
  std::unique_ptr<duck::Appender> appender_;  // of the table, once that is made
};

}  // namespace pgweir::engine
