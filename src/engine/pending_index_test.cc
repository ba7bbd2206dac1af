#include "engine/pending_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "harness/scratch.h"

namespace pgweir::engine {

std::vector<std::uint32_t> runs_of(const PendingIndex& index, std::uint64_t hash) {
  std::vector<std::uint32_t> runs;
  index.find(hash, runs);
  std::sort(runs.begin(), runs.end());
  return runs;
}

TEST(PendingIndex, KnowsEveryRowOfAHash) {
  PendingIndex index;
  EXPECT_EQ(runs_of(index, 7), std::vector<std::uint32_t>());
  EXPECT_FALSE(index.erase(7, 1));
  index.add(7, 1);
  index.add(7, 1);
  index.add(7, 0);
  EXPECT_EQ(runs_of(index, 7), (std::vector<std::uint32_t>{0, 1, 1}));
  EXPECT_TRUE(index.erase(7, 1));
  EXPECT_FALSE(index.erase(7, 2));
  EXPECT_EQ(runs_of(index, 7), (std::vector<std::uint32_t>{0, 1}));
  index.clear();
  EXPECT_EQ(index.size(), 0U);
  EXPECT_EQ(runs_of(index, 7), std::vector<std::uint32_t>());
}

// Hashes that meet in the same places, at the end of the table as well.
TEST(PendingIndex, IsAMultimap) {
  std::mt19937_64 random(harness::test_seed());
  PendingIndex index;
  std::multimap<std::uint64_t, std::uint32_t> model;
  for (int i = 0; i < 50'000; ++i) {
    const std::uint64_t hash = (random() % 40) * 0x1000 + random() % 8 - 4;
    const auto run = static_cast<std::uint32_t>(random() % 3);
    if (random() % 2 == 0 && model.size() < 300) {
      index.add(hash, run);
      model.emplace(hash, run);
    } else {
      const auto [first, last] = model.equal_range(hash);
      const auto found =
          std::find_if(first, last, [&](const auto& entry) { return entry.second == run; });
      ASSERT_EQ(index.erase(hash, run), found != last);
      if (found != last) model.erase(found);
    }
    ASSERT_EQ(index.size(), model.size());
    std::vector<std::uint32_t> expected;
    for (auto [at, end] = model.equal_range(hash); at != end; ++at) expected.push_back(at->second);
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(runs_of(index, hash), expected);
  }
}

}  // namespace pgweir::engine
