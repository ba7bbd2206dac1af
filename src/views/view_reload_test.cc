// Views that are added, changed, dropped and renamed while the engine runs.
#include <gmock/gmock.h>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "harness/file_size_limit.h"
#include "views/testing_listener.h"
#include "views/view_fixture.h"

namespace pgweir::views {
namespace {

using engine::int_column;
using testing::HasSubstr;

class ViewReloadTest : public ViewFixture {
 protected:
  // "added a; dropped b": what it says that it did, or the error.
  std::string redefine(const std::vector<ViewSource>& sources) {
    const auto done = views_->redefine(sources);
    if (!done.ok()) return done.error().text();
    std::string out;
    const auto add = [&](const char* what, const std::vector<std::string>& names) {
      if (!names.empty())
        out += fmt::format("{}{} {}", out.empty() ? "" : "; ", what, fmt::join(names, ", "));
    };
    add("added", done->added);
    add("changed", done->changed);
    add("dropped", done->dropped);
    for (const auto& [from, to] : done->renamed) add("renamed", {from + " to " + to});
    add("unchanged", done->unchanged);
    return out;
  }
  void insert(int id, int account, int amount) {
    begin();
    builder().insert(entries_,
                     {std::to_string(id), std::to_string(account), std::to_string(amount)});
    ASSERT_EQ(commit(), "");
  }
  // A state that is built anew is another store.
  std::string store_of(const std::string& view) {
    return rows(fmt::format("SELECT id FROM pgweir_internal.stores WHERE name = 'view {}'", view));
  }
  void mark(const std::string& view) { marked_[view] = store_of(view); }
  bool is_kept(const std::string& view, const std::string& marked_as) {
    return !marked_.at(marked_as).empty() && store_of(view) == marked_.at(marked_as);
  }

  const TablePtr entries_ = make_table(
      2, "entries", {int_column("id", true), int_column("account_id"), int_column("amount")});
  const ViewSource balance_ = {"balance",
                               "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1"};
  const ViewSource total_ = {"total", "SELECT sum(balance) AS total FROM balance"};
  const ViewSource large_ = {"large", "SELECT id, amount FROM entries WHERE amount > 10"};
  std::map<std::string, std::string> marked_;  // by view: its store
};

TEST_F(ViewReloadTest, AddedViewsAreFilledFromTheMirrorsAndFollow) {
  open({entries_}, {balance_});
  insert(1, 7, 5);
  mark("balance");
  TestingListener listener;
  views_->set_listener(&listener);
  EXPECT_EQ(redefine({balance_, total_, large_}), "added total, large; unchanged balance");
  EXPECT_EQ(listener.take(), "replaced large;replaced total;");
  EXPECT_TRUE(is_kept("balance", "balance"));
  EXPECT_EQ(rows("FROM total"), "5");
  insert(2, 7, 20);
  EXPECT_EQ(rows("FROM total"), "25");
  EXPECT_EQ(rows("FROM large"), "2|20");
  EXPECT_EQ(difference("balance", balance_.sql), "");
  views_->set_listener(nullptr);
}

TEST_F(ViewReloadTest, DroppedViewsLeaveNothing) {
  open({entries_}, {balance_, total_, large_});
  insert(1, 7, 50);
  TestingListener listener;
  views_->set_listener(&listener);
  EXPECT_EQ(redefine({balance_}), "dropped total, large; unchanged balance");
  EXPECT_EQ(listener.take(), "replaced large;replaced total;");
  EXPECT_THAT(rows("FROM total"), HasSubstr("does not exist"));
  EXPECT_EQ(rows("SELECT count(*) FROM pgweir_internal.view_states"), "1");
  insert(2, 7, 50);
  EXPECT_EQ(rows("FROM balance"), "7|100");
  EXPECT_EQ(redefine({}), "dropped balance");
  insert(3, 7, 50);
  EXPECT_EQ(redefine({balance_}), "added balance");
  EXPECT_EQ(rows("FROM balance"), "7|150");
  views_->set_listener(nullptr);
}

TEST_F(ViewReloadTest, ChangedViewsAndThoseAboveAreBuiltAnew) {
  open({entries_}, {balance_, total_, large_});
  insert(1, 7, 50);
  for (const char* view : {"balance", "total", "large"}) mark(view);
  const ViewSource twice = {
      "balance", "SELECT account_id, 2 * sum(amount) AS balance FROM entries GROUP BY 1"};
  EXPECT_EQ(redefine({twice, total_, large_}), "changed balance; unchanged total, large");
  EXPECT_TRUE(is_kept("large", "large"));
  EXPECT_FALSE(is_kept("balance", "balance"));
  EXPECT_EQ(rows("FROM total"), "100");
  insert(2, 8, 1);
  EXPECT_EQ(rows("FROM total"), "102");
}

TEST_F(ViewReloadTest, ARenamedViewKeepsItsState) {
  open({entries_}, {balance_, large_});
  insert(1, 7, 50);
  mark("balance");
  const ViewSource accounts = {"accounts", balance_.sql};
  EXPECT_EQ(redefine({accounts, large_}), "renamed balance to accounts; unchanged large");
  EXPECT_TRUE(is_kept("accounts", "balance"));
  EXPECT_EQ(rows("FROM accounts"), "7|50");
  EXPECT_THAT(rows("FROM balance"), HasSubstr("does not exist"));
  insert(2, 7, 1);
  EXPECT_EQ(rows("FROM accounts"), "7|51");
  // Also over a restart.
  open({entries_}, {{"again", balance_.sql}, large_});
  EXPECT_TRUE(is_kept("again", "balance"));
  insert(3, 7, 1);
  EXPECT_EQ(difference("again", balance_.sql), "");
}

TEST_F(ViewReloadTest, ARenamedViewOfPartsIsBuiltAnew) {
  const std::string sql =
      "SELECT best, count(*) AS n FROM (SELECT account_id, max(amount) AS best FROM entries GROUP "
      "BY account_id) WHERE best > 0 GROUP BY best";
  const ViewSource other = {"other",
                            "SELECT account_id FROM (SELECT account_id, max(amount) AS best FROM "
                            "entries GROUP BY account_id) WHERE best > 10"};
  open({entries_}, {{"tops", sql}, other});
  insert(1, 7, 50);
  mark("other");
  EXPECT_EQ(redefine({{"bests", sql}, other, {"again", other.sql}}),
            "added again; renamed tops to bests; unchanged other");
  EXPECT_TRUE(is_kept("other", "other"));
  insert(2, 7, 60);
  insert(3, 8, 60);
  EXPECT_EQ(difference("bests", sql), "");
  EXPECT_EQ(difference("other", other.sql), "");
  EXPECT_EQ(difference("again", other.sql), "");
}

TEST_F(ViewReloadTest, NamesThatAreExchangedMeanTheOtherRows) {
  open({entries_}, {{"a", "SELECT id FROM entries"}, {"b", "SELECT amount FROM entries"}});
  insert(1, 7, 50);
  EXPECT_EQ(redefine({{"b", "SELECT id FROM entries"}, {"a", "SELECT amount FROM entries"}}),
            "changed b, a");
  insert(2, 7, 60);
  EXPECT_EQ(rows("FROM a"), "50;60");
  EXPECT_EQ(rows("FROM b"), "1;2");
}

TEST_F(ViewReloadTest, AWrongViewIsRefusedAlone) {
  open({entries_}, {balance_});
  insert(1, 7, 50);
  EXPECT_EQ(redefine({balance_,
                      {"typo", "SELECT amuont FROM entries"},
                      {"above", "SELECT * FROM typo"},
                      {"bad_cast", "SELECT CAST('x' || amount AS INTEGER) AS n FROM entries"},
                      large_}),
            "added typo, above, bad_cast, large; unchanged balance");
  EXPECT_THAT(error_of("typo"), HasSubstr("refused: "));
  EXPECT_THAT(error_of("above"), HasSubstr("refused: the view reads typo"));
  EXPECT_THAT(error_of("bad_cast"), HasSubstr("failed: "));
  insert(2, 7, 1);
  EXPECT_EQ(rows("FROM balance"), "7|51");
  EXPECT_EQ(rows("FROM large"), "1|50");
  EXPECT_EQ(redefine({balance_, {"typo", "SELECT amount FROM entries"}, large_}),
            "changed typo; dropped above, bad_cast; unchanged balance, large");
  EXPECT_EQ(rows("FROM typo"), "1;50");
}

TEST_F(ViewReloadTest, TwoOfOneNameChangeNothing) {
  open({entries_}, {balance_});
  insert(1, 7, 50);
  mark("balance");
  EXPECT_THAT(redefine({large_, large_}), HasSubstr("two views are called \"large\""));
  insert(2, 7, 50);
  EXPECT_EQ(rows("FROM balance"), "7|100");
  EXPECT_TRUE(is_kept("balance", "balance"));
}

TEST_F(ViewReloadTest, AFullDiskLeavesItToTheNextBatch) {
  open({entries_}, {balance_});
  begin();
  for (int i = 0; i < 20'000; ++i)
    builder().insert(entries_, {std::to_string(i), std::to_string(i), "1"});
  ASSERT_EQ(commit(), "");
  const ViewSource all = {"everything", "SELECT id, account_id, amount FROM entries"};
  {
    const harness::FileSizeLimit full(1);
    EXPECT_FALSE(views_->redefine({balance_, all}).ok());
  }
  ASSERT_TRUE(engine_->recover().ok());
  begin();
  builder().insert(entries_, {"90000", "1", "1"});
  ASSERT_EQ(commit_setting_aside(), "");
  EXPECT_EQ(difference("balance", balance_.sql), "");
  EXPECT_EQ(difference("everything", all.sql), "");
}

TEST_F(ViewReloadTest, ColumnsThatAreNotKeptAreNamed) {
  std::vector<model::Column> columns = {int_column("id", true)};
  for (int i = 0; i < 40; ++i) columns.push_back(int_column(fmt::format("c{}", i)));
  const TablePtr wide = make_table(5, "wide", columns);
  const ViewSource first = {"first", "SELECT id, c1 FROM wide"};
  open({}, {first});
  ASSERT_TRUE(engine_->define_table(*wide).ok());
  ASSERT_TRUE(views_->redefine({first}).ok());
  EXPECT_EQ(error_of("first"), "live");
  EXPECT_EQ(redefine({first,
                      {"second", "SELECT id, c1 + c2 AS s FROM wide WHERE c3 > 0"},
                      {"star", "SELECT * FROM wide"}}),
            "added second, star; unchanged first");
  EXPECT_THAT(error_of("second"),
              HasSubstr("refused: columns of table public.wide are not kept here: c2, c3 ("));
  EXPECT_THAT(error_of("second"), HasSubstr("`pgweir snapshot --table public.wide`"));
  EXPECT_THAT(error_of("star"), HasSubstr("not kept here: c0, c2, c3"));
  EXPECT_EQ(error_of("first"), "live");
}

}  // namespace
}  // namespace pgweir::views
