// Damage is found when it is read, named with file and offset, and never passed over.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "log/segment.h"
#include "log/testing_script.h"

namespace pgweir::log {
namespace {

constexpr const char* kSteps = "SaSb|cSde|fgh<xyz>ijklm|n|^op|qr|";
constexpr const char* kExpected = "AaBbcCdefgh<xyz>ijklmnopqr";

struct Segments {
  std::vector<std::string> paths;
  std::vector<std::string> bytes;

  bool operator==(const Segments&) const = default;
};

Segments take_segments(io::FakeFs& fs) {
  Segments out;
  for (const std::string& name : fs.list(kTestDirectory).value()) {
    out.paths.push_back(std::string(kTestDirectory) + "/" + name);
    out.bytes.push_back(fs.content(out.paths.back()));
  }
  return out;
}

Segments make_log() {
  io::FakeFs fs;
  Script script(fs);
  EXPECT_TRUE(script.run(kSteps).ok());
  EXPECT_EQ(read_all(script.log()), kExpected);
  script.close();
  return take_segments(fs);
}

void put(io::FakeFs& fs, const Segments& segments) {
  for (std::size_t i = 0; i < segments.paths.size(); ++i)
    fs.overwrite(segments.paths[i], segments.bytes[i]);
}

// Opens and reads everything, twice; the letters, and the text of the first error.
std::pair<std::string, std::string> open_and_read(io::FakeFs& fs) {
  const io::FakeClock clock;
  const Segments before = take_segments(fs);
  auto log = Log::open(fs, clock, kTestDirectory, small_options());
  if (!log.ok()) {
    EXPECT_EQ(take_segments(fs), before) << "opening a damaged log changed it";
    return {"", log.error().text()};
  }
  auto cursor = log.value()->read({});
  if (!cursor.ok()) return {"", cursor.error().text()};
  std::string letters;
  while (true) {
    const auto frame = cursor.value()->next(Microseconds(0));
    if (!frame.ok()) {
      const auto again = cursor.value()->next(Microseconds(0));
      EXPECT_FALSE(again.ok()) << "the cursor went on behind the damage";
      return {letters, frame.error().text()};
    }
    if (frame.value() == nullptr) return {letters, ""};
    letters += letter_of(*frame.value());
  }
}

// Where the last frame of a segment begins.
std::size_t last_frame_offset(const std::string& bytes) {
  return bytes.rfind(kFrameMagic);
}

bool found_by_verify(io::FakeFs& fs, const std::string& path) {
  const auto report = verify(fs, kTestDirectory).value();
  for (const Damage& damage : report.damages) {
    if (damage.file == path) return true;
  }
  return false;
}

TEST(LogDamage, EveryFlippedBitIsFoundOrCutWithTheLastFrame) {
  const Segments whole = make_log();
  ASSERT_GE(whole.paths.size(), 3u);
  for (std::size_t file = 0; file < whole.paths.size(); ++file) {
    const bool is_last = file + 1 == whole.paths.size();
    for (std::size_t at = 0; at < whole.bytes[file].size(); ++at) {
      SCOPED_TRACE(testing::Message() << whole.paths[file] << " byte " << at);
      Segments damaged = whole;
      damaged.bytes[file][at] = static_cast<char>(damaged.bytes[file][at] ^ (1 << at % 8));
      io::FakeFs fs;
      put(fs, damaged);
      const bool in_last_frame = is_last && at >= last_frame_offset(whole.bytes[file]);
      EXPECT_EQ(found_by_verify(fs, whole.paths[file]), !in_last_frame);
      const auto [letters, failure] = open_and_read(fs);
      if (in_last_frame) {
        EXPECT_EQ(failure, "");
        EXPECT_EQ(letters, std::string(kExpected).substr(0, std::string(kExpected).size() - 1));
      } else {
        EXPECT_NE(failure.find(fmt::format("'{}' is damaged at offset ", whole.paths[file])),
                  std::string::npos)
            << failure;
        EXPECT_EQ(letters, std::string(kExpected).substr(0, letters.size())) << failure;
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(LogDamage, EveryTruncationIsFoundOrATornTail) {
  const Segments whole = make_log();
  for (std::size_t file = 0; file < whole.paths.size(); ++file) {
    const bool is_last = file + 1 == whole.paths.size();
    for (std::size_t size = 0; size < whole.bytes[file].size(); ++size) {
      SCOPED_TRACE(testing::Message() << whole.paths[file] << " cut to " << size);
      Segments damaged = whole;
      damaged.bytes[file].resize(size);
      io::FakeFs fs;
      put(fs, damaged);
      const auto [letters, failure] = open_and_read(fs);
      EXPECT_EQ(letters, std::string(kExpected).substr(0, letters.size()));
      EXPECT_EQ(failure.empty(), is_last) << failure;
      if (!is_last) {
        EXPECT_NE(failure.find(whole.paths[file]), std::string::npos) << failure;
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(LogDamage, UnmadeSegmentBehindDamageStaysUntilTheDamageIsMended) {
  Segments segments = make_log();
  segments.paths.push_back(std::string(kTestDirectory) + "/" +
                           segment_file_name(segments.paths.size() + 1));
  segments.bytes.emplace_back("PGWE");
  for (const std::size_t file : {std::size_t{0}, segments.paths.size() - 2}) {
    Segments damaged = segments;
    damaged.bytes[file][30] ^= 1;
    io::FakeFs fs;
    put(fs, damaged);
    EXPECT_NE(open_and_read(fs).second.find(segments.paths[file]), std::string::npos);
    fs.overwrite(segments.paths[file], segments.bytes[file]);
    EXPECT_EQ(open_and_read(fs), (std::pair<std::string, std::string>(kExpected, "")));
    EXPECT_FALSE(fs.exists(segments.paths.back()));
  }
}

TEST(LogDamage, MissingSegmentIsNamed) {
  const Segments whole = make_log();
  io::FakeFs fs;
  put(fs, whole);
  ASSERT_TRUE(fs.remove(whole.paths[1]).ok());
  EXPECT_NE(open_and_read(fs).second.find(whole.paths[1] + "' is missing"), std::string::npos);
  EXPECT_TRUE(found_by_verify(fs, whole.paths[1]));
}

TEST(LogDamage, SegmentOfAnotherLogIsRefused) {
  const Segments whole = make_log();
  const Segments other = make_log();
  io::FakeFs fs;
  put(fs, whole);
  fs.overwrite(whole.paths[1], other.bytes[1]);
  EXPECT_NE(open_and_read(fs).second.find("belongs to log"), std::string::npos);
}

TEST(LogDamage, FrameCopiedFromAnotherSegmentIsNotTakenForOneOfThis) {
  Segments segments = make_log();
  std::string& last = segments.bytes.back();
  const std::string& first = segments.bytes.front();
  last += first.substr(last_frame_offset(first));
  io::FakeFs fs;
  put(fs, segments);
  EXPECT_EQ(open_and_read(fs), (std::pair<std::string, std::string>(kExpected, "")));
}

TEST(LogDamage, NewerFormatIsRefused) {
  Segments segments = make_log();
  // A newer header: another version, more fields, the checksum at its end.
  std::string header = segments.bytes.front().substr(0, kSegmentHeaderBytes);
  header[8] = static_cast<char>(kFormatVersion + 1);
  header[12] = static_cast<char>(header.size() + 4);
  append_file(header, crc32c(header));
  segments.bytes.front() = header;
  io::FakeFs fs;
  put(fs, segments);
  const io::FakeClock clock;
  const auto log = Log::open(fs, clock, kTestDirectory, small_options());
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.error().code, Code::kUnsupported);
  EXPECT_EQ(log.error().text(),
            "the data folder is of a newer version: its log has format 3, this program reads "
            "formats up to 2 (segment 'data/wal/000000000001.log'). Use the version of pgweir that "
            "wrote it, or a newer one");
}

TEST(LogDamage, VerifyGoesOnBehindDamageAndCountsTheRest) {
  Segments segments = make_log();
  // Two frames of different segments.
  for (const std::size_t file : {std::size_t{0}, std::size_t{1}})
    segments.bytes[file][last_frame_offset(segments.bytes[file]) + kFrameHeaderBytes] ^= 1;
  io::FakeFs fs;
  put(fs, segments);
  const auto report = verify(fs, kTestDirectory).value();
  ASSERT_EQ(report.damages.size(), 2u);
  EXPECT_EQ(report.damages[0].file, segments.paths[0]);
  EXPECT_EQ(report.damages[0].offset, last_frame_offset(segments.bytes[0]));
  EXPECT_EQ(report.damages[0].what, "a frame's payload has a wrong checksum");
  EXPECT_EQ(report.frames, std::string(kExpected).size() - 2);
  EXPECT_EQ(report.segments.size(), segments.paths.size());
}

}  // namespace
}  // namespace pgweir::log
