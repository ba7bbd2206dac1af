// What a batch costs over a large state against a small one, in one run: three views (a filter, a
// join with group, a window count) over 20 M rows and over 200 k rows.
//
// usage: state_bench RESULT.json [--rows N] [--rounds N] [--batches N] [--keys uuid|bigint]
//                     [--memory-mib N] [--soak N]
//
// Both banks are open at the same time and take turns, so that a busy moment of the machine hits
// both. A figure is the ratio of the medians of each round's batches. The small bank has a
// hundredth of the rows. No PostgreSQL and no log: engine and views alone, in this process.
// --soak then gives the large bank N more batches of 100, and notes time and memory of each tenth.
#include <fmt/core.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "figures.h"
#include "harness/scratch.h"
#include "views/testing_bank.h"

namespace pgweir::bench {
namespace {
using Clock = std::chrono::steady_clock;
using views::BankKeys;
using views::TestingBank;

struct Options {
  std::string result = "state.json";
  std::uint32_t rows = 20'000'000;
  int rounds = 5;
  int batches = 30;                 // of each bank and size in a round
  std::string keys;                 // "": both
  std::uint64_t memory_mib = 1024;  // of the engine of each bank
  int soak = 0;
};

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Milliseconds of each of `count` batches.
Result<std::vector<double>> run_batches(TestingBank& bank, int changes, int count) {
  std::vector<double> out;
  for (int i = 0; i < count; ++i) {
    bank.prepare(changes);
    const auto start = Clock::now();
    TRY(bank.apply());
    out.push_back(milliseconds_since(start));
  }
  return out;
}

// Every view has seen every row: what was measured was the work itself.
bool is_right(TestingBank& bank) {
  const auto rows = static_cast<std::int64_t>(bank.rows());
  const std::int64_t grouped = bank.ask("SELECT sum(n)::BIGINT FROM by_region");
  const std::int64_t counted = bank.ask("SELECT sum(n)::BIGINT FROM per_minute");
  const std::int64_t filtered = bank.ask(
      "SELECT (SELECT count(*) FROM large) - (SELECT count(*) FROM entries WHERE amount > 900)");
  if (grouped == rows && counted == rows && filtered == 0) return true;
  fmt::print(stderr, "{} entries, but by_region has {}, per_minute {}, large {} too many\n", rows,
             grouped, counted, filtered);
  return false;
}

struct Side {
  std::vector<double> medians;  // of each round
  double worst = 0;

  void add(const std::vector<double>& times) {
    medians.push_back(median(times));
    for (const double time : times) worst = std::max(worst, time);
  }
};

// The rounds of one size of batch. An error ends them; what was measured until then stays.
Status run_rounds(const Options& options, int changes, TestingBank& large, TestingBank& small,
                  Side& of_large, Side& of_small) {
  constexpr int kWarmUp = 10;
  TRY(run_batches(large, changes, kWarmUp));
  TRY(run_batches(small, changes, kWarmUp));
  for (int round = 0; round < options.rounds; ++round) {
    TRY_ASSIGN(const auto large_times, run_batches(large, changes, options.batches));
    TRY_ASSIGN(const auto small_times, run_batches(small, changes, options.batches));
    of_large.add(large_times);
    of_small.add(small_times);
  }
  return {};
}

bool measure(Figures& figures, const Options& options, const std::string& which, int changes,
             TestingBank& large, TestingBank& small) {
  Side of_large, of_small;
  const Status status = run_rounds(options, changes, large, small, of_large, of_small);
  std::vector<double> ratios;
  for (std::size_t i = 0; i < of_small.medians.size(); ++i)
    ratios.push_back(of_large.medians[i] / of_small.medians[i]);
  if (!status.ok()) {
    fmt::print(stderr, "batches of {} failed: {}\n", changes, status.error().text());
    // No ratio is as large as that of a batch that never ends.
    ratios = {std::numeric_limits<double>::infinity()};
  }
  if (!of_small.medians.empty()) {
    figures.note("state_large_" + which, of_large.medians, "ms");
    figures.note("state_small_" + which, of_small.medians, "ms");
    figures.note("state_large_worst_" + which, {of_large.worst}, "ms");
    figures.note("state_small_worst_" + which, {of_small.worst}, "ms");
  }
  figures.add("state_ratio_" + which, ratios, "x", Goal::kAtMost, 2);
  return status.ok();
}

double resident_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

// Batches enough for rewriting and checkpoints to have come round: neither time nor memory grows.
bool soak(Figures& figures, const Options& options, const std::string& name, TestingBank& bank) {
  std::vector<double> means, worsts, resident;
  for (int tenth = 0; tenth < 10 && options.soak > 0; ++tenth) {
    const auto times = run_batches(bank, 100, std::max(1, options.soak / 10));
    if (!times.ok()) {
      fmt::print(stderr, "the soak failed: {}\n", times.error().text());
      return false;
    }
    double total = 0, worst = 0;
    for (const double time : *times) total += time, worst = std::max(worst, time);
    means.push_back(total / static_cast<double>(times->size()));
    worsts.push_back(worst);
    resident.push_back(resident_mib());
  }
  if (means.empty()) return true;
  figures.note("state_soak_mean_" + name, means, "ms");
  figures.note("state_soak_worst_" + name, worsts, "ms");
  figures.note("state_soak_resident_" + name, resident, "MiB");
  return true;
}

bool run_keys(Figures& figures, const Options& options, const std::string& name, BankKeys keys) {
  const harness::ScratchFolder scratch;
  const auto start = Clock::now();
  const std::uint64_t memory_bytes = options.memory_mib * kMiB;
  TestingBank large(scratch.file("large"), options.rows, keys, memory_bytes);
  const double seconds = milliseconds_since(start) / 1000;
  TestingBank small(scratch.file("small"), options.rows / 100, keys, memory_bytes);
  figures.note("state_fill_" + name, {options.rows / seconds}, "rows/s");
  for (const int changes : {25, 100, 1000}) {
    const std::string which = fmt::format("{}_{}", name, changes);
    if (!measure(figures, options, which, changes, large, small)) return false;
  }
  return soak(figures, options, name, large) && is_right(large) && is_right(small);
}

int run(const Options& options) {
  Figures figures;
  figures.note("state_rows", {static_cast<double>(options.rows)}, "rows");
  bool right = true;
  if (options.keys != "bigint") right = run_keys(figures, options, "uuid", BankKeys::kUuid);
  if (options.keys != "uuid") right &= run_keys(figures, options, "bigint", BankKeys::kBigint);
  figures.store(options.result, "state");
  return right ? 0 : 1;
}

}  // namespace
}  // namespace pgweir::bench

int main(int argc, char** argv) {
  pgweir::bench::Options options;
  for (int i = 1; i < argc; ++i) {
    const auto given = [&](const char* name) {
      return std::strcmp(argv[i], name) == 0 && i + 1 < argc;
    };
    if (given("--rows")) {
      options.rows = static_cast<std::uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else if (given("--rounds")) {
      options.rounds = std::atoi(argv[++i]);
    } else if (given("--batches")) {
      options.batches = std::atoi(argv[++i]);
    } else if (given("--memory-mib")) {
      options.memory_mib = std::strtoull(argv[++i], nullptr, 10);
    } else if (given("--soak")) {
      options.soak = std::atoi(argv[++i]);
    } else if (given("--keys")) {
      options.keys = argv[++i];
    } else {
      options.result = argv[i];
    }
  }
  if (options.rows < 100 || options.rounds < 1 || options.batches < 1) {
    fmt::print(stderr, "state_bench: --rows from 100, --rounds and --batches from 1\n");
    return 2;
  }
  return pgweir::bench::run(options);
}
