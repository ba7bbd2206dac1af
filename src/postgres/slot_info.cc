#include "postgres/slot_info.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::postgres {
namespace {

// What pg_replication_slots says of an invalid slot.
const char* reason_column(int version) {
  if (version >= 170000) return "s.invalidation_reason";
  if (version >= 160000) {
    // It calls every invalid slot conflicting; only removed WAL takes restart_lsn with it.
    return "CASE WHEN s.conflicting AND s.restart_lsn IS NOT NULL THEN CASE WHEN "
           "current_setting('wal_level') = 'logical'"
           " THEN 'rows_removed' ELSE 'wal_level_insufficient' END"
           " WHEN s.wal_status = 'lost' THEN 'wal_removed' END";
  }
  return "CASE WHEN s.wal_status = 'lost' THEN 'wal_removed' END";
}

std::uint64_t not_negative(std::int64_t value) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
}

}  // namespace

const char* const kResyncHint =
    "Run `pgweir run --resync`: it makes a new slot, compares the tables with what pgweir has, and "
    "writes the differences as ordinary changes";

Result<std::optional<SlotInfo>> slot_info(Connection& connection, const std::string& name) {
  const bool has_failover = connection.server_version() >= 170000;
  TRY_ASSIGN(
      const QueryResult rows,
      connection.query(
          fmt::format(
              "SELECT s.plugin, s.database, s.temporary, s.active_pid, s.confirmed_flush_lsn,"
              " s.restart_lsn, s.wal_status, {}, s.safe_wal_size,"
              " pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
              " ELSE pg_current_wal_lsn() END, s.restart_lsn), {},"
              " (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),"
              " (SELECT setting FROM pg_settings WHERE name = 'idle_replication_slot_timeout')"
              " FROM pg_replication_slots s WHERE s.slot_name = $1",
              reason_column(connection.server_version()),
              has_failover ? "s.failover, s.synced" : "false, false"),
          {name}));
  if (rows.row_count() == 0) return std::optional<SlotInfo>();
  SlotInfo info;
  info.name = name;
  info.plugin = rows.text(0, 0);
  info.database = rows.text(0, 1);
  info.temporary = rows.boolean(0, 2);
  info.active_pid = static_cast<int>(rows.integer(0, 3));
  if (!rows.is_null(0, 4)) {
    TRY_ASSIGN(info.confirmed_flush, model::parse_lsn(rows.text(0, 4)));
  }
  if (!rows.is_null(0, 5)) {
    TRY_ASSIGN(info.restart_lsn, model::parse_lsn(rows.text(0, 5)));
  }
  info.wal_status = rows.text(0, 6);
  info.invalidation_reason = rows.text(0, 7);
  if (!rows.is_null(0, 8)) info.safe_bytes = not_negative(rows.integer(0, 8));
  info.retained_bytes = not_negative(rows.integer(0, 9));
  info.failover = rows.boolean(0, 10);
  info.synced = rows.boolean(0, 11);
  // In MB, -1 without a limit; in seconds, 0 without one.
  if (rows.integer(0, 12) >= 0) info.limit_bytes = not_negative(rows.integer(0, 12)) * kMiB;
  if (rows.integer(0, 13) > 0) info.idle_timeout = std::chrono::seconds(rows.integer(0, 13));
  return std::optional<SlotInfo>(std::move(info));
}

std::string reason_of_loss(const SlotInfo& slot) {
  const std::string& reason = slot.invalidation_reason;
  if (reason == "idle_timeout") {
    return "nobody read it for longer than idle_replication_slot_timeout" +
           (slot.idle_timeout ? " = " + format_duration(*slot.idle_timeout) : "");
  }
  if (reason == "rows_removed")
    return "rows of the catalog that it needed were removed on the primary (rows_removed)";
  if (reason == "wal_level_insufficient")
    return "wal_level was lowered below logical (wal_level_insufficient)";
  if (reason.empty() || reason == "wal_removed") {
    return "the server removed WAL that it still needed, more than max_slot_wal_keep_size" +
           (slot.limit_bytes ? " = " + format_size(*slot.limit_bytes) : "");
  }
  return fmt::format("the server has invalidated it ({})", reason);
}

Error slot_lost(const SlotInfo& slot) {
  const bool by_size =
      slot.invalidation_reason.empty() || slot.invalidation_reason == "wal_removed";
  const bool by_time = slot.invalidation_reason == "idle_timeout";
  return error(Code::kCorruption, fmt::format("slot '{}' is lost", slot.name), reason_of_loss(slot),
               fmt::format("{}{}", kResyncHint,
                           by_size   ? ". Raise max_slot_wal_keep_size before"
                           : by_time ? ". Raise idle_replication_slot_timeout before"
                                     : ""));
}

Error slot_gone(const std::string& name, model::Lsn log_end) {
  return error(Code::kCorruption, fmt::format("slot '{}' is gone from the server", name),
               fmt::format("somebody dropped it, or the server took over without a copy of it; the "
                           "log ends at {}, and the changes since then cannot be had any more",
                           model::to_string(log_end)),
               kResyncHint);
}

}  // namespace pgweir::postgres
