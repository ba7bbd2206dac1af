#include "postgres/stream_tracker.h"

#include <fmt/core.h>

#include "base/bytes.h"
#include "postgres/logical_message.h"
#include "postgres/pgoutput.h"

namespace pgweir::postgres {
namespace {

Error misfit(std::string_view message, std::string_view what) {
  return error(Code::kCorruption, "the replication stream is damaged",
               fmt::format("message '{}' of {} bytes: {}", message.empty() ? '?' : message[0],
                           message.size(), what));
}

}  // namespace

Status StreamTracker::begin(std::string_view message) {
  NetworkReader in(message.substr(1));
  const auto commit_lsn = model::Lsn{in.read<std::uint64_t>()};
  const auto time = in.read<std::int64_t>();
  const auto xid = model::Xid{in.read<std::uint32_t>()};
  if (!in.ok() || !in.at_end()) return misfit(message, "not the length of a Begin");
  if (in_transaction_) return misfit(message, "the transaction before has no commit");
  in_transaction_ = true;
  commit_lsn_ = commit_lsn;
  commit_time_ = from_wire_time(time);
  xid_ = xid;
  sequence_ = 0;
  return {};
}

Status StreamTracker::commit(std::string_view message) {
  NetworkReader in(message.substr(1));
  in.read<std::uint8_t>();
  const auto commit_lsn = model::Lsn{in.read<std::uint64_t>()};
  const auto end_lsn = model::Lsn{in.read<std::uint64_t>()};
  in.read<std::int64_t>();
  if (!in.ok() || !in.at_end()) return misfit(message, "not the length of a Commit");
  if (!in_transaction_ || commit_lsn != commit_lsn_) return misfit(message, "no such transaction");
  in_transaction_ = false;
  end_lsn_ = end_lsn;
  position_ = {epoch_, commit_lsn_, ++sequence_};
  return {};
}

void StreamTracker::pass(const StreamCommit& commit, std::uint64_t rows) {
  PGWEIR_ASSERT(!in_transaction_, "a streamed transaction commits between others");
  xid_ = commit.xid;
  commit_lsn_ = commit.commit_lsn;
  commit_time_ = commit.commit_time;
  end_lsn_ = commit.end_lsn;
  sequence_ = rows + 1;
  position_ = {epoch_, commit_lsn_, sequence_};
}

Result<MessageKind> StreamTracker::advance(std::string_view message) {
  if (message.empty()) return misfit(message, "empty");
  std::uint32_t records = 0;
  switch (message[0]) {
    case 'I':
    case 'U':
    case 'D':
      records = 1;
      break;
    case 'T':
      records = NetworkReader(message.substr(1)).read<std::uint32_t>();
      break;
    case 'B':
      TRY(begin(message));
      return MessageKind::kBegin;
    case 'C':
      TRY(commit(message));
      return MessageKind::kCommit;
    case 'M':
      if (!in_transaction_ || !is_users_message(message)) return MessageKind::kLogical;
      records = 1;
      break;
    case 'R':
    case 'Y':
    case 'O':
      return static_cast<MessageKind>(message[0]);
    default:
      return error(Code::kUnsupported,
                   fmt::format("the replication stream has a message '{}' that is not known here",
                               message[0]));
  }
  if (!in_transaction_) return misfit(message, "outside a transaction");
  sequence_ += records;
  position_ = {epoch_, commit_lsn_, sequence_};
  return static_cast<MessageKind>(message[0]);
}

}  // namespace pgweir::postgres
