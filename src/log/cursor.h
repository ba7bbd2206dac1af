// A reader of the log: from memory at the tip, from segment files further behind, without a gap and
// without a duplicate where it changes between the two.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "io/fs.h"
#include "log/log.h"
#include "log/published.h"
#include "log/segment_reader.h"

namespace pgweir::log {

class FileCursor final : public Log::Cursor {
 public:
  // As Log::read(). `fs` and `published` must outlive the cursor.
  static Result<std::unique_ptr<Log::Cursor>> create(io::Fs& fs, Published& published,
                                                     const model::Position& after,
                                                     const std::string& identity,
                                                     std::uint32_t frame_bytes_max);

  Result<FramePtr> next(Microseconds timeout) override;

 private:
  FileCursor(io::Fs& fs, Published& published, std::string identity, std::uint32_t frame_bytes_max)
      : fs_(fs),
        published_(published),
        identity_(std::move(identity)),
        frame_bytes_max_(frame_bytes_max) {}

  Status start(const model::Position& after);
  Status open_segment(const std::string& path);
  Result<FramePtr> next_from_file(const Published::Found& found);
  // The frame next_frame_, from where the reader stands.
  Result<FramePtr> read_frame();
  Result<FramePtr> load(const StoredFrame& stored);

  io::Fs& fs_;
  Published& published_;
  const std::string identity_;
  const std::uint32_t frame_bytes_max_;

  std::deque<FramePtr> schemas_;  // that hold at the start and are still to be given
  std::uint64_t next_frame_ = 0;
  std::uint64_t wakes_seen_ = 0;
  // Stands at next_frame_, or is null.
  std::unique_ptr<SegmentReader> reader_;
};

}  // namespace pgweir::log
