// Values as JSON, CSV and text: exact, and always valid.
#include "server/rows.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "harness/scratch.h"

namespace pgweir::server {
namespace {

std::string cell(CellKind kind, std::optional<std::string> text) {
  JsonWriter json;
  json.begin_object();
  write_rows(json, {{{"c", "T", kind}}, {std::move(text)}});
  json.end_object();
  const std::string out = json.take();
  EXPECT_TRUE(nlohmann::json::accept(out)) << out;
  const std::string start = R"({"columns":[{"name":"c","type":"T"}],"rows":[[)";
  EXPECT_EQ(out.substr(0, start.size()), start);
  return out.substr(start.size(), out.size() - start.size() - 3);
}

TEST(Rows, NumbersThatReadersWouldRoundAreText) {
  const std::pair<const char*, const char*> integers[] = {
      {"0", "0"},
      {"-5", "-5"},
      {"9007199254740992", "9007199254740992"},
      {"-9007199254740992", "-9007199254740992"},
      {"9007199254740993", "\"9007199254740993\""},
      {"-9007199254740993", "\"-9007199254740993\""},
      {"170141183460469231731687303715884105727", "\"170141183460469231731687303715884105727\""},
      {"not one", "\"not one\""},
      {"1.5", "\"1.5\""},
      {"", "\"\""},
      {"-", "\"-\""},
  };
  for (const auto& [text, expected] : integers) EXPECT_EQ(cell(CellKind::kInteger, text), expected);
  const std::pair<const char*, const char*> floats[] = {
      {"1.5", "1.5"},       {"-0.0", "-0.0"},   {"1e-300", "1e-300"}, {"1E+5", "1E+5"},
      {"nan", "\"nan\""},   {"inf", "\"inf\""}, {"-inf", "\"-inf\""}, {"1.", "\"1.\""},
      {".5", "\".5\""},     {"01", "\"01\""},   {"1e", "\"1e\""},     {"0x1", "\"0x1\""},
      {"1.5 ", "\"1.5 \""}, {"1e+", "\"1e+\""},
  };
  for (const auto& [text, expected] : floats) EXPECT_EQ(cell(CellKind::kFloat, text), expected);
}

TEST(Rows, OtherCellsKeepTheirForm) {
  EXPECT_EQ(cell(CellKind::kText, std::nullopt), "null");
  EXPECT_EQ(cell(CellKind::kText, ""), "\"\"");
  EXPECT_EQ(cell(CellKind::kText, "12.50"), "\"12.50\"");
  EXPECT_EQ(cell(CellKind::kBoolean, "true"), "true");
  EXPECT_EQ(cell(CellKind::kBoolean, "false"), "false");
  EXPECT_EQ(cell(CellKind::kJson, "[1,{\"a\":null}]"), "[1,{\"a\":null}]");
}

TEST(Rows, NoColumnsAreNoRows) {
  JsonWriter json;
  json.begin_object();
  write_rows(json, {});
  json.end_object();
  EXPECT_EQ(json.take(), R"({"columns":[],"rows":[]})");
}

TEST(Rows, CsvTellsNullFromEmptyAndQuotesWhatNeedsIt) {
  const RowSet rows{{{"id", "BIGINT", CellKind::kInteger}, {"a \"name\"", "VARCHAR"}},
                    {"1", "plain", "2", std::nullopt, "3", "", "4", "a,b", "5", "line\nbreak"}};
  EXPECT_EQ(
      rows_as_csv(rows),
      "id,\"a \"\"name\"\"\"\r\n1,plain\r\n2,\r\n3,\"\"\r\n4,\"a,b\"\r\n5,\"line\nbreak\"\r\n");
}

TEST(JsonWriter, AnyBytesBecomeValidJson) {
  std::mt19937 random(harness::test_seed());
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random() % 12, '\0');
    for (char& c : bytes) {
      // Mostly bytes of sequences of more than one.
      c = static_cast<char>(random() % 3 == 0 ? random() % 128 : 128 + random() % 128);
    }
    std::string json;
    append_json_string(json, bytes);
    ASSERT_TRUE(nlohmann::json::accept(json)) << testing::PrintToString(bytes);
  }
}

TEST(JsonWriter, ValidTextsComeBackAsTheyWere) {
  for (const std::string text : {"", "plain", "\"\\\b\f\n\r\t\x01\x7f", "ü€𝄞", "\xEF\xBF\xBF",
                                 "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"}) {
    std::string json;
    append_json_string(json, text);
    EXPECT_EQ(nlohmann::json::parse(json).get<std::string>(), text);
  }
  for (const std::string bad :
       {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"}) {
    std::string json;
    append_json_string(json, bad);
    EXPECT_NE(json.find("\xEF\xBF\xBD"), std::string::npos);
  }
}

TEST(JsonWriter, LimitsOfNumbers) {
  JsonWriter json;
  json.begin_array();
  json.integer(std::numeric_limits<std::int64_t>::min());
  json.integer(std::numeric_limits<std::uint64_t>::max());
  json.integer(std::int64_t{-1}).integer(std::uint64_t{9007199254740992});
  json.number(0.1).number(1e300).number(std::numeric_limits<double>::infinity());
  json.end_array();
  EXPECT_EQ(
      json.take(),
      R"(["-9223372036854775808","18446744073709551615",-1,9007199254740992,0.1,1e+300,null])");
}

TEST(Time, TextsAndBack) {
  const std::pair<const char*, const char*> cases[] = {
      {"2026-11-21T14:00:00Z", "2026-11-21T14:00:00Z"},
      {"2026-11-21", "2026-11-21T00:00:00Z"},
      {"2026-11-21T14:00Z", "2026-11-21T14:00:00Z"},
      {"2026-11-21 14:00:00.5Z", "2026-11-21T14:00:00.500000Z"},
      {"2026-11-21T14:00:00.123456789Z", "2026-11-21T14:00:00.123456Z"},
      {"2026-11-21T14:00:00+05:30", "2026-11-21T08:30:00Z"},
      {"2026-11-21T14:00:00-0100", "2026-11-21T15:00:00Z"},
      {"2026-11-21T14:00:00+01", "2026-11-21T13:00:00Z"},
      {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
      {"0001-01-01", "0001-01-01T00:00:00Z"},
      {"2024-02-29", "2024-02-29T00:00:00Z"},
  };
  for (const auto& [text, expected] : cases) {
    const auto time = parse_time(text);
    ASSERT_TRUE(time.ok()) << text;
    EXPECT_EQ(format_time(*time), expected);
  }
  for (const char* bad : {"", "2026", "2026-13-01", "2026-02-29", "2026-11-21T", "2026-11-21T14:00",
                          "2026-11-21T24:00:00Z", "2026-11-21T14:60:00Z", "2026-11-21T14:00:00",
                          "2026-11-21T14:00:00.Z", "2026-11-21T14:00:00Z ", "2026-11-21T14:00:00+",
                          "2026-11-21T14:00:00+16:00", "26-11-21", "2026-11-21Z", "now"})
    EXPECT_EQ(parse_time(bad).error().message, std::string("'") + bad + "' is not a time");
  EXPECT_EQ(format_time(std::numeric_limits<std::int64_t>::max()), "9223372036854775807us");
}

TEST(Time, RandomTimesComeBack) {
  std::mt19937_64 random(harness::test_seed());
  for (int i = 0; i < 10'000; ++i) {
    const auto time =
        static_cast<TimeUs>(random() % 300'000'000'000'000'000) - 60'000'000'000'000'000;
    ASSERT_EQ(parse_time(format_time(time)).value(), time) << format_time(time);
  }
}

}  // namespace
}  // namespace pgweir::server
