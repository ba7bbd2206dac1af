#include "pipeline/streamed_transactions.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/bytes.h"
#include "postgres/logical_message.h"

namespace pgweir::pipeline {
namespace {

using postgres::StreamCommit;

Error misfit(std::string_view message, std::string_view what) {
  return error(Code::kCorruption, "the replication stream is damaged",
               fmt::format("message '{}' of {} bytes: {}", message.empty() ? '?' : message[0],
                           message.size(), what));
}

// How many records of the log a message of a block is: those that have a sequence.
std::uint64_t sequences_of(std::string_view message) {
  switch (message[0]) {
    case 'I':
    case 'U':
    case 'D':
      return 1;
    case 'T':
      return NetworkReader(message.substr(postgres::kStreamedHeaderBytes)).read<std::uint32_t>();
    case 'M':
      return postgres::is_users_message(message, postgres::MessagePlace::kInBlock) ? 1 : 0;
    default:
      return 0;
  }
}

// Of each frame in the file, the sequence of its last record that was not rolled back.
Result<std::vector<std::uint64_t>> count_survivors(const StreamedTransaction& transaction) {
  std::vector<std::uint64_t> last_sequences;
  std::uint64_t sequence = 0;
  TRY(transaction.each_payload([&](std::string_view payload) -> Status {
    log::RecordReader records(payload);
    std::string_view record;
    while (records.next(record)) {
      const bool gone = postgres::has_streamed_xid(record) &&
                        transaction.rolled_back.contains(postgres::streamed_xid(record));
      if (!gone) sequence += sequences_of(record);
    }
    last_sequences.push_back(sequence);
    return {};
  }));
  return last_sequences;
}

log::Frame frame_at(log::FrameKind kind, model::Position position, std::int64_t time_us) {
  log::Frame frame;
  frame.header.kind = kind;
  frame.header.first = frame.header.last = position;
  frame.header.start_lsn = position.lsn;
  frame.header.time_us = time_us;
  return frame;
}

void add_record(log::Frame& frame, std::string_view record) {
  log::append_record(frame.payload, record);
  ++frame.header.record_count;
}

}  // namespace

Status StreamedTransaction::each_payload(
    const std::function<Status(std::string_view payload)>& take) const {
  if (spool && spool->frame_count() > 0) {
    TRY_ASSIGN(const auto reader, spool->read());
    log::StoredFrame frame;
    std::string payload;
    while (true) {
      TRY_ASSIGN(const bool more, reader->next(frame));
      if (!more) break;
      TRY(reader->load(frame, payload));
      TRY(take(payload));
    }
  }
  return buffer.empty() ? Status() : take(buffer);
}

StreamedTransactions::StreamedTransactions(log::Log& log, const io::Clock& clock,
                                           WithRoom with_room, StreamedOptions options)
    : log_(log), clock_(clock), with_room_(std::move(with_room)), options_(options) {}

Status StreamedTransactions::take(std::string_view message) {
  if (message.empty()) return misfit(message, "empty");
  if (!in_block()) return message[0] == 'S' ? start(message) : abort(message);
  if (message[0] != 'E') return add_record(message);
  if (message.size() != 1) return misfit(message, "not the length of a Stream Stop");
  current_ = nullptr;
  return {};
}

Status StreamedTransactions::start(std::string_view message) {
  TRY_ASSIGN(const auto start, postgres::parse_stream_start(message));
  const auto found = transactions_.find(start.xid);
  if (start.is_first != (found == transactions_.end()))
    return misfit(message, start.is_first ? "the transaction has begun before"
                                          : "the transaction's first block is missing");
  current_ = &transactions_[start.xid];
  current_->xid = start.xid;
  return {};
}

Status StreamedTransactions::abort(std::string_view message) {
  TRY_ASSIGN(const auto abort, postgres::parse_stream_abort(message));
  const auto found = transactions_.find(abort.xid);
  // PostgreSQL 18 sends nothing of a transaction that it knows to be rolled back, but its end.
  if (found == transactions_.end()) return {};
  if (abort.subxid != abort.xid) return roll_back(found->second, abort.subxid);
  TRY_ASSIGN([[maybe_unused]] const auto gone, release(abort.xid));
  return {};
}

Status StreamedTransactions::add_record(std::string_view message) {
  constexpr std::string_view kKinds = "IUDTRYMO";
  if (kKinds.find(message[0]) == std::string_view::npos)
    return misfit(message, "it cannot stand in a stream block");
  if (postgres::has_streamed_xid(message) && message.size() < postgres::kStreamedHeaderBytes)
    return misfit(message, "it ends before its xid");
  if (message[0] == 'R') {
    TRY_ASSIGN(std::string relation, postgres::without_xid(message));
    add_relation(*current_, postgres::streamed_xid(message), std::move(relation));
  }
  const std::uint64_t sequences = sequences_of(message);
  current_->rows += sequences;
  current_->has_messages = current_->has_messages || (message[0] == 'M' && sequences > 0);
  const std::size_t before = current_->buffer.size();
  log::append_record(current_->buffer, message);
  ++current_->buffer_records;
  memory_bytes_ += current_->buffer.size() - before;
  if (current_->buffer.size() >= options_.frame_bytes_max) return spill(*current_);
  return memory_bytes_ > options_.memory_bytes_max ? spill_largest() : Status();
}

void StreamedTransactions::add_relation(StreamedTransaction& transaction, model::Xid xid,
                                        std::string message) const {
  if (transaction.relation_bytes > options_.relation_bytes_max) return;
  auto& relations = transaction.relations;
  const auto same = std::find_if(relations.begin(), relations.end(), [&](const auto& relation) {
    return relation.xid == xid && relation.message == message;
  });
  if (same != relations.end()) {
    relations.erase(same);
  } else {
    transaction.relation_bytes += message.size();
  }
  relations.push_back({std::move(message), xid});
  if (transaction.relation_bytes > options_.relation_bytes_max) relations.clear();
}

// --- Files ---------------------------------------------------------------------------------------

Status StreamedTransactions::spill_largest() {
  StreamedTransaction* largest = nullptr;
  for (auto& [xid, transaction] : transactions_) {
    if (largest == nullptr || transaction.buffer.size() > largest->buffer.size())
      largest = &transaction;
  }
  return spill(*largest);
}

Status StreamedTransactions::spill(StreamedTransaction& transaction) {
  if (transaction.buffer.empty()) return {};
  const std::size_t bytes = transaction.buffer.size();
  TRY(write_buffer(transaction));
  memory_bytes_ -= bytes;
  return limit_open_files(transaction);
}

Status StreamedTransactions::write_buffer(StreamedTransaction& transaction) {
  if (!transaction.spool) {
    TRY(with_room_([&]() -> Status {
      TRY_ASSIGN(transaction.spool, log_.begin_spool());
      return {};
    }));
  }
  log::FrameHeader header;
  header.kind = log::FrameKind::kChanges;
  header.xid = static_cast<std::uint32_t>(transaction.xid);
  header.record_count = transaction.buffer_records;
  header.time_us = clock_.now_us();
  header.last.sequence = transaction.rows;
  header.first.sequence = std::min(transaction.spooled_rows + 1, transaction.rows);
  TRY(with_room_([&] { return transaction.spool->append(header, transaction.buffer); }));
  // A buffer that has been large is not kept for one that may stay small.
  std::string().swap(transaction.buffer);
  transaction.buffer_records = 0;
  transaction.spooled_rows = transaction.rows;
  return {};
}

Status StreamedTransactions::limit_open_files(const StreamedTransaction& used) {
  forget_open(used);
  open_.push_back(&transactions_.at(used.xid));
  if (open_.size() <= options_.open_files_max) return {};
  StreamedTransaction* const oldest = open_.front();
  open_.erase(open_.begin());
  return oldest->spool->close();
}

void StreamedTransactions::forget_open(const StreamedTransaction& transaction) {
  open_.erase(std::remove(open_.begin(), open_.end(), &transaction), open_.end());
}

// --- Sub-transactions ----------------------------------------------------------------------------

Status StreamedTransactions::roll_back(StreamedTransaction& transaction, model::Xid subxid) {
  transaction.has_rolled_back = true;
  const std::size_t before = transaction.rolled_back.range_count();
  transaction.rolled_back.add(subxid);
  // Two ranges may have become one.
  rolled_back_ranges_ += transaction.rolled_back.range_count();
  rolled_back_ranges_ -= before;
  if (rolled_back_ranges_ <= options_.rolled_back_ranges_max) return {};
  const auto most = std::max_element(
      transactions_.begin(), transactions_.end(), [](const auto& one, const auto& other) {
        return one.second.rolled_back.range_count() < other.second.rolled_back.range_count();
      });
  return take_out_rolled_back(most->second);
}

// What was rolled back gets no more rows, so nothing need be known of it any more.
Status StreamedTransactions::take_out_rolled_back(StreamedTransaction& transaction) {
  TRY(spill(transaction));
  const auto is_gone = [&](model::Xid xid) { return transaction.rolled_back.contains(xid); };
  StreamedTransaction kept;
  kept.xid = transaction.xid;
  TRY(transaction.each_payload([&](std::string_view payload) -> Status {
    log::RecordReader records(payload);
    std::string_view record;
    while (records.next(record)) {
      if (postgres::has_streamed_xid(record) && is_gone(postgres::streamed_xid(record))) continue;
      kept.rows += sequences_of(record);
      log::append_record(kept.buffer, record);
      ++kept.buffer_records;
    }
    return kept.buffer.size() < options_.frame_bytes_max ? Status() : write_buffer(kept);
  }));
  if (!kept.buffer.empty()) TRY(write_buffer(kept));
  std::erase_if(transaction.relations, [&](const auto& each) { return is_gone(each.xid); });
  forget_open(transaction);
  rolled_back_ranges_ -= transaction.rolled_back.range_count();
  transaction.rolled_back = {};
  transaction.spool = std::move(kept.spool);
  transaction.rows = transaction.spooled_rows = kept.rows;
  return transaction.spool ? limit_open_files(transaction) : Status();
}

// --- The end -------------------------------------------------------------------------------------

Result<StreamedTransaction> StreamedTransactions::release(model::Xid xid) {
  const auto found = transactions_.find(xid);
  if (found == transactions_.end() || in_block()) {
    return error(Code::kCorruption, "the replication stream is damaged",
                 fmt::format("transaction {} ends, which has not been sent",
                             static_cast<std::uint32_t>(xid)));
  }
  forget_open(found->second);
  memory_bytes_ -= found->second.buffer.size();
  rolled_back_ranges_ -= found->second.rolled_back.range_count();
  StreamedTransaction transaction = std::move(found->second);
  transactions_.erase(found);
  return transaction;
}

bool StreamedTransactions::is_unclear(model::Xid xid) const {
  const auto found = transactions_.find(xid);
  return found != transactions_.end() && found->second.has_messages &&
         found->second.has_rolled_back;
}

bool StreamedTransactions::is_large(model::Xid xid) const {
  const auto found = transactions_.find(xid);
  if (found == transactions_.end()) return false;
  const StreamedTransaction& transaction = found->second;
  return transaction.spool != nullptr && transaction.spool->bytes() >= options_.adopt_bytes_min &&
         transaction.relation_bytes <= options_.relation_bytes_max;
}

Result<std::optional<std::uint64_t>> StreamedTransactions::adopt(const StreamCommit& commit,
                                                                 std::string_view commit_message,
                                                                 std::uint32_t epoch,
                                                                 const DescribeTable& describe) {
  constexpr std::optional<std::uint64_t> kNotAdopted;
  StreamedTransaction& transaction = transactions_.at(commit.xid);
  const std::int64_t now_us = clock_.now_us();
  const auto at = [&](std::uint64_t sequence) {
    return model::Position{epoch, commit.commit_lsn, sequence};
  };
  log::Adoption adoption;
  log::Frame& begin = adoption.transaction = frame_at(log::FrameKind::kTransaction, at(0), now_us);
  begin.header.xid = static_cast<std::uint32_t>(commit.xid);
  pipeline::add_record(begin, postgres::begin_message(commit));
  pipeline::add_record(begin, transaction.rolled_back.encode());
  std::map<std::uint64_t, std::string> newest;
  for (const auto& relation : transaction.relations) {
    if (transaction.rolled_back.contains(relation.xid)) continue;
    TRY_ASSIGN(std::string schema, describe(relation.message));
    if (schema.empty()) return kNotAdopted;
    pipeline::add_record(begin, schema);
    newest[NetworkReader(std::string_view(relation.message).substr(1)).read<std::uint32_t>()] =
        std::move(schema);
  }

  TRY(spill(transaction));
  std::uint64_t rows = transaction.rows;
  if (!transaction.rolled_back.empty()) {
    TRY_ASSIGN(adoption.last_sequences, count_survivors(transaction));
    rows = adoption.last_sequences.back();
  }
  for (auto& [key, schema] : newest) {
    log::Frame& frame =
        adoption.tail.emplace_back(frame_at(log::FrameKind::kSchema, at(rows), now_us));
    frame.header.key = key;
    pipeline::add_record(frame, schema);
  }
  log::Frame& end =
      adoption.tail.emplace_back(frame_at(log::FrameKind::kChanges, at(rows + 1), now_us));
  end.header.xid = begin.header.xid;
  end.header.end_lsn = commit.end_lsn;
  pipeline::add_record(end, commit_message);

  const Status adopted = with_room_([&] { return log_.adopt(*transaction.spool, adoption); });
  if (!adopted.ok() && adopted.error().code == Code::kUnsupported) return kNotAdopted;
  if (!adopted.ok()) return adopted.error();
  TRY_ASSIGN([[maybe_unused]] const auto done, release(commit.xid));
  return std::optional(rows);
}

}  // namespace pgweir::pipeline
