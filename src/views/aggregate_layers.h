// Grouping sets, one group for each; aggregates over all rows, one from the other.
//
// Place:   a layer of canonical_layers.h. Private to views/.
// Threads: as the parser.
#pragma once

#include "views/canonical_select.h"

namespace pgweir::views {

// Of a SELECT that groups one plain relation by plain columns of it. False when it is not taken;
// what was built is then of no use.
bool take_grouping_sets(CanonicalSelect& select);
// Of one that groups without GROUP BY.
bool take_overall_aggregates(CanonicalSelect& select);

}  // namespace pgweir::views
