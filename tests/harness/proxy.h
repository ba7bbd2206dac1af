// A network between a client and a server, that a test can break: a TCP proxy on a free port.
//
// Life:    forwards from construction to destruction, which closes every connection.
// Threads: one of its own; every call from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace pgweir::harness {

class Proxy {
 public:
  // Connections to port() go on to 127.0.0.1:`target`.
  explicit Proxy(int target);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  int port() const { return port_; }

  // Closes every connection once so many more bytes have come from the server, wherever in a
  // message that is. Zero: at once.
  void cut_after(std::uint64_t bytes);
  // While true nothing passes in either direction and nothing is closed: a firewall that has
  // forgotten the connection. New connections are taken and stay silent as well.
  void swallow(bool on) { swallowing_ = on; }
  // Of cut_after() so far.
  std::uint64_t cuts() const { return cuts_; }

 private:
  struct Link;
  void run();

  int target_;
  int port_ = 0;
  int listener_ = -1;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> swallowing_{false};
  std::atomic<std::int64_t> cut_left_{-1};  // bytes; negative: no cut is wanted
  std::atomic<std::uint64_t> cuts_{0};
  std::thread thread_;
};

}  // namespace pgweir::harness
