// Checks a source before capture starts; each finding says how to put it right.
//
// Place:   reads only; setup.h changes things.
// Threads: as the Connection.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"

namespace pgweir::postgres {

enum class Severity { kNote, kWarning, kError };

struct Finding {
  Severity severity = Severity::kError;
  std::string code;     // stable, for programs and tests: "wal_level"
  std::string message;  // one sentence without a full stop, naming the thing
  std::string detail;   // found and expected; may be empty
  std::string fix;      // the exact SQL or setting; may be empty for a note
};

struct SourceOptions {
  std::string slot = "pgweir";
  std::string publication = "pgweir";
  std::vector<std::string> tables = {"public.*"};
  std::vector<std::string> exclude;
  Milliseconds heartbeat{10'000};  // how often an idle slot is moved by a logical message; 0: never
};

// Codes: server_version, wal_level, standby, replication_privilege, no_free_slot, no_free_sender,
// slot_in_use, slot_plugin, slot_database, slot_lost, slot_temporary, table_missing, no_tables,
// select_privilege, schema_privilege, row_security, no_identity, publication_privilege,
// table_ownership, publication_missing_table, publication_operations, publication_partition_root,
// publication_all_tables, heartbeat_privilege, slot_idle_timeout,
// slot_not_failover.
// Publications and slots that are missing are no finding when they can be created.
// An error only when the checks themselves cannot be made.
Result<std::vector<Finding>> preflight(Connection& connection, const SourceOptions& options);

// The first error among the findings as an Error: kCheckFailed, or kCorruption for slot_lost;
// ok when there is none.
Status first_error(const std::vector<Finding>& findings);

}  // namespace pgweir::postgres
