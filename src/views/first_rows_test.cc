// The first rows of a relation: kept by a bound that moves.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "views/view_fixture.h"

namespace pgweir::views {

using engine::int_column;

class FirstRowsTest : public ViewFixture {
 protected:
  static constexpr int kRows = 200;
  static constexpr const char* kFirst = "SELECT id, n FROM t ORDER BY n, id LIMIT 3";

  void SetUp() override {
    view_options_.first_rows_spare = 4;
    table_ = make_table(1, "t", {int_column("id", true), int_column("n")});
    open({table_}, {{"first", kFirst}, {"least", "SELECT min(n) AS n, max(n) AS m FROM t"}});
    begin();
    for (int id = 0; id < kRows; ++id) insert(id, id);
    ASSERT_EQ(commit(), "");
  }

  void insert(int id, int n) { builder().insert(table_, {std::to_string(id), std::to_string(n)}); }
  void remove(int id, int n) { builder().remove(table_, {std::to_string(id), std::to_string(n)}); }

  // Rows that are kept in the order of `first`.
  std::uint64_t kept() {
    const auto told = views_->explain("first").value();
    for (const Explanation::Part& part : told.parts)
      if (part.sql.find("LIMIT 3") != std::string::npos && part.strategy == "delta")
        return part.rows;
    ADD_FAILURE() << told.text;
    return 0;
  }

  void expect_right() {
    EXPECT_EQ(difference("first", kFirst), "");
    EXPECT_EQ(difference("least", "SELECT min(n) AS n, max(n) AS m FROM t"), "");
  }

  TablePtr table_;
};

TEST_F(FirstRowsTest, FewRowsAreKeptHoweverManyCome) {
  expect_right();
  EXPECT_EQ(kept(), 10);
  for (int batch = 0; batch < 20; ++batch) {
    begin();
    for (int i = 0; i < 5; ++i) insert(1000 + batch * 5 + i, -batch);
    ASSERT_EQ(commit(), "");
    expect_right();
    EXPECT_LE(kept(), 25);
  }
}

TEST_F(FirstRowsTest, WhatIsBehindTheFirstIsNoChange) {
  begin();
  for (int id = 100; id < 150; ++id) remove(id, id);
  for (int id = 500; id < 600; ++id) insert(id, id);
  ASSERT_EQ(commit(), "");
  expect_right();
  EXPECT_EQ(kept(), 10);
}

TEST_F(FirstRowsTest, TheNextFollowWhenTheFirstGo) {
  for (int first = 0; first < kRows; first += 7) {
    begin();
    for (int id = first; id < std::min(first + 7, kRows); ++id) remove(id, id);
    ASSERT_EQ(commit(), "");
    expect_right();
    if (first % 3 == 0)
      open({table_}, {{"first", kFirst}, {"least", "SELECT min(n) AS n, max(n) AS m FROM t"}});
  }
  EXPECT_EQ(rows("SELECT * FROM first"), "");
  EXPECT_EQ(rows("SELECT * FROM least"), "NULL|NULL");
  begin();
  insert(1, 5);
  ASSERT_EQ(commit(), "");
  expect_right();
}

TEST_F(FirstRowsTest, AnUpdateMovesARowAcrossTheBound) {
  begin();
  for (int id = 0; id < 5; ++id)
    builder().update(table_, {}, {std::to_string(id), std::to_string(1000 + id)});
  for (int id = 150; id < 152; ++id)
    builder().update(table_, {}, {std::to_string(id), std::to_string(-id)});
  ASSERT_EQ(commit(), "");
  expect_right();
  EXPECT_EQ(rows("SELECT * FROM first"), "5|5;150|-150;151|-151");
}

TEST_F(FirstRowsTest, EqualRowsThatTheOrderLeavesOpenStay) {
  open({table_}, {{"open_order", "SELECT n FROM t ORDER BY n % 2 LIMIT 2"}});
  EXPECT_EQ(rows("SELECT * FROM open_order"), "0;2");
  begin();
  insert(1001, 4);
  remove(0, 0);
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("SELECT * FROM open_order"), "2;4");
}

}  // namespace pgweir::views
