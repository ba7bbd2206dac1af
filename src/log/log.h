// The durable, ordered change log: one writer, many followers.
//
// Place:   knows bytes and positions; nothing of PostgreSQL, views or sinks.
// Life:    open(), then append() and sync() by one thread, while followers read through Cursors.
//          The destructor does not sync. A Cursor must not outlive its Log.
// Threads: append/sync/prune: one thread. Everything else: any thread. A Cursor: one thread at a
// time. Format:  docs/formats/log.md
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "io/clock.h"
#include "io/fs.h"
#include "log/frame.h"
#include "model/position.h"

namespace pgweir::log {

struct LogOptions {
  std::uint64_t segment_bytes_max = 64 * kMiB;  // a segment is closed once it is this large
  Codec codec = Codec::kLz4;                    // of frame payloads in new segments
  std::uint32_t protocol_version = 1;           // pgoutput's, for the segment header
  // Frames not yet written to the file wait in a buffer of this size; one larger frame is let in.
  std::uint32_t write_buffer_bytes_max = 1u << 20;
  // Frames kept in memory after they are durable, for followers at the tip. A follower further
  // behind reads segments.
  std::uint64_t tip_bytes_max = 8 * kMiB;
  // Room at the head of a spooled transaction's file, at the least: its schemas must fit. Most of
  // it stays in the file as zeros.
  std::uint32_t spool_head_bytes_min = 128 * 1024;
  std::uint32_t frame_bytes_max = 1u << 30;  // a payload above it is kInvalid; damage when read
};

class Spool;

// How a spooled transaction enters the log.
struct Adoption {
  // Of kind kTransaction at {epoch, commit LSN, 0}; the log adds a record that fills its place.
  Frame transaction;
  // The sequence of the last record of each spooled frame, where it differs from what was spooled:
  // records of sub-transactions that were rolled back have none. Never less than the one before.
  std::vector<std::uint64_t> last_sequences;
  // What follows the spooled frames: schemas, then the commit.
  std::vector<Frame> tail;
};

struct SegmentInfo {
  std::string file;
  model::Position first;  // of its first frame that is not a repeated kSchema
  model::Position last;   // equal to `first` in an empty segment
  std::uint64_t bytes = 0;
  std::int64_t created_us = 0;
  std::int64_t last_frame_us = 0;
};

// What the log is to keep. Zero is "no limit", for either.
struct Retention {
  Milliseconds age_max{};       // segments whose newest frame is older may go ...
  std::uint64_t bytes_max = 0;  // ... and the oldest ones while the log is larger
};

class Log {
 public:
  // Opens the log in `directory`, or creates it (with a new random identity). Cuts a torn tail off
  // the last segment. kCorruption for damage in its headers or its last segment, with file and
  // offset (damage elsewhere is found when it is read); kUnsupported for a newer format; then
  // nothing in the folder was changed.
  // `fs` and `clock` must outlive the log.
  static Result<std::unique_ptr<Log>> open(io::Fs& fs, const io::Clock& clock,
                                           const std::string& directory, const LogOptions& options);
  virtual ~Log() = default;

  // Random, made with the log and kept in every segment: followers store it with their position, so
  // that a position in another log is never taken for one in this.
  virtual const std::string& identity() const = 0;

  // Writes a frame; it is durable, and visible to cursors, only once sync() has returned.
  // Requires header.last >= the last frame's. kNoSpace: nothing of the frame remains; append it
  // again when there is room. After kIo the log refuses every further append.
  virtual Status append(FramePtr frame) = 0;
  Status append(Frame frame) { return append(std::make_shared<const Frame>(std::move(frame))); }

  // Makes everything appended durable, then shows it to the cursors. Returns the newest end_lsn
  // that is durable: what may be confirmed to PostgreSQL. kNoSpace: nothing is lost, call it again
  // when there is room. After kIo the log is failed, as in append().
  virtual Result<model::Lsn> sync() = 0;

  // A file for a transaction that has not committed yet. The spool must not outlive the log.
  virtual Result<std::unique_ptr<Spool>> begin_spool() = 0;

  // The spool's file becomes a segment of the log: after a crash either all of the transaction is
  // in the log, or nothing. All that was appended before is made durable first, and what is in the
  // spool is durable and visible when this returns. kUnsupported: something does not fit into the
  // room at the file's head, and nothing has changed; append the frames instead. kNoSpace: as
  // append().
  // Requires a spool with a frame, and a tail that ends with the commit, its position that of the
  // transaction.
  virtual Status adopt(Spool& spool, const Adoption& adoption) = 0;

  // Position of the last durable frame; {0,0,0} in an empty log.
  virtual model::Position durable_position() const = 0;
  // The newest durable end_lsn of the newest epoch, and that epoch.
  virtual model::Lsn durable_end_lsn() const = 0;
  virtual std::uint32_t epoch() const = 0;
  // False from a kSnapshotBegin on until its kSnapshotEnd is durable: a snapshot that a crash cut
  // off.
  virtual bool snapshot_complete() const = 0;

  // The newest kSchema of every key, durable or not. The appending thread's.
  virtual const std::map<std::uint64_t, FramePtr>& schemas() const = 0;

  virtual std::vector<SegmentInfo> segments() const = 0;
  virtual std::uint64_t bytes() const = 0;

  // Removes whole segments that every follower has passed (`followers_min`) and that retention no
  // longer wants. A segment some follower still needs goes only when the log is above bytes_max:
  // that follower then is lost. Never removes the segment being written.
  virtual Status prune(const Retention& retention, const model::Position& followers_min) = 0;

  // Reads the durable frames in order.
  class Cursor {
   public:
    virtual ~Cursor() = default;
    // The next durable frame, waiting up to `timeout` for one; nullptr when there was none.
    // kNotFound when the frame after the cursor has been pruned: the follower is lost.
    virtual Result<FramePtr> next(Microseconds timeout) = 0;
  };
  // Gives every frame with last > `after`, and first the kSchema frames that hold there.
  // kNotFound when records after `after` have been pruned: a follower that is lost;
  // kCorruption when `after` is behind the log's end: it comes from another, newer log.
  virtual Result<std::unique_ptr<Cursor>> read(const model::Position& after) = 0;

  // Wakes every waiting cursor (they return nullptr): for a prompt stop.
  virtual void wake() = 0;
};

// Reads every segment of the folder, checks every frame, and returns what it found. Changes
// nothing. Does not stop at the first fault.
struct Damage {
  std::string file;
  std::uint64_t offset = 0;
  std::string what;
};
struct VerifyReport {
  std::vector<SegmentInfo> segments;
  std::uint64_t frames = 0;
  std::uint64_t records = 0;
  std::uint64_t torn_tail_bytes = 0;  // of the last segment: not damage, cut at the next open
  std::vector<Damage> damages;
};
Result<VerifyReport> verify(io::Fs& fs, const std::string& directory);

}  // namespace pgweir::log
