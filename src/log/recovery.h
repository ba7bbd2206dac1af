// What a log's folder holds when it is opened, with what a crash left at its end put right.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/fs.h"
#include "log/published.h"
#include "log/segment_reader.h"

namespace pgweir::log {

struct SegmentFile {
  std::uint64_t number = 0;
  std::string path;
};

// The segment files of a folder in order. kCorruption when one in the middle is missing.
Result<std::vector<SegmentFile>> list_segments(io::Fs& fs, const std::string& directory);

// Fills in what the header of a segment and the one behind it tell.
Segment describe(const SegmentFile& file, const SegmentHeader& header);
void end_segment(Segment& segment, const SegmentHeader& following);

// What does not fit between a segment and the one behind it; nothing when all does.
std::optional<std::string> chain_fault(const SegmentHeader& header, std::uint64_t bytes,
                                       const SegmentHeader& following);

struct Recovered {
  std::vector<Segment> segments;              // oldest first; none when there is no log yet
  LogState state;                             // behind the last whole frame
  std::map<std::uint64_t, FramePtr> schemas;  // the newest kSchema of every key
  SegmentHeader last_header;
};

// Reads all headers and the frames of the last segment. Removes a last segment whose making a crash
// cut off. What is behind Segment::info.bytes in the last one is a torn tail, still to be cut.
Result<Recovered> recover(io::Fs& fs, const std::string& directory, std::uint32_t frame_bytes_max);

}  // namespace pgweir::log
