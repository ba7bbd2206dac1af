// The lives of isolated views: others go on while they compute; definitions, tables and databases
// change under them; nothing that was computed of another state is taken in.
#include <gmock/gmock.h>

#include <random>

#include "harness/file_size_limit.h"
#include "views/testing_isolated.h"

namespace pgweir::views {
namespace {

using testing::HasSubstr;

class IsolatedLifeTest : public IsolatedFixture {};

TEST_F(IsolatedLifeTest, OthersGoOnWhileItComputes) {
  open({entries_}, {});
  insert_many();
  // Opening, other definitions and closing end it, however long it would have taken.
  for (int round = 0; round < 2; ++round) {
    open({entries_}, {isolated("endless", endless_), {.name = "beside", .sql = sums_}});
    ASSERT_TRUE(wait_computing());
    for (int i = 1; i <= 20; ++i) {
      insert(1000 * (round + 1) + i, i);
      EXPECT_EQ(difference("beside", sums_), "");
    }
    EXPECT_TRUE(is_computing());
    EXPECT_EQ(info("endless").state, ViewState::kWaiting);
    EXPECT_FALSE(info("endless").as_of);
  }
  ASSERT_TRUE(views_->rebuild_view("endless").ok());
  ASSERT_TRUE(wait_computing());
  ASSERT_TRUE(views_->redefine({isolated("quick", sums_)}).ok());
  ASSERT_EQ(catch_up("quick"), "");
  EXPECT_EQ(difference("quick", sums_), "");
}

TEST_F(IsolatedLifeTest, OneThatIsInterruptedIsComputedAgainAndOthersHaveTheirTurn) {
  open({entries_}, {});
  insert_many();
  view_options_.isolated.parallel_max = 1;
  open({entries_}, {isolated("endless", endless_), isolated("quick", sums_)});
  ASSERT_TRUE(wait_computing());
  const bool quick = harness::wait_for(std::chrono::seconds(120), [&] {
    interrupt_at_times();
    pass_time();
    return info("quick").as_of.has_value();
  });
  EXPECT_TRUE(quick);
  EXPECT_EQ(difference("quick", sums_), "");
  EXPECT_EQ(info("endless").state, ViewState::kWaiting);
  EXPECT_TRUE(wait_computing());
}

TEST_F(IsolatedLifeTest, ItsRowsAndPositionOutliveARestart) {
  open({entries_}, {isolated("apart", sums_)});
  insert(1, 10);
  ASSERT_EQ(catch_up("apart"), "");
  const model::Lsn at = true_at(info("apart"));
  open({entries_}, {isolated("apart", sums_)});
  EXPECT_EQ(info("apart").state, ViewState::kLive);
  EXPECT_EQ(true_at(info("apart")), at);
  EXPECT_EQ(rows("SELECT * FROM apart"), "7|10");
  // What came while nobody looked is seen: nothing is known to be unchanged.
  EXPECT_TRUE(info("apart").is_behind);
  insert(2, 5);
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(rows("SELECT * FROM apart"), "7|15");
}

TEST_F(IsolatedLifeTest, DefinitionsChange) {
  open({entries_}, {{.name = "apart", .sql = sums_}});
  insert(1, 10);
  const auto changed = views_->redefine({isolated("apart", sums_)});
  ASSERT_TRUE(changed.ok());
  EXPECT_EQ(changed->changed, std::vector<std::string>{"apart"});
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(info("apart").strategy, "isolated");
  EXPECT_EQ(difference("apart", sums_), "");
  // Under another name it keeps its rows and its position.
  const model::Lsn at = true_at(info("apart"));
  ASSERT_TRUE(views_->redefine({isolated("renamed", sums_)}).ok());
  EXPECT_EQ(true_at(info("renamed")), at);
  EXPECT_EQ(difference("renamed", sums_), "");
  ASSERT_EQ(catch_up("renamed"), "");
  ASSERT_TRUE(views_->redefine({{.name = "renamed", .sql = sums_}}).ok());
  EXPECT_EQ(info("renamed").strategy, "delta");
  EXPECT_FALSE(info("renamed").isolated);
  EXPECT_FALSE(info("renamed").as_of);
  insert(2, 10);
  EXPECT_EQ(difference("renamed", sums_), "");
  ASSERT_TRUE(views_->redefine({isolated("renamed", "SELECT id FROM entries")}).ok());
  ASSERT_EQ(catch_up("renamed"), "");
  ASSERT_TRUE(views_->rebuild_view("renamed").ok());
  EXPECT_FALSE(info("renamed").as_of);
  ASSERT_EQ(catch_up("renamed"), "");
  EXPECT_EQ(rows("SELECT * FROM renamed"), "1;2");
  ASSERT_TRUE(views_->redefine({}).ok());
}

// What was computed of rows that are not there any more is never taken in: it would put them there
// twice.
TEST_F(IsolatedLifeTest, AnOutcomeOfAnotherStateDoesNotCount) {
  const std::string ids = "SELECT id FROM entries";
  open({entries_}, {isolated("apart", ids)});
  insert(1, 10);
  ASSERT_TRUE(wait_for_outcome());
  ASSERT_TRUE(views_->rebuild_view("apart").ok());
  EXPECT_FALSE(views_->is_time_due() && info("apart").as_of);
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(difference("apart", ids), "");

  insert(2, 10);
  ASSERT_TRUE(wait_for_outcome());
  const TablePtr narrower =
      make_table(2, "entries", {engine::int_column("id", true), engine::int_column("account_id")});
  ASSERT_TRUE(engine_->define_table(*narrower).ok());
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(difference("apart", ids), "");
}

TEST_F(IsolatedLifeTest, ASnapshotMakesItAnew) {
  const std::vector<ViewSource> views = {isolated("apart", "SELECT id FROM entries")};
  open({entries_}, views);
  insert(1, 10);
  ASSERT_TRUE(wait_for_outcome());
  ASSERT_TRUE(engine_->begin_snapshot({1, model::Lsn{5}, 0}).ok());
  next_ = {1, model::Lsn{5}, 0};
  ASSERT_TRUE(engine_->define_table(*entries_).ok());
  ASSERT_TRUE(engine_->let_time_pass().ok());
  builder_ = std::make_unique<engine::BatchBuilder>(next_);
  builder_->begin(5, model::Timestamp{0}, true, model::Transaction::Kind::kSnapshot);
  builder().insert(entries_, {"8", "7", "5"}, model::Op::kRead);
  ASSERT_EQ(commit(false), "");
  ASSERT_TRUE(engine_->end_snapshot(next_, model::Lsn{6}).ok());
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(rows("SELECT * FROM apart"), "8");
}

TEST_F(IsolatedLifeTest, AStoppedTableTakesItAlong) {
  open({entries_}, {});
  insert_many();
  open({entries_}, {isolated("endless", endless_)});
  ASSERT_TRUE(wait_computing());
  ASSERT_TRUE(engine_->stop_table(entries_->id, "a column is gone").ok());
  EXPECT_EQ(error_of("endless"), "failed: table public.entries is stopped (a column is gone)");
  // It ends, and nothing begins again.
  EXPECT_TRUE(harness::wait_for(std::chrono::seconds(120),
                                [&] { return !views_->is_time_due() && !is_computing(); }));
}

TEST_F(IsolatedLifeTest, ADatabaseThatIsOpenedAnewHasItsRows) {
  open({entries_}, {isolated("apart", sums_)});
  insert(1, 10);
  ASSERT_EQ(catch_up("apart"), "");
  insert_many();
  ASSERT_TRUE(wait_for_outcome());
  const std::string before = rows("SELECT * FROM apart");
  {
    const harness::FileSizeLimit full(1);
    EXPECT_FALSE(engine_->write_connection().execute("CHECKPOINT pgweir_engine").ok());
  }
  begin();
  builder().insert(entries_, {"2", "7", "1"});
  EXPECT_THAT(commit(), HasSubstr("has to be opened anew"));
  EXPECT_FALSE(views_->set_aside_failed().value());
  const Status recovered = engine_->recover();
  ASSERT_TRUE(recovered.ok()) << recovered.error().text();
  EXPECT_EQ(rows("SELECT * FROM apart"), before);
  ASSERT_EQ(commit(), "");
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(difference("apart", sums_), "");
}

TEST_F(IsolatedLifeTest, ATransactionThatIsRolledBackTakesNothingIn) {
  const TablePtr other = make_table(3, "other", {engine::int_column("id", true)});
  open({entries_, other},
       {isolated("apart", "SELECT id FROM entries"),
        {.name = "fails", .sql = "SELECT CAST('x' || id AS INTEGER) AS q FROM other"}});
  insert(1, 10);
  ASSERT_TRUE(wait_for_outcome());
  begin();
  builder().insert(other, {"5"});
  ASSERT_EQ(commit_setting_aside(), "");
  EXPECT_EQ(info("fails").state, ViewState::kFailed);
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(difference("apart", "SELECT id FROM entries"), "");
}

// A transaction of the engine does not see what was computed after it had begun to look.
TEST_F(IsolatedLifeTest, WhatIsComputedDuringATransactionWaitsForTheNext) {
  const std::string ids = "SELECT id FROM entries";
  view_options_.isolated.parallel_max = 1;  // the last one only once the endless one is interrupted
  open({entries_}, {});
  insert_many();
  open({entries_},
       {isolated("first", ids), isolated("endless", endless_), isolated("last", sums_)});
  ASSERT_TRUE(wait_for_outcome());
  ASSERT_TRUE(wait_computing());
  begin();
  builder().insert(entries_, {"1", "7", "1"});
  ASSERT_EQ(commit(false), "");  // takes the first one in, and stays open
  ASSERT_TRUE(engine_->is_in_transaction());
  ASSERT_TRUE(harness::wait_for(std::chrono::seconds(120), [&] {
    interrupt_at_times();
    return views_->is_time_due();
  }));
  more();
  builder().insert(entries_, {"2", "7", "1"});
  ASSERT_EQ(commit(), "");
  const bool both = harness::wait_for(std::chrono::seconds(120), [&] {
    interrupt_at_times();
    pass_time();
    return difference("first", ids).empty() && difference("last", sums_).empty();
  });
  EXPECT_TRUE(both) << error_of("first") << error_of("last");
}

// While half a transaction is committed nobody reads, and that is no failure of a view.
TEST_F(IsolatedLifeTest, ItWaitsForTheEndOfALargeTransaction) {
  part_changes_max_ = 1;
  view_options_.isolated.failures_max = 1;
  open({entries_}, {isolated("apart", sums_), {.name = "beside", .sql = sums_}});
  insert(1, 1);
  ASSERT_EQ(catch_up("apart"), "");
  for (int i = 2; i < 6; ++i) {
    i == 2 ? begin() : more();
    builder().insert(entries_, {std::to_string(i), "7", "1"});
    ASSERT_EQ(commit(false), "");
    EXPECT_FALSE(engine_->reader(Milliseconds{300}, engine::Reader::Purpose::kComputes).ok());
  }
  more();
  builder().insert(entries_, {"6", "7", "1"});
  ASSERT_EQ(commit(), "");
  ASSERT_EQ(catch_up("apart"), "");
  EXPECT_EQ(difference("apart", sums_), "");
}

// The engine opens its database anew for memory only where it ran out itself.
TEST_F(IsolatedLifeTest, OneThatNeedsTooMuchMemoryIsSetAsideInTheEnd) {
  view_options_.isolated.failures_max = 2;
  open({entries_}, {isolated("huge",
                             "SELECT string_agg(repeat('ten bytes.', 1000000), '') AS text "
                             "FROM entries"),
                    {.name = "beside", .sql = sums_}});
  insert_many();
  EXPECT_THAT(catch_up("huge"), HasSubstr("failed: the view has run out of memory 2 times"));
  insert(1, 1);
  EXPECT_EQ(difference("beside", sums_), "");
}

TEST_F(IsolatedLifeTest, OneThatIsNotComputedYetCannotBeRead) {
  open({entries_}, {});
  insert_many();
  open({entries_}, {isolated("endless", endless_)});
  EXPECT_THAT(rows("SELECT * FROM endless"), HasSubstr("its first rows are still being computed"));
  EXPECT_THAT(rows("SELECT count(*) FROM endless"), HasSubstr("are still being computed"));
  ASSERT_TRUE(views_->redefine({isolated("endless", "SELECT count(*) AS n FROM entries")}).ok());
  ASSERT_EQ(catch_up("endless"), "");
  EXPECT_EQ(rows("SELECT * FROM endless"), "200");
}

// Changes, time, interrupts, definitions and restarts in any order.
TEST_F(IsolatedLifeTest, WhateverHappensItIsItsSelectInTheEnd) {
  std::mt19937 random(harness::test_seed());
  const auto any = [&](int below) {
    return static_cast<int>(random() % static_cast<unsigned>(below));
  };
  const std::string
      ids = "SELECT amount FROM entries",
      pairs = "SELECT a.id, b.id AS other FROM entries a, entries b WHERE a.amount < b.amount - 15";
  const std::vector<std::pair<std::string, std::string>> all = {
      {"ids", ids}, {"sums", sums_}, {"pairs", pairs}};
  const auto definitions = [&] {
    std::vector<ViewSource> made;
    for (const auto& [name, sql] : all)
      made.push_back({.name = name, .sql = sql, .isolated = any(4) != 0});
    return made;
  };
  auto current = definitions();
  open({entries_}, current);
  std::set<int> there;
  for (int round = 0; round < 40; ++round) {
    const int last = any(3);
    for (int part = 0; part <= last; ++part) {
      part == 0 ? begin() : more();
      for (int i = any(4); i >= 0; --i) {
        const int id = any(30);
        if (there.erase(id) != 0) {
          builder().remove(entries_, {std::to_string(id), std::nullopt, std::nullopt});
        } else {
          there.insert(id);
          builder().insert(entries_,
                           {std::to_string(id), std::to_string(any(3)), std::to_string(any(20))});
        }
      }
      ASSERT_EQ(commit(part == last), "");
      if (any(3) == 0) engine_->interrupt_readers();
    }
    switch (any(8)) {
      case 0:
        ASSERT_TRUE(views_->rebuild_view(all[static_cast<std::size_t>(any(3))].first).ok());
        break;
      case 1:
        ASSERT_TRUE(views_->redefine(current = definitions()).ok());
        break;
      case 2:
        open({entries_}, current);
        break;
      case 3:
        if (info("ids").is_behind) {
          ASSERT_TRUE(wait_for_outcome());
        }
        break;
      default:
        pass_time();
    }
    if (round % 8 != 7) continue;
    for (const ViewSource& view : current) {
      ASSERT_EQ(view.isolated ? catch_up(view.name) : "", "");
      ASSERT_EQ(difference(view.name, view.sql), "") << view.name << " in round " << round;
    }
  }
}

}  // namespace
}  // namespace pgweir::views
