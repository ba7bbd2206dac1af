// What docs/views.md says of SQL that means one thing here and another in PostgreSQL.
#include <gtest/gtest.h>

#include "harness/scenario.h"

namespace pgweir::harness {
namespace {

constexpr const char* kError = nullptr;  // PostgreSQL refuses it

struct Expression {
  const char* sql;
  const char* ours;
  const char* postgres;
};

// Over one row of the table `one`: i = 7, j = -7, z = 0, n = 1.5, d = 0.5, t = 'abc', w = NULL.
const Expression kExpressions[] = {
    {"i / 2", "3", "3"},
    {"j / 2", "-3", "-3"},
    {"i / 2.0", "3.5", "3.5000000000000000"},
    {"sum(i::bigint) / 2", "3", "3.5000000000000000"},
    {"extract(year FROM '2027-01-01'::date) / 2", "1013", "1013.5000000000000000"},
    {"i // 2", "3", kError},
    {"j // 2", "-3", kError},
    {"trunc(j / 2)::int", "-3", "-3"},
    {"i / z", "NULL", kError},
    {"d / z", "NULL", kError},
    {"d * 1e300 * 1e300", "inf", kError},
    {"i // z", "NULL", kError},
    {"i % z", "NULL", kError},
    {"avg(i)", "7.0", "7.0000000000000000"},
    {"pg_typeof(sum(i))", "HUGEINT", "bigint"},
    {"pg_typeof(sum(i::bigint))", "HUGEINT", "numeric"},
    {"pg_typeof(sum(n))", "DECIMAL(38,2)", "numeric"},
    {"pg_typeof(avg(n))", "DOUBLE", "numeric"},
    {"pg_typeof(max(n / n))", "DOUBLE", "numeric"},
    {"round(max(n / 0.7), 4)", "2.1429", "2.1429"},
    {"t || w", "NULL", "NULL"},
    {"concat(t, w)", "abc", "abc"},
    {"'2026-01-01 23:30:00-05'::timestamptz::date", "2026-01-02", "2026-01-01"},
    {"('2026-01-01 23:30:00-05'::timestamptz AT TIME ZONE 'Asia/Tokyo')::date", "2026-01-02",
     "2026-01-02"},
    {"pg_typeof(extract(dow FROM '2026-01-01'::date))", "BIGINT", "numeric"},
    {"pg_typeof(date_part('dow', '2026-01-01'::date))", "BIGINT", "double precision"},
    {"pg_typeof(extract(epoch FROM '2026-01-01'::timestamp))", "DOUBLE", "numeric"},
    {"'NaN'::float8 = 'NaN'::float8", "true", "true"},
    {"'NaN'::float8 > 'Infinity'::float8", "true", "true"},
    {"d - d = -(d - d)", "true", "true"},
    {"t LIKE 'a%'", "true", "true"},
    {"t ~~ 'a%'", "true", "true"},
    {"t ILIKE 'A%'", "true", "true"},
    {"'a%' LIKE 'a\\%'", "true", "true"},
    {"t LIKE 'ab\\%'", "false", "false"},
    {"t ~ 'b'", "true", "true"},
    {"t !~ 'B'", "true", "true"},
    {"t ~* 'B'", "true", "true"},
    {"substr(t, -1, 3)", "a", "a"},
    {"substr(t, -1)", "abc", "abc"},
    {"to_hex(i + 8)", "f", "f"},
    {"upper('ß')", "ẞ", "ß"},
    {"(1, w) = (1, 'a')", "false", "NULL"},
    {"round(d)", "1.0", "0"},
    {"(d * 4)::text", "2.0", "2"},
    {"'1 month 1 day'::interval::text", "1 month 1 day", "1 mon 1 day"},
    {"extract(second FROM '2026-01-01 00:00:01.5'::timestamp)", "1", "1.500000"},
    {"extract(microseconds FROM '2026-01-01 00:00:01.5'::timestamp) / 1e6", "1.5",
     "1.5000000000000000"},
    {"regexp_matches(t, 'b')", "true", kError},
    {"t SIMILAR TO '(a|b)%'", "false", "true"},
    {"t SIMILAR TO '(a|b).*'", "true", "false"},
};

}  // namespace

TEST(SqlDifferences, AreThoseThatAreDocumented) {
  Scenario scenario(
      "CREATE TABLE one (id int PRIMARY KEY, i int, j int, z int, n numeric(9,2), d float8, t text,"
      " w text); INSERT INTO one VALUES (1, 7, -7, 0, 1.5, 0.5, 'abc', NULL)",
      "engine: {memory: 256MiB, mirrors: all}\n");
  ASSERT_TRUE(scenario.start());
  for (const Expression& each : kExpressions) {
    const std::string sql = each.sql;
    std::string ours = "SELECT (" + sql + ")::text FROM one";
    // PostgreSQL's pg_typeof() is DuckDB's typeof().
    if (const auto at = ours.find("pg_typeof"); at != std::string::npos) ours.erase(at, 3);
    EXPECT_EQ(scenario.ours(ours), each.ours) << each.sql;
    if (each.postgres == kError) continue;
    EXPECT_EQ(scenario.sql("SET timezone = 'America/New_York'; SELECT coalesce((" + sql +
                           ")::text, 'NULL') FROM one"),
              each.postgres)
        << each.sql;
  }
}

TEST(SqlDifferences, OrderOfTextsAndNulls) {
  Scenario scenario(
      "CREATE TABLE texts (t text PRIMARY KEY, n int);"
      "INSERT INTO texts VALUES ('b', 1), ('A', NULL), ('a', 3), ('ż', 2)",
      "engine: {memory: 256MiB, mirrors: all}\n");
  ASSERT_TRUE(scenario.start());
  EXPECT_EQ(scenario.ours("SELECT t FROM texts ORDER BY t"), "A;a;b;ż");
  EXPECT_EQ(scenario.sql("SELECT string_agg(t, ';' ORDER BY t COLLATE \"C\") FROM texts"),
            "A;a;b;ż");
  EXPECT_EQ(scenario.ours("SELECT t FROM texts ORDER BY n DESC"), "A;a;ż;b");
  EXPECT_EQ(scenario.sql("SELECT string_agg(t, ';' ORDER BY n DESC) FROM texts"), "A;a;ż;b");
  EXPECT_EQ(scenario.ours("SELECT t FROM texts ORDER BY n"), "b;ż;a;A");
}

}  // namespace pgweir::harness
