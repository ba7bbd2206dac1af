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
#include <string>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/logger.h"
#include "base/mutex.h"
#include "base/result.h"
#include "io/clock.h"
#include "io/fs.h"
#include "io/waker.h"
#include "log/log.h"
#include "pipeline/frame_builder.h"
#include "pipeline/slot_watch.h"
#include "pipeline/state_file.h"
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
  bool take_snapshot = true;  // else begin with the stream
  std::uint32_t snapshot_parallel = 2;
  std::string data_directory;
  std::size_t queue_bytes_max = 32 * kMiB;     // between receiver and writer
  std::size_t sync_bytes_max = 8 * kMiB;       // appended at most before a sync
  Milliseconds feedback_interval{250};         // at most this often, when there is news
  Milliseconds feedback_interval_max{10'000};  // at least this often
  Milliseconds mark_interval{1'000};           // how often an idle position enters the log
  Milliseconds backoff_min{200};               // before the first try to reconnect ...
  Milliseconds backoff_max{10'000};            // ... doubled up to this
  Milliseconds slot_wait_max{10'000};          // for a slot that a dead predecessor still holds
  Milliseconds disk_retry_interval{500};       // while the disk is full
  Milliseconds slot_interval{5'000};           // how often the server is asked about the slot
  log::Retention retention;                    // what the log keeps ...
  Milliseconds prune_interval{10'000};         // ... looked at this often
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
  std::optional<postgres::SlotInfo> slot;  // as the server said lately
  model::Lsn received_lsn{};               // of the newest commit that arrived
  model::Lsn confirmed_lsn{};              // told to PostgreSQL
  model::Lsn server_lsn{};                 // newest WAL position that the server spoke of
  model::Timestamp last_commit_time{};
  std::uint64_t changes = 0;  // since the start of the program
  std::uint64_t transactions = 0;
  std::uint64_t bytes = 0;  // of messages
  std::uint64_t reconnects = 0;
  postgres::SnapshotProgress snapshot;
  std::uint32_t snapshot_tables = 0;
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
  // Called on the receiver or writer thread when capture has ended by an error of its own.
  void on_failure(std::function<void()> callback) { on_failure_ = std::move(callback); }

 private:
  // What the receiver hands to the writer: a gulp, or the start of a new session (a new connection,
  // which sends again what was not confirmed).
  struct Item {
    bool starts_session = false;
    postgres::Gulp gulp;
  };

  // Receiver.
  void receive();
  Status prepare_source();
  Status check_state(const postgres::SystemIdentity& system);
  Status check_slot(postgres::Connection& control, const postgres::SystemIdentity& system);
  Status wait_for_slot(postgres::Connection& control);
  Status take_first_snapshot(postgres::Connection& control);
  Status copy_tables(const postgres::CreatedSlot& slot, model::Position position);
  Status stream();
  Status push(Item& item, std::size_t weight, postgres::ReplicationStream& stream);
  Status feedback(postgres::ReplicationStream& stream, bool now);
  Result<postgres::Connection> connect(postgres::ConnectionKind kind);
  bool wait(Milliseconds time);  // false when stop() was called meanwhile

  // Writer.
  void write();
  Status write_item(Item& item);
  Status append_one(log::Frame frame);
  Status append(std::vector<log::Frame>& frames);
  Status prune();
  Status sync();
  Result<std::string> describe_relation(std::string_view relation);

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
  io::Waker stop_waker_;
  BoundedQueue<Item> queue_;
  std::thread receiver_;
  std::thread writer_;
  SlotWatch slot_watch_;

  // Receiver's.
  std::vector<std::shared_ptr<const model::Table>> tables_;
  std::vector<std::string> publications_;
  bool had_session_ = false;
  model::Lsn confirmed_{};
  std::chrono::microseconds last_feedback_{0};

  // Writer's.
  std::unique_ptr<FrameBuilder> builder_;
  std::uint64_t earlier_changes_ = 0;  // of earlier sessions
  std::uint64_t earlier_transactions_ = 0;
  std::optional<postgres::Connection> catalog_;
  model::Lsn pending_mark_{};
  model::Lsn last_mark_{};
  std::chrono::microseconds last_mark_time_{0};
  std::chrono::microseconds last_prune_{0};
  std::size_t unsynced_bytes_ = 0;

  std::atomic<std::uint64_t> durable_lsn_{0};
  std::atomic<std::uint32_t> epoch_{1};

  mutable Mutex mutex_;
  CaptureStatus status_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::pipeline
