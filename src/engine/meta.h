// What the engine keeps about itself in the database: its position, and the tables it knows.
//
// Threads: the write connection for everything; read_position() on any connection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "duck/duck.h"
#include "engine/engine.h"

namespace pgweir::engine {

// How far a snapshot is: its rows come in until it is complete.
enum class Phase : std::uint8_t { kFresh = 0, kLoading = 1, kLive = 2 };

struct State {
  EnginePosition position;
  Phase phase = Phase::kFresh;
  // The position lies inside a transaction of which this much was committed: nobody may read.
  bool half_applied = false;
};

// A table as it was defined last.
struct StoredTable {
  model::Table table;
  std::vector<std::uint32_t> kept_columns;
  bool mirrored = false;
  std::string stopped;
  // Stopped until its rows have been read again.
  bool awaits_rows = false;
  // Another table has its name now: its rows go on, but nobody can read them.
  bool hidden = false;
  // Mirror::rows_id.
  std::string rows_id;
  // It is read beside the stream; with `counts_seen` the keys of the rows that came are kept, so
  // that those which did not can go at the end.
  bool reading = false;
  bool counts_seen = false;
  // Its rows are not kept.
  bool released = false;
};

class Meta {
 public:
  // Makes the tables when they are missing; kCorruption for those of another version.
  static Result<std::unique_ptr<Meta>> open(duck::Connection& connection);

  Result<State> read_state() const;
  Status write_state(const State& state);

  Result<std::vector<StoredTable>> read_tables() const;
  Status write_table(const StoredTable& table);
  Status forget_tables();

 private:
  explicit Meta(duck::Connection& connection) : connection_(connection) {}

  duck::Connection& connection_;
  std::unique_ptr<duck::Statement> clear_state_;
  std::unique_ptr<duck::Statement> write_state_;
};

// The state as a connection's transaction sees it.
Result<std::unique_ptr<duck::Statement>> prepare_read_state(duck::Connection& connection);
Result<State> read_state(duck::Statement& statement);

}  // namespace pgweir::engine
