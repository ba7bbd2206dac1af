// Makes a failing case small: fewer steps, fewer views, fewer statements, smaller SQL.
//
// Threads: one.
#pragma once

#include <chrono>

#include "differential/runner.h"

namespace pgweir::differential {

struct Shrunk {
  TestCase test_case;  // with PostgreSQL's rows of the view behind the step that failed
  Outcome outcome;
  int runs = 0;
};

// Requires that `test_case` failed with `outcome`. Ends when nothing smaller fails, or after
// `patience`.
Shrunk shrink(Runner& runner, const TestCase& test_case, const Outcome& outcome,
              std::chrono::seconds patience);

}  // namespace pgweir::differential
