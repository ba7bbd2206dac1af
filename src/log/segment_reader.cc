#include "log/segment_reader.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::log {
namespace {

constexpr std::size_t kWindowBytes = 128 * 1024;
// Opening a log reads every segment's header, and no more of most.
constexpr std::size_t kFirstWindowBytes = 4096;
// What a disk writes or loses as a whole.
constexpr std::uint64_t kSectorBytes = 512;

}  // namespace

Error damage_error(const std::string& path, std::uint64_t offset, const std::string& what) {
  return error(Code::kCorruption,
               fmt::format("log segment '{}' is damaged at offset {}", path, offset), what,
               "Restore the file from a copy, or read the source anew into another data folder");
}

Result<std::unique_ptr<SegmentReader>> SegmentReader::open(io::Fs& fs, std::string path,
                                                           std::uint32_t frame_bytes_max) {
  TRY_ASSIGN(auto file, fs.open_read(path));
  std::unique_ptr<SegmentReader> reader(
      new SegmentReader(std::move(file), std::move(path), frame_bytes_max));
  TRY(reader->file_->read_at(0, kFirstWindowBytes, reader->window_));
  auto header = decode_segment_header(reader->window_);
  if (!header.ok()) {
    if (header.error().code == Code::kCorruption) return reader->damage(header.error().message);
    Error failure = header.error();
    failure.detail = fmt::format("segment '{}'", reader->path_);
    return failure;
  }
  reader->header_ = std::move(header).value();
  reader->next_number_ = reader->header_.before.next_frame;
  reader->offset_ = reader->header_.header_bytes();
  return reader;
}

Result<std::unique_ptr<SegmentReader>> SegmentReader::open_behind(io::Fs& fs, std::string path,
                                                                  const SegmentHeader& header,
                                                                  std::uint64_t offset,
                                                                  std::uint32_t frame_bytes_max) {
  TRY_ASSIGN(auto file, fs.open_read(path));
  std::unique_ptr<SegmentReader> reader(
      new SegmentReader(std::move(file), std::move(path), frame_bytes_max));
  reader->header_ = header;
  reader->seek(offset, 0);
  return reader;
}

Result<bool> SegmentReader::next(StoredFrame& frame) {
  frame_offset_ = offset_;
  TRY_ASSIGN(const std::string_view bytes, bytes_at(offset_, kFrameHeaderBytes));
  if (bytes.empty()) {
    if (repeated_seen_ < header_.repeated_count && order_known_)
      return damage("it ends before the repeated schemas do");
    return false;
  }
  if (bytes.size() < kFrameHeaderBytes) return damage("it ends inside a frame header");
  const auto decoded = decode_frame_header(bytes, header_.salt);
  if (!decoded) return damage("no valid frame header is there");
  frame = *decoded;
  if (const auto what = misplaced(frame)) return damage(*what);
  const std::uint64_t end = frame_offset_ + kFrameHeaderBytes + frame.stored_bytes;
  if (end > window_offset_ + window_.size()) {
    TRY_ASSIGN(const std::uint64_t file_bytes, file_->size());
    if (end > std::min(file_bytes, limit_)) return damage("it ends inside a frame");
  }
  offset_ = end;
  if (frame.repeated) {
    ++repeated_seen_;
  } else {
    next_number_ = frame.number + 1;
  }
  order_known_ = true;
  return true;
}

std::optional<std::string> SegmentReader::misplaced(const StoredFrame& frame) const {
  if (std::max(frame.stored_bytes, frame.raw_bytes) > frame_bytes_max_)
    return fmt::format("a frame of {} bytes is larger than the limit of {}",
                       std::max(frame.stored_bytes, frame.raw_bytes), frame_bytes_max_);
  if (frame.synced_bytes > frame_offset_)
    return fmt::format("a frame claims that {} bytes were durable before it", frame.synced_bytes);
  if (!order_known_) return std::nullopt;
  const bool repeated = repeated_seen_ < header_.repeated_count;
  const std::uint64_t expected = repeated ? repeated_seen_ : next_number_;
  if (frame.repeated == repeated && frame.number == expected) return std::nullopt;
  return fmt::format("{} frame {} is where {} frame {} belongs",
                     frame.repeated ? "repeated" : "own", frame.number,
                     repeated ? "repeated" : "own", expected);
}

Status SegmentReader::load(const StoredFrame& frame, std::string& payload) {
  TRY_ASSIGN(const std::string_view stored, stored_payload(frame));
  if (!restore_payload(frame, stored, payload)) return damage("its payload cannot be restored");
  return {};
}

Status SegmentReader::check(const StoredFrame& frame) {
  TRY_ASSIGN([[maybe_unused]] const std::string_view stored, stored_payload(frame));
  return {};
}

Result<std::string_view> SegmentReader::stored_payload(const StoredFrame& frame) {
  TRY_ASSIGN(const std::string_view stored,
             bytes_at(frame_offset_ + kFrameHeaderBytes, frame.stored_bytes));
  if (stored.size() < frame.stored_bytes) return damage("it ends inside a frame");
  if (payload_checksum(stored, header_.salt) != frame.payload_checksum)
    return damage("a frame's payload has a wrong checksum");
  return stored;
}

void SegmentReader::seek(std::uint64_t offset, std::uint64_t frame_number) {
  offset_ = offset;
  frame_offset_ = offset;
  repeated_seen_ = header_.repeated_count;
  next_number_ = frame_number;
}

Result<std::string_view> SegmentReader::bytes_at(std::uint64_t offset, std::size_t size) {
  const bool inside = offset >= window_offset_ && offset + size <= window_offset_ + window_.size();
  if (!inside) {
    if (offset >= limit_) return std::string_view();
    // A large payload's window is not kept for the small ones that follow.
    if (window_.capacity() > 4 * kWindowBytes && size <= kWindowBytes) std::string().swap(window_);
    const auto room = static_cast<std::size_t>(
        std::min<std::uint64_t>(limit_ - offset, std::max(size, kWindowBytes)));
    TRY(file_->read_at(offset, room, window_));
    window_offset_ = offset;
  }
  return std::string_view(window_).substr(static_cast<std::size_t>(offset - window_offset_), size);
}

Result<std::string_view> SegmentReader::window_at(std::uint64_t offset) {
  TRY_ASSIGN(const std::string_view bytes, bytes_at(offset, kFrameHeaderBytes));
  if (bytes.empty()) return bytes;
  return std::string_view(window_).substr(static_cast<std::size_t>(offset - window_offset_));
}

Result<std::optional<std::uint64_t>> SegmentReader::find_frame_after(std::uint64_t offset) {
  order_known_ = false;
  for (std::uint64_t at = offset + 1;;) {
    TRY_ASSIGN(const std::string_view bytes, window_at(at));
    if (bytes.size() < kFrameHeaderBytes) return std::optional<std::uint64_t>();
    for (std::size_t found = bytes.find(kFrameMagic); found != std::string_view::npos;
         found = bytes.find(kFrameMagic, found + 1)) {
      if (bytes.size() - found < kFrameHeaderBytes) break;
      const auto frame = decode_frame_header(bytes.substr(found), header_.salt);
      if (!frame || frame->synced_bytes > at + found) continue;
      offset_ = at + found;
      return std::optional<std::uint64_t>(offset_);
    }
    at += bytes.size() - kFrameHeaderBytes + 1;
  }
}

Result<bool> SegmentReader::is_torn_at(std::uint64_t offset) {
  std::optional<std::uint64_t> first_valid;
  for (std::uint64_t bad = offset;;) {
    TRY_ASSIGN(const auto found, find_frame_after(bad));
    if (!found) break;
    if (!first_valid) first_valid = found;
    StoredFrame frame;
    auto whole = next(frame);
    while (whole.ok() && whole.value()) {
      // Written when the bad bytes had already been reported durable: they were whole once.
      if (frame.synced_bytes > offset) return false;
      whole = next(frame);
    }
    if (whole.ok()) break;
    if (whole.error().code != Code::kCorruption) return whole.error();
    bad = frame_offset_;
  }
  if (!first_valid) return true;
  return has_lost_sector(offset, *first_valid);
}

// A write that never reached the disk leaves zeros up to the end of its sector, and the frame that
// is valid again begins behind it. Anything else between the two was changed, not lost.
Result<bool> SegmentReader::has_lost_sector(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t at = begin; at < end;) {
    const std::uint64_t sector_end = (at / kSectorBytes + 1) * kSectorBytes;
    if (sector_end > end) break;
    TRY_ASSIGN(const std::string_view bytes,
               bytes_at(at, static_cast<std::size_t>(sector_end - at)));
    if (bytes.find_first_not_of('\0') == std::string_view::npos) return true;
    at = sector_end;
  }
  return false;
}

}  // namespace pgweir::log
