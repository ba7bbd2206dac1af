#include "pipeline/slot_alarm.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::pipeline {
namespace {

constexpr const char* kFindCause =
    "Find what holds the slot back (this disk, the network, a transaction that is open for long: "
    "pg_stat_activity)";

// "3 h", "12 min", "40 s": as exact as it is worth.
std::string about(Milliseconds time) {
  const auto seconds = time.count() / 1000;
  if (seconds >= 2 * 3600) return fmt::format("{} h", seconds / 3600);
  if (seconds >= 2 * 60) return fmt::format("{} min", seconds / 60);
  return fmt::format("{} s", seconds);
}

}  // namespace

SlotHealth SlotAlarm::judge(const postgres::SlotInfo& slot, Microseconds now) {
  SlotHealth health;
  health.slot = slot;
  take_rate(health, now);
  look_for_danger(health);
  return health;
}

SlotHealth SlotAlarm::gone(const std::string& name) {
  SlotHealth health;
  health.danger = SlotDanger::kLost;
  health.alarm = fmt::format("slot '{}' is gone from the server", name);
  health.hint = postgres::kResyncHint;
  return health;
}

void SlotAlarm::take_rate(SlotHealth& health, Microseconds now) {
  samples_.push_back({now, health.slot->retained_bytes});
  while (samples_.size() > 2 && now - samples_[1].time >= options_.rate_window)
    samples_.pop_front();
  const Microseconds span = now - samples_.front().time;
  if (span < options_.rate_span_min || span <= Microseconds(0)) return;
  const double grown = static_cast<double>(samples_.back().retained_bytes) -
                       static_cast<double>(samples_.front().retained_bytes);
  const double rate = grown / (static_cast<double>(span.count()) / 1e6);
  health.growth_bytes_per_second = rate;
  if (rate <= 0 || !health.slot->safe_bytes) return;
  const double left_ms = static_cast<double>(*health.slot->safe_bytes) / rate * 1e3;
  constexpr double kLongestMs = 1e15;
  health.time_left = Milliseconds(static_cast<std::int64_t>(std::min(left_ms, kLongestMs)));
}

void SlotAlarm::look_for_danger(SlotHealth& health) const {
  const postgres::SlotInfo& slot = *health.slot;
  if (slot.lost()) {
    const Error lost = postgres::slot_lost(slot);
    health.danger = SlotDanger::kLost;
    health.alarm = fmt::format("{}: {}", lost.message, lost.detail);
    health.hint = lost.hint;
    return;
  }
  const std::string held = fmt::format("the server holds back {} of WAL for slot '{}'",
                                       format_size(slot.retained_bytes), slot.name);
  if (slot.wal_status == "unreserved") {
    health.danger = SlotDanger::kLost;
    health.alarm = held +
                   ", more than max_slot_wal_keep_size allows: it may remove what the slot "
                   "needs at its next checkpoint";
    health.hint = fmt::format("Raise max_slot_wal_keep_size now. {}", kFindCause);
    return;
  }
  if (!slot.safe_bytes) {
    if (slot.limit_bytes || slot.retained_bytes < options_.unlimited_bytes_max) return;
    health.danger = SlotDanger::kWarning;
    health.alarm = held + ", and no max_slot_wal_keep_size limits it: its disk may fill up";
    health.hint = kFindCause;
    return;
  }
  const double allowed = static_cast<double>(slot.retained_bytes + *slot.safe_bytes);
  const double used = allowed > 0 ? static_cast<double>(slot.retained_bytes) / allowed : 1;
  const bool soon = health.time_left && *health.time_left < options_.time_left_min &&
                    used >= options_.used_fraction_min;
  if (used < options_.used_fraction_max && !soon) return;
  health.danger = SlotDanger::kWarning;
  health.alarm =
      fmt::format("{}, {:.0f} % of what max_slot_wal_keep_size allows", held, used * 100);
  if (health.time_left)
    health.alarm +=
        fmt::format("; at the present rate the slot is lost in about {}", about(*health.time_left));
  health.hint = fmt::format("{}, or raise max_slot_wal_keep_size", kFindCause);
}

}  // namespace pgweir::pipeline
