// What an administrator may do to the source while it is captured: each is said in words, and
// capture goes on once it is undone.
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
using testing::HasSubstr;

constexpr auto kPatience = 60s;
constexpr const char* kTable = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
constexpr const char* kYaml = "engine: {mirrors: all}\n";

// Waits until the status says it, wherever.
testing::AssertionResult says(Program& program, const std::string& words) {
  std::string last;
  if (wait_for(kPatience, [&] {
        last = program.status().dump();
        return last.find(words) != std::string::npos;
      }))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << last << "\n" << program.output();
}

std::string yaml_of(const std::string& url, const std::string& name, const std::string& publication,
                    const std::string& directory) {
  return fmt::format(
      "source: {{url: \"{}\", slot: {}, publication: {}, tables: [public.*]}}\ndata: {}/data\n{}",
      url, name, publication, directory, kYaml);
}

void drop_slot(const std::string& name) {
  const std::string count =
      fmt::format("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}' AND ", name);
  Cluster& cluster = shared_cluster();
  EXPECT_TRUE(wait_for(kPatience, [&] { return cluster.sql(count + "active") == "0"; }));
  cluster.sql(
      fmt::format("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                  "WHERE slot_name = '{}'",
                  name));
}

}  // namespace

TEST(ServerEvents, APublicationThatIsDroppedIsWaitedFor) {
  Scenario scenario(kTable, kYaml, "[public.*]", ", catalog_interval: 100ms");
  ASSERT_TRUE(scenario.start());
  scenario.sql("DROP PUBLICATION " + scenario.publication());
  EXPECT_TRUE(says(scenario.program(), fmt::format("publication '{}' is gone from the server",
                                                   scenario.publication())));
  EXPECT_TRUE(scenario.program().running());
  scenario.sql(fmt::format("CREATE PUBLICATION {} FOR TABLE t WITH (publish_via_partition_root)",
                           scenario.publication()));
  EXPECT_TRUE(scenario.change("INSERT INTO t VALUES (2)"));
  EXPECT_TRUE(wait_for(kPatience, [&] {
    return scenario.ours("SELECT * FROM t ORDER BY 1") == "1;2";
  })) << scenario.ours("SELECT * FROM t ORDER BY 1");
}

// Before 18 PostgreSQL cannot decode what changed meanwhile; from 18 on it leaves it out.
TEST(ServerEvents, WhatChangedWithoutAPublicationIsNotLostSilently) {
  Scenario scenario(kTable, kYaml, "[public.*]", ", catalog_interval: 100ms");
  ASSERT_TRUE(scenario.start());
  scenario.sql(fmt::format(
      "DROP PUBLICATION {0}; INSERT INTO t VALUES (2); CREATE PUBLICATION {0} FOR TABLE t WITH "
      "(publish_via_partition_root); INSERT INTO t VALUES (3)",
      scenario.publication()));
  if (shared_cluster().version() < 18) {
    for (int start = 0; start < 2; ++start) {
      if (start == 1) scenario.program().start();
      EXPECT_EQ(scenario.program().wait(), 5) << scenario.program().output();
    }
    EXPECT_THAT(scenario.program().output(), HasSubstr("was dropped while rows changed"));
    EXPECT_THAT(scenario.program().output(), HasSubstr("run --resync"));
    scenario.program().start({"--resync"});
    ASSERT_TRUE(scenario.program().wait_ready());
  }
  EXPECT_TRUE(
      wait_for(kPatience, [&] { return scenario.ours("SELECT * FROM t ORDER BY 1") == "1;2;3"; }))
      << scenario.ours("SELECT * FROM t ORDER BY 1") << scenario.program().output();
  EXPECT_TRUE(scenario.change("INSERT INTO t VALUES (4)"));
  EXPECT_EQ(scenario.ours("SELECT * FROM t ORDER BY 1"), "1;2;3;4");
}

// Between two looks at the catalog, so that none of them finds it missing.
TEST(ServerEvents, ATableThatWasOutOfThePublicationIsReadAgain) {
  Scenario scenario(kTable, kYaml, "[public.*]", ", catalog_interval: 2s");
  ASSERT_TRUE(scenario.start());
  scenario.sql(fmt::format(
      "ALTER PUBLICATION {0} DROP TABLE t; INSERT INTO t VALUES (2); ALTER PUBLICATION {0} ADD "
      "TABLE t; INSERT INTO t VALUES (3)",
      scenario.publication()));
  EXPECT_TRUE(
      wait_for(kPatience, [&] { return scenario.ours("SELECT * FROM t ORDER BY 1") == "1;2;3"; }))
      << scenario.ours("SELECT * FROM t ORDER BY 1") << scenario.program().output();
}

TEST(ServerEvents, RightsThatAreRevokedAreWaitedFor) {
  Cluster& cluster = shared_cluster();
  const std::string database = cluster.create_database();
  const std::string role = "owner_" + database;
  cluster.sql(fmt::format("CREATE ROLE {0} LOGIN REPLICATION; ALTER DATABASE {1} OWNER TO {0};"
                          "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t OWNER TO {0}",
                          role, database),
              database);
  const auto revoke = [&](const std::string& statement) {
    cluster.sql(statement +
                    "; SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                    "WHERE slot_name = 'slot_" +
                    database + "'",
                database);
  };
  const ScratchFolder scratch;
  {
    Program program(scratch.path(), yaml_of(fmt::format("postgresql://{}@127.0.0.1:{}/{}", role,
                                                        cluster.port(), database),
                                            "slot_" + database, "pub_" + database, scratch.path()));
    program.start();
    ASSERT_TRUE(program.wait_ready());
    struct Case {
      const char* revoke;
      const char* grant;
      const char* says;
    };
    const Case cases[] = {
        {"ALTER ROLE {} NOREPLICATION", "ALTER ROLE {} REPLICATION", "may not replicate"},
        {"ALTER ROLE {} NOLOGIN", "ALTER ROLE {} LOGIN", "is not permitted to log in"},
        {"ALTER TABLE t OWNER TO postgres; REVOKE ALL ON t FROM {0}", "ALTER TABLE t OWNER TO {}",
         "may not read table public.t"},
    };
    int last = 0;
    for (const Case& each : cases) {
      SCOPED_TRACE(each.revoke);
      revoke(fmt::format(fmt::runtime(each.revoke), role));
      cluster.sql(fmt::format("INSERT INTO t VALUES ({})", ++last), database);
      EXPECT_TRUE(says(program, each.says));
      cluster.sql(fmt::format(fmt::runtime(each.grant), role), database);
      EXPECT_TRUE(wait_for(kPatience, [&] {
        return program.sql("SELECT count(*) FROM t") == std::to_string(last);
      })) << program.output();
    }
    EXPECT_EQ(program.terminate(), 0);
  }
  drop_slot("slot_" + database);
}

TEST(ServerEvents, TheSameServerElsewhereIsGoneOnWith) {
  Cluster& cluster = shared_cluster();
  const std::string database = cluster.create_database();
  const std::string slot = "slot_" + database;
  cluster.sql(kTable, database);
  const ScratchFolder scratch;
  {
    const Proxy elsewhere(cluster.port());
    Program program(scratch.path(), yaml_of(fmt::format("postgresql://postgres@127.0.0.1:{}/{}",
                                                        elsewhere.port(), database),
                                            slot, "pub_" + database, scratch.path()));
    program.start();
    ASSERT_TRUE(program.wait_ready());
    EXPECT_EQ(program.terminate(), 0);
  }
  cluster.sql("INSERT INTO t VALUES (2)", database);
  {
    Program program(scratch.path(),
                    yaml_of(cluster.url(database), slot, "pub_" + database, scratch.path()));
    program.start();
    ASSERT_TRUE(program.wait_ready());
    ASSERT_TRUE(program.wait_position(cluster.sql("SELECT pg_current_wal_lsn()")));
    EXPECT_EQ(program.sql("SELECT * FROM t ORDER BY 1"), "1;2");
    EXPECT_EQ(program.terminate(), 0);
    cluster.sql(fmt::format("DROP DATABASE {0}", database));
    program.start();
    EXPECT_EQ(program.wait(), 4);
    EXPECT_THAT(program.output(),
                HasSubstr(fmt::format("database \"{}\" does not exist", database)));
  }
}

TEST(ServerEvents, TwoPipelinesShareAPublication) {
  Scenario first(kTable, kYaml);
  ASSERT_TRUE(first.start());
  const std::string url =
      fmt::format("postgresql://postgres@127.0.0.1:{}/{}", shared_cluster().port(),
                  first.sql("SELECT current_database()"));
  const std::string slot = first.slot() + "_2";
  const ScratchFolder scratch;
  {
    Program second(scratch.path(), yaml_of(url, slot, first.publication(), scratch.path()));
    second.start();
    ASSERT_TRUE(second.wait_ready());
    ASSERT_TRUE(first.change("INSERT INTO t VALUES (2)"));
    ASSERT_TRUE(second.wait_position(first.sql("SELECT pg_current_wal_lsn()")));
    for (Program* each : {&first.program(), &second})
      EXPECT_EQ(each->sql("SELECT * FROM t ORDER BY 1"), "1;2");
    EXPECT_EQ(second.terminate(), 0);
  }
  drop_slot(slot);
}

}  // namespace pgweir::harness
