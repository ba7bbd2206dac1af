// Reads a log out of its folder: without the log being open, also beside the one who writes it.
//
// Place:   for tools that look at a log; followers of a running pipeline use Log::read(). Changes
//          nothing in the folder.
// Life:    open(), then next() until it gives nothing. What is appended meanwhile is found as far
//          as it comes before that, also in segments that were not there yet; a torn tail, or a
//          frame being written, is the end.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "io/fs.h"
#include "log/log.h"
#include "log/recovery.h"
#include "log/segment_reader.h"

namespace pgweir::log {

class FolderCursor final : public Log::Cursor {
 public:
  // Gives every frame with last > `after`, and first the kSchema frames that hold there; with an
  // `after` inside a streamed transaction, all of that, as Log::read() does; with an `after` in
  // front of the log, everything. kNotFound when there is no log in the folder.
  static Result<std::unique_ptr<FolderCursor>> open(
      io::Fs& fs, const std::string& directory, const model::Position& after,
      std::uint32_t frame_bytes_max = LogOptions().frame_bytes_max);

  // Never waits. nullptr at the end, for good.
  Result<FramePtr> next(Microseconds timeout) override;

  // Of the record in front of the log's first one: {0,0,0} unless some were pruned.
  const model::Position& begin() const { return begin_; }

 private:
  FolderCursor(io::Fs& fs, std::string directory, const model::Position& after,
               std::uint32_t frame_bytes_max)
      : fs_(fs),
        directory_(std::move(directory)),
        after_(after),
        frame_bytes_max_(frame_bytes_max) {}
  Status start();
  Result<bool> find_more();
  Result<bool> next_stored(StoredFrame& stored);
  Result<FramePtr> load(const StoredFrame& stored);
  bool is_last() const { return next_file_ == files_.size(); }

  io::Fs& fs_;
  const std::string directory_;
  const model::Position after_;
  const std::uint32_t frame_bytes_max_;
  std::vector<SegmentFile> files_;
  std::size_t next_file_ = 0;  // the one behind the reader's
  std::unique_ptr<SegmentReader> reader_;
  std::deque<FramePtr> ready_;
  model::Position begin_;
  bool ended_ = false;
};

}  // namespace pgweir::log
