// Capture: PostgreSQL's changes into the log, and nothing else.
//
// Place:   owns the slot's connection and the log's writing side. Followers do not exist for it:
// none
//          can slow it, but through the disk.
// Life:    construct, start(), stop(). stop() waits; the slot then has our last position.
// Threads: two of its own. The receiver reads the socket, waits for nothing but its bounded queue,
// and
//          answers the server while it waits. The writer builds frames, appends and syncs (group
//          commit); what is durable may be confirmed. status() from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/logger.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/spares.h"
#include "io/clock.h"
#include "io/fs.h"
#include "io/waker.h"
#include "log/log.h"
#include "pipeline/frame_builder.h"
#include "pipeline/history_check.h"
#include "pipeline/resync.h"
#include "pipeline/schema_book.h"
#include "pipeline/schema_watch.h"
#include "pipeline/slot_watch.h"
#include "pipeline/state_file.h"
#include "pipeline/table_reads.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"
#include "postgres/preflight.h"
#include "postgres/replication_stream.h"
#include "postgres/setup.h"
#include "postgres/snapshot.h"

namespace pgweir::pipeline {

struct CaptureOptions {
  std::string url;
  postgres::SourceOptions source;
  bool stream_large_transactions = true;  // before they commit
  StreamedOptions streamed;
  bool take_snapshot = true;  // else begin with the stream
  // Where the slot is lost, or the server another or an earlier one: a new slot, and the tables are
  // compared with the mirrors (resync.h).
  bool resync = false;
  ResyncMirrors mirrors;  // to compare with, then
  // Of one part of the first snapshot: at its end the others wait for the last one.
  std::uint32_t snapshot_range_pages = 4 * 1024;
  std::uint32_t snapshot_parallel = 2;
  std::string data_directory;
  std::size_t queue_bytes_max = 32 * kMiB;  // between receiver and writer
  std::size_t sync_bytes_max = 8 * kMiB;    // appended at most before a sync
  // Rows of a first snapshot that were read and wait to be appended.
  std::size_t snapshot_queue_bytes_max = 8 * kMiB;
  Milliseconds feedback_interval{250};         // at most this often, when there is news
  Milliseconds feedback_interval_max{10'000};  // at least this often
  // A server that has sent nothing for half of this is asked for an answer; without one, after all
  // of it, a second connection looks whether the slot is still served to us.
  Milliseconds silence_max{60'000};
  Milliseconds mark_interval{1'000};      // how often an idle position enters the log
  Milliseconds backoff_min{200};          // before the first try to reconnect ...
  Milliseconds backoff_max{10'000};       // ... doubled up to this
  Milliseconds slot_wait_max{10'000};     // for a slot that a dead predecessor still holds
  Milliseconds disk_retry_interval{500};  // while the disk is full
  Milliseconds slot_interval{5'000};      // how often the server is asked about the slot
  Milliseconds catalog_interval{10'000};  // how often the catalog is looked at
  bool ddl_trigger = false;               // make one when it is missing
  SlotAlarmOptions slot_alarm;            // when its state is alarming
  TableReadOptions reads;                 // of tables beside the stream
  log::Retention retention;               // what the log keeps ...
  Milliseconds prune_interval{10'000};    // ... looked at this often
  // The position that the slowest follower has reached: what it still needs is kept.
  std::function<model::Position()> followers_min = [] { return model::Position{}; };
};

enum class CaptureState {
  kStarting,
  kSnapshotting,
  kStreaming,
  kWaitingForDisk,
  kReconnecting,
  kStopped,
  kFailed,
};

struct CaptureStatus {
  CaptureState state = CaptureState::kStarting;
  std::string message;           // more about the state, for people; may be empty
  std::optional<Error> failure;  // with kFailed
  std::vector<postgres::Finding> findings;
  postgres::SystemIdentity system;
  std::string where;                 // "host:port/database"
  std::vector<model::Table> tables;  // captured
  std::vector<std::string> publications;
  SlotHealth slot;             // as the server said lately
  SchemaWatchStatus schema;    // how old what we know of the catalog is
  model::Lsn received_lsn{};   // of the newest commit that arrived
  model::Lsn confirmed_lsn{};  // told to PostgreSQL
  model::Lsn server_lsn{};     // newest WAL position that the server spoke of
  model::Timestamp last_commit_time{};
  std::uint64_t changes = 0;  // since the start of the program
  std::uint64_t transactions = 0;
  std::uint64_t bytes = 0;  // of messages
  std::uint64_t reconnects = 0;
  postgres::SnapshotProgress snapshot;
  std::uint32_t snapshot_tables = 0;
  std::int64_t snapshot_estimated_rows = -1;  // by the server's statistics
  std::int64_t snapshot_began_us = 0;
  std::vector<TableReadStatus> reads;  // tables that are read beside the stream, or wait for it
};

class Capture {
 public:
  // All references must outlive the capture.
  Capture(log::Log& log, io::Fs& fs, const io::Clock& clock, Logger& logger,
          CaptureOptions options);
  ~Capture();

  void start();
  // Ends both threads after the log is synced and the slot has the last position.
  void stop();

  CaptureStatus status() const EXCLUDES(mutex_);
  // Reads a table beside the stream: again, or for the first time; then it becomes part of the
  // publications, too. Takes its turn; any thread.
  void read_table(const TableReadRequest& request) { reads_.request(request); }
  // The same for a follower at `at` that lacks its rows.
  void read_missing(const TableReadRequest& request, const model::Position& at) {
    reads_.request_missing(request, at);
  }
  // Called on the receiver or writer thread when capture has ended by an error of its own.
  void on_failure(std::function<void()> callback) { on_failure_ = std::move(callback); }

 private:
  // What the receiver hands to the writer: a gulp, or the start of a new session (a new connection,
  // which sends again what was not confirmed).
  struct Item {
    bool starts_session = false;
    std::vector<std::string> publications;  // of a session that starts ...
    std::shared_ptr<HistoryCheck> history;  // ... and whether it goes on where the log ends
    postgres::Gulp gulp;
  };

  // Receiver.
  void receive();
  Status prepare_source();
  Status check_state(const postgres::SystemIdentity& system);
  Status check_server(const postgres::SystemIdentity& system);
  Status check_history(const postgres::SystemIdentity& system);
  Status remember_timeline(const postgres::SystemIdentity& system);
  Status check_slot(postgres::Connection& control, const postgres::SystemIdentity& system);
  Status compare_slot(postgres::Connection& control, const postgres::SystemIdentity& system,
                      std::optional<postgres::SlotInfo> slot);
  Status compare_history(model::Lsn confirmed);
  postgres::StreamOptions stream_options(const HistoryCheck& history) const;
  Status wait_for_slot(postgres::Connection& control);
  Status take_first_snapshot(postgres::Connection& control);
  Status copy_tables(const postgres::CreatedSlot& slot, model::Position position);
  // Where a snapshot or a slot does not go on (capture_epochs.cc).
  Result<postgres::CreatedSlot> make_slot(postgres::Connection& control);
  bool may_resume(const PipelineState& state, const std::optional<postgres::SlotInfo>& slot);
  Status resume_snapshot(PipelineState state);
  bool resync_due() const;
  Status resync(postgres::Connection& control);
  Status compare_with_mirrors(Resync& resync, const postgres::CreatedSlot& slot,
                              std::vector<std::shared_ptr<const model::Table>>& to_read,
                              model::Position& position);
  Status read_tables_anew(const postgres::CreatedSlot& slot,
                          const std::vector<std::shared_ptr<const model::Table>>& tables,
                          model::Position& position);
  Status snapshot_instead(postgres::Connection& control);
  log::Frame schema_frame(std::uint32_t table, const model::Position& position,
                          const std::string& record) const;
  Status begin_reads(const std::vector<TableReadState>& reads, model::Position& position,
                     model::Lsn end_lsn);
  Status copy_whole_table(const postgres::CreatedSlot& slot,
                          const std::shared_ptr<const model::Table>& table,
                          model::Position& position);
  Status store_parts();
  Status part_done(const postgres::SnapshotPart& part);
  Status leave_out(const model::Table& table);
  Status end_snapshot(std::vector<TableReadState> left, model::Position position,
                      model::Lsn consistent_point);
  Status adopt_left(std::vector<TableReadState> left, const model::Position& position);
  Status stream();
  Status push(Item& item, std::size_t weight, postgres::ReplicationStream& stream);
  Status feedback(postgres::ReplicationStream& stream, bool now);
  Status heed_silence(postgres::ReplicationStream& stream);
  void heard();
  void tell_of_silence(const std::string& message) EXCLUDES(mutex_);
  void make_ddl_trigger(postgres::Connection& control);
  Error publication_missed() const;
  Error heed_missing_publication(Error failure);
  bool makes_publications() const;
  Result<std::vector<postgres::CapturedTable>> publishable(
      postgres::Connection& control, std::vector<postgres::CapturedTable> tables);
  bool lost_snapshot(const Error& failure) const;
  Result<postgres::Connection> connect(postgres::ConnectionKind kind);
  bool wait(Milliseconds time);  // false when stop() was called meanwhile

  // Writer.
  void write();
  Status write_item(Item& item);
  Status append_one(log::Frame frame);
  Status append(std::vector<log::Frame>& frames);
  Status drain(std::vector<log::Frame>& frames);
  Status prune();
  Status sync();
  enum class Tell { kNews, kAlways };
  Result<std::string> describe_relation(std::string_view relation, Tell tell);
  Status place_reads(model::Lsn boundary);
  Result<std::string> describe_leaf(std::string_view relation, model::Table facts, Tell tell);
  void tell_schema_watch();
  Status begin_schemas();
  Status place_look(std::vector<log::Frame>& frames);
  bool told_since(const SchemaLook& look, model::Oid table) const;
  bool has_news(const SchemaLook& look) const;
  static Error without_catalog(Error failure);
  // Makes the receiver end its connection and, after a wait, begin another: what is not durable
  // comes again. Until then the writer throws away what arrives.
  void end_session(const Error& why) EXCLUDES(mutex_);

  // For the reading of tables.
  TableReads::Source reads_source();
  TableReadOptions reads_options() const;

  // Runs `step` again while the disk is full.
  Status with_room(const std::function<Status()>& step);
  void set_state(CaptureState state, std::string message = {}) EXCLUDES(mutex_);
  void fail(const Error& failure) EXCLUDES(mutex_);
  postgres::ConnectionOptions connection_options(postgres::ConnectionKind kind) const;

  log::Log& log_;
  io::Fs& fs_;
  const io::Clock& clock_;
  Logger& logger_;
  const CaptureOptions options_;
  std::function<void()> on_failure_;

  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::atomic<bool> session_over_{false};  // asked for by the writer
  io::Waker stop_waker_;
  BoundedQueue<Item> queue_;
  Spares<postgres::Gulp> spare_gulps_;  // that the writer has taken in
  std::thread receiver_;
  std::thread writer_;
  SlotWatch slot_watch_;
  SchemaWatch schema_watch_;
  std::atomic<bool> asks_position_{false};  // the writer waits for how far the stream is
  TableReads reads_;

  // Receiver's.
  std::vector<std::shared_ptr<const model::Table>> tables_;
  std::vector<std::string> publications_;
  bool snapshot_began_ = false;  // in this run
  bool had_session_ = false;
  bool resynced_ = false;
  std::vector<TableReadState> parts_;  // of the first snapshot: what is not durable yet
  std::set<std::uint32_t> left_out_;   // of its tables: read when it has ended
  model::Lsn confirmed_{};
  model::Lsn slot_confirmed_{};  // by the slot when it was compared with the log; zero: nothing to
  std::shared_ptr<HistoryCheck> history_;  // of the session
  std::chrono::microseconds last_feedback_{0};
  std::chrono::microseconds last_heard_{0};  // when the server last sent something
  bool asked_to_reply_ = false;              // since then ...
  bool told_of_silence_ = false;             // ... and the status says so

  // Writer's.
  std::unique_ptr<StreamedTransactions> streamed_;
  std::unique_ptr<FrameBuilder> builder_;
  std::shared_ptr<HistoryCheck> look_at_history_;    // of the session
  std::vector<std::string> described_publications_;  // of the session
  bool discarding_ = false;                          // until the next session begins
  std::uint64_t earlier_changes_ = 0;                // of earlier sessions
  std::uint64_t earlier_transactions_ = 0;
  std::optional<postgres::Connection> catalog_;
  SchemaBook book_;
  std::map<std::uint32_t, std::uint64_t> described_;  // tables: when, as SchemaWatch counts
  std::optional<SchemaLook> pending_look_;            // until the stream has passed its LSN
  model::Lsn pending_mark_{};
  model::Lsn last_mark_{};
  std::chrono::microseconds last_mark_time_{0};
  std::chrono::microseconds last_prune_{0};
  std::size_t unsynced_bytes_ = 0;

  std::atomic<std::uint64_t> durable_lsn_{0};
  // Up to here transactions are to come whole, at their commits; 0: large ones may come before.
  std::atomic<std::uint64_t> whole_until_lsn_{0};
  std::atomic<std::uint32_t> epoch_{1};

  mutable Mutex mutex_;
  CaptureStatus status_ GUARDED_BY(mutex_);
  std::optional<Error> session_failure_ GUARDED_BY(mutex_);  // with session_over_
};

}  // namespace pgweir::pipeline
