// How a SELECT can be kept by affected keys: its result falls into parts by the values of some
// columns, and what a change does stays within the parts that its rows belong to. Those are
// computed anew, from the rows that are looked up by these columns.
//
// Place:   beside plan.h, for what cannot be kept by deltas: other aggregates, window functions,
//          outer joins.
// Threads: plain data.
#pragma once

#include <string>
#include <vector>

#include "views/plan.h"

namespace pgweir::views {

struct KeyedInput {
  const Relation* relation = nullptr;
  std::string alias;                     // "i0", "i1"
  std::vector<std::string> used;         // columns of the relation that the view needs
  std::vector<engine::StoreColumn> key;  // its columns, in the order of KeyedPlan::key
};

struct KeyedPlan {
  std::vector<KeyedInput> inputs;        // one, or the two sides of an outer join
  std::vector<engine::StoreColumn> key;  // "pgweir_k0" ...; never empty
  std::vector<std::string> key_sql;      // over the inputs, for a row of the result
  std::vector<PlanColumn> columns;
  bool unique = false;  // a key has one row of the result at the most
  bool plain = false;   // of one input, and without any subquery
  // Not unique, but no two rows of the result are equal: each shows the key of its input's row.
  bool distinct = false;

  std::string join;  // "LEFT", "RIGHT", "FULL"; "" for one input
  std::string on;
  std::string where;  // may be empty, as the following
  std::string group_by;
  std::string having;
  std::string qualify;
};

struct KeyedOutcome {
  std::optional<KeyedPlan> plan;
  std::string reason;  // of the choice, for people
};

// As make_plan().
Result<KeyedOutcome> make_keyed_plan(SqlParser& parser, const FunctionCatalog& functions,
                                     const ViewDefinition& view,
                                     const std::vector<const Relation*>& relations,
                                     const std::vector<std::optional<Window>>& windows,
                                     const std::vector<engine::StoreColumn>& result);

// Whether a call of an aggregate stands in the expression outside of a window function.
bool has_aggregates(const FunctionCatalog& functions, const Json& expression);

}  // namespace pgweir::views
