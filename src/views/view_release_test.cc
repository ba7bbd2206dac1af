// Views over mirrors that keep no rows: which views let go of them, that these stay right, and how
// the rows come back for those that need them.
#include <fmt/core.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <functional>

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
      {"SELECT entries.id, region FROM entries JOIN accounts ON accounts.id = account_id", false},
      {"SELECT a.id FROM entries a JOIN entries b ON a.id = b.account_id", false},
      {"SELECT account_id, max(amount) AS m FROM entries GROUP BY 1", false},
      {"SELECT id FROM entries ORDER BY amount DESC, id LIMIT 1", false},
      {"SELECT id FROM entries WHERE account_id IN (SELECT id FROM accounts)", false},
      {"SELECT id, row_number() OVER (PARTITION BY account_id ORDER BY id) AS r FROM entries",
       false},
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
