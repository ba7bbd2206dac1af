#include "base/units.h"

#include <gtest/gtest.h>

namespace pgweir {

TEST(Units, DurationsAndSizesNeedAUnit) {
  EXPECT_EQ(parse_duration("500ms").value(), Milliseconds(500));
  EXPECT_EQ(parse_duration("7d").value(), Milliseconds(7 * 86'400'000ll));
  EXPECT_EQ(parse_size("64MiB").value(), 64 * kMiB);
  EXPECT_EQ(parse_size("1500B").value(), 1500u);
  EXPECT_EQ(parse_duration("5").error().message, "'5' has no unit");
  EXPECT_EQ(parse_size("5 parsecs").error().message, "'5 parsecs' has the unknown unit ' parsecs'");
  EXPECT_EQ(parse_size("much").error().message, "'much' is not a size");
  EXPECT_EQ(parse_size("-1B").error().message, "'-1B' is not a size");
}

TEST(Units, TooLargeIsAnErrorNotAWrap) {
  EXPECT_EQ(parse_size("99999999TiB").error().message, "'99999999TiB' is too large");
  EXPECT_EQ(parse_duration("18446744073709551615d").error().message,
            "'18446744073709551615d' is too large");
}

TEST(Units, TextsForPeople) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(13'736'345), "13.1 MiB");
  EXPECT_EQ(format_duration(Milliseconds(60'000)), "1m");
  EXPECT_EQ(format_duration(Milliseconds(1500)), "1500ms");
}

}  // namespace pgweir
