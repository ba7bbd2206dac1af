#include "batch_times.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>

namespace pgweir::bench {
namespace {
using Clock = std::chrono::steady_clock;
using views::TestingBank;

constexpr double kGoal = 2;  // times what a batch costs over the small bank

struct Side {
  std::vector<double> medians, means;  // of each round
  double worst = 0;

  void add(const std::vector<double>& times) {
    medians.push_back(median(times));
    means.push_back(mean(times));
    worst = std::max(worst, *std::max_element(times.begin(), times.end()));
  }
};

std::vector<double> ratios_of(const std::vector<double>& large, const std::vector<double>& small) {
  std::vector<double> out;
  for (std::size_t i = 0; i < small.size(); ++i) out.push_back(large[i] / small[i]);
  return out;
}

// An error ends the rounds; what was measured until then stays.
Status run_rounds(const Rounds& rounds, int changes, TestingBank& large, TestingBank& small,
                  Side& of_large, Side& of_small) {
  constexpr int kWarmUp = 10;
  TRY(time_batches(large, changes, kWarmUp));
  TRY(time_batches(small, changes, kWarmUp));
  for (int round = 0; round < rounds.rounds; ++round) {
    TRY_ASSIGN(const auto large_times, time_batches(large, changes, rounds.batches));
    TRY_ASSIGN(const auto small_times, time_batches(small, changes, rounds.batches));
    of_large.add(large_times);
    of_small.add(small_times);
  }
  return {};
}

}  // namespace

Result<std::vector<double>> time_batches(TestingBank& bank, int changes, int count) {
  std::vector<double> out;
  for (int i = 0; i < count; ++i) {
    bank.prepare(changes);
    const auto start = Clock::now();
    TRY(bank.apply());
    out.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  return out;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

bool compare_banks(Figures& figures, const Rounds& rounds, const std::string& prefix,
                   const std::string& which, int changes, TestingBank& large, TestingBank& small) {
  Side of_large, of_small;
  const Status status = run_rounds(rounds, changes, large, small, of_large, of_small);
  std::vector<double> ratios = ratios_of(of_large.medians, of_small.medians);
  if (!status.ok()) {
    fmt::print(stderr, "batches of {} failed: {}\n", changes, status.error().text());
    // No ratio is as large as that of a batch that never ends.
    ratios = {std::numeric_limits<double>::infinity()};
  }
  const auto name = [&](const char* what) { return fmt::format("{}_{}_{}", prefix, what, which); };
  if (!of_small.medians.empty()) {
    figures.note(name("large"), of_large.medians, "ms");
    figures.note(name("small"), of_small.medians, "ms");
    figures.note(name("large_worst"), {of_large.worst}, "ms");
    figures.note(name("small_worst"), {of_small.worst}, "ms");
    figures.note(name("large_mean"), of_large.means, "ms");
    figures.note(name("small_mean"), of_small.means, "ms");
    figures.note(name("mean_ratio"), ratios_of(of_large.means, of_small.means), "x");
  }
  figures.add(name("ratio"), ratios, "x", Goal::kAtMost, kGoal);
  return status.ok();
}

}  // namespace pgweir::bench
