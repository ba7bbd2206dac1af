// Temporal filters under random changes and a clock that goes in leaps, stands still and is set
// back: every view equals its SELECT with the clock's moment in place of now().
#include <gmock/gmock.h>

#include <fmt/core.h>

#include <random>

#include "io/clock.h"
#include "views/view_fixture.h"

namespace pgweir::views {
namespace {

using engine::int_column;
using engine::TextRow;
using engine::typed_column;

// 2026-01-01 12:00:00 UTC.
constexpr std::int64_t kNoonUs = 1'767'268'800'000'000;

struct TemporalView {
  const char* name;
  std::string sql;  // with the clock as {0}
};

const std::vector<TemporalView>& temporal_views() {
  static const std::vector<TemporalView> kViews = {
      {"leaves", "SELECT * FROM t WHERE made > {0} - INTERVAL 5 MINUTE"},
      {"enters", "SELECT id, a FROM t WHERE made <= {0}"},
      {"both",
       "SELECT id FROM t WHERE made BETWEEN {0} - INTERVAL 3 MINUTE AND {0} + INTERVAL 2 "
       "MINUTE AND a > 0"},
      {"between", "SELECT id, made FROM t WHERE {0} >= made AND {0} < ends"},
      {"bag_rows", "SELECT x FROM bag WHERE made > {0} - INTERVAL 4 MINUTE"},
      {"bag_both", "SELECT x, made FROM bag WHERE made >= {0} - INTERVAL 4 MINUTE AND {0} > made"},
      {"groups",
       "SELECT a, count(*) AS n, sum(id) AS s FROM t WHERE made > {0} - INTERVAL 5 MINUTE "
       "GROUP BY a"},
      {"extremes", "SELECT a, max(made) AS m FROM t WHERE made < {0} GROUP BY a"},
      {"of_groups", "SELECT count(*) AS c, max(n) AS n FROM groups"},
      {"again", "SELECT id FROM leaves WHERE ends <= {0} - INTERVAL 1 MINUTE"},
      {"joined",
       "SELECT t.id, bag.x FROM t JOIN bag ON t.a = bag.x WHERE t.made > {0} - INTERVAL 5 MINUTE "
       "AND "
       "bag.made < {0} + INTERVAL 1 MINUTE"},
      {"self_joined",
       "SELECT l.id, r.id AS other FROM t l JOIN t r ON l.a = r.id WHERE l.made > {0} - INTERVAL 5 "
       "MINUTE AND r.ends > {0}"},
      {"outer_joined", "SELECT t.id, bag.x FROM t LEFT JOIN bag ON t.a = bag.x WHERE t.ends > {0}"},
      {"with_query",
       "WITH q AS (SELECT a, made FROM t WHERE made > {0} - INTERVAL 2 MINUTE) SELECT a, count(*) "
       "AS "
       "n FROM q GROUP BY a HAVING count(*) > 1"},
      {"unions", "SELECT id FROM t WHERE made > {0} UNION ALL SELECT x FROM bag WHERE made <= {0}"},
      {"semi",
       "SELECT id FROM t WHERE a IN (SELECT x FROM bag WHERE made > {0} - INTERVAL 3 MINUTE)"},
      {"anti",
       "SELECT id FROM t WHERE made < {0} AND NOT EXISTS (SELECT 1 FROM bag WHERE bag.x = t.a AND "
       "bag.made > {0} - INTERVAL 3 MINUTE)"},
      {"ranked",
       "SELECT id, a FROM t WHERE made > {0} - INTERVAL 6 MINUTE QUALIFY row_number() OVER "
       "(PARTITION "
       "BY a ORDER BY id DESC) <= 2"},
      {"distinct_rows", "SELECT DISTINCT a FROM t WHERE date_trunc('minute', {0}) < made"},
      {"days", "SELECT id FROM t WHERE made::date = {0}::date"},
  };
  return kViews;
}

std::string with_now(const std::string& sql, const std::string& now) {
  return fmt::format(fmt::runtime(sql), now);
}

class TemporalRandomTest : public ViewFixture {
 protected:
  void SetUp() override {
    view_options_.clock = &clock_;
    clock_.advance(Microseconds(kNoonUs - clock_.now_us()));
  }

  int up_to(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }

  void open_all() {
    std::vector<ViewSource> sources;
    for (const TemporalView& view : temporal_views())
      sources.push_back({view.name, with_now(view.sql, "now()")});
    store_options_.reset();
    if (up_to(1) == 0)
      store_options_ = engine::StoreOptions{.small_rows_max = 10,
                                            .pending_rows_min = 10,
                                            .pending_rows_max = 30,
                                            .step_rows_min = 5,
                                            .step_rows_max = 50,
                                            .many_keys_min = up_to(1) == 0 ? 4U : 1000U,
                                            .batches_to_index = 2,
                                            .run_rows = 8};
    open({t_, bag_}, sources);
    for (const ViewSource& view : sources) ASSERT_EQ(error_of(view.name), "live") << view.sql;
  }

  // A time within ten minutes of the clock; some on a step, and some where the day ends.
  std::optional<std::string> time() {
    const int kind = up_to(20);
    if (kind == 0) return std::nullopt;
    if (kind == 1) return "infinity";
    std::int64_t us = clock_.now_us() + std::int64_t{up_to(1200) - 600} * 1'000'000;
    if (kind > 10) us += up_to(999'999);
    const std::int64_t second = us / 1'000'000 % 86'400;
    return fmt::format("2026-01-{:02} {:02}:{:02}:{:02}.{:06}+00",
                       (us - kNoonUs + 43'200'000'000) / 86'400'000'000 + 1, second / 3600,
                       second / 60 % 60, second % 60, us % 1'000'000);
  }
  TextRow row_of_t(int id) {
    return {std::to_string(id), std::to_string(up_to(4)), time(), time()};
  }

  void change_t() {
    const int id = up_to(25);
    const auto found = t_rows_.find(id);
    if (found == t_rows_.end()) {
      t_rows_[id] = row_of_t(id);
      builder().insert(t_, t_rows_[id]);
    } else if (up_to(2) == 0) {
      builder().remove(t_, found->second);
      t_rows_.erase(found);
    } else {
      TextRow changed = found->second;
      const auto column = static_cast<std::size_t>(up_to(2) + 1);
      changed[column] = row_of_t(id)[column];
      builder().update(t_, {}, changed);
      found->second = changed;
    }
  }

  void change_bag() {
    if (bag_rows_.size() < 4 || up_to(2) > 0) {
      // Twice the same now and then.
      const bool again = !bag_rows_.empty() && up_to(4) == 0;
      bag_rows_.push_back(again ? bag_rows_.front() : TextRow{std::to_string(up_to(4)), time()});
      builder().insert(bag_, bag_rows_.back());
    } else {
      const auto at = up_to(static_cast<int>(bag_rows_.size()) - 1);
      builder().remove(bag_, bag_rows_[static_cast<std::size_t>(at)]);
      bag_rows_.erase(bag_rows_.begin() + at);
    }
  }

  void random_batch() {
    begin();
    if (up_to(30) == 0) {
      builder().truncate(t_);
      t_rows_.clear();
    }
    if (up_to(30) == 0) {
      builder().truncate(bag_);
      bag_rows_.clear();
    }
    const int changes = up_to(up_to(4) == 0 ? 40 : 5) + 1;
    for (int i = 0; i < changes; ++i) up_to(2) == 0 ? change_bag() : change_t();
    if (up_to(9) == 0) {
      ASSERT_EQ(commit(false), "");
      move_clock();
      builder_ = std::make_unique<engine::BatchBuilder>(next_);
      builder_->begin(lsn_, model::Timestamp{kNoonUs}, false);
      for (int i = 0; i < 3; ++i) change_t();
    }
    ASSERT_EQ(commit(), "");
  }

  void move_clock() {
    static constexpr std::int64_t kMoves[] = {0,          1'000,       100'000,    700'000,
                                              30'000'000, 150'000'000, -40'000'000};
    std::int64_t by = kMoves[up_to(6)];
    if (by > 100'000) by += up_to(999'999);
    if (up_to(60) == 0) by = 43'200'000'000;
    clock_.advance(Microseconds(by));
  }

  void pass() {
    const Status passed = engine_->let_time_pass();
    ASSERT_TRUE(passed.ok()) << passed.error().text();
    EXPECT_FALSE(views_->is_time_due());
  }

  void compare(int round) {
    const std::string now = rows("SELECT now FROM pgweir.clock");
    for (const TemporalView& view : temporal_views()) {
      const std::string oracle = with_now(view.sql, fmt::format("TIMESTAMPTZ '{}'", now));
      ASSERT_EQ(difference(view.name, oracle), "") << "in round " << round << " at " << now;
    }
  }

  io::FakeClock clock_;
  std::mt19937 random_{harness::test_seed()};
  const TablePtr t_ = make_table(1, "t",
                                 {int_column("id", true), int_column("a"),
                                  typed_column("made", 1184), typed_column("ends", 1184)});
  const TablePtr bag_ = make_table(2, "bag", {int_column("x"), typed_column("made", 1184)},
                                   model::ReplicaIdentity::kFull);
  std::map<int, TextRow> t_rows_;
  std::vector<TextRow> bag_rows_;
};

TEST_F(TemporalRandomTest, EveryViewEqualsItsSelectAtTheClocksMoment) {
  open_all();
  std::string before;
  const int rounds = harness::random_rounds(24, 10);
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    move_clock();
    if (up_to(2) == 0)
      pass();
    else
      random_batch();
    compare(round);
    const std::string now = rows("SELECT now FROM pgweir.clock");
    EXPECT_GE(now, before);
    before = now;
    if (round % 9 != 8) continue;
    // A restart: as it was, until time passes.
    move_clock();
    open_all();
    EXPECT_EQ(rows("SELECT now FROM pgweir.clock"), before);
    compare(round);
  }
}

}  // namespace
}  // namespace pgweir::views
