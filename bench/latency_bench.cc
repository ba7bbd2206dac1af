// How soon a commit shows in a view while 5,000 rows change every second, and how soon a pipeline
// that was there before is there again.
//
// usage: latency_bench RESULT.json [--rows N] [--rate TRANSFERS] [--probes N] [--rounds N]
//                      [--starts N] [--threads N]
//
// A private PostgreSQL that syncs its commits, about --rows mirrored rows, and three views (a
// filter, a join with group, a window count) beside the view of the probes. `pgweir generate
// payments` makes the load: a transfer is five row changes.
//   commit to view   a row is committed about every 20 ms; from the moment when COMMIT returned,
//                    its view is asked over HTTP again and again until the row is in the answer.
//                    The time of one question is part of it, and is printed too.
//   start            from exec to the state 'streaming' and to the first rows of a view, after
//                    SIGTERM and after kill -9, each soon after changes to 5,000 rows.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <future>
#include <optional>
#include <random>
#include <thread>

#include "cli/http_client.h"
#include "config/config.h"
#include "figures.h"
#include "harness/cluster.h"
#include "harness/program.h"
#include "postgres/connection.h"

namespace pgweir::bench {
namespace {
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using harness::Json;

struct Options {
  std::string result = "latency.json";
  std::int64_t rows = 1'000'000;
  double rate = 1000;  // transfers a second
  int probes = 1000;   // in a round
  int rounds = 5;
  int starts = 5;  // of each kind
  int threads = static_cast<int>(config::EngineConfig().threads);
};

constexpr int kChangesOfTransfer = 5;
constexpr int kTouchedRows = 5000;
constexpr auto kPatience = 60s;  // whatever takes longer has failed

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double percentile(std::vector<double> values, std::size_t percent) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, values.size() * percent / 100)];
}

[[noreturn]] void give_up(const std::string& why, const harness::Program* program = nullptr) {
  fmt::print(stderr, "latency_bench: {}\n{}", why, program != nullptr ? program->output() : "");
  std::exit(1);
}

void check(const Status& status) {
  if (!status.ok()) give_up(status.error().text());
}

// A PostgreSQL with a bank of about `rows` rows, and the pipeline over it.
class Bank {
 public:
  Bank(std::int64_t rows, int threads)
      : threads_(threads),
        cluster_(
            {.settings = {{"fsync", "on"}, {"shared_buffers", "512MB"}, {"max_wal_size", "8GB"}}}),
        program_(scratch_.path(), yaml()) {
    generate({"--init-only"})->wait(kPatience).value();
    const std::int64_t transfers = rows / 3;
    cluster_.sql(fmt::format(
        "CREATE TABLE probes (id bigint PRIMARY KEY);"
        "INSERT INTO transfers SELECT i, 1 + i % 1000, 1 + (i + 1) % 1000, i % 1000, 'settled', "
        "'rent', '2025-12-01Z'::timestamptz + i * interval '2 s' FROM generate_series(1, {0}) i;"
        "INSERT INTO entries SELECT i, i / 2, 1 + (i / 2 + i % 2) % 1000, "
        "(i / 2 % 1000) * (2 * (i % 2) - 1), '2025-12-01Z'::timestamptz + i * interval '1 s' "
        "FROM generate_series(2, {0} * 2 + 1) i;"
        "VACUUM ANALYZE; CHECKPOINT",
        transfers));
    program_.start();
    if (!program_.wait_ready(std::chrono::seconds(600))) give_up("not ready", &program_);
  }

  harness::Cluster& cluster() { return cluster_; }
  harness::Program& program() { return program_; }
  // Without the "http://".
  std::string address() const { return program_.url().substr(7); }

  std::unique_ptr<io::Process> generate(std::vector<std::string> more) {
    std::vector<std::string> arguments = {harness::program_path(), "generate", "payments", "--url",
                                          cluster_.url()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<io::Process>(
        io::Process::start({.arguments = arguments, .output = scratch_.file("generator.log")})
            .value());
  }
  std::int64_t transfers() {
    return std::atoll(cluster_.sql("SELECT coalesce(max(id), 0) FROM transfers").c_str());
  }
  void wait_for_everything() {
    const std::string lsn = cluster_.sql("SELECT pg_current_wal_insert_lsn()");
    if (!program_.wait_position(lsn)) give_up("the engine has not followed", &program_);
  }
  void touch() {
    cluster_.sql(
        fmt::format("UPDATE transfers SET status = 'reviewed', amount = amount + 1 WHERE "
                    "id <= {}",
                    kTouchedRows));
    wait_for_everything();
  }

 private:
  std::string yaml() const {
    return fmt::format(
        "source: {{url: \"{}\", tables: [public.*]}}\ndata: {}/data\n"
        "engine: {{memory: 512MiB, mirrors: all, threads: {}}}\n"
        "views:\n"
        "  large: SELECT id, amount, status FROM transfers WHERE amount >= 4500\n"
        "  by_region: SELECT a.region, count(*) AS entries, sum(e.amount) AS volume FROM entries e "
        "JOIN accounts a ON a.id = e.account_id GROUP BY a.region\n"
        "  per_minute: SELECT window_start, count(*) AS transfers, sum(amount) AS volume FROM "
        "tumble(transfers, created_at, INTERVAL 1 MINUTE) GROUP BY window_start\n"
        "  probe: SELECT id FROM probes\n",
        cluster_.url(), scratch_.path(), threads_);
  }

  const int threads_;
  const harness::ScratchFolder scratch_;
  harness::Cluster cluster_;
  harness::Program program_;
};

// --- Commit to view
// -------------------------------------------------------------------------------

struct Round {
  std::vector<double> commits, latencies, questions;  // ms
};

// The number of the only row of the view `probe`; -1 without one.
std::int64_t shown_probe(cli::HttpClient& http) {
  const auto body = http.get("/api/v1/views/probe/rows");
  if (!body.ok()) give_up(body.error().text());
  const Json answer = Json::parse(*body, nullptr, false);
  if (!answer.is_object() || !answer.contains("rows")) give_up("no rows: " + *body);
  const Json& rows = answer["rows"];
  if (rows.empty()) return -1;
  const Json& cell = rows[0][0];
  return cell.is_string() ? std::atoll(cell.get<std::string>().c_str()) : cell.get<std::int64_t>();
}

class Prober {
 public:
  explicit Prober(Bank& bank)
      : connection_(postgres::Connection::open({.url = bank.cluster().url()}).value()),
        http_({.address = bank.address()}) {}

  Round round(int probes) {
    Round out;
    for (int i = 0; i < probes; ++i) {
      const auto begin = Clock::now();
      probe(out);
      // Not in step with anything that has a beat of its own.
      std::this_thread::sleep_until(begin + std::chrono::microseconds(15'000 + random_() % 10'000));
    }
    return out;
  }

 private:
  void probe(Round& out) {
    const std::int64_t number = ++number_;
    const auto begin = Clock::now();
    // One transaction: the view always has a single row, so that its answer stays small.
    check(
        connection_.execute(fmt::format("INSERT INTO public.probes VALUES ({}); "
                                        "DELETE FROM public.probes WHERE id < {}",
                                        number, number)));
    const auto committed = Clock::now();
    out.commits.push_back(milliseconds(committed - begin));
    while (true) {
      const auto asked = Clock::now();
      const std::int64_t shown = shown_probe(http_);
      const auto answered = Clock::now();
      out.questions.push_back(milliseconds(answered - asked));
      if (shown == number) {
        out.latencies.push_back(milliseconds(answered - committed));
        return;
      }
      if (answered - committed > kPatience)
        give_up(fmt::format("probe {} does not show, but {}", number, shown));
    }
  }

  postgres::Connection connection_;
  cli::HttpClient http_;
  std::mt19937 random_{42};
  std::int64_t number_ = 0;
};

void measure_latency(Bank& bank, const Options& options, Figures& figures) {
  auto generator = bank.generate(
      {"--rate", fmt::format("{}", options.rate), "--connections", "2", "--asynchronous-commit"});
  Prober prober(bank);
  prober.round(std::max(options.probes / 10, 5));  // warm up
  std::vector<double> p50, p99, worst, commits, questions, slow_questions, load;
  for (int i = 0; i < options.rounds; ++i) {
    const std::int64_t before = bank.transfers();
    const auto start = Clock::now();
    const Round round = prober.round(options.probes);
    const double seconds = milliseconds(Clock::now() - start) / 1000;
    load.push_back(static_cast<double>((bank.transfers() - before) * kChangesOfTransfer) / seconds);
    p50.push_back(percentile(round.latencies, 50));
    p99.push_back(percentile(round.latencies, 99));
    worst.push_back(percentile(round.latencies, 100));
    commits.push_back(percentile(round.commits, 50));
    questions.push_back(percentile(round.questions, 50));
    slow_questions.push_back(percentile(round.questions, 99));
  }
  if (generator->poll()) give_up("the generator has ended");
  check(generator->signal(SIGTERM));
  generator->wait(kPatience).value();
  figures.note("latency_probes", {static_cast<double>(options.probes)}, "a round");
  figures.note("probe_commit_p50", commits, "ms");
  figures.note("question_round_trip_p50", questions, "ms");
  figures.note("question_round_trip_p99", slow_questions, "ms");
  figures.note("commit_to_view_worst", worst, "ms");
  // Below this the latency says nothing.
  figures.add("latency_load", load, "changes/s", Goal::kAtLeast,
              options.rate * kChangesOfTransfer * 0.95);
  figures.add("commit_to_view_p50", p50, "ms", Goal::kAtMost, 20);
  figures.add("commit_to_view_p99", p99, "ms", Goal::kAtMost, 100);
}

// --- Start
// ----------------------------------------------------------------------------------------

struct Start {
  double streaming = 0;  // ms
  double rows = 0;
};

// Milliseconds from `begin` until the answer to `path` is as wanted.
double ask_until(const std::string& address, const std::string& path, Clock::time_point begin,
                 const std::function<bool(const Json&)>& wanted) {
  cli::HttpClient http({.address = address});
  while (Clock::now() - begin < kPatience) {
    const auto body = http.get(path);
    if (body.ok() && wanted(Json::parse(*body, nullptr, false)))
      return milliseconds(Clock::now() - begin);
    std::this_thread::sleep_for(1ms);
  }
  give_up(path + " does not answer as it should");
}

Start start_again(Bank& bank) {
  const auto begin = Clock::now();
  bank.program().start();
  const std::string address = bank.address();
  auto rows = std::async(std::launch::async, [&] {
    return ask_until(address, "/api/v1/views/by_region/rows", begin, [](const Json& answer) {
      return answer.contains("rows") && !answer["rows"].empty();
    });
  });
  Start out;
  out.streaming = ask_until(address, "/api/v1/status", begin, [](const Json& answer) {
    return answer.value("state", "") == "streaming";
  });
  out.rows = rows.get();
  return out;
}

void measure_starts(Bank& bank, const Options& options, Figures& figures) {
  for (const bool kills : {false, true}) {
    std::vector<double> streaming, rows;
    for (int i = 0; i < options.starts; ++i) {
      bank.touch();
      if (kills) {
        bank.program().kill();
      } else if (bank.program().terminate() != 0) {
        give_up("the program did not end well", &bank.program());
      }
      const Start start = start_again(bank);
      streaming.push_back(start.streaming);
      rows.push_back(start.rows);
    }
    const char* after = kills ? "kill" : "stop";
    figures.add(fmt::format("start_after_{}_streaming", after), streaming, "ms", Goal::kAtMost,
                300);
    figures.add(fmt::format("start_after_{}_rows", after), rows, "ms", Goal::kAtMost, 2000);
  }
}

int run(const Options& options) {
  const auto start = Clock::now();
  Bank bank(options.rows, options.threads);
  fmt::print("{} rows are mirrored after {:.0f} s\n",
             bank.program().sql("SELECT (SELECT count(*) FROM transfers) + "
                                "(SELECT count(*) FROM entries)"),
             milliseconds(Clock::now() - start) / 1000);
  std::fflush(stdout);
  Figures figures;
  measure_latency(bank, options, figures);
  bank.wait_for_everything();
  measure_starts(bank, options, figures);
  figures.store(options.result, "latency");
  return 0;
}

}  // namespace
}  // namespace pgweir::bench

int main(int argc, char** argv) {
  pgweir::bench::Options options;
  CLI::App arguments("How long a change takes into a view");
  arguments.add_option("result", options.result, "where the figures go, as JSON");
  arguments.add_option("--rows", options.rows);
  arguments.add_option("--rate", options.rate);
  arguments.add_option("--probes", options.probes);
  arguments.add_option("--rounds", options.rounds);
  arguments.add_option("--starts", options.starts);
  arguments.add_option("--threads", options.threads);
  CLI11_PARSE(arguments, argc, argv);
  return pgweir::bench::run(options);
}
