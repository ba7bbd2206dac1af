#include "pipeline/batch_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "postgres/catalog.h"
#include "postgres/stream_tracker.h"

namespace pgweir::pipeline {

BatchReader::BatchReader(std::unique_ptr<log::Log::Cursor> cursor, const model::Position& after,
                         const BatchReaderOptions& options)
    : cursor_(std::move(cursor)),
      options_(options),
      after_(after),
      decoder_(after),
      epoch_(after.epoch),
      spares_(std::make_shared<Spares<model::Batch>>(1, options.batch_bytes_max)) {}

Result<std::unique_ptr<BatchReader>> BatchReader::open(log::Log& log, const model::Position& after,
                                                       const BatchReaderOptions& options) {
  TRY_ASSIGN(auto cursor, log.read(after));
  return std::unique_ptr<BatchReader>(new BatchReader(std::move(cursor), after, options));
}

std::unique_ptr<BatchReader> BatchReader::over(std::unique_ptr<log::Log::Cursor> cursor,
                                               const model::Position& after,
                                               const BatchReaderOptions& options) {
  return std::unique_ptr<BatchReader>(new BatchReader(std::move(cursor), after, options));
}

Result<LogEvent> BatchReader::next(Microseconds timeout) {
  const auto now = [] { return Clock::now(); };
  auto deadline = now() + timeout;
  if (std::exchange(gave_batch_, false)) rests_until_ = now() + options_.batch_wait;
  // Not before: until now the last batch may have been read.
  if (decoder_.batch_empty()) decoder_.reuse(spares_->take());
  while (ready_.empty()) {
    const auto left = std::chrono::duration_cast<Microseconds>(deadline - now());
    TRY_ASSIGN(const log::FramePtr frame, cursor_->next(std::max(left, Microseconds(0))));
    if (!frame) {
      close_batch();
      break;
    }
    const bool first = batch_empty();
    TRY(take_frame(frame));
    if (batch_full()) close_batch();
    // From here on only for more of the same batch.
    if (first && !batch_empty()) deadline = std::max(now(), rests_until_);
  }
  if (ready_.empty()) return LogEvent{};
  LogEvent event = std::move(ready_.front());
  ready_.pop_front();
  gave_batch_ = event.rows != nullptr || (event.batch != nullptr && !event.batch->changes.empty());
  return event;
}

bool BatchReader::batch_full() const {
  return decoder_.change_count() >= options_.batch_rows_max ||
         decoder_.byte_count() >= options_.batch_bytes_max ||
         packed_bytes_ >= options_.batch_bytes_max;
}

void BatchReader::close_batch() {
  LogEvent event;
  if (packed_ != nullptr) {
    event.kind = LogEvent::Kind::kRows;
    event.position = packed_->to;
    event.rows = std::move(packed_);
    packed_bytes_ = 0;
    ready_.push_back(event);
  }
  if (decoder_.batch_empty()) return;
  event.kind = LogEvent::Kind::kBatch;
  event.batch = take_batch();
  event.position = event.batch->to;
  ready_.push_back(std::move(event));
}

model::BatchPtr BatchReader::take_batch() {
  const auto end = [spares = spares_](model::Batch* spent) {
    const std::unique_ptr<model::Batch> owned(spent);
    spares->give(std::move(*spent));
  };
  return std::shared_ptr<model::Batch>(std::make_unique<model::Batch>(decoder_.take()).release(),
                                       end);
}

Status BatchReader::take_frame(const log::FramePtr& frame) {
  const log::FrameHeader& header = frame->header;
  if (header.kind != log::FrameKind::kSchema && header.last.epoch > epoch_) {
    close_batch();
    // A transaction that the old epoch did not finish is not there.
    decoder_.abandon();
    epoch_ = header.last.epoch;
    decoder_.start_epoch(epoch_);
  }
  LogEvent event;
  event.position = header.last;
  event.end_lsn = header.end_lsn;
  switch (header.kind) {
    case log::FrameKind::kChanges:
      return take_changes(frame);
    case log::FrameKind::kTransaction:
      return take_transaction(*frame);
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
    case log::FrameKind::kReadRows:
      return take_read_rows(frame);
    case log::FrameKind::kReadBegin:
    case log::FrameKind::kReadEnd:
      return take_read_note(*frame);
    case log::FrameKind::kMark:
      close_batch();
      event.kind = LogEvent::Kind::kMark;
      break;
  }
  ready_.push_back(std::move(event));
  return {};
}

// A streamed transaction begins: its records are those of StreamedTransactions::adopt().
Status BatchReader::take_transaction(const log::Frame& frame) {
  if (frame.header.xid == 0) return {};  // a table's rows, each frame whole by itself
  log::RecordReader records(frame.payload);
  std::string_view begin_message, rolled_back, record;
  if (!records.next(begin_message) || !records.next(rolled_back))
    return error(Code::kCorruption, "a log frame's records are cut off");
  postgres::StreamTracker begin(epoch_);
  TRY_ASSIGN(const auto kind, begin.advance(begin_message));
  if (kind != postgres::MessageKind::kBegin || decoder_.in_transaction())
    return error(Code::kCorruption, "a streamed transaction in the log does not begin");
  TRY_ASSIGN(auto xids, postgres::XidSet::decode(rolled_back));
  streamed_tables_.clear();
  for (std::uint32_t i = 2; i + 1 < frame.header.record_count && records.next(record); ++i) {
    TRY_ASSIGN(postgres::SchemaRecord schema, postgres::decode_schema(record));
    streamed_tables_[schema.relation_message] = std::move(schema.table);
  }
  if (!records.ok()) return error(Code::kCorruption, "a log frame's records are cut off");
  decoder_.begin_streamed({begin.xid(), begin.commit_lsn(), begin.commit_time()}, std::move(xids));
  return {};
}

Status BatchReader::take_streamed(const log::FramePtr& frame) {
  log::RecordReader records(frame->payload);
  std::string_view record;
  decoder_.keep_alive(frame);
  while (records.next(record)) {
    if (!record.empty() && record[0] == 'R') {
      TRY(take_streamed_relation(record));
    } else {
      TRY(decoder_.feed_streamed(record));
    }
  }
  if (!records.ok()) return error(Code::kCorruption, "a log frame's records are cut off");
  return {};
}

// The table looks like this from here on, with the facts that the catalog had at the commit.
Status BatchReader::take_streamed_relation(std::string_view record) {
  TRY_ASSIGN(const std::string message, postgres::without_xid(record));
  if (decoder_.is_rolled_back(postgres::streamed_xid(record))) return {};
  const auto found = streamed_tables_.find(message);
  if (found == streamed_tables_.end())
    return error(Code::kCorruption, "a streamed transaction in the log lacks a table");
  const auto known = decoder_.table(found->second.id);
  if (known && *known == found->second) return {};
  close_batch();
  LogEvent event;
  event.kind = LogEvent::Kind::kTable;
  event.position = decoder_.position();
  event.table = std::make_shared<const model::Table>(found->second);
  decoder_.add_table(event.table);
  ready_.push_back(std::move(event));
  return {};
}

Status BatchReader::take_changes(const log::FramePtr& frame) {
  if (frame->header.xid != 0) return take_streamed(frame);
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

// What is taken in part already (by nobody but an earlier version) is decoded, from there on.
Status BatchReader::pack_snapshot_rows(const log::FramePtr& frame) {
  const log::FrameHeader& header = frame->header;
  if (header.last <= decoder_.position()) return {};
  const auto table = decoder_.table(model::Oid{static_cast<std::uint32_t>(header.key)});
  if (table == nullptr) {
    return error(Code::kCorruption, "snapshot rows do not fit here",
                 fmt::format("table {}: it is not known", header.key));
  }
  if (packed_ == nullptr) {
    packed_ = std::make_shared<model::RowBlocks>();
    packed_->from = decoder_.position();
  }
  packed_->to = header.last;
  packed_->time = model::Timestamp{header.time_us};
  packed_->arenas.push_back(frame);
  packed_bytes_ += frame->payload.size();
  log::RecordReader records(frame->payload);
  std::string_view lines;
  while (records.next(lines)) packed_->blocks.push_back({table, lines});
  if (!records.ok()) return error(Code::kCorruption, "a log frame's records are cut off");
  decoder_.skip_to(header.last);
  return {};
}

Status BatchReader::take_snapshot_rows(const log::FramePtr& frame) {
  const bool whole =
      frame->header.first > decoder_.position() || frame->header.last <= decoder_.position();
  if (options_.packs_snapshot_rows && !in_snapshot_ && whole) return pack_snapshot_rows(frame);
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

Status BatchReader::take_read_rows(const log::FramePtr& frame) {
  const log::FrameHeader& header = frame->header;
  TRY(decoder_.begin_read(header.first.lsn, model::Timestamp{header.time_us},
                          header.first.sequence));
  log::RecordReader records(frame->payload);
  std::string_view lines;
  decoder_.keep_alive(frame);
  while (records.next(lines))
    TRY(decoder_.feed_copy_rows(model::Oid{static_cast<std::uint32_t>(header.key)}, lines));
  if (!records.ok()) return error(Code::kCorruption, "a log frame's records are cut off");
  return decoder_.end_read(header.end_lsn);
}

Status BatchReader::take_read_note(const log::Frame& frame) {
  LogEvent event;
  event.kind = frame.header.kind == log::FrameKind::kReadBegin ? LogEvent::Kind::kReadBegin
                                                               : LogEvent::Kind::kReadEnd;
  event.position = frame.header.last;
  event.end_lsn = frame.header.end_lsn;
  log::RecordReader records(frame.payload);
  std::string_view schema, note;
  if (!records.next(schema) || !records.next(note))
    return error(Code::kCorruption, "a log frame's records are cut off");
  TRY_ASSIGN(postgres::SchemaRecord record, postgres::decode_schema(schema));
  TRY_ASSIGN(event.read, decode_read_note(note));
  event.table = std::make_shared<const model::Table>(std::move(record.table));
  close_batch();
  const auto known = decoder_.table(event.table->id);
  if (!known || !(*known == *event.table)) decoder_.add_table(event.table);
  ready_.push_back(std::move(event));
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
