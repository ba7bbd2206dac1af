// Takes off a SELECT what stands below its groups and window functions, and its outer joins, when
// these go by expressions or by more than one relation; takes grouping sets, and aggregates over
// all rows, one from the other.
//
// Place:   the last layer of outline.cc.
// Threads: pure functions over a parser.
#pragma once

#include "views/outline.h"

namespace pgweir::views {

// `node` is the SELECT's tree with every table named by its schema, without subqueries.
Result<std::optional<Outline>> take_canonical_layer(SqlParser& parser,
                                                    const FunctionCatalog& functions,
                                                    const BoundSelect& select, const Json& node,
                                                    const NamePart& name_part);

}  // namespace pgweir::views
