// Steps are done in their order, and none behind one that failed.
#include "pipeline/step_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

namespace pgweir::pipeline {

TEST(StepQueue, StepsAreDoneInTheirOrder) {
  std::vector<int> done;
  StepQueue steps(3);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(steps
                    .push(
                        [&done, i]() -> Status {
                          done.push_back(i);
                          return {};
                        },
                        1)
                    .ok());
  }
  ASSERT_TRUE(steps.finish().ok());
  ASSERT_EQ(done.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(done[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(steps.push([]() -> Status { return {}; }, 1).error().code, Code::kCancelled);
}

TEST(StepQueue, OneThatFailsIsTheLast) {
  std::atomic<int> done = 0;
  std::latch may_fail(1);
  StepQueue steps(2);
  ASSERT_TRUE(steps
                  .push(
                      [&]() -> Status {
                        may_fail.wait();
                        return error(Code::kNoSpace, "full");
                      },
                      1)
                  .ok());
  std::vector<std::jthread> givers;
  for (int i = 0; i < 3; ++i) {
    givers.emplace_back([&] {
      Status status;
      while (status.ok()) {
        status = steps.push(
            [&]() -> Status {
              ++done;
              return {};
            },
            1);
      }
      EXPECT_EQ(status.error().message, "full");
    });
  }
  may_fail.count_down();
  givers.clear();
  EXPECT_EQ(steps.finish().error().message, "full");
  EXPECT_EQ(done, 0);
}

// Who gives faster than the steps are done waits.
TEST(StepQueue, NoMoreWaitThanTheirWeightAllows) {
  std::atomic<int> waiting = 0, most = 0;
  StepQueue steps(4);
  for (int i = 0; i < 200; ++i) {
    ++waiting;
    ASSERT_TRUE(steps
                    .push(
                        [&]() -> Status {
                          most = std::max(most.load(), waiting.load());
                          --waiting;
                          return {};
                        },
                        2)
                    .ok());
  }
  ASSERT_TRUE(steps.finish().ok());
  EXPECT_EQ(waiting, 0);
  // Two that wait, one that is done, one that its giver holds.
  EXPECT_LE(most, 4);
}

}  // namespace pgweir::pipeline
