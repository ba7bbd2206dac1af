#include "engine/postgres_semantics.h"

#include <string>

namespace pgweir::engine {
namespace {

constexpr const char* kSettings[] = {
    "SET GLOBAL integer_division = true",
    "SET GLOBAL default_null_order = 'nulls_last_on_asc_first_on_desc'",
};

// The parser turns operators into functions of these names. Patterns are constants nearly always:
// what then remains of a CASE is one of its branches.
constexpr const char* kMacros[] = {
    // A part of the text need match.
    "regexp_full_match(t, p) AS system.main.regexp_matches(t, p)",
    "\"~*\"(t, p) AS system.main.regexp_matches(t, p, 'i')",
    "\"!~*\"(t, p) AS NOT system.main.regexp_matches(t, p, 'i')",
    // A backslash takes its meaning from the character behind it.
    "\"~~\"(t, p) AS CASE WHEN system.main.contains(p, '\\') "
    "THEN system.main.like_escape(t, p, '\\') ELSE system.main.\"~~\"(t, p) END",
    "\"!~~\"(t, p) AS CASE WHEN system.main.contains(p, '\\') "
    "THEN system.main.not_like_escape(t, p, '\\') ELSE system.main.\"!~~\"(t, p) END",
    "\"~~*\"(t, p) AS CASE WHEN system.main.contains(p, '\\') "
    "THEN system.main.ilike_escape(t, p, '\\') ELSE system.main.\"~~*\"(t, p) END",
    "\"!~~*\"(t, p) AS CASE WHEN system.main.contains(p, '\\') "
    "THEN system.main.not_ilike_escape(t, p, '\\') ELSE system.main.\"!~~*\"(t, p) END",
    // Places in front of the text are empty, and not counted from its end.
    "substr(t, s) AS system.main.substr(t, CASE WHEN s < 1 THEN 1 ELSE s END), "
    "(t, s, n) AS system.main.substr(t, CASE WHEN s < 1 THEN 1 ELSE s END, "
    "CASE WHEN s < 1 THEN system.main.greatest(n + s - 1, 0) ELSE n END)",
    "substring(t, s) AS system.main.substr(t, CASE WHEN s < 1 THEN 1 ELSE s END), "
    "(t, s, n) AS system.main.substr(t, CASE WHEN s < 1 THEN 1 ELSE s END, "
    "CASE WHEN s < 1 THEN system.main.greatest(n + s - 1, 0) ELSE n END)",
    "btrim(t) AS system.main.trim(t, ' '), (t, c) AS system.main.trim(t, c)",
    // DuckDB 1.5.5 takes `date_trunc('day', t) <> c` for true, and the equality for false, where c
    // is
    // no beginning of a day, even if t is NULL. It does not look into a CASE.
    "date_trunc(p, t) AS CASE WHEN t IS NULL THEN NULL ELSE system.main.date_trunc(p, t) END",
    "to_hex(n) AS system.main.lower(system.main.to_hex(n))",
};

}  // namespace

Status set_postgres_semantics(duck::Connection& connection) {
  for (const char* setting : kSettings) TRY(connection.execute(setting));
  return {};
}

Status add_postgres_macros(duck::Connection& connection) {
  for (const char* macro : kMacros)
    TRY(connection.execute(std::string("CREATE OR REPLACE TEMP MACRO ") + macro));
  return {};
}

}  // namespace pgweir::engine
