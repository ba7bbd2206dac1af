// What the server says of a replication slot, in one shape for PostgreSQL 14 to 18.
//
// Place:   reads only.
// Threads: as the Connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "model/position.h"
#include "postgres/connection.h"

namespace pgweir::postgres {

struct SlotInfo {
  std::string name;
  std::string plugin;
  std::string database;
  bool temporary = false;
  bool failover = false;  // 17 and later: standbys keep a copy of it
  bool synced = false;    // is such a copy
  int active_pid = 0;     // 0: nobody reads it
  model::Lsn confirmed_flush{};
  model::Lsn restart_lsn{};  // zero when the slot is lost
  std::string wal_status;    // reserved, extended, unreserved, lost
  // wal_removed, rows_removed, wal_level_insufficient, idle_timeout; "" while it is valid. Before
  // 17 the server does not say: worked out from wal_status and, on 16, from a conflict.
  std::string invalidation_reason;
  std::uint64_t retained_bytes = 0;
  // How much more WAL may be written before the slot is in danger; nothing without a limit.
  std::optional<std::uint64_t> safe_bytes;
  std::optional<std::uint64_t> limit_bytes;  // max_slot_wal_keep_size; nothing without a limit
  std::optional<Milliseconds> idle_timeout;  // 18 and later: idle_replication_slot_timeout

  bool lost() const { return wal_status == "lost" || !invalidation_reason.empty(); }
};

// Nothing when there is no such slot.
Result<std::optional<SlotInfo>> slot_info(Connection& connection, const std::string& name);

// Why a lost slot is lost, as a sentence without a full stop.
std::string reason_of_loss(const SlotInfo& slot);

// The error for a slot that is lost (kCorruption): what happened and how to go on.
Error slot_lost(const SlotInfo& slot);
// The same for one that the server does not have any more. `log_end`: where our log ends.
Error slot_gone(const std::string& name, model::Lsn log_end);

// How to go on once a slot is lost or gone.
extern const char* const kResyncHint;

}  // namespace pgweir::postgres
