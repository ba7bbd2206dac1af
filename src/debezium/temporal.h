// Dates and times: PostgreSQL's texts (DateStyle ISO, TimeZone UTC, IntervalStyle postgres) taken
// apart, and written as Debezium's numbers and ISO 8601 texts.
//
// Place:   under value_encoding. Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::debezium {

enum class Infinite : std::uint8_t { kNo, kFuture, kPast };

struct DateTime {
  Infinite infinite = Infinite::kNo;
  std::int64_t days = 0;    // since 1970-01-01, in the proleptic Gregorian calendar
  std::int64_t micros = 0;  // of the day; 24:00:00 is a whole day

  // Since 1970-01-01; saturates.
  std::int64_t epoch_micros() const;
};

// "2024-02-29", "0044-03-15 BC", "infinity".
std::optional<DateTime> parse_date(std::string_view text);
// "2024-02-29 12:34:56.789", with " BC" and a zone ("+05:30"), which takes it to UTC.
std::optional<DateTime> parse_timestamp(std::string_view text);
// "12:34:56.789012", with a zone, which takes it to UTC: behind it, a time is of a day again.
std::optional<DateTime> parse_time(std::string_view text);

struct Interval {
  std::int64_t years = 0, months = 0, days = 0;
  // Of one sign.
  std::int64_t hours = 0, minutes = 0, micros = 0;
};

// "1 year 2 mons -3 days +04:05:06.789".
std::optional<Interval> parse_interval(std::string_view text);

// How many digits a fraction of a second has: as many as it needs.
inline constexpr int kAsNeeded = -1;

// "2024-02-29", "-0043-03-15" (44 BC), "+10000-01-01".
void append_iso_date(std::int64_t days, std::string& out);
// "12:34:56.789012"; 24:00:00 is "00:00:00".
void append_iso_time(std::int64_t micros, int fraction_digits, std::string& out);

// With years of 365.25 days, and months of a twelfth of that; saturates.
std::int64_t interval_micros(const Interval& interval);
// "P1Y2M3DT4H5M6.789S", always with all fields.
void append_iso_interval(const Interval& interval, std::string& out);

}  // namespace pgweir::debezium
