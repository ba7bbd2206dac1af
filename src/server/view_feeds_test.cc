// What is kept of a view's changes, and from when on: transactions, parts of them, limits.
#include "server/view_feeds.h"

#include <gmock/gmock.h>

#include <fmt/core.h>

namespace pgweir::server {
namespace {

using Kind = ViewFeeds::Next::Kind;

class ViewFeedsTest : public testing::Test {
 protected:
  // One row of a view comes, or goes, as the engine tells it.
  void change(const std::string& view, const std::string& row, int weight = 1) {
    if (!feeds_.wants(view)) return;
    const Status told = feeds_.changed(
        *connection_, view,
        fmt::format("SELECT '{}' AS c, CAST({} AS BIGINT) AS pgweir_weight", row, weight));
    EXPECT_TRUE(told.ok()) << told.error().text();
  }
  ViewMoment commit(bool whole = true) {
    ++lsn_;
    return tell(whole);
  }
  // The clock goes on, and the position stays.
  ViewMoment pass() {
    ++clock_step_;
    return tell(true);
  }
  ViewMoment now() const { return {{1, model::Lsn{lsn_}, 1}, clock_step_}; }
  ViewMoment tell(bool whole) {
    feeds_.committed({.position = now().position, .end_lsn = model::Lsn{lsn_ + 0x100}},
                     now().clock_step, whole);
    return now();
  }
  ViewFeeds::Next next(const ViewPlace& place) { return feeds_.next("v", place, Microseconds(0)); }
  std::string text(const ViewFeeds::Next& next) {
    std::string out;
    if (next.change) {
      for (const std::string& part : next.change->parts) out += part;
    }
    return out;
  }
  ViewPlace enter() {
    EXPECT_TRUE(feeds_.enter("v").ok());
    return {feeds_.history("v").value_or("none yet"), now()};
  }

  io::FakeClock clock_;
  std::unique_ptr<duck::Database> database_ = duck::Database::open("", {}).value();
  std::unique_ptr<duck::Connection> connection_ = database_->connect().value();
  ViewFeeds feeds_{clock_, {.history_bytes_max = 1000}};
  std::uint64_t lsn_ = 0x10;
  std::int64_t clock_step_ = 0;
};

TEST_F(ViewFeedsTest, AChangeIsThereOnceItIsCommitted) {
  const ViewPlace place = enter();
  change("v", "a", 2);
  change("v", "b", -1);
  EXPECT_EQ(next(place).kind, Kind::kNothing);
  const ViewMoment at = commit();
  const auto told = next(place);
  ASSERT_EQ(told.kind, Kind::kChange);
  EXPECT_EQ(told.change->at, at);
  EXPECT_EQ(text(told),
            R"({"part":1,"position":"0/111","time":null,"changes":[{"weight":-1,"row":["b"]},)"
            R"({"weight":2,"row":["a"]}],"last":true})");
  EXPECT_EQ(next({place.history, at}).kind, Kind::kNothing);
}

TEST_F(ViewFeedsTest, WhatIsRolledBackIsNotTold) {
  const ViewPlace place = enter();
  change("v", "a");
  feeds_.rolled_back();
  commit();
  EXPECT_EQ(next(place).kind, Kind::kNothing);
}

TEST_F(ViewFeedsTest, ATransactionInPartsIsOneChange) {
  const ViewPlace place = enter();
  change("v", "a");
  change("v", "b");
  commit(false);
  EXPECT_EQ(next(place).kind, Kind::kNothing);
  change("v", "lost");
  feeds_.rolled_back();
  change("v", "a", -1);
  change("v", "c");
  commit(false);
  change("v", "d");
  commit();
  EXPECT_THAT(text(next(place)),
              testing::HasSubstr(R"([{"weight":1,"row":["b"]},{"weight":1,"row":["c"]},)"
                                 R"({"weight":1,"row":["d"]}],"last":true})"));
}

TEST_F(ViewFeedsTest, WhoComesInTheMiddleOfATransactionWaitsForItsEnd) {
  change("v", "a");
  EXPECT_EQ(enter().history, "none yet");
  change("v", "b");
  commit(false);
  feeds_.rolled_back();
  EXPECT_EQ(enter().history, "none yet");
  commit();
  const ViewPlace place = enter();
  EXPECT_NE(place.history, "none yet");
  EXPECT_EQ(next(place).kind, Kind::kNothing);
  change("v", "c");
  commit();
  EXPECT_EQ(next(place).kind, Kind::kChange);
}

TEST_F(ViewFeedsTest, ARollbackOfTheWholeTransactionIsItsEnd) {
  change("v", "a");
  EXPECT_EQ(enter().history, "none yet");
  feeds_.rolled_back();
  EXPECT_TRUE(feeds_.history("v"));
}

TEST_F(ViewFeedsTest, TheOldestGoWhenTheHistoryIsFull) {
  const ViewPlace place = enter();
  change("v", "first");
  const ViewMoment first = commit();
  for (int i = 0; i < 20; ++i) {
    change("v", std::to_string(i));
    commit();
  }
  EXPECT_EQ(next(place).kind, Kind::kLost);
  EXPECT_EQ(next({place.history, first}).kind, Kind::kLost);
  EXPECT_EQ(next({place.history, {{1, model::Lsn{lsn_ - 1}, 1}, 0}}).kind, Kind::kChange);
}

TEST_F(ViewFeedsTest, AChangeThatIsTooLargeBeginsANewHistory) {
  const ViewPlace place = enter();
  for (int i = 0; i < 20; ++i) change("v", fmt::format("{} is one of many", i));
  commit();
  EXPECT_EQ(next(place).kind, Kind::kReplaced);
  EXPECT_EQ(next(place).reason, "more than 1000 B changed at once, or a row of more than 1.0 MiB");
  const ViewPlace now = enter();
  change("v", "a");
  commit();
  EXPECT_EQ(next(now).kind, Kind::kChange);
}

TEST_F(ViewFeedsTest, AViewThatWasReplacedBeginsANewHistory) {
  const ViewPlace place = enter();
  change("v", "of before");
  feeds_.replaced("v");
  commit();
  EXPECT_EQ(next(place).kind, Kind::kReplaced);
  EXPECT_EQ(next(enter()).kind, Kind::kNothing);
}

TEST_F(ViewFeedsTest, ChangesOfTheClockAtOnePositionAreToldApart) {
  const ViewPlace start = enter();
  change("v", "a");
  std::vector<ViewMoment> moments = {commit()};
  for (const char* row : {"b", "c"}) {
    change("v", row);
    moments.push_back(pass());
  }
  pass();  // of other views
  change("v", "d");
  moments.push_back(commit());
  EXPECT_EQ(moments[0].position, moments[2].position);
  ViewPlace place = start;
  std::string rows;
  for (const ViewMoment& moment : moments) {
    const auto told = next(place);
    ASSERT_EQ(told.kind, Kind::kChange);
    EXPECT_EQ(told.change->at, moment);
    rows += text(told).substr(text(told).find("\"row\":"), 11);
    place.after = told.change->at;
  }
  EXPECT_EQ(rows, R"("row":["a"]"row":["b"]"row":["c"]"row":["d"])");
  EXPECT_EQ(next(place).kind, Kind::kNothing);
  EXPECT_EQ(
      text(next({start.history, moments[1]})),
      R"({"part":1,"position":"0/111","time":null,"now":"1970-01-01T00:00:00.200000Z","changes":[)"
      R"({"weight":1,"row":["c"]}],"last":true})");
}

TEST_F(ViewFeedsTest, PlacesAreIdsOfEvents) {
  for (const auto& [step, text] : {std::pair(std::int64_t{0}, "1:0/16B3748:7@18f3a2-2"),
                                   {17'672'256'000, "1:0/16B3748:7+17672256000@18f3a2-2"}}) {
    const ViewPlace place{"18f3a2-2", {{1, model::Lsn{0x16B3748}, 7}, step}};
    EXPECT_EQ(to_string(place), text);
    const auto read = parse_view_place(to_string(place));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->history, place.history);
    EXPECT_EQ(read->after, place.after);
  }
  for (const char* wrong :
       {"", "@", "1:0/16B3748:7", "x@y", "1:0/16B3748:7+@y", "1:0/16B3748:7+12x@y", "+1@y"})
    EXPECT_FALSE(parse_view_place(wrong)) << wrong;
}

TEST(EventParts, AreCutWhereTheyAreFull) {
  EventParts parts("\"a\":1", "\"b\":2", "rows", 40);
  parts.add("[1]");
  parts.add(std::string("[\"") + std::string(30, 'x') + "\"]");
  EXPECT_EQ(parts.take(), (std::vector<std::string>{
                              R"({"part":1,"a":1,"b":2,"rows":[[1]],"last":false})",
                              R"({"part":2,"a":1,"rows":[["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]],)"
                              R"("last":true})"}));
}

}  // namespace
}  // namespace pgweir::server
