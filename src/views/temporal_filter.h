// Conditions of WHERE between now() and a time of a row: created_at > now() - INTERVAL 1 HOUR.
// Such a row is in for one span of time: it enters when the clock comes to one moment, and leaves
// when it comes to another.
//
// Place:   read by the first half of the analysis, which refuses now() everywhere else; and by
//          temporal_outline.h, which makes a part of a view of them.
// Threads: plain data and functions over a parser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "views/ast.h"

namespace pgweir::views {

// An interval beside now() is no longer than this, either way: 1000 years.
inline constexpr std::int64_t kTimeShiftMaxUs = std::int64_t{365'250} * 86'400'000'000;

// A row's time against the clock's, which is (now() in whole grains) + shift.
struct TimeBound {
  enum class Kind { kEnters, kLeaves };
  Kind kind = Kind::kLeaves;
  Json time;               // of the row: an expression without now()
  bool is_strict = false;  // at the very moment the condition does not hold
  std::int64_t grain_us = 1;
  std::int64_t shift_us = 0;
  std::string type;  // of the comparison, with the row's time on its left: "COMPARE_GREATERTHAN"
  Json clock;        // the other side, as it was written
};

struct TimeCondition {
  std::vector<TimeBound> bounds;  // all must hold; empty when it has no now() of its own
  std::vector<Json> others;       // comparisons without now() that must hold, too: of a BETWEEN
  // Why a condition with now() cannot be followed, and where.
  std::string problem;
  std::uint64_t offset = kNoOffset;
};

// now(), current_timestamp, localtimestamp, current_date: what a view may say of the clock.
bool is_clock(const Json& expression);
// "now()", "current_date"; "" for any other expression.
std::string clock_name(const Json& expression);
// Why it may not stand anywhere else.
std::string clock_refusal(const Json& expression);
// Where the first of them stands in the expression, not looking into subqueries.
std::optional<std::uint64_t> find_clock(const Json& expression);

// Writes current_date and its like, which are columns to the parser, as calls: then nobody takes
// them for columns.
void write_clocks_as_calls(SqlParser& parser, Json& node);

// What one of the conjuncts of a WHERE says of time.
TimeCondition read_time_condition(SqlParser& parser, const Json& conjunct);

// SQL of the step of the clock (view_clock.h) at which the row enters or leaves, of its time `sql`
// of `type`: kNeverStep and kAlwaysStep for what does not come. Never NULL: a row whose time is
// NULL is never in.
std::string step_sql(const TimeBound& bound, const std::string& sql, const std::string& type);
// Of the types that can be compared with the clock.
bool is_time_type(const std::string& type);

}  // namespace pgweir::views
