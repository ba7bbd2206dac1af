// The HTTP API's answers as texts and tables for people.
//
// Place:   pure functions; what a field is missing or of another type is shown empty, since a newer
//          or older pgweir may answer.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/output.h"

namespace pgweir::cli {

// A JSON value as a cell: texts without quotes, null as nothing, lists and objects as JSON.
Cell cell_of(const nlohmann::ordered_json& value);

// The list under `key`; an empty one when there is none.
nlohmann::ordered_json list_of(const nlohmann::ordered_json& object, const char* key);

// One row an object, with these keys as columns; columns that are null in every row are left out.
Table pick_table(const nlohmann::ordered_json& objects, const std::vector<std::string>& keys);

// {"columns":[{"name"}],"rows":[[…]]}: the answer of the SQL call.
Table rows_table(const nlohmann::ordered_json& answer);
// The same, an object a row. A name that comes twice gets a number behind it: "count_2".
std::vector<nlohmann::ordered_json> rows_objects(const nlohmann::ordered_json& answer);

// "source.slot  pgweir" a line, nested objects with dots; lists of objects as tables below; numbers
// of *_bytes as sizes; texts of several lines indented; nulls left out.
std::string lines_text(const nlohmann::ordered_json& object);

// lines_text() with findings in words.
std::string status_text(const nlohmann::ordered_json& status);

// A change on one line: "0/16B3748 2026-11-21T14:00:00Z update public.accounts id=1 balance=5".
std::string change_text(const nlohmann::ordered_json& change);

}  // namespace pgweir::cli
