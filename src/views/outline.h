// Takes a SELECT apart, one layer at a time, into parts that can each be kept by a strategy, and a
// rest that reads them: WITH queries and subqueries in FROM, the branches of a UNION, what stands
// below DISTINCT and LIMIT, subqueries in expressions, outer joins, and the FROM of groups and
// window functions.
//
// Place:   between the analysis of a view and its plans; view_parts.cc makes views of the parts.
// Threads: pure functions over a parser.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "views/plan.h"

namespace pgweir::views {

// A SELECT with everything that its names mean.
struct BoundSelect {
  const ViewDefinition& definition;
  const std::vector<const Relation*>& relations;      // as definition.refs
  const std::vector<std::optional<Window>>& windows;  // the same
  const std::vector<engine::StoreColumn>& columns;    // of its result
};

// What is known of a part's rows, beyond its SQL.
enum class Extent {
  kAny,
  kFewRows,  // all that it reads are few rows, whatever comes
  kOneRow,   // the same, and its result is always one row
};

// The first rows of a relation, by its columns.
struct FirstRows {
  struct Order {
    std::string column;
    std::string direction;  // "DESC NULLS FIRST"
  };
  std::vector<Order> order;
  std::size_t rows = 1;  // at least so many, if there are
};

struct OutlinePart {
  std::string name;  // as the rest and later parts call it, in the schema main
  std::string sql;
  Extent extent = Extent::kAny;
  std::optional<FirstRows> first_rows;  // of the one relation that `sql` reads
};

struct Outline {
  std::vector<OutlinePart> parts;   // each may read those before it
  std::string sql;                  // of the rest; empty with all_of
  Extent extent = Extent::kAny;     // of the rest
  std::vector<std::string> all_of;  // the rest is a UNION ALL of these parts
};

// Gives every part a name that no relation has.
using NamePart = std::function<std::string()>;

// Nothing when there is no layer to take off. Fails only when DuckDB does.
Result<std::optional<Outline>> take_apart(SqlParser& parser, const FunctionCatalog& functions,
                                          const BoundSelect& select, const NamePart& name_part);

}  // namespace pgweir::views
