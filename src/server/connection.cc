#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <ctime>

#include "server/admission.h"
#include "server/connection_internal.h"
#include "server/event_stream.h"

namespace pgweir::server {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::awaitable;
using boost::system::error_code;

namespace {

constexpr std::size_t kWritePieceBytes = 256 * 1024;
constexpr std::size_t kReadPieceBytes = 16 * 1024;
constexpr std::size_t kLingerBytesMax = 4 * 1024 * 1024;
constexpr auto kLingerTimeout = std::chrono::seconds(2);

auto into(error_code& ec) {
  return asio::redirect_error(asio::use_awaitable, ec);
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// What to answer when a request could not be read; nothing when the client is gone.
std::optional<Response> answer_unreadable(const error_code& ec, bool timed_out,
                                          const HttpServerOptions& options) {
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
  if (!malformed) return std::nullopt;
  return error_response(400, "invalid", "the request is not HTTP/1.1 (" + ec.message() + ")");
}

Response busy_response(std::string_view message) {
  Response busy = error_response(503, "busy", message, "try again in a moment");
  busy.headers.emplace_back("Retry-After", "1");
  return busy;
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

}  // namespace

struct Connection::Input {
  explicit Input(std::size_t bytes_max) : buffer(bytes_max) {}
  boost::beast::flat_buffer buffer;
};

struct Connection::Exchange {
  http::request_parser<http::string_body> parser;
  Request request;
  const Route* route = nullptr;
  bool head_only = false;
  bool keep_alive = false;
};

Connection::Connection(ServerContext& context, Transport::Socket socket, Welcome welcome)
    : context_(context),
      welcome_(welcome),
      transport_(std::move(socket), context.tls ? &*context.tls : nullptr),
      deadline_(context.io),
      wake_(context.io) {
  context_.stats.connections.fetch_add(1);
}

Connection::~Connection() {
  context_.stats.connections.fetch_sub(1);
}

// ---- deadlines and ends

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
  asio::post(context_.io, [self = weak_from_this()] {
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

awaitable<void> Connection::run() {
  error_code ec;
  transport_.socket().set_option(asio::ip::tcp::no_delay(true), ec);
  if (transport_.tls() != nullptr) {
    arm(context_.options.header_timeout);
    co_await transport_.tls()->async_handshake(asio::ssl::stream_base::server, into(ec));
    disarm();
    if (ec) co_return;
  }
  if (welcome_ == Welcome::kServe) {
    co_await serve_all();
  } else {
    co_await write_last_response(busy_response("too many connections are open"), false);
  }
  co_await close();
}

// With TLS the end is signed. Where unread bytes may still come, closing at once would make the
// kernel throw away the answer that the client has not read yet: so they are read for a moment.
awaitable<void> Connection::close() {
  error_code ec;
  while (watching_) {
    transport_.socket().cancel(ec);
    wake_.expires_after(kLingerTimeout);
    co_await wake_.async_wait(into(ec));
  }
  if (!transport_.socket().is_open()) co_return;
  arm(kLingerTimeout);
  if (transport_.tls() != nullptr && !peer_gone_) {
    // As if the client had signed its end already: only ours is sent, none is waited for.
    SSL_set_shutdown(transport_.tls()->native_handle(), SSL_RECEIVED_SHUTDOWN);
    co_await transport_.tls()->async_shutdown(into(ec));
  }
  transport_.socket().shutdown(Transport::Socket::shutdown_send, ec);
  std::size_t left = linger_ ? kLingerBytesMax : 0;
  char ignored_bytes[4096];
  while (!ec && left > 0) {
    const std::size_t size = co_await transport_.socket().async_read_some(
        asio::buffer(ignored_bytes, std::min(left, sizeof ignored_bytes)), into(ec));
    left -= size;
  }
  disarm();
  transport_.socket().close(ec);
}

// ---- reading

awaitable<void> Connection::serve_all() {
  Input input(context_.options.header_bytes_max + kReadPieceBytes);
  bool more = true;
  while (more && !stop_) more = co_await serve_one(input);
}

awaitable<bool> Connection::wait_for_request(Input& input) {
  if (input.buffer.size() > 0) co_return true;
  error_code ec;
  idle_ = true;
  arm(context_.options.idle_timeout);
  const std::size_t size =
      co_await transport_.async_read_some(input.buffer.prepare(kReadPieceBytes), into(ec));
  disarm();
  idle_ = false;
  input.buffer.commit(size);
  co_return !ec && !stop_;
}

// Reads the header and decides by it. False when the request is already answered, or cannot be.
awaitable<bool> Connection::read_head(Input& input, Exchange& exchange) {
  auto& parser = exchange.parser;
  parser.header_limit(static_cast<std::uint32_t>(context_.options.header_bytes_max));
  parser.body_limit(context_.options.request_bytes_max);
  error_code ec;
  arm(context_.options.header_timeout);
  co_await http::async_read_header(transport_, input.buffer, parser, into(ec));
  disarm();
  if (ec) {
    exchange.keep_alive = false;
    auto answer = answer_unreadable(ec, timed_out_, context_.options);
    if (answer) co_await write_last_response(std::move(*answer), false);
    co_return false;
  }
  const auto& message = parser.get();
  Request& request = exchange.request;
  exchange.keep_alive = message.keep_alive();
  exchange.head_only = message.method() == http::verb::head;
  request.method = exchange.head_only ? "GET" : std::string(message.method_string());
  for (const auto& field : message)
    request.headers.emplace_back(lower_case(field.name_string()), std::string(field.value()));
  const AdmissionRules rules{context_.options.token, context_.loopback, context_.tls.has_value()};
  Admission admission =
      request.header("host") == nullptr && message.version() >= 11
          ? Admission{nullptr, error_response(400, "invalid", "the request has no Host header")}
          : admit(request, {message.target().data(), message.target().size()}, context_.router,
                  rules);
  exchange.route = admission.route;
  if (!admission.refusal) co_return true;
  if (parser.is_done() && exchange.keep_alive) {
    exchange.keep_alive = co_await write_response(std::move(*admission.refusal), exchange.head_only,
                                                  After::kKeepAlive);
  } else {
    exchange.keep_alive = false;
    co_await write_last_response(std::move(*admission.refusal), exchange.head_only);
  }
  co_return false;
}

awaitable<bool> Connection::read_body(Input& input, Exchange& exchange) {
  auto& parser = exchange.parser;
  if (parser.is_done()) co_return true;
  if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    const bool invited = co_await write_all("HTTP/1.1 100 Continue\r\n\r\n");
    if (!invited) co_return false;
  }
  error_code ec;
  arm(context_.options.body_timeout);
  co_await http::async_read(transport_, input.buffer, parser, into(ec));
  disarm();
  if (!ec) {
    exchange.request.body = std::move(parser.get().body());
    co_return true;
  }
  auto answer = answer_unreadable(ec, timed_out_, context_.options);
  if (answer) co_await write_last_response(std::move(*answer), false);
  co_return false;
}

// Reads and answers one request. False when the connection should end.
awaitable<bool> Connection::serve_one(Input& input) {
  const bool arrived = co_await wait_for_request(input);
  if (!arrived) co_return false;
  Exchange exchange;
  const bool admitted = co_await read_head(input, exchange);
  if (!admitted) co_return exchange.keep_alive;
  const bool complete = co_await read_body(input, exchange);
  if (!complete) co_return false;

  Response response = co_await call_handler(exchange);
  if (response.stream && !exchange.head_only) {
    co_await write_stream(std::move(response));
    co_return false;
  }
  const bool keep = exchange.keep_alive && !stop_ && !response.stream;
  const bool written = co_await write_response(std::move(response), exchange.head_only,
                                               keep ? After::kKeepAlive : After::kClose);
  co_return written&& keep;
}

// ---- answering

awaitable<Response> Connection::call_handler(Exchange& exchange) {
  struct Slot {
    std::optional<Response> response;
    bool done = false;  // the io thread's
  };
  const auto slot = std::make_shared<Slot>();
  WorkerPool& lane =
      exchange.route->lane == Lane::kQuery ? context_.query_lane : context_.quick_lane;
  // The coroutine, and with it the exchange, stays until the job has answered.
  const bool taken = lane.submit([self = shared_from_this(), slot, &exchange] {
    slot->response = call_safely(exchange.route->handler, exchange.request, self->context_.logger);
    asio::post(self->context_.io, [self, slot] {
      slot->done = true;
      self->wake_.cancel();
    });
  });
  if (!taken) co_return busy_response("too many requests wait for an answer");
  while (!slot->done) {
    error_code ignored;
    wake_.expires_at(asio::steady_timer::time_point::max());
    co_await wake_.async_wait(into(ignored));
  }
  co_return std::move(*slot->response);
}

awaitable<bool> Connection::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    error_code ec;
    arm(context_.options.write_timeout);
    const std::size_t size = co_await transport_.async_write_some(
        asio::buffer(bytes.data(), std::min(bytes.size(), kWritePieceBytes)), into(ec));
    disarm();
    context_.stats.bytes_sent.fetch_add(size);
    bytes.remove_prefix(size);
    if (ec) co_return false;
  }
  co_return true;
}

awaitable<bool> Connection::write_response(Response response, bool head_only, After after) {
  context_.stats.requests[std::clamp(response.status / 100, 0, 5)].fetch_add(1);
  if (response.stream) response.stream->abandon();
  context_.release(std::move(response.stream_owner));
  std::string bytes = render_head(response, after, std::time(nullptr));
  if (!head_only && response.status != 304) bytes += response.body;
  const bool written = co_await write_all(bytes);
  co_return written;
}

awaitable<void> Connection::write_last_response(Response response, bool head_only) {
  linger_ = true;
  co_await write_response(std::move(response), head_only, After::kClose);
}

awaitable<void> Connection::write_stream(Response response) {
  if (context_.streams_open >= context_.options.streams_max) {
    response.stream->abandon();
    context_.release(std::move(response.stream_owner));
    Response busy = busy_response(
        fmt::format("{} event streams are open, no more are allowed", context_.streams_open));
    co_await write_response(std::move(busy), false, After::kClose);
    co_return;
  }
  ++context_.streams_open;
  context_.stats.streams.fetch_add(1);
  context_.stats.requests[2].fetch_add(1);
  stream_ = response.stream;
  stream_->attach([self = weak_from_this()] {
    if (const auto connection = self.lock()) connection->wake();
  });
  if (stop_) request_stop();
  watching_ = true;
  asio::co_spawn(
      context_.io, [self = shared_from_this()] { return self->watch_for_close(); }, asio::detached);
  const std::string head = render_head(response, After::kClose, std::time(nullptr));
  const bool open = co_await write_all(head + "retry: 2000\n\n");
  if (open) co_await write_events();
  stream_->abandon();
  if (stream_->was_dropped()) context_.stats.streams_dropped.fetch_add(1);
  stream_.reset();
  context_.release(std::move(response.stream_owner));
  context_.stats.streams.fetch_sub(1);
  --context_.streams_open;
}

awaitable<void> Connection::write_events() {
  bool open = true;
  while (open && !peer_gone_) {
    const EventStream::Chunk chunk = stream_->take();
    if (!chunk.bytes.empty()) {
      open = co_await write_all(chunk.bytes);
      continue;
    }
    if (chunk.end) co_return;
    error_code ec;
    wake_.expires_after(context_.options.stream_heartbeat);
    co_await wake_.async_wait(into(ec));
    if (!ec) open = co_await write_all(": keepalive\n\n");
  }
}

// Nothing more is expected from the reader of a stream, so a read only ends when it leaves.
awaitable<void> Connection::watch_for_close() {
  const auto self = shared_from_this();
  char ignored_bytes[256];
  error_code ec;
  while (!ec) co_await transport_.async_read_some(asio::buffer(ignored_bytes), into(ec));
  peer_gone_ = ec != asio::error::operation_aborted;
  watching_ = false;
  wake_.cancel();
}

}  // namespace pgweir::server
