// Where the pending rows of a large store are, by the hash of what tells them apart: for each row
// the number of its run (store_sql.h). Some 24 bytes a row, in memory.
//
// Place:   private to engine/, used by PendingFinder.
// Threads: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pgweir::engine {

class PendingIndex {
 public:
  void add(std::uint64_t hash, std::uint32_t run);
  // One row of this hash and run; false when there is none.
  bool erase(std::uint64_t hash, std::uint32_t run);
  // Adds the runs of all rows of this hash to `runs`, one for each row.
  void find(std::uint64_t hash, std::vector<std::uint32_t>& runs) const;
  std::size_t size() const { return size_; }
  // Gives the memory back, too.
  void clear() { *this = PendingIndex(); }

 private:
  // Open addressing: a row stands in the first place from the one that its hash names on that was
  // free. There is a free place always.
  static constexpr std::uint32_t kFree = ~std::uint32_t{0};
  std::size_t home_of(std::uint64_t hash) const { return hash & (runs_.size() - 1); }
  std::size_t next(std::size_t place) const { return (place + 1) & (runs_.size() - 1); }
  void put(std::uint64_t hash, std::uint32_t run);
  void take_out(std::size_t place);
  void grow();

  std::vector<std::uint64_t> hashes_;
  std::vector<std::uint32_t> runs_;  // kFree: nothing stands there
  std::size_t size_ = 0;
};

}  // namespace pgweir::engine
