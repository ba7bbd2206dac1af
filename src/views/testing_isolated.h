// Views over `entries` that are computed beside the others, for tests; the engine's thread is the
// test's, which lets time pass as the follower does.
#pragma once

#include <fmt/core.h>

#include "harness/wait.h"
#include "views/view_fixture.h"

namespace pgweir::views {

class IsolatedFixture : public ViewFixture {
 protected:
  IsolatedFixture() {
    view_options_.isolated.rest_min = Milliseconds{1};
    view_options_.isolated.rest_max = Milliseconds{1};
  }

  static ViewSource isolated(const std::string& name, const std::string& sql) {
    return {.name = name, .sql = sql, .isolated = true};
  }
  void insert(int id, int amount) {
    begin();
    builder().insert(entries_, {std::to_string(id), "7", std::to_string(amount)});
    ASSERT_EQ(commit(), "");
  }
  // In place of begin(): the transaction goes on.
  void more() {
    builder_ = std::make_unique<engine::BatchBuilder>(next_);
    builder_->begin(lsn_, model::Timestamp{1767225600000000}, false);
  }
  ViewInfo info(const std::string& view) { return views_->view(view).value(); }
  static model::Lsn true_at(const ViewInfo& view) {
    return view.as_of ? view.as_of->end_lsn : model::Lsn{};
  }

  // What the follower does between batches.
  void pass_time() {
    if (!views_->is_time_due()) return;
    for (Status passed = engine_->let_time_pass(); !passed.ok();
         passed = engine_->let_time_pass()) {
      const auto aside = views_->set_aside_failed();
      ASSERT_TRUE(aside.ok() && *aside) << passed.error().text();
    }
  }
  // Until the view is what its SELECT is now, or failed. "" or why it will never be.
  std::string catch_up(const std::string& view) {
    const bool done = harness::wait_for(std::chrono::seconds(120), [&] {
      pass_time();
      const ViewInfo now = info(view);
      return now.state == ViewState::kFailed || now.state == ViewState::kRefused ||
             (now.as_of && !now.is_behind);
    });
    if (!done) return view + " does not catch up: " + error_of(view);
    return info(view).error ? error_of(view) : "";
  }
  // Until a difference waits to be taken in.
  testing::AssertionResult wait_for_outcome() {
    if (harness::wait_for(std::chrono::seconds(120), [&] { return views_->is_time_due(); }))
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << "nothing was computed";
  }
  // Whether somebody computes: not all places for that are free.
  bool is_computing() {
    std::vector<std::unique_ptr<engine::Reader>> lent;
    const int places = engine::EngineOptions().computing_readers_max;
    for (int i = 0; i < places; ++i) {
      auto reader = engine_->reader(Milliseconds{0}, engine::Reader::Purpose::kComputes);
      if (!reader.ok()) return true;
      lent.push_back(std::move(reader).value());
    }
    return false;
  }
  // Called again and again: ends an endless computation, and leaves others the time to be over.
  void interrupt_at_times() {
    if (calls_++ % 100 == 0) engine_->interrupt_readers();
  }
  // Until an endless view computes.
  testing::AssertionResult wait_computing() {
    if (harness::wait_for(std::chrono::seconds(120), [&] { return is_computing(); }))
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << "nothing is computed";
  }
  // So many that an endless view is endless.
  void insert_many() {
    begin();
    for (int i = 1; i <= 200; ++i)
      builder().insert(entries_, {std::to_string(100'000 + i), "7", std::to_string(i)});
    ASSERT_EQ(commit(), "");
  }

  int calls_ = 0;  // of interrupt_at_times()
  const TablePtr entries_ =
      make_table(2, "entries",
                 {engine::int_column("id", true), engine::int_column("account_id"),
                  engine::int_column("amount")});
  const std::string sums_ = "SELECT account_id, sum(amount) AS s FROM entries GROUP BY 1";
  // Of 200 rows it takes longer than any test: 200^7 combinations.
  const std::string endless_ =
      "SELECT count(*) AS n FROM entries a, entries b, entries c, entries d, entries e, entries f, "
      "entries g WHERE (a.amount * b.amount + c.amount * d.amount + e.amount * f.amount + g.id) % "
      "1000003 = 17";
};

}  // namespace pgweir::views
