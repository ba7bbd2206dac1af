// What TableReads' files share.
#pragma once

#include "pipeline/read_note.h"
#include "pipeline/table_reads.h"

namespace pgweir::pipeline {

// Why a table is read from its beginning.
Error reshaped();
Error recording_lost();

// A table in the queue. Guarded by TableReads::mutex_, but for what only the reading thread knows.
struct TableReads::Reading {
  TableReadState state;
  std::vector<TidRange> in_flight;      // taken out of state.todo
  std::uint64_t step = 0;               // rows' places in a chunk
  std::uint32_t empty_chunks = 0;       // in a row
  std::optional<std::uint64_t> blocks;  // of the table, when it was first looked at
  model::Lsn passed_lsn{};              // seen by chunks that held nothing
  std::uint64_t bytes = 0;
  std::int64_t estimated_rows = -1;
  std::int64_t began_us = 0;
  std::string message;
  // The log's changes before the one that carries this number are seen by every snapshot to come.
  std::uint64_t generation = 0;
  bool barrier_due = false;
  bool recording = false;  // a table without a key: its changes are recorded
  bool spooled = false;    // ... or found in the log behind spools.from, since it is large
  TableSpools spools;
  Status spools_begun;
  std::uint64_t spooled_rows = 0;
  bool moved = false;  // its rows lie elsewhere than those that were read: it begins again
  Status failure;      // of one of the threads that read ranges

  // The reading thread's, set before others begin.
  std::shared_ptr<const model::Table> table;
  std::vector<std::uint32_t> key;
  bool partitioned = false;
};

// What waits for its place in the log.
struct TableReads::Placement {
  // kRecord, kWhole and kSpooled: of a table without a key, of which no begin stands in the log
  // before.
  enum class Kind { kBegin, kRows, kEnd, kRecord, kWhole, kSpooled };
  Kind kind = Kind::kRows;
  Reading* reading = nullptr;
  model::Lsn after{};  // the WAL position that the log must have reached
  Outcome outcome = Outcome::kWaiting;

  // Of rows.
  postgres::TableChunk chunk;
  std::uint64_t snapshot = 0;  // of snapshots_
  std::uint64_t generation = 0;
  std::size_t bytes = 0;  // of the chunk as it was read
  std::optional<TidRange> range;
  std::vector<std::string> asked;    // listed keys that the chunk was to bring
  std::vector<std::string> brought;  // listed keys that need no more reading

  // Of kSpooled.
  SpooledTable* spooled = nullptr;
  Status failure;  // with kGivenUp
};

}  // namespace pgweir::pipeline
