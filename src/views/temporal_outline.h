// Takes the temporal filters out of a SELECT: each table of FROM that one of them goes by becomes a
// part, the table's rows that are in at the clock's moment, and the rest reads that.
//
// Place:   the first layer that comes off (outline.h has the others); view_temporal.cc uses it.
// Threads: pure functions over a parser.
#pragma once

#include <optional>
#include <string>

#include "views/outline.h"
#include "views/temporal_strategy.h"

namespace pgweir::views {

// Why now() cannot be followed where it stands; offset in the definition's SQL.
struct TemporalProblem {
  std::string why;
  std::uint64_t offset = kNoOffset;
};

struct TemporalLayer {
  std::optional<Outline> outline;  // nothing when other layers come off first, or with a problem
  std::optional<TemporalProblem> problem;
};

// Requires select.definition.clock.
Result<TemporalLayer> take_temporal_filters(SqlParser& parser, const BoundSelect& select,
                                            const NamePart& name_part);

// A SELECT of one relation that is filtered by time alone, as it comes from above.
struct TemporalSelect {
  Plan plan;
  TemporalPlan times;
};
// Nothing for any other SELECT.
Result<std::optional<TemporalSelect>> plan_temporal_filter(SqlParser& parser,
                                                           const FunctionCatalog& functions,
                                                           const BoundSelect& select);

}  // namespace pgweir::views
