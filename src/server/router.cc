#include "server/router.h"

#include <optional>

#include "base/assert.h"

namespace pgweir::server {
namespace {

bool is_placeholder(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

std::optional<NameValues> match_segments(const std::vector<std::string>& pattern,
                                         const std::vector<std::string>& segments) {
  if (pattern.size() != segments.size()) return std::nullopt;
  NameValues placeholders;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (is_placeholder(pattern[i])) {
      if (segments[i].empty()) return std::nullopt;
      placeholders.emplace_back(pattern[i].substr(1, pattern[i].size() - 2), segments[i]);
    } else if (pattern[i] != segments[i]) {
      return std::nullopt;
    }
  }
  return placeholders;
}

}  // namespace

void Router::add(Route route) {
  auto target = parse_target(route.pattern);
  PGWEIR_ASSERT(target.ok(), "a route's pattern must be a path");
  entries_.push_back({std::move(route), std::move(target->segments)});
}

void Router::set_fallback(Handler handler) {
  fallback_ = {"GET", "", std::move(handler), Lane::kQuick, Access::kOpen};
}

RouteMatch Router::match(std::string_view method, const std::vector<std::string>& segments) const {
  RouteMatch match;
  for (const Entry& entry : entries_) {
    auto placeholders = match_segments(entry.segments, segments);
    if (!placeholders) continue;
    if (entry.route.method == method) {
      match.route = &entry.route;
      match.placeholders = std::move(*placeholders);
      return match;
    }
    if (!match.allowed.empty()) match.allowed += ", ";
    match.allowed += entry.route.method == "GET" ? "GET, HEAD" : entry.route.method;
  }
  return match;
}

}  // namespace pgweir::server
