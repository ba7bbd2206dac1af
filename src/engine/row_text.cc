#include "engine/row_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

namespace pgweir::engine {
namespace {

constexpr std::uint32_t kBoolOid = 16, kTextOid = 25, kInetOid = 869, kBpcharOid = 1042,
                        kNumericOid = 1700;

// How a value's canonical text is made.
enum class Form {
  kPlain,    // both sides' cast to text
  kOutput,   // PostgreSQL's cast to text is not what its output function prints
  kTrimmed,  // a decimal without the zeros at its end
  kFloat4,   // the bits, since both sides print them in forms of their own
  kFloat8,
  kBytes,
  kTime,      // a date or timestamp: years before 1 are named differently
  kInterval,  // the units' names
};

std::uint32_t base_of(const model::Column& column) {
  return model::value(column.base_type == model::Oid{} ? column.type : column.base_type);
}

Form form_of(const model::Column& column, const ColumnType& type) {
  const std::uint32_t base = base_of(column);
  if (type.duck_type == "FLOAT") return Form::kFloat4;
  if (type.duck_type == "DOUBLE") return Form::kFloat8;
  if (type.duck_type == "BLOB") return Form::kBytes;
  if (type.duck_type == "INTERVAL") return Form::kInterval;
  if (type.duck_type == "DATE" || type.duck_type.starts_with("TIMESTAMP")) return Form::kTime;
  if (base == kNumericOid && type.duck_type.starts_with("DECIMAL")) {
    const bool has_scale = model::value(column.type) == kNumericOid && column.type_modifier >= 0;
    return has_scale ? Form::kPlain : Form::kTrimmed;
  }
  // inet prints its /32 only when cast. Of other people's types nobody knows.
  const bool foreign = base == kTextOid && model::value(column.type) != kTextOid;
  return base == kInetOid || foreign ? Form::kOutput : Form::kPlain;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

template <typename T>
std::string float_text(std::string_view text) {
  T value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  if (std::isnan(value)) return "nan";
  value += T{0};
  if constexpr (sizeof(T) == sizeof(std::uint32_t)) {
    return fmt::format("{:08x}", std::bit_cast<std::uint32_t>(value));
  } else {
    return fmt::format("{:016x}", std::bit_cast<std::uint64_t>(value));
  }
}

std::string trimmed_decimal(std::string_view text) {
  if (text.find('.') == std::string_view::npos) return std::string(text);
  text = text.substr(0, text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace

// --- The hash ----------------------------------------------------------------------------------

// Bob Jenkins's lookup3 as PostgreSQL uses it for 64 bits.
namespace {

struct Mix {
  std::uint32_t a, b, c;

  void mix() {
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
  }

  void finish() {
    c ^= b, c -= std::rotl(b, 14);
    a ^= c, a -= std::rotl(c, 11);
    b ^= a, b -= std::rotl(a, 25);
    c ^= b, c -= std::rotl(b, 16);
    a ^= c, a -= std::rotl(c, 4);
    b ^= a, b -= std::rotl(a, 14);
    c ^= b, c -= std::rotl(b, 24);
  }
};

std::uint32_t word_at(const char* bytes) {
  std::uint32_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

}  // namespace

std::int64_t text_hash(std::string_view text, std::int64_t seed) {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::uint32_t kStart = 0x9e3779b9u + 3'923'095u;
  const auto length = static_cast<std::uint32_t>(text.size());
  Mix state{kStart + length, kStart + length, kStart + length};
  if (seed != 0) {
    state.a += static_cast<std::uint32_t>(static_cast<std::uint64_t>(seed) >> 32);
    state.b += static_cast<std::uint32_t>(seed);
    state.mix();
  }
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= 12; left -= 12, at += 12) {
    state.a += word_at(at);
    state.b += word_at(at + 4);
    state.c += word_at(at + 8);
    state.mix();
  }
  // The last word's lowest byte stays free: the length is in it from the start.
  char rest[12] = {};
  if (left > 0) std::memcpy(rest, at, std::min<std::size_t>(left, 8));
  if (left > 8) std::memcpy(rest + 9, at + 8, left - 8);
  state.a += word_at(rest);
  state.b += word_at(rest + 4);
  state.c += word_at(rest + 8);
  state.finish();
  return static_cast<std::int64_t>(std::uint64_t{state.b} << 32 | state.c);
}

// --- Texts -------------------------------------------------------------------------------------

std::string source_text(const model::Column& column, const ColumnType& type,
                        const std::string& expression) {
  switch (form_of(column, type)) {
    case Form::kPlain:
    case Form::kBytes:
    case Form::kTime:
      return fmt::format("{}::text", expression);
    case Form::kOutput:
      return fmt::format("CASE WHEN {0} IS NULL THEN NULL ELSE concat({0}) END", expression);
    case Form::kTrimmed:
      return fmt::format("trim_scale({}::numeric)::text", expression);
    case Form::kFloat4:
      return fmt::format(
          "CASE WHEN {0}::float4 = 'NaN' THEN 'nan' ELSE encode(float4send({0}::float4 + "
          "0::float4), 'hex') END",
          expression);
    case Form::kFloat8:
      return fmt::format(
          "CASE WHEN {0}::float8 = 'NaN' THEN 'nan' ELSE encode(float8send({0}::float8 + "
          "0::float8), 'hex') END",
          expression);
    case Form::kInterval:
      return fmt::format(
          "replace(replace(replace(replace({}::text, '+', ''), 'mons', 'mon'), 'years', 'year'), "
          "'days', 'day')",
          expression);
  }
  return {};
}

namespace {

// DuckDB's own cast of a DECIMAL beyond 18 digits and of a TIMESTAMP WITH TIME ZONE takes three to
// four times as long as that of what most values can be made first.
std::string mirror_cast(const ColumnType& type, const std::string& expression) {
  constexpr int kFastDigits = 18;
  if (type.duck_type == "VARCHAR") return expression;
  if (type.precision > kFastDigits && type.scale < kFastDigits) {
    return fmt::format(
        "coalesce(CAST(TRY_CAST({0} AS DECIMAL({1},{2})) AS VARCHAR), CAST({0} AS VARCHAR))",
        expression, kFastDigits, type.scale);
  }
  // A DECIMAL of nothing but fraction is printed without the zero in front of its point.
  if (type.duck_type.starts_with("DECIMAL") && type.precision == type.scale)
    return fmt::format("regexp_replace(CAST({} AS VARCHAR), '^(-?)\\.', '\\10.')", expression);
  if (type.duck_type == "TIMESTAMP WITH TIME ZONE") {
    return fmt::format(
        "CASE WHEN isfinite({0}) THEN CAST(make_timestamp(epoch_us({0})) AS VARCHAR) || '+00' ELSE "
        "CAST({0} AS VARCHAR) END",
        expression);
  }
  return fmt::format("CAST({} AS VARCHAR)", expression);
}

}  // namespace

std::string mirror_text(const model::Column& column, const ColumnType& type,
                        const std::string& expression) {
  const std::string text = mirror_cast(type, expression);
  switch (form_of(column, type)) {
    case Form::kPlain:
    case Form::kOutput:
      return text;
    case Form::kTrimmed:
      return type.scale == 0 ? text : fmt::format("rtrim(rtrim({}, '0'), '.')", text);
    case Form::kFloat4:
    case Form::kFloat8:
      return fmt::format(
          "CASE WHEN isnan({0}) THEN 'nan' ELSE lower(hex(CAST(CAST({0} AS BIT) AS BLOB))) END",
          expression);
    case Form::kBytes:
      return fmt::format("'\\x' || lower(hex({}))", expression);
    case Form::kTime:
      return fmt::format(
          "CASE WHEN contains({0}, ' (BC)') THEN replace({0}, ' (BC)', '') || ' BC' ELSE {0} END",
          text);
    case Form::kInterval:
      return fmt::format(
          "replace(replace(replace(replace({}, 'months', 'mon'), 'month', 'mon'), 'years', "
          "'year'), 'days', 'day')",
          text);
  }
  return {};
}

std::string image_text(const model::Column& column, const ColumnType& type,
                       const std::string& expression) {
  const Form form = form_of(column, type);
  if (form == Form::kFloat4 || form == Form::kFloat8) {
    return fmt::format(
        "CASE WHEN isnan({0}) THEN 'NaN' WHEN isinf({0}) THEN CASE WHEN {0} > 0 THEN 'Infinity' "
        "ELSE '-Infinity' END ELSE regexp_replace(CAST({0} AS VARCHAR), '\\.0$', '') END",
        expression);
  }
  if (form == Form::kInterval) {
    return fmt::format("replace(replace(CAST({} AS VARCHAR), 'months', 'mons'), 'month', 'mon')",
                       expression);
  }
  if (type.duck_type == "BOOLEAN")
    return fmt::format("CASE WHEN {0} THEN 't' WHEN NOT {0} THEN 'f' END", expression);
  return mirror_text(column, type, expression);
}

std::string wire_text(const model::Column& column, const ColumnType& type, std::string_view text) {
  switch (form_of(column, type)) {
    case Form::kPlain:
    case Form::kOutput:
    case Form::kBytes:
    case Form::kTime:
      break;
    case Form::kTrimmed:
      return trimmed_decimal(text);
    case Form::kFloat4:
      return float_text<float>(text);
    case Form::kFloat8:
      return float_text<double>(text);
    case Form::kInterval:
      return replaced(
          replaced(replaced(replaced(std::string(text), "+", ""), "mons", "mon"), "years", "year"),
          "days", "day");
  }
  if (base_of(column) == kBoolOid) return text == "t" ? "true" : "false";
  if (base_of(column) == kBpcharOid) text = text.substr(0, text.find_last_not_of(' ') + 1);
  return std::string(text);
}

// --- Rows --------------------------------------------------------------------------------------

Result<RowHash> RowHash::make(const Mirror& mirror, const TypeOptions& options) {
  const auto store = mirror.store.lock();
  if (store == nullptr) {
    return error(Code::kUnavailable, fmt::format("the mirror of {} is being opened anew",
                                                 mirror.table.qualified_name()));
  }
  const StoreSpec& spec = store->spec();
  RowHash out;
  out.mirror_ = mirror.name;
  out.has_key_ = mirror.kind == MirrorKind::kKeyed;
  for (std::size_t i = 0; i < mirror.kept_columns.size() && i < spec.columns.size(); ++i) {
    const std::uint32_t index = mirror.kept_columns[i];
    const model::Column& column = mirror.table.columns[index];
    const bool in_key =
        !out.has_key_ || std::find(spec.key.begin(), spec.key.end(), i) != spec.key.end();
    out.columns_.push_back({index, column.name, in_key});
    out.source_columns_.push_back(column);
    out.types_.push_back(map_type(column, options));
    out.mirror_names_.push_back(duck::quote_identifier(spec.columns[i].name));
  }
  return out;
}

std::string RowHash::text(Side side, std::size_t column) const {
  const std::string value = fmt::format("c{}", column);
  return side == Side::kSource ? source_text(source_columns_[column], types_[column], value)
                               : mirror_text(source_columns_[column], types_[column], value);
}

std::string RowHash::shown(Side side, std::size_t column) const {
  const bool is_float = types_[column].duck_type == "FLOAT" || types_[column].duck_type == "DOUBLE";
  if (!is_float) return text(side, column);
  return fmt::format(fmt::runtime(side == Side::kSource ? "c{}::text" : "CAST(c{} AS VARCHAR)"),
                     column);
}

std::string RowHash::hash(Side side, const std::string& text, const std::string& seed) const {
  return side == Side::kSource ? fmt::format("hashtextextended(({}) COLLATE \"C\", {})", text, seed)
                               : fmt::format("{}({}, {})", kTextHashFunction, text, seed);
}

// Without a key, NULL must be told from an empty text: each other one begins with an x.
std::string RowHash::key_expression(Side side) const {
  std::string out = "0";
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (!columns_[i].in_key) continue;
    out = hash(side,
               has_key_ ? text(side, i) : fmt::format("coalesce('x' || ({}), '')", text(side, i)),
               out);
  }
  return fmt::format("coalesce({}, 0)", out);
}

std::string RowHash::row_expression(Side side) const {
  std::string out = "k";
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].in_key) continue;
    const std::size_t number = i + 1;
    if (side == Side::kSource) {
      out += fmt::format(" # coalesce({}, {})",
                         hash(side, text(side, i), fmt::format("k # {}", number)), number);
    } else {
      out = fmt::format("xor({}, coalesce({}, {}))", out,
                        hash(side, text(side, i), fmt::format("xor(k, {})", number)), number);
    }
  }
  return out;
}

// `more`: further result columns; `more_names`: what of `from` they need beside the kept columns.
// The key's hash is made in a subselect of its own, which `OFFSET 0` keeps apart: it would else be
// computed again for every column.
std::string RowHash::select(Side side, const std::string& from, const std::string& more_names,
                            const std::string& more) const {
  std::string names;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    names +=
        fmt::format("{}{} AS c{}", i == 0 ? "" : ", ",
                    side == Side::kSource ? "\"" + replaced(columns_[i].name, "\"", "\"\"") + "\""
                                          : mirror_names_[i],
                    i);
  }
  const char* barrier = side == Side::kSource ? " OFFSET 0" : "";
  return fmt::format(
      "SELECT k, {} AS v{} FROM (SELECT {} AS k, kept.* FROM (SELECT {}{} FROM {}) AS kept{}) "
      "AS keyed",
      row_expression(side), more, key_expression(side), names, more_names, from, barrier);
}

std::string RowHash::texts(Side side, std::size_t length_max) const {
  std::string out;
  for (std::size_t i = 0; i < columns_.size(); ++i)
    out += fmt::format(", {} AS h{}, left({}, {}) AS s{}", hash(side, text(side, i), "0"), i,
                       shown(side, i), length_max, i);
  return out;
}

std::string RowHash::source_hashes(const std::string& from) const {
  return select(Side::kSource, from, "", "");
}
std::string RowHash::mirror_hashes() const {
  return select(Side::kMirror, mirror_, "", "");
}
std::string RowHash::source_texts(const std::string& from, std::size_t length_max) const {
  return select(Side::kSource, from, "", texts(Side::kSource, length_max));
}
std::string RowHash::mirror_texts(std::size_t length_max) const {
  return select(Side::kMirror, mirror_, "", texts(Side::kMirror, length_max));
}
std::string RowHash::source_places(const std::string& from) const {
  return select(Side::kSource, from, ", tableoid AS o, ctid AS t", ", o, t");
}
std::string RowHash::mirror_images() const {
  std::string images;
  for (std::size_t i = 0; i < columns_.size(); ++i)
    images += fmt::format(", {} AS i{}",
                          image_text(source_columns_[i], types_[i], fmt::format("c{}", i)), i);
  return select(Side::kMirror, mirror_, "", images);
}

std::optional<std::int64_t> RowHash::key_hash(const model::Cell* row) const {
  std::int64_t out = 0;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (!columns_[i].in_key) continue;
    const model::Cell& cell = row[columns_[i].index];
    if (cell.kind == model::CellKind::kText) {
      const std::string text = wire_text(source_columns_[i], types_[i], cell.text());
      out = text_hash(has_key_ ? text : "x" + text, out);
    } else if (cell.kind == model::CellKind::kNull && !has_key_) {
      out = text_hash({}, out);
    } else {
      return std::nullopt;
    }
  }
  return out;
}

}  // namespace pgweir::engine
