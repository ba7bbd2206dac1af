#include "debezium/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <vector>

namespace pgweir::debezium {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// 0.DIGITS * 10^exponent, without zeros at either end; no digits for zero.
struct Decimal {
  bool negative = false;
  std::string digits;
  int exponent = 0;
};

std::optional<Decimal> parse(std::string_view text) {
  Decimal out;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    out.negative = text[0] == '-';
    text.remove_prefix(1);
  }
  std::string_view mantissa = text;
  if (const std::size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    mantissa = text.substr(0, e);
    std::string_view power = text.substr(e + 1);
    if (!power.empty() && power[0] == '+') power.remove_prefix(1);
    const auto [end, failure] =
        std::from_chars(power.data(), power.data() + power.size(), out.exponent);
    if (failure != std::errc() || end != power.data() + power.size()) return std::nullopt;
  }
  bool behind_point = false;
  bool any = false;
  for (const char c : mantissa) {
    if (c == '.' && !behind_point) {
      behind_point = true;
      continue;
    }
    if (!is_digit(c)) return std::nullopt;
    any = true;
    if (c == '0' && out.digits.empty()) {
      out.exponent -= behind_point ? 1 : 0;
      continue;
    }
    out.digits += c;
    out.exponent += behind_point ? 0 : 1;
  }
  if (!any) return std::nullopt;
  while (!out.digits.empty() && out.digits.back() == '0') out.digits.pop_back();
  return out;
}

// What a double can be: others are no numbers in most readers of JSON.
bool is_in_range(const Decimal& number, std::string_view text) {
  constexpr int kSurely = 308;
  if (number.exponent <= kSurely) return true;
  double value = 0;
  return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
}

// As the JDK specifies: plain from 10^-3 up to 10^7, a digit on each side of the point always.
void append_java(const Decimal& number, std::string& out) {
  const std::string& digits = number.digits;
  if (number.negative) out += '-';
  if (digits.empty()) {
    out += "0.0";
    return;
  }
  const int power = number.exponent;  // digits before the point
  const auto size = static_cast<int>(digits.size());
  if (power > 7 || power < -2) {
    out += digits[0];
    out += '.';
    out.append(size > 1 ? digits.substr(1) : "0");
    out += fmt::format("E{}", power - 1);
  } else if (power <= 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-power), '0');
    out += digits;
  } else if (size <= power) {
    out += digits;
    out.append(static_cast<std::size_t>(power - size), '0');
    out += ".0";
  } else {
    out.append(digits, 0, static_cast<std::size_t>(power));
    out += '.';
    out.append(digits, static_cast<std::size_t>(power));
  }
}

bool append_special(std::string_view text, std::string& out) {
  if (text != "NaN" && text != "Infinity" && text != "-Infinity") return false;
  out += '"';
  out += text;
  out += '"';
  return true;
}

// The sign, and the digits of |numeric| * 10^scale.
struct Unscaled {
  bool negative = false;
  std::string digits;
};

void round_up(std::string& digits) {
  std::size_t at = digits.size();
  while (at > 0 && digits[at - 1] == '9') digits[--at] = '0';
  if (at == 0) {
    digits.insert(digits.begin(), '1');
  } else {
    ++digits[at - 1];
  }
}

std::optional<Unscaled> unscaled(std::string_view numeric, std::uint32_t scale) {
  Unscaled out;
  if (!numeric.empty() && numeric[0] == '-') {
    out.negative = true;
    numeric.remove_prefix(1);
  }
  const std::size_t point = std::min(numeric.find('.'), numeric.size());
  const std::string_view whole = numeric.substr(0, point);
  const std::string_view fraction =
      point == numeric.size() ? std::string_view() : numeric.substr(point + 1);
  if (whole.empty() && fraction.empty()) return std::nullopt;
  if (!std::all_of(whole.begin(), whole.end(), is_digit) ||
      !std::all_of(fraction.begin(), fraction.end(), is_digit))
    return std::nullopt;
  out.digits = whole;
  out.digits += fraction.substr(0, scale);
  if (fraction.size() < scale) out.digits.append(scale - fraction.size(), '0');
  if (fraction.size() > scale && fraction[scale] >= '5') round_up(out.digits);
  return out;
}

// Little-endian words of the number that the digits are.
std::vector<std::uint32_t> words_of(std::string_view digits) {
  constexpr std::size_t kAtOnce = 9;  // 10^9 < 2^32
  std::vector<std::uint32_t> words;
  words.reserve(digits.size() / kAtOnce + 1);
  while (!digits.empty()) {
    const std::size_t count = digits.size() % kAtOnce == 0 ? kAtOnce : digits.size() % kAtOnce;
    std::uint64_t carry = 0;
    std::uint64_t factor = 1;
    for (const char c : digits.substr(0, count)) {
      carry = carry * 10 + static_cast<std::uint64_t>(c - '0');
      factor *= 10;
    }
    for (std::uint32_t& word : words) {
      const std::uint64_t next = word * factor + carry;
      word = static_cast<std::uint32_t>(next);
      carry = next >> 32;
    }
    if (carry != 0) words.push_back(static_cast<std::uint32_t>(carry));
    digits.remove_prefix(count);
  }
  return words;
}

void append_two_complement(bool negative, std::vector<std::uint32_t> words, std::string& bytes) {
  words.push_back(0);  // room for the sign
  if (negative) {
    std::uint64_t carry = 1;
    for (std::uint32_t& word : words) {
      const std::uint64_t next = static_cast<std::uint64_t>(~word) + carry;
      word = static_cast<std::uint32_t>(next);
      carry = next >> 32;
    }
  }
  const std::size_t start = bytes.size();
  for (std::size_t i = words.size(); i > 0; --i) {
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes += static_cast<char>(words[i - 1] >> shift & 0xff);
  }
  // A byte that only repeats the sign of the next one says nothing.
  std::size_t first = start;
  const auto sign = static_cast<unsigned char>(bytes[start]);
  while (first + 1 < bytes.size() && static_cast<unsigned char>(bytes[first]) == sign &&
         (static_cast<unsigned char>(bytes[first + 1]) & 0x80) == (sign & 0x80))
    ++first;
  bytes.erase(start, first - start);
}

// What nearly all numerics are: at most 18 digits, none of them behind `scale`. Nothing for others,
// and for what is no number.
std::optional<std::int64_t> small_unscaled(std::string_view numeric, std::uint32_t scale) {
  constexpr std::size_t kDigitsMax = 18;
  const bool negative = numeric.starts_with('-');
  if (negative) numeric.remove_prefix(1);
  if (numeric.empty() || numeric == "." || numeric.size() + scale > kDigitsMax) return std::nullopt;
  std::int64_t number = 0;
  std::uint32_t left = scale;
  bool behind_point = false;
  for (const char c : numeric) {
    if (c == '.' && !behind_point) {
      behind_point = true;
      continue;
    }
    if (!is_digit(c) || (behind_point && left == 0)) return std::nullopt;
    number = number * 10 + (c - '0');
    left -= behind_point ? 1 : 0;
  }
  for (; left > 0; --left) number *= 10;
  return negative ? -number : number;
}

void append_two_complement(std::int64_t number, std::string& bytes) {
  int count = 1;
  while (count < 8 && (number >> (8 * count - 1)) != (number < 0 ? -1 : 0)) ++count;
  for (int i = count - 1; i >= 0; --i) bytes += static_cast<char>(number >> (8 * i) & 0xff);
}

}  // namespace

bool append_java_double(std::string_view text, std::string& out) {
  if (append_special(text, out)) return true;
  const std::optional<Decimal> number = parse(text);
  if (!number || !is_in_range(*number, text)) return false;
  append_java(*number, out);
  return true;
}

bool append_as_double(std::string_view numeric, std::string& out) {
  if (append_special(numeric, out)) return true;
  double value = 0;
  const auto [end, failure] =
      std::from_chars(numeric.data(), numeric.data() + numeric.size(), value);
  if (end != numeric.data() + numeric.size()) return false;
  if (failure == std::errc::result_out_of_range)
    return append_special(numeric.starts_with('-') ? "-Infinity" : "Infinity", out);
  if (failure != std::errc()) return false;
  std::array<char, 32> shortest{};
  // Without a format it may write a large number out, with more digits than tell it apart.
  const auto written = std::to_chars(shortest.data(), shortest.data() + shortest.size(), value,
                                     std::chars_format::scientific);
  return append_java_double(
      {shortest.data(), static_cast<std::size_t>(written.ptr - shortest.data())}, out);
}

bool append_unscaled(std::string_view numeric, std::uint32_t scale, std::string& bytes) {
  if (const std::optional<std::int64_t> small = small_unscaled(numeric, scale)) {
    append_two_complement(*small, bytes);
    return true;
  }
  const std::optional<Unscaled> number = unscaled(numeric, scale);
  if (!number) return false;
  append_two_complement(number->negative, words_of(number->digits), bytes);
  return true;
}

std::uint32_t scale_of(std::string_view numeric) {
  const std::size_t point = numeric.find('.');
  if (point == std::string_view::npos) return 0;
  return static_cast<std::uint32_t>(numeric.find_last_not_of('0') - point);
}

std::string money_digits(std::string_view money) {
  std::string out;
  for (const char c : money) {
    if (c != '$' && c != ',') out += c;
  }
  return out;
}

}  // namespace pgweir::debezium
