// Schema changes followed live: after each, the mirror is the source, and nothing else is
// disturbed.
//
// Method: every case has a schema of its own (which its statements find first) in one database, all
//         under one pipeline: what stops a table would be seen to stop others. Each step is SQL;
//         after it every table of the case is compared, columns and rows.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "harness/scenario.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using testing::HasSubstr;

constexpr const char* kYaml = "engine: {memory: 256MiB, mirrors: all}\n";
constexpr const char* kSoon = ", catalog_interval: 200ms";
constexpr std::chrono::seconds kPatience(20);

struct Case {
  const char* name;  // of its schema
  const char* setup;
  std::vector<const char*> steps;
};

std::string joined(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ';');
  return text;
}

std::string in_schema(const Case& each, const std::string& sql) {
  return fmt::format("SET client_min_messages = warning; SET search_path = {}, public; {}",
                     each.name, sql);
}

// "a,b: 1|x;2|NULL": the columns that are captured, and the rows as text.
std::string source_table(Scenario& scenario, const std::string& schema, const std::string& table) {
  const std::string columns = scenario.sql(fmt::format(
      "SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum) FROM pg_attribute WHERE "
      "attrelid = '{}.\"{}\"'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
      schema, table));
  std::string row;
  for (std::size_t at = 0; at < columns.size();) {
    const std::size_t end = std::min(columns.find(',', at), columns.size());
    row += fmt::format("{}coalesce({}::text, 'NULL')", row.empty() ? "" : ", ",
                       columns.substr(at, end - at));
    at = end + 1;
  }
  // The children of an inherited table are tables of their own; a partitioned table has no others.
  const bool partitioned =
      scenario.sql(fmt::format("SELECT relkind = 'p' FROM pg_class WHERE oid = "
                               "'{}.\"{}\"'::regclass",
                               schema, table)) == "t";
  return columns + ": " +
         joined(scenario.sql(fmt::format("SELECT r FROM (SELECT concat_ws('|', {}) AS r FROM "
                                         "{}{}.\"{}\") x ORDER BY r COLLATE \"C\"",
                                         row, partitioned ? "" : "ONLY ", schema, table)));
}

std::string mirror_table(Scenario& scenario, const std::string& schema, const std::string& table) {
  const std::string described =
      scenario.ours(fmt::format("SELECT column_name FROM (DESCRIBE {}.\"{}\")", schema, table));
  std::string columns = described, row;
  std::replace(columns.begin(), columns.end(), ';', ',');
  if (columns.find("Error") != std::string::npos) return columns;
  for (std::size_t at = 0; at < columns.size();) {
    const std::size_t end = std::min(columns.find(',', at), columns.size());
    row += fmt::format("{}coalesce(\"{}\"::VARCHAR, 'NULL')", row.empty() ? "" : ", ",
                       columns.substr(at, end - at));
    at = end + 1;
  }
  return columns + ": " +
         scenario.ours(fmt::format("SELECT concat_ws('|', {}) AS r FROM {}.\"{}\" ORDER BY r", row,
                                   schema, table));
}

std::vector<std::string> tables_of(Scenario& scenario, const std::string& schema) {
  const std::string list = scenario.sql(fmt::format(
      "SELECT relname FROM pg_class WHERE relnamespace = '{}'::regnamespace AND relkind IN ('r', "
      "'p') AND NOT relispartition ORDER BY 1",
      schema));
  std::vector<std::string> out;
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = std::min(list.find('\n', at), list.size());
    out.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

void expect_mirrored(Scenario& scenario, const Case& each) {
  for (const std::string& table : tables_of(scenario, each.name)) {
    const std::string expected = source_table(scenario, each.name, table);
    std::string found;
    wait_for(kPatience, [&] {
      found = mirror_table(scenario, each.name, table);
      return found == expected;
    });
    EXPECT_EQ(found, expected) << each.name << "." << table;
  }
}

void run(const std::vector<Case>& cases, const std::string& source) {
  std::string setup;
  std::size_t steps = 0;
  for (const Case& each : cases) {
    setup += fmt::format("CREATE SCHEMA {};\n", each.name) + in_schema(each, each.setup) + ";\n";
    steps = std::max(steps, each.steps.size());
  }
  Scenario scenario(setup, kYaml, "[\"*.*\"]", source);
  ASSERT_TRUE(scenario.start());
  for (std::size_t step = 0; step < steps; ++step) {
    for (const Case& each : cases) {
      if (step < each.steps.size()) scenario.sql(in_schema(each, each.steps[step]));
    }
    ASSERT_TRUE(scenario.change("SELECT 1"));
    for (const Case& each : cases) {
      if (step >= each.steps.size()) continue;
      SCOPED_TRACE(fmt::format("{}: {}", each.name, each.steps[step]));
      expect_mirrored(scenario, each);
    }
  }
  EXPECT_EQ(scenario.program().terminate(), 0);
}

constexpr const char* kTable =
    "CREATE TABLE t (id int PRIMARY KEY, v text, n int);"
    "INSERT INTO t SELECT i, 'v' || i, i * 10 FROM generate_series(1, 5) i";

}  // namespace

// With the next row of the table, PostgreSQL tells what it looks like now.
TEST(SchemaChanges, AreFollowedWithTheNextRow) {
  const std::vector<Case> cases = {
      {"add_nullable",
       kTable,
       {"ALTER TABLE t ADD w int; INSERT INTO t VALUES (6, 'six', 60, 6)",
        "UPDATE t SET w = id WHERE id < 3"}},
      {"add_default",
       kTable,
       {"ALTER TABLE t ADD w int DEFAULT 7; INSERT INTO t (id) VALUES (6)",
        "ALTER TABLE t ALTER w SET DEFAULT 8; INSERT INTO t (id) VALUES (7)",
        "ALTER TABLE t ALTER w DROP DEFAULT; INSERT INTO t (id) VALUES (8)"}},
      {"add_not_null",
       kTable,
       {"ALTER TABLE t ADD w text NOT NULL DEFAULT 'it''s ''{a,b}'' \\N'; DELETE FROM t WHERE id = "
        "1"}},
      {"add_several",
       kTable,
       {"ALTER TABLE t ADD a date DEFAULT '2026-02-28', ADD b numeric(10,2) DEFAULT 1.50, ADD c "
        "text[] DEFAULT '{\"x y\",NULL}', ADD d jsonb DEFAULT '{\"k\": [1, 2]}'; INSERT INTO t "
        "(id) "
        "VALUES (6)"}},
      {"add_in_between",
       kTable,
       {"BEGIN; INSERT INTO t VALUES (6, 'before', 0); ALTER TABLE t ADD w int DEFAULT 7;"
        "INSERT INTO t VALUES (7, 'after', 0, 1); UPDATE t SET w = 2 WHERE id = 1; COMMIT"}},
      {"drop_column",
       kTable,
       {"ALTER TABLE t DROP n; INSERT INTO t VALUES (6, 'six')",
        "ALTER TABLE t DROP v; INSERT INTO t VALUES (7)"}},
      {"rename_column",
       kTable,
       {"ALTER TABLE t RENAME v TO w; UPDATE t SET w = 'new' WHERE id = 1",
        "ALTER TABLE t RENAME id TO key; DELETE FROM t WHERE key = 2"}},
      {"swap_columns",
       kTable,
       {"ALTER TABLE t RENAME v TO x; ALTER TABLE t RENAME n TO v; ALTER TABLE t RENAME x TO n;"
        "INSERT INTO t VALUES (6, 'six', 60)"}},
      {"drop_and_add",
       kTable,
       {"ALTER TABLE t DROP n; ALTER TABLE t ADD w int; INSERT INTO t VALUES (6, 'six', 1)"}},
      {"retype_longer",
       "CREATE TABLE t (id int PRIMARY KEY, a varchar(5), b varchar(5), c numeric(6,2));"
       "INSERT INTO t VALUES (1, 'abc', 'def', 12.34), (2, NULL, 'x', NULL)",
       {"ALTER TABLE t ALTER a TYPE varchar(50), ALTER b TYPE text, ALTER c TYPE numeric(20,2);"
        "INSERT INTO t VALUES (3, repeat('x', 40), repeat('y', 40), 123456789.01)"}},
      {"rename_table",
       kTable,
       {"ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (6, 'six', 60)",
        "ALTER TABLE u RENAME TO \"Ü v\"; DELETE FROM \"Ü v\" WHERE id = 1"}},
      {"swap_tables",
       "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, v text);"
       "INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (7, 'seven')",
       {"ALTER TABLE a RENAME TO c; ALTER TABLE b RENAME TO a; ALTER TABLE c RENAME TO b;"
        "INSERT INTO a VALUES (8, 'eight'); INSERT INTO b VALUES (3)",
        "DELETE FROM a WHERE id = 7; DELETE FROM b WHERE id = 1"}},
      {"move_table",
       kTable,
       {"CREATE SCHEMA move_table_b; ALTER TABLE t SET SCHEMA move_table_b;"
        "INSERT INTO move_table_b.t VALUES (6, 'six', 60)",
        "ALTER TABLE move_table_b.t SET SCHEMA move_table; DELETE FROM t WHERE id < 3"}},
      {"other_key",
       kTable,
       {"ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n); UPDATE t SET id = 1;"
        "DELETE FROM t WHERE n = 30",
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n, v); UPDATE t SET v = 'x' WHERE "
        "n "
        "= 10; DELETE FROM t WHERE n = 20"}},
      {"identity",
       kTable,
       {"ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET v = 'full' WHERE id = 1; DELETE FROM t "
        "WHERE id = 2",
        "CREATE UNIQUE INDEX i ON t (n); ALTER TABLE t ALTER n SET NOT NULL; ALTER TABLE t REPLICA "
        "IDENTITY USING INDEX i; UPDATE t SET v = 'index' WHERE id = 3; DELETE FROM t WHERE id = 4",
        "ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET v = 'default', id = 50 WHERE id = "
        "5"}},
      {"key_of_full",
       "CREATE TABLE t (id int, v text); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES "
       "(1, 'a'), (1, 'a'), (2, 'b')",
       {"DELETE FROM t WHERE ctid = '(0,1)'; ALTER TABLE t ADD PRIMARY KEY (id); UPDATE t SET v = "
        "'c'"
        " WHERE id = 2",
        "ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (1, 'a'), (1, 'z')",
        "DELETE FROM t WHERE v = 'a'"}},
      {"irrelevant",
       kTable,
       {"COMMENT ON TABLE t IS 'x'; COMMENT ON COLUMN t.v IS 'y'; CREATE INDEX ON t (v);"
        "CREATE STATISTICS s ON v, n FROM t; ANALYZE t; ALTER TABLE t ALTER v SET STATISTICS 5;"
        "ALTER TABLE t ALTER v SET STORAGE EXTERNAL; INSERT INTO t VALUES (6, 'six', 60)",
        "ALTER TABLE t ALTER v SET DEFAULT 'd'; ALTER TABLE t ALTER n SET NOT NULL, ADD CHECK (n "
        ">= "
        "0), ADD UNIQUE (n); CREATE TABLE o (n int REFERENCES t (n)); INSERT INTO t VALUES (7, "
        "DEFAULT, 70); DROP TABLE o",
        "ALTER TABLE t ALTER n DROP NOT NULL; ALTER TABLE t DROP CONSTRAINT t_n_check, DROP "
        "CONSTRAINT t_n_key; INSERT INTO t VALUES (8, 'x', NULL); GRANT SELECT ON t TO PUBLIC"}},
      {"rewritten",
       kTable,
       {"VACUUM FULL t", "INSERT INTO t VALUES (6, 'six', 60)", "CLUSTER t USING t_pkey",
        "UPDATE t SET n = 1", "ALTER TABLE t SET (fillfactor = 50); DELETE FROM t WHERE id = 1"}},
      {"truncated",
       kTable,
       {"TRUNCATE t RESTART IDENTITY; INSERT INTO t VALUES (1, 'again', 1)",
        "BEGIN; INSERT INTO t VALUES (2, 'gone', 2); TRUNCATE t; INSERT INTO t VALUES (3, 'c', 3);"
        "COMMIT",
        "BEGIN; TRUNCATE t; ALTER TABLE t ADD w int DEFAULT 1; INSERT INTO t VALUES (4, 'd', 4); "
        "COMMIT"}},
      {"generated",
       "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 2)",
       {"ALTER TABLE t ADD g int GENERATED ALWAYS AS (v * 2) STORED; INSERT INTO t VALUES (2, 3)",
        "UPDATE t SET v = 5; ALTER TABLE t DROP g; INSERT INTO t VALUES (3, 3)"}},
      {"enums",
       "CREATE TYPE enums.mood AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, m mood);"
       "INSERT INTO t VALUES (1, 'a')",
       {"ALTER TYPE enums.mood ADD VALUE 'b'", "INSERT INTO t VALUES (2, 'b')",
        "ALTER TYPE enums.mood RENAME VALUE 'b' TO 'c'; INSERT INTO t VALUES (3, 'c'); DELETE FROM "
        "t WHERE id = 2"}},
      {"rolled_back",
       kTable,
       {"BEGIN; ALTER TABLE t ADD w int DEFAULT 7; INSERT INTO t (id) VALUES (6); ROLLBACK;"
        "INSERT INTO t VALUES (7, 'x', 1)",
        "BEGIN; SAVEPOINT s; ALTER TABLE t DROP n; ROLLBACK TO s; INSERT INTO t VALUES (8, 'y', 2);"
        "COMMIT"}},
      {"mixed",
       kTable,
       {"BEGIN; UPDATE t SET n = 1; ALTER TABLE t RENAME n TO m; INSERT INTO t VALUES (6, 'a', 2);"
        "ALTER TABLE t DROP v; UPDATE t SET m = m + 1; ALTER TABLE t ADD z text DEFAULT 'z'; "
        "DELETE "
        "FROM t WHERE id = 1; COMMIT"}},
  };
  run(cases, ", catalog_interval: 1h");
}

// What no row tells of.
std::vector<Case> quiet_cases() {
  return {
      {"add_columns",
       kTable,
       {"ALTER TABLE t ADD w int", "ALTER TABLE t ADD x int DEFAULT 7; UPDATE t SET w = x",
        "ALTER TABLE t ADD y text NOT NULL DEFAULT 'y'", "VACUUM FULL t", "UPDATE t SET v = 'v'"}},
      {"drop_columns", kTable, {"ALTER TABLE t DROP v", "ALTER TABLE t DROP n"}},
      {"rename",
       kTable,
       {"ALTER TABLE t RENAME v TO w", "ALTER TABLE t RENAME TO u", "ALTER TABLE u RENAME TO t"}},
      {"rename_schema",
       kTable,
       {"ALTER SCHEMA rename_schema RENAME TO renamed; INSERT INTO renamed.t VALUES (6, 'six', 60);"
        "ALTER SCHEMA renamed RENAME TO rename_schema",
        "UPDATE t SET n = 0"}},
      {"longer",
       "CREATE TABLE t (id int PRIMARY KEY, v varchar(3)); INSERT INTO t VALUES (1, 'abc')",
       {"ALTER TABLE t ALTER v TYPE varchar(9)", "ALTER TABLE t ALTER v TYPE text"}},
      {"key",
       kTable,
       {"ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n)",
        "ALTER TABLE t REPLICA IDENTITY FULL", "UPDATE t SET v = 'x' WHERE id = 1"}},
      {"nothing",
       kTable,
       {"COMMENT ON TABLE t IS 'x'; CREATE INDEX ON t (v); ANALYZE t; VACUUM FULL t",
        "CLUSTER t USING t_pkey; REINDEX TABLE t; ALTER TABLE t SET LOGGED"}},
      {"drop_table",
       "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)",
       {"DROP TABLE t"}},
  };
}

// It comes within the interval at which the catalog is looked at.
TEST(SchemaChanges, AreFoundInTheCatalogWithoutARow) {
  run(quiet_cases(), kSoon);
}

// At once, when a trigger tells.
TEST(SchemaChanges, AreToldByAnEventTrigger) {
  run(quiet_cases(), ", catalog_interval: 1h, ddl_trigger: true");
}

// What only the source knows is read again, beside the stream.
TEST(SchemaChanges, RowsThatOnlyTheSourceKnowsAreReadAgain) {
  const std::vector<Case> cases = {
      {"retype",
       kTable,
       {"ALTER TABLE t ALTER n TYPE bigint; INSERT INTO t VALUES (6, 'six', 6000000000)",
        "ALTER TABLE t ALTER n TYPE text USING 'n' || n", "UPDATE t SET n = 'x' WHERE id = 1",
        "ALTER TABLE t ALTER v TYPE varchar(2) USING left(v, 2)"}},
      {"same_type",
       kTable,
       {"ALTER TABLE t ALTER n TYPE int USING n + 1; DELETE FROM t WHERE id = 1"}},
      {"volatile_default",
       kTable,
       {"ALTER TABLE t ADD w text DEFAULT md5(random()::text); INSERT INTO t (id) VALUES (6)",
        "ALTER TABLE t ADD s serial"}},
      {"drop_and_add_again",
       kTable,
       {"ALTER TABLE t DROP n; ALTER TABLE t ADD n text DEFAULT 'x'; INSERT INTO t VALUES (6, "
        "'six', 'y')",
        "ALTER TABLE t DROP v; ALTER TABLE t ADD v text; UPDATE t SET v = 'v' WHERE id = 2"}},
      {"key_added",
       "CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
       {"UPDATE t SET v = 'c' WHERE id = 1; ALTER TABLE t ADD PRIMARY KEY (id)",
        "UPDATE t SET v = 'd' WHERE id = 2; DELETE FROM t WHERE id = 1"}},
      {"new_table",
       "CREATE TABLE t (id int PRIMARY KEY)",
       {"CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u SELECT i, 'v' FROM "
        "generate_series(1, 1000) i",
        "UPDATE u SET v = 'w' WHERE id < 10; INSERT INTO u VALUES (0, 'z')",
        "DROP TABLE u; CREATE TABLE u (id int PRIMARY KEY, w int); INSERT INTO u VALUES (1, 1)",
        "CREATE TABLE a (LIKE u INCLUDING ALL); INSERT INTO a SELECT * FROM u"}},
      {"partitions",
       "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE p1 "
       "PARTITION OF p FOR VALUES FROM (0) TO (100); INSERT INTO p VALUES (1, 'a'), (2, 'b')",
       {"CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200); INSERT INTO p VALUES (150, "
        "'c')",
        "UPDATE p SET id = id + 100 WHERE id = 2",
        "ALTER TABLE p DETACH PARTITION p1; UPDATE p SET v = 'd'",
        "INSERT INTO p1 VALUES (5, 'e'); ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO "
        "(100)",
        "BEGIN; CREATE TABLE p3 (id int PRIMARY KEY, v text); INSERT INTO p3 VALUES (250, 'g');"
        "ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (200) TO (300); COMMIT",
        "ALTER TABLE p ADD w int DEFAULT 5; INSERT INTO p VALUES (6, 'f', 6)", "DROP TABLE p2",
        "ALTER TABLE p ALTER v TYPE int USING ascii(v)"}},
      {"inherited",
       "CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE child (PRIMARY KEY (id), w "
       "int) INHERITS (parent); INSERT INTO child VALUES (1, 'c', 1)",
       {"ALTER TABLE child NO INHERIT parent; INSERT INTO child VALUES (2, 'd', 2)",
        "ALTER TABLE child INHERIT parent; UPDATE child SET w = 3"}},
      {"undisturbed",
       kTable,
       {"INSERT INTO t VALUES (6, 'six', 60)", "VACUUM FULL t", "DELETE FROM t WHERE id = 3"}},
  };
  run(cases, kSoon);
}

// A view stops when what it names is gone, alone and with that message; and goes on when it is
// back.
TEST(SchemaChanges, ViewsFollowTheirTables) {
  Scenario scenario(
      "CREATE TABLE t (id int PRIMARY KEY, v text, n int); CREATE TABLE o (id int PRIMARY KEY, "
      "t_id "
      "int, w int); INSERT INTO t SELECT i, 'v' || i % 2, i * 10 FROM generate_series(1, 4) i;"
      "INSERT INTO o SELECT i, i, 1 FROM generate_series(1, 4) i",
      std::string(kYaml) +
          "views:\n"
          "  by_v: SELECT v, count(*) AS c, sum(n) AS s FROM t GROUP BY v\n"
          "  joined: SELECT o.id, o.w, t.v FROM o JOIN t ON t.id = o.t_id\n"
          "  above: SELECT sum(s) AS s FROM by_v\n"
          "  everything: SELECT * FROM t\n"
          "  other: SELECT count(*) AS c FROM o\n",
      "[public.*]", kSoon);
  ASSERT_TRUE(scenario.start());
  const auto state_of = [&](const std::string& view) {
    const Json found = http_get(scenario.program().url() + "/api/v1/views/" + view).json();
    return found.value("state", "?") +
           (found["error"].is_string() ? ": " + found["error"].get<std::string>() : "");
  };
  const auto becomes = [&](const std::string& view, const std::string& expected) {
    wait_for(kPatience, [&] { return state_of(view).find(expected) != std::string::npos; });
    EXPECT_THAT(state_of(view), HasSubstr(expected)) << view;
  };
  const auto rows = [&](const std::string& select) { return scenario.ours(select); };
  EXPECT_EQ(rows("SELECT * FROM by_v ORDER BY v"), "v0|2|60;v1|2|40");

  // A column that no view but * names.
  ASSERT_TRUE(
      scenario.change("ALTER TABLE t ADD x int DEFAULT 5; UPDATE t SET n = n + 1 WHERE id = 1"));
  EXPECT_EQ(rows("SELECT * FROM by_v ORDER BY v"), "v0|2|60;v1|2|41");
  EXPECT_EQ(rows("SELECT * FROM everything WHERE id = 1"), "1|v1|11|5");

  // A column that some name.
  ASSERT_TRUE(scenario.change("ALTER TABLE t RENAME v TO w; UPDATE t SET n = n + 1 WHERE id = 1"));
  EXPECT_THAT(state_of("by_v"), HasSubstr("\"v\" not found"));
  EXPECT_THAT(state_of("joined"), HasSubstr("\"v\""));
  EXPECT_THAT(state_of("above"), HasSubstr("by_v"));
  EXPECT_EQ(state_of("other"), "live");
  EXPECT_EQ(rows("SELECT * FROM everything WHERE id = 1"), "1|v1|12|5");
  EXPECT_EQ(rows("SELECT c FROM other"), "4");

  ASSERT_TRUE(scenario.change("ALTER TABLE t RENAME w TO v; UPDATE t SET v = 'v1' WHERE id = 2"));
  for (const char* view : {"by_v", "joined", "above"}) becomes(view, "live");
  EXPECT_EQ(rows("SELECT * FROM by_v ORDER BY v"), "v0|1|40;v1|3|62");
  EXPECT_EQ(rows("SELECT s FROM above"), "102");
  EXPECT_EQ(rows("SELECT count(*), sum(w) FROM joined WHERE v = 'v1'"), "3|3");

  // The table itself, seen by the catalog; and the program starts in that state.
  scenario.sql("ALTER TABLE t RENAME TO u");
  becomes("by_v", "no table or view \"t\"");
  EXPECT_EQ(scenario.program().terminate(), 0);
  ASSERT_TRUE(scenario.start());
  becomes("by_v", "no table or view \"t\"");
  EXPECT_EQ(state_of("other"), "live");
  EXPECT_EQ(rows("SELECT count(*) FROM u"), "4");
  scenario.sql("ALTER TABLE u RENAME TO t");
  becomes("by_v", "live");
  // The view's state is told a moment before readers see what it comes from.
  std::string left;
  wait_for(kPatience, [&] {
    left = rows("SELECT * FROM by_v ORDER BY v");
    return left.find("does not exist") == std::string::npos;
  });
  EXPECT_EQ(left, "v0|1|40;v1|3|62");
  // Gone for good.
  scenario.sql("DROP TABLE t");
  becomes("by_v", "no table or view \"t\"");
  wait_for(kPatience, [&] {
    left = rows("SELECT * FROM t");
    return left.find("does not exist") != std::string::npos;
  });
  EXPECT_THAT(left, HasSubstr("does not exist"));
  EXPECT_EQ(state_of("other"), "live");
  EXPECT_EQ(scenario.program().terminate(), 0);
}

// Sinks take the events of every version of a table, and history shows all of them.
TEST(SchemaChanges, SinksGoOnThroughThem) {
  ScratchFolder folder;
  Scenario scenario(kTable,
                    fmt::format("{}sinks:\n  files: {{type: parquet, path: {}/out, roll: {{every: "
                                "1s}}}}\n",
                                kYaml, folder.path()),
                    "[public.*]", kSoon);
  ASSERT_TRUE(scenario.start());
  ASSERT_TRUE(scenario.change(
      "INSERT INTO t VALUES (6, 'six', 60); ALTER TABLE t ADD w int DEFAULT 1; INSERT INTO t "
      "VALUES "
      "(7, 'seven', 70, 7); ALTER TABLE t DROP v; INSERT INTO t VALUES (8, 80, 8); ALTER TABLE t "
      "RENAME TO u; INSERT INTO u VALUES (9, 90, 9)"));
  EXPECT_TRUE(
      scenario.program().wait_follower("files", scenario.sql("SELECT pg_current_wal_lsn()")));
  EXPECT_EQ(scenario.program().status()["findings"].dump(), "[]");
  EXPECT_EQ(
      scenario.ours("SELECT \"table\", sum(changes) FROM pgweir.activity WHERE op = 'i' GROUP "
                    "BY 1 ORDER BY 1"),
      "t|3;u|1");
  EXPECT_EQ(scenario.program().terminate(), 0);
}

// What somebody takes out of the publication is told, and not put back behind his back.
TEST(SchemaChanges, ATableTakenOutOfThePublicationIsTold) {
  Scenario scenario(std::string(kTable) + "; CREATE TABLE o (id int PRIMARY KEY)", kYaml,
                    "[public.*]", kSoon);
  ASSERT_TRUE(scenario.start());
  scenario.sql(fmt::format("ALTER PUBLICATION {} DROP TABLE t", scenario.publication()));
  const auto findings = [&] { return scenario.program().status()["findings"].dump(); };
  for (int start = 0; start < 2; ++start) {
    wait_for(kPatience, [&] { return findings().find("publication") != std::string::npos; });
    EXPECT_THAT(findings(), HasSubstr("table public.t"));
    EXPECT_THAT(findings(), HasSubstr("the publication has it no longer"));
    EXPECT_THAT(scenario.ours("SELECT count(*) FROM t"), HasSubstr("publication"));
    ASSERT_TRUE(scenario.change(fmt::format("INSERT INTO o VALUES ({})", start)));
    EXPECT_EQ(scenario.ours("SELECT count(*) FROM o"), std::to_string(start + 1));
    EXPECT_EQ(scenario.program().terminate(), 0);
    ASSERT_TRUE(scenario.start());
  }
}

}  // namespace pgweir::harness
