// `pgweir views rebuild` against a real PostgreSQL: views that were set aside come back with those
// that read them, and windows that had left a view in append mode leave anew.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/scenario.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using testing::HasSubstr;

constexpr const char* kSetup = R"(
CREATE TABLE transfers (id int PRIMARY KEY, created_at timestamptz, amount int);
CREATE TABLE notes (id int PRIMARY KEY, note text);
INSERT INTO transfers VALUES (1, '2026-01-01 10:00:10Z', 1), (2, '2026-01-01 10:01:20Z', 2);
INSERT INTO notes VALUES (1, '10'), (2, '20'))";

constexpr const char* kViews = R"(
watermarks: {public.transfers.created_at: 10s}
views:
  numbers: SELECT id, CAST(note AS INTEGER) AS n FROM notes
  sums: SELECT count(*) AS n, sum(n) AS total FROM numbers
  typo: SELECT amuont FROM transfers
  per_minute:
    sql: |
      SELECT window_start, count(*) AS n, sum(amount) AS volume
      FROM tumble(transfers, created_at, INTERVAL 1 MINUTE) GROUP BY window_start
    mode: append
    late_rows: keep
  apart: {isolated: true, sql: SELECT count(*) AS n FROM transfers}
)";

std::string state_of(Scenario& scenario, const std::string& view) {
  return http_get(scenario.program().url() + "/api/v1/views/" + view).json().value("state", "");
}
}  // namespace

TEST(Rebuild, AViewThatWasSetAsideComesBackWithThoseThatReadIt) {
  Scenario scenario(kSetup, kViews);
  ASSERT_TRUE(scenario.start());
  const std::string sums = "SELECT n, total FROM sums";
  EXPECT_EQ(scenario.ours(sums), "2|30");
  ASSERT_TRUE(scenario.change("INSERT INTO notes VALUES (3, 'thirty')"));
  EXPECT_EQ(state_of(scenario, "numbers"), "failed");
  EXPECT_EQ(state_of(scenario, "sums"), "failed");

  // While the value is there it fails again, and says so; the others go on.
  const std::string quoted = "\"numbers\"";
  io::Finished rebuilt = scenario.command({"views", "rebuild", quoted});
  EXPECT_EQ(rebuilt.exit_code, 1);
  EXPECT_THAT(rebuilt.output, HasSubstr("view numbers could not be built"));
  EXPECT_THAT(rebuilt.output, HasSubstr("thirty"));
  rebuilt = scenario.command({"views", "rebuild", "sums"});
  EXPECT_EQ(rebuilt.exit_code, 1);
  EXPECT_THAT(rebuilt.output, HasSubstr("numbers, which is failed"));
  ASSERT_TRUE(scenario.change("INSERT INTO transfers VALUES (3, '2026-01-01 10:02:20Z', 3)"));
  EXPECT_EQ(scenario.ours("SELECT count(*) FROM per_minute"), "2");

  ASSERT_TRUE(scenario.change("UPDATE notes SET note = '30' WHERE id = 3"));
  EXPECT_EQ(state_of(scenario, "numbers"), "failed");
  rebuilt = scenario.command({"views", "rebuild", quoted});
  EXPECT_EQ(rebuilt.exit_code, 0) << rebuilt.output;
  EXPECT_EQ(rebuilt.output, "numbers is built anew\nwith it, as they read it: sums\n");
  EXPECT_EQ(scenario.ours(sums), "3|60");
  ASSERT_TRUE(scenario.change("DELETE FROM notes WHERE id = 1"));
  EXPECT_EQ(scenario.ours(sums), "2|50");

  // It stays so over a restart.
  scenario.program().kill();
  ASSERT_TRUE(scenario.start());
  ASSERT_TRUE(scenario.change("INSERT INTO notes VALUES (4, '5')"));
  EXPECT_EQ(scenario.ours(sums), "3|55");
}

TEST(Rebuild, WindowsThatHadLeftLeaveAnewWithLateRows) {
  Scenario scenario(kSetup, kViews);
  ASSERT_TRUE(scenario.start());
  const std::string shown =
      "SELECT strftime(window_start, '%H:%M'), n, volume FROM per_minute ORDER BY 1";
  EXPECT_EQ(scenario.ours(shown), "10:00|1|1");
  ASSERT_TRUE(scenario.change("INSERT INTO transfers VALUES (3, '2026-01-01 10:00:50Z', 5)"));
  EXPECT_EQ(scenario.ours(shown), "10:00|1|1");
  const std::string late = "SELECT count(*) FROM pgweir.late_rows";
  EXPECT_EQ(scenario.ours(late), "1");

  const io::Finished rebuilt = scenario.command({"views", "rebuild", "per_minute"});
  EXPECT_EQ(rebuilt.exit_code, 0) << rebuilt.output;
  EXPECT_THAT(rebuilt.output,
              HasSubstr("per_minute is in append mode: its windows that had left have left anew"));
  EXPECT_EQ(scenario.ours(shown), "10:00|2|6");
  EXPECT_EQ(scenario.ours(late), "0");
  // The windows go on from the watermark that there was.
  ASSERT_TRUE(scenario.change(
      "BEGIN; INSERT INTO transfers VALUES (4, '2026-01-01 10:02:20Z', 7); COMMIT;"
      "BEGIN; INSERT INTO transfers VALUES (5, '2026-01-01 10:00:55Z', 9); COMMIT"));
  EXPECT_EQ(scenario.ours(shown), "10:00|2|6;10:01|1|2");
  EXPECT_EQ(scenario.ours(late), "1");
}

TEST(Rebuild, AnIsolatedViewIsComputedBesideTheOthers) {
  Scenario scenario(kSetup, kViews);
  ASSERT_TRUE(scenario.start());
  const auto is_computed = [&] { return state_of(scenario, "apart") == "live"; };
  ASSERT_TRUE(wait_for(std::chrono::seconds(60), is_computed));
  const io::Finished rebuilt = scenario.command({"views", "rebuild", "apart"});
  EXPECT_EQ(rebuilt.exit_code, 0) << rebuilt.output;
  EXPECT_EQ(rebuilt.output,
            "apart is built anew\napart waits: its rows are computed beside the other views\n");
  ASSERT_TRUE(wait_for(std::chrono::seconds(60), is_computed));
  EXPECT_EQ(scenario.ours("SELECT n FROM apart"), "2");
}

TEST(Rebuild, WhatCannotBeBuiltSaysWhy) {
  Scenario scenario(kSetup, kViews);
  ASSERT_TRUE(scenario.start());
  io::Finished refused = scenario.command({"views", "rebuild", "typo"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("view typo cannot be built"));
  EXPECT_THAT(refused.output, HasSubstr("amuont"));
  refused = scenario.command({"views", "rebuild", "per_minutes"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("did you mean 'per_minute'?"));
  const HttpAnswer answer =
      http_post(scenario.program().url() + "/api/v1/views/typo/rebuild", "{}");
  EXPECT_EQ(answer.status, 400) << answer.body;
}

}  // namespace pgweir::harness
