#include "postgres/gulp_policy.h"

#include <algorithm>

namespace pgweir::postgres {

GulpPolicyOptions GulpPolicyOptions::for_unix_socket() {
  GulpPolicyOptions options;
  options.sleep_min = Microseconds(200);
  options.sleep_max = Microseconds(400);
  return options;
}

Microseconds GulpPolicy::after_gulp(std::size_t bytes, double fill, Microseconds now) {
  const auto backlog = static_cast<double>(options_.backlog_bytes);
  const double drained = static_cast<double>((now - last_).count()) * options_.quiet_bytes_per_us;
  last_ = now;
  level_ = std::min(std::max(level_ - drained, 0.0) + static_cast<double>(bytes),
                    static_cast<double>(options_.remembered_bytes));
  if (level_ < backlog || bytes == 0) {
    sleep_ = options_.sleep_min;
    return Microseconds(0);
  }
  // What the last sleep let in, scaled to the goal; at most a doubling, since one gulp is a small
  // sample. A buffer that was full says only "too long".
  const double scale = std::clamp(options_.fill_goal / std::max(fill, 0.01), 0.25, 2.0);
  const auto wanted =
      Microseconds(static_cast<std::int64_t>(static_cast<double>(sleep_.count()) * scale));
  sleep_ = std::clamp(wanted, options_.sleep_min, options_.sleep_max);
  return sleep_;
}

}  // namespace pgweir::postgres
