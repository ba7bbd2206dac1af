// A slot made anew: what the source has at its consistent point is compared with the mirrors, and
// the log is given what differs, as one transaction of ordinary changes.
//
// Place:   capture makes one where it makes a new slot for a log that has something already.
//          docs/decisions/0006-a-resync-compares-before-the-log.md
// Life:    await_mirrors(), then the slot is made, compare(), commit(). Nothing is in the log
//          before commit(), and all of it afterwards.
// Threads: one; comparing a table uses some more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/logger.h"
#include "base/result.h"
#include "base/units.h"
#include "engine/engine.h"
#include "io/clock.h"
#include "io/fs.h"
#include "log/log.h"
#include "pipeline/difference_log.h"
#include "pipeline/follower.h"
#include "pipeline/table_difference.h"
#include "pipeline/with_room.h"
#include "postgres/connection.h"
#include "postgres/setup.h"

namespace pgweir::pipeline {

// What there is to compare with.
struct ResyncMirrors {
  engine::Engine* engine = nullptr;          // null: no mirrors
  std::function<FollowerStatus()> follower;  // the engine's
  engine::TypeOptions types;                 // the engine's
  Milliseconds stall_max{60'000};            // an engine that stands still for so long is given up
  Milliseconds look_interval{20};            // at how far it is
  Milliseconds reader_wait{30'000};          // for a free reader of the mirrors
  DifferenceLimits limits;
  std::size_t frame_bytes_max = kMiB;  // of the differences in memory; more go into a file
};

class Resync {
 public:
  struct Hooks {
    std::function<bool(Milliseconds)> wait;       // false when everything is to stop
    std::function<void(const std::string&)> say;  // what it does now, for people
    WithRoom with_room;
    std::function<bool()> stopping;
  };
  using Tables = std::vector<std::shared_ptr<const model::Table>>;

  // `directory`: for scratch files, emptied at the begin. References must outlive it.
  Resync(log::Log& log, io::Fs& fs, const io::Clock& clock, Logger& logger, ResyncMirrors mirrors,
         std::string directory, Hooks hooks);

  // Waits until the mirrors have everything that the log has; where they never will, the tables
  // will have to be read. kCancelled.
  Status await_mirrors();

  struct Compared {
    // With facts by which followers take them for the tables that they knew: whatever was done
    // while they were out of the publication, or away, has been compared.
    Tables tables;
    Tables to_read;  // could not be compared
  };

  // `snapshot`: how the slot's exported snapshot is read. kUnavailable when a table changed
  // meanwhile: with a new slot it can be tried again.
  Result<Compared> compare(const postgres::SnapshotOptions& snapshot, const Tables& tables);

  // What differs enters the log as a transaction of `epoch` in front of the slot's beginning.
  // Gives the position of its last record.
  Result<model::Position> commit(std::uint32_t epoch, const postgres::CreatedSlot& slot);

 private:
  Status open(const postgres::SnapshotOptions& snapshot);
  Status open_reader();
  Status begin_transaction(const postgres::SnapshotOptions& snapshot);
  // Why a table cannot be compared; empty when it can.
  std::string obstacle(const model::Table& table, const engine::Mirror* mirror) const;
  // Gives the table with such facts; null when it is to be read, and the log of the program says
  // why.
  Result<std::shared_ptr<const model::Table>> compare_table(
      const std::shared_ptr<const model::Table>& table, const postgres::SnapshotOptions& snapshot);
  void clear_directory();

  log::Log& log_;
  io::Fs& fs_;
  const io::Clock& clock_;
  Logger& logger_;
  const ResyncMirrors mirrors_;
  const std::string directory_;
  const Hooks hooks_;
  std::string none_;  // why no table can be compared
  std::optional<postgres::Connection> source_;
  std::unique_ptr<engine::Reader> reader_;
  std::unique_ptr<DifferenceLog> differences_;
  model::Xid xid_{};
};

}  // namespace pgweir::pipeline
