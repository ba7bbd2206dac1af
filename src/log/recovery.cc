#include "log/recovery.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::log {
namespace {

enum class Tail { kMayBeTorn, kMustBeWhole };

class Recovery {
 public:
  Recovery(io::Fs& fs, std::string directory, std::uint32_t frame_bytes_max)
      : fs_(fs), directory_(std::move(directory)), frame_bytes_max_(frame_bytes_max) {}

  Result<Recovered> run() {
    TRY_ASSIGN(files_, list_segments(fs_, directory_));
    TRY(drop_unmade());
    for (const SegmentFile& file : files_) TRY(read_header(file));
    if (files_.empty()) return finish();
    // A segment was whole on the disk before the one behind it was begun.
    TRY(scan_last(!unmade_.empty() ? Tail::kMustBeWhole : Tail::kMayBeTorn));
    if (!last_has_frames() && files_.size() > 1) {
      const LogState expected = out_.last_header.before;
      drop_last();
      TRY(scan_last(Tail::kMustBeWhole));
      if (out_.state != expected)
        return damage_error(out_.segments.back().info.file, out_.segments.back().info.bytes,
                            "it does not end where the segment behind it begins");
    }
    return finish();
  }

 private:
  // Only now, when all else is sound: opening a damaged log changes nothing in it.
  Result<Recovered> finish() {
    for (const std::string& path : unmade_) {
      TRY(fs_.remove(path));
      TRY(fs_.sync_directory(directory_));
    }
    return std::move(out_);
  }

  // A last segment without a whole header: the crash came while it was made, and no frame can be in
  // it, since the header is made durable first.
  Status drop_unmade() {
    if (files_.empty()) return {};
    const SegmentFile& last = files_.back();
    const auto reader = SegmentReader::open(fs_, last.path, frame_bytes_max_);
    if (reader.ok() || reader.error().code != Code::kCorruption) return {};
    TRY_ASSIGN(const auto file, fs_.open_read(last.path));
    TRY_ASSIGN(const std::uint64_t bytes, file->size());
    const bool first_of_log = last.number == kFirstSegmentNumber;
    if (bytes > kSegmentHeaderBytes || (files_.size() == 1 && !first_of_log)) return {};
    unmade_.push_back(last.path);
    files_.pop_back();
    return {};
  }

  Status read_header(const SegmentFile& file) {
    TRY_ASSIGN(const auto reader, SegmentReader::open(fs_, file.path, frame_bytes_max_));
    const SegmentHeader& header = reader->header();
    if (header.number != file.number)
      return damage_error(file.path, 0,
                          fmt::format("it is segment {} by its header", header.number));
    TRY_ASSIGN(const std::uint64_t bytes, reader->bytes());
    Segment segment = describe(file, header);
    segment.info.bytes = bytes;
    if (header.first == model::Position{}) {
      TRY_ASSIGN(segment.info.first, first_position(*reader));
    }
    if (!out_.segments.empty()) {
      Segment& before = out_.segments.back();
      if (const auto fault = chain_fault(out_.last_header, before.info.bytes, header))
        return damage_error(before.info.file, std::min(before.info.bytes, header.bytes_before),
                            *fault);
      end_segment(before, header);
    }
    out_.segments.push_back(std::move(segment));
    out_.last_header = header;
    return {};
  }

  // The first segment of a log is made before its first frame is known. Damage is left to whoever
  // reads the frames.
  static Result<model::Position> first_position(SegmentReader& reader) {
    StoredFrame frame;
    while (true) {
      const auto more = reader.next(frame);
      if (!more.ok() && more.error().code != Code::kCorruption) return more.error();
      if (!more.ok() || !more.value()) return model::Position{};
      if (!frame.repeated) return frame.header.first;
    }
  }

  Status scan_last(Tail tail) {
    Segment& segment = out_.segments.back();
    TRY_ASSIGN(const auto reader, SegmentReader::open(fs_, segment.info.file, frame_bytes_max_));
    out_.last_header = reader->header();
    out_.state = reader->header().before;
    out_.schemas.clear();
    if (reader->header().adopted) return take_adopted(*reader, segment);
    const Status scanned = scan_frames(*reader, segment);
    if (!scanned.ok()) {
      if (scanned.error().code != Code::kCorruption || tail == Tail::kMustBeWhole) return scanned;
      segment.info.bytes = reader->frame_offset();
      TRY_ASSIGN(const bool torn, reader->is_torn_at(segment.info.bytes));
      if (!torn) return scanned;
    }
    segment.info.last = out_.state.last;
    segment.info.last_frame_us = out_.state.frame_us;
    return {};
  }

  // It was whole before it had its name, and says itself how it ends: its rows need not be read.
  Status take_adopted(SegmentReader& reader, Segment& segment) {
    const SegmentHeader& header = reader.header();
    if (segment.info.bytes != header.bytes)
      return damage_error(segment.info.file, std::min(segment.info.bytes, header.bytes),
                          fmt::format("it has {} bytes, but was completed with {}",
                                      segment.info.bytes, header.bytes));
    StoredFrame stored;
    for (std::uint32_t i = 0; i < header.repeated_count; ++i) {
      TRY_ASSIGN(const bool more, reader.next(stored));
      if (more) TRY(keep_schema(reader, stored));
    }
    reader.seek(header.tail_offset, header.tail_frame);
    std::uint64_t next_frame = header.tail_frame;
    while (true) {
      TRY_ASSIGN(const bool more, reader.next(stored));
      if (!more) break;
      next_frame = stored.number + 1;
      TRY(keep_schema(reader, stored));
    }
    if (next_frame != header.after.next_frame)
      return damage_error(segment.info.file, reader.frame_offset(),
                          "it does not end as its header says");
    add_place(segment, {header.tail_frame, header.tail_offset});
    out_.state = header.after;
    segment.info.last = out_.state.last;
    segment.info.last_frame_us = out_.state.frame_us;
    return {};
  }

  Status keep_schema(SegmentReader& reader, const StoredFrame& stored) {
    if (stored.header.kind != FrameKind::kSchema) return reader.check(stored);
    auto schema = std::make_shared<Frame>();
    schema->header = stored.header;
    TRY(reader.load(stored, schema->payload));
    out_.schemas[stored.header.key] = std::move(schema);
    return {};
  }

  Status scan_frames(SegmentReader& reader, Segment& segment) {
    StoredFrame stored;
    while (true) {
      TRY_ASSIGN(const bool more, reader.next(stored));
      if (!more) break;
      TRY(keep_schema(reader, stored));
      if (stored.repeated) continue;
      if (stored.number == reader.header().before.next_frame)
        segment.info.first = stored.header.first;
      add_place(segment, {stored.number, reader.frame_offset()});
      out_.state.advance(stored.header);
    }
    segment.info.bytes = reader.offset();
    return {};
  }

  bool last_has_frames() const {
    return out_.state.next_frame > out_.last_header.before.next_frame;
  }

  void drop_last() {
    unmade_.push_back(out_.segments.back().info.file);
    out_.segments.pop_back();
    files_.pop_back();
  }

  io::Fs& fs_;
  const std::string directory_;
  const std::uint32_t frame_bytes_max_;
  std::vector<SegmentFile> files_;
  std::vector<std::string> unmade_;  // last segments whose making a crash cut off, to be removed
  Recovered out_;
};

}  // namespace

Result<std::vector<SegmentFile>> list_segments(io::Fs& fs, const std::string& directory) {
  TRY_ASSIGN(const auto names, fs.list(directory));
  std::vector<SegmentFile> files;
  for (const std::string& name : names) {
    const auto number = parse_segment_file_name(name);
    if (!number) continue;
    if (!files.empty() && *number != files.back().number + 1)
      return error(
          Code::kCorruption,
          fmt::format("log segment '{}/{}' is missing", directory,
                      segment_file_name(files.back().number + 1)),
          fmt::format("'{}' is there", name),
          "Restore the file from a copy, or read the source anew into another data folder");
    files.push_back({*number, directory + "/" + name});
  }
  return files;
}

Segment describe(const SegmentFile& file, const SegmentHeader& header) {
  Segment segment;
  segment.number = file.number;
  segment.before = header.before;
  segment.info.file = file.path;
  segment.info.first = header.first;
  segment.info.last = header.first;
  segment.info.created_us = header.created_us;
  segment.info.last_frame_us = header.created_us;
  return segment;
}

void end_segment(Segment& segment, const SegmentHeader& following) {
  segment.info.last = following.before.last;
  segment.info.last_frame_us = following.before.frame_us;
}

std::optional<std::string> chain_fault(const SegmentHeader& header, std::uint64_t bytes,
                                       const SegmentHeader& following) {
  if (following.identity != header.identity)
    return fmt::format("it belongs to log {}, the segment behind it to log {}", header.identity,
                       following.identity);
  if (following.bytes_before != bytes)
    return fmt::format("it has {} bytes, but was closed with {}", bytes, following.bytes_before);
  if (following.before.next_frame < header.before.next_frame ||
      following.before.last < header.before.last)
    return "it begins behind the segment that follows it";
  return std::nullopt;
}

Result<Recovered> recover(io::Fs& fs, const std::string& directory, std::uint32_t frame_bytes_max) {
  return Recovery(fs, directory, frame_bytes_max).run();
}

}  // namespace pgweir::log
