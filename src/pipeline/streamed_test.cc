// Transactions that PostgreSQL sends before they commit: whole in the log at their commit, or not
// at all.
//
// Method: a server that streams whatever is larger than 64 kB, sessions that stay open, and a model
//         that applies every change of the log to tables in memory; it must equal the source after
//         every transaction's end that is looked at.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "harness/scratch.h"
#include "pipeline/testing_streamed_fixture.h"
#include "postgres/catalog.h"

namespace pgweir::pipeline {
namespace {

Way appended_from_file() {
  Way way{"AppendedFromFile", {}};
  way.options.frame_bytes_max = 16 * 1024;
  way.options.adopt_bytes_min = ~std::uint64_t{0};
  return way;
}

Way appended_from_memory() {
  return {"AppendedFromMemory", {}};
}

// Two buffers and one open file for all.
Way adopted_with_little() {
  Way way = adopted();
  way.name = "AdoptedWithLittle";
  way.options.memory_bytes_max = 20 * 1024;
  way.options.open_files_max = 1;
  return way;
}

// What was rolled back is taken out of the files again and again.
Way adopted_with_little_rolled_back() {
  Way way = adopted();
  way.name = "AdoptedWithLittleRolledBack";
  way.options.rolled_back_ranges_max = 3;
  way.options.open_files_max = 1;
  return way;
}

// The tables of the log's changes: name, key and whole rows.
class Model {
 public:
  using Rows = std::map<std::string, std::vector<std::string>>;

  void apply(const model::Batch& batch) {
    for (const model::Change& change : batch.changes) apply(batch, change);
  }

  // "key value value" of each row, sorted.
  std::string rows(const std::string& table) const {
    std::string out;
    const auto found = tables_.find(table);
    if (found == tables_.end()) return out;
    for (const auto& [key, values] : found->second)
      out += fmt::format("{}{}", out.empty() ? "" : "\n", fmt::join(values, "|"));
    return out;
  }

 private:
  static std::string key_text(const model::Cell& cell) {
    // Numbers in the order of numbers.
    return fmt::format("{:0>12}", cell.text());
  }

  void apply(const model::Batch& batch, const model::Change& change) {
    const model::Table& table = batch.table_of(change);
    Rows& rows = tables_[table.name];
    if (change.op == model::Op::kTruncate) {
      rows.clear();
      return;
    }
    std::vector<std::string> old;
    if (change.op == model::Op::kUpdate || change.op == model::Op::kDelete) {
      const std::uint32_t at = change.before != model::kNoRow ? change.before : change.after;
      const auto found = rows.find(key_text(batch.row(at, table)[0]));
      ASSERT_NE(found, rows.end()) << table.name << " lacks the old row";
      old = found->second;
      rows.erase(found);
    }
    if (change.after == model::kNoRow) return;
    std::vector<std::string> values;
    const auto cells = batch.row(change.after, table);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      values.push_back(cells[i].kind == model::CellKind::kUnchanged ? old.at(i)
                                                                    : std::string(cells[i].text()));
    }
    const bool is_new = rows.emplace(key_text(cells[0]), values).second;
    ASSERT_TRUE(is_new) << table.name << " has key " << values[0] << " twice";
  }

  std::map<std::string, Rows> tables_;
};

class StreamedTest : public StreamedFixture {
 protected:
  // So many rows of about 200 bytes that compress badly.
  static std::string insert(int from, int to, const char* table = "t") {
    return fmt::format(
        "INSERT INTO {} SELECT i, md5(i::text) || md5((i * 7)::text) || md5((i * 11)::text) || "
        "md5((i * 13)::text) FROM generate_series({}, {}) i",
        table, from, to);
  }

  std::size_t adopted_segments() {
    std::size_t count = 0;
    for (const log::SegmentInfo& segment : log_->segments())
      count += fs_.content(segment.file)[8] == 2;
    return count;
  }

  Model replay(const model::Position& after = {}, Model model = {}) {
    auto reader = BatchReader::open(*log_, after, {.batch_rows_max = 300}).value();
    while (true) {
      auto event = reader->next(Microseconds(0));
      EXPECT_TRUE(event.ok()) << event.error().text();
      if (!event.ok() || event->kind == LogEvent::Kind::kNothing) return model;
      if (event->batch) model.apply(*event->batch);
      if (HasFatalFailure()) return model;
    }
  }

  std::string source_rows(const std::string& table = "t") {
    return sql(fmt::format("SELECT * FROM {} ORDER BY 1", table));
  }

  void expect_equal(const std::string& table = "t") {
    settle();
    EXPECT_EQ(replay().rows(table), source_rows(table));
    EXPECT_EQ(log::verify(fs_, "data/log")->damages.size(), 0u);
  }
};

const char* const kTable = "CREATE TABLE t (id int PRIMARY KEY, v text)";

}  // namespace

TEST_P(StreamedTest, TransactionsAreThereAtTheirCommitAndInItsOrder) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  postgres::Connection first = session(), second = session(), third = session();
  run(first, "BEGIN; " + insert(1, 1000));
  run(second, "BEGIN; " + insert(2001, 3000));
  run(third, "BEGIN; " + insert(4001, 5000));
  wait_streamed(3);
  run(first, insert(1001, 2000));
  run(second, insert(3001, 3500));
  sql("INSERT INTO t VALUES (9000, 'small')");
  settle();
  EXPECT_EQ(replay().rows("t"), "9000|small");
  run(second, "COMMIT");
  settle();
  EXPECT_EQ(replay().rows("t"), source_rows());
  run(third, "ROLLBACK");
  run(first, "UPDATE t SET v = 'x' WHERE id = 7; COMMIT");
  expect_equal();
  const bool adopts = std::string(GetParam().name).starts_with("Adopted");
  EXPECT_EQ(adopted_segments(), adopts ? 2u : 0u);
  EXPECT_EQ(fs_.list("data/log/spool").value().size(), 0u);
  // What the log holds is the same after opening it again, and capture goes on.
  stop();
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  run(first, insert(10'001, 11'000));
  expect_equal();
}

// Leaves are described in the stream, but are no tables of the log's.
TEST_P(StreamedTest, PartitionsAreSentAsTheirRoot) {
  sql("CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (1000);"
      "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (1000) TO (9000)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  postgres::Connection open = session();
  run(open, "BEGIN; " + insert(1, 2000) + "; UPDATE t SET id = id + 3000 WHERE id = 7");
  wait_streamed(1);
  run(open, "COMMIT");
  expect_equal();
  capture_->stop();
  for (const auto& [key, frame] : log_->schemas()) {
    log::RecordReader records(frame->payload);
    std::string_view record;
    ASSERT_TRUE(records.next(record));
    const model::Table table = postgres::decode_schema(record)->table;
    EXPECT_NE(table.presence, model::Presence::kUnpublished) << table.name;
    EXPECT_EQ(table.presence == model::Presence::kCaptured, table.name == "t") << table.name;
  }
}

TEST_P(StreamedTest, RolledBackSavepointsLeaveNothing) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  postgres::Connection open = session();
  run(open, "BEGIN; " + insert(1, 1000));
  run(open, "SAVEPOINT a; " + insert(1001, 2000));
  run(open, "SAVEPOINT b; " + insert(2001, 3000) + "; DELETE FROM t WHERE id < 500");
  wait_streamed(1);
  run(open, "ROLLBACK TO b; " + insert(2001, 2100) + "; RELEASE b");
  run(open, "SAVEPOINT c; SAVEPOINT d; " + insert(5001, 6000) + "; RELEASE d; ROLLBACK TO c");
  run(open, "SAVEPOINT e; TRUNCATE t; ROLLBACK TO e; " + insert(6001, 6500));
  // Many small ones, every other rolled back.
  run(open,
      "DO $$ BEGIN FOR i IN 7001..7400 LOOP BEGIN INSERT INTO t VALUES (i, repeat('y', 500)); "
      "IF i % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF; EXCEPTION WHEN raise_exception THEN NULL; "
      "END; END LOOP; END $$");
  run(open, "COMMIT");
  expect_equal();
  EXPECT_GE(sql("SELECT count(*) FROM t"), "2");
}

TEST_P(StreamedTest, WhatIsRolledBackLeavesNothing) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  postgres::Connection open = session();
  for (int round = 0; round < 3; ++round) {
    run(open, "BEGIN; " + insert(1, 1500));
    wait_streamed(static_cast<std::uint64_t>(round) + 1);
    run(open, "SAVEPOINT a; " + insert(2001, 2500) + "; ROLLBACK");
  }
  sql("INSERT INTO t VALUES (1, 'x')");
  settle();
  EXPECT_EQ(changes(), (std::vector<std::string>{"i t 1"}));
  EXPECT_EQ(fs_.list("data/log/spool").value().size(), 0u);
}

TEST_P(StreamedTest, DdlTruncateToastAndKeysInsideOneTransaction) {
  sql("CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t ALTER v SET STORAGE EXTERNAL; "
      "CREATE TABLE u (id int PRIMARY KEY, n numeric(10,2), m text)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  sql("INSERT INTO t VALUES (1, repeat('toast', 2000))");
  postgres::Connection open = session();
  run(open, "BEGIN; " + insert(1001, 2000) + "; UPDATE t SET id = 2 WHERE id = 1");
  wait_streamed(1);
  run(open, "UPDATE t SET id = id + 10000 WHERE id > 1900");
  run(open, "INSERT INTO u SELECT i, i * 1.5, 'u' FROM generate_series(1, 1000) i");
  run(open, "TRUNCATE u; INSERT INTO u SELECT i, i, 'w' FROM generate_series(1, 500) i");
  run(open, "ALTER TABLE t ADD COLUMN extra text; UPDATE t SET extra = 'e' WHERE id % 2 = 0");
  run(open,
      "SAVEPOINT s; ALTER TABLE t ADD COLUMN gone int; UPDATE t SET gone = 1; "
      "INSERT INTO t SELECT i, 'g', 'g', 1 FROM generate_series(20001, 21000) i; "
      "ROLLBACK TO s");
  run(open, "UPDATE t SET extra = 'f' WHERE id % 3 = 0; COMMIT");
  settle();
  const Model model = replay();
  EXPECT_EQ(model.rows("u"), source_rows("u"));
  // Rows that have not changed since the column came lack it, as PostgreSQL sends nothing of them.
  EXPECT_EQ(sql("SELECT count(*) FROM t"), "1001");
  std::string rows;
  std::string source = source_rows();
  for (std::size_t at = 0; at < source.size();) {
    const std::size_t end = std::min(source.find('\n', at), source.size());
    std::string row = source.substr(at, end - at);
    if (row.back() == '|') row.pop_back();
    rows += (rows.empty() ? "" : "\n") + row;
    at = end + 1;
  }
  EXPECT_EQ(model.rows("t"), rows);
  // The next ordinary transaction is read with the new shape, also by who begins behind it all.
  const model::Position end = log_->durable_position();
  sql("INSERT INTO t VALUES (30000, 'a', 'b')");
  settle();
  Model rest = replay(end);
  EXPECT_EQ(rest.rows("t"), "30000|a|b");
}

TEST_P(StreamedTest, AReaderGoesOnInsideATransaction) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  postgres::Connection open = session();
  run(open, "BEGIN; " + insert(1, 1000));
  wait_streamed(1);
  run(open, "SAVEPOINT a; " + insert(1001, 1500) + "; ROLLBACK TO a");
  run(open,
      "ALTER TABLE t ADD COLUMN w text; INSERT INTO t SELECT i, 'v', 'w' FROM "
      "generate_series(2001, 3000) i; COMMIT");
  settle();
  auto reader = BatchReader::open(*log_, {}, {.batch_rows_max = 100}).value();
  std::vector<std::pair<model::Position, Model>> stops;
  Model model;
  while (true) {
    const LogEvent event = reader->next(Microseconds(0)).value();
    if (event.kind == LogEvent::Kind::kNothing) break;
    if (!event.batch) continue;
    model.apply(*event.batch);
    stops.emplace_back(event.position, model);
  }
  ASSERT_GE(stops.size(), 3u);
  const std::string all = model.rows("t");
  for (const auto& [position, before] : stops) {
    EXPECT_EQ(replay(position, before).rows("t"), all) << model::to_string(position);
    if (HasFailure()) return;
  }
}

TEST_P(StreamedTest, PreparedTransactionsComeAtCommitPrepared) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  postgres::Connection open = session();
  run(open, "BEGIN; " + insert(1, 1000));
  wait_streamed(1);
  run(open, "PREPARE TRANSACTION 'large'");
  run(open, "BEGIN; INSERT INTO t VALUES (5001, 'small')");
  run(open, "PREPARE TRANSACTION 'small'");
  run(open, "BEGIN; " + insert(6001, 7000));
  wait_streamed(2);
  run(open, "PREPARE TRANSACTION 'gone'");
  run(open, "BEGIN; INSERT INTO t VALUES (5002, 'small')");
  run(open, "PREPARE TRANSACTION 'small gone'");
  sql("INSERT INTO t VALUES (8000, 'between')");
  settle();
  EXPECT_EQ(replay().rows("t"), "8000|between");
  run(open, "ROLLBACK PREPARED 'gone'");
  run(open, "ROLLBACK PREPARED 'small gone'");
  run(open, "COMMIT PREPARED 'small'");
  settle();
  EXPECT_EQ(replay().rows("t"), "5001|small\n8000|between");
  run(open, "COMMIT PREPARED 'large'");
  expect_equal();
}

TEST_P(StreamedTest, ALostConnectionBringsAllOfItAgain) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  postgres::Connection first = session(), second = session();
  for (int round = 0; round < 4; ++round) {
    const int at = 10'000 * (round + 1);
    run(first, "BEGIN; " + insert(at + 1, at + 1000));
    run(second, "BEGIN; " + insert(at + 2001, at + 3000) + "; SAVEPOINT s; " +
                    insert(at + 3001, at + 4000));
    wait_streamed(2 * static_cast<std::uint64_t>(round) + 2);
    run(second, "ROLLBACK TO s");
    if (round % 2 == 0) {
      sql(
          fmt::format("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE "
                      "slot_name = '{}'",
                      slot_));
    } else {
      fs_.crash();
      stop();
      start();
    }
    run(first, insert(at + 5001, at + 5500) + "; COMMIT");
    run(second, "COMMIT");
    settle();
  }
  expect_equal();
}

TEST_P(StreamedTest, AFullDiskMakesCaptureWait) {
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  settle();
  postgres::Connection open = session();
  fs_.set_capacity(fs_.used_bytes() + 150'000);
  run(open, "BEGIN; " + insert(1, 4000));
  wait_streamed(1);
  run(open, "COMMIT");
  ASSERT_TRUE(wait_state(CaptureState::kWaitingForDisk));
  fs_.set_no_capacity_limit();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  expect_equal();
}

// Sessions with keys of their own; transactions of any size that commit, roll back, and roll back
// to savepoints; now and then the connection is cut, or all is killed and unsynced bytes forgotten.
// The server decodes it anew, whole this time: one of which nothing is left is not sent again.
TEST_P(StreamedTest, ASessionGoesOnBehindOneThatWasNotConfirmed) {
  confirms_ = false;
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  for (const bool rolled_back : {true, false}) {
    postgres::Connection large = session();
    run(large, "BEGIN; SAVEPOINT s");
    run(large, insert(1, 2000));
    wait_streamed(rolled_back ? 1 : 2);
    run(large, rolled_back ? "ROLLBACK TO s; COMMIT" : "COMMIT");
    settle();
    const std::uint64_t before = capture_->status().reconnects;
    sql(
        fmt::format("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE "
                    "slot_name = '{}'",
                    slot_));
    EXPECT_TRUE(wait_until([&] { return capture_->status().reconnects > before; }));
    sql(fmt::format("INSERT INTO t VALUES ({}, 'next')", rolled_back ? 10'000 : 20'000));
    expect_equal();
  }
}

TEST_P(StreamedTest, RandomTransactionsAgreeWithTheSource) {
  const unsigned seed = harness::test_seed();
  std::mt19937 random(seed);
  const auto below = [&](unsigned n) { return static_cast<int>(random() % n); };
  constexpr int kSessions = 4;
  sql(kTable);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  std::vector<postgres::Connection> sessions;
  for (int i = 0; i < kSessions; ++i) sessions.push_back(session());
  std::vector<bool> open(kSessions, false);
  std::vector<int> savepoints(kSessions, 0);
  for (int step = 0; step < 150; ++step) {
    const auto at = static_cast<std::size_t>(below(kSessions));
    const int base = static_cast<int>(at) * 100'000;
    postgres::Connection& own = sessions[at];
    if (!open[at]) {
      run(own, "BEGIN");
      open[at] = true;
      savepoints[at] = 0;
    }
    const int from = base + below(3000), size = below(2) == 0 ? below(900) : below(10);
    const std::string range = fmt::format("id BETWEEN {} AND {}", from, from + size);
    switch (below(10)) {
      case 0:
      case 1:
      case 2:
        run(own, insert(from, from + size) + " ON CONFLICT (id) DO UPDATE SET v = 'again'");
        break;
      case 3:
        run(own, fmt::format("UPDATE t SET v = v || '{}' WHERE {}", step, range));
        break;
      case 4:
        run(own, fmt::format("DELETE FROM t WHERE {}", range));
        break;
      case 5:
        run(own, fmt::format("SAVEPOINT s{}", savepoints[at]++));
        break;
      case 6:
        if (savepoints[at] == 0) break;
        savepoints[at] = below(static_cast<unsigned>(savepoints[at]));
        run(own, fmt::format("ROLLBACK TO s{0}; RELEASE s{0}", savepoints[at]));
        break;
      case 7:
      case 8:
        run(own, below(4) == 0 ? "ROLLBACK" : "COMMIT");
        open[at] = false;
        break;
      default:
        if (below(4) != 0) break;
        if (below(2) == 0) {
          fs_.crash();
          stop();
          start();
        } else {
          sql(
              fmt::format("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                          "WHERE slot_name = '{}' AND active_pid IS NOT NULL",
                          slot_));
        }
    }
    ASSERT_FALSE(HasFatalFailure());
  }
  for (std::size_t at = 0; at < sessions.size(); ++at) {
    if (open[at]) run(sessions[at], "COMMIT");
  }
  expect_equal();
}

INSTANTIATE_TEST_SUITE_P(All, StreamedTest,
                         testing::Values(adopted(), appended_from_file(), appended_from_memory(),
                                         adopted_with_little(), adopted_with_little_rolled_back()),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace pgweir::pipeline
