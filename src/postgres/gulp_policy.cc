#include "postgres/gulp_policy.h"

#include <algorithm>

namespace pgweir::postgres {

GulpPolicyOptions GulpPolicyOptions::for_unix_socket() {
  GulpPolicyOptions options;
  options.sleeps = {Microseconds(200), Microseconds(300), Microseconds(400)};
  return options;
}

Microseconds GulpPolicy::after_gulp(std::size_t bytes, double fill, Microseconds now) {
  const double drained = static_cast<double>((now - last_).count()) * options_.quiet_bytes_per_us;
  last_ = now;
  level_ = std::min(std::max(level_ - drained, 0.0) + static_cast<double>(bytes),
                    static_cast<double>(options_.remembered_bytes));
  if (level_ < static_cast<double>(options_.backlog_bytes)) {
    window_open_ = false;  // what is measured across a quiet time says nothing
    return Microseconds(0);
  }
  measure(bytes, now);
  if (bytes == 0) return Microseconds(0);
  return fill > options_.fill_max ? options_.sleeps.front() : options_.sleeps[current_];
}

void GulpPolicy::measure(std::size_t bytes, Microseconds now) {
  if (window_open_) {
    window_bytes_ += static_cast<double>(bytes);
    const Microseconds passed = now - window_start_;
    if (passed < (trying_ ? options_.trial : options_.check)) return;
    end_window(window_bytes_ / static_cast<double>(passed.count()), now);
  }
  window_open_ = true;
  window_start_ = now;
  window_bytes_ = 0;
}

void GulpPolicy::end_window(double rate, Microseconds now) {
  if (!trying_) {
    const bool lost = rate < options_.loss * rates_[current_];
    if (lost) keep_ = options_.keep_min;
    if (lost || now >= kept_until_) begin_trials();
    return;
  }
  rates_[current_] = rate;
  if (++current_ < rates_.size()) return;
  std::size_t best = 0;
  for (std::size_t i = 1; i < rates_.size(); ++i) {
    if (rates_[i] > options_.busy_bytes_per_us && rates_[i] > rates_[best]) best = i;
  }
  keep_ = best == best_ ? std::min(keep_ * 2, options_.keep_max) : options_.keep_min;
  best_ = current_ = best;
  kept_until_ = now + keep_;
  trying_ = false;
}

void GulpPolicy::begin_trials() {
  trying_ = true;
  current_ = 0;
}

}  // namespace pgweir::postgres
