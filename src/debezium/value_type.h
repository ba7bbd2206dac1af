// How a column's values stand in events: the schema that Kafka Connect's JsonConverter writes for
// them, and their JSON.
//
// Place:   made once for each version of a table; then asked for every value.
// Threads: immutable once made.
// Source:  messages recorded from Debezium 3.6.3, and its public documentation ("data types").
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "debezium/json_text.h"
#include "model/table.h"

namespace pgweir::debezium {

// The connector's properties of the same names (decimal.handling.mode=precise, ...), with its
// defaults.
enum class DecimalMode : std::uint8_t { kPrecise, kDouble, kString };
enum class TimeMode : std::uint8_t {
  kAdaptive,
  kAdaptiveTimeMicroseconds,
  kConnect,
  kIsoString,
  kMicroseconds,
  kNanoseconds
};
enum class BinaryMode : std::uint8_t { kBytes, kBase64, kBase64UrlSafe, kHex };
enum class IntervalMode : std::uint8_t { kNumeric, kString };
enum class HstoreMode : std::uint8_t { kJson, kMap };

struct ValueOptions {
  DecimalMode decimals = DecimalMode::kPrecise;
  TimeMode times = TimeMode::kAdaptive;
  BinaryMode binaries = BinaryMode::kBytes;
  IntervalMode intervals = IntervalMode::kNumeric;
  HstoreMode hstores = HstoreMode::kJson;
  bool include_unknown_types = false;
  std::uint32_t money_fraction_digits = 2;
  // In place of TOAST values that PostgreSQL did not send.
  std::string unavailable_value = "__debezium_unavailable_value";
};

class ValueType {
 public:
  // Nothing for types that Debezium leaves out of its events.
  static std::optional<ValueType> of(const model::Column& column, const ValueOptions& options);

  // {"type":...,"optional":...,...}. `default_json` and `field` only where they are not empty; the
  // name of a field is escaped here.
  std::string schema(bool optional, std::string_view default_json, std::string_view field) const;

  // The JSON of a value that is not NULL. False when the text is none of this type: then something
  // may have been appended.
  bool append(std::string_view text, std::string& out) const;

  // The JSON that stands for a TOAST value which PostgreSQL did not send.
  const std::string& unavailable() const { return unavailable_; }

  // What stands in a required field whose value is not known: `0`, `""`.
  std::string zero() const;

 private:
  enum class Kind : std::uint8_t {
    kBoolean,
    kBit,
    kInteger,
    kFloat,
    kString,
    kBytes,
    kBits,
    kDecimal,
    kVariableScaleDecimal,
    kDecimalDouble,
    kDecimalString,
    kDate,
    kIsoDate,
    kTime,  // a number of `unit_` nanoseconds
    kIsoTime,
    kZonedTime,
    kTimestamp,  // a number of `unit_` nanoseconds
    kIsoTimestamp,
    kZonedTimestamp,
    kInterval,
    kIsoInterval,
    kHstoreText,
    kHstoreMap,
    kPoint,
    kTextBytes,  // of a type that has no place in events but as the bytes of its text
    kShape,      // the same, of a geometric type
    kArray,
  };

  // What of(column) and an array's elements have in common.
  struct Source {
    std::uint32_t oid = 0;
    std::string_view name;  // without its schema
    std::int32_t modifier = -1;
    bool has_labels = false;
  };
  static std::optional<ValueType> of(const Source& source, const model::TypeFacts& facts,
                                     const ValueOptions& options);
  static ValueType plain(Kind kind, std::string_view type, std::string_view semantic_name = {});
  static ValueType of_binary(Kind kind, const ValueOptions& options);
  static ValueType of_decimal(const Source& source, const ValueOptions& options);
  static ValueType of_money(const ValueOptions& options);
  static ValueType of_date(const ValueOptions& options);
  static ValueType of_time(const Source& source, const ValueOptions& options);
  static ValueType of_timestamp(const Source& source, const ValueOptions& options);
  static std::optional<ValueType> of_extension(std::string_view name, const ValueOptions& options);
  void set_unavailable(const ValueOptions& options);

  bool append_bytes(std::string_view bytes, std::string& out) const;
  bool append_bits(std::string_view text, std::string& out) const;
  bool append_decimal(std::string_view text, std::string& out) const;
  bool append_time(std::string_view text, std::string& out) const;
  bool append_timestamp(std::string_view text, std::string& out) const;
  bool append_array(std::string_view text, std::string& out) const;

  Kind kind_ = Kind::kString;
  std::string head_;  // "type":... and what stands before "optional"
  std::string tail_;  // what stands behind it, with its comma
  BinaryMode binaries_ = BinaryMode::kBytes;
  bool money_ = false;
  std::uint32_t scale_ = 0;
  std::int64_t unit_ = 1;     // nanoseconds
  int fraction_digits_ = -1;  // of a second; -1: as many as it needs
  std::shared_ptr<const ValueType> element_;
  bool element_optional_ = true;
  std::string unavailable_;
};

}  // namespace pgweir::debezium
