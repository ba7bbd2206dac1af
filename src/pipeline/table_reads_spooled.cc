// A table without a key that is too large for memory: copied to the disk in one snapshot, and put
// into the log as a whole.
#include <utility>

#include "pipeline/table_reads_internal.h"

namespace pgweir::pipeline {
namespace {

constexpr std::size_t kBatchesAtOnce = 16;  // of the log, between two looks whether to stop
// The stream waits while they are taken: there are more when it has run ahead, then the reader
// takes them.
constexpr std::size_t kBatchesAtPlace = 8;

}  // namespace

// --- Reading thread ----------------------------------------------------------------------------

Status TableReads::read_spooled(Reading& reading, postgres::Connection& connection) {
  {
    MutexLock lock(mutex_);
    reading.spooled = true;
    reading.spooled_rows = 0;
  }
  Placement record;
  record.kind = Placement::Kind::kRecord;
  record.reading = &reading;
  TRY(await(record, connection));
  TRY(source_.publish(connection, reading.state.table));
  TRY(pass_barrier(reading, connection));
  TableSpools spools;
  {
    MutexLock lock(mutex_);
    if (!reading.spools_begun.ok()) return reading.spools_begun;
    const model::Position from = reading.spools.from;
    spools = std::move(reading.spools);
    reading.spools.from = from;  // for as long as the log is to keep what is behind it
    reading.state.files.clear();
  }
  TRY(note_files(reading, connection));
  const auto with_room = [&](const std::function<Status()>& step) -> Status {
    Status status = step();
    while (!status.ok() && status.error().code == Code::kNoSpace) {
      say(reading, "waits for room on the disk: " + status.error().text());
      if (!wait(options_.retry_interval)) return error(Code::kCancelled, "asked to stop");
      status = step();
      if (status.ok()) say(reading, "");
    }
    return status;
  };
  SpooledTable spooled(log_, clock_, reading.table, std::move(spools), with_room);
  model::Lsn seen_lsn{};
  TRY(copy_spooled(reading, connection, spooled, seen_lsn));
  return place_copy(reading, connection, spooled, seen_lsn);
}

Status TableReads::copy_spooled(Reading& reading, postgres::Connection& connection,
                                SpooledTable& spooled, model::Lsn& seen_lsn) {
  Status begun;
  std::uint64_t told = 0;
  postgres::ChunkRequest request{.table = *reading.table,
                                 .partitioned = reading.partitioned,
                                 .where = {},
                                 .bytes_max = 0,
                                 .files = {},
                                 .on_row = {},
                                 .on_snapshot = {}};
  {
    MutexLock lock(mutex_);
    request.files = reading.state.files;
  }
  request.on_snapshot = [&](const postgres::XidSnapshot& snapshot) {
    begun = spooled.begin(snapshot);
  };
  request.on_row = [&](std::string_view line) -> Status {
    if (!begun.ok()) return begun;
    TRY(spooled.add_row(line));
    if (spooled.row_count() == told) return {};
    MutexLock lock(mutex_);
    told = reading.spooled_rows = spooled.row_count();
    return stopping_ ? Status(error(Code::kCancelled, "asked to stop")) : Status();
  };
  TRY_ASSIGN(const postgres::TableChunk chunk, postgres::read_chunk(connection, request));
  if (chunk.moved) {
    return error(Code::kUnavailable, "its rows were moved before it was read", {},
                 "It is read again");
  }
  if (!begun.ok()) return begun;
  TRY(spooled.end_rows());
  seen_lsn = chunk.seen_lsn;
  MutexLock lock(mutex_);
  reading.spooled_rows = spooled.row_count();
  return {};
}

Status TableReads::place_copy(Reading& reading, postgres::Connection& connection,
                              SpooledTable& spooled, model::Lsn seen_lsn) {
  while (true) {
    for (bool all = false; !all;) {
      TRY_ASSIGN(all, spooled.follow(kBatchesAtOnce));
      MutexLock lock(mutex_);
      if (stopping_) return error(Code::kCancelled, "asked to stop");
    }
    Placement placement;
    placement.kind = Placement::Kind::kSpooled;
    placement.reading = &reading;
    placement.after = seen_lsn;
    placement.spooled = &spooled;
    TRY_ASSIGN(const Outcome outcome, await(placement, connection));
    if (outcome == Outcome::kBehind) continue;
    if (outcome == Outcome::kPlaced) {
      MutexLock lock(mutex_);
      reading.state.rows += std::exchange(reading.spooled_rows, 0);
      return {};
    }
    TRY(placement.failure);
    return outcome == Outcome::kReshaped ? reshaped() : recording_lost();
  }
}

// --- Writer ------------------------------------------------------------------------------------

Status TableReads::begin_spools(Reading& reading) {
  reading.spools = {};
  reading.spools.from = log_.durable_position();
  TRY_ASSIGN(reading.spools.rows, log_.begin_spool());
  TRY_ASSIGN(reading.spools.changes, log_.begin_spool());
  return {};
}

// Alone at its place, since its rows enter the log before the frames of others could.
bool TableReads::place_spooled(std::vector<log::Frame>& out) {
  for (Placement* placement : waiting_) {
    const bool is_due = placement->kind == Placement::Kind::kSpooled &&
                        placement->outcome == Outcome::kWaiting && placement->after <= boundary_ &&
                        at_.sequence == 0 &&
                        placement->spooled->fits(log_.durable_position(), boundary_);
    if (!is_due) continue;
    place_spooled(*placement, out);
    return placement->outcome == Outcome::kWaiting;
  }
  return false;
}

void TableReads::place_spooled(Placement& placement, std::vector<log::Frame>& out) {
  RecordedTable* recorded = recorder_ ? recorder_->find(placement.reading->state.table) : nullptr;
  placement.outcome = Outcome::kGivenUp;
  if (recorded == nullptr) return;
  if (recorded->reshaped) {
    placement.outcome = Outcome::kReshaped;
    return;
  }
  const auto all = placement.spooled->follow(kBatchesAtPlace);
  if (!all.ok()) placement.failure = all.error();
  if (!all.ok()) return;
  if (!*all) {
    placement.outcome = Outcome::kBehind;
    return;
  }
  const Status placed = placement.spooled->place(at_.epoch, boundary_);
  if (!placed.ok() && placed.error().code == Code::kNoSpace && !placement.spooled->is_in_log()) {
    placement.outcome = Outcome::kWaiting;  // until there is room
    return;
  }
  placement.failure = placed;
  if (!placed.ok()) return;
  add_note(log::FrameKind::kReadEnd, *placement.reading, out);
  placement.outcome = Outcome::kWaiting;
  placement.chunk.row_count = 0;
  placing_.push_back(&placement);
}

}  // namespace pgweir::pipeline
