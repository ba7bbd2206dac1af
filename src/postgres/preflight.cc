#include "postgres/preflight.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "postgres/setup.h"

namespace pgweir::postgres {
namespace {

constexpr int kVersionMin = 140000;

// Collects findings; every check below adds to it.
class Checks {
 public:
  Checks(Connection& connection, const SourceOptions& options)
      : connection_(connection), options_(options) {}

  Status server();
  Status slot();
  Status heartbeat();
  Status slot_settings();
  Status tables();
  Status publications();
  std::vector<Finding> take() { return std::move(findings_); }

 private:
  void add(Severity severity, const char* code, std::string message, std::string detail,
           std::string fix) {
    findings_.push_back({severity, code, std::move(message), std::move(detail), std::move(fix)});
  }
  void fail(const char* code, std::string message, std::string detail, std::string fix) {
    add(Severity::kError, code, std::move(message), std::move(detail), std::move(fix));
  }
  void limits(const QueryResult& row);
  Status table_rights();
  Status publication(const std::string& name, bool append_only);
  Status by_partitions(const std::string& name);
  std::string ids_of(bool append_only) const;
  Status members(const std::string& name, bool append_only);
  Status may_create(const std::string& name, bool append_only);

  Connection& connection_;
  const SourceOptions& options_;
  std::vector<Finding> findings_;
  std::vector<CapturedTable> tables_;
  bool slot_exists_ = false;
  std::string user_;
};

Status Checks::server() {
  if (connection_.server_version() < kVersionMin) {
    fail("server_version", "the server is too old",
         fmt::format("it is version {}, pgweir needs 14 or later",
                     connection_.server_version() / 10000),
         "Upgrade PostgreSQL");
  }
  TRY_ASSIGN(
      const QueryResult row,
      connection_.query("SELECT current_user, current_setting('wal_level'), pg_is_in_recovery(),"
                        " r.rolsuper OR r.rolreplication OR EXISTS (SELECT 1 FROM pg_roles m"
                        "   WHERE m.rolname = 'rds_replication' AND pg_has_role(m.oid, 'member')),"
                        " (SELECT count(*) FROM pg_replication_slots),"
                        " current_setting('max_replication_slots')::int,"
                        " (SELECT count(*) FROM pg_stat_get_wal_senders()),"
                        " current_setting('max_wal_senders')::int"
                        " FROM pg_roles r WHERE r.rolname = current_user"));
  user_ = row.text(0, 0);
  if (row.text(0, 1) != "logical") {
    fail("wal_level", "wal_level is not logical", fmt::format("it is '{}'", row.text(0, 1)),
         "ALTER SYSTEM SET wal_level = 'logical', then restart the server");
  }
  if (row.boolean(0, 2)) {
    if (connection_.server_version() < 160000) {
      fail("standby", "the server is a standby", "before version 16 a standby cannot decode",
           "Connect to the primary: target_session_attrs=read-write finds it among several hosts");
    } else {
      add(Severity::kWarning, "standby", "the server is a standby",
          "the publications must be made on the primary", "");
    }
  }
  if (!row.boolean(0, 3)) {
    fail("replication_privilege", fmt::format("role {} may not replicate", user_), "",
         fmt::format("ALTER ROLE {} REPLICATION", quote_identifier(user_)));
  }
  TRY(slot());
  limits(row);
  TRY(heartbeat());
  return slot_settings();
}

Status Checks::heartbeat() {
  if (options_.heartbeat <= Milliseconds(0)) return {};
  TRY_ASSIGN(const QueryResult rows,
             connection_.query("SELECT p.oid::regprocedure FROM pg_proc p"
                               " WHERE p.proname = 'pg_logical_emit_message'"
                               " AND p.pronamespace = 'pg_catalog'::regnamespace"
                               " AND p.proargtypes[2] = 'text'::regtype"
                               " AND NOT has_function_privilege(p.oid, 'EXECUTE')"));
  if (rows.row_count() == 0) return {};
  add(Severity::kWarning, "heartbeat_privilege",
      fmt::format("role {} may not write heartbeats", user_),
      "where nothing else is written the slot holds back WAL until the server's next keepalive",
      fmt::format("GRANT EXECUTE ON FUNCTION {} TO {}; or set source.heartbeat to 0s",
                  rows.text(0, 0), quote_identifier(user_)));
  return {};
}

// What the server may do to the slot later.
Status Checks::slot_settings() {
  if (connection_.server_version() < 170000) return {};
  TRY_ASSIGN(const auto found, slot_info(connection_, options_.slot));
  TRY_ASSIGN(const QueryResult settings,
             connection_.query(
                 "SELECT current_setting('synchronized_standby_slots'), (SELECT setting::bigint"
                 " FROM pg_settings WHERE name = 'idle_replication_slot_timeout')"));
  if (settings.integer(0, 1) > 0) {
    add(Severity::kNote, "slot_idle_timeout", "the server invalidates slots that nobody reads",
        fmt::format("after idle_replication_slot_timeout = {}: a pgweir that is stopped for longer "
                    "loses its slot",
                    format_duration(std::chrono::seconds(settings.integer(0, 1)))),
        "Raise idle_replication_slot_timeout above the longest time that pgweir may be stopped");
  }
  if (found && !found->failover && !settings.text(0, 0).empty()) {
    add(Severity::kWarning, "slot_not_failover",
        fmt::format("slot '{}' is not copied to standbys", found->name),
        "it was made without failover, and would be gone after a failover",
        fmt::format("On a replication connection, while nobody reads it: ALTER_REPLICATION_SLOT {} "
                    "(FAILOVER true)",
                    quote_identifier(found->name)));
  }
  return {};
}

void Checks::limits(const QueryResult& row) {
  const std::int64_t slots = row.integer(0, 4), slots_max = row.integer(0, 5);
  if (!slot_exists_ && slots >= slots_max) {
    fail("no_free_slot", "all replication slots are taken",
         fmt::format("{} of max_replication_slots = {}", slots, slots_max),
         fmt::format("ALTER SYSTEM SET max_replication_slots = {}, then restart the server; or "
                     "SELECT pg_drop_replication_slot('...') for one that nobody needs",
                     slots_max + 5));
  }
  const std::int64_t senders = row.integer(0, 6), senders_max = row.integer(0, 7);
  if (senders >= senders_max) {
    fail("no_free_sender", "all WAL senders are taken",
         fmt::format("{} of max_wal_senders = {}", senders, senders_max),
         fmt::format("ALTER SYSTEM SET max_wal_senders = {}, then restart the server",
                     senders_max + 5));
  }
}

Status Checks::slot() {
  TRY_ASSIGN(const auto found, slot_info(connection_, options_.slot));
  slot_exists_ = found.has_value();
  if (!found) return {};
  const std::string drop =
      fmt::format("SELECT pg_drop_replication_slot({})", quote_literal(found->name));
  if (found->plugin != "pgoutput") {
    fail("slot_plugin", fmt::format("slot '{}' is not one of ours", found->name),
         found->plugin.empty() ? "it is a physical slot"
                               : fmt::format("its plugin is {}, not pgoutput", found->plugin),
         "Set source.slot to another name, or: " + drop);
    return {};
  }
  TRY_ASSIGN(const QueryResult here, connection_.query("SELECT current_database()"));
  if (found->database != here.text(0, 0)) {
    fail("slot_database", fmt::format("slot '{}' belongs to another database", found->name),
         fmt::format("to {}, and we read {}", found->database, here.text(0, 0)),
         "Set source.slot to another name: names are unique in the whole server");
    return {};
  }
  if (found->lost()) {
    Error lost = slot_lost(*found);
    fail("slot_lost", std::move(lost.message), std::move(lost.detail), std::move(lost.hint));
  }
  if (found->temporary) {
    fail("slot_temporary", fmt::format("slot '{}' is temporary", found->name), "",
         "Set source.slot to another name");
  }
  if (found->active_pid != 0) {
    TRY_ASSIGN(const QueryResult reader,
               connection_.query("SELECT coalesce(application_name, ''),"
                                 " coalesce(host(client_addr), 'a local socket')"
                                 " FROM pg_stat_activity WHERE pid = $1",
                                 {std::to_string(found->active_pid)}));
    const bool known = reader.row_count() == 1;
    fail("slot_in_use", fmt::format("slot '{}' is in use", found->name),
         fmt::format(
             "by process {}{}", found->active_pid,
             known ? fmt::format(", application '{}' from {}", reader.text(0, 0), reader.text(0, 1))
                   : ""),
         fmt::format("Stop that reader, or: SELECT pg_terminate_backend({})", found->active_pid));
  }
  return {};
}

Status Checks::tables() {
  TRY_ASSIGN(ExpandedTables expanded,
             expand_tables(connection_, options_.tables, options_.exclude));
  tables_ = std::move(expanded.tables);
  for (const auto& unmatched : expanded.unmatched) {
    fail("table_missing", fmt::format("source.tables: {} matches no table", unmatched.pattern),
         unmatched.reason.empty() ? "" : "it " + unmatched.reason,
         "Create the table, or correct the name in source.tables");
  }
  if (tables_.empty() && expanded.unmatched.empty()) {
    fail("no_tables", "there is no table to capture", "every match is excluded",
         "Correct source.tables and source.exclude");
  }
  for (const CapturedTable& table : tables_) {
    if (table.usable_identity) continue;
    add(Severity::kWarning, "no_identity",
        fmt::format("table {} has no usable replica identity: its inserts and truncates are "
                    "captured, its updates and deletes are not",
                    table.qualified_name()),
        table.has_primary_key ? "it has a primary key, but its replica identity is not that key"
                              : "it has no primary key",
        fmt::format("ALTER TABLE {} REPLICA IDENTITY {}", quote_name(table.schema, table.name),
                    table.has_primary_key ? "DEFAULT" : "FULL"));
  }
  return table_rights();
}

Status Checks::table_rights() {
  std::string ids = "{";
  for (const CapturedTable& table : tables_)
    ids += (ids.size() > 1 ? "," : "") + std::to_string(model::value(table.id));
  ids += "}";
  TRY_ASSIGN(const QueryResult rows,
             connection_.query(
                 "SELECT n.nspname, c.relname, has_schema_privilege(n.oid, 'USAGE'),"
                 " has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid)"
                 " FROM unnest($1::oid[]) WITH ORDINALITY AS w(id, pos)"
                 " JOIN pg_class c ON c.oid = w.id JOIN pg_namespace n ON n.oid = c.relnamespace"
                 " ORDER BY w.pos",
                 {ids}));
  std::string last_schema;
  for (int row = 0; row < rows.row_count(); ++row) {
    const std::string schema(rows.text(row, 0)), table(rows.text(row, 1));
    if (!rows.boolean(row, 2) && schema != last_schema) {
      fail("schema_privilege", fmt::format("role {} may not use schema {}", user_, schema), "",
           fmt::format("GRANT USAGE ON SCHEMA {} TO {}", quote_identifier(schema),
                       quote_identifier(user_)));
      last_schema = schema;
    }
    if (!rows.boolean(row, 3)) {
      fail("select_privilege",
           fmt::format("role {} may not read table {}.{}", user_, schema, table), "",
           fmt::format("GRANT SELECT ON {} TO {}", quote_name(schema, table),
                       quote_identifier(user_)));
    }
    if (rows.boolean(row, 4)) {
      fail("row_security",
           fmt::format("row-level security hides rows of table {}.{} from role {}", schema, table,
                       user_),
           "the snapshot would miss them",
           fmt::format("ALTER ROLE {} BYPASSRLS", quote_identifier(user_)));
    }
  }
  return {};
}

Status Checks::publications() {
  TRY(publication(options_.publication, false));
  return publication(append_publication(options_.publication), true);
}

Status Checks::publication(const std::string& name, bool append_only) {
  TRY_ASSIGN(const QueryResult rows,
             connection_.query("SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate,"
                               " pubviaroot FROM pg_publication WHERE pubname = $1",
                               {name}));
  if (rows.row_count() == 0) return may_create(name, append_only);
  std::string missing;
  const std::pair<int, const char*> kOperations[] = {
      {1, "insert"}, {2, "update"}, {3, "delete"}, {4, "truncate"}};
  for (const auto& [column, operation] : kOperations) {
    const bool needed = !append_only || column == 1 || column == 4;
    if (needed && !rows.boolean(0, column))
      missing += (missing.empty() ? "" : ", ") + std::string(operation);
  }
  const std::string quoted = quote_identifier(name);
  if (!missing.empty()) {
    fail("publication_operations", fmt::format("publication '{}' leaves out operations", name),
         missing +
             ": rows that nobody tells of would stay in the mirrors as they were, and come a "
             "second time when their keys do",
         fmt::format("ALTER PUBLICATION {} SET (publish = '{}')", quoted,
                     append_only ? "insert, truncate" : "insert, update, delete, truncate"));
  }
  if (!rows.boolean(0, 5) && !append_only) TRY(by_partitions(name));
  if (rows.boolean(0, 0)) {
    add(Severity::kWarning, "publication_all_tables",
        fmt::format("publication '{}' is FOR ALL TABLES", name),
        "PostgreSQL then refuses UPDATE and DELETE on every table without a replica identity",
        fmt::format("Set source.publication to another name, or: DROP PUBLICATION {}", quoted));
    return {};
  }
  return members(name, append_only);
}

// Partitions that are sent under their own names come as their root's once that is in a second
// publication, whose filters and columns are the ones that count then: it has none.
Status Checks::by_partitions(const std::string& name) {
  if (connection_.server_version() < 150000) return {};
  std::string ids;
  for (const CapturedTable& table : tables_) {
    if (table.partitioned) ids += (ids.empty() ? "" : ",") + std::to_string(model::value(table.id));
  }
  TRY_ASSIGN(const QueryResult rows,
             connection_.query(
                 "SELECT DISTINCT w.id::regclass::text FROM unnest($2::oid[]) AS w(id),"
                 " pg_partition_tree(w.id) t JOIN pg_publication_rel r ON r.prrelid = t.relid"
                 " JOIN pg_publication p ON p.oid = r.prpubid AND p.pubname = $1"
                 " WHERE r.prqual IS NOT NULL OR r.prattrs IS NOT NULL ORDER BY 1",
                 {name, "{" + ids + "}"}));
  for (int row = 0; row < rows.row_count(); ++row) {
    fail("publication_partition_root",
         fmt::format("publication '{}' filters rows or columns of partitions of {}, and sends them "
                     "under their own names",
                     name, rows.text(row, 0)),
         "",
         fmt::format("ALTER PUBLICATION {} SET (publish_via_partition_root = true), or name the "
                     "partitions in source.tables instead of their root",
                     quote_identifier(name)));
  }
  return {};
}

// The tables that belong into the publication, or into the one for tables without an identity.
std::string Checks::ids_of(bool append_only) const {
  std::string ids = "{";
  for (const CapturedTable& table : tables_) {
    if (table.usable_identity == append_only) continue;
    ids += (ids.size() > 1 ? "," : "") + std::to_string(model::value(table.id));
  }
  return ids + "}";
}

// The tables that the publication lacks and that we may not add.
Status Checks::members(const std::string& name, bool append_only) {
  const bool schemas = connection_.server_version() >= 150000;
  TRY_ASSIGN(
      const QueryResult rows,
      connection_.query(
          fmt::format("SELECT n.nspname, c.relname, r.oid IS NOT NULL {},"
                      " pg_has_role(c.relowner, 'USAGE') AND pg_has_role(p.pubowner, 'USAGE')"
                      " FROM unnest($2::oid[]) AS w(id) JOIN pg_class c ON c.oid = w.id"
                      " JOIN pg_namespace n ON n.oid = c.relnamespace"
                      " JOIN pg_publication p ON p.pubname = $1"
                      " LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid"
                      " AND r.prrelid = c.oid ORDER BY 1, 2",
                      schemas ? "OR EXISTS (SELECT 1 FROM pg_publication_namespace s WHERE"
                                " s.pnpubid = p.oid AND s.pnnspid = n.oid)"
                              : ""),
          {name, ids_of(append_only)}));
  std::string missing, fix;
  for (int row = 0; row < rows.row_count(); ++row) {
    const std::string table = fmt::format("{}.{}", rows.text(row, 0), rows.text(row, 1));
    if (rows.boolean(row, 2) || rows.boolean(row, 3)) continue;
    missing += (missing.empty() ? "" : ", ") + table;
    fix += (fix.empty() ? "ONLY " : ", ONLY ") + quote_name(rows.text(row, 0), rows.text(row, 1));
  }
  if (!missing.empty()) {
    fail("publication_missing_table",
         fmt::format("publication '{}' lacks tables, and role {} may not add them", name, user_),
         missing,
         fmt::format("Let the owner of the tables and of the publication run: ALTER PUBLICATION {} "
                     "ADD TABLE {}",
                     quote_identifier(name), fix));
  }
  return {};
}

Status Checks::may_create(const std::string& name, bool append_only) {
  TRY_ASSIGN(const QueryResult database,
             connection_.query("SELECT current_database(), has_database_privilege("
                               "current_database(), 'CREATE')"));
  if (!database.boolean(0, 1)) {
    fail("publication_privilege",
         fmt::format("role {} may not create publication '{}'", user_, name), "",
         fmt::format("GRANT CREATE ON DATABASE {} TO {}", quote_identifier(database.text(0, 0)),
                     quote_identifier(user_)));
  }
  TRY_ASSIGN(const QueryResult rows,
             connection_.query("SELECT n.nspname, c.relname FROM unnest($1::oid[]) AS w(id)"
                               " JOIN pg_class c ON c.oid = w.id"
                               " JOIN pg_namespace n ON n.oid = c.relnamespace"
                               " WHERE NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1, 2",
                               {ids_of(append_only)}));
  std::string others, fix;
  for (int row = 0; row < rows.row_count(); ++row) {
    others +=
        fmt::format("{}{}.{}", others.empty() ? "" : ", ", rows.text(row, 0), rows.text(row, 1));
    fix += (fix.empty() ? "ONLY " : ", ONLY ") + quote_name(rows.text(row, 0), rows.text(row, 1));
  }
  if (others.empty()) return {};
  fail("table_ownership",
       fmt::format("only their owner can put these tables into publication '{}'", name), others,
       fmt::format("Let their owner run: CREATE PUBLICATION {} FOR TABLE {} WITH "
                   "({}publish_via_partition_root = true)",
                   quote_identifier(name), fix,
                   append_only ? "publish = 'insert, truncate', " : ""));
  return {};
}

}  // namespace

Result<std::vector<Finding>> preflight(Connection& connection, const SourceOptions& options) {
  Checks checks(connection, options);
  TRY(checks.server());
  TRY(checks.tables());
  TRY(checks.publications());
  return checks.take();
}

Status first_error(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    if (finding.severity != Severity::kError) continue;
    const Code code = finding.code == "slot_lost" ? Code::kCorruption : Code::kCheckFailed;
    return error(code, finding.message, finding.detail, finding.fix);
  }
  return {};
}

}  // namespace pgweir::postgres
