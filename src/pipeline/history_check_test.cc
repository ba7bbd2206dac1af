// Which servers are taken for those that the log follows, by what they send first.
#include "pipeline/history_check.h"

#include <gtest/gtest.h>

#include "io/clock.h"
#include "io/fake_fs.h"
#include "pipeline/frame_builder.h"
#include "pipeline/pgoutput_script.h"

namespace pgweir::pipeline {
namespace {

// A log of transactions as in pgoutput_script.h: "2a." commits at 200 and ends at 208. WAL
// records begin at multiples of 8, so that those of odd numbers are none of a server.
class HistoryCheckTest : public testing::Test {
 protected:
  void make_log(const std::string& script, std::uint64_t mark = 0,
                const log::LogOptions& options = {}) {
    log_ = log::Log::open(fs_, clock_, "log", options).value();
    FrameBuilder builder(clock_, 1, {}, [](std::string_view) { return std::string(); }, {1, kMiB});
    std::vector<log::Frame> frames;
    std::uint64_t open_lsn = 0;
    ASSERT_TRUE(builder.add(gulp_of(script, open_lsn), frames).ok());
    builder.flush(frames);
    if (mark != 0) frames.push_back(builder.mark(model::Lsn{mark}));
    for (log::Frame& frame : frames) ASSERT_TRUE(log_->append(std::move(frame)).ok());
    ASSERT_TRUE(log_->sync().ok());
  }

  // "START: " and what becomes of it when the server sends this, and then that it is at
  // `keepalive`.
  std::string check(std::uint64_t confirmed, const std::string& sent, std::uint64_t keepalive = 0) {
    HistoryCheck check(*log_, model::Lsn{confirmed},
                       end_ == 0 ? log_->durable_end_lsn() : model::Lsn{end_});
    const std::string start = std::to_string(model::value(check.start_lsn())) + ": ";
    if (check.settled()) return start + "settled at once";
    EXPECT_EQ(check.confirmable(model::Lsn{9999}), model::Lsn{confirmed});
    std::uint64_t open_lsn = 0;
    postgres::Gulp gulp = gulp_of(sent, open_lsn);
    gulp.keepalive_lsn = model::Lsn{keepalive};
    const Status looked = check.look(gulp);
    if (!looked.ok()) {
      EXPECT_EQ(looked.error().code, Code::kCorruption);
      return start + looked.error().message;
    }
    return start + (check.settled() ? "settled" : "waits");
  }

  io::FakeFs fs_;
  io::FakeClock clock_;
  std::unique_ptr<log::Log> log_;
  std::uint64_t end_ = 0;  // of the log a moment ago; zero: as it is
};

constexpr const char* kOther = "the server has another history than the log";

}  // namespace

TEST_F(HistoryCheckTest, TheLastTransactionMustComeFirst) {
  make_log("2Ra.4b.6c.");
  EXPECT_EQ(check(608, ""), "608: settled at once");
  EXPECT_EQ(check(0, ""), "608: settled at once");
  EXPECT_EQ(check(208, ""), "600: waits");
  EXPECT_EQ(check(208, "", 599), "600: waits");
  EXPECT_EQ(check(208, "6c."), "600: settled");
  EXPECT_EQ(check(208, "6c.8d.", 808), "600: settled");
  EXPECT_EQ(check(208, "8d."), std::string("600: ") + kOther);
  EXPECT_EQ(check(208, "", 608), std::string("600: ") + kOther);
}

// PostgreSQL 14 sends empty ones, and so do others where all of one was rolled back that had come
// in parts; another time it does not come.
TEST_F(HistoryCheckTest, AnEmptyTransactionMayComeAgainOrNot) {
  make_log("2Ra.4.6.");
  EXPECT_EQ(check(208, "4.6.8d."), "208: settled");
  EXPECT_EQ(check(208, "6.8d."), "208: settled");
  EXPECT_EQ(check(208, "8d."), "208: settled");
  EXPECT_EQ(check(208, "", 607), "208: waits");
  EXPECT_EQ(check(208, "", 608), "208: settled");
  EXPECT_EQ(check(208, "5c."), std::string("208: ") + kOther);
  EXPECT_EQ(check(200, "2a.4."), "200: settled");
  EXPECT_EQ(check(200, "4."), std::string("200: ") + kOther);
}

// One that was put into the log, as where a table was read, and stands at no place of the WAL.
TEST_F(HistoryCheckTest, OurOwnTransactionsAreNotTheServers) {
  make_log("2Ra.4b.5x.");
  EXPECT_EQ(check(208, "4b."), "400: settled");
  EXPECT_EQ(check(408, "6c."), "408: settled");
}

// What the session before had brought enters the log while the next one begins.
TEST_F(HistoryCheckTest, WhatComesIntoTheLogMeanwhileIsNotAskedFor) {
  make_log("2Ra.4b.6c.8d.");
  end_ = 408;
  EXPECT_EQ(check(208, "4b."), "400: settled");
  EXPECT_EQ(check(408, "6c."), "408: settled at once");
}

TEST_F(HistoryCheckTest, WithoutATransactionNoneMayCome) {
  make_log("2Ra.", 500);
  EXPECT_EQ(check(208, "", 499), "208: waits");
  EXPECT_EQ(check(208, "", 500), "208: settled");
  EXPECT_EQ(check(208, "6f."), "208: settled");
  EXPECT_EQ(check(208, "4b."), std::string("208: ") + kOther);
}

// What retention has removed cannot be compared, and is no other history.
TEST_F(HistoryCheckTest, APrunedLogIsTakenAtItsWord) {
  make_log("1Ra.2b.3c.4d.5e.6f.7g.8h.9i.", 0, {.segment_bytes_max = 400});
  ASSERT_GT(log_->segments().size(), 2u);
  ASSERT_TRUE(log_->prune({.bytes_max = 1}, log_->durable_position()).ok());
  ASSERT_FALSE(log_->read({1, model::Lsn{108}, 0}).ok());
  EXPECT_EQ(check(108, "2b."), "908: settled at once");
}

}  // namespace pgweir::pipeline
