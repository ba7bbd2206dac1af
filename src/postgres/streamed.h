// Messages of transactions that PostgreSQL sends before they commit (pgoutput, protocol 2).
//
// Their rows come in blocks, each between a Stream Start and a Stream Stop, blocks of several
// transactions in turns. In a block every message but Origin has an xid behind its kind: that of
// the sub-transaction, or of the transaction itself. Stream Commit ends a transaction; Stream Abort
// takes back the transaction or one of its sub-transactions, of which every one that was sent is
// named by itself.
//
// Place:   beside pgoutput.h.
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/batch.h"
#include "model/position.h"

namespace pgweir::postgres {

struct StreamStart {
  model::Xid xid{};
  bool is_first = false;  // block of the transaction
};

struct StreamCommit {
  model::Xid xid{};
  model::Lsn commit_lsn{};
  model::Lsn end_lsn{};
  model::Timestamp commit_time{};
};

struct StreamAbort {
  model::Xid xid{};
  model::Xid subxid{};  // the same when all of the transaction is taken back
};

// kCorruption for a message that is not of this kind.
Result<StreamStart> parse_stream_start(std::string_view message);
Result<StreamCommit> parse_stream_commit(std::string_view message);
Result<StreamAbort> parse_stream_abort(std::string_view message);

// Bytes of a kind and an xid, at the front of a message in a block.
inline constexpr std::size_t kStreamedHeaderBytes = 1 + 4;

// Whether a message in a block has an xid.
constexpr bool has_streamed_xid(std::string_view message) {
  return !message.empty() && message[0] != 'O';
}

// Requires kStreamedHeaderBytes.
model::Xid streamed_xid(std::string_view message);

// The message as it would be outside of a block. kCorruption when it is too short.
Result<std::string> without_xid(std::string_view message);

// Begin and Commit messages, as PostgreSQL would send them for the transaction.
std::string begin_message(const StreamCommit& commit);
std::string commit_message(const StreamCommit& commit);

// A set of transactions, as ranges: sub-transactions have xids that follow each other.
class XidSet {
 public:
  void add(model::Xid xid);
  // Asked row by row: the last answer is remembered.
  bool contains(model::Xid xid) const {
    if (ranges_.empty()) return false;
    if (xid != last_asked_ || !asked_) look_up(xid);
    return last_answer_;
  }
  bool empty() const { return ranges_.empty(); }
  std::size_t range_count() const { return ranges_.size(); }

  std::string encode() const;
  static Result<XidSet> decode(std::string_view bytes);

 private:
  struct Range {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
  };
  void look_up(model::Xid xid) const;

  std::vector<Range> ranges_;  // in order, apart from each other
  mutable bool asked_ = false;
  mutable model::Xid last_asked_{};
  mutable bool last_answer_ = false;
};

}  // namespace pgweir::postgres
