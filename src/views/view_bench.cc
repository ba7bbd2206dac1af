// What a batch of 100 changes costs with three views (a filter, a join with group, a window count),
// over tables of 200 k and of 20 M rows with random UUID keys. bench/state_bench.cc compares them.
//
//   views_bench --benchmark_filter=/200000/
#include <benchmark/benchmark.h>

#include "harness/scratch.h"
#include "views/testing_bank.h"

namespace pgweir::views {
namespace {

constexpr int kChanges = 100;

void views_batch(benchmark::State& state) {
  const harness::ScratchFolder scratch;
  TestingBank bank(scratch.file("bank"), static_cast<std::uint32_t>(state.range(0)));
  for (int i = 0; i < 20; ++i) {
    bank.prepare(kChanges);
    TestingBank::check(bank.apply());
  }
  for (auto _ : state) {
    state.PauseTiming();
    bank.prepare(kChanges);
    state.ResumeTiming();
    TestingBank::check(bank.apply());
  }
}
BENCHMARK(views_batch)
    ->Arg(200'000)
    ->Arg(20'000'000)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(200);

}  // namespace
}  // namespace pgweir::views
