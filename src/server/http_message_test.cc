// Targets are decoded once, piece by piece; routes match whole pieces.
#include "server/http_message.h"

#include <gtest/gtest.h>

#include "server/guard.h"
#include "server/response_head.h"
#include "server/router.h"

namespace pgweir::server {
namespace {

// "path|path ? name=value&…", or the error.
std::string parsed(std::string_view text) {
  const auto target = parse_target(text);
  if (!target.ok()) return "error: " + target.error().message;
  std::string out;
  for (const std::string& segment : target->segments) out += "|" + segment;
  for (const auto& [name, value] : target->query) out += " [" + name + "=" + value + "]";
  return out;
}

TEST(HttpMessage, TargetsAreTakenApartBeforeTheyAreDecoded) {
  const std::pair<const char*, const char*> cases[] = {
      {"/", "|"},
      {"/a/b", "|a|b"},
      {"/a%2Fb/c", "|a/b|c"},
      {"/a+b%20c", "|a+b c"},
      {"/a//b/", "|a||b|"},
      {"/?", "|"},
      {"/a?b=c&d=e%26f&g", "|a [b=c] [d=e&f] [g=]"},
      {"/a?b=c+d&&=x", "|a [b=c d] [=x]"},
      {"/a?b=?&c=/", "|a [b=?] [c=/]"},
      {"/a?b=c#fragment", "|a [b=c]"},
      {"/a#b?c", "|a"},
      {"http://localhost:1/a?b=c", "|a [b=c]"},
      {"http://localhost", "|"},
      {"/%E2%82%ac", "|€"},
      {"", "error: the path does not begin with '/'"},
      {"*", "error: the path does not begin with '/'"},
      {"a", "error: the path does not begin with '/'"},
      {"/%", "error: a '%' is not followed by two hexadecimal digits"},
      {"/%4", "error: a '%' is not followed by two hexadecimal digits"},
      {"/%4g", "error: a '%' is not followed by two hexadecimal digits"},
      {"/?a=%", "error: a '%' is not followed by two hexadecimal digits"},
      {"/%00", "error: the path holds a zero byte"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(parsed(text), expected) << text;
}

TEST(HttpMessage, EncodingAndDecodingAreInverse) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_EQ(percent_decode(percent_encode(all), true).value(), all);
  EXPECT_EQ(percent_encode("a-z_0.~ /ü"), "a-z_0.~%20%2F%C3%BC");
}

TEST(HttpMessage, EveryErrorCodeHasAStatus) {
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
    const Response response = error_response(error(static_cast<Code>(code), "m", "d", "h"));
    EXPECT_GE(response.status, 400);
    EXPECT_NE(reason_phrase(response.status), "Status");
    EXPECT_EQ(response.body.substr(response.body.find("m (d)")), "m (d)\",\"hint\":\"h\"}}");
  }
}

TEST(Router, MatchesPlaceholdersAndTellsMethods) {
  Router router;
  router.add({"GET", "/a", {}});
  router.add({"POST", "/a", {}});
  router.add({"GET", "/a/special", {}});
  router.add({"GET", "/a/{name}/b", {}});
  router.add({"GET", "/a/{name}", {}});
  const auto match = [&](const char* method, std::vector<std::string> segments) {
    const RouteMatch found = router.match(method, segments);
    if (found.route == nullptr) return "none " + found.allowed;
    std::string out = found.route->pattern;
    for (const auto& [name, value] : found.placeholders) out += " " + name + "=" + value;
    return out;
  };
  EXPECT_EQ(match("GET", {"a"}), "/a");
  EXPECT_EQ(match("POST", {"a"}), "/a");
  EXPECT_EQ(match("PUT", {"a"}), "none GET, HEAD, POST");
  EXPECT_EQ(match("GET", {"a", "special"}), "/a/special");
  EXPECT_EQ(match("GET", {"a", "x/y"}), "/a/{name} name=x/y");
  EXPECT_EQ(match("GET", {"a", "x", "b"}), "/a/{name}/b name=x");
  EXPECT_EQ(match("GET", {"a", ""}), "none ");
  EXPECT_EQ(match("GET", {"a", "x", "c"}), "none ");
}

TEST(ResponseHead, SaysDateTypeLengthAndCaching) {
  Response response;
  response.body = "{}";
  EXPECT_EQ(render_head(response, After::kKeepAlive, 1'795'269'600),
            "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: application/json\r\n"
            "Content-Length: 2\r\nDate: Sat, 21 Nov 2026 14:00:00 GMT\r\n"
            "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
            "Cross-Origin-Resource-Policy: same-origin\r\nConnection: keep-alive\r\n\r\n");
}

TEST(Guard, TokenMovesFromTheAddressIntoACookie) {
  Request request;
  request.path = "//evil.example/a b";
  request.query = {{"page", "sql"}, {"token", "a;b"}, {"sql", "SELECT 1&2"}};
  const Response response = move_token_to_cookie(request, "a;b", true);
  EXPECT_EQ(response.status, 303);
  EXPECT_EQ(*find_value(response.headers, "Location"),
            "/evil.example/a%20b?page=sql&sql=SELECT%201%262");
  EXPECT_EQ(*find_value(response.headers, "Set-Cookie"),
            "pgweir_token=a%3Bb; Path=/; HttpOnly; SameSite=Strict; Secure");
  EXPECT_TRUE(has_query_token(request, "a;b"));
  EXPECT_FALSE(has_query_token(request, ""));
}

}  // namespace
}  // namespace pgweir::server
