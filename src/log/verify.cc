#include <fmt/core.h>

#include "log/log.h"
#include "log/recovery.h"
#include "log/segment_reader.h"

namespace pgweir::log {
namespace {

class Verification {
 public:
  explicit Verification(io::Fs& fs) : fs_(fs) {}

  Result<VerifyReport> run(const std::string& directory) {
    TRY_ASSIGN(const auto names, fs_.list(directory));
    std::vector<SegmentFile> files;
    for (const std::string& name : names) {
      if (const auto number = parse_segment_file_name(name))
        files.push_back({*number, directory + "/" + name});
    }
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (i > 0 && files[i].number != files[i - 1].number + 1)
        add_damage(directory + "/" + segment_file_name(files[i - 1].number + 1), 0,
                   "the segment is missing");
      TRY(check_file(files[i], i + 1 == files.size()));
    }
    return std::move(report_);
  }

 private:
  // What was found in the file before, for what the next one says about it.
  struct Previous {
    SegmentHeader header;
    SegmentInfo info;
    LogState state;
    bool damaged = false;
  };

  void add_damage(const std::string& file, std::uint64_t offset, std::string what) {
    report_.damages.push_back({file, offset, std::move(what)});
  }

  Status check_file(const SegmentFile& file, bool is_last) {
    auto opened = SegmentReader::open(fs_, file.path, LogOptions().frame_bytes_max);
    if (!opened.ok()) {
      previous_.reset();
      if (opened.error().code != Code::kCorruption) return opened.error();
      TRY_ASSIGN(const auto bytes_file, fs_.open_read(file.path));
      TRY_ASSIGN(const std::uint64_t bytes, bytes_file->size());
      // Cut off while it was made: the next open drops it.
      const bool unmade = is_last && bytes <= kSegmentHeaderBytes &&
                          (file.number == kFirstSegmentNumber || !report_.segments.empty());
      if (unmade) {
        report_.torn_tail_bytes = bytes;
      } else {
        add_damage(file.path, 0, opened.error().detail);
      }
      return {};
    }
    SegmentReader& reader = *opened.value();
    const SegmentHeader header = reader.header();
    check_chain(file, header);
    Segment segment = describe(file, header);
    LogState state = header.before;
    const std::size_t damages_before = report_.damages.size();
    TRY(check_frames(reader, segment, state, is_last && !header.adopted));
    TRY_ASSIGN(segment.info.bytes, reader.bytes());
    const bool as_completed = segment.info.bytes == header.bytes && state == header.after;
    if (header.adopted && !as_completed && report_.damages.size() == damages_before)
      add_damage(file.path, std::min(segment.info.bytes, header.bytes),
                 "it does not end as its header says");
    segment.info.last = state.last;
    if (state.next_frame == header.before.next_frame) segment.info.first = state.last;
    segment.info.last_frame_us = state.frame_us;
    report_.segments.push_back(segment.info);
    previous_ = Previous{header, segment.info, state, report_.damages.size() > damages_before};
    return {};
  }

  void check_chain(const SegmentFile& file, const SegmentHeader& header) {
    if (header.number != file.number)
      add_damage(file.path, 0, fmt::format("it is segment {} by its header", header.number));
    if (!previous_) return;
    const SegmentInfo& before = previous_->info;
    if (const auto fault = chain_fault(previous_->header, before.bytes, header)) {
      add_damage(before.file, std::min(before.bytes, header.bytes_before), *fault);
    } else if (previous_->state != header.before && !previous_->damaged) {
      add_damage(before.file, before.bytes, "it does not end where the segment behind it begins");
    }
  }

  Status check_frames(SegmentReader& reader, Segment& segment, LogState& state, bool is_last) {
    StoredFrame stored;
    std::string payload;
    while (true) {
      const auto more = reader.next(stored);
      if (more.ok() && !more.value()) return {};
      const Status loaded = more.ok() ? reader.load(stored, payload) : more.error();
      if (loaded.ok()) {
        count(reader, segment, stored, payload, state);
        continue;
      }
      if (loaded.error().code != Code::kCorruption) return loaded;
      TRY_ASSIGN(const bool goes_on, step_over(reader, loaded.error(), is_last));
      if (!goes_on) return {};
    }
  }

  // Notes the damage and finds the next valid frame; false when there is none.
  Result<bool> step_over(SegmentReader& reader, const Error& fault, bool is_last) {
    const std::uint64_t offset = reader.frame_offset();
    if (is_last) {
      TRY_ASSIGN(const bool torn, reader.is_torn_at(offset));
      if (torn) {
        TRY_ASSIGN(const std::uint64_t bytes, reader.bytes());
        report_.torn_tail_bytes = bytes - offset;
        return false;
      }
    }
    add_damage(reader.path(), offset, fault.detail);
    TRY_ASSIGN(const auto found, reader.find_frame_after(offset));
    return found.has_value();
  }

  void count(const SegmentReader& reader, Segment& segment, const StoredFrame& stored,
             const std::string& payload, LogState& state) {
    std::uint32_t records = 0;
    std::string_view record;
    RecordReader walk(payload);
    while (walk.next(record)) ++records;
    if (!walk.ok() || records != stored.header.record_count)
      add_damage(
          reader.path(), reader.frame_offset(),
          fmt::format("a frame of {} records holds {}", stored.header.record_count, records));
    if (stored.repeated) return;
    if (stored.header.last < state.last)
      add_damage(reader.path(), reader.frame_offset(),
                 fmt::format("a frame at {} follows one at {}",
                             model::to_string(stored.header.last), model::to_string(state.last)));
    if (stored.number == segment.before.next_frame) segment.info.first = stored.header.first;
    state.advance(stored.header);
    state.next_frame = stored.number + 1;
    ++report_.frames;
    report_.records += records;
  }

  io::Fs& fs_;
  VerifyReport report_;
  std::optional<Previous> previous_;
};

}  // namespace

Result<VerifyReport> verify(io::Fs& fs, const std::string& directory) {
  return Verification(fs).run(directory);
}

}  // namespace pgweir::log
