#include "pipeline/follower.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::pipeline {
namespace {
// How often a target is asked to come to an end.
constexpr Milliseconds kStopInterval{50};
}  // namespace

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
  {
    MutexLock lock(mutex_);
    ended_ = false;
  }
  thread_ = std::thread([this] { run(); });
}

void Follower::stop() {
  stopping_ = true;
  stop_waker_.wake();
  log_.wake();
  {
    MutexLock lock(mutex_);
    while (!ended_) {
      target_->stop_soon();
      ended_changed_.wait_for(mutex_, kStopInterval);
    }
  }
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
  run_to_end();
  MutexLock lock(mutex_);
  ended_ = true;
  ended_changed_.notify_all();
}

void Follower::run_to_end() {
  while (!stopping_) {
    const Status status = follow();
    if (!status.ok() && !handle(status.error())) break;
  }
  if (status().state == FollowerState::kFailed || status().state == FollowerState::kLost) return;
  if (const Status finished = target_->finish(); !finished.ok())
    logger_.warning("{}: {}", target_->name(), finished.error().text());
  set_state(FollowerState::kStopped);
}

// --- Failures ----------------------------------------------------------------------------------

bool Follower::handle(Error failure) {
  while (true) {
    if (failure.code == Code::kCancelled || stopping_) return false;
    const Milliseconds wait = count_failure();
    last_failure_ = in_context(failure);
    if (!passes(failure)) {
      const bool lost = failure.code == Code::kNotFound;
      set_state(lost ? FollowerState::kLost : FollowerState::kFailed, last_failure_);
      logger_.error("{} has stopped: {}", target_->name(), last_failure_->text());
      return false;
    }
    logger_.warning("{} waits: {}", target_->name(), last_failure_->text());
    set_state(FollowerState::kCatchingUp, last_failure_);
    const auto woken = io::wait_socket(-1, io::Interest::kNothing, wait, &stop_waker_);
    if (woken.ok() && woken->woken) return false;
    const Status recovered = target_->recover();
    if (recovered.ok()) return true;
    failure = recovered.error();
  }
}

bool Follower::passes(const Error& failure) const {
  if (failure.code == Code::kBroken) return failures_ < options_.broken_in_a_row_max;
  return failure.code == Code::kNoSpace || failure.code == Code::kUnavailable;
}

// How long to wait now.
Milliseconds Follower::count_failure() {
  const model::Position position = target_->position();
  if (position != failed_at_) failures_ = 0;
  failed_at_ = position;
  Milliseconds wait = options_.retry_interval;
  for (int i = 0; i < failures_ && wait < options_.retry_interval_max; ++i) wait *= 2;
  ++failures_;
  return std::min(wait, options_.retry_interval_max);
}

Error Follower::in_context(Error failure) const {
  if (failures_ < 2) return failure;
  failure.detail += fmt::format("{}{} times in a row at {}", failure.detail.empty() ? "" : "; ",
                                failures_, model::to_string(failed_at_));
  return failure;
}

// What was too much at once may come in parts.
BatchReaderOptions Follower::reader_options() const {
  BatchReaderOptions options = options_.reader;
  for (int i = 0; i < failures_ && options.batch_rows_max > options_.retry_batch_rows_min; ++i) {
    options.batch_rows_max = std::max(options.batch_rows_max / 2, options_.retry_batch_rows_min);
    options.batch_bytes_max /= 2;
  }
  return options;
}

// The position has moved; or nothing came, and the target holds nothing back.
bool Follower::got_over_failure(LogEvent::Kind last) {
  if (failures_ == 0) return false;
  const FollowerStatus now = status();
  const bool all_taken = last == LogEvent::Kind::kNothing && now.taken == now.position;
  if (now.position == failed_at_ && !all_taken) return false;
  failures_ = 0;
  last_failure_.reset();
  return true;
}

// --- Following ---------------------------------------------------------------------------------

// Until the stop, an error, or the end of what had failed: then anew, in batches of full size.
Status Follower::follow() {
  TRY_ASSIGN(const auto reader, BatchReader::open(log_, target_->position(), reader_options()));
  {
    MutexLock lock(mutex_);
    status_.taken = target_->position();
  }
  auto last_idle = clock_.steady();
  while (!stopping_) {
    TRY_ASSIGN(const LogEvent event, reader->next(options_.idle_interval));
    if (event.kind == LogEvent::Kind::kNothing) {
      if (got_over_failure(event.kind)) return {};
      if (!stopping_) set_state(FollowerState::kFollowing, last_failure_);
    } else {
      TRY(take(event));
      if (got_over_failure(event.kind)) return {};
      // A batch that is full left more behind it.
      const bool full =
          event.batch && event.batch->changes.size() >= options_.reader.batch_rows_max;
      set_state(full ? FollowerState::kCatchingUp : FollowerState::kFollowing, last_failure_);
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
  // The schemas that a cursor begins with stand where they entered the log.
  status_.taken = std::max(status_.taken, event.position);
  if (event.kind != LogEvent::Kind::kBatch || event.batch->transactions.empty()) return {};
  status_.commit_time = event.batch->transactions.back().commit_time;
  return {};
}

}  // namespace pgweir::pipeline
