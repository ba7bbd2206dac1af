#include "server/rows.h"

#include <fmt/core.h>

#include <charconv>
#include <chrono>

namespace pgweir::server {
namespace {

constexpr TimeUs kSecondUs = 1'000'000;
constexpr TimeUs kDayUs = 86'400 * kSecondUs;
constexpr TimeUs kFirstYearUs = -62'135'596'800 * kSecondUs;  // 0001-01-01
constexpr TimeUs kLastYearUs = 253'402'300'800 * kSecondUs;   // 10000-01-01
constexpr std::uint64_t kExactInteger = 1ull << 53;

// Whether `text` follows JSON's grammar of numbers.
bool is_json_number(std::string_view text) {
  std::size_t i = 0;
  const auto digits = [&] {
    const std::size_t start = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return i - start;
  };
  if (i < text.size() && text[i] == '-') ++i;
  const std::size_t first = i;
  const std::size_t whole = digits();
  if (whole == 0 || (whole > 1 && text[first] == '0')) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

bool is_exact_integer(std::string_view text) {
  if (!is_json_number(text)) return false;
  if (text.front() == '-') text.remove_prefix(1);
  std::uint64_t magnitude = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), magnitude);
  return failure == std::errc() && end == text.data() + text.size() && magnitude <= kExactInteger;
}

void write_cell(JsonWriter& json, CellKind kind, const std::string& text) {
  switch (kind) {
    case CellKind::kText:
      json.string(text);
      return;
    case CellKind::kJson:
      json.raw(text);
      return;
    case CellKind::kBoolean:
      json.boolean(text == "true");
      return;
    case CellKind::kInteger:
      is_exact_integer(text) ? json.raw(text) : json.string(text);
      return;
    case CellKind::kFloat:
      is_json_number(text) ? json.raw(text) : json.string(text);
      return;
  }
}

void append_csv_field(std::string& out, std::string_view text) {
  if (!text.empty() && text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

// Takes exactly `width` digits off the front of `text`; nothing, when there are not so many.
std::optional<int> take_digits(std::string_view& text, std::size_t width) {
  int value = 0;
  if (text.size() < width) return std::nullopt;
  for (std::size_t i = 0; i < width; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(width);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<TimeUs> take_date(std::string_view& text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count() * kDayUs;
}

std::optional<TimeUs> take_fraction(std::string_view& text) {
  TimeUs fraction = 0;
  TimeUs unit = kSecondUs;
  const std::size_t before = text.size();
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    unit /= 10;
    fraction += (text.front() - '0') * unit;
    text.remove_prefix(1);
  }
  if (text.size() == before) return std::nullopt;
  return fraction;
}

std::optional<TimeUs> take_time_of_day(std::string_view& text) {
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59) return std::nullopt;
  TimeUs time = (*hour * 60 + *minute) * 60 * kSecondUs;
  if (!take(text, ':')) return time;
  const auto second = take_digits(text, 2);
  if (!second || *second > 59) return std::nullopt;
  time += *second * kSecondUs;
  if (!take(text, '.')) return time;
  const auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  return time + *fraction;
}

// What has to be subtracted from a local time.
std::optional<TimeUs> take_zone(std::string_view& text) {
  if (take(text, 'Z')) return 0;
  const bool east = take(text, '+');
  if (!east && !take(text, '-')) return std::nullopt;
  const auto hours = take_digits(text, 2);
  if (!hours || *hours > 15) return std::nullopt;
  take(text, ':');
  const auto minutes = text.empty() ? std::optional<int>(0) : take_digits(text, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  const TimeUs offset = (*hours * 60 + *minutes) * 60 * kSecondUs;
  return east ? offset : -offset;
}

}  // namespace

std::string format_time(TimeUs time) {
  if (time < kFirstYearUs || time >= kLastYearUs) return fmt::format("{}us", time);
  const TimeUs days = (time >= 0 ? time : time - kDayUs + 1) / kDayUs;
  const TimeUs rest = time - days * kDayUs;
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
  const TimeUs seconds = rest / kSecondUs;
  std::string out =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (rest % kSecondUs != 0) out += fmt::format(".{:06}", rest % kSecondUs);
  return out + "Z";
}

Result<TimeUs> parse_time(std::string_view text) {
  const auto bad = [given = text] {
    return error(Code::kInvalid, fmt::format("'{}' is not a time", given), {},
                 "write ISO 8601 with a zone, such as 2026-11-21T14:00:00Z");
  };
  const auto date = take_date(text);
  if (!date) return bad();
  if (text.empty()) return *date;
  if (!take(text, 'T') && !take(text, ' ')) return bad();
  const auto time = take_time_of_day(text);
  if (!time) return bad();
  const auto offset = take_zone(text);
  if (!offset || !text.empty()) return bad();
  return *date + *time - *offset;
}

void write_columns(JsonWriter& json, const std::vector<RowColumn>& columns) {
  json.begin_array();
  for (const RowColumn& column : columns) {
    json.begin_object().key("name").string(column.name).key("type").string(column.type);
    json.end_object();
  }
  json.end_array();
}

void write_row(JsonWriter& json, const std::vector<RowColumn>& columns,
               const std::optional<std::string>* cells) {
  json.begin_array();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (cells[i]) {
      write_cell(json, columns[i].kind, *cells[i]);
    } else {
      json.null();
    }
  }
  json.end_array();
}

void write_rows(JsonWriter& json, const RowSet& rows) {
  json.key("columns");
  write_columns(json, rows.columns);
  json.key("rows").begin_array();
  for (std::size_t row = 0; row < rows.row_count(); ++row)
    write_row(json, rows.columns, &rows.cells[row * rows.columns.size()]);
  json.end_array();
}

std::string rows_as_csv(const RowSet& rows) {
  std::string out;
  for (std::size_t i = 0; i < rows.columns.size(); ++i) {
    if (i > 0) out += ',';
    append_csv_field(out, rows.columns[i].name);
  }
  out += "\r\n";
  for (std::size_t at = 0; at < rows.row_count() * rows.columns.size(); ++at) {
    if (rows.cells[at]) append_csv_field(out, *rows.cells[at]);
    out += (at + 1) % rows.columns.size() == 0 ? "\r\n" : ",";
  }
  return out;
}

void write_lsn(JsonWriter& json, model::Lsn lsn) {
  if (model::value(lsn) == 0) {
    json.null();
  } else {
    json.string(model::to_string(lsn));
  }
}

void write_time(JsonWriter& json, std::optional<TimeUs> time) {
  if (time) {
    json.string(format_time(*time));
  } else {
    json.null();
  }
}

}  // namespace pgweir::server
