#include "pipeline/follower.h"

#include <fmt/core.h>

namespace pgweir::pipeline {

Follower::Follower(log::Log& log, std::unique_ptr<FollowerTarget> target, const io::Clock& clock,
                   Logger& logger, FollowerOptions options)
    : log_(log), target_(std::move(target)), clock_(clock), logger_(logger), options_(options) {
  status_.name = target_->name();
  status_.kind = target_->kind();
  status_.position = status_.taken = target_->position();
}

Follower::~Follower() {
  stop();
}

void Follower::start() {
  thread_ = std::thread([this] { run(); });
}

void Follower::stop() {
  stopping_ = true;
  stop_waker_.wake();
  log_.wake();
  if (thread_.joinable()) thread_.join();
}

FollowerStatus Follower::status() const {
  MutexLock lock(mutex_);
  FollowerStatus out = status_;
  out.position = target_->position();
  return out;
}

void Follower::set_state(FollowerState state, std::optional<Error> failure) {
  MutexLock lock(mutex_);
  status_.state = state;
  status_.error = std::move(failure);
}

void Follower::run() {
  while (!stopping_) {
    const Status status = follow();
    if (status.ok() || !handle(status.error())) break;
  }
  if (status().state == FollowerState::kFailed || status().state == FollowerState::kLost) return;
  if (const Status finished = target_->finish(); !finished.ok())
    logger_.warning("{}: {}", target_->name(), finished.error().text());
  set_state(FollowerState::kStopped);
}

bool Follower::handle(const Error& failure) {
  if (failure.code == Code::kCancelled || stopping_) return false;
  const bool passes = failure.code == Code::kNoSpace || failure.code == Code::kUnavailable;
  if (!passes) {
    const bool lost = failure.code == Code::kNotFound;
    set_state(lost ? FollowerState::kLost : FollowerState::kFailed, failure);
    logger_.error("{} has stopped: {}", target_->name(), failure.text());
    return false;
  }
  logger_.warning("{} waits: {}", target_->name(), failure.text());
  set_state(FollowerState::kCatchingUp, failure);
  const auto woken =
      io::wait_socket(-1, io::Interest::kNothing, options_.retry_interval, &stop_waker_);
  if (woken.ok() && woken->woken) return false;
  if (const Status status = target_->recover(); !status.ok()) {
    set_state(FollowerState::kFailed, status.error());
    return false;
  }
  return true;
}

Status Follower::follow() {
  TRY_ASSIGN(const auto reader, BatchReader::open(log_, target_->position(), options_.reader));
  {
    MutexLock lock(mutex_);
    status_.taken = target_->position();
  }
  auto last_idle = clock_.steady();
  while (!stopping_) {
    TRY_ASSIGN(const LogEvent event, reader->next(options_.idle_interval));
    if (event.kind == LogEvent::Kind::kNothing) {
      if (!stopping_) set_state(FollowerState::kFollowing);
    } else {
      TRY(take(event));
      // A batch that is full left more behind it.
      const bool full =
          event.batch && event.batch->changes.size() >= options_.reader.batch_rows_max;
      set_state(full ? FollowerState::kCatchingUp : FollowerState::kFollowing);
    }
    if (clock_.steady() - last_idle >= options_.idle_interval) {
      TRY(target_->idle());
      last_idle = clock_.steady();
    }
  }
  return {};
}

Status Follower::take(const LogEvent& event) {
  TRY(target_->take(event));
  MutexLock lock(mutex_);
  status_.taken = event.position;
  if (event.kind != LogEvent::Kind::kBatch || event.batch->transactions.empty()) return {};
  status_.commit_time = event.batch->transactions.back().commit_time;
  return {};
}

}  // namespace pgweir::pipeline
