#include "log/log.h"

#include <fmt/core.h>

#include <algorithm>
#include <random>

#include "log/cursor.h"
#include "log/published.h"
#include "log/recovery.h"
#include "log/segment_writer.h"
#include "log/spool.h"

namespace pgweir::log {
namespace {

std::uint64_t random_number() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

constexpr std::size_t kSpoolHeadBytesMax = 16 * kMiB;

std::string spool_directory(const std::string& directory) {
  return directory + "/spool";
}

// Empty, and there.
Status prepare_spool_directory(io::Fs& fs, const std::string& directory) {
  const std::string path = spool_directory(directory);
  TRY(fs.create_directories(path));
  TRY_ASSIGN(const auto names, fs.list(path));
  for (const std::string& name : names) TRY(fs.remove(path + "/" + name));
  return {};
}

std::string random_identity() {
  return fmt::format("{:016x}{:016x}", random_number(), random_number());
}

class SegmentedLog final : public Log {
 public:
  SegmentedLog(io::Fs& fs, const io::Clock& clock, std::string directory, LogOptions options,
               Recovered recovered, std::unique_ptr<SegmentWriter> writer)
      : fs_(fs),
        clock_(clock),
        directory_(std::move(directory)),
        options_(options),
        identity_(writer->header().identity),
        appended_(recovered.state),
        synced_frames_(recovered.state.next_frame),
        schemas_(std::move(recovered.schemas)),
        current_(recovered.segments.back()),
        writer_(std::move(writer)),
        published_(options_.tip_bytes_max, recovered.state, std::move(recovered.segments)) {}

  const std::string& identity() const override { return identity_; }
  using Log::append;
  Status append(FramePtr frame) override;
  Result<model::Lsn> sync() override;
  Result<std::unique_ptr<Spool>> begin_spool() override;
  Status adopt(Spool& spool, const Adoption& adoption) override;
  model::Position durable_position() const override { return published_.durable().last; }
  model::Lsn durable_end_lsn() const override { return published_.durable().end_lsn; }
  std::uint32_t epoch() const override { return published_.durable().last.epoch; }
  bool snapshot_complete() const override { return !published_.durable().snapshot_open; }
  const std::map<std::uint64_t, FramePtr>& schemas() const override { return schemas_; }
  std::vector<SegmentInfo> segments() const override { return published_.segments(); }
  std::uint64_t bytes() const override { return published_.bytes(); }
  Status prune(const Retention& retention, const model::Position& followers_min) override;
  Result<std::unique_ptr<Cursor>> read(const model::Position& after) override {
    return FileCursor::create(fs_, published_, after, identity_, options_.frame_bytes_max);
  }
  void wake() override { published_.wake(); }

 private:
  Status check(const Frame& frame) const;
  bool must_begin_segment(const FrameHeader& frame) const;
  Status begin_segment(const FrameHeader& frame);
  SegmentHeader next_header(const FrameHeader& frame) const;
  Result<std::string> adopted_head(const SegmentHeader& header, Frame transaction,
                                   std::size_t bytes) const;
  Status take_over(Spool& spool, const SegmentHeader& header, Segment segment);
  void follow_with(Segment segment, std::unique_ptr<SegmentWriter> writer);
  Status repeat_schemas(SegmentWriter& writer) const;
  void keep_for_tip(FramePtr frame);
  // Remembers a failure after which the file's end is not known.
  Status fail_unless_retryable(const Status& status);
  bool current_has_frames() const {
    return appended_.next_frame > writer_->header().before.next_frame;
  }

  io::Fs& fs_;
  const io::Clock& clock_;
  const std::string directory_;
  const LogOptions options_;
  const std::string identity_;

  // Of the appending thread.
  LogState appended_;
  std::uint64_t synced_frames_;
  std::map<std::uint64_t, FramePtr> schemas_;
  Segment current_;
  std::unique_ptr<SegmentWriter> writer_;
  std::vector<FramePtr> pending_;  // the newest appended frames, for the tip
  std::uint64_t pending_bytes_ = 0;
  std::uint64_t spools_begun_ = 0;
  std::optional<Error> failed_;

  Published published_;
};

Status SegmentedLog::check(const Frame& frame) const {
  const FrameHeader& header = frame.header;
  if (frame.payload.size() > options_.frame_bytes_max)
    return error(
        Code::kInvalid,
        fmt::format("a frame of {} bytes is larger than the log's limit", frame.payload.size()),
        fmt::format("frame_bytes_max is {}", options_.frame_bytes_max));
  if (header.last < appended_.last || header.last < header.first)
    return error(
        Code::kInvalid,
        fmt::format("a frame may not end at {}: the log is further", model::to_string(header.last)),
        fmt::format("the frame begins at {}, the log ends at {}", model::to_string(header.first),
                    model::to_string(appended_.last)));
  return {};
}

Status SegmentedLog::fail_unless_retryable(const Status& status) {
  if (!status.ok() && status.error().code != Code::kNoSpace)
    failed_ = error(Code::kIo, "the log takes nothing more since a write has failed",
                    status.error().text(), "Put the disk right and start again");
  return status;
}

Status SegmentedLog::append(FramePtr frame) {
  if (failed_) return *failed_;
  const FrameHeader& header = frame->header;
  TRY(check(*frame));
  if (must_begin_segment(header)) TRY(fail_unless_retryable(begin_segment(header)));
  const std::uint64_t offset = writer_->bytes();
  TRY(fail_unless_retryable(writer_->append(header, frame->payload, appended_.next_frame)));
  if (!current_has_frames()) current_.info.first = header.first;
  add_place(current_, {appended_.next_frame, offset});
  appended_.advance(header);
  if (header.kind == FrameKind::kSchema) schemas_[header.key] = frame;
  keep_for_tip(std::move(frame));
  return {};
}

bool SegmentedLog::must_begin_segment(const FrameHeader& frame) const {
  const SegmentHeader& header = writer_->header();
  if (header.adopted) return true;
  // The first segment of a log takes whatever epoch comes first.
  const std::uint32_t epoch = header.epoch != 0 ? header.epoch : appended_.last.epoch;
  const bool epoch_rises = epoch != 0 && frame.last.epoch > epoch;
  if (!current_has_frames()) return epoch_rises;
  return epoch_rises || writer_->bytes() >= options_.segment_bytes_max ||
         header.codec != options_.codec || header.protocol_version != options_.protocol_version;
}

SegmentHeader SegmentedLog::next_header(const FrameHeader& frame) const {
  SegmentHeader header;
  header.identity = identity_;
  header.number = current_.number + 1;
  header.salt = random_number();
  header.epoch = frame.last.epoch;
  header.protocol_version = options_.protocol_version;
  header.codec = options_.codec;
  header.repeated_count = static_cast<std::uint32_t>(schemas_.size());
  header.created_us = clock_.now_us();
  header.first = frame.first;
  header.before = appended_;
  header.bytes_before = writer_->bytes();
  return header;
}

Status SegmentedLog::begin_segment(const FrameHeader& frame) {
  TRY(writer_->sync());
  const SegmentHeader header = next_header(frame);
  TRY_ASSIGN(auto writer,
             SegmentWriter::create(fs_, directory_, header, options_.write_buffer_bytes_max));
  const SegmentFile file{header.number, directory_ + "/" + segment_file_name(header.number)};
  if (const Status repeated = repeat_schemas(*writer); !repeated.ok()) {
    (void)fs_.remove(file.path);
    return repeated;
  }
  Segment begun = describe(file, header);
  begun.info.first = begun.info.last = appended_.last;
  begun.info.bytes = writer->synced_bytes();
  follow_with(std::move(begun), std::move(writer));
  return {};
}

void SegmentedLog::follow_with(Segment segment, std::unique_ptr<SegmentWriter> writer) {
  Segment ended = std::exchange(current_, std::move(segment));
  ended.info.last = appended_.last;
  ended.info.last_frame_us = appended_.frame_us;
  ended.info.bytes = writer_->bytes();
  writer_ = std::move(writer);
  published_.add_segment(std::move(ended), current_);
}

Status SegmentedLog::repeat_schemas(SegmentWriter& writer) const {
  std::uint64_t place = 0;
  for (const auto& [key, schema] : schemas_) {
    FrameHeader header = schema->header;
    header.first = header.last = appended_.last;
    TRY(writer.append_repeated(header, schema->payload, place++));
  }
  return {};
}

void SegmentedLog::keep_for_tip(FramePtr frame) {
  pending_bytes_ += memory_bytes(*frame);
  pending_.push_back(std::move(frame));
  if (pending_bytes_ <= options_.tip_bytes_max) return;
  // Half of them at once, so that a long wait for sync() costs no shifting per frame.
  std::size_t drop = 0;
  for (; drop < pending_.size() && pending_bytes_ > options_.tip_bytes_max / 2; ++drop)
    pending_bytes_ -= memory_bytes(*pending_[drop]);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(drop));
}

Result<model::Lsn> SegmentedLog::sync() {
  if (failed_) return *failed_;
  if (appended_.next_frame == synced_frames_) return appended_.end_lsn;
  TRY(fail_unless_retryable(writer_->sync()));
  synced_frames_ = appended_.next_frame;
  current_.info.last = appended_.last;
  current_.info.last_frame_us = appended_.frame_us;
  current_.info.bytes = writer_->bytes();
  published_.publish(std::exchange(pending_, {}), appended_, current_);
  pending_bytes_ = 0;
  return appended_.end_lsn;
}

// --- Spooled transactions ----------------------------------------------------------------------

Result<std::unique_ptr<Spool>> SegmentedLog::begin_spool() {
  if (failed_) return *failed_;
  SegmentHeader header;
  header.identity = identity_;
  header.salt = random_number();
  header.protocol_version = options_.protocol_version;
  header.codec = options_.codec;
  SpoolOptions options;
  options.frame_bytes_max = options_.frame_bytes_max;
  // Room for the schemas that are known now, with as much again for those that come meanwhile.
  std::size_t schema_bytes = 0;
  for (const auto& [key, schema] : schemas_) schema_bytes += frame_bytes(schema->payload.size());
  options.head_bytes = std::max(
      options_.spool_head_bytes_min,
      static_cast<std::uint32_t>(std::min<std::size_t>(2 * schema_bytes, kSpoolHeadBytesMax)));
  return Spool::create(fs_, fmt::format("{}/{}", spool_directory(directory_), spools_begun_++),
                       header, options);
}

Status SegmentedLog::adopt(Spool& spool, const Adoption& adoption) {
  if (failed_) return *failed_;
  const FrameHeader& begin = adoption.transaction.header;
  if (begin.first < appended_.last)
    return error(Code::kInvalid, "a transaction may not enter the log: the log is further",
                 fmt::format("it commits at {}, the log ends at {}", model::to_string(begin.first),
                             model::to_string(appended_.last)));
  TRY(sync());
  // Also repeated schemas, which no frame has followed yet.
  TRY(fail_unless_retryable(writer_->sync()));

  SegmentHeader header = next_header(begin);
  header.salt = spool.salt();
  header.adopted = true;
  header.after = appended_;
  header.after.advance(begin);
  header.after.next_frame += spool.frame_count();
  header.tail_offset = spool.bytes();
  header.tail_frame = header.after.next_frame;
  std::string tail;
  FrameEncoder encoder(header.codec);
  for (const Frame& frame : adoption.tail) {
    StoredFrame stored;
    stored.header = frame.header;
    stored.number = header.after.next_frame;
    encoder.encode(stored, frame.payload, header.salt, tail);
    header.after.advance(frame.header);
  }
  header.bytes = header.tail_offset + tail.size();
  TRY_ASSIGN(const std::string head,
             adopted_head(header, adoption.transaction, spool.options().head_bytes));

  Segment segment =
      describe({header.number, directory_ + "/" + segment_file_name(header.number)}, header);
  Spool::Completion completion;
  completion.commit = header.after.last;
  completion.first_frame = header.before.next_frame + 1;
  if (!adoption.last_sequences.empty()) completion.last_sequences = &adoption.last_sequences;
  completion.head = head;
  completion.tail = tail;
  TRY(fail_unless_retryable(spool.complete(completion, segment)));
  TRY(take_over(spool, header, std::move(segment)));
  for (const Frame& frame : adoption.tail) {
    if (frame.header.kind == FrameKind::kSchema)
      schemas_[frame.header.key] = std::make_shared<const Frame>(frame);
  }
  return {};
}

// The file's head, filled to its size by a record of zeros at the end of the transaction's frame.
Result<std::string> SegmentedLog::adopted_head(const SegmentHeader& header, Frame transaction,
                                               std::size_t bytes) const {
  std::string head = encode_segment_header(header);
  FrameEncoder compressing(header.codec);
  std::uint64_t place = 0;
  for (const auto& [key, schema] : schemas_) {
    StoredFrame stored;
    stored.header = schema->header;
    stored.header.first = stored.header.last = appended_.last;
    stored.repeated = true;
    stored.number = place++;
    compressing.encode(stored, schema->payload, header.salt, head);
  }
  std::string& payload = transaction.payload;
  append_record(payload, {});
  const std::size_t used = head.size() + frame_bytes(payload.size());
  if (used > bytes)
    return error(Code::kUnsupported, "the head of a spooled transaction has no room for its tables",
                 fmt::format("{} bytes for {}", bytes, used));
  payload.resize(payload.size() - sizeof(std::uint32_t));
  append_record(payload, std::string(bytes - used, '\0'));
  StoredFrame stored;
  stored.header = transaction.header;
  ++stored.header.record_count;
  stored.number = header.before.next_frame;
  FrameEncoder(Codec::kNone).encode(stored, payload, header.salt, head);
  return head;
}

// From here on the file is the log's last segment.
Status SegmentedLog::take_over(Spool& spool, const SegmentHeader& header, Segment segment) {
  TRY(fs_.rename(spool.path(), segment.info.file));
  auto file = spool.release();
  if (const Status synced = fs_.sync_directory(directory_); !synced.ok()) {
    Error failure = synced.error();
    failure.code = Code::kIo;
    return fail_unless_retryable(failure);
  }
  segment.info.last = header.after.last;
  segment.info.last_frame_us = header.after.frame_us;
  segment.info.bytes = header.bytes;
  add_place(segment, {header.tail_frame, header.tail_offset});
  follow_with(std::move(segment), SegmentWriter::of_adopted(std::move(file), header));
  appended_ = header.after;
  synced_frames_ = appended_.next_frame;
  published_.publish({}, appended_, current_);
  return {};
}

Status SegmentedLog::prune(const Retention& retention, const model::Position& followers_min) {
  std::uint64_t total = bytes();
  // The segment before the current one stays until the schemas repeated in the current one are
  // durable, as they are with its first frame.
  const bool current_is_durable = synced_frames_ > writer_->header().before.next_frame;
  const std::size_t keep = current_is_durable ? 1 : 2;
  auto segments = published_.segments();
  for (std::size_t i = 0; i + keep < segments.size(); ++i) {
    const SegmentInfo& oldest = segments[i];
    const bool passed = oldest.last <= followers_min;
    const bool old = retention.age_max.count() > 0 && clock_.now_us() - oldest.last_frame_us >
                                                          Microseconds(retention.age_max).count();
    const bool over = retention.bytes_max > 0 && total > retention.bytes_max;
    if (!over && !(old && passed)) break;
    // One by one, and each forgotten only once it is gone, so that neither a crash nor a failure
    // leaves a gap in the numbers.
    TRY(fs_.remove(oldest.file));
    published_.remove_oldest();
    total -= oldest.bytes;
    TRY(fs_.sync_directory(directory_));
  }
  return {};
}

// The first segment of a new log; also in place of one that holds no frame and was made for other
// options.
Result<Recovered> begin_log(io::Fs& fs, const io::Clock& clock, const std::string& directory,
                            const LogOptions& options, const std::string& identity) {
  SegmentHeader header;
  header.identity = identity;
  header.number = kFirstSegmentNumber;
  header.salt = random_number();
  header.protocol_version = options.protocol_version;
  header.codec = options.codec;
  header.created_us = clock.now_us();
  const SegmentFile file{header.number, directory + "/" + segment_file_name(header.number)};
  TRY(io::write_file_durably(fs, file.path, encode_segment_header(header)));
  return recover(fs, directory, options.frame_bytes_max);
}

}  // namespace

Result<std::unique_ptr<Log>> Log::open(io::Fs& fs, const io::Clock& clock,
                                       const std::string& directory, const LogOptions& options) {
  if (!fs.exists(directory)) {
    TRY(fs.create_directories(directory));
    TRY(fs.sync_directory(io::parent_path(directory)));
  }
  TRY_ASSIGN(auto recovered, recover(fs, directory, options.frame_bytes_max));
  const bool is_new = recovered.segments.empty();
  const SegmentHeader& header = recovered.last_header;
  const bool holds_none = !is_new && header.number == kFirstSegmentNumber &&
                          recovered.state.next_frame == header.before.next_frame;
  const bool other_options =
      header.codec != options.codec || header.protocol_version != options.protocol_version;
  if (is_new || (holds_none && other_options)) {
    const std::string identity = is_new ? random_identity() : header.identity;
    TRY_ASSIGN(recovered, begin_log(fs, clock, directory, options, identity));
  }
  Segment& last = recovered.segments.back();
  TRY_ASSIGN(auto writer, SegmentWriter::resume(fs, last.info.file, recovered.last_header,
                                                last.info.bytes, options.write_buffer_bytes_max));
  TRY(fs.sync_directory(directory));
  TRY(prepare_spool_directory(fs, directory));
  return std::unique_ptr<Log>(std::make_unique<SegmentedLog>(
      fs, clock, directory, options, std::move(recovered), std::move(writer)));
}

}  // namespace pgweir::log
