// Follows a raw stream of pgoutput messages just far enough to know positions: what capture needs
// to write log frames without decoding rows.
//
// Place:   beside pgoutput.h, with the same rules for positions.
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "model/batch.h"
#include "model/position.h"
#include "postgres/streamed.h"

namespace pgweir::postgres {

enum class MessageKind : char {
  kBegin = 'B',
  kCommit = 'C',
  kOrigin = 'O',
  kRelation = 'R',
  kType = 'Y',
  kInsert = 'I',
  kUpdate = 'U',
  kDelete = 'D',
  kTruncate = 'T',
  kLogical = 'M',
};

class StreamTracker {
 public:
  StreamTracker() = default;
  explicit StreamTracker(std::uint32_t epoch) : epoch_(epoch), position_{epoch, {}, 0} {}

  // Takes the next message and says what it was. kCorruption for one that does not fit here,
  // kUnsupported for the streaming and two-phase messages of later protocols.
  Result<MessageKind> advance(std::string_view message);

  // A whole transaction of so many row changes has been taken elsewhere. Requires
  // !in_transaction().
  void pass(const StreamCommit& commit, std::uint64_t rows);

  // Of the last row change or commit taken; {epoch,0,0} at the start. A Begin alone does not move
  // it.
  const model::Position& position() const { return position_; }
  // Of the next row change or commit, while a transaction is open.
  model::Position next_position() const { return {epoch_, commit_lsn_, sequence_ + 1}; }

  bool in_transaction() const { return in_transaction_; }
  // Of the open transaction, or of the last one.
  model::Xid xid() const { return xid_; }
  model::Lsn commit_lsn() const { return commit_lsn_; }
  model::Timestamp commit_time() const { return commit_time_; }
  // Behind the last commit taken: once it is durable, everything up to here may be confirmed.
  model::Lsn end_lsn() const { return end_lsn_; }

 private:
  Status begin(std::string_view message);
  Status commit(std::string_view message);

  std::uint32_t epoch_ = 0;
  model::Position position_;
  bool in_transaction_ = false;
  model::Xid xid_{};
  model::Lsn commit_lsn_{};
  model::Lsn end_lsn_{};
  model::Timestamp commit_time_{};
  std::uint64_t sequence_ = 0;
};

}  // namespace pgweir::postgres
