// Windows of time over a relation: the columns window_start and window_end, as SQL.
//
// Place:   between the analysis and the plan. Every FROM that a view's statements are made of goes
//          through windowed_rows().
// Threads: plain data and pure functions over a parser.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "views/relation.h"
#include "views/window_call.h"

namespace pgweir::views {

// A row may be in so many windows; each is a row of the states above. More would make of one
// change a batch of its own.
inline constexpr std::int64_t kWindowsOfRowMax = 2000;

// A length of time: of months, or of days and shorter units.
struct TimeLength {
  std::int64_t months = 0;
  std::int64_t micros = 0;
  bool operator==(const TimeLength&) const = default;
};

// What a constant INTERVAL is; kInvalid for any other expression.
Result<TimeLength> read_length(SqlParser& parser, const Json& expression);

// The times at which windows of a fixed length end.
struct WindowEnds {
  TimeLength step;            // from one end to the next
  TimeLength phase;           // from 1970-01-01 00:00 to one of them ...
  std::int64_t shift_us = 0;  // ... and then this much

  // The last end at or before a time, in microseconds since 1970-01-01 00:00 UTC.
  std::int64_t last_at(std::int64_t micros) const;
};

struct Window {
  WindowKind kind = WindowKind::kTumble;
  std::string time_column;
  std::string type;                    // of window_start and window_end
  std::vector<std::string> partition;  // of sessions
  // The column that tells the windows of one row apart; empty when it is in one only.
  std::string told_by;
  WindowEnds ends;  // not of sessions
  TimeLength size;  // of windows of one length: tumbling and hopping ones
  // The pieces of windowed_rows(). `rows_sql` FROM the relation `rows_end`: what the others stand
  // on; empty where one SELECT does.
  std::string rows_sql;
  std::string rows_end;
  std::string start_sql;
  std::string end_sql;
  std::string kept_sql;  // the condition under which a row is in a window; empty: always
  // A condition over window_start and window_end: only such rows are taken; empty: all.
  std::string only_sql;

  // "tumbling windows", for people.
  std::string text() const;
  // A time of UTC as a value of window_start's type.
  std::string time_sql(std::int64_t micros) const;
  // The window's end as SQL, of its start. Requires windows of one length.
  std::string end_of(const std::string& start) const;
  // A row's window goes by other rows, so a change of one row is not a change of that row alone.
  bool goes_by_other_rows() const { return kind == WindowKind::kSession; }
};

// kInvalid, with the place, when the column or the lengths cannot make windows.
Result<Window> make_window(SqlParser& parser, const WindowCall& call, const Relation& relation,
                           const std::string& sql);

// A subquery for FROM: all columns of `source` and then window_start and window_end, each row once
// for each window that it is in.
std::string windowed_rows(const Window& window, const std::string& source);

}  // namespace pgweir::views
