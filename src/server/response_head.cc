#include "server/response_head.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::server {
namespace {

std::string without_line_breaks(std::string text) {
  const auto breaks = [](char c) { return c == '\r' || c == '\n' || c == '\0'; };
  text.erase(std::remove_if(text.begin(), text.end(), breaks), text.end());
  return text;
}

// "Sat, 21 Nov 2026 14:00:00 GMT", whatever the locale.
std::string http_date(std::time_t now) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                     kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace

std::string render_head(const Response& response, After after, std::time_t now) {
  std::string out =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  bool caching_said = false;
  for (const auto& [name, value] : response.headers) {
    out += name + ": " + without_line_breaks(value) + "\r\n";
    caching_said = caching_said || name == "Cache-Control";
  }
  if (!caching_said) out += "Cache-Control: no-store\r\n";
  if (response.stream) {
    out += "Content-Type: text/event-stream\r\n";
  } else if (response.status != 304) {
    out += "Content-Type: " + response.content_type + "\r\n";
    out += fmt::format("Content-Length: {}\r\n", response.body.size());
  }
  out += "Date: " + http_date(now) + "\r\n";
  out +=
      "X-Content-Type-Options: nosniff\r\n"
      "Referrer-Policy: no-referrer\r\n"
      "Cross-Origin-Resource-Policy: same-origin\r\n";
  out +=
      after == After::kKeepAlive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return out;
}

}  // namespace pgweir::server
