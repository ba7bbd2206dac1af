// Capture's writer: what has arrived becomes durable in the log.
#include <fmt/core.h>

#include <algorithm>

#include "pipeline/capture.h"
#include "postgres/pgoutput.h"

namespace pgweir::pipeline {

using postgres::ConnectionKind;

namespace {
constexpr Microseconds kWriteWait{100'000};  // looks for stop() and marks this often
}  // namespace

void Capture::write() {
  Status status;
  while (status.ok() && !failed_) {
    auto item = queue_.pop_for(kWriteWait);
    if (!item) {
      if (queue_.closed()) break;
      if (!builder_) continue;  // the first session has not begun: the log is the snapshot's
      Item nothing;
      status = write_item(nothing);
      if (status.ok()) status = sync();
      if (status.ok()) status = prune();
      continue;
    }
    // Everything that has arrived shares one sync, up to a limit.
    do {
      status = write_item(*item);
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
    if (builder_) {
      earlier_changes_ += builder_->changes();
      earlier_transactions_ += builder_->transactions();
    }
    TRY(sync());  // the builder goes on from what the log has
    const auto describe = [this](std::string_view relation) { return describe_relation(relation); };
    builder_ = std::make_unique<FrameBuilder>(clock_, epoch_, log_.durable_position(), describe);
    pending_mark_ = {};
    return {};
  }
  std::vector<log::Frame> frames;
  TRY(builder_->add(item.gulp, frames));
  builder_->flush(frames);
  if (item.gulp.keepalive_lsn > pending_mark_) pending_mark_ = item.gulp.keepalive_lsn;
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
  return append(frames);
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

Status Capture::sync() {
  unsynced_bytes_ = 0;
  model::Lsn durable{};
  TRY(with_room([&]() -> Status {
    TRY_ASSIGN(durable, log_.sync());
    return {};
  }));
  durable_lsn_ = std::max(durable_lsn_.load(), model::value(durable));
  return {};
}

Status Capture::prune() {
  if (clock_.steady() - last_prune_ < options_.prune_interval) return {};
  last_prune_ = clock_.steady();
  return log_.prune(options_.retention, options_.followers_min());
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

// The Relation message with the catalog's facts. The catalog may already know a later shape of the
// table than the message: the message decides, the catalog only adds.
Result<std::string> Capture::describe_relation(std::string_view relation) {
  TRY_ASSIGN(model::Table table, postgres::parse_relation(relation));
  Milliseconds backoff = options_.backoff_min;
  while (true) {
    if (!catalog_ || !catalog_->is_open()) {
      if (auto opened = connect(ConnectionKind::kOrdinary); opened.ok())
        catalog_.emplace(std::move(opened).value());
    }
    if (catalog_ && catalog_->is_open()) {
      const model::Oid ids[] = {table.id};
      auto facts = postgres::read_tables(*catalog_, ids, publications_);
      if (facts.ok()) {
        if (!facts->empty()) table = postgres::with_facts(std::move(table), facts->front());
        return postgres::encode_schema({std::string(relation), std::move(table)});
      }
      const Code code = facts.error().code;
      if (code != Code::kUnavailable && code != Code::kTimeout) return facts.error();
    }
    if (!wait(backoff)) return error(Code::kCancelled, "asked to stop");
    backoff = std::min(backoff * 2, options_.backoff_max);
  }
}

}  // namespace pgweir::pipeline
