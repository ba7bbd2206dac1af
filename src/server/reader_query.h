// Queries on an engine reader with a limit, a timeout, and cells as the API wants them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "duck/duck.h"
#include "server/backend.h"

namespace pgweir::server {

struct ReaderQuery {
  std::string sql;                       // one SELECT; a semicolon at its end is fine
  std::vector<SqlParameter> parameters;  // $1, $2, ...
  std::uint64_t row_max = 0;             // rows beyond it are cut
  std::uint64_t bytes_max = 0;           // of cell text: rows beyond it are cut
  Milliseconds timeout{0};
};

struct ReaderRows {
  RowSet rows;
  bool cut_by_rows = false;
  bool cut_by_bytes = false;
};

// kInvalid with the engine's message for wrong SQL or what is no SELECT, kTimeout; kUnavailable
// when the connection was interrupted by somebody else.
Result<ReaderRows> run_query(duck::Connection& connection, const ReaderQuery& query);

}  // namespace pgweir::server
