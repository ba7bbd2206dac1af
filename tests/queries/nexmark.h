// Nexmark's tables (persons, auctions, bids, and the side input of its query 13) with rows of our
// own making, and a stream of changes over them.
//
// Events come in Nexmark's ratio, 1 to 3 to 46, and their times rise a little with each. Bids have
// a key here, which makes orders total. Later transactions also change and delete what there is.
//
// Threads: plain data.
#pragma once

#include "differential/random_source.h"
#include "differential/test_case.h"

namespace pgweir::queries {

struct NexmarkOptions {
  double scale = 1;  // 1 has some 2,000 events at first
  int rounds = 4;    // of inserts, updates and deletes
};

// Tables and steps; the views are the caller's. The first step loads the tables.
differential::TestCase nexmark_case(differential::Dice& dice, const NexmarkOptions& options);

}  // namespace pgweir::queries
