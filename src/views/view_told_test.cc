// What is told of the views is what readers find: nothing of a transaction before its commit.
#include <gmock/gmock.h>

#include <fmt/core.h>

#include "views/testing_listener.h"
#include "views/view_fixture.h"

namespace pgweir::views {
namespace {

using engine::int_column;
using testing::HasSubstr;

class ViewToldTest : public ViewFixture {
 protected:
  ViewToldTest() { part_changes_max_ = 4; }

  void open_all() {
    open({items_}, {{"all_of", "SELECT id FROM items"}, {"later", "SELECT id FROM added"}});
    views_->set_listener(&listener_);
    begin();
    builder().insert(items_, {"1"});
    ASSERT_EQ(commit(), "");
  }
  void close_all() {
    views_->set_listener(nullptr);
    close();
  }
  void TearDown() override { close_all(); }

  // A part of a transaction: a row, then a table that `later` waits for.
  void add_table_in_open_transaction() {
    begin();
    builder().insert(items_, {"2"});
    ASSERT_EQ(commit(false), "");
    ASSERT_TRUE(engine_->define_table(*added_).ok());
  }
  // More of it, into both tables.
  std::string insert_more(const std::vector<int>& ids, bool ends) {
    builder_ = std::make_unique<engine::BatchBuilder>(next_);
    builder().begin(lsn_, model::Timestamp{1767225600000000}, false);
    for (const int id : ids) {
      builder().insert(items_, {std::to_string(id)});
      builder().insert(added_, {std::to_string(id)});
    }
    return commit(ends);
  }
  // "live 3; refused 0": state and rows of the state of each view.
  std::string told() {
    std::string out;
    for (const ViewInfo& view : views_->views())
      out += fmt::format("{}{} {}", out.empty() ? "" : "; ", view_state_name(view.state),
                         view.state_rows);
    return out;
  }

  const TablePtr items_ = make_table(1, "items", {int_column("id", true)});
  const TablePtr added_ = make_table(2, "added", {int_column("id", true)});
  TestingListener listener_;
};

TEST_F(ViewToldTest, OpenTransactionIsToldWithItsCommit) {
  open_all();
  EXPECT_EQ(told(), "live 1; refused 0");
  add_table_in_open_transaction();
  EXPECT_EQ(told(), "live 1; refused 0");
  ASSERT_EQ(insert_more({3}, true), "");
  EXPECT_EQ(told(), "live 3; live 1");
  EXPECT_EQ(rows("FROM later"), "3");
}

TEST_F(ViewToldTest, RolledBackTransactionIsNeverTold) {
  open_all();
  add_table_in_open_transaction();
  listener_.fail_once("all_of", error(Code::kInternal, "not today"));
  EXPECT_THAT(insert_more({3}, true), HasSubstr("not today"));
  EXPECT_EQ(told(), "live 1; refused 0");
  // Nor by what is committed behind it.
  next_ = engine_->position().position;
  begin();
  builder().insert(items_, {"4"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(told(), "live 2; refused 0");
  EXPECT_EQ(rows("FROM all_of"), "1;4");
}

TEST_F(ViewToldTest, CommittedPartsAreToldWithTheLast) {
  open_all();
  add_table_in_open_transaction();
  listener_.take();
  ASSERT_EQ(insert_more({3, 4}, false), "");
  EXPECT_THAT(listener_.take(), HasSubstr("part;"));
  EXPECT_EQ(told(), "live 1; refused 0");
  // What the part has made stays to be told when the next one fails.
  listener_.fail_once("all_of", error(Code::kInternal, "not today"));
  EXPECT_THAT(insert_more({5}, true), HasSubstr("not today"));
  EXPECT_EQ(told(), "live 1; refused 0");
  ASSERT_EQ(insert_more({5}, true), "");
  EXPECT_EQ(told(), "live 5; live 3");
  EXPECT_EQ(rows("FROM later"), "3;4;5");
}

}  // namespace
}  // namespace pgweir::views
