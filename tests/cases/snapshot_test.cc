// First snapshots of whatever tables there are, and on whatever becomes of the server meanwhile.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/proxy.h"
#include "harness/scenario.h"
#include "harness/scratch.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

constexpr auto kPatience = 60s;

// "c1 int, c2 int, ..." or "1, 2, ...".
std::string list(int count, const char* format) {
  std::string out;
  for (int i = 1; i <= count; ++i)
    out += (i > 1 ? ", " : "") + fmt::format(fmt::runtime(format), i);
  return out;
}

// A pipeline on a server of its own, through a network that can be cut.
class Unsteady : public testing::Test {
 protected:
  Unsteady()
      : proxy_(cluster_.port()),
        program_(scratch_.path(),
                 fmt::format("source: {{url: \"postgresql://postgres@127.0.0.1:{}/postgres\", "
                             "tables: [public.*]}}\ndata: {}/data\nengine: {{mirrors: all}}\n",
                             proxy_.port(), scratch_.path())) {
    cluster_.sql(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, md5(i::text) || "
        "repeat('x', 200) FROM generate_series(1, 200000) i");
  }

  bool some_rows_are_read() {
    return wait_for(kPatience, [&] {
      const Json status = program_.status();
      return status.contains("source") && status["source"]["snapshot"]["rows"] > 1000;
    });
  }
  void expect_same() {
    const char* const kSelect = "SELECT count(*), sum(id), sum(length(v)), min(id) FROM t";
    ASSERT_TRUE(program_.wait_ready(kPatience));
    cluster_.sql("INSERT INTO t VALUES (0, 'last')");
    ASSERT_TRUE(program_.wait_position(cluster_.sql("SELECT pg_current_wal_lsn()"), kPatience));
    EXPECT_EQ(program_.sql(kSelect), cluster_.sql(kSelect));
  }

  Cluster cluster_;
  Proxy proxy_;
  ScratchFolder scratch_;
  Program program_;
};

}  // namespace

TEST(Snapshot, TablesOfEveryShape) {
  Scenario scenario(
      "CREATE TABLE nothing (id int PRIMARY KEY, v text); CREATE TABLE no_columns ();"
      "INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;"
      "CREATE TABLE wide (" +
          list(1600, "c{} int") +
          ", PRIMARY KEY (c1));"
          "INSERT INTO wide VALUES (" +
          list(1600, "{}") +
          ");"
          "CREATE TABLE long (id int PRIMARY KEY, v text);"
          "ALTER TABLE long ALTER v SET STORAGE external;"
          "INSERT INTO long VALUES (1, repeat('0123456789', 10000000))",
      "engine: {mirrors: all}\n");
  scenario.program().start();
  ASSERT_TRUE(scenario.program().wait_ready(kPatience));
  EXPECT_EQ(scenario.ours("SELECT count(*) FROM nothing"), "0");
  EXPECT_EQ(scenario.ours("SELECT c1, c800, c1600 FROM wide"), "1|800|1600");
  EXPECT_EQ(scenario.ours("SELECT id, length(v) FROM long"), "1|100000000");
  scenario.sql(
      "INSERT INTO nothing VALUES (1, 'a'); UPDATE wide SET c1600 = -1; INSERT INTO long SELECT 2, "
      "v FROM long; INSERT INTO no_columns DEFAULT VALUES");
  ASSERT_TRUE(
      scenario.program().wait_position(scenario.sql("SELECT pg_current_wal_lsn()"), kPatience));
  EXPECT_EQ(scenario.ours("SELECT * FROM nothing"), "1|a");
  EXPECT_EQ(scenario.ours("SELECT c1, c800, c1600 FROM wide"), "1|800|-1");
  EXPECT_EQ(scenario.ours("SELECT id, length(v) FROM long ORDER BY id"), "1|100000000;2|100000000");
  EXPECT_EQ(scenario.ours("SELECT count(DISTINCT md5(v)) FROM long"), "1");
  // Without columns there is nothing to mirror, until it has one.
  scenario.sql("ALTER TABLE no_columns ADD c int DEFAULT 7; INSERT INTO no_columns VALUES (8)");
  EXPECT_TRUE(wait_for(kPatience, [&] {
    return scenario.ours("SELECT c FROM no_columns ORDER BY c") == "7;7;7;8";
  })) << scenario.ours("SELECT c FROM no_columns ORDER BY c");
}

TEST_F(Unsteady, AServerThatCrashesInItsMiddleIsReadOnceMore) {
  program_.start();
  ASSERT_TRUE(some_rows_are_read());
  cluster_.stop(Cluster::Stop::kImmediate);
  cluster_.start();
  expect_same();
}

TEST_F(Unsteady, ConnectionsThatBreakInItsMiddleAreMadeAgain) {
  program_.start();
  for (int cut = 1; cut <= 3; ++cut) {
    proxy_.cut_after(8'000'000);
    ASSERT_TRUE(
        wait_for(kPatience, [&] { return proxy_.cuts() == static_cast<std::uint64_t>(cut); }));
  }
  expect_same();
}

}  // namespace pgweir::harness
