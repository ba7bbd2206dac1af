// A pipeline through everything that happens to it in the field, for half an hour: is it right in
// the end, and does its memory stay where it was?
//
// usage: soak_bench RESULT.json [--minutes N] [--rate TRANSFERS] [--seed N] [--calm]
//
// A private PostgreSQL that syncs its commits, the bank with its five views, all mirrors. Meanwhile
//   load     `pgweir generate payments`, with updates, deletes and large transactions
//   schema   every few seconds a column or a table comes, goes, changes its name or its type
//   kills    of pgweir (SIGKILL) and restarts of PostgreSQL (fast, immediate, kill) by turns
//   a reader polls `total`, a view over a view, which is 0 at every moment
// In the end every view and every mirrored table is compared with PostgreSQL: `pgweir verify`, and
// the views' same SQL. Memory: the resident size, once a second, of whatever process it is then.
// --calm leaves kills and restarts out.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include "figures.h"
#include "harness/bank.h"
#include "harness/cluster.h"
#include "harness/program.h"

namespace pgweir::bench {
namespace {
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using harness::Cluster;
using harness::Program;

struct Options {
  std::string result = "soak.json";
  double minutes = 30;
  double rate = 500;  // transfers a second, five row changes each
  unsigned seed = 1;
  bool calm = false;
};

[[noreturn]] void give_up(const std::string& why, const Program& program) {
  const std::string said = program.output();
  fmt::print(stderr, "soak_bench: {}\n{}\n", why,
             said.substr(said.size() - std::min<std::size_t>(said.size(), 8000)));
  std::exit(1);
}

double resident_mib(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/statm", process));
  double pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * 4096 / (1 << 20);
}

// A thread that does something again and again until it is stopped.
class Again {
 public:
  Again(std::chrono::milliseconds pause, std::function<void()> step)
      : thread_([pause, step = std::move(step)](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            step();
            std::this_thread::sleep_for(pause);
          }
        }) {}
  void stop() {
    thread_.request_stop();
    thread_.join();
  }

 private:
  std::jthread thread_;
};

// Changes the shape of tables beside the bank's, and their rows.
class SchemaChanges {
 public:
  SchemaChanges(Cluster& cluster, unsigned seed) : cluster_(cluster), random_(seed) {}

  static const char* first() {
    return "CREATE TABLE shapes (id int PRIMARY KEY, note text, amount int);"
           "INSERT INTO shapes SELECT i, 'note ' || i, i FROM generate_series(1, 2000) i";
  }
  void next() {
    const int n = ++number_;
    switch (random_() % 7) {
      case 0:
        run(fmt::format("ALTER TABLE shapes ADD COLUMN extra_{0} int DEFAULT {0}", n));
        extra_.push_back(n);
        break;
      case 1:
        if (extra_.empty()) return;
        run(fmt::format("ALTER TABLE shapes DROP COLUMN extra_{}", extra_.back()));
        extra_.pop_back();
        break;
      case 2:
        run(fmt::format("ALTER TABLE shapes RENAME COLUMN {0} TO {1}", note_,
                        fmt::format("note_{}", n)));
        note_ = fmt::format("note_{}", n);
        break;
      case 3:
        run(fmt::format("ALTER TABLE shapes ALTER COLUMN amount TYPE {}",
                        wide_ ? "int" : "bigint"));
        wide_ = !wide_;
        break;
      case 4:
        run(
            fmt::format("CREATE TABLE later_{0} (id int PRIMARY KEY, v text);"
                        "INSERT INTO later_{0} SELECT i, 'v' || i FROM generate_series(1, 500) i",
                        n));
        tables_.push_back(n);
        break;
      case 5:
        if (tables_.empty()) return;
        run(fmt::format("DROP TABLE later_{}", tables_.back()));
        tables_.pop_back();
        break;
      default:
        run("TRUNCATE shapes; INSERT INTO shapes (id, amount) SELECT i, i * 2 FROM "
            "generate_series(1, 1000) i");
    }
    run(fmt::format("UPDATE shapes SET amount = {} WHERE id % 10 = {}", n, n % 10));
  }
  int count() const { return number_; }

 private:
  // A server that is just being restarted refuses it; the next one is another.
  void run(const std::string& sql) {
    (void)io::run(
        {.arguments = {"psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-c", sql, cluster_.url()}}, 60s);
  }

  Cluster& cluster_;
  std::mt19937 random_;
  int number_ = 0;
  bool wide_ = false;
  std::string note_ = "note";
  std::vector<int> extra_, tables_;
};

class Soak {
 public:
  explicit Soak(const Options& options)
      : options_(options),
        cluster_({.settings = {{"fsync", "on"}, {"max_wal_size", "2GB"}}}),
        program_(scratch_.path(), yaml()),
        schema_(cluster_, options.seed) {}

  int run() {
    start();
    Again generator(100ms, [this] { generate(); });
    Again changes(3s, [this] { schema_.next(); });
    Again reader(5ms, [this] { read_total(); });
    const auto begin = Clock::now(), end = begin + length();
    auto next_kill = begin + 20s;
    while (Clock::now() < end) {
      std::this_thread::sleep_for(1s);
      if (!program_.running()) give_up("the program has ended", program_);
      memory_.push_back(resident_mib(program_.pid()));
      if (options_.calm || Clock::now() < next_kill || end - Clock::now() < 10s) continue;
      disturb();
      next_kill = Clock::now() + 20s;
    }
    changes.stop();
    generator.stop();
    const auto caught_up = catch_up();
    reader.stop();
    compare();
    report(caught_up);
    return wrong_totals_ == 0 && different_ == 0 ? 0 : 1;
  }

 private:
  std::chrono::milliseconds length() const {
    return std::chrono::milliseconds(static_cast<std::int64_t>(options_.minutes * 60'000));
  }
  std::string yaml() const {
    return fmt::format(
               "source: {{url: \"{}\", tables: [public.*]}}\ndata: {}/data\n"
               "engine: {{memory: 256MiB, mirrors: all}}\nlog: {{max_size: 1GiB}}\n",
               cluster_.url(), scratch_.path()) +
           harness::bank_views_yaml();
  }
  void start() {
    if (harness::run_program({"generate", "payments", "--url", cluster_.url(), "--init-only"})
            .exit_code != 0)
      give_up("no bank", program_);
    cluster_.sql(SchemaChanges::first());
    program_.start();
    if (!program_.wait_ready()) give_up("not ready", program_);
  }
  // A restarted server ends it: then another one begins.
  void generate() {
    (void)io::run(
        {.arguments = {harness::program_path(), "generate", "payments", "--url", cluster_.url(),
                       "--rate", fmt::format("{}", options_.rate), "--for", "5s", "--updates",
                       "0.3", "--deletes", "0.45", "--large-transaction", "5000", "--large-every",
                       "5000", "--seed", std::to_string(options_.seed + ++generators_)}},
        60s);
  }
  void read_total() {
    const harness::HttpAnswer answer =
        harness::http_get(program_.url() + "/api/v1/views/total/rows");
    if (answer.status != 200) return;
    ++answers_;
    const harness::Json json = answer.json();
    if (json["rows"].empty() || json["rows"][0][0].is_null()) return;
    const harness::Json& total = json["rows"][0][0];
    const double value =
        total.is_string() ? std::stod(total.get<std::string>()) : total.get<double>();
    if (value == 0) return;
    ++wrong_totals_;
    fmt::print("total is {}\n", answer.body);
  }
  void disturb() {
    using Stop = Cluster::Stop;
    constexpr Stop kWays[] = {Stop::kFast, Stop::kImmediate, Stop::kKill};
    if (++disturbances_ % 4 == 0) {
      cluster_.stop(kWays[disturbances_ / 4 % 3]);
      cluster_.start();
    } else {
      program_.kill();
      program_.start();
    }
  }
  // Seconds until everything that was committed was in the views.
  double catch_up() {
    const auto begin = Clock::now();
    if (!program_.wait_position(cluster_.sql("SELECT pg_current_wal_insert_lsn()"), 300s))
      give_up("the engine has not followed", program_);
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }
  void compare() {
    harness::expect_bank_answers(program_, harness::bank_answers_of(cluster_, "postgres"));
    if (::testing::Test::HasFailure()) ++different_;
    const auto verified = harness::run_program({"verify", "-c", program_.config_file()});
    fmt::print("{}", verified.output);
    if (verified.exit_code != 0) ++different_;
  }
  // The median of a third of the samples.
  double third(std::size_t which) const {
    const std::size_t size = memory_.size() / 3;
    const auto from = memory_.begin() + static_cast<std::ptrdiff_t>(which * size);
    return median({from, from + static_cast<std::ptrdiff_t>(size)});
  }
  void report(double caught_up) {
    Figures figures;
    figures.note("soak_minutes", {options_.minutes}, "min");
    figures.note("soak_changes_of_schema", {static_cast<double>(schema_.count())}, "");
    figures.note("soak_kills_and_restarts", {static_cast<double>(disturbances_)}, "");
    figures.note("soak_answers_read", {static_cast<double>(answers_)}, "");
    figures.note("soak_catch_up", {caught_up}, "s");
    figures.note("soak_memory_middle_third", {third(1)}, "MiB");
    figures.note("soak_memory_last_third", {third(2)}, "MiB");
    figures.add("soak_memory_growth", {third(2) / third(1)}, "x", Goal::kAtMost, 1.05);
    figures.add("soak_wrong_totals", {static_cast<double>(wrong_totals_)}, "", Goal::kAtMost, 0);
    figures.add("soak_differences", {static_cast<double>(different_)}, "", Goal::kAtMost, 0);
    figures.store(options_.result, "soak");
  }

  const Options options_;
  const harness::ScratchFolder scratch_;
  Cluster cluster_;
  Program program_;
  SchemaChanges schema_;
  std::vector<double> memory_;
  unsigned generators_ = 0;
  int disturbances_ = 0;
  std::atomic<std::int64_t> answers_{0};
  std::atomic<std::int64_t> wrong_totals_{0};
  int different_ = 0;
};

}  // namespace
}  // namespace pgweir::bench

int main(int argc, char** argv) {
  pgweir::bench::Options options;
  CLI::App arguments("What a long mixed load does to memory and answers");
  arguments.add_option("result", options.result, "where the figures go, as JSON");
  arguments.add_option("--minutes", options.minutes);
  arguments.add_option("--rate", options.rate);
  arguments.add_option("--seed", options.seed);
  arguments.add_flag("--calm", options.calm);
  CLI11_PARSE(arguments, argc, argv);
  return pgweir::bench::Soak(options).run();
}
