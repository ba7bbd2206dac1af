// HTTP/1.1 over TCP or TLS: takes requests, runs handlers on worker threads, writes answers and
// event streams.
//
// Place:   Asio and Beast are inside (http_server.cc, connection.cc); knows nothing of pgweir.
// Life:    start() binds and listens; stop(), or the destructor, ends open streams, lets running
//          requests finish and waits. A handler must return in bounded time.
// Threads: one for the sockets, `threads` for queries, `quick_threads` for all else. start() and
//          stop() from one thread.
// Safety:  bound to loopback only names of loopback are accepted as Host (DNS rebinding); beyond
//          loopback it does not start without a token and TLS. No CORS: other origins read nothing,
//          and a POST with a foreign Origin is refused.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/logger.h"
#include "base/result.h"
#include "base/units.h"
#include "server/listen_address.h"
#include "server/router.h"

namespace pgweir::server {

struct HttpServerOptions {
  ListenAddress listen;
  std::string token;             // empty: none is asked for
  std::string certificate_file;  // PEM, the whole chain; with the key: TLS
  std::string key_file;
  std::size_t threads = 4;        // for queries
  std::size_t quick_threads = 2;  // for probes, status, metrics, the page
  std::size_t queue_max = 256;    // queries that wait for a thread; the next is told to come back
  std::size_t connections_max = 512;
  std::size_t streams_max = 64;  // connections that may be event streams
  std::size_t request_bytes_max = 1024 * 1024;
  std::size_t header_bytes_max = 16 * 1024;
  Milliseconds header_timeout{10'000};  // from the first byte of a request to the end of its header
  Milliseconds body_timeout{30'000};
  Milliseconds idle_timeout{60'000};   // between requests
  Milliseconds write_timeout{30'000};  // for one answer, or one piece of a stream
  Milliseconds stream_heartbeat{15'000};
  Milliseconds stop_timeout{5'000};  // for answers and streams to go out; then sockets are closed
};

// Counted by the server, read by /metrics.
struct HttpStats {
  std::atomic<std::uint64_t> requests[6] = {};  // by the status' first digit
  std::atomic<std::uint64_t> connections{0};    // open
  std::atomic<std::uint64_t> connections_refused{0};
  std::atomic<std::uint64_t> streams{0};  // open
  std::atomic<std::uint64_t> streams_dropped{0};
  std::atomic<std::uint64_t> bytes_sent{0};
};

class HttpServer {
 public:
  // `stats` and `logger` must outlive the server. kCheckFailed when the port is in use or may not
  // be bound, kConfig for an address, token or certificate that will not do.
  static Result<std::unique_ptr<HttpServer>> start(HttpServerOptions options, Router router,
                                                   HttpStats& stats, Logger& logger);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;
  bool has_tls() const;
  void stop();

  class Implementation;

 private:
  explicit HttpServer(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace pgweir::server
