#include "log/cursor.h"

#include <fmt/core.h>

#include <map>

namespace pgweir::log {

Result<std::unique_ptr<Log::Cursor>> FileCursor::create(io::Fs& fs, Published& published,
                                                        const model::Position& after,
                                                        const std::string& identity,
                                                        std::uint32_t frame_bytes_max) {
  std::unique_ptr<FileCursor> cursor(new FileCursor(fs, published, identity, frame_bytes_max));
  TRY(cursor->start(after));
  return std::unique_ptr<Log::Cursor>(std::move(cursor));
}

Status FileCursor::start(const model::Position& after) {
  wakes_seen_ = published_.wakes();
  TRY_ASSIGN(const auto start, published_.find_start(after));
  const auto& [found, frame_end] = start;
  TRY(open_segment(found.path));
  reader_->set_limit(found.bytes);

  // The newest of each key, in the order of the log.
  std::map<std::uint64_t, std::pair<std::uint64_t, FramePtr>> newest;
  std::uint64_t order = 0;
  const SegmentHeader& header = reader_->header();
  next_frame_ = header.before.next_frame;
  FramePlace transaction;  // that begins in this segment, of kind kTransaction
  model::Position transaction_at;
  StoredFrame stored;
  while (true) {
    if (next_frame_ == frame_end) break;
    TRY_ASSIGN(const bool more, reader_->next(stored));
    if (!more) break;
    if (!stored.repeated) {
      if (stored.header.last > after) {
        const model::Position& last = stored.header.last;
        const bool inside = transaction.offset != 0 && last.lsn == transaction_at.lsn &&
                            last.epoch == transaction_at.epoch;
        if (inside) next_frame_ = transaction.frame;
        reader_->seek(inside ? transaction.offset : reader_->frame_offset(), next_frame_);
        break;
      }
      if (stored.header.kind == FrameKind::kTransaction) {
        if (stored.header.xid != 0) transaction = {stored.number, reader_->frame_offset()};
        transaction_at = stored.header.last;
        // Nothing of the rows is wanted: they have no schemas among them either.
        if (header.adopted && after >= header.after.last && next_frame_ < header.tail_frame) {
          next_frame_ = header.tail_frame;
          reader_->seek(header.tail_offset, header.tail_frame);
          continue;
        }
      }
      ++next_frame_;
    }
    if (stored.header.kind != FrameKind::kSchema) continue;
    TRY_ASSIGN(FramePtr schema, load(stored));
    newest[stored.header.key] = {order++, std::move(schema)};
  }
  std::map<std::uint64_t, FramePtr> sorted;
  for (auto& [key, entry] : newest) sorted[entry.first] = std::move(entry.second);
  for (auto& [at, schema] : sorted) schemas_.push_back(std::move(schema));
  return {};
}

Result<FramePtr> FileCursor::next(Microseconds timeout) {
  if (!schemas_.empty()) {
    FramePtr schema = std::move(schemas_.front());
    schemas_.pop_front();
    return schema;
  }
  TRY_ASSIGN(auto found, published_.find(next_frame_, timeout, wakes_seen_));
  if (!found.frame && !found.path.empty()) return next_from_file(found);
  if (found.frame) {
    ++next_frame_;
    reader_.reset();
  }
  return std::move(found.frame);
}

Status FileCursor::open_segment(const std::string& path) {
  auto reader = SegmentReader::open(fs_, path, frame_bytes_max_);
  // Between finding the segment and opening it, retention may take it away.
  if (!reader.ok() && reader.error().code == Code::kNotFound)
    return error(Code::kNotFound, fmt::format("log segment '{}' is no longer there", path),
                 fmt::format("frame {} was in it", next_frame_), kLostHint);
  if (!reader.ok()) return reader.error();
  if (reader.value()->header().identity != identity_)
    return damage_error(path, 0, "it belongs to another log");
  reader_ = std::move(reader).value();
  return {};
}

Result<FramePtr> FileCursor::next_from_file(const Published::Found& found) {
  if (!reader_ || reader_->path() != found.path) {
    TRY(open_segment(found.path));
    if (found.place.offset != 0) reader_->seek(found.place.offset, found.place.frame);
  }
  reader_->set_limit(found.bytes);
  auto frame = read_frame();
  if (frame.ok()) {
    ++next_frame_;
  } else {
    // So that the next call meets the same fault and does not go on behind it.
    reader_.reset();
  }
  return frame;
}

Result<FramePtr> FileCursor::read_frame() {
  StoredFrame stored;
  while (true) {
    TRY_ASSIGN(const bool more, reader_->next(stored));
    if (!more)
      return damage_error(reader_->path(), reader_->frame_offset(),
                          fmt::format("it ends before frame {}", next_frame_));
    if (!stored.repeated && stored.number == next_frame_) return load(stored);
    if (stored.repeated) TRY(reader_->check(stored));
  }
}

Result<FramePtr> FileCursor::load(const StoredFrame& stored) {
  auto frame = std::make_shared<Frame>();
  frame->header = stored.header;
  TRY(reader_->load(stored, frame->payload));
  return FramePtr(std::move(frame));
}

}  // namespace pgweir::log
