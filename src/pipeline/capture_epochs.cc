// Where capture does not simply go on: a first snapshot that was cut off, and a slot made anew.
#include <fmt/core.h>

#include <algorithm>

#include "pipeline/capture.h"
#include "pipeline/read_note.h"

namespace pgweir::pipeline {
namespace {

// check_state() has stored it.
Result<PipelineState> stored_state(io::Fs& fs, const std::string& directory) {
  TRY_ASSIGN(auto state, load_state(fs, directory));
  if (!state) return error(Code::kIo, "pipeline.json in the data folder is gone", directory);
  return std::move(*state);
}

}  // namespace

Result<postgres::CreatedSlot> Capture::make_slot(postgres::Connection& control) {
  set_state(CaptureState::kSnapshotting);
  TRY_ASSIGN(auto state, stored_state(fs_, options_.data_directory));
  state.creating_slot = true;
  TRY(store_state(fs_, options_.data_directory, state));
  postgres::CreateSlotOptions create;
  create.name = options_.source.slot;
  create.on_wait = [this](const std::vector<postgres::Blocker>& blockers) {
    if (blockers.empty()) return;
    set_state(CaptureState::kSnapshotting,
              fmt::format("creating the slot waits for the transaction of process {}, open for {}",
                          blockers[0].pid, format_duration(blockers[0].age)));
  };
  TRY_ASSIGN(auto slot, postgres::create_slot(control, create));
  set_state(CaptureState::kSnapshotting);
  snapshot_began_ = true;
  logger_.info("slot '{}' created at {}", create.name, model::to_string(slot.consistent_point));
  return slot;
}

// --- A first snapshot that was cut off -----------------------------------------------------------

Status Capture::store_parts() {
  return store_reads(fs_, options_.data_directory, {model::Position{}, parts_});
}

// The part's rows are durable. (One call at a time.)
Status Capture::part_done(const postgres::SnapshotPart& part) {
  const auto found = std::find_if(parts_.begin(), parts_.end(), [&](const TableReadState& read) {
    return read.table == part.table->id;
  });
  if (found == parts_.end() || left_out_.contains(model::value(part.table->id))) return {};
  const TidRange done{
      static_cast<std::uint64_t>(part.pages_begin) * kTidsOfBlock,
      part.pages_end == 0 ? kTidEnd : static_cast<std::uint64_t>(part.pages_end) * kTidsOfBlock};
  std::vector<TidRange> left;
  for (const TidRange& range : found->todo) {
    if (range.from < done.from) left.push_back({range.from, std::min(range.to, done.from)});
    if (range.to > done.to) left.push_back({std::max(range.from, done.to), range.to});
  }
  found->todo = std::move(left);
  found->files = part.files;
  if (found->todo.empty()) parts_.erase(found);
  return store_parts();
}

// The table lies elsewhere than the slot's snapshot saw it: all of it is read when the stream runs.
// (One call at a time.)
Status Capture::leave_out(const model::Table& table) {
  const auto found = std::find_if(parts_.begin(), parts_.end(), [&](const TableReadState& read) {
    return read.table == table.id;
  });
  if (found == parts_.end()) return {};
  logger_.warning(
      "table {} was written anew, truncated, or its partitions changed, while the first snapshot "
      "was read: it is read beside the stream",
      table.qualified_name());
  left_out_.insert(model::value(table.id));
  found->todo = {TidRange{}};
  found->files.clear();
  return store_parts();
}

// What was read stays; the rest is read beside the stream, from the same slot on.
bool Capture::may_resume(const PipelineState& state,
                         const std::optional<postgres::SlotInfo>& slot) {
  const model::Position last = log_.durable_position();
  const bool same = last.lsn == model::Lsn{model::value(state.snapshot_lsn) - 1};
  if (!same || !slot || slot->lost() || slot->confirmed_flush > state.snapshot_lsn) return false;
  if (log_.snapshot_complete()) return true;
  const auto parts = load_reads(fs_, options_.data_directory);
  if (!parts.ok()) return false;
  return std::all_of(parts->reads.begin(), parts->reads.end(), [&](const TableReadState& read) {
    return std::any_of(tables_.begin(), tables_.end(),
                       [&](const auto& table) { return table->id == read.table; });
  });
}

Status Capture::resume_snapshot(PipelineState state) {
  TRY_ASSIGN(TableReadsState parts, load_reads(fs_, options_.data_directory));
  std::erase_if(parts.reads, [](const TableReadState& read) { return read.todo.empty(); });
  const model::Position position = log_.durable_position();
  if (!log_.snapshot_complete()) {
    logger_.info("the first snapshot goes on: {} tables are left", parts.reads.size());
    TRY(end_snapshot(std::move(parts.reads), position, state.snapshot_lsn));
  } else if (parts.position == model::Position{}) {
    // The log has the end, and what is left was not handed over yet.
    TRY(adopt_left(std::move(parts.reads), position));
  }
  durable_lsn_ = model::value(log_.durable_end_lsn());
  state.snapshot_lsn = {};
  return store_state(fs_, options_.data_directory, state);
}

// What is `left` is read beside the stream. A table without a key is read whole, whatever was read
// of it before: followers forget that here.
Status Capture::end_snapshot(std::vector<TableReadState> left, model::Position position,
                             model::Lsn consistent_point) {
  for (TableReadState& read : left) read.replaces = read.whole;
  TRY(begin_reads(left, position, model::Lsn{}));
  log::Frame end;
  end.header.kind = log::FrameKind::kSnapshotEnd;
  ++position.sequence;
  end.header.first = end.header.last = position;
  end.header.start_lsn = end.header.end_lsn = consistent_point;
  end.header.time_us = clock_.now_us();
  TRY(append_one(std::move(end)));
  TRY(sync());
  return adopt_left(std::move(left), position);
}

// The snapshot's end, at `position`, is durable.
Status Capture::adopt_left(std::vector<TableReadState> left, const model::Position& position) {
  for (TableReadState& read : left) {
    read.begun = !read.whole;
    if (!read.whole) continue;
    read.replaces = true;
    read.todo = {TidRange{}};
    read.files.clear();
  }
  return reads_.adopt(std::move(left), position);
}

log::Frame Capture::schema_frame(std::uint32_t table, const model::Position& position,
                                 const std::string& record) const {
  log::Frame frame;
  frame.header.kind = log::FrameKind::kSchema;
  frame.header.key = table;
  frame.header.first = frame.header.last = position;
  frame.header.time_us = clock_.now_us();
  frame.header.record_count = 1;
  log::append_record(frame.payload, record);
  return frame;
}

// Their begins, one record each behind `position`, which moves with them.
Status Capture::begin_reads(const std::vector<TableReadState>& reads, model::Position& position,
                            model::Lsn end_lsn) {
  for (const TableReadState& read : reads) {
    const auto table = std::find_if(tables_.begin(), tables_.end(),
                                    [&](const auto& each) { return each->id == read.table; });
    if (table == tables_.end()) continue;
    ++position.sequence;
    log::Frame frame;
    frame.header.kind = log::FrameKind::kReadBegin;
    frame.header.key = model::value(read.table);
    frame.header.first = frame.header.last = position;
    frame.header.end_lsn = end_lsn;
    frame.header.time_us = clock_.now_us();
    frame.header.record_count = 2;
    const std::string schema = postgres::encode_schema({"", **table});
    log::append_record(frame.payload, schema);
    log::append_record(
        frame.payload,
        encode_read_note({.whole = read.whole, .replaces = read.replaces, .snapshot = {}}));
    TRY(append_one(std::move(frame)));
    TRY(append_one(schema_frame(model::value(read.table), position, schema)));
  }
  return {};
}

// --- A slot made anew ----------------------------------------------------------------------------

// Asked for, or cut off in an earlier run.
bool Capture::resync_due() const {
  if (resynced_ || had_session_) return false;
  const auto state = load_state(fs_, options_.data_directory);
  return options_.resync || (state.ok() && *state && (*state)->resyncing);
}

// A new slot is a new epoch. What the mirrors lack of the source enters the log at its beginning;
// tables that have no mirror to compare with are read beside its stream.
Status Capture::resync(postgres::Connection& control) {
  if (!log_.snapshot_complete()) return snapshot_instead(control);
  TRY_ASSIGN(auto state, stored_state(fs_, options_.data_directory));
  state.resyncing = true;
  TRY(store_state(fs_, options_.data_directory, state));
  Resync::Hooks hooks;
  hooks.wait = [this](Milliseconds time) { return wait(time); };
  hooks.say = [this](const std::string& what) { set_state(CaptureState::kSnapshotting, what); };
  hooks.with_room = [this](const auto& step) { return with_room(step); };
  hooks.stopping = [this] { return stopping_.load(); };
  Resync resync(log_, fs_, clock_, logger_, options_.mirrors, options_.data_directory + "/resync",
                std::move(hooks));
  TRY(resync.await_mirrors());
  TRY(postgres::drop_slot(control, options_.source.slot, options_.slot_wait_max));
  TRY_ASSIGN(const auto slot, make_slot(control));
  epoch_ = log_.epoch() + 1;
  std::vector<std::shared_ptr<const model::Table>> to_read;
  model::Position position;
  TRY(compare_with_mirrors(resync, slot, to_read, position));
  TRY(read_tables_anew(slot, to_read, position));
  log::Frame mark;
  mark.header.kind = log::FrameKind::kMark;
  mark.header.first = mark.header.last = {epoch_, slot.consistent_point, 0};
  mark.header.start_lsn = mark.header.end_lsn = slot.consistent_point;
  mark.header.time_us = clock_.now_us();
  TRY(append_one(std::move(mark)));
  durable_lsn_ = 0;
  TRY(sync());
  confirmed_ = {};
  resynced_ = true;
  TRY_ASSIGN(state, stored_state(fs_, options_.data_directory));
  state.creating_slot = state.resyncing = state.publication_missed = false;
  state.snapshot_lsn = {};
  TRY(store_state(fs_, options_.data_directory, state));
  TRY_ASSIGN(const auto system, postgres::system_identity(control));
  return remember_timeline(system);
}

// A first snapshot that is not complete has nothing to compare with.
Status Capture::snapshot_instead(postgres::Connection& control) {
  TRY(postgres::drop_slot(control, options_.source.slot, options_.slot_wait_max));
  TRY_ASSIGN(auto state, stored_state(fs_, options_.data_directory));
  state.resyncing = state.publication_missed = false;
  state.snapshot_lsn = {};
  TRY(store_state(fs_, options_.data_directory, state));
  TRY(take_first_snapshot(control));
  resynced_ = true;
  return {};
}

Status Capture::compare_with_mirrors(Resync& resync, const postgres::CreatedSlot& slot,
                                     std::vector<std::shared_ptr<const model::Table>>& to_read,
                                     model::Position& position) {
  postgres::SnapshotOptions snapshot;
  snapshot.connection = connection_options(postgres::ConnectionKind::kOrdinary);
  snapshot.snapshot = slot.snapshot;
  snapshot.parallel = options_.snapshot_parallel;
  snapshot.range_pages = options_.snapshot_range_pages;
  TRY_ASSIGN(auto compared, resync.compare(snapshot, tables_));
  to_read = std::move(compared.to_read);
  set_state(CaptureState::kSnapshotting);
  TRY_ASSIGN(position, resync.commit(epoch_, slot));
  for (const auto& table : compared.tables) {
    TRY(append_one(
        schema_frame(model::value(table->id), position, postgres::encode_schema({"", *table}))));
  }
  return sync();
}

// Read beside the stream and compared by the mirrors: what is gone goes at the end of each table's
// reading, what is equal changes nothing.
Status Capture::read_tables_anew(const postgres::CreatedSlot& slot,
                                 const std::vector<std::shared_ptr<const model::Table>>& tables,
                                 model::Position& position) {
  std::vector<TableReadState> reads;
  for (const auto& table : tables) {
    if (key_columns(*table).empty()) {
      TRY(copy_whole_table(slot, table, position));
      continue;
    }
    reads.push_back(
        {.table = table->id, .name = table->qualified_name(), .begun = true, .todo = {TidRange{}}});
  }
  TRY(begin_reads(reads, position, model::Lsn{}));
  // From here on the log says that it has everything up to the slot's beginning.
  TRY(sync());
  return reads_.adopt(std::move(reads), position);
}

// Under the slot's snapshot, while nothing streams yet: exact as it is.
Status Capture::copy_whole_table(const postgres::CreatedSlot& slot,
                                 const std::shared_ptr<const model::Table>& table,
                                 model::Position& position) {
  TRY(begin_reads(
      {{.table = table->id, .name = table->qualified_name(), .whole = true, .replaces = true}},
      position, model::Lsn{}));
  const auto frame_of = [&](log::FrameKind kind, std::uint64_t records) {
    log::Frame frame;
    frame.header.kind = kind;
    frame.header.key = model::value(table->id);
    frame.header.first = frame.header.last = position;
    ++frame.header.first.sequence;
    frame.header.last.sequence += records;
    position = frame.header.last;
    frame.header.time_us = clock_.now_us();
    return frame;
  };
  postgres::SnapshotOptions snapshot_options;
  snapshot_options.connection = connection_options(postgres::ConnectionKind::kOrdinary);
  snapshot_options.snapshot = slot.snapshot;
  snapshot_options.parallel = 1;
  TRY_ASSIGN(const auto snapshot, postgres::Snapshot::begin(snapshot_options, {table}));
  const auto sink = [&](postgres::SnapshotChunk chunk) -> Status {
    log::Frame frame = frame_of(log::FrameKind::kReadRows, chunk.row_count + 1);
    frame.header.record_count = 1;
    log::append_record(frame.payload, chunk.lines);
    TRY(append_one(std::move(frame)));
    return sync();
  };
  TRY(snapshot->run(sink));
  log::Frame end = frame_of(log::FrameKind::kReadEnd, 1);
  end.header.record_count = 2;
  log::append_record(end.payload, postgres::encode_schema({"", *table}));
  log::append_record(end.payload,
                     encode_read_note({.whole = true, .replaces = true, .snapshot = {}}));
  return append_one(std::move(end));
}

}  // namespace pgweir::pipeline
