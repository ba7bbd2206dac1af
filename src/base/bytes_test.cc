#include "base/bytes.h"

#include <gtest/gtest.h>

#include <limits>

namespace pgweir {

TEST(Bytes, IntegersComeBackInBothOrders) {
  std::string network, file;
  append_network<std::int64_t>(network, -2);
  append_network<std::uint16_t>(network, 0xabcd);
  append_file<std::uint32_t>(file, 0x01020304);
  append_file<std::int64_t>(file, std::numeric_limits<std::int64_t>::min());
  NetworkReader a(network);
  EXPECT_EQ(a.read<std::int64_t>(), -2);
  EXPECT_EQ(a.read<std::uint16_t>(), 0xabcd);
  EXPECT_TRUE(a.ok() && a.at_end());
  FileReader b(file);
  EXPECT_EQ(file[0], 4);
  EXPECT_EQ(b.read<std::uint32_t>(), 0x01020304u);
  EXPECT_EQ(b.read<std::int64_t>(), std::numeric_limits<std::int64_t>::min());
}

TEST(Bytes, ReadingPastTheEndFailsForGood) {
  NetworkReader reader(std::string_view("\0\1\2", 3));
  EXPECT_EQ(reader.read<std::uint32_t>(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.read<std::uint8_t>(), 0u);
  EXPECT_EQ(reader.bytes(1), "");
}

TEST(Bytes, TextWithoutItsZeroByteFails) {
  NetworkReader reader("abc");
  EXPECT_EQ(reader.c_string(), "");
  EXPECT_FALSE(reader.ok());
}

}  // namespace pgweir
