// Every type and every kind of table: what the first snapshot read and what the stream sent give
// the same mirror, and the mirror is the source.
//
// Method: each type's values stand in a table of their own before the start, and are inserted and
//         updated afterwards. The table of docs/types.md is made of the same list and of what the
//         mirrors answered: PGWEIR_WRITE_DOCS=1 writes it, otherwise it is compared.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "harness/scenario.h"

namespace pgweir::harness {
namespace {
using testing::HasSubstr;

// Of PostgreSQL, whose answers stand in docs/types.md.
constexpr int kDocumentedVersion = 15;
constexpr const char* kYaml = "engine: {memory: 256MiB, mirrors: all}\n";

struct Type {
  const char* name;  // by PostgreSQL
  std::vector<const char*> values;
  // How the mirror prints them; nothing where it prints them as PostgreSQL does.
  std::vector<const char*> kept = {};
  int since = 14;  // the first version of PostgreSQL that has it
  const char* note = "";
  std::vector<const char*> refused = {};  // each stops the table's mirror, with a clear error
};

std::vector<Type> all_types() {
  return {
      {"boolean", {"true", "false"}},
      {"smallint", {"7", "-32768", "32767"}},
      {"integer", {"7", "-2147483648", "2147483647"}},
      {"bigint", {"7", "-9223372036854775808", "9223372036854775807"}},
      {"oid", {"0", "4294967295"}},
      {"real",
       {"0.5", "NaN", "Infinity", "-Infinity", "-0"},
       {"0.5", "nan", "inf", "-inf", "0.0"},
       14,
       "-0 becomes 0: equal in SQL, and DuckDB's compression does not tell them apart"},
      {"double precision",
       {"0.1", "1.7976931348623157e+308", "NaN", "-Infinity", "-0"},
       {"0.1", "1.7976931348623157e+308", "nan", "-inf", "0.0"},
       14,
       "-0 becomes 0"},
      {"numeric(4,2)", {"1.50", "99.99", "-99.99", "0"}, {}, 14, "NaN has no place", {"NaN"}},
      {"numeric(18,0)", {"999999999999999999", "-999999999999999999"}},
      {"numeric(38,10)", {"9999999999999999999999999999.9999999999", "0.0000000001", "-1"}},
      {"numeric(39,2)",
       {"9999999999999999999999999999999999999.99", "NaN", "1.5"},
       {},
       14,
       "more than 38 digits"},
      {"numeric(5,-2)", {"1234500", "100"}, {}, 15, "negative scale"},
      {"numeric(2,4)", {"0.0012"}, {}, 15, "scale above the precision"},
      {"numeric",
       {"1", "-12.5", "99999999999999999999999999999", "0.000000001", "0.0000000010"},
       {"1.000000000", "-12.500000000", "99999999999999999999999999999.000000000", "0.000000001",
        "0.000000001"},
       14,
       "as `source.numeric` says; what does not fit is an error",
       {"0.0000000001", "100000000000000000000000000000", "NaN", "Infinity", "-Infinity",
        "1e131071"}},
      {"money",
       {"-92233720368547758.08", "1.50"},
       {},
       14,
       "its form depends on the server's locale"},
      {"text", {"plain", "", "żółć 🦆", "a\tb\\c", "it''s", "\\N"}, {}, 14, "UTF-8"},
      {"varchar(10)", {"ab  ", ""}},
      {"character(5)",
       {"ab", "abcde"},
       {},
       14,
       "without its padding, which PostgreSQL ignores too"},
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
       {"2026-02-28 12:34:56.789", "1969-12-31 23:59:59.999999", "infinity", "-infinity"},
       {},
       14,
       "DuckDB's end in the year 294247",
       {"294247-01-10 04:00:54.775807", "294276-12-31 23:59:59.999999"}},
      {"timestamptz",
       {"2026-02-28 12:34:56+00", "2026-02-28 12:34:56+05:30", "infinity"},
       {"2026-02-28 12:34:56+00", "2026-02-28 07:04:56+00", "infinity"},
       14,
       "DuckDB's end in the year 294247",
       {"294276-12-31 23:59:59.999999+00"}},
      {"interval",
       {"1 year 2 mons 3 days 04:05:06.789", "00:00:00", "-1 years -2 mons +3 days -04:05:06"},
       {"1 year 2 months 3 days 04:05:06.789", "00:00:00", "-1 year -2 months 3 days -04:05:06"},
       14,
       "months, days and microseconds apart, as in PostgreSQL; infinity (PostgreSQL 17) has no "
       "place"},
      {"json", {"{\"a\" : 1}", "null"}, {}, 14, "`->` and `->>` work on it"},
      {"jsonb", {"{\"a\": 1, \"b\": [1, 2]}"}, {}, 14, "`->` and `->>` work on it"},
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
      {"int[]", {"{1,2,NULL}", "{}", "{{1,2},{3,4}}"}, {}, 14, "arrays of every type are text"},
      {"text[]", {"{\"a,b\",\"\",NULL}"}},
      {"int4range", {"[1,10)", "empty"}, {}, 14, "ranges and multiranges are text"},
      {"tstzrange", {"[2026-01-01 00:00:00+00,)"}},
      {"int4multirange", {"{[1,3),[5,7)}"}},
      {"mood", {"happy", "so so"}, {}, 14, "an enum, also with values added later"},
      {"pair", {"(1,\"x y\")"}, {}, 14, "a composite type"},
      {"positive", {"1", "2147483647"}, {}, 14, "a domain over integer"},
      {"small", {"1", "99"}, {}, 14, "a domain over a domain"},
      {"price",
       {"12.50"},
       {"12.500000000"},
       14,
       "a domain over numeric(10,2): its modifier does not reach the stream"},
      {"good_mood", {"happy"}, {}, 14, "a domain over an enum"},
      {"pg_lsn", {"16/B374D848"}},
      {"xid", {"4294967295"}},
      {"txid_snapshot", {"10:20:10,14"}},
      {"regclass", {"pg_class"}},
      {"regtype", {"integer", "character varying"}},
      {"regproc", {"now"}},
      {"regprocedure", {"abs(integer)"}},
      {"regoperator", {"+(integer,integer)"}},
      {"regnamespace", {"pg_catalog"}},
      {"regrole", {"postgres"}},
      {"regconfig", {"english"}},
      {"xid8", {"0", "18446744073709551615"}},
      {"cid", {"4294967295"}},
      {"tid", {"(4294967295,65535)"}},
      {"pg_snapshot", {"10:20:10,14"}},
      {"oidvector", {"1 2 3"}},
      {"int2vector", {"1 2"}},
      {"refcursor", {"c"}},
      {"jsonpath", {"$.\"a\"[*]?(@ > 1)"}},
      {"real", {"1e-45", "3.4028235e+38", "-1.5e-10"}},
      {"double precision",
       {"5e-324", "2.2250738585072014e-308", "1e+15"},
       {"5e-324", "2.2250738585072014e-308", "1000000000000000.0"}},
      {"numeric(1,0)", {"9", "-9"}},
      {"numeric(1000,500)", {"NaN", "1e400", "-1e-400"}},
      {"character(3)", {"", "é"}},
      {"varchar", {"trailing \n newline", "\u00e9"}},
      {"text", {"\\x41", "NULL", "\"quoted\"", "{}", "a\rb\x01\x7f", " "}},
      {"date", {"0001-12-31 BC", "1582-10-04"}, {"0001-12-31 (BC)", "1582-10-04"}},
      {"time(0)", {"12:34:57"}},
      {"timetz", {"24:00:00-15:59:59", "12:00:00+15:59:59"}},
      {"timestamp",
       {"0044-03-15 12:00:00 BC", "294246-12-31 23:59:59.999999", "0001-01-01 00:00:00"},
       {"0044-03-15 (BC) 12:00:00", "294246-12-31 23:59:59.999999", "0001-01-01 00:00:00"}},
      {"timestamptz",
       {"1800-01-01 00:00:00 Europe/Amsterdam", "2026-06-30 23:59:60+00", "-infinity"}},
      {"interval",
       {"178000000 years", "-00:00:00.000001", "1 mon -1 days +00:00:01", "30 days"},
       {"178000000 years", "-00:00:00.000001", "1 month -1 day 00:00:01", "30 days"}},
      {"interval year to month", {"1 year 2 mons"}, {"1 year 2 months"}},
      {"json",
       {"{\"b\":1,\"a\":2,\"a\":3}", "12345678901234567890123456789.000", "[[[[[[]]]]]]",
        "\"\\ud83e\\udd86\""}},
      {"jsonb", {"{\"a\": 3, \"b\": 1}", "1e+400", "12345678901234567890.5", "\"\""}},
      {"bytea", {"\\x000102fdfeff"}, {"\\x00\\x01\\x02\\xFD\\xFE\\xFF"}},
      {"bit(1)", {"1"}},
      {"bit varying", {"101010101010101010101010101010101010"}},
      {"inet", {"::", "255.255.255.255", "10.1.2.3/8"}, {"::", "255.255.255.255", "10.1.2.3/8"}},
      {"cidr", {"::/0", "10.1.2.3/32"}},
      {"circle", {"<(NaN,Infinity),1>"}},
      {"path", {"[(1,2),(3,4)]"}},
      {"tsvector", {"''a b'':1A,2B ''c''"}},
      {"tsquery", {"!a <-> (b | c)"}},
      {"int8range", {"(,)", "[1,9223372036854775807)"}},
      {"numrange", {"[1.5,2.50)", "(,0]", "empty"}},
      {"daterange", {"[2026-01-01,infinity)"}},
      {"tsrange", {"[\"2026-01-01 00:00:00\",\"2026-01-02 00:00:00\"]"}},
      {"int8multirange", {"{}", "{(,1),[5,)}"}},
      {"nummultirange", {"{[1.5,2.5)}"}},
      {"datemultirange", {"{[2026-01-01,2026-02-01)}"}},
      {"tsmultirange", {"{}"}},
      {"tstzmultirange", {"{}"}},
      {"boolean[]", {"{t,f,NULL}"}},
      {"numeric[]", {"{1.50,NaN,-1e-20}"}},
      {"bytea[]", {"{\"\\\\x00\",\"\\\\xff\"}"}},
      {"timestamptz[]", {"{\"2026-02-28 12:34:56+00\"}"}},
      {"jsonb[]", {"{\"{\\\"a\\\": 1}\"}"}},
      {"uuid[]", {"{12345678-9abc-def0-1234-56789abcdef0}"}},
      {"int[]", {"[2:3]={1,2}", "[0:1][-1:0]={{1,2},{3,NULL}}"}},
      {"text[][]", {"{{a,\"b c\"},{NULL,\"NULL\"}}"}},
      {"mood[]", {"{happy,\"so so\"}"}},
      {"pair[]", {"{\"(1,\\\"x y\\\")\",\"(,)\"}"}},
      {"nested", {"(\"(1,x)\",\"{1,2}\")"}, {}, 14, "a composite of composites and arrays"},
      {"numbers", {"{1,2}", "{}"}, {}, 14, "a domain over an array"},
      {"citext", {"MiXed"}, {}, 14, "an extension"},
      {"hstore", {"\"a\"=>\"1\", \"b\"=>NULL"}, {}, 14, "an extension"},
      {"ltree", {"top.middle.leaf"}, {}, 14, "an extension"},
      {"cube", {"(1, 2),(3, 4)"}, {}, 14, "a type of an extension that is not known here"},
  };
}

const std::vector<Type>& types() {
  static const std::vector<Type> kTypes = [] {
    std::vector<Type> there = all_types();
    std::erase_if(there, [](const Type& type) { return type.since > default_version(); });
    return there;
  }();
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

// As it stands in a table of Markdown.
std::string shown(const std::string& text) {
  constexpr std::size_t kLong = 60;
  if (text.empty()) return "(empty)";
  if (text.size() > kLong && text.find_first_not_of("0123456789.-") == std::string::npos)
    return fmt::format("({} digits)", std::count_if(text.begin(), text.end(), [](unsigned char c) {
                         return std::isdigit(c) != 0;
                       }));
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c == '|' ? "\\|" : std::string(1, c);
  }
  return "`" + out + "`";
}

// What a type's examples give in the table: of all entries of its name.
struct DocumentedType {
  std::string name;
  std::string duck_type;
  std::string examples;
  std::string note;
};

// What stands between two texts, and is in none of them.
constexpr char kBetween = '\x1e';

std::vector<DocumentedType> documented_types(Scenario& scenario) {
  // For each value in turn: what the output function prints, which is what the stream has, and the
  // cast to text, which is how the mirror prints it, if the list does not say otherwise. One
  // question to either side.
  std::string questions = "SET timezone = 'UTC';", mirror_questions;
  for (std::size_t type = 0; type < types().size(); ++type) {
    questions += fmt::format(
        "SELECT coalesce(string_agg(format('%s', v) || E'\\x1e' || v::text, E'\\x1e' ORDER BY id), "
        "'') || E'\\x1e' FROM {} WHERE id BETWEEN 2 AND 100;",
        table_of(type));
    for (const char* value : types()[type].refused)
      questions += fmt::format("SELECT '{}'::{}::text || E'\\x1e';", value, types()[type].name);
    mirror_questions += fmt::format("{}SELECT DISTINCT {} AS i, typeof(v) FROM {}",
                                    type == 0 ? "" : " UNION ALL ", type, table_of(type));
  }
  std::stringstream printed(scenario.sql(questions));
  std::stringstream duck_types(scenario.ours(mirror_questions + " ORDER BY i"));
  const auto next = [&](char end, std::stringstream& from) {
    std::string text;
    std::getline(from, text, end);
    // Of the line in front.
    return text.starts_with('\n') && end == kBetween ? text.substr(1) : text;
  };
  std::vector<DocumentedType> out;
  for (const Type& type : types()) {
    const auto found = std::find_if(out.begin(), out.end(),
                                    [&](const auto& known) { return known.name == type.name; });
    DocumentedType& row = found == out.end() ? out.emplace_back() : *found;
    row.name = type.name;
    if (*type.note != 0) row.note = type.note;
    next('|', duck_types);
    row.duck_type = next(';', duck_types);
    const auto add = [&](const std::string& example) {
      row.examples += (row.examples.empty() ? "" : " · ") + example;
    };
    for (std::size_t value = 0; value < type.values.size(); ++value) {
      const std::string text = next(kBetween, printed), cast = next(kBetween, printed);
      const std::string kept = type.kept.empty() ? cast : type.kept[value];
      add(shown(text) + (kept == text ? "" : " → " + shown(kept)));
    }
    for (std::size_t value = 0; value < type.refused.size(); ++value)
      add(shown(next(kBetween, printed)) + " → (error)");
  }
  return out;
}

void expect_documented(const std::vector<DocumentedType>& documented) {
  std::string table =
      "| PostgreSQL | DuckDB | examples: as PostgreSQL prints it → as it is kept | |\n"
      "| --- | --- | --- | --- |\n";
  for (const DocumentedType& row : documented)
    table +=
        fmt::format("| {} | {} | {} | {} |\n", row.name, row.duck_type, row.examples, row.note);
  const std::string path = std::string(PGWEIR_SOURCE) + "/docs/types.md";
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  const std::string found = content.str();
  const std::string begin = "<!-- table: tests/cases/types_test.cc -->\n";
  const std::size_t at = found.find(begin);
  ASSERT_NE(at, std::string::npos);
  const std::string made = found.substr(0, at + begin.size()) + table;
  if (std::getenv("PGWEIR_WRITE_DOCS") != nullptr) {
    std::ofstream(path) << made;
  } else {
    EXPECT_EQ(found, made) << "run with PGWEIR_WRITE_DOCS=1 to bring docs/types.md up to date";
  }
}

// Both sides answer the same to a SELECT.
void expect_same(Scenario& scenario, const std::string& select) {
  std::string postgres = scenario.sql(select);
  std::replace(postgres.begin(), postgres.end(), '\n', ';');
  EXPECT_EQ(scenario.ours(select), postgres) << select;
}

// What the types in the list are made of.
constexpr const char* kMadeTypes =
    "CREATE TYPE mood AS ENUM ('happy', 'so so'); CREATE TYPE pair AS (a int, b text);"
    "CREATE DOMAIN positive AS int CHECK (value > 0);"
    "CREATE DOMAIN small AS positive CHECK (value < 100); CREATE DOMAIN price AS numeric(10,2);"
    "CREATE DOMAIN good_mood AS mood CHECK (value = 'happy');"
    "CREATE TYPE nested AS (p pair, n int[]); CREATE DOMAIN numbers AS int[];"
    "CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;"
    "CREATE EXTENSION cube;\n";

}  // namespace

TEST(Types, TheSameFromSnapshotInsertAndUpdate) {
  std::string setup = kMadeTypes;
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
  if (default_version() == kDocumentedVersion) expect_documented(documented_types(scenario));
  // verify has a text of its own for each of them.
  const io::Finished verified = scenario.command({"verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
  EXPECT_EQ(scenario.program().terminate(), 0);
}

// From the stream and from a snapshot: the table's mirror says which value it was, and the others
// go on.
TEST(Types, WhatDoesNotFitStopsItsTableAlone) {
  std::string setup = "CREATE TABLE fits (id int PRIMARY KEY);\n", inserts;
  std::vector<std::string> tables;
  for (const Type& type : types()) {
    for (const char* value : type.refused) {
      for (std::string* where : {&setup, &inserts}) {
        const std::string table = fmt::format("refused_{}", tables.size());
        tables.push_back(table);
        setup += fmt::format("CREATE TABLE {} (id int PRIMARY KEY, v {});\n", table, type.name);
        *where += fmt::format("INSERT INTO {} VALUES (4711, '{}');\n", table, value);
      }
    }
  }
  Scenario scenario(setup, kYaml);
  ASSERT_TRUE(scenario.start());
  ASSERT_TRUE(scenario.change(inserts + "INSERT INTO fits VALUES (1)"));
  for (const std::string& table : tables) {
    const std::string answer = scenario.ours("SELECT count(*) FROM " + table);
    EXPECT_THAT(answer, HasSubstr("table public." + table + " is stopped"));
    EXPECT_THAT(answer, HasSubstr("4711"));
  }
  EXPECT_EQ(scenario.ours("SELECT id FROM fits"), "1");
  EXPECT_EQ(scenario.program().terminate(), 0);
}

// PostgreSQL 16 and 18 come with it in the tests.
TEST(Types, VectorsAreText) {
  Cluster cluster({.version = 16, .complete = true});
  ScratchFolder scratch;
  cluster.sql(
      "CREATE EXTENSION vector; CREATE TABLE t (id int PRIMARY KEY, v vector, w vector(3), h "
      "halfvec(2), s sparsevec(5)); INSERT INTO t VALUES (1, '[1,2.5,-3e-5]', '[1,2,3]', "
      "'[0.5,-1]', '{1:1.5,3:2}/5'), (2, NULL, NULL, NULL, NULL)");
  Program program(scratch.path(),
                  fmt::format("source: {{url: \"{}\", tables: [public.*]}}\ndata: {}/data\n{}",
                              cluster.url(), scratch.path(), kYaml));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  cluster.sql(
      "INSERT INTO t SELECT 3, v, w, h, s FROM t WHERE id = 1; UPDATE t SET (v, w, h, s) = (SELECT "
      "v, w, h, s FROM t WHERE id = 1) WHERE id = 2");
  ASSERT_TRUE(program.wait_position(cluster.sql("SELECT pg_current_wal_lsn()")));
  const std::string row = cluster.sql("SELECT v, w, h, s FROM t WHERE id = 1");
  EXPECT_EQ(program.sql("SELECT v, w, h, s FROM t ORDER BY id"), row + ";" + row + ";" + row);
  EXPECT_EQ(program.sql("SELECT DISTINCT typeof(v) FROM t"), "VARCHAR");
  EXPECT_EQ(run_program({"-c", program.config_file(), "verify"}).exit_code, 0);
  EXPECT_EQ(program.terminate(), 0);
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
