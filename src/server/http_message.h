// An HTTP request and response as handlers see them, and the decoding of a request's target.
//
// Place:   plain data between HttpServer and the handlers; no Boost.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace pgweir::server {

class EventStream;

using NameValues = std::vector<std::pair<std::string, std::string>>;

// The first value under `name`, or nullptr.
const std::string* find_value(const NameValues& values, std::string_view name);

struct Request {
  std::string method;  // "GET", also when the client asked with HEAD
  std::string path;    // decoded
  NameValues query;    // decoded, in order
  NameValues placeholders;
  NameValues headers;  // names in lower case
  std::string body;

  const std::string* header(std::string_view name) const { return find_value(headers, name); }
  // Requires that the route has it.
  const std::string& placeholder(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  NameValues headers;
  // Server-sent events instead of a body. `stream_owner` (the subscription behind the stream) is
  // released on a worker thread once the connection has ended.
  std::shared_ptr<EventStream> stream;
  std::shared_ptr<void> stream_owner;
};

// {"error":{"code","message","hint"}}
Response error_response(int status, std::string_view code, std::string_view message,
                        std::string_view hint = {});
// The status that fits the error's code; the detail is part of the message.
Response error_response(const Error& error);
int http_status(Code code);
std::string_view reason_phrase(int status);

struct Target {
  std::vector<std::string> segments;  // of the path, decoded one by one: "a%2Fb" is one
  std::string path;                   // the segments joined again
  NameValues query;
};

// Takes "/path?query" and "http://host/path?query". kInvalid for anything else: a broken escape, a
// zero byte, a path that does not begin with '/'.
Result<Target> parse_target(std::string_view target);

// kInvalid for a '%' without two hexadecimal digits.
Result<std::string> percent_decode(std::string_view text, bool plus_is_space);
// Everything but letters, digits and "-._~" is escaped.
std::string percent_encode(std::string_view text);

}  // namespace pgweir::server
