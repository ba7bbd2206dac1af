// What was used is kept for the memory that it has, until another one is needed: memory that the
// system gives anew costs more processor time than what is written into it.
//
// Threads: any.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace pgweir {

// T: clear() empties it and keeps its memory; memory_bytes() is that memory, used_bytes() what is
// in it.
template <typename T>
class Spares {
 public:
  // Keeps up to `count_max`, each of up to `bytes_max`.
  Spares(std::size_t count_max, std::size_t bytes_max)
      : count_max_(count_max), bytes_max_(bytes_max) {}

  // An empty one.
  T take() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (kept_.empty()) return T();
    T out = std::move(kept_.back());
    kept_.pop_back();
    return out;
  }

  // Keeps its memory, unless most of that was of no use the last time.
  void give(T spent) EXCLUDES(mutex_) {
    constexpr std::size_t kFew = 64 << 10;
    constexpr std::size_t kUsedOnceIn = 4;
    const std::size_t bytes = spent.memory_bytes();
    if (bytes > bytes_max_ || bytes > std::max(kFew, kUsedOnceIn * spent.used_bytes())) return;
    spent.clear();
    MutexLock lock(mutex_);
    if (kept_.size() < count_max_) kept_.push_back(std::move(spent));
  }

 private:
  const std::size_t count_max_;
  const std::size_t bytes_max_;
  Mutex mutex_;
  std::vector<T> kept_ GUARDED_BY(mutex_);
};

}  // namespace pgweir
