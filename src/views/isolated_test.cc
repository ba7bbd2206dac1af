// Views that are computed beside the others, at a position of their own.
#include <gmock/gmock.h>

#include <fmt/core.h>

#include "harness/file_size_limit.h"
#include "harness/wait.h"
#include "views/testing_listener.h"
#include "views/view_fixture.h"

namespace pgweir::views {
namespace {

using namespace std::chrono_literals;
using engine::int_column;
using testing::HasSubstr;

class IsolatedTest : public ViewFixture {
 protected:
  IsolatedTest() { view_options_.isolated.rest_min = Milliseconds{1}; }

  static ViewSource isolated(const std::string& name, const std::string& sql) {
    return {.name = name, .sql = sql, .isolated = true};
  }
  void insert(int id, int amount) {
    begin();
    builder().insert(entries_, {std::to_string(id), "7", std::to_string(amount)});
    ASSERT_EQ(commit(), "");
  }
  ViewInfo info(const std::string& view) { return views_->view(view).value(); }

  // As the follower does, until the view is what its SELECT is now. "" or why it will not be.
  std::string catch_up(const std::string& view) {
    const bool done = harness::wait_for(30s, [&] {
      if (views_->is_time_due() && !engine_->let_time_pass().ok()) (void)views_->set_aside_failed();
      const ViewInfo now = info(view);
      return now.state == ViewState::kFailed || (now.as_of && !now.is_behind);
    });
    if (!done) return "it does not catch up";
    return info(view).error ? error_of(view) : "";
  }
  static model::Lsn true_at(const ViewInfo& view) {
    return view.as_of ? view.as_of->end_lsn : model::Lsn{};
  }

  const TablePtr entries_ = make_table(
      2, "entries", {int_column("id", true), int_column("account_id"), int_column("amount")});
  const std::string sums_ = "SELECT account_id, sum(amount) AS s FROM entries GROUP BY 1";
  // Of a table with a few rows it takes longer than any test.
  const std::string endless_ =
      "SELECT count(*) AS n FROM entries a, entries b, entries c, entries d, entries e, entries f, "
      "entries g WHERE (a.amount * b.amount + c.amount * d.amount + e.amount * f.amount + g.id) % "
      "1000003 = 17";
};

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

TEST_F(IsolatedTest, OthersGoOnWhileItComputes) {
  open({entries_}, {{.name = "beside", .sql = sums_}});
  begin();
  for (int i = 1; i <= 200; ++i)
    builder().insert(entries_, {std::to_string(i), "7", std::to_string(i)});
  ASSERT_EQ(commit(), "");
  // Closing, opening and other definitions end it, however long it would have taken.
  for (int round = 0; round < 2; ++round) {
    open({entries_}, {isolated("endless", endless_), {.name = "beside", .sql = sums_}});
    for (int i = 1; i <= 20; ++i) {
      insert(1000 * (round + 1) + i, i);
      EXPECT_EQ(difference("beside", sums_), "");
    }
    EXPECT_EQ(info("endless").state, ViewState::kWaiting);
    EXPECT_FALSE(info("endless").as_of);
  }
  ASSERT_TRUE(views_->redefine({isolated("quick", sums_)}).ok());
  ASSERT_EQ(catch_up("quick"), "");
  EXPECT_EQ(difference("quick", sums_), "");
}

TEST_F(IsolatedTest, ItsRowsAndPositionOutliveARestart) {
  open({entries_}, {isolated("apart", sums_)});
  insert(1, 10);
  ASSERT_EQ(catch_up("apart"), "");
  const model::Lsn at = true_at(info("apart"));
  open({entries_}, {isolated("apart", sums_)});
  EXPECT_EQ(info("apart").state, ViewState::kLive);
  EXPECT_EQ(true_at(info("apart")), at);
  EXPECT_EQ(rows("SELECT * FROM apart"), "7|10");
  // What came while nobody looked is seen: nothing is known to be unchanged.
  insert(2, 5);
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(rows("SELECT * FROM apart"), "7|15");
}

TEST_F(IsolatedTest, DefinitionsChange) {
  open({entries_}, {{.name = "apart", .sql = sums_}});
  insert(1, 10);
  ASSERT_TRUE(views_->redefine({isolated("apart", sums_)}).ok());
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(info("apart").strategy, "isolated");
  EXPECT_EQ(difference("apart", sums_), "");
  ASSERT_TRUE(views_->redefine({{.name = "apart", .sql = sums_}}).ok());
  EXPECT_EQ(info("apart").strategy, "delta");
  EXPECT_FALSE(info("apart").isolated);
  insert(2, 10);
  EXPECT_EQ(difference("apart", sums_), "");
  ASSERT_TRUE(views_->redefine({isolated("apart", "SELECT id FROM entries")}).ok());
  ASSERT_EQ(catch_up("apart"), "");
  ASSERT_TRUE(views_->rebuild_view("apart").ok());
  EXPECT_FALSE(info("apart").as_of);
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(rows("SELECT * FROM apart"), "1;2");
}

// What was computed of rows that are not there any more is never taken in.
TEST_F(IsolatedTest, AnOutcomeOfAnotherStateDoesNotCount) {
  open({entries_}, {isolated("apart", sums_)});
  insert(1, 10);
  ASSERT_TRUE(harness::wait_for(60s, [&] { return views_->is_time_due(); }));
  ASSERT_TRUE(views_->rebuild_view("apart").ok());
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(difference("apart", sums_), "");
}

TEST_F(IsolatedTest, ATransactionThatIsRolledBackTakesNothingIn) {
  const TablePtr other = make_table(3, "other", {int_column("id", true)});
  open({entries_, other},
       {isolated("apart", sums_), {.name = "fails", .sql = "SELECT 1 / (id - 5) AS q FROM other"}});
  insert(1, 10);
  ASSERT_TRUE(harness::wait_for(60s, [&] { return views_->is_time_due(); }));
  begin();
  builder().insert(other, {"5"});
  ASSERT_EQ(commit_setting_aside(), "");
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(difference("apart", sums_), "");
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
  begin();
  for (int i = 1; i <= 200; ++i)
    builder().insert(entries_, {std::to_string(i), "7", std::to_string(i)});
  ASSERT_EQ(commit(), "");
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
  begin();
  for (int i = 1; i <= 200; ++i)
    builder().insert(entries_, {std::to_string(i), "7", std::to_string(i)});
  ASSERT_EQ(commit(), "");
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
