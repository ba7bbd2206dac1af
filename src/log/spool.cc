#include "log/spool.h"

#include <fmt/core.h>

namespace pgweir::log {
namespace {

// A failure after which the file's content is unknown, whatever the system called it.
Error final_failure(Error failure) {
  failure.code = Code::kIo;
  return failure;
}

}  // namespace

Spool::Spool(io::Fs& fs, std::string path, SegmentHeader header, const SpoolOptions& options)
    : fs_(fs),
      path_(std::move(path)),
      header_(std::move(header)),
      options_(options),
      body_end_(options.head_bytes) {}

Spool::~Spool() {
  // What cannot be removed now goes when the log is opened.
  if (!adopted_) (void)fs_.remove(path_);
}

Result<std::unique_ptr<Spool>> Spool::create(io::Fs& fs, std::string path,
                                             const SegmentHeader& header,
                                             const SpoolOptions& options) {
  TRY_ASSIGN(auto file, fs.create(path));
  std::unique_ptr<Spool> spool(new Spool(fs, std::move(path), header, options));
  TRY(file->truncate(options.head_bytes));
  spool->file_ = std::move(file);
  return spool;
}

Status Spool::open() {
  if (file_) return {};
  TRY_ASSIGN(file_, fs_.open_append(path_));
  return {};
}

// Back to the size before a write that failed.
Status Spool::cut(std::uint64_t bytes, Status why) {
  const Status done = file_->truncate(bytes);
  return done.ok() ? why : Status(final_failure(done.error()));
}

Status Spool::append(const FrameHeader& frame, std::string_view payload) {
  TRY(open());
  StoredFrame stored;
  stored.header = frame;
  stored.number = frame_count_;
  std::string bytes;
  FrameEncoder(header_.codec).encode(stored, payload, header_.salt, bytes);
  if (const Status written = file_->append(bytes); !written.ok()) return cut(body_end_, written);
  body_end_ += bytes.size();
  ++frame_count_;
  if (body_end_ - synced_bytes_ < options_.sync_bytes) return {};
  // As it grows, so that the commit has little left to wait for.
  if (const Status synced = file_->sync(); !synced.ok()) return final_failure(synced.error());
  synced_bytes_ = body_end_;
  return {};
}

Status Spool::close() {
  if (!file_) return {};
  // Synced by the descriptor that wrote: it is the one that hears of a failure.
  if (const Status synced = file_->sync(); !synced.ok()) return final_failure(synced.error());
  synced_bytes_ = body_end_;
  file_.reset();
  return {};
}

Result<std::unique_ptr<SegmentReader>> Spool::read() const {
  TRY_ASSIGN(auto reader, SegmentReader::open_behind(fs_, path_, header_, options_.head_bytes,
                                                     options_.frame_bytes_max));
  reader->set_limit(body_end_);
  return reader;
}

// Replaces a frame's header. A disk may be full even for bytes that are there already.
Status Spool::put(std::uint64_t offset, std::string bytes) {
  const Status written = file_->write_at(offset, bytes);
  if (!written.ok()) unfinished_.emplace(offset, std::move(bytes));
  return written;
}

// Gives the frames their numbers and positions in the log.
Status Spool::number_frames(const Completion& completion, Segment& segment) {
  if (unfinished_) {
    auto [offset, bytes] = *std::exchange(unfinished_, std::nullopt);
    TRY(put(offset, std::move(bytes)));
  }
  TRY_ASSIGN(const auto file, fs_.open_read(path_));
  std::string bytes;
  model::Position last = completion.commit;
  last.sequence = 0;
  std::uint64_t index = 0;
  for (std::uint64_t at = options_.head_bytes; at < body_end_; ++index) {
    TRY(file->read_at(at, kFrameHeaderBytes, bytes));
    auto frame = decode_frame_header(bytes, header_.salt);
    if (!frame) return final_failure(damage_error(path_, at, "a spooled frame is not as written"));
    const std::uint64_t end = completion.last_sequences != nullptr
                                  ? completion.last_sequences->at(index)
                                  : frame->header.last.sequence;
    frame->number = completion.first_frame + index;
    frame->header.first = frame->header.last = last;
    if (end > last.sequence) {
      ++frame->header.first.sequence;
      frame->header.last.sequence = end;
    }
    last = frame->header.last;
    add_place(segment, {frame->number, at});
    TRY(put(at, encode_frame_header(*frame, header_.salt)));
    at += kFrameHeaderBytes + frame->stored_bytes;
  }
  return {};
}

Status Spool::complete(const Completion& completion, Segment& segment) {
  TRY(open());
  // An earlier attempt may have left its tail.
  if (file_->size() != body_end_) TRY(cut(body_end_, {}));
  TRY(number_frames(completion, segment));
  if (const Status written = file_->append(completion.tail); !written.ok())
    return cut(body_end_, written);
  TRY(file_->write_at(0, completion.head));
  if (const Status synced = file_->sync(); !synced.ok()) return final_failure(synced.error());
  return {};
}

std::unique_ptr<io::WritableFile> Spool::release() {
  adopted_ = true;
  return std::move(file_);
}

}  // namespace pgweir::log
