// TPC-H's tables with rows of our own making, and a stream of changes over them.
//
// The shape is that of the specification: its tables, its ratios of rows, its rules between columns
// (what a line's flags, dates and prices follow from). The values that its queries ask for are more
// frequent than there, so that each has an answer at a small scale.
//
// Threads: plain data.
#pragma once

#include "differential/random_source.h"
#include "differential/test_case.h"

namespace pgweir::queries {

struct TpchOptions {
  double scale = 0.005;  // 1 has 1.5 million orders
  int rounds = 4;        // of RF1, RF2 and updates of all tables
};

// Tables and steps; the views are the caller's. The first step loads the tables.
differential::TestCase tpch_case(differential::Dice& dice, const TpchOptions& options);

}  // namespace pgweir::queries
