// Reads tables beside the stream, without stopping it: those that came later, those that are asked
// for again, and what a crash left of the first snapshot.
//
// Place:   capture owns it. Its threads read chunks of a table; capture's writer brings each up to
//          date with what the log has (chunk_merge.h) and puts it between two transactions, so that
//          its rows are exact at their place.
//          docs/decisions/0005-reading-tables-beside-the-stream.md
// Life:    open(), start() once the stream runs, stop().
// Threads: one for the tables in turn, and `parallel` - 1 more while one is read. Functions under
//          "writer" belong to capture's writer; the rest: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/logger.h"
#include "base/mutex.h"
#include "base/result.h"
#include "io/clock.h"
#include "io/fs.h"
#include "log/log.h"
#include "pipeline/change_recorder.h"
#include "pipeline/spooled_table.h"
#include "pipeline/table_read_state.h"
#include "postgres/connection.h"
#include "postgres/table_chunk.h"

namespace pgweir::pipeline {

struct TableReadRequest {
  model::Oid table{};
  std::string name;       // schema.table, for people
  bool replaces = false;  // what is known of the table is void; else its rows are compared
};

struct TableReadOptions {
  std::string data_directory;
  std::uint32_t parallel = 2;          // chunks read at the same time
  std::size_t chunk_bytes = 4 * kMiB;  // about the size of one; up to twice that is held for each
  std::uint32_t listed_keys = 1'000;   // read at once of those that are listed
  // A table without a key is read whole: in memory, or by a file on the disk.
  std::size_t whole_bytes_max = 64 * kMiB;
  RecorderOptions recorder;
  Milliseconds poll_interval{20};      // while transactions of others are waited for
  Milliseconds nudge_interval{1'000};  // how often the WAL is moved while a place is waited for
  Milliseconds retry_interval{1'000};  // after a failure
};

struct TableReadStatus {
  model::Oid table{};
  std::string name;
  bool begun = false;
  std::uint64_t rows = 0;  // in the log so far
  std::uint64_t bytes = 0;
  std::int64_t estimated_rows = -1;  // of the whole table, by the server's statistics
  double fraction = 0;               // of the table's pages that are read
  std::int64_t began_us = 0;         // in this run of the program
  std::string message;               // what it waits for, or why it failed and is tried again
};

class TableReads {
 public:
  // Of an ordinary connection, ended by stop().
  using Connect = std::function<Result<postgres::Connection>()>;
  // The table as the stream will send it, made part of the publications; nothing when it is gone.
  struct Described {
    model::Table table;
    bool partitioned = false;
  };
  using Describe =
      std::function<Result<std::optional<Described>>(postgres::Connection&, model::Oid)>;
  using Publish = std::function<Status(postgres::Connection&, model::Oid)>;
  // Writer. A schema record of the table, unless the log has it already.
  using Record = std::function<std::string(const model::Table&)>;
  struct Source {
    Connect connect;
    Describe describe;
    Publish publish;
    Record record;
  };

  TableReads(log::Log& log, io::Fs& fs, const io::Clock& clock, Logger& logger, Source source,
             TableReadOptions options);
  ~TableReads();

  // Takes up what an earlier run left.
  Status open();
  void start();
  // Ends everything; what is in the log stays, the rest is read at the next start.
  void stop();

  // Queues a reading. One of a table that waits already is the same one.
  void request(const TableReadRequest& request) EXCLUDES(mutex_);
  // The same for a follower at `at` that lacks the table's rows: one that has begun, or has ended
  // behind that place, is still to reach it.
  void request_missing(const TableReadRequest& request, const model::Position& at) EXCLUDES(mutex_);
  // Readings whose begins are in the log, up to `position`. Before start().
  Status adopt(std::vector<TableReadState> begun, const model::Position& position)
      EXCLUDES(store_mutex_, mutex_);
  // Those that wait or run.
  std::vector<TableReadStatus> status() const EXCLUDES(mutex_);
  // What the log must keep for us; nothing when it need not keep anything.
  std::optional<model::Position> log_position() const EXCLUDES(mutex_);

  // Writer. The WAL position that the log must have reached before place() has something to do.
  model::Lsn waits_for() const { return model::Lsn{waits_for_.load()}; }
  // Writer. Takes in what has become durable.
  void follow() EXCLUDES(mutex_);
  // Writer. Frames for the place behind `at` (FrameBuilder::before(boundary)); everything that the
  // log has is durable. When they are durable, too: placed().
  void place(model::Position at, model::Lsn boundary, std::vector<log::Frame>& out)
      EXCLUDES(mutex_);
  void placed() EXCLUDES(mutex_);

 private:
  struct Reading;
  struct Placement;
  enum class Outcome { kWaiting, kPlaced, kGivenUp, kReshaped, kMoved, kBehind };

  // One table after the other (table_reads.cc).
  void run();
  std::shared_ptr<Reading> next() EXCLUDES(mutex_);
  Status read(Reading& reading);
  Status describe(Reading& reading, postgres::Connection& connection);
  Status begin(Reading& reading, postgres::Connection& connection);
  Status read_whole(Reading& reading, postgres::Connection& connection);
  // A table without a key that is too large for that (table_reads_spooled.cc).
  Status read_spooled(Reading& reading, postgres::Connection& connection);
  Status copy_spooled(Reading& reading, postgres::Connection& connection, SpooledTable& spooled,
                      model::Lsn& seen_lsn) EXCLUDES(mutex_);
  Status place_copy(Reading& reading, postgres::Connection& connection, SpooledTable& spooled,
                    model::Lsn seen_lsn) EXCLUDES(mutex_);
  Status begin_spools(Reading& reading) REQUIRES(mutex_);
  bool place_spooled(std::vector<log::Frame>& out) REQUIRES(mutex_);
  void place_spooled(Placement& placement, std::vector<log::Frame>& out) REQUIRES(mutex_);
  Status pass_barrier(Reading& reading, postgres::Connection& connection);
  Status store() EXCLUDES(store_mutex_, mutex_);
  // The same after a chunk, but for a tenth of the time at the most: a long list of keys takes
  // longer to write than a chunk to read. A kill then costs the chunks since the last time, too.
  Status store_progress() EXCLUDES(store_mutex_, mutex_);
  Status store_locked() REQUIRES(store_mutex_) EXCLUDES(mutex_);
  void restart(Reading& reading) REQUIRES(mutex_);
  void say(Reading& reading, std::string message) EXCLUDES(mutex_);
  bool wait(Milliseconds time) EXCLUDES(mutex_);  // false when stop() was called meanwhile

  // Parts of a table (table_reads_chunks.cc).
  Status read_ranges(Reading& reading);
  void read_some_ranges(Reading& reading);
  Status read_range(Reading& reading, postgres::Connection& connection, const TidRange& range);
  void adapt_step(Reading& reading, const Placement& placement, std::uint64_t size)
      REQUIRES(mutex_);
  Status read_listed(Reading& reading, postgres::Connection& connection);
  Status read_part(Reading& reading, postgres::Connection& connection, Placement& placement,
                   std::string where, std::size_t bytes_max);
  bool pass_empty(Reading& reading, Placement& placement) EXCLUDES(mutex_);
  Status note_files(Reading& reading, postgres::Connection& connection);
  bool was_truncated(const Reading& reading) REQUIRES(mutex_);
  Status check_files(Reading& reading, postgres::Connection& connection) EXCLUDES(mutex_);
  Status look_at_size(Reading& reading, postgres::Connection& connection);
  std::optional<TidRange> take_range(Reading& reading) EXCLUDES(mutex_);
  void give_back(Reading& reading, const TidRange& range) EXCLUDES(mutex_);
  bool list_is_long(const Reading& reading) EXCLUDES(mutex_);

  // Between reader and writer (table_reads_places.cc).
  Result<Outcome> await(Placement& placement, postgres::Connection& connection) EXCLUDES(mutex_);
  void update_waits_for() REQUIRES(mutex_);
  void open_recorder() REQUIRES(mutex_);
  void catch_up() REQUIRES(mutex_);
  void forget_seen(const postgres::XidSnapshot& snapshot) REQUIRES(mutex_);
  void place_begin(Placement& placement, std::vector<log::Frame>& out) REQUIRES(mutex_);
  RecordedTable* recorded_for(Placement& placement) REQUIRES(mutex_);
  void place_rows(Placement& placement, std::vector<log::Frame>& out) REQUIRES(mutex_);
  void place_end(Placement& placement, std::vector<log::Frame>& out) REQUIRES(mutex_);
  void place_whole(Placement& placement, std::vector<log::Frame>& out) REQUIRES(mutex_);
  void add_note(log::FrameKind kind, const Reading& reading, std::vector<log::Frame>& out)
      REQUIRES(mutex_);
  void add_rows(const Reading& reading, std::string_view lines, std::vector<log::Frame>& out)
      REQUIRES(mutex_);
  static bool is_recorded(const Reading& reading);  // with mutex_ held
  log::Frame frame_of(log::FrameKind kind, model::Oid table, std::uint64_t records)
      REQUIRES(mutex_);

  log::Log& log_;
  io::Fs& fs_;
  const io::Clock& clock_;
  Logger& logger_;
  const Source source_;
  const TableReadOptions options_;
  std::thread thread_ GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> waits_for_;

  Mutex store_mutex_;  // one store() at a time; taken before mutex_
  std::chrono::microseconds progress_due_ GUARDED_BY(store_mutex_){0};

  mutable Mutex mutex_;
  Condition changed_;  // stop, a new request, an outcome
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::deque<std::shared_ptr<Reading>> readings_ GUARDED_BY(mutex_);
  std::list<Placement*> waiting_ GUARDED_BY(mutex_);
  std::vector<Placement*> placing_ GUARDED_BY(mutex_);
  // Chunks on their way, with their snapshots once they are known.
  std::map<std::uint64_t, std::optional<postgres::XidSnapshot>> snapshots_ GUARDED_BY(mutex_);
  std::uint64_t next_snapshot_ GUARDED_BY(mutex_) = 1;
  std::unique_ptr<ChangeRecorder> recorder_ GUARDED_BY(mutex_);
  model::Position recorded_ GUARDED_BY(mutex_);  // where the recorder goes on after a start
  std::map<std::uint32_t, model::Position> ended_ GUARDED_BY(mutex_);  // by OID, in this run
  // Of the frames being made.
  model::Position at_ GUARDED_BY(mutex_);
  model::Lsn boundary_ GUARDED_BY(mutex_){};
};

}  // namespace pgweir::pipeline
