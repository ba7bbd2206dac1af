// A transaction of our own making: row changes that enter the log as PostgreSQL's do.
//
// Place:   a resync writes what differs with it. Followers see an ordinary transaction.
// Atomic:  it is in the log whole or not at all, whatever its size: a small one is one frame, a
//          large one a spool that becomes a segment at the commit.
// Memory:  one frame.
// Threads: one at a time; commit() is the thread's that appends to the log.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "io/clock.h"
#include "log/log.h"
#include "log/spool.h"
#include "model/batch.h"
#include "model/table.h"
#include "pipeline/with_room.h"
#include "postgres/streamed.h"

namespace pgweir::pipeline {

struct DifferenceCounts {
  std::uint64_t inserted = 0;
  std::uint64_t updated = 0;
  std::uint64_t deleted = 0;

  std::uint64_t all() const { return inserted + updated + deleted; }
};

class DifferenceLog {
 public:
  // `xid`: of the transaction, one that every snapshot to come sees. `log` and `clock` must outlive
  // it.
  DifferenceLog(log::Log& log, const io::Clock& clock, WithRoom with_room, model::Xid xid,
                std::size_t frame_bytes_max = kMiB);

  // A file for the records that do not fit into a frame: else the log is asked for one, by the
  // thread that appends to it.
  void spill_into(std::unique_ptr<log::Spool> spool) { spare_ = std::move(spool); }

  // Rows are TupleData as pgoutput has it, of all columns (copy_tuple(), append_cell()).
  Status insert(model::Oid table, std::string_view row);
  Status update(model::Oid table, std::string_view before, std::string_view after);
  Status remove(model::Oid table, std::string_view before);
  const DifferenceCounts& counts() const { return counts_; }

  // Puts it at `commit` into the log, not yet synced if it is small; gives the position of its
  // last record. Without a change the log has nothing of it, and the position is {..., 0}.
  // kUnavailable: the log's schemas have grown meanwhile; begin anew.
  Result<model::Position> commit(std::uint32_t epoch, const postgres::StreamCommit& commit);

 private:
  std::string& begin_record(char kind, model::Oid table);
  Status end_record();
  Status spill();
  Result<model::Position> append(std::uint32_t epoch, const postgres::StreamCommit& commit);
  Result<model::Position> adopt(std::uint32_t epoch, const postgres::StreamCommit& commit);

  log::Log& log_;
  const io::Clock& clock_;
  const WithRoom with_room_;
  const model::Xid xid_;
  const std::size_t frame_bytes_max_;
  DifferenceCounts counts_;
  std::string record_;
  std::string buffer_;  // records that are not in the spool
  std::uint32_t buffer_records_ = 0;
  std::uint64_t spooled_ = 0;
  std::unique_ptr<log::Spool> spool_;
  std::unique_ptr<log::Spool> spare_;
};

// TupleData out of a line of COPY text, without its first `skipped` fields.
void copy_tuple(std::string_view line, std::size_t skipped, std::string& out);
// One value of TupleData; nothing is NULL. `out` begins with the number of columns, 16 bits.
void append_cell(std::string& out, const std::string_view* text);

}  // namespace pgweir::pipeline
