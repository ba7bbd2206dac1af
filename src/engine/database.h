// The engine's DuckDB database: one file, opened so that only the engine writes and nothing that
// comes in as SQL can reach files, the network or settings.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "duck/duck.h"

namespace pgweir::engine {

// The catalog's name inside DuckDB; the default one of every connection that connect() gives.
inline constexpr const char* kCatalog = "pgweir_engine";
// One in memory beside it, whose tables every connection sees: for results on their way from one to
// another. A transaction writes into one of the two alone.
inline constexpr const char* kScratchCatalog = "memory";

struct DatabaseOptions {
  std::string directory;
  std::uint64_t memory_bytes = 0;
  int threads = 2;
  // Texts are kept as they are where a dictionary does not pay: what else would make them smaller
  // takes a sixth of the processor time of a first snapshot. Ranges that are rewritten later are
  // compressed in all ways.
  bool for_loading = false;
};

class EngineDatabase {
 public:
  // Creates the directory and the file when they are missing.
  static Result<std::unique_ptr<EngineDatabase>> open(const DatabaseOptions& options);
  // Checkpoints, so that the next open has nothing to replay. DuckDB itself would write into the
  // file when the last connection ends, be it long after another EngineDatabase was opened on it.
  ~EngineDatabase();

  // A connection on which names without a schema are views, or tables of the schema public, and
  // SQL means what it means in PostgreSQL (postgres_semantics.h). Any thread.
  Result<std::unique_ptr<duck::Connection>> connect();
  // One more, once, for the engine's own statements: DuckDB prepares no measures of them.
  Result<std::unique_ptr<duck::Connection>> take_first();

  // Size of DuckDB's own write-ahead log: what the next open would replay.
  std::uint64_t wal_bytes() const;
  // Size of the file, with what is free in it.
  std::uint64_t file_bytes() const;
  // kBroken once DuckDB has given the database up.
  Status check(duck::Connection& connection);
  // Moves the write-ahead log's content into the file. Not inside a transaction.
  Status checkpoint(duck::Connection& connection);

 private:
  explicit EngineDatabase(std::string path) : path_(std::move(path)) {}
  static Status get_ready(duck::Connection& connection);

  const std::string path_;
  std::unique_ptr<duck::Database> database_;
  std::unique_ptr<duck::Connection> first_;  // until it is taken
};

}  // namespace pgweir::engine
