// After a resync the log has exactly what differs, as ordinary changes, and the mirrors are what
// the source has: whatever happened in the gap, and wherever the program died.
//
// Method: a real PostgreSQL; capture on a disk in memory that forgets, or dies at a chosen
//         operation; the real engine follows the log. After the gap the log's new records are
//         compared with what the test did, the mirrors with the source by verify, and a mirror in
//         memory follows all of the log and minds every change that does not follow.
#include "pipeline/resync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "harness/scratch.h"
#include "pipeline/targets.h"
#include "pipeline/testing_capture_fixture.h"
#include "pipeline/testing_mirror.h"
#include "pipeline/verify.h"
#include "views/view_set.h"

// At a fork (of psql) DuckDB's allocator takes more locks than ThreadSanitizer's detector of
// deadlocks can hold, which ends the program. So this test is a program of its own: the module's
// others run with the detector.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" const char* __tsan_default_options() {
  return "detect_deadlocks=0";
}

namespace pgweir::pipeline {
namespace {
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr const char* kTable =
    "CREATE TABLE public.t (id int PRIMARY KEY, v text, large text);"
    "ALTER TABLE public.t ALTER large SET STORAGE EXTERNAL;"
    "INSERT INTO public.t SELECT i, 'v' || i, repeat('x', 2500) FROM generate_series(1, 50) i;";

class ResyncTest : public CaptureFixture {
 protected:
  ~ResyncTest() override { end(); }

  void adjust(CaptureOptions& options) override {
    options.resync = resync_;
    if (dies_after_ != 0) fs_.die_at(fs_.operations() + std::exchange(dies_after_, 0));
    options.stream_large_transactions = streams_;
    options.snapshot_range_pages = 4;
    if (!streams_) options.mark_interval = 60s;  // nothing but transactions in the log
    if (!with_engine_) return;
    views_ = views::ViewSet::create({}, logger_).value();
    engine::EngineOptions engine_options;
    engine_options.directory = scratch_.path();
    engine_options.memory_bytes = 256 * kMiB;
    engine_options.rows_are_read = true;
    const auto wanted = [](const model::Table& table) {
      std::vector<std::uint32_t> all(table.columns.size());
      for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
      return std::optional(all);
    };
    engine_ = engine::Engine::open(engine_options, wanted, logger_).value();
    ASSERT_TRUE(engine_->bind_log(log_->identity()).ok());
    ASSERT_TRUE(views_->open(*engine_).ok());
    engine_->set_maintainer(views_.get());
    const ReadTable read = [this](const engine::TableToRead& table, const model::Position& at) {
      if (capture_) capture_->read_missing({table.id, table.name, true}, at);
    };
    FollowerOptions follower;
    follower.idle_interval = 10ms;
    follower_ = std::make_unique<Follower>(*log_, engine_target(*engine_, *views_, read), clock_,
                                           logger_, follower);
    options.mirrors = mirrors_;
    options.mirrors.engine = engine_.get();
    options.mirrors.follower = [this] { return follower_->status(); };
  }

  void begin() {
    start();
    if (follower_ && follows_) follower_->start();
  }
  // Until the disk dies, or all is well before that.
  void start_dying() {
    begin();
    wait_until([&] {
      return fs_.dead() || (capture_ && capture_->status().state == CaptureState::kStreaming);
    });
  }
  void end() {
    if (capture_) capture_->stop();
    if (follower_) follower_->stop();
    capture_.reset();
    follower_.reset();
    if (views_) views_->close();
    engine_.reset();
    views_.reset();
    log_.reset();
  }

  // Everything that is committed now is in the mirrors.
  void settle_all() {
    ASSERT_TRUE(wait_state(CaptureState::kStreaming));
    ASSERT_TRUE(wait_until([&] { return capture_->status().reads.empty(); }));
    settle();
    ASSERT_TRUE(wait_until([&] {
      return engine_->position().position >= log_->durable_position() &&
             engine_->tables_to_read().empty();
    })) << (follower_->status().error ? follower_->status().error->text() : "");
  }

  // `setup`, then a run that mirrors it, then a gap without a slot in which `gap` happens. Then
  // the resync. gap_ is where the log ended before it.
  void set_up(const std::string& setup) {
    sql(setup);
    begin();
    settle_all();
    end();
  }
  void make_gap(const std::string& gap) {
    const std::string drop = fmt::format("SELECT pg_drop_replication_slot('{}')", slot_);
    ASSERT_TRUE(wait_until([&] {
      return sql(fmt::format("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}' AND"
                             " active",
                             slot_)) == "0";
    }));
    sql(drop);
    sql(gap);
    log_ = log::Log::open(fs_, clock_, "data/log", {}).value();
    gap_ = log_->durable_position();
    log_.reset();
  }
  void resync() {
    resync_ = true;
    begin();
    settle_all();
  }

  static std::string row_text(const model::Batch& batch, const model::Table& table,
                              std::uint32_t row) {
    std::string out;
    if (row == model::kNoRow) return "-";
    for (const model::Cell& cell : batch.row(row, table)) {
      const std::string text = cell.kind == model::CellKind::kText   ? std::string(cell.text())
                               : cell.kind == model::CellKind::kNull ? "null"
                                                                     : "?";
      // A large value by its length.
      out += (out.empty() ? "" : "|") +
             (text.size() > 100 ? fmt::format("{}*{}", text[0], text.size()) : text);
    }
    return out;
  }

  // "u t 1|old > 1|new" of every change that the resync put into the log.
  std::vector<std::string> differences(std::uint64_t* transactions = nullptr) {
    std::vector<std::string> out;
    std::set<std::string> commits;
    auto reader = BatchReader::open(*log_, gap_, {}).value();
    while (true) {
      const LogEvent event = reader->next(Microseconds(0)).value();
      if (event.kind == LogEvent::Kind::kNothing) break;
      if (event.kind == LogEvent::Kind::kReadBegin) out.push_back("reads " + event.table->name);
      if (event.kind != LogEvent::Kind::kBatch) continue;
      for (const model::Change& change : event.batch->changes) {
        const model::Table& table = event.batch->table_of(change);
        if (change.op == model::Op::kRead) {
          ++read_rows_;
          continue;
        }
        commits.insert(model::to_string(event.batch->transactions[change.transaction].commit_lsn));
        out.push_back(fmt::format("{} {} {} > {}", static_cast<char>(change.op), table.name,
                                  row_text(*event.batch, table, change.before),
                                  row_text(*event.batch, table, change.after)));
      }
    }
    if (transactions != nullptr) *transactions = commits.size();
    return out;
  }

  void expect_mirrors_equal() {
    VerifyOptions options;
    options.url = cluster_.url(database_);
    options.engine_wait = 30s;
    Verifier verifier(*engine_, *log_, options);
    std::vector<std::string> tables;
    for (const engine::Mirror& mirror : engine_->mirrors()) {
      if (mirror.kind != engine::MirrorKind::kAppendOnly)
        tables.push_back(mirror.table.qualified_name());
    }
    EXPECT_FALSE(tables.empty());
    const auto report = verifier.run(tables, [](const std::string&) {});
    ASSERT_TRUE(report.ok()) << report.error().text();
    for (const TableVerdict& verdict : report->tables)
      EXPECT_TRUE(verdict.equal())
          << verdict.table << " " << verdict.reason << " " << verdict.differing;
  }

  // "i 3": of a table, by operation, all its time.
  std::vector<std::string> activity(const std::string& table) {
    auto reader = engine_->reader(5s).value();
    const auto rows = reader->connection()
                          .query_texts(fmt::format(
                              "SELECT op || ' ' || CAST(sum(changes) AS BIGINT) FROM "
                              "pgweir.activity WHERE \"table\" = '{}' GROUP BY op ORDER BY op",
                              table))
                          .value();
    std::vector<std::string> out;
    for (const auto& row : rows.rows) out.push_back(row[0].value_or(""));
    return out;
  }

  // The log from its beginning gives the rows of table `t`.
  void expect_log_gives_rows(const std::string& table) {
    TestingMirror mirror(*log_);
    mirror.follow();
    std::multiset<std::string> expected;
    postgres::ConnectionOptions options;
    options.url = cluster_.url(database_);
    auto connection = postgres::Connection::open(options).value();
    const auto rows =
        connection
            .query("SELECT concat_ws('|', id, v, coalesce(large, '\\N')) FROM public." + table)
            .value();
    for (int row = 0; row < rows.row_count(); ++row) expected.emplace(rows.text(row, 0));
    EXPECT_EQ(mirror.rows(table), expected);
  }

  harness::ScratchFolder scratch_;
  std::unique_ptr<views::ViewSet> views_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Follower> follower_;
  ResyncMirrors mirrors_;
  bool resync_ = false;
  bool with_engine_ = true;
  bool follows_ = true;
  bool streams_ = true;
  std::uint64_t dies_after_ = 0;  // operations of the disk, of capture's next run
  model::Position gap_;
  std::uint64_t read_rows_ = 0;
};

}  // namespace

TEST_F(ResyncTest, LogIsGivenExactlyWhatDiffers) {
  set_up(kTable);
  make_gap(
      "INSERT INTO public.t VALUES (60, 'new', NULL);"
      "UPDATE public.t SET v = 'other' WHERE id = 2;"
      "UPDATE public.t SET large = repeat('y', 3000) WHERE id = 3;"
      "UPDATE public.t SET id = 100 WHERE id = 4;"
      "DELETE FROM public.t WHERE id = 5;"
      "UPDATE public.t SET v = v WHERE id = 6;"
      "DELETE FROM public.t WHERE id = 7; INSERT INTO public.t VALUES (7, 'v7', repeat('x', 2500));"
      "INSERT INTO public.t VALUES (200, 'gone', 'x'); DELETE FROM public.t WHERE id = 200");
  resync();
  std::uint64_t transactions = 0;
  EXPECT_THAT(differences(&transactions),
              UnorderedElementsAre("i t - > 60|new|null", "u t 2|v2|x*2500 > 2|other|x*2500",
                                   "u t 3|v3|x*2500 > 3|v3|y*3000", "d t 4|v4|x*2500 > -",
                                   "i t - > 100|v4|x*2500", "d t 5|v5|x*2500 > -"));
  EXPECT_EQ(transactions, 1u);
  EXPECT_EQ(read_rows_, 0u);
  expect_mirrors_equal();
  EXPECT_THAT(activity("t"), ElementsAre("d 2", "i 2", "r 50", "u 2"));
  // The stream goes on from the slot's beginning.
  sql("UPDATE public.t SET v = 'later' WHERE id = 2; DELETE FROM public.t WHERE id = 100");
  settle_all();
  expect_mirrors_equal();
  expect_log_gives_rows("t");
}

TEST_F(ResyncTest, NothingDiffersAndTheLogIsGivenNothing) {
  set_up(kTable);
  make_gap("SELECT 1");
  resync();
  EXPECT_THAT(differences(), IsEmpty());
  expect_mirrors_equal();
  sql("INSERT INTO public.t VALUES (60, 'new', NULL)");
  settle_all();
  expect_mirrors_equal();
}

TEST_F(ResyncTest, EveryIdentityAndPartitionedTables) {
  set_up(
      "CREATE TABLE public.full_key (id int PRIMARY KEY, v text);"
      "ALTER TABLE public.full_key REPLICA IDENTITY FULL;"
      "CREATE TABLE public.by_index (a int NOT NULL, b text NOT NULL, v text);"
      "CREATE UNIQUE INDEX by_index_b ON public.by_index (b, a);"
      "ALTER TABLE public.by_index REPLICA IDENTITY USING INDEX by_index_b;"
      "CREATE TABLE public.bag (v int, w text); ALTER TABLE public.bag REPLICA IDENTITY FULL;"
      "CREATE TABLE public.parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE public.parts_a PARTITION OF public.parts FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE public.parts_b PARTITION OF public.parts FOR VALUES FROM (10) TO (99);"
      "INSERT INTO public.full_key VALUES (1, 'a'), (2, 'b'), (3, NULL);"
      "INSERT INTO public.by_index VALUES (1, 'x', 'a'), (1, 'y', 'b'), (2, 'x', 'c');"
      "INSERT INTO public.bag VALUES (1, 'a'), (1, 'a'), (1, 'a'), (2, NULL), (2, ''), (3, 'c');"
      "INSERT INTO public.parts VALUES (1, 'a'), (2, 'b'), (11, 'c'), (12, 'd')");
  make_gap(
      "UPDATE public.full_key SET v = '' WHERE id = 3; DELETE FROM public.full_key WHERE id = 1;"
      "UPDATE public.by_index SET v = 'd' WHERE b = 'y'; UPDATE public.by_index SET a = 7 WHERE a ="
      " 2; DELETE FROM public.bag WHERE ctid = (SELECT min(ctid) FROM public.bag);"
      "UPDATE public.bag SET w = '' WHERE w IS NULL; INSERT INTO public.bag VALUES (3, 'c'), (3, "
      "'c'); UPDATE public.parts SET id = 13 WHERE id = 1;"
      "UPDATE public.parts SET v = 'e' WHERE id = 12; INSERT INTO public.parts VALUES (5, 'n')");
  resync();
  EXPECT_THAT(differences(),
              UnorderedElementsAre(
                  "u full_key 3|null > 3|", "d full_key 1|a > -", "u by_index 1|y|b > 1|y|d",
                  "d by_index 2|x|c > -", "i by_index - > 7|x|c", "d bag 1|a > -",
                  "d bag 2|null > -", "i bag - > 2|", "i bag - > 3|c", "i bag - > 3|c",
                  "d parts 1|a > -", "i parts - > 13|a", "u parts 12|d > 12|e", "i parts - > 5|n"));
  EXPECT_EQ(read_rows_, 0u);
  expect_mirrors_equal();
}

TEST_F(ResyncTest, OldImagesOfEveryType) {
  set_up(
      "CREATE TYPE public.mood AS ENUM ('sad', 'ok');"
      "CREATE TABLE public.types (id int PRIMARY KEY, b bool, i8 bigint, f4 real, f8 float8,"
      " n numeric, n2 numeric(10,2), c char(5), ba bytea, d date, tm time, ts timestamp,"
      " tz timestamptz, iv interval, u uuid, j jsonb, a int[], m public.mood, ip inet);"
      "INSERT INTO public.types VALUES (1, true, 9223372036854775807, 1.5, 0.1, 1.50, 2.50, 'ab',"
      " '\\x00ff', '2020-02-29', '12:34:56.789', '2020-01-02 03:04:05.678', '2020-01-02 "
      "03:04:05+02',"
      " '1 year 2 mons 3 days 04:05:06', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": [1, "
      "null]}',"
      " '{1,NULL,3}', 'ok', '10.0.0.1'),"
      "(2, false, -1, 'NaN', '-Infinity', -0.001, -2.00, '', '', '0044-03-15 BC', '24:00:00',"
      " '0044-03-15 12:00:00 BC', 'infinity', '-1 year +2 days -00:00:01', NULL, 'null', '{}', "
      "NULL,"
      " '::1/64'),"
      "(3, NULL, NULL, 'Infinity', 1e16, 1e20, NULL, NULL, NULL, '-infinity', NULL, '-infinity',"
      " '2020-01-02 03:04:05.5+00', '1 mon', NULL, NULL, NULL, NULL, NULL)");
  make_gap("DELETE FROM public.types");
  resync();
  std::vector<std::string> deleted = differences();
  EXPECT_THAT(
      deleted,
      UnorderedElementsAre(
          "d types 1|t|9223372036854775807|1.5|0.1|1.5|2.50|ab|\\x00ff|2020-02-29|12:34:56.789|"
          "2020-01-02 03:04:05.678|2020-01-02 01:04:05+00|1 year 2 mons 3 days 04:05:06|"
          "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|{\"a\": [1, null]}|{1,NULL,3}|ok|10.0.0.1 > -",
          "d types 2|f|-1|NaN|-Infinity|-0.001|-2.00||\\x|0044-03-15 BC|24:00:00|"
          "0044-03-15 12:00:00 BC|infinity|-1 year 2 days -00:00:01|null|null|{}|null|::1/64 > -",
          "d types 3|null|null|Infinity|1e+16|100000000000000000000|null|null|null|-infinity|null|"
          "-infinity|2020-01-02 03:04:05.5+00|1 mon|null|null|null|null|null > -"));
  expect_mirrors_equal();
}

TEST_F(ResyncTest, ManyDifferencesInSeveralPassesAreOneTransaction) {
  mirrors_.limits = {.partition_rows = 500, .rows_at_once = 300, .places_at_once = 37};
  mirrors_.frame_bytes_max = 4096;
  set_up(
      "CREATE TABLE public.t (id int PRIMARY KEY, v text, large text);"
      "INSERT INTO public.t SELECT i, 'v' || i, 'x' FROM generate_series(1, 20000) i;"
      "ANALYZE public.t");
  make_gap(
      "UPDATE public.t SET v = 'u' || id WHERE id % 5 = 0; DELETE FROM public.t WHERE id % 7 = 0;"
      "INSERT INTO public.t SELECT i, 'n' || i, 'y' FROM generate_series(30001, 33000) i");
  resync();
  std::map<char, int> counts;
  std::uint64_t transactions = 0;
  for (const std::string& change : differences(&transactions)) ++counts[change[0]];
  EXPECT_EQ(counts, (std::map<char, int>{{'u', 3429}, {'d', 2857}, {'i', 3000}}));
  EXPECT_EQ(transactions, 1u);
  expect_mirrors_equal();
  expect_log_gives_rows("t");
  EXPECT_THAT(activity("t"), ElementsAre("d 2857", "i 3000", "r 20000", "u 3429"));
}

TEST_F(ResyncTest, TablesThatCannotBeComparedAreReadAnew) {
  set_up(
      std::string(kTable) +
      "CREATE TABLE public.wider (id int PRIMARY KEY, v text);"
      "CREATE TABLE public.dropped (id int PRIMARY KEY);"
      "CREATE TABLE public.renamed (id int PRIMARY KEY, v text);"
      "CREATE TABLE public.append (v int);"
      "CREATE TABLE public.emptied (id int PRIMARY KEY, v text);"
      "INSERT INTO public.wider VALUES (1, 'a'), (2, 'b'); INSERT INTO public.dropped VALUES (1);"
      "INSERT INTO public.renamed VALUES (1, 'a'), (2, 'b'); INSERT INTO public.append VALUES (1);"
      "INSERT INTO public.emptied VALUES (1, 'a')");
  make_gap(
      "ALTER TABLE public.wider ADD COLUMN w int DEFAULT 5; DELETE FROM public.wider WHERE id = 1;"
      "DROP TABLE public.dropped; ALTER TABLE public.renamed RENAME TO called;"
      "DELETE FROM public.called WHERE id = 2; INSERT INTO public.append VALUES (2);"
      "TRUNCATE public.emptied; INSERT INTO public.emptied VALUES (2, 'b');"
      "CREATE TABLE public.later (id int PRIMARY KEY, v text); INSERT INTO public.later VALUES (1, "
      "'l'); UPDATE public.t SET v = 'other' WHERE id = 2");
  resync();
  EXPECT_THAT(differences(),
              UnorderedElementsAre("u t 2|v2|x*2500 > 2|other|x*2500", "d emptied 1|a > -",
                                   "i emptied - > 2|b", "reads wider", "reads called",
                                   "reads append", "reads later"));
  EXPECT_EQ(read_rows_, 1u + 1u + 2u + 1u);
  ASSERT_TRUE(wait_until([&] {
    const auto mirrors = engine_->mirrors();
    return std::none_of(mirrors.begin(), mirrors.end(), [](const auto& mirror) {
      return mirror.table.name == "dropped" || mirror.reading || !mirror.stopped.empty();
    });
  }));
  expect_mirrors_equal();
}

TEST_F(ResyncTest, MirrorsThatAreBehindAreWaitedFor) {
  set_up(kTable);
  follows_ = false;  // the log runs ahead of the mirrors
  begin();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  sql("UPDATE public.t SET v = 'seen' WHERE id < 10; DELETE FROM public.t WHERE id = 30");
  settle();
  end();
  make_gap("UPDATE public.t SET v = 'missed' WHERE id = 2; INSERT INTO public.t VALUES (30, 'a')");
  resync_ = true;
  begin();
  ASSERT_TRUE(wait_until([&] {
    return capture_->status().message.find("the mirrors take what the log has") !=
           std::string::npos;
  }));
  follower_->start();
  settle_all();
  EXPECT_THAT(differences(),
              UnorderedElementsAre("u t 2|seen|x*2500 > 2|missed|x*2500", "i t - > 30|a|null"));
  expect_mirrors_equal();
}

TEST_F(ResyncTest, MirrorsThatStandStillAreNotWaitedForForEver) {
  set_up(kTable);
  follows_ = false;
  begin();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  sql("UPDATE public.t SET v = 'seen' WHERE id < 10");
  settle();
  end();
  make_gap("DELETE FROM public.t WHERE id = 2");
  mirrors_.stall_max = 100ms;
  resync_ = true;
  begin();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  follower_->start();
  settle_all();
  EXPECT_THAT(differences(), ElementsAre("reads t"));
  EXPECT_EQ(read_rows_, 49u);
  expect_mirrors_equal();
}

TEST_F(ResyncTest, WithoutMirrorsEveryTableIsReadAnew) {
  with_engine_ = false;
  sql(kTable);
  start();
  settle();
  end();
  make_gap("DELETE FROM public.t WHERE id = 2");
  resync_ = true;
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  ASSERT_TRUE(wait_until([&] { return capture_->status().reads.empty(); }));
  EXPECT_THAT(differences(), ElementsAre("reads t"));
  EXPECT_EQ(read_rows_, 49u);
  expect_log_gives_rows("t");
}

// The log ends inside a transaction whose end never comes: the mirrors do not have it.
TEST_F(ResyncTest, OldEpochEndsInsideATransaction) {
  streams_ = false;
  set_up(kTable);
  begin();
  settle_all();
  fs_.die_at(fs_.operations() + 12);
  // Nothing that compresses well.
  sql("INSERT INTO public.t SELECT i, 'big', (SELECT string_agg(md5(random()::text || n), '') FROM"
      " generate_series(1, 150) n) FROM generate_series(1001, 4000) i");
  ASSERT_TRUE(wait_until([&] { return fs_.dead(); }));
  end();
  fs_.kill();
  make_gap("DELETE FROM public.t WHERE id = 1002; UPDATE public.t SET v = 'missed' WHERE id = 2");
  log_ = log::Log::open(fs_, clock_, "data/log", {}).value();
  auto reader = BatchReader::open(*log_, {}, {}).value();
  bool inside = false;
  while (true) {
    const LogEvent event = reader->next(Microseconds(0)).value();
    if (event.kind == LogEvent::Kind::kNothing) break;
    if (event.batch) inside = !event.batch->ends_transaction();
  }
  EXPECT_TRUE(inside);
  log_.reset();
  resync();
  std::map<char, int> counts;
  for (const std::string& change : differences()) ++counts[change[0]];
  EXPECT_EQ(counts, (std::map<char, int>{{'u', 1}, {'i', 2999}}));
  expect_mirrors_equal();
}

// Wherever it dies, the next run ends right; with --resync or without it.
TEST_F(ResyncTest, DyingAnywhereLosesNothingAndTakesNothingTwice) {
  std::mt19937 random(harness::test_seed());
  mirrors_.frame_bytes_max = 4096;
  mirrors_.limits = {.partition_rows = 100, .rows_at_once = 100};
  set_up(
      "CREATE TABLE public.t (id int PRIMARY KEY, v text, large text);"
      "CREATE TABLE public.u (id int PRIMARY KEY, v text, large text);"
      "INSERT INTO public.t SELECT i, 'v' || i, 'x' FROM generate_series(1, 1000) i;"
      "INSERT INTO public.u SELECT i, 'v' || i, 'x' FROM generate_series(1, 100) i");
  constexpr int kRounds = 12;
  std::uint64_t operations = 110;  // of a resync, about, and a little of the stream
  for (int round = 0; round < kRounds; ++round) {
    make_gap(fmt::format(
        "UPDATE public.t SET v = 'r{0}' WHERE id % 13 = {0}; DELETE FROM public.t WHERE id % 29 = "
        "{0}; INSERT INTO public.t SELECT i, 'n', 'y' FROM generate_series({1}, {1} + 40) i;"
        "ALTER TABLE public.u ADD COLUMN w{0} int DEFAULT {0}; DELETE FROM public.u WHERE id = {0}",
        round, 10'000 + round * 100));
    const std::uint64_t at = dies_after_ = 1 + random() % operations;
    resync_ = true;
    start_dying();
    const bool died = fs_.dead();
    end();
    if (random() % 2 == 0) {
      fs_.kill();
    } else {
      fs_.crash(random() % 300);
    }
    fs_.die_at(~std::uint64_t{0});
    if (!died) operations = std::max<std::uint64_t>(20, at);
    sql(fmt::format("UPDATE public.t SET v = 'between' WHERE id % 31 = {}", round));
    resync_ = random() % 2 == 0;
    begin();
    ASSERT_TRUE(wait_until([&] {
      const CaptureState state = capture_->status().state;
      return state == CaptureState::kStreaming || state == CaptureState::kFailed;
    }));
    if (capture_->status().state == CaptureState::kFailed) {
      // It died before it had begun: nothing has changed, and --resync is asked for again.
      EXPECT_FALSE(resync_);
      EXPECT_THAT(capture_->status().message, HasSubstr("--resync"));
      end();
      resync_ = true;
      begin();
    }
    settle_all();
    expect_mirrors_equal();
    expect_log_gives_rows("t");
    end();
    if (HasFailure()) {
      ADD_FAILURE() << "round " << round << ", died at operation " << at;
      return;
    }
  }
}

}  // namespace pgweir::pipeline
