// Writes one segment file: frames gather in a buffer and reach the file in large writes.
//
// Life:    create() or resume(), append() and sync() in any mix. The destructor writes nothing.
// Threads: one thread at a time; SegmentReaders may read the same file beside it.
// Errors:  kNoSpace leaves file and buffer as they were before the call, so that it can be made
//          again. After kIo the file's end is unknown: use the writer no more.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/fs.h"
#include "log/segment.h"

namespace pgweir::log {

class SegmentWriter {
 public:
  // Makes the file with its header, durable together with its name when this returns; on an error
  // nothing of it is left, as far as the disk allows.
  static Result<std::unique_ptr<SegmentWriter>> create(io::Fs& fs, const std::string& directory,
                                                       const SegmentHeader& header,
                                                       std::uint32_t buffer_bytes_max);
  // Goes on with a file of `bytes` bytes, cut there and made durable before this returns.
  static Result<std::unique_ptr<SegmentWriter>> resume(io::Fs& fs, const std::string& path,
                                                       const SegmentHeader& header,
                                                       std::uint64_t bytes,
                                                       std::uint32_t buffer_bytes_max);

  // Stands for an adopted segment, which is whole: nothing may be appended.
  static std::unique_ptr<SegmentWriter> of_adopted(std::unique_ptr<io::WritableFile> file,
                                                   const SegmentHeader& header);

  Status append(const FrameHeader& frame, std::string_view payload, std::uint64_t number);
  Status append_repeated(const FrameHeader& frame, std::string_view payload, std::uint64_t place);

  // Writes the buffer and waits until all of the file is on the disk.
  Status sync();

  const SegmentHeader& header() const { return header_; }
  // Including what is in the buffer.
  std::uint64_t bytes() const { return file_->size() + buffer_.size(); }
  std::uint64_t synced_bytes() const { return synced_bytes_; }

 private:
  SegmentWriter(std::unique_ptr<io::WritableFile> file, SegmentHeader header,
                std::uint32_t buffer_bytes_max);

  Status append(StoredFrame frame, std::string_view payload);
  Status flush();

  const std::unique_ptr<io::WritableFile> file_;
  const SegmentHeader header_;
  const std::size_t buffer_bytes_max_;
  FrameEncoder encoder_;
  std::string buffer_;
  std::uint64_t synced_bytes_ = 0;
};

}  // namespace pgweir::log
