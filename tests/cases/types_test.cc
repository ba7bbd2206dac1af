// Every type and every kind of table: what the first snapshot read and what the stream sent give
// the same mirror, and the mirror is the source.
//
// Method: each type's values stand in a table of their own before the start, and are inserted and
//         updated afterwards. docs/types.md says how they are kept.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "harness/scenario.h"

namespace pgweir::harness {
namespace {
using testing::HasSubstr;

constexpr const char* kYaml = "engine: {memory: 256MiB, mirrors: all}\n";

struct Type {
  const char* name;  // by PostgreSQL
  std::vector<const char*> values;
  // How the mirror prints them; nothing where it prints them as PostgreSQL does.
  std::vector<const char*> kept = {};
};

const std::vector<Type>& types() {
  static const std::vector<Type> kTypes = {
      {"boolean", {"true", "false"}},
      {"smallint", {"7", "-32768", "32767"}},
      {"integer", {"7", "-2147483648", "2147483647"}},
      {"bigint", {"7", "-9223372036854775808", "9223372036854775807"}},
      {"oid", {"0", "4294967295"}},
      {"real", {"0.5", "NaN", "Infinity", "-Infinity"}, {"0.5", "nan", "inf", "-inf"}},
      {"double precision",
       {"0.1", "1.7976931348623157e+308", "NaN", "-Infinity"},
       {"0.1", "1.7976931348623157e+308", "nan", "-inf"}},
      {"numeric(4,2)", {"1.50", "99.99", "-99.99", "0"}},
      {"numeric(18,0)", {"999999999999999999", "-999999999999999999"}},
      {"numeric(38,10)", {"9999999999999999999999999999.9999999999", "0.0000000001", "-1"}},
      {"numeric(39,2)", {"9999999999999999999999999999999999999.99", "NaN", "1.5"}},
      {"numeric(5,-2)", {"1234500", "100"}},
      {"numeric(2,4)", {"0.0012"}},
      {"numeric",
       {"1", "-12.5", "99999999999999999999999999999", "0.000000001"},
       {"1.000000000", "-12.500000000", "99999999999999999999999999999.000000000", "0.000000001"}},
      {"money", {"-92233720368547758.08", "1.50"}},
      {"text", {"plain", "", "żółć 🦆", "a\tb\\c", "it''s", "\\N"}},
      {"varchar(10)", {"ab  ", ""}},
      {"character(5)", {"ab", "abcde"}},
      {"\"char\"", {"x"}},
      {"name", {"pg_class"}},
      {"bytea", {"\\x", "\\x00ff41"}, {"", "\\x00\\xFFA"}},
      {"uuid",
       {"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "12345678-9abc-def0-1234-56789abcdef0"}},
      {"date",
       {"2026-02-28", "0001-01-01", "4713-11-24 BC", "5874897-12-31", "infinity", "-infinity"},
       {"2026-02-28", "0001-01-01", "4713-11-24 (BC)", "5874897-12-31", "infinity", "-infinity"}},
      {"time", {"12:34:56.789", "00:00:00", "23:59:59.999999", "24:00:00"}},
      {"timetz", {"23:59:59.999999+05:30", "00:00:00+00"}},
      {"timestamp",
       {"2026-02-28 12:34:56.789", "1969-12-31 23:59:59.999999", "infinity", "-infinity"}},
      {"timestamptz",
       {"2026-02-28 12:34:56+00", "2026-02-28 12:34:56+05:30", "infinity"},
       {"2026-02-28 12:34:56+00", "2026-02-28 07:04:56+00", "infinity"}},
      {"interval",
       {"1 year 2 mons 3 days 04:05:06.789", "00:00:00", "-1 years -2 mons +3 days -04:05:06"},
       {"1 year 2 months 3 days 04:05:06.789", "00:00:00", "-1 year -2 months 3 days -04:05:06"}},
      {"json", {"{\"a\" : 1}", "null"}},
      {"jsonb", {"{\"a\": 1, \"b\": [1, 2]}"}},
      {"xml", {"<a>1</a>"}},
      {"inet", {"10.0.0.1", "fe80::1/64"}, {"10.0.0.1", "fe80::1/64"}},
      {"cidr", {"10.0.0.0/8"}},
      {"macaddr", {"08:00:2b:01:02:03"}},
      {"macaddr8", {"08:00:2b:01:02:03:04:05"}},
      {"bit(4)", {"0101"}},
      {"bit varying(8)", {"", "1"}},
      {"point", {"(1,2)"}},
      {"line", {"{1,2,3}"}},
      {"lseg", {"[(1,2),(3,4)]"}},
      {"box", {"(3,4),(1,2)"}},
      {"path", {"((1,2),(3,4))"}},
      {"polygon", {"((0,0),(1,1),(1,0))"}},
      {"circle", {"<(1,2),3>"}},
      {"tsvector", {"a:1 b:2"}},
      {"tsquery", {"a & b"}},
      {"int[]", {"{1,2,NULL}", "{}", "{{1,2},{3,4}}"}},
      {"text[]", {"{\"a,b\",\"\",NULL}"}},
      {"int4range", {"[1,10)", "empty"}},
      {"tstzrange", {"[2026-01-01 00:00:00+00,)"}},
      {"int4multirange", {"{[1,3),[5,7)}"}},
      {"mood", {"happy", "so so"}},
      {"pair", {"(1,\"x y\")"}},
      {"positive", {"1", "2147483647"}},
      {"small", {"1", "99"}},
      {"price", {"12.50"}, {"12.500000000"}},
      {"good_mood", {"happy"}},
      {"pg_lsn", {"16/B374D848"}},
      {"xid", {"4294967295"}},
      {"txid_snapshot", {"10:20:10,14"}},
      {"regclass", {"pg_class"}},
  };
  return kTypes;
}

std::string table_of(std::size_t type) {
  return fmt::format("type_{}", type);
}

// NULL and every value, numbered from `first`.
std::string insert_values(std::size_t type, std::size_t first) {
  std::string values = fmt::format("({}, NULL)", first);
  for (const char* value : types()[type].values)
    values += fmt::format(", ({}, '{}'::{})", ++first, value, types()[type].name);
  return fmt::format("INSERT INTO {} VALUES {};\n", table_of(type), values);
}

// The values as the mirror should print them, in the order of the rows.
std::string expected_values(Scenario& scenario, std::size_t type) {
  const Type& each = types()[type];
  std::string expected = "NULL";
  for (const char* kept : each.kept) expected += std::string(";") + kept;
  if (!each.kept.empty()) return expected;
  return expected + ";" +
         scenario.sql(fmt::format(
             "SET timezone = 'UTC'; SELECT string_agg(v::text, ';' ORDER BY id) FROM {} WHERE id < "
             "100 AND v::text IS NOT NULL",
             table_of(type)));
}

// Both sides answer the same to a SELECT.
void expect_same(Scenario& scenario, const std::string& select) {
  std::string postgres = scenario.sql(select);
  std::replace(postgres.begin(), postgres.end(), '\n', ';');
  EXPECT_EQ(scenario.ours(select), postgres) << select;
}

}  // namespace

TEST(Types, TheSameFromSnapshotInsertAndUpdate) {
  std::string setup =
      "CREATE TYPE mood AS ENUM ('happy', 'so so'); CREATE TYPE pair AS (a int, b text);"
      "CREATE DOMAIN positive AS int CHECK (value > 0);"
      "CREATE DOMAIN small AS positive CHECK (value < 100); CREATE DOMAIN price AS numeric(10,2);"
      "CREATE DOMAIN good_mood AS mood CHECK (value = 'happy');\n";
  std::string changes;
  for (std::size_t type = 0; type < types().size(); ++type) {
    const std::string table = table_of(type);
    setup +=
        fmt::format("CREATE TABLE {} (id int PRIMARY KEY, v {});\n", table, types()[type].name) +
        insert_values(type, 1);
    // Rows 101 and up are inserted; rows 201 and up were NULL, and are updated to the same values.
    changes += insert_values(type, 101);
    changes += fmt::format(
        "INSERT INTO {0} SELECT 200 + id, NULL FROM {0} WHERE id < 100;\n"
        "UPDATE {0} SET v = o.v FROM {0} o WHERE {0}.id = o.id + 200 AND o.id < 100;\n",
        table);
  }
  Scenario scenario(setup, kYaml);
  ASSERT_TRUE(scenario.start());
  ASSERT_TRUE(scenario.change(changes));
  for (std::size_t type = 0; type < types().size(); ++type) {
    SCOPED_TRACE(types()[type].name);
    const std::string expected = expected_values(scenario, type);
    for (const int first : {0, 100, 200}) {
      EXPECT_EQ(scenario.ours(fmt::format("SELECT v::VARCHAR FROM {} WHERE id > {} AND id <= {} "
                                          "ORDER BY id",
                                          table_of(type), first, first + 100)),
                expected)
          << (first == 0     ? "snapshot"
              : first == 100 ? "insert"
                             : "update");
    }
  }
  EXPECT_EQ(scenario.program().terminate(), 0);
}

TEST(TableKinds, WithoutAKeyABagOrAppendOnly) {
  Scenario scenario(
      "CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;"
      "CREATE TABLE appended (a int, b text);"
      "INSERT INTO bag VALUES (1, 'x'), (1, 'x'), (1, 'x'), (2, NULL);"
      "INSERT INTO appended VALUES (1, 'x')",
      kYaml);
  ASSERT_TRUE(scenario.start());
  const std::string bag =
      "SELECT a, coalesce(b, '-'), count(*) FROM bag GROUP BY 1, 2 ORDER BY 1, 2";
  expect_same(scenario, bag);
  // One of three equal rows goes, one changes, one comes back; NULL is a value like others.
  const char* changes[] = {
      "DELETE FROM bag WHERE ctid = (SELECT min(ctid) FROM bag WHERE a = 1)",
      "UPDATE bag SET b = 'y' WHERE ctid = (SELECT min(ctid) FROM bag WHERE a = 1)",
      "INSERT INTO bag VALUES (1, 'x'), (2, NULL); UPDATE bag SET a = 3 WHERE a = 2",
      "DELETE FROM bag WHERE b IS NULL",
  };
  for (const char* change : changes) {
    SCOPED_TRACE(change);
    ASSERT_TRUE(scenario.change(change));
    expect_same(scenario, bag);
  }
  // The source's own statements go on without an identity; the mirror keeps what was inserted.
  ASSERT_TRUE(
      scenario.change("INSERT INTO appended VALUES (2, 'y'); UPDATE appended SET b = 'z';"
                      "DELETE FROM appended WHERE a = 1"));
  EXPECT_EQ(scenario.ours("SELECT a, b FROM appended ORDER BY a"), "1|x;2|y");
  const std::string findings = scenario.program().status()["findings"].dump();
  EXPECT_THAT(findings, HasSubstr("\"warning\""));
  EXPECT_THAT(findings, HasSubstr("public.appended"));
  EXPECT_THAT(findings, testing::Not(HasSubstr("public.bag")));
  ASSERT_TRUE(scenario.change("TRUNCATE bag, appended"));
  EXPECT_EQ(scenario.ours("SELECT (SELECT count(*) FROM bag), (SELECT count(*) FROM appended)"),
            "0|0");
}

TEST(TableKinds, NamesOfEveryKind) {
  const std::string table = R"("Sales Dept"."Order ""x""")";
  const std::string columns = R"("Id" int PRIMARY KEY, "select" text, "żółć" text, "a.b" text)";
  Scenario scenario(fmt::format("CREATE SCHEMA \"Sales Dept\"; CREATE TABLE {0} ({1}); INSERT INTO "
                                "{0} VALUES (1, 's', 'z', 'd'); CREATE TABLE \"ŻUK\" (\"ID\" int "
                                "PRIMARY KEY, v text); INSERT INTO \"ŻUK\" VALUES (1, 'v')",
                                table, columns),
                    kYaml, "[\"*.*\"]");
  ASSERT_TRUE(scenario.start());
  ASSERT_TRUE(scenario.change(
      fmt::format(R"(UPDATE {0} SET "a.b" = 'D'; INSERT INTO {0} VALUES (2, 'a', 'b', 'c');
                     UPDATE "ŻUK" SET v = 'w'; INSERT INTO "ŻUK" VALUES (2, 'x'))",
                  table)));
  expect_same(scenario,
              fmt::format(R"(SELECT "Id", "select", "żółć", "a.b" FROM {} ORDER BY 1)", table));
  expect_same(scenario, R"(SELECT "ID", v FROM "ŻUK" ORDER BY 1)");
}

TEST(TableKinds, KeysAreChangedAndSwappedAndTablesTruncated) {
  const char* tables[] = {"deferred", "plain", "two", "indexed"};
  Scenario scenario(
      "CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE INITIALLY IMMEDIATE, v text);"
      "ALTER TABLE deferred REPLICA IDENTITY FULL;"
      "CREATE TABLE plain (id int PRIMARY KEY, v text);"
      "CREATE TABLE two (a int, b text, v text, PRIMARY KEY (b, a));"
      "CREATE TABLE indexed (a int NOT NULL, v text); CREATE UNIQUE INDEX i ON indexed (a);"
      "ALTER TABLE indexed REPLICA IDENTITY USING INDEX i;"
      "INSERT INTO deferred SELECT i, 'v' || i FROM generate_series(1, 20) i;"
      "INSERT INTO plain SELECT i, 'v' || i FROM generate_series(1, 20) i;"
      "INSERT INTO two SELECT i, 'b' || i, 'v' || i FROM generate_series(1, 20) i;"
      "INSERT INTO indexed SELECT i, 'v' || i FROM generate_series(1, 20) i",
      kYaml);
  ASSERT_TRUE(scenario.start());
  const char* changes[] = {
      "UPDATE plain SET id = 100 WHERE id = 1; UPDATE two SET b = 'x' WHERE a = 1;"
      "UPDATE indexed SET a = 100 WHERE a = 1; UPDATE deferred SET id = 100 WHERE id = 1",
      // In one statement, which a deferrable key allows; step by step where it does not.
      "UPDATE deferred SET id = CASE id WHEN 2 THEN 3 ELSE 2 END WHERE id IN (2, 3)",
      "BEGIN; UPDATE plain SET id = -1 WHERE id = 2; UPDATE plain SET id = 2 WHERE id = 3;"
      "UPDATE plain SET id = 3 WHERE id = -1; COMMIT",
      // A key that goes and comes again within one transaction, and one that never was.
      "BEGIN; DELETE FROM plain WHERE id = 5; INSERT INTO plain VALUES (5, 'again');"
      "INSERT INTO plain VALUES (50, 'short'); UPDATE plain SET id = 51 WHERE id = 50;"
      "DELETE FROM plain WHERE id = 51; COMMIT",
      "UPDATE two SET a = a + 100, v = v || '!'; UPDATE deferred SET id = id + 1",
      "BEGIN; INSERT INTO plain VALUES (60, 'gone'); TRUNCATE plain;"
      "INSERT INTO plain VALUES (1, 'new'); COMMIT; DELETE FROM two",
      "TRUNCATE deferred, indexed; INSERT INTO indexed VALUES (7, 'seven')",
  };
  for (const char* change : changes) {
    SCOPED_TRACE(change);
    ASSERT_TRUE(scenario.change(change));
    for (const char* table : tables)
      expect_same(scenario, fmt::format("SELECT * FROM {} ORDER BY 1, 2", table));
  }
}

TEST(TableKinds, UnchangedLongValuesAreCompletedFromTheMirror) {
  Scenario scenario(
      "CREATE TABLE long (id int PRIMARY KEY, v int, big text, other text);"
      "ALTER TABLE long ALTER big SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL;"
      "INSERT INTO long SELECT i, i, repeat(md5(i::text), 300), repeat(md5((-i)::text), 300)"
      " FROM generate_series(1, 10) i",
      std::string(kYaml) +
          "views:\n  sizes: SELECT v, count(*) AS n, sum(length(big)) AS s FROM long GROUP BY v\n");
  ASSERT_TRUE(scenario.start());
  const char* changes[] = {
      "UPDATE long SET v = v + 1",
      "UPDATE long SET id = id + 100 WHERE id < 4",
      "UPDATE long SET other = 'short' WHERE id = 5",
      "BEGIN; INSERT INTO long VALUES (50, 1, repeat('x', 9000), repeat('y', 9000));"
      "UPDATE long SET v = 2 WHERE id = 50; UPDATE long SET id = 51 WHERE id = 50; COMMIT",
      "BEGIN; UPDATE long SET big = repeat('z', 8000) WHERE id = 6;"
      "UPDATE long SET v = 0 WHERE id = 6; COMMIT",
  };
  for (const char* change : changes) {
    SCOPED_TRACE(change);
    ASSERT_TRUE(scenario.change(change));
    expect_same(scenario, "SELECT id, v, md5(big), md5(other), length(big) FROM long ORDER BY id");
    std::string sizes =
        scenario.sql("SELECT v, count(*), sum(length(big)) FROM long GROUP BY v ORDER BY v");
    std::replace(sizes.begin(), sizes.end(), '\n', ';');
    EXPECT_EQ(scenario.ours("SELECT v, n, s FROM sizes ORDER BY v"), sizes);
  }
}

}  // namespace pgweir::harness
