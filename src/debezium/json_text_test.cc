#include "debezium/json_text.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace pgweir::debezium {
namespace {

struct Case {
  std::string text;
  std::string expected;
};

TEST(JsonText, IsEscapedAsTheConverterDoes) {
  const Case kCases[] = {
      {"", R"("")"},
      {"plain", R"("plain")"},
      {"tab\tnl\nquote\"back\\slash", R"("tab\tnl\nquote\"back\\slash")"},
      {"\b\f\r\x01\x1f\x7f", "\"\\b\\f\\r\\u0001\\u001F\x7f\""},
      {"é中/", "\"é中/\""},
      {"a\xF0\x9F\x98\x80z", R"("a\uD83D\uDE00z")"},
      {"\xF4\x8F\xBF\xBF", R"("\uDBFF\uDFFF")"},
  };
  for (const auto& [text, expected] : kCases) {
    std::string out;
    append_json_string(text, out);
    EXPECT_EQ(out, expected);
  }
}

TEST(JsonText, Base64OfEachLength) {
  const Case kCases[] = {{"", ""},
                         {"a", "YQ=="},
                         {"ab", "YWI="},
                         {"abc", "YWJj"},
                         {"\xff\xfe", "//4="},
                         {"\xfb\xef\xbe", "++++"},
                         {"abcd", "YWJjZA=="}};
  for (const auto& [bytes, expected] : kCases) {
    std::string out;
    append_base64(bytes, Base64::kStandard, out);
    EXPECT_EQ(out, expected);
  }
  std::string out;
  append_base64("\xff\xfe\xfb\xef\xbe", Base64::kUrlSafe, out);
  EXPECT_EQ(out, "__77774=");
  out.clear();
  append_hex(std::string_view("\x00\x01\xff", 3), out);
  EXPECT_EQ(out, "0001ff");
}

}  // namespace
}  // namespace pgweir::debezium
