#include "postgres/catalog.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "harness/cluster.h"
#include "model/table_change.h"
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
                     {"public.a", "public.zzz", "x*.*", "public.v", "public.p*", "public.p1",
                      "public.q1", "public.u", "s.a"},
                     {"s.*"}),
            "public.a; public.p partitioned; public.q1 no-identity; "
            "public.zzz: ; x*.*: ; public.v: is a view; "
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

// What events say of a type: "name:underlying/modifier [element] {labels} =default".
std::string type_facts(const model::Column& column) {
  const model::TypeFacts& facts = column.facts;
  std::string out = fmt::format("{}:{}/{}", column.name, facts.name, facts.modifier);
  if (facts.element != model::Oid{})
    out += fmt::format(" [{} {}]", value(facts.element), facts.element_name);
  if (!facts.labels.empty()) out += fmt::format(" {{{}}}", fmt::join(facts.labels, "|"));
  if (!column.default_value.empty()) out += " =" + column.default_value;
  return out;
}

TEST(Catalog, ReadsWhatEventsSayOfTypes) {
  auto& cluster = shared_cluster();
  const std::string database = cluster.create_database();
  cluster.sql(
      "CREATE TYPE mood AS ENUM ('sad', 'o\\k', E'a\nb');"
      "CREATE DOMAIN amount AS numeric(10,2); CREATE DOMAIN tip AS amount CHECK (VALUE > 0);"
      "CREATE DOMAIN small AS int;"
      "CREATE TABLE t (id serial, d tip DEFAULT 1.5, m mood DEFAULT 'sad', ms mood[],"
      " ns numeric(6,1)[], ss small[], b bit(3), t text NOT NULL DEFAULT 'it''s', plain text,"
      " i int GENERATED ALWAYS AS IDENTITY, at timestamptz(3) DEFAULT '2024-01-01 00:00:00+00')",
      database);
  auto connection = Connection::open({.url = cluster.url(database)});
  const auto found = expand_tables(*connection, std::vector<std::string>{"*.*"}, {}).value();
  const auto tables = read_tables(*connection, {{found.tables[0].id}}).value();
  std::vector<std::string> facts;
  for (const model::Column& column : tables[0].columns) facts.push_back(type_facts(column));
  EXPECT_THAT(facts,
              testing::ElementsAre(
                  "id:integer/-1 =nextval('public.t_id_seq'::regclass)", "d:numeric/655366 =1.5",
                  "m:public.mood/-1 {sad|o\\k|a\nb} ='sad'::public.mood",
                  "ms:public.mood[]/-1 [25 public.mood] {sad|o\\k|a\nb}",
                  "ns:numeric[]/393221 [1700 numeric]", "ss:public.small[]/-1 [23 integer]",
                  "b:bit/3", "t:text/-1 ='it''s'::text", "plain:text/-1", "i:integer/-1",
                  "at:timestamp with time zone/3 ='2024-01-01 00:00:00+00'::timestamp with time "
                  "zone"));
  EXPECT_EQ(encode_table(tables[0])[0], 6);
  EXPECT_EQ(decode_table(encode_table(tables[0])).value(), tables[0]);
}

// PostgreSQL 15 and later.
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

TEST(Catalog, PartitionsAreFactsOfTheirRoot) {
  harness::Cluster& cluster = harness::shared_cluster();
  const std::string database = cluster.create_database();
  cluster.sql(
      "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p "
      "FOR VALUES FROM (0) TO (100); CREATE TABLE p2 (id int PRIMARY KEY); ALTER TABLE p ATTACH "
      "PARTITION p2 FOR VALUES FROM (100) TO (200); BEGIN; CREATE TABLE p3 (id int PRIMARY KEY);"
      "INSERT INTO p3 VALUES (250); ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (200) TO "
      "(300); COMMIT; BEGIN; CREATE TABLE p4 PARTITION OF p FOR VALUES FROM (300) TO (400);"
      "INSERT INTO p VALUES (350); COMMIT",
      database);
  auto connection = Connection::open({.url = cluster.url(database)});
  ASSERT_TRUE(connection.ok());
  const auto id =
      static_cast<std::uint32_t>(std::stoul(cluster.sql("SELECT 'p'::regclass::oid", database)));
  const model::Oid ids[] = {model::Oid{id}};
  const model::Table root = read_tables(*connection, ids).value().front();
  ASSERT_EQ(root.partitions.size(), 4u);
  EXPECT_EQ(std::to_string(model::value(root.partitions[0].id)),
            cluster.sql("SELECT 'p1'::regclass::oid", database));
  EXPECT_TRUE(root.partitions[0].made_here);
  EXPECT_FALSE(root.partitions[1].made_here);
  EXPECT_FALSE(root.partitions[2].made_here);  // filled and attached where it was made
  EXPECT_TRUE(root.partitions[3].made_here);
  EXPECT_NE(root.partitions[0].storage, 0u);
  EXPECT_EQ(decode_schema(encode_schema({"", root}))->table, root);
}

TEST(Catalog, PartitionsThatWereAwayAreTold) {
  harness::Cluster& cluster = harness::shared_cluster();
  const std::string database = cluster.create_database();
  cluster.sql(
      "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p "
      "FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id); CREATE TABLE p11 PARTITION OF p1 FOR "
      "VALUES FROM (0) TO (50); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200)",
      database);
  auto connection = Connection::open({.url = cluster.url(database)});
  ASSERT_TRUE(connection.ok());
  const model::Oid ids[] = {model::Oid{
      static_cast<std::uint32_t>(std::stoul(cluster.sql("SELECT 'p'::regclass::oid", database)))}};
  const auto read = [&] { return read_tables(*connection, ids).value().front().partitions; };
  const auto first = read();
  ASSERT_EQ(first.size(), 3u);
  // Nobody was away, whatever was done to the catalog.
  for (const char* sql : {"VACUUM FREEZE pg_inherits", "VACUUM FULL pg_inherits", "ANALYZE p",
                          "ALTER TABLE p11 SET (fillfactor = 50)", "REINDEX TABLE pg_inherits"}) {
    cluster.sql(sql, database);
    EXPECT_EQ(read(), first) << sql;
  }
  const char* const away[] = {
      "BEGIN; ALTER TABLE p DETACH PARTITION p1; INSERT INTO p11 VALUES (1); ALTER TABLE p ATTACH "
      "PARTITION p1 FOR VALUES FROM (0) TO (100); COMMIT",
      "ALTER TABLE p1 DETACH PARTITION p11; ALTER TABLE p1 ATTACH PARTITION p11 FOR VALUES FROM "
      "(0) TO (60)",
      "ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY",
  };
  auto before = first;
  for (const char* sql : away) {
    cluster.sql(sql, database);
    if (sql == away[2])
      cluster.sql("ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (100) TO (200)", database);
    const auto now = read();
    ASSERT_EQ(now.size(), 3u);
    int others = 0;
    for (std::size_t i = 0; i < 3; ++i) others += model::came_again(before[i], now[i]) ? 1 : 0;
    EXPECT_EQ(others, 1) << sql;
    before = now;
  }
}

// As a program before this one has left them.
TEST(Catalog, RecordsOfEarlierVersionsAreRead) {
  model::Table table;
  table.schema = "s";
  table.name = "t";
  table.partitions = {{model::Oid{7}, 8, true}};
  std::string bytes = encode_table(table);
  ASSERT_EQ(bytes[0], 4);
  bytes[0] = 2;
  bytes.resize(bytes.size() - 4 - 4);  // when it was attached; the row filter
  EXPECT_EQ(decode_table(bytes).value(), table);
  table.partitions.clear();
  EXPECT_EQ(encode_table(table)[0], 2);
  table.row_filter = "(a > 1)";
  EXPECT_EQ(encode_table(table)[0], 3);
  EXPECT_EQ(decode_table(encode_table(table)).value(), table);
  table.published_by = {7, 1ull << 63};
  EXPECT_EQ(encode_table(table)[0], 5);
  EXPECT_EQ(decode_table(encode_table(table)).value(), table);
}

TEST(Catalog, TablesThatWereOutOfAPublicationAreTold) {
  harness::Cluster& cluster = harness::shared_cluster();
  const bool has_schemas = cluster.version() >= 15;
  const std::string database = cluster.create_database();
  cluster.sql(
      "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE "
      "(id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9); CREATE TABLE p2 PARTITION "
      "OF p FOR VALUES FROM (10) TO (19); CREATE PUBLICATION pub FOR TABLE t, p; CREATE "
      "PUBLICATION leaves FOR TABLE p1, p2; CREATE PUBLICATION everything FOR ALL TABLES" +
          std::string(has_schemas ? "; CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA public"
                                  : ""),
      database);
  auto connection = Connection::open({.url = cluster.url(database)});
  ASSERT_TRUE(connection.ok());
  struct Case {
    const char* table;
    const char* publication;
    const char* sql;
    bool was_out;
  };
  std::vector<Case> cases = {
      {"t", "pub", "VACUUM FREEZE pg_publication; VACUUM FULL pg_publication_rel", false},
      {"t", "pub", "ALTER PUBLICATION pub DROP TABLE p; ALTER PUBLICATION pub ADD TABLE p", false},
      {"p", "pub", "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (29)", false},
      {"t", "pub", "ALTER PUBLICATION pub DROP TABLE t; ALTER PUBLICATION pub ADD TABLE t", true},
      {"p1", "pub", "ALTER PUBLICATION pub DROP TABLE p; ALTER PUBLICATION pub ADD TABLE p", true},
      {"t", "pub", "DROP PUBLICATION pub; CREATE PUBLICATION pub FOR TABLE t, p", true},
      {"p", "leaves",
       "ALTER PUBLICATION leaves DROP TABLE p2; ALTER PUBLICATION leaves ADD TABLE p2", true},
      // Beside one that has all of it, what has a partition says nothing.
      {"p", "pub", "ALTER PUBLICATION pub ADD TABLE p1; ALTER PUBLICATION pub DROP TABLE p1",
       false},
      {"p", "everything", "CREATE TABLE p4 PARTITION OF p FOR VALUES FROM (30) TO (39)", false},
      {"t", "everything",
       "DROP PUBLICATION everything; CREATE PUBLICATION everything FOR ALL TABLES", true},
  };
  if (has_schemas) {
    cases.push_back({"t", "pub",
                     "ALTER PUBLICATION pub SET (publish = 'insert'); ALTER PUBLICATION pub SET "
                     "(publish = 'insert, update, delete, truncate')",
                     true});
    cases.push_back({"p", "of_schema", "CREATE TABLE u (id int)", false});
    cases.push_back({"t", "of_schema",
                     "ALTER PUBLICATION of_schema DROP TABLES IN SCHEMA public; ALTER PUBLICATION "
                     "of_schema ADD TABLES IN SCHEMA public",
                     true});
  }
  for (const Case& each : cases) {
    SCOPED_TRACE(std::string(each.publication) + ": " + each.sql);
    const model::Oid ids[] = {model::Oid{static_cast<std::uint32_t>(
        std::stoul(cluster.sql(fmt::format("SELECT '{}'::regclass::oid", each.table), database)))}};
    const std::string publications[] = {each.publication};
    const auto read = [&] { return read_tables(*connection, ids, publications).value().front(); };
    const model::Table before = read();
    EXPECT_FALSE(before.published_by.empty());
    // One after the other: VACUUM runs in no transaction.
    std::string_view rest = each.sql;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find("; "), rest.size());
      cluster.sql(std::string(rest.substr(0, end)), database);
      rest.remove_prefix(std::min(end + 2, rest.size()));
    }
    EXPECT_EQ(model::was_away(before, read()), each.was_out);
  }
}

}  // namespace
}  // namespace pgweir::postgres
