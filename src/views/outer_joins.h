// Outer joins that need not be outer: a condition behind them that no row with NULLs for one side
// meets leaves out what the join added for that side.
//
// Place:   used by the planners. As in C. Galindo-Legaria and A. Rosenthal, "Outerjoin
//          Simplification and Reordering for Query Optimization" (ACM TODS 22, 1997).
// Threads: pure functions.
#pragma once

#include "views/scope.h"

namespace pgweir::views {

// Makes the joins of a FROM that `where` allows LEFT, RIGHT or INNER. `where` and the joins' own
// conditions are canonical. False when all stay as they are.
bool reduce_outer_joins(const Scope& scope, const Json& where, Json& from);

}  // namespace pgweir::views
