// What users see of messages and origins, and rows whose images PostgreSQL sends in part only.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "duck/duck.h"
#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/scenario.h"
#include "harness/scratch.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

const char* const kMirrors = "engine: {memory: 256MiB, mirrors: all}\n";

// `pgweir tail`, from a moment on at which it listens.
class Tail {
 public:
  Tail(Scenario& scenario, std::string file) : file_(std::move(file)) {
    process_ = std::make_unique<io::Process>(
        io::Process::start(
            {.arguments = {program_path(), "-c", scenario.program().config_file(), "tail"},
             .environment = {},
             .directory = {},
             .output = file_,
             .user = {}})
            .value());
    const bool listens = wait_for(seconds(60), [&] {
      scenario.sql("SELECT pg_logical_emit_message(false, 'marker', '')");
      return output().find("marker") != std::string::npos;
    });
    EXPECT_TRUE(listens) << output();
  }

  std::string output() const {
    std::ostringstream out;
    out << std::ifstream(file_).rdbuf();
    return out.str();
  }
  std::string wait_for_text(const std::string& text) const {
    wait_for(seconds(60), [&] { return output().find(text) != std::string::npos; });
    return output();
  }

 private:
  const std::string file_;
  std::unique_ptr<io::Process> process_;
};

}  // namespace

TEST(Events, MessagesAndOriginsReachTailAndParquetAndStopNobody) {
  const ScratchFolder folder;
  Scenario scenario(
      "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
      fmt::format("{}views: {{n: SELECT count(*) AS n FROM t}}\nsinks: {{lake: {{type: "
                  "parquet, path: {}, roll: {{every: 200ms, size: 1MiB}}}}}}\n",
                  kMirrors, folder.path()));
  ASSERT_TRUE(scenario.start());
  const Tail tail(scenario, scenario.directory() + "/tail.txt");
  const std::string origin = "from_" + scenario.slot();
  ASSERT_TRUE(scenario.change(
      "SELECT pg_logical_emit_message(true, 'order', 'placed'); BEGIN; INSERT INTO t VALUES (2);"
      "SELECT pg_logical_emit_message(true, 'within', '\\x00ff'::bytea); COMMIT;"
      "SELECT pg_logical_emit_message(false, 'at once', repeat('x', 1048576));"
      "SELECT pg_logical_emit_message(false, 'large', repeat('x', 2000000));"
      "SELECT pg_replication_origin_create('" +
      origin +
      "');"
      "SELECT pg_replication_origin_session_setup('" +
      origin +
      "');"
      "INSERT INTO t VALUES (3); SELECT pg_replication_origin_session_reset();"
      "SELECT pg_replication_origin_drop('" +
      origin + "')"));
  EXPECT_EQ(scenario.ours("SELECT n FROM n"), "3");
  EXPECT_EQ(scenario.ours("SELECT DISTINCT op FROM pgweir.activity WHERE \"table\" = 'messages'"),
            "m");
  ASSERT_TRUE(
      scenario.program().wait_follower("lake", scenario.sql("SELECT pg_current_wal_lsn()")));
  const std::string events = tail.wait_for_text("\"origin\":\"" + origin + "\"");
  EXPECT_THAT(events, HasSubstr("\"origin\":\"" + origin + "\""));
  EXPECT_THAT(events, AllOf(HasSubstr(R"("op":"message","table":"pgweir.messages")"),
                            HasSubstr(R"({"prefix":"within","content":"\\x00ff","content_bytes":2,)"
                                      R"("transactional":true})"),
                            HasSubstr(R"({"prefix":"large","content":null,"content_bytes":2000000,)"
                                      R"("transactional":false})")));
  EXPECT_EQ(scenario.program().terminate(), 0) << scenario.program().output();
  const auto database = duck::Database::open("", {}).value();
  const std::string files =
      "read_parquet('" + folder.path() + "/table=pgweir.messages/**/*.parquet')";
  EXPECT_EQ(
      database->connect()
          .value()
          ->query_int(
              "SELECT count(*) * 10 + count(*) FILTER (op = 'm' AND (content IS NULL) = (prefix = "
              "'large') AND coalesce(octet_length(content), 2000000) = content_bytes) FROM " +
              files + " WHERE prefix <> 'marker'")
          .value(),
      44);
}

TEST(Events, UnchangedLongValuesUnderEveryIdentity) {
  const std::string tables[] = {"d", "i", "f"};
  std::string setup;
  for (const std::string& name : tables) {
    setup += fmt::format(
        "CREATE TABLE {0} (id int PRIMARY KEY, k int NOT NULL UNIQUE, n int, a text[], j jsonb{1});"
        "ALTER TABLE {0} ALTER a SET STORAGE EXTERNAL, ALTER j SET STORAGE EXTERNAL;"
        "INSERT INTO {0} (id, k, n, a, j) SELECT i, i * 10, i, array_fill(md5(i::text), "
        "ARRAY[200]),"
        " jsonb_build_object('x', repeat(md5(i::text), 200)) FROM generate_series(1, 5) i;",
        name, name == "f" ? "" : ", twice int GENERATED ALWAYS AS (n * 2) STORED");
  }
  setup +=
      "ALTER TABLE i REPLICA IDENTITY USING INDEX i_k_key; ALTER TABLE f REPLICA IDENTITY FULL;"
      "CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;"
      "INSERT INTO nothing VALUES (1)";
  Scenario scenario(setup, kMirrors);
  ASSERT_TRUE(scenario.start());
  for (const std::string& name : tables) {
    ASSERT_TRUE(scenario.change(fmt::format(
        "UPDATE {0} SET n = 100 WHERE id = 1; UPDATE {0} SET id = 20, k = 200 WHERE id = 2;"
        "UPDATE {0} SET id = 30 WHERE id = 3; UPDATE {0} SET k = 400 WHERE id = 4;"
        "DELETE FROM {0} WHERE id = 5; UPDATE {0} SET a = array_append(a, 'more'), n = 7 WHERE id "
        "= 20",
        name)));
  }
  // The source's own statements go on.
  ASSERT_TRUE(scenario.change("UPDATE nothing SET id = 2; INSERT INTO nothing VALUES (3)"));
  const io::Finished verified = scenario.command({"verify"});
  EXPECT_EQ(verified.exit_code, 5) << verified.output;  // `nothing` alone
  EXPECT_THAT(verified.output, HasSubstr("public.nothing"));
  for (const std::string& name : tables) {
    EXPECT_EQ(scenario.command({"verify", "--table", "public." + name}).exit_code, 0) << name;
    EXPECT_EQ(scenario.ours(fmt::format("SELECT count(*), count(a), count(j) FROM {}", name)),
              "4|4|4");
  }
}

TEST(Events, TruncateOfSeveralTablesWithCascadeAndSequences) {
  Scenario scenario(
      "CREATE TABLE parent (id serial PRIMARY KEY); CREATE TABLE child (id serial PRIMARY KEY, p "
      "int"
      " REFERENCES parent); CREATE TABLE alone (id serial PRIMARY KEY);"
      "INSERT INTO parent DEFAULT VALUES; INSERT INTO child (p) VALUES (1);"
      "INSERT INTO alone DEFAULT VALUES",
      std::string(kMirrors) + "views: {n: SELECT count(*) AS n FROM child}\n");
  ASSERT_TRUE(scenario.start());
  ASSERT_TRUE(scenario.change(
      "BEGIN; INSERT INTO alone DEFAULT VALUES; TRUNCATE parent, alone RESTART IDENTITY CASCADE;"
      "INSERT INTO alone DEFAULT VALUES; COMMIT; INSERT INTO parent DEFAULT VALUES"));
  EXPECT_EQ(scenario.ours("SELECT id FROM parent"), "1");
  EXPECT_EQ(scenario.ours("SELECT id FROM alone"), "1");
  EXPECT_EQ(scenario.ours("SELECT n FROM n"), "0");
  EXPECT_EQ(scenario.command({"verify"}).exit_code, 0);
}

// PostgreSQL 18 refuses the source's own UPDATEs where it is published with them.
TEST(Events, GeneratedColumnsInTheIdentityDisturbNobody) {
  Scenario scenario(
      "CREATE TABLE g (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);"
      "ALTER TABLE g REPLICA IDENTITY FULL; INSERT INTO g VALUES (1, 1), (2, 2)",
      kMirrors);
  ASSERT_TRUE(scenario.start());
  ASSERT_TRUE(scenario.change(
      "INSERT INTO g VALUES (3, 3); UPDATE g SET n = 10 WHERE id = 1; DELETE FROM g WHERE id = 2"));
  EXPECT_EQ(scenario.sql("SELECT string_agg(id || ':' || twice, ' ' ORDER BY id) FROM g"),
            "1:20 3:6");
  const bool refuses = default_version() >= 18;
  EXPECT_EQ(scenario.ours("SELECT id, n FROM g ORDER BY id"), refuses ? "1|1;2|2;3|3" : "1|10;3|3");
  EXPECT_EQ(
      scenario.command({"check"}).output.find("table public.g has no usable") != std::string::npos,
      refuses);
}

}  // namespace pgweir::harness
