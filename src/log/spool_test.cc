// A spooled transaction enters the log whole, at one moment, and without a copy.
//
// Method: scripts of testing_script.h; crash_test.cc and damage_test.cc have them, too.
#include "log/spool.h"

#include <gtest/gtest.h>

#include "log/testing_script.h"

namespace pgweir::log {
namespace {

TEST(LogSpool, FramesEnterTheLogAtTheirCommit) {
  io::FakeFs fs;
  Script script(fs);
  ASSERT_TRUE(script.run("a<bc/d|").ok());
  EXPECT_EQ(read_all(script.log()), "ad");
  ASSERT_TRUE(script.run(">").ok());
  EXPECT_EQ(read_all(script.log()), "ad<bc>");
  ASSERT_TRUE(script.run("e|").ok());
  EXPECT_EQ(read_all(script.log()), "ad<bc>e");
  EXPECT_EQ(script.log().segments().size(), 3u);
}

TEST(LogSpool, SpoolThatIsGivenUpLeavesNothing) {
  io::FakeFs fs;
  Script script(fs);
  ASSERT_TRUE(script.run("a<bcd<|").ok());
  script.close();
  EXPECT_EQ(fs.list(std::string(kTestDirectory) + "/spool").value().size(), 0u);
}

TEST(LogSpool, AWaitingCursorGoesOnThroughAnAdoptedSegment) {
  io::FakeFs fs;
  Script script(fs);
  ASSERT_TRUE(script.run("ab|").ok());
  auto cursor = script.log().read({}).value();
  EXPECT_EQ(drain(*cursor), "ab");
  ASSERT_TRUE(script.run("<cde>").ok());
  EXPECT_EQ(drain(*cursor), "<cde>");
  ASSERT_TRUE(script.run("f|<g>").ok());
  EXPECT_EQ(drain(*cursor), "f<g>");
}

// A position inside the transaction: what it needs to be read stands in front of it.
TEST(LogSpool, ACursorInsideATransactionBeginsAtItsFront) {
  io::FakeFs fs;
  Script script(fs);
  ASSERT_TRUE(script.run("Sa|<bczd>Se|").ok());  // b, c, d are records 1, 2, 3, the commit 4
  const auto position = [](std::uint64_t sequence) {
    return model::Position{1, model::Lsn{32}, sequence};
  };
  EXPECT_EQ(read_all(script.log(), {1, model::Lsn{16}, 1}), "A<bczd>Be");
  EXPECT_EQ(read_all(script.log(), position(0)), "A<bczd>Be");
  EXPECT_EQ(read_all(script.log(), position(1)), "A<bczd>Be");
  EXPECT_EQ(read_all(script.log(), position(3)), "A<bczd>Be");
  EXPECT_EQ(read_all(script.log(), position(4)), "ABe");
}

TEST(LogSpool, ACursorMayBeginAmongTheRowsOfATable) {
  io::FakeFs fs;
  Script script(fs);
  script.set_adopted_xid(0);
  ASSERT_TRUE(script.run("Sa|<bcd>Se|").ok());
  const auto position = [](std::uint64_t sequence) {
    return model::Position{1, model::Lsn{32}, sequence};
  };
  EXPECT_EQ(read_all(script.log(), {1, model::Lsn{16}, 1}), "A<bcd>Be");
  EXPECT_EQ(read_all(script.log(), position(0)), "Abcd>Be");
  EXPECT_EQ(read_all(script.log(), position(2)), "Ad>Be");
  EXPECT_EQ(read_all(script.log(), position(4)), "ABe");
}

TEST(LogSpool, PositionsDoNotCountWhatWasRolledBack) {
  io::FakeFs fs;
  Script script(fs);
  ASSERT_TRUE(script.run("<zabzzcz>").ok());
  auto cursor = script.log().read({}).value();
  std::string sequences;
  for (auto frame = cursor->next(Microseconds(0)).value(); frame != nullptr;
       frame = cursor->next(Microseconds(0)).value()) {
    EXPECT_EQ(frame->header.last.lsn, model::Lsn{16});
    sequences += std::to_string(frame->header.last.sequence);
  }
  EXPECT_EQ(sequences, "001222334");
  EXPECT_EQ(script.log().durable_position(), (model::Position{1, model::Lsn{16}, 4}));
  EXPECT_EQ(script.log().durable_end_lsn(), model::Lsn{24});
}

TEST(LogSpool, OpeningAgainTellsTheSame) {
  for (const std::string steps : {"Sa|<bcd>", "Sa|<bcd>Se|", "S<b><cz>"}) {
    io::FakeFs fs;
    Script script(fs);
    ASSERT_TRUE(script.run(steps).ok());
    const auto end = script.log().durable_position();
    const auto end_lsn = script.log().durable_end_lsn();
    const std::string all = read_all(script.log());
    script.close();
    ASSERT_TRUE(script.open().ok());
    EXPECT_EQ(script.log().durable_position(), end) << steps;
    EXPECT_EQ(script.log().durable_end_lsn(), end_lsn) << steps;
    EXPECT_EQ(read_all(script.log()), all) << steps;
    ASSERT_TRUE(script.run("S|").ok());
    EXPECT_EQ(read_all(script.log()).substr(0, all.size()), all);
  }
}

TEST(LogSpool, AnAdoptedLastSegmentHasNoTornTail) {
  io::FakeFs whole;
  Script script(whole);
  ASSERT_TRUE(script.run("a|<bcd>").ok());
  script.close();
  const std::string path = std::string(kTestDirectory) + "/" + segment_file_name(2);
  const std::string first = std::string(kTestDirectory) + "/" + segment_file_name(1);
  const std::string bytes = whole.content(path);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const bool cut : {false, true}) {
      std::string damaged = bytes;
      if (cut)
        damaged.resize(at);
      else
        damaged[at] ^= 1;
      // A segment without its header is one that was being made; an adopted one never is so short.
      if (cut && at <= kSegmentHeaderBytes) continue;
      io::FakeFs fs;
      fs.overwrite(first, whole.content(first));
      fs.overwrite(path, damaged);
      const auto report = verify(fs, kTestDirectory);
      ASSERT_TRUE(report.ok());
      EXPECT_EQ(report->torn_tail_bytes, 0u) << at;
      ASSERT_GE(report->damages.size(), 1u) << at << (cut ? " cut" : " flipped");
      const io::FakeClock clock;
      auto log = Log::open(fs, clock, kTestDirectory, small_options());
      const std::string outcome = log.ok() ? read_all(*log.value()) : log.error().text();
      ASSERT_NE(outcome.find("is damaged"), std::string::npos) << at << outcome;
    }
  }
}

TEST(LogSpool, WhatDoesNotFitIntoTheHeadIsRefusedAndChangesNothing) {
  io::FakeFs fs;
  LogOptions options = small_options();
  options.spool_head_bytes_min = 500;
  Script script(fs, options);
  ASSERT_TRUE(script.run("a<bcd/").ok());
  const Status adopted = script.run("SSS>");
  ASSERT_FALSE(adopted.ok());
  EXPECT_EQ(adopted.error().code, Code::kUnsupported);
  ASSERT_TRUE(script.run("e|").ok());
  EXPECT_EQ(read_all(script.log()), "aABCe");
}

TEST(LogSpool, RetentionTakesAdoptedSegmentsToo) {
  io::FakeFs fs;
  Script script(fs);
  ASSERT_TRUE(script.run("a|<bcd>e|<f>g|").ok());
  const auto segments = script.log().segments();
  ASSERT_EQ(segments.size(), 5u);
  ASSERT_TRUE(script.log().prune({.bytes_max = 1}, script.last()).ok());
  EXPECT_EQ(script.log().segments().size(), 1u);
  EXPECT_EQ(read_all(script.log(), script.last()), "");
}

}  // namespace
}  // namespace pgweir::log
