// Rows of a Parquet sink's open range, typed and in columns, in a private DuckDB in memory that
// puts what does not fit aside on disk; one table a file to be.
//
// Place:   knows rows and types; nothing of positions on disk (parquet_folder_internal.h).
// Threads: one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "duck/duck.h"
#include "model/batch.h"
#include "sinks/parquet_events_internal.h"
#include "sinks/parquet_folder_internal.h"
#include "sinks/parquet_sink.h"

namespace pgweir::sinks {

// A batch without what the sink had already: its changes from `first_change` on.
struct BatchPart {
  model::BatchPtr batch;
  std::size_t first_change = 0;
};

class ParquetBuffer {
 public:
  static Result<std::unique_ptr<ParquetBuffer>> open(const ParquetOptions& options,
                                                     const std::string& spill_directory);
  ~ParquetBuffer();

  // Takes all rows of the parts, or none. kInvalid for a value that its column cannot hold;
  // kNoSpace when neither memory nor disk has room.
  Status ingest(const std::vector<BatchPart>& parts);

  std::uint64_t rows() const { return rows_; }
  std::size_t partition_count() const { return partitions_.size(); }
  // Of the largest file to be, by the ratio that files before it had.
  std::uint64_t largest_file_bytes() const;

  // Writes each partition as a Parquet file in `directory`; the rows stay. Errors as ingest().
  Result<std::vector<ParquetFolder::File>> stage(const std::string& directory,
                                                 const PositionRange& range);
  // The files of stage() with their sizes have been published: forgets the rows.
  Status clear(const std::vector<ParquetFolder::File>& files);

 private:
  struct Partition {
    std::shared_ptr<const model::Table> table;
    std::int64_t day = 0;
    std::unique_ptr<EventWriter> events;
    // DuckDB's tables: more than one where rows are so long that a few thousand of them, which
    // DuckDB reads at a time, would not fit into memory.
    std::vector<std::string> relations;
    std::size_t relations_committed = 0;
    std::unique_ptr<duck::Appender> appender;  // to the last one, while rows go in
    std::uint64_t vector_rows = 0;             // in its last vector, so far
    std::uint64_t vector_bytes = 0;
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;  // that PostgreSQL sent
    // Counted up while rows go in; part of the above once they are in.
    std::uint64_t rows_new = 0;
    std::uint64_t bytes_new = 0;
  };

  struct Lookup {
    bool known = false;
    Partition* partition = nullptr;  // of a table that is not wanted: none
  };

  explicit ParquetBuffer(const ParquetOptions& options) : options_(options) {}
  Status ingest_part(const BatchPart& part);
  Status ingest_transaction(const BatchPart& part, const model::Transaction& transaction);
  Status set_memory_limit();
  Status add_relation(Partition& partition);
  Result<Partition*> partition_of(const std::shared_ptr<const model::Table>& table,
                                  std::int64_t day);
  Status stage_partition(const Partition& partition, const PositionRange& range,
                         const std::string& path) const;
  void forget_new();
  Error failed(Error failure, const std::string& what) const;

  const ParquetOptions options_;
  std::unique_ptr<duck::Database> database_;
  std::unique_ptr<duck::Connection> connection_;
  std::vector<std::unique_ptr<Partition>> partitions_;
  std::size_t partitions_committed_ = 0;
  std::vector<Lookup> lookups_;  // by table index of the batch being taken, for rows of ...
  std::int64_t lookups_day_ = 0;
  std::uint64_t relations_made_ = 0;
  std::uint64_t rows_ = 0;
  double file_bytes_per_byte_ = 0.3;  // until measured
};

}  // namespace pgweir::sinks
