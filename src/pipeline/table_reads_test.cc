// A table that is read beside the stream is what the source has, however much changes meanwhile.
//
// Method: a real PostgreSQL with connections that insert, update (with values that are not sent
//         again, and of keys), delete, roll back; chunks that are tiny and many; and a mirror in
//         memory that follows the log by the followers' rules.
#include "pipeline/table_reads.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <thread>

#include "harness/cluster.h"
#include "harness/scratch.h"
#include "io/fake_fs.h"
#include "pipeline/capture.h"
#include "pipeline/testing_mirror.h"

namespace pgweir::pipeline {
namespace {
using namespace std::chrono_literals;

bool wait_until(const std::function<bool()>& done, std::chrono::seconds timeout = 60s) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

class TableReadsTest : public testing::Test {
 protected:
  TableReadsTest() : database_(cluster().create_database()), slot_("slot_" + database_) {
    (void)fs_.create_directories("data");
    sql("CREATE TABLE public.other (id int PRIMARY KEY)");
  }
  ~TableReadsTest() override {
    stop();
    cluster().sql(
        fmt::format("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE "
                    "slot_name = '{}'",
                    slot_));
  }

  static harness::Cluster& cluster() { return harness::shared_cluster(); }
  std::string sql(const std::string& statements) { return cluster().sql(statements, database_); }
  postgres::Connection connect() {
    postgres::ConnectionOptions options;
    options.url = cluster().url(database_);
    return postgres::Connection::open(options).value();
  }

  void start(bool wait_for_stream = true) {
    stop();
    log_ = log::Log::open(fs_, clock_, data_ + "/log", log_options_).value();
    CaptureOptions options;
    options.url = cluster().url(database_);
    options.source = {slot_, "pub_" + database_, {"public.*"}, {}};
    options.data_directory = data_;
    options.mark_interval = 5ms;
    options.feedback_interval = 10ms;
    options.backoff_min = 20ms;
    options.catalog_interval = catalog_interval_;
    options.reads = options_;
    options.resync = resync_;
    options.snapshot_range_pages = 16;
    capture_ = std::make_unique<Capture>(*log_, fs_, clock_, logger_, options);
    capture_->start();
    if (!wait_for_stream) return;
    // With the first look behind it: that may ask for a table that comes meanwhile.
    ASSERT_TRUE(wait_until([&] {
      const CaptureStatus status = capture_->status();
      return status.state == CaptureState::kStreaming && status.schema.looked_us != 0;
    })) << capture_->status().message;
  }
  void stop() {
    if (capture_) capture_->stop();
    capture_.reset();
    log_.reset();
  }

  void read(const std::string& table, bool replaces = false) {
    const auto oid = std::stoul(sql(fmt::format("SELECT 'public.{}'::regclass::oid", table)));
    capture_->read_table(
        {model::Oid{static_cast<std::uint32_t>(oid)}, "public." + table, replaces});
  }
  bool wait_read() {
    const bool done = wait_until([&] { return capture_->status().reads.empty(); });
    if (done) return true;
    const CaptureStatus status = capture_->status();
    ADD_FAILURE() << "capture: state " << static_cast<int>(status.state) << ", " << status.message;
    for (const TableReadStatus& read : status.reads)
      ADD_FAILURE() << read.name << ": " << read.message << "; rows " << read.rows << ", "
                    << read.fraction;
    return false;
  }
  // Waits until the first reading is in its middle.
  void wait_for_rows(std::uint64_t rows) {
    EXPECT_TRUE(wait_until([&] {
      const auto reads = capture_->status().reads;
      return !reads.empty() && reads[0].rows >= rows;
    }));
  }
  // Runs a statement while the reading of table `t` is in its middle: chunks wait for a lock, and
  // the statement waits in front of all but those.
  void change_amid(const char* statement) {
    auto holder = connect(), changer = connect();
    const auto pid = std::to_string(changer.query("SELECT pg_backend_pid()")->integer(0, 0));
    ASSERT_TRUE(wait_until([&] {
      if (holder.execute("BEGIN; LOCK TABLE public.t").ok()) return true;
      EXPECT_TRUE(holder.execute("ROLLBACK").ok());  // a deadlock with a chunk
      return false;
    }));
    EXPECT_FALSE(capture_->status().reads.empty()) << "it has ended already";
    std::jthread thread([&] { EXPECT_TRUE(changer.execute(statement).ok()) << statement; });
    EXPECT_TRUE(wait_until([&] {
      return holder.query("SELECT cardinality(pg_blocking_pids($1))", {pid})->integer(0, 0) > 0;
    }));
    EXPECT_TRUE(holder.execute("COMMIT").ok());
  }
  // Waits until the log has everything that is committed now.
  void settle() {
    const auto lsn = model::parse_lsn(sql("SELECT pg_current_wal_insert_lsn()")).value();
    const auto there = [&] { return log_->durable_end_lsn() >= lsn; };
    // The last record of a quiet server's WAL gets to its disk, and so to us, with a later commit.
    if (!wait_until(there, 2s)) sql("SELECT pg_logical_emit_message(true, 'pgweir', '')");
    EXPECT_TRUE(wait_until(there))
        << capture_->status().message << " " << model::to_string(log_->durable_end_lsn());
  }
  std::multiset<std::string> source(const std::string& table) {
    std::multiset<std::string> out;
    auto connection = connect();
    const auto rows =
        connection
            .query("SELECT concat_ws('|', id, v, coalesce(large, '\\N')) FROM public." + table)
            .value();
    for (int row = 0; row < rows.row_count(); ++row) out.emplace(rows.text(row, 0));
    return out;
  }
  // Everything that the log holds from its beginning gives the source's rows.
  void expect_same(const std::string& table) {
    settle();
    TestingMirror mirror(*log_);
    mirror.follow();
    EXPECT_FALSE(mirror.reading(table));
    const auto expected = source(table), found = mirror.rows(table);
    EXPECT_EQ(found.size(), expected.size());
    const auto [mine, theirs] =
        std::mismatch(found.begin(), found.end(), expected.begin(), expected.end());
    if (mine != found.end()) ADD_FAILURE() << "found " << mine->substr(0, 60);
    if (theirs != expected.end()) ADD_FAILURE() << "expected " << theirs->substr(0, 60);
    reads_ = mirror.reads();
    begins_ = mirror.begins();
  }

  io::FakeFs fs_;
  io::RealClock clock_;
  Logger logger_{std::getenv("PGWEIR_TEST_LOG") ? LogLevel::kInfo : LogLevel::kOff};
  std::string database_;
  std::string slot_;
  std::string data_ = "data";
  log::LogOptions log_options_;
  TableReadOptions options_;
  Milliseconds catalog_interval_ = CaptureOptions().catalog_interval;
  bool resync_ = false;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<Capture> capture_;
  std::uint64_t reads_ = 0;
  std::uint64_t begins_ = 0;
};

// Some slot of the database is behind, by about what a chunk of a reading waits for.
bool is_behind(postgres::Connection& connection) {
  const auto rows = connection.query(
      "SELECT FROM pg_replication_slots WHERE database = current_database() AND"
      " pg_wal_lsn_diff(pg_current_wal_insert_lsn(), confirmed_flush_lsn) > 60000");
  return rows.ok() && rows->row_count() > 0;
}

// Connections that change table `t` (id, v, large) until stopped. They wait while a slot is
// behind: each chunk of a reading takes as long as capture lags.
class Load {
 public:
  Load(const std::function<postgres::Connection()>& connect, unsigned seed, int connections) {
    for (int i = 0; i < connections; ++i)
      threads_.emplace_back([this, connect, seed, i] { run(connect(), seed + i); });
  }
  ~Load() { stop(); }
  void stop() {
    stopping_ = true;
    threads_.clear();
  }
  std::uint64_t commits() const { return commits_; }

 private:
  void run(postgres::Connection connection, unsigned seed) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    const auto change = [&]() -> std::string {
      const int id = below(3000);
      switch (below(10)) {
        case 0:
          return fmt::format("DELETE FROM public.t WHERE id = {}", id);
        case 1:
        case 2:
          return fmt::format(
              "INSERT INTO public.t VALUES ({0}, '{1}', repeat('{2}', {3})) ON CONFLICT DO NOTHING",
              id, below(1000), static_cast<char>('a' + below(26)), below(2) * 3000);
        case 3:
          return fmt::format(
              "UPDATE public.t SET id = {} WHERE id = {} AND NOT EXISTS (SELECT FROM public.t WHERE"
              " id = {})",
              id + 5000, id, id + 5000);
        case 4:
          return fmt::format(
              "UPDATE public.t SET id = {} WHERE id = {} AND NOT EXISTS (SELECT FROM public.t WHERE"
              " id = {})",
              id, id + 5000, id);
        case 5:
          return fmt::format("UPDATE public.t SET large = repeat('{}', 2500) WHERE id = {}",
                             static_cast<char>('a' + below(26)), id);
        default:
          return fmt::format("UPDATE public.t SET v = '{}' WHERE id = {}", below(1000), id);
      }
    };
    for (int turn = 1; !stopping_; ++turn) {
      std::string script = "BEGIN;";
      for (int i = below(6); i >= 0; --i) {
        const bool nested = below(5) == 0;
        if (nested) script += "SAVEPOINT s;";
        script += change() + ";";
        if (nested) script += below(2) == 0 ? "ROLLBACK TO s;" : "RELEASE s;";
      }
      script += below(6) == 0 ? "ROLLBACK" : "COMMIT";
      // Deadlocks and double keys fail: they leave nothing.
      if (connection.execute(script).ok()) {
        ++commits_;
        // About as many commits to a chunk where a sanitizer makes chunks slow.
        std::this_thread::sleep_for(
            std::chrono::microseconds(below(harness::random_rounds(3) == 3 ? 3000 : 15000)));
        while (!stopping_ && is_behind(connection))
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
      } else if (!connection.execute("ROLLBACK").ok()) {
        return;
      }
    }
  }

  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> commits_{0};
  std::vector<std::jthread> threads_;
};

// Rows that lie in the second half of the table's pages: a table that is written anew has them in
// the first, where a reading has been before it meets them.
constexpr const char* kHollow =
    "CREATE TABLE public.t (id int PRIMARY KEY, v text, large text) WITH (autovacuum_enabled = "
    "off);"
    "INSERT INTO public.t SELECT 30001 - i, i::text, repeat('x', 150) FROM generate_series(1, "
    "30000)"
    " i; DELETE FROM public.t WHERE id > 15000";

constexpr const char* kTable =
    "CREATE TABLE public.t (id int PRIMARY KEY, v text, large text);"
    "ALTER TABLE public.t ALTER large SET STORAGE EXTERNAL;"
    "INSERT INTO public.t SELECT i, i::text, repeat(chr(97 + i % 26), 2500) FROM"
    " generate_series(1, 3000) i";

}  // namespace

TEST_F(TableReadsTest, TableThatCameLaterIsRead) {
  start();
  sql(kTable);
  read("t");
  ASSERT_TRUE(wait_read());
  sql("INSERT INTO public.t VALUES (9000, 'x', 'y'); UPDATE public.t SET v = 'z' WHERE id = 7");
  expect_same("t");
  EXPECT_GE(reads_, 3000u);  // the catalog's watcher may have asked for it, too
}

TEST_F(TableReadsTest, ReadingAgainFindsWhatIsGone) {
  sql(kTable);
  start();
  settle();
  read("t");
  ASSERT_TRUE(wait_read());
  read("t", true);
  ASSERT_TRUE(wait_read());
  expect_same("t");
  EXPECT_EQ(reads_, 9000u);
}

TEST_F(TableReadsTest, ManyCommitWhileTinyChunksAreRead) {
  const unsigned seed = harness::test_seed();
  start();
  sql(kTable);
  options_.chunk_bytes = 64 * 1024;
  stop();
  start();
  Load load([this] { return connect(); }, seed, 6);
  for (int round = 0; round < 3; ++round) {
    read("t", round == 1);
    ASSERT_TRUE(wait_read());
    std::this_thread::sleep_for(50ms);
  }
  load.stop();
  EXPECT_GT(load.commits(), 100u);
  expect_same("t");
}

TEST_F(TableReadsTest, StopsInTheMiddleAndGoesOn) {
  const unsigned seed = harness::test_seed();
  std::mt19937 random(seed);
  options_.chunk_bytes = 32 * 1024;
  start();
  sql(kTable);
  Load load([this] { return connect(); }, seed, 4);
  read("t");
  // A power loss right behind the request would take that with it.
  EXPECT_TRUE(wait_until([&] {
    const auto reads = capture_->status().reads;
    return reads.empty() || reads[0].begun;
  }));
  int stops = 0;
  while (!capture_->status().reads.empty() && stops < 200) {
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60));
    stop();
    if (random() % 2 == 0) fs_.crash(random() % 2 == 0 ? 0 : random() % 400);
    start();
    ++stops;
  }
  load.stop();
  ASSERT_TRUE(wait_read());
  expect_same("t");
  EXPECT_GT(stops, 2);
}

TEST_F(TableReadsTest, FirstSnapshotGoesOnAfterItWasCutOff) {
  const unsigned seed = harness::test_seed();
  std::mt19937 random(seed);
  sql(kTable);
  sql("INSERT INTO public.t SELECT i, i::text, repeat('x', 200) FROM generate_series(10001, 90000)"
      " i");
  std::unique_ptr<Load> load;
  int cuts = 0;
  for (; cuts < 4; ++cuts) {
    start(false);
    // After a few parts of 16 pages.
    const std::uint32_t parts = 2 + random() % 20;
    wait_until([&] {
      const CaptureStatus now = capture_->status();
      return now.snapshot.parts_done >= parts || now.state == CaptureState::kStreaming;
    });
    if (capture_->status().state == CaptureState::kStreaming) break;
    fs_.kill();
    stop();
    if (!load) load = std::make_unique<Load>([this] { return connect(); }, seed, 3);
  }
  start();
  ASSERT_TRUE(wait_read());
  load.reset();
  expect_same("t");
  EXPECT_GE(cuts, 1);
  // What was read is not read again, but for the parts on their way and rows that moved meanwhile.
  EXPECT_LT(reads_, 125'000u);
}

// The first snapshot up to some parts, as a kill leaves it.
TEST_F(TableReadsTest, RowsThatMoveWhileTheFirstSnapshotIsCutOffAreReadAgain) {
  for (const char* rewrite :
       {"VACUUM FULL public.t", "CLUSTER public.t USING t_pkey", "TRUNCATE public.t",
        "ALTER TABLE public.t ALTER v TYPE text USING v || ''"}) {
    sql(kHollow);
    start(false);
    // The hollow half, and a little more.
    ASSERT_TRUE(wait_until([&] { return capture_->status().snapshot.rows > 1'000; }));
    fs_.kill();
    stop();
    sql(rewrite);
    start();
    ASSERT_TRUE(wait_read()) << rewrite;
    sql("UPDATE public.t SET v = v || 'u' WHERE id % 10 = 0; INSERT INTO public.t VALUES (60000, "
        "'', '')");
    expect_same("t");
    stop();
    sql(fmt::format("DROP TABLE public.t; SELECT pg_drop_replication_slot('{}')", slot_));
    data_ += "_next";
    (void)fs_.create_directories(data_);
  }
}

TEST_F(TableReadsTest, RowsThatMoveDuringTheFirstSnapshotAreReadBehindIt) {
  sql(kHollow);
  sql("CREATE TABLE public.n (id int, v text, large text);"
      "ALTER TABLE public.n REPLICA IDENTITY FULL;"
      "INSERT INTO public.n SELECT i, 'v' || i FROM generate_series(1, 5000) i");
  // The disk holds it up between the slot and the first rows: its description does not fit.
  std::string wide = "CREATE TABLE public.wide (id int PRIMARY KEY";
  std::mt19937_64 random(1);  // names that do not compress
  for (int i = 0; i < 1000; ++i) wide += fmt::format(", c{:x}{:x} int", random(), random());
  sql(wide + ")");
  log_options_.write_buffer_bytes_max = 1'000;
  fs_.set_capacity(fs_.used_bytes() + 16 * 1024);
  start(false);
  ASSERT_TRUE(wait_until([&] { return capture_->status().state == CaptureState::kWaitingForDisk; }))
      << capture_->status().message;
  sql("CLUSTER public.t USING t_pkey; ALTER TABLE public.n ALTER v TYPE text USING v || ''");
  fs_.set_no_capacity_limit();
  ASSERT_TRUE(wait_until([&] { return capture_->status().state == CaptureState::kStreaming; }));
  ASSERT_TRUE(wait_read());
  sql("UPDATE public.t SET v = v || 'u' WHERE id % 10 = 0; DELETE FROM public.n WHERE id < 10");
  expect_same("t");
  expect_same("n");
  EXPECT_EQ(log_->epoch(), 1u);
}

// Only what was not finished is read again.
TEST_F(TableReadsTest, TableWithoutAKeyDoesNotMakeTheFirstSnapshotStartOver) {
  sql(kTable);
  sql("CREATE TABLE public.n (id int, v text, large text);"
      "ALTER TABLE public.n REPLICA IDENTITY FULL;"
      "INSERT INTO public.n SELECT i, 'v' || i, repeat('z', 100) FROM generate_series(1, 50000) i");
  start(false);
  ASSERT_TRUE(wait_until([&] { return capture_->status().snapshot.rows > 10'000; }));
  fs_.kill();
  stop();
  sql("DELETE FROM public.n WHERE id % 5 = 0; UPDATE public.n SET v = 'w' WHERE id % 7 = 0;"
      "UPDATE public.t SET v = 'w' WHERE id % 7 = 0");
  start();
  sql("DELETE FROM public.n WHERE id % 11 = 0");
  ASSERT_TRUE(wait_read());
  sql("DELETE FROM public.n WHERE id % 13 = 0");
  expect_same("n");
  expect_same("t");
  EXPECT_EQ(log_->epoch(), 1u);
}

// What moves rows, or takes them away, without a word in the stream.
constexpr const char* kRewrites[] = {
    "VACUUM FULL public.t",
    "CLUSTER public.t USING t_pkey",
    "ALTER TABLE public.t ALTER v TYPE text USING v || ''",
};

TEST_F(TableReadsTest, RowsThatMoveBetweenChunksAreReadAgain) {
  options_.chunk_bytes = 32 * 1024;
  start();
  sql(kHollow);
  for (const char* rewrite : kRewrites) {
    read("t");
    wait_for_rows(1'000);
    change_amid(rewrite);
    ASSERT_TRUE(wait_read()) << rewrite;
    sql("UPDATE public.t SET v = v || 'u' WHERE id % 10 = 0");
    expect_same("t");
    sql("DROP TABLE public.t");
    sql(kHollow);
  }
}

TEST_F(TableReadsTest, RowsThatMoveWhileNobodyReadsAreReadAgain) {
  options_.chunk_bytes = 32 * 1024;
  for (const char* rewrite : kRewrites) {
    start();
    sql(kHollow);
    read("t");
    wait_for_rows(1'000);
    fs_.kill();
    stop();
    sql(rewrite);
    start();
    ASSERT_TRUE(wait_read()) << rewrite;
    expect_same("t");
    sql("DROP TABLE public.t");
  }
}

TEST_F(TableReadsTest, AfterATruncateThereIsNothingMoreToRead) {
  options_.chunk_bytes = 32 * 1024;
  start();
  sql(kHollow);
  for (const bool down : {false, true}) {
    read("t");
    wait_for_rows(1'000);
    if (down) stop();
    // Again and again: the reading must not begin anew with each.
    std::atomic<bool> truncating{true};
    std::jthread truncater([&] {
      auto connection = connect();
      while (truncating) {
        (void)connection.execute(
            "BEGIN; TRUNCATE public.t; INSERT INTO public.t SELECT i, 'n', repeat('y', 2500) FROM"
            " generate_series(1, 300) i; COMMIT; UPDATE public.t SET v = 'u' WHERE id % 3 = 0");
        while (truncating && is_behind(connection)) std::this_thread::sleep_for(5ms);
      }
    });
    if (down) start();
    EXPECT_TRUE(wait_read());
    truncating = false;
    truncater.join();
    expect_same("t");
    EXPECT_EQ(begins_, 1u);
    sql("DROP TABLE public.t");
    sql(kHollow);
  }
}

TEST_F(TableReadsTest, PartitionsThatMoveOrComeAreReadAgain) {
  options_.chunk_bytes = 64 * 1024;
  catalog_interval_ = 500ms;  // only a look tells of most of it
  const char* changes[] = {
      "VACUUM FULL public.t2",
      "TRUNCATE public.t1",
      "ALTER TABLE public.t DETACH PARTITION public.t1",
      "ALTER TABLE public.t ATTACH PARTITION public.t3 FOR VALUES FROM (40000) TO (50000)",
      "BEGIN; ALTER TABLE public.t DETACH PARTITION public.t1; INSERT INTO public.t1 SELECT i, 'n'"
      " FROM generate_series(1, 100) i; UPDATE public.t1 SET v = 'away' WHERE id % 7 = 0; ALTER"
      " TABLE public.t ATTACH PARTITION public.t1 FOR VALUES FROM (0) TO (20000); COMMIT",
  };
  start();
  for (std::size_t i = 0; i < 2 * std::size(changes); ++i) {
    const char* change = changes[i / 2];
    const bool down = i % 2 == 1;
    sql("CREATE TABLE public.t (id int PRIMARY KEY, v text, large text) PARTITION BY RANGE (id);"
        "CREATE TABLE public.t1 PARTITION OF public.t FOR VALUES FROM (0) TO (20000);"
        "CREATE TABLE public.t2 PARTITION OF public.t FOR VALUES FROM (20000) TO (40000);"
        "CREATE TABLE public.t3 (id int PRIMARY KEY, v text, large text);"
        "INSERT INTO public.t SELECT i, i::text, repeat('x', 150) FROM generate_series(1, 39999) i;"
        "INSERT INTO public.t3 SELECT i, 'three' FROM generate_series(40000, 40999) i;"
        "DELETE FROM public.t WHERE id < 10000 OR id BETWEEN 20000 AND 30000");
    read("t");
    wait_for_rows(1'000);
    if (down) {
      stop();
      sql(change);
      start();
    } else {
      change_amid(change);
    }
    ASSERT_TRUE(wait_read()) << change;
    sql("UPDATE public.t SET v = v || 'u' WHERE id % 10 = 0");
    expect_same("t");
    sql("DROP TABLE public.t; DROP TABLE IF EXISTS public.t1, public.t3");
  }
}

// The log tells of it before the reading itself finds it.
TEST_F(TableReadsTest, PartitionsThatWereAwayBeforeALookAreReadAgain) {
  options_.chunk_bytes = 64 * 1024;
  catalog_interval_ = 50ms;
  start();
  sql("CREATE TABLE public.t (id int PRIMARY KEY, v text, large text) PARTITION BY RANGE (id);"
      "CREATE TABLE public.t1 PARTITION OF public.t FOR VALUES FROM (0) TO (20000);"
      "INSERT INTO public.t SELECT i, 'n', repeat('x', 150) FROM generate_series(1, 19000) i");
  const auto attached = [&]() -> std::uint32_t {
    for (const model::Table& table : capture_->status().tables) {
      if (table.name == "t" && table.partitions.size() == 1) return table.partitions[0].attached;
    }
    return 0;
  };
  ASSERT_TRUE(wait_until([&] { return attached() != 0 && capture_->status().reads.empty(); }));
  const std::uint32_t before = attached();
  // It reads when all that began before have ended.
  auto holder = connect();
  ASSERT_TRUE(holder.execute("BEGIN; SELECT pg_current_xact_id()").ok());
  read("t");
  EXPECT_TRUE(wait_until([&] {
    const auto reads = capture_->status().reads;
    return !reads.empty() && reads[0].message.starts_with("waits for transactions");
  }));
  sql("BEGIN; ALTER TABLE public.t DETACH PARTITION public.t1; INSERT INTO public.t1 SELECT i, 'n'"
      " FROM generate_series(19001, 19999) i; UPDATE public.t1 SET v = 'away' WHERE id % 7 = 0;"
      " ALTER TABLE public.t ATTACH PARTITION public.t1 FOR VALUES FROM (0) TO (20000); COMMIT");
  EXPECT_TRUE(wait_until([&] { return attached() != before; }));
  ASSERT_TRUE(holder.execute("COMMIT").ok());
  ASSERT_TRUE(wait_read());
  expect_same("t");
}

TEST_F(TableReadsTest, StateOfAProgramThatDidNotLookAtFilesBeginsAgain) {
  options_.chunk_bytes = 32 * 1024;
  start();
  sql(kHollow);
  read("t");
  wait_for_rows(1'000);
  stop();
  TableReadsState state = load_reads(fs_, "data").value();
  ASSERT_FALSE(state.reads.empty());
  EXPECT_NE(state.reads[0].files, "");
  for (TableReadState& each : state.reads) each.files.clear();
  ASSERT_TRUE(store_reads(fs_, "data", state).ok());
  sql("VACUUM FULL public.t");
  start();
  ASSERT_TRUE(wait_read());
  expect_same("t");
}

TEST_F(TableReadsTest, ResyncAfterTheSlotWasLost) {
  sql(kTable);
  sql("CREATE TABLE public.u (id int PRIMARY KEY, v text, large text);"
      "INSERT INTO public.u SELECT i, 'u' FROM generate_series(1, 100) i");
  start();
  settle();
  stop();
  sql(fmt::format("SELECT pg_drop_replication_slot('{}')", slot_));
  sql("INSERT INTO public.t VALUES (7001, 'new', 'x'); DELETE FROM public.t WHERE id < 50;"
      "UPDATE public.t SET v = 'other' WHERE id BETWEEN 100 AND 120;"
      "UPDATE public.t SET id = id + 100000 WHERE id = 200; TRUNCATE public.u;"
      "INSERT INTO public.u VALUES (5, 'again')");
  start(false);
  ASSERT_TRUE(wait_until([&] { return capture_->status().state == CaptureState::kFailed; }));
  EXPECT_EQ(capture_->status().failure->code, Code::kCorruption);
  EXPECT_NE(capture_->status().message.find("--resync"), std::string::npos);
  stop();
  resync_ = true;
  start();
  ASSERT_TRUE(wait_read());
  sql("UPDATE public.t SET v = 'later' WHERE id = 300");
  expect_same("t");
  expect_same("u");
}

TEST_F(TableReadsTest, TableWithoutAKeyIsReadWhole) {
  start();
  sql("CREATE TABLE public.n (id int, v text, large text);"
      "ALTER TABLE public.n REPLICA IDENTITY FULL;"
      "INSERT INTO public.n SELECT i, 'v' || i FROM generate_series(1, 5000) i");
  std::atomic<bool> writing{true};
  std::jthread writer([&] {
    auto connection = connect();
    for (int i = 1; writing; ++i) {
      (void)connection.execute(fmt::format(
          "INSERT INTO public.n VALUES ({0} + 10000, 'new'); UPDATE public.n SET v = 'u{0}' WHERE"
          " id = {0}; DELETE FROM public.n WHERE id = 5000 - {0}",
          i));
    }
  });
  for (int round = 0; round < 3; ++round) {
    read("n");
    ASSERT_TRUE(wait_read());
  }
  writing = false;
  writer.join();
  expect_same("n");
}

// A transaction that waits for a standby is in the WAL before others, and seen after them.
TEST_F(TableReadsTest, VisibilityIsNotTheOrderOfCommits) {
  sql(kTable);
  start();
  settle();
  harness::Cluster& server = cluster();
  server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  server.sql("SELECT pg_reload_conf()");
  // Durable and sent to us, but seen by nobody until it is cancelled.
  std::jthread held([&] {
    auto connection = connect();
    (void)connection.execute(
        "SET synchronous_commit = on;"
        "UPDATE public.t SET v = 'held' WHERE id = 10");
  });
  const char* waiting =
      "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%held%'";
  ASSERT_TRUE(wait_until([&] { return sql(waiting) == "1"; }));
  read("t");
  // It must not begin with the rows that nobody sees changed.
  ASSERT_TRUE(wait_until([&] {
    const auto reads = capture_->status().reads;
    return !reads.empty() && reads[0].message.find("waits for") != std::string::npos;
  }));
  server.sql("ALTER SYSTEM RESET synchronous_standby_names");
  server.sql("SELECT pg_reload_conf()");
  held.join();
  ASSERT_TRUE(wait_read());
  expect_same("t");
}

}  // namespace pgweir::pipeline
