// SQL that would mean something else in DuckDB.
#include "engine/postgres_semantics.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace pgweir::engine {
namespace {

struct Meaning {
  const char* sql;
  const char* postgres;  // its own answer
};

constexpr Meaning kMeanings[] = {
    {"7 / 2", "3"},
    {"-7 / 2", "-3"},
    {"7::bigint / 2::smallint", "3"},
    {"7::double / 2", "3.5"},
    {"7.5 / 2", "3.75"},
    {"'abc' ~ 'b'", "true"},
    {"'abc' ~ 'B'", "false"},
    {"'abc' !~ 'b'", "false"},
    {"'abc' ~ '^b'", "false"},
    {"'abc' ~* 'B'", "true"},
    {"'abc' !~* 'B'", "false"},
    {"NULL ~ 'b'", "NULL"},
    {"'a%' LIKE 'a\\%'", "true"},
    {"'ab' LIKE 'a\\%'", "false"},
    {"'ab' NOT LIKE 'a\\%'", "true"},
    {"'a\\b' LIKE 'a\\b'", "false"},
    {"'a\\b' LIKE 'a\\\\b'", "true"},
    {"'abc' LIKE 'a%'", "true"},
    {"'abc' NOT LIKE 'a%'", "false"},
    {"'A%' ILIKE 'a\\%'", "true"},
    {"'Ab' NOT ILIKE 'a\\%'", "true"},
    {"'abc' ILIKE 'A%'", "true"},
    {"'a%b' LIKE 'a#%b' ESCAPE '#'", "true"},
    {"'abc' LIKE NULL", "NULL"},
    {"substr('abc', 2)", "bc"},
    {"substr('abc', -1)", "abc"},
    {"substr('abc', 0, 2)", "a"},
    {"substr('abc', -1, 3)", "a"},
    {"substring('abc', -5, 3)", ""},
    {"substring('abc' from 2 for 1)", "b"},
    {"btrim('  a ') || btrim('xax', 'x')", "aa"},
    {"to_hex(255)", "ff"},
    {"date_trunc('month', timestamp '2026-05-17 10:11:12')", "2026-05-01 00:00:00"},
    {"date_trunc('hour', interval '90 minutes')", "01:00:00"},
};

TEST(PostgresSemantics, SqlMeansWhatItMeansInPostgres) {
  const auto database = duck::Database::open("", {}).value();
  const auto first = database->connect().value();
  ASSERT_TRUE(set_postgres_semantics(*first).ok());
  // On a connection made later.
  const auto connection = database->connect().value();
  const Status added = add_postgres_macros(*connection);
  ASSERT_TRUE(added.ok()) << added.error().text();
  for (const Meaning& meaning : kMeanings) {
    const auto rows = connection->query_texts(std::string("SELECT ") + meaning.sql);
    ASSERT_TRUE(rows.ok()) << meaning.sql << ": " << rows.error().text();
    EXPECT_EQ(rows->rows[0][0].value_or("NULL"), meaning.postgres) << meaning.sql;
  }
}

// A comparison that no time meets is not known for NULL, and so is its opposite.
TEST(PostgresSemantics, TruncatedNullsEqualNothing) {
  const auto database = duck::Database::open("", {}).value();
  const auto connection = database->connect().value();
  ASSERT_TRUE(add_postgres_macros(*connection).ok());
  ASSERT_TRUE(connection->execute("CREATE TABLE t AS SELECT NULL::timestamp AS made").ok());
  for (const char* condition :
       {"date_trunc('day', made) <> timestamp '2026-01-02 00:35:17.5'",
        "timestamp '2026-01-02 00:35:17.5' <> date_trunc('day', made)",
        "NOT date_trunc('day', made) = timestamp '2026-01-02 00:35:17.5'",
        "date_trunc('hour', made::timestamptz) <> timestamptz '2026-01-02 00:35:17+00'"}) {
    const std::string count = std::string("SELECT count(*) FROM t WHERE ") + condition;
    EXPECT_EQ(connection->query_int(count).value(), 0) << condition;
  }
}

TEST(PostgresSemantics, NullsAreLargest) {
  const auto database = duck::Database::open("", {}).value();
  const auto first = database->connect().value();
  ASSERT_TRUE(set_postgres_semantics(*first).ok());
  const auto connection = database->connect().value();
  const char* select =
      "SELECT string_agg(coalesce(x::text, '-'), '' ORDER BY x {}) FROM (VALUES "
      "(1), (NULL), (2)) AS t(x)";
  const auto ordered = [&](const std::string& order) {
    std::string sql = select;
    sql.replace(sql.find("{}"), 2, order);
    return connection->query_texts(sql).value().rows[0][0].value_or("NULL");
  };
  EXPECT_EQ(ordered(""), "12-");
  EXPECT_EQ(ordered("DESC"), "-21");
  EXPECT_EQ(ordered("DESC NULLS LAST"), "21-");
}

// A constant pattern is looked for as fast as ever.
TEST(PostgresSemantics, APatternWithoutABackslashIsNoCaseWhenItRuns) {
  const auto database = duck::Database::open("", {}).value();
  const auto connection = database->connect().value();
  ASSERT_TRUE(add_postgres_macros(*connection).ok());
  ASSERT_TRUE(connection->execute("CREATE TABLE t(s VARCHAR)").ok());
  auto plan = connection->query("EXPLAIN SELECT s FROM t WHERE s LIKE '%a%'");
  ASSERT_TRUE(plan.ok()) << plan.error().text();
  const duck::Chunk* chunk = plan->next();
  ASSERT_NE(chunk, nullptr);
  EXPECT_EQ(chunk->string(1, 0).find("CASE"), std::string_view::npos) << chunk->string(1, 0);
}

}  // namespace
}  // namespace pgweir::engine
