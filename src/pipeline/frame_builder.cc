#include "pipeline/frame_builder.h"

#include "base/bytes.h"

namespace pgweir::pipeline {

using postgres::Gulp;
using postgres::MessageKind;

namespace {
// Bytes of the length in front of a message, in a gulp's arena and in a frame's payload alike.
constexpr std::size_t kLengthBytes = 4;

// The OID that follows the kind of a Relation message and of a row's change.
std::uint32_t table_of(std::string_view message) {
  NetworkReader reader(message.substr(1));
  return reader.read<std::uint32_t>();
}
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
  TRY(add_until(gulp, 0, kNoStop, out));
  return {};
}

Result<std::size_t> FrameBuilder::add_until(const Gulp& gulp, std::size_t first,
                                            model::Lsn stop_lsn, std::vector<log::Frame>& out) {
  run_begin_ = run_end_ = 0;
  for (std::size_t i = first; i < gulp.messages.size(); ++i) {
    const Gulp::Message& message = gulp.messages[i];
    const std::string_view bytes = gulp.message(i);
    if (streamed_ != nullptr && streamed_->takes(bytes)) [[unlikely]] {
      take_run(gulp);
      if (bytes[0] != 'c' || streamed_->in_block()) {
        TRY(streamed_->take(bytes));
        continue;
      }
      TRY(commit_streamed(bytes, out));
      if (tracker_.end_lsn() >= stop_lsn) return i + 1;
      continue;
    }
    const model::Position next = tracker_.next_position();
    TRY_ASSIGN(const MessageKind kind, tracker_.advance(bytes));
    if (kind == MessageKind::kRelation) {
      take_run(gulp);
      const std::uint32_t table = table_of(bytes);
      if (next <= last_) {
        repeated_[table] = bytes;
        continue;
      }
      repeated_.erase(table);
      aside_.erase(table);
      not_aside_ = 0;
      TRY(add_relation(bytes, message.start_lsn, out));
      continue;
    }
    if (kind == MessageKind::kBegin) {
      // Copied in front of the first record that follows, into whichever frame that goes.
      take_run(gulp);
      begin_.assign(bytes);
      origin_.clear();
      begin_in_frame_ = false;
      drop_held();
      continue;
    }
    if (kind == MessageKind::kOrigin && tracker_.in_transaction() && !begin_in_frame_) {
      origin_.assign(bytes);  // with the Begin message, in front of every part
      continue;
    }
    const bool moves = tracker_.position() >= next;  // a row change, a message or a commit
    if (kind == MessageKind::kLogical && !tracker_.in_transaction()) {
      take_run(gulp);
      TRY_ASSIGN(const bool taken, add_lone_message(gulp, bytes, out));
      if (taken && tracker_.end_lsn() >= stop_lsn) return i + 1;
      continue;
    }
    if (!moves) {
      // It has no position for a frame to end at, and goes with the record that follows.
      take_run(gulp);
      log::append_record(held_, bytes);
      ++held_count_;
      continue;
    }
    const model::Position at = tracker_.position();
    const bool stops = kind == MessageKind::kCommit && tracker_.end_lsn() >= stop_lsn;
    if (at <= last_) {  // in the log already
      take_run(gulp);
      drop_held();
      if (stops) return i + 1;
      continue;
    }
    if (!repeated_.empty()) TRY(add_repeated(gulp, message, bytes, out));
    if (!aside_.empty()) TRY(add_aside(gulp, message, bytes, out));
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
      if (stops) {
        take_run(gulp);
        return i + 1;
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
  return gulp.messages.size();
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
    if (!origin_.empty()) {
      log::append_record(frame_.payload, origin_);
      ++frame_.header.record_count;
    }
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

// The Relation messages that a new record needs, of those that came again. A Truncate, which may
// name several tables, needs all.
Status FrameBuilder::add_repeated(const Gulp& gulp, const Gulp::Message& message,
                                  std::string_view bytes, std::vector<log::Frame>& out) {
  const std::uint32_t table = table_of(bytes);
  const char kind = bytes[0];
  if (kind != 'I' && kind != 'U' && kind != 'D' && kind != 'T') return {};
  for (auto each = repeated_.begin(); each != repeated_.end();) {
    if (kind != 'T' && each->first != table) {
      ++each;
      continue;
    }
    take_run(gulp);
    TRY(add_relation(each->second, message.start_lsn, out));
    each = repeated_.erase(each);
  }
  return {};
}

// The same for tables that were set aside.
Status FrameBuilder::add_aside(const Gulp& gulp, const Gulp::Message& message,
                               std::string_view bytes, std::vector<log::Frame>& out) {
  const char kind = bytes[0];
  if (kind != 'I' && kind != 'U' && kind != 'D' && kind != 'T') return {};
  // A Truncate has the number of its tables first, then a byte and their OIDs.
  const std::uint32_t first = table_of(bytes);
  if (kind != 'T' && first == not_aside_) return {};
  not_aside_ = kind == 'T' ? 0 : first;
  const std::size_t most = kind == 'T' ? (std::max<std::size_t>(bytes.size(), 6) - 6) / 4 : 1;
  for (std::size_t i = 0; i < most; ++i) {
    const std::uint32_t table = kind == 'T' ? table_of(bytes.substr(5 + 4 * i)) : first;
    const auto found = aside_.find(table);
    if (found == aside_.end()) continue;
    take_run(gulp);
    TRY_ASSIGN(const std::string record, with_.describe(found->second));
    place_schema(model::Oid{table}, record, message.start_lsn, out);
    aside_.erase(found);
  }
  return {};
}

Status FrameBuilder::add_relation(std::string_view message, model::Lsn start_lsn,
                                  std::vector<log::Frame>& out) {
  TRY_ASSIGN(const std::string record, describe_(message));
  if (!record.empty()) place_schema(model::Oid{table_of(message)}, record, start_lsn, out);
  return {};
}

void FrameBuilder::place_schema(model::Oid table, std::string_view record, model::Lsn start_lsn,
                                std::vector<log::Frame>& out) {
  close_frame(out);
  log::Frame frame;
  frame.header.kind = log::FrameKind::kSchema;
  frame.header.first = frame.header.last = last_;
  frame.header.start_lsn = start_lsn;
  frame.header.record_count = 1;
  frame.header.time_us = clock_.now_us();
  frame.header.key = model::value(table);
  log::append_record(frame.payload, record);
  out.push_back(std::move(frame));
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

std::optional<model::Position> FrameBuilder::before(model::Lsn boundary) const {
  PGWEIR_ASSERT(!tracker_.in_transaction() && frame_.header.record_count == 0,
                "others' frames stand between two transactions");
  if (model::value(boundary) == 0) return std::nullopt;
  model::Position at{epoch_, model::Lsn{model::value(boundary) - 1}, 0};
  if (last_.epoch == epoch_ && last_.lsn == at.lsn) at.sequence = last_.sequence;
  if (at < last_) return std::nullopt;
  return at;
}

}  // namespace pgweir::pipeline
