#include "log/folder_cursor.h"

#include <fmt/core.h>

#include <map>

namespace pgweir::log {

Result<std::unique_ptr<FolderCursor>> FolderCursor::open(io::Fs& fs, const std::string& directory,
                                                         const model::Position& after,
                                                         std::uint32_t frame_bytes_max) {
  std::unique_ptr<FolderCursor> out(new FolderCursor(fs, directory, after, frame_bytes_max));
  TRY_ASSIGN(out->files_, list_segments(fs, directory));
  if (out->files_.empty())
    return error(Code::kNotFound, fmt::format("there is no log in {}", directory));
  TRY(out->start());
  return out;
}

// Begins with the last segment that nothing wanted stands in front of.
Status FolderCursor::start() {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    auto opened = SegmentReader::open(fs_, files_[i].path, frame_bytes_max_);
    // A last segment without a whole header is being made.
    const bool unmade =
        !opened.ok() && opened.error().code == Code::kCorruption && i > 0 && i + 1 == files_.size();
    if (unmade) {
      files_.pop_back();
      break;
    }
    TRY_ASSIGN(auto reader, std::move(opened));
    const model::Position& before = reader->header().before.last;
    if (i == 0) begin_ = before;
    if (i > 0 && before > after_) break;
    reader_ = std::move(reader);
    next_file_ = i + 1;
  }
  // Of the schemas in front of the first wanted frame, the newest of each key, in the log's order.
  std::map<std::uint64_t, std::pair<std::uint64_t, FramePtr>> newest;
  std::uint64_t order = 0;
  FramePtr first;
  std::uint64_t transaction_offset = 0, transaction_frame = 0;  // of kind kTransaction
  model::Position transaction_at;
  StoredFrame stored;
  while (first == nullptr) {
    TRY_ASSIGN(const bool more, next_stored(stored));
    if (!more) break;
    const bool wanted = !stored.repeated && stored.header.last > after_;
    const model::Position& last = stored.header.last;
    if (wanted && transaction_offset != 0 && last.lsn == transaction_at.lsn &&
        last.epoch == transaction_at.epoch) {
      reader_->seek(transaction_offset, transaction_frame);
      break;
    }
    if (!wanted && stored.header.kind == FrameKind::kTransaction && stored.header.xid != 0) {
      transaction_offset = reader_->frame_offset();
      transaction_frame = stored.number;
      transaction_at = last;
    }
    if (!wanted && stored.header.kind != FrameKind::kSchema) continue;
    TRY_ASSIGN(FramePtr frame, load(stored));
    if (wanted) {
      first = std::move(frame);
    } else {
      newest[stored.header.key] = {order++, std::move(frame)};
    }
  }
  std::map<std::uint64_t, FramePtr> sorted;
  for (auto& [key, entry] : newest) sorted[entry.first] = std::move(entry.second);
  for (auto& [at, schema] : sorted) ready_.push_back(std::move(schema));
  if (first != nullptr) ready_.push_back(std::move(first));
  return {};
}

// Segments that were made since the folder was listed.
Result<bool> FolderCursor::find_more() {
  TRY_ASSIGN(auto files, list_segments(fs_, directory_));
  std::erase_if(files, [&](const SegmentFile& file) { return file.path <= files_.back().path; });
  files_.insert(files_.end(), files.begin(), files.end());
  return !files.empty();
}

// False at the end of the log.
Result<bool> FolderCursor::next_stored(StoredFrame& stored) {
  while (!ended_) {
    const auto more = reader_->next(stored);
    if (more.ok() && *more) return true;
    if (!is_last()) {
      if (!more.ok()) return more.error();
      auto opened = SegmentReader::open(fs_, files_[next_file_].path, frame_bytes_max_);
      if (!opened.ok() && opened.error().code == Code::kCorruption &&
          next_file_ + 1 == files_.size()) {
        ended_ = true;
        break;
      }
      TRY_ASSIGN(reader_, std::move(opened));
      ++next_file_;
      continue;
    }
    // Then this one may have more, too.
    TRY_ASSIGN(const bool grown, find_more());
    if (grown) continue;
    ended_ = true;
    if (more.ok()) break;
    TRY_ASSIGN(const bool torn, reader_->is_torn_at(reader_->frame_offset()));
    if (!torn) return more.error();
  }
  return false;
}

Result<FramePtr> FolderCursor::load(const StoredFrame& stored) {
  auto frame = std::make_shared<Frame>();
  frame->header = stored.header;
  const Status loaded = reader_->load(stored, frame->payload);
  if (!loaded.ok() && is_last()) {
    TRY_ASSIGN(const bool torn, reader_->is_torn_at(reader_->frame_offset()));
    if (torn) {
      ended_ = true;
      return FramePtr();
    }
  }
  if (!loaded.ok()) return loaded.error();
  return FramePtr(std::move(frame));
}

Result<FramePtr> FolderCursor::next(Microseconds) {
  if (!ready_.empty()) {
    FramePtr frame = std::move(ready_.front());
    ready_.pop_front();
    return frame;
  }
  StoredFrame stored;
  while (true) {
    TRY_ASSIGN(const bool more, next_stored(stored));
    if (!more) return FramePtr();
    if (stored.repeated) {
      TRY(reader_->check(stored));
      continue;
    }
    return load(stored);
  }
}

}  // namespace pgweir::log
