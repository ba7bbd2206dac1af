#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace pgweir {
using namespace std::chrono_literals;

TEST(BoundedQueue, FullQueueRefusesUntilSomethingIsTaken) {
  BoundedQueue<int> queue(10);
  int one = 1, two = 2;
  EXPECT_TRUE(queue.push_for(one, 8, 0us));
  EXPECT_FALSE(queue.push_for(two, 8, 1us));
  EXPECT_EQ(queue.pop_for(0us), 1);
  EXPECT_TRUE(queue.push_for(two, 8, 0us));
}

TEST(BoundedQueue, AnItemHeavierThanTheLimitPassesAlone) {
  BoundedQueue<int> queue(10);
  int heavy = 7;
  EXPECT_TRUE(queue.push_for(heavy, 1000, 0us));
  EXPECT_EQ(queue.pop_for(0us), 7);
}

TEST(BoundedQueue, ClosedQueueGivesWhatItHoldsThenNothing) {
  BoundedQueue<int> queue(10);
  int one = 1;
  EXPECT_TRUE(queue.push_for(one, 1, 0us));
  queue.close();
  EXPECT_FALSE(queue.push_for(one, 1, 0us));
  EXPECT_EQ(queue.pop_for(1s), 1);
  EXPECT_EQ(queue.pop_for(1s), std::nullopt);
}

TEST(BoundedQueue, EveryItemArrivesOnceInOrder) {
  BoundedQueue<int> queue(64);
  std::jthread producer([&] {
    for (int i = 0; i < 10000; ++i) {
      int item = i;
      while (!queue.push_for(item, 1, 1s)) {
      }
    }
    queue.close();
  });
  int expected = 0;
  while (auto item = queue.pop_for(1s)) EXPECT_EQ(*item, expected++);
  EXPECT_EQ(expected, 10000);
  producer.join();
}

}  // namespace pgweir
