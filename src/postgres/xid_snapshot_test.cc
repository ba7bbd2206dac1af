// A snapshot sees what had ended when it was taken, whatever the order of commits.
#include "postgres/xid_snapshot.h"

#include <gtest/gtest.h>

namespace pgweir::postgres {
namespace {

// The transactions of 8 to 14 that the snapshot sees.
std::string seen(const std::string& text) {
  const XidSnapshot snapshot = parse_snapshot(text).value();
  std::string out;
  for (std::uint64_t xid = 8; xid <= 14; ++xid) {
    if (snapshot.sees(xid)) out += std::to_string(xid) + " ";
  }
  return out;
}

}  // namespace

TEST(XidSnapshot, SeesWhatHasEnded) {
  EXPECT_EQ(seen("10:10:"), "8 9 ");
  EXPECT_EQ(seen("10:13:10"), "8 9 11 12 ");
  EXPECT_EQ(seen("10:13:10,12"), "8 9 11 ");
}

TEST(XidSnapshot, ExtendsIdsToTheNearest) {
  const std::uint64_t epoch = std::uint64_t{1} << 32;
  const XidSnapshot after{.xmin = 3 * epoch + 5, .xmax = 3 * epoch + 5, .running = {}};
  EXPECT_EQ(after.extend(model::Xid{4}), 3 * epoch + 4);
  EXPECT_EQ(after.extend(model::Xid{9}), 3 * epoch + 9);
  EXPECT_EQ(after.extend(model::Xid{0xffffffff}), 3 * epoch - 1);
  EXPECT_TRUE(after.sees(model::Xid{0xffffffff}));
  const XidSnapshot before{.xmin = 3 * epoch - 2, .xmax = 3 * epoch - 2, .running = {}};
  EXPECT_EQ(before.extend(model::Xid{3}), 3 * epoch + 3);
  const XidSnapshot first{.xmin = 700, .xmax = 700, .running = {}};
  EXPECT_EQ(first.extend(model::Xid{800}), 800u);
}

TEST(XidSnapshot, RefusesOtherTexts) {
  for (const char* text : {"", "10", "10:", "10:11", "x:11:", "10:11:x", "10:11:10,", "10:11:10;"})
    EXPECT_FALSE(parse_snapshot(text).ok()) << text;
}

}  // namespace pgweir::postgres
