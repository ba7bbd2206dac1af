// A table without a key that is too large for memory is what the source has, however much changes
// while it is copied, and wherever that is cut off.
//
// Method: a real PostgreSQL with connections that write equal rows, take one of several away, roll
//         back; a limit of memory that every table is above; and a bag of rows that follows the log
//         by the followers' rules, beginning anew behind every event.
#include "pipeline/spooled_table.h"

#include <map>
#include <random>

#include "harness/scratch.h"
#include "pipeline/testing_capture_fixture.h"

namespace pgweir::pipeline {
namespace {
using namespace std::chrono_literals;

using Bag = std::map<std::string, std::int64_t>;

// A table as the log tells it up to its end.
struct Followed {
  Bag rows;
  bool reading = false;
  std::uint64_t begins = 0;
};

std::string text_of(const model::Batch& batch, const model::Table& table, std::uint32_t row) {
  std::string out;
  for (const model::Cell& cell : batch.row(row, table))
    (out += out.empty() ? "" : "|") += cell.kind == model::CellKind::kText ? cell.text() : "\\N";
  return out;
}

void apply(const model::Batch& batch, const std::string& table, Followed& out) {
  const auto add = [&](const std::string& row, std::int64_t count) {
    std::int64_t& now = out.rows[row];
    now += count;
    EXPECT_GE(now, 0) << "row " << row << " goes and was not there";
    if (now == 0) out.rows.erase(row);
  };
  for (const model::Change& change : batch.changes) {
    const model::Table& shape = batch.table_of(change);
    if (shape.name != table) continue;
    if (change.op == model::Op::kTruncate) out.rows.clear();
    if (change.before != model::kNoRow) add(text_of(batch, shape, change.before), -1);
    if (change.after != model::kNoRow) add(text_of(batch, shape, change.after), 1);
  }
}

Followed follow(log::Log& log, const std::string& table) {
  Followed out;
  model::Position at;
  bool in_snapshot = false;
  const BatchReaderOptions options{.batch_rows_max = 3'000};
  auto reader = BatchReader::open(log, at, options).value();
  while (true) {
    auto next = reader->next(Microseconds(0));
    if (!next.ok()) ADD_FAILURE() << next.error().text();
    if (!next.ok() || next->kind == LogEvent::Kind::kNothing) return out;
    const bool ours = next->table && next->table->name == table;
    if (ours && next->kind == LogEvent::Kind::kReadBegin) {
      if (next->read.replaces) out.rows.clear();
      out.reading = true;
      ++out.begins;
    }
    if (ours && next->kind == LogEvent::Kind::kReadEnd) out.reading = false;
    if (next->kind == LogEvent::Kind::kSnapshotBegin) in_snapshot = true;
    if (next->kind == LogEvent::Kind::kSnapshotEnd) in_snapshot = false;
    if (next->batch) apply(*next->batch, table, out);
    // Inside a transaction or a snapshot a follower has no place to begin anew that is its own.
    if (in_snapshot || !next->batch || !next->batch->ends_transaction()) continue;
    at = next->position;
    reader = BatchReader::open(log, at, options).value();
  }
}

class SpooledTableTest : public CaptureFixture {
 protected:
  void adjust(CaptureOptions& options) override {
    options.reads.whole_bytes_max = 16 * 1024;
    options.reads.retry_interval = 20ms;
    options.reads.nudge_interval = 100ms;
    options.catalog_interval = 100ms;
  }

  postgres::Connection connect() {
    postgres::ConnectionOptions options;
    options.url = cluster().url(database_);
    return postgres::Connection::open(options).value();
  }
  void read(const std::string& table) {
    const auto oid = std::stoul(sql(fmt::format("SELECT 'public.{}'::regclass::oid", table)));
    capture_->read_table({model::Oid{static_cast<std::uint32_t>(oid)}, "public." + table, false});
  }
  bool wait_read() {
    const bool done = wait_until([&] { return capture_->status().reads.empty(); }, 60s);
    for (const TableReadStatus& read : capture_->status().reads) ADD_FAILURE() << read.message;
    return done;
  }
  Bag source(const std::string& table) {
    Bag out;
    auto connection = connect();
    const auto rows = connection
                          .query(
                              "SELECT concat_ws('|', id, coalesce(v, '\\N')), count(*) FROM"
                              " public." +
                              table + " GROUP BY 1")
                          .value();
    for (int row = 0; row < rows.row_count(); ++row)
      out[std::string(rows.text(row, 0))] = rows.integer(row, 1);
    return out;
  }
  void expect_same(const std::string& table) {
    settle();
    const Followed found = follow(*log_, table);
    EXPECT_FALSE(found.reading);
    const Bag expected = source(table);
    EXPECT_EQ(found.rows.size(), expected.size());
    EXPECT_TRUE(found.rows == expected);
  }
  std::size_t adopted() {
    std::size_t count = 0;
    for (const auto& segment : log_->segments()) count += fs_.content(segment.file)[8] == 2;
    return count;
  }
};

constexpr const char* kTable =
    "CREATE TABLE public.n (id int, v text); ALTER TABLE public.n REPLICA IDENTITY FULL;"
    "CREATE TABLE public.other (id int PRIMARY KEY);"
    "INSERT INTO public.n SELECT i % 20000, CASE WHEN i % 100 = 0 THEN NULL ELSE"
    " repeat(E'a\\t\\\\', 20) END FROM generate_series(1, 60000) i";

}  // namespace

TEST_F(SpooledTableTest, ManyCommitWhileItIsCopied) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  const unsigned seed = harness::test_seed();
  std::atomic<bool> writing{true};
  std::vector<std::jthread> writers;
  for (unsigned i = 0; i < 4; ++i) {
    writers.emplace_back([&, i] {
      auto connection = connect();
      std::mt19937 random(seed + i);
      while (writing) {
        const auto id = random() % 20'000;
        (void)connection.execute(fmt::format(
            "BEGIN; DELETE FROM public.n WHERE ctid = (SELECT min(ctid) FROM public.n WHERE id "
            "BETWEEN"
            " {0} AND {0} + 20); INSERT INTO public.n SELECT {0}, 'w' FROM generate_series(1, {1});"
            "UPDATE public.n SET v = v || 'u' WHERE ctid = (SELECT max(ctid) FROM public.n WHERE v "
            "="
            " 'w'); {2}",
            id, random() % 4, random() % 5 == 0 ? "ROLLBACK" : "COMMIT"));
      }
    });
  }
  for (int round = 0; round < 3; ++round) {
    read("n");
    ASSERT_TRUE(wait_read());
  }
  writing = false;
  writers.clear();
  EXPECT_GE(adopted(), 3u);
  expect_same("n");
  EXPECT_EQ(fs_.list("data/log/spool").value().size(), 0u);
}

// One that appeared while we ran, without updates and deletes.
TEST_F(SpooledTableTest, AppendOnly) {
  sql("CREATE TABLE public.other (id int PRIMARY KEY)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  sql("CREATE TABLE public.a (id int, v text); ALTER TABLE public.a REPLICA IDENTITY NOTHING;"
      "INSERT INTO public.a SELECT i % 100, 'v' FROM generate_series(1, 30000) i");
  std::atomic<bool> writing{true};
  std::jthread writer([&] {
    auto connection = connect();
    while (writing)
      (void)connection.execute("INSERT INTO public.a SELECT i, 'w' FROM generate_series(1, 20) i");
  });
  read("a");
  EXPECT_TRUE(wait_read());
  writing = false;
  writer.join();
  expect_same("a");
}

// Neither the stream nor those who read the log wait for the copy.
TEST_F(SpooledTableTest, TheStreamGoesOnMeanwhile) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  auto holder = connect();
  ASSERT_TRUE(holder
                  .execute("BEGIN; LOCK TABLE public.n IN ACCESS EXCLUSIVE MODE;"
                           "DELETE FROM public.n WHERE id < 500")
                  .ok());
  read("n");
  sql("INSERT INTO public.other SELECT generate_series(1, 1000)");
  settle();
  const Followed other = follow(*log_, "other");
  EXPECT_EQ(other.rows.size(), 1000u);
  ASSERT_TRUE(holder.execute("COMMIT").ok());
  ASSERT_TRUE(wait_read());
  expect_same("n");
}

TEST_F(SpooledTableTest, WhatChangesTheWholeTableIsReadAgain) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  const char* const changes[] = {
      "BEGIN; TRUNCATE public.n; INSERT INTO public.n SELECT i % 7, 't' FROM generate_series(1, "
      "20000)"
      " i; COMMIT",
      "VACUUM FULL public.n",
      "ALTER TABLE public.n ALTER v TYPE varchar(2000)",
  };
  for (const char* change : changes) {
    read("n");
    (void)wait_until([&] {
      const auto reads = capture_->status().reads;
      return reads.empty() || reads[0].rows > 0;
    });
    sql(change);
    ASSERT_TRUE(wait_read()) << change;
    expect_same("n");
  }
}

TEST_F(SpooledTableTest, AFullDiskIsWaitedFor) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  fs_.set_capacity(fs_.used_bytes() + 300'000);
  read("n");
  ASSERT_TRUE(wait_until([&] {
    const auto reads = capture_->status().reads;
    return !reads.empty() && reads[0].message.find("room") != std::string::npos;
  }));
  fs_.set_no_capacity_limit();
  ASSERT_TRUE(wait_read());
  expect_same("n");
}

TEST_F(SpooledTableTest, AKillCostsTheCopyAndNeverShowsAPart) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  settle();
  std::mt19937 random(harness::test_seed());
  for (int round = 0; round < 6; ++round) {
    read("n");
    sql("INSERT INTO public.n VALUES (1, 'more'), (1, 'more'); DELETE FROM public.n WHERE ctid ="
        " (SELECT min(ctid) FROM public.n)");
    fs_.die_at(fs_.operations() + 20 + random() % 150);
    (void)wait_until([&] {
      return fs_.dead() || capture_->status().reads.empty() ||
             capture_->status().state == CaptureState::kFailed;
    });
    stop();
    if (!fs_.dead()) fs_.die_at(~std::uint64_t{0});
    if (round % 2 == 0) fs_.kill();
    if (round % 2 == 1) fs_.crash(random() % 300);
    log_ = log::Log::open(fs_, clock_, "data/log", {}).value();
    const Followed left = follow(*log_, "n");
    log_.reset();
    start();
    ASSERT_TRUE(wait_state(CaptureState::kStreaming));
    ASSERT_TRUE(wait_read());
    if (left.reading) {
      EXPECT_GT(follow(*log_, "n").begins, left.begins);
    }
    expect_same("n");
  }
}

}  // namespace pgweir::pipeline
