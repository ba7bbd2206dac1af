// Takes subqueries out of a SELECT's expressions: EXISTS, IN and scalar subqueries become
// parts that are joined.
//
// Place:   one layer of outline.cc.
// Threads: pure functions over a parser.
#pragma once

#include "views/outline.h"

namespace pgweir::views {

// `node` is the SELECT's tree with every table named by its schema. Nothing when there is no
// subquery in an expression, or one that cannot be taken out.
Result<std::optional<Outline>> take_predicates(SqlParser& parser, const FunctionCatalog& functions,
                                               const BoundSelect& select, const Json& node,
                                               const NamePart& name_part);

}  // namespace pgweir::views
