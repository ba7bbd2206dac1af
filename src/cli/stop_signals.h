// SIGINT and SIGTERM as something to wait for, in place of handlers.
//
// Life:    make one before any thread is started: threads inherit that the signals are blocked. The
//          destructor gives them back to the system, so that a later one ends the program.
// Threads: wait() from one thread at a time.
#pragma once

#include <csignal>
#include <initializer_list>

#include "base/result.h"
#include "base/units.h"
#include "io/waker.h"

namespace pgweir::cli {

class StopSignals {
 public:
  // Also takes the signals in `others` (SIGHUP).
  explicit StopSignals(std::initializer_list<int> others = {});
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Waits for a signal and returns its number; 0 when `waker` (may be null) was woken or `timeout`
  // has passed before. A negative timeout waits for ever.
  Result<int> wait(Microseconds timeout, const io::Waker* waker);

 private:
  ::sigset_t signals_;
  ::sigset_t before_;
  int fd_;
};

}  // namespace pgweir::cli
