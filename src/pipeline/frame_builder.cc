#include "pipeline/frame_builder.h"

#include "base/bytes.h"

namespace pgweir::pipeline {

using postgres::Gulp;
using postgres::MessageKind;

namespace {
// Bytes of the length in front of a message, in a gulp's arena and in a frame's payload alike.
constexpr std::size_t kLengthBytes = 4;
}  // namespace

FrameBuilder::FrameBuilder(const io::Clock& clock, std::uint32_t epoch, model::Position last,
                           DescribeTable describe, FrameBuilderOptions options)
    : clock_(clock),
      epoch_(epoch),
      options_(options),
      describe_(std::move(describe)),
      tracker_(epoch),
      last_(last) {}

Status FrameBuilder::add(const Gulp& gulp, std::vector<log::Frame>& out) {
  run_begin_ = run_end_ = 0;
  for (std::size_t i = 0; i < gulp.messages.size(); ++i) {
    const Gulp::Message& message = gulp.messages[i];
    const std::string_view bytes = gulp.message(i);
    const model::Position next = tracker_.next_position();
    TRY_ASSIGN(const MessageKind kind, tracker_.advance(bytes));
    if (kind == MessageKind::kRelation) {
      take_run(gulp);
      TRY(add_relation(bytes, message.start_lsn, out));
      continue;
    }
    if (kind == MessageKind::kBegin) {
      // Copied in front of the first record that follows, into whichever frame that goes.
      take_run(gulp);
      begin_.assign(bytes);
      begin_in_frame_ = false;
      drop_held();
      continue;
    }
    const bool moves = tracker_.position() >= next;  // a row change or a commit
    if (!moves) {
      // It has no position for a frame to end at, and goes with the record that follows.
      take_run(gulp);
      log::append_record(held_, bytes);
      ++held_count_;
      continue;
    }
    const model::Position at = tracker_.position();
    if (at <= last_) {  // in the log already
      take_run(gulp);
      drop_held();
      continue;
    }
    if (run_begin_ == run_end_) {
      start_frame(message, next);
      run_begin_ = message.offset - kLengthBytes;
    }
    run_end_ = message.offset + message.size;
    ++frame_.header.record_count;
    last_ = at;

    const std::size_t size = frame_.payload.size() + run_end_ - run_begin_;
    if (kind == MessageKind::kCommit) {
      ++transactions_;
      frame_.header.end_lsn = tracker_.end_lsn();
      if (size >= options_.frame_bytes_soft) {
        take_run(gulp);
        close_frame(out);
      }
    } else {
      changes_ += at.sequence - next.sequence + 1;
      if (size >= options_.frame_bytes_max) {
        take_run(gulp);
        close_frame(out);
      }
    }
  }
  take_run(gulp);
  return {};
}

// Makes the open frame ready for a record at `first`.
void FrameBuilder::start_frame(const Gulp::Message& message, const model::Position& first) {
  if (frame_.header.record_count == 0) {
    frame_.header.first = first;
    frame_.header.start_lsn = message.start_lsn;
  }
  if (!begin_in_frame_) {
    log::append_record(frame_.payload, begin_);
    ++frame_.header.record_count;
    begin_in_frame_ = true;
  }
  frame_.payload += held_;
  frame_.header.record_count += held_count_;
  drop_held();
}

void FrameBuilder::drop_held() {
  held_.clear();
  held_count_ = 0;
}

// One copy for many messages: a gulp's arena has the payload's format.
void FrameBuilder::take_run(const Gulp& gulp) {
  frame_.payload.append(gulp.arena, run_begin_, run_end_ - run_begin_);
  run_begin_ = run_end_ = 0;
}

void FrameBuilder::close_frame(std::vector<log::Frame>& out) {
  if (frame_.header.record_count == 0) return;
  frame_.header.kind = log::FrameKind::kChanges;
  frame_.header.last = last_;
  frame_.header.time_us = clock_.now_us();
  if (tracker_.in_transaction()) frame_.header.end_lsn = model::Lsn{};
  out.push_back(std::move(frame_));
  frame_ = {};
  begin_in_frame_ = false;
}

Status FrameBuilder::add_relation(std::string_view message, model::Lsn start_lsn,
                                  std::vector<log::Frame>& out) {
  TRY_ASSIGN(const std::string record, describe_(message));
  if (record.empty()) return {};
  close_frame(out);
  log::Frame frame;
  frame.header.kind = log::FrameKind::kSchema;
  frame.header.first = frame.header.last = last_;
  frame.header.start_lsn = start_lsn;
  frame.header.record_count = 1;
  frame.header.time_us = clock_.now_us();
  // A Relation message is its kind and then the table's OID.
  NetworkReader reader(message.substr(1));
  frame.header.key = reader.read<std::uint32_t>();
  log::append_record(frame.payload, record);
  out.push_back(std::move(frame));
  return {};
}

void FrameBuilder::flush(std::vector<log::Frame>& out) {
  if (!tracker_.in_transaction()) close_frame(out);
}

log::Frame FrameBuilder::mark(model::Lsn end_lsn) {
  PGWEIR_ASSERT(!tracker_.in_transaction(), "a mark inside a transaction would confirm half of it");
  last_ = {epoch_, end_lsn, 0};
  log::Frame frame;
  frame.header.kind = log::FrameKind::kMark;
  frame.header.first = frame.header.last = last_;
  frame.header.start_lsn = frame.header.end_lsn = end_lsn;
  frame.header.time_us = clock_.now_us();
  return frame;
}

}  // namespace pgweir::pipeline
