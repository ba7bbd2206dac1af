// The slot of a running capture: it moves where nothing is written, and who holds it back is warned
// while there is time.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/testing_capture_fixture.h"

namespace pgweir::pipeline {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

class SlotTest : public CaptureFixture {
 protected:
  using CaptureFixture::CaptureFixture;
  void adjust(CaptureOptions& options) override {
    options.source.heartbeat = heartbeat_;
    options.slot_alarm.rate_span_min = 50ms;
    if (!url_.empty()) options.url = url_;
  }
  model::Lsn confirmed() {
    return model::parse_lsn(
               sql(fmt::format("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE "
                               "slot_name = '{}'",
                               slot_)))
        .value();
  }

  Milliseconds heartbeat_{50};
  std::string url_;
};

// WAL in segments of 1 MiB, of which the slot may hold back 24.
harness::Cluster& small_cluster() {
  static harness::Cluster cluster({.settings = {{"max_slot_wal_keep_size", "24MB"},
                                                {"max_wal_size", "4MB"},
                                                {"min_wal_size", "4MB"}},
                                   .initdb_arguments = {"--wal-segsize=1"}});
  return cluster;
}

class SmallServerSlotTest : public SlotTest {
 protected:
  SmallServerSlotTest() : SlotTest(small_cluster()) {}
};

}  // namespace

TEST_F(SlotTest, HeartbeatsMoveAnIdleSlotAndLeaveNoTrace) {
  sql("CREATE TABLE t (id int PRIMARY KEY)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  settle();
  for (int beats = 0; beats < 3; ++beats) {
    const model::Lsn before = confirmed();
    EXPECT_TRUE(wait_until([&] { return confirmed() > before; })) << beats;
  }
  EXPECT_EQ(changes(), Changes{});
  sql("INSERT INTO t VALUES (1)");
  settle();
  EXPECT_EQ(changes(), Changes{"i t 1"});
}

TEST_F(SlotTest, AnIdleDatabaseMovesBesideABusyOne) {
  sql("CREATE TABLE t (id int PRIMARY KEY)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  const std::string other = cluster().create_database();
  cluster().sql("CREATE TABLE fill (v text)", other);
  for (int round = 0; round < 3; ++round) {
    cluster().sql("INSERT INTO fill SELECT repeat('x', 1000) FROM generate_series(1, 2000)", other);
    const auto end = model::parse_lsn(sql("SELECT pg_current_wal_lsn()")).value();
    EXPECT_TRUE(wait_until([&] { return confirmed() >= end; }));
  }
  EXPECT_EQ(changes(), Changes{});
}

TEST_F(SlotTest, ARoleThatMayNotWriteHeartbeatsIsToldAndGoesOn) {
  const std::string role = "quiet_" + database_;
  // For everybody in this database alone.
  sql(
      fmt::format("CREATE ROLE {0} LOGIN REPLICATION; CREATE TABLE t (id int PRIMARY KEY);"
                  "ALTER TABLE t OWNER TO {0}; GRANT CREATE ON DATABASE {1} TO {0};"
                  "GRANT ALL ON SCHEMA public TO {0};"
                  "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE "
                  "proname = 'pg_logical_emit_message' LOOP EXECUTE format('REVOKE EXECUTE ON "
                  "FUNCTION %s FROM PUBLIC', f); END LOOP; END $$",
                  role, database_));
  url_ = fmt::format("postgresql://{}@127.0.0.1:{}/{}", role, cluster().port(), database_);
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  const auto findings = capture_->status().findings;
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].code, "heartbeat_privilege");
  EXPECT_THAT(findings[0].fix, HasSubstr("GRANT EXECUTE ON FUNCTION pg_logical_emit_message("));
  sql("INSERT INTO t VALUES (1)");
  settle();
  EXPECT_EQ(changes(), Changes{"i t 1"});
  stop();
  sql(findings[0].fix.substr(0, findings[0].fix.find(';')));
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  EXPECT_TRUE(capture_->status().findings.empty());
}

TEST_F(SmallServerSlotTest, HeldBackIsAlarmedLongBeforeItIsLost) {
  sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE fill (v text)");
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  ASSERT_TRUE(wait_until([&] { return capture_->status().slot.slot.has_value(); }));
  EXPECT_EQ(capture_->status().slot.danger, SlotDanger::kNone);
  EXPECT_EQ(capture_->status().slot.slot->limit_bytes, 24 * kMiB);
  // A full disk here: nothing can be confirmed any more.
  fs_.set_capacity(fs_.used_bytes());
  sql("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(wait_state(CaptureState::kWaitingForDisk));
  std::vector<SlotDanger> seen = {SlotDanger::kNone};
  std::string warning, lost;
  std::uint64_t safe_at_warning = 0;
  const auto look = [&](const SlotHealth& health) {
    if (health.danger != seen.back()) seen.push_back(health.danger);
    if (health.danger == SlotDanger::kWarning && warning.empty()) {
      warning = health.alarm;
      safe_at_warning = health.slot->safe_bytes.value_or(0);
    }
    if (health.slot && health.slot->lost()) lost = health.alarm;
  };
  for (int mib = 0; mib < 80 && lost.empty(); ++mib) {
    sql("INSERT INTO fill SELECT repeat('x', 1000) FROM generate_series(1, 900);"
        "SELECT pg_switch_wal(); CHECKPOINT");
    const auto end = model::parse_lsn(sql("SELECT pg_current_wal_lsn()")).value();
    const std::uint64_t held = model::value(end);
    wait_until(
        [&] {
          const SlotHealth health = capture_->status().slot;
          look(health);
          return !health.slot || health.slot->lost() ||
                 health.slot->retained_bytes + model::value(health.slot->restart_lsn) >= held;
        },
        std::chrono::seconds(5));
  }
  EXPECT_THAT(warning, HasSubstr("of what max_slot_wal_keep_size allows"));
  EXPECT_GT(safe_at_warning, 8 * kMiB);
  EXPECT_THAT(lost, HasSubstr("is lost: the server removed WAL that it still needed, more than "
                              "max_slot_wal_keep_size = 24.0 MiB"));
  ASSERT_GE(seen.size(), 3u);
  EXPECT_EQ(seen[1], SlotDanger::kWarning);
  EXPECT_EQ(seen.back(), SlotDanger::kLost);
  // With room again capture finds that the slot is lost, and says so.
  fs_.set_no_capacity_limit();
  ASSERT_TRUE(wait_state(CaptureState::kFailed));
  const Error failure = *capture_->status().failure;
  EXPECT_EQ(failure.code, Code::kCorruption);
  EXPECT_THAT(failure.text(), HasSubstr("run --resync"));
}

}  // namespace pgweir::pipeline
