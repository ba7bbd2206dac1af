#include "server/guard.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

namespace pgweir::server {
namespace {

// Digests are compared, so that neither the content nor the length of the token shows in the time.
bool equal_in_constant_time(std::string_view a, std::string_view b) {
  unsigned char digest_a[SHA256_DIGEST_LENGTH];
  unsigned char digest_b[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(a.data()), a.size(), digest_a);
  SHA256(reinterpret_cast<const unsigned char*>(b.data()), b.size(), digest_b);
  return CRYPTO_memcmp(digest_a, digest_b, sizeof digest_a) == 0;
}

std::string cookie_value(std::string_view cookies, std::string_view name) {
  while (!cookies.empty()) {
    while (!cookies.empty() && (cookies.front() == ' ' || cookies.front() == ';'))
      cookies.remove_prefix(1);
    const std::size_t end = cookies.find(';');
    const std::string_view pair = cookies.substr(0, end);
    cookies.remove_prefix(pair.size());
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    auto value = percent_decode(pair.substr(equals + 1), false);
    return value.ok() ? *value : std::string();
  }
  return {};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lower(std::string_view text) {
  std::string out;
  for (const char c : text) out += lower(c);
  return out;
}

}  // namespace

bool has_query_token(const Request& request, const std::string& token) {
  const std::string* value = find_value(request.query, "token");
  return value != nullptr && !token.empty() && equal_in_constant_time(*value, token);
}

bool has_token(const Request& request, const std::string& token) {
  if (token.empty()) return true;
  if (const std::string* header = request.header("authorization")) {
    const std::string_view text = *header;
    if (text.size() > 7 && lower(text.substr(0, 7)) == "bearer ")
      return equal_in_constant_time(text.substr(7), token);
  }
  if (const std::string* header = request.header("cookie")) {
    const std::string value = cookie_value(*header, kTokenCookie);
    if (!value.empty()) return equal_in_constant_time(value, token);
  }
  return has_query_token(request, token);
}

bool is_loopback_host(std::string_view host) {
  const std::size_t bracket = host.rfind(']');
  const std::size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const std::string_view port = host.substr(colon + 1);
    if (port.find_first_not_of("0123456789") != std::string_view::npos) return false;
    host = host.substr(0, colon);
  }
  const std::string name = lower(host);
  return name == "localhost" || name == "127.0.0.1" || name == "[::1]";
}

bool is_same_origin(std::string_view origin, std::string_view host) {
  const std::size_t start = origin.find("://");
  return start != std::string_view::npos && lower(origin.substr(start + 3)) == lower(host);
}

Response move_token_to_cookie(const Request& request, const std::string& token, bool secure) {
  // Always a path of this server: "//host" would lead away.
  std::string_view path = request.path;
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  std::string location = "/";
  for (const char c : path) location += c == '/' ? "/" : percent_encode(std::string_view(&c, 1));
  char separator = '?';
  for (const auto& [name, value] : request.query) {
    if (name == "token") continue;
    location += separator + percent_encode(name) + "=" + percent_encode(value);
    separator = '&';
  }
  Response response;
  response.status = 303;
  response.content_type = "text/plain; charset=utf-8";
  response.headers.emplace_back("Location", location);
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back(
      "Set-Cookie", std::string(kTokenCookie) + "=" + percent_encode(token) +
                        "; Path=/; HttpOnly; SameSite=Strict" + (secure ? "; Secure" : ""));
  return response;
}

}  // namespace pgweir::server
