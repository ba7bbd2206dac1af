#include "server/http_message.h"

#include <fmt/core.h>

#include "server/json_writer.h"

namespace pgweir::server {
namespace {

int hexadecimal(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

Result<NameValues> parse_query(std::string_view query) {
  NameValues values;
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    TRY_ASSIGN(auto name, percent_decode(pair.substr(0, equals), true));
    std::string value;
    if (equals != std::string_view::npos) {
      TRY_ASSIGN(value, percent_decode(pair.substr(equals + 1), true));
    }
    values.emplace_back(std::move(name), std::move(value));
  }
  return values;
}

}  // namespace

const std::string* find_value(const NameValues& values, std::string_view name) {
  for (const auto& [key, value] : values) {
    if (key == name) return &value;
  }
  return nullptr;
}

const std::string& Request::placeholder(std::string_view name) const {
  const std::string* value = find_value(placeholders, name);
  PGWEIR_ASSERT(value != nullptr, "the route has no such placeholder");
  return *value;
}

Response error_response(int status, std::string_view code, std::string_view message,
                        std::string_view hint) {
  JsonWriter json;
  json.begin_object().key("error").begin_object();
  json.key("code").string(code).key("message").string(message).key("hint").string(hint);
  json.end_object().end_object();
  Response response;
  response.status = status;
  response.body = json.take();
  return response;
}

Response error_response(const Error& error) {
  std::string message = error.message;
  if (!error.detail.empty()) message += " (" + error.detail + ")";
  Response response =
      error_response(http_status(error.code), code_name(error.code), message, error.hint);
  if (response.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

int http_status(Code code) {
  switch (code) {
    case Code::kInvalid:
    case Code::kUsage:
    case Code::kConfig:
      return 400;
    case Code::kNotFound:
      return 404;
    case Code::kTimeout:
      return 408;
    case Code::kCheckFailed:
      return 409;
    case Code::kUnsupported:
      return 501;
    case Code::kUnavailable:
    case Code::kBroken:
    case Code::kCancelled:
      return 503;
    case Code::kNoSpace:
      return 507;
    case Code::kIo:
    case Code::kCorruption:
    case Code::kInternal:
      return 500;
  }
  return 500;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Payload Too Large";
    case 415:
      return "Unsupported Media Type";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

Result<Target> parse_target(std::string_view target) {
  if (target.substr(0, 7) == "http://" || target.substr(0, 8) == "https://") {
    const std::size_t path = target.find('/', target.find("//") + 2);
    target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
  }
  if (target.empty() || target.front() != '/')
    return error(Code::kInvalid, "the path does not begin with '/'");
  target = target.substr(0, target.find('#'));
  const std::size_t question = target.find('?');
  std::string_view path =
      target.substr(1, question == std::string_view::npos ? question : question - 1);
  Target out;
  for (;;) {
    const std::size_t slash = path.find('/');
    TRY_ASSIGN(auto segment, percent_decode(path.substr(0, slash), false));
    if (segment.find('\0') != std::string::npos)
      return error(Code::kInvalid, "the path holds a zero byte");
    out.path += "/" + segment;
    out.segments.push_back(std::move(segment));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  if (question != std::string_view::npos) {
    TRY_ASSIGN(out.query, parse_query(target.substr(question + 1)));
  }
  return out;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hexadecimal(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hexadecimal(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return error(Code::kInvalid, "a '%' is not followed by two hexadecimal digits", {},
                     "a percent sign itself is written %25");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i] == '+' && plus_is_space ? ' ' : text[i];
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_unreserved(c)) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace pgweir::server
