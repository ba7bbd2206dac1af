// Rows as JSON and as CSV, and times as text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "server/backend.h"
#include "server/json_writer.h"

namespace pgweir::server {

// "2026-11-21T14:00:00Z", with microseconds only when there are any. Years 1 to 9999 come out in
// this form, what lies beyond as a number of microseconds.
std::string format_time(TimeUs time);

// ISO 8601 with a zone: "2026-11-21T14:00:00Z", "2026-11-21T15:00:00.5+01:00"; or a date alone,
// which is midnight UTC. kInvalid else.
Result<TimeUs> parse_time(std::string_view text);

// One row as a list; `cells` are as many as the columns.
void write_row(JsonWriter& json, const std::vector<RowColumn>& columns,
               const std::optional<std::string>* cells);

// The keys "columns" and "rows" of an object that is open in `json`.
void write_rows(JsonWriter& json, const RowSet& rows);

// [{"name","type"}]
void write_columns(JsonWriter& json, const std::vector<RowColumn>& columns);

// RFC 4180 with a header line. NULL is an empty field, an empty text is "".
std::string rows_as_csv(const RowSet& rows);

// null for the LSN zero.
void write_lsn(JsonWriter& json, model::Lsn lsn);
void write_time(JsonWriter& json, std::optional<TimeUs> time);

}  // namespace pgweir::server
