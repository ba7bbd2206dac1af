#include "base/spares.h"

#include <gtest/gtest.h>

#include <string>

namespace pgweir {
namespace {

struct Buffer {
  std::string bytes;
  void clear() { bytes.clear(); }
  std::size_t used_bytes() const { return bytes.size(); }
  std::size_t memory_bytes() const { return bytes.capacity(); }
};

Buffer of_size(std::size_t used, std::size_t memory) {
  Buffer buffer;
  buffer.bytes.reserve(memory);
  buffer.bytes.assign(used, 'x');
  return buffer;
}

TEST(Spares, WhatWasGivenComesBackEmptyWithItsMemory) {
  Spares<Buffer> spares(1, 1 << 20);
  EXPECT_EQ(spares.take().memory_bytes(), Buffer().memory_bytes());
  spares.give(of_size(100'000, 200'000));
  const Buffer taken = spares.take();
  EXPECT_EQ(taken.used_bytes(), 0U);
  EXPECT_GE(taken.memory_bytes(), 200'000U);
  EXPECT_LT(spares.take().memory_bytes(), 200'000U);
}

TEST(Spares, KeepsNoMoreThanItsLimits) {
  const struct {
    std::size_t used, memory;
    bool kept;
  } cases[] = {
      {0, 1'000, true},            // little is always kept
      {300'000, 1'000'000, true},  // a quarter was used
      {200'000, 1'000'000, false},
      {1'500'000, 1'500'000, false},  // more than one may have
  };
  for (const auto& each : cases) {
    Spares<Buffer> spares(1, 1 << 20);
    spares.give(of_size(each.used, each.memory));
    EXPECT_EQ(spares.take().memory_bytes() >= each.memory, each.kept) << each.memory;
  }
  Spares<Buffer> spares(1, 1 << 20);
  for (int i = 0; i < 3; ++i) spares.give(of_size(1'000, 1'000));
  EXPECT_GE(spares.take().memory_bytes(), 1'000U);
  EXPECT_LT(spares.take().memory_bytes(), 1'000U);
}

}  // namespace
}  // namespace pgweir
