// Between the threads that read and the one that writes the log: what was read gets its place.
#include <algorithm>
#include <unordered_set>

#include "pipeline/table_reads_internal.h"
#include "postgres/catalog.h"

namespace pgweir::pipeline {
namespace {

constexpr std::size_t kFrameBytes = 256 * 1024;  // of rows in one frame, and one row more
constexpr std::uint64_t kNothing = ~std::uint64_t{0};

}  // namespace

// --- Reading threads ---------------------------------------------------------------------------

Result<TableReads::Outcome> TableReads::await(Placement& placement,
                                              postgres::Connection& connection) {
  {
    MutexLock lock(mutex_);
    waiting_.push_back(&placement);
    update_waits_for();
  }
  while (true) {
    // On a quiet server nothing else moves the WAL, or writes it to the disk. Where this fails, we
    // wait for others to do it.
    if (connection.is_open() && !postgres::move_wal(connection).ok()) connection.close();
    MutexLock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + options_.nudge_interval;
    while (placement.outcome == Outcome::kWaiting && !stopping_) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= std::chrono::steady_clock::duration::zero()) break;
      changed_.wait_for(mutex_, std::chrono::duration_cast<std::chrono::microseconds>(left));
    }
    if (placement.outcome == Outcome::kWaiting && !stopping_) continue;
    waiting_.remove(&placement);
    std::erase(placing_, &placement);
    snapshots_.erase(placement.snapshot);
    update_waits_for();
    if (placement.outcome == Outcome::kWaiting) return error(Code::kCancelled, "asked to stop");
    return placement.outcome;
  }
}

void TableReads::update_waits_for() {
  std::uint64_t least = kNothing;
  for (const Placement* placement : waiting_) {
    if (placement->outcome == Outcome::kWaiting)
      least = std::min(least, model::value(placement->after));
  }
  waits_for_ = least;
}

// Forgets what this snapshot and all others on their way have seen.
void TableReads::forget_seen(const postgres::XidSnapshot& snapshot) {
  if (!recorder_) return;
  std::vector<const postgres::XidSnapshot*> all = {&snapshot};
  for (const auto& [id, other] : snapshots_) {
    if (!other) return;
    all.push_back(&*other);
  }
  recorder_->forget([&](model::Xid xid) {
    return std::all_of(all.begin(), all.end(), [&](const auto* each) { return each->sees(xid); });
  });
}

// --- Writer ------------------------------------------------------------------------------------

// What an earlier run began is followed from where its lists end.
void TableReads::open_recorder() {
  const auto recorded_one = [](const auto& reading) { return is_recorded(*reading); };
  if (recorder_ || std::none_of(readings_.begin(), readings_.end(), recorded_one)) return;
  auto opened = recorded_.epoch == log_.epoch()
                    ? ChangeRecorder::open(log_, recorded_, options_.recorder)
                    : error(Code::kNotFound, "the log has begun a new epoch");
  if (!opened.ok()) {
    logger_.warning("tables are read anew: {}", opened.error().text());
    for (const auto& reading : readings_) restart(*reading);
    return;
  }
  recorder_ = std::move(opened).value();
  for (const auto& reading : readings_) {
    if (!is_recorded(*reading)) continue;
    RecordedTable& recorded = recorder_->add(reading->state.table);
    recorded.listed.insert(reading->state.listed.begin(), reading->state.listed.end());
    recorded.closed = reading->state.closed;
  }
}

bool TableReads::is_recorded(const Reading& reading) {
  return reading.state.begun || reading.recording;
}

void TableReads::catch_up() {
  open_recorder();
  if (!recorder_) return;
  const Status status = recorder_->catch_up();
  if (status.ok()) {
    recorded_ = recorder_->position();
    return;
  }
  // What cannot be decoded stops the reading of tables, never capture.
  logger_.error("tables cannot be read beside the stream: {}", status.error().text());
  recorder_.reset();
  for (const auto& reading : readings_) restart(*reading);
}

void TableReads::follow() {
  MutexLock lock(mutex_);
  if (readings_.empty()) {
    recorder_.reset();
    return;
  }
  catch_up();
}

std::optional<model::Position> TableReads::log_position() const {
  MutexLock lock(mutex_);
  const auto recorded_one = [](const auto& reading) { return is_recorded(*reading); };
  if (std::none_of(readings_.begin(), readings_.end(), recorded_one)) return std::nullopt;
  model::Position out = recorded_;
  for (const auto& reading : readings_) {
    if (reading->spooled && reading->recording) out = std::min(out, reading->spools.from);
  }
  return out;
}

void TableReads::place(model::Position at, model::Lsn boundary, std::vector<log::Frame>& out) {
  MutexLock lock(mutex_);
  at_ = at;
  boundary_ = boundary;
  catch_up();
  placing_.clear();
  const bool spooled = place_spooled(out);
  for (Placement* placement : waiting_) {
    if (spooled || placement->outcome != Outcome::kWaiting || placement->after > boundary) continue;
    switch (placement->kind) {
      case Placement::Kind::kBegin:
        place_begin(*placement, out);
        break;
      case Placement::Kind::kRows:
        place_rows(*placement, out);
        break;
      case Placement::Kind::kEnd:
        place_end(*placement, out);
        break;
      case Placement::Kind::kRecord:
        placing_.push_back(placement);
        break;
      case Placement::Kind::kWhole:
        place_whole(*placement, out);
        break;
      case Placement::Kind::kSpooled:
        break;
    }
  }
  update_waits_for();
  changed_.notify_all();
}

log::Frame TableReads::frame_of(log::FrameKind kind, model::Oid table, std::uint64_t records) {
  log::Frame frame;
  frame.header.kind = kind;
  frame.header.key = model::value(table);
  frame.header.first = frame.header.last = at_;
  ++frame.header.first.sequence;
  frame.header.last.sequence += records;
  at_ = frame.header.last;
  frame.header.start_lsn = frame.header.end_lsn = boundary_;
  frame.header.time_us = clock_.now_us();
  return frame;
}

void TableReads::place_begin(Placement& placement, std::vector<log::Frame>& out) {
  const Reading& reading = *placement.reading;
  add_note(log::FrameKind::kReadBegin, reading, out);
  // For the heads of later segments.
  const std::string news = source_.record(*reading.table);
  placing_.push_back(&placement);
  if (news.empty()) return;
  log::Frame sticky = frame_of(log::FrameKind::kSchema, reading.state.table, 0);
  sticky.header.first = sticky.header.last;
  sticky.header.end_lsn = model::Lsn{};
  sticky.header.record_count = 1;
  log::append_record(sticky.payload, news);
  out.push_back(std::move(sticky));
}

// What the log told of the table, where rows that were read may be put in beside it; else the
// outcome says why they may not.
RecordedTable* TableReads::recorded_for(Placement& placement) {
  Reading& reading = *placement.reading;
  RecordedTable* recorded = recorder_ ? recorder_->find(reading.state.table) : nullptr;
  if (recorded == nullptr || placement.generation != recorder_->generation()) {
    placement.outcome = Outcome::kGivenUp;
  } else if (recorded->reshaped) {
    placement.outcome = Outcome::kReshaped;
  } else if (placement.chunk.moved) {
    // The stream has passed the chunk: had it been a truncate, it would have told. Then there is
    // nothing more to read.
    placement.outcome = recorded->truncated ? Outcome::kGivenUp : Outcome::kMoved;
    reading.moved = !recorded->truncated;
  } else {
    return recorded;
  }
  return nullptr;
}

void TableReads::place_rows(Placement& placement, std::vector<log::Frame>& out) {
  Reading& reading = *placement.reading;
  RecordedTable* recorded = recorded_for(placement);
  if (recorded == nullptr) return;
  const auto changes = recorder_->unseen(reading.state.table, placement.chunk.snapshot);
  MergedChunk merged =
      merge_chunk(std::move(placement.chunk.lines), reading.key, changes, placement.asked);
  placement.chunk.row_count = merged.row_count;
  reading.bytes += merged.lines.size();
  if (!recorded->listed.empty()) {
    std::unordered_set<std::string> brought(placement.asked.begin(), placement.asked.end());
    std::string_view rest = merged.lines;
    while (!rest.empty()) {
      const std::size_t size = rest.find('\n');
      std::string key = key_of_line(rest.substr(0, size), reading.key);
      if (recorded->listed.contains(key)) brought.insert(std::move(key));
      rest.remove_prefix(size + 1);
    }
    for (const std::string& key : merged.incomplete) brought.erase(key);
    placement.brought.assign(brought.begin(), brought.end());
  }
  add_rows(reading, merged.lines, out);
  placing_.push_back(&placement);
}

void TableReads::add_rows(const Reading& reading, std::string_view lines,
                          std::vector<log::Frame>& out) {
  std::string_view rest = lines;
  while (!rest.empty()) {
    const std::size_t size =
        rest.size() <= kFrameBytes ? rest.size() : rest.find('\n', kFrameBytes) + 1;
    const std::string_view part = rest.substr(0, size);
    rest.remove_prefix(size);
    const auto rows = static_cast<std::uint64_t>(std::count(part.begin(), part.end(), '\n'));
    log::Frame frame = frame_of(log::FrameKind::kReadRows, reading.state.table, rows + 1);
    frame.header.record_count = 1;
    log::append_record(frame.payload, part);
    out.push_back(std::move(frame));
  }
}

void TableReads::add_note(log::FrameKind kind, const Reading& reading,
                          std::vector<log::Frame>& out) {
  log::Frame frame = frame_of(kind, reading.state.table, 1);
  frame.header.record_count = 2;
  log::append_record(frame.payload, postgres::encode_schema({"", *reading.table}));
  log::append_record(frame.payload, encode_read_note({.whole = reading.state.whole,
                                                      .replaces = reading.state.replaces,
                                                      .snapshot = {}}));
  out.push_back(std::move(frame));
}

// All of a table without a key, at one place.
void TableReads::place_whole(Placement& placement, std::vector<log::Frame>& out) {
  Reading& reading = *placement.reading;
  if (recorded_for(placement) == nullptr) return;
  const auto changes = recorder_->unseen(reading.state.table, placement.chunk.snapshot);
  const MergedChunk merged = merge_whole(std::move(placement.chunk.lines), changes);
  placement.chunk.row_count = merged.row_count;
  place_begin(placement, out);
  add_rows(reading, merged.lines, out);
  add_note(log::FrameKind::kReadEnd, reading, out);
}

void TableReads::place_end(Placement& placement, std::vector<log::Frame>& out) {
  Reading& reading = *placement.reading;
  RecordedTable* recorded = recorder_ ? recorder_->find(reading.state.table) : nullptr;
  if (recorded != nullptr && recorded->reshaped) {
    placement.outcome = Outcome::kReshaped;
    return;
  }
  if (recorded == nullptr || recorded->listed_too_much || !recorded->listed.empty()) {
    if (recorded != nullptr && recorded->listed_too_much) {
      recorded->listed_too_much = recorded->closed = reading.state.closed = false;
      reading.state.todo = {TidRange{}};
    }
    placement.outcome = Outcome::kGivenUp;
    return;
  }
  add_note(log::FrameKind::kReadEnd, reading, out);
  placing_.push_back(&placement);
}

void TableReads::placed() {
  MutexLock lock(mutex_);
  for (Placement* placement : placing_) {
    Reading& reading = *placement->reading;
    placement->outcome = Outcome::kPlaced;
    const bool records = placement->kind == Placement::Kind::kRecord;
    if (placement->kind == Placement::Kind::kBegin || records) {
      (records ? reading.recording : reading.state.begun) = true;
      if (!recorder_) recorded_ = log_.durable_position();
      open_recorder();
      if (recorder_) {
        RecordedTable& recorded = recorder_->add(reading.state.table);
        // A recorder of readings before this one may have been past the begin already.
        recorded.table = reading.table;
        recorded.key = reading.key;
        recorded.only_shape = reading.spooled;
      }
      if (reading.spooled) reading.spools_begun = begin_spools(reading);
      catch_up();
      continue;
    }
    RecordedTable* recorded = recorder_ ? recorder_->find(reading.state.table) : nullptr;
    if (placement->kind != Placement::Kind::kRows) {
      reading.state.rows += placement->chunk.row_count;
      if (recorder_) recorder_->remove(reading.state.table);
      continue;
    }
    reading.state.rows += placement->chunk.row_count;
    if (placement->range) std::erase(reading.in_flight, *placement->range);
    if (recorded == nullptr) continue;
    for (const std::string& key : placement->brought) recorded->listed.erase(key);
    if (reading.state.todo.empty() && reading.in_flight.empty())
      reading.state.closed = recorded->closed = true;
  }
  placing_.clear();
  changed_.notify_all();
}

}  // namespace pgweir::pipeline
