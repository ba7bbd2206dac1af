// Views in append mode: each window once, when the watermark has passed its end, whatever the
// batches. What is late is counted, and what a mode cannot do is refused.
#include "views/append_mode.h"

#include <fmt/core.h>
#include <gmock/gmock.h>

#include <map>
#include <random>

#include "views/view_fixture.h"

namespace pgweir::views {

using engine::int_column;
using engine::text_column;
using engine::TextRow;
using engine::typed_column;
using testing::HasSubstr;

constexpr std::uint32_t kTimestampTz = 1184;
constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kMidnight = 1'767'225'600 * kSecond;  // 2026-01-01 00:00 UTC

class AppendModeTest : public ViewFixture {
 protected:
  AppendModeTest() {
    view_options_.watermarks = {
        {.column = "public.t.made", .delay = Milliseconds{10'000}},
        {.column = "public.other.seen_at", .delay = Milliseconds{0}, .idle = Milliseconds{60'000}}};
  }

  static ViewSource append(const std::string& name, const std::string& sql) {
    return {name, sql, OutputMode::kAppend, true};
  }

  // "00:01:30" on the first of January 2026.
  static std::string at(const std::string& time) { return "2026-01-01 " + time + "+00"; }

  // A transaction of rows of t; a row of an id that is there is updated; without a time it is
  // deleted.
  struct Change {
    std::string id;
    std::optional<std::string> time;
    std::string amount = "1";
    enum Kind { kInsert, kUpdate, kDelete } kind = kInsert;
  };
  void change(const std::vector<Change>& changes) {
    for (const Change& each : changes) {
      const TextRow row = {each.id, each.time ? std::optional(at(*each.time)) : std::nullopt,
                           each.amount};
      if (each.kind == Change::kInsert) builder().insert(t_, row);
      if (each.kind == Change::kUpdate) builder().update(t_, {}, row);
      if (each.kind == Change::kDelete) builder().remove(t_, row);
    }
  }
  std::string transaction(const std::vector<Change>& changes) {
    begin();
    change(changes);
    return commit();
  }

  std::uint64_t late(const std::string& view) { return views_->view(view)->late_rows; }
  std::uint64_t open_rows(const std::string& view) { return views_->view(view)->open_rows; }

  const TablePtr t_ = make_table(
      1, "t", {int_column("id", true), typed_column("made", kTimestampTz), int_column("amount")});
  const TablePtr names_ = make_table(2, "names", {int_column("amount", true), text_column("name")});
  const TablePtr other_ =
      make_table(3, "other", {int_column("id", true), typed_column("seen_at", kTimestampTz)});
  const std::vector<TablePtr> tables_ = {t_, names_, other_};
  const std::string kPerMinute =
      "SELECT window_start, count(*) AS n, sum(amount) AS amount FROM tumble(t, made, INTERVAL 1 "
      "MINUTE) GROUP BY window_start";
  const std::string kShown = "SELECT strftime(window_start, '%H:%M'), n, amount FROM per_minute";
};

TEST_F(AppendModeTest, AWindowComesOnceWhenTheWatermarkHasPassedItsEnd) {
  open(tables_, {append("per_minute", kPerMinute),
                 {"in_all", "SELECT sum(n) AS n, count(*) AS windows FROM per_minute"}});
  EXPECT_EQ(strategy("per_minute"), "delta: one relation in tumbling windows, totals by group");
  ASSERT_EQ(transaction({{"1", "00:00:10"}, {"2", "00:01:09.999999"}}), "");
  EXPECT_EQ(rows(kShown), "");  // the watermark stands at 00:00:59.999999
  EXPECT_EQ(open_rows("per_minute"), 2U);
  ASSERT_EQ(transaction({{"3", "00:00:20", "5"}, {"4", "00:01:10"}}), "");
  EXPECT_EQ(rows(kShown), "00:00|2|6");
  EXPECT_EQ(rows("FROM in_all"), "2|1");
  EXPECT_EQ(open_rows("per_minute"), 1U);
  EXPECT_EQ(views_->view("per_minute")->closed_up_to, kMidnight + 60 * kSecond);
  // Late: the first window has left.
  ASSERT_EQ(transaction({{"5", "00:00:30"}, {"6", "00:01:20"}}), "");
  EXPECT_EQ(rows(kShown), "00:00|2|6");
  EXPECT_EQ(late("per_minute"), 1U);
  EXPECT_EQ(rows("SELECT view, \"table\", weight, window_end::VARCHAR, \"row\" FROM "
                 "pgweir.late_rows"),
            "per_minute|public.t|1|2026-01-01 00:01:00|{\"made\":\"2026-01-01 "
            "00:00:30+00\",\"amount\":1}");
  // Several windows at once, those without rows left out.
  ASSERT_EQ(transaction({{"7", "00:09:00"}}), "");
  EXPECT_EQ(rows(kShown), "00:00|2|6;00:01|3|3");
  EXPECT_EQ(rows("FROM in_all"), "5|2");
  EXPECT_EQ(rows("SELECT \"column\", watermark::VARCHAR, newest::VARCHAR FROM pgweir.watermarks "
                 "WHERE watermark IS NOT NULL"),
            "public.t.made|2026-01-01 00:08:50+00|2026-01-01 00:09:00+00");
}

TEST_F(AppendModeTest, UpdatesAndDeletesWithinTheDelayAreFollowed) {
  open(tables_, {append("per_minute", kPerMinute)});
  ASSERT_EQ(transaction({{"1", "00:00:10"}, {"2", "00:00:20"}, {"3", "00:00:30"}}), "");
  ASSERT_EQ(transaction({{"1", "00:00:10", "7", Change::kUpdate},
                         {"2", "00:00:20", "1", Change::kDelete},
                         {"3", "00:01:30", "1", Change::kUpdate}}),
            "");
  // The update of row 3 has closed the first window; now it leaves the second, and row 1 its own.
  EXPECT_EQ(rows(kShown), "00:00|1|7");
  ASSERT_EQ(transaction(
                {{"3", "00:02:00", "1", Change::kUpdate}, {"1", "00:01:40", "9", Change::kUpdate}}),
            "");
  EXPECT_EQ(late("per_minute"), 1U);  // that the closed window loses row 1
  ASSERT_EQ(transaction({{"9", "00:05:00"}}), "");
  EXPECT_EQ(rows(kShown), "00:00|1|7;00:01|1|9;00:02|1|1");
}

TEST_F(AppendModeTest, EveryStrategyAndEveryWindow) {
  open(tables_,
       {append("hops",
               "SELECT window_end, sum(amount) AS a FROM hop(t, made, INTERVAL 30 SECOND, INTERVAL "
               "1 MINUTE) GROUP BY 1"),
        append("sums",
               "SELECT window_start, window_end, sum(amount) AS a FROM cumulate(t, made, INTERVAL "
               "30 SECOND, INTERVAL 1 MINUTE) GROUP BY 1, 2"),
        append("largest",
               "SELECT window_end AS w, max(amount) AS a FROM tumble(t, made, INTERVAL 1 "
               "MINUTE) GROUP BY window_end"),
        append("single",
               "SELECT id, window_end FROM tumble(t, made, INTERVAL 1 MINUTE) WHERE amount "
               "> 1"),
        append("named",
               "SELECT name, window_end, count(*) AS n FROM tumble(t, made, INTERVAL 1 "
               "MINUTE) w JOIN names ON w.amount = names.amount GROUP BY 1, 2")});
  begin();
  builder().insert(names_, {"1", "one"});
  builder().insert(names_, {"2", "two"});
  change({{"1", "00:00:10", "1"}, {"2", "00:00:40", "2"}, {"3", "00:01:05", "1"}});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("SELECT strftime(window_end, '%M:%S'), a FROM hops"), "00:30|1");
  EXPECT_EQ(rows("SELECT strftime(window_start, '%M:%S'), strftime(window_end, '%M:%S'), a FROM "
                 "sums"),
            "00:00|00:30|1");
  EXPECT_EQ(rows("FROM largest"), "");
  // The names change while the window is open, and when it is closed.
  begin();
  builder().update(names_, {}, {"1", "uno"});
  change({{"4", "00:01:30", "1"}});
  ASSERT_EQ(commit(), "");
  begin();
  builder().update(names_, {}, {"2", "due"});
  builder().update(names_, {}, {"1", "ein"});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("SELECT strftime(window_end, '%M:%S'), a FROM hops"), "00:30|1;01:00|3");
  EXPECT_EQ(rows("SELECT strftime(window_start, '%M:%S'), strftime(window_end, '%M:%S'), a FROM "
                 "sums"),
            "00:00|00:30|1;00:00|01:00|3");
  EXPECT_EQ(rows("SELECT strftime(w, '%M:%S'), a FROM largest"), "01:00|2");
  EXPECT_EQ(rows("SELECT id, strftime(window_end, '%M:%S') FROM single"), "2|01:00");
  EXPECT_EQ(rows("SELECT name, strftime(window_end, '%M:%S'), n FROM named"),
            "two|01:00|1;uno|01:00|1");
  EXPECT_EQ(rows("SELECT name, strftime(window_end, '%M:%S'), n FROM \"named (open)\""),
            "ein|02:00|2");
  for (const char* view : {"hops", "sums", "largest", "single", "named"})
    EXPECT_EQ(late(view), 0U) << view;
}

TEST_F(AppendModeTest, WhatHasLeftStaysOverRestartsTruncatesAndFailures) {
  open(tables_, {append("per_minute", kPerMinute)});
  ASSERT_EQ(transaction({{"1", "00:00:10"}, {"2", "00:01:20"}}), "");
  open(tables_, {append("per_minute", kPerMinute)});
  EXPECT_EQ(rows(kShown), "00:00|1|1");
  EXPECT_EQ(views_->view("per_minute")->closed_up_to, kMidnight + 60 * kSecond);
  EXPECT_EQ(views_->watermarks()[0].at, kMidnight + 70 * kSecond);
  ASSERT_EQ(transaction({{"3", "00:00:50"}}), "");
  EXPECT_EQ(late("per_minute"), 1U);
  begin();
  builder().truncate(t_);
  change({{"7", "00:01:30", "3"}});
  ASSERT_EQ(commit(), "");
  ASSERT_EQ(transaction({{"8", "00:02:10"}}), "");
  EXPECT_EQ(rows(kShown), "00:00|1|1;00:01|1|3");
  // Made anew of what the table holds.
  ASSERT_TRUE(views_->rebuild_view("per_minute").ok());
  EXPECT_EQ(rows(kShown), "00:01|1|3");
  EXPECT_EQ(late("per_minute"), 0U);
  // No longer in append mode: always its SELECT.
  open(tables_, {{"per_minute", kPerMinute}});
  EXPECT_EQ(rows(kShown), "00:01|1|3;00:02|1|1");
  EXPECT_THAT(rows("FROM \"per_minute (open)\""), HasSubstr("does not exist"));
  open(tables_, {append("per_minute", kPerMinute)});
  EXPECT_EQ(rows(kShown), "00:01|1|3");
  ASSERT_EQ(transaction({{"9", "00:03:10"}}), "");
  EXPECT_EQ(rows(kShown), "00:01|1|3;00:02|1|1");
}

TEST_F(AppendModeTest, AWatermarkWaitsForTheEndOfItsTransaction) {
  open(tables_, {append("per_minute", kPerMinute)});
  begin();
  change({{"1", "00:05:00"}});
  ASSERT_EQ(commit(false), "");
  builder_ = std::make_unique<engine::BatchBuilder>(next_);
  builder_->begin(lsn_, model::Timestamp{kMidnight}, false);
  change({{"2", "00:00:10"}});  // not late: it belongs to the same transaction
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows(kShown), "00:00|1|1");
  EXPECT_EQ(late("per_minute"), 0U);
}

TEST_F(AppendModeTest, TimesFarInTheFutureAndNoTimesMoveNothing) {
  open(tables_, {append("per_minute", kPerMinute)});
  // The transactions commit at midnight.
  ASSERT_EQ(transaction({{"1", "00:00:10"}, {"2", "01:00:01"}, {"3", std::nullopt}}), "");
  EXPECT_EQ(views_->watermarks()[0].newest, kMidnight + 10 * kSecond);
  EXPECT_EQ(late("per_minute"), 1U);  // that without a time
  ASSERT_EQ(transaction({{"4", "01:00:00"}}), "");
  EXPECT_EQ(rows(kShown), "00:00|1|1");
}

TEST_F(AppendModeTest, IdleTablesHoldNobodyBack) {
  open(tables_,
       {append("pairs",
               "SELECT a.window_end, count(*) AS n FROM tumble(t, made, INTERVAL 1 MINUTE) "
               "a JOIN tumble(other, seen_at, INTERVAL 1 MINUTE) b ON a.id = b.id AND "
               "a.window_end = b.window_end GROUP BY 1")});
  const std::string shown = "SELECT strftime(window_end, '%M:%S'), n FROM pairs";
  const auto commit_at = [&](std::int64_t seconds, const std::vector<Change>& changes,
                             const std::string& other) {
    lsn_ = std::max(lsn_, model::value(next_.lsn)) + 10;
    builder_ = std::make_unique<engine::BatchBuilder>(next_);
    builder_->begin(lsn_, model::Timestamp{kMidnight + seconds * kSecond});
    change(changes);
    if (!other.empty()) builder().insert(other_, {std::to_string(seconds), at(other)});
    return commit();
  };
  ASSERT_EQ(commit_at(1, {{"1", "00:00:30"}}, "00:00:30"), "");
  ASSERT_EQ(commit_at(20, {{"2", "00:01:10"}}, ""), "");
  EXPECT_EQ(rows(shown), "");  // rows of other at 00:00:40 may still come
  ASSERT_EQ(commit_at(70, {{"3", "00:01:15"}}, ""), "");
  EXPECT_EQ(rows(shown), "01:00|1");
}

TEST_F(AppendModeTest, EachModeSaysWhatItNeeds) {
  struct Case {
    OutputMode mode;
    const char* sql;
    const char* error;  // a part of it; "" when it is taken
  };
  const Case cases[] = {
      {OutputMode::kAppend, "SELECT id FROM t", "mode append needs windows"},
      {OutputMode::kAppend, "SELECT amount, count(*) AS n FROM t GROUP BY 1",
       "mode append needs windows"},
      {OutputMode::kAppend, "SELECT count(*) AS n FROM tumble(t, made, INTERVAL 1 MINUTE)",
       "needs window_end or window_start as a column"},
      {OutputMode::kAppend,
       "SELECT window_start, count(*) AS n FROM cumulate(t, made, INTERVAL 1 MINUTE, INTERVAL 1 "
       "HOUR) GROUP BY window_start, window_end",
       "over cumulate() needs window_end"},
      {OutputMode::kAppend, "SELECT window_end, id FROM tumble(t, made, INTERVAL 1 MINUTE) LIMIT 1",
       "cannot have LIMIT"},
      {OutputMode::kAppend,
       "SELECT window_end, row_number() OVER (ORDER BY id) AS n FROM tumble(t, made, INTERVAL 1 "
       "MINUTE)",
       "a window function would look across windows"},
      {OutputMode::kAppend,
       "SELECT window_end, row_number() OVER (PARTITION BY window_end ORDER BY id) AS n FROM "
       "tumble(t, made, INTERVAL 1 MINUTE)",
       ""},
      {OutputMode::kAppend, "SELECT window_end FROM session(t, made, INTERVAL 1 MINUTE)",
       "cannot follow session() yet"},
      {OutputMode::kAppend, "SELECT window_end FROM tumble(late, seen_at, INTERVAL 1 MINUTE)",
       "needs a watermark on public.late.seen_at"},
      {OutputMode::kAppend, "SELECT * FROM tumble(t, made, INTERVAL 1 MINUTE)", ""},
      {OutputMode::kAppend,
       "SELECT window_end FROM tumble(t, made, INTERVAL 1 MINUTE) UNION ALL SELECT made FROM t",
       "needs a plain SELECT"},
      {OutputMode::kComplete, "SELECT id FROM t WHERE amount > 1", "mode complete needs totals"},
      {OutputMode::kComplete, "SELECT count(*) AS n FROM t", ""},
      {OutputMode::kComplete, "SELECT amount, max(id) AS id FROM t GROUP BY amount", ""},
      {OutputMode::kUpdate, "SELECT id FROM t", ""},
  };
  std::vector<ViewSource> views;
  for (const Case& each : cases)
    views.push_back({fmt::format("v{}", views.size()), each.sql, each.mode, false});
  const TablePtr late_table =
      make_table(4, "late", {int_column("id", true), typed_column("seen_at", kTimestampTz)});
  open({t_, names_, other_, late_table}, views);
  for (std::size_t i = 0; i < views.size(); ++i) {
    const std::string error = error_of(views[i].name);
    if (cases[i].error[0] == '\0') {
      EXPECT_EQ(error, "live") << cases[i].sql;
    } else {
      EXPECT_THAT(error, HasSubstr(std::string("refused: "))) << cases[i].sql;
      EXPECT_THAT(error, HasSubstr(cases[i].error)) << cases[i].sql;
    }
  }
}

// The same transactions in batches of any size, with restarts between them, close the same windows
// with the same rows.
TEST_F(AppendModeTest, LoadDoesNotDecideWhatIsLate) {
  std::mt19937 random{harness::test_seed()};
  const auto up_to = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  const std::vector<ViewSource> views = {
      append("per_minute", kPerMinute),
      append("hops",
             "SELECT window_end, count(*) AS n, sum(amount) AS amount FROM hop(t, made, "
             "INTERVAL 40 SECOND, INTERVAL 100 SECOND) GROUP BY 1"),
      append("largest",
             "SELECT window_end, max(amount) AS amount FROM tumble(t, made, INTERVAL 1 "
             "MINUTE) GROUP BY 1")};
  open(tables_, views);
  std::map<int, std::pair<int, int>> model;  // id: second, amount
  std::map<int, std::string> minutes, hops, largest;
  int watermark = -1'000'000;
  const auto emit = [&](int before, int now) {
    std::map<int, std::pair<int, int>> totals, hop_totals;
    std::map<int, int> most;
    for (const auto& [id, row] : model) {
      const auto& [second, amount] = row;
      const int end = (second / 60 + 1) * 60;
      totals[end].first += 1;
      totals[end].second += amount;
      most[end] = std::max(most[end], amount);
      for (int start = -80; start <= second; start += 40) {
        if (second >= start + 100) continue;
        hop_totals[start + 100].first += 1;
        hop_totals[start + 100].second += amount;
      }
    }
    const auto take = [&](const auto& from, auto& to) {
      for (const auto& [end, total] : from)
        if (end > before && end <= now)
          to[end] = fmt::format("{}|{}|{}", end, total.first, total.second);
    };
    take(totals, minutes);
    take(hop_totals, hops);
    for (const auto& [end, amount] : most)
      if (end > before && end <= now) largest[end] = fmt::format("{}|{}", end, amount);
  };
  const auto joined = [](const std::map<int, std::string>& windows) {
    std::string out;
    for (const auto& [end, text] : windows) out += (out.empty() ? "" : ";") + text;
    return out;
  };
  constexpr int kTransactions = 120;
  int second = 100;
  for (int done = 0; done < kTransactions;) {
    begin();
    const int together = up_to(2) == 0 ? 1 : up_to(12) + 1;
    for (int i = 0; i < together; ++i, ++done) {
      if (i > 0) {
        builder().end(true);
        lsn_ += 10;
        builder().begin(lsn_, model::Timestamp{kMidnight});
      }
      int newest = -1'000'000;
      for (int changes = up_to(3); changes >= 0; --changes) {
        const int id = up_to(30);
        const int time = std::max(0, second - up_to(up_to(3) == 0 ? 150 : 30));
        const int amount = up_to(9) + 1;
        const std::string text =
            fmt::format("{:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60);
        const bool known = model.contains(id);
        if (known && up_to(3) == 0) {
          change({{std::to_string(id), text, "0", Change::kDelete}});
          model.erase(id);
          continue;
        }
        change({{std::to_string(id), text, std::to_string(amount),
                 known ? Change::kUpdate : Change::kInsert}});
        model[id] = {time, amount};
        newest = std::max(newest, time);
      }
      second += up_to(20);
      const int now = std::max(watermark, newest - 10);
      emit(watermark, now);
      watermark = now;
    }
    ASSERT_EQ(commit(), "");
    if (up_to(9) == 0) open(tables_, views);
    const char* kEnd = "CAST(epoch(window_end) AS BIGINT) - 1767225600";
    ASSERT_EQ(rows("SELECT CAST(epoch(window_start) AS BIGINT) - 1767225600 + 60 AS s, n, amount "
                   "FROM per_minute"),
              joined(minutes));
    ASSERT_EQ(rows(fmt::format("SELECT {}, n, amount FROM hops", kEnd)), joined(hops));
    ASSERT_EQ(rows(fmt::format("SELECT {}, amount FROM largest", kEnd)), joined(largest));
  }
  EXPECT_GT(late("per_minute"), 0U);
  EXPECT_LE(open_rows("per_minute"), 5U);
}

}  // namespace pgweir::views
