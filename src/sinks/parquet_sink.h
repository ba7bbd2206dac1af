// Change events as Parquet files in a local folder: table=<schema.table>/date=<commit
// date>/<range>.
//
// Place:   writes through a private DuckDB in memory. docs/parquet.md is what a reader of the files
//          must know; docs/formats/parquet_folder.md is how the folder stays right through crashes.
// Life:    open() finishes what a crash interrupted and locks the folder; see Sink for the rest.
// Threads: as Sink.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "io/clock.h"
#include "io/fs.h"
#include "model/table.h"
#include "sinks/sink.h"

namespace pgweir::sinks {

struct ParquetOptions {
  std::string name;       // of the sink
  std::string directory;  // made when missing
  // Which captured tables go in.
  std::function<bool(const model::Table&)> wanted = [](const model::Table&) { return true; };
  bool partition_by_date = true;  // by table always

  // Files are closed, and the position advances, when either is reached. Longer and larger: fewer
  // files, later visible, more to do again after a crash.
  Milliseconds roll_every{60'000};
  std::uint64_t roll_bytes = 128 * kMiB;  // of one file, by estimate; a large transaction may split
  std::uint32_t open_files_max = 256;     // partitions being written at a time

  // For rows that wait; what is more waits in the folder. Beside it, 32 KiB for each column of each
  // file that is being written.
  std::uint64_t memory_bytes = 48 * kMiB;
  int threads = 1;  // that write Parquet

  // How numeric without a precision is kept: DECIMAL(precision, scale).
  int numeric_precision = 38;
  int numeric_scale = 9;
};

class ParquetSink {
 public:
  // kCheckFailed: the folder is in use by another process. kCorruption: it holds files that its
  // position knows nothing of, or an unfinished range that can no longer be finished.
  // `fs` and `clock` must outlive the sink.
  static Result<std::unique_ptr<Sink>> open(io::Fs& fs, const io::Clock& clock,
                                            ParquetOptions options);
};

}  // namespace pgweir::sinks
