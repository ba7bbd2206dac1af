// What the server itself costs: rows to JSON, a call over a kept connection, events of a stream.
#include <benchmark/benchmark.h>

#include <thread>

#include "server/api.h"
#include "server/event_stream.h"
#include "server/fake_backend.h"
#include "server/test_client.h"

namespace pgweir::server {
namespace {

struct Fixture {
  FakeBackend backend;
  HttpStats stats;
  Logger logger{LogLevel::kOff};
  io::RealClock clock;
  std::unique_ptr<HttpServer> server;

  Fixture() {
    HttpServerOptions options;
    options.listen.port = 0;
    Router router;
    add_api(router, backend, stats, clock);
    server = HttpServer::start(options, std::move(router), stats, logger).value();
  }
};

void rows_to_json(benchmark::State& state) {
  RowSet rows;
  rows.columns = {{"id", "BIGINT", CellKind::kInteger},
                  {"amount", "DECIMAL(38,2)", CellKind::kText},
                  {"owner", "VARCHAR", CellKind::kText},
                  {"at", "TIMESTAMPTZ", CellKind::kText}};
  for (int i = 0; i < 10'000; ++i) {
    rows.cells.emplace_back(std::to_string(i));
    rows.cells.emplace_back(std::to_string(i) + ".25");
    rows.cells.emplace_back("a name of some length");
    rows.cells.emplace_back("2026-11-21T14:00:00.123456Z");
  }
  for (auto _ : state) {
    JsonWriter json;
    json.begin_object();
    write_rows(json, rows);
    json.end_object();
    benchmark::DoNotOptimize(json.take());
  }
  state.SetItemsProcessed(state.iterations() * 10'000);
}
BENCHMARK(rows_to_json)->Unit(benchmark::kMillisecond);

void status_over_one_connection(benchmark::State& state) {
  Fixture f;
  TestClient client(f.server->port());
  for (auto _ : state) benchmark::DoNotOptimize(client.get("/api/v1/status"));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(status_over_one_connection)->Unit(benchmark::kMicrosecond)->UseRealTime();

void tail_of_10000_changes(benchmark::State& state) {
  Fixture f;
  TestClient client(f.server->port());
  client.send("GET /api/v1/tail HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.read_until("retry: 2000\n\n");
  const std::shared_ptr<EventSink> sink = f.backend.asked().sink;
  const std::string json(200, 'x');
  for (auto _ : state) {
    std::thread producer([&] {
      for (int i = 1; i <= 10'000; ++i) {
        if (i % 100 == 0) sink->wait_for_room(Milliseconds(10'000));
        sink->send({i == 10'000 ? "last" : "1:0/16B3748:1", json});
      }
    });
    client.read_until("id: last\n");
    producer.join();
  }
  state.SetItemsProcessed(state.iterations() * 10'000);
}
BENCHMARK(tail_of_10000_changes)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace pgweir::server
