// For the tests and benchmarks of sinks: a log of change events in memory, that can be read in
// batches from any position, cut anywhere.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "model/batch.h"

namespace pgweir::sinks {

// nullopt-like cells: what a row may hold beside texts.
inline const std::string kNullText = "\x01 null";
inline const std::string kUnchangedText = "\x01 unchanged";
inline const std::string kAbsentText = "\x01 absent";

using TextCells = std::vector<std::string>;

class EventLog {
 public:
  struct Record {
    model::Op op = model::Op::kInsert;
    std::shared_ptr<const model::Table> table;
    TextCells before;  // empty = none
    TextCells after;
  };

  // Starts a transaction, committed at `time`. Its LSN and xid follow the one before.
  void begin(model::Timestamp time);
  void add(Record record);

  std::size_t record_count() const { return records_.size(); }
  model::Position end() const;

  // The records behind `from`, at most `records_max` of them, commits included; nullptr at the end.
  model::BatchPtr read(const model::Position& from, std::size_t records_max) const;

  struct Transaction {
    model::Lsn commit_lsn{};
    model::Xid xid{};
    model::Timestamp time{};
    std::size_t first = 0;
    std::size_t count = 0;
  };
  const std::deque<Transaction>& transactions() const { return transactions_; }
  const Record& record(std::size_t index) const { return records_[index]; }

  std::uint32_t epoch = 1;

 private:
  std::deque<Transaction> transactions_;
  std::deque<Record> records_;
};

inline void EventLog::begin(model::Timestamp time) {
  const std::uint64_t number = transactions_.size() + 1;
  transactions_.push_back({model::Lsn{0x1600000000 + number * 0x100},
                           model::Xid{static_cast<std::uint32_t>(700 + number)}, time,
                           records_.size(), 0});
}

inline void EventLog::add(Record record) {
  records_.push_back(std::move(record));
  ++transactions_.back().count;
}

inline model::Position EventLog::end() const {
  if (transactions_.empty()) return {};
  return {epoch, transactions_.back().commit_lsn, transactions_.back().count + 1};
}

namespace event_log_detail {

inline std::uint32_t add_row(model::Batch& batch, const TextCells& cells) {
  if (cells.empty()) return model::kNoRow;
  const auto first = static_cast<std::uint32_t>(batch.cells.size());
  for (const std::string& text : cells) {
    model::Cell cell{text.data(), static_cast<std::uint32_t>(text.size()), model::CellKind::kText};
    if (text == kNullText) cell = {nullptr, 0, model::CellKind::kNull};
    if (text == kUnchangedText) cell = {nullptr, 0, model::CellKind::kUnchanged};
    if (text == kAbsentText) cell = {nullptr, 0, model::CellKind::kAbsent};
    batch.cells.push_back(cell);
  }
  return first;
}

inline void add_change(model::Batch& batch, const EventLog::Record& record,
                       std::uint64_t sequence) {
  model::Change change;
  change.op = record.op;
  change.transaction = static_cast<std::uint32_t>(batch.transactions.size() - 1);
  change.before_image =
      record.before.empty() ? model::BeforeImage::kNone : model::BeforeImage::kKey;
  if (batch.tables.empty() || batch.tables.back() != record.table)
    batch.tables.push_back(record.table);
  change.table = static_cast<std::uint32_t>(batch.tables.size() - 1);
  change.before = add_row(batch, record.before);
  change.after = add_row(batch, record.after);
  for (const auto* cells : {&record.before, &record.after}) {
    for (const std::string& text : *cells)
      change.bytes += static_cast<std::uint32_t>(text.size() + 5);
  }
  change.sequence = sequence;
  batch.changes.push_back(change);
}

}  // namespace event_log_detail

inline model::BatchPtr EventLog::read(const model::Position& from, std::size_t records_max) const {
  auto batch = std::make_shared<model::Batch>();
  batch->from = from;
  std::size_t taken = 0;
  for (const Transaction& source : transactions_) {
    const model::Position last{epoch, source.commit_lsn, source.count + 1};
    if (last <= from) continue;
    if (taken == records_max) break;
    std::uint64_t sequence = 1;
    if (from.epoch == epoch && from.lsn == source.commit_lsn) sequence = from.sequence + 1;
    model::Transaction& made = batch->transactions.emplace_back();
    made.xid = source.xid;
    made.commit_lsn = source.commit_lsn;
    made.commit_time = source.time;
    made.begins = sequence == 1;
    made.first_change = static_cast<std::uint32_t>(batch->changes.size());
    for (; sequence <= source.count && taken < records_max; ++sequence, ++taken)
      event_log_detail::add_change(*batch, records_[source.first + sequence - 1], sequence);
    made.change_count = static_cast<std::uint32_t>(batch->changes.size()) - made.first_change;
    made.ends = sequence == source.count + 1 && taken < records_max;
    if (made.ends) {
      made.end_lsn = model::Lsn{model::value(source.commit_lsn) + 0x30};
      ++sequence;
      ++taken;
    }
    batch->to = {epoch, source.commit_lsn, sequence - 1};
  }
  if (taken == 0) return nullptr;
  return batch;
}

}  // namespace pgweir::sinks
