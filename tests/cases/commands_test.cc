// The commands against a running pipeline: what they print, and how they end.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <sstream>

#include "harness/scenario.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kSetup = R"(
CREATE TABLE accounts (id int PRIMARY KEY, owner text);
CREATE TABLE entries (id int PRIMARY KEY, account_id int, amount numeric(10,2), made_at timestamptz);
ALTER TABLE entries REPLICA IDENTITY FULL;
INSERT INTO accounts VALUES (1, 'Ada'), (2, 'Bob, "the builder"'), (3, NULL);
INSERT INTO entries VALUES (1, 1, 10.50, '2026-01-01 10:00:10Z'), (2, 2, -10.50, '2026-01-01 10:00:20Z'),
  (3, 1, 99.00, '2026-01-01 10:01:00Z'))";

// Each view with its strategy: the shapes that are kept up to date by their changes, and one more.
struct View {
  const char* name;
  const char* sql;
  const char* strategy;
  const char* rows;  // at the start, "|" and ";" between
};
const View kViews[] = {
    {"filtered", "SELECT id, amount FROM entries WHERE amount > 20", "delta", "3|99.00"},
    {"projected", "SELECT id, amount * 2 AS doubled FROM entries", "delta",
     "1|21.00;2|-21.00;3|198.00"},
    {"counted", "SELECT account_id, count(*) AS n FROM entries GROUP BY 1", "delta", "1|2;2|1"},
    {"summed", "SELECT account_id, sum(amount) AS s FROM entries GROUP BY account_id", "delta",
     "1|109.50;2|-10.50"},
    {"averaged", "SELECT account_id, avg(amount) AS a FROM entries GROUP BY account_id", "delta",
     "1|54.75;2|-10.5"},
    {"joined", "SELECT e.id, a.owner FROM entries e JOIN accounts a ON a.id = e.account_id",
     "delta", "1|Ada;2|Bob, \"the builder\";3|Ada"},
    {"joined_groups",
     "SELECT a.owner, sum(e.amount) AS s FROM entries e JOIN accounts a ON a.id = e.account_id "
     "GROUP BY a.owner",
     "delta", "Ada|109.50;Bob, \"the builder\"|-10.50"},
    {"over_a_group", "SELECT sum(s) AS total FROM summed", "delta", "99.00"},
    {"over_a_join", "SELECT owner, count(*) AS n FROM joined GROUP BY owner", "delta",
     "Ada|2;Bob, \"the builder\"|1"},
    {"per_minute",
     "SELECT window_start, count(*) AS n FROM tumble(entries, made_at, INTERVAL 1 MINUTE) GROUP BY "
     "window_start",
     "delta", "2026-01-01T10:00:00Z|2;2026-01-01T10:01:00Z|1"},
    {"ranked", "SELECT id, row_number() OVER (ORDER BY amount DESC) AS place FROM entries",
     "recompute", "1|2;2|3;3|1"},
};

std::string views_yaml() {
  std::string yaml = "engine: {memory: 256MiB, mirrors: all}\nviews:\n";
  for (const View& view : kViews) yaml += fmt::format("  {}: {}\n", view.name, view.sql);
  return yaml;
}

class Commands : public testing::Test {
 protected:
  Commands() : scenario_(kSetup, views_yaml()) {}
  void SetUp() override { ASSERT_TRUE(scenario_.start()); }

  Json json(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const io::Finished finished = scenario_.command(std::move(arguments));
    EXPECT_EQ(finished.exit_code, 0) << finished.output;
    Json out = Json::parse(finished.output, nullptr, false);
    EXPECT_TRUE(out.is_object()) << finished.output;
    EXPECT_EQ(out.value("schema_version", 0), 1);
    return out;
  }
  // Of a command that ends well.
  std::string output(std::vector<std::string> arguments) {
    const io::Finished finished = scenario_.command(std::move(arguments));
    EXPECT_EQ(finished.exit_code, 0) << finished.output;
    return finished.output;
  }
  std::string metric(const std::string& name) {
    std::istringstream lines(http_get(scenario_.program().url() + "/metrics").body);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name + "{") || line.starts_with(name + " "))
        return line.substr(line.rfind(' ') + 1);
    }
    return "";
  }

  Scenario scenario_;
};

}  // namespace

TEST_F(Commands, StatusAndTablesTellWhatIs) {
  Json status;
  // The server is asked about the slot beside everything else.
  EXPECT_TRUE(wait_for(10s, [&] {
    status = json({"status"});
    return status["source"]["wal_status"] == "reserved";
  }));
  EXPECT_EQ(status["state"], "streaming");
  EXPECT_EQ(status["source"]["slot"], scenario_.slot());
  EXPECT_EQ(status["source"]["tables"], 2);
  EXPECT_EQ(status["source"]["snapshot"]["state"], "done");
  EXPECT_EQ(status["findings"], Json::array());
  EXPECT_TRUE(status["source"]["retained_wal_bytes"].is_number());
  ASSERT_EQ(status["followers"].size(), 1u);
  EXPECT_EQ(status["followers"][0]["name"], "engine");
  EXPECT_EQ(status["followers"][0]["error"], nullptr);
  EXPECT_THAT(output({"status"}), HasSubstr("source.slot "));

  ASSERT_TRUE(scenario_.change(
      "INSERT INTO accounts VALUES (4, 'Cid'); UPDATE accounts SET owner = 'Eve' WHERE id = 3;"
      "DELETE FROM accounts WHERE id = 4"));
  std::map<std::string, Json> tables;
  const Json listed = json({"tables"});
  for (const Json& table : listed["tables"]) tables[table["name"]] = table;
  const Json& accounts = tables["accounts"];
  EXPECT_THAT((std::vector<int>{accounts["rows"], accounts["reads"], accounts["inserts"],
                                accounts["updates"], accounts["deletes"]}),
              ElementsAre(3, 3, 1, 1, 1));
  EXPECT_EQ(tables["entries"]["rows"], 3);
  // Under REPLICA IDENTITY FULL PostgreSQL marks every column; the key is still the primary key.
  EXPECT_EQ(tables["entries"]["columns"][0]["key"], true);
  EXPECT_EQ(tables["entries"]["columns"][2]["key"], false);
  EXPECT_EQ(accounts["columns"], Json::parse(R"([{"name":"id","type":"integer","key":true},
                            {"name":"owner","type":"text","key":false}])"));
}

TEST(Status, ASinkWithoutAFileIsBehindByTheLogAlone) {
  ScratchFolder scratch;
  Scenario scenario(
      "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
      "sinks: {lake: {type: parquet, path: " + scratch.file("lake") + ", roll: {every: 1h}}}\n");
  ASSERT_TRUE(scenario.start());
  Json lake;
  ASSERT_TRUE(wait_for(20s, [&] {
    const Json status = scenario.program().status();
    for (const Json& follower : status["followers"])
      if (follower["name"] == "lake") lake = follower;
    return lake.is_object() && lake["state"] == "following" && status["log"]["bytes"] > 0;
  }));
  EXPECT_EQ(lake["position"], nullptr);
  EXPECT_LT(lake["lag_bytes"], 1'000'000);  // the server's LSNs begin far above that
}

TEST_F(Commands, ViewsSayTheirStrategyAndHaveTheirRows) {
  std::map<std::string, Json> listed;
  const Json views = json({"views"});
  for (const Json& view : views["views"]) listed[view["name"]] = view;
  EXPECT_EQ(listed.size(), std::size(kViews));
  for (const View& view : kViews) {
    SCOPED_TRACE(view.name);
    EXPECT_EQ(listed[view.name]["strategy"], view.strategy) << listed[view.name];
    EXPECT_EQ(listed[view.name]["state"], "live");
    EXPECT_EQ(scenario_.ours(fmt::format("SELECT * FROM {} ORDER BY ALL", view.name)), view.rows);
  }
  EXPECT_THAT(output({"views", "show", "summed"}), HasSubstr("GROUP BY account_id"));
  EXPECT_THAT(output({"views", "explain", "summed"}), HasSubstr("delta"));
  EXPECT_THAT(output({"views", "explain", "ranked"}), HasSubstr("recompute"));
  EXPECT_EQ(json({"views", "show", "summed"})["columns"][0]["name"], "account_id");
  const io::Finished missing = scenario_.command({"views", "show", "sumed"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.output, HasSubstr("did you mean 'summed'?"));
}

TEST_F(Commands, SqlPrintsTableCsvAndJson) {
  const std::string select = "SELECT id, owner FROM accounts ORDER BY id";
  EXPECT_EQ(output({"sql", select}), "id  owner\n 1  Ada\n 2  Bob, \"the builder\"\n 3\n");
  EXPECT_EQ(output({"sql", select, "-o", "csv"}),
            "id,owner\r\n1,Ada\r\n2,\"Bob, \"\"the builder\"\"\"\r\n3,\r\n");
  EXPECT_EQ(output({"sql", select, "-o", "jsonl"}),
            "{\"id\":1,\"owner\":\"Ada\"}\n{\"id\":2,\"owner\":\"Bob, \\\"the builder\\\"\"}\n"
            "{\"id\":3,\"owner\":null}\n");
  const Json answer = Json::parse(output({"sql", select, "-o", "json"}));
  EXPECT_EQ(answer["rows"], Json::parse(R"([[1,"Ada"],[2,"Bob, \"the builder\""],[3,null]])"));
  EXPECT_EQ(answer["truncated"], false);
  EXPECT_THAT(output({"sql", select, "--limit", "1"}), HasSubstr("only the first 1 rows"));
}

TEST_F(Commands, SqlRefusesWhateverIsNoReading) {
  const std::string file = scenario_.directory() + "/pgweir.yaml";
  const std::string statements[] = {
      "INSERT INTO public.accounts VALUES (9, 'x')",
      "UPDATE public.accounts SET owner = 'x'",
      "DELETE FROM public.accounts",
      "CREATE TABLE main.mine (a int)",
      "CREATE OR REPLACE VIEW summed AS SELECT 1",
      "DROP VIEW summed",
      "SELECT 1; DROP VIEW summed",
      "ATTACH ':memory:' AS other",
      "DETACH pgweir",
      "COPY accounts TO '" + scenario_.directory() + "/out.csv'",
      "COPY (SELECT 1) TO '" + scenario_.directory() + "/out.csv'",
      "EXPORT DATABASE '" + scenario_.directory() + "/out'",
      "SET memory_limit = '10GB'",
      "RESET memory_limit",
      "SET enable_external_access = true",
      "PRAGMA database_list",
      "PRAGMA threads = 8",
      "CALL pragma_version()",
      "INSTALL httpfs",
      "LOAD httpfs",
      "CHECKPOINT",
      "BEGIN TRANSACTION",
      "COMMIT",
      "SELECT * FROM read_csv('" + file + "')",
      "SELECT * FROM read_text('" + file + "')",
      "SELECT * FROM read_blob('" + file + "')",
      "SELECT * FROM '" + file + "'",
      "SELECT * FROM glob('/*')",
      "SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')",
      "SELECT * FROM nothing",
      "SELEC 1",
      "",
  };
  for (const std::string& statement : statements) {
    SCOPED_TRACE(statement);
    const io::Finished finished = scenario_.command({"sql", statement});
    EXPECT_NE(finished.exit_code, 0) << finished.output;
    EXPECT_THAT(finished.output, testing::StartsWith("pgweir: "));
  }
  EXPECT_FALSE(std::ifstream(scenario_.directory() + "/out.csv").good());
  EXPECT_EQ(scenario_.ours("SELECT count(*), max(owner) FROM accounts"), "3|Bob, \"the builder\"");
  EXPECT_EQ(scenario_.ours("SELECT count(*) FROM summed"), "2");
  ASSERT_TRUE(scenario_.change("INSERT INTO accounts VALUES (5, 'Fay')"));
  EXPECT_EQ(scenario_.ours("SELECT count(*) FROM accounts"), "4");
}

TEST_F(Commands, AHeavyQueryTimesOutWhileChangesGoOn) {
  auto heavy = std::async(std::launch::async, [this] {
    return scenario_.command(
        {"sql",
         "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * "
         "b.range % 7 = 3",
         "--timeout", "6s"});
  });
  int changes = 0;
  while (heavy.wait_for(0s) != std::future_status::ready && changes < 5) {
    ASSERT_TRUE(
        scenario_.change(fmt::format("INSERT INTO accounts VALUES ({}, 'x')", 10 + changes)));
    if (heavy.wait_for(0s) != std::future_status::ready) ++changes;
  }
  EXPECT_GE(changes, 1) << "the position stood still";
  const io::Finished finished = heavy.get();
  EXPECT_EQ(finished.exit_code, 6) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("the query did not end within 6s"));
  EXPECT_EQ(scenario_.program().status()["followers"][0]["error"], nullptr);
}

TEST_F(Commands, TailShowsChangesWithBeforeAndAfter) {
  const std::string file = scenario_.directory() + "/tail.jsonl";
  auto tail =
      io::Process::start({.arguments = {program_path(), "-c", scenario_.program().config_file(),
                                        "tail", "--table", "public.*"},
                          .output = file});
  ASSERT_TRUE(tail.ok());
  ASSERT_TRUE(wait_for(20s, [this] { return metric("pgweir_http_streams") == "1"; }));
  scenario_.sql("INSERT INTO accounts VALUES (7, 'Gus')");
  scenario_.sql("UPDATE accounts SET owner = 'Guy' WHERE id = 7");
  scenario_.sql("UPDATE accounts SET id = 8 WHERE id = 7");
  scenario_.sql("DELETE FROM accounts WHERE id = 8");
  scenario_.sql("UPDATE entries SET amount = 11 WHERE id = 1");
  scenario_.sql("TRUNCATE accounts");
  const char* expected[] = {
      R"({"op":"insert","table":"public.accounts","before":null,"after":{"id":7,"owner":"Gus"}})",
      R"({"op":"update","table":"public.accounts","before":null,"after":{"id":7,"owner":"Guy"}})",
      R"({"op":"update","table":"public.accounts","before":{"id":7},"after":{"id":8,"owner":"Guy"}})",
      R"({"op":"delete","table":"public.accounts","before":{"id":8},"after":null})",
      R"({"op":"update","table":"public.entries",
          "before":{"id":1,"account_id":1,"amount":"10.50","made_at":"2026-01-01 10:00:10+00"},
          "after":{"id":1,"account_id":1,"amount":"11.00","made_at":"2026-01-01 10:00:10+00"}})",
      R"({"op":"truncate","table":"public.accounts","before":null,"after":null})",
  };
  std::vector<Json> changes;
  const auto read = [&] {
    changes.clear();
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);)
      changes.push_back(Json::parse(line, nullptr, false));
    return changes.size() >= std::size(expected);
  };
  ASSERT_TRUE(wait_for(20s, read)) << changes.size() << " changes";
  for (std::size_t i = 0; i < std::size(expected); ++i) {
    Json& change = changes[i];
    EXPECT_TRUE(change["lsn"].is_string() && change["position"].is_string()) << change;
    for (const char* key : {"lsn", "time", "position"}) change.erase(key);
    EXPECT_EQ(change, Json::parse(expected[i]));
  }
  (void)tail->signal(SIGTERM);
  (void)tail->wait(10s);
}

TEST_F(Commands, LogListAndVerify) {
  for (const bool running : {true, false}) {
    if (!running) {
      EXPECT_EQ(scenario_.program().terminate(), 0);
    }
    const Json list = json({"log", "list"});
    ASSERT_EQ(list["segments"].size(), 1u);
    EXPECT_EQ(list["segments"][0]["epoch"], 1);
    EXPECT_GT(list["segments"][0]["bytes"], 0);
    EXPECT_THAT(output({"log", "verify"}), HasSubstr("1 segments, "));
    EXPECT_THAT(output({"log", "list"}), HasSubstr("epoch"));
  }
}

TEST_F(Commands, ProbesAndMetrics) {
  const std::string url = scenario_.program().url();
  EXPECT_EQ(http_get(url + "/healthz").json(), (Json{{"ok", true}}));
  EXPECT_EQ(http_get(url + "/readyz").json(), (Json{{"ready", true}}));
  ASSERT_TRUE(scenario_.change("INSERT INTO accounts VALUES (20, 'x'), (21, 'y')"));
  const std::string text = http_get(url + "/metrics").body;
  EXPECT_THAT(text, HasSubstr("# TYPE pgweir_state gauge"));
  EXPECT_THAT(text, testing::ContainsRegex(
                        "pgweir_table_changes_total\\{[^}]*table=\"public.accounts\",op=\"insert\""
                        "\\} 2\n"));
  EXPECT_EQ(metric("pgweir_source_slot_active"), "1");
  EXPECT_EQ(metric("pgweir_follower_healthy"), "1");
}

TEST_F(Commands, CheckVersionStopAndDrop) {
  EXPECT_THAT(output({"check"}), testing::EndsWith("check: ok\n"));
  EXPECT_EQ(json({"check"})["ok"], true);
  const std::string failing = scenario_.directory() + "/failing.yaml";
  std::ofstream(failing) << "source: {url: \"" << shared_cluster().url()
                         << "\", tables: [public.nothing]}\n";
  const io::Finished checked = run_program({"-c", failing, "check"});
  EXPECT_EQ(checked.exit_code, 4);
  EXPECT_THAT(checked.output, HasSubstr("public.nothing matches no table"));
  EXPECT_THAT(output({"version"}), testing::MatchesRegex("pgweir [0-9.]+\nduckdb v[0-9.]+\nlibpq "
                                                         "[0-9.]+\n"));

  EXPECT_EQ(scenario_.program().terminate(), 0);
  EXPECT_NE(scenario_.command({"status"}).exit_code, 0);
  const std::string things = fmt::format(
      "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'), "
      "(SELECT count(*) FROM pg_publication)",
      scenario_.slot());
  EXPECT_EQ(scenario_.sql(things), "1|2");  // the second publication is for tables without identity
  output({"drop", "--yes"});
  EXPECT_EQ(scenario_.sql(things), "0|0");
}

}  // namespace pgweir::harness
