// Sizes and durations: constants, and the texts that the configuration and people use.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgweir {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kTiB = 1024 * kGiB;

using Milliseconds = std::chrono::milliseconds;
using Microseconds = std::chrono::microseconds;

// "500ms", "10s", "5m", "2h", "7d" (a whole number and a unit; "0" needs one too). kInvalid else.
Result<Milliseconds> parse_duration(std::string_view text);

// "64MiB", "50GiB", "1500B", also KB, MB, GB, TB (powers of 1000). kInvalid else.
Result<std::uint64_t> parse_size(std::string_view text);

// The shortest exact text that parse_duration reads back.
std::string format_duration(Milliseconds duration);

// For people: "0 B", "13.1 MiB".
std::string format_size(std::uint64_t bytes);

}  // namespace pgweir
