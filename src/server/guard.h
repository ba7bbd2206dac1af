// Who may ask: the token, and the names under which a loopback server answers.
#pragma once

#include <string>
#include <string_view>

#include "server/http_message.h"

namespace pgweir::server {

inline constexpr std::string_view kTokenCookie = "pgweir_token";

// Whether the request carries `token`: "Authorization: Bearer …", the cookie, or ?token=. Compared
// in constant time. True when `token` is empty.
bool has_token(const Request& request, const std::string& token);

// Whether ?token= is there and right: the page is then sent on with a cookie instead.
bool has_query_token(const Request& request, const std::string& token);

// localhost, 127.0.0.1 or [::1], with any port.
bool is_loopback_host(std::string_view host);

// Whether an Origin header ("http://localhost:8088") names the same place as the Host header.
bool is_same_origin(std::string_view origin, std::string_view host);

// The page's own address again without the token, which moves into a cookie.
Response move_token_to_cookie(const Request& request, const std::string& token, bool secure);

}  // namespace pgweir::server
