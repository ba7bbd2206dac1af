// What a batch costs over a large state against a small one, for each shape of view whose affected
// keys are few; and what small batches cost with six views at once. In one run: the rows of the
// small bank are a hundredth of the large one's, and an account has ten of them in both.
//
// usage: shapes_bench RESULT.json [--rows N] [--rounds N] [--batches N] [--keys uuid|bigint|both]
//                      [--memory-mib N] [--shape NAME]
//
// Both banks are filled without views; then each shape is measured alone, built from the mirrors,
// the banks taking turns. As many rows come as go, so that the accounts keep ten. No PostgreSQL and
// no log: engine and views alone, in this process. At the end of each shape the small bank's view
// is compared with its SELECT, row by row.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <chrono>
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
using views::ViewSource;

struct Options {
  std::string result = "shapes.json";
  std::uint32_t rows = 20'000'000;
  int rounds = 3;
  int batches = 20;  // of each bank and size in a round
  std::string keys = "uuid";
  std::uint64_t memory_mib = 1024;  // of the engine of each bank
  std::string shape;                // "": all
};

constexpr std::uint32_t kEntriesOfAccount = 10;
constexpr double kSmallBatchGoalMs = 10;

const std::vector<ViewSource>& shapes() {
  static const std::vector<ViewSource> all = {
      {"inner_join",
       "SELECT entries.id, region, amount FROM entries JOIN accounts ON account_id = accounts.id"},
      {"left_join",
       "SELECT accounts.id, region, entries.id AS entry, amount FROM accounts "
       "LEFT JOIN entries ON account_id = accounts.id"},
      {"groups",
       "SELECT account_id, count(*) AS n, sum(amount) AS amount FROM entries GROUP BY account_id"},
      {"distinct_rows",
       "SELECT DISTINCT account_id, date_trunc('hour', made) AS hour FROM entries"},
      {"top_k",
       "SELECT account_id, id, amount FROM entries QUALIFY row_number() OVER "
       "(PARTITION BY account_id ORDER BY amount DESC, id) <= 3"},
      {"min_max",
       "SELECT account_id, min(amount) AS least, max(amount) AS most FROM entries "
       "GROUP BY account_id"},
      {"window_function",
       "SELECT id, account_id, sum(amount) OVER (PARTITION BY account_id ORDER BY made, id) AS "
       "balance FROM entries"},
  };
  return all;
}

const ViewSource kPerMinute = {
    "per_minute",
    "SELECT window_start, count(*) AS n FROM tumble(entries, made, INTERVAL 1 MINUTE) "
    "GROUP BY window_start"};
// The same rows, without what only views know.
constexpr const char* kPerMinutePlainly =
    "SELECT date_trunc('minute', made), count(*) FROM entries GROUP BY 1";

const std::vector<ViewSource>& six_views() {
  static const std::vector<ViewSource> all = {
      {"large", "SELECT id, amount FROM entries WHERE amount > 900"},
      {"by_region",
       "SELECT region, count(*) AS n, sum(amount) AS amount FROM entries JOIN accounts "
       "ON account_id = accounts.id GROUP BY region"},
      kPerMinute,
      {"per_account",
       "SELECT account_id, count(*) AS n, sum(amount) AS amount FROM entries GROUP BY account_id"},
      {"most", "SELECT account_id, max(amount) AS most FROM entries GROUP BY account_id"},
      {"best",
       "SELECT account_id, id, amount FROM entries QUALIFY row_number() OVER "
       "(PARTITION BY account_id ORDER BY amount DESC, id) <= 3"},
  };
  return all;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The rows that a view has too many or too few, compared with its SELECT as DuckDB reads it.
std::int64_t wrong_rows(TestingBank& bank, const ViewSource& view) {
  const std::string plain = view.name == kPerMinute.name ? kPerMinutePlainly : view.sql;
  return bank.ask(
      fmt::format("SELECT count(*)::BIGINT FROM ("
                  "(SELECT * FROM {0} EXCEPT ALL ({1})) UNION ALL "
                  "(({1}) EXCEPT ALL SELECT * FROM {0}))",
                  view.name, plain));
}

bool are_right(TestingBank& bank, const std::vector<ViewSource>& views) {
  bool right = true;
  for (const ViewSource& view : views) {
    const std::int64_t wrong = wrong_rows(bank, view);
    if (wrong == 0) continue;
    fmt::print(stderr, "{}: {} rows differ from the SELECT\n", view.name, wrong);
    right = false;
  }
  return right;
}

// Puts the views into both banks. The strategy is printed: it is what the figures are about.
bool define(TestingBank& large, TestingBank& small, const std::vector<ViewSource>& views) {
  for (TestingBank* bank : {&small, &large}) {
    const auto start = Clock::now();
    const Status defined = bank->redefine(views);
    if (!defined.ok()) {
      fmt::print(stderr, "{}: {}\n", views.front().name, defined.error().text());
      return false;
    }
    fmt::print("over {} rows built in {:.1f} s\n", bank->rows(), seconds_since(start));
  }
  for (const auto& view : small.views()) fmt::print("{}: {}\n", view.name, view.strategy);
  std::fflush(stdout);
  return true;
}

bool measure_shape(Figures& figures, const Options& options, const std::string& keys,
                   const ViewSource& shape, TestingBank& large, TestingBank& small) {
  if (!define(large, small, {shape})) return false;
  for (const int changes : {25, 100, 1000}) {
    const std::string which = fmt::format("{}_{}_{}", shape.name, keys, changes);
    if (!compare_banks(figures, {.rounds = options.rounds, .batches = options.batches}, "shape",
                       which, changes, large, small))
      return false;
  }
  return are_right(small, {shape});
}

bool measure_six(Figures& figures, const Options& options, const std::string& keys,
                 TestingBank& large, TestingBank& small) {
  if (!define(large, small, six_views())) return false;
  for (const int changes : {10, 25, 100}) {
    std::vector<double> of_large, of_small;
    for (int round = 0; round < options.rounds; ++round) {
      const auto large_times = time_batches(large, changes, options.batches);
      const auto small_times = time_batches(small, changes, options.batches);
      if (!large_times.ok() || !small_times.ok()) {
        fmt::print(stderr, "batches of {} failed\n", changes);
        return false;
      }
      of_large.push_back(median(*large_times));
      of_small.push_back(median(*small_times));
    }
    const std::string which = fmt::format("{}_{}", keys, changes);
    figures.add("six_views_large_" + which, of_large, "ms", Goal::kAtMost, kSmallBatchGoalMs);
    figures.add("six_views_small_" + which, of_small, "ms", Goal::kAtMost, kSmallBatchGoalMs);
  }
  return are_right(small, six_views());
}

bool run_keys(Figures& figures, const Options& options, const std::string& name, BankKeys keys) {
  const harness::ScratchFolder scratch;
  const auto bank_of = [&](std::uint32_t rows) {
    return views::BankOptions{.keys = keys,
                              .memory_bytes = options.memory_mib * kMiB,
                              .accounts = rows / kEntriesOfAccount,
                              .inserts_in_ten = 3,
                              .deletes_in_ten = 3,
                              .views = {}};
  };
  const std::uint32_t few = options.rows / 100;
  const auto start = Clock::now();
  TestingBank large(scratch.file("large"), options.rows, bank_of(options.rows));
  TestingBank small(scratch.file("small"), few, bank_of(few));
  fmt::print("banks of {} and {} rows filled in {:.0f} s\n", options.rows, few,
             seconds_since(start));
  bool right = true;
  for (const ViewSource& shape : shapes()) {
    if (!options.shape.empty() && options.shape != shape.name) continue;
    right &= measure_shape(figures, options, name, shape, large, small);
  }
  if (options.shape.empty() || options.shape == "six")
    right &= measure_six(figures, options, name, large, small);
  return right;
}

int run(const Options& options) {
  Figures figures;
  figures.note("shape_rows", {static_cast<double>(options.rows)}, "rows");
  bool right = true;
  if (options.keys != "bigint") right = run_keys(figures, options, "uuid", BankKeys::kUuid);
  if (options.keys != "uuid") right &= run_keys(figures, options, "bigint", BankKeys::kBigint);
  figures.store(options.result, "shapes");
  return right ? 0 : 1;
}

}  // namespace
}  // namespace pgweir::bench

int main(int argc, char** argv) {
  pgweir::bench::Options options;
  CLI::App arguments("How much slower a batch over a large state is, for each shape of view");
  arguments.add_option("result", options.result, "where the figures go, as JSON");
  arguments.add_option("--rows", options.rows);
  arguments.add_option("--rounds", options.rounds);
  arguments.add_option("--batches", options.batches);
  arguments.add_option("--keys", options.keys)->check(CLI::IsMember({"uuid", "bigint", "both"}));
  arguments.add_option("--memory-mib", options.memory_mib);
  arguments.add_option("--shape", options.shape, "of one shape alone, or 'six'");
  CLI11_PARSE(arguments, argc, argv);
  if (options.rows < 1000 || options.rounds < 1 || options.batches < 1) {
    fmt::print(stderr, "shapes_bench: --rows from 1000, --rounds and --batches from 1\n");
    return 2;
  }
  return pgweir::bench::run(options);
}
