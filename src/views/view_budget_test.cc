// Views that take too long of their batches are set aside, and nothing else is.
#include <gmock/gmock.h>

#include <fmt/core.h>

#include "views/testing_listener.h"
#include "views/view_fixture.h"

namespace pgweir::views {
namespace {

using engine::int_column;
using testing::HasSubstr;

// Passes by a step whenever it is read: all that is measured takes one.
class SteppingClock final : public io::Clock {
 public:
  std::int64_t now_us() const override { return 1'767'225'600'000'000; }
  Microseconds steady() const override { return steady_ += step; }
  void advance(Microseconds by) { steady_ += by; }

  Microseconds step{0};

 private:
  mutable Microseconds steady_{0};
};

class ViewBudgetTest : public ViewFixture {
 protected:
  ViewBudgetTest() { view_options_.clock = &clock_; }
  void TearDown() override {
    if (views_ != nullptr) views_->set_listener(nullptr);
    close();
  }

  // A batch of so many rows: what each view of `entries` takes of it is twice `step`.
  std::string batch(Milliseconds step, int count = 1) {
    clock_.step = step;
    begin();
    for (; count > 0; --count, ++id_)
      builder().insert(entries_, {std::to_string(id_), std::to_string(id_ % 3), "1"});
    const std::string done = commit();
    clock_.step = {};
    return done;
  }
  // The same, with what the pipeline does when it fails.
  std::string batch_setting_aside(Milliseconds step) {
    const std::string done = batch(step);
    return done.empty() || !views_->set_aside_failed().value() ? done : commit_setting_aside();
  }
  void open_all(Milliseconds budget = Milliseconds{1'000}) {
    open({entries_}, {slow(budget), above_, quick_});
  }
  static ViewSource slow(Milliseconds budget) {
    return {.name = "slow",
            .sql = "SELECT account_id, sum(amount) AS total FROM entries GROUP BY 1",
            .budget = budget};
  }

  SteppingClock clock_;
  int id_ = 1;
  const TablePtr entries_ = make_table(
      2, "entries", {int_column("id", true), int_column("account_id"), int_column("amount")});
  const ViewSource above_ = {"above", "SELECT sum(total) AS total FROM slow"};
  const ViewSource quick_ = {"quick", "SELECT id, amount FROM entries"};
};

constexpr Milliseconds kLong{600}, kShort{100};

TEST_F(ViewBudgetTest, ThreeBatchesTooLongSetItAsideAndTheOthersGoOn) {
  open_all();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(batch(kLong), "");
  // What it took too long for is right, and seen.
  for (const ViewSource& view : {slow(kLong), above_, quick_}) {
    EXPECT_EQ(error_of(view.name), "live");
    EXPECT_EQ(difference(view.name, view.sql), "");
  }
  ASSERT_EQ(batch_setting_aside(kLong), "");
  EXPECT_EQ(error_of("slow"),
            "failed: the view took 1.2 s for a batch of 1 changes, and its budget is 1s (it took "
            "longer for each of the last 3 batches of up to 1000 changes; all views share one "
            "position, so it would hold the others back). Declare it `isolated: true`, raise its "
            "`budget` or engine.view_budget, or make it smaller; `pgweir views explain slow` says "
            "what is dear in it");
  EXPECT_THAT(error_of("above"), HasSubstr("failed: the view reads slow, which is failed"));
  EXPECT_EQ(error_of("quick"), "live");
  for (int i = 0; i < 4; ++i) ASSERT_EQ(batch(kLong), "");
  EXPECT_EQ(difference("quick", quick_.sql), "");
  EXPECT_EQ(rows("SELECT count(*) FROM quick"), "8");
  EXPECT_THAT(rows("FROM slow"), HasSubstr("does not exist"));
}

TEST_F(ViewBudgetTest, ItStaysAsideUntilItsBudgetIsAnotherOrItIsRebuilt) {
  open_all();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(batch(kLong), "");
  ASSERT_EQ(batch_setting_aside(kShort), "");
  open_all();  // a restart
  EXPECT_THAT(error_of("slow"), HasSubstr("failed: the view took 1.2 s for a batch"));
  EXPECT_THAT(error_of("above"), HasSubstr("failed: the view reads slow, which is failed"));
  ASSERT_EQ(batch(kShort), "");
  EXPECT_EQ(difference("quick", quick_.sql), "");

  ASSERT_TRUE(views_->rebuild_view("slow").ok());
  EXPECT_EQ(error_of("slow"), "live");
  EXPECT_EQ(error_of("above"), "live");
  // It begins anew, with as many batches as at first.
  for (int i = 0; i < 3; ++i) ASSERT_EQ(batch(kLong), "");
  EXPECT_EQ(difference("above", above_.sql), "");
  ASSERT_EQ(batch_setting_aside(kShort), "");
  EXPECT_THAT(error_of("slow"), HasSubstr("failed"));

  open_all(Milliseconds{5'000});
  EXPECT_EQ(error_of("slow"), "live");
  for (int i = 0; i < 4; ++i) ASSERT_EQ(batch(kLong), "");
  EXPECT_EQ(difference("slow", slow(kLong).sql), "");
  EXPECT_EQ(difference("above", above_.sql), "");
  // A state that is kept is not made anew for another budget.
  ASSERT_TRUE(views_->redefine({slow(kLong), above_, quick_}).ok());
  EXPECT_EQ(views_->view("slow")->budget, kLong);
  EXPECT_EQ(views_->view("slow")->last_batch->took, 2 * kLong);
}

TEST_F(ViewBudgetTest, OnlyJudgedBatchesInARowCount) {
  struct Case {
    const char* what;
    Milliseconds budget;
    std::vector<std::pair<Milliseconds, int>> batches;  // step, changes
    bool is_set_aside;
  };
  const Milliseconds none{0};
  const std::vector<Case> cases = {
      {"one short one in between",
       Milliseconds{1'000},
       {{kLong, 1}, {kLong, 1}, {kShort, 1}, {kLong, 1}, {kLong, 1}},
       false},
      {"large ones alone",
       Milliseconds{1'000},
       {{kLong, 1001}, {kLong, 1001}, {kLong, 1001}},
       false},
      {"a large one in between",
       Milliseconds{1'000},
       {{kLong, 1}, {kLong, 1001}, {kLong, 1}},
       false},
      {"large ones beside three",
       Milliseconds{1'000},
       {{kLong, 1000}, {kLong, 1001}, {kLong, 1}, {kShort, 2000}, {kLong, 1}},
       true},
      {"as long as the budget", 2 * kLong, {{kLong, 1}, {kLong, 1}, {kLong, 1}}, false},
      {"that of all views", none, {{6 * kLong, 1}, {6 * kLong, 1}, {6 * kLong, 1}}, true},
  };
  view_options_.budget = Milliseconds{7'000};
  for (const Case& each : cases) {
    ViewSource view = slow(each.budget);
    view.name = fmt::format("slow_{}", &each - cases.data());  // none has been set aside before
    open({entries_}, {view, quick_});
    for (const auto& [step, changes] : each.batches) ASSERT_EQ(batch(step, changes), "");
    ASSERT_EQ(batch_setting_aside(kShort), "");
    EXPECT_EQ(error_of(view.name) != "live", each.is_set_aside)
        << each.what << ": " << error_of(view.name);
  }
  // No budget at all.
  view_options_.budget = none;
  view_options_.budget = none;
  open_all(none);
  for (int i = 0; i < 4; ++i) ASSERT_EQ(batch(1'000 * kLong), "");
  EXPECT_EQ(error_of("slow"), "live");
}

TEST_F(ViewBudgetTest, ItIsSetAsideWithoutAnotherBatch) {
  open_all();
  for (int i = 0; i < 2; ++i) ASSERT_EQ(batch(kLong), "");
  EXPECT_FALSE(views_->is_time_due());
  ASSERT_EQ(batch(kLong), "");
  ASSERT_TRUE(views_->is_time_due());
  EXPECT_THAT(engine_->let_time_pass().error().text(), HasSubstr("view slow cannot be kept"));
  EXPECT_TRUE(views_->set_aside_failed().value());
  EXPECT_THAT(error_of("slow"), HasSubstr("failed: the view took 1.2 s"));
  EXPECT_FALSE(views_->is_time_due());
  EXPECT_TRUE(engine_->let_time_pass().ok());
}

TEST_F(ViewBudgetTest, ATransactionThatHasBegunIsNotTakenBack) {
  part_changes_max_ = 1;
  open_all();
  for (int i = 0; i < 2; ++i) ASSERT_EQ(batch(kLong), "");
  clock_.step = kLong;
  begin();
  builder().insert(entries_, {"100", "1", "1"});
  ASSERT_EQ(commit(false), "");  // the third
  builder_ = std::make_unique<engine::BatchBuilder>(next_);
  builder().begin(lsn_, model::Timestamp{1767225600000000}, false);
  builder().insert(entries_, {"101", "1", "1"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(difference("slow", slow(kLong).sql), "");
  EXPECT_THAT(batch(kShort), HasSubstr("the view took 1.2 s"));
}

TEST_F(ViewBudgetTest, PartsGoWithTheirView) {
  const ViewSource parted = {
      .name = "parted",
      .sql =
          "WITH sums AS (SELECT account_id, sum(amount) AS total FROM entries GROUP BY 1) "
          "SELECT max(total) AS most FROM sums",
      .budget = Milliseconds{1'000}};
  open({entries_}, {parted, quick_});
  ASSERT_FALSE(views_->explain("parted")->parts.empty());
  const std::string parts = "SELECT name FROM pgweir_internal.stores WHERE name LIKE '%part%'";
  EXPECT_NE(rows(parts), "");
  for (int i = 0; i < 3; ++i) ASSERT_EQ(batch(kLong), "");
  EXPECT_EQ(difference("parted", parted.sql), "");
  ASSERT_EQ(batch_setting_aside(kShort), "");
  EXPECT_THAT(error_of("parted"), HasSubstr("failed: the view took"));
  EXPECT_EQ(rows(parts), "");
  EXPECT_EQ(error_of("quick"), "live");
  open({entries_}, {parted, quick_});
  EXPECT_THAT(error_of("parted"), HasSubstr("failed: the view took"));
  EXPECT_EQ(rows(parts), "");
  ASSERT_TRUE(views_->rebuild_view("parted").ok());
  EXPECT_EQ(difference("parted", parted.sql), "");
}

// One that takes its time over what it is told.
class SlowListener final : public ViewListener {
 public:
  explicit SlowListener(SteppingClock& clock) : clock_(clock) {}
  bool wants(const std::string&) override { return true; }
  Status changed(duck::Connection&, const std::string&, const std::string&) override {
    clock_.advance(std::chrono::hours(1));
    return {};
  }
  void committed(const engine::EnginePosition&, std::int64_t, bool) override {}
  void rolled_back() override {}
  void replaced(const std::string&) override {}

 private:
  SteppingClock& clock_;
};

TEST_F(ViewBudgetTest, TimesAreToldAndListenersAreNotInThem) {
  open_all();
  EXPECT_FALSE(views_->view("slow")->last_batch.has_value());
  SlowListener listener(clock_);
  views_->set_listener(&listener);
  ASSERT_EQ(batch(kLong, 20), "");
  ASSERT_EQ(batch(kShort, 7), "");
  ASSERT_EQ(batch(kLong, 2000), "");
  const ViewInfo told = *views_->view("slow");
  EXPECT_EQ(told.last_batch->took, 2 * kLong);
  EXPECT_EQ(told.last_batch->changes, 2000U);
  EXPECT_EQ(told.longest_batch->took, 2 * kLong);
  EXPECT_EQ(told.longest_batch->changes, 20U);
  EXPECT_EQ(told.time_total, 2 * (kLong + kShort + kLong));
  EXPECT_EQ(told.budget, Milliseconds{1'000});
  EXPECT_EQ(views_->view("quick")->budget, Milliseconds{10'000});
  EXPECT_THAT(views_->explain("slow")->text,
              HasSubstr("  batches: took 1200.0 ms of one of 2000 changes, of late at most 1200.0 "
                        "ms of one of 20 changes; its budget is 1s\n"));
}

TEST(ViewTimes, RolledBackWorkAndWorkOutsideOfBatchesAreNotJudged) {
  ViewTimes times;
  times.declare({{"v", Milliseconds{1}}});
  const auto work = [&](Milliseconds took) { times.add("v", took, ViewTimes::Work::kChanges); };
  for (int i = 0; i < 5; ++i) {
    times.take(1);
    work(Milliseconds{5});
    times.rolled_back();
    work(Milliseconds{5});
    times.committed();
    times.take(1);
    times.add("v", Milliseconds{5}, ViewTimes::Work::kNothing);
    times.add("unknown", Milliseconds{5}, ViewTimes::Work::kChanges);
    times.committed();
  }
  EXPECT_FALSE(times.of("v").last.has_value());
  EXPECT_EQ(times.of("v").total, Milliseconds{50});
  EXPECT_EQ(times.over_budget(), std::nullopt);
  // Batches of one commit are one: what is open is measured together.
  for (int i = 0; i < 3; ++i) {
    times.take(600);
    work(Milliseconds{5});
    times.take(600);
    work(Milliseconds{5});
    times.committed();
  }
  EXPECT_EQ(times.of("v").last->changes, 1200U);
  EXPECT_EQ(times.over_budget(), std::nullopt);
}

TEST(ViewTimes, TheLongestOfLateIsForgottenInTime) {
  ViewTimes times;
  times.declare({{"v", Milliseconds{0}}});
  const auto batch = [&](Milliseconds took) {
    times.take(1);
    times.add("v", took, ViewTimes::Work::kChanges);
    times.committed();
  };
  batch(Milliseconds{900});
  for (int i = 0; i < kLateBatches; ++i) batch(Milliseconds{1});
  EXPECT_EQ(times.of("v").most()->took, Milliseconds{900});
  for (int i = 0; i < kLateBatches; ++i) batch(Milliseconds{2});
  EXPECT_EQ(times.of("v").most()->took, Milliseconds{2});
  EXPECT_EQ(times.over_budget(), std::nullopt);
}

}  // namespace
}  // namespace pgweir::views
