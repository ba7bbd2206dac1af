// Judges what the server says of the slot: how fast it holds back more WAL, how long until the
// limit is reached, and whether somebody should be told.
//
// Place:   between slot_watch, which asks, and the status, metrics and log messages, which tell.
// Threads: one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/units.h"
#include "postgres/slot_info.h"

namespace pgweir::pipeline {

struct SlotAlarmOptions {
  // Of the WAL that max_slot_wal_keep_size lets the slot hold back, in use: alarmed from here on.
  double used_fraction_max = 0.5;
  // Alarmed as well when the limit would be reached sooner than this at the present rate ...
  Milliseconds time_left_min = std::chrono::hours(1);
  // ... unless less than this is in use: what is normal between two checkpoints.
  double used_fraction_min = 0.1;
  // Without a limit: the WAL held back from which on the server's disk is worth a look.
  std::uint64_t unlimited_bytes_max = 10 * kGiB;
  // The rate is taken over this long; before `rate_span_min` there is none.
  Milliseconds rate_window = std::chrono::minutes(1);
  Milliseconds rate_span_min{10'000};
};

enum class SlotDanger {
  kNone,
  kWarning,  // there is time to do something
  kLost,     // or about to be
};

struct SlotHealth {
  std::optional<postgres::SlotInfo> slot;  // nothing while the server does not answer, or has none
  std::optional<double>
      growth_bytes_per_second;            // of the WAL held back; less than 0 when it shrinks
  std::optional<Milliseconds> time_left;  // until the limit, at that rate
  SlotDanger danger = SlotDanger::kNone;
  std::string alarm;  // one sentence, without a full stop; "" without danger
  std::string hint;
};

class SlotAlarm {
 public:
  explicit SlotAlarm(SlotAlarmOptions options = {}) : options_(options) {}

  // What the server has said at `now` (any clock that does not go back).
  SlotHealth judge(const postgres::SlotInfo& slot, Microseconds now);
  // The same for a slot that the server does not have any more.
  static SlotHealth gone(const std::string& name);

 private:
  struct Sample {
    Microseconds time;
    std::uint64_t retained_bytes;
  };
  void take_rate(SlotHealth& health, Microseconds now);
  void look_for_danger(SlotHealth& health) const;

  const SlotAlarmOptions options_;
  std::deque<Sample> samples_;  // of the rate's window, and one older
};

}  // namespace pgweir::pipeline
