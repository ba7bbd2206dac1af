// The server behind TLS, with a certificate made for the test.
#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include <thread>

#include "harness/scratch.h"
#include "server/event_stream.h"
#include "server/http_server.h"
#include "server/test_certificate.h"
#include "server/test_client.h"

namespace pgweir::server {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class TlsClient {
 public:
  explicit TlsClient(std::uint16_t port) : tcp_(port) {
    context_ = SSL_CTX_new(TLS_client_method());
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, tcp_.descriptor());
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool connected() const { return connected_; }
  void send(std::string_view bytes) {
    SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
  }
  std::string read_until(std::string_view text) {
    std::string out;
    char byte;
    while (out.find(text) == std::string::npos && SSL_read(ssl_, &byte, 1) == 1) out += byte;
    return out;
  }
  std::string read_to_end() {
    std::string out;
    char bytes[16384];
    int size;
    while ((size = SSL_read(ssl_, bytes, sizeof bytes)) > 0)
      out.append(bytes, static_cast<std::size_t>(size));
    end_was_signed_ = SSL_get_error(ssl_, size) == SSL_ERROR_ZERO_RETURN;
    return out;
  }
  bool end_was_signed() const { return end_was_signed_; }

 private:
  TestClient tcp_;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
  bool end_was_signed_ = false;
};

struct Fixture {
  harness::ScratchFolder scratch;
  HttpStats stats;
  Logger logger{LogLevel::kOff};
  HttpServerOptions options;
  std::unique_ptr<HttpServer> server;

  Fixture() {
    options.listen = {"0.0.0.0", 0};
    options.token = "secret";
    options.certificate_file = scratch.file("server.crt");
    options.key_file = scratch.file("server.key");
    options.header_timeout = Milliseconds(2000);
    make_certificate(options.certificate_file, options.key_file);
  }
  Result<std::unique_ptr<HttpServer>> start() {
    Router router;
    router.add({"GET", "/large", [](const Request&) {
                  Response response;
                  response.body = std::string(3 << 20, 'x');
                  return response;
                }});
    router.add({"GET", "/events", [](const Request&) {
                  Response response;
                  response.stream = std::make_shared<EventStream>();
                  response.stream->send({"1", "change"});
                  return response;
                }});
    return HttpServer::start(options, std::move(router), stats, logger);
  }
};

TEST(Tls, ServesBeyondLoopbackWithATokenAndAnyHost) {
  Fixture f;
  const auto server = f.start().value();
  EXPECT_TRUE(server->has_tls());
  TlsClient client(server->port());
  ASSERT_TRUE(client.connected());
  client.send("GET /large HTTP/1.1\r\nHost: weir.example\r\n\r\n");
  EXPECT_THAT(client.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 401 "));
  client.read_until("}}");
  client.send(
      "GET /large HTTP/1.1\r\nHost: weir.example\r\nAuthorization: Bearer secret\r\n"
      "Connection: close\r\n\r\n");
  EXPECT_EQ(client.read_to_end().size() >> 20, 3u);
  EXPECT_TRUE(client.end_was_signed());
}

TEST(Tls, StreamsAndStops) {
  Fixture f;
  const auto server = f.start().value();
  TlsClient client(server->port());
  client.send("GET /events?token=secret HTTP/1.1\r\nHost: weir.example\r\n\r\n");
  EXPECT_THAT(client.read_until("data: change\n\n"), HasSubstr("text/event-stream"));
  std::jthread stopping([&] { server->stop(); });
  EXPECT_THAT(client.read_to_end(), HasSubstr("server_stopping"));
  EXPECT_TRUE(client.end_was_signed());
  stopping.join();
}

TEST(Tls, PlainRequestsAreNotAnswered) {
  Fixture f;
  const auto server = f.start().value();
  TestClient client(server->port());
  client.send("GET /large?token=secret HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.read_to_end(), testing::Not(HasSubstr("HTTP/1.1")));
}

TEST(Tls, KeyOfAnotherCertificateIsRefused) {
  Fixture f;
  make_certificate(f.scratch.file("other.crt"), f.options.key_file);
  const auto failure = f.start().error();
  EXPECT_EQ(failure.code, Code::kConfig);
  EXPECT_THAT(failure.message, StartsWith("the key '" + f.options.key_file + "' cannot be used ("));
}

}  // namespace
}  // namespace pgweir::server
