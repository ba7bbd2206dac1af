// reads.json in the data folder: which tables are being read beside the stream, and how far.
//
// Threads: plain values; load and store: one thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/fs.h"
#include "model/position.h"
#include "model/table.h"

namespace pgweir::pipeline {

// Places of rows in a table, as PostgreSQL's ctid orders them: block * 2048 + offset. (The largest
// blocks there are, of 32 kB, have offsets up to 1200.)
inline constexpr std::uint64_t kTidsOfBlock = 2048;
inline constexpr std::uint64_t kTidEnd = ~std::uint64_t{0};
struct TidRange {
  std::uint64_t from = 0;
  std::uint64_t to = kTidEnd;  // behind its last
  bool operator==(const TidRange&) const = default;
};

struct TableReadState {
  model::Oid table{};
  std::string name;  // schema.table
  bool whole = false;
  bool replaces = false;
  bool begun = false;  // the log holds its begin
  bool closed = false;
  std::vector<TidRange> todo;  // what is not durable in the log yet
  // Where the table lay when the first of its ranges was read (postgres/table_files.h); "" before.
  std::string files;
  std::vector<std::string> listed;  // keys, as change_recorder.h has them
  std::uint64_t rows = 0;           // in the log so far
  bool operator==(const TableReadState&) const = default;
};

// Some of its ranges are read, and nobody knows of which files: as a program left it that did not
// look at them yet.
bool lacks_files(const TableReadState& read);

struct TableReadsState {
  // The lists hold what the log says up to here.
  model::Position position;
  std::vector<TableReadState> reads;
  bool operator==(const TableReadsState&) const = default;
};

// Empty without the file; kCorruption for one that cannot be read.
Result<TableReadsState> load_reads(io::Fs& fs, const std::string& data_directory);
Status store_reads(io::Fs& fs, const std::string& data_directory, const TableReadsState& state);

}  // namespace pgweir::pipeline
