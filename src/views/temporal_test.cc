// Views whose rows enter and leave as time passes, by a clock that the tests move.
#include <gmock/gmock.h>

#include <fmt/core.h>

#include "io/clock.h"
#include "views/testing_listener.h"
#include "views/view_fixture.h"

namespace pgweir::views {
namespace {

using engine::int_column;
using engine::text_column;
using engine::typed_column;
using testing::HasSubstr;

constexpr std::uint32_t kTimestampTz = 1184, kTimestamp = 1114, kDate = 1082;
// 2026-01-01 12:00:00 UTC.
constexpr std::int64_t kNoonUs = 1'767'268'800'000'000;

class TemporalTest : public ViewFixture {
 protected:
  TemporalTest() {
    view_options_.clock = &clock_;
    at(0);
  }
  // So many seconds after noon.
  void at(double seconds) {
    clock_.advance(
        Microseconds(kNoonUs + static_cast<std::int64_t>(seconds * 1e6) - clock_.now_us()));
  }
  std::string pass() {
    const Status passed = engine_->let_time_pass();
    return passed.ok() ? "" : passed.error().text();
  }
  // The clock goes there, and the views follow without a change.
  void pass_to(double seconds) {
    at(seconds);
    ASSERT_EQ(pass(), "");
    EXPECT_FALSE(views_->is_time_due());
  }
  void open_views(const std::vector<ViewSource>& views) { open({t_, other_}, views); }
  // Rows of t: "11:30:00" is that time of that day.
  void insert(const std::vector<std::pair<int, std::string>>& rows) {
    begin();
    for (const auto& [id, made] : rows) add(id, made);
    ASSERT_EQ(commit(), "");
  }
  void add(int id, const std::string& made) { builder().insert(t_, row(id, made)); }
  static engine::TextRow row(int id, const std::string& made, const std::string& s = "1") {
    const std::string number = std::to_string(id);
    if (made.empty()) return {number, std::nullopt, std::nullopt, std::nullopt, number, s};
    if (made.ends_with("infinity")) return {number, made, made, made, number, s};
    const std::string day = made.size() > 12 ? made.substr(0, 10) : "2026-01-01";
    const std::string time = made.size() > 12 ? made : day + " " + made;
    return {number, time + "+00", time, day, number, s};
  }
  std::string kept(const std::string& view) {
    const std::string text = views_->explain(view)->text;
    const std::size_t end = text.find(" changes to come");
    const std::size_t start = text.rfind(' ', end - 1);
    return end == std::string::npos ? text : text.substr(start + 1, end - start - 1);
  }

  io::FakeClock clock_;
  const TablePtr t_ = make_table(1, "t",
                                 {int_column("id", true), typed_column("made", kTimestampTz),
                                  typed_column("local", kTimestamp), typed_column("day", kDate),
                                  int_column("ttl"), text_column("s")});
  const TablePtr other_ = make_table(
      2, "other", {int_column("id", true), int_column("t_id"), typed_column("made", kTimestampTz)});
};

TEST_F(TemporalTest, RowsLeaveAndEnterAtTheVeryStep) {
  open_views(
      {{"recent", "SELECT id FROM t WHERE made > now() - INTERVAL 1 HOUR"},
       {"recent_too", "SELECT id FROM t WHERE made >= now() - INTERVAL 1 HOUR"},
       {"begun", "SELECT id FROM t WHERE made <= now()"},
       {"begun_before", "SELECT id FROM t WHERE now() > made"},
       {"going_on", "SELECT id FROM t WHERE now() BETWEEN made AND made + INTERVAL 1 HOUR"}});
  insert({{1, "11:30:00"},
          {2, "11:00:00"},
          {3, "13:00:00"},
          {4, ""},
          {5, "infinity"},
          {6, "-infinity"}});
  EXPECT_EQ(rows("FROM recent"), "1;3;5");
  EXPECT_EQ(rows("FROM recent_too"), "1;2;3;5");
  EXPECT_EQ(rows("FROM begun"), "1;2;6");
  EXPECT_EQ(rows("FROM begun_before"), "1;2;6");
  EXPECT_EQ(rows("FROM going_on"), "1;2");
  pass_to(0.1);
  EXPECT_EQ(rows("FROM recent_too"), "1;3;5");
  EXPECT_EQ(rows("FROM going_on"), "1");
  pass_to(30 * 60 - 0.1);
  EXPECT_EQ(rows("FROM recent"), "1;3;5");
  pass_to(30 * 60);
  EXPECT_EQ(rows("FROM recent"), "3;5");
  EXPECT_EQ(rows("FROM recent_too"), "1;3;5");
  pass_to(3600);
  EXPECT_EQ(rows("FROM begun"), "1;2;3;6");
  EXPECT_EQ(rows("FROM begun_before"), "1;2;6");
  EXPECT_EQ(rows("FROM going_on"), "3");
  pass_to(3600.1);
  EXPECT_EQ(rows("FROM begun_before"), "1;2;3;6");
  pass_to(3 * 3600);
  EXPECT_EQ(rows("FROM recent"), "5");
  EXPECT_EQ(rows("FROM going_on"), "");
  EXPECT_EQ(kept("recent"), "0");
}

TEST_F(TemporalTest, EveryFormMeansWhatItSays) {
  // With now() as {0}, and its day as {1}.
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"made > now() - INTERVAL '90 minutes'", "made > {0} - INTERVAL 90 MINUTE"},
      {"now() - INTERVAL 1 DAY - INTERVAL 2 HOUR <= made", "made >= {0} - INTERVAL 26 HOUR"},
      {"made < current_timestamp + INTERVAL 1 HOUR", "made < {0} + INTERVAL 1 HOUR"},
      {"made + INTERVAL 1 HOUR > now()", "made + INTERVAL 1 HOUR > {0}"},
      {"made + ttl * INTERVAL 20 MINUTE >= now()", "made + ttl * INTERVAL 20 MINUTE >= {0}"},
      {"made + INTERVAL 1 MONTH > now()", "made + INTERVAL 1 MONTH > {0}"},
      {"made BETWEEN now() - INTERVAL 1 HOUR AND now()",
       "made BETWEEN {0} - INTERVAL 1 HOUR AND {0}"},
      {"made BETWEEN TIMESTAMPTZ '2026-01-01 10:00:00+00' AND now()",
       "made BETWEEN TIMESTAMPTZ '2026-01-01 10:00:00+00' AND {0}"},
      {"now() BETWEEN made - INTERVAL 1 HOUR AND made",
       "{0} BETWEEN made - INTERVAL 1 HOUR AND made"},
      {"local > localtimestamp - INTERVAL 1 HOUR", "local > {0} - INTERVAL 1 HOUR"},
      {"local > now() AT TIME ZONE 'UTC' - INTERVAL 1 HOUR", "local > {0} - INTERVAL 1 HOUR"},
      {"local <= CAST(now() AS TIMESTAMP)", "local <= {0}"},
      {"day > now() - INTERVAL 12 HOUR", "day > {0} - INTERVAL 12 HOUR"},
      {"day = current_date", "day = {1}"},
      {"day >= current_date - 1", "day >= {1} - 1"},
      {"day < now()::date", "day < {1}"},
      {"day <= current_date + INTERVAL 1 DAY", "day <= {1} + INTERVAL 1 DAY"},
      {"made >= date_trunc('day', now())", "made >= {1}"},
      {"made > date_trunc('hour', now()) - INTERVAL 2 HOUR",
       "made > date_trunc('hour', {0}) - INTERVAL 2 HOUR"},
      {"made < date_trunc('minute', now() + INTERVAL 5 MINUTE)",
       "made < date_trunc('minute', {0} + INTERVAL 5 MINUTE)"},
      {"made::date = current_date", "made::date = {1}"},
      {"made > now() - INTERVAL 1 HOUR AND made <= now() AND ttl > 2",
       "made > {0} - INTERVAL 1 HOUR AND made <= {0} AND ttl > 2"},
      {"coalesce(made, TIMESTAMPTZ '2026-01-01 12:30:00+00') < transaction_timestamp()",
       "coalesce(made, TIMESTAMPTZ '2026-01-01 12:30:00+00') < {0}"},
      {"made > now() - INTERVAL (-2) HOUR", "made > {0} + INTERVAL 2 HOUR"},
  };
  std::vector<ViewSource> views;
  for (std::size_t i = 0; i < cases.size(); ++i)
    views.push_back({fmt::format("v{}", i), "SELECT id, made FROM t WHERE " + cases[i].first});
  open_views(views);
  for (const ViewSource& view : views) EXPECT_EQ(error_of(view.name), "live") << view.sql;
  begin();
  int id = 0;
  for (const char* day : {"2025-12-31", "2026-01-01", "2026-01-02", "2026-01-03"}) {
    for (const char* time : {"00:00:00", "09:59:59.999999", "10:00:00", "11:00:00.05", "11:40:00",
                             "12:00:00", "12:30:00", "13:59:59.9", "23:59:59.999999"})
      add(++id, fmt::format("{} {}", day, time));
  }
  for (const char* time : {"", "infinity", "-infinity"}) add(++id, time);
  builder().insert(
      t_, {"100", "9999-12-31 00:00:00+00", "0044-03-15 00:00:00 BC", "9999-12-31", "0", "x"});
  ASSERT_EQ(commit(), "");
  const auto compare = [&] {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const std::string now = "(SELECT now FROM pgweir.clock)";
      EXPECT_EQ(difference(views[i].name,
                           "SELECT id, made FROM t WHERE " +
                               fmt::format(fmt::runtime(cases[i].second), now, now + "::date")),
                "")
          << cases[i].first << " at " << clock_.now_us() - kNoonUs;
    }
  };
  for (const double second : {0.05, 0.1, 1800.0, 3600.1, 7199.9, 12 * 3600 - 0.1, 12 * 3600.0,
                              24 * 3600.0, 36 * 3600.0, 40 * 24 * 3600.0}) {
    pass_to(second);
    compare();
    // Rows that change where some are in, some are still to come, and some have left.
    begin();
    builder().update(t_, {}, row(static_cast<int>(second) % 30 + 1, "2026-01-01 12:45:00"));
    builder().remove(t_, row(static_cast<int>(second) % 7 + 31, ""));
    builder().insert(t_, row(static_cast<int>(second) % 7 + 31, "2026-01-02 00:30:00.1"));
    ASSERT_EQ(commit(), "");
    compare();
    if (HasFailure()) return;
  }
}

TEST_F(TemporalTest, WhatStandsAboveFollowsWithoutNewInput) {
  open_views(
      {{"recent", "SELECT * FROM t WHERE made > now() - INTERVAL 1 HOUR"},
       {"counts",
        "SELECT s, count(*) AS n, max(id) AS m FROM t WHERE made > now() - INTERVAL 1 HOUR "
        "GROUP BY s"},
       {"of_view", "SELECT count(*) AS n FROM recent"},
       {"joined",
        "SELECT o.id, t.s FROM other o JOIN t ON o.t_id = t.id WHERE t.made > now() - INTERVAL 1 "
        "HOUR "
        "AND o.made <= now()"},
       {"outer_side",
        "SELECT t.id, o.id AS o FROM t LEFT JOIN other o ON o.t_id = t.id WHERE t.made > now() - "
        "INTERVAL 1 HOUR"},
       {"by_window",
        "SELECT window_start, count(*) AS n FROM tumble(t, made, INTERVAL 10 MINUTE) WHERE "
        "window_end > now() - INTERVAL 1 HOUR GROUP BY 1"},
       {"with_query",
        "WITH r AS (SELECT id, s FROM t WHERE made > now() - INTERVAL 1 HOUR) SELECT s, count(*) "
        "AS n "
        "FROM r GROUP BY s"},
       {"of_today",
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM other o WHERE o.t_id = t.id AND o.made::date "
        "= "
        "current_date AND o.made < current_timestamp)"},
       {"known", "SELECT id FROM t WHERE id IN (SELECT t_id FROM other WHERE made <= now())"},
       {"either",
        "SELECT id FROM t WHERE made > now() - INTERVAL 1 HOUR UNION ALL SELECT -id FROM "
        "other WHERE made > now()"},
       {"qualified",
        "SELECT public.t.id FROM public.t WHERE public.t.made > now() - INTERVAL 1 HOUR"},
       {"alias", "SELECT id, made + INTERVAL 1 HOUR AS until FROM t WHERE until > now()"}});
  for (const char* view : {"counts", "joined", "outer_side", "by_window", "with_query", "known",
                           "of_today", "either", "qualified", "alias"})
    ASSERT_EQ(error_of(view), "live") << view;
  EXPECT_THAT(strategy("joined"), testing::StartsWith("delta"));
  EXPECT_THAT(strategy("counts"), testing::StartsWith("affected keys"));
  begin();
  builder().insert(t_, row(1, "11:10:00", "a"));
  builder().insert(t_, row(2, "11:20:00", "a"));
  builder().insert(t_, row(3, "11:30:00", "b"));
  for (const char* row : {"1|1|12:05", "2|2|11:00", "3|3|12:15"}) {
    builder().insert(other_, {std::string(row, 1), std::string(row + 2, 1),
                              fmt::format("2026-01-01 {}:00+00", row + 4)});
  }
  ASSERT_EQ(commit(), "");
  const auto all = [&] {
    return fmt::format("{} / {} / {} / {} / {} / {} / {} / {}", rows("FROM counts"),
                       rows("FROM of_view"), rows("FROM joined"), rows("FROM outer_side"),
                       rows("SELECT strftime(window_start, '%H:%M'), n FROM by_window"),
                       rows("FROM with_query"), rows("FROM known"), rows("FROM either"));
  };
  EXPECT_EQ(all(),
            "a|2|2;b|1|3 / 3 / 2|a / 1|1;2|2;3|3 / 11:10|1;11:20|1;11:30|1 / a|2;b|1 / 2 / "
            "-3;-1;1;2;3");
  pass_to(10 * 60);
  EXPECT_EQ(all(),
            "a|1|2;b|1|3 / 2 / 2|a / 2|2;3|3 / 11:10|1;11:20|1;11:30|1 / a|1;b|1 / 1;2 / -3;2;3");
  pass_to(20 * 60);
  EXPECT_EQ(all(), "b|1|3 / 1 / 3|b / 3|3 / 11:20|1;11:30|1 / b|1 / 1;2;3 / 3");
  pass_to(30 * 60);
  EXPECT_EQ(all(), " / 0 /  /  / 11:30|1 /  / 1;2;3 / ");
  EXPECT_EQ(rows("FROM of_today"), "1;2;3");
  EXPECT_EQ(rows("FROM qualified"), "");
  EXPECT_EQ(rows("SELECT id FROM alias"), "");
}

TEST_F(TemporalTest, ABatchMeetsTheClockWhereItIsThen) {
  open_views({{"recent", "SELECT id FROM t WHERE made > now() - INTERVAL 1 HOUR"},
              {"same", "SELECT id FROM t WHERE now() < made + INTERVAL 60 MINUTE"}});
  insert({{1, "11:10:00"}, {2, "11:20:00"}, {3, "11:30:00"}, {4, "11:40:00"}});
  at(20 * 60);
  begin();
  builder().remove(t_, row(1, ""));              // has left by then
  builder().update(t_, {}, row(2, "12:00:00"));  // would have
  builder().update(t_, {}, row(3, "11:05:00"));  // is out now
  add(5, "11:15:00");                            // was never in
  add(6, "11:20:00.1");
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM recent"), "2;4;6");
  EXPECT_EQ(rows("FROM same"), "2;4;6");
  EXPECT_EQ(kept("recent"), "3");
  // A transaction that comes in parts, with time between them.
  begin();
  add(7, "11:25:00");
  ASSERT_EQ(commit(false), "");
  at(25 * 60);
  EXPECT_EQ(pass(), "");
  builder_ = std::make_unique<engine::BatchBuilder>(next_);
  builder_->begin(lsn_, model::Timestamp{kNoonUs}, false);
  add(8, "11:26:00");
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM recent"), "2;4;8");
  EXPECT_EQ(rows("FROM same"), "2;4;8");
}

TEST_F(TemporalTest, TheClockNeverGoesBack) {
  const std::vector<ViewSource> views = {
      {"recent", "SELECT id FROM t WHERE made > now() - INTERVAL 1 HOUR"}};
  open_views(views);
  EXPECT_EQ(rows("SELECT strftime(now, '%H:%M:%S') FROM pgweir.clock"), "12:00:00");
  insert({{1, "11:10:00"}, {2, "11:20:00"}});
  pass_to(15 * 60);
  EXPECT_EQ(rows("FROM recent"), "2");
  at(-3600);
  EXPECT_EQ(pass(), "");
  insert({{3, "11:14:00"}, {4, "11:16:00"}});
  EXPECT_EQ(rows("FROM recent"), "2;4");
  open_views(views);
  EXPECT_EQ(views_->now_us(), std::nullopt);  // nothing is committed yet
  insert({{5, "11:15:00"}});
  EXPECT_EQ(rows("FROM recent"), "2;4");
  EXPECT_EQ(*views_->now_us(), kNoonUs + 15 * 60 * 1'000'000);
  pass_to(16 * 60);
  EXPECT_EQ(rows("FROM recent"), "2");
}

TEST_F(TemporalTest, GoesOnAfterARestart) {
  const std::vector<ViewSource> views = {
      {"recent", "SELECT id FROM t WHERE made > now() - INTERVAL 1 HOUR"},
      {"n", "SELECT count(*) AS n FROM recent"}};
  open_views(views);
  begin();
  for (int i = 0; i < 2000; ++i) add(i, fmt::format("11:{:02}:{:02}.5", i / 60 + 20, i % 60));
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM n"), "2000");
  const std::string stores = rows("SELECT id, name FROM pgweir_internal.stores");
  // As it was, at first; then where the clock is: a few steps later, and very many.
  double minutes = 20;
  for (const double later : {20.5, 20.6, 50.0, 60.0}) {
    const std::string before = rows("FROM n");
    at(later * 60);
    open_views(views);
    EXPECT_EQ(rows("SELECT id, name FROM pgweir_internal.stores"), stores);
    EXPECT_EQ(rows("FROM n"), before);
    EXPECT_TRUE(views_->is_time_due());
    pass_to(later * 60);
    minutes = later;
    EXPECT_EQ(
        difference("recent",
                   "SELECT id FROM t WHERE made > (SELECT now FROM pgweir.clock) - INTERVAL 1 "
                   "HOUR"),
        "")
        << minutes;
  }
  EXPECT_EQ(rows("FROM n"), "0");
  EXPECT_EQ(kept("recent"), "0");
}

TEST_F(TemporalTest, MoreStepsThanAreKnownInMemory) {
  open_views({{"recent", "SELECT id FROM t WHERE made > now() - INTERVAL 1 HOUR"}});
  constexpr int kRows = static_cast<int>(TemporalStrategy::kKnownStepsMax) + 3000;
  const auto row_of = [](int i) {
    const int tenths = i * 7 % kRows;  // in no order
    return row(i,
               fmt::format("11:{:02}:{:02}.{}", 20 + tenths / 600, tenths / 10 % 60, tenths % 10));
  };
  for (const int part : {0, 1}) {
    begin();
    for (int i = part; i < kRows; i += 2) builder().insert(t_, row_of(i));
    ASSERT_EQ(commit(), "");
  }
  const auto left = [&](double seconds) {
    pass_to(seconds);
    EXPECT_EQ(
        difference("recent",
                   "SELECT id FROM t WHERE made > (SELECT now FROM pgweir.clock) - INTERVAL 1 "
                   "HOUR"),
        "")
        << seconds;
    return rows("SELECT count(*) FROM recent");
  };
  EXPECT_EQ(left(20 * 60), std::to_string(kRows - 1));
  EXPECT_EQ(left(20 * 60 + 1), std::to_string(kRows - 11));
  EXPECT_EQ(left(20 * 60 + 1000), std::to_string(kRows - 10'001));
  EXPECT_EQ(left(20 * 60 + 1700), std::to_string(kRows - 17'001));
  EXPECT_EQ(left(20 * 60 + 1700.1), std::to_string(kRows - 17'002));
  EXPECT_EQ(left(20 * 60 + 2000), "0");
}

TEST_F(TemporalTest, RowsThatAreOutForGoodCostNothing) {
  open_views({{"recent", "SELECT id FROM t WHERE made > now() - INTERVAL 1 HOUR"},
              {"begun", "SELECT id FROM t WHERE made <= now()"},
              {"soon", "SELECT id FROM t WHERE made BETWEEN now() AND now() + INTERVAL 1 HOUR"}});
  begin();
  for (int i = 0; i < 100; ++i) add(i, "10:00:00");
  add(100, "11:30:00");
  add(101, "12:30:00");
  add(102, "14:30:00");
  add(103, "infinity");
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(kept("recent"), "3");
  EXPECT_EQ(kept("begun"), "2");
  EXPECT_EQ(kept("soon"), "3");  // 102 enters and leaves
  EXPECT_EQ(rows("SELECT sum(n) FROM (SELECT count(*) AS n FROM soon)"), "1");
  pass_to(3 * 3600);
  EXPECT_EQ(kept("recent"), "1");
  EXPECT_EQ(kept("begun"), "0");
  EXPECT_EQ(kept("soon"), "0");
  EXPECT_FALSE(views_->is_time_due());
  // An update that the view cannot see is none.
  begin();
  builder().update(t_, {}, row(102, "14:30:00", "other"));
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM recent"), "102;103");
}

TEST_F(TemporalTest, FollowersAreToldAtTheSamePosition) {
  open_views({{"recent", "SELECT id FROM t WHERE made > now() - INTERVAL 1 HOUR"},
              {"n", "SELECT count(*) AS n FROM recent"}});
  insert({{1, "11:10:00"}, {2, "11:20:00"}});
  TestingListener listener;
  views_->set_listener(&listener);
  const engine::EnginePosition before = engine_->position();
  at(5 * 60);
  EXPECT_FALSE(views_->is_time_due());
  at(10 * 60);
  EXPECT_TRUE(views_->is_time_due());
  pass_to(10 * 60);
  EXPECT_EQ(listener.take(), "recent 1 -1;n 1 1;n 2 -1;committed;");
  EXPECT_EQ(engine_->position().position, before.position);
  EXPECT_EQ(engine_->position().end_lsn, before.end_lsn);
  views_->set_listener(nullptr);
}

TEST_F(TemporalTest, AViewThatFailsByTheClockIsSetAsideAlone) {
  open_views({{"numbers", "SELECT id, CAST(s AS INTEGER) AS n FROM t WHERE made <= now()"},
              {"begun", "SELECT id FROM t WHERE made <= now()"}});
  begin();
  builder().insert(t_, row(1, "11:00:00", "7"));
  builder().insert(t_, row(2, "12:10:00", "seven"));
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM numbers"), "1|7");
  at(10 * 60);
  EXPECT_THAT(pass(), HasSubstr("view numbers cannot be kept up to date"));
  EXPECT_EQ(rows("FROM begun"), "1");
  ASSERT_TRUE(*views_->set_aside_failed());
  EXPECT_EQ(pass(), "");
  EXPECT_EQ(rows("FROM begun"), "1;2");
  EXPECT_THAT(error_of("numbers"), HasSubstr("failed: "));
  EXPECT_FALSE(views_->is_time_due());
}

TEST_F(TemporalTest, TruncateAndRebuildMakeItAnewAtTheClock) {
  open_views(
      {{"recent", "SELECT id FROM t WHERE made > now() - INTERVAL 1 HOUR"},
       {"joined",
        "SELECT o.id, t.s FROM other o JOIN t ON o.t_id = t.id WHERE t.made > now() - INTERVAL "
        "1 HOUR"}});
  begin();
  add(1, "11:10:00");
  add(2, "11:20:00");
  builder().insert(other_, {"5", "2", std::nullopt});
  ASSERT_EQ(commit(), "");
  at(15 * 60);
  begin();
  add(3, "11:40:00");
  builder().truncate(other_);
  builder().insert(other_, {"6", "3", std::nullopt});
  builder().insert(other_, {"7", "1", std::nullopt});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM recent"), "2;3");
  EXPECT_EQ(rows("FROM joined"), "6|1");
  ASSERT_TRUE(views_->rebuild_view("recent").ok());
  EXPECT_EQ(rows("FROM recent"), "2;3");
  pass_to(20 * 60);
  EXPECT_EQ(rows("FROM recent"), "3");
  begin();
  builder().truncate(t_);
  add(8, "12:00:00");
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM recent"), "8");
  EXPECT_EQ(rows("FROM joined"), "");
  EXPECT_EQ(kept("recent"), "1");
}

TEST_F(TemporalTest, ExplainSaysThatRowsLeave) {
  open_views(
      {{"counts",
        "SELECT s, count(*) AS n FROM t WHERE made > now() - INTERVAL 1 HOUR AND ttl > 0 GROUP "
        "BY s"}});
  insert({{1, "11:10:00"}});
  EXPECT_EQ(
      views_->explain("counts")->text,
      "view counts: live, delta (one relation, totals by group)\n"
      "  reads part 1: changes of ttl, s\n"
      "  keeps group i0.s, sum CAST(1 AS BIGINT)\n"
      "  part 1: delta (a temporal filter: rows leave as time passes)\n"
      "    SELECT i0.id, i0.ttl, i0.s FROM public.t AS i0 WHERE (i0.made > (now() - "
      "to_hours(CAST(trunc(CAST(1 AS DOUBLE)) AS BIGINT))))\n"
      "    reads public.t; 1 changes to come are kept\n"
      "  counts: delta (one relation, totals by group)\n"
      "    SELECT s, count_star() AS n FROM main.\"pgweir_part counts 1\" AS t WHERE (ttl > 0) "
      "GROUP BY s\n"
      "    reads part 1; 1 rows kept\n"
      "  state: 1 rows\n"
      "  batches: took 0.0 ms of one of 1 changes, of late at most 0.0 ms of one of 1 changes; "
      "its budget is 10s\n");
}

TEST_F(TemporalTest, RefusesWhatCannotBeFollowedWithItsPlace) {
  const std::string kHere = "refused: now() cannot be followed here: ";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"SELECT id FROM t WHERE s > now()",
       "refused: Cannot compare values of type VARCHAR and type TIMESTAMP WITH TIME ZONE - an "
       "explicit cast is required at 1:26"},
      {"SELECT id FROM t WHERE TIMESTAMPTZ '2026-01-01' > now()",
       kHere + "it is compared with what is no time of a row at 1:51"},
      {"SELECT t.id FROM t JOIN other o ON o.t_id = t.id WHERE greatest(t.made, o.made) > now()",
       kHere +
           "it is compared with columns of several tables: make a view of the join, with that time "
           "as a column, and filter that at 1:56"},
      {"SELECT t.id FROM t LEFT JOIN other o ON o.t_id = t.id\nWHERE o.made > now()",
       kHere + "it is compared with a column of the side of an outer join that may be missing: "
               "filter that side in a subquery or a view of its own at 2:7"},
      // In a SELECT below: the place of the first now().
      {"WITH x AS (SELECT t.id FROM t LEFT JOIN other o ON o.t_id = t.id WHERE o.made > now()) "
       "SELECT "
       "count(*) AS n FROM x",
       kHere + "it is compared with a column of the side of an outer join that may be missing: "
               "filter that side in a subquery or a view of its own at 1:81"},
      {"WITH RECURSIVE r AS (SELECT id FROM t WHERE made > now() UNION ALL SELECT id + 1 FROM r "
       "WHERE id < 3) SELECT id FROM r",
       kHere + "the SELECT around it cannot be taken apart at 1:52"},
  };
  std::vector<ViewSource> views;
  for (const auto& [sql, expected] : cases)
    views.push_back({fmt::format("v{}", views.size()), sql});
  views.push_back({"fine", "SELECT count(*) AS n FROM t"});
  open_views(views);
  for (std::size_t i = 0; i < cases.size(); ++i)
    EXPECT_EQ(error_of(views[i].name), cases[i].second) << cases[i].first;
  insert({{1, "11:10:00"}});
  EXPECT_EQ(rows("FROM fine"), "1");
}

TEST_F(TemporalTest, AViewInAppendModeCannotGoByTheClock) {
  view_options_.watermarks = {{.column = "public.t.made", .delay = Milliseconds(1000)}};
  open_views(
      {{"v",
        "SELECT window_start, count(*) AS n FROM tumble(t, made, INTERVAL 1 HOUR) WHERE made > "
        "now() - INTERVAL 1 DAY GROUP BY 1",
        OutputMode::kAppend}});
  EXPECT_THAT(error_of("v"),
              HasSubstr("a view in append mode cannot go by now(), which is at 1:87"));
}

TEST_F(TemporalTest, WhereNothingGoesByItTheClockStands) {
  open_views({{"all_of_t", "SELECT id FROM t"}});
  insert({{1, "11:10:00"}});
  EXPECT_EQ(rows("FROM pgweir.clock"), "");
  EXPECT_EQ(views_->now_us(), std::nullopt);
  EXPECT_FALSE(views_->is_time_due());
  // A view that is added begins with the present.
  at(3600);
  ASSERT_TRUE(
      views_->redefine({{"recent", "SELECT id FROM t WHERE made > now() - INTERVAL 2 HOUR"}}).ok());
  EXPECT_EQ(rows("FROM recent"), "1");
  pass_to(3600 + 10 * 60);
  EXPECT_EQ(rows("FROM recent"), "");
  ASSERT_TRUE(views_->redefine({}).ok());
  at(5 * 3600);
  ASSERT_TRUE(
      views_->redefine({{"later", "SELECT id FROM t WHERE made < now() - INTERVAL 5 HOUR"}}).ok());
  EXPECT_EQ(rows("FROM later"), "1");
}

}  // namespace
}  // namespace pgweir::views
