// A follower's view of the log: frames decoded into batches, and the events between them.
//
// Place:   one for each follower; it holds the follower's cursor and decoder. Frames at the log's
// tip
//          come from memory and are shared; docs/decisions/0002-decode-per-follower.md says why
//          each follower decodes them by itself.
// Threads: one thread at a time.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>

#include "base/result.h"
#include "base/spares.h"
#include "base/units.h"
#include "log/log.h"
#include "model/batch.h"
#include "model/copy_text.h"
#include "pipeline/read_note.h"
#include "postgres/pgoutput.h"

namespace pgweir::pipeline {

struct BatchReaderOptions {
  std::size_t batch_rows_max = 50'000;  // a batch is given out once it has this many changes ...
  std::size_t batch_bytes_max = 32 * kMiB;  // ... or this many bytes of messages, also inside a
                                            // transaction; exceeded by at most one frame
  // A batch waits for more until so long after the last one was worked off: what comes after a
  // pause does not wait.
  Microseconds batch_wait{0};
  // Rows of a first snapshot come as kRows, in the blocks that the log has, of up to
  // batch_bytes_max together; not decoded into batches.
  bool packs_snapshot_rows = false;
};

// What the log holds next. Exactly one kind at a time, in the log's order.
struct LogEvent {
  enum class Kind {
    kNothing,        // nothing new within the timeout
    kBatch,          // `batch`
    kRows,           // `rows`, of a first snapshot (BatchReaderOptions::packs_snapshot_rows)
    kTable,          // `table`: what a table looks like from here on
    kSnapshotBegin,  // everything stored before is void; `position` is in front of the first row
    kSnapshotEnd,  // the snapshot is complete at `position`, `end_lsn`; `batch` holds only its end
    kMark,         // nothing changed up to `position`, `end_lsn`
    kReadBegin,    // `table` is read beside the stream from here on, as `read` says; its rows come
                   // in batches, as inserts and updates of its key do
    kReadEnd,      // all rows of `table` have come
  };
  Kind kind = Kind::kNothing;
  model::BatchPtr batch;
  model::RowBlocksPtr rows;
  std::shared_ptr<const model::Table> table;
  model::Position position;
  model::Lsn end_lsn{};
  ReadNote read;
};

class BatchReader {
 public:
  // Everything after `after`. kNotFound: it has been pruned, the follower is lost. kCorruption: the
  // log ends before `after`.
  static Result<std::unique_ptr<BatchReader>> open(log::Log& log, const model::Position& after,
                                                   const BatchReaderOptions& options);

  // The same out of any cursor that begins there.
  static std::unique_ptr<BatchReader> over(std::unique_ptr<log::Log::Cursor> cursor,
                                           const model::Position& after,
                                           const BatchReaderOptions& options);

  // Waits up to `timeout` for the next event. Errors of the log as Log::Cursor::next() gives them;
  // kCorruption and kUnsupported for messages that cannot be decoded. After an error: open anew.
  Result<LogEvent> next(Microseconds timeout);

 private:
  using Clock = std::chrono::steady_clock;

  BatchReader(std::unique_ptr<log::Log::Cursor> cursor, const model::Position& after,
              const BatchReaderOptions& options);
  Status take_frame(const log::FramePtr& frame);
  Status take_transaction(const log::Frame& frame);
  Status take_streamed(const log::FramePtr& frame);
  Status take_streamed_relation(std::string_view record);
  Status take_changes(const log::FramePtr& frame);
  Status take_snapshot_rows(const log::FramePtr& frame);
  Status pack_snapshot_rows(const log::FramePtr& frame);
  Status take_read_rows(const log::FramePtr& frame);
  Status take_read_note(const log::Frame& frame);
  Status take_schema(const log::Frame& frame);
  void close_batch();
  model::BatchPtr take_batch();
  bool batch_empty() const { return decoder_.batch_empty() && packed_ == nullptr; }
  bool batch_full() const;

  const std::unique_ptr<log::Log::Cursor> cursor_;
  const BatchReaderOptions options_;
  const model::Position after_;
  postgres::PgoutputDecoder decoder_;
  std::uint32_t epoch_;
  bool in_snapshot_ = false;
  std::shared_ptr<model::RowBlocks> packed_;  // rows that were not decoded, or none
  std::size_t packed_bytes_ = 0;
  // Of the streamed transaction that is open: by Relation message, the table with its facts.
  std::map<std::string, model::Table> streamed_tables_;
  // Batches that were given end here, on whichever thread.
  const std::shared_ptr<Spares<model::Batch>> spares_;
  std::deque<LogEvent> ready_;
  bool gave_batch_ = false;  // by the last call
  Clock::time_point rests_until_{};
};

}  // namespace pgweir::pipeline
