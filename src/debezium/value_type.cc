#include "debezium/value_type.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

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
      unavailable_ += std::to_string(static_cast<unsigned char>(byte));
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

}  // namespace pgweir::debezium
