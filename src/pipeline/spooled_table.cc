#include "pipeline/spooled_table.h"

#include <fmt/core.h>

#include <algorithm>

#include "pipeline/read_note.h"
#include "postgres/catalog.h"

namespace pgweir::pipeline {
namespace {

constexpr std::size_t kFrameBytes = kMiB;  // of rows, and one row more
constexpr std::size_t kBatchBytes = 4 * kMiB;

// In front of the boundary, where no commit begins: the rows, the changes, the end.
constexpr std::uint64_t kRowsBefore = 3, kChangesBefore = 2;
constexpr std::uint64_t kAlignment = 8;  // of records in the WAL

model::Lsn in_front_of(model::Lsn boundary, std::uint64_t bytes) {
  return model::Lsn{model::value(boundary) - bytes};
}

}  // namespace

SpooledTable::SpooledTable(log::Log& log, const io::Clock& clock,
                           std::shared_ptr<const model::Table> table, TableSpools spools,
                           WithRoom with_room)
    : log_(log),
      clock_(clock),
      table_(std::move(table)),
      from_(spools.from),
      rows_(std::move(spools.rows)),
      changes_file_(std::move(spools.changes)),
      with_room_([this, with_room = std::move(with_room)](const auto& step) {
        return placing_ ? step() : with_room(step);
      }) {}

// --- Its rows ------------------------------------------------------------------------------------

Status SpooledTable::begin(const postgres::XidSnapshot& snapshot) {
  snapshot_ = snapshot;
  // Whatever has this id has ended: whoever reads the source takes it for seen.
  xid_ = model::Xid{std::max(static_cast<std::uint32_t>(snapshot.xmin - 1), 1u)};
  changes_.emplace(log_, clock_, with_room_, xid_);
  changes_->spill_into(std::move(changes_file_));
  const std::string schema = postgres::encode_schema({"", *table_});
  TRY(append(log::FrameKind::kReadBegin, 1, schema,
             encode_read_note({.whole = true, .replaces = true, .snapshot = {}})));
  // For those that begin among the rows.
  return append(log::FrameKind::kSchema, 0, schema, {});
}

Status SpooledTable::append(log::FrameKind kind, std::uint64_t records, std::string_view first,
                            std::string_view second) {
  log::FrameHeader header;
  header.kind = kind;
  header.key = model::value(table_->id);
  header.first.sequence = sequence_ + (records > 0 ? 1 : 0);
  header.last.sequence = sequence_ += records;
  header.time_us = clock_.now_us();
  header.record_count = second.empty() ? 1 : 2;
  std::string payload;
  log::append_record(payload, first);
  if (!second.empty()) log::append_record(payload, second);
  return with_room_([&] { return rows_->append(header, payload); });
}

Status SpooledTable::add_row(std::string_view line) {
  lines_ += line;
  ++lines_count_;
  return lines_.size() < kFrameBytes ? Status() : flush();
}

Status SpooledTable::flush() {
  if (lines_.empty()) return {};
  // One record more is the end of the rows as a transaction of its own.
  TRY(append(log::FrameKind::kReadRows, lines_count_ + 1, lines_, {}));
  row_count_ += lines_count_;
  lines_count_ = 0;
  lines_.clear();
  return {};
}

Status SpooledTable::end_rows() {
  TRY(flush());
  std::string().swap(lines_);
  return with_room_([&] { return rows_->close(); });
}

// --- What came since -----------------------------------------------------------------------------

Result<bool> SpooledTable::follow(std::size_t batches_max) {
  if (!reader_) {
    TRY_ASSIGN(reader_, BatchReader::open(log_, from_, {.batch_bytes_max = kBatchBytes}));
  }
  for (std::size_t i = 0; i < batches_max;) {
    TRY_ASSIGN(const LogEvent event, reader_->next(Microseconds(0)));
    if (event.kind == LogEvent::Kind::kNothing) return true;
    if (!event.batch) continue;
    TRY(take(*event.batch));
    ++i;
  }
  return false;
}

Status SpooledTable::take(const model::Batch& batch) {
  const auto is_ours = [&](const auto& each) { return each->id == table_->id; };
  if (std::none_of(batch.tables.begin(), batch.tables.end(), is_ours)) return {};
  for (const model::Change& change : batch.changes) {
    if (!is_ours(batch.tables[change.table]) || change.op == model::Op::kRead) continue;
    if (snapshot_.sees(batch.transactions[change.transaction].xid)) continue;
    TRY(take(batch, change));
  }
  return {};
}

Status SpooledTable::take(const model::Batch& batch, const model::Change& change) {
  const model::Table& shape = batch.table_of(change);
  const bool same_shape = shape.columns.size() == table_->columns.size();
  if (change.op == model::Op::kTruncate || !same_shape) {
    return error(Code::kUnavailable,
                 fmt::format("table {} was truncated, or changed its shape, while it was read",
                             table_->qualified_name()),
                 {}, "It is read again");
  }
  if (change.before != model::kNoRow) TRY(tuple(batch.row(change.before, shape), before_));
  if (change.after != model::kNoRow) TRY(tuple(batch.row(change.after, shape), after_));
  if (change.after == model::kNoRow) return changes_->remove(table_->id, before_);
  if (change.before == model::kNoRow) return changes_->insert(table_->id, after_);
  return changes_->update(table_->id, before_, after_);
}

// TupleData: the number of columns, 16 bits, and each.
Status SpooledTable::tuple(std::span<const model::Cell> row, std::string& out) const {
  out.assign(1, static_cast<char>(row.size() >> 8));
  out += static_cast<char>(row.size() & 0xff);
  for (const model::Cell& cell : row) {
    const std::string_view text = cell.text();
    if (cell.kind == model::CellKind::kText) {
      append_cell(out, &text);
    } else if (cell.kind == model::CellKind::kNull) {
      append_cell(out, nullptr);
    } else {
      return error(Code::kInternal, fmt::format("a row of {}, which has no key, came in part",
                                                table_->qualified_name()));
    }
  }
  return {};
}

// --- Into the log --------------------------------------------------------------------------------

bool SpooledTable::fits(const model::Position& last, model::Lsn boundary) const {
  return model::value(boundary) % kAlignment == 0 && last.lsn < in_front_of(boundary, kRowsBefore);
}

Status SpooledTable::place(std::uint32_t epoch, model::Lsn boundary) {
  placing_ = true;
  const model::Lsn at = in_front_of(boundary, kRowsBefore);
  const auto frame_at = [&](log::FrameKind kind, std::uint64_t sequence) {
    log::Frame frame;
    frame.header.kind = kind;
    frame.header.first = frame.header.last = {epoch, at, sequence};
    frame.header.start_lsn = at;
    frame.header.time_us = clock_.now_us();
    return frame;
  };
  log::Adoption adoption;
  adoption.transaction = frame_at(log::FrameKind::kTransaction, 0);
  log::Frame& schema = adoption.tail.emplace_back(frame_at(log::FrameKind::kSchema, sequence_));
  schema.header.key = model::value(table_->id);
  schema.header.record_count = 1;
  log::append_record(schema.payload, postgres::encode_schema({"", *table_}));
  TRY(log_.adopt(*rows_, adoption));
  is_in_log_ = true;
  TRY(changes_->commit(epoch, {xid_, in_front_of(boundary, kChangesBefore), boundary,
                               model::Timestamp{clock_.now_us()}}));
  return {};
}

}  // namespace pgweir::pipeline
