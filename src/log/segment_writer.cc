#include "log/segment_writer.h"

#include <fmt/core.h>

namespace pgweir::log {
namespace {

// A failure after which the file's content is unknown, whatever the system called it.
Error final_failure(Error failure) {
  failure.code = Code::kIo;
  return failure;
}

Status write_header(io::Fs& fs, const std::string& directory, io::WritableFile& file,
                    const SegmentHeader& header) {
  TRY(file.append(encode_segment_header(header)));
  TRY(file.sync());
  return fs.sync_directory(directory);
}

}  // namespace

SegmentWriter::SegmentWriter(std::unique_ptr<io::WritableFile> file, SegmentHeader header,
                             std::uint32_t buffer_bytes_max)
    : file_(std::move(file)),
      header_(std::move(header)),
      buffer_bytes_max_(buffer_bytes_max),
      encoder_(header_.codec),
      synced_bytes_(file_->size()) {}

Result<std::unique_ptr<SegmentWriter>> SegmentWriter::create(io::Fs& fs,
                                                             const std::string& directory,
                                                             const SegmentHeader& header,
                                                             std::uint32_t buffer_bytes_max) {
  const std::string path = directory + "/" + segment_file_name(header.number);
  TRY_ASSIGN(auto file, fs.create(path));
  if (const Status written = write_header(fs, directory, *file, header); !written.ok()) {
    // What cannot be removed now is written over by the next attempt, or dropped at the next open.
    (void)fs.remove(path);
    return written.error();
  }
  return std::unique_ptr<SegmentWriter>(
      new SegmentWriter(std::move(file), header, buffer_bytes_max));
}

Result<std::unique_ptr<SegmentWriter>> SegmentWriter::resume(io::Fs& fs, const std::string& path,
                                                             const SegmentHeader& header,
                                                             std::uint64_t bytes,
                                                             std::uint32_t buffer_bytes_max) {
  TRY_ASSIGN(auto file, fs.open_append(path));
  if (file->size() != bytes) TRY(file->truncate(bytes));
  // After kill -9 the bytes may be whole and yet only in the system's memory.
  TRY(file->sync());
  return std::unique_ptr<SegmentWriter>(
      new SegmentWriter(std::move(file), header, buffer_bytes_max));
}

std::unique_ptr<SegmentWriter> SegmentWriter::of_adopted(std::unique_ptr<io::WritableFile> file,
                                                         const SegmentHeader& header) {
  return std::unique_ptr<SegmentWriter>(new SegmentWriter(std::move(file), header, 0));
}

Status SegmentWriter::append(const FrameHeader& frame, std::string_view payload,
                             std::uint64_t number) {
  StoredFrame stored;
  stored.header = frame;
  stored.number = number;
  return append(stored, payload);
}

Status SegmentWriter::append_repeated(const FrameHeader& frame, std::string_view payload,
                                      std::uint64_t place) {
  StoredFrame stored;
  stored.header = frame;
  stored.number = place;
  stored.repeated = true;
  return append(stored, payload);
}

Status SegmentWriter::append(StoredFrame frame, std::string_view payload) {
  if (!buffer_.empty() && buffer_.size() + frame_bytes(payload.size()) > buffer_bytes_max_)
    TRY(flush());
  const std::size_t before = buffer_.size();
  frame.synced_bytes = synced_bytes_;
  encoder_.encode(frame, payload, header_.salt, buffer_);
  if (buffer_.size() < buffer_bytes_max_) return {};
  const Status flushed = flush();
  if (!flushed.ok()) buffer_.resize(before);
  return flushed;
}

Status SegmentWriter::flush() {
  if (buffer_.empty()) return {};
  const std::uint64_t before = file_->size();
  if (const Status written = file_->append(buffer_); !written.ok()) {
    if (const Status cut = file_->truncate(before); !cut.ok()) return final_failure(cut.error());
    return written;
  }
  // One huge frame must not hold its memory for good.
  if (buffer_.capacity() > 2 * buffer_bytes_max_) std::string().swap(buffer_);
  buffer_.clear();
  return {};
}

Status SegmentWriter::sync() {
  TRY(flush());
  if (synced_bytes_ == file_->size()) return {};
  // A system that failed to write may have forgotten the bytes: asking again proves nothing.
  if (const Status synced = file_->sync(); !synced.ok()) return final_failure(synced.error());
  synced_bytes_ = file_->size();
  return {};
}

}  // namespace pgweir::log
