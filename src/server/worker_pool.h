// A fixed number of threads and a queue with a limit.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace pgweir::server {

class WorkerPool {
 public:
  // `queue_max`: how many jobs may wait for a thread.
  WorkerPool(std::size_t threads, std::size_t queue_max);
  ~WorkerPool() { stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False, without taking the job, when the queue is full or stop() was called. Jobs must not
  // throw.
  bool submit(std::function<void()> job) EXCLUDES(mutex_);

  // Runs what is queued and waits for it. May be called twice; not from a job.
  void stop() EXCLUDES(mutex_);

 private:
  void work() EXCLUDES(mutex_);

  const std::size_t queue_max_;
  Mutex mutex_;
  Condition wake_;
  std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace pgweir::server
