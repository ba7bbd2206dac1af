// Where to listen: host and port.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgweir::server {

struct ListenAddress {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8088;  // 0: any free one
};

// "127.0.0.1:8088", "[::1]:8088", "localhost:0". kConfig else.
Result<ListenAddress> parse_listen(std::string_view text);

}  // namespace pgweir::server
