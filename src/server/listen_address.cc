#include "server/listen_address.h"

#include <fmt/core.h>

#include <charconv>

namespace pgweir::server {

Result<ListenAddress> parse_listen(std::string_view text) {
  const auto bad = [&] {
    return error(Code::kConfig, fmt::format("'{}' is not an address to listen on", text), {},
                 "write host:port, such as 127.0.0.1:8088 or [::1]:8088");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return bad();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad();
  }
  ListenAddress out;
  out.host = host;
  const auto [end, failure] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (failure != std::errc() || end != port.data() + port.size() || host.empty()) return bad();
  return out;
}

}  // namespace pgweir::server
