// verify: never a false difference, never a missed one.
//
// Method: a difference is planted by a statement of the source that the stream does not see: the
//         table is not in the publication while it runs.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "harness/scenario.h"
#include "harness/unseen.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kYaml = "engine: {memory: 256MiB, mirrors: all}\n";

// The report; the exit code must be as said.
Json verified(Scenario& scenario, int exit_code, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"--json", "--quiet", "verify"});
  const io::Finished finished = scenario.command(std::move(more));
  EXPECT_EQ(finished.exit_code, exit_code) << finished.output;
  Json report =
      Json::parse(finished.output.substr(0, finished.output.find("\npgweir: ")), nullptr, false);
  EXPECT_TRUE(report.is_object()) << finished.output;
  return report;
}

const Json& table_of(const Json& report, const std::string& name) {
  static const Json kNone;
  for (const Json& table : report["tables"])
    if (table["table"] == name) return table;
  ADD_FAILURE() << "no " << name << " in " << report;
  return kNone;
}

}  // namespace

TEST(Verify, NamesEveryDifferenceAndNothingElse) {
  Scenario scenario(
      "CREATE TABLE wide (id int PRIMARY KEY, flags bit(64), bytes bytea, note text, n numeric);"
      "INSERT INTO wide SELECT i, i::bit(64), decode(md5(i::text), 'hex'), 'note ' || i, i / 4.0"
      " FROM generate_series(1, 20000) i;"
      "CREATE TABLE two (a int, b text, v float8, PRIMARY KEY (b, a));"
      "INSERT INTO two SELECT i, 'b' || i % 7, i / 3.0 FROM generate_series(1, 3000) i;"
      "CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;"
      "INSERT INTO bag SELECT i % 10, NULLIF('x' || i % 3, 'x0') FROM generate_series(1, 1000) i;"
      "CREATE TABLE appended (a int, b text);"
      "INSERT INTO appended SELECT i, 'x' FROM generate_series(1, 1000) i;"
      "CREATE TABLE \"Empty \"\"one\"\"\" (\"K k\" int PRIMARY KEY);"
      "CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (500);"
      "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (500) TO (1000);"
      "INSERT INTO parts SELECT i, 'v' || i FROM generate_series(0, 999) i",
      kYaml);
  ASSERT_TRUE(scenario.start());
  ASSERT_TRUE(
      scenario.change("UPDATE two SET v = v + 1 WHERE a < 100; DELETE FROM bag WHERE a = 3;"
                      "INSERT INTO appended VALUES (1, 'x'), (NULL, NULL)"));
  const io::Finished clean = scenario.command({"verify"});
  EXPECT_EQ(clean.exit_code, 0) << clean.output;
  EXPECT_THAT(clean.output, HasSubstr("public.wide: equal, 20000 rows\n"));
  EXPECT_THAT(clean.output, HasSubstr("verify: equal at "));

  scenario.sql(unseen("wide",
                      "UPDATE wide SET flags = set_bit(flags, 5, 1 - get_bit(flags, 5)) WHERE id = "
                      "4711; UPDATE wide SET bytes = set_bit(bytes, 77, 1 - get_bit(bytes, 77)), "
                      "note = NULL WHERE id = 815"));
  scenario.sql(unseen("two",
                      "INSERT INTO two VALUES (-1, 'it''s new', 'NaN'); DELETE FROM two WHERE a = "
                      "2000; UPDATE two SET v = v + 1e-12 WHERE a = 7"));
  scenario.sql(unseen("bag",
                      "INSERT INTO bag VALUES (1, NULL); DELETE FROM bag WHERE ctid = (SELECT "
                      "min(ctid) FROM bag WHERE a = 2 AND b = 'x1')"));
  const Json report = verified(scenario, 5);
  EXPECT_EQ(report["equal"], false);

  const Json& wide = table_of(report, "public.wide");
  EXPECT_EQ(wide["differing"], 2);
  std::map<std::string, Json> rows;
  for (const Json& row : wide["differences"]) rows[row["key"]["id"]] = row;
  ASSERT_TRUE(rows.contains("4711") && rows.contains("815")) << wide;
  EXPECT_EQ(rows["4711"]["columns"].size(), 1u);
  EXPECT_EQ(rows["4711"]["columns"][0]["name"], "flags");
  EXPECT_EQ(rows["4711"]["columns"][0]["source"],
            scenario.sql("SELECT flags FROM wide WHERE id = 4711"));
  EXPECT_NE(rows["4711"]["columns"][0]["mirror"], rows["4711"]["columns"][0]["source"]);
  EXPECT_EQ(rows["815"]["columns"].size(), 2u);
  EXPECT_EQ(rows["815"]["columns"][1]["source"], nullptr);
  EXPECT_EQ(rows["815"]["columns"][1]["mirror"], "note 815");

  const Json& two = table_of(report, "public.two");
  EXPECT_EQ(two["differing"], 3);
  std::map<std::string, Json> pairs;
  for (const Json& row : two["differences"]) pairs[row["key"]["a"]] = row;
  EXPECT_EQ(pairs["-1"]["mirror_rows"], 0);
  EXPECT_EQ(pairs["-1"]["key"]["b"], "it's new");
  EXPECT_EQ(pairs["2000"]["source_rows"], 0);
  EXPECT_EQ(pairs["7"]["columns"][0]["name"], "v");

  const Json& bag = table_of(report, "public.bag");
  EXPECT_EQ(bag["differing"], 2) << bag;
  for (const Json& row : bag["differences"]) {
    const int more = row["key"]["a"] == "1" ? 1 : -1;
    EXPECT_EQ(row["source_rows"].get<int>() - row["mirror_rows"].get<int>(), more) << row;
    EXPECT_EQ(row["key"]["b"], more == 1 ? Json() : Json("x1"));
  }
  for (const char* name : {"public.appended", "public.Empty \"one\"", "public.parts"})
    EXPECT_EQ(table_of(report, name)["equal"], true) << table_of(report, name);

  const io::Finished text = scenario.command({"verify", "--table", "two"});
  EXPECT_EQ(text.exit_code, 5);
  EXPECT_THAT(text.output, HasSubstr("public.two: differs in 3 of 3000 rows\n"));
  EXPECT_THAT(text.output, HasSubstr("  a=-1, b=it's new: only in the source\n"));
  EXPECT_THAT(text.output, HasSubstr("b5: only in the mirror\n"));
  EXPECT_THAT(text.output, HasSubstr("pgweir: 1 of the mirrors are not equal to the source\n"));
}

TEST(Verify, UnderLoadFindsWhatIsPlantedAndOnlyThat) {
  Scenario scenario(
      "CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL DEFAULT 0, note text);"
      "INSERT INTO hot (id, note) SELECT i, 'n' || i FROM generate_series(1, 5000) i;"
      "CREATE TABLE events (at timestamptz, what text);"
      "CREATE TABLE bag (a int); ALTER TABLE bag REPLICA IDENTITY FULL;"
      "INSERT INTO bag SELECT 1 FROM generate_series(1, 50)",
      kYaml);
  ASSERT_TRUE(scenario.start());
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  // One row is changed by all of them, over and over.
  for (int writer = 0; writer < 3; ++writer) {
    writers.emplace_back([&, writer] {
      while (!stop) {
        std::string script;
        for (int i = 0; i < 200; ++i) {
          script += fmt::format(
              "UPDATE hot SET n = n + 1 WHERE id IN (1, {}); INSERT INTO events VALUES (now(), "
              "'e'); {};\n",
              2 + (i * 37 + writer * 1009) % 4000,
              i % 2 == 0 ? "INSERT INTO bag VALUES (1)"
                         : "DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag LIMIT 1)");
        }
        scenario.sql(script);
      }
    });
  }
  for (int round = 0; round < 5; ++round) {
    const io::Finished finished = scenario.command({"verify"});
    // A row may not come to rest in time; but nothing is said to differ.
    EXPECT_TRUE(finished.exit_code == 0 || finished.exit_code == 6) << finished.output;
    EXPECT_THAT(finished.output, testing::Not(HasSubstr("differs")));
  }
  scenario.sql(unseen("hot", "UPDATE hot SET note = 'planted' WHERE id IN (4500, 4999)"));
  const Json report = verified(scenario, 5);
  stop = true;
  for (std::thread& writer : writers) writer.join();
  const Json& hot = table_of(report, "public.hot");
  EXPECT_EQ(hot["differing"], 2) << hot;
  for (const Json& row : hot["differences"]) {
    EXPECT_EQ(row["columns"].size(), 1u);
    EXPECT_EQ(row["columns"][0]["source"], "planted");
  }
  EXPECT_EQ(table_of(report, "public.events")["differing"], 0);
  EXPECT_EQ(table_of(report, "public.bag")["differing"], 0);
}

// A commit that waits for a synchronous standby is in the WAL, and so in the mirror, before any
// other session of the source sees it.
TEST(Verify, ACommitThatWaitsForItsStandbyIsNoDifference) {
  Cluster cluster;
  ScratchFolder scratch;
  cluster.sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'old')");
  Program program(scratch.path(),
                  fmt::format("source: {{url: \"{}\", tables: [public.*]}}\ndata: {}/data\n{}",
                              cluster.url(), scratch.path(), kYaml));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  cluster.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  cluster.sql("SELECT pg_reload_conf()");
  auto waiting =
      std::async(std::launch::async, [&] { cluster.sql("UPDATE t SET v = 'new' WHERE id = 1"); });
  ASSERT_TRUE(wait_for(20s, [&] { return program.sql("SELECT v FROM t") == "new"; }));
  EXPECT_EQ(cluster.sql("SELECT v FROM t"), "old");
  auto verify = std::async(std::launch::async, [&] {
    return run_program({"-c", program.config_file(), "verify"});
  });
  // It looks again and again; the commit is let through only then.
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(verify.wait_for(0s), std::future_status::timeout);
  cluster.sql("ALTER SYSTEM RESET synchronous_standby_names");
  cluster.sql("SELECT pg_reload_conf()");
  waiting.get();
  const io::Finished finished = verify.get();
  EXPECT_EQ(finished.exit_code, 0) << finished.output;
  EXPECT_EQ(program.terminate(), 0);
}

TEST(Verify, SaysWhatItCannotDo) {
  Scenario scenario(
      "CREATE TABLE accounts (id int PRIMARY KEY); CREATE TABLE other (id int "
      "PRIMARY KEY); INSERT INTO accounts VALUES (1)",
      "engine: {memory: 256MiB}\nviews:\n  n: SELECT count(*) AS n FROM accounts\n");
  const io::Finished not_running = scenario.command({"verify"});
  EXPECT_EQ(not_running.exit_code, 1);
  EXPECT_THAT(not_running.output, HasSubstr("is `pgweir run` running?"));
  ASSERT_TRUE(scenario.start());
  const io::Finished unknown = scenario.command({"verify", "--table", "acounts"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.output, HasSubstr("pgweir: there is no captured table 'acounts'"));
  EXPECT_THAT(unknown.output, HasSubstr("did you mean 'public.accounts'?"));
  const io::Finished unmirrored = scenario.command({"verify", "--table", "other"});
  EXPECT_EQ(unmirrored.exit_code, 1);
  EXPECT_THAT(unmirrored.output, HasSubstr("there is no mirror of public.other to verify"));
  EXPECT_EQ(verified(scenario, 0)["tables"].size(), 1u);
  // The source's table has lost a column that the mirror has: that table alone is not compared.
  scenario.sql("ALTER TABLE accounts RENAME id TO id2");
  const Json report = verified(scenario, 1);
  EXPECT_THAT(table_of(report, "public.accounts")["reason"].get<std::string>(),
              HasSubstr("column \"id\" does not exist"));
  const HttpAnswer wrong = http_get(scenario.program().url() + "/api/v1/verify?tables=x");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(wrong.body, HasSubstr("tables"));
}

}  // namespace pgweir::harness
