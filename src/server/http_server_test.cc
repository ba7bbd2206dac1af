// The HTTP server on real sockets, with clients that behave and clients that do not.
#include "server/http_server.h"

#include <gmock/gmock.h>

#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "harness/scratch.h"
#include "server/event_stream.h"
#include "server/test_client.h"

namespace pgweir::server {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// Opens once, and tells when somebody waits at it.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void wait_for_waiting(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= count; });
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

Response text(std::string body) {
  Response response;
  response.content_type = "text/plain";
  response.body = std::move(body);
  return response;
}

struct Fixture {
  Gate gate;
  HttpStats stats;
  Logger logger{LogLevel::kOff};
  std::shared_ptr<EventStream> stream;  // of the last /events, set before its answer begins
  std::unique_ptr<HttpServer> server;

  explicit Fixture(HttpServerOptions options = {}, EventStreamOptions streaming = {}) {
    options.listen.port = 0;
    server = HttpServer::start(options, routes(streaming), stats, logger).value();
  }
  ~Fixture() { gate.open(); }

  Router routes(EventStreamOptions streaming) {
    Router router;
    const auto say_hello = [](const Request&) { return text("hello"); };
    router.add({"GET", "/hello", say_hello});
    router.add({"GET", "/open", say_hello, Lane::kQuick, Access::kOpen});
    router.add({"GET", "/hello/{name}", [](const Request& request) {
                  return text("hello " + request.placeholder("name"));
                }});
    router.add({"POST", "/echo", [](const Request& request) { return text(request.body); }});
    router.add({"GET", "/slow",
                [this](const Request&) {
                  gate.pass();
                  return text("slow");
                },
                Lane::kQuery});
    router.add({"GET", "/large", [](const Request&) { return text(std::string(8 << 20, 'x')); }});
    router.add(
        {"GET", "/throws", [](const Request&) -> Response { throw std::runtime_error("broken"); }});
    router.add({"GET", "/splits", [](const Request&) {
                  Response response = text("");
                  response.headers.emplace_back("Location", "/a\r\nSet-Cookie: b=c");
                  return response;
                }});
    router.add({"GET", "/events", [this, streaming](const Request&) {
                  stream = std::make_shared<EventStream>(streaming);
                  stream->send({"0", "first"});
                  Response response;
                  response.stream = stream;
                  return response;
                }});
    return router;
  }

  Reply get(const std::string& target, const std::string& headers = {}) {
    return TestClient(server->port()).get(target, headers);
  }
  std::string raw(std::string_view bytes) {
    TestClient client(server->port());
    client.send(bytes);
    return client.read_to_end();
  }
};

TEST(HttpServer, KeepsConnectionsOpen) {
  Fixture f;
  TestClient client(f.server->port());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.get("/hello").body, "hello");
  EXPECT_EQ(client.get("/nothing").status, 404);
  EXPECT_EQ(client.get("/hello/a%2Fb").body, "hello a/b");
  EXPECT_EQ(client.post("/echo", "ping").body, "ping");
  EXPECT_EQ(f.stats.connections, 1u);
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  Fixture f;
  TestClient client(f.server->port());
  std::string requests;
  for (int i = 0; i < 200; ++i)
    requests += "GET /hello/" + std::to_string(i) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  client.send(requests);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(client.read_reply().body, "hello " + std::to_string(i));
}

TEST(HttpServer, HeadHasTheHeaderOfGetAndNoBody) {
  Fixture f;
  TestClient client(f.server->port());
  client.send("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const Reply reply = client.read_reply(false);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("Content-Length"), "5");
  EXPECT_EQ(client.get("/hello").body, "hello") << "nothing is left of a body";
}

TEST(HttpServer, WrongMethodNamesTheRightOnes) {
  Fixture f;
  const Reply reply = TestClient(f.server->port()).post("/hello", "");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.headers.at("Allow"), "GET, HEAD");
  EXPECT_EQ(TestClient(f.server->port()).post("/nothing", "").status, 404);
}

TEST(HttpServer, HalfClosedClientStillGetsItsAnswer) {
  Fixture f;
  TestClient client(f.server->port());
  client.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.finish_sending();
  EXPECT_EQ(client.read_reply().body.size(), 8u << 20);
}

// What a client sends, and how the answer begins.
TEST(HttpServer, BrokenRequestsAreRefused) {
  HttpServerOptions options;
  options.header_bytes_max = 1024;
  options.request_bytes_max = 10;
  Fixture f(options);
  const std::string long_header(5000, 'a');
  const std::pair<std::string, const char*> cases[] = {
      {"nonsense\r\n\r\n", "HTTP/1.1 400 "},
      {"GET /hello HTTP/3.0\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400 "},
      {"GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
      {"GET hello HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400 "},
      {"GET /%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 400 "},
      {"GET /%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 400 "},
      {"GET /hello HTTP/1.1\r\nHost: localhost\r\nX: " + long_header + "\r\n\r\n", "HTTP/1.1 431 "},
      {"GET /" + long_header + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 431 "},
      {"GET /" + std::string(50'000, 'a'), "HTTP/1.1 431 "},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n12345678901",
       "HTTP/1.1 413 "},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
       "b\r\n12345678901\r\n0\r\n\r\n",
       "HTTP/1.1 413 "},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
       "HTTP/1.1 400 "},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
       "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "HTTP/1.1 400 "},
      {"", ""},
      {"GET /hel", ""},
  };
  for (const auto& [bytes, expected] : cases) {
    TestClient client(f.server->port());
    client.send(bytes);
    client.finish_sending();
    EXPECT_EQ(client.read_to_end().substr(0, 13), expected) << bytes.substr(0, 80);
  }
}

TEST(HttpServer, TakesChunkedBodiesAndInvitesThem) {
  Fixture f;
  EXPECT_THAT(f.raw("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                    "Connection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
              EndsWith("\r\n\r\nabcde"));
  TestClient client(f.server->port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  EXPECT_EQ(client.read_reply().body, "ok");
}

TEST(HttpServer, OldClientsAreServedAndClosed) {
  Fixture f;
  EXPECT_THAT(f.raw("GET /hello HTTP/1.0\r\n\r\n"), EndsWith("\r\n\r\nhello"));
}

TEST(HttpServer, SlowRequestsTimeOut) {
  HttpServerOptions options;
  options.header_timeout = options.body_timeout = options.idle_timeout = Milliseconds(100);
  Fixture f(options);
  EXPECT_THAT(f.raw("GET /hello HT"), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(f.raw("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx"),
              StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(f.raw(""), "") << "an idle connection is closed without a word";
}

TEST(HttpServer, LoopbackAnswersOnlyToItsNames) {
  Fixture f;
  const std::pair<const char*, int> cases[] = {
      {"localhost", 200},
      {"LOCALHOST:1", 200},
      {"127.0.0.1:8088", 200},
      {"[::1]:8088", 200},
      {"[::1]", 200},
      {"evil.example", 403},
      {"evil.example:8088", 403},
      {"localhost.evil.example", 403},
      {"127.0.0.1.evil.example", 403},
      {"localhost:evil", 403},
      {"", 403},
      {"10.0.0.1", 403},
  };
  for (const auto& [host, status] : cases) {
    TestClient client(f.server->port());
    client.send(std::string("GET /hello HTTP/1.1\r\nHost: ") + host + "\r\n\r\n");
    EXPECT_EQ(client.read_reply().status, status) << host;
  }
}

TEST(HttpServer, PagesOfOtherOriginsMayNotPost) {
  Fixture f;
  const auto post = [&](const std::string& origin) {
    return TestClient(f.server->port()).post("/echo", "x", "Origin: " + origin + "\r\n").status;
  };
  EXPECT_EQ(post("http://localhost"), 200);
  EXPECT_EQ(post("https://evil.example"), 403);
  EXPECT_EQ(post("http://localhost:1"), 403);
  EXPECT_EQ(post("null"), 403);
}

TEST(HttpServer, TokenIsAskedFor) {
  HttpServerOptions options;
  options.token = "s3cret;&=";
  Fixture f(options);
  const std::pair<const char*, int> cases[] = {
      {"", 401},
      {"Authorization: Bearer s3cret;&=\r\n", 200},
      {"Authorization: bearer s3cret;&=\r\n", 200},
      {"Authorization: Bearer s3cret\r\n", 401},
      {"Authorization: Bearer \r\n", 401},
      {"Authorization: Basic s3cret;&=\r\n", 401},
      {"Cookie: a=b; pgweir_token=s3cret%3B%26%3D; c=d\r\n", 200},
      {"Cookie: pgweir_token=other\r\n", 401},
      {"Cookie: xpgweir_token=s3cret%3B%26%3D\r\n", 401},
  };
  for (const auto& [headers, status] : cases)
    EXPECT_EQ(f.get("/hello", headers).status, status) << headers;
  EXPECT_EQ(f.get("/hello?token=s3cret%3B%26%3D").status, 200);
  EXPECT_EQ(f.get("/hello?token=").status, 401);
  EXPECT_EQ(f.get("/open").status, 200);
  EXPECT_EQ(f.get("/hello").headers.at("WWW-Authenticate"), "Bearer realm=\"pgweir\"");
}

TEST(HttpServer, BodyOfAStrangerIsNotRead) {
  HttpServerOptions options;
  options.token = "secret";
  Fixture f(options);
  // Only the header is sent: the answer comes without the body.
  TestClient client(f.server->port());
  client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_EQ(client.read_reply().status, 401);
}

TEST(HttpServer, RefusesToServeOthersWithoutTokenAndTls) {
  HttpStats stats;
  Logger logger(LogLevel::kOff);
  HttpServerOptions options;
  options.listen = {"0.0.0.0", 0};
  const auto failure = [&] {
    const auto server = HttpServer::start(options, Router(), stats, logger);
    EXPECT_EQ(server.error().code, Code::kConfig);
    return server.error().text();
  };
  EXPECT_EQ(failure(),
            "listening on 0.0.0.0 needs a token. set server.token, or listen on 127.0.0.1 only");
  options.token = "secret";
  EXPECT_EQ(failure(),
            "listening on 0.0.0.0 needs TLS. set server.tls.certificate and server.tls.key, or "
            "listen on 127.0.0.1 only");
  options.certificate_file = "/nowhere.crt";
  EXPECT_EQ(
      failure(),
      "TLS needs both a certificate and a key. set server.tls.certificate and server.tls.key");
  options.key_file = "/nowhere.key";
  EXPECT_THAT(failure(), StartsWith("the certificate '/nowhere.crt' cannot be used (No such file"));
  options.listen = {"no such host", 0};
  EXPECT_THAT(failure(), StartsWith("'no such host' is not an address of this machine ("));
}

TEST(HttpServer, PortInUseIsACheckThatFailed) {
  Fixture f;
  HttpServerOptions options;
  options.listen.port = f.server->port();
  const auto second = HttpServer::start(options, Router(), f.stats, f.logger);
  EXPECT_EQ(second.error().code, Code::kCheckFailed);
  EXPECT_EQ(second.error().message,
            "port " + std::to_string(f.server->port()) + " on 127.0.0.1 is in use");
  EXPECT_EQ(second.error().hint,
            "another pgweir may be running; stop it, or set server.listen to a free port");
}

TEST(HttpServer, ThrowingHandlerIsAnInternalError) {
  Fixture f;
  const Reply reply = f.get("/throws");
  EXPECT_EQ(reply.status, 500);
  EXPECT_THAT(reply.body, HasSubstr("the call failed: broken"));
  EXPECT_EQ(f.get("/hello").status, 200);
}

TEST(HttpServer, HeaderValuesCannotBeginAnotherHeader) {
  Fixture f;
  EXPECT_EQ(f.get("/splits").headers.at("Location"), "/aSet-Cookie: b=c");
}

TEST(HttpServer, SlowQueriesDoNotDelayProbes) {
  HttpServerOptions options;
  options.threads = 1;
  options.queue_max = 1;
  Fixture f(options);
  TestClient first(f.server->port());
  first.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  f.gate.wait_for_waiting(1);
  EXPECT_EQ(f.get("/hello").status, 200);
  // One more may wait; which of the next two it is does not matter, the other is told to come back.
  TestClient second(f.server->port());
  TestClient third(f.server->port());
  second.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  third.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  while (f.stats.requests[5] == 0) std::this_thread::yield();
  f.gate.open();
  EXPECT_EQ(first.read_reply().body, "slow");
  const Reply a = second.read_reply();
  const Reply b = third.read_reply();
  EXPECT_EQ(a.status + b.status, 200 + 503);
  EXPECT_EQ((a.status == 503 ? a : b).headers.at("Retry-After"), "1");
}

TEST(HttpServer, ConnectionsBeyondTheLimitAreToldSo) {
  HttpServerOptions options;
  options.connections_max = 2;
  Fixture f(options);
  TestClient first(f.server->port());
  TestClient second(f.server->port());
  EXPECT_EQ(first.get("/hello").status, 200);
  EXPECT_EQ(second.get("/hello").status, 200);
  EXPECT_EQ(f.get("/hello").status, 503);
  EXPECT_EQ(f.stats.connections_refused, 1u);
  EXPECT_EQ(first.get("/hello").status, 200);
}

TEST(HttpServer, AHundredClientsAtOnce) {
  Fixture f;
  std::atomic<int> right{0};
  std::vector<std::jthread> clients;
  for (int client = 0; client < 100; ++client) {
    clients.emplace_back([&, client] {
      TestClient connection(f.server->port());
      for (int i = 0; i < 20; ++i) {
        const std::string name = std::to_string(client * 1000 + i);
        right += connection.get("/hello/" + name).body == "hello " + name;
      }
    });
  }
  for (std::jthread& client : clients) client.join();
  EXPECT_EQ(right, 2000);
  EXPECT_EQ(f.stats.requests[2], 2000u);
}

TEST(HttpServer, StreamEndsWithAReasonWhenTheServerStops) {
  Fixture f;
  TestClient client(f.server->port());
  TestClient idle(f.server->port());
  EXPECT_EQ(idle.get("/hello").status, 200);
  client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.read_until("id: 0\ndata: first\n\n"), HasSubstr("text/event-stream"));
  f.server->stop();
  EXPECT_EQ(client.read_to_end(),
            "event: end\ndata: {\"error\":{\"code\":\"server_stopping\",\"message\":\"the server "
            "stops\",\"hint\":\"\"}}\n\n");
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_EQ(f.stats.streams, 0u);
  EXPECT_EQ(f.stats.connections, 0u);
}

TEST(HttpServer, StopLetsRunningRequestsFinish) {
  Fixture f;
  TestClient client(f.server->port());
  client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  f.gate.wait_for_waiting(1);
  std::jthread stopping([&] { f.server->stop(); });
  // The listening socket is gone once nobody can connect any more.
  while (TestClient(f.server->port()).connected()) std::this_thread::yield();
  f.gate.open();
  const Reply reply = client.read_reply();
  stopping.join();
  EXPECT_EQ(reply.body, "slow");
  EXPECT_EQ(reply.headers.at("Connection"), "close");
}

TEST(HttpServer, StopDoesNotWaitForDeafReaders) {
  HttpServerOptions options;
  options.stop_timeout = Milliseconds(100);
  Fixture f(options);
  TestClient client(f.server->port(), 4096);
  client.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.read_until("\r\n\r\n");
  f.server->stop();
  EXPECT_LT(client.read_to_end().size(), 8u << 20);
}

TEST(HttpServer, SlowReaderOfAStreamIsDroppedWithAReason) {
  Fixture f({}, {64 * 1024});
  TestClient client(f.server->port(), 4096);
  client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.read_until("data: first\n\n");
  const std::string payload(1000, 'x');
  std::uint64_t sent = 0;
  // Until nothing more fits between the two, then further.
  while (f.stream->wait_for_room(Milliseconds(200)) == SinkState::kOpen)
    f.stream->send({std::to_string(++sent), payload});
  while (f.stream->send({std::to_string(++sent), payload}) == SinkState::kOpen) {
  }
  const std::string rest = client.read_to_end();
  EXPECT_THAT(rest, EndsWith("event: dropped\ndata: {\"error\":{\"code\":\"too_slow\",\"message\":"
                             "\"the reader left more than 65536 bytes of events unread\",\"hint\":"
                             "\"\"}}\n\n"));
  EXPECT_THAT(rest, StartsWith("id: 1\ndata: xxx")) << "what was on its way is whole and in order";
  f.server->stop();
  EXPECT_EQ(f.stats.streams_dropped, 1u);
}

TEST(HttpServer, ProducerThatWaitsForRoomLosesNothing) {
  Fixture f({}, {16 * 1024});
  TestClient client(f.server->port());
  client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.read_until("data: first\n\n");
  std::jthread producer([stream = f.stream] {
    for (int i = 1; i <= 20'000; ++i) {
      while (stream->wait_for_room(Milliseconds(1000)) == SinkState::kFull) {
      }
      stream->send({std::to_string(i), "change"});
    }
    stream->finish("done", "all sent");
  });
  const std::string all = client.read_to_end();
  producer.join();
  std::string expected;
  for (int i = 1; i <= 20'000; ++i) expected += "id: " + std::to_string(i) + "\ndata: change\n\n";
  EXPECT_EQ(all.substr(0, expected.size()), expected);
  EXPECT_THAT(all, HasSubstr("event: end\n"));
}

TEST(HttpServer, IdleStreamsAreKeptAliveAndLimited) {
  HttpServerOptions options;
  options.stream_heartbeat = Milliseconds(20);
  options.streams_max = 1;
  Fixture f(options);
  TestClient client(f.server->port());
  client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.read_until(": keepalive\n\n: keepalive\n\n");
  EXPECT_EQ(f.get("/events").status, 503);
}

TEST(HttpServer, RandomBytesDoNoHarm) {
  std::mt19937 random(harness::test_seed());
  HttpServerOptions options;
  options.header_timeout = options.idle_timeout = Milliseconds(200);
  Fixture f(options);
  const std::string valid =
      "POST /echo?a=%41 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
  for (int i = 0; i < 300; ++i) {
    std::string bytes = valid + valid;
    for (unsigned changes = random() % 8; changes > 0; --changes)
      bytes[random() % bytes.size()] = static_cast<char>(random() % 256);
    bytes.resize(random() % bytes.size());
    TestClient client(f.server->port());
    client.send(bytes);
    client.finish_sending();
    client.read_to_end();
  }
  EXPECT_EQ(f.get("/hello").status, 200);
}

TEST(ListenAddress, HostAndPort) {
  EXPECT_EQ(parse_listen("127.0.0.1:8088")->host, "127.0.0.1");
  EXPECT_EQ(parse_listen("[::1]:0")->host, "::1");
  EXPECT_EQ(parse_listen("localhost:65535")->port, 65535);
  for (const char* bad : {"", ":8088", "8088", "localhost", "localhost:", "localhost:65536",
                          "localhost:-1", "localhost:1x", "::1:8088", "[]:1"})
    EXPECT_EQ(parse_listen(bad).error().text(),
              std::string("'") + bad +
                  "' is not an address to listen on. write host:port, such as 127.0.0.1:8088 or "
                  "[::1]:8088");
}

}  // namespace
}  // namespace pgweir::server
