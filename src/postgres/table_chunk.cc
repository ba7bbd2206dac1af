#include "postgres/table_chunk.h"

#include <fmt/core.h>
#include <libpq-fe.h>

#include <memory>

#include "postgres/table_files.h"

namespace pgweir::postgres {
namespace {

struct FreeMemory {
  void operator()(char* memory) const { PQfreemem(memory); }
};

Error changed(const model::Table& table, std::string detail) {
  return error(Code::kUnavailable,
               fmt::format("table {} changed while it was read", table.qualified_name()),
               std::move(detail), "It is read again");
}

Error unreadable(const model::Table& table, Error failure) {
  failure.message =
      fmt::format("table {} cannot be read: {}", table.qualified_name(), failure.message);
  return failure;
}

// A result's column describes a domain as the type underneath with that type's modifier.
Result<bool> has_type(Connection& connection, const QueryResult& result, int at,
                      const model::Column& column) {
  const std::uint32_t type = result.column_type(at);
  const std::int32_t modifier = result.column_modifier(at);
  if (type == model::value(column.type)) return modifier == column.type_modifier;
  TRY_ASSIGN(
      const QueryResult under,
      connection.query(
          "WITH RECURSIVE under(type, modifier) AS (SELECT $1::oid, $2::int UNION ALL"
          " SELECT t.typbasetype, t.typtypmod FROM under u JOIN pg_type t ON t.oid = u.type"
          "  WHERE t.typtype = 'd')"
          " SELECT u.type::int8, u.modifier FROM under u JOIN pg_type t ON t.oid = u.type"
          "  WHERE t.typtype <> 'd'",
          {std::to_string(model::value(column.type)), std::to_string(column.type_modifier)}));
  return under.row_count() == 1 && under.integer(0, 0) == type && under.integer(0, 1) == modifier;
}

std::string from_clause(const model::Table& table, bool partitioned) {
  return fmt::format(" FROM {}{}", partitioned ? "" : "ONLY ",
                     quote_name(table.schema, table.name));
}

}  // namespace

std::string row_condition(const model::Table& table, const std::string& where) {
  if (table.row_filter.empty() || where.empty()) return table.row_filter + where;
  return fmt::format("({}) AND ({})", table.row_filter, where);
}

std::string select_rows(const model::Table& table, bool partitioned) {
  std::string columns;
  for (const model::Column& column : table.columns)
    columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
  return "SELECT " + columns + from_clause(table, partitioned);
}

Result<int> check_columns(Connection& connection, const model::Table& table, bool partitioned) {
  auto now = connection.query("SELECT *" + from_clause(table, partitioned) + " LIMIT 0");
  if (!now.ok()) {
    if (now.error().code == Code::kNotFound) return changed(table, "it was dropped or renamed");
    return unreadable(table, now.error());
  }
  for (const model::Column& column : table.columns) {
    int at = 0;
    while (at < now->column_count() && now->column_name(at) != column.name) ++at;
    if (at == now->column_count())
      return changed(table, fmt::format("column {} was dropped or renamed", column.name));
    TRY_ASSIGN(const bool same, has_type(connection, *now, at, column));
    if (!same) return changed(table, fmt::format("column {} has another type", column.name));
  }
  return now->column_count();
}

Status copy_rows(Connection& connection, const model::Table& table, const std::string& select,
                 const std::function<Status(std::string_view line)>& row) {
  TRY(connection.send("COPY (" + select + ") TO STDOUT"));
  const auto started = connection.finish(Milliseconds(0));
  if (!started.ok()) return unreadable(table, started.error());
  for (;;) {
    char* raw = nullptr;
    const int size = PQgetCopyData(connection.raw(), &raw, 1);
    if (size > 0) {
      const std::unique_ptr<char, FreeMemory> owned(raw);
      const Status taken = row({raw, static_cast<std::size_t>(size)});
      if (taken.ok()) continue;
      connection.close();
      return taken;
    }
    if (size < 0) break;
    TRY_ASSIGN(const io::Readiness ready, connection.wait(io::Interest::kRead, Microseconds(-1)));
    if (ready.readable && PQconsumeInput(connection.raw()) == 0)
      return connection.failure(nullptr, "reading table " + table.qualified_name());
  }
  const auto ended = connection.finish(Milliseconds(0));
  if (!ended.ok()) return unreadable(table, ended.error());
  return {};
}

static Status end_chunk(Connection& connection, TableChunk& out) {
  TRY_ASSIGN(out.seen_lsn, insert_lsn(connection));
  return connection.execute("COMMIT");
}

static Status read_rows(Connection& connection, const ChunkRequest& request, TableChunk& out) {
  TRY(connection.execute(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off"));
  TRY_ASSIGN(out.snapshot, current_snapshot(connection));
  if (request.on_snapshot) request.on_snapshot(out.snapshot);
  TRY(check_columns(connection, request.table, request.partitioned));
  // The lock that this took keeps the rows where they are until the chunk ends.
  TRY_ASSIGN(const TableFiles files,
             table_files(connection, request.table.id, request.partitioned));
  out.moved = !request.files.empty() && files.now != request.files;
  if (out.moved) return end_chunk(connection, out);
  std::string select = select_rows(request.table, request.partitioned);
  const std::string where = row_condition(request.table, request.where);
  if (!where.empty()) select += " WHERE " + where;
  TRY(copy_rows(connection, request.table, select, [&](std::string_view line) -> Status {
    if (request.on_row) return request.on_row(line);
    out.lines.append(line);
    ++out.row_count;
    if (out.lines.size() <= request.bytes_max) return {};
    out.cut = true;
    return error(Code::kNoSpace, "the chunk is too large");
  }));
  return end_chunk(connection, out);
}

Result<TableChunk> read_chunk(Connection& connection, const ChunkRequest& request) {
  TableChunk out;
  const Status done = read_rows(connection, request, out);
  if (done.ok() || out.cut) return out;
  if (connection.is_open() && !connection.execute("ROLLBACK").ok()) connection.close();
  return done.error();
}

Result<std::uint64_t> move_wal(Connection& connection) {
  // Only the local disk is waited for: a standby that is away must not hold us up.
  TRY(connection.execute("SET synchronous_commit = local"));
  TRY_ASSIGN(const QueryResult row,
             connection.query("SELECT pg_current_xact_id()::text,"
                              " pg_logical_emit_message(true, 'pgweir', '')"));
  return static_cast<std::uint64_t>(row.integer(0, 0));
}

Result<model::Lsn> insert_lsn(Connection& connection) {
  TRY_ASSIGN(const QueryResult lsn, connection.query("SELECT pg_current_wal_insert_lsn()"));
  return model::parse_lsn(lsn.text(0, 0));
}

Result<XidSnapshot> current_snapshot(Connection& connection) {
  TRY_ASSIGN(const QueryResult row, connection.query("SELECT pg_current_snapshot()"));
  return parse_snapshot(row.text(0, 0));
}

Result<std::string> running_before(Connection& connection, std::uint64_t xid) {
  TRY_ASSIGN(
      const QueryResult rows,
      connection.query("SELECT format('process %s (user %s, application ''%s'', %s)', pid, usename,"
                       " application_name, state) FROM pg_stat_activity"
                       " WHERE backend_xid::text::int8 < $1::int8"
                       " UNION ALL SELECT format('the prepared transaction ''%s''', gid)"
                       " FROM pg_prepared_xacts LIMIT 3",
                       {std::to_string(xid & 0xffffffff)}));
  std::string out;
  for (int row = 0; row < rows.row_count(); ++row)
    out += (out.empty() ? "" : ", ") + std::string(rows.text(row, 0));
  return out;
}

}  // namespace pgweir::postgres
