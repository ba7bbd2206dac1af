// Views that are computed beside the others, at a position of their own.
#include <gmock/gmock.h>

#include <fmt/core.h>

#include "harness/file_size_limit.h"
#include "views/testing_isolated.h"

namespace pgweir::views {
namespace {

using engine::int_column;
using testing::HasSubstr;

class IsolatedTest : public IsolatedFixture {};

TEST_F(IsolatedTest, ItIsWhatItsSelectWasAtItsPosition) {
  open({entries_}, {isolated("apart", sums_), {.name = "beside", .sql = sums_}});
  EXPECT_EQ(info("apart").strategy, "isolated");
  ASSERT_EQ(catch_up("apart"), "");
  for (int i = 1; i <= 5; ++i) {
    insert(i, 10 * i);
    EXPECT_EQ(difference("beside", sums_), "");
    EXPECT_TRUE(info("apart").is_behind);
    ASSERT_EQ(catch_up("apart"), "");
    EXPECT_EQ(difference("apart", sums_), "");
    EXPECT_EQ(true_at(info("apart")), engine_->position().end_lsn);
  }
  begin();
  builder().remove(entries_, {"2", std::nullopt, std::nullopt});
  builder().update(entries_, {}, {"3", "8", "1"});
  ASSERT_EQ(commit(), "");
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(difference("apart", sums_), "");
  begin();
  builder().truncate(entries_);
  ASSERT_EQ(commit(), "");
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(rows("SELECT * FROM apart"), "");
}

TEST_F(IsolatedTest, EqualRowsAreAsManyAsTheSelectHas) {
  const std::string sql = "SELECT amount FROM entries";
  open({entries_}, {isolated("apart", sql)});
  for (int i = 1; i <= 3; ++i) insert(i, 5);
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(rows("SELECT * FROM apart"), "5;5;5");
  begin();
  builder().remove(entries_, {"2", std::nullopt, std::nullopt});
  ASSERT_EQ(commit(), "");
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(rows("SELECT * FROM apart"), "5;5");
}

TEST_F(IsolatedTest, ASelectThatFailsSetsItAside) {
  const ViewSource beside{.name = "beside", .sql = sums_};
  open(
      {entries_},
      {isolated("apart", "SELECT CAST(amount::text || 'x' AS integer) AS n FROM entries"), beside});
  ASSERT_EQ(catch_up("apart"), "");
  insert(1, 10);
  EXPECT_THAT(catch_up("apart"), HasSubstr("Could not convert string '10x' to INT32"));
  insert(2, 20);
  EXPECT_EQ(difference("beside", sums_), "");
  EXPECT_FALSE(views_->is_time_due());
  open({entries_}, {isolated("apart", sums_), beside});
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(difference("apart", sums_), "");
}

TEST_F(IsolatedTest, OneDoesNotHoldAnotherBack) {
  open({entries_}, {});
  insert_many();
  std::vector<ViewSource> views;
  for (int i = 1; i < 4; ++i) views.push_back(isolated(fmt::format("endless_{}", i), endless_));
  views.push_back(isolated("quick", sums_));
  ASSERT_TRUE(views_->redefine(views).ok());
  ASSERT_EQ(catch_up("quick"), "");
  EXPECT_EQ(difference("quick", sums_), "");
}

// While one is computed, which ends for it.
TEST_F(IsolatedTest, TheDatabaseIsOpenedAnew) {
  open({entries_}, {});
  insert_many();
  ASSERT_TRUE(views_->redefine({isolated("quick", sums_)}).ok());
  ASSERT_EQ(catch_up("quick"), "");
  ASSERT_TRUE(views_->redefine({isolated("quick", sums_), isolated("endless", endless_)}).ok());
  {
    const harness::FileSizeLimit full(1);
    EXPECT_FALSE(engine_->write_connection().execute("CHECKPOINT pgweir_engine").ok());
  }
  begin();
  builder().insert(entries_, {"1000", "8", "1"});
  EXPECT_THAT(commit(), HasSubstr("has to be opened anew"));
  const Status recovered = engine_->recover();
  ASSERT_TRUE(recovered.ok()) << recovered.error().text();
  EXPECT_EQ(info("quick").state, ViewState::kLive);
  ASSERT_EQ(commit(), "");
  ASSERT_EQ(catch_up("quick"), "");
  EXPECT_EQ(difference("quick", sums_), "");
}

TEST_F(IsolatedTest, WhatCannotBeIsolatedIsRefused) {
  const TablePtr events =
      make_table(3, "events", {int_column("id", true), {.name = "made", .type = model::Oid{1184}}});
  view_options_.watermarks = {{.column = "public.events.made", .delay = Milliseconds(1000)}};
  ViewSource append = isolated("append",
                               "SELECT window_start, count(*) AS n FROM tumble(events, made, "
                               "INTERVAL 1 MINUTE) GROUP BY 1");
  append.mode = OutputMode::kAppend;
  open({entries_, events},
       {isolated("apart", sums_),
        append,
        {.name = "above", .sql = "SELECT s FROM apart"},
        isolated("by_clock", "SELECT id FROM events WHERE made > now() - INTERVAL 1 HOUR")});
  EXPECT_THAT(error_of("above"), HasSubstr("refused: the view reads apart, which is isolated"));
  EXPECT_THAT(error_of("append"), HasSubstr("refused: an isolated view cannot be in append mode"));
  EXPECT_THAT(error_of("by_clock"), HasSubstr("refused: an isolated view cannot go by now()"));
  ASSERT_EQ(catch_up("apart"), "");
}

TEST_F(IsolatedTest, ItReadsOtherViews) {
  open({entries_},
       {{.name = "sums", .sql = sums_}, isolated("apart", "SELECT max(s) AS most FROM sums")});
  insert(1, 10);
  insert(2, 30);
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(rows("SELECT * FROM apart"), "40");
}

}  // namespace
}  // namespace pgweir::views
