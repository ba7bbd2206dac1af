#include "pipeline/table_reads.h"

#include <fmt/core.h>

#include <algorithm>

#include "pipeline/table_reads_internal.h"

namespace pgweir::pipeline {

TableReads::TableReads(log::Log& log, io::Fs& fs, const io::Clock& clock, Logger& logger,
                       Source source, TableReadOptions options)
    : log_(log),
      fs_(fs),
      clock_(clock),
      logger_(logger),
      source_(std::move(source)),
      options_(std::move(options)),
      waits_for_(~std::uint64_t{0}) {}

TableReads::~TableReads() {
  stop();
}

Status TableReads::open() {
  TRY_ASSIGN(TableReadsState state, load_reads(fs_, options_.data_directory));
  MutexLock lock(mutex_);
  recorded_ = state.position;
  for (TableReadState& read : state.reads) {
    auto reading = std::make_shared<Reading>();
    reading->state = std::move(read);
    reading->moved = lacks_files(reading->state);
    if (reading->state.todo.empty() && !reading->state.closed) reading->state.todo = {TidRange{}};
    readings_.push_back(std::move(reading));
  }
  return {};
}

void TableReads::start() {
  MutexLock lock(mutex_);
  if (!stopping_ && !thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void TableReads::stop() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

void TableReads::request(const TableReadRequest& request) {
  MutexLock lock(mutex_);
  for (const auto& reading : readings_) {
    // One that has begun may have passed the rows that are meant.
    if (reading->state.table == request.table && !reading->state.begun) return;
  }
  auto reading = std::make_shared<Reading>();
  reading->state.table = request.table;
  reading->state.name = request.name;
  reading->state.replaces = request.replaces;
  reading->state.todo = {TidRange{}};
  readings_.push_back(std::move(reading));
  changed_.notify_all();
}

void TableReads::request_missing(const TableReadRequest& request, const model::Position& at) {
  {
    MutexLock lock(mutex_);
    const auto ended = ended_.find(model::value(request.table));
    if (ended != ended_.end() && ended->second > at) return;
    for (const auto& reading : readings_) {
      if (reading->state.table == request.table) return;
    }
  }
  this->request(request);
}

Status TableReads::adopt(std::vector<TableReadState> begun, const model::Position& position) {
  {
    MutexLock lock(mutex_);
    readings_.clear();
    recorder_.reset();
    recorded_ = position;
    for (TableReadState& state : begun) {
      readings_.push_back(std::make_shared<Reading>());
      readings_.back()->moved = lacks_files(state);
      readings_.back()->state = std::move(state);
    }
    changed_.notify_all();
  }
  return store();
}

std::vector<TableReadStatus> TableReads::status() const {
  MutexLock lock(mutex_);
  std::vector<TableReadStatus> out;
  for (const auto& reading : readings_) {
    TableReadStatus row;
    row.table = reading->state.table;
    row.name = reading->state.name;
    row.begun = reading->state.begun;
    row.rows = reading->state.rows + reading->spooled_rows;
    row.bytes = reading->bytes;
    row.estimated_rows = reading->estimated_rows;
    row.began_us = reading->began_us;
    row.message = reading->message;
    const std::uint64_t blocks = reading->blocks.value_or(0);
    std::uint64_t left = 0;
    const auto count = [&](const TidRange& range) {
      const std::uint64_t from = std::min(range.from / kTidsOfBlock, blocks);
      left += std::min(range.to / kTidsOfBlock, blocks) - from;
    };
    for (const TidRange& range : reading->state.todo) count(range);
    for (const TidRange& range : reading->in_flight) count(range);
    if (blocks > 0) row.fraction = 1 - static_cast<double>(left) / static_cast<double>(blocks);
    if (reading->spooled && row.estimated_rows > 0) {
      row.fraction =
          std::min(static_cast<double>(row.rows) / static_cast<double>(row.estimated_rows), 1.0);
    }
    out.push_back(std::move(row));
  }
  return out;
}

void TableReads::say(Reading& reading, std::string message) {
  MutexLock lock(mutex_);
  reading.message = std::move(message);
}

bool TableReads::wait(Milliseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  MutexLock lock(mutex_);
  while (!stopping_) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::steady_clock::duration::zero()) return true;
    changed_.wait_for(mutex_, std::chrono::duration_cast<std::chrono::microseconds>(left));
  }
  return false;
}

// --- One table after the other -------------------------------------------------------------------

std::shared_ptr<TableReads::Reading> TableReads::next() {
  MutexLock lock(mutex_);
  while (!stopping_ && readings_.empty()) changed_.wait_for(mutex_, std::chrono::seconds(1));
  return stopping_ ? nullptr : readings_.front();
}

void TableReads::run() {
  while (const auto reading = next()) {
    Status status = store();
    if (status.ok()) status = read(*reading);
    if (status.ok()) {
      {
        MutexLock lock(mutex_);
        std::erase(readings_, reading);
        ended_[model::value(reading->state.table)] = log_.durable_position();
        logger_.info("table {} is read: {} rows", reading->state.name, reading->state.rows);
      }
      status = store();
      if (status.ok()) continue;
    }
    if (status.error().code == Code::kCancelled) continue;  // next() tells whether to stop
    logger_.warning("table {}: {}; trying again", reading->state.name, status.error().text());
    say(*reading, status.error().text());
    if (!wait(options_.retry_interval)) return;
    MutexLock lock(mutex_);
    // The others need not wait for one that fails.
    if (readings_.size() > 1 && readings_.front() == reading) {
      readings_.pop_front();
      readings_.push_back(reading);
    }
  }
}

Status TableReads::read(Reading& reading) {
  TRY_ASSIGN(auto connection, source_.connect());
  TRY(describe(reading, connection));
  if (reading.table == nullptr) return {};  // it is gone: followers are told so otherwise
  bool begun = false;
  {
    MutexLock lock(mutex_);
    begun = reading.state.begun;
    if (reading.began_us == 0) reading.began_us = clock_.now_us();
  }
  if (reading.state.whole) return read_whole(reading, connection);
  if (!begun) TRY(begin(reading, connection));
  TRY(source_.publish(connection, reading.state.table));
  TRY(note_files(reading, connection));
  while (true) {
    TRY(pass_barrier(reading, connection));
    TRY(read_ranges(reading));
    TRY(read_listed(reading, connection));
    bool again = false;
    {
      MutexLock lock(mutex_);
      if (!reading.state.begun) return recording_lost();
      again = reading.barrier_due || !reading.state.todo.empty();
    }
    if (again) continue;
    Placement placement;
    placement.kind = Placement::Kind::kEnd;
    placement.reading = &reading;
    // Chunks that held nothing did not wait for the stream, some perhaps before a start.
    TRY_ASSIGN(placement.after, postgres::insert_lsn(connection));
    TRY_ASSIGN(const Outcome outcome, await(placement, connection));
    if (outcome == Outcome::kPlaced) return {};
    if (outcome == Outcome::kReshaped) {
      MutexLock lock(mutex_);
      restart(reading);
      return reshaped();
    }
  }
}

// Begins again from nothing.
void TableReads::restart(Reading& reading) {
  reading.state.begun = reading.state.closed = reading.recording = reading.moved = false;
  reading.state.todo = {TidRange{}};
  reading.state.listed.clear();
  reading.state.files.clear();
  reading.blocks.reset();
  reading.state.rows = reading.spooled_rows = 0;
  reading.in_flight.clear();
  reading.spooled = false;
  reading.spools = {};
  if (recorder_) recorder_->remove(reading.state.table);
}

Status TableReads::describe(Reading& reading, postgres::Connection& connection) {
  TRY_ASSIGN(auto described, source_.describe(connection, reading.state.table));
  if (!described) {
    MutexLock lock(mutex_);
    restart(reading);
    reading.table = nullptr;
    return {};
  }
  // After a start the log tells what the tables are whose reading had begun.
  while (true) {
    {
      MutexLock lock(mutex_);
      RecordedTable* recorded = recorder_ ? recorder_->find(reading.state.table) : nullptr;
      // Another reading of the table has come before this one went on: it is not recorded any more.
      const bool lost = recorder_ && recorded == nullptr;
      if (!reading.state.begun || lost || (recorded != nullptr && recorded->table != nullptr))
        break;
    }
    if (!wait(options_.poll_interval)) return error(Code::kCancelled, "asked to stop");
  }
  MutexLock lock(mutex_);
  RecordedTable* recorded = recorder_ ? recorder_->find(reading.state.table) : nullptr;
  if (reading.state.begun && recorded != nullptr && recorded->table != nullptr) {
    // The log's own description holds, as long as the table is still that.
    const auto& now = described->table.columns;
    const auto& then = recorded->table->columns;
    const bool same = std::equal(
        now.begin(), now.end(), then.begin(), then.end(), [](const auto& a, const auto& b) {
          return a.name == b.name && a.type == b.type && a.type_modifier == b.type_modifier;
        });
    if (same && !recorded->reshaped && !reading.moved) {
      reading.table = recorded->table;
      reading.key = recorded->key;
      reading.partitioned = described->partitioned;
      return {};
    }
  }
  restart(reading);
  reading.table = std::make_shared<const model::Table>(std::move(described->table));
  reading.key = key_columns(*reading.table);
  reading.partitioned = described->partitioned;
  reading.state.whole = reading.key.empty();
  // It comes at one place, as something new.
  reading.state.replaces = reading.state.replaces || reading.state.whole;
  return {};
}

Status TableReads::begin(Reading& reading, postgres::Connection& connection) {
  logger_.info("table {} is read", reading.state.name);
  Placement placement;
  placement.kind = Placement::Kind::kBegin;
  placement.reading = &reading;
  TRY_ASSIGN(const Outcome outcome, await(placement, connection));
  if (outcome != Outcome::kPlaced)
    return error(Code::kInternal, "the begin of a reading was given up");
  return store();
}

// A table without a key: all of it at one place, or not at all.
Status TableReads::read_whole(Reading& reading, postgres::Connection& connection) {
  {
    MutexLock lock(mutex_);
    reading.state.files.clear();  // of an attempt before
  }
  TRY(look_at_size(reading, connection));
  {
    MutexLock lock(mutex_);
    constexpr std::uint64_t kPageBytes = 8192;
    if (reading.blocks.value_or(0) > options_.whole_bytes_max / kPageBytes) reading.spooled = true;
  }
  if (reading.spooled) return read_spooled(reading, connection);
  Placement record;
  record.kind = Placement::Kind::kRecord;
  record.reading = &reading;
  TRY(await(record, connection));
  TRY(source_.publish(connection, reading.state.table));
  while (true) {
    TRY(pass_barrier(reading, connection));
    {
      MutexLock lock(mutex_);
      if (!reading.recording) return recording_lost();
      reading.state.files.clear();  // of an attempt before
    }
    TRY(note_files(reading, connection));
    Placement placement;
    placement.kind = Placement::Kind::kWhole;
    TRY(read_part(reading, connection, placement, "", options_.whole_bytes_max));
    if (placement.chunk.cut) {
      TRY_ASSIGN(connection, source_.connect());
      return read_spooled(reading, connection);
    }
    if (placement.outcome == Outcome::kPlaced) return {};
  }
}

// Transactions that run now may have changed the table before its changes were recorded. Each has
// ended, and is seen by every snapshot, before the first rows are read.
Status TableReads::pass_barrier(Reading& reading, postgres::Connection& connection) {
  {
    MutexLock lock(mutex_);
    reading.barrier_due = false;
    reading.generation = recorder_ ? recorder_->generation() : 0;
  }
  TRY_ASSIGN(const std::uint64_t xid, postgres::move_wal(connection));
  auto told = clock_.steady();
  while (true) {
    TRY_ASSIGN(const postgres::XidSnapshot snapshot, postgres::current_snapshot(connection));
    {
      MutexLock lock(mutex_);
      forget_seen(snapshot);
    }
    if (snapshot.xmin > xid) break;
    if (clock_.steady() - told >= options_.nudge_interval) {
      told = clock_.steady();
      TRY_ASSIGN(const std::string who, postgres::running_before(connection, xid));
      say(reading, "waits for transactions that began before it: " + who);
    }
    if (!wait(options_.poll_interval)) return error(Code::kCancelled, "asked to stop");
  }
  say(reading, "");
  return {};
}

Status TableReads::store() {
  MutexLock store_lock(store_mutex_);
  return store_locked();
}

Status TableReads::store_progress() {
  MutexLock store_lock(store_mutex_);
  const auto began = clock_.steady();
  if (began < progress_due_) return {};
  TRY(store_locked());
  const auto ended = clock_.steady();
  progress_due_ = ended + 9 * (ended - began);
  return {};
}

Status TableReads::store_locked() {
  TableReadsState state;
  {
    MutexLock lock(mutex_);
    state.position = recorded_;
    for (const auto& reading : readings_) {
      TableReadState read = reading->state;
      read.todo.insert(read.todo.end(), reading->in_flight.begin(), reading->in_flight.end());
      std::sort(read.todo.begin(), read.todo.end(),
                [](const TidRange& a, const TidRange& b) { return a.from < b.from; });
      RecordedTable* recorded = recorder_ ? recorder_->find(read.table) : nullptr;
      if (recorded != nullptr) {
        read.listed.assign(recorded->listed.begin(), recorded->listed.end());
        if (recorded->listed_too_much) read.todo = {TidRange{}};
        if (recorded->listed_too_much) read.closed = false;
        if (recorded->truncated) read.todo.clear();
        if (recorded->truncated) read.closed = true;
      }
      state.reads.push_back(std::move(read));
    }
  }
  return store_reads(fs_, options_.data_directory, state);
}

}  // namespace pgweir::pipeline
