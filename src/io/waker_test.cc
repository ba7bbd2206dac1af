#include "io/waker.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

namespace pgweir::io {
using namespace std::chrono_literals;

TEST(Waker, EndsAWaitFromAnotherThreadAndStaysWokenUntilCleared) {
  Waker waker;
  EXPECT_FALSE(waker.woken());
  std::jthread other([&] { waker.wake(); });
  const auto ready = wait_socket(-1, Interest::kNothing, 10s, &waker);
  other.join();
  ASSERT_TRUE(ready.ok());
  EXPECT_TRUE(ready->woken);
  EXPECT_TRUE(waker.woken());
  waker.clear();
  EXPECT_FALSE(wait_socket(-1, Interest::kNothing, 0us, &waker)->woken);
}

TEST(Waker, WaitSeesTheSocketAndTheTimeout) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  EXPECT_FALSE(wait_socket(pair[0], Interest::kRead, 1ms, nullptr)->readable);
  EXPECT_TRUE(wait_socket(pair[0], Interest::kReadWrite, 1ms, nullptr)->writable);
  ASSERT_EQ(::write(pair[1], "x", 1), 1);
  EXPECT_TRUE(wait_socket(pair[0], Interest::kRead, 10s, nullptr)->readable);
  ::close(pair[1]);
  ::close(pair[0]);
}

}  // namespace pgweir::io
