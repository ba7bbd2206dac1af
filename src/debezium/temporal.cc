#include "debezium/temporal.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <limits>

namespace pgweir::debezium {
namespace {

constexpr std::int64_t kMicrosOfSecond = 1'000'000;
constexpr std::int64_t kMicrosOfMinute = 60 * kMicrosOfSecond;
constexpr std::int64_t kMicrosOfHour = 60 * kMicrosOfMinute;
constexpr std::int64_t kMicrosOfDay = 24 * kMicrosOfHour;
constexpr std::int64_t kMicrosOfMonth = 2'629'800 * kMicrosOfSecond;  // 30.4375 days

// Greater than any of PostgreSQL's (an interval's hours: 2,562,047,788), and small enough to count
// with.
constexpr std::int64_t kNumberMax = 10'000'000'000;

// Reads a text from its front; every step says whether what it wanted was there.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end() const { return text_.empty(); }
  bool next_is(char c) const { return !text_.empty() && text_[0] == c; }
  bool next_is_digit() const { return !text_.empty() && text_[0] >= '0' && text_[0] <= '9'; }

  bool take(std::string_view expected) {
    if (!text_.starts_with(expected)) return false;
    text_.remove_prefix(expected.size());
    return true;
  }

  bool take(std::int64_t& number) {
    if (!next_is_digit()) return false;
    const auto [end, failure] = std::from_chars(text_.data(), text_.data() + text_.size(), number);
    if (failure != std::errc() || number > kNumberMax) return false;
    text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    return true;
  }

  // Up to six digits behind a point, as microseconds; none where there is no point.
  bool take_fraction(std::int64_t& micros) {
    micros = 0;
    if (!take(".")) return true;
    std::int64_t unit = kMicrosOfSecond;
    while (next_is_digit() && unit > 1) {
      unit /= 10;
      micros += (text_[0] - '0') * unit;
      text_.remove_prefix(1);
    }
    return unit < kMicrosOfSecond && !next_is_digit();
  }

 private:
  std::string_view text_;
};

// H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
std::int64_t days_of(std::int64_t year, std::int64_t month, std::int64_t day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

struct Civil {
  std::int64_t year, month, day;
};

Civil civil_of(std::int64_t days) {
  days += 719'468;
  const std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const std::int64_t day_of_era = days - era * 146'097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted = (5 * day_of_year + 2) / 153;
  const std::int64_t month = shifted + (shifted < 10 ? 3 : -9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month,
          day_of_year - (153 * shifted + 2) / 5 + 1};
}

bool take_date(Scanner& in, Civil& date) {
  return in.take(date.year) && in.take("-") && in.take(date.month) && in.take("-") &&
         in.take(date.day) && date.month >= 1 && date.month <= 12 && date.day >= 1 &&
         date.day <= 31;
}

bool take_time(Scanner& in, std::int64_t& micros) {
  std::int64_t hours = 0, minutes = 0, seconds = 0, fraction = 0;
  if (!in.take(hours) || !in.take(":") || !in.take(minutes) || !in.take(":") || !in.take(seconds) ||
      !in.take_fraction(fraction))
    return false;
  if (hours > 24 || minutes > 59 || seconds > 60) return false;
  micros = hours * kMicrosOfHour + minutes * kMicrosOfMinute + seconds * kMicrosOfSecond + fraction;
  return true;
}

// "+05:30", "-12", "+01:28:14"; nothing where there is none.
bool take_zone(Scanner& in, std::int64_t& east_micros) {
  east_micros = 0;
  const bool west = in.next_is('-');
  if (!in.take("+") && !in.take("-")) return true;
  std::int64_t hours = 0, minutes = 0, seconds = 0;
  if (!in.take(hours)) return false;
  if (in.take(":") && !in.take(minutes)) return false;
  if (in.take(":") && !in.take(seconds)) return false;
  if (hours > 24 || minutes > 59 || seconds > 59) return false;
  east_micros = hours * kMicrosOfHour + minutes * kMicrosOfMinute + seconds * kMicrosOfSecond;
  if (west) east_micros = -east_micros;
  return true;
}

void shift(DateTime& time, std::int64_t micros) {
  time.micros += micros;
  while (time.micros < 0) {
    time.micros += kMicrosOfDay;
    --time.days;
  }
  while (time.micros > kMicrosOfDay || (time.micros == kMicrosOfDay && micros != 0)) {
    time.micros -= kMicrosOfDay;
    ++time.days;
  }
}

std::optional<DateTime> parse_infinity(std::string_view text) {
  if (text == "infinity") return DateTime{Infinite::kFuture, 0, 0};
  if (text == "-infinity") return DateTime{Infinite::kPast, 0, 0};
  return std::nullopt;
}

std::optional<std::int64_t> days_in(Scanner& in, Civil date) {
  if (in.take(" BC")) date.year = 1 - date.year;
  if (!in.at_end()) return std::nullopt;
  return days_of(date.year, date.month, date.day);
}

std::int64_t saturated_sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return a < 0 ? std::numeric_limits<std::int64_t>::min()
               : std::numeric_limits<std::int64_t>::max();
}

std::int64_t saturated_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product)) return product;
  return (a < 0) != (b < 0) ? std::numeric_limits<std::int64_t>::min()
                            : std::numeric_limits<std::int64_t>::max();
}

void append_two_digits(std::int64_t number, std::string& out) {
  const char digits[] = {static_cast<char>('0' + number / 10),
                         static_cast<char>('0' + number % 10)};
  out.append(digits, sizeof digits);
}

// Behind the point, from `micros` below a second.
void append_fraction(std::int64_t micros, int digits, std::string& out) {
  std::array<char, 6> text{};
  for (std::size_t i = text.size(); i > 0; --i, micros /= 10)
    text[i - 1] = static_cast<char>('0' + micros % 10);
  std::size_t count = text.size();
  if (digits == kAsNeeded) {
    while (count > 0 && text[count - 1] == '0') --count;
  } else {
    count = static_cast<std::size_t>(digits);
  }
  if (count == 0) return;
  out += '.';
  out.append(text.data(), count);
}

bool take_unit(Scanner& in, std::int64_t number, Interval& out) {
  // Longer names first: each begins as the shorter one.
  if (in.take(" years") || in.take(" year")) {
    out.years = number;
  } else if (in.take(" mons") || in.take(" mon")) {
    out.months = number;
  } else if (in.take(" days") || in.take(" day")) {
    out.days = number;
  } else {
    return false;
  }
  return true;
}

bool take_clock(Scanner& in, std::int64_t sign, std::int64_t hours, Interval& out) {
  std::int64_t minutes = 0, seconds = 0, fraction = 0;
  if (!in.take(":") || !in.take(minutes) || !in.take(":") || !in.take(seconds) ||
      !in.take_fraction(fraction))
    return false;
  out.hours = sign * hours;
  out.minutes = sign * minutes;
  out.micros = sign * (seconds * kMicrosOfSecond + fraction);
  return in.at_end();
}

}  // namespace

std::int64_t DateTime::epoch_micros() const {
  return saturated_sum(saturated_product(days, kMicrosOfDay), micros);
}

std::optional<DateTime> parse_date(std::string_view text) {
  if (auto infinity = parse_infinity(text)) return infinity;
  Scanner in(text);
  Civil date{};
  if (!take_date(in, date)) return std::nullopt;
  const std::optional<std::int64_t> days = days_in(in, date);
  if (!days) return std::nullopt;
  return DateTime{Infinite::kNo, *days, 0};
}

std::optional<DateTime> parse_timestamp(std::string_view text) {
  if (auto infinity = parse_infinity(text)) return infinity;
  Scanner in(text);
  Civil date{};
  DateTime out;
  std::int64_t east = 0;
  if (!take_date(in, date) || !in.take(" ") || !take_time(in, out.micros) || !take_zone(in, east))
    return std::nullopt;
  const std::optional<std::int64_t> days = days_in(in, date);
  if (!days) return std::nullopt;
  out.days = *days;
  if (east != 0) shift(out, -east);
  return out;
}

std::optional<DateTime> parse_time(std::string_view text) {
  Scanner in(text);
  DateTime out;
  std::int64_t east = 0;
  if (!take_time(in, out.micros) || !take_zone(in, east) || !in.at_end()) return std::nullopt;
  if (east != 0) shift(out, -east);
  out.days = 0;
  return out;
}

std::optional<Interval> parse_interval(std::string_view text) {
  Scanner in(text);
  Interval out;
  if (in.at_end()) return std::nullopt;
  while (!in.at_end()) {
    std::int64_t sign = 1;
    if (in.take("-")) {
      sign = -1;
    } else {
      in.take("+");
    }
    std::int64_t number = 0;
    if (!in.take(number)) return std::nullopt;
    if (in.next_is(':'))
      return take_clock(in, sign, number, out) ? std::optional(out) : std::nullopt;
    if (!take_unit(in, sign * number, out)) return std::nullopt;
    if (!in.at_end() && !in.take(" ")) return std::nullopt;
  }
  return out;
}

void append_iso_date(std::int64_t days, std::string& out) {
  const Civil date = civil_of(days);
  const std::int64_t year = date.year < 0 ? -date.year : date.year;
  if (date.year < 0) out += '-';
  if (date.year > 9999) out += '+';
  if (year > 9999) {
    out += std::to_string(year);
  } else {
    append_two_digits(year / 100, out);
    append_two_digits(year % 100, out);
  }
  out += '-';
  append_two_digits(date.month, out);
  out += '-';
  append_two_digits(date.day, out);
}

void append_iso_time(std::int64_t micros, int fraction_digits, std::string& out) {
  micros %= kMicrosOfDay;
  append_two_digits(micros / kMicrosOfHour, out);
  out += ':';
  append_two_digits(micros / kMicrosOfMinute % 60, out);
  out += ':';
  append_two_digits(micros / kMicrosOfSecond % 60, out);
  append_fraction(micros % kMicrosOfSecond, fraction_digits, out);
}

std::int64_t interval_micros(const Interval& interval) {
  const std::int64_t months = interval.years * 12 + interval.months;
  std::int64_t total = saturated_product(months, kMicrosOfMonth);
  total = saturated_sum(total, saturated_product(interval.days, kMicrosOfDay));
  total = saturated_sum(total, saturated_product(interval.hours, kMicrosOfHour));
  return saturated_sum(total, interval.minutes * kMicrosOfMinute + interval.micros);
}

void append_iso_interval(const Interval& interval, std::string& out) {
  fmt::format_to(std::back_inserter(out), "P{}Y{}M{}DT{}H{}M", interval.years, interval.months,
                 interval.days, interval.hours, interval.minutes);
  const std::int64_t micros = interval.micros < 0 ? -interval.micros : interval.micros;
  if (interval.micros < 0) out += '-';
  out += fmt::format("{}", micros / kMicrosOfSecond);
  append_fraction(micros % kMicrosOfSecond, kAsNeeded, out);
  out += 'S';
}

}  // namespace pgweir::debezium
