// How long batches take over a large bank against a small one, in turns.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "figures.h"
#include "views/testing_bank.h"

namespace pgweir::bench {

// Milliseconds of each of `count` batches of so many changes.
Result<std::vector<double>> time_batches(views::TestingBank& bank, int changes, int count);

double mean(const std::vector<double>& values);

struct Rounds {
  int rounds = 5;
  int batches = 30;  // of each bank in a round
};

// Measures rounds of batches of one size, after a few to warm up, and adds PREFIX_ratio_WHICH, of
// the medians of each round's batches, with its goal; what it is made of is noted beside it. False
// when a batch failed, which it has printed.
bool compare_banks(Figures& figures, const Rounds& rounds, const std::string& prefix,
                   const std::string& which, int changes, views::TestingBank& large,
                   views::TestingBank& small);

}  // namespace pgweir::bench
