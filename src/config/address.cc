#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "config/config.h"

namespace pgweir::config {

Result<Address> parse_address(std::string_view text) {
  const auto wrong = [&] {
    return error(Code::kInvalid,
                 fmt::format("'{}' is not host:port, like 127.0.0.1:8088 or [::1]:8088", text));
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return wrong();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']') return wrong();
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return wrong();
  }
  const bool plain = std::all_of(host.begin(), host.end(), [](unsigned char letter) {
    return std::isalnum(letter) != 0 || letter == '.' || letter == '-' || letter == ':' ||
           letter == '_' || letter == '%';
  });
  Address address{std::string(host), 0};
  const auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (!plain || failed != std::errc{} || end != port.data() + port.size()) return wrong();
  return address;
}

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "::1") return true;
  // Only a numeric address: 127.example.org is somebody's name.
  return host.starts_with("127.") &&
         std::all_of(host.begin(), host.end(), [](unsigned char letter) {
           return std::isdigit(letter) != 0 || letter == '.';
         });
}

namespace {

// Puts *** in place of every password=..., in a URI's query or among key=value pairs.
std::string redact_parameters(const std::string& url) {
  constexpr std::string_view kKey = "password";
  std::string out;
  std::size_t at = 0;
  while (true) {
    const std::size_t key = url.find(kKey, at);
    if (key == std::string::npos) return out + url.substr(at);
    std::size_t value = key + kKey.size();
    while (value < url.size() && url[value] == ' ') ++value;
    if (value >= url.size() || url[value] != '=') {
      out += url.substr(at, value - at);
      at = value;
      continue;
    }
    ++value;
    while (value < url.size() && url[value] == ' ') ++value;
    std::size_t end = value;
    if (end < url.size() && url[end] == '\'') {
      for (++end; end < url.size() && url[end] != '\''; ++end) {
        if (url[end] == '\\') ++end;
      }
      end = std::min(end + 1, url.size());
    } else {
      while (end < url.size() && url[end] != '&' && url[end] != ' ') {
        end += url[end] == '\\' ? 2 : 1;
      }
      end = std::min(end, url.size());
    }
    out += url.substr(at, value - at) + "***";
    at = end;
  }
}

}  // namespace

std::string redact_url(const std::string& url) {
  std::string out = url;
  if (const std::size_t scheme = url.find("://"); scheme != std::string::npos) {
    const std::size_t begin = scheme + 3;
    // A password may hold any sign that its writer forgot to encode: everything up to the last @ is
    // taken for it.
    std::size_t at = url.rfind('@', std::min(url.find('?', begin), url.size()));
    if (at == std::string::npos || at < begin) at = url.rfind('@');
    const std::size_t colon = url.find(':', begin);
    if (at != std::string::npos && colon != std::string::npos && colon < at && at >= begin)
      out = url.substr(0, colon + 1) + "***" + url.substr(at);
  }
  return redact_parameters(out);
}

}  // namespace pgweir::config
