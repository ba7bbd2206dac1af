#include "base/nearest_name.h"

#include <gtest/gtest.h>

namespace pgweir {

TEST(NearestName, IsNearOrNone) {
  const std::vector<std::string> known{"balance", "per_minute", "x"};
  EXPECT_EQ(nearest_name("balanse", known), "balance");
  EXPECT_EQ(nearest_name("BALANCE", known), "balance");
  EXPECT_EQ(nearest_name("permnute", known), "per_minute");
  EXPECT_EQ(nearest_name("something", known), "");
  EXPECT_EQ(nearest_name("y", known), "") << "one letter is not near to another";
  EXPECT_EQ(nearest_name("", known), "");
  EXPECT_EQ(nearest_name(std::string(100'000, 'x'), known), "");
  EXPECT_EQ(nearest_name("balance", {}), "");
}

}  // namespace pgweir
