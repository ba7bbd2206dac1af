// PostgreSQL's texts of dates and times as the numbers that DuckDB keeps.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/type_map.h"

namespace pgweir::engine {

// Days since 1970-01-01; DuckDB's values for infinity.
Fit parse_date(std::string_view text, std::int64_t& days);

// Microseconds of the day; 24:00:00 is its end.
Fit parse_time(std::string_view text, std::int64_t& micros);

// Microseconds since 1970-01-01; an offset behind the time ("+05:30") is taken off, giving UTC.
Fit parse_timestamp(std::string_view text, std::int64_t& micros);

struct IntervalValue {
  std::int32_t months = 0;
  std::int32_t days = 0;
  std::int64_t micros = 0;
};
Fit parse_interval(std::string_view text, IntervalValue& value);

}  // namespace pgweir::engine
