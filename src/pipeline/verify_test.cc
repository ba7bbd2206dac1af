// What a snapshot sees, and keys as people write them. Whole comparisons:
// tests/cases/verify_test.cc.
#include "pipeline/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/row_history.h"

namespace pgweir::pipeline {
namespace {
using testing::ElementsAre;
using testing::IsEmpty;

model::Table table_with_key(std::vector<std::uint32_t> key) {
  model::Table table;
  table.schema = "public";
  table.name = "t";
  for (const char* name : {"a", "b", "v"}) {
    model::Column& column = table.columns.emplace_back();
    column.name = name;
    column.type = column.base_type = model::Oid{25};
  }
  for (const std::uint32_t column : key) table.columns[column].in_key = true;
  table.primary_key = std::move(key);
  return table;
}

}  // namespace

TEST(VisibleXids, SeesWhatHadEndedAndNotWhatRan) {
  const auto visible = VisibleXids::parse("10:20:10,14", 23).value();
  for (const std::uint32_t xid : {3u, 9u, 11u, 13u, 15u, 19u})
    EXPECT_TRUE(visible.sees(model::Xid{xid})) << xid;
  for (const std::uint32_t xid : {10u, 14u, 20u, 22u, 23u, 1000u})
    EXPECT_FALSE(visible.sees(model::Xid{xid})) << xid;
  EXPECT_THAT(visible.unseen_before(14), ElementsAre(10));
  EXPECT_THAT(visible.unseen_before(visible.next()), ElementsAre(10, 14, 20, 21, 22));
  EXPECT_THAT(VisibleXids::parse("20:20:", 20)->unseen_before(20), IsEmpty());
}

TEST(VisibleXids, GoesAroundWithTheLowerHalf) {
  // 2^32 + 2 is the end; 4294967290 ran, with an epoch less.
  const auto visible = VisibleXids::parse("4294967290:4294967298:4294967290", 5).value();
  EXPECT_FALSE(visible.sees(model::Xid{4294967290u}));
  EXPECT_TRUE(visible.sees(model::Xid{4294967291u}));
  EXPECT_TRUE(visible.sees(model::Xid{1}));
  EXPECT_FALSE(visible.sees(model::Xid{2}));
  EXPECT_FALSE(visible.sees(model::Xid{4}));
  EXPECT_EQ(visible.next(), 4294967301u);
}

TEST(VisibleXids, RefusesWhatIsNoSnapshot) {
  for (const char* text : {"", "10", "10:x:", "a:b:c", "10:20:1,,2", "10:20:1,x"})
    EXPECT_FALSE(VisibleXids::parse(text, 20).ok()) << text;
}

TEST(RowKey, IsWrittenByPositionOrByName) {
  const model::Table table = table_with_key({1, 0});
  const struct {
    const char* text;
    const char* a;
    const char* b;
  } cases[] = {
      {"x,1", "1", "x"},     {"b=x,a=1", "1", "x"},
      {"a=1,b=x", "1", "x"}, {"\"x,y\",\"say \"\"hi\"\"\"", "say \"hi\"", "x,y"},
      {"c=1,2", "2", "c=1"},  // no column of the key
      {",", "", ""},
  };
  for (const auto& each : cases) {
    const auto key = parse_key(table, each.text);
    ASSERT_TRUE(key.ok()) << each.text << ": " << key.error().text();
    EXPECT_EQ(key->value("a").text, each.a) << each.text;
    EXPECT_EQ(key->value("b").text, each.b) << each.text;
  }
  EXPECT_EQ(parse_key(table_with_key({0}), "1,2")->value("a").text, "1,2");
  EXPECT_EQ(parse_key(table, "x").error().message,
            "the key of public.t has 2 parts (b, a), 1 were given");
  EXPECT_EQ(parse_key(table, "a=1,a=2").error().message,
            "a column of the key is given twice in "
            "'a=1,a=2'");
  EXPECT_EQ(parse_key(table_with_key({}), "1").error().code, Code::kInvalid);
}

}  // namespace pgweir::pipeline
