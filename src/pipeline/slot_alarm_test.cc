// What is alarming about a slot, and when.
#include "pipeline/slot_alarm.h"

#include <gtest/gtest.h>

#include <utility>

namespace pgweir::pipeline {
namespace {
using namespace std::chrono_literals;

postgres::SlotInfo slot_with(std::uint64_t retained, std::optional<std::uint64_t> safe) {
  postgres::SlotInfo slot;
  slot.name = "s";
  slot.wal_status = "reserved";
  slot.retained_bytes = retained;
  slot.safe_bytes = safe;
  if (safe) slot.limit_bytes = retained + *safe;
  return slot;
}

// Judged every 10 s with these bytes held back out of 1000 MiB.
SlotHealth after(std::initializer_list<std::uint64_t> held_mib) {
  SlotAlarm alarm;
  SlotHealth health;
  Microseconds now = 5s;
  for (const std::uint64_t held : held_mib) {
    health = alarm.judge(slot_with(held * kMiB, (1000 - held) * kMiB), now);
    now += 10s;
  }
  return health;
}

}  // namespace

TEST(SlotAlarm, NothingWhileLittleIsHeldBack) {
  const SlotHealth health = after({10, 10, 10});
  EXPECT_EQ(health.danger, SlotDanger::kNone);
  EXPECT_EQ(health.alarm, "");
  EXPECT_EQ(health.growth_bytes_per_second, 0.0);
  EXPECT_FALSE(health.time_left);
}

TEST(SlotAlarm, HalfOfTheLimitIsAlarming) {
  EXPECT_EQ(after({499}).danger, SlotDanger::kNone);
  const SlotHealth health = after({500});
  EXPECT_EQ(health.danger, SlotDanger::kWarning);
  EXPECT_EQ(health.alarm,
            "the server holds back 500.0 MiB of WAL for slot 's', 50 % of what "
            "max_slot_wal_keep_size allows");
}

TEST(SlotAlarm, LessThanAnHourLeftIsAlarming) {
  // 10 MiB in 10 s: 800 MiB are left.
  const SlotHealth health = after({190, 200});
  EXPECT_DOUBLE_EQ(*health.growth_bytes_per_second, static_cast<double>(kMiB));
  EXPECT_EQ(health.time_left, Milliseconds(800'000));
  EXPECT_EQ(health.danger, SlotDanger::kWarning);
  EXPECT_EQ(health.alarm,
            "the server holds back 200.0 MiB of WAL for slot 's', 20 % of what "
            "max_slot_wal_keep_size allows; at the present rate the slot is lost in about 13 min");
  // What comes and goes between two checkpoints, and slow growth, are not.
  EXPECT_EQ(after({10, 90}).danger, SlotDanger::kNone);
  EXPECT_EQ(after({200, 201}).danger, SlotDanger::kNone);
  EXPECT_EQ(after({400, 200}).danger, SlotDanger::kNone);
  EXPECT_LT(*after({400, 200}).growth_bytes_per_second, 0);
}

TEST(SlotAlarm, RateIsOfTheLastMinute) {
  const SlotHealth health = after({0, 100, 100, 100, 100, 100, 100, 100, 100});
  EXPECT_EQ(health.growth_bytes_per_second, 0.0);
  EXPECT_FALSE(after({10}).growth_bytes_per_second);
}

TEST(SlotAlarm, WithoutALimitManyBytesAreAlarming) {
  SlotAlarm alarm;
  EXPECT_EQ(alarm.judge(slot_with(9 * kGiB, {}), 0s).danger, SlotDanger::kNone);
  EXPECT_EQ(alarm.judge(slot_with(10 * kGiB, {}), 1s).danger, SlotDanger::kWarning);
}

TEST(SlotAlarm, LostOrAboutToBe) {
  postgres::SlotInfo slot = slot_with(kGiB, 0);
  slot.wal_status = "unreserved";
  EXPECT_EQ(SlotAlarm().judge(slot, 0s).danger, SlotDanger::kLost);
  slot.wal_status = "lost";
  slot.safe_bytes.reset();
  const std::pair<const char*, const char*> kReasons[] = {
      {"",
       "slot 's' is lost: the server removed WAL that it still needed, more than "
       "max_slot_wal_keep_size = 1.0 GiB"},
      {"wal_removed",
       "slot 's' is lost: the server removed WAL that it still needed, more than "
       "max_slot_wal_keep_size = 1.0 GiB"},
      {"idle_timeout",
       "slot 's' is lost: nobody read it for longer than idle_replication_slot_timeout = 2m"},
      {"rows_removed",
       "slot 's' is lost: rows of the catalog that it needed were removed on the primary "
       "(rows_removed)"},
      {"wal_level_insufficient",
       "slot 's' is lost: wal_level was lowered below logical (wal_level_insufficient)"},
      {"of_tomorrow", "slot 's' is lost: the server has invalidated it (of_tomorrow)"},
  };
  slot.idle_timeout = 2min;
  for (const auto& [reason, alarm] : kReasons) {
    slot.invalidation_reason = reason;
    const SlotHealth health = SlotAlarm().judge(slot, 0s);
    EXPECT_EQ(health.danger, SlotDanger::kLost);
    EXPECT_EQ(health.alarm, alarm);
    EXPECT_NE(health.hint.find("run --resync"), std::string::npos);
  }
  EXPECT_EQ(SlotAlarm::gone("s").alarm, "slot 's' is gone from the server");
}

}  // namespace pgweir::pipeline
