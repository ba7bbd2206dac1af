#include "views/temporal_filter.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "views/view_clock.h"
#include "views/window.h"

namespace pgweir::views {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;
constexpr std::int64_t kDayUs = 86'400 * kSecondUs;

// Only as a condition of this form: what every refusal says.
constexpr const char* kForm =
    "a view may have it in WHERE alone, compared with a time of its rows: created_at > now() - "
    "INTERVAL 1 "
    "HOUR";

// By the grain of what they give.
const std::map<std::string, std::int64_t>& clock_words() {
  static const std::map<std::string, std::int64_t> kWords = {{"now", 1},
                                                             {"current_timestamp", 1},
                                                             {"transaction_timestamp", 1},
                                                             {"get_current_timestamp", 1},
                                                             {"localtimestamp", 1},
                                                             {"current_localtimestamp", 1},
                                                             {"current_date", kDayUs},
                                                             {"today", kDayUs}};
  return kWords;
}

// The clock's side of a comparison: (now() in whole grains) + shift.
struct Clock {
  std::int64_t grain_us = 1;
  std::int64_t shift_us = 0;
  bool is_date = false;
};

bool is_call(const Json& node, const char* name, std::size_t arguments) {
  return is_class(node, "FUNCTION") && lower(text_of(node, "function_name")) == name &&
         child(node, "children").size() == arguments;
}

// A constant's text; "" for any other expression.
std::string constant_text(const Json& node) {
  return is_class(node, "CONSTANT") ? text_of(child(node, "value"), "value") : "";
}

bool is_constant(const Json& expression) {
  bool constant = true;
  walk(expression, [&](const Json& below) {
    constant = constant && !is_class(below, "COLUMN_REF") && !is_class(below, "SUBQUERY") &&
               !is_class(below, "PARAMETER");
    return constant;
  });
  return constant;
}

class ConditionReader {
 public:
  explicit ConditionReader(SqlParser& parser) : parser_(parser) {}

  TimeCondition read(const Json& conjunct) {
    const auto first = find_clock(conjunct);
    if (!first) return {};
    name_ = name_of_first(conjunct);
    const bool is_read =
        is_class(conjunct, "BETWEEN") ? between(conjunct)
        : is_class(conjunct, "COMPARISON")
            ? compared(text_of(conjunct, "type"), child(conjunct, "left"), child(conjunct, "right"))
            : wrong(kForm, *first);
    if (is_read) return std::move(read_);
    TimeCondition refused;
    refused.problem = std::move(read_.problem);
    refused.offset = read_.offset == kNoOffset ? *first : read_.offset;
    return refused;
  }

 private:
  static std::string name_of_first(const Json& conjunct) {
    std::string name;
    walk(conjunct, [&](const Json& below) {
      if (name.empty() && is_clock(below)) name = clock_name(below);
      return name.empty() && !is_class(below, "SUBQUERY");
    });
    return name;
  }

  bool wrong(const std::string& why, std::uint64_t offset) {
    read_.problem = fmt::format("{} changes by itself: {}", name_, why);
    read_.offset = offset;
    return false;
  }

  bool between(const Json& node) {
    const Json& input = child(node, "input");
    return compared("COMPARE_GREATERTHANOREQUALTO", input, child(node, "lower")) &&
           compared("COMPARE_LESSTHANOREQUALTO", input, child(node, "upper"));
  }

  static std::string turned(const std::string& type) {
    if (type == "COMPARE_GREATERTHAN") return "COMPARE_LESSTHAN";
    if (type == "COMPARE_LESSTHAN") return "COMPARE_GREATERTHAN";
    if (type == "COMPARE_GREATERTHANOREQUALTO") return "COMPARE_LESSTHANOREQUALTO";
    if (type == "COMPARE_LESSTHANOREQUALTO") return "COMPARE_GREATERTHANOREQUALTO";
    return type;
  }

  bool compared(const std::string& type, const Json& left, const Json& right) {
    const auto at_left = find_clock(left), at_right = find_clock(right);
    if (!at_left && !at_right) {
      read_.others.push_back({{"class", "COMPARISON"},
                              {"type", type},
                              {"alias", ""},
                              {"query_location", offset_of(left)},
                              {"left", left},
                              {"right", right}});
      return true;
    }
    if (at_left && at_right)
      return wrong("it stands on both sides of a comparison; keep the row's time on one side alone",
                   *at_left);
    if (at_left) return add(turned(type), right, left, *at_left);
    return add(type, left, right, *at_right);
  }

  bool add(const std::string& type, const Json& time, const Json& clock, std::uint64_t offset) {
    Clock side;
    if (!read_clock(clock, &side)) return false;
    bool plain = true;
    walk(time, [&](const Json& below) { return plain = plain && !is_class(below, "SUBQUERY"); });
    if (!plain) return wrong("it cannot be compared with a subquery", offset);
    if (type == "COMPARE_EQUAL" && side.grain_us > 1) {
      return add(TimeBound::Kind::kLeaves, "COMPARE_GREATERTHANOREQUALTO", time, clock, side) &&
             add(TimeBound::Kind::kEnters, "COMPARE_LESSTHANOREQUALTO", time, clock, side);
    }
    if (type.starts_with("COMPARE_GREATERTHAN"))
      return add(TimeBound::Kind::kLeaves, type, time, clock, side);
    if (type.starts_with("COMPARE_LESSTHAN"))
      return add(TimeBound::Kind::kEnters, type, time, clock, side);
    return wrong("it is compared by <, <=, >, >= or BETWEEN alone, and a day by =", offset);
  }

  bool add(TimeBound::Kind kind, const std::string& type, const Json& time, const Json& clock,
           const Clock& side) {
    read_.bounds.push_back({.kind = kind,
                            .time = time,
                            .is_strict = !type.ends_with("OREQUALTO"),
                            .grain_us = side.grain_us,
                            .shift_us = side.shift_us,
                            .type = type,
                            .clock = clock});
    return true;
  }

  // --- The clock's side ---

  bool read_clock(const Json& node, Clock* out) {
    if (is_clock(node)) {
      const std::string name = clock_name(node);
      out->grain_us = clock_words().at(name.substr(0, name.find('(')));
      out->is_date = out->grain_us == kDayUs;
      return true;
    }
    if (is_class(node, "CAST")) return read_cast(node, out);
    if (is_call(node, "date_trunc", 2) || is_call(node, "datetrunc", 2))
      return truncated(node, out);
    if (is_call(node, "timezone", 2) && lower(constant_text(child(node, "children")[0])) == "utc")
      return read_clock(child(node, "children")[1], out);
    if (is_call(node, "-", 2) || is_call(node, "+", 2)) return shifted(node, out);
    return wrong(kForm, offset_of(node));
  }

  bool read_cast(const Json& node, Clock* out) {
    const std::string type = text_of(child(node, "cast_type"), "id");
    if (!read_clock(child(node, "child"), out)) return false;
    if (type == "DATE") {
      out->is_date = true;
      return coarsen(kDayUs, node, out);
    }
    out->is_date = false;
    if (type == "TIMESTAMP" || type == "TIMESTAMP WITH TIME ZONE") return true;
    return wrong(kForm, offset_of(node));
  }

  bool truncated(const Json& node, Clock* out) {
    const std::string unit = lower(constant_text(child(node, "children")[0]));
    static const std::map<std::string, std::int64_t> kUnits = {{"second", kSecondUs},
                                                               {"minute", 60 * kSecondUs},
                                                               {"hour", 3600 * kSecondUs},
                                                               {"day", kDayUs}};
    const auto grain = kUnits.find(unit);
    if (grain == kUnits.end())
      return wrong("date_trunc() of it takes 'second', 'minute', 'hour' or 'day'", offset_of(node));
    if (!read_clock(child(node, "children")[1], out)) return false;
    out->is_date = false;
    return coarsen(grain->second, node, out);
  }

  // Grains divide each other; a shift within a grain would not be one of whole grains.
  bool coarsen(std::int64_t grain_us, const Json& node, Clock* out) {
    out->grain_us = std::max(out->grain_us, grain_us);
    if (out->shift_us % out->grain_us == 0) return true;
    return wrong("take whole days or hours of it first, and the INTERVAL from that",
                 offset_of(node));
  }

  bool shifted(const Json& node, Clock* out) {
    const Json& sides = child(node, "children");
    const bool minus = is_call(node, "-", 2);
    const bool clock_first = find_clock(sides[0]).has_value();
    const Json& shift = sides[clock_first ? 1 : 0];
    if (find_clock(shift) || (minus && !clock_first)) return wrong(kForm, offset_of(node));
    if (!is_constant(shift)) {
      return wrong(
          "what is added to it or taken from it is a constant; columns stand on the row's side, as "
          "in created_at + (ttl * INTERVAL 1 SECOND) > now()",
          offset_of(shift));
    }
    if (!read_clock(sides[clock_first ? 0 : 1], out)) return false;
    std::int64_t by = 0;
    if (!read_shift(shift, out->is_date, &by)) return false;
    out->is_date = out->is_date && by % kDayUs == 0 && !is_interval_;
    out->shift_us += minus ? -by : by;
    if (out->shift_us >= -kTimeShiftMaxUs && out->shift_us <= kTimeShiftMaxUs) return true;
    return wrong("the INTERVAL beside it is of 1000 years at the most", offset_of(shift));
  }

  // An INTERVAL, or a whole number of days.
  bool read_shift(const Json& expression, bool of_date, std::int64_t* by_us) {
    const auto sql = parser_.print(expression);
    const auto types = sql.ok() ? parser_.describe("SELECT " + *sql)
                                : Result<std::vector<engine::StoreColumn>>(sql.error());
    const std::string type = types.ok() && types->size() == 1 ? types->front().type : "";
    is_interval_ = type == "INTERVAL";
    if (is_interval_) {
      const auto length = read_length(parser_, expression);
      if (length.ok() && length->months != 0) {
        return wrong(
            "months and years are not equally long: write them on the row's side, created_at + "
            "INTERVAL 1 MONTH > now()",
            offset_of(expression));
      }
      if (length.ok() && length->micros >= -kTimeShiftMaxUs && length->micros <= kTimeShiftMaxUs) {
        *by_us = length->micros;
        return true;
      }
      return wrong("the INTERVAL beside it is of 1000 years at the most", offset_of(expression));
    }
    const bool whole =
        type == "INTEGER" || type == "BIGINT" || type == "SMALLINT" || type == "TINYINT";
    if (!of_date || !whole) return wrong("it needs an INTERVAL beside it", offset_of(expression));
    const auto days =
        parser_.connection().query_int(fmt::format("SELECT CAST({} AS BIGINT)", *sql));
    if (!days.ok() || std::abs(*days) > kTimeShiftMaxUs / kDayUs)
      return wrong("the days beside it are of 1000 years at the most", offset_of(expression));
    *by_us = *days * kDayUs;
    return true;
  }

  SqlParser& parser_;
  std::string name_;
  bool is_interval_ = false;
  TimeCondition read_;
};

}  // namespace

bool is_clock(const Json& expression) {
  return !clock_name(expression).empty();
}

std::string clock_name(const Json& expression) {
  std::string name;
  if (is_class(expression, "FUNCTION") && child(expression, "children").empty()) {
    name = lower(text_of(expression, "function_name"));
    return clock_words().contains(name) ? name + "()" : "";
  }
  const auto names = names_of(expression);
  if (!is_class(expression, "COLUMN_REF") || names.size() != 1) return "";
  name = lower(names[0]);
  return clock_words().contains(name) && name != "now" && name != "today" ? name : "";
}

std::string clock_refusal(const Json& expression) {
  return fmt::format("{} changes by itself: {}", clock_name(expression), kForm);
}

std::optional<std::uint64_t> find_clock(const Json& expression) {
  std::optional<std::uint64_t> found;
  walk(expression, [&](const Json& below) {
    if (is_clock(below)) found = std::min(found.value_or(kNoOffset), offset_of(below));
    return !is_class(below, "SUBQUERY");
  });
  return found;
}

void write_clocks_as_calls(SqlParser& parser, Json& node) {
  if (!node.is_structured()) return;
  if (is_class(node, "COLUMN_REF") && is_clock(node)) {
    static const std::map<std::string, std::string> kCalls = {
        {"current_timestamp", "now"}, {"localtimestamp", "current_localtimestamp"}};
    const std::string name = clock_name(node);
    const auto call = kCalls.find(name);
    const auto parsed = parser.parse("SELECT now()");
    if (!parsed.ok()) return;
    Json written = child(*parsed, "select_list")[0];
    written["function_name"] = call == kCalls.end() ? name : call->second;
    written["alias"] = text_of(node, "alias");
    written["query_location"] = offset_of(node);
    node = std::move(written);
    return;
  }
  for (Json& below : node) write_clocks_as_calls(parser, below);
}

TimeCondition read_time_condition(SqlParser& parser, const Json& conjunct) {
  return ConditionReader(parser).read(conjunct);
}

bool is_time_type(const std::string& type) {
  return type == "TIMESTAMP WITH TIME ZONE" || type == "TIMESTAMP" || type == "DATE";
}

// All in whole numbers, from a time so early that they are above 0: the moment at which the
// condition begins or ceases to hold, and the first step that is not before it.
std::string step_sql(const TimeBound& bound, const std::string& sql, const std::string& type) {
  constexpr std::int64_t kStep = ViewClock::kStepUs;
  constexpr std::int64_t kEarlyUs = std::int64_t{1'500'000} * kDayUs;
  static_assert(kSecondUs % kStep == 0, "grains are whole steps");
  const bool leaves = bound.kind == TimeBound::Kind::kLeaves;
  const bool is_later = leaves != bound.is_strict;  // one grain
  const std::string time = type == "DATE" ? fmt::format("CAST({} AS TIMESTAMP)", sql) : sql;
  std::string step;
  if (bound.grain_us == 1) {
    step = fmt::format("(epoch_us({}) + {}) // {} - {}", time,
                       kEarlyUs - bound.shift_us + (is_later ? 1 : 0) + kStep - 1, kStep,
                       kEarlyUs / kStep);
  } else {
    const std::int64_t grain = bound.grain_us;
    step = fmt::format("((epoch_us({}) + {}) // {} + {}) * {} - {}", time,
                       kEarlyUs - bound.shift_us + (is_later ? 0 : grain - 1), grain,
                       is_later ? 1 : 0, grain / kStep, kEarlyUs / kStep);
  }
  // Times that the clock never comes to, infinite ones among them, and those that it came to long
  // ago.
  const auto literal = [&](const char* day) { return fmt::format("CAST('{}' AS {})", day, type); };
  return fmt::format(
      "CASE WHEN {0} IS NULL THEN {1} WHEN {0} >= {2} THEN {3} WHEN {0} <= {4} THEN {5} ELSE {6} "
      "END",
      sql, leaves ? ViewClock::kAlwaysStep : ViewClock::kNeverStep, literal("9000-01-01"),
      ViewClock::kNeverStep, literal("0001-01-01"), ViewClock::kAlwaysStep, step);
}

}  // namespace pgweir::views
