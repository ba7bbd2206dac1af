// A queue between two threads that is full at a stated weight (bytes), not at a count.
//
// Threads: any number of producers and consumers.
// Life:    close() wakes everybody; what is queued can still be taken.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "base/mutex.h"

namespace pgweir {

template <typename T>
class BoundedQueue {
 public:
  // `weight_max`: push waits while this much is queued. One item is always let in, however heavy.
  explicit BoundedQueue(std::size_t weight_max) : weight_max_(weight_max) {}

  // Waits up to `timeout` for room. Returns false, with `item` untouched, when there was none or
  // the queue is closed.
  bool push_for(T& item, std::size_t weight, std::chrono::microseconds timeout) EXCLUDES(mutex_) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex_);
    while (!closed_ && !items_.empty() && weight_ + weight > weight_max_) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= deadline) return false;
      not_full_.wait_for(mutex_,
                         std::chrono::duration_cast<std::chrono::microseconds>(deadline - now));
    }
    if (closed_) return false;
    items_.emplace_back(std::move(item), weight);
    weight_ += weight;
    not_empty_.notify_one();
    return true;
  }

  // Waits up to `timeout` for an item; nothing when there was none, or when closed and empty.
  std::optional<T> pop_for(std::chrono::microseconds timeout) EXCLUDES(mutex_) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex_);
    while (items_.empty() && !closed_) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= deadline) return std::nullopt;
      not_empty_.wait_for(mutex_,
                          std::chrono::duration_cast<std::chrono::microseconds>(deadline - now));
    }
    if (items_.empty()) return std::nullopt;
    T item = std::move(items_.front().first);
    weight_ -= items_.front().second;
    items_.pop_front();
    not_full_.notify_all();
    return item;
  }

  void close() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    closed_ = true;
    not_empty_.notify_all();
    not_full_.notify_all();
  }

  bool closed() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return closed_;
  }

  std::size_t weight() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return weight_;
  }

 private:
  const std::size_t weight_max_;
  mutable Mutex mutex_;
  Condition not_empty_;
  Condition not_full_;
  std::deque<std::pair<T, std::size_t>> items_ GUARDED_BY(mutex_);
  std::size_t weight_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace pgweir
