#include "sinks/parquet_buffer_internal.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <utility>

namespace pgweir::sinks {
namespace {

constexpr std::int64_t kDayUs = 86'400'000'000;

// A row group ends at so many rows, or when it is so large that writing it would not fit: measured,
// the writer needs less than four times its size, beside a base.
constexpr std::uint64_t kRowGroupRows = 122'880;
constexpr std::uint64_t kWriterBaseBytes = 10 * kMiB;
constexpr std::uint64_t kWriterFactor = 4;
constexpr std::uint64_t kRowGroupBytesMin = kMiB;
// DuckDB reads and appends so many rows at a time ...
constexpr std::uint64_t kVectorRows = 2048;
// ... of which no more than this may be in memory.
constexpr std::uint64_t kVectorBytesMax = 4 * kMiB;
// DuckDB's own limit, as a part of the sink's: the rest is what DuckDB does not count (rows on
// their way into a table, the compressor's buffers).
constexpr std::uint64_t kDuckPercent = 50;
// What every table costs beside its rows, for each column: its first vector is never put aside.
constexpr std::uint64_t kColumnBytes = 32 * kKiB;

std::int64_t day_of(std::int64_t time_us) {
  return time_us / kDayUs - (time_us % kDayUs < 0 ? 1 : 0);
}

}  // namespace

ParquetBuffer::~ParquetBuffer() {
  for (auto& partition : partitions_) partition->appender.reset();
}

Result<std::unique_ptr<ParquetBuffer>> ParquetBuffer::open(const ParquetOptions& options,
                                                           const std::string& spill_directory) {
  std::unique_ptr<ParquetBuffer> buffer(new ParquetBuffer(options));
  TRY_ASSIGN(buffer->database_,
             duck::Database::open("", {{"threads", std::to_string(options.threads)},
                                       {"preserve_insertion_order", "false"},
                                       {"temp_directory", spill_directory}}));
  TRY_ASSIGN(buffer->connection_, buffer->database_->connect());
  TRY(buffer->set_memory_limit());
  return buffer;
}

Status ParquetBuffer::set_memory_limit() {
  std::uint64_t tables = 0;
  for (const auto& partition : partitions_)
    tables += partition->relations.size() * partition->events->column_count() * kColumnBytes;
  return connection_->execute(
      fmt::format("SET memory_limit = '{}B'", options_.memory_bytes * kDuckPercent / 100 + tables));
}

// --- Rows in
// ---------------------------------------------------------------------------------------

Status ParquetBuffer::ingest(const std::vector<BatchPart>& parts) {
  Status status = duck::in_transaction(*connection_, [&]() -> Status {
    Status ingested;
    for (const BatchPart& part : parts) {
      ingested = ingest_part(part);
      if (!ingested.ok()) break;
    }
    for (auto& partition : partitions_) {
      if (partition->appender && ingested.ok()) ingested = partition->appender->flush();
      partition->appender.reset();
    }
    return ingested;
  });
  if (!status.ok()) {
    forget_new();
    return failed(status.error(), "rows that wait for it");
  }
  partitions_committed_ = partitions_.size();
  for (auto& partition : partitions_) {
    partition->relations_committed = partition->relations.size();
    rows_ += partition->rows_new;
    partition->rows += std::exchange(partition->rows_new, 0);
    partition->bytes += std::exchange(partition->bytes_new, 0);
  }
  return {};
}

void ParquetBuffer::forget_new() {
  partitions_.resize(partitions_committed_);
  for (auto& partition : partitions_) {
    partition->relations.resize(partition->relations_committed);
    partition->rows_new = 0;
    partition->bytes_new = 0;
    // How full the last vector is, is not known any more.
    partition->vector_rows = 0;
    partition->vector_bytes = kVectorBytesMax;
  }
}

// DuckDB reports a full disk in several ways, depending on what it was writing.
Error ParquetBuffer::failed(Error failure, const std::string& what) const {
  const bool spilling = failure.message.find("max_temp_directory_size") != std::string::npos ||
                        failure.message.find("offload") != std::string::npos;
  if (failure.code == Code::kUnavailable && spilling) failure.code = Code::kNoSpace;
  if (failure.code != Code::kUnavailable) return failure;
  return error(Code::kInvalid,
               fmt::format("the Parquet sink {} cannot hold {} in its memory of {}", options_.name,
                           what, format_size(options_.memory_bytes)),
               failure.message, "Leave tables with very large values out of the sink");
}

Status ParquetBuffer::ingest_part(const BatchPart& part) {
  lookups_.assign(part.batch->tables.size(), {});
  for (const model::Transaction& transaction : part.batch->transactions) {
    if (transaction.first_change + transaction.change_count <= part.first_change) continue;
    TRY(ingest_transaction(part, transaction));
  }
  return {};
}

Status ParquetBuffer::ingest_transaction(const BatchPart& part,
                                         const model::Transaction& transaction) {
  const model::Batch& batch = *part.batch;
  EventHead head{transaction.commit_lsn, model::to_string(transaction.commit_lsn),
                 model::value(transaction.commit_time), static_cast<std::int64_t>(transaction.xid),
                 batch.to.epoch};
  const std::int64_t day =
      options_.partition_by_date ? day_of(model::value(transaction.commit_time)) : 0;
  if (day != lookups_day_) lookups_.assign(batch.tables.size(), {});
  lookups_day_ = day;
  const std::size_t end = transaction.first_change + transaction.change_count;
  for (std::size_t i = std::max<std::size_t>(transaction.first_change, part.first_change); i < end;
       ++i) {
    const model::Change& change = batch.changes[i];
    Lookup& lookup = lookups_[change.table];
    if (!lookup.known) {
      TRY_ASSIGN(lookup.partition, partition_of(batch.tables[change.table], day));
      lookup.known = true;
    }
    Partition* partition = lookup.partition;
    if (partition == nullptr) continue;
    if (partition->vector_rows == kVectorRows) partition->vector_rows = partition->vector_bytes = 0;
    if (partition->vector_bytes >= kVectorBytesMax) TRY(add_relation(*partition));
    TRY(partition->events->write(*partition->appender, head, batch, change));
    ++partition->vector_rows;
    partition->vector_bytes += change.bytes;
    ++partition->rows_new;
    partition->bytes_new += change.bytes;
  }
  return {};
}

// The partition with an open appender; nullptr for a table that is not wanted.
Result<ParquetBuffer::Partition*> ParquetBuffer::partition_of(
    const std::shared_ptr<const model::Table>& table, std::int64_t day) {
  Partition* found = nullptr;
  for (const auto& partition : partitions_) {
    if (partition->day != day) continue;
    if (partition->table == table || *partition->table == *table) {
      found = partition.get();
      break;
    }
  }
  if (found == nullptr) {
    if (!options_.wanted(*table)) return nullptr;
    auto made = std::make_unique<Partition>();
    made->table = table;
    made->day = day;
    made->events = std::make_unique<EventWriter>(table, options_);
    found = partitions_.emplace_back(std::move(made)).get();
    TRY(add_relation(*found));
  }
  if (!found->appender) {
    TRY_ASSIGN(found->appender, connection_->appender("", "main", found->relations.back()));
  }
  return found;
}

Status ParquetBuffer::add_relation(Partition& partition) {
  if (partition.appender) TRY(partition.appender->flush());
  const std::string& name =
      partition.relations.emplace_back(fmt::format("rows_{}", relations_made_++));
  TRY(connection_->execute(
      fmt::format("CREATE TABLE {} ({})", name, partition.events->definition())));
  TRY_ASSIGN(partition.appender, connection_->appender("", "main", name));
  partition.vector_rows = partition.vector_bytes = 0;
  return set_memory_limit();
}

// --- Files out
// -------------------------------------------------------------------------------------

std::uint64_t ParquetBuffer::largest_file_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& partition : partitions_) bytes = std::max(bytes, partition->bytes);
  return static_cast<std::uint64_t>(static_cast<double>(bytes) * file_bytes_per_byte_);
}

Result<std::vector<ParquetFolder::File>> ParquetBuffer::stage(const std::string& directory,
                                                              const PositionRange& range) {
  std::vector<ParquetFolder::File> files;
  std::map<std::string, std::uint32_t> parts;
  for (const auto& partition : partitions_) {
    if (partition->rows == 0) continue;
    ParquetFolder::File file;
    // Not "*.parquet": a reader that takes every such file below the folder must not see it.
    file.staged = fmt::format("{}.staged", files.size());
    file.rows = partition->rows;
    std::string folder = table_folder(*partition->table);
    if (options_.partition_by_date) folder += "/" + date_folder(partition->day);
    file.path = folder + "/" + file_name(range, parts[folder]++);
    TRY(stage_partition(*partition, range, directory + "/" + file.staged));
    files.push_back(std::move(file));
  }
  return files;
}

Status ParquetBuffer::stage_partition(const Partition& partition, const PositionRange& range,
                                      const std::string& path) const {
  const std::uint64_t duck_bytes = options_.memory_bytes * kDuckPercent / 100;
  const std::uint64_t group_bytes =
      std::max(kRowGroupBytesMin,
               (std::max(duck_bytes, kWriterBaseBytes) - kWriterBaseBytes) / kWriterFactor);
  std::string rows;
  for (const std::string& relation : partition.relations)
    rows += fmt::format("{}FROM {}", rows.empty() ? "" : " UNION ALL ", relation);
  const std::string copy = fmt::format(
      "COPY (SELECT {} FROM ({})) TO {} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {}, "
      "ROW_GROUP_SIZE_BYTES {}, USE_TMP_FILE false, KV_METADATA {{pgweir_table: {}, pgweir_from: "
      "{}, pgweir_to: {}}})",
      partition.events->selection(), rows, duck::quote_literal(path), kRowGroupRows, group_bytes,
      duck::quote_literal(partition.table->qualified_name()),
      duck::quote_literal(model::to_string(range.from)),
      duck::quote_literal(model::to_string(range.to)));
  auto written = connection_->query(copy);
  if (!written.ok()) return failed(written.error(), "rows of " + partition.table->qualified_name());
  if (written->rows_changed() == partition.rows) return {};
  return error(Code::kInternal,
               fmt::format("DuckDB wrote {} of {} rows of {}", written->rows_changed(),
                           partition.rows, partition.table->qualified_name()));
}

Status ParquetBuffer::clear(const std::vector<ParquetFolder::File>& files) {
  std::uint64_t bytes = 0, file_bytes = 0;
  for (const auto& partition : partitions_) {
    bytes += partition->bytes;
    for (const std::string& relation : partition->relations)
      TRY(connection_->execute("DROP TABLE " + relation));
  }
  for (const auto& file : files) file_bytes += file.bytes;
  // Small files are mostly headers: they tell nothing about large ones.
  if (bytes > kMiB)
    file_bytes_per_byte_ = static_cast<double>(file_bytes) / static_cast<double>(bytes);
  partitions_.clear();
  partitions_committed_ = 0;
  rows_ = 0;
  return set_memory_limit();
}

}  // namespace pgweir::sinks
