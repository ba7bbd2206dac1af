// What DuckDB does so that SQL means here what it means in PostgreSQL: settings, and macros that
// stand in front of functions and operators of DuckDB's which mean something else.
//
// Place:   on every connection that runs SQL of people's, and on that which analyses views: what is
//          recomputed, kept by deltas and asked for in between must mean the same.
// Life:    settings once in a database; macros, which are temporary, on each connection.
// Where an answer still differs, docs/views.md says so ("Differences from PostgreSQL").
#pragma once

#include "base/result.h"
#include "duck/duck.h"

namespace pgweir::engine {

// For all connections of the database made from here on, and this one. `/` of whole numbers gives
// a whole number; NULLs come first in descending order.
Status set_postgres_semantics(duck::Connection& connection);

// On this connection: `~` and LIKE, substr() and others.
Status add_postgres_macros(duck::Connection& connection);

}  // namespace pgweir::engine
