// Frames hold whole transactions where they fit, and never the same record twice.
//
// Method: a script of messages (pgoutput_script.h) goes in, one gulp for each part between spaces;
//         frames come out as "first-last end records", a schema frame as "S".
#include "pipeline/frame_builder.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "pipeline/pgoutput_script.h"

namespace pgweir::pipeline {
namespace {

// The records of a frame in the script's letters.
std::string letters(const log::Frame& frame) {
  std::string out;
  log::RecordReader records(frame.payload);
  std::string_view record;
  while (records.next(record)) {
    switch (record[0]) {
      case 'B':
        out += static_cast<char>('0' + static_cast<unsigned char>(record[8]) / 100);
        break;
      case 'C':
        out += '.';
        break;
      case 'I':
        out += record.back();
        break;
      case 'Y':
        out += 'Y';
        break;
      default:
        out += '?';
    }
  }
  EXPECT_TRUE(records.ok());
  return out;
}

struct Setup {
  model::Position last;
  FrameBuilderOptions options = {1, 1u << 20};  // each commit closes a frame
};

std::string frames(const std::string& script, const Setup& setup = {}) {
  io::FakeClock clock;
  FrameBuilder builder(
      clock, 1, setup.last, [](std::string_view) { return std::string("schema"); }, setup.options);
  std::vector<log::Frame> out;
  std::uint64_t open_lsn = 0;
  std::size_t start = 0;
  while (start <= script.size()) {
    const std::size_t end = std::min(script.find(' ', start), script.size());
    EXPECT_TRUE(builder.add(gulp_of(script.substr(start, end - start), open_lsn), out).ok());
    builder.flush(out);
    start = end + 1;
  }
  std::string text;
  model::Position last = setup.last;
  for (const log::Frame& frame : out) {
    EXPECT_GE(frame.header.last, last) << "positions must not go back";
    last = frame.header.last;
    if (!text.empty()) text += ' ';
    if (frame.header.kind == log::FrameKind::kSchema) {
      text += "S";
      continue;
    }
    const std::string content = letters(frame);
    EXPECT_EQ(content.size(), frame.header.record_count);
    text += fmt::format("{}[{}:{}-{}:{},{}]", content, model::value(frame.header.first.lsn) / 100,
                        frame.header.first.sequence, model::value(frame.header.last.lsn) / 100,
                        frame.header.last.sequence, model::value(frame.header.end_lsn));
  }
  return text;
}

}  // namespace

TEST(FrameBuilder, ATypeGoesWithTheRowThatFollows) {
  EXPECT_EQ(frames("1YRa.2YRb."), "S 1Ya.[1:1-1:2,108] S 2Yb.[2:1-2:2,208]");
  EXPECT_EQ(frames("1a.2YRb.", {{}, {1u << 20, 1u << 20}}), "1a.[1:1-1:2,0] S 2Yb.[2:1-2:2,208]");
  EXPECT_EQ(frames("1aYRb."), "1a[1:1-1:1,0] S 1Yb.[1:2-1:3,108]");
}

TEST(FrameBuilder, ACommitClosesAFrame) {
  EXPECT_EQ(frames("1ab.2c."), "1ab.[1:1-1:3,108] 2c.[2:1-2:2,208]");
}

TEST(FrameBuilder, SmallTransactionsShareAFrame) {
  EXPECT_EQ(frames("1ab.2c.", {.options = {1000, 2000}}), "1ab.2c.[1:1-2:2,208]");
}

TEST(FrameBuilder, ATransactionOverSeveralGulpsStaysWhole) {
  EXPECT_EQ(frames("1a bc d."), "1abcd.[1:1-1:5,108]");
}

TEST(FrameBuilder, AnUnfinishedTransactionIsNotHandedOut) {
  EXPECT_EQ(frames("1ab"), "");
}

TEST(FrameBuilder, ALargeTransactionIsCutAndEachPartKnowsItsBegin) {
  EXPECT_EQ(frames("1abc.", {.options = {1, 60}}), "1ab[1:1-1:2,0] 1c.[1:3-1:4,108]");
}

TEST(FrameBuilder, ARelationStandsBeforeTheChangesThatNeedIt) {
  EXPECT_EQ(frames("1Ra."), "S 1a.[1:1-1:2,108]");
  EXPECT_EQ(frames("1aRb."), "1a[1:1-1:1,0] S 1b.[1:2-1:3,108]");
}

TEST(FrameBuilder, WhatIsInTheLogAlreadyIsDropped) {
  // Sent again from the start; the log has transaction 1 and the first change of transaction 2.
  EXPECT_EQ(frames("1ab.2cd.", {.last = {1, model::Lsn{200}, 1}}), "2d.[2:2-2:3,208]");
  EXPECT_EQ(frames("1ab.2cd.", {.last = {1, model::Lsn{200}, 3}}), "");
}

TEST(FrameBuilder, AnEmptyTransactionIsOnlyItsCommit) {
  EXPECT_EQ(frames("1."), "1.[1:1-1:1,108]");
}

TEST(FrameBuilder, AMarkMovesThePositionOnly) {
  io::FakeClock clock;
  FrameBuilder builder(clock, 1, {}, [](std::string_view) { return std::string(); });
  const log::Frame mark = builder.mark(model::Lsn{500});
  EXPECT_EQ(mark.header.last, (model::Position{1, model::Lsn{500}, 0}));
  EXPECT_EQ(mark.header.end_lsn, model::Lsn{500});
  EXPECT_EQ(mark.header.record_count, 0u);
}

TEST(FrameBuilder, GarbageIsAnErrorNotACrash) {
  io::FakeClock clock;
  FrameBuilder builder(clock, 1, {}, [](std::string_view) { return std::string(); });
  postgres::Gulp gulp;
  gulp.arena = std::string("\1\0\0\0B", 5);
  gulp.messages.push_back({model::Lsn{1}, 4, 1});
  std::vector<log::Frame> out;
  EXPECT_EQ(builder.add(gulp, out).error().code, Code::kCorruption);
}

}  // namespace pgweir::pipeline
