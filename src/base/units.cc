#include "base/units.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace pgweir {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array kDurationUnits = {Unit{"ms", 1}, Unit{"s", 1000}, Unit{"m", 60'000},
                                       Unit{"h", 3'600'000}, Unit{"d", 86'400'000}};
constexpr std::array kSizeUnits = {
    Unit{"B", 1},         Unit{"KiB", kKiB},        Unit{"MiB", kMiB},
    Unit{"GiB", kGiB},    Unit{"TiB", kTiB},        Unit{"KB", 1000},
    Unit{"MB", 1000'000}, Unit{"GB", 1000'000'000}, Unit{"TB", 1000'000'000'000}};

template <typename Units>
Result<std::uint64_t> parse(std::string_view text, const Units& units, const char* what,
                            const char* example) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{}) {
    return error(Code::kInvalid, fmt::format("'{}' is not a {}", text, what), {},
                 fmt::format("Write a whole number with a unit, like {}", example));
  }
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const Unit& known : units) {
    if (unit != known.name) continue;
    // Also keeps the value inside a signed 64-bit count.
    if (number >
        static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / known.factor)
      return error(Code::kInvalid, fmt::format("'{}' is too large", text));
    return number * known.factor;
  }
  return error(Code::kInvalid,
               unit.empty() ? fmt::format("'{}' has no unit", text)
                            : fmt::format("'{}' has the unknown unit '{}'", text, unit),
               {}, fmt::format("Write a whole number with a unit, like {}", example));
}

}  // namespace

Result<Milliseconds> parse_duration(std::string_view text) {
  TRY_ASSIGN(const std::uint64_t count,
             parse(text, kDurationUnits, "duration", "500ms, 10s or 7d"));
  return Milliseconds(static_cast<std::int64_t>(count));
}

Result<std::uint64_t> parse_size(std::string_view text) {
  return parse(text, kSizeUnits, "size", "64MiB or 50GiB");
}

std::string format_duration(Milliseconds duration) {
  const auto count = static_cast<std::uint64_t>(duration.count());
  for (auto unit = kDurationUnits.rbegin(); unit != kDurationUnits.rend(); ++unit) {
    if (count != 0 && count % unit->factor == 0)
      return fmt::format("{}{}", count / unit->factor, unit->name);
  }
  return "0ms";
}

std::string format_size(std::uint64_t bytes) {
  if (bytes < kKiB) return fmt::format("{} B", bytes);
  static constexpr std::array kNames = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (value /= 1024; value >= 1024 && unit + 1 < kNames.size(); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}", value, kNames[unit]);
}

}  // namespace pgweir
