// Batches that concern a view by one of its inputs, by several, or in the end not at all.
#include <gtest/gtest.h>

#include "views/view_fixture.h"

namespace pgweir::views {

using engine::int_column;

class SmallBatchTest : public ViewFixture {
 protected:
  void SetUp() override {
    open({shops_, sales_},
         {{"best", "SELECT shop, max(amount) AS best FROM sales GROUP BY shop"},
          {"all_shops",
           "SELECT shops.id, kind, sales.id AS sale, amount FROM shops LEFT JOIN sales "
           "ON shop = shops.id"},
          {"kinds",
           "SELECT kind, count(*) AS n, sum(amount) AS amount FROM sales JOIN shops "
           "ON shop = shops.id GROUP BY kind"},
          {"top", top_of("id, shop, amount")},
          {"top_amounts", top_of("shop, amount")}});
    begin();
    for (const char* id : {"1", "2", "3"}) builder().insert(shops_, {id, "7"});
    builder().insert(sales_, {"1", "1", "10"});
    builder().insert(sales_, {"2", "1", "20"});
    builder().insert(sales_, {"3", std::nullopt, "30"});
    ASSERT_EQ(commit(), "");
    check();
  }

  static std::string top_of(const std::string& columns) {
    return "SELECT " + columns +
           " FROM sales QUALIFY row_number() OVER (PARTITION BY shop ORDER BY amount DESC, id) <= "
           "2";
  }

  void check() {
    EXPECT_EQ(difference("top", top_of("id, shop, amount")), "");
    EXPECT_EQ(difference("top_amounts", top_of("shop, amount")), "");
    EXPECT_EQ(difference("best", "SELECT shop, max(amount) FROM sales GROUP BY shop"), "");
    EXPECT_EQ(difference("all_shops",
                         "SELECT shops.id, kind, sales.id, amount FROM shops LEFT JOIN sales ON "
                         "shop = shops.id"),
              "");
    EXPECT_EQ(difference("kinds",
                         "SELECT kind, count(*), sum(amount) FROM sales JOIN shops ON shop = "
                         "shops.id GROUP BY kind"),
              "");
  }

  const TablePtr shops_ = make_table(1, "shops", {int_column("id", true), int_column("kind")});
  const TablePtr sales_ =
      make_table(2, "sales", {int_column("id", true), int_column("shop"), int_column("amount")});
};

TEST_F(SmallBatchTest, BothInputsChangeTheSameKey) {
  EXPECT_EQ(strategy("best").rfind("affected keys", 0), 0) << strategy("best");
  EXPECT_EQ(strategy("kinds").rfind("delta", 0), 0) << strategy("kinds");
  for (int round = 0; round < 3; ++round) {
    begin();
    builder().update(shops_, {}, {"1", std::to_string(round)});
    builder().update(sales_, {}, {"1", "1", std::to_string(round)});
    builder().update(sales_, {}, {"2", round == 1 ? "2" : "1", std::to_string(40 - round)});
    builder().update(sales_, {}, {"3", std::nullopt, std::to_string(round)});
    ASSERT_EQ(commit(), "");
    check();
  }
}

// What the sale's move takes from the kind, the other change of the batch gives back.
TEST_F(SmallBatchTest, WhatTheInputsChangeCancelsOut) {
  begin();
  builder().insert(shops_, {"4", "8"});
  builder().insert(sales_, {"4", "4", "5"});
  ASSERT_EQ(commit(), "");
  check();
  begin();
  builder().insert(shops_, {"5", "8"});
  builder().remove(shops_, {"4", std::nullopt});
  builder().update(sales_, {}, {"4", "5", "5"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("SELECT * FROM main.kinds WHERE kind = 8"), "8|1|5");
  check();
}

// Rows that show their key are told apart by it; of others there may be several equal ones.
TEST_F(SmallBatchTest, EqualRowsWithAndWithoutTheirKey) {
  begin();
  for (const char* id : {"11", "12", "13"}) builder().insert(sales_, {id, "2", "9"});
  ASSERT_EQ(commit(), "");
  check();
  for (const char* id : {"11", "13", "12"}) {
    begin();
    builder().remove(sales_, {id, std::nullopt, std::nullopt});
    ASSERT_EQ(commit(), "");
    check();
  }
}

TEST_F(SmallBatchTest, OneInputChangesNothingOfTheGroups) {
  begin();
  builder().update(sales_, {}, {"1", "1", "20"});
  builder().update(sales_, {}, {"2", "1", "10"});
  ASSERT_EQ(commit(), "");
  check();
  begin();
  builder().insert(sales_, {"9", "9", "1"});  // of no shop
  ASSERT_EQ(commit(), "");
  check();
  begin();
  builder().update(sales_, {}, {"9", "2", "1"});
  ASSERT_EQ(commit(), "");
  check();
}

}  // namespace pgweir::views
