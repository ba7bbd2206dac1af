// Whatever is wrong is said in words that name the thing and the remedy, with the right exit code.
//
// Method: each case puts one thing wrong, runs `pgweir run`, and reads stderr. Where nothing is
// wrong
//         any more, the same data folder goes on.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/scratch.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using testing::HasSubstr;

class BadInput : public testing::Test {
 protected:
  BadInput() : database_(cluster().create_database()), slot_("slot_" + database_) {
    sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')");
  }
  ~BadInput() override {
    program_.reset();
    cluster().sql(
        fmt::format("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE "
                    "slot_name = '{0}' AND active_pid IS NOT NULL",
                    slot_));
    for (int attempt = 0; attempt < 50; ++attempt) {
      if (cluster().sql(
              fmt::format("SELECT count(pg_drop_replication_slot(slot_name)) FROM "
                          "pg_replication_slots WHERE slot_name = '{}' AND active_pid IS NULL",
                          slot_)) == "1" ||
          cluster().sql(fmt::format(
              "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", slot_)) == "0")
        break;
    }
  }

  static Cluster& cluster() { return shared_cluster(); }
  std::string sql(const std::string& statements) { return cluster().sql(statements, database_); }
  std::string source(const std::string& more = "", std::string url = "") {
    if (url.empty()) url = cluster().url(database_);
    return fmt::format("source: {{url: \"{}\", slot: {}, publication: pub_{}{}}}\n", url, slot_,
                       database_, more);
  }
  std::string data() const { return fmt::format("data: {}/data\n", scratch_.path()); }

  Program& program(const std::string& yaml) {
    program_ = std::make_unique<Program>(scratch_.path(), yaml);
    return *program_;
  }
  // Runs to the end: "exit CODE" and what was written.
  struct Ended {
    int code;
    std::string output;
  };
  Ended run(const std::string& yaml, std::vector<std::string> arguments = {}) {
    Program& started = program(yaml);
    const std::size_t before = started.output().size();
    started.start(std::move(arguments));
    const int code = started.wait();
    return {code, started.output().substr(before)};
  }
  void expect(const Ended& ended, int code, const std::string& message) {
    EXPECT_EQ(ended.code, code) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(message));
  }

  ScratchFolder scratch_;
  std::string database_;
  std::string slot_;
  std::unique_ptr<Program> program_;
};

}  // namespace

TEST_F(BadInput, UnreachableServer) {
  const int port = free_port();
  expect(run(source("", fmt::format("postgresql://postgres@127.0.0.1:{}/x", port)) + data()), 1,
         fmt::format("pgweir: PostgreSQL at 127.0.0.1:{}/x cannot be reached", port));
}

TEST_F(BadInput, WrongPassword) {
  Cluster locked(
      {.hba = "host all locked 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"});
  locked.sql("CREATE ROLE locked LOGIN REPLICATION PASSWORD 'right'");
  const Ended ended = run(
      source("", fmt::format("postgresql://locked:wrong@127.0.0.1:{}/postgres", locked.port())) +
      data());
  expect(ended, 4, "refused the connection");
  EXPECT_THAT(ended.output, HasSubstr("28P01"));
  EXPECT_THAT(ended.output, testing::Not(HasSubstr("wrong@")));
}

TEST_F(BadInput, WalLevelNoFreeSlotNoFreeSender) {
  struct Case {
    std::map<std::string, std::string> settings;
    const char* before;
    const char* message;
  };
  const Case cases[] = {
      {{{"wal_level", "replica"}}, "SELECT 1", "pgweir: wal_level is not logical"},
      {{{"max_replication_slots", "1"}},
       "SELECT pg_create_logical_replication_slot('other', 'pgoutput')",
       "pgweir: all replication slots are taken"},
      {{{"max_wal_senders", "0"}, {"wal_level", "logical"}},
       "SELECT 1",
       "pgweir: all WAL senders are taken"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.message);
    Cluster limited({.settings = each.settings});
    limited.sql(fmt::format("CREATE TABLE t (id int PRIMARY KEY); {}", each.before));
    std::filesystem::remove_all(scratch_.file("data"));
    expect(run(source("", limited.url()) + data()), 4, each.message);
  }
}

TEST_F(BadInput, NoPrivilege) {
  const std::string role = "role_" + database_;
  cluster().sql(fmt::format("CREATE ROLE {0} LOGIN", role));
  const std::string url =
      fmt::format("postgresql://{}@127.0.0.1:{}/{}", role, cluster().port(), database_);
  expect(run(source("", url) + data()), 4, fmt::format("pgweir: role {} may not replicate", role));
  cluster().sql(fmt::format("ALTER ROLE {0} REPLICATION", role));
  expect(run(source("", url) + data()), 4,
         fmt::format("pgweir: role {} may not read table public.t", role));
}

TEST_F(BadInput, TableMissing) {
  expect(run(source(", tables: [public.nothing]") + data()), 4,
         "pgweir: source.tables: public.nothing matches no table");
}

TEST_F(BadInput, SlotInUseByAnother) {
  Program& first = program(source() + data());
  first.start();
  ASSERT_TRUE(first.wait_ready());
  const ScratchFolder other;
  Program second(other.path(), source() + fmt::format("data: {}/data\n", other.path()));
  second.start();
  EXPECT_EQ(second.wait(), 4);
  EXPECT_THAT(second.output(), HasSubstr(fmt::format("pgweir: slot '{}' is in use", slot_)));
  EXPECT_TRUE(first.running());
}

TEST_F(BadInput, DataFolderInUse) {
  Program& first = program(source() + data());
  first.start();
  ASSERT_TRUE(first.wait_ready());
  const ScratchFolder other;
  Program second(other.path(), source() + data());
  second.start();
  EXPECT_EQ(second.wait(), 4);
  EXPECT_THAT(second.output(), HasSubstr("/data' is in use"));
}

TEST_F(BadInput, SlotGoneSlotAheadAndDropStartsAnew) {
  ASSERT_EQ(run(source() + data(), {"--once"}).code, 0);
  sql("INSERT INTO t VALUES (2, 'b')");
  sql(fmt::format("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", slot_));
  expect(run(source() + data()), 5, fmt::format("pgweir: slot '{}' is ahead of the log", slot_));
  sql(fmt::format("SELECT pg_drop_replication_slot('{}')", slot_));
  expect(run(source() + data()), 5,
         fmt::format("pgweir: slot '{}' is gone from the server", slot_));
  std::filesystem::remove_all(scratch_.file("data"));
  EXPECT_EQ(run(source() + data(), {"--once"}).code, 0);
}

TEST_F(BadInput, SlotLost) {
  Cluster small({.settings = {{"max_slot_wal_keep_size", "16MB"},
                              {"max_wal_size", "32MB"},
                              {"min_wal_size", "32MB"}}});
  small.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE fill (v text)");
  const std::string yaml = source(", tables: [public.t]", small.url()) + data();
  ASSERT_EQ(run(yaml, {"--once"}).code, 0);
  for (int i = 0; i < 6; ++i)
    small.sql(
        "INSERT INTO fill SELECT repeat('x', 1000) FROM generate_series(1, 16000); SELECT "
        "pg_switch_wal(); CHECKPOINT");
  ASSERT_EQ(small.sql("SELECT wal_status FROM pg_replication_slots"), "lost");
  expect(run(yaml), 5, fmt::format("pgweir: slot '{}' is lost", slot_));
}

TEST_F(BadInput, ConfigurationMistakes) {
  struct Case {
    const char* line;
    const char* message;
  };
  const Case cases[] = {
      {"sourc: 1\n", "unknown key 'sourc'"},
      {"alerts: {}\n", "is not built yet"},
      {"watermarks: {t.v: 10s}\n", "a watermark's name is that of a column, schema.table.column"},
      {"log: {retain: 7}\n", "'7' has no unit"},
      {"engine: {threads: many}\n", "engine.threads"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.line);
    expect(run(source() + data() + each.line), 3, each.message);
  }
}

TEST_F(BadInput, ABadViewSaysWhereAndStopsNoOther) {
  Program& running = program(source() + data() +
                             "views:\n  broken: SELECT id, FROM nothing WHERE\n"
                             "  missing: SELECT * FROM nothing\n"
                             "  random: SELECT id, random() AS r FROM t\n"
                             "  good: SELECT count(*) AS n FROM t\n");
  running.start();
  ASSERT_TRUE(running.wait_ready());
  EXPECT_EQ(running.sql("SELECT n FROM good"), "1");
  const Json views = http_get(running.url() + "/api/v1/views").json()["views"];
  std::map<std::string, std::string> errors;
  for (const Json& view : views)
    errors[view["name"]] = view["error"].is_string() ? view["error"].get<std::string>() : "";
  EXPECT_THAT(errors["broken"], HasSubstr("syntax error"));
  EXPECT_THAT(errors["missing"], HasSubstr("nothing"));
  EXPECT_THAT(errors["random"], HasSubstr("random"));
  EXPECT_EQ(errors["good"], "");
  sql("INSERT INTO t VALUES (2, 'b')");
  ASSERT_TRUE(running.wait_position(sql("SELECT pg_current_wal_lsn()")));
  EXPECT_EQ(running.sql("SELECT n FROM good"), "2");
}

// What the program says of a table and the view over it that have stopped.
TEST_F(BadInput, AValueThatDoesNotFitStopsItsTableAlone) {
  sql("CREATE TABLE prices (id int PRIMARY KEY, amount numeric); INSERT INTO prices VALUES (1, 1)");
  const std::string rest = data() +
                           "engine: {batch_rows: 1000}\n"
                           "views:\n  total: SELECT sum(amount) AS total FROM prices\n"
                           "  above: SELECT total FROM total\n"
                           "  good: SELECT count(*) AS n FROM t\n";
  Program* running = &program(source() + rest);
  running->start();
  ASSERT_TRUE(running->wait_ready());
  EXPECT_EQ(running->sql("SELECT total FROM above"), "1.000000000");
  // Several batches, the value in the last one.
  sql("BEGIN; INSERT INTO prices VALUES (2, 2); "
      "INSERT INTO t SELECT i, 'x' FROM generate_series(2, 5000) i; "
      "INSERT INTO prices VALUES (42, 0.0000000001); COMMIT");
  ASSERT_TRUE(running->wait_position(sql("SELECT pg_current_wal_lsn()")));
  sql("INSERT INTO prices VALUES (43, 3); INSERT INTO t VALUES (0, 'z')");
  const std::string lsn = sql("SELECT pg_current_wal_lsn()");
  for (int start = 0; start < 2; ++start) {
    SCOPED_TRACE(start);
    ASSERT_TRUE(running->wait_position(lsn));
    EXPECT_EQ(running->sql("SELECT n FROM good"), "5001");
    EXPECT_EQ(running->sql("SELECT sum(changes) FROM pgweir.activity WHERE \"table\" = 'prices' "
                           "AND op = 'i'"),
              "3");
    const auto error_of = [&](const char* list, const char* name) -> std::string {
      const Json answer = http_get(running->url() + "/api/v1/" + list).json();
      for (const Json& each : answer[list])
        if (each["name"] == name && each["error"].is_string()) return each["error"];
      return "";
    };
    const std::string reason = error_of("tables", "prices");
    EXPECT_THAT(
        reason,
        testing::MatchesRegex(
            "a value of public.prices.amount \\(numeric\\) does not fit into "
            "DECIMAL\\(38,9\\) \\(key \\(id\\)=\\(42\\); commit [0-9A-F]+/[0-9A-F]+; value "
            "'0.0000000001'\\). Choose a source.numeric that holds it and remove the folder "
            "engine in the data folder, which is then built anew from the log"));
    EXPECT_EQ(error_of("tables", "t"), "");
    EXPECT_EQ(error_of("views", "total"), "table public.prices is stopped (" + reason + ")");
    EXPECT_THAT(error_of("views", "above"), HasSubstr("the view reads total, which is failed"));
    EXPECT_EQ(error_of("views", "good"), "");
    EXPECT_THAT(running->sql("SELECT count(*) FROM prices"),
                HasSubstr("table public.prices is stopped: " + reason));
    const Json status = running->status();
    EXPECT_EQ(status["followers"][0]["state"], "following");
    EXPECT_EQ(status["findings"].back()["subject"], "table public.prices");
    EXPECT_EQ(status["findings"].back()["message"], "has stopped: " + reason);
    EXPECT_THAT(running->output(), HasSubstr("table public.prices has stopped: " + reason));
    running->kill();
    if (start > 0) break;
    running->start();
    ASSERT_TRUE(running->wait_ready());
  }
  const std::string wider = source(", numeric: {precision: 38, scale: 12}") + rest;
  expect(run(wider), 5, "the mirror of public.prices was made with another configuration");
  std::filesystem::remove_all(scratch_.file("data/engine"));
  running = &program(wider);
  running->start();
  ASSERT_TRUE(running->wait_position(lsn));
  EXPECT_EQ(running->sql("SELECT total FROM above"), "6.000000000100");
  EXPECT_EQ(running->sql("SELECT n FROM good"), "5001");
}

TEST_F(BadInput, TooLittleMemoryIsWaitedOutWhileCaptureGoesOn) {
  const std::string views = "views:\n  total: SELECT count(*) AS n, sum(length(v)) AS s FROM t\n";
  Program* running = &program(source() + data() + "engine: {memory: 32MiB}\n" + views);
  running->start();
  ASSERT_TRUE(running->wait_ready());
  EXPECT_EQ(running->sql("SELECT n FROM total"), "1");
  // Eight values of 8 MiB each, in one transaction.
  sql("INSERT INTO t SELECT i, (SELECT string_agg(md5((i * j)::text), '') "
      "FROM generate_series(1, 262144) j) FROM generate_series(2, 9) i");
  Json status, engine;
  EXPECT_TRUE(wait_for(std::chrono::seconds(60), [&] {
    status = running->status();
    engine = status["followers"][0];
    return engine["error"].is_string() &&
           engine["error"].get<std::string>().find("3 times in a row") != std::string::npos;
  })) << running->output();
  EXPECT_EQ(engine["state"], "catching_up");
  EXPECT_THAT(engine["error"], testing::StartsWith("the engine has run out of memory ("));
  EXPECT_THAT(engine["error"], testing::EndsWith("Raise engine.memory, which is 32.0 MiB"));
  EXPECT_EQ(status["state"], "streaming");
  sql("INSERT INTO t VALUES (10, 'x')");
  const std::string lsn = sql("SELECT pg_current_wal_lsn()");
  EXPECT_TRUE(wait_for(std::chrono::seconds(60), [&] {
    return sql(fmt::format("SELECT confirmed_flush_lsn >= '{}' FROM pg_replication_slots WHERE "
                           "slot_name = '{}'",
                           lsn, slot_)) == "t";
  }));
  EXPECT_EQ(running->terminate(), 0);
  running = &program(source() + data() + "engine: {memory: 512MiB}\n" + views);
  running->start();
  ASSERT_TRUE(running->wait_position(lsn));
  EXPECT_EQ(running->sql("SELECT n, s FROM total"), "10|67108866");
}

TEST_F(BadInput, PortInUse) {
  Program& first = program(source() + data());
  first.start();
  ASSERT_TRUE(first.wait_ready());
  const std::string port = first.url().substr(first.url().rfind(':') + 1);
  const ScratchFolder other;
  std::ofstream(other.file("c.yaml")) << source(", tables: [public.*]") << "data: " << other.path()
                                      << "/data\nserver: {listen: \"127.0.0.1:" << port << "\"}\n";
  const io::Finished finished = run_program({"-c", other.file("c.yaml"), "run"});
  EXPECT_EQ(finished.exit_code, 4) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr(fmt::format("port {} on 127.0.0.1 is in use", port)));
}

TEST_F(BadInput, DataFolderOfAnotherPipelineOrANewerVersion) {
  ASSERT_EQ(run(source() + data(), {"--once"}).code, 0);
  const std::string other = cluster().create_database();
  cluster().sql("CREATE TABLE t (id int PRIMARY KEY)", other);
  expect(run(source("", cluster().url(other)) + data()), 4, "belongs to another pipeline");
  std::ofstream(scratch_.file("data/pipeline.json")) << R"({"format_version": 99})";
  expect(run(source() + data()), 4, "was written by a newer pgweir");
}

TEST_F(BadInput, DataFolderThatCannotBeMade) {
  std::ofstream(scratch_.file("file")) << "x";
  expect(run(source() + fmt::format("data: {}/file/data\n", scratch_.path())), 4, "cannot be made");
}

TEST_F(BadInput, DamagedSegmentNamesFileAndOffset) {
  ASSERT_EQ(run(source() + data(), {"--once"}).code, 0);
  std::string segment;
  for (const auto& entry : std::filesystem::directory_iterator(scratch_.file("data/log"))) {
    if (entry.path().extension() == ".log") segment = entry.path().string();
  }
  std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(200);
  file.write("\xff\xff\xff\xff", 4);
  file.close();
  const Ended ended = run(source() + data());
  EXPECT_EQ(ended.code, 5) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr(segment));
  EXPECT_THAT(ended.output, HasSubstr("offset"));
}

}  // namespace pgweir::harness
