// verify: what it costs, that it finds one bit in one row, and what memory that takes.
//
// usage: verify_bench RESULT.json [--rows N] [--rounds N]
//
// In each round, on the same mirrored table:
// copy    the server's own COPY of it to nowhere.
// equal   verify, which finds nothing.
// bit     verify, after one bit of one row was turned on the source, unseen by the stream: it must
//         name that row and that column, and nothing else. The bit is turned back.
// memory  what the program had resident at the most while they ran, and how much more that is than
//         just before: DuckDB keeps what it read of the mirrors, within engine.memory.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "figures.h"
#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/unseen.h"
#include "harness/wait.h"

namespace pgweir::bench {
namespace {
using namespace std::chrono_literals;
constexpr int kEngineMb = 1024;

using Clock = std::chrono::steady_clock;

struct Options {
  std::string result = "verify.json";
  std::int64_t rows = 10'000'000;
  int rounds = 3;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void give_up(const std::string& what) {
  fmt::print(stderr, "{}\n", what);
  std::abort();
}

double resident_mb(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  std::string word;
  while (file >> word) {
    double kibibytes = 0;
    if (word == "VmRSS:" && file >> kibibytes) return kibibytes / 1024;
  }
  return 0;
}

class Bench {
 public:
  explicit Bench(const Options& options)
      : rows_(options.rows),
        cluster_({.settings = {{"synchronous_commit", "off"},
                               {"shared_buffers", "512MB"},
                               {"max_wal_size", "16GB"},
                               {"jit", "off"}}}),
        program_(scratch_.path(),
                 fmt::format("source: {{url: \"{}\", tables: [public.*]}}\ndata: {}/data\n"
                             "engine: {{memory: {}MiB, mirrors: all}}\n",
                             cluster_.url(), scratch_.path(), kEngineMb)) {
    cluster_.sql(fmt::format(
        "CREATE TABLE entries (id bigint PRIMARY KEY, account bigint NOT NULL, amount "
        "numeric(12,2) NOT NULL, flags bit(64) NOT NULL, note text NOT NULL, changed timestamptz "
        "NOT NULL); INSERT INTO entries SELECT i, i % 100000, (i * 7919 % 100000) / 100.0, "
        "(i * 2654435761)::bit(64), 'a note of some length ' || i, '2026-01-01Z'::timestamptz + i "
        "* interval '20 ms' FROM generate_series(1::bigint, {}::bigint) i",
        rows_));
    cluster_.sql("VACUUM (FREEZE, ANALYZE) entries");
    program_.start();
    if (!program_.wait_ready(std::chrono::minutes(10))) give_up(program_.output());
  }
  ~Bench() { program_.terminate(); }

  double copy() {
    const auto start = Clock::now();
    cluster_.sql("COPY entries TO '/dev/null'");
    return seconds_since(start);
  }
  void turn_bit() {
    cluster_.sql(harness::unseen(
        "entries", fmt::format("UPDATE entries SET flags = set_bit(flags, 17, 1 - get_bit(flags, "
                               "17)) WHERE id = {}",
                               changed_row())));
  }
  std::int64_t changed_row() const { return rows_ * 3 / 4; }

  struct Memory {
    double most_mb = 0;
    double more_mb = 0;  // than before
  };
  // Seconds; `memory` is raised to what was resident.
  double verify(int exit_code, const std::string& says, Memory& memory) {
    const double before = resident_mb(program_.pid());
    std::atomic<bool> done{false};
    double most = before;
    std::jthread watch([&] {
      while (!done) {
        most = std::max(most, resident_mb(program_.pid()));
        std::this_thread::sleep_for(5ms);
      }
    });
    const auto start = Clock::now();
    const auto finished = harness::run_program({"-c", program_.config_file(), "verify"});
    const double seconds = seconds_since(start);
    done = true;
    watch.join();
    if (finished.exit_code != exit_code || finished.output.find(says) == std::string::npos)
      give_up(fmt::format("verify: {} {}", finished.exit_code, finished.output));
    memory.most_mb = std::max(memory.most_mb, most);
    memory.more_mb = std::max(memory.more_mb, most - before);
    return seconds;
  }

 private:
  const std::int64_t rows_;
  harness::ScratchFolder scratch_;
  harness::Cluster cluster_;
  harness::Program program_;
};

void run(const Options& options) {
  Bench bench(options);
  std::vector<double> copy, equal, bit, most, more;
  for (int round = 0; round < options.rounds; ++round) {
    Bench::Memory memory;
    copy.push_back(bench.copy());
    equal.push_back(bench.verify(0, fmt::format("equal, {} rows", options.rows), memory));
    bench.turn_bit();
    const auto found = fmt::format("entries: differs in 1 of {} rows\n  id={}: flags: source ",
                                   options.rows, bench.changed_row());
    bit.push_back(bench.verify(5, found, memory));
    bench.turn_bit();
    most.push_back(memory.most_mb);
    more.push_back(memory.more_mb);
  }
  Figures figures;
  figures.note("copy_s", copy, "s");
  figures.note("verify_equal_s", equal, "s");
  figures.note("verify_one_bit_s", bit, "s");
  figures.note("verify_more_memory_mb", more, "MB");
  figures.add("verify_resident_mb", most, "MB", Goal::kAtMost, kEngineMb + 100);
  figures.store(options.result, fmt::format("verify of {} rows", options.rows));
}

}  // namespace
}  // namespace pgweir::bench

int main(int argc, char** argv) {
  pgweir::bench::Options options;
  CLI::App app("Measures verify.");
  app.add_option("result", options.result);
  app.add_option("--rows", options.rows);
  app.add_option("--rounds", options.rounds);
  CLI11_PARSE(app, argc, argv);
  pgweir::bench::run(options);
  return 0;
}
