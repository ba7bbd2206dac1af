// How much memory one huge transaction takes, and whether it arrives whole.
//
// usage: large_bench RESULT.json [--rows N] [--part capture|whole|update] [--memory MIB]
//
// capture  pgweir run with the engine off: a transaction of N rows, then five of N/5 at once, in
//          turns, of which one is rolled back and one rolls back to savepoints.
// whole    the same with mirrors, activity and three views; then one update of every row.
// update   not by itself: only the update, of rows that were there before the program was.
//
// The server streams the transactions while they are open (logical_decoding_work_mem is 64 MB). The
// program's peak of resident memory is read from /proc; the mirrors are compared with the source.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "figures.h"
#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/wait.h"
#include "model/position.h"
#include "postgres/connection.h"

namespace pgweir::bench {
namespace {
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Peak resident memory in MB since the last reset_peak().
double peak_memory_mb(int pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

void reset_peak(int pid) {
  std::ofstream(fmt::format("/proc/{}/clear_refs", pid)) << "5";
}

class Source {
 public:
  Source()
      : cluster_({.settings = {{"synchronous_commit", "off"},
                               {"shared_buffers", "512MB"},
                               {"max_wal_size", "16GB"},
                               {"jit", "off"}}}) {
    cluster_.sql(
        "CREATE TABLE accounts (id bigint PRIMARY KEY, region text NOT NULL, balance "
        "numeric(12,2) NOT NULL, note text NOT NULL, changed timestamptz NOT NULL)");
  }

  harness::Cluster& cluster() { return cluster_; }

  postgres::Connection session() {
    auto opened =
        postgres::Connection::open({.url = cluster_.url(), .query_timeout = std::chrono::hours(1)});
    if (!opened.ok()) std::abort();
    return std::move(opened).value();
  }

  static void run(postgres::Connection& session, const std::string& statements) {
    const Status done = session.execute(statements);
    if (done.ok()) return;
    fmt::print(stderr, "{}\n", done.error().text());
    std::abort();
  }

  static std::string insert(std::int64_t from, std::int64_t to) {
    return fmt::format(
        "INSERT INTO public.accounts SELECT i, 'region ' || i % 20, (i * 7919 % 100000) / 100.0, "
        "'a note of some length ' || i, '2026-01-01Z'::timestamptz + i * interval '20 ms' FROM "
        "generate_series({}::bigint, {}::bigint) i",
        from, to);
  }

  // Five transactions whose statements come in turns.
  void interleaved(std::int64_t first, std::int64_t rows_each) {
    constexpr int kSessions = 5, kTurns = 4;
    std::vector<postgres::Connection> sessions;
    for (int i = 0; i < kSessions; ++i) sessions.push_back(session());
    for (auto& each : sessions) run(each, "BEGIN");
    const std::int64_t part = rows_each / kTurns;
    for (int turn = 0; turn < kTurns; ++turn) {
      for (int i = 0; i < kSessions; ++i) {
        const std::int64_t from = first + i * rows_each + turn * part;
        postgres::Connection& own = sessions[static_cast<std::size_t>(i)];
        if (i == 4) run(own, "SAVEPOINT turn");
        run(own, insert(from, from + part - 1));
        if (i == 4 && turn % 2 == 1) run(own, "ROLLBACK TO turn");
      }
    }
    run(sessions[1], "ROLLBACK");
    for (const std::size_t i : {3u, 0u, 4u, 2u}) run(sessions[i], "COMMIT");
  }

  std::string summary() {
    return cluster_.sql("SELECT count(*), sum(id), sum(balance) FROM accounts");
  }

 private:
  harness::Cluster cluster_;
};

std::string yaml(Source& source, const std::string& data, const std::string& part, int memory_mib) {
  std::string out = fmt::format(
      "source: {{url: \"{}\", slot: {}, publication: {}, tables: [public.*]}}\ndata: {}\n",
      source.cluster().url(), part, part, data);
  if (part == "capture") return out + "engine: {mirrors: none}\n";
  return out + fmt::format("engine: {{memory: {}MiB, mirrors: all}}\n", memory_mib) +
         "views:\n"
         "  rich: SELECT id, region, balance FROM accounts WHERE balance > 900\n"
         "  by_region: SELECT region, count(*) AS accounts, sum(balance) AS total FROM accounts "
         "GROUP BY region\n"
         "  per_minute: SELECT window_start, count(*) AS accounts FROM tumble(accounts, changed, "
         "INTERVAL 1 MINUTE) GROUP BY window_start\n";
}

struct Measured {
  double memory_mb = 0;
  double seconds = 0;
  double written_seconds = 0;  // what the server itself took
};

class Run {
 public:
  Run(Source& source, const std::string& part, int memory_mib)
      : source_(source),
        part_(part),
        program_(scratch_.path(), yaml(source, scratch_.path() + "/data", part, memory_mib)) {
    program_.start();
    if (!program_.wait_ready(std::chrono::minutes(10))) std::abort();
  }

  Measured measure(const char* name, const std::function<void()>& work) {
    reset_peak(program_.pid());
    const auto start = Clock::now();
    work();
    const double written = seconds_since(start);
    const std::string lsn = source_.cluster().sql("SELECT pg_current_wal_insert_lsn()");
    if (!reached(lsn)) {
      fmt::print(stderr, "{}: the changes did not arrive\n{}\n", name, program_.output());
      std::abort();
    }
    const Measured out{peak_memory_mb(program_.pid()), seconds_since(start), written};
    fmt::print("{} {}: written in {:.0f} s, arrived after {:.0f} s, peak {:.0f} MB\n", part_, name,
               written, out.seconds, out.memory_mb);
    std::fflush(stdout);
    return out;
  }

  // Mirrors and views are those of the source's last transaction.
  bool is_right() {
    const std::string mirror = program_.sql("SELECT count(*), sum(id), sum(balance) FROM accounts");
    const std::string view = program_.sql("SELECT sum(accounts), sum(total) FROM by_region");
    const std::string source = source_.summary();
    const std::string of_view =
        source_.cluster().sql("SELECT count(*), sum(balance) FROM accounts");
    if (mirror == source && view == of_view) return true;
    fmt::print(stderr, "source {} mirror {} view {}\n", source, mirror, view);
    return false;
  }

 private:
  bool reached(const std::string& lsn) {
    if (part_ == "whole") return program_.wait_position(lsn, std::chrono::minutes(30));
    const auto wanted = model::parse_lsn(lsn).value();
    return harness::wait_for(std::chrono::minutes(30), [&] {
      const harness::Json status = program_.status();
      const auto at = model::parse_lsn(status["source"].value("confirmed_lsn", std::string("0/0")));
      return at.ok() && *at >= wanted;
    });
  }

  Source& source_;
  const std::string part_;
  const harness::ScratchFolder scratch_;
  harness::Program program_;
};

void capture(Source& source, std::int64_t rows, Figures& figures) {
  Run run(source, "capture", 0);
  auto session = source.session();
  const Measured one =
      run.measure("one transaction", [&] { source.run(session, source.insert(1, rows)); });
  const Measured five =
      run.measure("five at once", [&] { source.interleaved(rows + 1, rows / 5); });
  source.run(session, "TRUNCATE public.accounts");
  figures.add("capture_memory_of_one", {one.memory_mb}, "MB", Goal::kAtMost, 100);
  figures.add("capture_memory_of_five", {five.memory_mb}, "MB", Goal::kAtMost, 100);
}

double memory_goal_mb(int memory_mib) {
  return 1.5 * memory_mib * 1.048576 + 100;
}

// One update of all rows up to `rows`. False when mirrors or views are not right afterwards.
bool update(Source& source, Run& run, std::int64_t rows, int memory_mib, Figures& figures) {
  auto session = source.session();
  const Measured update = run.measure("update of all", [&] {
    source.run(session, fmt::format("UPDATE public.accounts SET balance = balance + 1, note = "
                                    "'changed' WHERE id <= {}",
                                    rows));
  });
  figures.add("whole_memory_of_update", {update.memory_mb}, "MB", Goal::kAtMost,
              memory_goal_mb(memory_mib));
  figures.note("whole_seconds_of_update", {update.seconds}, "s");
  figures.note("whole_seconds_of_update_in_server", {update.written_seconds}, "s");
  figures.note("whole_time_of_update_to_server", {update.seconds / update.written_seconds}, "x");
  return run.is_right();
}

int update_alone(Source& source, std::int64_t rows, int memory_mib, Figures& figures) {
  auto session = source.session();
  source.run(session, source.insert(1, rows));
  Run run(source, "whole", memory_mib);
  run.measure("first snapshot", [] {});
  return update(source, run, rows, memory_mib, figures) ? 0 : 1;
}

int whole(Source& source, std::int64_t rows, int memory_mib, Figures& figures) {
  Run run(source, "whole", memory_mib);
  auto session = source.session();
  const Measured one =
      run.measure("one transaction", [&] { source.run(session, source.insert(1, rows)); });
  if (!run.is_right()) return 1;
  const Measured five =
      run.measure("five at once", [&] { source.interleaved(rows + 1, rows / 5); });
  if (!run.is_right()) return 1;
  if (!update(source, run, rows, memory_mib, figures)) return 1;
  const double goal = memory_goal_mb(memory_mib);
  figures.add("whole_memory_of_one", {one.memory_mb}, "MB", Goal::kAtMost, goal);
  figures.add("whole_memory_of_five", {five.memory_mb}, "MB", Goal::kAtMost, goal);
  figures.note("whole_seconds_of_one", {one.seconds}, "s");
  return 0;
}

int run(const std::string& result, std::int64_t rows, const std::string& part, int memory_mib) {
  Source source;
  Figures figures;
  int code = 0;
  if (part.empty() || part == "capture") capture(source, rows, figures);
  if (part.empty() || part == "whole") code = whole(source, rows, memory_mib, figures);
  if (part == "update") code = update_alone(source, rows, memory_mib, figures);
  figures.store(result, "large_transaction");
  return code;
}

}  // namespace
}  // namespace pgweir::bench

int main(int argc, char** argv) {
  std::string result = "large.json";
  std::string part;
  std::int64_t rows = 10'000'000;
  int memory_mib = 256;
  CLI::App arguments("How much memory one huge transaction takes");
  arguments.add_option("result", result, "where the figures go, as JSON");
  arguments.add_option("--rows", rows);
  arguments.add_option("--part", part)->check(CLI::IsMember({"capture", "whole", "update"}));
  arguments.add_option("--memory", memory_mib);
  CLI11_PARSE(arguments, argc, argv);
  return pgweir::bench::run(result, rows, part, memory_mib);
}
