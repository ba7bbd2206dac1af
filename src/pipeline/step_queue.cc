#include "pipeline/step_queue.h"

#include <chrono>
#include <utility>

namespace pgweir::pipeline {
namespace {
// Both sides are woken; this is for nothing but a bound.
constexpr std::chrono::seconds kLook{1};
}  // namespace

StepQueue::StepQueue(std::size_t weight_max) : queue_(weight_max), thread_([this] { run(); }) {}

StepQueue::~StepQueue() {
  (void)finish();
}

Status StepQueue::push(Step step, std::size_t weight) {
  while (!queue_.push_for(step, weight, kLook)) {
    TRY(failure());
    if (queue_.closed()) return error(Code::kCancelled, "a step comes behind the end");
  }
  return {};
}

Status StepQueue::finish() {
  queue_.close();
  if (thread_.joinable()) thread_.join();
  return failure();
}

Status StepQueue::failure() const {
  MutexLock lock(mutex_);
  return failure_;
}

void StepQueue::run() {
  while (true) {
    std::optional<Step> step = queue_.pop_for(kLook);
    if (!step && queue_.closed()) return;
    if (!step) continue;
    const Status done = (*step)();
    if (done.ok()) continue;
    {
      MutexLock lock(mutex_);
      failure_ = done;
    }
    queue_.close();
    return;
  }
}

}  // namespace pgweir::pipeline
