// Runs a case on both sides: PostgreSQL, with the views as views of its own, and the engine with
// the views over what PostgreSQL sends. Behind every step each view must have exactly the rows that
// PostgreSQL's has, and those that DuckDB gives for its SELECT over the mirrors.
//
// Life:    one Runner for many cases, one after the other.
// Threads: one.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "differential/source.h"
#include "differential/test_case.h"
#include "views/view_set.h"

namespace pgweir::differential {

// What was seen of a view in a case.
struct ViewRun {
  views::Explanation told;  // behind the last step
  std::size_t rows_most = 0;
  std::size_t answers = 0;         // different from the one before
  std::vector<std::string> lines;  // PostgreSQL's rows, behind the last step
};

struct Outcome {
  // A view that is wrong, refused or failed, an engine that fails, rows other than the file's.
  std::string failure;
  std::string view;      // which failed; "" for the engine
  std::size_t step = 0;  // behind which
  // PostgreSQL's rows of that view there.
  std::vector<std::string> rows;
  // Views that PostgreSQL itself refuses, with its reason: they are left out, as are those over
  // them.
  std::map<std::string, std::string> not_taken;
  std::map<std::string, ViewRun> views;  // those that were compared
};

// Over all cases so far.
struct Counts {
  std::uint64_t views = 0;
  std::uint64_t batches = 0;
  std::uint64_t comparisons = 0;
  std::uint64_t rows = 0;  // compared
  std::map<std::string, std::uint64_t> strategies;
  std::map<std::string, std::uint64_t> recomputed;  // why, without places
  std::string text() const;
};

class Runner {
 public:
  explicit Runner(Source& source) : source_(source) {}

  using Time = std::chrono::steady_clock::time_point;
  // Steps that would begin behind `end` are left out.
  Outcome run(const TestCase& test_case, Time end = Time::max());
  const Counts& counts() const { return counts_; }

 private:
  Source& source_;
  Counts counts_;
};

}  // namespace pgweir::differential
