// pipeline.json in the data folder: whose folder it is, and what was being made when we died.
//
// Threads: plain values; load and store: one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "io/fs.h"
#include "model/position.h"

namespace pgweir::pipeline {

// Raised when a newer pgweir writes what an older one would misread.
inline constexpr int kDataFormatVersion = 1;

struct PipelineState {
  std::string system_identifier;  // of the PostgreSQL cluster
  std::string database;
  std::string slot;
  std::string publication;
  // The slot is being created, and its snapshot is not in the log yet: after a crash now, the slot
  // is ours to drop, although the log knows nothing of it.
  bool creating_slot = false;
  // A resync has begun that is not in the log to its end: the next run makes it anew.
  bool resyncing = false;
  // The slot's WAL has changes that were made while a publication did not exist: only another slot
  // goes on.
  bool publication_missed = false;
  // The consistent point of the slot whose first snapshot is not complete; reads.json says which
  // parts of it are. Zero when there is none.
  model::Lsn snapshot_lsn{};
  std::uint32_t timeline = 0;  // of the server that was read last; 0: written by an older pgweir

  bool operator==(const PipelineState&) const = default;
};

// Nothing when the folder is new. kCheckFailed for a folder of a newer version, kCorruption for a
// file that cannot be read.
Result<std::optional<PipelineState>> load_state(io::Fs& fs, const std::string& data_directory);
Status store_state(io::Fs& fs, const std::string& data_directory, const PipelineState& state);

}  // namespace pgweir::pipeline
