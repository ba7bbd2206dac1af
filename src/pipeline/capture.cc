// Capture's life and its receiver: the source made ready, the first snapshot, the stream.
#include "pipeline/capture.h"

#include <fmt/core.h>

#include <algorithm>

#include "pipeline/step_queue.h"
#include "postgres/timeline.h"

namespace pgweir::pipeline {

using postgres::ConnectionKind;

namespace {
constexpr Microseconds kReadWait{100'000};  // looks for stop() and feedback this often
// Under load one is filled while another is written, and some wait in between.
constexpr std::size_t kSpareGulpsMax = 2;
constexpr std::size_t kSpareGulpBytesMax = 8 * kMiB;
}  // namespace

Capture::Capture(log::Log& log, io::Fs& fs, const io::Clock& clock, Logger& logger,
                 CaptureOptions options)
    : log_(log),
      fs_(fs),
      clock_(clock),
      logger_(logger),
      options_(std::move(options)),
      queue_(options_.queue_bytes_max),
      spare_gulps_(kSpareGulpsMax, kSpareGulpBytesMax),
      slot_watch_(clock, logger,
                  {.url = options_.url,
                   .slot = options_.source.slot,
                   .interval = options_.slot_interval,
                   .heartbeat = options_.source.heartbeat,
                   .alarm = options_.slot_alarm}),
      schema_watch_({options_.url, options_.source, options_.catalog_interval}, clock, logger),
      reads_(log_, fs_, clock_, logger_, reads_source(), reads_options()) {}

Capture::~Capture() {
  stop();
}

void Capture::start() {
  durable_lsn_ = model::value(log_.durable_end_lsn());
  epoch_ = std::max(log_.epoch(), 1u);
  if (const Status opened = reads_.open(); !opened.ok()) {
    fail(opened.error());
    return;
  }
  writer_ = std::thread([this] { write(); });
  receiver_ = std::thread([this] { receive(); });
}

void Capture::stop() {
  stopping_ = true;
  stop_waker_.wake();
  reads_.stop();
  if (receiver_.joinable()) receiver_.join();
  queue_.close();
  if (writer_.joinable()) writer_.join();
  slot_watch_.stop();
  schema_watch_.stop();
  MutexLock lock(mutex_);
  if (status_.state != CaptureState::kFailed) status_.state = CaptureState::kStopped;
}

CaptureStatus Capture::status() const {
  auto reads = reads_.status();
  MutexLock lock(mutex_);
  CaptureStatus out = status_;
  out.confirmed_lsn = model::Lsn{durable_lsn_.load()};
  out.slot = slot_watch_.latest();
  out.schema = schema_watch_.status();
  out.reads = std::move(reads);
  return out;
}

void Capture::set_state(CaptureState state, std::string message) {
  MutexLock lock(mutex_);
  if (status_.state == CaptureState::kFailed) return;
  status_.state = state;
  status_.message = std::move(message);
}

void Capture::fail(const Error& failure) {
  {
    MutexLock lock(mutex_);
    if (status_.state == CaptureState::kFailed) return;
    status_.state = CaptureState::kFailed;
    status_.message = failure.text();
    status_.failure = failure;
  }
  failed_ = true;
  stop_waker_.wake();
  if (on_failure_) on_failure_();
}

postgres::ConnectionOptions Capture::connection_options(ConnectionKind kind) const {
  postgres::ConnectionOptions out;
  out.url = options_.url;
  out.kind = kind;
  // The stream is ended by its reader, after the last feedback; everything else at once.
  if (kind == ConnectionKind::kOrdinary) out.cancel = &stop_waker_;
  return out;
}

Result<postgres::Connection> Capture::connect(ConnectionKind kind) {
  return postgres::Connection::open(connection_options(kind));
}

bool Capture::wait(Milliseconds time) {
  const auto ready = io::wait_socket(-1, io::Interest::kNothing, time, &stop_waker_);
  return ready.ok() && !ready->woken;
}

// --- Receiver --------------------------------------------------------------------------------

void Capture::receive() {
  Milliseconds backoff = options_.backoff_min;
  while (!stopping_ && !failed_) {
    Status status = prepare_source();
    if (status.ok()) {
      const auto began = clock_.steady();
      status = stream();
      if (!status.ok()) status = heed_missing_publication(status.error());
      // A session that lasted is a fresh start, not the next try of the same trouble.
      if (clock_.steady() - began > options_.backoff_max) backoff = options_.backoff_min;
    }
    if (stopping_ || failed_ || status.ok()) break;
    const Error& failure = status.error();
    // The first start tells at once what is wrong; a pipeline that has run waits for its server.
    const bool first_start = log_.durable_position() == model::Position{} && !snapshot_began_;
    const bool passes = failure.code == Code::kUnavailable || failure.code == Code::kTimeout ||
                        postgres::sqlstate_of(failure) == "55006" || lost_snapshot(failure);
    // What was right once in this run may be put right again: a slot that the server has not freed
    // yet, a password that is being changed.
    const bool may_pass = had_session_ && failure.code == Code::kCheckFailed;
    if (!(passes || may_pass) || first_start) {
      fail(failure);
      break;
    }
    set_state(CaptureState::kReconnecting, failure.text());
    logger_.warning("source: {}; trying again in {}", failure.text(), format_duration(backoff));
    {
      MutexLock lock(mutex_);
      ++status_.reconnects;
    }
    if (!wait(backoff)) break;
    backoff = std::min(backoff * 2, options_.backoff_max);
  }
}

// What a first snapshot is read under goes with one connection, and the others miss it.
bool Capture::lost_snapshot(const Error& failure) const {
  return snapshot_began_ && !had_session_ && failure.code == Code::kNotFound;
}

// Everything that must hold before a session: the right server, publications, slot, first snapshot.
Status Capture::prepare_source() {
  TRY_ASSIGN(postgres::Connection control, connect(ConnectionKind::kOrdinary));
  TRY_ASSIGN(const auto system, postgres::system_identity(control));
  {
    MutexLock lock(mutex_);
    status_.system = system;
    status_.where = control.where();
    status_.server_lsn = std::max(status_.server_lsn, system.current_lsn);
  }
  TRY(check_state(system));
  TRY(check_server(system));
  TRY(wait_for_slot(control));
  TRY_ASSIGN(auto findings, postgres::preflight(control, options_.source));
  {
    MutexLock lock(mutex_);
    status_.findings = findings;
  }
  TRY(postgres::first_error(findings));
  TRY_ASSIGN(const auto expanded,
             postgres::expand_tables(control, options_.source.tables, options_.source.exclude));
  if (options_.ddl_trigger) make_ddl_trigger(control);
  TRY_ASSIGN(const auto publishable, this->publishable(control, expanded.tables));
  TRY_ASSIGN(
      const auto publications,
      postgres::ensure_publications(control, options_.source.publication, publishable,
                                    makes_publications() ? postgres::MissingPublication::kMake
                                                         : postgres::MissingPublication::kRefuse));
  publications_ = publications.names;
  std::vector<model::Oid> ids;
  for (const auto& table : expanded.tables) ids.push_back(table.id);
  TRY_ASSIGN(auto tables, postgres::read_tables(control, ids, publications_));
  tables_.clear();
  for (const auto& table : tables) tables_.push_back(std::make_shared<const model::Table>(table));
  {
    MutexLock lock(mutex_);
    status_.tables = std::move(tables);
    status_.publications = publications_;
    status_.snapshot_estimated_rows = 0;
    for (const auto& table : expanded.tables)
      status_.snapshot_estimated_rows += std::max<std::int64_t>(table.estimated_rows, 0);
  }
  return check_slot(control, system);
}

// The data folder belongs to this database of this cluster, and to this slot.
Status Capture::check_state(const postgres::SystemIdentity& system) {
  TRY_ASSIGN(const auto stored, load_state(fs_, options_.data_directory));
  const PipelineState now{system.system_identifier, system.database, options_.source.slot,
                          options_.source.publication, false};
  if (!stored) return store_state(fs_, options_.data_directory, now);
  const auto refuse = [this](const char* what, const std::string& found,
                             const std::string& expected) {
    return error(
        Code::kCheckFailed,
        fmt::format("the data folder '{}' belongs to another pipeline", options_.data_directory),
        fmt::format("its {} is {}, here it is {}", what, found, expected),
        "Name another folder in `data`, or point source.url and source.slot back");
  };
  if (stored->system_identifier != now.system_identifier && options_.resync) {
    PipelineState other = *stored;
    other.system_identifier = now.system_identifier;
    return store_state(fs_, options_.data_directory, other);
  }
  if (stored->system_identifier != now.system_identifier)
    return postgres::other_cluster(options_.data_directory, stored->system_identifier, system);
  if (stored->database != now.database) return refuse("database", stored->database, now.database);
  if (stored->slot != now.slot) return refuse("slot", stored->slot, now.slot);
  return {};
}

// A predecessor that was killed may hold the slot until the server notices.
Status Capture::wait_for_slot(postgres::Connection& control) {
  const auto deadline = clock_.steady() + options_.slot_wait_max;
  while (true) {
    TRY_ASSIGN(const auto slot, postgres::slot_info(control, options_.source.slot));
    if (!slot || slot->active_pid == 0 || clock_.steady() >= deadline) return {};
    set_state(CaptureState::kStarting,
              fmt::format("waiting for slot '{}', which process {} of the server still holds",
                          options_.source.slot, slot->active_pid));
    if (!wait(Milliseconds(50))) return error(Code::kCancelled, "asked to stop");
  }
}

// An error says what has become of the slot; resync() may mend it.
Status Capture::check_slot(postgres::Connection& control, const postgres::SystemIdentity& system) {
  slot_confirmed_ = {};
  TRY_ASSIGN(const auto state, load_state(fs_, options_.data_directory));
  if (state && state->resyncing && resync_due()) {
    logger_.info("a resync that did not come to its end is made anew");
    return resync(control);
  }
  TRY_ASSIGN(const auto slot, postgres::slot_info(control, options_.source.slot));
  Status status = compare_slot(control, system, slot);
  if (status.ok() || status.error().code != Code::kCorruption) return status;
  if (resync_due()) {
    logger_.warning("{}", status.error().text());
    slot_confirmed_ = {};
    return resync(control);
  }
  Error failure = status.error();
  if (failure.hint.find("run --resync") != std::string::npos) return failure;
  failure.hint += fmt::format("{}`pgweir run --resync` makes a new slot and compares the tables",
                              failure.hint.empty() ? "" : ". Or: ");
  return failure;
}

Status Capture::compare_slot(postgres::Connection& control, const postgres::SystemIdentity& system,
                             std::optional<postgres::SlotInfo> slot) {
  TRY_ASSIGN(auto state, load_state(fs_, options_.data_directory));
  // What an attempt in this run has left counts as if the program had died behind it.
  if (snapshot_began_ && !had_session_) TRY(sync());
  const bool empty = log_.durable_position() == model::Position{};
  const bool in_snapshot = state && model::value(state->snapshot_lsn) != 0;
  if (in_snapshot && may_resume(*state, slot)) return resume_snapshot(*state);
  const bool unfinished =
      !log_.snapshot_complete() || in_snapshot || (state && state->creating_slot);
  if (slot && unfinished && !slot->lost()) {
    // Made by us just before a crash: nothing of it is worth keeping.
    logger_.info("slot '{}' was left by a first snapshot that did not end: starting over",
                 slot->name);
    TRY(postgres::drop_slot(control, slot->name, options_.slot_wait_max));
    slot.reset();
  }
  if (!empty) TRY(check_history(system));
  if (system.current_lsn < log_.durable_end_lsn()) {
    return error(
        Code::kCorruption, "the server is behind the log",
        fmt::format("its WAL ends at {}, the log at {}: it was restored to an earlier state",
                    model::to_string(system.current_lsn), model::to_string(log_.durable_end_lsn())),
        "Run `pgweir drop` and start anew with an empty data folder");
  }
  if (!slot && (empty || unfinished)) return take_first_snapshot(control);
  if (state && state->publication_missed) return publication_missed();
  if (!slot) return postgres::slot_gone(options_.source.slot, log_.durable_end_lsn());
  if (slot->lost()) return postgres::slot_lost(*slot);
  if (slot->confirmed_flush > log_.durable_end_lsn()) {
    return error(
        Code::kCorruption, fmt::format("slot '{}' is ahead of the log", slot->name),
        fmt::format("the slot stands at {}, the log in '{}' ends at {}: what lies between is "
                    "not in the log, and the server does not send it again",
                    model::to_string(slot->confirmed_flush), options_.data_directory,
                    model::to_string(log_.durable_end_lsn())),
        "Put the newest data folder back; or run `pgweir drop` and start anew with an empty one");
  }
  slot_confirmed_ = slot->confirmed_flush;
  // Else the stream shows it.
  return resync_due() ? compare_history(slot_confirmed_) : Status{};
}

Status Capture::take_first_snapshot(postgres::Connection& control) {
  TRY(reads_.adopt({}, {}));
  TRY_ASSIGN(auto slot, make_slot(control));
  TRY_ASSIGN(auto state, load_state(fs_, options_.data_directory));
  // A new slot is a new epoch. The snapshot stands one byte in front of the consistent point: WAL
  // records are aligned, so this lies behind every commit before it and in front of every one
  // after.
  if (log_.durable_position() != model::Position{}) epoch_ = log_.epoch() + 1;
  const model::Position position{epoch_, model::Lsn{model::value(slot.consistent_point) - 1}, 0};
  parts_.clear();
  left_out_.clear();
  for (const auto& table : tables_)
    parts_.push_back({.table = table->id,
                      .name = table->qualified_name(),
                      .whole = key_columns(*table).empty(),
                      .todo = {TidRange{}}});
  TRY(store_parts());
  state->creating_slot = false;
  state->snapshot_lsn = slot.consistent_point;
  TRY(store_state(fs_, options_.data_directory, *state));
  TRY(copy_tables(slot, position));
  durable_lsn_ = model::value(log_.durable_end_lsn());
  state->snapshot_lsn = {};
  return store_state(fs_, options_.data_directory, *state);
}

Status Capture::copy_tables(const postgres::CreatedSlot& slot, model::Position position) {
  const auto frame_of = [this](log::FrameKind kind, model::Position first, model::Position last) {
    log::Frame frame;
    frame.header.kind = kind;
    frame.header.first = first;
    frame.header.last = last;
    frame.header.time_us = clock_.now_us();
    return frame;
  };
  TRY(append_one(frame_of(log::FrameKind::kSnapshotBegin, position, position)));
  for (const auto& table : tables_) {
    log::Frame frame = frame_of(log::FrameKind::kSchema, position, position);
    frame.header.key = model::value(table->id);
    frame.header.record_count = 1;
    log::append_record(frame.payload, postgres::encode_schema({"", *table}));
    TRY(append_one(std::move(frame)));
  }
  if (options_.take_snapshot) {
    postgres::SnapshotOptions snapshot_options;
    snapshot_options.connection = connection_options(ConnectionKind::kOrdinary);
    snapshot_options.snapshot = slot.snapshot;
    snapshot_options.parallel = options_.snapshot_parallel;
    snapshot_options.range_pages = options_.snapshot_range_pages;
    TRY_ASSIGN(const auto snapshot, postgres::Snapshot::begin(snapshot_options, tables_));
    std::size_t unsynced = 0;
    const auto append = [&](const postgres::SnapshotChunk& chunk) -> Status {
      if (stopping_) return error(Code::kCancelled, "asked to stop");
      model::Position first = position;
      ++first.sequence;
      position.sequence += chunk.row_count;
      log::Frame frame = frame_of(log::FrameKind::kSnapshotRows, first, position);
      frame.header.key = model::value(chunk.table->id);
      frame.header.record_count = 1;
      log::append_record(frame.payload, chunk.lines);
      unsynced += chunk.lines.size();
      TRY(append_one(std::move(frame)));
      {
        MutexLock status_lock(mutex_);
        status_.snapshot = snapshot->progress();
      }
      if (unsynced < options_.sync_bytes_max) return {};
      unsynced = 0;
      return sync();
    };
    {
      MutexLock lock(mutex_);
      status_.snapshot_tables = static_cast<std::uint32_t>(tables_.size());
      status_.snapshot_began_us = clock_.now_us();
    }
    // The workers, and so the server, go on while rows are compressed, written and synced.
    StepQueue steps(options_.snapshot_queue_bytes_max);
    const auto sink = [&](postgres::SnapshotChunk chunk) {
      const std::size_t bytes = chunk.lines.size();
      const auto rows = std::make_shared<const postgres::SnapshotChunk>(std::move(chunk));
      return steps.push([&append, rows] { return append(*rows); }, bytes);
    };
    const auto done = [&](const postgres::SnapshotPart& part) {
      const auto note = [this, &unsynced, part]() -> Status {
        unsynced = 0;
        TRY(sync());
        return part_done(part);
      };
      return steps.push(note, 1);
    };
    const auto leave_out = [&](const model::Table& table) {
      return steps.push([this, table] { return this->leave_out(table); }, 1);
    };
    const Status read = snapshot->run(sink, done, leave_out);
    const Status appended = steps.finish();
    if (!read.ok()) return read;
    if (!appended.ok()) return appended;
    MutexLock lock(mutex_);
    status_.snapshot = snapshot->progress();
  }
  if (!options_.take_snapshot) parts_.clear();
  return end_snapshot(std::move(parts_), position, slot.consistent_point);
}

Status Capture::stream() {
  TRY_ASSIGN(auto connection, connect(ConnectionKind::kReplication));
  const postgres::SystemIdentity system = status().system;
  TRY(postgres::check_same_server(connection, system));
  history_ = std::make_shared<HistoryCheck>(log_, slot_confirmed_, log_.durable_end_lsn());
  TRY_ASSIGN(auto stream,
             postgres::ReplicationStream::start(std::move(connection), stream_options(*history_)));
  session_over_ = false;
  TRY(remember_timeline(system));
  Item session;
  session.starts_session = true;
  session.publications = publications_;
  session.history = history_;
  TRY(push(session, 1, stream));
  had_session_ = true;
  slot_watch_.start();
  schema_watch_.start();
  reads_.start();
  set_state(CaptureState::kStreaming);
  logger_.info("streaming from {}", model::to_string(history_->start_lsn()));
  heard();
  Item item;
  while (!stopping_ && !failed_ && !session_over_) {
    TRY(stream.read(item.gulp, kReadWait, &stop_waker_));
    const bool reply = item.gulp.reply_requested;
    if (!item.gulp.empty()) {
      TRY(push(item, item.gulp.memory_bytes() + 1, stream));
      item = Item{};
      item.gulp = spare_gulps_.take();
      heard();
    }
    TRY(feedback(stream, reply));
    TRY(heed_silence(stream));
  }
  if (failed_) return {};
  if (session_over_ && !stopping_) {
    MutexLock lock(mutex_);
    return *session_failure_;
  }
  // What has arrived becomes durable, so that the server need not send it again.
  queue_.close();
  if (writer_.joinable()) writer_.join();
  const model::Lsn durable = history_->confirmable(model::Lsn{durable_lsn_.load()});
  TRY(stream.send_feedback(durable, durable, durable,
                           postgres::ReplicationStream::Reply::kNotNeeded, clock_.now_us()));
  return stream.stop(Milliseconds(2'000));
}

// Waits for room in the queue, answering the server meanwhile.
Status Capture::push(Item& item, std::size_t weight, postgres::ReplicationStream& stream) {
  while (!queue_.push_for(item, weight, kReadWait)) {
    if (failed_ || stopping_) return error(Code::kCancelled, "asked to stop");
    if (session_over_) return {};  // the writer would throw it away
    TRY(feedback(stream, false));
  }
  return {};
}

Status Capture::feedback(postgres::ReplicationStream& stream, bool now) {
  const model::Lsn durable = history_->confirmable(model::Lsn{durable_lsn_.load()});
  const auto age = clock_.steady() - last_feedback_;
  const bool asks = asks_position_.exchange(false);
  if (asks) now = true;
  const bool news = durable > confirmed_ && age >= options_.feedback_interval;
  if (!now && !news && age < options_.feedback_interval_max) return {};
  last_feedback_ = clock_.steady();
  confirmed_ = durable;
  return stream.send_feedback(durable, durable, durable,
                              asks ? postgres::ReplicationStream::Reply::kRequested
                                   : postgres::ReplicationStream::Reply::kNotNeeded,
                              clock_.now_us());
}

}  // namespace pgweir::pipeline
