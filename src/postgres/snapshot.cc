#include "postgres/snapshot.h"

#include <fmt/core.h>

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <utility>

#include "postgres/table_chunk.h"
#include "postgres/table_files.h"

namespace pgweir::postgres {
namespace {

constexpr std::int64_t kPageBytes = 8192;

Error changed(const model::Table& table, std::string detail) {
  return error(Code::kUnavailable,
               fmt::format("table {} changed while the snapshot was read", table.qualified_name()),
               std::move(detail), "Start the snapshot again");
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
  const std::int64_t step = std::max<std::uint32_t>(options_.range_pages, 1);
  for (std::int64_t first = 0; first == 0 || first < pages; first += step) {
    std::string where;
    if (first > 0) where = fmt::format("ctid >= '({},0)'::tid", first);
    // The last range is open: the table may have grown since its size was asked for.
    if (first + step < pages)
      where += fmt::format("{}ctid < '({},0)'::tid", where.empty() ? "" : " AND ", first + step);
    where = row_condition(*table, where);
    std::string select = options_.select ? options_.select(*table, partitioned, where)
                                         : select_rows(*table, partitioned) +
                                               (where.empty() ? "" : " WHERE ") + where;
    parts_.push_back({table, partitioned, std::move(select), std::min(pages - first, step), first,
                      first + step < pages ? first + step : 0});
  }
}

Status Snapshot::run(const SnapshotSink& sink, const SnapshotPartDone& part_done,
                     const SnapshotLeavesOut& leaves_out) {
  const Calls calls{sink, part_done, leaves_out};
  std::vector<std::thread> threads;
  for (Connection& connection : workers_)
    threads.emplace_back([this, &connection, &calls] { work(connection, calls); });
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
  while (failure_.ok() && next_part_ < parts_.size()) {
    const Part& part = parts_[next_part_++];
    if (!left_out_.contains(model::value(part.table->id))) return &part;
  }
  return nullptr;
}

void Snapshot::work(Connection& connection, const Calls& calls) {
  while (const Part* part = next_part()) {
    const Status done = read(connection, *part, calls);
    if (!done.ok()) {
      fail(done.error());
      break;
    }
    ++parts_done_;
  }
  // Frees the snapshot at the server now, not when the last worker has ended.
  connection.close();
}

// COPY reads what the table is now, seen through an older snapshot. From the check on a lock keeps
// it as it is; here it must still be what the slot's snapshot saw: ranges of pages mean nothing in
// other files, and what an ALTER TABLE wrote anew is not there for an older snapshot.
Status Snapshot::read(Connection& connection, const Part& part, const Calls& calls) {
  TRY(check_columns(connection, *part.table, part.partitioned));
  TRY_ASSIGN(const TableFiles files, table_files(connection, part.table->id, part.partitioned));
  if (files.seen != files.now) return leave_out(*part.table, calls);
  TRY(copy(connection, part, calls.sink));
  if (!calls.part_done) return {};
  return calls.part_done({part.table, part.pages_begin, part.pages_end, files.now});
}

Status Snapshot::leave_out(const model::Table& table, const Calls& calls) {
  if (!calls.leaves_out)
    return changed(table, "its rows were written anew, truncated, or its partitions changed");
  {
    MutexLock lock(mutex_);
    if (!left_out_.insert(model::value(table.id)).second) return {};
  }
  return calls.leaves_out(table);
}

Status Snapshot::copy(Connection& connection, const Part& part, const SnapshotSink& sink) {
  SnapshotChunk chunk{part.table, {}, 0};
  TRY(copy_rows(connection, *part.table, part.sql, [&](std::string_view line) -> Status {
    chunk.lines.append(line);
    ++chunk.row_count;
    return chunk.lines.size() >= options_.chunk_bytes ? give(chunk, sink) : Status();
  }));
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
