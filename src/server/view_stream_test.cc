// Views that are followed, over a real engine: whoever folds the events has the view's rows.
#include "server/view_stream.h"

#include <gmock/gmock.h>

#include <fmt/core.h>

#include <random>

#include "harness/scratch.h"
#include "harness/wait.h"
#include "server/event_stream.h"
#include "server/testing_view_follower.h"
#include "views/view_fixture.h"

namespace pgweir::server {
namespace {

using namespace std::chrono_literals;
using engine::int_column;
using engine::text_column;
using testing::EndsWith;
using testing::HasSubstr;
using views::make_table;
using views::TablePtr;

// One who follows a view with a connection's buffer, as far as it is taken from.
class Follower {
 public:
  Follower(ViewStreams& streams, const std::string& view, const std::string& last_event_id = "",
           std::size_t buffer_bytes_max = kMiB)
      : stream_(std::make_shared<EventStream>(EventStreamOptions{buffer_bytes_max})) {
    auto subscription = follow_view(streams, view, last_event_id, stream_);
    EXPECT_TRUE(subscription.ok()) << subscription.error().text();
    if (subscription.ok()) subscription_ = std::move(*subscription);
  }

  ViewFolder folder;

  void take() {
    const EventStream::Chunk chunk = stream_->take();
    folder.feed(chunk.bytes);
    ended_ = ended_ || chunk.end;
  }
  bool ended() const { return ended_; }
  bool wait_rows(const std::string& rows) {
    return wait([&] { return folder.rows() == rows; }, "rows " + rows);
  }
  bool wait_log(const std::string& end) {
    return wait([&] { return folder.log().ends_with(end); }, end);
  }

 private:
  template <typename Done>
  bool wait(Done done, const std::string& what) {
    const bool came = harness::wait_for(60s, [&] {
      take();
      return done();
    });
    EXPECT_TRUE(came) << what << ": has " << folder.rows() << " after " << folder.log();
    return came;
  }

  std::shared_ptr<EventStream> stream_;
  std::unique_ptr<Subscription> subscription_;
  bool ended_ = false;
};

class ViewStreamTest : public views::ViewFixture {
 protected:
  void open_views(const std::vector<views::ViewSource>& sources, ViewFeedOptions feeds = {},
                  ViewStreamOptions options = {}) {
    streams_.reset();
    open({}, sources);
    // Rows are shown once a first snapshot is complete.
    const model::Position begins{1, model::Lsn{5}, 0};
    ASSERT_TRUE(engine_->begin_snapshot(begins).ok());
    ASSERT_TRUE(engine_->define_table(*entries_).ok());
    next_ = {1, model::Lsn{5}, 1};
    const Status ended = engine_->end_snapshot(next_, model::Lsn{6});
    ASSERT_TRUE(ended.ok()) << ended.error().text();
    streams_ = std::make_unique<ViewStreams>(*engine_, *views_, clock_, feeds, options);
    views_->set_listener(&streams_->feeds);
  }
  void TearDown() override {
    if (views_) views_->set_listener(nullptr);
    streams_.reset();
    close();
  }
  std::string insert(int id, int account, int amount) {
    begin();
    builder().insert(entries_,
                     {std::to_string(id), std::to_string(account), std::to_string(amount), "x"});
    return commit();
  }
  // Sorted as the folder sorts.
  std::string rows_of(const std::string& view) {
    std::vector<std::string> lines;
    const std::string text = rows("FROM " + view);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(';', at), text.size());
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    std::sort(lines.begin(), lines.end());
    std::string out;
    for (const std::string& line : lines) out += (out.empty() ? "" : ";") + line;
    return out;
  }

  const TablePtr entries_ = make_table(2, "entries",
                                       {int_column("id", true), int_column("account_id"),
                                        int_column("amount"), text_column("note")});
  io::FakeClock clock_;
  std::unique_ptr<ViewStreams> streams_;
};

const std::vector<views::ViewSource> kBalance = {
    {"balance", "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1"}};

TEST_F(ViewStreamTest, RowsThenOneEventForEachCommitThatChangesThem) {
  open_views({{"large", "SELECT account_id, note FROM entries WHERE amount > 10"}});
  ASSERT_EQ(insert(1, 7, 11), "");
  Follower follower(*streams_, "large");
  ASSERT_TRUE(follower.wait_rows("7|x"));
  ASSERT_EQ(insert(2, 7, 20), "");
  ASSERT_EQ(insert(3, 8, 5), "");  // not of the view
  begin();
  builder().update(entries_, {}, {"1", "9", "30", "y"});
  builder().insert(entries_, {"4", "7", "40", "x"});
  builder().remove(entries_, {"4", "", "", ""});
  ASSERT_EQ(commit(), "");
  ASSERT_TRUE(follower.wait_rows("7|x;9|y"));
  EXPECT_EQ(follower.folder.log(), "snapshot changes changes ");
  EXPECT_THAT(follower.folder.last_id(),
              testing::StartsWith(model::to_string(engine_->position().position) + "@"));
}

// Which of the changes at one position a subscriber has, his id says.
TEST_F(ViewStreamTest, RowsThatTheClockMovesAreFollowedAtOnePosition) {
  view_options_.clock = &clock_;
  open_views({{"due",
               "SELECT id FROM entries WHERE TIMESTAMPTZ '2023-11-14 22:13:20+00' + amount * "
               "INTERVAL 1 SECOND <= now()"}});
  begin();
  for (int id = 1; id <= 5; ++id) {
    const std::string number = std::to_string(id);
    builder().insert(entries_, {number, "1", number, "x"});
  }
  ASSERT_EQ(commit(), "");
  const auto pass = [&](int seconds) {
    clock_.advance(std::chrono::seconds(seconds));
    const Status passed = engine_->let_time_pass();
    ASSERT_TRUE(passed.ok()) << passed.error().text();
  };
  const model::Position position = engine_->position().position;
  Follower follower(*streams_, "due");
  ASSERT_TRUE(follower.wait_log("snapshot "));
  pass(1);
  ASSERT_TRUE(follower.wait_rows("1"));
  const std::string id = follower.folder.last_id();
  pass(1);
  ASSERT_TRUE(follower.wait_rows("1;2"));
  pass(1);
  ASSERT_TRUE(follower.wait_rows("1;2;3"));
  EXPECT_EQ(engine_->position().position, position);
  EXPECT_EQ(follower.folder.log(), "snapshot changes changes changes ");
  // One who comes back, and one who comes in between.
  Follower again(*streams_, "due", id);
  ASSERT_TRUE(again.wait_log("changes changes "));
  EXPECT_EQ(again.folder.log(), "changes changes ");
  EXPECT_EQ(again.folder.rows(), "2;3");
  Follower later(*streams_, "due");
  ASSERT_TRUE(later.wait_rows("1;2;3"));
  EXPECT_EQ(later.folder.last_id(), follower.folder.last_id());
  pass(2);
  for (Follower* each : {&follower, &later}) ASSERT_TRUE(each->wait_rows("1;2;3;4;5"));
  EXPECT_EQ(later.folder.log(), "snapshot changes ");
}

TEST_F(ViewStreamTest, CompleteModeGivesAllRowsAtEveryChange) {
  open_views({{"balance", kBalance[0].sql, views::OutputMode::kComplete}});
  ASSERT_EQ(insert(1, 7, 11), "");
  Follower follower(*streams_, "balance");
  ASSERT_TRUE(follower.wait_rows("7|11"));
  ASSERT_EQ(insert(2, 8, 20), "");
  ASSERT_TRUE(follower.wait_rows("7|11;8|20"));
  EXPECT_EQ(follower.folder.log(), "snapshot snapshot ");
}

TEST_F(ViewStreamTest, NothingIsReadWhereNobodyFollows) {
  open_views(kBalance);
  EXPECT_FALSE(streams_->feeds.wants("balance"));
  ASSERT_EQ(insert(1, 7, 1), "");
  {
    Follower follower(*streams_, "balance");
    ASSERT_TRUE(follower.wait_rows("7|1"));
    EXPECT_TRUE(streams_->feeds.wants("balance"));
  }
  clock_.advance(4min);
  ASSERT_EQ(insert(2, 7, 1), "");
  EXPECT_TRUE(streams_->feeds.wants("balance"));
  clock_.advance(2min);
  ASSERT_EQ(insert(3, 7, 1), "");
  EXPECT_FALSE(streams_->feeds.wants("balance"));
}

TEST_F(ViewStreamTest, ResumesBehindTheLastEventOrBeginsAnew) {
  open_views(kBalance, {.history_bytes_max = 2000});
  std::string id;
  ViewFolder had;
  {
    Follower follower(*streams_, "balance");
    ASSERT_TRUE(follower.wait_log("snapshot "));
    ASSERT_EQ(insert(1, 7, 1), "");
    ASSERT_TRUE(follower.wait_rows("7|1"));
    had = follower.folder;
    id = had.last_id();
  }
  ASSERT_EQ(insert(2, 7, 1), "");
  {
    Follower follower(*streams_, "balance", id);
    follower.folder = had;
    ASSERT_TRUE(follower.wait_rows("7|2"));
    EXPECT_EQ(follower.folder.log(), "snapshot changes changes ");
  }
  for (int i = 3; i < 40; ++i) ASSERT_EQ(insert(i, 7, 1), "");
  for (const std::string& old : {id, std::string("nonsense"), std::string("1:0/0:0@other-run")}) {
    Follower follower(*streams_, "balance", old);
    ASSERT_TRUE(follower.wait_rows("7|39"));
    EXPECT_EQ(follower.folder.log(), "snapshot ");
  }
}

TEST_F(ViewStreamTest, WhoIsTooSlowIsDroppedAndOthersGoOn) {
  open_views(kBalance, {.history_bytes_max = 4000});
  Follower slow(*streams_, "balance", "", 600);
  Follower quick(*streams_, "balance");
  ASSERT_TRUE(quick.wait_log("snapshot "));
  ASSERT_TRUE(slow.wait_log("snapshot "));
  int id = 0;
  for (; id < 100; ++id) {
    ASSERT_EQ(insert(id, 7, 1), "");
    ASSERT_TRUE(quick.wait_rows(fmt::format("7|{}", id + 1)));
  }
  ASSERT_TRUE(slow.wait_log("are kept "));
  EXPECT_TRUE(slow.ended());
  EXPECT_THAT(slow.folder.log(),
              HasSubstr("dropped: the reader is behind by more than the 3.9 KiB of changes that"));
}

TEST_F(ViewStreamTest, LargeRowsAndChangesComeInParts) {
  open_views({{"notes", "SELECT id, note FROM entries"}},
             {.history_bytes_max = 100'000, .part_bytes_max = 1000});
  Follower follower(*streams_, "notes", "", 10'000);
  ASSERT_TRUE(follower.wait_log("snapshot "));
  begin();
  for (int i = 0; i < 100; ++i)
    builder().insert(entries_, {std::to_string(i), "7", "1", std::string(50, 'x')});
  ASSERT_EQ(commit(), "");
  ASSERT_TRUE(follower.wait_rows(rows_of("notes")));
  EXPECT_EQ(follower.folder.log(), "snapshot changes ");
  EXPECT_GT(follower.folder.parts(), 5);
  Follower later(*streams_, "notes", "", 10'000);
  ASSERT_TRUE(later.wait_rows(rows_of("notes")));
  EXPECT_GT(later.folder.parts(), 5);
  // More than the history may hold: the rows come anew.
  begin();
  for (int i = 100; i < 1000; ++i)
    builder().insert(entries_, {std::to_string(i), "7", "1", std::string(100, 'x')});
  ASSERT_EQ(commit(), "");
  ASSERT_TRUE(follower.wait_rows(rows_of("notes")));
  EXPECT_EQ(follower.folder.log(), "snapshot changes reset snapshot ");
}

TEST_F(ViewStreamTest, AViewThatIsTooLargeIsRefused) {
  open_views({{"notes", "SELECT id, note FROM entries"}}, {.part_bytes_max = 100},
             {.rows_bytes_max = 1000});
  begin();
  for (int i = 0; i < 100; ++i)
    builder().insert(entries_, {std::to_string(i), "7", "1", std::string(50, 'x')});
  ASSERT_EQ(commit(), "");
  Follower follower(*streams_, "notes");
  ASSERT_TRUE(follower.wait_log("more than 1.0 MiB). Follow a view of fewer rows over it "));
  EXPECT_THAT(follower.folder.log(), testing::StartsWith("error: view 'notes' is too large"));
}

TEST_F(ViewStreamTest, AViewThatIsBuiltAnewIsTold) {
  open_views(kBalance);
  ASSERT_EQ(insert(1, 7, 1), "");
  Follower follower(*streams_, "balance");
  ASSERT_TRUE(follower.wait_rows("7|1"));
  begin();
  builder().truncate(entries_);
  builder().insert(entries_, {"2", "8", "5", "x"});
  ASSERT_EQ(commit(), "");
  ASSERT_TRUE(follower.wait_rows("8|5"));
  EXPECT_EQ(follower.folder.log(), "snapshot reset snapshot ");
  const auto rebuilt = views_->rebuild_view("balance");
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.error().text();
  ASSERT_TRUE(follower.wait_log("reset snapshot reset snapshot "));
  ASSERT_EQ(insert(3, 8, 1), "");
  ASSERT_TRUE(follower.wait_rows("8|6"));
  EXPECT_THAT(follower.folder.log(), EndsWith("snapshot changes "));
}

TEST_F(ViewStreamTest, AViewThatFailsEndsItsStreamsAlone) {
  open_views({{"numbers", "SELECT id, CAST(note AS INTEGER) AS n FROM entries"},
              {"notes", "SELECT id FROM entries"}});
  Follower numbers(*streams_, "numbers");
  Follower notes(*streams_, "notes");
  ASSERT_TRUE(numbers.wait_log("snapshot "));
  ASSERT_TRUE(notes.wait_log("snapshot "));
  begin();
  builder().insert(entries_, {"1", "7", "1", "no number"});
  ASSERT_EQ(commit_setting_aside(), "");
  ASSERT_TRUE(notes.wait_rows("1"));
  EXPECT_EQ(notes.folder.log(), "snapshot changes ");
  ASSERT_TRUE(numbers.wait_log("Its state says why: /api/v1/views "));
  EXPECT_THAT(numbers.folder.log(), HasSubstr("reset error: view 'numbers' is not live"));
  EXPECT_TRUE(numbers.ended());
  const auto again = follow_view(*streams_, "numbers", "", std::make_shared<EventStream>());
  EXPECT_EQ(again.error().code, Code::kUnavailable);
}

TEST_F(ViewStreamTest, ChangesThatCannotBeReadStopTheirFollowersNotTheView) {
  open_views(
      {{"tiny", "SELECT account_id, CAST(sum(amount) AS TINYINT) AS n FROM entries GROUP BY 1"},
       {"balance", kBalance[0].sql}});
  Follower tiny(*streams_, "tiny");
  Follower balance(*streams_, "balance");
  ASSERT_TRUE(tiny.wait_log("snapshot "));
  ASSERT_TRUE(balance.wait_log("snapshot "));
  begin();
  builder().insert(entries_, {"1", "7", "1000", "x"});
  ASSERT_EQ(commit_setting_aside(), "");
  EXPECT_EQ(error_of("tiny"), "live");
  ASSERT_TRUE(balance.wait_rows("7|1000"));
  ASSERT_TRUE(harness::wait_for(60s, [&] {
    tiny.take();
    return tiny.ended();
  }));
  EXPECT_THAT(tiny.folder.log(), HasSubstr("error: the changes of view tiny cannot be read"));
  // Nobody makes the next batches fail either, for a while.
  EXPECT_FALSE(follow_view(*streams_, "tiny", "", std::make_shared<EventStream>()).ok());
  ASSERT_EQ(insert(2, 7, 1), "");
}

TEST_F(ViewStreamTest, RandomBatchesFoldToTheViewThroughManyConnections) {
  std::mt19937 random(harness::test_seed());
  const std::vector<views::ViewSource> sources = {
      kBalance[0],
      {"bag", "SELECT account_id, amount FROM entries WHERE amount > 3"},
      {"spread", "SELECT max(balance) AS most, count(*) AS n FROM balance"}};
  open_views(sources, {.history_bytes_max = 6000, .part_bytes_max = 300});
  std::map<std::string, std::unique_ptr<Follower>> followers;
  std::set<int> ids;
  int resumed = 0;
  for (int batch = 0; batch < 150; ++batch) {
    begin();
    for (unsigned i = 0; i < 1 + random() % 5; ++i) {
      const int id = static_cast<int>(random() % 30);
      const std::string account = std::to_string(random() % 4);
      const std::string amount = std::to_string(random() % 8);
      if (random() % 60 == 0) {
        builder().truncate(entries_);
        ids.clear();
      } else if (!ids.contains(id)) {
        builder().insert(entries_, {std::to_string(id), account, amount, "x"});
        ids.insert(id);
      } else if (random() % 2 == 0) {
        builder().update(entries_, {}, {std::to_string(id), account, amount, "x"});
      } else {
        builder().remove(entries_, {std::to_string(id), "", "", ""});
        ids.erase(id);
      }
    }
    ASSERT_EQ(commit(), "");
    for (const views::ViewSource& view : sources) {
      auto& follower = followers[view.name];
      if (!follower) {
        follower = std::make_unique<Follower>(*streams_, view.name);
      } else if (random() % 10 == 0) {
        // Leaves whenever, and comes back with what it has.
        const ViewFolder had = follower->folder;
        follower.reset();
        follower = std::make_unique<Follower>(*streams_, view.name, had.last_id());
        follower->folder = had;
        follower->folder.reconnected();
        ++resumed;
      }
      const bool looks = random() % 3 == 0;
      ASSERT_TRUE(!looks || follower->wait_rows(rows_of(view.name)));
    }
  }
  for (const views::ViewSource& view : sources)
    EXPECT_TRUE(followers[view.name]->wait_rows(rows_of(view.name))) << view.name;
  EXPECT_GT(resumed, 0);
}

}  // namespace
}  // namespace pgweir::server
