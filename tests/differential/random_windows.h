// Random windows of time over a table: a view's table functions, and what PostgreSQL has for them.
//
// Threads: plain data.
#pragma once

#include <optional>

#include "differential/random_expressions.h"

namespace pgweir::differential {

// "hop(t1, ts, ...) AS r1" for the table of `item`, which gets the windows' columns; nothing when
// it is no table, or has no time.
std::optional<Tree> random_windows(Dice& dice, ScopeItem& item);

// Whether a view's text has windows: DuckDB has no such functions.
bool has_windows(const std::string& view_text);

}  // namespace pgweir::differential
