// Arbitrary bytes as the segments of a log: opening, reading and verifying must neither crash nor
// take memory that the bytes do not account for, and opening twice must tell the same.
//
// The first byte of the input chooses: bit 0, its rest is a list of changes to a sound log instead
// of a file; bit 1, checksums are put right afterwards, so that what is behind them is reached;
// bit 2, the file is cut in two segments; bit 3, the changes are those of an adopted segment,
// behind a sound one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "io/clock.h"
#include "io/fake_fs.h"
#include "log/log.h"
#include "log/segment.h"

namespace pgweir::log {
namespace {

constexpr const char* kDirectory = "wal";
constexpr std::size_t kSaltOffset = 40;
constexpr std::size_t kFrameCrcOffset = kFrameHeaderBytes - 4;

std::string path(std::uint64_t number) {
  return std::string(kDirectory) + "/" + segment_file_name(number);
}

void put_u32(std::string& bytes, std::size_t at, std::uint32_t value) {
  std::string encoded;
  append_file(encoded, value);
  bytes.replace(at, encoded.size(), encoded);
}

std::string sound_segment() {
  SegmentHeader header;
  header.identity = std::string(32, 'a');
  header.number = kFirstSegmentNumber;
  header.salt = 1;
  header.codec = Codec::kLz4;
  std::string bytes = encode_segment_header(header);
  FrameEncoder encoder(Codec::kLz4);
  for (std::uint64_t i = 0; i < 4; ++i) {
    StoredFrame frame;
    frame.number = i;
    frame.synced_bytes = i < 2 ? 0 : kSegmentHeaderBytes;
    frame.header.kind = i == 1 ? FrameKind::kSchema : FrameKind::kChanges;
    frame.header.first = frame.header.last = {1, model::Lsn{i * 8}, 1};
    frame.header.record_count = 1;
    std::string payload;
    append_record(payload, std::string(40 + i * 60, static_cast<char>('a' + i)));
    encoder.encode(frame, payload, header.salt, bytes);
  }
  return bytes;
}

// Segment 2, adopted, behind sound_segment().
std::string sound_adopted() {
  SegmentHeader header;
  header.identity = std::string(32, 'a');
  header.number = kFirstSegmentNumber + 1;
  header.salt = 2;
  header.epoch = 1;
  header.codec = Codec::kLz4;
  header.adopted = true;
  header.before = {.last = {1, model::Lsn{24}, 1}, .next_frame = 4};
  header.first = {1, model::Lsn{32}, 0};
  header.bytes_before = sound_segment().size();
  header.after = header.before;
  std::string frames;
  FrameEncoder encoder(Codec::kLz4);
  constexpr FrameKind kKinds[] = {FrameKind::kTransaction, FrameKind::kChanges, FrameKind::kSchema,
                                  FrameKind::kChanges};
  for (std::uint64_t i = 0; i < std::size(kKinds); ++i) {
    if (i == 2) header.tail_offset = kAdoptedHeaderBytes + frames.size();
    StoredFrame frame;
    frame.number = header.before.next_frame + i;
    frame.header.kind = kKinds[i];
    frame.header.first = frame.header.last = {1, model::Lsn{32}, i};
    frame.header.record_count = 1;
    std::string payload;
    append_record(payload, std::string(40 + i * 60, static_cast<char>('a' + i)));
    encoder.encode(frame, payload, header.salt, frames);
    header.after.advance(frame.header);
  }
  header.tail_frame = header.before.next_frame + 2;
  header.bytes = kAdoptedHeaderBytes + frames.size();
  return encode_segment_header(header) + frames;
}

std::string change(std::string bytes, std::string_view changes) {
  for (; changes.size() >= 3; changes.remove_prefix(3)) {
    FileReader reader(changes);
    const std::size_t at = reader.read<std::uint16_t>() % bytes.size();
    bytes[at] = changes[2];
  }
  return bytes;
}

// Puts every magic number, length and checksum right, frame after frame.
void reseal(std::string& bytes) {
  if (bytes.size() < kSegmentHeaderBytes) return;
  const std::string sound = sound_segment();
  bytes.replace(0, kSaltOffset, sound, 0, kSaltOffset);
  put_u32(bytes, kSegmentHeaderBytes - 4,
          crc32c(std::string_view(bytes).substr(0, kSegmentHeaderBytes - 4)));
  FileReader salt_reader(std::string_view(bytes).substr(kSaltOffset));
  const auto salt = salt_reader.read<std::uint64_t>();
  for (std::size_t at = kSegmentHeaderBytes; bytes.size() - at >= kFrameHeaderBytes;) {
    bytes.replace(at, kFrameMagic.size(), kFrameMagic);
    FileReader reader(std::string_view(bytes).substr(at + kFrameMagic.size()));
    const std::size_t payload_at = at + kFrameHeaderBytes;
    const std::size_t size =
        std::min<std::size_t>(reader.read<std::uint32_t>() % 1024, bytes.size() - payload_at);
    put_u32(bytes, at + 4, static_cast<std::uint32_t>(size));
    const std::string_view payload = std::string_view(bytes).substr(payload_at, size);
    put_u32(bytes, at + 12, payload_checksum(payload, salt));
    put_u32(bytes, at + kFrameCrcOffset,
            payload_checksum(std::string_view(bytes).substr(at, kFrameCrcOffset), salt));
    at = payload_at + size;
  }
}

// How many frames can be read, and what ended the reading.
std::string outcome(io::FakeFs& fs) {
  const io::FakeClock clock;
  LogOptions options;
  options.write_buffer_bytes_max = 1024;
  auto log = Log::open(fs, clock, kDirectory, options);
  if (!log.ok()) return log.error().text();
  auto cursor = log.value()->read({});
  if (!cursor.ok()) return cursor.error().text();
  for (int frames = 0;; ++frames) {
    const auto frame = cursor.value()->next(Microseconds(0));
    if (!frame.ok()) return std::to_string(frames) + frame.error().text();
    if (frame.value() == nullptr) return std::to_string(frames);
  }
}

void run(std::string_view input) {
  if (input.empty()) return;
  const auto mode = static_cast<unsigned char>(input[0]);
  input.remove_prefix(1);
  if ((mode & 8) != 0) {
    io::FakeFs adopted;
    adopted.overwrite(path(1), sound_segment());
    adopted.overwrite(path(2), change(sound_adopted(), input));
    (void)verify(adopted, kDirectory);
    const std::string first = outcome(adopted);
    if (outcome(adopted) != first) std::abort();
    if (input.empty() && first != "8") std::abort();
    return;
  }
  std::string bytes = (mode & 1) != 0 ? change(sound_segment(), input) : std::string(input);
  if ((mode & 2) != 0) reseal(bytes);
  io::FakeFs fs;
  fs.overwrite(path(1), bytes);
  if ((mode & 4) != 0) fs.overwrite(path(2), bytes.substr(bytes.size() / 2));
  (void)verify(fs, kDirectory);
  const std::string first = outcome(fs);
  if (outcome(fs) != first) std::abort();
}

}  // namespace
}  // namespace pgweir::log

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pgweir::log::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
