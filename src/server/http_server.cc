#include "server/http_server.h"

#include <fmt/core.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <thread>

#include "server/connection_internal.h"

namespace pgweir::server {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using tcp = asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kAcceptRetry = std::chrono::milliseconds(100);
constexpr std::size_t kRefusalsMax = 32;  // clients that are being told that there are too many

}  // namespace

class HttpServer::Implementation {
 public:
  Implementation(HttpServerOptions options, Router router, HttpStats& stats, Logger& logger)
      : context_(std::move(options), std::move(router), stats, logger) {}
  ~Implementation() { stop(); }

  Status start();
  void stop();
  std::uint16_t port() const { return port_; }
  bool has_tls() const { return context_.tls.has_value(); }

 private:
  Result<tcp::endpoint> resolve();
  Status load_certificate();
  Status check_reach() const;
  Status listen(const tcp::endpoint& endpoint);
  asio::awaitable<void> accept_all();
  void take_in(tcp::socket socket);
  void forget(Connection* connection);
  void begin_stop();

  ServerContext context_;
  std::uint16_t port_ = 0;
  tcp::acceptor acceptor_{context_.io};
  asio::steady_timer accept_timer_{context_.io};
  asio::steady_timer stop_timer_{context_.io};
  std::map<Connection*, std::weak_ptr<Connection>> connections_;  // the io thread's
  bool stopping_ = false;                                         // the io thread's
  bool stopped_ = false;
  std::thread thread_;
};

using Core = HttpServer::Implementation;

// ---- starting

Result<tcp::endpoint> Core::resolve() {
  const ListenAddress& listen = context_.options.listen;
  error_code ec;
  tcp::resolver resolver(context_.io);
  const auto found =
      resolver.resolve(listen.host, std::to_string(listen.port), tcp::resolver::passive, ec);
  if (ec || found.empty())
    return error(
        Code::kConfig,
        fmt::format("'{}' is not an address of this machine ({})", listen.host, ec.message()), {},
        "set server.listen to host:port, such as 127.0.0.1:8088");
  return found.begin()->endpoint();
}

Status Core::load_certificate() {
  const std::string& certificate = context_.options.certificate_file;
  const std::string& key = context_.options.key_file;
  if (certificate.empty() && key.empty()) return {};
  if (certificate.empty() || key.empty())
    return error(Code::kConfig, "TLS needs both a certificate and a key", {},
                 "set server.tls.certificate and server.tls.key");
  ssl::context& tls = context_.tls.emplace(ssl::context::tls_server);
  error_code ec;
  tls.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                      ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1,
                  ec);
  tls.use_certificate_chain_file(certificate, ec);
  if (ec)
    return error(Code::kConfig,
                 fmt::format("the certificate '{}' cannot be used ({})", certificate, ec.message()),
                 {}, "server.tls.certificate names a PEM file with the certificate and its chain");
  tls.use_private_key_file(key, ssl::context::pem, ec);
  if (ec)
    return error(Code::kConfig, fmt::format("the key '{}' cannot be used ({})", key, ec.message()),
                 {}, "server.tls.key names the PEM file of the certificate's private key");
  return {};
}

// Beyond loopback nothing goes without a token and TLS.
Status Core::check_reach() const {
  const std::string& host = context_.options.listen.host;
  if (context_.loopback) return {};
  if (context_.options.token.empty())
    return error(Code::kConfig, fmt::format("listening on {} needs a token", host), {},
                 "set server.token, or listen on 127.0.0.1 only");
  if (!context_.tls)
    return error(Code::kConfig, fmt::format("listening on {} needs TLS", host), {},
                 "set server.tls.certificate and server.tls.key, or listen on 127.0.0.1 only");
  return {};
}

Status Core::listen(const tcp::endpoint& endpoint) {
  const ListenAddress& listen = context_.options.listen;
  error_code ec;
  acceptor_.open(endpoint.protocol(), ec);
  if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor_.bind(endpoint, ec);
  if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  if (ec == asio::error::address_in_use)
    return error(Code::kCheckFailed,
                 fmt::format("port {} on {} is in use", listen.port, listen.host), {},
                 "another pgweir may be running; stop it, or set server.listen to a free port");
  if (ec)
    return error(
        Code::kCheckFailed,
        fmt::format("cannot listen on port {} of {} ({})", listen.port, listen.host, ec.message()),
        {}, "set server.listen to an address of this machine and a port above 1023");
  port_ = acceptor_.local_endpoint(ec).port();
  return {};
}

Status Core::start() {
  TRY_ASSIGN(const tcp::endpoint endpoint, resolve());
  context_.loopback = endpoint.address().is_loopback();
  TRY(load_certificate());
  TRY(check_reach());
  TRY(listen(endpoint));
  asio::co_spawn(context_.io, accept_all(), asio::detached);
  thread_ = std::thread([this] { context_.io.run(); });
  return {};
}

// ---- running

asio::awaitable<void> Core::accept_all() {
  while (acceptor_.is_open()) {
    error_code ec;
    tcp::socket socket =
        co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, ec));
    if (!ec) {
      take_in(std::move(socket));
    } else if (acceptor_.is_open()) {
      // Out of file descriptors, mostly: waiting a moment is all that helps.
      context_.logger.warning("cannot accept a connection: {}", ec.message());
      accept_timer_.expires_after(kAcceptRetry);
      co_await accept_timer_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    }
  }
}

void Core::take_in(tcp::socket socket) {
  if (stopping_) return;
  auto welcome = Connection::Welcome::kServe;
  if (connections_.size() >= context_.options.connections_max) {
    context_.stats.connections_refused.fetch_add(1);
    if (connections_.size() >= context_.options.connections_max + kRefusalsMax) return;
    welcome = Connection::Welcome::kRefuse;
  }
  const auto connection = std::make_shared<Connection>(context_, std::move(socket), welcome);
  connections_.emplace(connection.get(), connection);
  asio::co_spawn(
      context_.io, [connection] { return connection->run(); },
      [this, connection](const std::exception_ptr&) { forget(connection.get()); });
}

void Core::forget(Connection* connection) {
  connections_.erase(connection);
  if (stopping_ && connections_.empty()) stop_timer_.cancel();
}

// ---- stopping

void Core::begin_stop() {
  stopping_ = true;
  error_code ignored;
  acceptor_.close(ignored);
  accept_timer_.cancel();
  for (const auto& [address, weak] : connections_) {
    if (const auto connection = weak.lock()) connection->request_stop();
  }
  if (connections_.empty()) return;
  stop_timer_.expires_after(context_.options.stop_timeout);
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
    asio::post(context_.io, [this] { begin_stop(); });
    thread_.join();  // the io context has run out of work
  }
  context_.query_lane.stop();
  context_.quick_lane.stop();
  context_.release_lane.stop();
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
  return implementation_->port();
}
bool HttpServer::has_tls() const {
  return implementation_->has_tls();
}
void HttpServer::stop() {
  implementation_->stop();
}

}  // namespace pgweir::server
