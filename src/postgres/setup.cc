#include "postgres/setup.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

namespace pgweir::postgres {
namespace {
using SteadyClock = std::chrono::steady_clock;

constexpr const char* kViaRoot = "publish_via_partition_root = true";
constexpr Milliseconds kTerminateWait{5'000};
constexpr Microseconds kSlotRetry{50'000};

// What one publication holds now.
struct Membership {
  bool exists = false;
  bool all_tables = false;
  bool via_root = true;             // partitions are sent as their root
  std::set<std::uint32_t> named;    // FOR TABLE
  std::set<std::uint32_t> covered;  // these, and those of its schemas

  bool covers(model::Oid id) const { return all_tables || covered.count(model::value(id)) != 0; }
  bool names(model::Oid id) const { return named.count(model::value(id)) != 0; }
};

Result<Membership> read_membership(Connection& connection, const std::string& name) {
  Membership out;
  TRY_ASSIGN(const QueryResult found,
             connection.query(
                 "SELECT puballtables, pubviaroot FROM pg_publication WHERE pubname = $1", {name}));
  if (found.row_count() == 0) return out;
  out.exists = true;
  out.all_tables = found.boolean(0, 0);
  out.via_root = found.boolean(0, 1);
  std::string sql =
      "SELECT true, r.prrelid FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid "
      "WHERE p.pubname = $1";
  if (connection.server_version() >= 150000) {
    sql +=
        " UNION ALL SELECT false, c.oid FROM pg_publication p "
        "JOIN pg_publication_namespace s ON s.pnpubid = p.oid "
        "JOIN pg_class c ON c.relnamespace = s.pnnspid AND c.relkind IN ('r', 'p') "
        "WHERE p.pubname = $1";
  }
  TRY_ASSIGN(const QueryResult rows, connection.query(sql, {name}));
  for (int row = 0; row < rows.row_count(); ++row) {
    const auto id = static_cast<std::uint32_t>(rows.integer(row, 1));
    out.covered.insert(id);
    if (rows.boolean(row, 0)) out.named.insert(id);
  }
  return out;
}

// ONLY: the children of an inherited table are tables of their own.
std::string table_list(const std::vector<const CapturedTable*>& tables) {
  std::string out;
  for (const CapturedTable* table : tables)
    out += (out.empty() ? "ONLY " : ", ONLY ") + quote_name(table->schema, table->name);
  return out;
}

struct Wanted {
  std::string name;
  std::string options;
  std::vector<const CapturedTable*> add;
  std::vector<const CapturedTable*> remove;
};

std::string create_or_add(const Wanted& wanted, const Membership& now) {
  const std::string name = quote_identifier(wanted.name);
  const std::string list = table_list(wanted.add);
  if (!now.exists) {
    return fmt::format("CREATE PUBLICATION {}{} WITH ({});\n", name,
                       list.empty() ? "" : " FOR TABLE " + list, wanted.options);
  }
  return list.empty() ? "" : fmt::format("ALTER PUBLICATION {} ADD TABLE {};\n", name, list);
}

std::string remove(const Wanted& wanted) {
  if (wanted.remove.empty()) return "";
  return fmt::format("ALTER PUBLICATION {} DROP TABLE {};\n", quote_identifier(wanted.name),
                     table_list(wanted.remove));
}

std::vector<Blocker> blockers(Connection& control, int pid) {
  auto rows = control.query(
      "SELECT b.pid, extract(epoch FROM clock_timestamp() - a.xact_start) * 1000, a.state,"
      " a.application_name, a.usename FROM unnest(pg_blocking_pids($1)) AS b(pid)"
      " LEFT JOIN pg_stat_activity a ON a.pid = b.pid",
      {std::to_string(pid)});
  std::vector<Blocker> out;
  for (int row = 0; rows.ok() && row < rows->row_count(); ++row) {
    out.push_back({static_cast<int>(rows->integer(row, 0)), Milliseconds(rows->integer(row, 1)),
                   std::string(rows->text(row, 2)), std::string(rows->text(row, 3)),
                   std::string(rows->text(row, 4))});
  }
  return out;
}

Error slot_timeout(const CreateSlotOptions& options, const std::vector<Blocker>& found) {
  Error out = error(Code::kTimeout, fmt::format("slot '{}' could not be made in {}", options.name,
                                                format_duration(options.timeout)));
  if (found.empty()) {
    out.detail = "the server is still looking for a consistent point";
    return out;
  }
  const Blocker& oldest = *std::max_element(
      found.begin(), found.end(), [](const auto& a, const auto& b) { return a.age < b.age; });
  if (oldest.pid == 0) {
    out.detail = "a prepared transaction is open";
    out.hint = "COMMIT PREPARED or ROLLBACK PREPARED it: SELECT gid FROM pg_prepared_xacts";
    return out;
  }
  out.detail = fmt::format(
      "it waits for the transaction of process {} (user {}, application '{}', "
      "{}), open for {} s",
      oldest.pid, oldest.user, oldest.application, oldest.state, oldest.age.count() / 1000);
  out.hint = fmt::format("End that transaction, or: SELECT pg_terminate_backend({})", oldest.pid);
  return out;
}

// Waits for CREATE_REPLICATION_SLOT, which waits for every transaction that is open.
Result<QueryResult> wait_for_slot(Connection& connection, int pid, Connection& control,
                                  const CreateSlotOptions& options) {
  const auto deadline = SteadyClock::now() + options.timeout;
  for (;;) {
    const auto left = std::chrono::duration_cast<Milliseconds>(deadline - SteadyClock::now());
    const auto step = std::clamp(left, Milliseconds(1), options.on_wait_every);
    auto result = connection.finish(step);
    if (result.ok()) return result;
    const bool still_running = result.error().code == Code::kTimeout && connection.is_open() &&
                               sqlstate_of(result.error()).empty();
    // A walsender does not notice by itself that its client has gone while it waits.
    if (result.error().code == Code::kCancelled)
      (void)control.query("SELECT pg_terminate_backend($1)", {std::to_string(pid)});
    if (!still_running) return result.error();
    const std::vector<Blocker> found = blockers(control, pid);
    if (left > Milliseconds(0)) {
      if (options.on_wait && !found.empty()) options.on_wait(found);
      continue;
    }
    (void)control.query("SELECT pg_terminate_backend($1, $2)",
                        {std::to_string(pid), std::to_string(kTerminateWait.count())});
    return slot_timeout(options, found);
  }
}

Error publication_gone(const std::string& name) {
  return error(Code::kCheckFailed, fmt::format("publication '{}' is gone from the server", name),
               "what changes without it is not sent",
               fmt::format("Create it again, as it was. If rows changed since it was dropped, "
                           "PostgreSQL before 18 cannot go on from there: {}",
                           kResyncHint));
}

}  // namespace

std::string append_publication(const std::string& name) {
  return name + "_append";
}

Result<Publications> ensure_publications(Connection& connection, const std::string& name,
                                         std::span<const CapturedTable> tables,
                                         MissingPublication missing) {
  const std::string append_name = append_publication(name);
  TRY_ASSIGN(const Membership main_now, read_membership(connection, name));
  TRY_ASSIGN(const Membership append_now, read_membership(connection, append_name));
  if (missing == MissingPublication::kRefuse) {
    if (!main_now.exists) return publication_gone(name);
    if (!append_now.exists) return publication_gone(append_name);
  }
  Wanted main{name, kViaRoot, {}, {}};
  Wanted append{append_name, fmt::format("publish = 'insert, truncate', {}", kViaRoot), {}, {}};
  Publications out;
  for (const CapturedTable& table : tables) {
    Wanted& here = table.usable_identity ? main : append;
    Wanted& other = table.usable_identity ? append : main;
    const Membership& here_now = table.usable_identity ? main_now : append_now;
    const Membership& other_now = table.usable_identity ? append_now : main_now;
    if (!table.usable_identity) out.append_only_tables.push_back(table.qualified_name());
    if (!here_now.covers(table.id)) here.add.push_back(&table);
    // One publication that sends a root as such is enough, and the other operations are still the
    // main one's.
    const bool by_partitions = table.partitioned && table.usable_identity && main_now.exists &&
                               !main_now.via_root && main_now.covers(table.id);
    if (by_partitions && !append_now.covers(table.id)) append.add.push_back(&table);
    if (other_now.names(table.id) && !by_partitions) {
      other.remove.push_back(&table);
      out.moved.push_back(table.id);
    }
  }
  // Both from the start: a stream that names a publication fails at changes older than it.
  const std::string sql = create_or_add(main, main_now) + create_or_add(append, append_now) +
                          remove(main) + remove(append);
  // This order: PostgreSQL 14 looks no further once it has found all operations, and the first may
  // be one that sends partitions under their own names.
  out.names = {append_name, name};
  out.changed = !sql.empty();
  if (sql.empty()) return out;
  const Status done = connection.execute("BEGIN;\n" + sql + "COMMIT");
  if (done.ok()) return out;
  Error failure = done.error();
  if (connection.is_open()) TRY(connection.execute("ROLLBACK"));
  if (sqlstate_of(failure) == "42501") {
    failure.message = fmt::format("publication '{}' cannot be set up: {}", name, failure.message);
    failure.hint = "Let the owner of the tables, with CREATE on the database, run: " + sql;
    std::replace(failure.hint.begin(), failure.hint.end(), '\n', ' ');
  }
  return failure;
}

Status drop_publications(Connection& connection, const std::string& name) {
  return connection.execute(fmt::format("DROP PUBLICATION IF EXISTS {}, {}", quote_identifier(name),
                                        quote_identifier(append_publication(name))));
}

namespace {

// Both grammars: options in parentheses came with 15.
Result<std::string> create_command(Connection& control, const CreateSlotOptions& options) {
  const std::string head =
      fmt::format("CREATE_REPLICATION_SLOT {}{} LOGICAL pgoutput ", quote_identifier(options.name),
                  options.temporary ? " TEMPORARY" : "");
  if (control.server_version() < 150000)
    return head + (options.export_snapshot ? "EXPORT_SNAPSHOT" : "NOEXPORT_SNAPSHOT");
  std::string list = fmt::format("SNAPSHOT '{}'", options.export_snapshot ? "export" : "nothing");
  if (control.server_version() >= 170000 && options.failover && !options.temporary) {
    TRY_ASSIGN(const QueryResult standby, control.query("SELECT pg_is_in_recovery()"));
    if (!standby.boolean(0, 0)) list += ", FAILOVER true";
  }
  return fmt::format("{}({})", head, list);
}

}  // namespace

Result<CreatedSlot> create_slot(Connection& control, const CreateSlotOptions& options) {
  ConnectionOptions replication = control.options();
  replication.kind = ConnectionKind::kReplication;
  TRY_ASSIGN(Connection connection, Connection::open(replication));
  const int pid = connection.backend_pid();
  TRY_ASSIGN(const std::string command, create_command(control, options));
  TRY(connection.send(command));
  auto made = wait_for_slot(connection, pid, control, options);
  if (!made.ok()) {
    Error failure = made.error();
    if (failure.code != Code::kTimeout && failure.code != Code::kCancelled)
      failure.message =
          fmt::format("slot '{}' could not be made: {}", options.name, failure.message);
    return failure;
  }
  TRY_ASSIGN(const model::Lsn consistent_point, model::parse_lsn(made->text(0, 1)));
  return CreatedSlot{std::move(connection), consistent_point, std::string(made->text(0, 2))};
}

Status drop_slot(Connection& connection, const std::string& name, Milliseconds timeout) {
  const auto deadline = SteadyClock::now() + timeout;
  for (;;) {
    auto dropped = connection.query("SELECT pg_drop_replication_slot($1)", {name});
    if (dropped.ok() || dropped.error().code == Code::kNotFound) return {};
    if (sqlstate_of(dropped.error()) != "55006" || SteadyClock::now() >= deadline)
      return dropped.error();
    TRY(connection.wait(io::Interest::kNothing, kSlotRetry));
  }
}

Result<SystemIdentity> system_identity(Connection& connection) {
  // The last checkpoint's timeline lags behind a promotion; a WAL file's name does not.
  TRY_ASSIGN(
      const QueryResult rows,
      connection.query(
          "SELECT (SELECT system_identifier FROM pg_control_system()), current_database(),"
          " CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())"
          "  ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,"
          " CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
          "  ELSE pg_current_wal_lsn() END, pg_is_in_recovery()"));
  SystemIdentity out;
  out.system_identifier = rows.text(0, 0);
  out.database = rows.text(0, 1);
  out.timeline = static_cast<std::uint32_t>(rows.integer(0, 2));
  TRY_ASSIGN(out.current_lsn, model::parse_lsn(rows.text(0, 3)));
  out.standby = rows.boolean(0, 4);
  out.server_version = connection.server_version();
  return out;
}

Result<model::Lsn> current_lsn(Connection& connection) {
  TRY_ASSIGN(const QueryResult rows,
             connection.query("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
                              " ELSE pg_current_wal_lsn() END"));
  return model::parse_lsn(rows.text(0, 0));
}

}  // namespace pgweir::postgres
