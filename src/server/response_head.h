// The bytes of an answer's status line and header.
#pragma once

#include <ctime>
#include <string>

#include "server/http_message.h"

namespace pgweir::server {

enum class After { kKeepAlive, kClose };

// Line breaks inside of header values are left out, so that no value can begin another header.
std::string render_head(const Response& response, After after, std::time_t now);

}  // namespace pgweir::server
