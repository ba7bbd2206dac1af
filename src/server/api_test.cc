// Every call of the native API, through a real socket and over a made-up backend.
#include "server/api.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "server/fake_backend.h"
#include "server/test_client.h"

namespace pgweir::server {
namespace {

using testing::HasSubstr;

struct Fixture {
  FakeBackend backend;
  HttpStats stats;
  Logger logger{LogLevel::kOff};
  io::FakeClock clock;
  std::unique_ptr<HttpServer> server;

  explicit Fixture(HttpServerOptions options = {}, ApiOptions api = {}) {
    options.listen.port = 0;
    Router router;
    add_api(router, backend, stats, clock, api);
    server = HttpServer::start(options, std::move(router), stats, logger).value();
  }
  Reply get(const std::string& target) { return TestClient(server->port()).get(target); }
  Reply post(const std::string& target, const std::string& body) {
    return TestClient(server->port()).post(target, body);
  }
};

nlohmann::json parse(const Reply& reply) {
  return nlohmann::json::parse(reply.body);
}

// "400 message | hint" of an error, to compare in one line.
std::string failure(const Reply& reply) {
  const auto error = parse(reply)["error"];
  return std::to_string(reply.status) + " " + error["code"].get<std::string>() + ": " +
         error["message"].get<std::string>() + " | " + error["hint"].get<std::string>();
}

TEST(Api, AnswersEveryBuiltCall) {
  Fixture f;
  for (const char* path :
       {"/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/tables", "/api/v1/views",
        "/api/v1/views/balance", "/api/v1/views/balance/rows", "/api/v1/activity",
        "/api/v1/activity/tables", "/api/v1/activity/heatmap"}) {
    const Reply reply = f.get(path);
    EXPECT_EQ(reply.status, 200) << path << reply.body;
    if (path != std::string("/metrics")) {
      EXPECT_TRUE(nlohmann::json::accept(reply.body)) << reply.body;
    }
  }
}

TEST(Api, WrongParametersAreNamed) {
  Fixture f;
  EXPECT_EQ(failure(f.get("/api/v1/views/balanse")),
            "404 not_found: there is no view 'balanse' | did you mean 'balance'?");
  EXPECT_EQ(failure(f.get("/api/v1/views/balance/rows?limt=5")),
            "400 invalid: unknown parameter 'limt' | did you mean 'limit'?");
  EXPECT_EQ(failure(f.get("/api/v1/changes")),
            "501 unsupported: GET /api/v1/changes is planned, but not built yet | "
            "docs/http_api.md lists the calls that are");
}

TEST(Api, SqlTakesParametersAndLimits) {
  Fixture f;
  const Reply reply = f.post("/api/v1/sql", R"({"sql":"SELECT 1","params":[1,"x",null,1.5,true]})");
  EXPECT_EQ(reply.status, 200);
  const auto body = parse(reply);
  EXPECT_EQ(body["rows"].dump(), "[[42,true]]");
  EXPECT_EQ(body["columns"][0]["name"], "n");
  EXPECT_EQ(body["position"], "0/16B3748");
  EXPECT_EQ(body["truncated"], false);
  EXPECT_EQ(f.backend.last_sql.parameters.size(), 5u);
  EXPECT_EQ(f.backend.last_sql.limit, 1000u);
}

TEST(Api, TailStreamsChanges) {
  Fixture f;
  TestClient client(f.server->port());
  client.send("GET /api/v1/tail?table=accounts&op=iu HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.read_until("retry: 2000\n\n"), HasSubstr("text/event-stream"));
  EXPECT_EQ(f.backend.last_tail.tables, std::vector<std::string>{"public.accounts"});
  f.backend.last_sink.lock()->send({"1:0/16B3748:1", R"({"op":"insert"})"});
  EXPECT_EQ(client.read_until("\n\n"), "id: 1:0/16B3748:1\ndata: {\"op\":\"insert\"}\n\n");
}

}  // namespace
}  // namespace pgweir::server
