#include "postgres/catalog.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "harness/cluster.h"
#include "postgres/pgoutput.h"
#include "postgres/setup.h"

namespace pgweir::postgres {
namespace {
using harness::shared_cluster;

struct PatternCase {
  const char* pattern;
  const char* schema;
  const char* name;
  bool matches;
};

const PatternCase kPatterns[] = {
    {"public.*", "public", "orders", true},
    {"public.*", "other", "orders", false},
    {"*.*", "a", "b", true},
    {"*.order?", "x", "orders", true},
    {"*.order?", "x", "order", false},
    {"public.?", "public", "\xc3\xa9", true},
    {"a*.*b*", "abc", "aabaa", true},
    {"a*.*b*", "abc", "aacaa", false},
    {"\"My.Schema\".\"a*\"", "My.Schema", "a*", true},
    {"\"My.Schema\".\"a*\"", "My.Schema", "ab", false},
    {"\"a\"\"b\".t", "a\"b", "t", true},
    {"public.Orders", "public", "orders", false},
    {"public.*_*_*_*_*x", "public", "aaaa_aaaa_aaaa_aaaa_aaaa_aaaa", false},
};

TEST(TablePattern, Matches) {
  for (const auto& test : kPatterns) {
    const auto got = pattern_matches(test.pattern, test.schema, test.name);
    ASSERT_TRUE(got.ok()) << got.error().text();
    EXPECT_EQ(*got, test.matches) << test.pattern << " " << test.schema << "." << test.name;
  }
}

TEST(TablePattern, RefusesWhatIsNoPattern) {
  for (const char* text : {"", "orders", ".t", "s.", "a.b.c", "\"a.b", "public.\"t"}) {
    const auto got = pattern_matches(text, "a", "b");
    ASSERT_FALSE(got.ok()) << text;
    EXPECT_EQ(got.error().code, Code::kConfig);
  }
}

// What expand_tables finds, as "schema.name[flags]" and "pattern: reason".
std::string expanded(Connection& connection, const std::vector<std::string>& include,
                     const std::vector<std::string>& exclude) {
  const auto got = expand_tables(connection, include, exclude);
  if (!got.ok()) return got.error().text();
  std::string out;
  for (const auto& table : got->tables) {
    out += table.qualified_name();
    if (table.partitioned) out += " partitioned";
    if (!table.usable_identity) out += " no-identity";
    out += "; ";
  }
  for (const auto& unmatched : got->unmatched)
    out += fmt::format("{}: {}; ", unmatched.pattern, unmatched.reason);
  return out;
}

TEST(Catalog, ExpandsPatternsToTables) {
  auto& cluster = shared_cluster();
  const std::string database = cluster.create_database();
  cluster.sql(
      "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE bare (id int); CREATE VIEW v AS SELECT 1;"
      "CREATE UNLOGGED TABLE u (id int); CREATE SCHEMA s; CREATE TABLE s.a (id int);"
      "ALTER TABLE s.a REPLICA IDENTITY FULL;"
      "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);"
      "CREATE TABLE q (id int PRIMARY KEY) PARTITION BY RANGE (id);"
      "CREATE TABLE q1 PARTITION OF q FOR VALUES FROM (0) TO (9);"
      "ALTER TABLE q1 REPLICA IDENTITY NOTHING;"
      "CREATE TABLE late (id int PRIMARY KEY DEFERRABLE)",
      database);
  auto connection = Connection::open({.url = cluster.url(database)});
  EXPECT_EQ(expanded(*connection, {"*.*"}, {}),
            "public.a; public.bare no-identity; public.late no-identity; public.p partitioned; "
            "public.q partitioned no-identity; s.a; ");
  EXPECT_EQ(expanded(*connection, {"public.*"}, {"public.b*", "*.p", "*.q", "*.late"}),
            "public.a; ");
  EXPECT_EQ(expanded(*connection,
                     {"public.a", "public.zzz", "x*.*", "public.v", "public.p1", "public.u", "s.a"},
                     {"s.*"}),
            "public.a; public.zzz: ; x*.*: ; public.v: is a view; "
            "public.p1: is a partition of public.p: name that instead; "
            "public.u: is unlogged: PostgreSQL does not replicate it; s.a: is excluded; ");
  EXPECT_EQ(expanded(*connection, {"nodot"}, {}).substr(0, 27), "'nodot' is no table pattern");
}

// Every column as "name:type_name/base_type[flags]".
std::string described(const model::Table& table) {
  std::string out = table.qualified_name() + ":";
  for (const auto& column : table.columns) {
    out += fmt::format(" {}={}/{}{}{}", column.name, column.type_name, value(column.base_type),
                       column.in_key ? "!" : "", column.not_null ? "*" : "");
  }
  out += " key";
  for (const auto key : table.primary_key) out += fmt::format(" {}", key);
  return out;
}

TEST(Catalog, ReadsAllFactsOfTables) {
  auto& cluster = shared_cluster();
  const std::string database = cluster.create_database();
  cluster.sql(
      "CREATE TYPE mood AS ENUM ('a'); CREATE TYPE pair AS (x int, y int);"
      "CREATE DOMAIN amount AS numeric(10,2); CREATE DOMAIN tip AS amount CHECK (VALUE > 0);"
      "CREATE TABLE t (gone int, n numeric(10,2), v varchar(20) NOT NULL, m mood, c pair, d tip,"
      " list int[], moods mood[], ts timestamptz(3), g int GENERATED ALWAYS AS (1) STORED,"
      " id bigint, r int4range, PRIMARY KEY (id, v)); ALTER TABLE t DROP gone;"
      "CREATE TABLE i (a int NOT NULL, b int); CREATE UNIQUE INDEX i_a ON i (a) INCLUDE (b);"
      "ALTER TABLE i REPLICA IDENTITY USING INDEX i_a; CREATE TABLE empty ()",
      database);
  auto connection = Connection::open({.url = cluster.url(database)});
  const auto found = expand_tables(*connection, std::vector<std::string>{"*.*"}, {}).value();
  std::vector<model::Oid> ids;
  for (const auto& table : found.tables) ids.push_back(table.id);
  ids.push_back(model::Oid{4'000'000'000});
  const auto tables = read_tables(*connection, ids).value();
  ASSERT_EQ(tables.size(), 3u);
  EXPECT_EQ(described(tables[0]), "public.empty: key");
  EXPECT_EQ(described(tables[1]), "public.i: a=integer/23!* b=integer/23 key");
  EXPECT_EQ(described(tables[2]),
            "public.t: n=numeric(10,2)/1700 v=character varying(20)/1043!* m=public.mood/25 "
            "c=public.pair/25 d=public.tip/1700 list=integer[]/1007 moods=public.mood[]/25 "
            "ts=timestamp(3) with time zone/1184 id=bigint/20!* r=int4range/3904 key 8 1");
  for (const auto& table : tables) {
    EXPECT_EQ(decode_table(encode_table(table)).value(), table);
    const SchemaRecord record{"Rxyz", table};
    const SchemaRecord back = decode_schema(encode_schema(record)).value();
    EXPECT_EQ(back.table, table);
    EXPECT_EQ(back.relation_message, "Rxyz");
  }
}

TEST(Catalog, ColumnListsOfPublicationsAreHeld) {
  auto& cluster = shared_cluster();
  const std::string database = cluster.create_database();
  cluster.sql(
      "CREATE TABLE t (id int PRIMARY KEY, secret text, open text); CREATE TABLE u (a int);"
      "CREATE PUBLICATION pub FOR TABLE t (id, open)",
      database);
  auto connection = Connection::open({.url = cluster.url(database)});
  const auto found = expand_tables(*connection, std::vector<std::string>{"*.*"}, {}).value();
  const std::vector<model::Oid> ids = {found.tables[0].id, found.tables[1].id};
  const auto tables = read_tables(*connection, ids, std::vector<std::string>{"pub"}).value();
  EXPECT_EQ(described(tables[0]), "public.t: id=integer/23!* open=text/25 key 0");
  EXPECT_EQ(described(tables[1]), "public.u: a=integer/23 key");
}

TEST(Catalog, DamagedRecordsAreRefused) {
  model::Table table;
  table.schema = "s";
  table.name = "t";
  table.columns.resize(2);
  table.primary_key = {1};
  const std::string whole = encode_schema({"R", table});
  ASSERT_TRUE(decode_schema(whole).ok());
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(decode_schema(std::string_view(whole).substr(0, size)).ok()) << size;
  EXPECT_FALSE(decode_schema(whole + "x").ok());
  std::string newer = whole;
  newer[0] = 9;
  EXPECT_EQ(decode_schema(newer).error().code, Code::kUnsupported);
}

TEST(Catalog, DifferencesThatAreNotHandledAreNamed) {
  model::Table known;
  known.schema = "public";
  known.name = "t";
  for (const char* name : {"a", "b"}) {
    model::Column column;
    column.name = name;
    column.type = model::Oid{23};
    column.type_name = "integer";
    known.columns.push_back(column);
  }
  known.primary_key = {0};
  const auto difference = [&](auto change) {
    model::Table now = known;
    change(now);
    return unhandled_difference(known, now).value_or("");
  };
  EXPECT_EQ(difference([](auto& now) {
              now.replica_identity = model::ReplicaIdentity::kFull;
              now.columns[1].in_key = true;
              now.columns[1].not_null = true;
            }),
            "");
  EXPECT_EQ(difference([](auto& now) { now.columns.pop_back(); }),
            "column b of table public.t was dropped");
  EXPECT_EQ(difference([](auto& now) { now.columns[1].name = "c"; }),
            "column b of table public.t is now called c");
  EXPECT_EQ(difference([](auto& now) {
              now.columns.push_back(now.columns[1]);
              now.columns.back().name = "c";
            }),
            "column c was added to table public.t");
  EXPECT_EQ(difference([](auto& now) {
              now.columns[1].type = model::Oid{20};
              now.columns[1].type_name = "bigint";
            }),
            "column b of table public.t changed its type from integer to bigint");
  EXPECT_EQ(difference([](auto& now) { now.primary_key = {1}; }),
            "the primary key of table public.t changed from (a) to (b)");
  EXPECT_EQ(difference([](auto& now) { now.name = "u"; }), "table public.t is now called public.u");
  EXPECT_EQ(difference([](auto& now) { std::swap(now.columns[0], now.columns[1]); }),
            "the columns of table public.t stand in another order");
}

}  // namespace
}  // namespace pgweir::postgres
