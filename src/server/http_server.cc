#include "server/http_server.h"

#include <fmt/core.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <map>
#include <optional>
#include <thread>

#include "server/event_stream.h"
#include "server/guard.h"
#include "server/worker_pool.h"

namespace pgweir::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kWritePieceBytes = 256 * 1024;
constexpr std::size_t kReadPieceBytes = 16 * 1024;
constexpr std::size_t kLingerBytesMax = 4 * 1024 * 1024;
constexpr auto kLingerTimeout = std::chrono::seconds(2);
constexpr auto kAcceptRetry = std::chrono::milliseconds(100);

auto into(error_code& ec) {
  return asio::redirect_error(asio::use_awaitable, ec);
}

// A TCP connection with or without TLS, so that everything above it is compiled once.
class Transport {
 public:
  using executor_type = tcp::socket::executor_type;

  Transport(tcp::socket socket, ssl::context* context) : socket_(std::move(socket)) {
    if (context != nullptr) tls_.emplace(socket_, *context);
  }

  executor_type get_executor() { return socket_.get_executor(); }
  tcp::socket& socket() { return socket_; }
  ssl::stream<tcp::socket&>* tls() { return tls_ ? &*tls_ : nullptr; }

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
  tcp::socket socket_;
  std::optional<ssl::stream<tcp::socket&>> tls_;
};

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string without_line_breaks(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != '\r' && c != '\n' && c != '\0') out += c;
  }
  return out;
}

enum class After { kKeepAlive, kClose };

std::string render_head(const Response& response, After after) {
  std::string out =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  bool caching_said = false;
  for (const auto& [name, value] : response.headers) {
    out += name + ": " + without_line_breaks(value) + "\r\n";
    caching_said = caching_said || name == "Cache-Control";
  }
  if (!caching_said) out += "Cache-Control: no-store\r\n";
  if (response.stream) {
    out += "Content-Type: text/event-stream\r\n";
  } else if (response.status != 304) {
    out += "Content-Type: " + response.content_type + "\r\n";
    out += fmt::format("Content-Length: {}\r\n", response.body.size());
  }
  out +=
      "X-Content-Type-Options: nosniff\r\n"
      "Referrer-Policy: no-referrer\r\n"
      "Cross-Origin-Resource-Policy: same-origin\r\n";
  out +=
      after == After::kKeepAlive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return out;
}

// What to answer when a request could not be read; status 0: nothing, the client is gone.
Response unreadable(const error_code& ec, bool timed_out, const HttpServerOptions& options) {
  if (timed_out)
    return error_response(408, "timeout", "the request did not arrive in time",
                          "send the whole request at once");
  if (ec == http::error::header_limit || ec == http::error::buffer_overflow)
    return error_response(
        431, "header_too_large",
        fmt::format("the request's header is larger than {} bytes", options.header_bytes_max));
  if (ec == http::error::body_limit)
    return error_response(
        413, "too_large",
        fmt::format("the request's body is larger than {} bytes", options.request_bytes_max));
  const bool malformed = ec.category() == make_error_code(http::error::bad_method).category() &&
                         ec != http::error::end_of_stream && ec != http::error::partial_message;
  if (malformed)
    return error_response(400, "invalid", "the request is not HTTP/1.1 (" + ec.message() + ")");
  Response nothing;
  nothing.status = 0;
  return nothing;
}

}  // namespace

class Connection;

class HttpServer::Implementation {
 public:
  Implementation(HttpServerOptions the_options, Router the_router, HttpStats& the_stats,
                 Logger& the_logger)
      : options(std::move(the_options)),
        router(std::move(the_router)),
        stats(the_stats),
        logger(the_logger),
        query_lane(options.threads, options.queue_max),
        quick_lane(options.quick_threads, options.queue_max),
        release_lane(1, SIZE_MAX) {}
  ~Implementation() { stop(); }

  Status start();
  void stop();
  void forget(Connection* connection);
  void release(std::shared_ptr<void> owner);

  const HttpServerOptions options;
  const Router router;
  HttpStats& stats;
  Logger& logger;
  WorkerPool query_lane;
  WorkerPool quick_lane;
  WorkerPool release_lane;  // ends subscriptions, which may wait
  asio::io_context io{1};
  std::optional<ssl::context> tls;
  std::uint16_t port = 0;
  bool loopback = true;
  std::atomic<bool> stopping{false};
  std::size_t streams_open = 0;  // only the io thread's

 private:
  Result<tcp::endpoint> resolve();
  Status load_certificate();
  Status listen(const tcp::endpoint& endpoint);
  asio::awaitable<void> accept_all();
  void take_in(tcp::socket socket);
  void begin_stop();

  tcp::acceptor acceptor_{io};
  asio::steady_timer accept_timer_{io};
  asio::steady_timer stop_timer_{io};
  std::map<Connection*, std::weak_ptr<Connection>> connections_;
  std::thread thread_;
  bool stopped_ = false;
};

using Core = HttpServer::Implementation;

// One client: a coroutine that reads a request, has it answered, writes the answer, and so on.
// Lives on the io thread alone; only answered() and the streams' wake-up come from others.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Core& core, tcp::socket socket)
      : core_(core),
        transport_(std::move(socket), core.tls ? &*core.tls : nullptr),
        deadline_(core.io),
        wake_(core.io) {
    core_.stats.connections.fetch_add(1);
  }
  ~Connection() { core_.stats.connections.fetch_sub(1); }

  asio::awaitable<void> run();
  // Ends it as soon as what it is doing is done.
  void request_stop();
  void force_close();

 private:
  struct Exchange {
    Request request;
    const Route* route = nullptr;
    bool head_only = false;
    bool keep_alive = false;
    bool body_unread = false;
    bool has_page = false;  // answered by the fallback
  };
  using Parser = http::request_parser<http::string_body>;

  asio::awaitable<bool> serve_one(boost::beast::flat_buffer& buffer);
  asio::awaitable<bool> wait_for_request(boost::beast::flat_buffer& buffer);
  asio::awaitable<bool> read_body(boost::beast::flat_buffer& buffer, Parser& parser);
  std::optional<Response> prepare(const http::request<http::string_body>& message,
                                  Exchange& exchange);
  std::optional<Response> find_route(const Target& target, Exchange& exchange);
  std::optional<Response> refuse_stranger(const Exchange& exchange);
  asio::awaitable<Response> call_handler(Exchange& exchange);
  asio::awaitable<bool> write_response(Response response, bool head_only, After after);
  asio::awaitable<void> write_stream(Response response);
  asio::awaitable<bool> write_all(std::string_view bytes);
  asio::awaitable<void> watch_for_close();
  asio::awaitable<void> close_gently();

  void arm(Milliseconds timeout);
  void disarm();
  void wake();
  bool timed_out() const { return timed_out_; }

  Core& core_;
  Transport transport_;
  asio::steady_timer deadline_;
  asio::steady_timer wake_;
  std::uint64_t armed_ = 0;  // which deadline is meant
  bool timed_out_ = false;
  bool idle_ = false;  // between two requests
  bool stop_ = false;
  bool peer_gone_ = false;
  std::shared_ptr<EventStream> stream_;
};

// ---- deadlines

// After `timeout` whatever waits on the socket fails; timed_out() then says why.
void Connection::arm(Milliseconds timeout) {
  timed_out_ = false;
  const std::uint64_t mine = ++armed_;
  deadline_.expires_after(timeout);
  deadline_.async_wait([self = shared_from_this(), mine](error_code ec) {
    if (ec || self->armed_ != mine) return;
    self->timed_out_ = true;
    self->transport_.socket().cancel(ec);
  });
}

void Connection::disarm() {
  ++armed_;
  deadline_.cancel();
}

void Connection::wake() {
  asio::post(core_.io, [self = weak_from_this()] {
    if (const auto connection = self.lock()) connection->wake_.cancel();
  });
}

void Connection::request_stop() {
  stop_ = true;
  error_code ignored;
  if (idle_) transport_.socket().cancel(ignored);
  if (stream_) stream_->finish("server_stopping", "the server stops");
}

void Connection::force_close() {
  error_code ignored;
  transport_.socket().close(ignored);
}

// ---- reading

asio::awaitable<void> Connection::run() {
  error_code ec;
  transport_.socket().set_option(tcp::no_delay(true), ec);
  if (transport_.tls() != nullptr) {
    arm(core_.options.header_timeout);
    co_await transport_.tls()->async_handshake(ssl::stream_base::server, into(ec));
    disarm();
    if (ec) co_return;
  }
  boost::beast::flat_buffer buffer(core_.options.header_bytes_max + kReadPieceBytes);
  bool more = true;
  while (more && !stop_) more = co_await serve_one(buffer);
  co_await close_gently();
}

asio::awaitable<bool> Connection::wait_for_request(boost::beast::flat_buffer& buffer) {
  if (buffer.size() > 0) co_return true;
  error_code ec;
  idle_ = true;
  arm(core_.options.idle_timeout);
  const std::size_t size =
      co_await transport_.async_read_some(buffer.prepare(kReadPieceBytes), into(ec));
  disarm();
  idle_ = false;
  buffer.commit(size);
  co_return !ec && !stop_;
}

asio::awaitable<bool> Connection::read_body(boost::beast::flat_buffer& buffer, Parser& parser) {
  error_code ec;
  arm(core_.options.body_timeout);
  co_await http::async_read(transport_, buffer, parser, into(ec));
  disarm();
  if (!ec) co_return true;
  Response refusal = unreadable(ec, timed_out(), core_.options);
  if (refusal.status != 0) co_await write_response(std::move(refusal), false, After::kClose);
  co_return false;
}

// Reads and answers one request. False when the connection should end.
asio::awaitable<bool> Connection::serve_one(boost::beast::flat_buffer& buffer) {
  const bool arrived = co_await wait_for_request(buffer);
  if (!arrived) co_return false;
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(core_.options.header_bytes_max));
  parser.body_limit(core_.options.request_bytes_max);
  error_code ec;
  arm(core_.options.header_timeout);
  co_await http::async_read_header(transport_, buffer, parser, into(ec));
  disarm();
  if (ec) {
    Response refusal = unreadable(ec, timed_out(), core_.options);
    if (refusal.status != 0) co_await write_response(std::move(refusal), false, After::kClose);
    co_return false;
  }

  Exchange exchange;
  std::optional<Response> refusal = prepare(parser.get(), exchange);
  if (refusal) {
    const After after = parser.is_done() && exchange.keep_alive ? After::kKeepAlive : After::kClose;
    const bool written = co_await write_response(std::move(*refusal), exchange.head_only, after);
    co_return written&& after == After::kKeepAlive;
  }
  if (!parser.is_done()) {
    if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      const bool invited = co_await write_all("HTTP/1.1 100 Continue\r\n\r\n");
      if (!invited) co_return false;
    }
    const bool complete = co_await read_body(buffer, parser);
    if (!complete) co_return false;
  }
  exchange.request.body = std::move(parser.get().body());

  Response response = co_await call_handler(exchange);
  if (response.stream) {
    co_await write_stream(std::move(response));
    co_return false;
  }
  const After after = exchange.keep_alive && !stop_ ? After::kKeepAlive : After::kClose;
  const bool written = co_await write_response(std::move(response), exchange.head_only, after);
  co_return written&& after == After::kKeepAlive;
}

// ---- deciding

// Fills the exchange from the header alone, or says why it is refused.
std::optional<Response> Connection::prepare(const http::request<http::string_body>& message,
                                            Exchange& exchange) {
  Request& request = exchange.request;
  exchange.keep_alive = message.keep_alive();
  exchange.head_only = message.method() == http::verb::head;
  request.method = exchange.head_only ? "GET" : std::string(message.method_string());
  for (const auto& field : message)
    request.headers.emplace_back(lower_case(field.name_string()), std::string(field.value()));
  auto target = parse_target({message.target().data(), message.target().size()});
  if (!target.ok()) return error_response(target.error());
  request.path = target->path;
  request.query = target->query;

  const std::string* host = request.header("host");
  if (host == nullptr && message.version() >= 11)
    return error_response(400, "invalid", "the request has no Host header");
  if (host != nullptr && core_.loopback && !is_loopback_host(*host))
    return error_response(403, "forbidden",
                          fmt::format("'{}' is not a name of this machine's loopback", *host),
                          "use localhost or 127.0.0.1; to serve other machines set server.listen, "
                          "with a token and TLS");
  if (auto refusal = find_route(*target, exchange)) return refusal;
  return refuse_stranger(exchange);
}

std::optional<Response> Connection::find_route(const Target& target, Exchange& exchange) {
  RouteMatch match = core_.router.match(exchange.request.method, target.segments);
  exchange.route = match.route;
  exchange.request.placeholders = std::move(match.placeholders);
  if (exchange.route != nullptr) return std::nullopt;
  if (!match.allowed.empty()) {
    Response refusal = error_response(
        405, "method_not_allowed",
        fmt::format("{} does not take {}", exchange.request.path, exchange.request.method),
        "allowed: " + match.allowed);
    refusal.headers.emplace_back("Allow", match.allowed);
    return refusal;
  }
  exchange.route = core_.router.fallback();
  exchange.has_page = exchange.route != nullptr;
  if (exchange.has_page && exchange.request.method == "GET") return std::nullopt;
  return error_response(404, "not_found", "there is nothing at " + exchange.request.path,
                        "the calls are listed in docs/http_api.md");
}

std::optional<Response> Connection::refuse_stranger(const Exchange& exchange) {
  const Request& request = exchange.request;
  const std::string& token = core_.options.token;
  if (exchange.has_page && has_query_token(request, token))
    return move_token_to_cookie(request, token, core_.tls.has_value());
  if (exchange.route->access == Access::kToken && !has_token(request, token)) {
    Response refusal = error_response(
        401, "unauthorized", "this call needs the server's token",
        "send it as 'Authorization: Bearer TOKEN', or open the page once with ?token=TOKEN");
    refusal.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"pgweir\"");
    return refusal;
  }
  const std::string* origin = request.header("origin");
  const std::string* host = request.header("host");
  if (request.method != "GET" && origin != nullptr &&
      (host == nullptr || !is_same_origin(*origin, *host)))
    return error_response(403, "forbidden",
                          fmt::format("a page of '{}' may not call this server", *origin));
  return std::nullopt;
}

Response call_safely(const Handler& handler, const Request& request, Logger& logger) {
  try {
    return handler(request);
  } catch (const std::exception& failure) {
    logger.error("{} {} failed: {}", request.method, request.path, failure.what());
    return error_response(500, "internal", std::string("the call failed: ") + failure.what(),
                          "this is a mistake in pgweir; please report it");
  }
}

asio::awaitable<Response> Connection::call_handler(Exchange& exchange) {
  struct Slot {
    std::optional<Response> response;
    bool done = false;  // only the io thread's
  };
  const auto slot = std::make_shared<Slot>();
  WorkerPool& lane = exchange.route->lane == Lane::kQuery ? core_.query_lane : core_.quick_lane;
  // The coroutine, and with it the exchange, stays until the job has answered.
  const bool taken = lane.submit([self = shared_from_this(), slot, &exchange] {
    slot->response = call_safely(exchange.route->handler, exchange.request, self->core_.logger);
    asio::post(self->core_.io, [self, slot] {
      slot->done = true;
      self->wake_.cancel();
    });
  });
  if (!taken) {
    Response busy = error_response(503, "busy", "too many requests wait for an answer",
                                   "try again in a moment");
    busy.headers.emplace_back("Retry-After", "1");
    co_return busy;
  }
  while (!slot->done) {
    error_code ignored;
    wake_.expires_at(asio::steady_timer::time_point::max());
    co_await wake_.async_wait(into(ignored));
  }
  co_return std::move(*slot->response);
}

// ---- writing

asio::awaitable<bool> Connection::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    error_code ec;
    arm(core_.options.write_timeout);
    const std::size_t size = co_await transport_.async_write_some(
        asio::buffer(bytes.data(), std::min(bytes.size(), kWritePieceBytes)), into(ec));
    disarm();
    core_.stats.bytes_sent.fetch_add(size);
    bytes.remove_prefix(size);
    if (ec) co_return false;
  }
  co_return true;
}

asio::awaitable<bool> Connection::write_response(Response response, bool head_only, After after) {
  core_.stats.requests[std::min(response.status / 100, 5)].fetch_add(1);
  if (response.stream_owner) core_.release(std::move(response.stream_owner));
  std::string bytes = render_head(response, after);
  if (!head_only && response.status != 304) bytes += response.body;
  const bool written = co_await write_all(bytes);
  co_return written;
}

asio::awaitable<void> Connection::write_stream(Response response) {
  if (core_.streams_open >= core_.options.streams_max) {
    response.stream->abandon();
    core_.release(std::move(response.stream_owner));
    Response busy = error_response(
        503, "busy",
        fmt::format("{} event streams are open, no more are allowed", core_.streams_open));
    co_await write_response(std::move(busy), false, After::kClose);
    co_return;
  }
  ++core_.streams_open;
  core_.stats.streams.fetch_add(1);
  core_.stats.requests[2].fetch_add(1);
  stream_ = response.stream;
  stream_->attach([self = weak_from_this()] {
    if (const auto connection = self.lock()) connection->wake();
  });
  if (stop_) request_stop();
  asio::co_spawn(
      core_.io, [self = shared_from_this()] { return self->watch_for_close(); }, asio::detached);
  bool open = co_await write_all(render_head(response, After::kClose) + "retry: 2000\n\n");
  while (open && !peer_gone_) {
    const EventStream::Chunk chunk = stream_->take();
    if (!chunk.bytes.empty()) {
      open = co_await write_all(chunk.bytes);
      continue;
    }
    if (chunk.end) break;
    error_code ec;
    wake_.expires_after(core_.options.stream_heartbeat);
    co_await wake_.async_wait(into(ec));
    if (!ec) open = co_await write_all(": keepalive\n\n");
  }
  stream_->abandon();
  if (stream_->was_dropped()) core_.stats.streams_dropped.fetch_add(1);
  stream_.reset();
  core_.release(std::move(response.stream_owner));
  core_.stats.streams.fetch_sub(1);
  --core_.streams_open;
}

// Nothing more is expected from the reader of a stream, so a read only ends when it leaves.
asio::awaitable<void> Connection::watch_for_close() {
  const auto self = shared_from_this();
  char ignored_bytes[256];
  error_code ec;
  while (!ec) co_await transport_.async_read_some(asio::buffer(ignored_bytes), into(ec));
  peer_gone_ = true;
  wake_.cancel();
}

// Closing with unread bytes would make the kernel throw away the answer that the client has not yet
// read; so the end is announced, and what still comes is read for a moment.
asio::awaitable<void> Connection::close_gently() {
  error_code ec;
  transport_.socket().shutdown(tcp::socket::shutdown_send, ec);
  std::size_t left = kLingerBytesMax;
  char ignored_bytes[4096];
  if (!peer_gone_) arm(kLingerTimeout);
  while (!ec && !peer_gone_ && left > 0) {
    const std::size_t size = co_await transport_.socket().async_read_some(
        asio::buffer(ignored_bytes, std::min(left, sizeof ignored_bytes)), into(ec));
    left -= size;
  }
  disarm();
  transport_.socket().close(ec);
}

// ---- the server

Result<ListenAddress> parse_listen(std::string_view text) {
  const auto bad = [&] {
    return error(Code::kConfig, fmt::format("'{}' is not an address to listen on", text), {},
                 "write host:port, such as 127.0.0.1:8088 or [::1]:8088");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return bad();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad();
  }
  ListenAddress out;
  out.host = host;
  const auto [end, failure] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (failure != std::errc() || end != port.data() + port.size() || host.empty()) return bad();
  return out;
}

Result<tcp::endpoint> Core::resolve() {
  error_code ec;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.listen.host, std::to_string(options.listen.port),
                                      tcp::resolver::passive, ec);
  if (ec || found.empty())
    return error(Code::kConfig,
                 fmt::format("'{}' is not an address of this machine ({})", options.listen.host,
                             ec.message()),
                 {}, "set server.listen to host:port, such as 127.0.0.1:8088");
  return found.begin()->endpoint();
}

Status Core::load_certificate() {
  if (options.certificate_file.empty() && options.key_file.empty()) return {};
  if (options.certificate_file.empty() || options.key_file.empty())
    return error(Code::kConfig, "TLS needs both a certificate and a key", {},
                 "set server.tls.certificate and server.tls.key");
  tls.emplace(ssl::context::tls_server);
  error_code ec;
  tls->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                       ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1,
                   ec);
  tls->use_certificate_chain_file(options.certificate_file, ec);
  if (ec)
    return error(Code::kConfig,
                 fmt::format("the certificate '{}' cannot be used ({})", options.certificate_file,
                             ec.message()),
                 {}, "server.tls.certificate names a PEM file with the certificate and its chain");
  tls->use_private_key_file(options.key_file, ssl::context::pem, ec);
  if (ec)
    return error(Code::kConfig,
                 fmt::format("the key '{}' cannot be used ({})", options.key_file, ec.message()),
                 {}, "server.tls.key names the PEM file of the certificate's private key");
  return {};
}

Status Core::listen(const tcp::endpoint& endpoint) {
  error_code ec;
  acceptor_.open(endpoint.protocol(), ec);
  if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor_.bind(endpoint, ec);
  if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  if (ec == asio::error::address_in_use)
    return error(Code::kCheckFailed,
                 fmt::format("port {} on {} is in use", options.listen.port, options.listen.host),
                 {}, "another pgweir may be running; stop it, or set server.listen to a free port");
  if (ec)
    return error(Code::kCheckFailed,
                 fmt::format("cannot listen on port {} of {} ({})", options.listen.port,
                             options.listen.host, ec.message()),
                 {}, "set server.listen to an address of this machine and a port above 1023");
  port = acceptor_.local_endpoint(ec).port();
  return {};
}

Status Core::start() {
  TRY_ASSIGN(const tcp::endpoint endpoint, resolve());
  loopback = endpoint.address().is_loopback();
  TRY(load_certificate());
  if (!loopback && options.token.empty())
    return error(Code::kConfig, fmt::format("listening on {} needs a token", options.listen.host),
                 {}, "set server.token, or listen on 127.0.0.1 only");
  if (!loopback && !tls)
    return error(Code::kConfig, fmt::format("listening on {} needs TLS", options.listen.host), {},
                 "set server.tls.certificate and server.tls.key, or listen on 127.0.0.1 only");
  TRY(listen(endpoint));
  asio::co_spawn(io, accept_all(), asio::detached);
  thread_ = std::thread([this] { io.run(); });
  return {};
}

asio::awaitable<void> Core::accept_all() {
  while (acceptor_.is_open()) {
    error_code ec;
    tcp::socket socket = co_await acceptor_.async_accept(into(ec));
    if (!ec) {
      take_in(std::move(socket));
    } else if (acceptor_.is_open()) {
      // Out of file descriptors, mostly: waiting a moment is all that helps.
      logger.warning("cannot accept a connection: {}", ec.message());
      accept_timer_.expires_after(kAcceptRetry);
      co_await accept_timer_.async_wait(into(ec));
    }
  }
}

void Core::take_in(tcp::socket socket) {
  if (connections_.size() >= options.connections_max) {
    stats.connections_refused.fetch_add(1);
    Response busy = error_response(503, "busy", "too many connections are open");
    busy.headers.emplace_back("Retry-After", "1");
    error_code ignored;
    socket.non_blocking(true, ignored);
    if (!tls) {
      const std::string bytes = render_head(busy, After::kClose) + busy.body;
      socket.write_some(asio::buffer(bytes), ignored);
    }
    return;
  }
  const auto connection = std::make_shared<Connection>(*this, std::move(socket));
  connections_.emplace(connection.get(), connection);
  asio::co_spawn(
      io, [connection] { return connection->run(); },
      [this, connection](const std::exception_ptr&) { forget(connection.get()); });
}

void Core::forget(Connection* connection) {
  connections_.erase(connection);
  if (stopping && connections_.empty()) stop_timer_.cancel();
}

void Core::release(std::shared_ptr<void> owner) {
  if (owner) release_lane.submit([held = std::move(owner)]() mutable { held.reset(); });
}

void Core::begin_stop() {
  error_code ignored;
  acceptor_.close(ignored);
  accept_timer_.cancel();
  for (const auto& [address, weak] : connections_) {
    if (const auto connection = weak.lock()) connection->request_stop();
  }
  if (connections_.empty()) return;
  stop_timer_.expires_after(options.stop_timeout);
  stop_timer_.async_wait([this](error_code ec) {
    if (ec) return;
    for (const auto& [address, weak] : connections_) {
      if (const auto connection = weak.lock()) connection->force_close();
    }
  });
}

void Core::stop() {
  if (stopped_) return;
  stopped_ = true;
  if (thread_.joinable()) {
    stopping = true;
    asio::post(io, [this] { begin_stop(); });
    thread_.join();  // the io context has run out of work
  }
  query_lane.stop();
  quick_lane.stop();
  release_lane.stop();
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpServerOptions options, Router router,
                                                      HttpStats& stats, Logger& logger) {
  auto implementation =
      std::make_unique<Implementation>(std::move(options), std::move(router), stats, logger);
  TRY(implementation->start());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(implementation)));
}

HttpServer::HttpServer(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
HttpServer::~HttpServer() = default;
std::uint16_t HttpServer::port() const {
  return implementation_->port;
}
bool HttpServer::has_tls() const {
  return implementation_->tls.has_value();
}
void HttpServer::stop() {
  implementation_->stop();
}

}  // namespace pgweir::server
