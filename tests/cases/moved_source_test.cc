// The source becomes another server: by pg_upgrade, by a dump that is restored elsewhere, by a base
// backup, by files that are put back. docs/operations.md says what to do; this does it.
//
// Method: the program on a real PostgreSQL, with tables of every kind. Afterwards `run` must say
//         what has happened and end with 5, and after `run --resync` the mirrors equal the new
//         server, by verify, and go on with it.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kSetup =
    "CREATE TYPE mood AS ENUM ('happy', 'so so');"
    "CREATE TABLE t (id int PRIMARY KEY, grp int, gone int, m mood, large text);"
    "ALTER TABLE t ALTER large SET STORAGE EXTERNAL, DROP gone;"
    "CREATE TABLE bag (a int, v text); ALTER TABLE bag REPLICA IDENTITY FULL;"
    "CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
    "CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (0) TO (100);"
    "CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM (100) TO (2000);"
    "INSERT INTO t SELECT i, i % 10, 'happy', repeat('x', 2200) FROM generate_series(1, 1000) i;"
    "INSERT INTO bag SELECT i % 50, 'v' FROM generate_series(1, 300) i;"
    "INSERT INTO parts SELECT i, 'v' || i FROM generate_series(1, 500) i";
constexpr const char* kChanges =
    "UPDATE t SET grp = grp + 1, m = 'so so' WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0;"
    "DELETE FROM bag WHERE a = 3; INSERT INTO bag VALUES (1, NULL);"
    "UPDATE parts SET id = id + 600 WHERE id % 50 = 0";
constexpr const char* kGroups = "SELECT grp, count(*) FROM t GROUP BY grp ORDER BY grp";

// What sinks were given, too.
constexpr const char* kActivity =
    "SELECT op, CAST(sum(changes) AS BIGINT) FROM pgweir.activity WHERE op <> 'm' GROUP BY op "
    "ORDER "
    "BY op";

class MovedSource : public testing::Test {
 protected:
  // The program with this server as its source, and the same data folder as ever.
  Program& follow(Cluster& cluster) {
    program_.reset();
    program_ = std::make_unique<Program>(
        scratch_.path(),
        fmt::format("source: {{url: \"{}\", tables: [public.*]}}\ndata: {}/data\nengine: {{memory: "
                    "256MiB, mirrors: all}}\nviews:\n  by_group: SELECT grp, count(*) AS n FROM t "
                    "GROUP BY grp\n",
                    cluster.url(), scratch_.path()));
    return *program_;
  }
  void set_up(Cluster& cluster) {
    cluster.sql(kSetup);
    follow(cluster).start();
    ASSERT_TRUE(program_->wait_ready());
    change(cluster, kChanges);
    expect_equal(cluster);
    EXPECT_EQ(program_->sql(kActivity), "d|97;i|2;r|1800;u|151");
  }
  void change(Cluster& cluster, const std::string& statements) {
    cluster.sql(statements);
    ASSERT_TRUE(program_->wait_position(cluster.sql("SELECT pg_current_wal_lsn()")))
        << program_->output();
  }
  void expect_equal(Cluster& cluster) {
    std::string groups = cluster.sql(kGroups);
    std::replace(groups.begin(), groups.end(), '\n', ';');
    EXPECT_EQ(program_->sql("SELECT grp, n FROM by_group ORDER BY grp"), groups);
    const io::Finished verified = run_program({"-c", program_->config_file(), "verify"});
    EXPECT_EQ(verified.exit_code, 0) << verified.output;
  }
  // What `run` says when it ends with 5.
  std::string refused() {
    const std::size_t before = program_->output().size();
    program_->start();
    EXPECT_EQ(program_->wait(), 5);
    return program_->output().substr(before);
  }
  // The mirrors come right, and go on with this server.
  void resync(Cluster& cluster) {
    program_->start({"--resync"});
    ASSERT_TRUE(program_->wait_ready()) << program_->output();
    change(cluster, "SELECT pg_logical_emit_message(true, 'test', '')");
    expect_equal(cluster);
    activity_ = program_->sql(kActivity);
    change(cluster,
           "UPDATE t SET m = 'happy', grp = 77 WHERE id % 3 = 0; DELETE FROM parts WHERE id < 20;"
           "INSERT INTO bag VALUES (5, 'later')");
    expect_equal(cluster);
  }

  ScratchFolder scratch_;
  std::unique_ptr<Program> program_;
  std::string activity_;  // behind the resync
};

class PgUpgrade : public MovedSource, public testing::WithParamInterface<int> {};

class BaseBackup : public MovedSource {
 protected:
  struct How {
    bool promoted = false;
    bool written_to = false;  // beyond the end of the log
  };
  void restore(How how, const char* expected) {
    constexpr int kVersion = 15;  // has pg_basebackup
    Cluster cluster({.version = kVersion});
    set_up(cluster);
    const std::string backup = scratch_.file("backup");
    cluster.run_as_owner({cluster.bin() + "/pg_basebackup", "-D", backup, "-d", cluster.url(), "-X",
                          "stream", "-c", "fast", "--no-sync"});
    change(cluster, "UPDATE t SET grp = 99 WHERE id < 100; DELETE FROM parts WHERE id > 300");
    EXPECT_EQ(program_->terminate(), 0);
    cluster.stop();
    if (how.promoted) cluster.run_as_owner({"touch", backup + "/recovery.signal"});
    Cluster restored(
        {.settings = {{"restore_command", "false"}}, .version = kVersion, .files = backup});
    if (how.written_to) restored.sql("UPDATE t SET large = repeat(id::text, 900)");
    follow(restored);
    const std::string said = refused();
    EXPECT_THAT(said, HasSubstr(expected));
    EXPECT_THAT(said, HasSubstr("run --resync"));
    resync(restored);
    EXPECT_EQ(program_->terminate(), 0);
  }
};

class FilesPutBack : public MovedSource {
 protected:
  void restore(int times_written_to, const char* expected) {
    Cluster cluster;
    set_up(cluster);
    EXPECT_EQ(program_->terminate(), 0);
    cluster.stop();
    const std::string saved = scratch_.file("saved");
    cluster.run_as_owner({"cp", "-a", cluster.directory(), saved});
    cluster.start();
    program_->start();
    ASSERT_TRUE(program_->wait_ready());
    change(cluster, "UPDATE t SET grp = 99 WHERE id < 100; DELETE FROM parts WHERE id > 300");
    EXPECT_EQ(program_->terminate(), 0);
    cluster.stop();
    Cluster restored({.files = saved});
    for (int i = 0; i < times_written_to; ++i)
      restored.sql("UPDATE t SET large = repeat(id::text, 900)");
    follow(restored);
    // Also when it is started again and again.
    for (int start = 0; start < 2; ++start) {
      const std::string said = refused();
      EXPECT_THAT(said, HasSubstr(expected));
      EXPECT_THAT(said, HasSubstr("run --resync"));
    }
    resync(restored);
    EXPECT_EQ(program_->terminate(), 0);
  }
};

}  // namespace

// The server is stopped while the program runs, so that nothing is left to send: of 17 and later
// pg_upgrade takes the slot along only then.
TEST_P(PgUpgrade, IsSaidAndResyncFindsNothingToDo) {
  Cluster cluster({.version = GetParam()});
  set_up(cluster);
  cluster.stop();
  EXPECT_EQ(program_->terminate(), 0);
  cluster.upgrade();
  EXPECT_EQ(cluster.sql("SELECT current_setting('server_version_num')::int / 10000"), "18");
  EXPECT_EQ(cluster.sql("SELECT count(*) FROM pg_replication_slots"), GetParam() >= 17 ? "1" : "0");
  const std::string said = refused();
  EXPECT_THAT(said, HasSubstr("the server is not the PostgreSQL cluster that the data folder"));
  EXPECT_THAT(said, HasSubstr("pg_upgrade"));
  EXPECT_THAT(said, HasSubstr("pgweir run --resync"));
  // Written to before anybody follows it again.
  cluster.sql("UPDATE t SET grp = 5 WHERE id = 1; DELETE FROM parts WHERE id = 1");
  resync(cluster);
  // These, and nothing else: every table was compared, none read again.
  EXPECT_EQ(activity_, "d|98;i|2;r|1800;u|152") << program_->output();
}

INSTANTIATE_TEST_SUITE_P(PostgreSQL, PgUpgrade, testing::Values(16, 17),
                         [](const auto& version) { return std::to_string(version.param); });

// Tables are created in the dump's order there, so that they take each other's ids.
TEST_F(MovedSource, ADumpRestoredIntoANewerServer) {
  Cluster old({.version = 14});
  set_up(old);
  EXPECT_EQ(program_->terminate(), 0);
  const std::string dump = scratch_.file("dump.sql");
  Cluster restored({.version = 18, .complete = true});
  old.run_as_owner({restored.bin() + "/pg_dump", "-d", old.url(), "-f", dump});
  restored.sql("\\i " + dump);
  restored.sql("UPDATE t SET grp = 5 WHERE id = 1; DELETE FROM parts WHERE id = 1");
  follow(restored);
  const std::string said = refused();
  EXPECT_THAT(said, HasSubstr("the server is not the PostgreSQL cluster that the data folder"));
  EXPECT_THAT(said, HasSubstr("pgweir run --resync"));
  resync(restored);
  // Under another id a table has no mirror to compare with: all its rows are given anew, but the
  // mirrors and views lack none and have none too many.
  EXPECT_EQ(activity_, "d|97;i|2;r|3504;u|151") << program_->output();
}

// A base backup has no slots, whether it is promoted or goes on in its old timeline.
TEST_F(BaseBackup, PromotedItLacksChangesOfTheLog) {
  restore({.promoted = true}, "the server that took over lacks changes that the log has");
}

TEST_F(BaseBackup, OnTheSameTimelineItIsBehindTheLog) {
  restore({}, "the server is behind the log");
}

TEST_F(BaseBackup, OnTheSameTimelineAndWrittenToItHasNoSlot) {
  restore({.written_to = true}, "slot 'pgweir' is gone from the server");
}

// A snapshot of a machine or a file system: the same timeline, and its slot is there, too.
TEST_F(FilesPutBack, TheServerIsBehindTheLog) {
  restore(0, "the server is behind the log");
}

// Its WAL has passed the end of the log by the time that it is followed again.
TEST_F(FilesPutBack, AndWrittenToTheServerHasAnotherHistory) {
  restore(1, "the server has another history than the log");
}

}  // namespace pgweir::harness
