// Steps that one thread does, one after the other, so that those who give them need not wait.
//
// Life:    finish() once, at the latest in the destructor: until then steps are done as they come.
// Threads: push() from any; steps run on a thread of the queue's own.
#pragma once

#include <functional>
#include <thread>

#include "base/bounded_queue.h"
#include "base/result.h"

namespace pgweir::pipeline {

class StepQueue {
 public:
  using Step = std::function<Status()>;

  // `weight_max`: of steps that wait (bounded_queue.h).
  explicit StepQueue(std::size_t weight_max);
  ~StepQueue();

  // Waits for room. Once a step has failed none is taken or done, and this is that one's error.
  Status push(Step step, std::size_t weight) EXCLUDES(mutex_);
  // Waits until every step is done; the error of one that failed.
  Status finish() EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);
  Status failure() const EXCLUDES(mutex_);

  BoundedQueue<Step> queue_;
  mutable Mutex mutex_;
  Status failure_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace pgweir::pipeline
