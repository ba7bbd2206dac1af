// Reads one segment file frame by frame, and judges what a crash may have left at its end.
//
// Life:    open(), then next() and, where the payload is wanted, load(). The file may grow
// meanwhile. Threads: one thread at a time; one SegmentWriter may write the same file beside it.
// Errors:  kCorruption names file and offset; the reader then stays where the damage is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/fs.h"
#include "log/segment.h"

namespace pgweir::log {

// "log segment 'wal/000000000001.log' is damaged at offset 148"; `what` is the detail.
Error damage_error(const std::string& path, std::uint64_t offset, const std::string& what);

class SegmentReader {
 public:
  // Reads the segment's header. kNotFound when there is no such file.
  static Result<std::unique_ptr<SegmentReader>> open(io::Fs& fs, std::string path,
                                                     std::uint32_t frame_bytes_max);

  // Of a file whose header is not written yet: `header` is what is known of it, and the frames,
  // numbered from 0, begin at `offset`.
  static Result<std::unique_ptr<SegmentReader>> open_behind(io::Fs& fs, std::string path,
                                                            const SegmentHeader& header,
                                                            std::uint64_t offset,
                                                            std::uint32_t frame_bytes_max);

  const SegmentHeader& header() const { return header_; }
  const std::string& path() const { return path_; }
  // The file's size now.
  Result<std::uint64_t> bytes() const { return file_->size(); }

  // Reads the header of the next frame and checks it and its place in the order; the payload is not
  // looked at. Returns false when the file ends behind a whole frame.
  Result<bool> next(StoredFrame& frame);

  // Checks and restores the payload of the frame that next() gave last.
  Status load(const StoredFrame& frame, std::string& payload);
  // The same check without restoring.
  Status check(const StoredFrame& frame);

  // Where the frame that next() gave last begins; where next() has failed, where it failed.
  std::uint64_t frame_offset() const { return frame_offset_; }
  // Where the next frame begins.
  std::uint64_t offset() const { return offset_; }

  // Reads nothing from `bytes` on: for a file that is being written, what is durable of it.
  void set_limit(std::uint64_t bytes) { limit_ = bytes; }

  // Goes to a frame of the segment's own: `offset` must be where it begins.
  void seek(std::uint64_t offset, std::uint64_t frame_number);

  // The next place behind `offset` that holds a valid frame header of this segment. Its place in
  // the order is not judged; next() goes on with it.
  Result<std::optional<std::uint64_t>> find_frame_after(std::uint64_t offset);

  // Tells a torn tail from damage, for a frame at `offset` of the log's last segment that is not
  // whole. Torn means that no byte from `offset` on was ever reported durable, as far as can be
  // known: that may be cut off. See docs/formats/log.md, "Torn tail".
  Result<bool> is_torn_at(std::uint64_t offset);

 private:
  SegmentReader(std::unique_ptr<io::ReadableFile> file, std::string path,
                std::uint32_t frame_bytes_max)
      : file_(std::move(file)), path_(std::move(path)), frame_bytes_max_(frame_bytes_max) {}

  // Up to `size` bytes at `offset`, fewer at the file's end; valid until the next call.
  Result<std::string_view> bytes_at(std::uint64_t offset, std::size_t size);
  // At least a frame header's bytes at `offset` and all that the window holds behind them; fewer at
  // the file's end.
  Result<std::string_view> window_at(std::uint64_t offset);
  Result<std::string_view> stored_payload(const StoredFrame& frame);
  std::optional<std::string> misplaced(const StoredFrame& frame) const;
  Result<bool> has_lost_sector(std::uint64_t begin, std::uint64_t end);
  Error damage(const std::string& what) const { return damage_error(path_, frame_offset_, what); }

  const std::unique_ptr<io::ReadableFile> file_;
  const std::string path_;
  const std::uint32_t frame_bytes_max_;
  SegmentHeader header_;

  std::uint64_t limit_ = ~std::uint64_t{0};
  std::string window_;
  std::uint64_t window_offset_ = 0;
  std::uint64_t frame_offset_ = 0;
  std::uint64_t offset_ = kSegmentHeaderBytes;
  std::uint64_t repeated_seen_ = 0;
  std::uint64_t next_number_ = 0;
  bool order_known_ = true;  // false behind find_frame_after()
};

}  // namespace pgweir::log
