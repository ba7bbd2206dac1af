// What PostgreSQL commits is in the log, once and in order, whatever happens on the way.
#include "pipeline/capture.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <thread>

#include "pipeline/testing_capture_fixture.h"

namespace pgweir::pipeline {
namespace {
using namespace std::chrono_literals;

using CaptureTest = CaptureFixture;

}  // namespace

TEST_F(CaptureTest, SnapshotThenStreamWithoutGapOrOverlap) {
  sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  sql("INSERT INTO t VALUES (3, 'c'); UPDATE t SET v = 'x' WHERE id = 1; DELETE FROM t WHERE id = "
      "2; TRUNCATE t");
  settle();
  EXPECT_EQ(changes(), (Changes{"r t 1", "r t 2", "i t 3", "u t 1", "d t 2", "t t "}));
}

TEST_F(CaptureTest, TheServerTellsWhatTheSlotHoldsBack) {
  sql("CREATE TABLE t (id int PRIMARY KEY)");
  start();
  EXPECT_FALSE(capture_->status().slot.slot);
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  ASSERT_TRUE(wait_until([&] { return capture_->status().slot.slot.has_value(); }));
  EXPECT_EQ(capture_->status().slot.slot->wal_status, "reserved");
  // restart_lsn, which decides what is kept, stays behind while a transaction is open.
  const std::uint64_t before = capture_->status().slot.slot->retained_bytes;
  sql("CREATE TABLE fill AS SELECT repeat('x', 1000) AS v FROM generate_series(1, 3000)");
  EXPECT_TRUE(wait_until(
      [&] { return capture_->status().slot.slot->retained_bytes > before + 1'000'000; }));
}

TEST_F(CaptureTest, CommitsDuringTheSnapshotAreThereOnce) {
  sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat('x', 100) FROM "
      "generate_series(1, 50000) i");
  std::atomic<bool> writing{true};
  std::jthread writer([&] {
    for (int i = 100'000; writing; ++i) sql(fmt::format("INSERT INTO t VALUES ({}, 'new')", i));
  });
  start();
  EXPECT_TRUE(wait_state(CaptureState::kStreaming));
  std::this_thread::sleep_for(200ms);
  writing = false;
  writer.join();
  settle();
  Changes seen = changes();
  for (std::string& change : seen) change = change.substr(2);
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end()) << "a row came twice";
  EXPECT_EQ(std::to_string(seen.size()), sql("SELECT count(*) FROM t"));
}

TEST_F(CaptureTest, ARestartGoesOnWhereItStopped) {
  sql("CREATE TABLE t (id int PRIMARY KEY)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  sql("INSERT INTO t VALUES (1)");
  settle();
  stop();
  sql("INSERT INTO t VALUES (2)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  sql("INSERT INTO t VALUES (3)");
  settle();
  EXPECT_EQ(changes(), (Changes{"i t 1", "i t 2", "i t 3"}));
}

TEST_F(CaptureTest, ACrashThatForgetsUnsyncedBytesLosesNothing) {
  sql("CREATE TABLE t (id int PRIMARY KEY)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 20; ++i) sql(fmt::format("INSERT INTO t VALUES ({})", round * 20 + i));
    fs_.crash();  // what was confirmed until now must be there
    stop();
    start();
    ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  }
  settle();
  Changes expected;
  for (int i = 0; i < 100; ++i) expected.push_back(fmt::format("i t {}", i));
  EXPECT_EQ(changes(), expected);
}

TEST_F(CaptureTest, AFullDiskMakesCaptureWaitAndLosesNothing) {
  sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  settle();
  fs_.set_capacity(fs_.used_bytes());
  sql("INSERT INTO t SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 5000) i");
  ASSERT_TRUE(wait_state(CaptureState::kWaitingForDisk));
  EXPECT_NE(capture_->status().message.find("The disk is full"), std::string::npos);
  sql("INSERT INTO t VALUES (5001, 'x')");
  fs_.set_no_capacity_limit();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  settle();
  EXPECT_EQ(changes().size(), 5001u);
}

TEST_F(CaptureTest, ALargeTransactionIsCutIntoFramesAndComesBackWhole) {
  sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  sql("INSERT INTO t SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 20000) i");
  settle();
  EXPECT_EQ(changes().size(), 20'000u);
  // From the middle of the transaction.
  model::Position middle = log_->durable_position();
  auto reader = BatchReader::open(*log_, {}, {.batch_rows_max = 100}).value();
  for (LogEvent event;
       (event = reader->next(Microseconds(0)).value()).kind != LogEvent::Kind::kNothing;) {
    if (event.kind == LogEvent::Kind::kBatch && !event.batch->ends_transaction()) {
      middle = event.position;
      break;
    }
  }
  ASSERT_GT(middle.sequence, 1u);
  auto rest = BatchReader::open(*log_, middle, {}).value();
  std::uint64_t count = 0;
  for (LogEvent event;
       (event = rest->next(Microseconds(0)).value()).kind != LogEvent::Kind::kNothing;)
    if (event.batch) count += event.batch->changes.size();
  EXPECT_EQ(count, 20'000 - middle.sequence);
}

TEST_F(CaptureTest, ASlotAheadOfTheLogIsRefused) {
  sql("CREATE TABLE t (id int PRIMARY KEY)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  stop();
  sql("INSERT INTO t VALUES (1)");
  sql(fmt::format("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", slot_));
  start();
  ASSERT_TRUE(wait_state(CaptureState::kFailed));
  const Error failure = *capture_->status().failure;
  EXPECT_EQ(failure.code, Code::kCorruption);
  EXPECT_EQ(failure.message, fmt::format("slot '{}' is ahead of the log", slot_));
}

TEST_F(CaptureTest, ASlotThatIsGoneIsRefused) {
  sql("CREATE TABLE t (id int PRIMARY KEY)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  stop();
  sql(fmt::format("SELECT pg_drop_replication_slot('{}')", slot_));
  start();
  ASSERT_TRUE(wait_state(CaptureState::kFailed));
  EXPECT_EQ(capture_->status().failure->code, Code::kCorruption);
  EXPECT_EQ(capture_->status().failure->message,
            fmt::format("slot '{}' is gone from the server", slot_));
}

TEST_F(CaptureTest, AnIdlePositionMovesWithForeignWrites) {
  sql("CREATE TABLE t (id int PRIMARY KEY)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  sql("CREATE TABLE other (id int); INSERT INTO other SELECT generate_series(1, 1000)");
  settle();
}

TEST_F(CaptureTest, AWalsenderThatIsEndedIsFollowedByAnother) {
  sql("CREATE TABLE t (id int PRIMARY KEY)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  Changes expected;
  for (int i = 0; i < 5; ++i) {
    sql(fmt::format("INSERT INTO t VALUES ({})", i));
    expected.push_back(fmt::format("i t {}", i));
    sql(fmt::format(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{}'",
        slot_));
  }
  settle();
  EXPECT_EQ(changes(), expected);
  EXPECT_GE(capture_->status().reconnects, 1u);
}

}  // namespace pgweir::pipeline
