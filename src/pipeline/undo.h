// The SQL that takes changes of a table back, out of the log. Nothing is run here.
//
// Place:   over row_log; behind `pgweir undo`.
// Method:  one reading of the range, for the keys that it touches; one from the log's beginning to
//          the range's end, which follows the rows of those keys, so that images that PostgreSQL
//          did not send (replica identity DEFAULT, unchanged long values) are completed. Each
//          change becomes the statement that takes it back; they are given newest first.
// Safety:  one transaction. Every statement must change exactly one row, and its WHERE names the
//          whole row as the range left it: a row that was changed since makes all of it roll back.
// Refused: a row of which a needed value is not in the log, with all its changes; it is listed.
// Memory:  the options' limits: of the range, and of the rows that it touches.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "pipeline/row_log.h"

namespace pgweir::pipeline {

struct UndoOptions {
  std::size_t changes_max = 500'000;             // in the range
  std::size_t bytes_max = 512u * 1024u * 1024u;  // of rows held: those touched, and both images of
                                                 // each change
  // Whether the log's snapshots hold the tables' rows (snapshot.mode is not never).
  bool snapshots_have_rows = true;
};

struct RefusedRow {
  std::string key;  // "id=5"
  std::string reason;
};

struct UndoScript {
  std::uint64_t changes = 0;            // in the range
  std::vector<std::string> statements;  // each whole, with its check; newest change first
  std::vector<RefusedRow> refused;      // in the order of their first change

  // With BEGIN, COMMIT and what must be set.
  std::string sql(const model::Table& table, model::Lsn from, model::Lsn to) const;
};

// For the transactions of the log's newest epoch with a commit LSN in (from, to]. kNotFound when
// the log does not have all of that range, kUnsupported when the table's columns changed in it or
// since, it was read anew, it is append-only, it was truncated and the log does not have its rows,
// or it is beyond the limits. kUsage unless from < to.
Result<UndoScript> undo_script(RowLog& log, model::Lsn from, model::Lsn to,
                               const UndoOptions& options);

}  // namespace pgweir::pipeline
