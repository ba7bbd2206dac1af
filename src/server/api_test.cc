// Every call of the native API, through a real socket and over a made-up backend.
#include "server/api.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "server/fake_backend.h"
#include "server/test_client.h"

namespace pgweir::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Fixture {
  FakeBackend backend;
  HttpStats stats;
  Logger logger{LogLevel::kOff};
  io::FakeClock clock;
  std::unique_ptr<HttpServer> server;

  explicit Fixture(ApiOptions api = {}) {
    clock.advance(std::chrono::microseconds(kFakeTime - clock.now_us()));
    HttpServerOptions options;
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

// "400 invalid: message | hint" of an error, to compare in one line.
std::string failure(const Reply& reply) {
  const auto error = parse(reply)["error"];
  return std::to_string(reply.status) + " " + error["code"].get<std::string>() + ": " +
         error["message"].get<std::string>() + " | " + error["hint"].get<std::string>();
}

TEST(Api, AnswersEveryBuiltCall) {
  Fixture f;
  for (const char* path :
       {"/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/tables", "/api/v1/views",
        "/api/v1/views/balance", "/api/v1/views/per%2Fminute", "/api/v1/views/balance/rows",
        "/api/v1/activity", "/api/v1/activity/tables", "/api/v1/activity/heatmap"}) {
    const Reply reply = f.get(path);
    EXPECT_EQ(reply.status, 200) << path << reply.body;
    if (path != std::string("/metrics")) {
      EXPECT_TRUE(nlohmann::json::accept(reply.body)) << reply.body;
      EXPECT_EQ(reply.headers.at("Content-Type"), "application/json");
      EXPECT_EQ(reply.headers.at("Cache-Control"), "no-store");
    }
  }
}

TEST(Api, UnbuiltCallsSayUnsupported) {
  Fixture f;
  for (const char* path :
       {"/api/v1/transactions", "/api/v1/changes", "/api/v1/wal", "/api/v1/advice",
        "/api/v1/alerts", "/api/v1/reports", "/connectors", "/connectors/x"})
    EXPECT_EQ(failure(f.get(path)), std::string("501 unsupported: GET ") + path +
                                        " is planned, but not built yet | docs/http_api.md lists "
                                        "the calls that are");
  EXPECT_EQ(f.post("/api/v1/sinks/lake/pause", "").status, 501);
  EXPECT_EQ(f.get("/api/v1/views/balance/rows?format=parquet").status, 501);
}

TEST(Api, WrongParametersAreNamed) {
  Fixture f;
  const std::pair<const char*, const char*> cases[] = {
      {"/api/v1/views/balanse",
       "404 not_found: there is no view 'balanse' | did you mean 'balance'?"},
      {"/api/v1/views/zzz/rows",
       "404 not_found: there is no view 'zzz' | known: balance, per/minute, apart"},
      {"/api/v1/views/per%2fminute/rows", "503 unavailable: view 'per/minute' has failed | "},
      {"/api/v1/status?x=1", "400 invalid: unknown parameter 'x' | this call takes no parameters"},
      {"/api/v1/views/balance/rows?limt=5",
       "400 invalid: unknown parameter 'limt' | did you mean 'limit'?"},
      {"/api/v1/views/balance/rows?limit=1&limit=2",
       "400 invalid: parameter 'limit' is given twice | give it once"},
      {"/api/v1/views/balance/rows?limit=-1",
       "400 invalid: parameter 'limit' is '-1', not a whole number from 0 to 10000 | "},
      {"/api/v1/views/balance/rows?limit=10001",
       "400 invalid: parameter 'limit' is '10001', not a whole number from 0 to 10000 | "},
      {"/api/v1/views/balance/rows?offset=1e3",
       "400 invalid: parameter 'offset' is '1e3', not a whole number from 0 to "
       "9223372036854775807 | "},
      {"/api/v1/views/balance/rows?order=-balanc",
       "400 invalid: parameter 'order' names 'balanc', which is no column of the view | did you "
       "mean 'balance'?"},
      {"/api/v1/views/balance/rows?order=a,,b",
       "400 invalid: parameter 'order' holds an empty name | write names with commas between them"},
      {"/api/v1/views/balance/rows?format=xml",
       "400 invalid: parameter 'format' is 'xml' | one of json, csv, parquet"},
      {"/api/v1/activity?from=yesterday",
       "400 invalid: parameter 'from' is 'yesterday', not a time | write ISO 8601 with a zone, "
       "such as 2026-11-21T14:00:00Z"},
      {"/api/v1/activity?from=2026-11-21&to=2026-11-20",
       "400 invalid: parameter 'from' is 2026-11-21T00:00:00Z, not before 'to', "
       "2026-11-20T00:00:00Z | "},
      {"/api/v1/activity?bucket=week",
       "400 invalid: parameter 'bucket' is 'week' | one of minute, hour, day"},
      {"/api/v1/activity?op=insert,upsert",
       "400 invalid: parameter 'op' holds 'upsert' | any of insert, update, delete, truncate, "
       "read, message, or of the letters iudtrm"},
      {"/api/v1/activity?table=public.acounts",
       "404 not_found: there is no captured table 'public.acounts' | did you mean "
       "'public.accounts'?"},
      {"/api/v1/activity?table=acounts",
       "404 not_found: there is no captured table 'acounts' | did you mean 'public.accounts'?"},
      {"/api/v1/activity?from=2020-01-01&to=2026-01-01&bucket=minute",
       "400 invalid: parameter 'bucket' is 'minute', which makes 3156480 buckets, more than 10000 "
       "| ask for longer buckets or a shorter range"},
      {"/api/v1/tail?from=now",
       "400 invalid: parameter 'from' is 'now', neither an LSN nor a time | such as 0/16B3748 or "
       "2026-11-21T14:00:00Z"},
      {"/api/v1/tail?from=0/1", "404 not_found: the log begins at 0/16B0000 | begin there"},
      {"/api/v1/nothing",
       "404 not_found: there is nothing at /api/v1/nothing | the calls are listed in "
       "docs/http_api.md"},
      {"/api/v1/status/",
       "404 not_found: there is nothing at /api/v1/status/ | the calls are "
       "listed in docs/http_api.md"},
      {"/api/v1/sql", "405 method_not_allowed: /api/v1/sql does not take GET | allowed: POST"},
  };
  for (const auto& [target, expected] : cases) EXPECT_EQ(failure(f.get(target)), expected);
}

TEST(Api, RowsPassLimitOffsetAndOrderOn) {
  Fixture f;
  const Reply reply =
      f.get("/api/v1/views/balance/rows?limit=2&offset=5&order=-balance,account_id");
  const auto body = parse(reply);
  EXPECT_EQ(body["rows"].dump(), R"([[1,"10.50"],["9007199254740993",null]])");
  EXPECT_EQ(body["total"], 100);
  EXPECT_EQ(body["time"], "2026-11-21T14:00:00Z");
  const RowsRequest asked = f.backend.asked().rows;
  EXPECT_EQ(asked.limit, 2u);
  EXPECT_EQ(asked.offset, 5u);
  ASSERT_EQ(asked.order.size(), 2u);
  EXPECT_TRUE(asked.order[0].column == "balance" && asked.order[0].descending);
  EXPECT_TRUE(asked.order[1].column == "account_id" && !asked.order[1].descending);
}

TEST(Api, RowsAsCsvCarryThePosition) {
  Fixture f;
  const Reply reply = f.get("/api/v1/views/balance/rows?format=csv");
  EXPECT_EQ(reply.body, "account_id,balance\r\n1,10.50\r\n9007199254740993,\r\n");
  EXPECT_EQ(reply.headers.at("Pgweir-Position"), "0/16B3748");
}

TEST(Api, RowsAndSqlWaitForTheFirstSnapshot) {
  Fixture f;
  f.backend.set_readiness({false, {"the first snapshot is being read", "engine lags"}});
  const Reply rows = f.get("/api/v1/views/balance/rows");
  EXPECT_EQ(failure(rows),
            "503 snapshot_in_progress: the first snapshot of the source is not complete yet | GET "
            "/api/v1/status shows its progress");
  EXPECT_EQ(rows.headers.at("Retry-After"), "1");
  EXPECT_EQ(f.post("/api/v1/sql", R"({"sql":"SELECT 1"})").status, 503);
  EXPECT_EQ(failure(f.get("/readyz")),
            "503 not_ready: the first snapshot is being read; engine lags | GET /api/v1/status "
            "says more");
  EXPECT_EQ(f.get("/healthz").status, 200);
  EXPECT_EQ(f.get("/api/v1/status").status, 200);
}

TEST(Api, SqlTakesParametersAndLimits) {
  Fixture f;
  const Reply reply = f.post("/api/v1/sql", R"({"sql":"SELECT 1","params":[1,"x",null,1.5,true,
      18446744073709551615],"limit":5,"timeout_ms":250})");
  EXPECT_EQ(reply.status, 200) << reply.body;
  const auto body = parse(reply);
  EXPECT_EQ(body["rows"].dump(), "[[42,true]]");
  EXPECT_EQ(body["columns"][0]["name"], "n");
  EXPECT_EQ(body["position"], "0/16B3748");
  EXPECT_EQ(body["truncated"], false);
  const SqlRequest asked = f.backend.asked().sql;
  EXPECT_THAT(
      asked.parameters,
      ElementsAre(SqlParameter(std::int64_t{1}), SqlParameter("x"), SqlParameter(std::monostate()),
                  SqlParameter(1.5), SqlParameter(true), SqlParameter("18446744073709551615")));
  EXPECT_EQ(asked.limit, 5u);
  EXPECT_EQ(asked.timeout, Milliseconds(250));
}

TEST(Api, WrongSqlRequestsAreNamed) {
  Fixture f;
  f.backend.set_sql([](const SqlRequest& request) -> Result<SqlAnswer> {
    if (request.sql == "slow") return error(Code::kTimeout, "the query took longer than 10s");
    return error(Code::kInvalid, "Parser Error: syntax error at or near \"x\"", "line 1");
  });
  const std::string form =
      R"( | send {"sql":"SELECT …","params":[],"limit":1000,"timeout_ms":10000})";
  const std::pair<const char*, std::string> cases[] = {
      {"{", R"(400 invalid: the request's body is not a JSON object | send {"sql":"SELECT …"})"},
      {"[]", R"(400 invalid: the request's body is not a JSON object | send {"sql":"SELECT …"})"},
      {"{}", "400 invalid: field 'sql' is missing or not a text" + form},
      {R"({"sql":""})", "400 invalid: field 'sql' is missing or not a text" + form},
      {R"({"sql":"x","limits":1})",
       "400 invalid: unknown field 'limits' | known: sql, params, limit, timeout_ms"},
      {R"({"sql":"x","limit":0})",
       "400 invalid: field 'limit' is not a whole number from 1 to 100000" + form},
      {R"({"sql":"x","timeout_ms":60001})",
       "400 invalid: field 'timeout_ms' is not a whole number from 1 to 60000" + form},
      {R"({"sql":"x","params":{}})", "400 invalid: field 'params' is not a list" + form},
      {R"({"sql":"x","params":[1,[2]]})",
       "400 invalid: field 'params' holds a list or an object as parameter 2" + form},
      {R"({"sql":"x"})", "400 invalid: Parser Error: syntax error at or near \"x\" (line 1) | "},
      {R"({"sql":"slow"})", "408 timeout: the query took longer than 10s | "},
  };
  for (const auto& [body, expected] : cases)
    EXPECT_EQ(failure(f.post("/api/v1/sql", body)), expected);
  TestClient client(f.server->port());
  client.send(
      "POST /api/v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
      "Content-Length: 2\r\n\r\n{}");
  EXPECT_EQ(client.read_reply().status, 415);
}

TEST(Api, RebuildOfAViewTellsWhatItDid) {
  Fixture f;
  const Reply reply = f.post("/api/v1/views/balance/rebuild", "{}");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(parse(reply)["rebuilt"].dump(), R"(["balance","per/minute"])");
  EXPECT_EQ(parse(reply)["emitted_anew"].dump(), R"(["per/minute"])");
  const std::pair<const char*, const char*> cases[] = {
      {"/api/v1/views/balanse/rebuild",
       "404 not_found: there is no view 'balanse' | did you mean 'balance'?"},
      {"/api/v1/views/per%2fminute/rebuild",
       "400 invalid: view per/minute could not be built (a column is gone) | put it right"},
      {"/api/v1/views/balance/rebuild?x=1",
       "400 invalid: unknown parameter 'x' | this call takes no parameters"},
  };
  for (const auto& [target, expected] : cases) EXPECT_EQ(failure(f.post(target, "{}")), expected);
  EXPECT_EQ(f.backend.asked().rebuilt, "per/minute");
  EXPECT_EQ(f.get("/api/v1/views/balance/rebuild").status, 405);
  TestClient elsewhere(f.server->port());
  elsewhere.send(
      "POST /api/v1/views/balance/rebuild HTTP/1.1\r\nHost: localhost\r\n"
      "Content-Type: application/json\r\nOrigin: https://evil.example\r\n"
      "Content-Length: 2\r\n\r\n{}");
  EXPECT_EQ(elsewhere.read_reply().status, 403);

  RebuildReport report;
  report.done = false;
  f.backend.set_rebuild(report);
  EXPECT_EQ(f.post("/api/v1/views/balance/rebuild", "{}").status, 202);
}

TEST(Api, ActivityResolvesRangeTablesAndOperations) {
  Fixture f;
  EXPECT_EQ(f.get("/api/v1/activity?from=2026-11-21T15:00:00%2B01:00&to=2026-11-21T15:00:00Z&"
                  "table=accounts,public.e*&op=insert,ud")
                .status,
            200);
  ActivityRequest asked = f.backend.asked().activity;
  EXPECT_EQ(asked.from, kFakeTime);
  EXPECT_EQ(asked.to, kFakeTime + 3'600'000'000);
  EXPECT_THAT(asked.tables, ElementsAre("public.accounts", "public.entries"));
  EXPECT_THAT(asked.operations,
              ElementsAre(Operation::kInsert, Operation::kUpdate, Operation::kDelete));
  EXPECT_EQ(asked.bucket, TimeBucket::kMinute);

  EXPECT_EQ(parse(f.get("/api/v1/activity?from=2026-11-01"))["bucket"], "day");
  asked = f.backend.asked().activity;
  EXPECT_EQ(asked.to, kFakeTime + 60'000'000) << "the minute that runs is included";
  EXPECT_EQ(parse(f.get("/api/v1/activity?from=2026-11-20"))["bucket"], "hour");
}

TEST(Api, ActivityTablesAndHeatmapAreSums) {
  Fixture f;
  EXPECT_EQ(
      parse(f.get("/api/v1/activity/tables"))["tables"].dump(),
      R"([{"bytes":3500,"changes":15,"op":"insert","table":"public.accounts","transactions":3},)"
      R"({"bytes":99,"changes":1,"op":"update","table":"public.accounts","transactions":1}])");
  EXPECT_EQ(parse(f.get("/api/v1/activity/heatmap"))["cells"].dump(),
            R"([{"bytes":3555,"changes":13,"hour":14,"transactions":3,"weekday":6},)"
            R"({"bytes":44,"changes":3,"hour":15,"transactions":1,"weekday":6}])");
}

TEST(Api, TailStreamsChangesAndEndsItsSubscription) {
  Fixture f;
  {
    TestClient client(f.server->port());
    client.send(
        "GET /api/v1/tail?table=accounts&op=iu&from=0/200 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_THAT(client.read_until("retry: 2000\n\n"), HasSubstr("text/event-stream"));
    const auto asked = f.backend.asked();
    EXPECT_THAT(asked.tail.tables, ElementsAre("public.accounts"));
    EXPECT_THAT(asked.tail.operations, ElementsAre(Operation::kInsert, Operation::kUpdate));
    EXPECT_EQ(asked.tail.from_lsn, model::Lsn{0x200});
    EXPECT_EQ(asked.sink->send({"1:0/16B3748:1", R"({"op":"insert"})"}), SinkState::kOpen);
    EXPECT_EQ(client.read_until("\n\n"), "id: 1:0/16B3748:1\ndata: {\"op\":\"insert\"}\n\n");
    EXPECT_EQ(f.backend.subscriptions(), 1);
  }
  // The client is gone: the server notices by itself and lets go of the subscription.
  EXPECT_TRUE(f.backend.wait_until_unsubscribed());
  EXPECT_EQ(f.stats.streams_dropped, 0u);
}

TEST(Api, TailResumesBehindTheLastEvent) {
  Fixture f;
  TestClient client(f.server->port());
  client.send(
      "GET /api/v1/tail?from=0/200 HTTP/1.1\r\nHost: localhost\r\n"
      "Last-Event-ID: 1:0/16B3748:42\r\n\r\n");
  client.read_until("retry: 2000\n\n");
  const TailRequest asked = f.backend.asked().tail;
  EXPECT_EQ(asked.after, (model::Position{1, model::Lsn{0x16B3748}, 42}));
  EXPECT_FALSE(asked.from_lsn);
  const Reply bad = TestClient(f.server->port()).get("/api/v1/tail", "Last-Event-ID: x\r\n");
  EXPECT_EQ(bad.status, 400);
}

TEST(Api, ViewsAreFollowedBehindTheLastEvent) {
  Fixture f;
  {
    TestClient client(f.server->port());
    client.send(
        "GET /api/v1/views/balance/stream HTTP/1.1\r\nHost: localhost\r\n"
        "Last-Event-ID: 1:0/16B3748:42@a-1\r\n\r\n");
    EXPECT_THAT(client.read_until("retry: 2000\n\n"), HasSubstr("text/event-stream"));
    const auto asked = f.backend.asked();
    EXPECT_EQ(asked.followed, "balance");
    EXPECT_EQ(asked.last_event_id, "1:0/16B3748:42@a-1");
    asked.sink->send({"1:0/16B3748:43@a-1", R"({"part":1})", "changes"});
    EXPECT_EQ(client.read_until("\n\n"),
              "id: 1:0/16B3748:43@a-1\nevent: changes\ndata: {\"part\":1}\n\n");
    asked.sink->drop("too far behind");
    EXPECT_EQ(client.read_to_end(),
              "event: dropped\ndata: {\"error\":{\"code\":\"too_slow\",\"message\":\"too far "
              "behind\",\"hint\":\"\"}}\n\n");
  }
  EXPECT_TRUE(f.backend.wait_until_unsubscribed());
  EXPECT_EQ(f.stats.streams_dropped, 1u);
}

TEST(Api, WhatCannotBeFollowedSaysSo) {
  Fixture f;
  EXPECT_EQ(failure(f.get("/api/v1/views/balanse/stream")),
            "404 not_found: there is no view 'balanse' | did you mean 'balance'?");
  EXPECT_EQ(f.get("/api/v1/views/per%2Fminute/stream").status, 503);
  EXPECT_EQ(f.get("/api/v1/views/balance/stream?from=1").status, 400);
  f.backend.set_readiness({false, {"The first snapshot is not complete."}});
  EXPECT_EQ(f.get("/api/v1/views/balance/stream").status, 503);
}

TEST(Api, FailingFollowerEndsTheTailWithItsError) {
  Fixture f;
  TestClient client(f.server->port());
  client.send("GET /api/v1/tail HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.read_until("retry: 2000\n\n");
  f.backend.asked().sink->fail(error(Code::kCorruption, "segment 3 is damaged", "offset 17"));
  EXPECT_EQ(client.read_to_end(),
            "event: error\ndata: {\"error\":{\"code\":\"corruption\",\"message\":\"segment 3 is "
            "damaged (offset 17)\",\"hint\":\"\"}}\n\n");
}

TEST(Api, HeadOfTailOpensNothing) {
  Fixture f;
  TestClient client(f.server->port());
  client.send("HEAD /api/v1/tail HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.read_to_end(), HasSubstr("text/event-stream"));
  f.server->stop();
  EXPECT_EQ(f.backend.subscriptions(), 0);
}

TEST(Api, VerifyStreamsItsProgressAndReportThenEnds) {
  Fixture f;
  TestClient client(f.server->port());
  client.send("GET /api/v1/verify?table=accounts HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.read_to_end(),
              HasSubstr("data: {\"progress\":\"comparing public.accounts\"}\n\n"
                        "data: {\"report\":{\"equal\":true}}\n\n"));
  EXPECT_TRUE(f.backend.wait_until_unsubscribed());
}

TEST(Api, VerifyRefusesWhatItCannotDo) {
  Fixture f;
  EXPECT_EQ(TestClient(f.server->port()).get("/api/v1/verify?table=acounts").status, 404);
  EXPECT_EQ(TestClient(f.server->port()).get("/api/v1/verify?tables=accounts").status, 400);
  const Reply busy = TestClient(f.server->port()).get("/api/v1/verify?table=entries");
  EXPECT_EQ(busy.status, 503);
  EXPECT_THAT(busy.body, HasSubstr("another verify runs"));
  f.backend.set_readiness({false, {"the first snapshot"}});
  EXPECT_EQ(TestClient(f.server->port()).get("/api/v1/verify").status, 503);
}

}  // namespace
}  // namespace pgweir::server
