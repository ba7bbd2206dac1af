// Makes and removes what capture needs in the source: publications and the slot.
//
// Place:   changes the source's catalog, nothing else; preflight.h says beforehand what would fail.
// Threads: as the Connections.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/position.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"
#include "postgres/slot_info.h"

namespace pgweir::postgres {

// "NAME_append": holds the tables that have no usable identity, with publish = 'insert, truncate',
// since PostgreSQL refuses UPDATE and DELETE on a table whose publication wants them; and the roots
// of partitioned tables that NAME, somebody else's, sends under their partitions' names: being in
// one publication that does not is enough for PostgreSQL to send all their changes as the root's.
std::string append_publication(const std::string& name);

struct Publications {
  std::vector<std::string> names;               // those that exist now: for START_REPLICATION
  std::vector<std::string> append_only_tables;  // qualified names, for a warning
  std::vector<model::Oid> moved;                // from one of ours into the other, at one moment
  bool changed = false;
};

// Adds tables that are missing, and moves tables whose identity came or went since. Takes no table
// out that others may have added. One transaction. kCheckFailed with the SQL for a table's owner to
// run when we may not. A publication that is missing is made; or kCheckFailed says so, where it had
// been there: what changed without it was not sent.
enum class MissingPublication { kMake, kRefuse };
Result<Publications> ensure_publications(Connection& connection, const std::string& name,
                                         std::span<const CapturedTable> tables,
                                         MissingPublication missing = MissingPublication::kMake);
// Drops both; a missing one is fine.
Status drop_publications(Connection& connection, const std::string& name);

// A transaction that slot creation must wait for.
struct Blocker {
  int pid = 0;
  Milliseconds age{};  // of its transaction
  std::string state;   // "idle in transaction"
  std::string application;
  std::string user;
};

struct CreateSlotOptions {
  std::string name;
  bool temporary = false;
  bool export_snapshot = true;
  // 17 and later: standbys that synchronise slots keep a copy of it, from which a promoted one goes
  // on. A temporary slot, and one on a standby, is made without.
  bool failover = true;
  Milliseconds timeout{60'000};
  // Called now and then while the creation waits for other transactions; may be empty.
  std::function<void(const std::vector<Blocker>&)> on_wait;
  Milliseconds on_wait_every{1'000};
};

struct CreatedSlot {
  Connection connection;  // keeps the snapshot as long as it is open and idle
  model::Lsn consistent_point{};
  std::string snapshot;  // "" without export_snapshot

  // Where the snapshot's rows stand: just before the consistent point, since a commit record may
  // begin at that very LSN, and none begins at an odd one.
  model::Lsn snapshot_lsn() const { return model::Lsn{model::value(consistent_point) - 1}; }
};

// Makes a logical slot with pgoutput on a new replication connection with the options of `control`,
// which must be idle and stays usable. kTimeout names the transaction that it waited for; nothing
// is left behind then.
Result<CreatedSlot> create_slot(Connection& control, const CreateSlotOptions& options);

// Waits up to `timeout` for the slot to be free. A missing slot is fine.
Status drop_slot(Connection& connection, const std::string& name, Milliseconds timeout);

struct SystemIdentity {
  std::string system_identifier;
  std::uint32_t timeline = 0;
  std::string database;
  int server_version = 0;
  model::Lsn current_lsn{};  // end of the WAL written so far; on a standby: replayed
  bool standby = false;
  bool operator==(const SystemIdentity&) const = default;
};
Result<SystemIdentity> system_identity(Connection& connection);

// Where the source's WAL ends now: for lag, and for `run --once`.
Result<model::Lsn> current_lsn(Connection& connection);

}  // namespace pgweir::postgres
