#include "debezium/value_type.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <limits>
#include <utility>

#include "debezium/containers.h"
#include "debezium/numbers.h"
#include "debezium/temporal.h"

namespace pgweir::debezium {
namespace {

// pg_type.dat of PostgreSQL: these numbers are the same everywhere.
enum TypeOid : std::uint32_t {
  kBool = 16,
  kBytea = 17,
  kInt8 = 20,
  kInt2 = 21,
  kInt4 = 23,
  kText = 25,
  kOid = 26,
  kJson = 114,
  kXml = 142,
  kPointOid = 600,
  kLseg = 601,
  kPath = 602,
  kBox = 603,
  kPolygon = 604,
  kLine = 628,
  kFloat4 = 700,
  kFloat8 = 701,
  kCircle = 718,
  kMoney = 790,
  kDateOid = 1082,
  kTimeOid = 1083,
  kTimestampOid = 1114,
  kTimestampTz = 1184,
  kIntervalOid = 1186,
  kTimeTz = 1266,
  kBitOid = 1560,
  kVarbit = 1562,
  kNumeric = 1700,
  kUuid = 2950,
  kTsvector = 3614,
  kJsonb = 3802,
};

// "char", name, text, cidr, macaddr8, macaddr, inet, bpchar, varchar, and all ranges.
constexpr std::uint32_t kTextLike[] = {18,   19,   25,   650,  774,  829,  869, 1042,
                                       1043, 3904, 3906, 3908, 3910, 3912, 3926};
constexpr std::uint32_t kGeometric[] = {kLseg, kPath, kBox, kPolygon, kLine, kCircle};

// Arrays of these have no place in events, though they themselves do.
constexpr std::uint32_t kNotInArrays[] = {19,      kXml,    kPointOid,   kMoney,
                                          kBitOid, kVarbit, kIntervalOid};

constexpr std::int64_t kNanosOfMicro = 1'000;
constexpr std::int64_t kNanosOfMilli = 1'000'000;
constexpr int kMicroDigits = 6;
constexpr std::int32_t kDaysMin = -106'751, kDaysMax = 106'751;  // whole days in 64 bits of ns

// What Debezium's driver makes of the infinities: the first and the last moment that it knows.
constexpr std::int64_t kFutureMillis = 9'223'372'036'825'200;
constexpr std::int64_t kPastMillis = -9'223'372'036'832'400;
constexpr std::int64_t kFutureDays = -2'147'472'692, kPastDays = -2'147'472'691;

template <typename List>
bool contains(const List& list, std::uint32_t oid) {
  return std::find(std::begin(list), std::end(list), oid) != std::end(list);
}

std::string_view without_schema(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

std::string labels_of(const model::TypeFacts& facts) {
  std::string list;
  for (const std::string& label : facts.labels) {
    if (!list.empty()) list += ',';
    list += label;
  }
  std::string json;
  append_json_string(list, json);
  return json;
}

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

constexpr std::string_view kPointHead =
    R"("type":"struct","fields":[{"type":"double","optional":false,"field":"x"},)"
    R"({"type":"double","optional":false,"field":"y"},{"type":"bytes","optional":true,"field":"wkb"},)"
    R"({"type":"int32","optional":true,"field":"srid"}])";
constexpr std::string_view kVariableHead =
    R"("type":"struct","fields":[{"type":"int32","optional":false,"field":"scale"},)"
    R"({"type":"bytes","optional":false,"field":"value"}])";
constexpr std::string_view kStringMapHead =
    R"("type":"map","keys":{"type":"string","optional":false},"values":{"type":"string","optional":true})";

}  // namespace

ValueType ValueType::plain(Kind kind, std::string_view type, std::string_view semantic_name) {
  ValueType out;
  out.kind_ = kind;
  out.head_ = fmt::format("\"type\":\"{}\"", type);
  if (!semantic_name.empty())
    out.tail_ = fmt::format(",\"name\":\"{}\",\"version\":1", semantic_name);
  return out;
}

ValueType ValueType::of_binary(Kind kind, const ValueOptions& options) {
  ValueType out = plain(kind, options.binaries == BinaryMode::kBytes ? "bytes" : "string");
  out.binaries_ = options.binaries;
  return out;
}

ValueType ValueType::of_decimal(const Source& source, const ValueOptions& options) {
  if (options.decimals == DecimalMode::kDouble) return plain(Kind::kDecimalDouble, "double");
  if (options.decimals == DecimalMode::kString) return plain(Kind::kDecimalString, "string");
  constexpr std::int32_t kHeader = 4;  // VARHDRSZ, which modifiers have added
  if (source.modifier < kHeader) {
    ValueType out = plain(Kind::kVariableScaleDecimal, "struct");
    out.head_ = kVariableHead;
    out.tail_ = R"(,"name":"io.debezium.data.VariableScaleDecimal","version":1)"
                R"(,"doc":"Variable scaled decimal")";
    return out;
  }
  ValueType out = plain(Kind::kDecimal, "bytes", "org.apache.kafka.connect.data.Decimal");
  // Eleven bits, which Debezium takes for a number without a sign: numeric(3,-2) has scale 2046.
  out.scale_ = static_cast<std::uint32_t>(source.modifier - kHeader) & 0x7ff;
  out.tail_ += fmt::format(R"(,"parameters":{{"scale":"{}","connect.decimal.precision":"{}"}})",
                           out.scale_, (source.modifier - kHeader) >> 16 & 0xffff);
  return out;
}

ValueType ValueType::of_money(const ValueOptions& options) {
  ValueType out;
  if (options.decimals == DecimalMode::kDouble) {
    out = plain(Kind::kDecimalDouble, "double");
  } else if (options.decimals == DecimalMode::kString) {
    out = plain(Kind::kDecimalString, "string");
  } else {
    out = plain(Kind::kDecimal, "bytes", "org.apache.kafka.connect.data.Decimal");
    out.scale_ = options.money_fraction_digits;
    out.tail_ += fmt::format(R"(,"parameters":{{"scale":"{}"}})", out.scale_);
  }
  out.money_ = true;
  return out;
}

ValueType ValueType::of_date(const ValueOptions& options) {
  if (options.times == TimeMode::kConnect)
    return plain(Kind::kDate, "int32", "org.apache.kafka.connect.data.Date");
  if (options.times == TimeMode::kIsoString)
    return plain(Kind::kIsoDate, "string", "io.debezium.time.IsoDate");
  return plain(Kind::kDate, "int32", "io.debezium.time.Date");
}

ValueType ValueType::of_time(const Source& source, const ValueOptions& options) {
  const bool milliseconds = source.modifier >= 0 && source.modifier <= 3;
  ValueType out;
  if (options.times == TimeMode::kIsoString)
    return plain(Kind::kIsoTime, "string", "io.debezium.time.IsoTime");
  if (options.times == TimeMode::kConnect) {
    out = plain(Kind::kTime, "int32", "org.apache.kafka.connect.data.Time");
    out.unit_ = kNanosOfMilli;
  } else if (options.times == TimeMode::kNanoseconds) {
    out = plain(Kind::kTime, "int64", "io.debezium.time.NanoTime");
  } else if (options.times == TimeMode::kAdaptive && milliseconds) {
    out = plain(Kind::kTime, "int32", "io.debezium.time.Time");
    out.unit_ = kNanosOfMilli;
  } else {
    out = plain(Kind::kTime, "int64", "io.debezium.time.MicroTime");
    out.unit_ = kNanosOfMicro;
  }
  return out;
}

ValueType ValueType::of_timestamp(const Source& source, const ValueOptions& options) {
  const bool milliseconds = source.modifier >= 0 && source.modifier <= 3;
  ValueType out;
  if (options.times == TimeMode::kIsoString)
    return plain(Kind::kIsoTimestamp, "string", "io.debezium.time.IsoTimestamp");
  if (options.times == TimeMode::kConnect) {
    out = plain(Kind::kTimestamp, "int64", "org.apache.kafka.connect.data.Timestamp");
    out.unit_ = kNanosOfMilli;
  } else if (options.times == TimeMode::kNanoseconds) {
    out = plain(Kind::kTimestamp, "int64", "io.debezium.time.NanoTimestamp");
  } else if (options.times != TimeMode::kMicroseconds && milliseconds) {
    out = plain(Kind::kTimestamp, "int64", "io.debezium.time.Timestamp");
    out.unit_ = kNanosOfMilli;
  } else {
    out = plain(Kind::kTimestamp, "int64", "io.debezium.time.MicroTimestamp");
    out.unit_ = kNanosOfMicro;
  }
  return out;
}

// Types of extensions have other numbers in every database, but the same names.
std::optional<ValueType> ValueType::of_extension(std::string_view name,
                                                 const ValueOptions& options) {
  if (name == "citext" || name == "isbn") return plain(Kind::kString, "string");
  if (name == "ltree") return plain(Kind::kString, "string", "io.debezium.data.Ltree");
  if (name != "hstore") return std::nullopt;
  if (options.hstores == HstoreMode::kJson)
    return plain(Kind::kHstoreText, "string", "io.debezium.data.Json");
  ValueType out = plain(Kind::kHstoreMap, "map");
  out.head_ = kStringMapHead;
  return out;
}

std::optional<ValueType> ValueType::of(const Source& source, const model::TypeFacts& facts,
                                       const ValueOptions& options) {
  if (source.has_labels) {
    ValueType out = plain(Kind::kString, "string", "io.debezium.data.Enum");
    out.tail_ += fmt::format(R"(,"parameters":{{"allowed":{}}})", labels_of(facts));
    return out;
  }
  switch (source.oid) {
    case kBool:
      return plain(Kind::kBoolean, "boolean");
    case kInt2:
      return plain(Kind::kInteger, "int16");
    case kInt4:
      return plain(Kind::kInteger, "int32");
    case kInt8:
    case kOid:
      return plain(Kind::kInteger, "int64");
    case kFloat4:
      return plain(Kind::kFloat, "float");
    case kFloat8:
      return plain(Kind::kFloat, "double");
    case kBytea:
      return of_binary(Kind::kBytes, options);
    case kJson:
    case kJsonb:
      return plain(Kind::kString, "string", "io.debezium.data.Json");
    case kXml:
      return plain(Kind::kString, "string", "io.debezium.data.Xml");
    case kUuid:
      return plain(Kind::kString, "string", "io.debezium.data.Uuid");
    case kTsvector:
      return plain(Kind::kString, "string", "io.debezium.data.Tsvector");
    case kNumeric:
      return of_decimal(source, options);
    case kMoney:
      return of_money(options);
    case kDateOid:
      return of_date(options);
    case kTimeOid:
      return of_time(source, options);
    case kTimestampOid:
      return of_timestamp(source, options);
    case kTimeTz:
      return plain(Kind::kZonedTime, "string", "io.debezium.time.ZonedTime");
    case kTimestampTz: {
      ValueType out = plain(Kind::kZonedTimestamp, "string", "io.debezium.time.ZonedTimestamp");
      out.fraction_digits_ = source.modifier < 0 ? kMicroDigits : source.modifier;
      return out;
    }
    case kIntervalOid:
      if (options.intervals == IntervalMode::kString)
        return plain(Kind::kIsoInterval, "string", "io.debezium.time.Interval");
      return plain(Kind::kInterval, "int64", "io.debezium.time.MicroDuration");
    case kBitOid:
    case kVarbit: {
      if (source.modifier == 1) return plain(Kind::kBit, "boolean");
      ValueType out = plain(Kind::kBits, "bytes", "io.debezium.data.Bits");
      out.tail_ +=
          fmt::format(R"(,"parameters":{{"length":"{}"}})",
                      source.modifier > 0 ? source.modifier : std::numeric_limits<int>::max());
      return out;
    }
    case kPointOid: {
      ValueType out = plain(Kind::kPoint, "struct", "io.debezium.data.geometry.Point");
      out.head_ = kPointHead;
      out.tail_ += ",\"doc\":\"Geometry (POINT)\"";
      return out;
    }
    default:
      break;
  }
  // What is not PostgreSQL's own stands as text in Column::base_type.
  if (source.oid == kText && !source.name.empty() && source.name != "text")
    return of_extension(source.name, options);
  if (contains(kTextLike, source.oid)) return plain(Kind::kString, "string");
  return std::nullopt;
}

std::optional<ValueType> ValueType::of(const model::Column& column, const ValueOptions& options) {
  const model::TypeFacts& facts = column.facts;
  const auto oid = model::value(column.base_type == model::Oid{} ? column.type : column.base_type);
  const std::int32_t modifier = facts.name.empty() ? column.type_modifier : facts.modifier;
  std::optional<ValueType> out;
  if (facts.element != model::Oid{}) {
    const auto element = model::value(facts.element);
    if (!contains(kNotInArrays, element))
      out = of({element, without_schema(facts.element_name), modifier, !facts.labels.empty()},
               facts, options);
    if (out) {
      ValueType array;
      array.kind_ = Kind::kArray;
      array.element_optional_ = facts.labels.empty();
      array.head_ =
          fmt::format(R"("type":"array","items":{})", out->schema(array.element_optional_, {}, {}));
      array.element_ = std::make_shared<const ValueType>(std::move(*out));
      out = std::move(array);
    }
  } else {
    out = of({oid, without_schema(facts.name), modifier, !facts.labels.empty()}, facts, options);
  }
  if (!out && options.include_unknown_types)
    out = of_binary(contains(kGeometric, oid) ? Kind::kShape : Kind::kTextBytes, options);
  if (out) out->set_unavailable(options);
  return out;
}

void ValueType::set_unavailable(const ValueOptions& options) {
  const std::string& text = options.unavailable_value;
  switch (kind_) {
    case Kind::kBytes:
    case Kind::kTextBytes:
    case Kind::kShape:
      append_bytes(text, unavailable_);
      return;
    case Kind::kHstoreMap: {
      std::string quoted;
      append_json_string(text, quoted);
      unavailable_ = fmt::format("{{{0}:{0}}}", quoted);
      return;
    }
    case Kind::kArray:
      break;
    default:
      append_json_string(text, unavailable_);
      return;
  }
  // Of integers one for each byte of the text; of everything else an element that is the text.
  if (element_->kind_ == Kind::kInteger) {
    unavailable_ = "[";
    for (const char byte : text) {
      if (unavailable_.size() > 1) unavailable_ += ',';
      append_number(static_cast<unsigned char>(byte), unavailable_);
    }
  } else {
    ValueType element = *element_;
    element.set_unavailable(options);
    unavailable_ = "[" + element.unavailable_;
  }
  unavailable_ += ']';
}

std::string ValueType::schema(bool optional, std::string_view default_json,
                              std::string_view field) const {
  std::string out = fmt::format("{{{},\"optional\":{}{}", head_, optional, tail_);
  if (!default_json.empty()) out += fmt::format(",\"default\":{}", default_json);
  if (!field.empty()) {
    out += ",\"field\":";
    append_json_string(field, out);
  }
  out += '}';
  return out;
}

std::string ValueType::zero() const {
  switch (kind_) {
    case Kind::kBoolean:
    case Kind::kBit:
      return "false";
    case Kind::kInteger:
    case Kind::kDate:
    case Kind::kTime:
    case Kind::kTimestamp:
    case Kind::kInterval:
      return "0";
    case Kind::kFloat:
    case Kind::kDecimalDouble:
      return "0.0";
    case Kind::kDecimal:
      return "\"AA==\"";
    case Kind::kVariableScaleDecimal:
      return R"({"scale":0,"value":"AA=="})";
    case Kind::kDecimalString:
      return "\"0\"";
    case Kind::kHstoreMap:
      return "{}";
    case Kind::kArray:
      return "[]";
    case Kind::kPoint:
      return R"({"x":0.0,"y":0.0,"wkb":"","srid":null})";
    case Kind::kZonedTimestamp:
      return "\"1970-01-01T00:00:00.000000Z\"";
    default:
      return "\"\"";
  }
}

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
