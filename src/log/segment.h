// The bytes of a segment file: its header, and frames as they are stored.
//
// Place:   pure encoding and decoding; segment_reader.h and segment_writer.h do the reading and
//          writing of files.
// Format:  docs/formats/log.md
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "log/frame.h"
#include "model/position.h"

namespace pgweir::log {

// The newest version; a segment has the lowest that can say what is in it.
inline constexpr std::uint32_t kFormatVersion = 2;
inline constexpr std::uint32_t kOrdinaryVersion = 1;  // of segments that are not adopted
inline constexpr std::uint64_t kFirstSegmentNumber = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 148;  // of an ordinary segment ...
inline constexpr std::size_t kAdoptedHeaderBytes = 216;  // ... and of an adopted one
inline constexpr std::size_t kFrameHeaderBytes = 120;
inline constexpr std::string_view kFrameMagic = "wFrm";

// What the log amounts to between two of its frames.
struct LogState {
  model::Position last;          // of the last frame
  model::Lsn end_lsn{};          // the newest of the epoch of `last`
  std::int64_t frame_us = 0;     // time of the last frame
  std::uint64_t next_frame = 0;  // frames of the log are numbered from 0
  bool snapshot_open = false;    // behind a kSnapshotBegin and before its kSnapshotEnd

  void advance(const FrameHeader& frame);
  bool operator==(const LogState&) const = default;
};

struct SegmentHeader {
  std::string identity;      // of the log: 32 hexadecimal digits
  std::uint64_t number = 0;  // of the segment; also its file name
  std::uint64_t salt = 0;    // random; part of every frame's checksum, so that no frame of another
                             // segment, and no user's data, is ever taken for one of this segment
  std::uint32_t epoch = 0;   // of the frames; 0 in the first segment of a log
  std::uint32_t protocol_version = 0;
  Codec codec = Codec::kNone;
  std::uint32_t repeated_count = 0;  // kSchema frames repeated at the head
  std::int64_t created_us = 0;
  model::Position first;  // of the first frame of its own; zero in the first segment of a log
  LogState before;        // where the segment before it ended
  std::uint64_t bytes_before = 0;  // size of the segment before it; 0 when there was none

  // A spooled transaction's file that became a segment (spool.h): whole on the disk before it had
  // its name, and never appended to. Only then the rest is set.
  bool adopted = false;
  LogState after;                 // where the segment ends
  std::uint64_t bytes = 0;        // its size
  std::uint64_t tail_offset = 0;  // of the frames behind the transaction's rows ...
  std::uint64_t tail_frame = 0;   // ... and the number of the first of them

  std::size_t header_bytes() const { return adopted ? kAdoptedHeaderBytes : kSegmentHeaderBytes; }
};

// A frame's header together with what only the file needs.
struct StoredFrame {
  FrameHeader header;
  Codec codec = Codec::kNone;
  bool repeated = false;  // a kSchema from an earlier segment
  std::uint32_t stored_bytes = 0;
  std::uint32_t raw_bytes = 0;
  std::uint32_t payload_checksum = 0;
  std::uint64_t number = 0;        // in the log; a repeated frame: its place at the segment's head
  std::uint64_t synced_bytes = 0;  // so much of the segment was durable when this was written
};

// 12 digits and ".log".
std::string segment_file_name(std::uint64_t number);
std::optional<std::uint64_t> parse_segment_file_name(std::string_view name);

std::string encode_segment_header(const SegmentHeader& header);

// kCorruption with the reason for damage; kUnsupported for a newer format version.
Result<SegmentHeader> decode_segment_header(std::string_view bytes);

// The most that a frame with such a payload takes in the file.
constexpr std::size_t frame_bytes(std::size_t payload_bytes) {
  return kFrameHeaderBytes + payload_bytes;
}

// Writes frame headers and payloads, compressing into memory that is used again.
class FrameEncoder {
 public:
  explicit FrameEncoder(Codec codec) : codec_(codec) {}

  // Appends the frame to `out`. Of `frame` only header, repeated, number and synced_bytes are used.
  void encode(StoredFrame frame, std::string_view payload, std::uint64_t salt, std::string& out);

 private:
  // Appends the payload to `out`, compressed if that makes it smaller.
  Codec store(std::string_view payload, std::string& out);

  Codec codec_;
  std::string state_;
};

// The bytes of a frame's header.
std::string encode_frame_header(const StoredFrame& frame, std::uint64_t salt);

// The frame header at the front of `bytes` (at least kFrameHeaderBytes); nothing when these are not
// the bytes of one. Sizes are not judged here.
std::optional<StoredFrame> decode_frame_header(std::string_view bytes, std::uint64_t salt);

// The checksum of a payload as stored.
std::uint32_t payload_checksum(std::string_view stored, std::uint64_t salt);

// The payload out of its stored form; false when that does not give exactly raw_bytes.
bool restore_payload(const StoredFrame& frame, std::string_view stored, std::string& payload);

}  // namespace pgweir::log
