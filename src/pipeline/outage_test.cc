// What goes wrong between us and the server, and on either of them, loses nothing and repeats
// nothing.
//
// Method: every row that was ever committed has a key of its own; in the end the log has each of
//         them once, in order.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include "harness/proxy.h"
#include "pipeline/testing_capture_fixture.h"

namespace pgweir::pipeline {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

Changes inserts(int count) {
  Changes out;
  for (int i = 1; i <= count; ++i) out.push_back(fmt::format("i t {}", i));
  return out;
}

class OutageTest : public CaptureFixture {
 protected:
  explicit OutageTest(harness::Cluster& cluster = harness::shared_cluster())
      : CaptureFixture(cluster), proxy_(cluster.port()) {
    sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
  }
  ~OutageTest() override { stop(); }

  void adjust(CaptureOptions& options) override {
    options.url = fmt::format("postgresql://postgres@127.0.0.1:{}/{}?connect_timeout=1",
                              proxy_.port(), database_);
    options.backoff_max = 100ms;
    options.silence_max = silence_max_;
  }
  // The next rows, of about `bytes` each, in one transaction.
  void insert(int count, int bytes = 20) {
    sql(
        fmt::format("INSERT INTO t SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM "
                    "generate_series(0, {2} / 32) j) FROM generate_series({0} + 1, {0} + {1}) i",
                    last_, count, bytes));
    last_ += count;
  }
  void expect_everything() {
    settle();
    EXPECT_EQ(changes(), inserts(last_));
  }
  // The process that serves the slot, 0 without one.
  std::string serving() {
    return sql(fmt::format(
        "SELECT coalesce(max(active_pid), 0) FROM pg_replication_slots WHERE slot_name = '{}'",
        slot_));
  }

  harness::Proxy proxy_;
  Milliseconds silence_max_{60'000};
  int last_ = 0;
};

class OwnCluster {
 protected:
  OwnCluster() : own_({.settings = {{"fsync", "on"}, {"wal_sender_timeout", "1s"}}}) {}
  harness::Cluster own_;
};
class OwnServerTest : protected OwnCluster, public OutageTest {
 protected:
  OwnServerTest() : OutageTest(own_) {}
  ~OwnServerTest() override { stop(); }
};

}  // namespace

TEST_F(OutageTest, ConnectionsCutAnywhereInAMessageOrATransaction) {
  std::mt19937 random(harness::test_seed());
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  std::uniform_int_distribution<int> few(1, 300), many(1, 200'000);
  for (std::uint64_t cut = 1; cut <= 25; ++cut) {
    // Of a transaction of about 200 kB.
    proxy_.cut_after(static_cast<std::uint64_t>(cut % 5 == 0 ? few(random) : many(random)));
    insert(1000, 200);
    ASSERT_TRUE(wait_until([&] { return proxy_.cuts() == cut; }));
  }
  expect_everything();
  EXPECT_GE(capture_->status().reconnects, 10u);
}

TEST_F(OutageTest, ANetworkThatSwallowsEverythingIsNoticedAndPassedOver) {
  silence_max_ = 600ms;
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  insert(10);
  settle();
  proxy_.swallow(true);
  insert(10);
  ASSERT_TRUE(wait_state(CaptureState::kReconnecting));
  EXPECT_THAT(capture_->status().message, HasSubstr("the server has sent nothing for"));
  proxy_.swallow(false);
  expect_everything();
}

TEST_F(OutageTest, AConnectionThatTheServerHasGivenUpIsNotWaitedFor) {
  silence_max_ = 400ms;
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  // A silent proxy that hides the end of its server's process: the rest of the network is fine.
  const std::string process = serving();
  proxy_.swallow(true);
  sql(fmt::format("SELECT pg_terminate_backend({})", process));
  ASSERT_TRUE(wait_state(CaptureState::kReconnecting));
  proxy_.swallow(false);
  insert(10);
  expect_everything();
}

TEST_F(OutageTest, AServerThatIsBusyWithoutAWordIsNotGivenUp) {
  silence_max_ = 400ms;
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  const std::string process = serving();
  // A process that is stopped answers nothing, like one that is in the middle of a huge
  // transaction.
  ASSERT_EQ(::kill(std::stoi(process), SIGSTOP), 0);
  const bool told = wait_until([&] {
    return capture_->status().message.find("its process " + process + " is at work") !=
           std::string::npos;
  });
  EXPECT_EQ(capture_->status().state, CaptureState::kStreaming);
  ASSERT_EQ(::kill(std::stoi(process), SIGCONT), 0);
  EXPECT_TRUE(told) << capture_->status().message;
  insert(10);
  expect_everything();
  EXPECT_EQ(capture_->status().reconnects, 0u);
  EXPECT_EQ(capture_->status().message, "");
}

TEST_F(OutageTest, AClockThatIsSetBackAndForth) {
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  for (const auto shift : {0min, -600min, 1200min, -601min}) {
    clock_.set_by(shift);
    insert(10);
    settle();
    stop();  // and what is on disk opens
    start();
    ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  }
  expect_everything();
}

TEST_F(OwnServerTest, TheServerStopsInEveryWay) {
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  using Stop = harness::Cluster::Stop;
  for (const Stop how : {Stop::kFast, Stop::kImmediate, Stop::kKill, Stop::kFast}) {
    insert(2000, 100);
    // A fast stop waits until we have confirmed everything: it must not wait long.
    const auto began = std::chrono::steady_clock::now();
    own_.stop(how);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
    ASSERT_TRUE(wait_state(CaptureState::kReconnecting));
    own_.start();
    insert(10);
  }
  expect_everything();
}

TEST_F(OwnServerTest, AServerThatGaveUsUpFindsUsAgain) {
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  const std::string process = serving();
  proxy_.swallow(true);
  insert(10);
  // wal_sender_timeout is a second.
  ASSERT_TRUE(wait_until([&] { return serving() == "0"; }));
  proxy_.swallow(false);
  insert(10);
  expect_everything();
}

TEST_F(OwnServerTest, AFullDiskOfTheServer) {
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  insert(100);
  // The write-ahead log cannot be written, and the server ends itself.
  own_.fill_disk();
  const auto refused = io::run(
      {.arguments = {"psql", "-Xc", "INSERT INTO t VALUES (100000, 'x')", own_.url(database_)}},
      60s);
  ASSERT_TRUE(refused.ok());
  EXPECT_NE(refused->exit_code, 0);
  ASSERT_TRUE(wait_state(CaptureState::kReconnecting));
  own_.stop(harness::Cluster::Stop::kImmediate);
  own_.start();  // there is room again
  insert(100);
  expect_everything();
}

}  // namespace pgweir::pipeline
