// Capture's writer: what has arrived becomes durable in the log.
#include <fmt/core.h>

#include <algorithm>

#include "pipeline/capture.h"
#include "postgres/pgoutput.h"

namespace pgweir::pipeline {

namespace {
constexpr Microseconds kWriteWait{100'000};  // looks for stop() and marks this often
}  // namespace

void Capture::write() {
  Status status;
  while (status.ok() && !failed_) {
    auto item = queue_.pop_for(kWriteWait);
    if (!item) {
      if (queue_.closed()) break;
      // Before the first session the log is the snapshot's.
      if (!builder_ || discarding_) continue;
      Item nothing;
      status = write_item(nothing);
      if (status.ok()) status = sync();
      if (status.ok()) status = prune();
      continue;
    }
    // Everything that has arrived shares one sync, up to a limit.
    do {
      status = write_item(*item);
      if (!status.ok() && status.error().code == Code::kUnavailable) {
        end_session(status.error());
        status = {};
      }
      spare_gulps_.give(std::move(item->gulp));
      if (!status.ok() || unsynced_bytes_ >= options_.sync_bytes_max) break;
      item = queue_.pop_for(Microseconds(0));
    } while (item);
    if (status.ok()) status = sync();
    if (status.ok()) status = prune();
  }
  if (!status.ok() && status.error().code != Code::kCancelled) fail(status.error());
}

Status Capture::write_item(Item& item) {
  if (item.starts_session) {
    described_publications_ = std::move(item.publications);
    look_at_history_ = std::move(item.history);
    if (builder_) {
      earlier_changes_ += builder_->changes();
      earlier_transactions_ += builder_->transactions();
    }
    TRY(sync());  // the builder goes on from what the log has
    TRY(begin_schemas());
    const auto describe = [this](std::string_view relation) {
      return describe_relation(relation, Tell::kNews);
    };
    builder_ = std::make_unique<FrameBuilder>(clock_, epoch_, log_.durable_position(), describe);
    // What had not committed comes again.
    streamed_ = std::make_unique<StreamedTransactions>(
        log_, clock_, [this](const auto& step) { return with_room(step); }, options_.streamed);
    builder_->take_streamed(
        *streamed_,
        {.drain = [this](auto& out) { return drain(out); },
         .describe = [this](auto relation) { return describe_relation(relation, Tell::kAlways); },
         .adopted = [this] { return book_.load(log_); },
         .unclear = [this](model::Lsn end) { whole_until_lsn_ = model::value(end); }});
    pending_mark_ = {};
    discarding_ = false;
    return {};
  }
  if (discarding_) return {};
  TRY(look_at_history_->look(item.gulp));
  std::vector<log::Frame> frames;
  // Tables that are read have their rows put between two transactions.
  std::size_t next = 0;
  while (true) {
    TRY_ASSIGN(next, builder_->add_until(item.gulp, next, reads_.waits_for(), frames));
    builder_->flush(frames);
    if (next == item.gulp.messages.size()) break;
    TRY(append(frames));
    frames.clear();
    TRY(place_reads(builder_->end_lsn()));
  }
  if (item.gulp.keepalive_lsn > pending_mark_) pending_mark_ = item.gulp.keepalive_lsn;
  TRY(append(frames));
  frames.clear();
  // In front of a mark, since nothing can stand in front of its position any more.
  TRY(place_reads(std::max(builder_->end_lsn(), pending_mark_)));
  if (item.gulp.ddl) schema_watch_.look_now();
  TRY(place_look(frames));
  const bool due = clock_.steady() - last_mark_time_ >= options_.mark_interval;
  if (due && !builder_->in_transaction() &&
      pending_mark_ >
          std::max(last_mark_,
                   model::Lsn{std::max(durable_lsn_.load(), model::value(builder_->end_lsn()))})) {
    frames.push_back(builder_->mark(pending_mark_));
    last_mark_ = pending_mark_;
    last_mark_time_ = clock_.steady();
  }
  {
    MutexLock lock(mutex_);
    status_.received_lsn = std::max(status_.received_lsn, builder_->end_lsn());
    status_.server_lsn = std::max({status_.server_lsn, pending_mark_, status_.received_lsn});
    if (model::value(builder_->commit_time()) != 0)
      status_.last_commit_time = builder_->commit_time();
    status_.changes = earlier_changes_ + builder_->changes();
    status_.transactions = earlier_transactions_ + builder_->transactions();
    status_.bytes += item.gulp.arena.size();
  }
  TRY(append(frames));
  const bool whole = whole_until_lsn_ != 0 && model::value(builder_->end_lsn()) >= whole_until_lsn_;
  if (!whole) return {};
  whole_until_lsn_ = 0;
  return error(Code::kUnavailable,
               "the stream is begun anew, now that all of it may come in parts");
}

// `boundary`: all that ends in front of it was taken.
Status Capture::place_reads(model::Lsn boundary) {
  if (reads_.waits_for() > boundary || builder_->in_transaction()) return {};
  const auto at = builder_->before(boundary);
  if (!at) return {};
  TRY(sync());
  std::vector<log::Frame> frames;
  reads_.place(*at, boundary, frames);
  if (!frames.empty()) {
    const model::Position last = frames.back().header.last;
    TRY(append(frames));
    builder_->placed(last);
    TRY(sync());
  }
  reads_.placed();
  return {};
}

Status Capture::append_one(log::Frame frame) {
  const auto shared = std::make_shared<const log::Frame>(std::move(frame));
  return with_room([&] { return log_.append(shared); });
}

Status Capture::append(std::vector<log::Frame>& frames) {
  for (log::Frame& frame : frames) {
    unsynced_bytes_ += frame.payload.size() + 1;
    TRY(append_one(std::move(frame)));
  }
  return {};
}

// In the middle of a transaction that is appended: what the frames took is free again.
Status Capture::drain(std::vector<log::Frame>& frames) {
  TRY(append(frames));
  frames.clear();
  return unsynced_bytes_ >= options_.sync_bytes_max ? sync() : Status();
}

Status Capture::sync() {
  unsynced_bytes_ = 0;
  model::Lsn durable{};
  TRY(with_room([&]() -> Status {
    TRY_ASSIGN(durable, log_.sync());
    return {};
  }));
  durable_lsn_ = std::max(durable_lsn_.load(), model::value(durable));
  if (builder_) reads_.follow();
  return {};
}

Status Capture::prune() {
  if (clock_.steady() - last_prune_ < options_.prune_interval) return {};
  last_prune_ = clock_.steady();
  model::Position least = options_.followers_min();
  if (const auto ours = reads_.log_position()) least = std::min(least, *ours);
  return log_.prune(options_.retention, least);
}

Status Capture::with_room(const std::function<Status()>& step) {
  Status status = step();
  if (status.ok() || status.error().code != Code::kNoSpace) return status;
  const CaptureState before = this->status().state;
  logger_.warning("the disk is full: capture waits. {}", status.error().text());
  set_state(CaptureState::kWaitingForDisk,
            "The disk is full. Nothing is lost: PostgreSQL keeps the changes until there is room");
  while (!status.ok() && status.error().code == Code::kNoSpace) {
    if (!wait(options_.disk_retry_interval)) return error(Code::kCancelled, "asked to stop");
    status = step();
  }
  if (status.ok()) {
    logger_.info("there is room again: capture goes on");
    set_state(before);
  }
  return status;
}

// A server that stops lets nobody in any more, and waits until we have confirmed what it sends: to
// wait for its catalog would hold it up. Whatever else keeps us out, or was dropped while we
// looked, a new session begins with it.
Error Capture::without_catalog(Error failure) {
  const bool passes = failure.code == Code::kTimeout || failure.code == Code::kCheckFailed ||
                      failure.code == Code::kNotFound;
  if (passes) failure.code = Code::kUnavailable;
  return failure;
}

void Capture::end_session(const Error& why) {
  discarding_ = true;
  {
    MutexLock lock(mutex_);
    session_failure_ = why;
  }
  session_over_ = true;
}

}  // namespace pgweir::pipeline
