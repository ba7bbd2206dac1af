// Views against PostgreSQL's own answers: random ones, and the cases that once failed.
//
// Method: random tables in a real PostgreSQL, random views over them as views of PostgreSQL and of
//         ours, random transactions. PostgreSQL's changes come by logical replication into an
//         engine in this process; behind every transaction each view is compared with PostgreSQL's
//         and with DuckDB's full recomputation (runner.h). A case that fails is made small and
//         printed as a text for tests/differential/cases.
//
// PGWEIR_SEED repeats a run; it begins with the failing case's seed as that is printed.
// PGWEIR_DIFFERENTIAL_SECONDS is how long it looks (120).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "differential/random_changes.h"
#include "differential/random_views.h"
#include "differential/runner.h"
#include "differential/shrink.h"
#include "harness/scratch.h"

namespace pgweir::differential {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLookingTime{120};
constexpr std::chrono::seconds kShrinkingTime{180};

std::chrono::seconds looking_time() {
  const char* given = std::getenv("PGWEIR_DIFFERENTIAL_SECONDS");
  return given == nullptr ? kLookingTime : std::chrono::seconds(std::atoi(given));
}

TestCase random_case(unsigned seed) {
  Dice dice(seed);
  TestCase out;
  out.title = fmt::format("PGWEIR_SEED={}", seed);
  const std::vector<RandomTable> tables = random_tables(dice);
  std::vector<Relation> relations;
  for (const RandomTable& table : tables) {
    out.tables.push_back(table.sql);
    relations.push_back(table.relation);
  }
  const int views = dice.between(5, 12);
  for (int i = 1; i <= views; ++i)
    out.views.push_back(random_view(dice, fmt::format("v{}", i), relations));
  out.steps.push_back(first_step(dice, tables));
  const int steps = dice.between(10, 30);
  for (int i = 0; i < steps; ++i) out.steps.push_back(random_step(dice, tables));
  out.small_stores = dice.percent(40);
  out.part_changes = dice.percent(20) ? static_cast<std::size_t>(dice.between(1, 6)) : 0;
  return out;
}

void report(Runner& runner, const TestCase& failing, const Outcome& outcome) {
  fmt::print("{} fails: view {} behind step {}: {}\n", failing.title, outcome.view, outcome.step,
             outcome.failure);
  std::fflush(stdout);
  const Shrunk small = shrink(runner, failing, outcome, kShrinkingTime);
  ADD_FAILURE() << failing.title << ": view " << small.outcome.view << " " << small.outcome.failure
                << "\nAs a case (after " << small.runs << " runs):\n\n"
                << to_text(small.test_case);
}

}  // namespace

TEST(DifferentialTest, CasesThatOnceFailedDoNot) {
  Runner runner(shared_source());
  const auto folder = std::filesystem::path(PGWEIR_SOURCE) / "tests/differential/cases";
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  EXPECT_FALSE(files.empty());
  for (const auto& file : files) {
    SCOPED_TRACE(file.filename().string());
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    const auto parsed = parse_case(file.filename().string(), text.str());
    if (!parsed.ok()) {
      ADD_FAILURE() << parsed.error().message;
      continue;
    }
    const Outcome outcome = runner.run(*parsed);
    EXPECT_EQ(outcome.failure, "")
        << "view " << outcome.view << " behind step " << outcome.step + 1;
    for (const auto& [view, why] : outcome.not_taken)
      ADD_FAILURE() << "PostgreSQL does not take " << view << ": " << why;
    // As it prints itself, it is the same case.
    const auto again = parse_case("again", to_text(*parsed));
    EXPECT_TRUE(again.ok() && to_text(*again) == to_text(*parsed));
  }
}

TEST(DifferentialTest, RandomViewsEqualPostgresAfterEveryBatch) {
  const unsigned first_seed = harness::test_seed();
  const auto end = Clock::now() + looking_time();
  Runner runner(shared_source());
  std::uint64_t cases = 0, not_taken = 0;
  for (unsigned seed = first_seed; Clock::now() < end && !HasFailure(); ++seed, ++cases) {
    const TestCase test_case = random_case(seed);
    const Outcome outcome = runner.run(test_case, end);
    for (const auto& [view, why] : outcome.not_taken) {
      ++not_taken;
      // Those over such a view are not taken either.
      if (why.find("does not exist") == std::string::npos)
        fmt::print("PGWEIR_SEED={}: PostgreSQL does not take {}: {}\n", seed, view, why);
    }
    if (!outcome.failure.empty()) report(runner, test_case, outcome);
  }
  fmt::print("{} cases, {}  {} views that PostgreSQL does not take\n", cases,
             runner.counts().text(), not_taken);
}

}  // namespace pgweir::differential
