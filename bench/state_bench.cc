// What a batch costs over a large state against a small one, in one run: three views (a filter, a
// join with group, a window count) over 20 M rows and over 200 k rows.
//
// usage: state_bench RESULT.json [--rows N] [--rounds N] [--batches N] [--keys uuid|bigint]
//                     [--memory-mib N] [--soak N] [--banks FOLDER] [--changes N]
//
// Both banks are open at the same time and take turns, so that a busy moment of the machine hits
// both. The small bank has a hundredth of the rows. No PostgreSQL and no log: engine and views
// alone, in this process. They are measured as they were filled (state_ratio_...), then both are
// given --soak batches of 1,000 changes, noting time and memory of each tenth, and are measured
// again (state_long_ratio_...): by then rows wait to be worked in, and rewriting and checkpoints
// have come round. A ratio is that of the medians of each round's batches; the means, which have
// what few batches bear, are noted beside it.
// --changes measures with batches of that size only. --banks keeps the banks in a folder: the next
// run goes on with them, as they were left; --rounds 0 only fills and soaks them.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "batch_times.h"
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
  int soak = 800;                   // rewriting begins in the large bank after some 560
  int changes = 0;                  // of a batch; 0: 25, 100 and 1,000
  std::string banks;                // folder; "": banks are made anew and removed
};

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
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

// `when`: "", or "_long" once the banks have had many batches.
bool measure_sizes(Figures& figures, const Options& options, const std::string& when,
                   const std::string& name, TestingBank& large, TestingBank& small) {
  for (const int changes : {25, 100, 1000}) {
    if (options.rounds == 0 || (options.changes != 0 && options.changes != changes)) continue;
    const std::string which = fmt::format("{}_{}", name, changes);
    if (!compare_banks(figures, {.rounds = options.rounds, .batches = options.batches},
                       "state" + when, which, changes, large, small))
      return false;
  }
  return true;
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
  constexpr int kChanges = 1000;
  std::vector<double> means, worsts, resident;
  for (int tenth = 0; tenth < 10 && options.soak > 0; ++tenth) {
    const auto times = time_batches(bank, kChanges, std::max(1, options.soak / 10));
    if (!times.ok()) {
      fmt::print(stderr, "the soak failed: {}\n", times.error().text());
      return false;
    }
    means.push_back(mean(*times));
    worsts.push_back(*std::max_element(times->begin(), times->end()));
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
  const auto folder = [&](const char* bank) {
    if (options.banks.empty()) return scratch.file(bank);
    return fmt::format("{}/{}_{}", options.banks, name, bank);
  };
  const views::BankOptions bank{
      .keys = keys,
      .memory_bytes = options.memory_mib * kMiB,
      .life = options.banks.empty() ? views::BankLife::kRemoved : views::BankLife::kKept};
  TestingBank large(folder("large"), options.rows, bank);
  const double seconds = milliseconds_since(start) / 1000;
  TestingBank small(folder("small"), options.rows / 100, bank);
  figures.note("state_fill_" + name, {options.rows / seconds}, "rows/s");
  if (!measure_sizes(figures, options, "", name, large, small)) return false;
  if (options.soak > 0) {
    if (!soak(figures, options, "large_" + name, large)) return false;
    if (!soak(figures, options, "small_" + name, small)) return false;
    if (!measure_sizes(figures, options, "_long", name, large, small)) return false;
  }
  return is_right(large) && is_right(small);
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
  CLI::App arguments("How much slower a batch over a large store is than over a small one");
  arguments.add_option("result", options.result, "where the figures go, as JSON");
  arguments.add_option("--rows", options.rows);
  arguments.add_option("--rounds", options.rounds);
  arguments.add_option("--batches", options.batches);
  arguments.add_option("--memory-mib", options.memory_mib);
  arguments.add_option("--soak", options.soak);
  arguments.add_option("--banks", options.banks);
  arguments.add_option("--changes", options.changes);
  arguments.add_option("--keys", options.keys);
  CLI11_PARSE(arguments, argc, argv);
  if (options.rows < 100 || options.rounds < 0 || options.batches < 1) {
    fmt::print(stderr, "state_bench: --rows from 100, --batches from 1\n");
    return 2;
  }
  return pgweir::bench::run(options);
}
