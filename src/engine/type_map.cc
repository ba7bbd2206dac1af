#include "engine/type_map.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/time_text.h"

namespace pgweir::engine {
namespace {

__extension__ using Int128 = __int128;
__extension__ using Uint128 = unsigned __int128;

// OIDs of the built-in types that have a type of their own in DuckDB; fixed since PostgreSQL began.
enum BuiltIn : std::uint32_t {
  kBool = 16,
  kBytea = 17,
  kInt8 = 20,
  kInt2 = 21,
  kInt4 = 23,
  kOid = 26,
  kFloat4 = 700,
  kFloat8 = 701,
  kBpchar = 1042,
  kDate = 1082,
  kTime = 1083,
  kTimestamp = 1114,
  kTimestampTz = 1184,
  kInterval = 1186,
  kNumeric = 1700,
  kUuid = 2950,
};

constexpr int kDecimalPrecisionMax = 38;
constexpr int kDecimalPrecisionOf64Bits = 18;

constexpr std::array<Uint128, kDecimalPrecisionMax + 1> kPowersOfTen = [] {
  std::array<Uint128, kDecimalPrecisionMax + 1> powers{};
  powers[0] = 1;
  for (std::size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();

// --- One function a type: PostgreSQL's text -> the appender's native form ----------------------

Fit put_bool(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  if (text != "t" && text != "f") return Fit::kMalformed;
  out.append_bool(text == "t");
  return Fit::kOk;
}

template <typename T>
Fit put_int(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  T value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size()) return Fit::kMalformed;
  out.append_int(value);
  return Fit::kOk;
}

template <typename T>
Fit put_float(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  T value = 0;
  // from_chars also takes "NaN", "Infinity" and "-Infinity", as PostgreSQL writes them.
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty()) return Fit::kMalformed;
  if (code != std::errc{}) return Fit::kOutOfRange;
  // DuckDB's compression does not tell -0 from 0; so that the answer does not depend on when a row
  // was compressed, it is 0 from the start. (Adding 0 turns -0 into 0 and changes nothing else.)
  out.append_double(static_cast<double>(value + T{0}));
  return Fit::kOk;
}

// Digits of `text` as a number without its point, with exactly `scale` digits behind it.
Fit parse_decimal(std::string_view text, int precision, int scale, Uint128& magnitude,
                  bool& negative) {
  if (text == "NaN" || text == "Infinity" || text == "-Infinity") return Fit::kOutOfRange;
  negative = !text.empty() && text[0] == '-';
  std::size_t i = negative ? 1 : 0;
  if (i == text.size()) return Fit::kMalformed;
  magnitude = 0;
  int digits = 0;         // significant ones
  int behind_point = -1;  // digits taken behind the point; -1 in front of it
  for (; i < text.size(); ++i) {
    if (text[i] == '.' && behind_point < 0) {
      behind_point = 0;
      continue;
    }
    const auto digit = static_cast<unsigned>(text[i] - '0');
    if (digit > 9) return Fit::kMalformed;
    if (behind_point == scale) {
      if (digit != 0) return Fit::kOutOfRange;
      continue;
    }
    if (digits > 0 || digit != 0) ++digits;
    if (digits > precision) return Fit::kOutOfRange;
    magnitude = magnitude * 10 + digit;
    if (behind_point >= 0) ++behind_point;
  }
  const int missing = scale - std::max(behind_point, 0);
  if (digits > 0 && digits + missing > precision) return Fit::kOutOfRange;
  magnitude *= kPowersOfTen[static_cast<std::size_t>(missing)];
  return Fit::kOk;
}

Fit put_decimal(const ColumnType& type, std::string_view text, duck::RowWriter& out) {
  Uint128 magnitude = 0;
  bool negative = false;
  const Fit fit = parse_decimal(text, type.precision, type.scale, magnitude, negative);
  if (fit != Fit::kOk) return fit;
  const Uint128 value = negative ? ~magnitude + 1 : magnitude;
  if (type.precision <= kDecimalPrecisionOf64Bits) {
    out.append_int(static_cast<std::int64_t>(value));
  } else {
    out.append_int128(static_cast<std::uint64_t>(value), static_cast<std::int64_t>(value >> 64));
  }
  return Fit::kOk;
}

bool valid_utf8(std::string_view text);

Fit put_text(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  if (!valid_utf8(text)) return Fit::kMalformed;
  out.append_lasting_text(text);
  return Fit::kOk;
}

// char(n): its padding says nothing (PostgreSQL ignores it in comparisons and drops it in text).
Fit put_padded_text(const ColumnType& type, std::string_view text, duck::RowWriter& out) {
  return put_text(type, text.substr(0, text.find_last_not_of(' ') + 1), out);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Fit put_bytea(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return Fit::kMalformed;
  thread_local std::string bytes;  // keeps its room from value to value
  bytes.clear();
  for (std::size_t i = 2; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return Fit::kMalformed;
    bytes += static_cast<char>(high << 4 | low);
  }
  out.append_text(bytes);
  return Fit::kOk;
}

Fit put_uuid(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  if (text.size() != 36) return Fit::kMalformed;
  Uint128 value = 0;
  int digits = 0;
  for (const char c : text) {
    if (c == '-') continue;
    const int digit = hex_digit(c);
    if (digit < 0) return Fit::kMalformed;
    value = value << 4 | static_cast<unsigned>(digit);
    ++digits;
  }
  if (digits != 32) return Fit::kMalformed;
  const auto high = static_cast<std::uint64_t>(value >> 64) ^ (std::uint64_t{1} << 63);
  out.append_int128(static_cast<std::uint64_t>(value), static_cast<std::int64_t>(high));
  return Fit::kOk;
}

Fit put_date(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  std::int64_t days = 0;
  const Fit fit = parse_date(text, days);
  if (fit == Fit::kOk) out.append_int(days);
  return fit;
}

Fit put_time(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  std::int64_t micros = 0;
  const Fit fit = parse_time(text, micros);
  if (fit == Fit::kOk) out.append_int(micros);
  return fit;
}

Fit put_timestamp(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  std::int64_t micros = 0;
  const Fit fit = parse_timestamp(text, micros);
  if (fit == Fit::kOk) out.append_int(micros);
  return fit;
}

Fit put_interval(const ColumnType&, std::string_view text, duck::RowWriter& out) {
  IntervalValue value;
  const Fit fit = parse_interval(text, value);
  if (fit == Fit::kOk) out.append_interval(value.months, value.days, value.micros);
  return fit;
}

// --- UTF-8 -------------------------------------------------------------------------------------

// Length of the sequence that begins with this byte, or 0 for a byte that begins none.
std::size_t sequence_length(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

bool valid_sequence(std::string_view rest, std::size_t length) {
  if (length == 0 || length > rest.size()) return false;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return false;
  }
  // Overlong forms, surrogates and code points above U+10FFFF.
  if (byte(0) == 0xe0 && byte(1) < 0xa0) return false;
  if (byte(0) == 0xed && byte(1) > 0x9f) return false;
  if (byte(0) == 0xf0 && byte(1) < 0x90) return false;
  return byte(0) != 0xf4 || byte(1) <= 0x8f;
}

bool valid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    // Eight ASCII bytes at a time.
    std::uint64_t word = 0;
    if (text.size() - i >= sizeof word) {
      std::memcpy(&word, text.data() + i, sizeof word);
      if ((word & 0x8080808080808080ULL) == 0) {
        i += sizeof word;
        continue;
      }
    }
    const std::size_t length = sequence_length(static_cast<unsigned char>(text[i]));
    if (length != 1 && !valid_sequence(text.substr(i), length)) return false;
    i += length;
  }
  return true;
}

ColumnType decimal(int precision, int scale) {
  return {fmt::format("DECIMAL({},{})", precision, scale), put_decimal, precision, scale};
}

ColumnType map_numeric(std::int32_t modifier, const TypeOptions& options) {
  if (modifier < 0) return decimal(options.numeric_precision, options.numeric_scale);
  constexpr std::int32_t kHeaderSize = 4;  // typmods of varlena types count from here
  const std::int32_t packed = modifier - kHeaderSize;
  const int precision = packed >> 16 & 0xffff;
  const int scale = ((packed & 0x7ff) ^ 0x400) - 0x400;  // 11 bits with a sign
  if (precision > kDecimalPrecisionMax || scale < 0 || scale > precision)
    return {"VARCHAR", put_text};
  return decimal(precision, scale);
}

}  // namespace

ColumnType map_type(const model::Column& column, const TypeOptions& options) {
  const model::Oid type = column.base_type == model::Oid{} ? column.type : column.base_type;
  switch (model::value(type)) {
    case kBool:
      return {"BOOLEAN", put_bool};
    case kInt2:
      return {"SMALLINT", put_int<std::int16_t>};
    case kInt4:
      return {"INTEGER", put_int<std::int32_t>};
    case kInt8:
      return {"BIGINT", put_int<std::int64_t>};
    case kOid:
      return {"BIGINT", put_int<std::uint32_t>};
    case kFloat4:
      return {"FLOAT", put_float<float>};
    case kFloat8:
      return {"DOUBLE", put_float<double>};
    case kNumeric:
      return map_numeric(column.type == type ? column.type_modifier : -1, options);
    case kBytea:
      return {"BLOB", put_bytea};
    case kBpchar:
      return {"VARCHAR", put_padded_text};
    case kDate:
      return {"DATE", put_date};
    case kTime:
      return {"TIME", put_time};
    case kTimestamp:
      return {"TIMESTAMP", put_timestamp};
    case kTimestampTz:
      return {"TIMESTAMP WITH TIME ZONE", put_timestamp};
    case kInterval:
      return {"INTERVAL", put_interval};
    case kUuid:
      return {"UUID", put_uuid};
    default:
      return {"VARCHAR", put_text};
  }
}

std::string differs_expression(const std::string& duck_type, const std::string& a,
                               const std::string& b) {
  // The text tells what the comparison passes over: months from days.
  if (duck_type == "INTERVAL")
    return fmt::format("CAST({} AS VARCHAR) IS DISTINCT FROM CAST({} AS VARCHAR)", a, b);
  return fmt::format("{} IS DISTINCT FROM {}", a, b);
}

}  // namespace pgweir::engine
