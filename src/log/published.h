// What the log shows to its readers: what is durable, where it is, and the newest frames in memory.
//
// Place:   between the one writer (log.cc) and the cursors (cursor.h).
// Threads: any; the writer's calls come from one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "log/log.h"
#include "log/segment.h"

namespace pgweir::log {

// Where a frame of a segment's own begins.
struct FramePlace {
  std::uint64_t frame = 0;
  std::uint64_t offset = 0;
};

struct Segment {
  SegmentInfo info;  // as far as it is durable
  std::uint64_t number = 0;
  LogState before;                 // where the segment before it ended
  std::vector<FramePlace> places;  // some of its frames, in order; none of a segment not yet read
};

// A segment remembers a place in so many of its bytes: that much is skipped to find a frame.
inline constexpr std::uint64_t kPlaceBytesMin = 1 * kMiB;
void add_place(Segment& segment, const FramePlace& place);

class Published {
 public:
  Published(std::uint64_t tip_bytes_max, LogState durable, std::vector<Segment> segments);

  // The writer has made everything up to `durable` durable. `newest` are the last frames of it, in
  // order, as many as the writer still has; `current` is how far the last segment got.
  void publish(std::vector<FramePtr> newest, const LogState& durable, Segment current)
      EXCLUDES(mutex_);
  // The last segment ended as `ended` says; `begun` follows it. Nothing new is shown yet.
  void add_segment(Segment ended, Segment begun) EXCLUDES(mutex_);
  // Forgets the oldest segment.
  void remove_oldest() EXCLUDES(mutex_);

  LogState durable() const EXCLUDES(mutex_);
  std::vector<SegmentInfo> segments() const EXCLUDES(mutex_);
  std::vector<std::pair<SegmentInfo, LogState>> segments_with_states() const EXCLUDES(mutex_);
  std::uint64_t bytes() const EXCLUDES(mutex_);

  // Where to look for a frame: in memory, or in a file at or before its place.
  struct Found {
    FramePtr frame;           // when it is in memory
    std::string path;         // else the file; empty when there is no such frame yet
    FramePlace place;         // a frame of the file, not behind the wanted one; zero: its first
    std::uint64_t bytes = 0;  // how much of the file may be read
  };
  // Waits up to `timeout` for the frame of that number, or until wake() has been called since
  // `wakes_seen` (which it updates). kNotFound when it was pruned.
  Result<Found> find(std::uint64_t frame, Microseconds timeout, std::uint64_t& wakes_seen)
      EXCLUDES(mutex_);
  // The segment from which to search for what follows `after`, and the number of the first frame
  // that is not durable. Errors as Log::read().
  Result<std::pair<Found, std::uint64_t>> find_start(const model::Position& after) EXCLUDES(mutex_);

  std::uint64_t wakes() const EXCLUDES(mutex_);
  void wake() EXCLUDES(mutex_);

 private:
  Found in_file(const Segment& segment, std::uint64_t frame) const;

  const std::uint64_t tip_bytes_max_;
  mutable Mutex mutex_;
  Condition changed_;
  LogState durable_ GUARDED_BY(mutex_);
  std::vector<Segment> segments_ GUARDED_BY(mutex_);
  // The last frames before durable_.next_frame, without a gap.
  std::deque<FramePtr> tip_ GUARDED_BY(mutex_);
  std::uint64_t tip_bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t wakes_ GUARDED_BY(mutex_) = 0;
};

// What a frame costs in memory.
std::uint64_t memory_bytes(const Frame& frame);

inline constexpr const char* kLostHint =
    "The follower must be seeded again; raise log.retain or log.max_size to keep more";

// The answer to a follower whose next frame is gone.
Error lost_error(const std::string& what, const model::Position& log_begin);

}  // namespace pgweir::log
