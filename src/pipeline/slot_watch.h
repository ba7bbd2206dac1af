// Looks after the slot beside the stream: writes heartbeats that keep it moving, asks the server
// now and then how it is, and warns long before it is lost.
//
// Place:   beside capture, on an ordinary connection and a thread of its own: a server that answers
//          slowly delays neither the stream nor the log.
// Life:    start() may come again and does nothing then; stop() waits.
// Threads: latest() any; start() and stop() one at a time.
#pragma once

#include <optional>
#include <string>
#include <thread>

#include "base/logger.h"
#include "base/mutex.h"
#include "base/units.h"
#include "io/clock.h"
#include "io/waker.h"
#include "pipeline/slot_alarm.h"
#include "postgres/connection.h"

namespace pgweir::pipeline {

struct SlotWatchOptions {
  std::string url;
  std::string slot;
  Milliseconds interval{5'000};    // between two questions
  Milliseconds heartbeat{10'000};  // between two heartbeats; zero writes none
  Milliseconds query_timeout{10'000};
  SlotAlarmOptions alarm;
};

class SlotWatch {
 public:
  // `clock` and `logger` must outlive the watch.
  SlotWatch(const io::Clock& clock, Logger& logger, SlotWatchOptions options)
      : clock_(clock), logger_(logger), options_(std::move(options)), alarm_(options_.alarm) {}
  ~SlotWatch() { stop(); }

  void start();
  void stop();

  // What the server said last; without a slot while it does not answer.
  SlotHealth latest() const EXCLUDES(mutex_);

 private:
  void run();
  Status connect();
  void look();
  void beat();
  // Warns once for each new danger, and says when it is over.
  void tell(const SlotHealth& health);

  const io::Clock& clock_;
  Logger& logger_;
  const SlotWatchOptions options_;
  io::Waker stop_waker_;
  std::thread thread_;

  // The thread's.
  SlotAlarm alarm_;
  std::optional<postgres::Connection> connection_;
  bool may_beat_ = true;  // on this connection
  SlotDanger told_ = SlotDanger::kNone;

  mutable Mutex mutex_;
  SlotHealth latest_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::pipeline
