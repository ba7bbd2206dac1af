// A transaction's frames, written before their place in the log is known.
//
// Place:   a file of its own in the log's folder `spool`, in the format of a segment behind room
//          for what is known only at the commit. Log::adopt() completes it and gives it a segment's
//          name: nothing is copied. Whoever wants the frames otherwise reads them back.
// Life:    Log::begin_spool(), append() ..., then Log::adopt() or nothing: the destructor removes
//          the file. What a crash leaves is removed when the log is opened.
// Threads: the thread that appends to the log.
// Errors:  kNoSpace leaves the file as it was before the call, which can be made again. After kIo
//          the file is of no use.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "io/fs.h"
#include "log/published.h"
#include "log/segment.h"
#include "log/segment_reader.h"

namespace pgweir::log {

struct SpoolOptions {
  std::uint32_t head_bytes = 128 * 1024;  // room in front of the frames
  std::uint64_t sync_bytes = 16 * kMiB;   // written at most before a sync
  std::uint32_t frame_bytes_max = 1u << 30;
};

class Spool {
 public:
  // `header`: identity, salt, epoch, protocol version and codec are used. `fs` must outlive it.
  static Result<std::unique_ptr<Spool>> create(io::Fs& fs, std::string path,
                                               const SegmentHeader& header,
                                               const SpoolOptions& options);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // Positions are {0, 0, sequence}, sequences those of the transaction as far as known.
  Status append(const FrameHeader& frame, std::string_view payload);
  // Gives the file's descriptor back, after a sync; the next append() opens the file again.
  Status close();
  bool is_open() const { return file_ != nullptr; }

  // Of the file now.
  std::uint64_t bytes() const { return body_end_; }
  std::uint64_t frame_count() const { return frame_count_; }
  std::uint64_t salt() const { return header_.salt; }
  const SpoolOptions& options() const { return options_; }
  const SegmentHeader& header() const { return header_; }

  // Gives the frames in order. Not after complete().
  Result<std::unique_ptr<SegmentReader>> read() const;

  // --- For the log alone ---

  // What is known at the commit.
  struct Completion {
    model::Position commit;         // of the commit's record: gives epoch and LSN
    std::uint64_t first_frame = 0;  // number of the first frame
    // Of each frame's last record; empty: as spooled.
    const std::vector<std::uint64_t>* last_sequences = nullptr;
    std::string_view head;  // of options().head_bytes
    std::string_view tail;
  };
  // Writes it, and syncs. After kNoSpace it can be called again.
  Status complete(const Completion& completion, Segment& segment);
  // The file has another name now: gives its descriptor.
  std::unique_ptr<io::WritableFile> release();
  const std::string& path() const { return path_; }

 private:
  Spool(io::Fs& fs, std::string path, SegmentHeader header, const SpoolOptions& options);
  Status open();
  Status cut(std::uint64_t bytes, Status why);
  Status number_frames(const Completion& completion, Segment& segment);
  Status put(std::uint64_t offset, std::string bytes);

  io::Fs& fs_;
  const std::string path_;
  const SegmentHeader header_;
  const SpoolOptions options_;
  std::unique_ptr<io::WritableFile> file_;
  std::uint64_t body_end_;
  std::uint64_t synced_bytes_ = 0;
  std::uint64_t frame_count_ = 0;
  // A frame's header that a full disk has left half written.
  std::optional<std::pair<std::uint64_t, std::string>> unfinished_;
  bool adopted_ = false;
};

}  // namespace pgweir::log
