// A follower of the log: a thread that feeds one target (the engine or a sink) from its own
// position.
//
// Place:   between log and target. A follower that fails or falls behind touches no other.
// Life:    start(), stop(). stop() waits; the target then has taken nothing half.
// Threads: one of its own, which alone calls the target's changing functions. status(): any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/logger.h"
#include "base/mutex.h"
#include "base/result.h"
#include "io/clock.h"
#include "io/waker.h"
#include "log/log.h"
#include "pipeline/batch_reader.h"

namespace pgweir::pipeline {

// What a follower feeds. Errors: kNoSpace, kUnavailable and kBroken are waited out (from
// position(), anew; kBroken not for ever); kCancelled ends quietly; anything else stops this
// follower alone.
class FollowerTarget {
 public:
  virtual ~FollowerTarget() = default;
  virtual const std::string& name() const = 0;
  virtual const char* kind() const = 0;
  // Where to go on after a start or an error.
  virtual model::Position position() const = 0;
  virtual Status take(const LogEvent& event) = 0;
  // Called when nothing came for a while, and now and then under load.
  virtual Status idle() { return {}; }
  // At a clean stop.
  virtual Status finish() { return {}; }
  // The follower is stopped: a take() that runs long may end with kCancelled. From the stopping
  // thread, again and again until the follower has ended.
  virtual void stop_soon() {}
  // After an error that is waited out, before the next take(): back to position(). May fail in the
  // same ways, and is then called again.
  virtual Status recover() { return {}; }
};

enum class FollowerState { kFollowing, kCatchingUp, kStopped, kFailed, kLost };

struct FollowerStatus {
  std::string name;
  std::string kind;
  FollowerState state = FollowerState::kCatchingUp;
  model::Position position;        // durable in the target
  model::Position taken;           // given to the target; a sink may still hold it
  model::Timestamp commit_time{};  // of the last transaction taken
  std::optional<Error> error;
};

struct FollowerOptions {
  BatchReaderOptions reader;
  Milliseconds idle_interval{50};  // how often the target's idle() is called when it is quiet
  // After an error that is waited out. It doubles with every further failure at one position, and
  // each time the batches are half as large.
  Milliseconds retry_interval{500};
  Milliseconds retry_interval_max{30'000};
  std::size_t retry_batch_rows_min = 500;
  int broken_in_a_row_max = 8;  // kBroken so often at one position stops the follower
};

class Follower {
 public:
  // All references must outlive the follower.
  Follower(log::Log& log, std::unique_ptr<FollowerTarget> target, const io::Clock& clock,
           Logger& logger, FollowerOptions options);
  ~Follower();

  void start();
  void stop();
  FollowerStatus status() const EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);
  void run_to_end();
  Status follow();
  Status take(const LogEvent& event);
  bool handle(Error failure);  // true: try again
  bool passes(const Error& failure) const;
  Milliseconds count_failure();
  Error in_context(Error failure) const;
  BatchReaderOptions reader_options() const;
  bool got_over_failure(LogEvent::Kind last);
  void set_state(FollowerState state, std::optional<Error> failure = {}) EXCLUDES(mutex_);

  log::Log& log_;
  const std::unique_ptr<FollowerTarget> target_;
  const io::Clock& clock_;
  Logger& logger_;
  const FollowerOptions options_;
  std::atomic<bool> stopping_{false};
  io::Waker stop_waker_;
  std::thread thread_;

  // Of the thread. Failures in a row that left the target at one position, and the last of them.
  int failures_ = 0;
  model::Position failed_at_;
  std::optional<Error> last_failure_;

  mutable Mutex mutex_;
  Condition ended_changed_;
  bool ended_ GUARDED_BY(mutex_) = true;
  FollowerStatus status_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::pipeline
