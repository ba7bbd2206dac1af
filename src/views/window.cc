#include "views/window.h"

#include <fmt/core.h>

#include <chrono>
#include <optional>

#include "base/nearest_name.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

// Helpers of windowed_rows(); no column of a relation has such a name.
constexpr const char* kBucket = "pgweir_bucket";
constexpr const char* kNumber = "pgweir_window";
constexpr const char* kAt = "pgweir_at";
constexpr const char* kBefore = "pgweir_before";
constexpr const char* kSession = "pgweir_session";

std::int64_t floor_to(std::int64_t value, std::int64_t step) {
  const std::int64_t rest = value % step;
  return value - (rest < 0 ? rest + step : rest);
}

// The lengths of a call, read and checked.
struct Lengths {
  bool by_months = false;
  std::int64_t step = 0;  // slide, step, or the size itself; months or microseconds
  std::int64_t size = 0;  // or the gap
  std::int64_t offset_us = 0;
};

class LengthReader {
 public:
  LengthReader(SqlParser& parser, const WindowCall& call, const std::string& sql)
      : parser_(parser), call_(call), sql_(sql) {}

  Result<Lengths> read() const {
    TimeLength first, last;
    for (const Json& expression : call_.lengths) {
      const auto length = read_length(parser_, expression);
      if (!length.ok() || (length->months <= 0 && length->micros <= 0) ||
          (length->months != 0 && length->micros != 0))
        return wrong(
            "the length of a window must be a positive INTERVAL, either of months or of "
            "days and shorter,",
            expression);
      if (&expression == &call_.lengths.front()) first = *length;
      last = *length;
    }
    Lengths out;
    out.by_months = last.months != 0;
    out.size = out.by_months ? last.months : last.micros;
    out.step = out.by_months ? first.months : first.micros;
    TRY(check_steps(out));
    if (call_.offset.is_null()) return out;
    const auto offset = read_length(parser_, call_.offset);
    if (!offset.ok() || offset->months != 0)
      return wrong("the offset of windows must be an INTERVAL of days and shorter units",
                   call_.offset);
    out.offset_us = offset->micros;
    return out;
  }

 private:
  Error wrong(const std::string& why, const Json& expression) const {
    return error(Code::kInvalid,
                 fmt::format("{} at {}", why, place_of(sql_, offset_of(expression))));
  }

  Status check_steps(const Lengths& lengths) const {
    if (call_.kind == WindowKind::kSession && lengths.by_months)
      return wrong("the gap between sessions must be of days and shorter units", call_.lengths[0]);
    if (call_.lengths.size() < 2) return {};
    const Json& first = call_.lengths.front();
    const bool hop = call_.kind == WindowKind::kHop;
    const char* name = hop ? "slide" : "step";
    if (lengths.step == 0)
      return wrong(fmt::format("{} and size must both be of months, or both of days and shorter "
                               "units,",
                               name),
                   first);
    if (hop && lengths.step > lengths.size)
      return wrong("the slide is longer than the windows: some rows would be in none", first);
    if (!hop && lengths.size % lengths.step != 0)
      return wrong("the size must be a multiple of the step", call_.lengths.back());
    const std::int64_t windows = (lengths.size - 1) / lengths.step + 1;
    if (windows > kWindowsOfRowMax)
      return wrong(fmt::format("a row would be in {} windows, more than {}: lengthen the {}",
                               windows, kWindowsOfRowMax, name),
                   first);
    return {};
  }

  SqlParser& parser_;
  const WindowCall& call_;
  const std::string& sql_;
};

const engine::StoreColumn* find_column(const Relation& relation, const std::string& name) {
  for (const auto& column : relation.columns)
    if (same_name(column.name, name)) return &column;
  return nullptr;
}

Error no_column(const Relation& relation, const std::string& name, const std::string& place) {
  std::vector<std::string> names;
  for (const auto& column : relation.columns) names.push_back(column.name);
  const std::string nearest = nearest_name(name, names);
  return error(Code::kInvalid,
               fmt::format("{} has no column \"{}\" at {}", relation.name, name, place), "",
               nearest.empty() ? "" : "did you mean \"" + nearest + "\"?");
}

// Writes a window's SQL. Times are worked with as TIMESTAMP in UTC: windows are aligned to
// 1970-01-01 00:00 UTC, whatever the session's time zone. (By way of microseconds: timezone('UTC',
// ...) gives the same and takes ten times as long.)
class WindowWriter {
 public:
  WindowWriter(const engine::StoreColumn& time, const Lengths& lengths)
      : lengths_(lengths),
        zoned_(time.type == "TIMESTAMP WITH TIME ZONE"),
        column_(quote_identifier(time.name)),
        local_(zoned_ ? fmt::format("make_timestamp(epoch_us({}))", column_)
                      : fmt::format("CAST({} AS TIMESTAMP)", column_)) {}

  void tumble(Window* out) const {
    const std::string bucket = bucket_of(lengths_.size);
    out->start_sql = typed(moved(bucket, "0"));
    out->end_sql = typed(moved(bucket, std::to_string(lengths_.size)));
  }

  void hop(Window* out) const {
    out->told_by = "window_start";
    number(lengths_.step, out);
    const std::string back = fmt::format("- {} * {}", kNumber, lengths_.step);
    out->start_sql = typed(moved(kBucket, back));
    out->end_sql = typed(moved(kBucket, fmt::format("{} {}", lengths_.size, back)));
    out->kept_sql = lengths_.size % lengths_.step == 0
                        ? fmt::format("({} = 0 OR isfinite({}))", kNumber, column_)
                        : ends_later(fmt::format("{} {}", lengths_.size, back));
  }

  void cumulate(Window* out) const {
    out->told_by = "window_end";
    number(lengths_.size, out);
    const std::string steps = fmt::format("({} + 1) * {}", kNumber, lengths_.step);
    out->start_sql = typed(moved(kBucket, "0"));
    out->end_sql = typed(moved(kBucket, steps));
    out->kept_sql = ends_later(steps);
  }

  // A session ends where no row follows within the gap. One exactly at the end still belongs to
  // it, as in Flink, where windows that touch are merged.
  void session(Window* out) const {
    std::string by;
    for (const std::string& name : out->partition)
      by += (by.empty() ? "PARTITION BY " : ", ") + quote_identifier(name);
    out->rows_sql = fmt::format(
        "SELECT *, sum(CASE WHEN {0} - {1} <= {2} THEN 0 ELSE 1 END) OVER ({3} ORDER BY {0} NULLS "
        "LAST) AS {4} FROM (SELECT *, lag({0}) OVER ({3} ORDER BY {0} NULLS LAST) AS {1} FROM "
        "(SELECT *, CASE WHEN isfinite({5}) THEN epoch_us({5}) END AS {0}",
        kAt, kBefore, lengths_.size, by, kSession,
        zoned_ ? column_ : "CAST(" + column_ + " AS TIMESTAMP)");
    out->rows_end = "))";
    const std::string over =
        fmt::format("OVER ({}{})", by.empty() ? "PARTITION BY " : by + ", ", kSession);
    const std::string make = zoned_ ? "make_timestamptz" : "make_timestamp";
    out->start_sql = finite(fmt::format("{}(min({}) {})", make, kAt, over));
    out->end_sql = finite(fmt::format("{}(max({}) {} + {})", make, kAt, over, lengths_.size));
  }

 private:
  std::string bucket_of(std::int64_t length) const {
    const std::string shifted = lengths_.offset_us == 0 ? local_
                                                        : fmt::format("{} - to_microseconds({})",
                                                                      local_, lengths_.offset_us);
    return fmt::format("time_bucket({}({}), {}, TIMESTAMP '1970-01-01')",
                       lengths_.by_months ? "to_months" : "to_microseconds", length, shifted);
  }

  // A bucket's start, `by` (months or microseconds) later, with the offset.
  std::string moved(const std::string& bucket, const std::string& by) const {
    std::string out = bucket;
    if (by != "0" && lengths_.by_months)
      out += fmt::format(" + to_months(CAST({} AS INTEGER))", by);
    if (by != "0" && !lengths_.by_months) out += fmt::format(" + to_microseconds({})", by);
    if (lengths_.offset_us != 0) out += fmt::format(" + to_microseconds({})", lengths_.offset_us);
    return out;
  }

  // Infinite times are in a window of their own.
  std::string finite(const std::string& value) const {
    return fmt::format("CASE WHEN isfinite({0}) THEN {1} ELSE {2} END", column_, value,
                       zoned_ ? column_ : local_);
  }
  std::string typed(const std::string& timestamp) const {
    return zoned_ ? finite(fmt::format("make_timestamptz(epoch_us({}))", timestamp)) : timestamp;
  }

  // Each row, numbered from 0 as often as it may be in a window, beside its bucket.
  void number(std::int64_t bucket, Window* out) const {
    out->rows_sql = fmt::format(
        "SELECT *, CASE WHEN isfinite({0}) THEN {1} ELSE {2} END AS {3}, "
        "unnest(range({4})) AS {5}",
        column_, bucket_of(bucket), zoned_ ? "NULL" : local_, kBucket,
        (lengths_.size - 1) / lengths_.step + 1, kNumber);
  }

  std::string ends_later(const std::string& by) const {
    return fmt::format("CASE WHEN isfinite({}) THEN {} > {} ELSE {} = 0 END", column_,
                       moved(kBucket, by), local_, kNumber);
  }

  const Lengths lengths_;
  const bool zoned_;
  const std::string column_;
  const std::string local_;
};

TimeLength size_of(const Lengths& lengths) {
  return lengths.by_months ? TimeLength{lengths.size, 0} : TimeLength{0, lengths.size};
}

WindowEnds ends_of(WindowKind kind, const Lengths& lengths) {
  const auto length = [&](std::int64_t count) {
    return lengths.by_months ? TimeLength{count, 0} : TimeLength{0, count};
  };
  WindowEnds ends{.step = length(lengths.step), .phase = {}, .shift_us = lengths.offset_us};
  if (kind == WindowKind::kHop) ends.phase = length(lengths.size);
  return ends;
}

}  // namespace

Result<TimeLength> read_length(SqlParser& parser, const Json& expression) {
  TRY_ASSIGN(const std::string sql, parser.print(expression));
  TRY_ASSIGN(const auto rows,
             parser.connection().query_texts(fmt::format(
                 "SELECT datepart('year', i) * 12 + datepart('month', i), "
                 "datepart('day', i) * 86400000000 + datepart('hour', i) * 3600000000 + "
                 "datepart('minute', i) * 60000000 + datepart('microsecond', i) "
                 "FROM (SELECT CAST({} AS INTERVAL)) AS t(i)",
                 sql)));
  if (rows.rows.size() != 1 || !rows.rows[0][0] || !rows.rows[0][1])
    return error(Code::kInvalid, "a length of time is NULL");
  return TimeLength{std::stoll(*rows.rows[0][0]), std::stoll(*rows.rows[0][1])};
}

std::int64_t WindowEnds::last_at(std::int64_t micros) const {
  namespace chrono = std::chrono;
  if (step.months == 0)
    return floor_to(micros - shift_us - phase.micros, step.micros) + phase.micros + shift_us;
  const chrono::sys_time<chrono::microseconds> time{chrono::microseconds(micros - shift_us)};
  const chrono::year_month_day day{chrono::floor<chrono::days>(time)};
  constexpr int kFirstYear = 1970;
  const std::int64_t month = (static_cast<int>(day.year()) - kFirstYear) * std::int64_t{12} +
                             (static_cast<unsigned>(day.month()) - 1);
  const std::int64_t last = floor_to(month - phase.months, step.months) + phase.months;
  const std::int64_t year_start = floor_to(last, 12);
  const chrono::sys_days start{chrono::year(static_cast<int>(kFirstYear + year_start / 12)) /
                               chrono::month(static_cast<unsigned>(last - year_start + 1)) /
                               chrono::day(1)};
  return chrono::duration_cast<chrono::microseconds>(start.time_since_epoch()).count() + shift_us;
}

std::string Window::text() const {
  switch (kind) {
    case WindowKind::kTumble:
      return "tumbling windows";
    case WindowKind::kHop:
      return "hopping windows";
    case WindowKind::kCumulate:
      return "cumulating windows";
    case WindowKind::kSession:
      return "sessions";
  }
  return "windows";
}

std::string Window::time_sql(std::int64_t micros) const {
  return fmt::format("{}({})", type == "TIMESTAMP" ? "make_timestamp" : "make_timestamptz", micros);
}

std::string Window::end_of(const std::string& start) const {
  const std::string length = size.months != 0 ? fmt::format("to_months({})", size.months)
                                              : fmt::format("to_microseconds({})", size.micros);
  if (type == "TIMESTAMP") return fmt::format("({} + {})", start, length);
  return fmt::format(
      "CASE WHEN isfinite({0}) THEN make_timestamptz(epoch_us(make_timestamp(epoch_us({0})) + "
      "{1})) "
      "ELSE {0} END",
      start, length);
}

Result<Window> make_window(SqlParser& parser, const WindowCall& call, const Relation& relation,
                           const std::string& sql) {
  const char* function = window_function_name(call.kind);
  for (const auto& column : relation.columns) {
    if (same_name(column.name, "window_start") || same_name(column.name, "window_end"))
      return error(Code::kInvalid, fmt::format("{} has a column {} already, which {}() adds",
                                               relation.name, column.name, function));
  }
  const std::string place = place_of(sql, call.time_offset);
  const engine::StoreColumn* time = find_column(relation, call.time_column);
  if (time == nullptr) return no_column(relation, call.time_column, place);
  const bool zoned = time->type == "TIMESTAMP WITH TIME ZONE";
  if (!zoned && time->type != "TIMESTAMP" && time->type != "DATE") {
    return error(Code::kInvalid, fmt::format("{}() needs a time, but {} at {} is {}", function,
                                             time->name, place, time->type));
  }
  Window window{
      .kind = call.kind, .time_column = time->name, .type = zoned ? time->type : "TIMESTAMP"};
  for (const auto& [name, offset] : call.partition) {
    const engine::StoreColumn* column = find_column(relation, name);
    if (column == nullptr) return no_column(relation, name, place_of(sql, offset));
    window.partition.push_back(column->name);
  }
  TRY_ASSIGN(const Lengths lengths, LengthReader(parser, call, sql).read());
  const WindowWriter writer(*time, lengths);
  switch (call.kind) {
    case WindowKind::kTumble:
      writer.tumble(&window);
      break;
    case WindowKind::kHop:
      writer.hop(&window);
      break;
    case WindowKind::kCumulate:
      writer.cumulate(&window);
      break;
    case WindowKind::kSession:
      writer.session(&window);
      return window;
  }
  window.ends = ends_of(call.kind, lengths);
  if (call.kind != WindowKind::kCumulate) window.size = size_of(lengths);
  return window;
}

std::string windowed_rows(const Window& window, const std::string& source) {
  std::string hidden, rows = source;
  if (!window.rows_sql.empty()) {
    rows = fmt::format("({} FROM {}{})", window.rows_sql, source, window.rows_end);
    hidden = window.goes_by_other_rows()
                 ? fmt::format(" EXCLUDE ({}, {}, {})", kAt, kBefore, kSession)
                 : fmt::format(" EXCLUDE ({}, {})", kBucket, kNumber);
  }
  std::string out = fmt::format("(SELECT *{}, {} AS window_start, {} AS window_end FROM {}{})",
                                hidden, window.start_sql, window.end_sql, rows,
                                window.kept_sql.empty() ? "" : " WHERE " + window.kept_sql);
  if (!window.only_sql.empty())
    out = fmt::format("(SELECT * FROM {} WHERE {})", out, window.only_sql);
  return out;
}

}  // namespace pgweir::views
