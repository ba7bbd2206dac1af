// Method: a fake socket that fills while the policy sleeps and is read to its end after each sleep;
// how fast it fills depends on how long the sleep was.
#include "postgres/gulp_policy.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

namespace pgweir::postgres {
namespace {
using namespace std::chrono_literals;

// Bytes a microsecond as a function of the sleep, and of time.
using Source = std::function<double(Microseconds sleep, Microseconds now)>;

struct Simulation {
  std::map<std::int64_t, Microseconds> time_in;  // by the length of the sleep; 0 is poll()
  double share(Microseconds sleep) const {
    Microseconds all{0};
    for (const auto& [length, time] : time_in) all += time;
    const auto found = time_in.find(sleep.count());
    return found == time_in.end()
               ? 0
               : static_cast<double>(found->second.count()) / static_cast<double>(all.count());
  }
};

// A poll returns with the first message, 20 us later.
Simulation simulate(Microseconds duration, const Source& source) {
  GulpPolicy policy;
  Simulation out;
  Microseconds now{1'000'000}, pause{0};
  const Microseconds end = now + duration;
  while (now < end) {
    const Microseconds passed = pause.count() > 0 ? pause : 20us;
    const double bytes = source(pause, now) * static_cast<double>(passed.count());
    now += passed;
    out.time_in[pause.count()] += passed;
    pause = policy.after_gulp(static_cast<std::size_t>(bytes), 0.1, now);
  }
  return out;
}

TEST(GulpPolicy, QuietStreamIsPolled) {
  EXPECT_EQ(simulate(1s, [](auto, auto) { return 0.5; }).share(0us), 1.0);
}

TEST(GulpPolicy, SmallTransactionIsPolled) {
  GulpPolicy policy;
  for (const auto now : {1s, 2s, 3s}) EXPECT_EQ(policy.after_gulp(1'500, 0.01, now), 0us);
}

TEST(GulpPolicy, BacklogOfSmallMessagesIsSeenAfterAFewKilobytes) {
  EXPECT_LT(simulate(1s, [](auto, auto) { return 50.0; }).share(0us), 0.001);
}

TEST(GulpPolicy, KeepsToTheSleepThatBringsMost) {
  for (const auto best : {700us, 4'000us, 16'000us}) {
    const auto run = simulate(20s, [&](auto sleep, auto) { return sleep == best ? 50.0 : 20.0; });
    EXPECT_GT(run.share(best), 0.8) << best.count();
  }
}

TEST(GulpPolicy, SourceThatIsNotBehindIsReadOften) {
  EXPECT_GT(simulate(20s, [](auto, auto) { return 8.0; }).share(700us), 0.8);
}

TEST(GulpPolicy, FollowsWhenAnotherBecomesTheBest) {
  const auto run = simulate(30s, [](auto sleep, auto now) {
    const auto best = now < 16s ? 700us : 16'000us;
    return sleep == best ? 50.0 : 20.0;
  });
  EXPECT_GT(run.share(700us), 0.35);
  EXPECT_GT(run.share(16'000us), 0.35);
}

TEST(GulpPolicy, FullBufferMakesTheNextSleepShort) {
  GulpPolicy policy;
  Microseconds now{1'000'000}, pause{0};
  for (int i = 0; i < 100; ++i) {
    pause = policy.after_gulp(100'000, 0.9, now);
    EXPECT_EQ(pause, 700us);
    now += pause;
  }
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

}  // namespace
}  // namespace pgweir::postgres
