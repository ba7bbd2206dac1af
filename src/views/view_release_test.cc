// Views over mirrors that keep no rows: which views let go of them, that these stay right, and how
// the rows come back for those that need them.
#include <fmt/core.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <functional>
#include <random>

#include "harness/scratch.h"
#include "views/view_fixture.h"

namespace pgweir::views {
namespace {

using engine::int_column;
using engine::TextRow;
using engine::typed_column;
using testing::HasSubstr;

constexpr std::uint32_t kTimestamp = 1114;

class ViewReleaseTest : public ViewFixture {
 protected:
  ViewReleaseTest() { releases_mirrors_ = true; }

  // An engine whose first snapshot had rows 1 and 2 of entries, and one account.
  void open_live(const std::vector<ViewSource>& views) {
    open({}, views);
    next_ = {1, model::Lsn{5}, 0};
    ASSERT_TRUE(engine_->begin_snapshot(next_).ok());
    for (const TablePtr& table : {entries_, accounts_})
      ASSERT_TRUE(engine_->define_table(*table).ok());
    builder_ = std::make_unique<engine::BatchBuilder>(next_);
    builder_->begin(5, model::Timestamp{0}, true, model::Transaction::Kind::kSnapshot);
    entries_are_ = {{1, row(1, 7, "5")}, {2, row(2, 8, "50")}};
    for (const auto& [id, entry] : entries_are_)
      builder().insert(entries_, entry, model::Op::kRead);
    builder().insert(accounts_, {"7", "3"}, model::Op::kRead);
    ASSERT_EQ(commit(false), "");
    ++next_.sequence;
    const Status ended = engine_->end_snapshot(next_, model::Lsn{6});
    ASSERT_TRUE(ended.ok()) << ended.error().text();
  }
  void empty_folder() {
    close();
    for (const auto& entry : std::filesystem::directory_iterator(scratch_.path()))
      std::filesystem::remove_all(entry.path());
    next_ = {};
    lsn_ = 10;
  }
  static TextRow row(int id, int account, const std::string& amount) {
    return {std::to_string(id), std::to_string(account),
            amount == "NULL" ? std::optional<std::string>() : amount,
            fmt::format("2026-01-01 00:0{}:30", id % 5)};
  }
  void put(int id, int account, const std::string& amount) {
    const TextRow now = row(id, account, amount);
    const auto found = entries_are_.find(id);
    if (found == entries_are_.end())
      builder().insert(entries_, now);
    else
      builder().update(entries_, found->second, now);
    entries_are_[id] = now;
  }
  void remove(int id) {
    builder().remove(entries_, entries_are_.at(id));
    entries_are_.erase(id);
  }
  // The SELECT over the rows that the table has at the source.
  std::string over_source(std::string select) const {
    std::string values;
    for (const auto& [id, entry] : entries_are_) {
      values +=
          fmt::format("{}({}, {}, CAST({} AS INTEGER), TIMESTAMP '{}')", values.empty() ? "" : ", ",
                      *entry[0], *entry[1], entry[2].value_or("NULL"), *entry[3]);
    }
    if (values.empty()) values = "(NULL, NULL, NULL, NULL)";
    return fmt::format(
        "WITH entries AS (SELECT * FROM (VALUES {}) AS v(id, account_id, amount, made) WHERE id IS "
        "NOT NULL) {}",
        values, select);
  }
  void expect_right(const std::vector<ViewSource>& views) {
    for (const ViewSource& view : views)
      EXPECT_EQ(difference(view.name, over_source(view.sql)), "") << error_of(view.name);
  }
  const engine::Mirror mirror() const {
    for (const engine::Mirror& each : engine_->mirrors())
      if (each.table.name == "entries") return each;
    return {};
  }
  bool is_released() const {
    return !mirror().released.empty() && mirror().store.lock()->row_count().value() == 0;
  }
  // An empty transaction of another table: the engine looks at its mirrors before it.
  void look() {
    begin();
    builder().insert(accounts_, {std::to_string(++account_), "1"});
    ASSERT_EQ(commit(), "");
  }
  // As the pipeline reads a table that waits for its rows.
  void read() {
    ASSERT_EQ(engine_->tables_to_read().size(), 1u);
    lsn_ = model::value(next_.lsn) + 10;
    const Status began = engine_->begin_read(*entries_, engine::Engine::Reading::kReplaces,
                                             {next_.epoch, model::Lsn{lsn_}, 0}, model::Lsn{lsn_});
    ASSERT_TRUE(began.ok()) << began.error().text();
    next_ = engine_->position().position;
    begin();
    for (const auto& [id, entry] : entries_are_)
      builder().insert(entries_, entry, model::Op::kRead);
    ASSERT_EQ(commit(), "");
    lsn_ += 10;
    const Status ended =
        engine_->end_read(entries_->id, {next_.epoch, model::Lsn{lsn_}, 0}, model::Lsn{lsn_});
    ASSERT_TRUE(ended.ok()) << ended.error().text();
    next_ = engine_->position().position;
    EXPECT_EQ(mirror().released, "");
  }

  const TablePtr entries_ = make_table(2, "entries",
                                       {key_column(int_column("id")), int_column("account_id"),
                                        int_column("amount"), typed_column("made", kTimestamp)},
                                       model::ReplicaIdentity::kFull);
  const TablePtr accounts_ =
      make_table(1, "accounts", {int_column("id", true), int_column("region")});
  const std::vector<ViewSource> linear_ = {
      {"large", "SELECT id, amount FROM entries WHERE amount > 10"},
      {"balance",
       "SELECT account_id, count(*) AS n, sum(amount) AS total, avg(amount) AS mean FROM entries "
       "GROUP BY account_id"},
      {"all_of_it", "SELECT count(*) AS n, sum(amount) AS total FROM entries"}};
  const ViewSource joined_ = {"joined",
                              "SELECT entries.id, region FROM entries JOIN accounts ON "
                              "accounts.id = account_id"};
  std::map<int, TextRow> entries_are_;
  int account_ = 100;
};

TEST_F(ViewReleaseTest, ViewsThatAddUpChangesStayRightWithoutRows) {
  std::vector<ViewSource> views = linear_;
  views.push_back({"above", "SELECT count(*) AS n, sum(total) AS total FROM balance"});
  open_live(views);
  begin();
  put(3, 7, "500");
  put(2, 7, "NULL");
  remove(1);
  ASSERT_EQ(commit(), "");
  ASSERT_TRUE(is_released());
  expect_right(linear_);
  begin();
  put(2, 8, "11");
  put(1, 8, "7");
  put(1, 7, "70");
  ASSERT_EQ(commit(), "");
  expect_right(linear_);
  // A restart changes nothing.
  open({}, views);
  EXPECT_EQ(error_of("balance"), "live");
  begin();
  remove(3);
  put(4, 9, "1");
  ASSERT_EQ(commit(), "");
  EXPECT_TRUE(is_released());
  expect_right(linear_);
  EXPECT_EQ(rows("FROM above"), rows("SELECT count(*) AS n, sum(total) AS total FROM balance"));
  // A failure takes back what the batch has done, and no more.
  begin();
  const auto before = entries_are_;
  put(1, 7, "700");
  builder().insert(accounts_, {"9", "3"});
  builder().insert(accounts_, {"9", "3"});  // is there already
  EXPECT_NE(commit(), "");
  entries_are_ = before;
  begin();
  put(1, 7, "700");
  ASSERT_EQ(commit(), "");
  expect_right(linear_);
}

TEST_F(ViewReleaseTest, BehindATruncateViewsAreMadeOfItsBatch) {
  open_live(linear_);
  look();
  ASSERT_TRUE(is_released());
  begin();
  put(3, 7, "500");
  builder().truncate(entries_);
  entries_are_.clear();
  put(4, 7, "20");
  put(4, 7, "30");
  ASSERT_EQ(commit(), "");
  expect_right(linear_);
  begin();
  put(4, 8, "31");
  put(5, 8, "1");
  ASSERT_EQ(commit(), "");
  expect_right(linear_);
  EXPECT_TRUE(is_released());
}

TEST_F(ViewReleaseTest, RowsAreKeptForViewsThatNeedThem) {
  struct Case {
    const char* sql;
    bool releases;
  };
  const Case cases[] = {
      {"SELECT id FROM entries", true},
      {"SELECT account_id, avg(amount) AS a FROM entries GROUP BY 1 HAVING count(*) > 1", true},
      {"SELECT window_start, count(*) AS n FROM tumble(entries, made, INTERVAL 1 MINUTE) "
       "GROUP BY 1",
       true},
      {"SELECT window_start, count(*) AS n FROM hop(entries, made, INTERVAL 1 MINUTE, "
       "INTERVAL 3 MINUTE) GROUP BY 1",
       true},
      // What is looked up in them by other columns than the key is in an arrangement.
      {"SELECT entries.id, region FROM entries JOIN accounts ON accounts.id = account_id", true},
      {"SELECT region, sum(amount) AS s FROM entries JOIN accounts ON accounts.id = account_id "
       "GROUP BY 1",
       true},
      {"SELECT a.id, b.id AS other FROM entries a JOIN entries b USING (account_id)", true},
      {"SELECT accounts.id, amount FROM accounts LEFT JOIN entries ON account_id = accounts.id",
       true},
      {"SELECT account_id, max(amount) AS m FROM entries GROUP BY 1", true},
      {"SELECT account_id, id FROM entries QUALIFY row_number() OVER (PARTITION BY account_id "
       "ORDER BY amount DESC, id) <= 3",
       true},
      {"SELECT a.id FROM entries a JOIN entries b ON a.id = b.account_id", false},
      {"SELECT id FROM entries ORDER BY amount DESC, id LIMIT 1", false},
      {"SELECT id FROM entries WHERE account_id IN (SELECT id FROM accounts)", true},
      {"SELECT id, row_number() OVER (PARTITION BY account_id ORDER BY id) AS r FROM entries",
       true},
      {"SELECT id FROM entries WHERE made > now() - INTERVAL 1 DAY", false},
      {"SELECT id FROM session(entries, made, INTERVAL 1 MINUTE, account_id)", false},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.sql);
    empty_folder();
    ASSERT_NO_FATAL_FAILURE(open_live({linear_[0], {"other", each.sql}}));
    look();
    EXPECT_EQ(error_of("other"), "live");
    EXPECT_EQ(is_released(), each.releases);
  }
}

TEST_F(ViewReleaseTest, AViewThatNeedsRowsWaitsUntilTheyAreRead) {
  open_live(linear_);
  look();
  ASSERT_TRUE(is_released());
  std::vector<ViewSource> more = linear_;
  more.push_back(joined_);
  ASSERT_TRUE(views_->redefine(more).ok());
  EXPECT_THAT(error_of("joined"), HasSubstr("its rows were not kept, and are needed"));
  EXPECT_THAT(error_of("balance"), HasSubstr("its rows were not kept, and are needed"));
  EXPECT_THAT(rows("SELECT * FROM public.entries"), HasSubstr("its rows were not kept"));
  // A restart and changes meanwhile.
  open({}, more);
  EXPECT_THAT(error_of("joined"), HasSubstr("its rows were not kept, and are needed"));
  begin();
  put(3, 7, "500");
  remove(1);
  ASSERT_EQ(commit(), "");
  read();
  for (const ViewSource& view : more) EXPECT_EQ(error_of(view.name), "live");
  expect_right(linear_);
  EXPECT_EQ(rows("FROM joined"), "3|3");
  begin();
  put(2, 7, "1");
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(rows("FROM joined"), "2|3;3|3");
  expect_right(linear_);
  // Nobody needs them any more.
  ASSERT_TRUE(views_->redefine(linear_).ok());
  look();
  EXPECT_TRUE(is_released());
  begin();
  remove(2);
  ASSERT_EQ(commit(), "");
  expect_right(linear_);
}

TEST_F(ViewReleaseTest, ANewOrRebuiltViewIsNeverMadeOfNothing) {
  const std::vector<std::function<void()>> ways = {
      [this] {
        std::vector<ViewSource> more = linear_;
        more.push_back({"ids", "SELECT id FROM entries"});
        ASSERT_TRUE(views_->redefine(more).ok());
        EXPECT_THAT(error_of("ids"), HasSubstr("its rows were not kept"));
      },
      [this] { ASSERT_TRUE(views_->rebuild_view("large").ok()); },
      // At a start, with another definition.
      [this] {
        std::vector<ViewSource> other = linear_;
        other[0].sql = "SELECT id, amount FROM entries WHERE amount > 20";
        open({}, other);
        EXPECT_THAT(error_of("large"), HasSubstr("waits for the rows of table"));
        EXPECT_EQ(error_of("balance"), "live");
        ASSERT_TRUE(engine_->ask_wanted().ok());
      }};
  for (std::size_t i = 0; i < ways.size(); ++i) {
    SCOPED_TRACE(i);
    empty_folder();
    ASSERT_NO_FATAL_FAILURE(open_live(linear_));
    look();
    ASSERT_TRUE(is_released());
    ways[i]();
    EXPECT_THAT(error_of("large"), HasSubstr("its rows were not kept"));
    read();
    expect_right({linear_[1], linear_[2]});
    EXPECT_EQ(rows("FROM large"), "2|50");
    look();
    EXPECT_TRUE(is_released());
  }
}

// A view that keeps its definition keeps its state, also under another name.
TEST_F(ViewReleaseTest, OtherViewsMayGoAndNamesMayChange) {
  open_live(linear_);
  look();
  ASSERT_TRUE(is_released());
  const ViewSource renamed = {"sums", linear_[1].sql};
  ASSERT_TRUE(views_->redefine({linear_[0], renamed}).ok());
  EXPECT_EQ(error_of("sums"), "live");
  EXPECT_TRUE(is_released());
  begin();
  put(3, 7, "500");
  ASSERT_EQ(commit(), "");
  expect_right({linear_[0], renamed});
}

// A state that would need the rows of another table than the one that was emptied waits for them.
TEST_F(ViewReleaseTest, ATruncateOfAnotherTableBringsTheRowsBack) {
  const ViewSource above = {"above", "SELECT count(*) AS n FROM joined"};
  open_live({linear_[0], joined_, above});
  look();
  ASSERT_TRUE(is_released());
  begin();
  builder().truncate(accounts_);
  builder().insert(accounts_, {"8", "4"});
  put(3, 8, "500");
  ASSERT_EQ(commit(), "");
  EXPECT_EQ(error_of("large"), "live");
  EXPECT_THAT(error_of("joined"), HasSubstr("waits for the rows of table public.entries"));
  EXPECT_THAT(error_of("above"), HasSubstr("reads joined"));
  begin();
  put(4, 8, "1");
  remove(1);
  ASSERT_EQ(commit(), "");
  EXPECT_FALSE(is_released());
  read();
  EXPECT_EQ(rows("FROM joined"), "2|4;3|4;4|4");
  EXPECT_EQ(rows("FROM above"), "3");
  expect_right({linear_[0]});
  look();
  EXPECT_TRUE(is_released());
}

// Of its own it needs none but those of the same batch.
TEST_F(ViewReleaseTest, BehindATruncateJoinsAndArrangementsAreMadeOfItsBatch) {
  const ViewSource pairs = {"pairs",
                            "SELECT a.id, b.id AS other FROM entries a JOIN entries b USING "
                            "(account_id)"},
                   most = {"most",
                           "SELECT account_id, max(amount) AS most FROM entries GROUP BY 1"};
  open_live({joined_, pairs, most});
  look();
  ASSERT_TRUE(is_released());
  begin();
  put(3, 7, "500");
  builder().truncate(entries_);
  entries_are_.clear();
  put(4, 7, "20");
  put(5, 7, "30");
  ASSERT_EQ(commit(), "");
  expect_right({pairs, most});
  EXPECT_EQ(rows("FROM joined"), "4|3;5|3");
  begin();
  builder().update(accounts_, {"7", "3"}, {"7", "9"});
  put(6, 7, "1");
  remove(5);
  ASSERT_EQ(commit(), "");
  EXPECT_TRUE(is_released());
  expect_right({pairs, most});
  EXPECT_EQ(rows("FROM joined"), "4|9;6|9");
}

// Another view that looks more columns up makes the arrangement anew.
TEST_F(ViewReleaseTest, AnArrangementIsNeverMadeOfNothing) {
  open_live({joined_});
  look();
  ASSERT_TRUE(is_released());
  const ViewSource more = {"more",
                           "SELECT entries.id, amount, region FROM entries JOIN accounts ON "
                           "accounts.id = account_id"};
  open({}, {joined_, more});
  EXPECT_THAT(error_of("more"), HasSubstr("waits for the rows of table"));
  EXPECT_THAT(error_of("joined"), HasSubstr("waits for the rows of table"));
  ASSERT_TRUE(engine_->ask_wanted().ok());
  begin();
  put(3, 7, "500");
  ASSERT_EQ(commit(), "");
  read();
  EXPECT_EQ(rows("FROM more"), "1|5|3;3|500|3");
  EXPECT_EQ(rows("FROM joined"), "1|3;3|3");
  look();
  EXPECT_TRUE(is_released());
  // With the one that needed more gone the arrangement would be made anew, too.
  ASSERT_TRUE(views_->redefine({joined_}).ok());
  look();
  begin();
  builder().update(accounts_, {"7", "3"}, {"7", "4"});
  ASSERT_EQ(commit(), "");
  if (!engine_->tables_to_read().empty()) read();
  EXPECT_EQ(rows("FROM joined"), "1|4;3|4");
}

// Changes of both tables, truncates, other definitions and restarts in any order: what is live is
// its SELECT over the rows of the source.
TEST_F(ViewReleaseTest, WhateverHappensWhatIsLiveIsRight) {
  const unsigned seed = harness::test_seed();
  std::mt19937 random(seed);
  const auto any = [&](int below) {
    return static_cast<int>(random() % static_cast<unsigned>(below));
  };
  const std::vector<ViewSource> all = {
      linear_[0],
      linear_[1],
      joined_,
      {"by_region",
       "SELECT region, count(*) AS n, sum(amount) AS total FROM entries JOIN accounts ON "
       "accounts.id = account_id GROUP BY region"},
      {"pairs",
       "SELECT a.id, b.id AS other, b.amount FROM entries a JOIN entries b USING (account_id)"},
      {"most", "SELECT account_id, max(amount) AS most FROM entries GROUP BY 1"},
      {"of_all",
       "SELECT accounts.id, amount FROM accounts LEFT JOIN entries ON account_id = accounts.id"},
      {"best",
       "SELECT account_id, id FROM entries QUALIFY row_number() OVER (PARTITION BY account_id "
       "ORDER BY amount DESC, id) <= 2"},
      {"above", "SELECT sum(most) AS s FROM most"}};
  std::map<int, int> accounts = {{7, 3}};
  const auto choose = [&] {
    std::vector<ViewSource> chosen;
    for (const ViewSource& view : all) {
      const bool reads_other = view.name == "above";
      if (reads_other ? !chosen.empty() && chosen.back().name == "best" : any(3) != 0)
        chosen.push_back(view);
    }
    const auto has_most = std::any_of(chosen.begin(), chosen.end(),
                                      [](const ViewSource& view) { return view.name == "most"; });
    if (!has_most)
      std::erase_if(chosen, [](const ViewSource& view) { return view.name == "above"; });
    if (chosen.empty()) chosen.push_back(all[0]);
    return chosen;
  };
  const auto over_both = [&](const ViewSource& view) {
    std::string values, select = view.sql;
    for (const auto& [id, region] : accounts)
      values += fmt::format("{}({}, {})", values.empty() ? "" : ", ", id, region);
    if (values.empty()) values = "(NULL, NULL)";
    if (view.name == "above")
      select =
          "SELECT sum(most) AS s FROM (SELECT max(amount) AS most FROM entries GROUP BY "
          "account_id)";
    return over_source(
        fmt::format(", accounts AS (SELECT * FROM (VALUES {}) AS v(id, region) "
                    "WHERE id IS NOT NULL) {}",
                    values, select));
  };
  std::vector<ViewSource> current = choose();
  open_live(current);
  int released = 0;
  for (int round = 0; round < 30; ++round) {
    SCOPED_TRACE(fmt::format("round {} of PGWEIR_SEED={}", round, seed));
    begin();
    for (int change = any(6); change >= 0; --change) {
      const int id = any(12), account = 5 + any(5);
      switch (any(10)) {
        case 0:
        case 1:
          if (entries_are_.contains(id)) remove(id);
          break;
        case 2:
          if (accounts.erase(account) > 0)
            builder().remove(accounts_, {std::to_string(account), std::nullopt});
          break;
        case 3: {
          const TextRow now = {std::to_string(account), std::to_string(any(3))};
          if (accounts.contains(account))
            builder().update(accounts_, {std::to_string(account), std::nullopt}, now);
          else
            builder().insert(accounts_, now);
          accounts[account] = std::stoi(*now[1]);
          break;
        }
        case 4:
          if (any(4) != 0) break;
          if (any(2) == 0) {
            builder().truncate(entries_);
            entries_are_.clear();
          } else {
            builder().truncate(accounts_);
            accounts.clear();
          }
          break;
        default: {
          // One after the other: compilers take a call's arguments in orders of their own.
          const int owner = 5 + any(5);
          const std::string amount = any(8) == 0 ? "NULL" : std::to_string(any(30));
          put(id, owner, amount);
        }
      }
    }
    ASSERT_EQ(commit(), "");
    switch (any(8)) {
      case 0:
        current = choose();
        ASSERT_TRUE(views_->redefine(current).ok());
        break;
      case 1:
        open({}, current);
        ASSERT_TRUE(engine_->ask_wanted().ok());
        break;
      case 2: {
        const auto chosen = static_cast<std::size_t>(any(static_cast<int>(current.size())));
        if (error_of(current[chosen].name) != "live") break;
        const auto rebuilt = views_->rebuild_view(current[chosen].name);
        ASSERT_TRUE(rebuilt.ok()) << rebuilt.error().text();
        break;
      }
      default:
        break;
    }
    if (!engine_->tables_to_read().empty() && any(2) == 0) read();
    released += is_released() ? 1 : 0;
    for (const ViewSource& view : current) {
      if (error_of(view.name) != "live") {
        EXPECT_THAT(error_of(view.name), testing::AnyOf(HasSubstr("rows"), HasSubstr("reads")));
        continue;
      }
      ASSERT_EQ(difference(view.name, over_both(view)), "") << view.name;
    }
  }
  // What the last change has made views wait for is asked for with the next one.
  begin();
  put(1, 7, "9");
  ASSERT_EQ(commit(), "");
  if (!engine_->tables_to_read().empty()) read();
  for (const ViewSource& view : current) EXPECT_EQ(difference(view.name, over_both(view)), "");
  EXPECT_GT(released, 0);
}

// It stays aside, and takes nothing from the others.
TEST_F(ViewReleaseTest, AViewThatIsSetAsideBringsNoRowsBack) {
  const ViewSource bad = {"bad",
                          "SELECT id, CAST(2147483647 AS INTEGER) + amount AS x FROM entries "
                          "WHERE amount > 1000"};
  open_live({linear_[0], bad});
  look();
  ASSERT_TRUE(is_released());
  begin();
  put(3, 7, "2000");
  ASSERT_EQ(commit_setting_aside(), "");
  EXPECT_THAT(error_of("bad"), HasSubstr("failed"));
  look();
  EXPECT_TRUE(is_released());
  expect_right({linear_[0]});
  ASSERT_TRUE(views_->rebuild_view("bad").ok());
  EXPECT_THAT(error_of("bad"), HasSubstr("its rows were not kept"));
}

}  // namespace
}  // namespace pgweir::views
