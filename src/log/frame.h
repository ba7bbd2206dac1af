// What the log holds: frames. A frame is the unit of checksum, of reading and of durability.
//
// Format: docs/formats/log.md
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/position.h"

namespace pgweir::log {

// Persisted: do not change the values.
enum class FrameKind : std::uint8_t {
  // Row and transaction messages as PostgreSQL sent them, in order; often several transactions, or
  // a part of one.
  kChanges = 1,
  // What a table looks like from here on: the Relation message with the catalog facts that it
  // leaves out. Sticky: the writer repeats the newest of each `key` at the head of every segment.
  kSchema = 2,
  // A snapshot begins at the position's LSN; everything stored before is replaced by it.
  kSnapshotBegin = 3,
  kSnapshotRows = 4,
  kSnapshotEnd = 5,
  // Nothing changed up to end_lsn (keepalives, unpublished tables): only the position advances.
  kMark = 6,
  // In front of a streamed transaction in an adopted segment: what its frames do not say, since
  // they were written before it committed. Cursors that begin inside the transaction begin here.
  // Position {epoch, commit LSN, 0}. The last record is padding, the log's own. With the xid 0 the
  // segment is no transaction but a table's rows, and a cursor may begin at each of its frames.
  kTransaction = 7,
  // A table is read beside the stream: its rows come in kReadRows until the kReadEnd of the same
  // `key` (its OID). All three stand between two transactions, as records of their own: one byte in
  // front of the WAL position up to which everything is in the log.
  kReadBegin = 8,
  kReadRows = 9,
  kReadEnd = 10,
};

// How a payload is stored. Persisted: do not change the values.
enum class Codec : std::uint8_t { kNone = 0, kLz4 = 1 };

struct FrameHeader {
  FrameKind kind = FrameKind::kChanges;
  // Positions of the first and the last record. A kMark has the position {epoch, end_lsn, 0}.
  // A kSchema has the position of the record in front of it.
  model::Position first;
  model::Position last;
  model::Lsn start_lsn{};  // XLogData start LSN of the first message
  // All that PostgreSQL sent up to here is in the log once this frame is durable: what may be
  // confirmed. Zero when the frame ends inside a transaction.
  model::Lsn end_lsn{};
  std::uint32_t xid = 0;           // of a streamed transaction (protocol 2 and up), else 0
  std::uint32_t record_count = 0;  // messages in the payload
  std::int64_t time_us = 0;        // when we got it; microseconds since 1970-01-01 UTC
  std::uint64_t key = 0;           // of a kSchema: which table (its OID)

  bool operator==(const FrameHeader&) const = default;
};

// Immutable once made; shared between the writer's memory and all followers.
struct Frame {
  FrameHeader header;
  // record_count times: length as 32-bit little-endian, then that many bytes.
  std::string payload;
};
using FramePtr = std::shared_ptr<const Frame>;

// Appends one record to a payload.
void append_record(std::string& payload, std::string_view record);

// Walks the records of a payload. After next() has returned false, ok() tells whether it was whole.
class RecordReader {
 public:
  explicit RecordReader(std::string_view payload) : rest_(payload) {}
  bool next(std::string_view& record);
  bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace pgweir::log
