// Both sides' texts and hashes of every type's values, against a real server.
#include "engine/row_text.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "engine/batch_builder.h"
#include "harness/cluster.h"
#include "harness/scratch.h"

namespace pgweir::engine {
namespace {

using harness::shared_cluster;

constexpr const char* kSession =
    "SET timezone = 'UTC'; SET bytea_output = 'hex'; SET intervalstyle = 'postgres'; "
    "SET extra_float_digits = 3; SET lc_monetary = 'C';\n";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line != "SET") out.push_back(line);
  }
  return out;
}

struct TypeValues {
  const char* name;
  std::uint32_t oid;
  std::int32_t modifier;
  std::uint32_t base = 0;  // 0: the same
  std::vector<const char*> values;
};

constexpr std::int32_t numeric_modifier(int precision, int scale) {
  return (precision << 16 | (scale & 0x7ff)) + 4;
}

const std::vector<TypeValues>& type_values() {
  static const std::vector<TypeValues> kValues = {
      {"boolean", 16, -1, 0, {"true", "false"}},
      {"smallint", 21, -1, 0, {"7", "-32768", "32767"}},
      {"integer", 23, -1, 0, {"0", "-2147483648", "2147483647"}},
      {"bigint", 20, -1, 0, {"7", "-9223372036854775808", "9223372036854775807"}},
      {"oid", 26, -1, 0, {"0", "4294967295"}},
      {"real",
       700,
       -1,
       0,
       {"0", "-0", "0.5", "0.1", "3.4028235e+38", "1e-45", "100000", "1e10", "NaN", "Infinity",
        "-Infinity"}},
      {"double precision",
       701,
       -1,
       0,
       {"0", "-0", "0.1", "1", "1e15", "1e16", "1.7976931348623157e+308", "5e-324", "NaN",
        "Infinity", "-Infinity"}},
      {"numeric(4,2)", 1700, numeric_modifier(4, 2), 0, {"1.5", "99.99", "-0.50", "0"}},
      {"numeric(18,0)", 1700, numeric_modifier(18, 0), 0, {"999999999999999999", "-1", "0"}},
      {"numeric(38,10)",
       1700,
       numeric_modifier(38, 10),
       0,
       {"9999999999999999999999999999.9999999999", "0.0000000001", "-1", "0"}},
      {"numeric(38,18)",
       1700,
       numeric_modifier(38, 18),
       0,
       {"0.5", "-0.000000000000000001", "12345678901234567890.5", "0"}},
      {"numeric(18,18)", 1700, numeric_modifier(18, 18), 0, {"0.5", "-0.000000000000000001", "0"}},
      {"numeric(38,38)", 1700, numeric_modifier(38, 38), 0, {"0.99", "-0.99", "0"}},
      {"numeric(4,4)", 1700, numeric_modifier(4, 4), 0, {"0.5", "-0.9999", "0"}},
      {"numeric(39,2)", 1700, numeric_modifier(39, 2), 0, {"99999999999999999999.99", "NaN"}},
      {"numeric(5,-2)", 1700, numeric_modifier(5, -2), 0, {"1234500", "100"}},
      {"numeric(2,4)", 1700, numeric_modifier(2, 4), 0, {"0.0012"}},
      {"numeric",
       1700,
       -1,
       0,
       {"1", "1.0", "1.000", "0", "0.00", "-0.5", "100", "-12.50", "99999999999999999999999999999",
        "0.000000001"}},
      {"money", 790, -1, 0, {"-92233720368547758.08", "1.50"}},
      {"text",
       25,
       -1,
       0,
       {"plain", "", "żółć 🦆", "a\tb", "twelve bytes", "a text of 23 bytes long", "null"}},
      {"varchar(10)", 1043, 14, 0, {"ab  ", ""}},
      {"character(5)", 1042, 9, 0, {"ab", "abcde", ""}},
      {"\"char\"", 18, -1, 0, {"x"}},
      {"name", 19, -1, 0, {"pg_class"}},
      {"bytea", 17, -1, 0, {"\\x", "\\x00ff41"}},
      {"uuid",
       2950,
       -1,
       0,
       {"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "12345678-9abc-def0-1234-56789abcdef0"}},
      {"date",
       1082,
       -1,
       0,
       {"2026-02-28", "0001-01-01", "4713-11-24 BC", "10000-01-01", "5874897-12-31", "infinity",
        "-infinity"}},
      {"time", 1083, -1, 0, {"12:34:56.789", "00:00:00", "23:59:59.999999", "24:00:00"}},
      {"timetz", 1266, -1, 0, {"23:59:59.999999+05:30", "00:00:00+00"}},
      {"timestamp",
       1114,
       -1,
       0,
       {"2026-02-28 12:34:56.789", "1969-12-31 23:59:59.999999", "4713-11-24 00:00:00 BC",
        "0044-03-15 12:00:00.5 BC", "10000-01-01 00:00:00", "294247-01-10 04:00:54.775806",
        "infinity", "-infinity"}},
      {"timestamptz",
       1184,
       -1,
       0,
       {"2026-02-28 12:34:56+00", "2026-02-28 12:34:56.1+05:30", "4713-11-24 00:00:00+00 BC",
        "10000-01-01 00:00:00+00", "infinity", "-infinity"}},
      {"interval",
       1186,
       -1,
       0,
       {"1 year 2 mons 3 days 04:05:06.789", "00:00:00", "-1 years -2 mons +3 days -04:05:06",
        "1 mon", "-1 mon", "1 day", "-1 day", "-1 day +02:03:04", "1 day -02:03:04", "14 mons",
        "178000000 years", "100:00:00", "-00:00:00.000001", "-11 mons", "30 days 24:00:00"}},
      {"json", 114, -1, 0, {"{\"a\" : 1}", "null"}},
      {"jsonb", 3802, -1, 0, {"{\"a\": 1, \"b\": [1, 2]}"}},
      {"xml", 142, -1, 0, {"<a>1</a>"}},
      {"inet", 869, -1, 0, {"10.0.0.1", "10.0.0.0/8", "fe80::1/64", "::1"}},
      {"cidr", 650, -1, 0, {"10.0.0.0/8", "10.0.0.1/32"}},
      {"macaddr", 829, -1, 0, {"08:00:2b:01:02:03"}},
      {"macaddr8", 774, -1, 0, {"08:00:2b:01:02:03:04:05"}},
      {"bit(4)", 1560, 4, 0, {"0101"}},
      {"bit varying(8)", 1562, 8, 0, {"", "1"}},
      {"point", 600, -1, 0, {"(1,2)"}},
      {"path", 602, -1, 0, {"((1,2),(3,4))"}},
      {"tsvector", 3614, -1, 0, {"a:1 b:2"}},
      {"int[]", 1007, -1, 0, {"{1,2,NULL}", "{}", "{{1,2},{3,4}}"}},
      {"text[]", 1009, -1, 0, {"{\"a,b\",\"\",NULL}"}},
      {"inet[]", 1041, -1, 0, {"{10.0.0.1}"}},
      {"boolean[]", 1000, -1, 0, {"{t,f}"}},
      {"int4range", 3904, -1, 0, {"[1,10)", "empty"}},
      {"tstzrange", 3910, -1, 0, {"[2026-01-01 00:00:00+00,)"}},
      {"mood", 90'001, -1, 25, {"happy", "so so"}},
      {"pair", 90'002, -1, 25, {"(1,\"x y\")"}},
      {"price", 90'003, -1, 1700, {"12.50"}},
      {"flag", 90'004, -1, 16, {"true"}},
      {"address", 90'005, -1, 869, {"10.0.0.1"}},
      {"ratio", 90'006, -1, 701, {"0.1", "-0"}},
      {"words", 90'007, -1, 25, {"two words"}},
      {"pg_lsn", 3220, -1, 0, {"16/B374D848"}},
      {"xid", 28, -1, 0, {"4294967295"}},
      {"regclass", 2205, -1, 0, {"pg_class"}},
  };
  return kValues;
}

class RowText : public testing::Test {
 protected:
  RowText()
      : database_(duck::Database::open("", {}).value()), connection_(database_->connect().value()) {
    EXPECT_TRUE(connection_->execute("SET TimeZone = 'UTC'").ok());
    EXPECT_TRUE(connection_->add_function(kTextHashFunction, text_hash).ok());
  }

  // The value as the mirror keeps it, in the table t.
  void store(const ColumnType& type, const std::string& text) {
    ASSERT_TRUE(connection_->execute("CREATE OR REPLACE TABLE t (v " + type.duck_type + ")").ok());
    auto appender = connection_->appender("", "", "t").value();
    ASSERT_EQ(type.convert(type, text, *appender), Fit::kOk) << text;
    ASSERT_TRUE(appender->end_row().ok());
    ASSERT_TRUE(appender->flush().ok());
  }
  std::string ours(const std::string& expression) {
    const auto rows = connection_->query_texts("SELECT " + expression + " FROM t");
    EXPECT_TRUE(rows.ok()) << rows.error().text();
    return rows.ok() ? rows->rows[0][0].value_or("NULL") : "";
  }

  std::unique_ptr<duck::Database> database_;
  std::unique_ptr<duck::Connection> connection_;
};

}  // namespace

TEST_F(RowText, EveryTypeHasOneTextOnBothSides) {
  const std::string database = shared_cluster().create_database();
  shared_cluster().sql(
      "CREATE TYPE mood AS ENUM ('happy', 'so so'); CREATE TYPE pair AS (a int, b text);"
      "CREATE DOMAIN price AS numeric(10,2); CREATE DOMAIN flag AS boolean;"
      "CREATE DOMAIN address AS inet; CREATE DOMAIN ratio AS float8; CREATE DOMAIN words AS text",
      database);
  for (const TypeValues& each : type_values()) {
    SCOPED_TRACE(each.name);
    model::Column column = typed_column("v", each.oid, each.modifier);
    column.base_type = model::Oid{each.base != 0 ? each.base : each.oid};
    const ColumnType type = map_type(column, {});
    std::string values;
    for (const char* value : each.values)
      values += fmt::format("{}('{}'::{})", values.empty() ? "" : ", ", value, each.name);
    const std::string text = source_text(column, type, "v");
    const std::string from = fmt::format(" FROM (VALUES {}) AS t(v);\n", values);
    // What pgoutput sends is what COPY and the output function print.
    const auto sent = lines_of(shared_cluster().sql(
        std::string(kSession) + "SELECT '=' || CASE WHEN v IS NULL THEN '' ELSE concat(v) END" +
            from,
        database));
    const auto source = lines_of(shared_cluster().sql(
        std::string(kSession) + fmt::format("SELECT '=' || ({})", text) + from, database));
    const auto hashes = lines_of(shared_cluster().sql(
        std::string(kSession) +
            fmt::format("SELECT hashtextextended(({}) COLLATE \"C\", -123456789012345)", text) +
            from,
        database));
    ASSERT_EQ(sent.size(), each.values.size());
    ASSERT_EQ(source.size(), each.values.size());
    for (std::size_t i = 0; i < each.values.size(); ++i) {
      store(type, sent[i].substr(1));
      const std::string mirror = mirror_text(column, type, "v");
      EXPECT_EQ(ours(mirror), source[i].substr(1)) << each.values[i];
      EXPECT_EQ(wire_text(column, type, sent[i].substr(1)), source[i].substr(1)) << each.values[i];
      EXPECT_EQ(ours(fmt::format("{}({}, -123456789012345)", kTextHashFunction, mirror)), hashes[i])
          << each.values[i];
    }
  }
}

TEST_F(RowText, DifferentValuesHaveDifferentTexts) {
  // Of each type, all values in the list above are different, but for zeros and their signs.
  for (const TypeValues& each : type_values()) {
    model::Column column = typed_column("v", each.oid, each.modifier);
    column.base_type = model::Oid{each.base != 0 ? each.base : each.oid};
    const ColumnType type = map_type(column, {});
    if (type.duck_type != "FLOAT" && type.duck_type != "DOUBLE") continue;
    std::map<std::string, std::string> seen;
    for (const char* value : each.values) {
      const std::string text = wire_text(column, type, value);
      if (std::string(value) == "-0") {
        EXPECT_EQ(text, wire_text(column, type, "0"));
        continue;
      }
      EXPECT_TRUE(seen.emplace(text, value).second) << each.name << ": " << value;
    }
  }
}

TEST_F(RowText, TheHashIsPostgresqlsForEveryLength) {
  std::mt19937_64 random(harness::test_seed());
  std::string select = "SELECT hashtextextended(t COLLATE \"C\", s) FROM (VALUES ";
  std::vector<std::int64_t> expected;
  for (std::size_t length = 0; length < 80; ++length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i)
      text += static_cast<char>('#' + random() % ('~' - '#'));  // neither a quote nor a space
    const auto seed = static_cast<std::int64_t>(length % 3 == 0 ? 0 : random());
    std::string quoted;
    for (const char c : text) quoted += c == '\'' ? std::string("''") : std::string(1, c);
    select += fmt::format("{}('{}', ('{}')::int8)", length == 0 ? "" : ", ", quoted, seed);
    expected.push_back(text_hash(text, seed));
  }
  const auto hashes = lines_of(shared_cluster().sql(select + ") AS v(t, s)"));
  ASSERT_EQ(hashes.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(hashes[i], std::to_string(expected[i]));
}

TEST_F(RowText, NullStaysNull) {
  ASSERT_TRUE(
      connection_->execute("CREATE TABLE t AS SELECT NULL::VARCHAR AS v, 1::BIGINT AS n").ok());
  EXPECT_EQ(ours(fmt::format("{}(v, n)", kTextHashFunction)), "NULL");
  EXPECT_EQ(ours(fmt::format("{}('x', NULL::BIGINT)", kTextHashFunction)), "NULL");
  // In a vector of many rows, too, where some are NULL.
  EXPECT_EQ(ours(fmt::format("(SELECT count({}(CASE WHEN i % 3 = 0 THEN NULL ELSE 'x' || i END, i))"
                             " FROM range(9000) AS r(i))",
                             kTextHashFunction)),
            "6000");
}

}  // namespace pgweir::engine
