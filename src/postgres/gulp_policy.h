// When to read a replication stream: in gulps under load, at once when it is quiet.
//
// A walsender sends every message by itself. A reader that waits in poll() is woken by each of
// them, and the database server pays most of that. A reader that sleeps while data arrives, and
// wakes before the buffers are full, gets more than twice the rows for half the server's CPU. On
// one machine even a message that wakes nobody goes through the whole network stack in the server's
// time; when the receiver's window is small, the messages wait in the server's send buffer instead
// and go together (ReplicationStream sees to that), so it pays to sleep longer there.
//
// Place:   a decision without input or output; replication_stream.h carries it out.
// Threads: plain values.
#pragma once

#include <cstddef>

#include "base/units.h"

namespace pgweir::postgres {

struct GulpPolicyOptions {
  Microseconds sleep_min{300};
  Microseconds sleep_max{700};
  // There is a backlog once this much has come faster than it drains at `quiet_bytes_per_us`. Less
  // is read as soon as it comes: a small transaction, or a low rate.
  std::size_t backlog_bytes = 4 * kKiB;
  double quiet_bytes_per_us = 4;
  // A pause of the server does not end a backlog: at most this much is remembered of it.
  std::size_t remembered_bytes = 64 * kKiB;
  // How full the receive buffer should be when the next gulp is taken: higher costs the server
  // less, until the buffer fills up and costs it everything.
  double fill_goal = 0.1;

  // A few hundred small messages fill the send buffer of a Unix socket.
  static GulpPolicyOptions for_unix_socket();
};

class GulpPolicy {
 public:
  explicit GulpPolicy(GulpPolicyOptions options = {})
      : options_(options), sleep_(options.sleep_min) {}

  // What the last gulp took, how full the receive buffer was then (0 to 1), and the steady time
  // now. Returns how long to sleep before the next one; zero means: wait for data in poll().
  Microseconds after_gulp(std::size_t bytes, double fill, Microseconds now);

 private:
  GulpPolicyOptions options_;
  Microseconds sleep_;
  Microseconds last_{0};
  double level_ = 0;  // bytes that came faster than the quiet rate
};

}  // namespace pgweir::postgres
