#include "log/published.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

namespace pgweir::log {

std::uint64_t memory_bytes(const Frame& frame) {
  return sizeof(Frame) + frame.payload.capacity();
}

Error lost_error(const std::string& what, const model::Position& log_begin) {
  return error(Code::kNotFound,
               fmt::format("{} is no longer in the log: retention has removed it", what),
               fmt::format("the log begins after {}", model::to_string(log_begin)), kLostHint);
}

void add_place(Segment& segment, const FramePlace& place) {
  if (segment.places.empty() || place.offset >= segment.places.back().offset + kPlaceBytesMin)
    segment.places.push_back(place);
}

Published::Published(std::uint64_t tip_bytes_max, LogState durable, std::vector<Segment> segments)
    : tip_bytes_max_(tip_bytes_max), durable_(durable), segments_(std::move(segments)) {}

void Published::publish(std::vector<FramePtr> newest, const LogState& durable, Segment current) {
  MutexLock lock(mutex_);
  if (durable_.next_frame + newest.size() != durable.next_frame) {
    tip_.clear();
    tip_bytes_ = 0;
  }
  for (FramePtr& frame : newest) {
    tip_bytes_ += memory_bytes(*frame);
    tip_.push_back(std::move(frame));
  }
  while (tip_bytes_ > tip_bytes_max_ && !tip_.empty()) {
    tip_bytes_ -= memory_bytes(*tip_.front());
    tip_.pop_front();
  }
  durable_ = durable;
  segments_.back() = std::move(current);
  changed_.notify_all();
}

void Published::add_segment(Segment ended, Segment begun) {
  MutexLock lock(mutex_);
  segments_.back() = std::move(ended);
  segments_.push_back(std::move(begun));
}

void Published::remove_oldest() {
  MutexLock lock(mutex_);
  segments_.erase(segments_.begin());
}

LogState Published::durable() const {
  MutexLock lock(mutex_);
  return durable_;
}

std::vector<SegmentInfo> Published::segments() const {
  MutexLock lock(mutex_);
  std::vector<SegmentInfo> infos;
  for (const Segment& segment : segments_) infos.push_back(segment.info);
  return infos;
}

std::vector<std::pair<SegmentInfo, LogState>> Published::segments_with_states() const {
  MutexLock lock(mutex_);
  std::vector<std::pair<SegmentInfo, LogState>> out;
  for (const Segment& segment : segments_) out.emplace_back(segment.info, segment.before);
  return out;
}

std::uint64_t Published::bytes() const {
  MutexLock lock(mutex_);
  std::uint64_t sum = 0;
  for (const Segment& segment : segments_) sum += segment.info.bytes;
  return sum;
}

Published::Found Published::in_file(const Segment& segment, std::uint64_t frame) const {
  Found found;
  found.path = segment.info.file;
  found.bytes = segment.info.bytes;
  const auto behind = std::upper_bound(
      segment.places.begin(), segment.places.end(), frame,
      [](std::uint64_t wanted, const FramePlace& at) { return wanted < at.frame; });
  if (behind != segment.places.begin()) found.place = *std::prev(behind);
  return found;
}

Result<Published::Found> Published::find(std::uint64_t frame, Microseconds timeout,
                                         std::uint64_t& wakes_seen) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (frame >= durable_.next_frame) {
    if (wakes_seen != wakes_) {
      wakes_seen = wakes_;
      return Found{};
    }
    const auto left =
        std::chrono::duration_cast<Microseconds>(deadline - std::chrono::steady_clock::now());
    if (left <= Microseconds(0)) return Found{};
    changed_.wait_for(mutex_, left);
  }
  if (frame >= durable_.next_frame - tip_.size()) {
    Found found;
    found.frame = tip_[frame - (durable_.next_frame - tip_.size())];
    return found;
  }
  if (frame < segments_.front().before.next_frame)
    return lost_error(fmt::format("frame {}", frame), segments_.front().before.last);
  const auto behind = std::upper_bound(segments_.begin(), segments_.end(), frame,
                                       [](std::uint64_t wanted, const Segment& segment) {
                                         return wanted < segment.before.next_frame;
                                       });
  return in_file(*std::prev(behind), frame);
}

Result<std::pair<Published::Found, std::uint64_t>> Published::find_start(
    const model::Position& after) {
  MutexLock lock(mutex_);
  if (after < segments_.front().before.last)
    return lost_error(fmt::format("what follows position {}", model::to_string(after)),
                      segments_.front().before.last);
  if (after > durable_.last)
    return error(Code::kCorruption,
                 fmt::format("position {} lies behind the end of the log", model::to_string(after)),
                 fmt::format("the log ends at {}", model::to_string(durable_.last)),
                 "The position comes from a newer log: the log's folder is an older copy. Restore "
                 "the data folder as a whole, or seed the follower again");
  // A segment of which nothing is durable yet may lack its repeated schemas.
  std::size_t at = segments_.size() - 1;
  while (at > 0 && (segments_[at].before.last > after ||
                    segments_[at].before.next_frame >= durable_.next_frame))
    --at;
  return std::pair(in_file(segments_[at], segments_[at].before.next_frame), durable_.next_frame);
}

std::uint64_t Published::wakes() const {
  MutexLock lock(mutex_);
  return wakes_;
}

void Published::wake() {
  MutexLock lock(mutex_);
  ++wakes_;
  changed_.notify_all();
}

}  // namespace pgweir::log
