// Which handler answers a request: patterns such as "/api/v1/views/{name}/rows".
//
// Life:    filled before HttpServer::start(), unchanged afterwards.
// Threads: handlers run on the server's worker threads, several at once.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http_message.h"

namespace pgweir::server {

using Handler = std::function<Response(const Request&)>;

// Queries get worker threads of their own, so that slow ones cannot keep a probe waiting.
enum class Lane { kQuick, kQuery };

// Whether a route needs the token (when one is configured).
enum class Access { kToken, kOpen };

struct Route {
  std::string method;  // "GET" also answers HEAD
  std::string pattern;
  Handler handler;
  Lane lane = Lane::kQuick;
  Access access = Access::kToken;
};

struct RouteMatch {
  const Route* route = nullptr;  // nullptr: none fits
  NameValues placeholders;
  std::string allowed;  // without a route: the methods that the path has, "GET, HEAD"; may be empty
};

class Router {
 public:
  // Among routes that fit, the first added wins.
  void add(Route route);
  // Answers what no route's path fits: static files. Open, in the quick lane.
  void set_fallback(Handler handler);

  RouteMatch match(std::string_view method, const std::vector<std::string>& segments) const;
  const Route* fallback() const { return fallback_.handler ? &fallback_ : nullptr; }

 private:
  struct Entry {
    Route route;
    std::vector<std::string> segments;  // "{name}" stands for any one
  };
  std::vector<Entry> entries_;
  Route fallback_;
};

}  // namespace pgweir::server
