#include "model/position.h"

#include <gtest/gtest.h>

namespace pgweir::model {

TEST(Position, TextsAreReadBack) {
  EXPECT_EQ(to_string(Lsn{0x16B374D848}), "16/B374D848");
  EXPECT_EQ(parse_lsn("16/B374D848").value(), Lsn{0x16B374D848});
  const Position position{3, Lsn{0x16B3748}, 42};
  EXPECT_EQ(to_string(position), "3:0/16B3748:42");
  EXPECT_EQ(parse_position("3:0/16B3748:42").value(), position);
}

TEST(Position, OrderIsEpochThenLsnThenSequence) {
  EXPECT_LT((Position{1, Lsn{9}, 9}), (Position{2, Lsn{1}, 1}));
  EXPECT_LT((Position{1, Lsn{1}, 9}), (Position{1, Lsn{2}, 1}));
  EXPECT_LT((Position{1, Lsn{1}, 1}), (Position{1, Lsn{1}, 2}));
}

TEST(Position, GarbageIsRefused) {
  for (const char* text :
       {"", "/", "0/", "g/1", "0/1/2", "0/123456789", "1:2", "1:0/1", "::", "1:0/1:x"})
    EXPECT_FALSE(parse_position(text).ok()) << text;
  for (const char* text : {"", "/", "0/", "g/1", "0/1/2", "0/123456789", " 0/1"})
    EXPECT_FALSE(parse_lsn(text).ok()) << text;
}

}  // namespace pgweir::model
