#include "engine/time_text.h"

#include <limits>

namespace pgweir::engine {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;

// Takes texts apart from left to right. After the first mismatch ok() is false.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  bool at(char c) const { return !rest_.empty() && rest_[0] == c; }
  bool at_digit() const { return !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9'; }

  bool skip(std::string_view expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }
  void expect(std::string_view expected) { ok_ = skip(expected) && ok_; }

  std::int64_t number() {
    constexpr std::size_t kDigitsMax = 18;
    std::int64_t value = 0;
    std::size_t digits = 0;
    while (at_digit() && digits <= kDigitsMax) {
      value = value * 10 + (rest_[0] - '0');
      rest_.remove_prefix(1);
      ++digits;
    }
    if (digits == 0 || digits > kDigitsMax) ok_ = false;
    return value;
  }

  // ".5" -> 500000; nothing -> 0.
  std::int64_t fraction_micros() {
    if (!skip(".")) return 0;
    std::int64_t value = 0;
    std::int64_t unit = kMicrosPerSecond / 10;
    while (at_digit()) {
      if (unit == 0) ok_ = false;
      value += unit * (rest_[0] - '0');
      unit /= 10;
      rest_.remove_prefix(1);
    }
    return value;
  }

  // "hh:mm:ss[.ffffff]", without limits.
  std::int64_t time_micros() {
    const std::int64_t hours = number();
    expect(":");
    const std::int64_t minutes = number();
    expect(":");
    const std::int64_t seconds = number();
    constexpr std::int64_t kHoursMax = 2'600'000'000;  // what fits into 64 bits of microseconds
    if (hours > kHoursMax || minutes > 59 || seconds > 60) ok_ = false;
    const std::int64_t fraction = fraction_micros();
    return ok_ ? ((hours * 60 + minutes) * 60 + seconds) * kMicrosPerSecond + fraction : 0;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// Days from 1970-01-01 to a day of the proleptic Gregorian calendar (year 0 is 1 BC).
std::int64_t days_from_civil(std::int64_t year, std::int64_t month, std::int64_t day) {
  // Years begin in March, so that the leap day is their last.
  const std::int64_t y = month <= 2 ? year - 1 : year;
  const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  const std::int64_t year_of_era = y - era * 400;
  const std::int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

struct Civil {
  std::int64_t year = 0;
  std::int64_t month = 0;
  std::int64_t day = 0;
};

Civil scan_civil(Scanner& scanner) {
  Civil civil;
  civil.year = scanner.number();
  scanner.expect("-");
  civil.month = scanner.number();
  scanner.expect("-");
  civil.day = scanner.number();
  return civil;
}

// The days, once it is known whether the text ends with " BC".
bool to_days(Civil civil, bool before_christ, std::int64_t& days) {
  constexpr std::int64_t kYearMax = 6'000'000;  // PostgreSQL's dates end in 5874897
  if (civil.year > kYearMax || civil.month < 1 || civil.month > 12 || civil.day < 1 ||
      civil.day > 31)
    return false;
  days = days_from_civil(before_christ ? 1 - civil.year : civil.year, civil.month, civil.day);
  return true;
}

// "+05:30:15" -> microseconds to take off.
std::int64_t scan_offset(Scanner& scanner) {
  const bool negative = scanner.at('-');
  scanner.skip(negative ? "-" : "+");
  std::int64_t seconds = scanner.number() * 3600;
  if (scanner.skip(":")) seconds += scanner.number() * 60;
  if (scanner.skip(":")) seconds += scanner.number();
  return (negative ? -seconds : seconds) * kMicrosPerSecond;
}

}  // namespace

Fit parse_date(std::string_view text, std::int64_t& days) {
  if (text == "infinity" || text == "-infinity") {
    constexpr std::int64_t kInfinity = std::numeric_limits<std::int32_t>::max();
    days = text[0] == '-' ? -kInfinity : kInfinity;
    return Fit::kOk;
  }
  Scanner scanner(text);
  const Civil civil = scan_civil(scanner);
  const bool before_christ = scanner.skip(" BC");
  if (!scanner.ok() || !scanner.at_end() || !to_days(civil, before_christ, days))
    return Fit::kMalformed;
  return Fit::kOk;
}

Fit parse_time(std::string_view text, std::int64_t& micros) {
  Scanner scanner(text);
  micros = scanner.time_micros();
  if (!scanner.ok() || !scanner.at_end() || micros > kMicrosPerDay) return Fit::kMalformed;
  return Fit::kOk;
}

Fit parse_timestamp(std::string_view text, std::int64_t& micros) {
  constexpr std::int64_t kInfinity = std::numeric_limits<std::int64_t>::max();
  if (text == "infinity" || text == "-infinity") {
    micros = text[0] == '-' ? -kInfinity : kInfinity;
    return Fit::kOk;
  }
  Scanner scanner(text);
  const Civil civil = scan_civil(scanner);
  scanner.expect(" ");
  const std::int64_t time = scanner.time_micros();
  const std::int64_t offset = scanner.at('+') || scanner.at('-') ? scan_offset(scanner) : 0;
  const bool before_christ = scanner.skip(" BC");
  std::int64_t days = 0;
  if (!scanner.ok() || !scanner.at_end() || time > kMicrosPerDay ||
      !to_days(civil, before_christ, days))
    return Fit::kMalformed;
  if (__builtin_mul_overflow(days, kMicrosPerDay, &micros) ||
      __builtin_add_overflow(micros, time - offset, &micros) || micros == kInfinity)
    return Fit::kOutOfRange;
  return Fit::kOk;
}

Fit parse_interval(std::string_view text, IntervalValue& value) {
  if (text == "infinity" || text == "-infinity") return Fit::kOutOfRange;
  std::int64_t months = 0;
  std::int64_t days = 0;
  std::int64_t micros = 0;
  Scanner scanner(text);
  // "-1 years -2 mons +3 days -04:05:06.789": any part may be missing, each has its own sign.
  do {
    const bool negative = scanner.at('-');
    if (!negative)
      scanner.skip("+");
    else
      scanner.skip("-");
    const std::int64_t sign = negative ? -1 : 1;
    Scanner ahead = scanner;
    const std::int64_t amount = ahead.number();
    if (ahead.at(':')) {
      micros = sign * scanner.time_micros();
      break;
    }
    scanner = ahead;
    constexpr std::int64_t kAmountMax = std::numeric_limits<std::int32_t>::max();
    if (amount > kAmountMax + 1) return Fit::kOutOfRange;
    scanner.expect(" ");
    if (scanner.skip("year"))
      months += sign * amount * 12;
    else if (scanner.skip("mon"))
      months += sign * amount;
    else if (scanner.skip("day"))
      days += sign * amount;
    else
      return Fit::kMalformed;
    scanner.skip("s");
  } while (scanner.ok() && scanner.skip(" "));
  if (!scanner.ok() || !scanner.at_end()) return Fit::kMalformed;
  if (months != static_cast<std::int32_t>(months) || days != static_cast<std::int32_t>(days))
    return Fit::kOutOfRange;
  value = {static_cast<std::int32_t>(months), static_cast<std::int32_t>(days), micros};
  return Fit::kOk;
}

}  // namespace pgweir::engine
