#include "pipeline/batch_reader.h"

#include <chrono>

#include "postgres/catalog.h"
#include "postgres/stream_tracker.h"

namespace pgweir::pipeline {

BatchReader::BatchReader(std::unique_ptr<log::Log::Cursor> cursor, const model::Position& after,
                         const BatchReaderOptions& options)
    : cursor_(std::move(cursor)),
      options_(options),
      after_(after),
      decoder_(after),
      epoch_(after.epoch) {}

Result<std::unique_ptr<BatchReader>> BatchReader::open(log::Log& log, const model::Position& after,
                                                       const BatchReaderOptions& options) {
  TRY_ASSIGN(auto cursor, log.read(after));
  return std::unique_ptr<BatchReader>(new BatchReader(std::move(cursor), after, options));
}

Result<LogEvent> BatchReader::next(Microseconds timeout) {
  const auto now = [] { return std::chrono::steady_clock::now(); };
  auto deadline = now() + timeout;
  while (ready_.empty()) {
    const auto left = std::chrono::duration_cast<Microseconds>(deadline - now());
    TRY_ASSIGN(const log::FramePtr frame, cursor_->next(std::max(left, Microseconds(0))));
    if (!frame) {
      close_batch();
      break;
    }
    const bool first = decoder_.batch_empty();
    TRY(take_frame(frame));
    if (batch_full()) close_batch();
    // From here on only for more of the same batch.
    if (first && !decoder_.batch_empty()) deadline = now() + options_.batch_wait;
  }
  if (ready_.empty()) return LogEvent{};
  LogEvent event = std::move(ready_.front());
  ready_.pop_front();
  return event;
}

bool BatchReader::batch_full() const {
  return decoder_.change_count() >= options_.batch_rows_max ||
         decoder_.byte_count() >= options_.batch_bytes_max;
}

void BatchReader::close_batch() {
  if (decoder_.batch_empty()) return;
  LogEvent event;
  event.kind = LogEvent::Kind::kBatch;
  event.batch = std::make_shared<const model::Batch>(decoder_.take());
  event.position = event.batch->to;
  ready_.push_back(std::move(event));
}

Status BatchReader::take_frame(const log::FramePtr& frame) {
  const log::FrameHeader& header = frame->header;
  if (header.kind != log::FrameKind::kSchema && header.last.epoch > epoch_) {
    close_batch();
    epoch_ = header.last.epoch;
    decoder_.start_epoch(epoch_);
  }
  LogEvent event;
  event.position = header.last;
  event.end_lsn = header.end_lsn;
  switch (header.kind) {
    case log::FrameKind::kChanges:
      return take_changes(frame);
    case log::FrameKind::kSnapshotRows:
      return take_snapshot_rows(frame);
    case log::FrameKind::kSchema:
      return take_schema(*frame);
    case log::FrameKind::kSnapshotBegin:
      close_batch();
      event.kind = LogEvent::Kind::kSnapshotBegin;
      break;
    case log::FrameKind::kSnapshotEnd:
      if (!in_snapshot_)
        TRY(decoder_.begin_snapshot(header.last.lsn, model::Timestamp{header.time_us},
                                    header.last.sequence));
      // The rows first: a follower that dies between them and the end must meet the end again.
      close_batch();
      TRY(decoder_.end_snapshot());
      in_snapshot_ = false;
      event.kind = LogEvent::Kind::kSnapshotEnd;
      event.batch = std::make_shared<const model::Batch>(decoder_.take());
      break;
    case log::FrameKind::kMark:
      close_batch();
      event.kind = LogEvent::Kind::kMark;
      break;
  }
  ready_.push_back(std::move(event));
  return {};
}

Status BatchReader::take_changes(const log::FramePtr& frame) {
  log::RecordReader records(frame->payload);
  std::string_view record;
  decoder_.keep_alive(frame);
  bool first = true;
  while (records.next(record)) {
    if (first && frame->header.first.sequence > 1) {
      // The frame goes on inside a transaction; its first record is a copy of the Begin message.
      first = false;
      if (decoder_.in_transaction()) continue;
      postgres::StreamTracker begin(epoch_);
      TRY_ASSIGN(const auto kind, begin.advance(record));
      if (kind != postgres::MessageKind::kBegin)
        return error(Code::kCorruption, "a log frame inside a transaction lacks the Begin message");
      decoder_.resume(
          {begin.xid(), begin.commit_lsn(), begin.commit_time(), frame->header.first.sequence});
      continue;
    }
    first = false;
    TRY(decoder_.feed(record));
  }
  if (!records.ok()) return error(Code::kCorruption, "a log frame's records are cut off");
  return {};
}

Status BatchReader::take_snapshot_rows(const log::FramePtr& frame) {
  if (!in_snapshot_) {
    TRY(decoder_.begin_snapshot(frame->header.first.lsn, model::Timestamp{frame->header.time_us},
                                frame->header.first.sequence));
    in_snapshot_ = true;
  }
  log::RecordReader records(frame->payload);
  std::string_view lines;
  decoder_.keep_alive(frame);
  while (records.next(lines)) {
    TRY(decoder_.feed_copy_rows(model::Oid{static_cast<std::uint32_t>(frame->header.key)}, lines));
  }
  if (!records.ok()) return error(Code::kCorruption, "a log frame's records are cut off");
  return {};
}

Status BatchReader::take_schema(const log::Frame& frame) {
  log::RecordReader records(frame.payload);
  std::string_view record;
  while (records.next(record)) {
    TRY_ASSIGN(postgres::SchemaRecord schema, postgres::decode_schema(record));
    LogEvent event;
    event.kind = LogEvent::Kind::kTable;
    event.position = frame.header.last;
    event.table = std::make_shared<const model::Table>(std::move(schema.table));
    const auto known = decoder_.table(event.table->id);
    if (known && *known == *event.table) continue;
    close_batch();
    decoder_.add_table(event.table);
    ready_.push_back(std::move(event));
  }
  if (!records.ok()) return error(Code::kCorruption, "a log frame's records are cut off");
  return {};
}

}  // namespace pgweir::pipeline
