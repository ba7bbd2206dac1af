// A table without a key, of any size, on its way into the log: its rows as a snapshot saw them, in
// a file that becomes a segment of the log, and behind them what the log has told since and the
// snapshot did not see.
//
// Place:   table_reads.h makes one for a table that is too large to be read in memory.
//          docs/decisions/0005-reading-tables-beside-the-stream.md
// Life:    begin() with the snapshot, add_row() ..., end_rows(), follow() until it is at the log's
//          end, place(). What was not placed leaves nothing behind.
// Memory:  a frame of rows, one of changes, and a batch of the log.
// Threads: one at a time; place(), and the follow() in front of it, are the thread's that appends
//          to the log.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/clock.h"
#include "log/log.h"
#include "log/spool.h"
#include "pipeline/batch_reader.h"
#include "pipeline/difference_log.h"
#include "pipeline/with_room.h"
#include "postgres/xid_snapshot.h"

namespace pgweir::pipeline {

// Begun by the thread that appends to the log, at `from`: every change of the table that the
// snapshot will not see stands behind that.
struct TableSpools {
  model::Position from;
  std::unique_ptr<log::Spool> rows;
  std::unique_ptr<log::Spool> changes;
};

class SpooledTable {
 public:
  // References must outlive it. `with_room` is not asked by place().
  SpooledTable(log::Log& log, const io::Clock& clock, std::shared_ptr<const model::Table> table,
               TableSpools spools, WithRoom with_room);

  Status begin(const postgres::XidSnapshot& snapshot);
  // A line of COPY text, with its newline.
  Status add_row(std::string_view line);
  Status end_rows();
  std::uint64_t row_count() const { return row_count_; }

  // Takes what has become durable, but no more than so many batches; whether that was all.
  // kUnavailable: the table was truncated or changed its shape; it is to be read anew.
  Result<bool> follow(std::size_t batches_max);

  // Whether there is room for it in front of `boundary`, which all that the log has ends at.
  bool fits(const model::Position& last, model::Lsn boundary) const;
  // Puts it between two transactions: the reading's begin and its rows, then the changes as a
  // transaction; the reading's end is the caller's. kNoSpace: nothing has happened, or
  // is_in_log(): followers have the rows without the changes, and no end.
  Status place(std::uint32_t epoch, model::Lsn boundary);
  bool is_in_log() const { return is_in_log_; }

 private:
  Status flush();
  Status append(log::FrameKind kind, std::uint64_t records, std::string_view first,
                std::string_view second);
  Status take(const model::Batch& batch);
  Status take(const model::Batch& batch, const model::Change& change);
  Status tuple(std::span<const model::Cell> row, std::string& out) const;

  log::Log& log_;
  const io::Clock& clock_;
  const std::shared_ptr<const model::Table> table_;
  const model::Position from_;
  const std::unique_ptr<log::Spool> rows_;
  std::unique_ptr<log::Spool> changes_file_;
  const WithRoom with_room_;
  bool placing_ = false;
  bool is_in_log_ = false;

  postgres::XidSnapshot snapshot_;
  std::string lines_;
  std::uint64_t lines_count_ = 0;
  std::uint64_t row_count_ = 0;
  std::uint64_t sequence_ = 0;  // of the last record spooled

  std::unique_ptr<BatchReader> reader_;
  model::Xid xid_{};
  std::optional<DifferenceLog> changes_;
  std::string before_, after_;
};

}  // namespace pgweir::pipeline
