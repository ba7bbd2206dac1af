#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace pgweir {

// The test vectors of RFC 3720, appendix B.4.
TEST(Crc32c, RfcVectors) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending += c;
  EXPECT_EQ(crc32c(ascending), 0x46DD794Eu);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
}

TEST(Crc32c, PiecesGiveTheChecksumOfTheWhole) {
  EXPECT_EQ(crc32c("456789", crc32c("123")), crc32c("123456789"));
}

}  // namespace pgweir
