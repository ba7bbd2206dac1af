#include "debezium/event_state.h"

#include <gtest/gtest.h>

namespace pgweir::debezium {
namespace {

TEST(EventStateTest, ComesBackAsItWas) {
  EventEncoder::State state;
  EXPECT_EQ(decode_state(encode_state(state)).value(), state);
  state.last_commit_lsn = model::Lsn{0xffff'ffff'ffff'fff8};
  state.total_order = 7;
  state.collections = {{"public.a", 3}, {"we\"ird.Näme", 4}};
  state.in_snapshot = true;
  state.snapshot_rows = 12;
  state.snapshot_table = 0xffff'ffff;
  EXPECT_EQ(decode_state(encode_state(state)).value(), state);
}

TEST(EventStateTest, OtherTextIsRefused) {
  for (const char* text : {"", "7", "{}", "{\"last_commit_lsn\":\"x\"}", "{\"last_commit"}) {
    const auto state = decode_state(text);
    ASSERT_FALSE(state.ok()) << text;
    EXPECT_EQ(state.error().code, Code::kCorruption) << text;
  }
}

}  // namespace
}  // namespace pgweir::debezium
