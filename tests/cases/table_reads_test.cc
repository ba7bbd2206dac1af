// Tables that are read beside the stream: through the whole program, with mirrors and views.
//
// Method: the program on a real PostgreSQL; what its mirrors and views give is compared with what
//         PostgreSQL gives itself.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "harness/scenario.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

constexpr const char* kSetup =
    "CREATE TABLE t (id int PRIMARY KEY, grp int, v text, large text);"
    "ALTER TABLE t ALTER large SET STORAGE EXTERNAL;"
    "INSERT INTO t SELECT i, i % 10, i::text, repeat('x', 2500) FROM generate_series(1, 3000) i";
constexpr const char* kViews =
    "engine: {mirrors: all}\nviews:\n  by_group: SELECT grp, count(*) AS n FROM t GROUP BY grp\n"
    "  late_sum: SELECT sum(n) AS n FROM late\n";
constexpr const char* kRows =
    "SELECT count(*), sum(id), sum(length(v)), sum(length(large)), max(v) FROM public.t";
constexpr const char* kGroups = "SELECT grp, count(*) FROM public.t GROUP BY grp ORDER BY grp";

std::string lines(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ';');
  return text;
}

void expect_same(Scenario& scenario) {
  ASSERT_TRUE(scenario.program().wait_ready());
  ASSERT_TRUE(scenario.change("SELECT pg_logical_emit_message(true, 'test', '')"));
  EXPECT_EQ(scenario.ours(kRows), lines(scenario.sql(kRows)));
  EXPECT_EQ(scenario.ours("SELECT grp, n FROM by_group ORDER BY grp"),
            lines(scenario.sql(kGroups)));
}

// Changes rows until it is destroyed: also of keys, and without the large value.
class Writer {
 public:
  explicit Writer(Scenario& scenario)
      : thread_([this, &scenario] {
          for (int i = 0; !stopping_; ++i) {
            scenario.sql(
                fmt::format("UPDATE t SET v = '{0}' WHERE id % 97 = {0} % 97;"
                            "UPDATE t SET id = id + 100000, grp = 3 WHERE id = {0} % 3000;"
                            "DELETE FROM t WHERE id = 3000 - {0} % 1500;"
                            "INSERT INTO t VALUES ({0} + 5000, {0} % 10, 'new', repeat('y', 2200))",
                            i));
          }
        }) {}
  ~Writer() {
    stopping_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace

TEST(TableReads, TableThatComesLaterIsReadAndItsViewsLive) {
  Scenario scenario(kSetup, kViews);
  ASSERT_TRUE(scenario.start());
  scenario.sql(
      "CREATE TABLE late (id int PRIMARY KEY, n int);"
      "INSERT INTO late SELECT i, i FROM generate_series(1, 1000) i");
  EXPECT_TRUE(wait_for(40s, [&] { return scenario.ours("SELECT n FROM late_sum") == "500500"; }))
      << scenario.ours("SELECT n FROM late_sum") << scenario.program().output();
  ASSERT_TRUE(scenario.change("UPDATE late SET n = 0 WHERE id <= 10"));
  EXPECT_EQ(scenario.ours("SELECT n FROM late_sum"), "500445");
}

TEST(TableReads, SnapshotCommandReadsAgainWhileRowsChange) {
  Scenario scenario(kSetup, kViews);
  ASSERT_TRUE(scenario.start());
  {
    const Writer writer(scenario);
    for (int round = 0; round < 3; ++round) {
      const auto done = scenario.command({"snapshot", "--table", "public.*"});
      EXPECT_EQ(done.exit_code, 0) << done.output;
      // Killed while it is read, it goes on.
      std::this_thread::sleep_for(std::chrono::milliseconds(100 * round));
      if (round > 0) {
        scenario.program().kill();
        ASSERT_TRUE(scenario.start());
      }
      EXPECT_TRUE(scenario.program().wait_ready());
    }
  }
  expect_same(scenario);
  const auto unknown = scenario.command({"snapshot", "--table", "nowhere.*"});
  EXPECT_NE(unknown.exit_code, 0);
}

// Killed in its middle; what was read of the table without a key is forgotten, of the other not.
TEST(TableReads, FirstSnapshotThatWasCutOffGoesOnWithItsViews) {
  Scenario scenario(
      std::string(kSetup) +
          ";CREATE TABLE n (grp int, v text); ALTER TABLE n REPLICA IDENTITY FULL;"
          "INSERT INTO n SELECT i % 10, md5(i::text) || md5(i::text || 1) FROM"
          " generate_series(1, 200000) i",
      kViews + std::string("  of_n: SELECT grp, count(*) AS n FROM n GROUP BY grp\n"));
  const auto logged = [&] {
    std::uintmax_t bytes = 0;
    std::error_code failure;
    for (const auto& file :
         std::filesystem::directory_iterator(scenario.directory() + "/data/log", failure))
      bytes += file.is_regular_file(failure) ? file.file_size(failure) : 0;
    return bytes;
  };
  scenario.program().start();
  ASSERT_TRUE(wait_for(40s, [&] { return logged() > 2'000'000; }));
  scenario.program().kill();
  scenario.sql("DELETE FROM n WHERE grp = 3; UPDATE n SET grp = 4 WHERE grp = 5");
  scenario.sql("VACUUM FULL t");
  ASSERT_TRUE(scenario.start());
  scenario.sql("DELETE FROM n WHERE grp = 7; DELETE FROM t WHERE id % 3 = 0");
  expect_same(scenario);
  const std::string expected =
      lines(scenario.sql("SELECT grp, count(*) FROM n GROUP BY grp ORDER BY grp"));
  EXPECT_TRUE(wait_for(60s, [&] {
    return scenario.ours("SELECT grp, n FROM of_n ORDER BY grp") == expected;
  })) << scenario.program().output();
  EXPECT_EQ(scenario.ours("SELECT count(*), sum(length(v)) FROM public.n"),
            lines(scenario.sql("SELECT count(*), sum(length(v)) FROM n")));
}

TEST(TableReads, ResyncMakesMirrorsAndViewsRightAfterALostSlot) {
  Scenario scenario(kSetup, kViews);
  ASSERT_TRUE(scenario.start());
  expect_same(scenario);
  scenario.program().terminate();
  scenario.sql(fmt::format("SELECT pg_drop_replication_slot('{}')", scenario.slot()));
  scenario.sql(
      "DELETE FROM t WHERE id % 7 = 0; UPDATE t SET v = 'x' WHERE id % 11 = 0;"
      "UPDATE t SET id = id + 50000 WHERE id % 13 = 0;"
      "INSERT INTO t SELECT i, 5, 'i', 'j' FROM generate_series(20001, 20100) i");
  scenario.program().start();
  EXPECT_EQ(scenario.program().wait(), 5);
  EXPECT_NE(scenario.program().output().find("--resync"), std::string::npos);
  scenario.program().start({"--resync"});
  expect_same(scenario);
  scenario.sql("TRUNCATE t; INSERT INTO t VALUES (1, 1, 'a', 'b')");
  expect_same(scenario);
}

TEST(TableReads, ResyncAfterTheServerWasRestoredToAnEarlierState) {
  Cluster cluster;
  const ScratchFolder scratch;
  cluster.sql(kSetup);
  Program program(scratch.path(),
                  fmt::format("source: {{url: \"{}\", tables: [public.*]}}\ndata: {}/data\n{}",
                              cluster.url(), scratch.path(), kViews));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  program.terminate();
  const auto copy = [](const std::string& from, const std::string& to) {
    // As they are, with their owner.
    (void)io::run({.arguments = {"rm", "-rf", to}}, 30s);
    (void)io::run({.arguments = {"cp", "-a", from, to}}, 30s);
  };
  cluster.stop();
  copy(cluster.directory(), scratch.file("saved"));
  cluster.start();
  program.start();
  ASSERT_TRUE(program.wait_ready());
  cluster.sql(
      "UPDATE t SET v = 'lost' WHERE id < 500; DELETE FROM t WHERE id > 2000;"
      "INSERT INTO t SELECT i, 1, 'lost', 'z' FROM generate_series(4000, 9000) i");
  ASSERT_TRUE(program.wait_position(cluster.sql("SELECT pg_current_wal_lsn()")));
  program.terminate();
  cluster.stop();
  copy(scratch.file("saved"), cluster.directory());
  cluster.start();
  program.start();
  EXPECT_EQ(program.wait(), 5);
  program.start({"--resync"});
  ASSERT_TRUE(program.wait_ready());
  EXPECT_EQ(program.sql(kRows), lines(cluster.sql(kRows)));
  EXPECT_EQ(program.sql("SELECT grp, n FROM by_group ORDER BY grp"), lines(cluster.sql(kGroups)));
  // What was undone is undone by ordinary changes; nothing is read again.
  EXPECT_EQ(program.sql("SELECT op, CAST(sum(changes) AS BIGINT) FROM pgweir.activity GROUP BY op "
                        "ORDER BY op"),
            "d|6001;i|6001;r|3000;u|998");
}

}  // namespace pgweir::harness
