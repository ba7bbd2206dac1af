// tumble() and the resolved text of a view.
#include <fmt/core.h>

#include "views/plan.h"

namespace pgweir::views {

using duck::quote_identifier;

namespace {

struct Interval {
  std::int64_t months = 0;
  std::int64_t micros = 0;
};

Result<Interval> interval_of(SqlParser& parser, const Json& expression) {
  TRY_ASSIGN(const std::string sql, parser.print(expression));
  TRY_ASSIGN(const auto rows,
             parser.connection().query_texts(fmt::format(
                 "SELECT datepart('year', i) * 12 + datepart('month', i), "
                 "datepart('day', i) * 86400000000 + datepart('hour', i) * 3600000000 + "
                 "datepart('minute', i) * 60000000 + datepart('microsecond', i) "
                 "FROM (SELECT CAST({} AS INTERVAL)) AS t(i)",
                 sql)));
  if (rows.rows.size() != 1 || !rows.rows[0][0] || !rows.rows[0][1])
    return error(Code::kInvalid, "the window's length is NULL");
  return Interval{std::stoll(*rows.rows[0][0]), std::stoll(*rows.rows[0][1])};
}

}  // namespace

Result<Window> make_window(SqlParser& parser, const TumbleCall& call, const Relation& relation,
                           const std::string& sql) {
  const engine::StoreColumn* time = nullptr;
  std::vector<std::string> names;
  for (const auto& column : relation.columns) {
    if (same_name(column.name, call.time_column)) time = &column;
    names.push_back(column.name);
    if (same_name(column.name, "window_start") || same_name(column.name, "window_end"))
      return error(Code::kInvalid, fmt::format("{} has a column {} already, which tumble() adds",
                                               relation.name, column.name));
  }
  const std::string place = place_of(sql, call.time_offset);
  if (time == nullptr) {
    const std::string nearest = nearest_name(call.time_column, names);
    return error(
        Code::kInvalid,
        fmt::format("{} has no column \"{}\" at {}", relation.name, call.time_column, place), "",
        nearest.empty() ? "" : "did you mean \"" + nearest + "\"?");
  }
  const bool zoned = time->type == "TIMESTAMP WITH TIME ZONE";
  if (!zoned && time->type != "TIMESTAMP" && time->type != "DATE") {
    return error(Code::kInvalid, fmt::format("tumble() needs a time, but {} at {} is {}",
                                             time->name, place, time->type));
  }
  const auto interval = interval_of(parser, call.interval);
  const std::string interval_place = place_of(sql, offset_of(call.interval));
  if (!interval.ok() || (interval->months <= 0 && interval->micros <= 0) ||
      (interval->months != 0 && interval->micros != 0)) {
    return error(Code::kInvalid,
                 fmt::format("the length of a window must be a positive INTERVAL, either of months "
                             "or of days and shorter, at {}",
                             interval_place));
  }
  const std::string length = interval->months > 0
                                 ? fmt::format("to_months({})", interval->months)
                                 : fmt::format("to_microseconds({})", interval->micros);
  Window window;
  window.time_column = time->name;
  window.type = zoned ? time->type : "TIMESTAMP";
  const std::string column = quote_identifier(time->name);
  // Windows are aligned to 1970-01-01 00:00 UTC, whatever the session's time zone. (By way of
  // microseconds: timezone('UTC', ...) gives the same and takes ten times as long.)
  const std::string local = zoned ? fmt::format("make_timestamp(epoch_us({}))", column)
                                  : fmt::format("CAST({} AS TIMESTAMP)", column);
  const std::string bucket =
      fmt::format("time_bucket({}, {}, TIMESTAMP '1970-01-01')", length, local);
  const auto typed = [&](const std::string& timestamp) {
    if (!zoned) return timestamp;
    return fmt::format("CASE WHEN isfinite({0}) THEN make_timestamptz(epoch_us({1})) ELSE {0} END",
                       column, timestamp);
  };
  window.start_sql = typed(bucket);
  window.end_sql = typed(fmt::format("{} + {}", bucket, length));
  return window;
}

ResolvedSql::ResolvedSql(const ViewDefinition& view, const std::vector<const Relation*>& relations,
                         const std::vector<std::optional<Window>>& windows,
                         std::string (*rows_of)(const Relation&)) {
  const std::string& sql = view.source.sql;
  std::size_t at = 0;
  for (std::size_t i = 0; i < view.refs.size(); ++i) {
    const RelationRef& ref = view.refs[i];
    text_.append(sql, at, ref.start - at);
    Edit edit{text_.size(), 0, ref.start, ref.end};
    const std::string rows = rows_of(*relations[i]);
    if (windows[i]) {
      text_ += fmt::format("(SELECT *, {} AS window_start, {} AS window_end FROM {})",
                           windows[i]->start_sql, windows[i]->end_sql, rows);
      if (ref.alias.empty()) text_ += " AS " + quote_identifier(ref.name);
    } else {
      text_ += rows;
    }
    edit.end = text_.size();
    edits_.push_back(edit);
    at = ref.end;
  }
  text_.append(sql, at, std::string::npos);
  // A closing semicolon would end the statements that the text is put into.
  const std::size_t last = text_.find_last_not_of(" \t\r\n");
  if (last != std::string::npos && text_[last] == ';') text_.erase(last);
}

std::uint64_t ResolvedSql::original(std::uint64_t offset) const {
  if (offset == kNoOffset) return offset;
  std::uint64_t shift_from = 0, shift_to = 0;
  for (const Edit& edit : edits_) {
    if (offset < edit.start) break;
    if (offset < edit.end) return edit.original;
    shift_from = edit.end;
    shift_to = edit.original_end;
  }
  return offset - shift_from + shift_to;
}

}  // namespace pgweir::views
