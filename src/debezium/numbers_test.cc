#include "debezium/numbers.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "debezium/json_text.h"

namespace pgweir::debezium {
namespace {

struct Case {
  std::string_view text;
  std::string_view expected;
};

std::string java(std::string_view text) {
  std::string out;
  return append_java_double(text, out) ? out : "refused";
}

// Beside PostgreSQL's text what Java prints.
TEST(Numbers, FloatsAreSpelledAsJavaDoes) {
  constexpr Case kCases[] = {
      {"0", "0.0"},
      {"-0", "-0.0"},
      {"1", "1.0"},
      {"-100", "-100.0"},
      {"1.5", "1.5"},
      {"0.1", "0.1"},
      {"0.001", "0.001"},
      {"0.0001", "1.0E-4"},
      {"0.00012", "1.2E-4"},
      {"1e-30", "1.0E-30"},
      {"1e+300", "1.0E300"},
      {"9999999", "9999999.0"},
      {"10000000", "1.0E7"},
      {"16777216", "1.6777216E7"},
      {"1.6777216e+07", "1.6777216E7"},
      {"3.4028235e+38", "3.4028235E38"},
      {"1.7976931348623157e+308", "1.7976931348623157E308"},
      {"123456789.125", "1.23456789125E8"},
      {"NaN", "\"NaN\""},
      {"Infinity", "\"Infinity\""},
      {"-Infinity", "\"-Infinity\""},
      {"", "refused"},
      {"-", "refused"},
      {".", "refused"},
      {"1e", "refused"},
      {"1.2.3", "refused"},
      {"abc", "refused"},
      {"9e308", "refused"},
      {"1e99999999999", "refused"},
  };
  for (const auto& [text, expected] : kCases) EXPECT_EQ(java(text), expected) << text;
}

TEST(Numbers, NumericsAsDoubles) {
  constexpr Case kCases[] = {
      {"99999", "99999.0"},
      {"12345678901234567890", "1.2345678901234567E19"},
      {"1e20", "1.0E20"},
      {"100000000000000000000", "1.0E20"},
      {"0.00000000000000000001", "1.0E-20"},
      {"123456789012345678901234567890.123456789", "1.2345678901234568E29"},
      {"92233720368547758.07", "9.223372036854776E16"},
      {"99999999.99", "9.999999999E7"},
      {"0.00", "0.0"},
      {"NaN", "\"NaN\""},
      {"1.5x", "refused"},
  };
  for (const auto& [text, expected] : kCases) {
    std::string out;
    EXPECT_EQ(append_as_double(text, out) ? out : "refused", expected) << text;
  }
  std::string out;
  EXPECT_TRUE(append_as_double(std::string(400, '9'), out));
  EXPECT_EQ(out, "\"Infinity\"");
}

struct UnscaledCase {
  std::string_view text;
  std::uint32_t scale;
  std::string_view expected;  // base64
};

TEST(Numbers, UnscaledIntegersHaveTheFewestBytes) {
  constexpr UnscaledCase kCases[] = {
      {"0", 0, "AA=="},
      {"0.00", 2, "AA=="},
      {"1.10", 2, "bg=="},
      {"199.99", 2, "Th8="},
      {"-1", 0, "/w=="},
      {"-0.01", 2, "/w=="},
      {"-0.05", 2, "+w=="},
      {"-0.05", 4, "/gw="},
      {"-100", 0, "nA=="},
      {"127", 0, "fw=="},
      {"128", 0, "AIA="},
      {"-128", 0, "gA=="},
      {"-129", 0, "/38="},
      {"12345.67", 2, "EtaH"},
      {"99999", 0, "AYaf"},
      {"99999999.99", 2, "AlQL4/8="},
      {"92233720368547758.07", 2, "f/////////8="},
      {"92233720368547758.07", 4, "Mf////////+c"},
      {"-92233720368547758.08", 2, "gAAAAAAAAAA="},
      {"1234567890123456789012345678.0123456789", 10, "CUmw9vACMxPESZBOzGdFFQ=="},
      {"-0.0000000001", 10, "/w=="},
      {"123456789012345678901234567890.123456789", 9, "XODppWAV/sWq36MorjmBFQ=="},
      {"100000000000000000000", 0, "BWvHXi1jEAAA"},
      {"340282366920938463463374607431768211455", 0, "AP////////////////////8="},
      {"-170141183460469231731687303715884105728", 0, "gAAAAAAAAAAAAAAAAAAAAA=="},
      {"1.25", 1, "DQ=="},
      {"-1.25", 1, "8w=="},
      {"9.99", 1, "ZA=="},
      {"NaN", 2, "refused"},
      {"Infinity", 0, "refused"},
      {"", 0, "refused"},
      {".", 2, "refused"},
      {"-", 2, "refused"},
      {"1.5.", 2, "refused"},
      {"1,5", 0, "refused"},
  };
  for (const auto& [text, scale, expected] : kCases) {
    std::string bytes;
    std::string out = "refused";
    if (append_unscaled(text, scale, bytes)) {
      out.clear();
      append_base64(bytes, Base64::kStandard, out);
    }
    EXPECT_EQ(out, expected) << text;
  }
}

TEST(Numbers, ScaleIsWithoutZerosAtTheEnd) {
  EXPECT_EQ(scale_of("100"), 0u);
  EXPECT_EQ(scale_of("1.10"), 1u);
  EXPECT_EQ(scale_of("0.00"), 0u);
  EXPECT_EQ(scale_of("0.00000000000000000001"), 20u);
}

TEST(Numbers, MoneyLosesItsSigns) {
  EXPECT_EQ(money_digits("$1,234.56"), "1234.56");
  EXPECT_EQ(money_digits("-$0.05"), "-0.05");
}

}  // namespace
}  // namespace pgweir::debezium
