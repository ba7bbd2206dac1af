#include "postgres/snapshot.h"

#include <fmt/core.h>
#include <libpq-fe.h>

#include <algorithm>
#include <thread>

namespace pgweir::postgres {
namespace {

// A server that sends no row for this long under our own snapshot is gone or stuck.
constexpr Microseconds kRowWait{600'000'000};

std::string column_list(const model::Table& table) {
  std::string out;
  for (const model::Column& column : table.columns)
    out += (out.empty() ? "" : ", ") + quote_identifier(column.name);
  return out;
}

// Of the result and the rows that arrive for a COPY.
struct FreeBuffer {
  void operator()(char* buffer) const { PQfreemem(buffer); }
};

}  // namespace

Result<std::unique_ptr<Snapshot>> Snapshot::begin(
    const SnapshotOptions& options, std::vector<std::shared_ptr<const model::Table>> tables) {
  std::unique_ptr<Snapshot> out(new Snapshot(options));
  ConnectionOptions connection_options = options.connection;
  connection_options.kind = ConnectionKind::kOrdinary;
  connection_options.cancel = &out->stop_;
  for (std::uint32_t i = 0; i < std::max(options.parallel, 1u); ++i) {
    TRY_ASSIGN(Connection connection, Connection::open(connection_options));
    TRY(out->import(connection));
    out->workers_.push_back(std::move(connection));
  }
  TRY(out->plan(std::move(tables)));
  return out;
}

Snapshot::~Snapshot() { stop(); }

Status Snapshot::import(Connection& connection) {
  TRY(connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"));
  if (const Status taken =
          connection.execute("SET TRANSACTION SNAPSHOT " + quote_literal(options_.snapshot));
      !taken.ok()) {
    // 22023: no such snapshot; 42704: its file is gone.
    const std::string_view state = sqlstate_of(taken.error());
    if (state != "22023" && state != "42704") return taken.error();
    return error(Code::kNotFound, fmt::format("snapshot '{}' is gone", options_.snapshot),
                 taken.error().message,
                 "The connection that made the slot must stay open and idle until here");
  }
  // Rows that a policy hides would be missing without a word: with this they are an error.
  return connection.execute("SET LOCAL row_security = off");
}

// Large tables in ranges of pages, each partition of a partitioned table by itself. The largest
// parts first, so that no worker is left with one at the end.
Status Snapshot::plan(std::vector<std::shared_ptr<const model::Table>> tables) {
  struct Sized {
    Part part;
    std::int64_t pages;
  };
  std::vector<Sized> parts;
  for (auto& table : tables) {
    TRY_ASSIGN(const QueryResult leaves,
               workers_[0].query(
                   "SELECT n.nspname, c.relname, pg_relation_size(c.oid) / current_setting('block_size')::int8, "
                   "c.relkind "
                   "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                   "WHERE c.oid = $1::oid AND c.relkind <> 'p' OR c.oid IN (SELECT t.relid FROM "
                   "pg_partition_tree($1::oid::regclass) t WHERE t.isleaf AND t.relid <> $1::oid)",
                   {std::to_string(model::value(table->id))}));
    for (int row = 0; row < leaves.row_count(); ++row) {
      const std::int64_t pages = leaves.integer(row, 2);
      // A partition that is a foreign table has neither pages nor replicated changes.
      if (leaves.text(row, 3) == "f") continue;
      const std::string select =
          fmt::format("SELECT {} FROM ONLY {}", column_list(*table),
                      quote_name(leaves.text(row, 0), leaves.text(row, 1)));
      const std::int64_t step = std::max<std::int64_t>(options_.range_pages, 1);
      for (std::int64_t page = 0; page == 0 || page < pages; page += step) {
        std::string where;
        if (page > 0) where = fmt::format(" WHERE ctid >= '({},0)'", page);
        // The last range is open: pages that came since belong to rows that the snapshot hides.
        if (page + step < pages)
          where += fmt::format("{} ctid < '({},0)'", where.empty() ? " WHERE" : " AND", page + step);
        parts.push_back({{table, fmt::format("COPY ({}{}) TO STDOUT", select, where)},
                         std::min(pages - page, step)});
      }
    }
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Sized& a, const Sized& b) { return a.pages > b.pages; });
  for (Sized& sized : parts) parts_.push_back(std::move(sized.part));
  return {};
}

Status Snapshot::run(const SnapshotSink& sink) {
  std::vector<std::thread> threads;
  threads.reserve(workers_.size());
  for (Connection& connection : workers_)
    threads.emplace_back([this, &connection, &sink] { work(connection, sink); });
  for (std::thread& thread : threads) thread.join();
  workers_.clear();
  MutexLock lock(mutex_);
  return failure_;
}

void Snapshot::stop() { stop_.wake(); }

SnapshotProgress Snapshot::progress() const {
  return {rows_.load(), bytes_.load(), parts_done_.load(),
          static_cast<std::uint32_t>(parts_.size())};
}

void Snapshot::work(Connection& connection, const SnapshotSink& sink) {
  while (const Part* part = next_part()) {
    if (const Status status = copy(connection, *part, sink); !status.ok()) {
      fail(status.error());
      return;
    }
    ++parts_done_;
  }
}

Status Snapshot::copy(Connection& connection, const Part& part, const SnapshotSink& sink) {
  TRY_ASSIGN(const QueryResult started, connection.query(part.sql));
  if (!started.is_copy_out())
    return error(Code::kInternal, "COPY TO STDOUT gave no rows to read", part.sql);
  SnapshotChunk chunk{part.table, {}, 0};
  const auto give = [&]() -> Status {
    if (chunk.row_count == 0) return {};
    rows_ += chunk.row_count;
    bytes_ += chunk.lines.size();
    SnapshotChunk full{part.table, std::exchange(chunk.lines, {}), std::exchange(chunk.row_count, 0)};
    chunk.lines.reserve(options_.chunk_bytes + options_.chunk_bytes / 4);
    return sink(std::move(full));
  };
  while (true) {
    char* raw = nullptr;
    const int size = PQgetCopyData(connection.raw(), &raw, 1);
    const std::unique_ptr<char, FreeBuffer> row(raw);
    if (size > 0) {
      chunk.lines.append(row.get(), static_cast<std::size_t>(size));
      ++chunk.row_count;
      if (chunk.lines.size() >= options_.chunk_bytes) TRY(give());
      continue;
    }
    if (size == -1) break;
    if (size == -2) return connection.failure(nullptr, "COPY");
    TRY_ASSIGN(const io::Readiness ready, connection.wait(io::Interest::kRead, kRowWait));
    if (!ready.readable)
      return error(Code::kTimeout, fmt::format("no row of {} came for too long",
                                               part.table->qualified_name()));
    if (PQconsumeInput(connection.raw()) == 0) return connection.failure(nullptr, "COPY");
  }
  // The command's own end: an error in the middle of the rows shows only here.
  TRY_ASSIGN(const QueryResult ended, connection.finish(Milliseconds(60'000)));
  (void)ended;
  return give();
}

const Snapshot::Part* Snapshot::next_part() {
  MutexLock lock(mutex_);
  if (!failure_.ok() || next_part_ == parts_.size()) return nullptr;
  return &parts_[next_part_++];
}

// The first error counts; the other workers end at their next wait.
void Snapshot::fail(const Error& error) {
  {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return;
    failure_ = error;
  }
  stop_.wake();
}

}  // namespace pgweir::postgres
