#include "log/segment.h"

#include <fmt/core.h>
#include <lz4.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace pgweir::log {
namespace {

constexpr std::string_view kSegmentMagic = "PGWEIRLG";
constexpr std::size_t kIdentityBytes = 16;
constexpr std::size_t kNumberDigits = 12;
constexpr std::string_view kFileSuffix = ".log";
// Bounds that every format version keeps, so that a newer one is recognised.
constexpr std::uint32_t kHeaderBytesMin = 32;
constexpr std::uint32_t kHeaderBytesMax = 4096;
constexpr std::uint8_t kSnapshotOpenFlag = 1;
constexpr std::uint8_t kRepeatedFlag = 1;
// Compressing less is not worth the call.
constexpr std::size_t kCompressBytesMin = 64;
// No lz4 block grows by more when it is restored.
constexpr std::uint64_t kRestoreRatioMax = 255;

void append_position(std::string& out, const model::Position& position) {
  append_file(out, position.epoch);
  append_file(out, model::value(position.lsn));
  append_file(out, position.sequence);
}

model::Position read_position(FileReader& reader) {
  model::Position position;
  position.epoch = reader.read<std::uint32_t>();
  position.lsn = model::Lsn{reader.read<std::uint64_t>()};
  position.sequence = reader.read<std::uint64_t>();
  return position;
}

std::string from_hex(std::string_view text) {
  std::string bytes;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
  bytes.resize(kIdentityBytes);
  return bytes;
}

std::string to_hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes)
    text += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  return text;
}

Error damaged(std::string reason) {
  return error(Code::kCorruption, std::move(reason));
}

std::uint32_t salted(std::uint64_t salt) {
  char bytes[sizeof(salt)];
  std::memcpy(bytes, &salt, sizeof(salt));
  return crc32c({bytes, sizeof(bytes)});
}

// FrameKind is checked by its number, since the file may hold any.
bool known_kind(std::uint8_t kind) {
  return kind >= static_cast<std::uint8_t>(FrameKind::kChanges) &&
         kind <= static_cast<std::uint8_t>(FrameKind::kReadEnd);
}

}  // namespace

void LogState::advance(const FrameHeader& frame) {
  if (frame.last.epoch > last.epoch) end_lsn = model::Lsn{};
  last = frame.last;
  end_lsn = std::max(end_lsn, frame.end_lsn);
  frame_us = frame.time_us;
  ++next_frame;
  if (frame.kind == FrameKind::kSnapshotBegin) snapshot_open = true;
  if (frame.kind == FrameKind::kSnapshotEnd) snapshot_open = false;
}

std::string segment_file_name(std::uint64_t number) {
  return fmt::format("{:012}{}", number, kFileSuffix);
}

std::optional<std::uint64_t> parse_segment_file_name(std::string_view name) {
  if (name.size() != kNumberDigits + kFileSuffix.size() || !name.ends_with(kFileSuffix))
    return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : name.substr(0, kNumberDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

std::string encode_segment_header(const SegmentHeader& header) {
  std::string out;
  out.reserve(kSegmentHeaderBytes);
  out += kSegmentMagic;
  append_file(out, header.adopted ? kFormatVersion : kOrdinaryVersion);
  append_file(out, static_cast<std::uint32_t>(header.header_bytes()));
  out += from_hex(header.identity);
  append_file(out, header.number);
  append_file(out, header.salt);
  append_file(out, header.epoch);
  append_file(out, header.protocol_version);
  append_file(out, static_cast<std::uint8_t>(header.codec));
  append_file(out, header.before.snapshot_open ? kSnapshotOpenFlag : std::uint8_t{0});
  append_file(out, std::uint16_t{0});
  append_file(out, header.repeated_count);
  append_file(out, header.created_us);
  append_position(out, header.first);
  append_position(out, header.before.last);
  append_file(out, model::value(header.before.end_lsn));
  append_file(out, header.before.frame_us);
  append_file(out, header.before.next_frame);
  append_file(out, header.bytes_before);
  if (header.adopted) {
    append_position(out, header.after.last);
    append_file(out, model::value(header.after.end_lsn));
    append_file(out, header.after.frame_us);
    append_file(out, header.after.next_frame);
    append_file(out, header.bytes);
    append_file(out, header.tail_offset);
    append_file(out, header.tail_frame);
  }
  append_file(out, crc32c(out));
  PGWEIR_ASSERT(out.size() == header.header_bytes(), "the segment header has a fixed size");
  return out;
}

Result<SegmentHeader> decode_segment_header(std::string_view bytes) {
  FileReader reader(bytes);
  if (reader.bytes(kSegmentMagic.size()) != kSegmentMagic)
    return damaged("it does not begin as a segment does");
  const auto version = reader.read<std::uint32_t>();
  const auto size = reader.read<std::uint32_t>();
  if (!reader.ok() || size < kHeaderBytesMin || size > kHeaderBytesMax || bytes.size() < size)
    return damaged("its header is cut short or has a wrong length");
  FileReader tail(bytes.substr(size - sizeof(std::uint32_t)));
  if (tail.read<std::uint32_t>() != crc32c(bytes.substr(0, size - sizeof(std::uint32_t))))
    return damaged("its header has a wrong checksum");
  if (version > kFormatVersion)
    return error(Code::kUnsupported,
                 fmt::format("the data folder is of a newer version: its log has format {}, this "
                             "program reads formats up to {}",
                             version, kFormatVersion),
                 "", "Use the version of pgweir that wrote it, or a newer one");
  SegmentHeader header;
  header.adopted = version == kFormatVersion;
  if (version < kOrdinaryVersion || size != header.header_bytes())
    return damaged(fmt::format("format {} with a header of {} bytes is not known", version, size));

  header.identity = to_hex(reader.bytes(kIdentityBytes));
  header.number = reader.read<std::uint64_t>();
  header.salt = reader.read<std::uint64_t>();
  header.epoch = reader.read<std::uint32_t>();
  header.protocol_version = reader.read<std::uint32_t>();
  header.codec = reader.read<std::uint8_t>() == 0 ? Codec::kNone : Codec::kLz4;
  header.before.snapshot_open = reader.read<std::uint8_t>() == kSnapshotOpenFlag;
  reader.read<std::uint16_t>();
  header.repeated_count = reader.read<std::uint32_t>();
  header.created_us = reader.read<std::int64_t>();
  header.first = read_position(reader);
  header.before.last = read_position(reader);
  header.before.end_lsn = model::Lsn{reader.read<std::uint64_t>()};
  header.before.frame_us = reader.read<std::int64_t>();
  header.before.next_frame = reader.read<std::uint64_t>();
  header.bytes_before = reader.read<std::uint64_t>();
  if (!header.adopted) return header;
  header.after.last = read_position(reader);
  header.after.end_lsn = model::Lsn{reader.read<std::uint64_t>()};
  header.after.frame_us = reader.read<std::int64_t>();
  header.after.next_frame = reader.read<std::uint64_t>();
  header.after.snapshot_open = header.before.snapshot_open;
  header.bytes = reader.read<std::uint64_t>();
  header.tail_offset = reader.read<std::uint64_t>();
  header.tail_frame = reader.read<std::uint64_t>();
  const bool sound = header.tail_frame > header.before.next_frame &&
                     header.tail_frame < header.after.next_frame &&
                     header.tail_offset > kAdoptedHeaderBytes && header.tail_offset < header.bytes;
  if (!sound) return damaged("its header places its last frames where they cannot be");
  return header;
}

Codec FrameEncoder::store(std::string_view payload, std::string& out) {
  if (codec_ == Codec::kLz4 && payload.size() >= kCompressBytesMin &&
      payload.size() <= LZ4_MAX_INPUT_SIZE) {
    state_.resize(static_cast<std::size_t>(LZ4_sizeofState()));
    const std::size_t at = out.size();
    // Less room than the payload's own size: lz4 gives up where it does not pay.
    const std::size_t room = payload.size() - 1;
    out.resize(at + room);
    const int size =
        LZ4_compress_fast_extState(state_.data(), payload.data(), out.data() + at,
                                   static_cast<int>(payload.size()), static_cast<int>(room), 1);
    out.resize(at + static_cast<std::size_t>(size));
    if (size > 0) return Codec::kLz4;
  }
  out += payload;
  return Codec::kNone;
}

void FrameEncoder::encode(StoredFrame frame, std::string_view payload, std::uint64_t salt,
                          std::string& out) {
  const std::size_t at = out.size();
  out.reserve(at + frame_bytes(payload.size()));
  out.append(kFrameHeaderBytes, '\0');
  frame.codec = store(payload, out);
  const std::string_view stored = std::string_view(out).substr(at + kFrameHeaderBytes);
  frame.stored_bytes = static_cast<std::uint32_t>(stored.size());
  frame.raw_bytes = static_cast<std::uint32_t>(payload.size());
  frame.payload_checksum = payload_checksum(stored, salt);
  const std::string header = encode_frame_header(frame, salt);
  std::memcpy(out.data() + at, header.data(), header.size());
}

std::string encode_frame_header(const StoredFrame& frame, std::uint64_t salt) {
  const FrameHeader& header = frame.header;
  std::string bytes;
  bytes.reserve(kFrameHeaderBytes);
  bytes += kFrameMagic;
  append_file(bytes, frame.stored_bytes);
  append_file(bytes, frame.raw_bytes);
  append_file(bytes, frame.payload_checksum);
  append_file(bytes, static_cast<std::uint8_t>(header.kind));
  append_file(bytes, static_cast<std::uint8_t>(frame.codec));
  append_file(bytes, frame.repeated ? kRepeatedFlag : std::uint8_t{0});
  append_file(bytes, std::uint8_t{0});
  append_file(bytes, header.record_count);
  append_file(bytes, frame.number);
  append_file(bytes, frame.synced_bytes);
  append_position(bytes, header.first);
  append_position(bytes, header.last);
  append_file(bytes, model::value(header.start_lsn));
  append_file(bytes, model::value(header.end_lsn));
  append_file(bytes, header.key);
  append_file(bytes, header.time_us);
  append_file(bytes, header.xid);
  append_file(bytes, crc32c(bytes, salted(salt)));
  PGWEIR_ASSERT(bytes.size() == kFrameHeaderBytes, "the frame header has a fixed size");
  return bytes;
}

std::optional<StoredFrame> decode_frame_header(std::string_view bytes, std::uint64_t salt) {
  FileReader reader(bytes.substr(0, kFrameHeaderBytes));
  if (reader.bytes(kFrameMagic.size()) != kFrameMagic) return std::nullopt;
  StoredFrame frame;
  FrameHeader& header = frame.header;
  frame.stored_bytes = reader.read<std::uint32_t>();
  frame.raw_bytes = reader.read<std::uint32_t>();
  frame.payload_checksum = reader.read<std::uint32_t>();
  const auto kind = reader.read<std::uint8_t>();
  const auto codec = reader.read<std::uint8_t>();
  const auto flags = reader.read<std::uint8_t>();
  reader.read<std::uint8_t>();
  header.record_count = reader.read<std::uint32_t>();
  frame.number = reader.read<std::uint64_t>();
  frame.synced_bytes = reader.read<std::uint64_t>();
  header.first = read_position(reader);
  header.last = read_position(reader);
  header.start_lsn = model::Lsn{reader.read<std::uint64_t>()};
  header.end_lsn = model::Lsn{reader.read<std::uint64_t>()};
  header.key = reader.read<std::uint64_t>();
  header.time_us = reader.read<std::int64_t>();
  header.xid = reader.read<std::uint32_t>();
  const std::size_t covered = reader.offset();
  const auto checksum = reader.read<std::uint32_t>();
  if (!reader.ok() || checksum != crc32c(bytes.substr(0, covered), salted(salt)))
    return std::nullopt;
  if (!known_kind(kind) || codec > static_cast<std::uint8_t>(Codec::kLz4)) return std::nullopt;
  header.kind = static_cast<FrameKind>(kind);
  frame.codec = static_cast<Codec>(codec);
  frame.repeated = (flags & kRepeatedFlag) != 0;
  return frame;
}

std::uint32_t payload_checksum(std::string_view stored, std::uint64_t salt) {
  return crc32c(stored, salted(salt));
}

bool restore_payload(const StoredFrame& frame, std::string_view stored, std::string& payload) {
  if (frame.codec == Codec::kNone) {
    payload.assign(stored);
    return frame.raw_bytes == frame.stored_bytes;
  }
  if (stored.size() > LZ4_MAX_INPUT_SIZE || frame.raw_bytes > LZ4_MAX_INPUT_SIZE) return false;
  if (frame.raw_bytes > stored.size() * kRestoreRatioMax) return false;
  payload.resize(frame.raw_bytes);
  const int size =
      LZ4_decompress_safe(stored.data(), payload.data(), static_cast<int>(stored.size()),
                          static_cast<int>(payload.size()));
  return size >= 0 && static_cast<std::size_t>(size) == payload.size();
}

}  // namespace pgweir::log
