#include "io/waker.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace pgweir::io {

Waker::Waker() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  PGWEIR_ASSERT(fd_ >= 0, "no file descriptor for a waker: raise the limit (ulimit -n)");
}

Waker::~Waker() {
  ::close(fd_);
}

void Waker::wake() {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the waker is woken anyway.
  [[maybe_unused]] const ssize_t written = ::write(fd_, &one, sizeof(one));
}

void Waker::clear() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t size = ::read(fd_, &count, sizeof(count));
}

bool Waker::woken() const {
  pollfd look{fd_, POLLIN, 0};
  return ::poll(&look, 1, 0) > 0;
}

Result<Readiness> wait_socket(int socket, Interest interest, std::chrono::microseconds timeout,
                              const Waker* waker, const Waker* other) {
  short events = 0;
  if (interest == Interest::kRead || interest == Interest::kReadWrite) events |= POLLIN;
  if (interest == Interest::kWrite || interest == Interest::kReadWrite) events |= POLLOUT;
  // A negative descriptor is passed over by poll().
  pollfd looks[3] = {{interest == Interest::kNothing ? -1 : socket, events, 0},
                     {waker != nullptr ? waker->fd() : -1, POLLIN, 0},
                     {other != nullptr ? other->fd() : -1, POLLIN, 0}};
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    timespec rest{};
    if (timeout.count() > 0) {
      const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
          deadline - std::chrono::steady_clock::now());
      const std::int64_t ns = left.count() > 0 ? left.count() : 0;
      rest = {ns / 1'000'000'000, ns % 1'000'000'000};
    }
    const int ready = ::ppoll(looks, 3, timeout.count() < 0 ? nullptr : &rest, nullptr);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return error(Code::kIo, fmt::format("poll() failed: {}", std::strerror(errno)));
    return Readiness{(looks[0].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0,
                     (looks[0].revents & (POLLOUT | POLLERR)) != 0,
                     (looks[1].revents & POLLIN) != 0};
  }
}

}  // namespace pgweir::io
