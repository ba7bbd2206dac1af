// Method: a fake socket that fills at a given rate while the policy sleeps, read to its end after
// each sleep.
#include "postgres/gulp_policy.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pgweir::postgres {
namespace {
using namespace std::chrono_literals;

struct Simulation {
  int sleeps = 0;
  int polls = 0;
  double fill_max = 0;
};

// A poll returns with the first message, 20 us later.
Simulation simulate(double bytes_per_us, double buffer_bytes, int gulps) {
  GulpPolicy policy;
  Simulation out;
  Microseconds now{1'000'000}, pause{0};
  for (int i = 0; i < gulps; ++i) {
    const Microseconds passed = pause.count() > 0 ? pause : 20us;
    now += passed;
    const double bytes = std::min(bytes_per_us * static_cast<double>(passed.count()), buffer_bytes);
    pause.count() > 0 ? ++out.sleeps : ++out.polls;
    out.fill_max = std::max(out.fill_max, bytes / buffer_bytes);
    pause = policy.after_gulp(static_cast<std::size_t>(bytes), bytes / buffer_bytes, now);
  }
  return out;
}

TEST(GulpPolicy, QuietStreamIsPolled) {
  const Simulation quiet = simulate(0.5, 1e6, 100);
  EXPECT_EQ(quiet.polls, 100);
  EXPECT_EQ(quiet.sleeps, 0);
}

TEST(GulpPolicy, SmallTransactionIsPolled) {
  GulpPolicy policy;
  EXPECT_EQ(policy.after_gulp(1'500, 0.01, 1s), 0us);
  EXPECT_EQ(policy.after_gulp(1'500, 0.01, 2s), 0us);
  EXPECT_EQ(policy.after_gulp(1'500, 0.01, 3s), 0us);
}

TEST(GulpPolicy, BacklogOfSmallMessagesIsSeenAfterAFewKilobytes) {
  const Simulation backlog = simulate(50, 1e6, 1000);
  EXPECT_LT(backlog.polls, 10);
}

TEST(GulpPolicy, BacklogIsTakenInGulpsThatGrowToTheLimit) {
  GulpPolicy policy;
  EXPECT_EQ(policy.after_gulp(20'000, 0.02, 1s), 600us);
  EXPECT_EQ(policy.after_gulp(40'000, 0.04, 1s + 600us), 700us);
  EXPECT_EQ(policy.after_gulp(40'000, 0.04, 1s + 1300us), 700us);
}

TEST(GulpPolicy, SmallBufferIsEmptiedMoreOftenButNeverInABusyLoop) {
  GulpPolicy policy;
  (void)policy.after_gulp(20'000, 0.02, 1s);  // 600 us
  EXPECT_EQ(policy.after_gulp(90'000, 0.15, 1s + 600us), 400us);
  EXPECT_EQ(policy.after_gulp(90'000, 1.0, 1s + 1000us), 300us);
}

TEST(GulpPolicy, EndOfABacklogGoesBackToPolling) {
  GulpPolicy policy;
  EXPECT_GT(policy.after_gulp(50'000, 0.1, 1s), 0us);
  EXPECT_EQ(policy.after_gulp(0, 0.0, 1s + 300us), 0us);
  EXPECT_EQ(policy.after_gulp(100, 0.0, 1s + 20ms), 0us);
}

TEST(GulpPolicy, PauseOfTheServerDoesNotEndABacklog) {
  GulpPolicy policy;
  EXPECT_GT(policy.after_gulp(100'000, 0.1, 1s), 0us);
  EXPECT_EQ(policy.after_gulp(0, 0.0, 1s + 700us), 0us);
  // Woken in poll() by the first message: the others are let come.
  EXPECT_GT(policy.after_gulp(140, 0.0, 1s + 5ms), 0us);
}

TEST(GulpPolicy, BufferDoesNotOverflowAtTheRatesOfOneWalsender) {
  // 50 and 200 bytes a microsecond: 350 k rows a second are about 50.
  EXPECT_LT(simulate(50, 400'000, 1000).fill_max, 0.6);
  EXPECT_LT(simulate(200, 400'000, 1000).fill_max, 0.6);
}

}  // namespace
}  // namespace pgweir::postgres
