// Time as a parameter, so that tests can make it pass.
#pragma once

#include <chrono>
#include <cstdint>

namespace pgweir::io {

class Clock {
 public:
  virtual ~Clock() = default;
  // Wall clock: microseconds since 1970-01-01 UTC. May jump; only for people and for records.
  virtual std::int64_t now_us() const = 0;
  // Steady clock with an arbitrary start: for durations and deadlines.
  virtual std::chrono::microseconds steady() const = 0;
};

class RealClock final : public Clock {
 public:
  std::int64_t now_us() const override;
  std::chrono::microseconds steady() const override;
};

// Stands still until told.
class FakeClock final : public Clock {
 public:
  std::int64_t now_us() const override { return now_us_; }
  std::chrono::microseconds steady() const override { return steady_; }
  void advance(std::chrono::microseconds by) {
    now_us_ += by.count();
    steady_ += by;
  }

 private:
  std::int64_t now_us_ = 1'700'000'000'000'000;
  std::chrono::microseconds steady_{0};
};

}  // namespace pgweir::io
