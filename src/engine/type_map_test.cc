// What becomes of texts as PostgreSQL prints them, without a server: extremes, and texts that no
// server would send. tests/cases/types_test.cc has the longer list, on a real one, and makes
// docs/types.md.
#include "engine/type_map.h"

#include <gtest/gtest.h>

#include "engine/batch_builder.h"

namespace pgweir::engine {
namespace {

constexpr const char* kRefused = "(error)";
constexpr const char* kUnreadable = "(error: not as PostgreSQL prints it)";

struct Example {
  const char* text;    // as PostgreSQL prints the value
  const char* stored;  // as DuckDB prints it; nullptr: the same text
};

struct TypeCase {
  const char* name;
  std::uint32_t oid;
  std::int32_t modifier;
  const char* duck_type;
  std::vector<Example> examples;
};

constexpr std::int32_t numeric_modifier(int precision, int scale) {
  return (precision << 16 | (scale & 0x7ff)) + 4;
}

const std::vector<TypeCase>& type_cases() {
  static const std::vector<TypeCase> cases = {
      {"boolean", 16, -1, "BOOLEAN", {{"t", "true"}, {"f", "false"}}},
      {"smallint", 21, -1, "SMALLINT", {{"-32768", nullptr}, {"32767", nullptr}}},
      {"integer", 23, -1, "INTEGER", {{"-2147483648", nullptr}, {"2147483647", nullptr}}},
      {"bigint",
       20,
       -1,
       "BIGINT",
       {{"-9223372036854775808", nullptr}, {"9223372036854775807", nullptr}}},
      {"oid", 26, -1, "BIGINT", {{"0", nullptr}, {"4294967295", nullptr}}},
      {"real",
       700,
       -1,
       "FLOAT",
       {{"0.1", nullptr},
        {"3.4028235e+38", "3.4028235e+38"},
        {"1e-45", nullptr},
        {"NaN", "nan"},
        {"Infinity", "inf"},
        {"-Infinity", "-inf"},
        {"-0", "0.0"}}},
      {"double precision",
       701,
       -1,
       "DOUBLE",
       {{"0.1", nullptr},
        {"1.7976931348623157e+308", nullptr},
        {"5e-324", nullptr},
        {"NaN", "nan"},
        {"Infinity", "inf"},
        {"-Infinity", "-inf"},
        {"-0", "0.0"}}},
      {"numeric(4,2)",
       1700,
       numeric_modifier(4, 2),
       "DECIMAL(4,2)",
       {{"99.99", nullptr}, {"-0.50", nullptr}, {"NaN", kRefused}}},
      {"numeric(18,0)",
       1700,
       numeric_modifier(18, 0),
       "DECIMAL(18,0)",
       {{"999999999999999999", nullptr}, {"-999999999999999999", nullptr}}},
      {"numeric(38,10)",
       1700,
       numeric_modifier(38, 10),
       "DECIMAL(38,10)",
       {{"9999999999999999999999999999.9999999999", nullptr},
        {"-9999999999999999999999999999.9999999999", nullptr},
        {"0.0000000001", nullptr}}},
      {"numeric(39,2)",
       1700,
       numeric_modifier(39, 2),
       "VARCHAR",
       {{"9999999999999999999999999999999999999.99", nullptr}, {"NaN", nullptr}}},
      {"numeric(5,-2)", 1700, numeric_modifier(5, -2), "VARCHAR", {{"1234500", nullptr}}},
      {"numeric(2,4)", 1700, numeric_modifier(2, 4), "VARCHAR", {{"0.0012", nullptr}}},
      {"numeric",
       1700,
       -1,
       "DECIMAL(38,9)",
       {{"1", "1.000000000"},
        {"-12.5", "-12.500000000"},
        {"0.000000001", nullptr},
        {"0.0000000010", "0.000000001"},
        {"0.0000000001", kRefused},
        {"99999999999999999999999999999", "99999999999999999999999999999.000000000"},
        {"100000000000000000000000000000", kRefused},
        {"NaN", kRefused},
        {"Infinity", kRefused}}},
      {"money", 790, -1, "VARCHAR", {{"-$92,233,720,368,547,758.08", nullptr}}},
      {"text",
       25,
       -1,
       "VARCHAR",
       {{"", nullptr}, {"żółć 🦆", nullptr}, {"\xff", kUnreadable}}},
      {"character varying(10)", 1043, 14, "VARCHAR", {{"ab  ", nullptr}}},
      {"character(5)", 1042, 9, "VARCHAR", {{"ab   ", "ab"}}},
      {"\"char\"", 18, -1, "VARCHAR", {{"x", nullptr}}},
      {"name", 19, -1, "VARCHAR", {{"pg_class", nullptr}}},
      {"bytea", 17, -1, "BLOB", {{"\\x", ""}, {"\\x00ff41", "\\x00\\xFFA"}, {"abc", kUnreadable}}},
      {"uuid",
       2950,
       -1,
       "UUID",
       {{"00000000-0000-0000-0000-000000000000", nullptr},
        {"ffffffff-ffff-ffff-ffff-ffffffffffff", nullptr},
        {"12345678-9abc-def0-1234-56789abcdef0", nullptr}}},
      {"date",
       1082,
       -1,
       "DATE",
       {{"2026-02-28", nullptr},
        {"4713-11-24 BC", "4713-11-24 (BC)"},
        {"0001-01-01", nullptr},
        {"5874897-12-31", nullptr},
        {"infinity", nullptr},
        {"-infinity", nullptr}}},
      {"time",
       1083,
       -1,
       "TIME",
       {{"00:00:00", nullptr}, {"23:59:59.999999", nullptr}, {"24:00:00", nullptr}}},
      {"time with time zone", 1266, -1, "VARCHAR", {{"23:59:59.999999+05:30", nullptr}}},
      {"timestamp",
       1114,
       -1,
       "TIMESTAMP",
       {{"2026-02-28 12:34:56.789", nullptr},
        {"4713-11-24 00:00:00 BC", "4713-11-24 (BC) 00:00:00"},
        {"1969-12-31 23:59:59.999999", nullptr},
        {"294247-01-10 04:00:54.775806", nullptr},
        {"294247-01-10 04:00:54.775807", kRefused},
        {"294276-12-31 23:59:59.999999", kRefused},
        {"infinity", nullptr},
        {"-infinity", nullptr}}},
      {"timestamp with time zone",
       1184,
       -1,
       "TIMESTAMP WITH TIME ZONE",
       {{"2026-02-28 12:34:56+00", nullptr},
        {"2026-02-28 12:34:56+05:30", "2026-02-28 07:04:56+00"},
        {"1900-01-01 00:00:00-00:25:21", "1900-01-01 00:25:21+00"},
        {"4713-11-24 00:00:00+00 BC", "4713-11-24 (BC) 00:00:00+00"},
        {"infinity", nullptr},
        {"294276-12-31 23:59:59.999999+00", kRefused}}},
      {"interval",
       1186,
       -1,
       "INTERVAL",
       {{"1 year 2 mons 3 days 04:05:06.789", "1 year 2 months 3 days 04:05:06.789"},
        {"-1 years -2 mons +3 days -04:05:06", "-1 year -2 months 3 days -04:05:06"},
        {"00:00:00", nullptr},
        {"30 days", nullptr},
        {"1 mon", "1 month"},
        {"178000000 years", nullptr},
        {"100:00:00", nullptr},
        {"infinity", kRefused}}},
      {"json", 114, -1, "VARCHAR", {{"{\"a\" : 1}", nullptr}}},
      {"jsonb", 3802, -1, "VARCHAR", {{"{\"a\": 1}", nullptr}}},
      {"xml", 142, -1, "VARCHAR", {{"<a/>", nullptr}}},
      {"inet, cidr, macaddr", 869, -1, "VARCHAR", {{"10.0.0.0/8", nullptr}}},
      {"bit, bit varying", 1560, -1, "VARCHAR", {{"0101", nullptr}}},
      {"point, line, box, path, polygon, circle", 600, -1, "VARCHAR", {{"(1,2)", nullptr}}},
      {"tsvector, tsquery", 3614, -1, "VARCHAR", {{"'a':1 'b':2", nullptr}}},
      {"arrays", 1007, -1, "VARCHAR", {{"{1,2,NULL}", nullptr}}},
      {"ranges, multiranges", 3904, -1, "VARCHAR", {{"[1,10)", nullptr}}},
      {"enums, composites, any other type", 99999, -1, "VARCHAR", {{"happy", nullptr}}},
      {"pg_lsn, xid, txid_snapshot, ...", 3220, -1, "VARCHAR", {{"16/B374D848", nullptr}}},
  };
  return cases;
}

std::string stored(duck::Connection& connection, const ColumnType& type, const std::string& text) {
  EXPECT_TRUE(connection.execute("CREATE OR REPLACE TABLE t (v " + type.duck_type + ")").ok());
  auto appender = connection.appender("", "", "t").value();
  const Fit fit = type.convert(type, text, *appender);
  if (fit == Fit::kOutOfRange) return kRefused;
  if (fit == Fit::kMalformed) return kUnreadable;
  EXPECT_TRUE(appender->end_row().ok());
  EXPECT_TRUE(appender->flush().ok());
  const auto rows = connection.query_texts("SELECT v FROM t");
  EXPECT_TRUE(rows.ok()) << rows.error().text();
  return rows->rows[0][0].value_or("NULL");
}

TEST(TypeMap, EveryTypeKeepsItsValues) {
  const auto database = duck::Database::open("", {}).value();
  const auto connection = database->connect().value();
  ASSERT_TRUE(connection->execute("SET TimeZone = 'UTC'").ok());
  for (const TypeCase& type_case : type_cases()) {
    const ColumnType type = map_type(typed_column("v", type_case.oid, type_case.modifier), {});
    EXPECT_EQ(type.duck_type, type_case.duck_type) << type_case.name;
    for (const Example& example : type_case.examples) {
      const std::string expected = example.stored != nullptr ? example.stored : example.text;
      EXPECT_EQ(stored(*connection, type, example.text), expected)
          << type_case.name << " '" << example.text << "'";
    }
  }
}

TEST(TypeMap, DomainsAreKeptAsTheirBaseType) {
  model::Column column = typed_column("v", 54321);
  column.base_type = model::Oid{1700};
  EXPECT_EQ(map_type(column, {}).duck_type, "DECIMAL(38,9)");
  EXPECT_EQ(map_type(column, {.numeric_precision = 20, .numeric_scale = 4}).duck_type,
            "DECIMAL(20,4)");
  column.base_type = model::Oid{23};
  EXPECT_EQ(map_type(column, {}).duck_type, "INTEGER");
}

TEST(TypeMap, TextsThatPostgresNeverPrintsAreRefused) {
  const auto database = duck::Database::open("", {}).value();
  const auto connection = database->connect().value();
  const struct {
    std::uint32_t oid;
    const char* text;
  } cases[] = {{16, "true"},
               {23, ""},
               {23, "1x"},
               {23, "2147483648"},
               {701, "1.5 "},
               {1700, "1e5"},
               {1700, "-"},
               {1082, "28.02.2026"},
               {1082, "2026-13-01"},
               {1082, "2026-02-28x"},
               {1083, "25:00:00"},
               {1114, "2026-02-28"},
               {1184, "2026-02-28 12:00"},
               {1186, "P1Y"},
               {1186, "1 fortnight"},
               {2950, "12345678"},
               {17, "\\x0"},
               {17, "\\xzz"}};
  for (const auto& refused : cases) {
    const ColumnType type = map_type(typed_column("v", refused.oid), {});
    EXPECT_EQ(stored(*connection, type, refused.text), kUnreadable) << refused.text;
  }
}

}  // namespace
}  // namespace pgweir::engine
