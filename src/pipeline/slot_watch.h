// Asks the server now and then how the slot is: how much WAL it holds back, and whether that is in
// danger.
//
// Place:   beside capture, on an ordinary connection and a thread of its own: a server that answers
//          slowly delays neither the stream nor the log.
// Life:    start() may come again and does nothing then; stop() waits.
// Threads: latest() any; start() and stop() one at a time.
#pragma once

#include <optional>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/units.h"
#include "io/waker.h"
#include "postgres/connection.h"
#include "postgres/setup.h"

namespace pgweir::pipeline {

struct SlotWatchOptions {
  std::string url;
  std::string slot;
  Milliseconds interval{5'000};
  Milliseconds query_timeout{10'000};
};

class SlotWatch {
 public:
  explicit SlotWatch(SlotWatchOptions options) : options_(std::move(options)) {}
  ~SlotWatch() { stop(); }

  void start();
  void stop();

  // What the server said last; nothing while it does not answer, or has no such slot.
  std::optional<postgres::SlotInfo> latest() const EXCLUDES(mutex_);

 private:
  void run();
  Result<std::optional<postgres::SlotInfo>> ask();

  const SlotWatchOptions options_;
  io::Waker stop_waker_;
  std::thread thread_;
  std::optional<postgres::Connection> connection_;  // the thread's

  mutable Mutex mutex_;
  std::optional<postgres::SlotInfo> latest_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::pipeline
