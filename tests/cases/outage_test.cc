// The program and its data folder through what an operator does to them: suspended for longer than
// the server waits, backed up and restored, moved.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kSetup =
    "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')";
constexpr const char* kYaml =
    "engine: {mirrors: all}\nviews: {by_length: 'SELECT length(v) AS n, count(*) AS rows FROM t "
    "GROUP BY 1'}\n";

std::string yaml_of(const std::string& url, const std::string& data) {
  return fmt::format("source: {{url: \"{}\", tables: [public.*]}}\ndata: {}\n{}", url, data, kYaml);
}

// What both sides say of the table's rows.
void expect_equal(Program& program, Cluster& cluster, const std::string& database) {
  ASSERT_TRUE(program.wait_position(cluster.sql("SELECT pg_current_wal_insert_lsn()", database)))
      << program.output();
  EXPECT_EQ(program.sql("SELECT count(*), sum(id), max(v) FROM t"),
            cluster.sql("SELECT count(*), sum(id), max(v) FROM t", database));
  EXPECT_EQ(program.sql("SELECT sum(n * rows) FROM by_length"),
            cluster.sql("SELECT sum(length(v)) FROM t", database));
}

std::string rows(int from, int count) {
  return fmt::format("INSERT INTO t SELECT i, 'v' || i FROM generate_series({0}, {0} + {1} - 1) i",
                     from, count);
}

// The slot as the server sees it: "true" while somebody reads it.
std::string slot_active(Cluster& cluster) {
  return cluster.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'pgweir'");
}

}  // namespace

TEST(Outage, SuspendedForLongerThanTheServerWaits) {
  ScratchFolder scratch;
  Cluster cluster({.settings = {{"wal_sender_timeout", "1s"}}});
  cluster.sql(kSetup);
  Program program(scratch.path(), yaml_of(cluster.url(), scratch.file("data")));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  for (int turn = 0; turn < 2; ++turn) {
    ASSERT_EQ(::kill(program.pid(), SIGSTOP), 0);
    cluster.sql(rows(100 + turn * 1000, 1000));
    const bool given_up = wait_for(20s, [&] { return slot_active(cluster) == "f"; });
    ASSERT_EQ(::kill(program.pid(), SIGCONT), 0);
    ASSERT_TRUE(given_up);
    cluster.sql(rows(5000 + turn, 1));
    expect_equal(program, cluster, "postgres");
  }
  EXPECT_EQ(program.terminate(), 0);
}

TEST(Outage, ADataFolderThatIsBackedUpWhileStoppedGoesOnElsewhere) {
  ScratchFolder scratch;
  Cluster cluster;
  cluster.sql(kSetup);
  const std::string data = scratch.file("data"), moved = scratch.file("moved folder");
  Program program(scratch.path(), yaml_of(cluster.url(), data));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  cluster.sql(rows(100, 100));
  expect_equal(program, cluster, "postgres");
  ASSERT_EQ(program.terminate(), 0);
  std::filesystem::copy(data, moved, std::filesystem::copy_options::recursive);
  cluster.sql(rows(1000, 100));

  Program elsewhere(scratch.path(), yaml_of(cluster.url(), "\"" + moved + "\""));
  elsewhere.start();
  ASSERT_TRUE(elsewhere.wait_ready());
  expect_equal(elsewhere, cluster, "postgres");
  ASSERT_EQ(elsewhere.terminate(), 0);

  // The older copy has missed what the slot has been confirmed since: refused, not silently wrong.
  Program older(scratch.path(), yaml_of(cluster.url(), data));
  const std::size_t before = older.output().size();
  older.start();
  EXPECT_EQ(older.wait(), 5);
  EXPECT_THAT(older.output().substr(before), HasSubstr("slot 'pgweir' is ahead of the log"));
}

}  // namespace pgweir::harness
