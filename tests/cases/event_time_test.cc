// Event time against a real PostgreSQL: the order of its transactions alone decides what is late,
// over a restart, too; and people see it.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "harness/scenario.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using testing::HasSubstr;

constexpr const char* kSetup = R"(
CREATE TABLE transfers (id int PRIMARY KEY, created_at timestamptz, amount int);
INSERT INTO transfers VALUES (1, '2026-01-01 10:00:10Z', 1), (2, '2026-01-01 10:01:20Z', 2))";

constexpr const char* kViews = R"(
watermarks: {public.transfers.created_at: 10s}
views:
  per_minute:
    sql: |
      SELECT window_start, count(*) AS n, sum(amount) AS volume
      FROM tumble(transfers, created_at, INTERVAL 1 MINUTE) GROUP BY window_start
    mode: append
    late_rows: keep
  hops: |
    SELECT window_end, count(*) AS n
    FROM hop(transfers, created_at, INTERVAL 30 SECOND, INTERVAL 1 MINUTE) GROUP BY window_end
)";

// The same windows by PostgreSQL's own SQL.
constexpr const char* kHopsOfPostgres =
    "SELECT to_char((s + interval '1 minute') AT TIME ZONE 'UTC', 'HH24:MI:SS'), count(*) FROM "
    "transfers, generate_series(timestamptz '2026-01-01 09:00Z', '2026-01-01 12:00Z', '30 "
    "seconds') "
    "s WHERE created_at >= s AND created_at < s + interval '1 minute' GROUP BY s ORDER BY 1";

std::string hops_of_postgres(Scenario& scenario) {
  std::string rows = scenario.sql(kHopsOfPostgres);
  while (rows.ends_with('\n')) rows.pop_back();
  std::replace(rows.begin(), rows.end(), '\n', ';');
  return rows;
}
}  // namespace

TEST(EventTime, WindowsCloseByThePaceOfTheSource) {
  Scenario scenario(kSetup, kViews);
  ASSERT_TRUE(scenario.start());
  const std::string shown =
      "SELECT strftime(window_start, '%H:%M'), n, volume FROM per_minute ORDER BY 1";
  const std::string hops = "SELECT strftime(window_end, '%H:%M:%S'), n FROM hops ORDER BY 1";
  // The snapshot counts as one transaction.
  EXPECT_EQ(scenario.ours(shown), "10:00|1|1");
  // One after the other, and both in one batch perhaps: the second is late.
  ASSERT_TRUE(
      scenario.change("BEGIN; INSERT INTO transfers VALUES (3, '2026-01-01 10:02:10Z', 3); COMMIT;"
                      "BEGIN; INSERT INTO transfers VALUES (4, '2026-01-01 10:01:59Z', 4); COMMIT;"
                      "BEGIN; UPDATE transfers SET amount = 30 WHERE id = 3; COMMIT"));
  EXPECT_EQ(scenario.ours(shown), "10:00|1|1;10:01|1|2");
  EXPECT_EQ(scenario.ours("SELECT view, \"table\", weight, strftime(window_start, '%H:%M') FROM "
                          "pgweir.late_rows"),
            "per_minute|public.transfers|1|10:01");
  EXPECT_EQ(scenario.ours(hops), hops_of_postgres(scenario));

  scenario.program().kill();
  ASSERT_TRUE(scenario.start());
  // Within one transaction nothing makes anything else late.
  ASSERT_TRUE(
      scenario.change("BEGIN; INSERT INTO transfers VALUES (5, '2026-01-01 10:05:00Z', 5), "
                      "(6, '2026-01-01 10:02:30Z', 6); COMMIT"));
  EXPECT_EQ(scenario.ours(shown), "10:00|1|1;10:01|1|2;10:02|2|36");
  EXPECT_EQ(scenario.ours(hops), hops_of_postgres(scenario));

  const io::Finished view = scenario.command({"views", "show", "per_minute"});
  EXPECT_THAT(view.output, HasSubstr("append"));
  EXPECT_THAT(view.output, HasSubstr("2026-01-01T10:04:00Z"));
  EXPECT_THAT(scenario.command({"status", "--json"}).output,
              HasSubstr("\"watermark\": \"2026-01-01T10:04:50Z\""));
  const std::string metrics = http_get(scenario.program().url() + "/metrics").body;
  EXPECT_THAT(metrics, testing::ContainsRegex("pgweir_view_late_rows_total.* 1\n"));
  EXPECT_THAT(metrics, testing::ContainsRegex("pgweir_view_state_rows.*per_minute.* 1\n"));
}

TEST(EventTime, ChecksModesAtTheStart) {
  Scenario scenario(kSetup,
                    "views: {rows: {sql: SELECT id FROM transfers, mode: append}, all: {sql: "
                    "SELECT count(*) AS n FROM transfers, mode: complete}}\n");
  ASSERT_TRUE(scenario.start());
  EXPECT_THAT(scenario.command({"views", "show", "rows"}).output,
              HasSubstr("mode append needs windows"));
  EXPECT_EQ(scenario.ours("SELECT n FROM \"all\""), "2");
}

}  // namespace pgweir::harness
