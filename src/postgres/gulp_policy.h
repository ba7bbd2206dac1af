// When to read a replication stream: in gulps under load, at once when it is quiet.
//
// A walsender sends every message by itself. A reader that waits in poll() is woken by each of
// them, and the database server pays most of that. A reader that sleeps while data arrives, and
// wakes before the buffers are full, gets more than twice the rows for half the server's CPU.
//
// How long to sleep is not the same everywhere. On a quiet machine 0.7 ms is best, and with 3 ms
// the receive buffer fills up, which costs the server everything again; on a busy one, where the
// reader wakes late anyway, 3 ms costs the server half of what 0.7 ms does. So the policy measures:
// it tries a few lengths, keeps to the one that brings the most bytes, and tries again when that
// changes.
//
// The receive buffer is left to the kernel: a large one of a fixed size lets every message through
// at once, each as a packet of its own, where it could have waited for others at the sender.
//
// Place:   a decision without input or output; replication_stream.h carries it out.
// Threads: plain values.
#pragma once

#include <array>
#include <cstddef>

#include "base/units.h"

namespace pgweir::postgres {

struct GulpPolicyOptions {
  static constexpr std::size_t kSleeps = 3;
  std::array<Microseconds, kSleeps> sleeps{Microseconds(700), Microseconds(4'000),
                                           Microseconds(16'000)};  // the shortest first
  Microseconds trial{80'000};                                      // how long each is tried
  Microseconds check{400'000};       // how often the one in use is looked at
  Microseconds keep_min{2'000'000};  // how long the best is kept; doubled while it stays the best
  Microseconds keep_max{8'000'000};
  // Below it the shortest is taken: a source that is not behind brings the same whatever we do, and
  // should be heard of soon.
  double busy_bytes_per_us = 10;
  double loss = 0.5;      // a rate below this share of what it was ends the keeping
  double fill_max = 0.6;  // a receive buffer fuller than this: the next sleep is the shortest
  // There is a backlog once this much has come faster than it drains at `quiet_bytes_per_us`. Less
  // is read as soon as it comes: a small transaction, or a low rate.
  std::size_t backlog_bytes = 4 * kKiB;
  double quiet_bytes_per_us = 4;
  // A pause of the server does not end a backlog: at most this much is remembered of it.
  std::size_t remembered_bytes = 64 * kKiB;

  // A few hundred small messages fill the send buffer of a Unix socket.
  static GulpPolicyOptions for_unix_socket();
};

class GulpPolicy {
 public:
  explicit GulpPolicy(GulpPolicyOptions options = {})
      : options_(options), keep_(options.keep_min) {}

  // What the last gulp took, how full the receive buffer was then (0 to 1), and the steady time
  // now. Returns how long to sleep before the next one; zero means: wait for data in poll().
  Microseconds after_gulp(std::size_t bytes, double fill, Microseconds now);

 private:
  void measure(std::size_t bytes, Microseconds now);
  void end_window(double rate, Microseconds now);
  void begin_trials();

  GulpPolicyOptions options_;
  Microseconds last_{0};
  double level_ = 0;  // bytes that came faster than the quiet rate

  std::array<double, GulpPolicyOptions::kSleeps> rates_{};  // bytes a microsecond, when last tried
  std::size_t current_ = 0;                                 // the sleep in use
  std::size_t best_ = 0;
  bool trying_ = true;
  Microseconds keep_;
  Microseconds kept_until_{0};
  bool window_open_ = false;  // what comes is being measured
  Microseconds window_start_{0};
  double window_bytes_ = 0;
};

}  // namespace pgweir::postgres
