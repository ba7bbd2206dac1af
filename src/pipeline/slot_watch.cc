#include "pipeline/slot_watch.h"

#include <algorithm>

#include "postgres/heartbeat.h"

namespace pgweir::pipeline {

void SlotWatch::start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void SlotWatch::stop() {
  stop_waker_.wake();
  if (thread_.joinable()) thread_.join();
}

SlotHealth SlotWatch::latest() const {
  MutexLock lock(mutex_);
  return latest_;
}

void SlotWatch::run() {
  const bool beats = options_.heartbeat > Milliseconds(0);
  auto next_look = clock_.steady();
  auto next_beat = next_look;
  while (true) {
    if (beats && clock_.steady() >= next_beat) {
      beat();
      next_beat = clock_.steady() + options_.heartbeat;
    }
    if (clock_.steady() >= next_look) {
      look();
      next_look = clock_.steady() + options_.interval;
    }
    const auto next = beats ? std::min(next_look, next_beat) : next_look;
    const auto wait = std::max(next - clock_.steady(), Microseconds(1'000));
    const auto ready = io::wait_socket(-1, io::Interest::kNothing, wait, &stop_waker_);
    if (!ready.ok() || ready->woken) return;
  }
}

Status SlotWatch::connect() {
  if (connection_ && connection_->is_open()) return {};
  postgres::ConnectionOptions options;
  options.url = options_.url;
  options.query_timeout = options_.query_timeout;
  options.cancel = &stop_waker_;
  TRY_ASSIGN(connection_, postgres::Connection::open(options));
  may_beat_ = true;
  return {};
}

// An error needs no words here: capture has a connection that meets it too.
void SlotWatch::look() {
  SlotHealth health;
  if (connect().ok()) {
    const auto slot = postgres::slot_info(*connection_, options_.slot);
    if (slot.ok())
      health = *slot ? alarm_.judge(**slot, clock_.steady()) : SlotAlarm::gone(options_.slot);
    if (slot.ok()) tell(health);
  }
  MutexLock lock(mutex_);
  latest_ = std::move(health);
}

void SlotWatch::tell(const SlotHealth& health) {
  if (health.danger == SlotDanger::kNone && told_ != SlotDanger::kNone)
    logger_.info("slot '{}' is out of danger", options_.slot);
  if (health.danger > told_) logger_.warning("{}. {}", health.alarm, health.hint);
  told_ = health.danger;
}

void SlotWatch::beat() {
  if (!connect().ok() || !may_beat_) return;
  // Preflight has said it already: the role may not, or the server is a standby.
  if (const Status done = postgres::emit_heartbeat(*connection_); !done.ok())
    may_beat_ = done.error().code == Code::kUnavailable || done.error().code == Code::kTimeout;
}

}  // namespace pgweir::pipeline
