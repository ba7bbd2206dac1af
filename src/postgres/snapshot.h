// The first reading of tables under an exported snapshot: COPY by several workers, large tables in
// ranges of pages.
//
// Place:   gives COPY text lines; pgoutput.h decodes them. Columns are those of the given tables.
// Life:    begin() imports the snapshot into every worker: from then on the slot's connection may
// be
//          closed. run() once. The destructor ends everything.
// Threads: run() calls the sink from its workers, several at a time. stop() and progress(): any
//          thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "io/waker.h"
#include "model/table.h"
#include "postgres/connection.h"

namespace pgweir::postgres {

struct SnapshotOptions {
  ConnectionOptions connection;  // `kind` and `cancel` are set by the snapshot
  std::string snapshot;          // what CREATE_REPLICATION_SLOT exported
  std::uint32_t parallel = 2;    // workers, each with a connection of its own
  // A table above this many pages of 8 kB is read in ranges of this size.
  std::uint32_t range_pages = 4 * 1024;
  std::size_t chunk_bytes = 256 * 1024;  // of rows given to the sink at once, and one row more
  // What is read of a range instead of the table's columns; `condition` is "" or SQL.
  std::function<std::string(const model::Table&, bool partitioned, const std::string& condition)>
      select;
};

// Rows of one table: whole COPY text lines, each ended by a newline.
struct SnapshotChunk {
  std::shared_ptr<const model::Table> table;
  std::string lines;
  std::uint32_t row_count = 0;
};

// A table, or a range of its pages: `pages_end` is behind the last, zero has no end.
struct SnapshotPart {
  std::shared_ptr<const model::Table> table;
  std::int64_t pages_begin = 0;
  std::int64_t pages_end = 0;
  std::string files;  // whose pages they are (table_files.h)
};

// All rows of the part have been given.
using SnapshotPartDone = std::function<Status(const SnapshotPart& part)>;

// The table does not lie where the snapshot saw it (VACUUM FULL, TRUNCATE, partitions that came or
// went). What was given of it is right; no other part of it is begun.
using SnapshotLeavesOut = std::function<Status(const model::Table& table)>;

// May wait: the worker, and so the server, waits with it. An error ends the snapshot with it.
using SnapshotSink = std::function<Status(SnapshotChunk chunk)>;

struct SnapshotProgress {
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::uint32_t parts_done = 0;  // tables and ranges
  std::uint32_t parts = 0;
};

class Snapshot {
 public:
  // kNotFound when the exported snapshot is gone, kUnavailable when a table is.
  static Result<std::unique_ptr<Snapshot>> begin(
      const SnapshotOptions& options, std::vector<std::shared_ptr<const model::Table>> tables);
  ~Snapshot();

  // Reads everything; returns when the last row has been given, or with the first error:
  // kCheckFailed for a table that we may not read in full (privilege, row-level security),
  // kUnavailable for one that changed its columns meanwhile, or lies elsewhere while `leaves_out`
  // is empty (start again with a new slot).
  Status run(const SnapshotSink& sink, const SnapshotPartDone& part_done = {},
             const SnapshotLeavesOut& leaves_out = {});
  // Makes run() return kCancelled soon.
  void stop();
  SnapshotProgress progress() const;

 private:
  struct Part {
    std::shared_ptr<const model::Table> table;
    bool partitioned = false;
    std::string sql;
    std::int64_t pages = 0;
    std::int64_t pages_begin = 0;
    std::int64_t pages_end = 0;
  };

  explicit Snapshot(const SnapshotOptions& options) : options_(options) {}
  Status add_worker();
  Status plan(std::vector<std::shared_ptr<const model::Table>> tables);
  void add_parts(std::shared_ptr<const model::Table> table, bool partitioned, std::int64_t pages);
  struct Calls {
    const SnapshotSink& sink;
    const SnapshotPartDone& part_done;
    const SnapshotLeavesOut& leaves_out;
  };
  void work(Connection& connection, const Calls& calls) EXCLUDES(mutex_);
  Status read(Connection& connection, const Part& part, const Calls& calls) EXCLUDES(mutex_);
  Status leave_out(const model::Table& table, const Calls& calls) EXCLUDES(mutex_);
  Status copy(Connection& connection, const Part& part, const SnapshotSink& sink);
  Status give(SnapshotChunk& chunk, const SnapshotSink& sink);
  const Part* next_part() EXCLUDES(mutex_);
  void fail(const Error& error) EXCLUDES(mutex_);

  const SnapshotOptions options_;
  io::Waker stop_;
  std::vector<Connection> workers_;
  std::vector<Part> parts_;
  std::atomic<std::uint64_t> rows_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint32_t> parts_done_{0};

  mutable Mutex mutex_;
  std::size_t next_part_ GUARDED_BY(mutex_) = 0;
  std::set<std::uint32_t> left_out_ GUARDED_BY(mutex_);
  Status failure_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::postgres
