#include "cli/stop_signals.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace pgweir::cli {

StopSignals::StopSignals(std::initializer_list<int> others) {
  ::sigemptyset(&signals_);
  ::sigaddset(&signals_, SIGINT);
  ::sigaddset(&signals_, SIGTERM);
  for (const int number : others) ::sigaddset(&signals_, number);
  ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  fd_ = ::signalfd(-1, &signals_, SFD_NONBLOCK | SFD_CLOEXEC);
  PGWEIR_ASSERT(fd_ >= 0, "no file descriptor left for signals");
}

StopSignals::~StopSignals() {
  // Those that came twice have had their effect.
  ::signalfd_siginfo info{};
  while (::read(fd_, &info, sizeof info) == sizeof info) {
  }
  ::close(fd_);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

Result<int> StopSignals::wait(Microseconds timeout, const io::Waker* waker) {
  TRY_ASSIGN(const io::Readiness ready, io::wait_socket(fd_, io::Interest::kRead, timeout, waker));
  ::signalfd_siginfo info{};
  if (!ready.readable || ::read(fd_, &info, sizeof info) != sizeof info) return 0;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace pgweir::cli
