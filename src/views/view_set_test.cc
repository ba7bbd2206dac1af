// Views over a real engine: what they show, what happens to them when things go wrong.
#include "views/view_set.h"

#include <gmock/gmock.h>

#include <fmt/core.h>

#include "harness/file_size_limit.h"
#include "views/testing_listener.h"
#include "views/view_fixture.h"

namespace pgweir::views {

using engine::int_column;
using engine::text_column;
using engine::typed_column;

constexpr std::uint32_t kNumeric = 1700;
constexpr std::uint32_t kTimestampTz = 1184;
constexpr std::int32_t kNumeric12_2 = ((12 << 16) | 2) + 4;

class ViewSetTest : public ViewFixture {
 protected:
  const TablePtr accounts_ = make_table(
      1, "accounts", {int_column("id", true), text_column("owner"), text_column("region")});
  const TablePtr entries_ = make_table(2, "entries",
                                       {int_column("id", true), int_column("account_id"),
                                        typed_column("amount", kNumeric, kNumeric12_2)});
  const TablePtr transfers_ = make_table(
      3, "transfers",
      {int_column("id", true), typed_column("created_at", kTimestampTz), int_column("amount")});
  const std::vector<TablePtr> tables_ = {accounts_, entries_, transfers_};
  const io::FakeClock still_clock_{};
};

TEST_F(ViewSetTest, GroupsFollowInsertsUpdatesAndDeletes) {
  open(tables_, {{"balance", "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1"},
                 {"total", "SELECT sum(balance) AS total, count(*) AS accounts FROM balance"}});
  EXPECT_EQ(strategy("balance"), "delta: one relation, totals by group");
  EXPECT_EQ(strategy("total"), "delta: one relation, totals over all rows");
  EXPECT_EQ(rows("FROM total"), "NULL|0");
  begin();
  builder().insert(entries_, {"1", "7", "10.50"});
  builder().insert(entries_, {"2", "7", "-0.50"});
  builder().insert(entries_, {"3", "8", "-10.00"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM balance"), "7|10.00;8|-10.00");
  EXPECT_EQ(rows("FROM total"), "0.00|2");
  begin();
  builder().update(entries_, {}, {"3", "7", "-10.00"});
  builder().remove(entries_, {"2", "", ""});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM balance"), "7|0.50");
  EXPECT_EQ(rows("FROM total"), "0.50|1");
  begin();
  builder().truncate(entries_);
  builder().insert(entries_, {"9", "1", "1.00"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM balance"), "1|1.00");
  EXPECT_EQ(rows("FROM total"), "1.00|1");
}

TEST_F(ViewSetTest, JoinsFollowBothSides) {
  open(tables_, {{"named",
                  "SELECT e.id, a.owner, e.amount FROM entries e JOIN accounts a "
                  "ON e.account_id = a.id WHERE e.amount > 0"},
                 {"by_region",
                  "SELECT region, count(*) AS n, sum(amount) AS amount "
                  "FROM entries JOIN accounts ON account_id = accounts.id GROUP BY ALL"}});
  EXPECT_EQ(strategy("named"), "delta: an inner join on equality, filtered rows");
  EXPECT_EQ(strategy("by_region"), "delta: an inner join on equality, totals by group");
  begin();
  builder().insert(accounts_, {"7", "ann", "north"});
  builder().insert(entries_, {"1", "7", "5"});
  builder().insert(entries_, {"2", "8", "6"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM named"), "1|ann|5.00");
  begin();
  builder().insert(accounts_, {"8", "bob", "south"});
  builder().update(accounts_, {}, {"7", "anna", "south"});
  builder().update(entries_, {}, {"1", "7", "7"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM named"), "1|anna|7.00;2|bob|6.00");
  EXPECT_EQ(rows("FROM by_region"), "south|2|13.00");
  begin();
  builder().remove(accounts_, {"7", "", ""});
  builder().update(entries_, {}, {"2", "7", "6"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM named"), "");
  EXPECT_EQ(rows("FROM by_region"), "");
}

TEST_F(ViewSetTest, TumblingWindowsBeginAt1970) {
  open(tables_, {{"per_minute",
                  "SELECT window_start, count(*) AS transfers, sum(amount) AS volume FROM "
                  "tumble(transfers, created_at, INTERVAL 1 MINUTE) GROUP BY window_start"},
                 {"per_week",
                  "SELECT w.window_start, w.window_end, count(*) AS n FROM "
                  "tumble(public.transfers, created_at, INTERVAL '7 days') AS w GROUP BY 1, 2"}});
  EXPECT_EQ(strategy("per_minute"), "delta: one relation in tumbling windows, totals by group");
  begin();
  builder().insert(transfers_, {"1", "2026-01-05 10:00:30+00", "3"});
  builder().insert(transfers_, {"2", "2026-01-05 10:00:59.999999+00", "4"});
  builder().insert(transfers_, {"3", "2026-01-05 10:01:00+00", "5"});
  builder().insert(transfers_, {"4", std::nullopt, "6"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("SELECT CAST(window_start AS VARCHAR), transfers, volume FROM per_minute"),
            "2026-01-05 10:00:00+00|2|7;2026-01-05 10:01:00+00|1|5;NULL|1|6");
  // 1970-01-01 was a Thursday.
  EXPECT_EQ(
      rows("SELECT CAST(window_start AS VARCHAR), CAST(window_end AS VARCHAR), n FROM per_week"),
      "2026-01-01 00:00:00+00|2026-01-08 00:00:00+00|3;NULL|NULL|1");
}

TEST_F(ViewSetTest, WindowsOfTimesFarAwayAndOfTimesThatNeverCome) {
  open(tables_, {{"per_month",
                  "SELECT window_start, window_end, sum(amount) AS volume FROM "
                  "tumble(transfers, created_at, INTERVAL 1 MONTH) GROUP BY 1, 2"}});
  begin();
  builder().insert(transfers_, {"1", "infinity", "1"});
  builder().insert(transfers_, {"2", "-infinity", "2"});
  builder().insert(transfers_, {"3", "1800-02-10 23:59:59.5+00", "3"});
  builder().insert(transfers_, {"4", "0044-03-15 12:00:00+00 BC", "4"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("SELECT CAST(window_start AS VARCHAR), CAST(window_end AS VARCHAR), volume FROM "
                 "per_month"),
            "-infinity|-infinity|2;0044-03-01 (BC) 00:00:00+00|0044-04-01 (BC) 00:00:00+00|4;"
            "1800-02-01 00:00:00+00|1800-03-01 00:00:00+00|3;infinity|infinity|1");
}

TEST_F(ViewSetTest, OtherSelectsAreComputedAnew) {
  open(tables_,
       {{"largest", "SELECT max(amount) AS largest FROM entries"},
        {"owners", "SELECT DISTINCT owner FROM accounts"},
        {"top",
         "SELECT owner, largest FROM accounts LEFT JOIN largest ON true ORDER BY 1 LIMIT 2"}});
  EXPECT_EQ(strategy("largest"), "affected keys: computed from the few rows that are kept for it");
  EXPECT_EQ(strategy("owners"), "delta: one relation, totals by group");
  EXPECT_EQ(strategy("top"), "recompute: LEFT join");
  begin();
  builder().insert(accounts_, {"1", "ann", "n"});
  builder().insert(accounts_, {"2", "ann", "s"});
  builder().insert(entries_, {"1", "1", "5"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM largest"), "5.00");
  EXPECT_EQ(rows("FROM owners"), "ann");
  EXPECT_EQ(rows("FROM top"), "ann|5.00;ann|5.00");
  begin();
  builder().remove(entries_, {"1", "", ""});
  builder().update(accounts_, {}, {"2", "bob", "s"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM largest"), "NULL");
  EXPECT_EQ(rows("FROM top"), "ann|NULL;bob|NULL");
}

TEST_F(ViewSetTest, StatesSurviveRestartsAndFollowTheirDefinition) {
  const ViewSource balance = {"balance",
                              "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1"};
  open(tables_,
       {balance, {"gone", "SELECT id FROM entries"}, {"n", "SELECT count(*) AS n FROM entries"}});
  begin();
  builder().insert(entries_, {"1", "7", "10.50"});
  ASSERT_EQ(commit(), "");
  open(tables_, {balance, {"n", "SELECT count(*) + 100 AS n FROM entries"}});
  EXPECT_EQ(rows("FROM balance"), "7|10.50");
  EXPECT_EQ(rows("FROM n"), "101");
  EXPECT_THAT(rows("FROM gone"), testing::HasSubstr("does not exist"));
  begin();
  builder().insert(entries_, {"2", "7", "1"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM balance"), "7|11.50");
  EXPECT_EQ(rows("FROM n"), "102");
  EXPECT_EQ(rows("SELECT name FROM pgweir_internal.view_states"), "view balance;view n");
}

TEST_F(ViewSetTest, AViewThatFailsIsSetAsideAndStopsNoOther) {
  const std::vector<ViewSource> views = {
      {"bad", "SELECT id, CAST(owner AS INTEGER) AS number FROM accounts"},
      {"above", "SELECT sum(number) AS s FROM bad"},
      {"good", "SELECT count(*) AS n FROM accounts"}};
  open(tables_, views);
  begin();
  builder().insert(accounts_, {"1", "12", "n"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM above"), "12");
  begin();
  builder().insert(accounts_, {"2", "ann", "n"});
  const std::string failed = commit();
  EXPECT_THAT(failed, testing::HasSubstr("view bad cannot be kept up to date"));
  EXPECT_THAT(failed, testing::HasSubstr("Could not convert string 'ann' to INT32"));
  // The batch is not in; nor does it go in before the view is set aside.
  EXPECT_EQ(rows("FROM good"), "1");
  EXPECT_NE(engine_->apply(builder().batch()).error().text(), "");
  EXPECT_TRUE(views_->set_aside_failed().value());
  EXPECT_FALSE(views_->set_aside_failed().value());
  ASSERT_TRUE(engine_->apply(builder().batch()).ok());
  next_ = builder().batch().to;
  EXPECT_EQ(rows("FROM good"), "2");
  EXPECT_THAT(error_of("bad"), testing::HasSubstr("failed: "));
  EXPECT_THAT(error_of("bad"), testing::HasSubstr("in the changes after 0/15"));
  EXPECT_THAT(error_of("above"), testing::HasSubstr("failed: the view reads bad, which is failed"));
  EXPECT_THAT(rows("FROM bad"), testing::HasSubstr("does not exist"));
  // It stays so over a restart, until the definition changes or it is built anew.
  open(tables_, views);
  EXPECT_THAT(error_of("bad"), testing::HasSubstr("failed: "));
  begin();
  builder().update(accounts_, {}, {"2", "30", "n"});
  ASSERT_EQ(commit(), "");
  ASSERT_TRUE(views_->rebuild_view("bad").ok());
  EXPECT_EQ(error_of("bad"), "live");
  EXPECT_EQ(rows("FROM above"), "42");
  EXPECT_EQ(rows("FROM good"), "2");
}

TEST_F(ViewSetTest, ABadDefinitionStopsNoOther) {
  open(tables_, {{"a", "SELECT account_id FROM entrys"},
                 {"b", "SELECT amont FROM entries"},
                 {"c", "SELECT id,\n  now() AS t FROM entries"},
                 {"d", "SELECT * FROM a"},
                 {"e", "SELECT * FROM f"},
                 {"f", "SELECT * FROM e"},
                 {"g", "SELECT count(*) AS n FROM entries"}});
  EXPECT_EQ(error_of("a"),
            "refused: there is no table or view \"entrys\" at 1:24. did you mean \"entries\"?");
  EXPECT_EQ(error_of("b"),
            "refused: Referenced column \"amont\" not found in FROM clause! at 1:8 "
            "(Candidate bindings: \"amount\", \"account_id\")");
  EXPECT_EQ(
      error_of("c"),
      "refused: now() changes by itself: a view may have it in WHERE alone, compared with a time "
      "of its rows: created_at > now() - INTERVAL 1 HOUR at 2:3");
  EXPECT_THAT(error_of("d"), testing::HasSubstr("refused: the view reads a, which is refused"));
  EXPECT_EQ(error_of("e"),
            "refused: the view reads itself in a circle (e, f). take one view out of it");
  EXPECT_EQ(error_of("g"), "live");
  begin();
  builder().insert(entries_, {"1", "7", "1"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM g"), "1");
}

TEST_F(ViewSetTest, ExplainSaysHowAViewIsKept) {
  view_options_.clock = &still_clock_;
  open(tables_, {{"by_region",
                  "SELECT region, sum(amount) AS amount FROM entries JOIN accounts "
                  "ON account_id = accounts.id GROUP BY region"},
                 {"owners", "SELECT DISTINCT owner FROM accounts"},
                 {"regions",
                  "SELECT region, count(e.account_id) AS used FROM accounts LEFT JOIN (SELECT "
                  "DISTINCT account_id FROM entries) e ON e.account_id = id GROUP BY region"}});
  const std::string times =
      "  batches: took 0.0 ms of one of 2 changes, of late at most 0.0 ms of one of 2 changes; its "
      "budget is 10s\n";
  begin();
  builder().insert(accounts_, {"7", "ann", "north"});
  builder().insert(entries_, {"1", "7", "5"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(
      views_->explain("by_region")->text,
      "view by_region: live, delta (an inner join on equality, totals by group)\n"
      "  reads public.entries: changes of account_id, amount\n"
      "    its rows are found by account_id (an arrangement)\n"
      "  reads public.accounts: changes of id, region\n"
      "    its rows are found by id (its own key)\n"
      "  keeps group i1.region, sum CAST(1 AS BIGINT), sum CASE WHEN (i0.amount) IS NOT NULL THEN "
      "CAST(1 AS BIGINT) ELSE 0 END, sum coalesce(CAST((i0.amount) AS DECIMAL(38,2)), "
      "CAST(0 AS DECIMAL(38,2)))\n"
      "  arrangement public.entries by account_id: 0 rows\n"
      "  state: 1 rows\n" +
          times);
  EXPECT_EQ(views_->explain("owners")->text,
            "view owners: live, delta (one relation, totals by group)\n"
            "  reads public.accounts: changes of owner\n"
            "  keeps group i0.\"owner\", sum CAST(1 AS BIGINT)\n"
            "  state: 1 rows\n" +
                times);
  EXPECT_EQ(
      views_->explain("regions")->text,
      "view regions: live, affected keys (LEFT join, by the joined columns)\n"
      "  reads part 2: changes of c0, c1\n"
      "  keeps group i0.c0, sum CAST(1 AS BIGINT), sum CASE WHEN (i0.c1) IS NOT NULL THEN "
      "CAST(1 AS BIGINT) ELSE 0 END\n"
      "  part 1: delta (one relation, totals by group)\n"
      "    SELECT account_id FROM public.entries AS entries GROUP BY ALL\n"
      "    reads public.entries; 1 rows kept\n"
      "  part 2: affected keys (LEFT join, by the joined columns)\n"
      "    SELECT i0.region AS c0, i1.account_id AS c1 FROM public.accounts AS i0 LEFT JOIN "
      "main.\"pgweir_part regions 1\" AS i1 ON ((i1.account_id = i0.id))\n"
      "    reads public.accounts, part 1; 1 rows kept\n"
      "  regions: delta (one relation, totals by group)\n"
      "    SELECT p0.c0 AS region, count(p0.c1) AS used FROM main.\"pgweir_part regions 2\" AS "
      "p0 GROUP BY p0.c0\n"
      "    reads part 2; 1 rows kept\n"
      "  state: 1 rows\n" +
          times);
  EXPECT_EQ(views_->explain("owner").error().text(),
            "there is no view \"owner\". did you mean \"owners\"?");
}

TEST_F(ViewSetTest, ASnapshotBuildsEveryViewAnew) {
  const std::vector<ViewSource> views = {
      {"n", "SELECT count(*) AS n FROM entries"},
      {"bad", "SELECT id, CAST(owner AS INTEGER) AS number FROM accounts"}};
  open(tables_, views);
  ASSERT_TRUE(engine_->begin_snapshot({1, model::Lsn{5}, 0}).ok());
  next_ = {1, model::Lsn{5}, 0};
  for (const TablePtr& table : tables_) ASSERT_TRUE(engine_->define_table(*table).ok());
  // A restart while rows come in.
  open({}, views);
  EXPECT_EQ(error_of("n"), "waiting for the snapshot");
  builder_ = std::make_unique<engine::BatchBuilder>(next_);
  builder_->begin(5, model::Timestamp{0}, true, model::Transaction::Kind::kSnapshot);
  builder().insert(entries_, {"1", "7", "5"}, model::Op::kRead);
  builder().insert(accounts_, {"7", "ann", "north"}, model::Op::kRead);
  ASSERT_EQ(commit(false), "");
  EXPECT_FALSE(engine_->end_snapshot(next_, model::Lsn{6}).ok());
  ASSERT_TRUE(views_->set_aside_failed().value());
  const Status ended = engine_->end_snapshot(next_, model::Lsn{6});
  ASSERT_TRUE(ended.ok()) << ended.error().text();
  EXPECT_EQ(rows("FROM n"), "1");
  EXPECT_THAT(error_of("bad"), testing::StartsWith("failed: "));
  begin();
  builder().insert(entries_, {"2", "7", "5"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM n"), "2");
}

TEST_F(ViewSetTest, ATableThatComesLaterIsReadFromItsFirstRow) {
  open({accounts_},
       {{"n", "SELECT count(*) AS n FROM entries"},
        {"named", "SELECT e.id, owner FROM entries e JOIN accounts a ON e.account_id = a.id"}});
  EXPECT_THAT(error_of("n"), testing::StartsWith("refused: there is no table or view \"entries\""));
  begin();
  builder().insert(accounts_, {"7", "ann", "north"});
  builder().insert(entries_, {"1", "7", "5"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM n"), "1");
  EXPECT_EQ(rows("FROM named"), "1|ann");
  begin();
  builder().insert(entries_, {"2", "7", "5"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM named"), "1|ann;2|ann");
}

TEST_F(ViewSetTest, AStoppedTableTakesItsViewsWithIt) {
  const std::vector<ViewSource> views = {{"n", "SELECT count(*) AS n FROM entries"},
                                         {"above", "SELECT n + 1 AS m FROM n"},
                                         {"good", "SELECT count(*) AS n FROM accounts"}};
  open(tables_, views);
  ASSERT_TRUE(engine_->stop_table(entries_->id, "a column is gone").ok());
  EXPECT_EQ(error_of("n"), "failed: table public.entries is stopped (a column is gone)");
  EXPECT_THAT(error_of("above"), testing::StartsWith("failed: the view reads n, which is failed"));
  begin();
  builder().insert(accounts_, {"7", "ann", "north"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM good"), "1");
  open(tables_, views);
  EXPECT_EQ(error_of("n"), "failed: table public.entries is stopped (a column is gone)");
  EXPECT_EQ(rows("FROM good"), "1");
}

TEST_F(ViewSetTest, ADatabaseThatIsOpenedAnewHasEveryView) {
  open(tables_,
       {{"balance", "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1"},
        {"total", "SELECT sum(balance) AS total FROM balance"},
        {"named", "SELECT e.id, owner FROM entries e JOIN accounts a ON e.account_id = a.id"},
        {"top", "SELECT max(amount) AS top FROM entries"}});
  begin();
  builder().insert(accounts_, {"7", "ann", "north"});
  builder().insert(entries_, {"1", "7", "5"});
  ASSERT_EQ(commit(), "");
  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(round);
    {
      const harness::FileSizeLimit full(1);
      EXPECT_FALSE(engine_->write_connection().execute("CHECKPOINT pgweir_engine").ok());
    }
    begin();
    builder().truncate(accounts_);
    builder().insert(accounts_, {"7", "bob", "north"});
    builder().insert(entries_, {std::to_string(round + 2), "7", "1"});
    EXPECT_THAT(commit(), testing::HasSubstr("has to be opened anew"));
    EXPECT_FALSE(views_->set_aside_failed().value());
    const Status recovered = engine_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().text();
    EXPECT_EQ(rows("FROM total"), round == 0 ? "5.00" : "6.00");
    ASSERT_EQ(commit(), "");
    EXPECT_EQ(rows("FROM total"), round == 0 ? "6.00" : "7.00");
    EXPECT_EQ(rows("FROM named"), round == 0 ? "1|bob;2|bob" : "1|bob;2|bob;3|bob");
    EXPECT_EQ(rows("FROM top"), "5.00");
    for (const ViewInfo& view : views_->views()) EXPECT_EQ(view.state, ViewState::kLive);
  }
}

// Twice in a row, with the database opened anew between: then it is the view's own fault.
TEST_F(ViewSetTest, AViewThatNeedsTooMuchMemoryIsSetAsideInTheEnd) {
  open(tables_, {{"huge", "SELECT string_agg(repeat(owner, 1000000), '') AS text FROM accounts"},
                 {"good", "SELECT count(*) AS n FROM accounts"}});
  begin();
  for (int id = 0; id < 100; ++id)
    builder().insert(accounts_, {std::to_string(id), "ten bytes.", "north"});
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_THAT(commit(), testing::HasSubstr("the engine has run out of memory"));
    EXPECT_EQ(views_->set_aside_failed().value(), attempt == 1);
    const Status recovered = engine_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().text();
  }
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM good"), "100");
  EXPECT_THAT(error_of("huge"), testing::HasSubstr("failed: "));
}

TEST_F(ViewSetTest, ListenersGetWhatChanged) {
  open(tables_, {{"balance", "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1"},
                 {"all_ids", "SELECT account_id FROM entries"}});
  TestingListener listener;
  views_->set_listener(&listener);
  begin();
  builder().insert(entries_, {"1", "7", "5"});
  builder().insert(entries_, {"2", "7", "5"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(listener.take(), "balance 7 1;all_ids 7 2;committed;");
  begin();
  builder().update(entries_, {}, {"1", "7", "6"});
  builder().update(entries_, {}, {"2", "7", "5"});
  ASSERT_EQ(commit(), "");
  // The balance went and came with another value; the identifiers are what they were.
  EXPECT_EQ(listener.take(), "balance 7 -1;balance 7 1;committed;");
}

TEST_F(ViewSetTest, RolledBackBatchesLeaveNothingBehind) {
  open(tables_,
       {{"n", "SELECT count(*) AS n, sum(amount) AS s FROM entries"},
        {"named", "SELECT e.id, owner FROM entries e JOIN accounts a ON e.account_id = a.id"}});
  TestingListener listener;
  views_->set_listener(&listener);
  begin();
  builder().insert(accounts_, {"7", "ann", "north"});
  builder().truncate(entries_);
  builder().insert(entries_, {"1", "7", "5"});
  ASSERT_EQ(commit(), "");
  listener.fail_once("named", error(Code::kIo, "no"));
  begin();
  builder().insert(entries_, {"2", "7", "5"});
  builder().update(accounts_, {}, {"7", "bob", "north"});
  EXPECT_EQ(commit(), "no");
  ASSERT_TRUE(engine_->apply(builder().batch()).ok());
  next_ = builder().batch().to;
  EXPECT_EQ(rows("FROM n"), "2|10.00");
  EXPECT_EQ(rows("FROM named"), "1|bob;2|bob");
}

}  // namespace pgweir::views
