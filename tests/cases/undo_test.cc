// history and undo: out of the log, whatever PostgreSQL left out of it.
//
// Method: random changes between two LSNs; undo's SQL, run by psql, must give back every row as it
//         was, text for text.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "harness/scenario.h"

namespace pgweir::harness {
namespace {
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kYaml = "engine: {memory: 256MiB, mirrors: all}\n";

constexpr const char* kTables = R"(
CREATE TYPE mood AS ENUM ('happy', 'it''s "so" so');
CREATE SCHEMA saved;
CREATE TABLE wide (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text, n numeric, exact numeric(12,3),
  ratio float8, at timestamptz, day date, gap interval, flag boolean, raw bytea, doc json, docb jsonb,
  feeling mood, place point, list text[], padded char(6), big text, doubled numeric GENERATED ALWAYS AS (n * 2) STORED);
ALTER TABLE wide ALTER big SET STORAGE EXTERNAL;
CREATE TABLE "Odd ""Name""" ("Key A" text, "b,=" int, "select" text, PRIMARY KEY ("b,=", "Key A"));
CREATE TABLE whole (id int PRIMARY KEY, v text, big text); ALTER TABLE whole REPLICA IDENTITY FULL;
ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;
CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE emptied (id int PRIMARY KEY, v text);
)";

constexpr const char* kRow = R"(
  E'it''s \\ "quoted"\n' || i, (i % 7) / 4.0, i / 8.0, CASE i % 5 WHEN 0 THEN 'NaN' WHEN 1 THEN
  '-0' ELSE i / 3.0 END, '2026-01-01Z'::timestamptz + i * interval '1 hour 0.001 s', CASE WHEN i % 9 = 0 THEN
  '-infinity' ELSE date '2026-01-01' + i END, i * interval '1 month -1 day 3 s', i % 2 = 0, decode(md5(i::text), 'hex'),
  ('{"a" :  ' || i || '}')::json, ('{"a" :  ' || i || '}')::jsonb, CASE WHEN i % 2 = 0 THEN 'happy' ELSE 'it''s "so" so' END::mood,
  point(i, i / 3.0), ARRAY['a,b', NULL, '$pgweir$' || i], 'p' || i % 100, repeat(md5(i::text), 200)
)";

std::string insert_wide(int from, int to, bool nulls = false) {
  return fmt::format(
      "INSERT INTO wide (note, n, exact, ratio, at, day, gap, flag, raw, doc, docb, feeling, "
      "place, "
      "list, padded, big) SELECT {} FROM generate_series({}, {}) i;\n",
      nulls ? "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
              "NULL, NULL"
            : kRow,
      from, to);
}

const char* const kNames[] = {"wide", "\"Odd \"\"Name\"\"\"", "whole", "bag", "emptied"};

std::string content(Scenario& scenario, const std::string& table) {
  return scenario.sql(
      fmt::format("SET extra_float_digits = 3; SELECT string_agg(t::text, E'\\n' ORDER BY t::text) "
                  "FROM {} t",
                  table));
}

class RandomChanges {
 public:
  explicit RandomChanges(unsigned seed) : random_(seed) {}

  // One transaction.
  std::string next() {
    std::string out = "BEGIN;\n";
    const int statements = 1 + pick(4);
    for (int i = 0; i < statements; ++i) out += statement();
    return out + (pick(8) == 0 ? "ROLLBACK;\n" : "COMMIT;\n");
  }

 private:
  int pick(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }

  std::string statement() {
    const int a = pick(60), b = pick(60), c = pick(100'000);
    const char* odd = "\"Odd \"\"Name\"\"\"";
    switch (pick(17)) {
      case 0:
        return insert_wide(c, c + pick(3));
      case 1:
        return insert_wide(1, 1, true);
      case 2:
        return fmt::format("UPDATE wide SET note = NULL, flag = NOT flag WHERE id % 60 = {};\n", a);
      case 3:
        return fmt::format(
            "UPDATE wide SET n = n * 1.10, ratio = -ratio, raw = raw || '\\x00', "
            "list = list || 'x''y'::text WHERE id % 60 = {};\n",
            a);
      case 4:
        return fmt::format(
            "UPDATE wide SET big = repeat('{0}', 9000) || E'\\\\', doc = "
            "'{{\"x\":  {0}}}' WHERE id % 60 = {1};\n",
            c, a);
      case 5:
        return fmt::format("DELETE FROM wide WHERE id % 60 = {};\n", a);
      case 6:
        return fmt::format(
            "INSERT INTO {} VALUES ('k, {}', {}, E'v\\n''') ON CONFLICT DO "
            "NOTHING;\n",
            odd, a, b);
      case 7:
        return fmt::format(
            "UPDATE {0} SET \"b,=\" = (SELECT max(\"b,=\") + 1 FROM {0}) WHERE "
            "\"b,=\" = {1};\n",
            odd, b);
      case 8:
        return fmt::format(
            "UPDATE {} SET \"select\" = NULLIF(\"select\", 'x') || '{}' WHERE "
            "\"b,=\" % 60 = {};\n",
            odd, c, b);
      case 9:
        return fmt::format("DELETE FROM {} WHERE \"b,=\" % 60 = {};\n", odd, b);
      case 10:
        return fmt::format(
            "INSERT INTO whole VALUES ({}, 'v', repeat('b{}', 5000)) ON CONFLICT "
            "(id) DO UPDATE SET v = whole.v || '!';\n",
            a, c);
      case 11:
        return fmt::format(
            "UPDATE whole SET v = 'w{}' WHERE id = {}; UPDATE whole SET id = (SELECT max(id) + 1 "
            "FROM "
            "whole) WHERE id = {};\n",
            c, a, b);
      case 12:
        return fmt::format("DELETE FROM whole WHERE id % 60 = {};\n", a);
      case 13:
        return fmt::format("INSERT INTO bag SELECT {}, 'same' FROM generate_series(1, 3);\n", a);
      case 14:
        return fmt::format("UPDATE bag SET b = NULLIF(b, 'x') || '{}' WHERE a = {};\n", c % 3, b);
      case 15:
        return fmt::format(
            "DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE a = {} LIMIT "
            "2);\n",
            a);
      default:
        return fmt::format(
            "INSERT INTO emptied VALUES ({0}, 'e') ON CONFLICT DO NOTHING;{1}"
            "UPDATE emptied SET v = 'f{0}' WHERE id = {2};\n",
            a, pick(4) == 0 ? " TRUNCATE emptied;" : "", b);
    }
  }

  std::mt19937 random_;
};

std::string undone(Scenario& scenario, const std::string& table, const std::string& from,
                   const std::string& to, int exit_code = 0) {
  const io::Finished finished =
      scenario.command({"undo", "--table", table, "--from", from, "--to", to});
  EXPECT_EQ(finished.exit_code, exit_code) << finished.output.substr(0, 2000);
  return finished.output;
}

// The name as the command line takes it.
std::string plain(const std::string& quoted) {
  return quoted.starts_with('"') ? "Odd \"Name\"" : quoted;
}

}  // namespace

TEST(Undo, GivesBackTheEarlierStateOfRandomChanges) {
  RandomChanges random(test_seed());
  Scenario scenario(std::string(kTables) + insert_wide(1, 120) +
                        "INSERT INTO \"Odd \"\"Name\"\"\" SELECT 'k' || i, i % 60, 'v' FROM "
                        "generate_series(1, 100) i;"
                        "INSERT INTO whole SELECT i, 'v' || i, repeat(md5(i::text), 200) FROM "
                        "generate_series(1, 80) i;"
                        "INSERT INTO bag SELECT i % 60, 'same' FROM generate_series(1, 200) i;"
                        "INSERT INTO emptied SELECT i, 'e' || i FROM generate_series(1, 30) i",
                    kYaml);
  ASSERT_TRUE(scenario.start());
  std::string script;
  for (int i = 0; i < 30; ++i) script += random.next();
  ASSERT_TRUE(scenario.change(script));  // not everything is as the snapshot read it
  std::map<std::string, std::string> before;
  for (const char* name : kNames) before[name] = content(scenario, name);
  const std::string from = scenario.sql("SELECT pg_current_wal_insert_lsn()");
  script.clear();
  for (int i = 0; i < 150; ++i) script += random.next();
  script += "INSERT INTO emptied VALUES (1000, 'whatever came before, this changes it');\n";
  ASSERT_TRUE(scenario.change(script));
  const std::string to = scenario.sql("SELECT pg_current_wal_insert_lsn()");
  // The server writes WAL of its own now and then, behind the last change.
  ASSERT_TRUE(scenario.program().wait_position(to));
  for (const char* name : kNames) {
    SCOPED_TRACE(name);
    EXPECT_NE(content(scenario, name), before[name]) << "nothing changed";
    const std::string sql = undone(scenario, plain(name), from, to);
    EXPECT_THAT(sql, StartsWith("-- Takes back what changed in "));
    scenario.sql(sql);  // an error fails the test
    EXPECT_EQ(content(scenario, name), before[name]);
  }
  // The taking back is captured like all else.
  ASSERT_TRUE(scenario.change("SELECT 1"));
  const io::Finished verified = scenario.command({"verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
}

TEST(Undo, FailsAsAWholeWhenARowIsNoLongerAsItWas) {
  Scenario scenario(
      "CREATE TABLE t (id int PRIMARY KEY, v text, w numeric); INSERT INTO t SELECT "
      "i, 'v' || i, i FROM generate_series(1, 5) i",
      kYaml);
  ASSERT_TRUE(scenario.start());
  const std::string from = scenario.sql("SELECT pg_current_wal_insert_lsn()");
  ASSERT_TRUE(scenario.change("UPDATE t SET v = 'x'; DELETE FROM t WHERE id = 5"));
  const std::string to = scenario.sql("SELECT pg_current_wal_insert_lsn()");
  ASSERT_TRUE(scenario.program().wait_position(to));
  // The same number, written in another way, is another text.
  scenario.sql("UPDATE t SET w = 2.0 WHERE id = 2");
  const std::string before = content(scenario, "t");
  const std::string sql = undone(scenario, "t", from, to);
  // The failure is psql's to report: not through the harness, for which it would be the test's.
  const std::string file = scenario.directory() + "/undo.sql";
  {
    auto* out = std::fopen(file.c_str(), "w");
    std::fwrite(sql.data(), 1, sql.size(), out);
    std::fclose(out);
  }
  const std::string database = scenario.sql("SELECT current_database()");
  const auto finished = io::run({.arguments = {shared_cluster().bin() + "/psql", "-X", "-q", "-d",
                                               shared_cluster().url(database), "-f", file}},
                                std::chrono::seconds(30));
  ASSERT_TRUE(finished.ok());
  EXPECT_THAT(finished->output, HasSubstr("pgweir undo: the row id=2 is not as the change at "));
  EXPECT_EQ(content(scenario, "t"), before);
}

TEST(Undo, RefusesWhatTheLogDoesNotKnow) {
  const std::string database = shared_cluster().create_database();
  const auto sql = [&](const std::string& statements) {
    return shared_cluster().sql(statements, database);
  };
  sql("CREATE TABLE old (id int PRIMARY KEY, v text, w text); INSERT INTO old VALUES (1, 'a', "
      "'b'), "
      "(2, 'a', 'b'), (3, 'a', 'b'); CREATE TABLE appended (v text)");
  ScratchFolder scratch;
  // Without a snapshot the log begins in the middle of the rows' lives.
  Program program(scratch.path(),
                  fmt::format("source: {{url: \"{}\", slot: slot_{}, tables: [public.*], snapshot: "
                              "{{mode: never}}}}\ndata: {}/data\nengine: {{mirrors: none}}\n",
                              shared_cluster().url(database), database, scratch.path()));
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"-c", program.config_file()});
    return run_program(std::move(arguments));
  };
  const io::Finished too_early = run({"history", "old", "1"});
  EXPECT_EQ(too_early.exit_code, 1);
  EXPECT_THAT(too_early.output, StartsWith("pgweir: there is no log at "));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  sql("INSERT INTO old VALUES (4, 'a', 'b'); INSERT INTO appended VALUES ('x')");
  const std::string from = sql("SELECT pg_current_wal_insert_lsn()");
  sql("UPDATE old SET v = 'x' WHERE id IN (1, 4); DELETE FROM old WHERE id = 2;"
      "UPDATE old SET id = 30 WHERE id = 3; UPDATE old SET v = 'z' WHERE id = 30");
  const std::string to = sql("SELECT pg_current_wal_insert_lsn()");
  sql("TRUNCATE old");
  const std::string end = sql("SELECT pg_current_wal_insert_lsn()");
  // The engine is not there to be waited for.
  io::Finished undo;
  for (int i = 0; i < 200; ++i) {
    undo = run({"undo", "--table", "old", "--from", from, "--to", to});
    if (undo.exit_code != 1) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(undo.exit_code, 4) << undo.output;
  EXPECT_THAT(undo.output, HasSubstr("-- NOT taken back: id=1: v, w before "));
  EXPECT_THAT(undo.output, HasSubstr("-- NOT taken back: id=2: v, w before "));
  EXPECT_THAT(undo.output, HasSubstr("-- NOT taken back: id=30: v, w before "));
  EXPECT_THAT(undo.output, HasSubstr("pgweir: the changes of 3 rows are not taken back by it\n"));
  EXPECT_THAT(undo.output, HasSubstr("SET \"v\" = 'a'::text WHERE \"id\" = '4'::integer"));

  const io::Finished history = run({"history", "old", "30"});
  EXPECT_EQ(history.exit_code, 0) << history.output;
  EXPECT_THAT(history.output, HasSubstr("*id=30, v=a, w=b"));
  EXPECT_THAT(history.output, HasSubstr("truncate"));
  EXPECT_THAT(history.output, HasSubstr("pgweir: the row is older than the log, which begins at "));

  struct Case {
    std::vector<std::string> arguments;
    int exit_code;
    const char* output;
  };
  const Case cases[] = {
      {{"undo", "--table", "old", "--from", from, "--to", end},
       1,
       "the log does not have the rows that it had"},
      {{"undo", "--table", "appended", "--from", from, "--to", to},
       1,
       "pgweir: public.appended has no replica identity"},
      {{"undo", "--table", "olt", "--from", from, "--to", to},
       1,
       "pgweir: the log has no table 'olt'\n  hint: did you mean 'public.old'?"},
      {{"undo", "--table", "old", "--from", "x", "--to", to}, 2, "pgweir: --from: "},
      {{"undo", "--table", "old", "--from", to, "--to", from},
       2,
       "pgweir: --from must be in front of --to"},
      {{"undo", "--table", "old", "--from", "0/1", "--to", to},
       1,
       "pgweir: 0/1 is not in the log, or no longer\n  detail: it begins at "},
      {{"undo", "--table", "old", "--from", from, "--to", "FFFFFF/0"},
       1,
       "pgweir: FFFFFF/0 is not in the log\n  detail: it ends at "},
      {{"history", "old", "1,2"}, 1, "pgweir: the log has no row of public.old with the key 1,2"},
      {{"history", "appended", "1"}, 1, "pgweir: public.appended has no key that the stream tells"},
      {{"history", "old"}, 2, "pgweir: key is required"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.output);
    const io::Finished finished = run(each.arguments);
    EXPECT_EQ(finished.exit_code, each.exit_code) << finished.output;
    EXPECT_THAT(finished.output, HasSubstr(each.output));
  }
  EXPECT_EQ(program.terminate(), 0);
  sql(fmt::format("SELECT pg_drop_replication_slot('slot_{}')", database));
}

TEST(History, FollowsARowThroughItsKeys) {
  Scenario scenario(
      "CREATE TABLE two (a int, b text, v text, big text, PRIMARY KEY (b, a));"
      "ALTER TABLE two ALTER big SET STORAGE EXTERNAL;"
      "INSERT INTO two VALUES (1, 'x', 'first', repeat('0123456789', 900)), (9, 'y', 'other', "
      "NULL)",
      kYaml);
  ASSERT_TRUE(scenario.start());
  ASSERT_TRUE(scenario.change(
      "UPDATE two SET v = 'second' WHERE a = 1; UPDATE two SET a = 2, b = 'x,\"q\"' WHERE a = 1;"
      "UPDATE two SET v = NULL WHERE a = 2; UPDATE two SET a = 3 WHERE a = 2;"
      "INSERT INTO two VALUES (2, 'x,\"q\"', 'another row', NULL); DELETE FROM two WHERE a = 3"));
  for (const bool running : {true, false}) {
    if (!running) {
      EXPECT_EQ(scenario.program().terminate(), 0);
    }
    for (const char* key : {"x,1", "b=x,a=1", "a=1,b=x"}) {
      const io::Finished finished = scenario.command({"--json", "history", "public.two", key});
      ASSERT_EQ(finished.exit_code, 0) << finished.output;
      const Json history = Json::parse(finished.output);
      EXPECT_EQ(history["complete"], true);
      std::string seen;
      for (const Json& version : history["versions"]) {
        seen +=
            fmt::format("{} {} {} {} {}\n", version["op"].get<std::string>(),
                        version["row"]["a"].get<std::string>(), version["row"]["v"].dump(),
                        version["row"]["big"].get<std::string>().size(), version["changed"].dump());
      }
      EXPECT_EQ(seen,
                "read 1 \"first\" 9000 []\n"
                "update 1 \"second\" 9000 [\"v\"]\n"
                "update 2 \"second\" 9000 [\"a\",\"b\"]\n"
                "update 2 null 9000 [\"v\"]\n"
                "update 3 null 9000 [\"a\"]\n"
                "delete 3 null 9000 []\n");
    }
  }
  // Two rows had this key, one after the other.
  const io::Finished both = scenario.command({"--json", "history", "two", "\"x,\"\"q\"\"\",2"});
  ASSERT_EQ(both.exit_code, 0) << both.output;
  const Json lives = Json::parse(both.output)["versions"];
  EXPECT_EQ(lives.size(), 7u);
  EXPECT_EQ(lives[6]["life"], 2);
  EXPECT_EQ(lives[6]["row"]["v"], "another row");
  const io::Finished text = scenario.command({"history", "two", "y,9"});
  EXPECT_THAT(
      text.output,
      testing::ContainsRegex("^[0-9A-F/]+  [0-9T:.Z-]+  read      a=9, b=y, v=other, big=NULL\n"));
  const io::Finished parts = scenario.command({"history", "two", "1"});
  EXPECT_EQ(parts.exit_code, 2);
  EXPECT_THAT(parts.output,
              HasSubstr("pgweir: the key of public.two has 2 parts (b, a), 1 were given\n"));
}

}  // namespace pgweir::harness
