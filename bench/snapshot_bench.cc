// How fast a first snapshot is, against the server alone, and a resync, against a first snapshot.
//
// usage: snapshot_bench RESULT.json [--rows N] [--rounds N] [--parallel N] [--memory SIZE]
//
// SIZE is pgweir's engine.memory, 1GiB where none is given.
//
// In each round, after one another, on the same table:
// copy     N connections with plain libpq, each COPY TO STDOUT of a range of pages after the other,
//          thrown away.
// log      pgweir with the engine off: from its start until every row is durable in its log.
// mirrors  pgweir with mirrors: from its start until queries answer with every row.
// equal    pgweir on these mirrors, whose slot is gone, with --resync: from its start until queries
//          answer. Nothing has changed.
// hundredth  the same, after another column's value in one row of a hundred was updated.
#include <fmt/core.h>
#include <libpq-fe.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "figures.h"
#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/wait.h"

namespace pgweir::bench {
namespace {
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::minutes(10);

struct Options {
  std::string result = "snapshot.json";
  std::int64_t rows = 10'000'000;
  int rounds = 3;
  int parallel = 2;
  std::string memory = "1GiB";
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void give_up(const std::string& what) {
  fmt::print(stderr, "{}\n", what);
  std::abort();
}

// One COPY, of which nothing is kept; the rows that came.
std::int64_t drain(PGconn* connection, const std::string& select) {
  PGresult* began = PQexec(connection, fmt::format("COPY ({}) TO STDOUT", select).c_str());
  if (PQresultStatus(began) != PGRES_COPY_OUT) give_up(PQerrorMessage(connection));
  PQclear(began);
  std::int64_t rows = 0;
  char* line = nullptr;
  for (int size = 0; (size = PQgetCopyData(connection, &line, 0)) > 0; ++rows) PQfreemem(line);
  while (PGresult* ended = PQgetResult(connection)) {
    if (PQresultStatus(ended) != PGRES_COMMAND_OK) give_up(PQerrorMessage(connection));
    PQclear(ended);
  }
  return rows;
}

class Source {
 public:
  explicit Source(const Options& options)
      : options_(options),
        cluster_({.settings = {{"synchronous_commit", "off"},
                               {"shared_buffers", "512MB"},
                               {"max_wal_size", "16GB"},
                               {"jit", "off"}}}) {
    cluster_.sql(
        "CREATE TABLE accounts (id bigint PRIMARY KEY, region text NOT NULL, balance "
        "numeric(12,2) NOT NULL, note text NOT NULL, changed timestamptz NOT NULL)");
    cluster_.sql(fmt::format(
        "INSERT INTO accounts SELECT i, 'region ' || i % 20, (i * 7919 % 100000) / 100.0, "
        "'a note of some length ' || i, '2026-01-01Z'::timestamptz + i * interval '20 ms' FROM "
        "generate_series(1::bigint, {}::bigint) i",
        options.rows));
    clean();
  }

  harness::Cluster& cluster() { return cluster_; }

  // Hint bits are set and pages are clean before anything is measured.
  void clean() {
    cluster_.sql("VACUUM (FREEZE, ANALYZE) accounts");
    cluster_.sql("CHECKPOINT");
  }

  // Seconds.
  double copy() {
    constexpr std::int64_t kRangePages = 8192;
    const std::int64_t pages =
        std::atoll(cluster_.sql("SELECT pg_relation_size('accounts') / 8192").c_str());
    std::atomic<std::int64_t> next = 0, rows = 0;
    const auto start = Clock::now();
    {
      std::vector<std::jthread> workers;
      for (int i = 0; i < options_.parallel; ++i) {
        workers.emplace_back([&] {
          PGconn* connection = PQconnectdb(cluster_.url().c_str());
          if (PQstatus(connection) != CONNECTION_OK) give_up(PQerrorMessage(connection));
          for (std::int64_t from = 0; (from = next.fetch_add(kRangePages)) < pages;) {
            rows += drain(connection,
                          fmt::format("SELECT * FROM accounts WHERE ctid >= '({},0)' AND ctid < "
                                      "'({},0)'",
                                      from, from + kRangePages));
          }
          PQfinish(connection);
        });
      }
    }
    if (rows != options_.rows) give_up(fmt::format("COPY gave {} rows", rows.load()));
    return seconds_since(start);
  }

 private:
  const Options options_;
  harness::Cluster cluster_;
};

// One pgweir on a folder of its own. Its slot and publication go with it.
class Pipeline {
 public:
  Pipeline(Source& source, const Options& options, const std::string& name, bool mirrors)
      : source_(source), options_(options), name_(name), program_(scratch_.path(), yaml(mirrors)) {}
  ~Pipeline() {
    stop();
    source_.cluster().sql(fmt::format("DROP PUBLICATION {}", name_));
  }

  // Seconds until every row of the snapshot is in the log.
  double log_snapshot() {
    const double seconds = run({}, [&] {
      return harness::wait_for(kPatience, [&] {
        const harness::Json status = program_.status();
        return status.contains("source") && status["source"]["snapshot"]["state"] == "done";
      });
    });
    expect_rows(program_.status()["source"]["snapshot"]["rows"].get<std::int64_t>());
    return seconds;
  }

  // Seconds until queries answer.
  double ready(const std::vector<std::string>& arguments = {}) {
    const double seconds = run(arguments, [&] { return program_.wait_ready(kPatience); });
    expect_rows(std::atoll(program_.sql("SELECT count(*) FROM accounts").c_str()));
    return seconds;
  }

  void expect_same(const std::string& select) {
    const std::string source = source_.cluster().sql(select);
    const std::string mirror = program_.sql(select);
    if (source != mirror) give_up(fmt::format("{}: {}, at the source {}", select, mirror, source));
  }

  // Leaves the folder, and no slot.
  void stop() {
    if (!program_.running()) return;
    program_.terminate();
    source_.cluster().sql(fmt::format("SELECT pg_drop_replication_slot('{}')", name_));
  }

 private:
  std::string yaml(bool mirrors) const {
    return fmt::format(
        "source: {{url: \"{}\", slot: {}, publication: {}, tables: [public.*], snapshot: "
        "{{parallel: {}}}}}\ndata: {}/data\nengine: {{mirrors: {}, memory: {}}}\n",
        source_.cluster().url(), name_, name_, options_.parallel, scratch_.path(),
        mirrors ? "all" : "none", options_.memory);
  }

  double run(const std::vector<std::string>& arguments, const std::function<bool()>& wait) {
    const auto start = Clock::now();
    program_.start(arguments);
    const bool done = wait();
    const double seconds = seconds_since(start);
    if (!done) give_up(name_ + " did not end:\n" + program_.output());
    return seconds;
  }

  void expect_rows(std::int64_t rows) const {
    if (rows != options_.rows) give_up(fmt::format("{} has {} rows", name_, rows));
  }

  Source& source_;
  const Options options_;
  const std::string name_;
  const harness::ScratchFolder scratch_;
  harness::Program program_;
};

// The seconds of each part, round by round.
struct Times {
  std::vector<double> copy, log, mirrors, equal, hundredth;
};

void run_round(Source& source, const Options& options, int round, Times& times) {
  times.copy.push_back(source.copy());
  times.log.push_back(
      Pipeline(source, options, fmt::format("log_{}", round), false).log_snapshot());
  Pipeline pipeline(source, options, fmt::format("mirrors_{}", round), true);
  times.mirrors.push_back(pipeline.ready());
  pipeline.stop();
  times.equal.push_back(pipeline.ready({"--resync"}));
  pipeline.stop();
  source.cluster().sql(
      fmt::format("UPDATE accounts SET balance = balance + 1 WHERE id % 100 = {}", round % 100));
  times.hundredth.push_back(pipeline.ready({"--resync"}));
  pipeline.expect_same("SELECT sum(balance) FROM accounts");
  pipeline.stop();
  source.clean();
}

std::vector<double> ratios(const std::vector<double>& values, const std::vector<double>& to) {
  std::vector<double> out;
  for (std::size_t i = 0; i < values.size(); ++i) out.push_back(values[i] / to[i]);
  return out;
}

int run(const Options& options) {
  Source source(options);
  Times times;
  source.copy();  // warms the server's buffers
  for (int round = 0; round < options.rounds; ++round) run_round(source, options, round, times);
  const auto rates = [&](std::vector<double> seconds) {
    for (double& value : seconds) value = static_cast<double>(options.rows) / value;
    return seconds;
  };
  Figures figures;
  figures.note("snapshot_copy", rates(times.copy), "rows/s");
  figures.note("snapshot_into_log", rates(times.log), "rows/s");
  figures.note("snapshot_into_mirrors", rates(times.mirrors), "rows/s");
  figures.note("resync_equal", rates(times.equal), "rows/s");
  figures.note("resync_hundredth", rates(times.hundredth), "rows/s");
  figures.add("snapshot_log_ratio", ratios(times.copy, times.log), "x", Goal::kAtLeast, 0.9);
  figures.add("snapshot_mirrors_ratio", ratios(times.copy, times.mirrors), "x", Goal::kAtLeast,
              0.4);
  figures.note("resync_equal_seconds_ratio", ratios(times.equal, times.mirrors), "x");
  figures.note("resync_hundredth_seconds_ratio", ratios(times.hundredth, times.mirrors), "x");
  figures.store(options.result, "snapshot");
  return 0;
}

}  // namespace
}  // namespace pgweir::bench

int main(int argc, char** argv) {
  pgweir::bench::Options options;
  CLI::App arguments("How fast a first snapshot and a resync are");
  arguments.add_option("result", options.result, "where the figures go, as JSON");
  arguments.add_option("--rows", options.rows);
  arguments.add_option("--rounds", options.rounds);
  arguments.add_option("--parallel", options.parallel);
  arguments.add_option("--memory", options.memory, "engine.memory");
  CLI11_PARSE(arguments, argc, argv);
  return pgweir::bench::run(options);
}
