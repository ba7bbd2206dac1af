// Wakes a thread that waits in poll() on a socket: for a prompt stop, or when there is work for it.
//
// Life:    sticky: after wake() every wait with this waker ends at once, until clear().
// Threads: any number of threads may wake, clear and wait.
#pragma once

#include <chrono>

#include "base/result.h"

namespace pgweir::io {

class Waker {
 public:
  Waker();  // aborts when the process has no file descriptor left
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  void wake();
  void clear();
  bool woken() const;
  int fd() const { return fd_; }  // readable while woken

 private:
  int fd_;
};

// What a wait for a socket came to; several may hold.
struct Readiness {
  bool readable = false;  // also set when the peer has closed or failed
  bool writable = false;
  bool woken = false;
};

enum class Interest { kRead, kWrite, kReadWrite, kNothing };

// Waits until the socket is ready, the waker is woken or `timeout` has passed; negative waits for
// ever, zero only looks. The wakers may be null; a socket of -1 waits for them alone. `woken` tells
// of `waker` only; the other one just ends the wait.
Result<Readiness> wait_socket(int socket, Interest interest, std::chrono::microseconds timeout,
                              const Waker* waker, const Waker* other = nullptr);

}  // namespace pgweir::io
