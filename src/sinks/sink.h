// A sink: takes the changes out of pgweir, complete and in order, and knows how far it has got.
//
// Place:   fed by pipeline/ with model::Batch; knows neither the log nor PostgreSQL's protocol.
// Life:    made by a factory of its kind; bind_log(); then batches from position() on; flush() at a
//          clean stop. Destroyed without flush(), or killed, it starts again from position().
// Threads: everything that changes it: one thread. position() and stats(): any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "model/batch.h"
#include "model/position.h"

namespace pgweir::sinks {

struct SinkStats {
  std::uint64_t rows_buffered = 0;  // taken, but behind position()
  std::uint64_t rows_written = 0;   // in the output, since the sink was opened
  std::uint64_t bytes_written = 0;
  std::uint64_t files_written = 0;
};

class Sink {
 public:
  virtual ~Sink() = default;

  // The name in the configuration, and what it is: "parquet".
  virtual const std::string& name() const = 0;
  virtual const char* kind() const = 0;

  // Everything up to here is durable in the output, nothing behind it is, and both stay so through
  // a crash. {0,0,0} before anything was written.
  virtual model::Position position() const = 0;
  virtual SinkStats stats() const = 0;

  // Ties an empty output to a log, durably. kCorruption when the output holds positions of another
  // log. Required before the first apply().
  virtual Status bind_log(const std::string& log_identity) = 0;

  // Takes the next batch; it may keep it in memory or aside, behind position().
  // Requires batch->from == the `to` of the batch before, or position() for the first one.
  //
  // kNoSpace: the disk is full. Wait, then call again with the same batch (or tick(), or flush()):
  // nothing is lost and nothing is taken twice. After every other error the sink is of no more use:
  // destroy it; a new one goes on from position(). kInvalid names the table, column, key and LSN of
  // a value that the output cannot hold.
  virtual Status apply(const model::BatchPtr& batch) = 0;

  // A first snapshot begins behind the last batch: what was written before is void, and its rows
  // follow, up to end_snapshot(). A beginning without an end: that one was given up. Errors as
  // apply().
  virtual Status begin_snapshot() { return {}; }
  virtual Status end_snapshot() { return {}; }

  // Nothing changed behind the last batch up to `to`: only the position moves, in its time. Without
  // this, a sink at rest would hold back the log. Errors as apply().
  virtual Status advance(const model::Position& to) = 0;

  // Writes what time has made due. Errors as apply().
  virtual Status tick() = 0;
  // How long until tick() has something to do; nothing while nothing waits.
  virtual std::optional<Microseconds> due_in() const = 0;

  // Writes everything that was taken, and returns the position, now that of the last batch.
  // Errors as apply().
  virtual Result<model::Position> flush() = 0;
};

}  // namespace pgweir::sinks
