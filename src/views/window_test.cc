// Windows as Flink's documentation shows them, and at the edges of time.
#include "views/window.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "views/view_fixture.h"

namespace pgweir::views {

using engine::int_column;
using engine::text_column;
using engine::typed_column;

constexpr std::uint32_t kTimestamp = 1114;
constexpr std::uint32_t kTimestampTz = 1184;
constexpr std::uint32_t kDate = 1082;

class WindowTest : public ViewFixture {
 protected:
  // One view over the bids of Flink's examples, as "HH:MM HH:MM items" of each window.
  std::string windows_of_bids(const std::string& call) {
    open({bids_}, {{"v", "SELECT window_start, window_end, item FROM " + call},
                   {"sums", "SELECT window_start, window_end, sum(price) AS price FROM " + call +
                                " GROUP BY 1, 2"}});
    if (rows("FROM bids").empty()) {
      begin();
      const char* const kItems[][3] = {{"08:05", "4", "C"}, {"08:07", "2", "A"},
                                       {"08:09", "5", "D"}, {"08:11", "3", "B"},
                                       {"08:13", "1", "E"}, {"08:17", "6", "F"}};
      for (const auto& [time, price, item] : kItems)
        builder().insert(bids_, {item, std::string("2020-04-15 ") + time + ":00", price});
      EXPECT_EQ(commit(), "");
    }
    return rows(
        "SELECT strftime(window_start, '%H:%M'), strftime(window_end, '%H:%M'), string_agg(item, "
        "'' ORDER BY item), any_value(sums.price) FROM v JOIN sums USING (window_start, "
        "window_end) GROUP BY ALL");
  }

  const TablePtr bids_ = make_table(
      1, "bids",
      {text_column("item", true), typed_column("bidtime", kTimestamp), int_column("price")});
};

TEST_F(WindowTest, AreThoseOfFlinksExamples) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"tumble(bids, bidtime, INTERVAL 10 MINUTES)", "08:00|08:10|ACD|11;08:10|08:20|BEF|10"},
      {"tumble(bids, bidtime, INTERVAL 10 MINUTES, INTERVAL 1 MINUTES)",
       "08:01|08:11|ACD|11;08:11|08:21|BEF|10"},
      {"hop(bids, bidtime, INTERVAL 5 MINUTES, INTERVAL 10 MINUTES)",
       "08:00|08:10|ACD|11;08:05|08:15|ABCDE|15;08:10|08:20|BEF|10;08:15|08:25|F|6"},
      {"cumulate(bids, bidtime, INTERVAL 2 MINUTES, INTERVAL 10 MINUTES)",
       "08:00|08:06|C|4;08:00|08:08|AC|6;08:00|08:10|ACD|11;08:10|08:12|B|3;08:10|08:14|BE|4;"
       "08:10|08:16|BE|4;08:10|08:18|BEF|10;08:10|08:20|BEF|10"},
      // Two rows that are as far apart as the gap are in one session.
      {"session(bids, bidtime, INTERVAL 2 MINUTES)", "08:05|08:15|ABCDE|15;08:17|08:19|F|6"},
      {"session(bids, bidtime, INTERVAL 119 SECONDS)",
       "08:05|08:06|C|4;08:07|08:08|A|2;08:09|08:10|D|5;08:11|08:12|B|3;08:13|08:14|E|1;"
       "08:17|08:18|F|6"},
      {"session(bids, bidtime, INTERVAL 5 MINUTES, price)",
       "08:05|08:10|C|4;08:07|08:12|A|2;08:09|08:14|D|5;08:11|08:16|B|3;08:13|08:18|E|1;"
       "08:17|08:22|F|6"},
  };
  for (const auto& [call, expected] : cases) EXPECT_EQ(windows_of_bids(call), expected) << call;
}

TEST_F(WindowTest, AreShiftedByTheOffsetAsInFlink) {
  const TablePtr table =
      make_table(1, "t", {int_column("id", true), typed_column("made", kTimestamp)});
  // Of '2021-06-30 00:00:04', from Flink's documentation.
  const std::vector<std::pair<int, std::string>> cases = {
      {-16, "2021-06-29 23:54:00"}, {-6, "2021-06-29 23:54:00"}, {-4, "2021-06-29 23:56:00"},
      {0, "2021-06-30 00:00:00"},   {4, "2021-06-29 23:54:00"},  {6, "2021-06-29 23:56:00"},
      {16, "2021-06-29 23:56:00"}};
  std::vector<ViewSource> views;
  for (const auto& [offset, start] : cases)
    views.push_back({fmt::format("v{}", views.size()),
                     fmt::format("SELECT window_start FROM tumble(t, made, INTERVAL 10 MINUTE, "
                                 "INTERVAL ({}) MINUTE)",
                                 offset)});
  open({table}, views);
  begin();
  builder().insert(table, {"1", "2021-06-30 00:00:04"});
  ASSERT_EQ(commit(), "");
  for (std::size_t i = 0; i < cases.size(); ++i)
    EXPECT_EQ(rows(fmt::format("SELECT window_start::VARCHAR FROM v{}", i)), cases[i].second)
        << cases[i].first;
}

TEST_F(WindowTest, OfMonthsOfDatesAndOfTimesThatNeverCome) {
  const TablePtr table = make_table(
      1, "t",
      {int_column("id", true), typed_column("made", kTimestampTz), typed_column("day", kDate)});
  open({table},
       {{"quarters",
         "SELECT id, window_start::VARCHAR AS s, window_end::VARCHAR AS e FROM hop(t, made, "
         "INTERVAL "
         "1 MONTH, INTERVAL 3 MONTH)"},
        {"of_year",
         "SELECT id, window_start::VARCHAR AS s, window_end::VARCHAR AS e FROM cumulate(t, day, "
         "INTERVAL 6 MONTH, INTERVAL 1 YEAR, INTERVAL 1 DAY)"},
        {"sessions",
         "SELECT id, window_start::VARCHAR AS s, window_end::VARCHAR AS e FROM session(t, made, "
         "INTERVAL 1 DAY)"}});
  begin();
  builder().insert(table, {"1", "2024-02-29 12:00:00+00", "2024-01-01"});
  builder().insert(table, {"2", "infinity", "-infinity"});
  builder().insert(table, {"3", std::nullopt, std::nullopt});
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM quarters"),
            "1|2023-12-01 00:00:00+00|2024-03-01 00:00:00+00;"
            "1|2024-01-01 00:00:00+00|2024-04-01 00:00:00+00;"
            "1|2024-02-01 00:00:00+00|2024-05-01 00:00:00+00;2|infinity|infinity;3|NULL|NULL");
  EXPECT_EQ(rows("FROM of_year"),
            "1|2023-01-02 00:00:00|2024-01-02 00:00:00;2|-infinity|-infinity;3|NULL|NULL");
  EXPECT_EQ(rows("FROM sessions"),
            "1|2024-02-29 12:00:00+00|2024-03-01 12:00:00+00;2|infinity|infinity;3|NULL|NULL");
}

TEST(WindowEnds, AreFoundForEveryTime) {
  constexpr std::int64_t kMinute = 60'000'000, kDay = 1440 * kMinute;
  struct Case {
    WindowEnds ends;
    std::int64_t at;
    std::int64_t last;
  };
  const Case cases[] = {
      {{.step = {0, 5 * kMinute}}, 12 * kMinute, 10 * kMinute},
      {{.step = {0, 5 * kMinute}}, 10 * kMinute, 10 * kMinute},
      {{.step = {0, 5 * kMinute}}, -1, -5 * kMinute},
      {{.step = {0, 5 * kMinute}, .phase = {0, 7 * kMinute}}, 11 * kMinute, 7 * kMinute},
      {{.step = {0, 5 * kMinute}, .phase = {0, 7 * kMinute}, .shift_us = kMinute},
       13 * kMinute,
       13 * kMinute},
      {{.step = {1, 0}}, 31 * kDay - 1, 0},
      {{.step = {1, 0}}, 31 * kDay, 31 * kDay},
      {{.step = {1, 0}}, -1, -31 * kDay},
      {{.step = {1, 0}, .shift_us = kDay}, 31 * kDay, kDay},
      {{.step = {3, 0}, .phase = {2, 0}}, 100 * kDay, 59 * kDay},
      {{.step = {12, 0}}, -1, -365 * kDay},
  };
  for (const Case& each : cases) EXPECT_EQ(each.ends.last_at(each.at), each.last) << each.at;
}

}  // namespace pgweir::views
