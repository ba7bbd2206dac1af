#include "debezium/value_type.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace pgweir::debezium {
namespace {

constexpr std::int32_t numeric_modifier(int precision, int scale) {
  return (precision << 16 | (scale & 0x7ff)) + 4;
}

model::Column column(std::uint32_t type, std::int32_t modifier = -1) {
  model::Column out;
  out.name = "c";
  out.type = out.base_type = model::Oid{type};
  out.type_modifier = out.facts.modifier = modifier;
  out.facts.name = type == 25 ? "text" : "a type";
  return out;
}

// A type that an extension or a user has made: text is underneath.
model::Column named(std::string name, std::vector<std::string> labels = {}) {
  model::Column out = column(25);
  out.type = model::Oid{16'999};
  out.facts.name = std::move(name);
  out.facts.labels = std::move(labels);
  return out;
}

model::Column array_of(std::uint32_t element, std::int32_t modifier = -1,
                       std::vector<std::string> labels = {}) {
  model::Column out = column(1'000, modifier);
  out.facts.element = model::Oid{element};
  out.facts.labels = std::move(labels);
  return out;
}

std::string encoded(const ValueType& type, std::string_view text) {
  std::string out;
  return type.append(text, out) ? out : "refused";
}

struct TextCase {
  std::string_view text;
  std::string_view expected;
};

// The column, and for each of PostgreSQL's texts the JSON that Debezium 3.6.3 sent.
struct TypeCase {
  model::Column column;
  std::vector<TextCase> values;
  std::string_view schema;  // optional, without a name of the field
  ValueOptions options;
};

void expect(const std::vector<TypeCase>& cases) {
  for (const TypeCase& each : cases) {
    const std::optional<ValueType> type = ValueType::of(each.column, each.options);
    ASSERT_TRUE(type) << each.schema;
    EXPECT_EQ(type->schema(true, {}, {}), each.schema);
    for (const auto& [text, expected] : each.values)
      EXPECT_EQ(encoded(*type, text), expected) << each.schema << " " << text;
  }
}

TEST(ValueType, NumbersAndBooleans) {
  expect({
      {column(16),
       {{"t", "true"}, {"f", "false"}, {"x", "refused"}},
       R"({"type":"boolean","optional":true})",
       {}},
      {column(21),
       {{"-32768", "-32768"},
        {"1x", "refused"},
        {"", "refused"},
        {"-", "refused"},
        {"007", "refused"}},
       R"({"type":"int16","optional":true})",
       {}},
      {column(23), {{"2147483647", "2147483647"}}, R"({"type":"int32","optional":true})", {}},
      {column(20),
       {{"-9223372036854775808", "-9223372036854775808"}},
       R"({"type":"int64","optional":true})",
       {}},
      {column(26), {{"4294967295", "4294967295"}}, R"({"type":"int64","optional":true})", {}},
      {column(700),
       {{"1.6777216e+07", "1.6777216E7"}, {"NaN", "\"NaN\""}},
       R"({"type":"float","optional":true})",
       {}},
      {column(701),
       {{"1e-30", "1.0E-30"}, {"-Infinity", "\"-Infinity\""}},
       R"({"type":"double","optional":true})",
       {}},
  });
}

TEST(ValueType, NumericsInEachMode) {
  const ValueOptions doubles{.decimals = DecimalMode::kDouble};
  const ValueOptions strings{.decimals = DecimalMode::kString};
  const ValueOptions four_digits{.money_fraction_digits = 4};
  expect({
      {column(1700, numeric_modifier(10, 2)),
       {{"12345.67", "\"EtaH\""}, {"-0.01", "\"/w==\""}, {"NaN", "null"}, {"abc", "refused"}},
       R"({"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"10"}})",
       {}},
      {column(1700, numeric_modifier(3, -2)),
       {{"0", "\"AA==\""}},
       R"({"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2046","connect.decimal.precision":"3"}})",
       {}},
      {column(1700),
       {{"1.2345", R"({"scale":4,"value":"MDk="})"},
        {"1.10", R"({"scale":1,"value":"Cw=="})"},
        {"100000000000000000000", R"({"scale":0,"value":"BWvHXi1jEAAA"})"},
        {"0.00", R"({"scale":0,"value":"AA=="})"}},
       R"({"type":"struct","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"optional":true,"name":"io.debezium.data.VariableScaleDecimal","version":1,"doc":"Variable scaled decimal"})",
       {}},
      {column(1700),
       {{"-100", "-100.0"}, {"1.10", "1.1"}, {"NaN", "\"NaN\""}},
       R"({"type":"double","optional":true})",
       doubles},
      {column(1700),
       {{"1.10", "\"1.10\""},
        {"0.00", "\"0.00\""},
        {"NaN", "\"NAN\""},
        {"-Infinity", "\"NEGATIVE_INFINITY\""}},
       R"({"type":"string","optional":true})",
       strings},
      {column(790),
       {{"$1,234.56", "\"AeJA\""},
        {"-$0.05", "\"+w==\""},
        {"$92,233,720,368,547,758.07", "\"f/////////8=\""}},
       R"({"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}})",
       {}},
      {column(790),
       {{"$1,234.56", "\"ALxhAA==\""}, {"-$0.05", "\"/gw=\""}},
       R"({"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"4"}})",
       four_digits},
      {column(790),
       {{"$1,234.56", "1234.56"}, {"$0.00", "0.0"}},
       R"({"type":"double","optional":true})",
       doubles},
      {column(790),
       {{"-$0.05", "\"-0.05\""}, {"$0.00", "\"0.00\""}},
       R"({"type":"string","optional":true})",
       strings},
  });
}

TEST(ValueType, TextsAndBinaries) {
  expect({
      {column(25),
       {{"a\"b", R"("a\"b")"}, {"", "\"\""}},
       R"({"type":"string","optional":true})",
       {}},
      {column(1042), {{"ab   ", "\"ab   \""}}, R"({"type":"string","optional":true})", {}},
      {column(869),
       {{"192.168.1.5/24", "\"192.168.1.5/24\""}},
       R"({"type":"string","optional":true})",
       {}},
      {column(3908),
       {{R"(["2024-01-01 00:00:00",))", R"json("[\"2024-01-01 00:00:00\",)")json"}},
       R"({"type":"string","optional":true})",
       {}},
      {column(114),
       {{R"({"b": 1})", R"("{\"b\": 1}")"}},
       R"({"type":"string","optional":true,"name":"io.debezium.data.Json","version":1})",
       {}},
      {column(142),
       {{"<a>1</a>", "\"<a>1</a>\""}},
       R"({"type":"string","optional":true,"name":"io.debezium.data.Xml","version":1})",
       {}},
      {column(2950),
       {},
       R"({"type":"string","optional":true,"name":"io.debezium.data.Uuid","version":1})",
       {}},
      {column(3614),
       {},
       R"({"type":"string","optional":true,"name":"io.debezium.data.Tsvector","version":1})",
       {}},
      {named("public.citext"), {{"Ci", "\"Ci\""}}, R"({"type":"string","optional":true})", {}},
      {named("ltree"),
       {{"a.b", "\"a.b\""}},
       R"({"type":"string","optional":true,"name":"io.debezium.data.Ltree","version":1})",
       {}},
      {named("public.mood", {"sad", "o\"k"}),
       {{"sad", "\"sad\""}},
       R"({"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"sad,o\"k"}})",
       {}},
      {named("public.hstore"),
       {{R"("a"=>"1", "b"=>NULL, "c d"=>"x\"y")",
         R"("{\"a\":\"1\",\"b\":null,\"c d\":\"x\\\"y\"}")"},
        {"", "\"{}\""},
        {"\"a\"=>", "refused"},
        {"\"a\"", "refused"},
        {"\"a\"=>\"b", "refused"},
        {"\"a\"=>\"b\"x", "refused"}},
       R"({"type":"string","optional":true,"name":"io.debezium.data.Json","version":1})",
       {}},
      {named("public.hstore"),
       {{R"("a"=>"1", "b"=>NULL)", R"({"a":"1","b":null})"}, {"", "{}"}},
       R"({"type":"map","keys":{"type":"string","optional":false},"values":{"type":"string","optional":true},"optional":true})",
       {.hstores = HstoreMode::kMap}},
      {column(17),
       {{R"(\x00010203ff)", "\"AAECA/8=\""},
        {R"(\x)", "\"\""},
        {"abc", "refused"},
        {R"(\x0)", "refused"},
        {R"(\x0g)", "refused"}},
       R"({"type":"bytes","optional":true})",
       {}},
      {column(17),
       {{R"(\x00010203ff)", "\"AAECA_8=\""}},
       R"({"type":"string","optional":true})",
       {.binaries = BinaryMode::kBase64UrlSafe}},
      {column(17),
       {{R"(\x00010203ff)", "\"AAECA/8=\""}},
       R"({"type":"string","optional":true})",
       {.binaries = BinaryMode::kBase64}},
      {column(17),
       {{R"(\xDEADBEEF)", "\"deadbeef\""}},
       R"({"type":"string","optional":true})",
       {.binaries = BinaryMode::kHex}},
  });
}

TEST(ValueType, BitsAndPoints) {
  expect({
      {column(1560, 1),
       {{"1", "true"}, {"0", "false"}},
       R"({"type":"boolean","optional":true})",
       {}},
      {column(1560, 8),
       {{"10000001", "\"gQ==\""}, {"00000000", "\"\""}, {"1000000x", "refused"}},
       R"({"type":"bytes","optional":true,"name":"io.debezium.data.Bits","version":1,"parameters":{"length":"8"}})",
       {}},
      {column(1562, 16),
       {{"101", "\"BQ==\""}, {"", "\"\""}, {"1000000010", "\"AgI=\""}},
       R"({"type":"bytes","optional":true,"name":"io.debezium.data.Bits","version":1,"parameters":{"length":"16"}})",
       {}},
      {column(600),
       {{"(1.5,-2)", R"({"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null})"},
        {"(1.5)", "refused"},
        {"1.5,2", "refused"},
        {"(a,b)", "refused"}},
       R"json({"type":"struct","fields":[{"type":"double","optional":false,"field":"x"},{"type":"double","optional":false,"field":"y"},{"type":"bytes","optional":true,"field":"wkb"},{"type":"int32","optional":true,"field":"srid"}],"optional":true,"name":"io.debezium.data.geometry.Point","version":1,"doc":"Geometry (POINT)"})json",
       {}},
  });
}

TEST(ValueType, TimesInEachMode) {
  const ValueOptions micro_times{.times = TimeMode::kAdaptiveTimeMicroseconds};
  const ValueOptions connect{.times = TimeMode::kConnect};
  const ValueOptions iso{.times = TimeMode::kIsoString};
  const ValueOptions micros{.times = TimeMode::kMicroseconds};
  const ValueOptions nanos{.times = TimeMode::kNanoseconds};
  const auto schema = [](std::string_view type, std::string_view name) {
    return R"({"type":")" + std::string(type) + R"(","optional":true,"name":")" +
           std::string(name) + R"(","version":1})";
  };
  const std::string date = schema("int32", "io.debezium.time.Date");
  const std::string time = schema("int32", "io.debezium.time.Time");
  const std::string micro_time = schema("int64", "io.debezium.time.MicroTime");
  const std::string nano_time = schema("int64", "io.debezium.time.NanoTime");
  const std::string milli_stamp = schema("int64", "io.debezium.time.Timestamp");
  const std::string micro_stamp = schema("int64", "io.debezium.time.MicroTimestamp");
  const std::string nano_stamp = schema("int64", "io.debezium.time.NanoTimestamp");
  const std::string zoned_stamp = schema("string", "io.debezium.time.ZonedTimestamp");
  const std::string connect_date = schema("int32", "org.apache.kafka.connect.data.Date");
  const std::string connect_time = schema("int32", "org.apache.kafka.connect.data.Time");
  const std::string connect_stamp = schema("int64", "org.apache.kafka.connect.data.Timestamp");
  const std::string iso_date = schema("string", "io.debezium.time.IsoDate");
  const std::string iso_time = schema("string", "io.debezium.time.IsoTime");
  const std::string iso_stamp = schema("string", "io.debezium.time.IsoTimestamp");
  const std::string zoned_time = schema("string", "io.debezium.time.ZonedTime");
  expect({
      {column(1082),
       {{"2024-02-29", "19782"},
        {"1969-12-31", "-1"},
        {"9999-12-31", "2932896"},
        {"0001-01-01", "-719162"},
        {"0044-03-15 BC", "-735160"},
        {"4713-01-01 BC", "-2440550"},
        {"10000-01-01", "2932897"},
        {"5874897-12-31", "2145042905"},
        {"infinity", "-2147472692"},
        {"-infinity", "-2147472691"},
        {"2024-13-01", "refused"},
        {"2024", "refused"},
        {"", "refused"}},
       date,
       {}},
      {column(1082), {{"2024-02-29", "19782"}}, connect_date, connect},
      {column(1082),
       {{"2024-02-29", "\"2024-02-29Z\""}, {"0001-01-01", "\"0001-01-01Z\""}},
       iso_date,
       iso},
      {column(1082), {{"2024-02-29", "19782"}}, date, nanos},
      {column(1083),
       {{"12:34:56.789012", "45296789012"},
        {"24:00:00", "86400000000"},
        {"25:00:00", "refused"},
        {"12:34", "refused"},
        {"12:34:56.", "refused"}},
       micro_time,
       {}},
      {column(1083, 0), {{"12:34:56", "45296000"}, {"24:00:00", "86400000"}}, time, {}},
      {column(1083, 3), {{"12:34:56.789", "45296789"}}, time, {}},
      {column(1083, 3), {{"12:34:56.789", "45296789000"}}, micro_time, micro_times},
      {column(1083, 3), {{"12:34:56.789", "45296789"}}, connect_time, connect},
      {column(1083, 3),
       {{"12:34:56.789", "\"12:34:56.789Z\""},
        {"12:34:56", "\"12:34:56Z\""},
        {"24:00:00", "\"00:00:00Z\""},
        {"01:02:03.4", "\"01:02:03.4Z\""}},
       iso_time,
       iso},
      {column(1083, 3), {{"12:34:56.789", "45296789000000"}}, nano_time, nanos},
      {column(1266),
       {{"12:34:56.789012+02", "\"10:34:56.789012Z\""},
        {"00:00:00+00", "\"00:00:00Z\""},
        {"23:59:59.999999-12", "\"11:59:59.999999Z\""},
        {"24:00:00+00", "\"00:00:00Z\""},
        {"01:02:03+05:30", "\"19:32:03Z\""}},
       zoned_time,
       {}},
      {column(1114),
       {{"2024-02-29 12:34:56.789012", "1709210096789012"},
        {"1969-12-31 23:59:59.999999", "-1"},
        {"0001-01-01 00:00:00", "-62135596800000000"},
        {"0044-03-15 00:00:00 BC", "-63517824000000000"},
        {"infinity", "9223372036825200000"},
        {"-infinity", "-9223372036832400000"},
        {"2024-02-29", "refused"}},
       micro_stamp,
       {}},
      {column(1114, 0), {{"2024-02-29 12:34:56", "1709210096000"}}, milli_stamp, {}},
      {column(1114, 3),
       {{"2024-02-29 12:34:56.789", "1709210096789"}, {"1969-12-31 23:59:59.999", "-1"}},
       milli_stamp,
       {}},
      {column(1114, 3), {{"1969-12-31 23:59:59.999", "-1000"}}, micro_stamp, micros},
      {column(1114), {{"1969-12-31 23:59:59.999999", "-1"}}, connect_stamp, connect},
      {column(1114),
       {{"2024-02-29 12:34:56.789012", "\"2024-02-29T12:34:56.789012Z\""},
        {"0001-01-01 00:00:00", "\"0001-01-01T00:00:00Z\""}},
       iso_stamp,
       iso},
      {column(1114),
       {{"2024-02-29 12:34:56.789012", "1709210096789012000"},
        {"9999-12-31 23:59:59.999999", "null"},
        {"0001-01-01 00:00:00", "null"}},
       nano_stamp,
       nanos},
      {column(1184),
       {{"2024-02-29 10:34:56.789012+00", "\"2024-02-29T10:34:56.789012Z\""},
        {"1970-01-01 00:00:00+00", "\"1970-01-01T00:00:00.000000Z\""},
        {"2024-02-29 12:34:56+05:30", "\"2024-02-29T07:04:56.000000Z\""},
        {"0044-03-15 00:00:00+00 BC", "\"-0043-03-15T00:00:00.000000Z\""},
        {"294276-12-31 23:59:59.999999+00", "\"+294276-12-31T23:59:59.999999Z\""},
        {"infinity", "\"infinity\""},
        {"-infinity", "\"-infinity\""}},
       zoned_stamp,
       {}},
      {column(1184, 3),
       {{"2024-02-29 12:34:56.789+00", "\"2024-02-29T12:34:56.789Z\""},
        {"1970-01-01 00:00:00+00", "\"1970-01-01T00:00:00.000Z\""}},
       zoned_stamp,
       {}},
  });
}

TEST(ValueType, IntervalsInEachMode) {
  expect({
      {column(1186),
       {{"1 year 2 mons 3 days 04:05:06.789", "37091106789000"},
        {"-1 days -00:00:01", "-86401000000"},
        {"00:00:00", "0"},
        {"1 mon", "2629800000000"},
        {"00:00:00.000001", "1"},
        {"178000000 years", "9223372036854775807"},
        {"-178000000 years", "-9223372036854775808"},
        {"1 year", "31557600000000"},
        {"1 fortnight", "refused"},
        {"", "refused"},
        {"04:05", "refused"},
        {"2:2:555555555555554", "refused"}},
       R"({"type":"int64","optional":true,"name":"io.debezium.time.MicroDuration","version":1})",
       {}},
      {column(1186),
       {{"1 year 2 mons 3 days 04:05:06.789", "\"P1Y2M3DT4H5M6.789S\""},
        {"-1 days -00:00:01", "\"P0Y0M-1DT0H0M-1S\""},
        {"00:00:00", "\"P0Y0M0DT0H0M0S\""},
        {"1 mon", "\"P0Y1M0DT0H0M0S\""},
        {"00:00:00.000001", "\"P0Y0M0DT0H0M0.000001S\""},
        {"178000000 years", "\"P178000000Y0M0DT0H0M0S\""},
        {"-1 years -2 mons +3 days -04:05:06.5", "\"P-1Y-2M3DT-4H-5M-6.5S\""}},
       R"({"type":"string","optional":true,"name":"io.debezium.time.Interval","version":1})",
       {.intervals = IntervalMode::kString}},
  });
}

TEST(ValueType, Arrays) {
  expect({
      {array_of(23),
       {{"{1,2,NULL}", "[1,2,null]"},
        {"{}", "[]"},
        {"{{1,2},{3,4}}", "[null,null]"},
        {"[0:1]={7,8}", "[7,8]"},
        {"{1", "refused"},
        {"1}", "refused"},
        {"{1,}", "refused"},
        {"{1}2", "refused"},
        {"[0:1]", "refused"},
        {"{{1,2}", "refused"}},
       R"({"type":"array","items":{"type":"int32","optional":true},"optional":true})",
       {}},
      {array_of(25),
       {{R"({a,"b,c",NULL,"q\"uote","NULL",""})", R"(["a","b,c",null,"q\"uote","NULL",""])"},
        {R"({{"}","{"},{a,b}})", "[null,null]"},
        {R"({"a)", "refused"}},
       R"({"type":"array","items":{"type":"string","optional":true},"optional":true})",
       {}},
      {array_of(1700, numeric_modifier(10, 2)),
       {{"{1.10,NULL}", R"(["bg==",null])"}},
       R"({"type":"array","items":{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"10"}},"optional":true})",
       {}},
      {array_of(16),
       {{"{t,f}", "[true,false]"}},
       R"({"type":"array","items":{"type":"boolean","optional":true},"optional":true})",
       {}},
      {array_of(1184),
       {{R"({"2024-02-29 12:34:56.789012+00"})", R"(["2024-02-29T12:34:56.789012Z"])"}},
       R"({"type":"array","items":{"type":"string","optional":true,"name":"io.debezium.time.ZonedTimestamp","version":1},"optional":true})",
       {}},
      {array_of(25, -1, {"sad", "ok", "happy"}),
       {{"{sad,happy}", R"(["sad","happy"])"}},
       R"({"type":"array","items":{"type":"string","optional":false,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"sad,ok,happy"}},"optional":true})",
       {}},
      {array_of(701),
       {{"{1.5,NaN}", R"([1.5,"NaN"])"}},
       R"({"type":"array","items":{"type":"double","optional":true},"optional":true})",
       {}},
  });
}

TEST(ValueType, WhatHasNoPlaceIsLeftOutUnlessAskedFor) {
  const model::Column unknown[] = {column(603),    column(3615),         column(3220),
                                   column(2970),   named("public.pair"), array_of(790),
                                   array_of(1186), array_of(142)};
  for (const model::Column& each : unknown) {
    EXPECT_FALSE(ValueType::of(each, {}));
    EXPECT_TRUE(ValueType::of(each, {.include_unknown_types = true}));
  }
  const ValueOptions included{.include_unknown_types = true};
  expect({
      {column(603),
       {{"(1,1),(0,0)", "\"KDEuMCwxLjApLCgwLjAsMC4wKQ==\""}},
       R"({"type":"bytes","optional":true})",
       included},
      {column(718),
       {{"<(0,0),1>", "\"PCgwLjAsMC4wKSwxLjA+\""}},
       R"({"type":"bytes","optional":true})",
       included},
      {column(3220),
       {{"16/B374D848", "\"MTYvQjM3NEQ4NDg=\""}},
       R"({"type":"bytes","optional":true})",
       included},
      {named("public.pair"),
       {{"(1,x)", "\"KDEseCk=\""}},
       R"({"type":"bytes","optional":true})",
       included},
  });
}

// What stands for a TOAST value that PostgreSQL did not send.
TEST(ValueType, Unavailable) {
  const auto unavailable = [](const model::Column& each, const ValueOptions& options = {}) {
    return ValueType::of(each, options)->unavailable();
  };
  EXPECT_EQ(unavailable(column(25)), "\"__debezium_unavailable_value\"");
  EXPECT_EQ(unavailable(column(3802)), "\"__debezium_unavailable_value\"");
  EXPECT_EQ(unavailable(column(17)), "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"");
  EXPECT_EQ(unavailable(array_of(25)), "[\"__debezium_unavailable_value\"]");
  EXPECT_EQ(unavailable(array_of(23)),
            "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,"
            "95,118,97,108,117,101]");
  EXPECT_EQ(unavailable(named("hstore"), {.hstores = HstoreMode::kMap}),
            R"({"__debezium_unavailable_value":"__debezium_unavailable_value"})");
  EXPECT_EQ(unavailable(column(25), {.unavailable_value = "?"}), "\"?\"");
}

TEST(ValueType, SchemaWithDefaultAndField) {
  EXPECT_EQ(ValueType::of(column(23), {})->schema(false, "7", "sel\"ect"),
            R"({"type":"int32","optional":false,"default":7,"field":"sel\"ect"})");
}

}  // namespace
}  // namespace pgweir::debezium
