// One client of the HTTP server. Private to http_server.cc and connection.cc: Asio stays in these
// two, Beast in connection.cc.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string_view>

#include "server/http_server.h"
#include "server/response_head.h"
#include "server/worker_pool.h"

namespace pgweir::server {

// What all connections share; owned by the server, which outlives them.
struct ServerContext {
  const HttpServerOptions options;
  const Router router;
  HttpStats& stats;
  Logger& logger;
  WorkerPool query_lane;
  WorkerPool quick_lane;
  WorkerPool release_lane;  // ends subscriptions, which may wait
  boost::asio::io_context io{1};
  std::optional<boost::asio::ssl::context> tls;
  bool loopback = true;
  std::size_t streams_open = 0;  // the io thread's

  ServerContext(HttpServerOptions the_options, Router the_router, HttpStats& the_stats,
                Logger& the_logger)
      : options(std::move(the_options)),
        router(std::move(the_router)),
        stats(the_stats),
        logger(the_logger),
        query_lane(options.threads, options.queue_max),
        quick_lane(options.quick_threads, options.connections_max),
        release_lane(1, SIZE_MAX) {}

  // Lets go of what stands behind a stream, away from the io thread.
  void release(std::shared_ptr<void> owner) {
    if (owner) release_lane.submit([held = std::move(owner)]() mutable { held.reset(); });
  }
};

// A TCP connection with or without TLS, so that everything above it is compiled once.
class Transport {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using executor_type = Socket::executor_type;

  Transport(Socket socket, boost::asio::ssl::context* context) : socket_(std::move(socket)) {
    if (context != nullptr) tls_.emplace(socket_, *context);
  }

  executor_type get_executor() { return socket_.get_executor(); }
  Socket& socket() { return socket_; }
  boost::asio::ssl::stream<Socket&>* tls() { return tls_ ? &*tls_ : nullptr; }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    if (tls_) return tls_->async_read_some(buffers, std::forward<Token>(token));
    return socket_.async_read_some(buffers, std::forward<Token>(token));
  }

  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    if (tls_) return tls_->async_write_some(buffers, std::forward<Token>(token));
    return socket_.async_write_some(buffers, std::forward<Token>(token));
  }

 private:
  Socket socket_;
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
};

// A coroutine that reads a request, has it answered on a worker thread, writes the answer, and so
// on. Lives on the io thread alone; workers and streams only post to it.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // What to do with the client: a full server says so and closes.
  enum class Welcome { kServe, kRefuse };

  Connection(ServerContext& context, Transport::Socket socket, Welcome welcome);
  ~Connection();

  boost::asio::awaitable<void> run();
  // Ends it as soon as what it is doing is done.
  void request_stop();
  void force_close();

 private:
  template <typename T>
  using Awaitable = boost::asio::awaitable<T>;
  struct Input;     // what was read and not yet used
  struct Exchange;  // one request on its way to an answer

  Awaitable<void> serve_all();
  Awaitable<bool> serve_one(Input& input);
  Awaitable<bool> wait_for_request(Input& input);
  Awaitable<bool> read_head(Input& input, Exchange& exchange);
  Awaitable<bool> read_body(Input& input, Exchange& exchange);
  Awaitable<Response> call_handler(Exchange& exchange);
  Awaitable<bool> write_response(Response response, bool head_only, After after);
  // Answers a request that is not read to its end.
  Awaitable<void> write_last_response(Response response, bool head_only);
  Awaitable<void> write_stream(Response response);
  Awaitable<void> write_events();
  Awaitable<bool> write_all(std::string_view bytes);
  Awaitable<void> watch_for_close();
  Awaitable<void> close();

  // After `timeout` whatever waits on the socket fails, and timed_out_ says why.
  void arm(Milliseconds timeout);
  void disarm();
  void wake();  // from any thread

  ServerContext& context_;
  const Welcome welcome_;
  Transport transport_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer wake_;
  std::uint64_t armed_ = 0;  // which deadline is meant
  bool timed_out_ = false;
  bool idle_ = false;  // between two requests
  bool stop_ = false;
  bool linger_ = false;  // something unread may follow the last answer
  bool watching_ = false;
  bool peer_gone_ = false;
  std::shared_ptr<EventStream> stream_;
};

}  // namespace pgweir::server
