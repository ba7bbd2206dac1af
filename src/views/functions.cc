#include "views/functions.h"

#include <fmt/core.h>

#include "views/temporal_filter.h"
#include "views/window_call.h"

namespace pgweir::views {
namespace {

// Their answer depends on the session, the settings or the moment, which DuckDB's catalog does not
// say of macros and of some functions.
const std::set<std::string>& session_functions() {
  static const std::set<std::string> kNames = {"ago",
                                               "current_catalog",
                                               "current_role",
                                               "current_setting",
                                               "current_user",
                                               "get_block_size",
                                               "getenv",
                                               "getvariable",
                                               "inet_client_addr",
                                               "inet_client_port",
                                               "inet_server_addr",
                                               "inet_server_port",
                                               "pg_conf_load_time",
                                               "pg_my_temp_schema",
                                               "pg_postmaster_start_time",
                                               "pg_sleep",
                                               "session_user",
                                               "user",
                                               "current_localtime",
                                               "current_localtimestamp",
                                               "icu_calendar_names",
                                               "query",
                                               "query_table"};
  return kNames;
}

// Written without parentheses these are columns to the parser.
const std::set<std::string>& time_words() {
  static const std::set<std::string> kNames = {"current_date",      "current_time",
                                               "current_timestamp", "localtime",
                                               "localtimestamp",    "get_current_time"};
  return kNames;
}

}  // namespace

Result<FunctionCatalog> FunctionCatalog::read(duck::Connection& connection) {
  FunctionCatalog catalog;
  TRY_ASSIGN(const auto rows,
             connection.query_texts("SELECT DISTINCT function_name, function_type, stability "
                                    "FROM duckdb_functions()"));
  for (const auto& row : rows.rows) {
    const std::string name = lower(row[0].value_or(""));
    if (row[1] == "aggregate") catalog.aggregates_.insert(name);
    if (row[2] && row[2] != "CONSISTENT") catalog.volatile_.insert(name);
  }
  return catalog;
}

std::string FunctionCatalog::refusal(const Json& expression) const {
  if (is_class(expression, "PARAMETER")) return "a view has no parameters";
  if (is_clock(expression)) return clock_refusal(expression);
  if (is_class(expression, "COLUMN_REF")) {
    const auto names = names_of(expression);
    if (names.size() == 1 && time_words().contains(lower(names[0])))
      return fmt::format("{} changes by itself, so a view cannot be kept up to date with it",
                         lower(names[0]));
    return "";
  }
  if (!is_class(expression, "FUNCTION") && !is_class(expression, "WINDOW")) return "";
  const std::string name = lower(text_of(expression, "function_name"));
  // age(t) counts from today, age(a, b) does not.
  if (name == "age" && child(expression, "children").size() < 2)
    return "age() of one time counts from today, so a view cannot be kept up to date with it";
  if (volatile_.contains(name) || session_functions().contains(name))
    return fmt::format("{}() is volatile, so a view cannot be kept up to date with it", name);
  return "";
}

std::string FunctionCatalog::table_function_refusal(const std::string& name) const {
  const std::string function = lower(name);
  if (window_kind_of(function) || function == "range" || function == "generate_series" ||
      function == "unnest")
    return "";
  for (const char* part : {"read_", "_scan", "glob", "sniff_", "parquet_", "scan_"}) {
    if (function.find(part) != std::string::npos)
      return fmt::format("{}() reads files, which a view may not", function);
  }
  return fmt::format("{}() cannot stand in a view's FROM", function);
}

}  // namespace pgweir::views
