// Makes a libpq connection without blocking a stop: parameters, several hosts, timeouts.
//
// Place:   behind connection.cc.
#pragma once

#include "postgres/connection.h"

namespace pgweir::postgres {

// A connected PGconn, with verbose errors; the caller owns it (PQfinish).
Result<pg_conn*> connect(const ConnectionOptions& options);

}  // namespace pgweir::postgres
