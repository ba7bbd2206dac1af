// The values of a ValueType: PostgreSQL's texts as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

#include "debezium/containers.h"
#include "debezium/numbers.h"
#include "debezium/temporal.h"
#include "debezium/value_type.h"

namespace pgweir::debezium {
namespace {

constexpr std::int64_t kNanosOfMicro = 1'000;
constexpr std::int32_t kDaysMin = -106'751, kDaysMax = 106'751;  // whole days in 64 bits of ns

// What Debezium's driver makes of the infinities: the first and the last moment that it knows.
constexpr std::int64_t kFutureMillis = 9'223'372'036'825'200;
constexpr std::int64_t kPastMillis = -9'223'372'036'832'400;
constexpr std::int64_t kFutureDays = -2'147'472'692, kPastDays = -2'147'472'691;

void append_number(std::int64_t number, std::string& out) {
  const fmt::format_int text(number);
  out.append(text.data(), text.size());
}

bool append_integer(std::string_view text, std::string& out) {
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  constexpr std::size_t kDigitsMax = 19;  // of 64 bits
  if (digits.empty() || digits.size() > kDigitsMax) return false;
  if (digits[0] == '0' && digits.size() > 1) return false;
  if (digits.find_first_not_of("0123456789") != std::string_view::npos) return false;
  out += text;
  return true;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// bytea_output=hex.
std::optional<std::string> bytes_of(std::string_view text) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 2; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high << 4 | low);
  }
  return bytes;
}

// Well-known binary, little-endian: the order of bytes, type 1, x, y.
std::string well_known_point(double x, double y) {
  std::string bytes("\x01\x01\x00\x00\x00", 5);
  for (const double each : {x, y}) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &each, sizeof bits);
    for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>(bits >> shift & 0xff);
  }
  return bytes;
}

bool append_point(std::string_view text, std::string& out) {
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') return false;
  const std::string_view inside = text.substr(1, text.size() - 2);
  const std::size_t comma = inside.find(',');
  if (comma == std::string_view::npos) return false;
  const std::string_view texts[] = {inside.substr(0, comma), inside.substr(comma + 1)};
  double numbers[2] = {};
  for (int i = 0; i < 2; ++i) {
    const char* const end = texts[i].data() + texts[i].size();
    if (std::from_chars(texts[i].data(), end, numbers[i]).ptr != end) return false;
  }
  out += "{\"x\":";
  if (!append_java_double(texts[0], out)) return false;
  out += ",\"y\":";
  if (!append_java_double(texts[1], out)) return false;
  out += ",\"wkb\":\"";
  append_base64(well_known_point(numbers[0], numbers[1]), Base64::kStandard, out);
  out += "\",\"srid\":null}";
  return true;
}

// "((0,0),(1,1))" as the driver's objects print themselves: "((0.0,0.0),(1.0,1.0))".
std::string with_java_numbers(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("()[]<>{},"), text.size());
    if (end > 0 && !append_java_double(text.substr(0, end), out)) out += text.substr(0, end);
    if (end < text.size()) out += text[end];
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

bool ValueType::append_bytes(std::string_view bytes, std::string& out) const {
  out += '"';
  if (binaries_ == BinaryMode::kHex) {
    append_hex(bytes, out);
  } else {
    append_base64(
        bytes, binaries_ == BinaryMode::kBase64UrlSafe ? Base64::kUrlSafe : Base64::kStandard, out);
  }
  out += '"';
  return true;
}

// Little-endian, without the zeros at the end: what Java's BitSet gives.
bool ValueType::append_bits(std::string_view text, std::string& out) const {
  std::string bytes((text.size() + 7) / 8, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t bit = text.size() - 1 - i;
    if (text[i] == '1') {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] | 1 << bit % 8);
    } else if (text[i] != '0') {
      return false;
    }
  }
  while (!bytes.empty() && bytes.back() == '\0') bytes.pop_back();
  out += '"';
  append_base64(bytes, Base64::kStandard, out);
  out += '"';
  return true;
}

bool ValueType::append_decimal(std::string_view text, std::string& out) const {
  const bool special = text == "NaN" || text == "Infinity" || text == "-Infinity";
  if (kind_ == Kind::kDecimalDouble) return append_as_double(text, out);
  if (kind_ == Kind::kDecimalString) {
    if (special)
      text = text == "NaN" ? "NAN" : text[0] == '-' ? "NEGATIVE_INFINITY" : "POSITIVE_INFINITY";
    append_json_string(text, out);
    return true;
  }
  if (special) {
    out += "null";
    return true;
  }
  const bool variable = kind_ == Kind::kVariableScaleDecimal;
  const std::uint32_t scale = variable ? scale_of(text) : scale_;
  std::string bytes;
  if (!append_unscaled(text, scale, bytes)) return false;
  if (variable) {
    out += "{\"scale\":";
    append_number(scale, out);
    out += ",\"value\":";
  }
  out += '"';
  append_base64(bytes, Base64::kStandard, out);
  out += variable ? "\"}" : "\"";
  return true;
}

bool ValueType::append_time(std::string_view text, std::string& out) const {
  const std::optional<DateTime> time = parse_time(text);
  if (!time) return false;
  if (kind_ == Kind::kTime) {
    append_number(unit_ > kNanosOfMicro ? time->micros * kNanosOfMicro / unit_
                                        : time->micros * (kNanosOfMicro / unit_),
                  out);
    return true;
  }
  out += '"';
  append_iso_time(time->micros, kAsNeeded, out);
  out += "Z\"";
  return true;
}

bool ValueType::append_timestamp(std::string_view text, std::string& out) const {
  const std::optional<DateTime> time = parse_timestamp(text);
  if (!time) return false;
  if (kind_ != Kind::kTimestamp) {
    if (time->infinite != Infinite::kNo) {
      append_json_string(text, out);
      return true;
    }
    out += '"';
    append_iso_date(time->days, out);
    out += 'T';
    append_iso_time(time->micros, fraction_digits_, out);
    out += "Z\"";
    return true;
  }
  std::int64_t micros = time->epoch_micros();
  if (time->infinite != Infinite::kNo)
    micros = (time->infinite == Infinite::kFuture ? kFutureMillis : kPastMillis) * 1000;
  if (unit_ < kNanosOfMicro) {
    const bool fits =
        time->infinite == Infinite::kNo && time->days > kDaysMin && time->days < kDaysMax;
    if (fits) {
      append_number(micros * kNanosOfMicro, out);
    } else {
      out += "null";
    }
    return true;
  }
  // Towards the past, as Java's Instant counts milliseconds.
  const std::int64_t per_unit = unit_ / kNanosOfMicro;
  std::int64_t units = micros / per_unit;
  if (micros < 0 && units * per_unit != micros) --units;
  append_number(units, out);
  return true;
}

bool ValueType::append_array(std::string_view text, std::string& out) const {
  ArrayText elements(text);
  out += '[';
  bool first = true;
  while (const ArrayText::Element* element = elements.next()) {
    if (!first) out += ',';
    first = false;
    if (element->kind != ArrayText::Kind::kValue) {
      out += "null";  // of an array in the array, too: Debezium's driver does not look into it
    } else if (!element_->append(element->text, out)) {
      return false;
    }
  }
  out += ']';
  return elements.ok();
}

bool ValueType::append(std::string_view text, std::string& out) const {
  std::string digits;
  if (money_) text = digits = money_digits(text);
  switch (kind_) {
    case Kind::kBoolean:
    case Kind::kBit:
      if (text != "t" && text != "f" && text != "1" && text != "0") return false;
      out += text == "t" || text == "1" ? "true" : "false";
      return true;
    case Kind::kInteger:
      return append_integer(text, out);
    case Kind::kFloat:
      return append_java_double(text, out);
    case Kind::kString:
      append_json_string(text, out);
      return true;
    case Kind::kBytes: {
      const std::optional<std::string> bytes = bytes_of(text);
      return bytes && append_bytes(*bytes, out);
    }
    case Kind::kTextBytes:
      return append_bytes(text, out);
    case Kind::kShape:
      return append_bytes(with_java_numbers(text), out);
    case Kind::kBits:
      return append_bits(text, out);
    case Kind::kDecimal:
    case Kind::kVariableScaleDecimal:
    case Kind::kDecimalDouble:
    case Kind::kDecimalString:
      return append_decimal(text, out);
    case Kind::kDate: {
      const std::optional<DateTime> date = parse_date(text);
      if (!date) return false;
      append_number(date->infinite == Infinite::kNo       ? date->days
                    : date->infinite == Infinite::kFuture ? kFutureDays
                                                          : kPastDays,
                    out);
      return true;
    }
    case Kind::kIsoDate: {
      const std::optional<DateTime> date = parse_date(text);
      if (!date) return false;
      out += '"';
      if (date->infinite == Infinite::kNo) {
        append_iso_date(date->days, out);
        out += 'Z';
      } else {
        out += text;
      }
      out += '"';
      return true;
    }
    case Kind::kTime:
    case Kind::kIsoTime:
    case Kind::kZonedTime:
      return append_time(text, out);
    case Kind::kTimestamp:
    case Kind::kIsoTimestamp:
    case Kind::kZonedTimestamp:
      return append_timestamp(text, out);
    case Kind::kInterval:
    case Kind::kIsoInterval: {
      const std::optional<Interval> interval = parse_interval(text);
      if (!interval) return false;
      if (kind_ == Kind::kInterval) {
        append_number(interval_micros(*interval), out);
      } else {
        out += '"';
        append_iso_interval(*interval, out);
        out += '"';
      }
      return true;
    }
    case Kind::kHstoreText: {
      std::string json;
      if (!append_hstore(text, json)) return false;
      append_json_string(json, out);
      return true;
    }
    case Kind::kHstoreMap:
      return append_hstore(text, out);
    case Kind::kPoint:
      return append_point(text, out);
    case Kind::kArray:
      return append_array(text, out);
  }
  return false;
}

}  // namespace pgweir::debezium
