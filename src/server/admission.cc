#include "server/admission.h"

#include <fmt/core.h>

#include "server/guard.h"

namespace pgweir::server {
namespace {

Response not_found(const Request& request) {
  return error_response(404, "not_found", "there is nothing at " + request.path,
                        "the calls are listed in docs/http_api.md");
}

Response method_not_allowed(const Request& request, const std::string& allowed) {
  Response refusal = error_response(
      405, "method_not_allowed", fmt::format("{} does not take {}", request.path, request.method),
      "allowed: " + allowed);
  refusal.headers.emplace_back("Allow", allowed);
  return refusal;
}

std::optional<Response> refuse_host(const Request& request, const AdmissionRules& rules) {
  const std::string* host = request.header("host");
  if (host == nullptr || !rules.loopback || is_loopback_host(*host)) return std::nullopt;
  return error_response(403, "forbidden",
                        fmt::format("'{}' is not a name of this machine's loopback", *host),
                        "use localhost or 127.0.0.1; to serve other machines set server.listen, "
                        "with a token and TLS");
}

std::optional<Response> refuse_stranger(const Request& request, Access access,
                                        const AdmissionRules& rules) {
  if (access == Access::kToken && !has_token(request, rules.token)) {
    Response refusal = error_response(
        401, "unauthorized", "this call needs the server's token",
        "send it as 'Authorization: Bearer TOKEN', or open the page once with ?token=TOKEN");
    refusal.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"pgweir\"");
    return refusal;
  }
  const std::string* origin = request.header("origin");
  const std::string* host = request.header("host");
  const bool foreign = origin != nullptr && (host == nullptr || !is_same_origin(*origin, *host));
  if (request.method == "GET" || !foreign) return std::nullopt;
  return error_response(403, "forbidden",
                        fmt::format("a page of '{}' may not call this server", *origin));
}

}  // namespace

Admission admit(Request& request, std::string_view target, const Router& router,
                const AdmissionRules& rules) {
  auto parsed = parse_target(target);
  if (!parsed.ok()) return {nullptr, error_response(parsed.error())};
  request.path = std::move(parsed->path);
  request.query = std::move(parsed->query);
  if (auto refusal = refuse_host(request, rules)) return {nullptr, std::move(refusal)};

  RouteMatch match = router.match(request.method, parsed->segments);
  request.placeholders = std::move(match.placeholders);
  if (match.route == nullptr) {
    if (!match.allowed.empty()) return {nullptr, method_not_allowed(request, match.allowed)};
    match.route = router.fallback();
    if (match.route == nullptr || request.method != "GET") return {nullptr, not_found(request)};
    if (has_query_token(request, rules.token))
      return {nullptr, move_token_to_cookie(request, rules.token, rules.tls)};
  }
  if (auto refusal = refuse_stranger(request, match.route->access, rules))
    return {nullptr, std::move(refusal)};
  return {match.route, std::nullopt};
}

}  // namespace pgweir::server
