// Asks a running pgweir through its HTTP API.
//
// Place:   the only user of libcurl in cli/.
// Life:    a client may be asked many times; connections are kept.
// Threads: one thread at a time.
// Errors:  kUnavailable when nothing listens or the connection is lost, kTimeout, and what the
// server
//          answered: its code, message and hint.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "config/secret.h"

namespace pgweir::cli {

struct HttpClientOptions {
  std::string address;  // host:port, for the URL and for messages
  bool tls = false;
  // PEM: only this certificate is trusted, under whatever name it is reached; "" trusts the
  // system's authorities and looks at the name.
  std::string pinned_file;
  config::Secret token;  // "" sends none
  Milliseconds connect_timeout{5'000};
  Milliseconds answer_timeout{60'000};  // of get() and post()
  // A stream on which nothing arrives for so long is lost; the server sends comments in between.
  Milliseconds silence_max{60'000};
  std::size_t answer_bytes_max = 1u << 30;  // a larger answer is kInvalid
};

// One event of a text/event-stream.
struct ServerEvent {
  std::string id;
  std::string name;  // "" without one
  std::string data;
};

struct HttpRequest;

class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // What runs ends with kCancelled once this says so; it is asked now and then meanwhile.
  void cancel_when(std::function<bool()> is_cancelled) { is_cancelled_ = std::move(is_cancelled); }

  // `path` begins with a slash and is encoded already. The body of a 2xx answer.
  Result<std::string> get(const std::string& path);
  // `answer_timeout` above zero goes before the options'.
  Result<std::string> post(const std::string& path, const std::string& json,
                           Milliseconds answer_timeout = Milliseconds(0));
  // Calls `on_event` for every event until it returns an error, which then is the result, or the
  // connection ends, which is kUnavailable.
  Status stream(const std::string& path, const std::function<Status(const ServerEvent&)>& on_event);

 private:
  Status perform(const std::string& path, HttpRequest& request);

  const HttpClientOptions options_;
  std::function<bool()> is_cancelled_;
  void* handle_;  // CURL*
};

// Percent-encodes a part of a path or a query value.
std::string encode_part(std::string_view text);

// Cuts a text/event-stream into events; bytes may arrive in any pieces.
class EventReader {
 public:
  // Calls `on_event` for every event that `bytes` completes.
  Status feed(std::string_view bytes, const std::function<Status(const ServerEvent&)>& on_event);

 private:
  Status take_line(std::string_view line,
                   const std::function<Status(const ServerEvent&)>& on_event);
  static constexpr std::size_t kLineBytesMax = 64u << 20;

  std::string rest_;
  ServerEvent event_;
  bool has_data_ = false;
};

}  // namespace pgweir::cli
