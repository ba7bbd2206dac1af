#include "postgres/snapshot.h"

#include <fmt/core.h>
#include <libpq-fe.h>

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <utility>

namespace pgweir::postgres {
namespace {

constexpr std::int64_t kPageBytes = 8192;

struct FreeMemory {
  void operator()(char* memory) const { PQfreemem(memory); }
};

std::string column_list(const model::Table& table) {
  std::string out;
  for (const model::Column& column : table.columns)
    out += (out.empty() ? "" : ", ") + quote_identifier(column.name);
  return out;
}

std::string from_clause(const model::Table& table, bool partitioned) {
  return fmt::format(" FROM {}{}", partitioned ? "" : "ONLY ",
                     quote_name(table.schema, table.name));
}

Error changed(const model::Table& table, std::string detail) {
  return error(Code::kUnavailable,
               fmt::format("table {} changed while the snapshot was read", table.qualified_name()),
               std::move(detail), "Start the snapshot again");
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

}  // namespace

Snapshot::~Snapshot() {
  stop_.wake();
}

Result<std::unique_ptr<Snapshot>> Snapshot::begin(
    const SnapshotOptions& options, std::vector<std::shared_ptr<const model::Table>> tables) {
  std::unique_ptr<Snapshot> out(new Snapshot(options));
  TRY(out->add_worker());
  TRY(out->plan(std::move(tables)));
  const std::size_t workers = std::min<std::size_t>(options.parallel, out->parts_.size());
  while (out->workers_.size() < workers) TRY(out->add_worker());
  return out;
}

Status Snapshot::add_worker() {
  ConnectionOptions options = options_.connection;
  options.kind = ConnectionKind::kOrdinary;
  options.cancel = &stop_;
  TRY_ASSIGN(Connection connection, Connection::open(options));
  const Status imported = connection.execute(
      fmt::format("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {};"
                  "SET LOCAL row_security = off",
                  quote_literal(options_.snapshot)));
  if (!imported.ok()) {
    Error failure = imported.error();
    const std::string_view state = sqlstate_of(failure);
    if (state == "22023" || state == "55000" || state == "42704") {
      failure.code = Code::kNotFound;
      failure.message =
          fmt::format("the exported snapshot {} is gone: {}", options_.snapshot, failure.message);
      failure.hint = "Make a new slot; its connection must stay open and idle until now";
    }
    return failure;
  }
  workers_.push_back(std::move(connection));
  return {};
}

Status Snapshot::plan(std::vector<std::shared_ptr<const model::Table>> tables) {
  std::string ids = "{";
  for (const auto& table : tables)
    ids += (ids.size() > 1 ? "," : "") + std::to_string(model::value(table->id));
  ids += "}";
  // A partitioned table's ranges go through all its partitions, so the largest one counts.
  TRY_ASSIGN(const QueryResult rows,
             workers_.front().query(
                 "SELECT c.oid, c.relkind = 'p', CASE WHEN c.relkind = 'p'"
                 " THEN (SELECT max(pg_relation_size(t.relid)) FROM pg_partition_tree(c.oid) t"
                 "        WHERE t.isleaf)"
                 " ELSE pg_relation_size(c.oid) END FROM pg_class c WHERE c.oid = ANY ($1::oid[])",
                 {ids}));
  std::unordered_map<std::uint32_t, int> row_of;
  for (int row = 0; row < rows.row_count(); ++row)
    row_of[static_cast<std::uint32_t>(rows.integer(row, 0))] = row;
  for (auto& table : tables) {
    const auto found = row_of.find(model::value(table->id));
    if (found == row_of.end()) return changed(*table, "it was dropped");
    const std::int64_t pages = rows.integer(found->second, 2) / kPageBytes;
    add_parts(std::move(table), rows.boolean(found->second, 1), pages);
  }
  // The largest first, so that no worker is left with one at the end.
  std::stable_sort(parts_.begin(), parts_.end(),
                   [](const Part& a, const Part& b) { return a.pages > b.pages; });
  return {};
}

void Snapshot::add_parts(std::shared_ptr<const model::Table> table, bool partitioned,
                         std::int64_t pages) {
  const std::string from = from_clause(*table, partitioned);
  const std::string select = "SELECT " + column_list(*table) + from;
  const std::string probe = "SELECT *" + from + " LIMIT 0";
  const std::int64_t step = std::max<std::uint32_t>(options_.range_pages, 1);
  for (std::int64_t first = 0; first == 0 || first < pages; first += step) {
    std::string where;
    if (first > 0) where = fmt::format(" WHERE ctid >= '({},0)'::tid", first);
    // The last range is open: the table may have grown since its size was asked for.
    if (first + step < pages)
      where +=
          fmt::format("{} ctid < '({},0)'::tid", where.empty() ? " WHERE" : " AND", first + step);
    parts_.push_back(
        {table, probe, "COPY (" + select + where + ") TO STDOUT", std::min(pages - first, step)});
  }
}

Status Snapshot::run(const SnapshotSink& sink) {
  std::vector<std::thread> threads;
  for (Connection& connection : workers_)
    threads.emplace_back([this, &connection, &sink] { work(connection, sink); });
  for (std::thread& thread : threads) thread.join();
  workers_.clear();
  MutexLock lock(mutex_);
  return failure_;
}

void Snapshot::stop() {
  fail(error(Code::kCancelled, "the snapshot was stopped"));
}

SnapshotProgress Snapshot::progress() const {
  return {rows_.load(), bytes_.load(), parts_done_.load(),
          static_cast<std::uint32_t>(parts_.size())};
}

void Snapshot::fail(const Error& error) {
  {
    MutexLock lock(mutex_);
    if (failure_.ok()) failure_ = error;
  }
  stop_.wake();
}

const Snapshot::Part* Snapshot::next_part() {
  MutexLock lock(mutex_);
  if (!failure_.ok() || next_part_ == parts_.size()) return nullptr;
  return &parts_[next_part_++];
}

void Snapshot::work(Connection& connection, const SnapshotSink& sink) {
  while (const Part* part = next_part()) {
    Status done = check_unchanged(connection, *part);
    if (done.ok()) done = copy(connection, *part, sink);
    if (!done.ok()) {
      fail(done.error());
      break;
    }
    ++parts_done_;
  }
  // Frees the snapshot at the server now, not when the last worker has ended.
  connection.close();
}

// COPY reads what the table is now, seen through an older snapshot. From this query on a lock keeps
// it as it is; here it must still be what the slot's snapshot saw.
Status Snapshot::check_unchanged(Connection& connection, const Part& part) {
  const model::Table& table = *part.table;
  auto now = connection.query(part.probe);
  if (!now.ok()) {
    if (now.error().code == Code::kNotFound) return changed(table, "it was dropped or renamed");
    return now.error();
  }
  for (const model::Column& column : table.columns) {
    int at = 0;
    while (at < now->column_count() && now->column_name(at) != column.name) ++at;
    if (at == now->column_count())
      return changed(table, fmt::format("column {} was dropped or renamed", column.name));
    TRY_ASSIGN(const bool same, has_type(connection, *now, at, column));
    if (!same) return changed(table, fmt::format("column {} has another type", column.name));
  }
  // A rewrite for a new column leaves nothing that an older snapshot sees. TRUNCATE does too, but
  // the stream tells of that; VACUUM FULL and CLUSTER keep what it sees.
  TRY_ASSIGN(const QueryResult rewritten,
             connection.query(
                 "SELECT c.relfilenode <> pg_relation_filenode(c.oid)"
                 " AND (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid"
                 " AND a.attnum > 0 AND NOT a.attisdropped) <> $2::int"
                 " FROM pg_class c WHERE c.oid = $1",
                 {std::to_string(model::value(table.id)), std::to_string(now->column_count())}));
  if (rewritten.row_count() == 1 && rewritten.boolean(0, 0))
    return changed(table, "a column was added and the table rewritten");
  return {};
}

Status Snapshot::copy(Connection& connection, const Part& part, const SnapshotSink& sink) {
  TRY(connection.send(part.sql));
  const auto started = connection.finish(Milliseconds(0));
  if (!started.ok()) {
    Error failure = started.error();
    failure.message =
        fmt::format("table {} cannot be read: {}", part.table->qualified_name(), failure.message);
    return failure;
  }
  SnapshotChunk chunk{part.table, {}, 0};
  for (;;) {
    char* raw = nullptr;
    const int size = PQgetCopyData(connection.raw(), &raw, 1);
    if (size > 0) {
      const std::unique_ptr<char, FreeMemory> owned(raw);
      chunk.lines.append(raw, static_cast<std::size_t>(size));
      ++chunk.row_count;
      if (chunk.lines.size() >= options_.chunk_bytes) TRY(give(chunk, sink));
      continue;
    }
    if (size < 0) break;
    TRY_ASSIGN(const io::Readiness ready, connection.wait(io::Interest::kRead, Microseconds(-1)));
    if (ready.readable && PQconsumeInput(connection.raw()) == 0)
      return connection.failure(nullptr, "reading table " + part.table->qualified_name());
  }
  const auto ended = connection.finish(Milliseconds(0));
  if (!ended.ok()) {
    Error failure = ended.error();
    failure.message =
        fmt::format("table {} cannot be read: {}", part.table->qualified_name(), failure.message);
    return failure;
  }
  return chunk.row_count == 0 ? Status() : give(chunk, sink);
}

Status Snapshot::give(SnapshotChunk& chunk, const SnapshotSink& sink) {
  const std::uint64_t rows = chunk.row_count, bytes = chunk.lines.size();
  SnapshotChunk full{chunk.table, std::move(chunk.lines), chunk.row_count};
  chunk.lines.clear();
  chunk.row_count = 0;
  TRY(sink(std::move(full)));
  rows_ += rows;
  bytes_ += bytes;
  return {};
}

}  // namespace pgweir::postgres
