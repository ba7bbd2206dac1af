// `run --resync` through the whole program: what sinks are given, and kill -9 in the middle of it.
//
// Method: the program on a real PostgreSQL with a Parquet sink. After each resync its files are
//         read as anybody would read them: every event once, as many as the engine has counted, and
//         the newest of each key is the source's row.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "duck/duck.h"
#include "harness/scenario.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

constexpr const char* kSetup =
    "CREATE TABLE t (id int PRIMARY KEY, grp int, v text, large text);"
    "ALTER TABLE t ALTER large SET STORAGE EXTERNAL;"
    "INSERT INTO t SELECT i, i % 10, i::text, repeat('x', 2200) FROM generate_series(1, 2000) i";

std::string lines(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ';');
  return text;
}

class ResyncProgram : public testing::Test {
 protected:
  ResyncProgram()
      : scenario_(kSetup, fmt::format("engine: {{mirrors: all}}\nviews:\n  by_group: SELECT grp, "
                                      "count(*) AS n FROM t GROUP BY grp\nsinks: {{lake: {{type: "
                                      "parquet, path: {}/lake, roll: {{every: 200ms}}}}}}\n",
                                      scratch_.path())) {}

  // Ends it, and takes the slot away. (A server that was killed lets go of it a little later.)
  void lose_slot() {
    const std::string drop = fmt::format(
        "SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots WHERE"
        " slot_name = '{}' AND NOT active",
        scenario_.slot());
    const std::string count = fmt::format(
        "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", scenario_.slot());
    ASSERT_TRUE(wait_for(30s, [&] { return (scenario_.sql(drop), scenario_.sql(count)) == "0"; }));
  }

  // Everything that is committed is in mirrors and files; then it ends.
  void finish() {
    ASSERT_TRUE(scenario_.program().wait_ready()) << scenario_.program().output();
    ASSERT_TRUE(scenario_.change("SELECT pg_logical_emit_message(true, 'test', '')"));
    EXPECT_EQ(scenario_.ours("SELECT grp, n FROM by_group ORDER BY grp"),
              lines(scenario_.sql("SELECT grp, count(*) FROM t GROUP BY grp ORDER BY grp")));
    const auto verified = scenario_.command({"verify"});
    EXPECT_EQ(verified.exit_code, 0) << verified.output;
    activity_ = scenario_.ours(
        "SELECT op, CAST(sum(changes) AS BIGINT) FROM pgweir.activity WHERE \"table\" = 't' GROUP "
        "BY op ORDER BY op");
    const Json engine = scenario_.program().status()["followers"][0];
    ASSERT_TRUE(scenario_.program().wait_follower("lake", engine["position"]));
    EXPECT_EQ(scenario_.program().terminate(), 0);
  }

  // A SELECT over the sink's events, as "a|b;c|d".
  std::string lake(const std::string& select) {
    auto database = duck::Database::open("", {}).value();
    auto connection = database->connect().value();
    const auto rows = connection->query_texts(fmt::format(
        "WITH events AS (FROM read_parquet('{}/lake/table=public.t/**/*.parquet', union_by_name ="
        " true)), newest AS (FROM events QUALIFY row_number() OVER (PARTITION BY id ORDER BY epoch"
        " DESC, lsn DESC, sequence DESC) = 1) {}",
        scratch_.path(), select));
    if (!rows.ok()) return rows.error().text();
    std::string out;
    for (const duck::TextRow& row : rows->rows) {
      if (!out.empty()) out += ";";
      for (std::size_t i = 0; i < row.size(); ++i)
        out += (i == 0 ? "" : "|") + row[i].value_or("NULL");
    }
    return out;
  }

  void expect_files_right() {
    EXPECT_EQ(lake("SELECT op, count(*) FROM events GROUP BY op ORDER BY op"), activity_);
    EXPECT_EQ(lake("SELECT count(*) - count(DISTINCT (epoch, commit_lsn, sequence)) FROM events"),
              "0");
    EXPECT_EQ(lake("SELECT count(*), sum(id), sum(grp), sum(length(v)), sum(length(large)), max(v) "
                   "FROM newest WHERE op <> 'd'"),
              scenario_.sql("SELECT count(*), sum(id), sum(grp), sum(length(v)),"
                            " sum(length(large)), max(v COLLATE \"C\") FROM t"));
  }

  ScratchFolder scratch_;
  Scenario scenario_;
  std::string activity_;
};

}  // namespace

TEST_F(ResyncProgram, FilesAreGivenExactlyTheRowsThatDiffer) {
  ASSERT_TRUE(scenario_.start());
  finish();
  EXPECT_EQ(activity_, "r|2000");
  lose_slot();
  scenario_.sql(
      "DELETE FROM t WHERE id % 100 = 1; UPDATE t SET v = 'x' WHERE id % 100 = 2;"
      "UPDATE t SET id = id + 50000 WHERE id % 100 = 3; UPDATE t SET grp = grp WHERE id < 500;"
      "INSERT INTO t SELECT i, 5, 'i', NULL FROM generate_series(20001, 20010) i");
  scenario_.program().start();
  EXPECT_EQ(scenario_.program().wait(), 5);
  EXPECT_THAT(scenario_.program().output(), testing::HasSubstr("--resync"));
  scenario_.program().start({"--resync"});
  finish();
  EXPECT_EQ(activity_, "d|40;i|30;r|2000;u|20");
  EXPECT_EQ(lake("SELECT epoch, op, count(*), count(DISTINCT commit_lsn) FROM events WHERE op <> "
                 "'r' GROUP BY ALL ORDER BY ALL"),
            "2|d|40|1;2|i|30|1;2|u|20|1");
  expect_files_right();
  // Once is enough: a later one finds nothing to do.
  scenario_.program().start({"--resync"});
  finish();
  EXPECT_EQ(activity_, "d|40;i|30;r|2000;u|20");
}

TEST_F(ResyncProgram, KilledInTheMiddleItEndsRight) {
  std::mt19937 random(test_seed());
  ASSERT_TRUE(scenario_.start());
  finish();
  constexpr int kRounds = 4;
  for (int round = 1; round <= kRounds; ++round) {
    lose_slot();
    scenario_.sql(fmt::format(
        "DELETE FROM t WHERE id % 37 = {0}; UPDATE t SET v = 'r{0}' WHERE id % 11 = {0};"
        "INSERT INTO t SELECT i, 5, 'n{0}', repeat('z', 2200) FROM generate_series({1}, "
        "{1} + 50) i",
        round, 10'000 * round));
    scenario_.program().start({"--resync"});
    // From the start of the program to beyond the end of its resync.
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 600));
    scenario_.program().kill();
    // With the large value, so that an event of the stream has it, too.
    scenario_.sql(fmt::format(
        "UPDATE t SET v = 'between', large = repeat('b', 2100) WHERE id % 41 = {}", round));
    scenario_.program().start({"--resync"});
    finish();
    expect_files_right();
    // No table was read anew.
    EXPECT_THAT(activity_, testing::HasSubstr("r|2000"));
    if (HasFailure()) return;
  }
}

}  // namespace pgweir::harness
