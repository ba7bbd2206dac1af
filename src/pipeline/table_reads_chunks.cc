// A table in parts: ranges of pages by several threads, then the rows that were listed.
#include <fmt/core.h>

#include <algorithm>

#include "pipeline/table_reads_internal.h"
#include "postgres/table_files.h"

namespace pgweir::pipeline {
namespace {

constexpr std::uint64_t kPageBytes = 8192;
constexpr std::uint64_t kStepsMax = 64;  // a chunk's range grows to so many times its first size

std::string tid_text(std::uint64_t tid) {
  return fmt::format("'({},{})'::tid", tid / kTidsOfBlock, tid % kTidsOfBlock);
}

std::string where_of(const TidRange& range) {
  std::string out;
  if (range.from > 0) out = "ctid >= " + tid_text(range.from);
  out += (out.empty() ? "" : " AND ") + ("ctid < " + tid_text(range.to));
  return out;
}

// A field of COPY text as it was.
std::string unescaped(std::string_view field) {
  std::string out;
  for (std::size_t i = 0; i < field.size(); ++i) {
    char c = field[i];
    if (c == '\\' && i + 1 < field.size()) {
      constexpr std::string_view kLetters = "bfnrtv", kBytes = "\b\f\n\r\t\v";
      c = field[++i];
      const std::size_t at = kLetters.find(c);
      if (at != std::string_view::npos) c = kBytes[at];
    }
    out += c;
  }
  return out;
}

std::string where_of(const model::Table& table, std::span<const std::uint32_t> key,
                     std::span<const std::string> keys) {
  std::string columns, rows;
  for (const std::uint32_t column : key)
    columns +=
        (columns.empty() ? "" : ", ") + postgres::quote_identifier(table.columns[column].name);
  for (const std::string& each : keys) {
    std::string values;
    std::string_view rest = each;
    for (std::size_t i = 0; i < key.size(); ++i) {
      const std::size_t tab = std::min(rest.find('\t'), rest.size());
      values += (i == 0 ? "" : ", ") + postgres::quote_literal(unescaped(rest.substr(0, tab)));
      rest.remove_prefix(std::min(tab + 1, rest.size()));
    }
    rows += (rows.empty() ? "(" : ", (") + values + ")";
  }
  return fmt::format("({}) IN ({})", columns, rows);
}

Error moved() {
  return error(Code::kUnavailable, "its rows were moved while it was read",
               "by VACUUM FULL, CLUSTER, an ALTER TABLE that wrote it anew, or a partition that "
               "came or went",
               "It is read from its beginning");
}

}  // namespace

Error reshaped() {
  return error(Code::kUnavailable, "the table changed its shape while it was read", {},
               "It is read from its beginning");
}

Error recording_lost() {
  return error(Code::kUnavailable, "what the log told of the table while it was read is lost", {},
               "It is read from its beginning");
}

bool TableReads::was_truncated(const Reading& reading) {
  RecordedTable* recorded = recorder_ ? recorder_->find(reading.state.table) : nullptr;
  return recorded != nullptr && recorded->truncated;
}

// What the reading's ranges are ranges of.
Status TableReads::note_files(Reading& reading, postgres::Connection& connection) {
  TRY_ASSIGN(auto files,
             postgres::table_files(connection, reading.state.table, reading.partitioned));
  MutexLock lock(mutex_);
  if (reading.state.files.empty()) reading.state.files = std::move(files.now);
  return {};
}

Status TableReads::check_files(Reading& reading, postgres::Connection& connection) {
  Placement placement;
  placement.reading = &reading;
  TRY_ASSIGN(const auto files,
             postgres::table_files(connection, reading.state.table, reading.partitioned));
  {
    MutexLock lock(mutex_);
    const bool same = reading.state.files.empty() || reading.state.files == files.now;
    if (same || was_truncated(reading)) return {};
    placement.snapshot = next_snapshot_++;
    placement.generation = reading.generation;
  }
  placement.chunk.moved = true;
  TRY_ASSIGN(placement.after, postgres::insert_lsn(connection));
  TRY_ASSIGN(const Outcome outcome, await(placement, connection));
  if (outcome == Outcome::kMoved) return moved();
  if (outcome == Outcome::kReshaped) return reshaped();
  MutexLock lock(mutex_);
  if (!was_truncated(reading)) reading.barrier_due = true;
  return {};
}

Status TableReads::look_at_size(Reading& reading, postgres::Connection& connection) {
  TRY_ASSIGN(
      const postgres::QueryResult row,
      connection.query(
          "SELECT CASE WHEN c.relkind = 'p' THEN (SELECT max(pg_relation_size(t.relid))"
          "  FROM pg_partition_tree(c.oid) t WHERE t.isleaf) ELSE pg_relation_size(c.oid) END"
          "  / current_setting('block_size')::int8,"
          " CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(l.reltuples, 0))::int8"
          "  FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid WHERE t.isleaf)"
          " ELSE c.reltuples::int8 END FROM pg_class c WHERE c.oid = $1",
          {std::to_string(model::value(reading.state.table))}));
  if (row.row_count() == 0)
    return error(Code::kUnavailable, fmt::format("table {} is gone", reading.state.name));
  // The size is that of the files that the ranges mean: behind it there is nothing to read.
  TRY(check_files(reading, connection));
  MutexLock lock(mutex_);
  // Rows behind the end that the first look found came later: the stream has them. So a reading
  // does not run after the end of a table that grows.
  const auto blocks = static_cast<std::uint64_t>(row.integer(0, 0));
  reading.blocks = std::min(reading.blocks.value_or(blocks), blocks);
  reading.estimated_rows = row.integer(0, 1);
  return {};
}

Status TableReads::read_ranges(Reading& reading) {
  {
    MutexLock lock(mutex_);
    reading.failure = {};
    if (reading.step == 0)
      reading.step = std::max<std::uint64_t>(options_.chunk_bytes / kPageBytes, 1) * kTidsOfBlock;
  }
  std::vector<std::thread> others;
  for (std::uint32_t i = 1; i < options_.parallel; ++i)
    others.emplace_back([this, &reading] { read_some_ranges(reading); });
  read_some_ranges(reading);
  for (std::thread& other : others) other.join();
  MutexLock lock(mutex_);
  return reading.failure;
}

void TableReads::read_some_ranges(Reading& reading) {
  std::optional<postgres::Connection> connection;
  while (true) {
    Status status;
    if (!connection || !connection->is_open()) {
      auto opened = source_.connect();
      if (opened.ok()) {
        connection.emplace(std::move(opened).value());
        status = look_at_size(reading, *connection);
      } else {
        status = opened.error();
      }
    }
    if (status.ok() && list_is_long(reading)) status = read_listed(reading, *connection);
    std::optional<TidRange> range;
    if (status.ok()) {
      range = take_range(reading);
      if (!range) return;
    }
    if (status.ok()) status = read_range(reading, *connection, *range);
    if (range) give_back(reading, *range);
    if (status.ok()) continue;
    MutexLock lock(mutex_);
    if (reading.failure.ok()) reading.failure = status;
    return;
  }
}

std::optional<TidRange> TableReads::take_range(Reading& reading) {
  MutexLock lock(mutex_);
  auto& todo = reading.state.todo;
  // Whatever the table has now came behind the truncate: the stream has it.
  if (was_truncated(reading)) todo.clear();
  if (stopping_ || !reading.failure.ok() || reading.barrier_due || todo.empty())
    return std::nullopt;
  // Rows that came into pages behind these came after the barrier: the stream has them.
  const std::uint64_t size = reading.blocks.value_or(0) * kTidsOfBlock;
  while (!todo.empty() && todo.front().from >= size) todo.erase(todo.begin());
  if (todo.empty()) return std::nullopt;
  TidRange range = todo.front();
  const std::uint64_t end = std::min(range.to, size);
  // Where rows are large a range is a part of a page, the end of which holds none.
  const std::uint64_t step = reading.step << std::min<std::uint32_t>(reading.empty_chunks, 11);
  if (step < end - range.from) {
    todo.front().from = range.to = range.from + step;
  } else {
    range.to = end;
    todo.erase(todo.begin());
  }
  reading.in_flight.push_back(range);
  return range;
}

// What has not entered the log is to be read again.
void TableReads::give_back(Reading& reading, const TidRange& range) {
  MutexLock lock(mutex_);
  if (std::erase(reading.in_flight, range) == 0) return;
  auto& todo = reading.state.todo;
  const auto behind = std::find_if(todo.begin(), todo.end(),
                                   [&](const TidRange& other) { return other.from > range.from; });
  todo.insert(behind, range);
}

bool TableReads::list_is_long(const Reading& reading) {
  MutexLock lock(mutex_);
  RecordedTable* recorded = recorder_ ? recorder_->find(reading.state.table) : nullptr;
  return recorded != nullptr && recorded->listed.size() > options_.recorder.listed_keys_max / 2;
}

Status TableReads::read_range(Reading& reading, postgres::Connection& connection,
                              const TidRange& range) {
  Placement placement;
  placement.range = range;
  const std::uint64_t size = range.to - range.from;
  // A single row is let in, whatever its size.
  const std::size_t bytes_max = size == 1 ? ~std::size_t{0} : 2 * options_.chunk_bytes;
  TRY(read_part(reading, connection, placement, where_of(range), bytes_max));
  MutexLock lock(mutex_);
  adapt_step(reading, placement, size);
  return {};
}

// Chunks become as large as they may be. `size`: of the range that was read.
void TableReads::adapt_step(Reading& reading, const Placement& placement, std::uint64_t size) {
  const postgres::TableChunk& chunk = placement.chunk;
  const std::uint64_t was = std::min(reading.step, size);
  if (chunk.cut) {
    reading.step = std::max<std::uint64_t>(was / 2, 1);
    if (was <= kTidsOfBlock)
      reading.step = std::max<std::uint64_t>(std::min<std::uint64_t>(was, chunk.row_count) / 2, 1);
    reading.empty_chunks = 0;
    return;
  }
  if (placement.outcome == Outcome::kGivenUp) {
    reading.step = std::max(was / 2, kTidsOfBlock);
    reading.barrier_due = true;
    return;
  }
  reading.empty_chunks = placement.bytes == 0 ? reading.empty_chunks + 1 : 0;
  const std::uint64_t most =
      std::max<std::uint64_t>(options_.chunk_bytes / kPageBytes, 1) * kTidsOfBlock * kStepsMax;
  const bool small = placement.bytes > 0 && placement.bytes < options_.chunk_bytes / 2;
  if (small && size == reading.step && reading.step < most) reading.step *= 2;
}

Status TableReads::read_listed(Reading& reading, postgres::Connection& connection) {
  while (true) {
    Placement placement;
    {
      MutexLock lock(mutex_);
      RecordedTable* recorded = recorder_ ? recorder_->find(reading.state.table) : nullptr;
      if (recorded == nullptr || recorded->listed.empty() || reading.barrier_due) return {};
      for (const std::string& key : recorded->listed) {
        if (placement.asked.size() == options_.listed_keys) break;
        placement.asked.push_back(key);
      }
    }
    const std::string where = where_of(*reading.table, reading.key, placement.asked);
    TRY(read_part(reading, connection, placement, where, ~std::size_t{0}));
    MutexLock lock(mutex_);
    if (placement.outcome == Outcome::kGivenUp) reading.barrier_due = true;
  }
}

// A range that holds nothing has no place to wait for: ends of pages, and tables that most rows
// were deleted from, have many. What the stream is still to tell of rows that moved out of it (they
// may have to be listed) is waited for by the chunks behind it, and by the end.
bool TableReads::pass_empty(Reading& reading, Placement& placement) {
  if (!placement.range || !placement.chunk.lines.empty() || placement.chunk.moved) return false;
  MutexLock lock(mutex_);
  snapshots_.erase(placement.snapshot);
  std::erase(reading.in_flight, *placement.range);
  reading.passed_lsn = std::max(reading.passed_lsn, placement.after);
  placement.outcome = Outcome::kPlaced;
  return true;
}

// Reads rows, and waits until they are in the log, or given up.
Status TableReads::read_part(Reading& reading, postgres::Connection& connection,
                             Placement& placement, std::string where, std::size_t bytes_max) {
  placement.reading = &reading;
  std::string files;
  {
    MutexLock lock(mutex_);
    placement.snapshot = next_snapshot_++;
    snapshots_[placement.snapshot];
    placement.generation = reading.generation;
    files = reading.state.files;
  }
  postgres::ChunkRequest request{.table = *reading.table,
                                 .partitioned = reading.partitioned,
                                 .where = std::move(where),
                                 .bytes_max = bytes_max,
                                 .files = std::move(files),
                                 .on_snapshot = {}};
  request.on_snapshot = [&](const postgres::XidSnapshot& snapshot) {
    MutexLock lock(mutex_);
    snapshots_[placement.snapshot] = snapshot;
    forget_seen(snapshot);
  };
  auto chunk = postgres::read_chunk(connection, request);
  if (!chunk.ok()) {
    MutexLock lock(mutex_);
    snapshots_.erase(placement.snapshot);
    return chunk.error();
  }
  placement.chunk = std::move(chunk).value();
  if (placement.chunk.cut) {
    MutexLock lock(mutex_);
    snapshots_.erase(placement.snapshot);
    return {};
  }
  placement.bytes = placement.chunk.lines.size();
  placement.after = placement.chunk.seen_lsn;
  if (pass_empty(reading, placement)) return store_progress();
  {
    MutexLock lock(mutex_);
    placement.after = std::max(placement.after, reading.passed_lsn);
  }
  TRY_ASSIGN(const Outcome outcome, await(placement, connection));
  if (outcome == Outcome::kReshaped) return reshaped();
  if (outcome == Outcome::kMoved) return moved();
  return outcome == Outcome::kPlaced ? store_progress() : Status();
}

}  // namespace pgweir::pipeline
