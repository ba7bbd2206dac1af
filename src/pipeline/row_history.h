// Every version of a row, out of the log.
//
// Place:   over row_log; behind `pgweir history`.
// Method:  two readings of the log. The first collects the changes of keys, which say under which
//          other keys the row may have stood; the second follows the rows that ever had one of
//          those and keeps those that had the wanted one. A row ends with its delete: what is
//          inserted under the key later is another row, and is given too.
// Memory:  the options' limits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "pipeline/row_log.h"

namespace pgweir::pipeline {

struct HistoryOptions {
  std::size_t key_changes_max = 200'000;  // of the whole table
  std::size_t versions_max = 100'000;     // of the rows that are followed
};

struct RowVersion {
  RowChange
      change;  // `after` is completed from the version before; a delete has the last row there
  std::vector<std::string> changed;  // columns that differ from the version before
  std::vector<std::string> unknown;  // columns that were not sent, and are older than the log
};

// One row from its insert, or the log's beginning, to its delete, or now.
struct RowLife {
  std::vector<RowVersion> versions;  // oldest first
  bool begins_in_log = false;        // its first version is an insert, or what a snapshot read
  bool ended = false;                // deleted or truncated
};

// The key's columns by name out of what a person writes: "5", "a,b" in the key's order, or
// "col=value,col=value"; double quotes around a value that has a comma, doubled inside. kUsage with
// the key's columns when it does not fit.
Result<LogRow> parse_key(const model::Table& table, const std::string& text);

// kInvalid for a table without a key, kUnsupported beyond the limits. Empty: no version is there.
Result<std::vector<RowLife>> row_history(RowLog& log, const LogRow& key,
                                         const HistoryOptions& options);

}  // namespace pgweir::pipeline
