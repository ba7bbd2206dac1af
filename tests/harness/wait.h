// Waiting for something that another process brings about.
#pragma once

#include <chrono>
#include <thread>

namespace pgweir::harness {

// Calls `done` until it is true or the time is over; whether it became true.
template <typename Done>
bool wait_for(std::chrono::milliseconds timeout, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace pgweir::harness
