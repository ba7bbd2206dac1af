#include "pipeline/row_log.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/nearest_name.h"
#include "engine/mirror_writer.h"
#include "log/folder_cursor.h"
#include "log/segment_reader.h"
#include "postgres/catalog.h"

namespace pgweir::pipeline {
namespace {

LogRow row_of(const model::Batch& batch, const std::shared_ptr<const model::Table>& table,
              std::uint32_t first_cell) {
  LogRow out{table, {}};
  for (const model::Cell& cell : batch.row(first_cell, *table)) {
    LogValue& value = out.values.emplace_back();
    if (cell.kind == model::CellKind::kNull) value.kind = LogValue::Kind::kNull;
    if (cell.kind != model::CellKind::kText) continue;
    value.kind = LogValue::Kind::kText;
    value.text = cell.text();
  }
  return out;
}

}  // namespace

std::size_t LogRow::bytes() const {
  std::size_t out = sizeof(LogRow) + values.size() * sizeof(LogValue);
  for (const LogValue& value : values) out += value.text.size();
  return out;
}

const LogValue& LogRow::value(const std::string& column) const {
  static const LogValue kUnknown;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (table->columns[i].name == column) return values[i];
  }
  return kUnknown;
}

bool LogRow::complete() const {
  return std::all_of(values.begin(), values.end(),
                     [](const LogValue& value) { return value.known(); });
}

RowKey::RowKey(const model::Table& table) {
  const auto identity = engine::lay_out(table, {}, {}).identity;
  if (identity.kind != engine::MirrorKind::kKeyed) return;
  // In the primary key's order, as people write it, where that is the key.
  const bool is_primary = std::is_permutation(identity.key.begin(), identity.key.end(),
                                              table.primary_key.begin(), table.primary_key.end());
  for (const std::uint32_t column : is_primary ? table.primary_key : identity.key)
    columns_.push_back(table.columns[column].name);
}

namespace {

void append_part(std::string& key, bool is_null, std::string_view text) {
  key += is_null ? "-" : std::to_string(text.size()) + ":";
  key += text;
}

}  // namespace

std::optional<std::string> RowKey::of(const LogRow& row) const {
  std::string out;
  for (const std::string& column : columns_) {
    const LogValue& value = row.value(column);
    if (!value.known()) return std::nullopt;
    append_part(out, value.kind == LogValue::Kind::kNull, value.text);
  }
  return out;
}

bool RowKey::read(const model::Table& table, const model::Cell* row, std::string& key) {
  // By address alone it may be an earlier table's.
  bool is_known = places_of_ == &table && places_.size() == columns_.size();
  for (std::size_t i = 0; is_known && i < places_.size(); ++i) {
    is_known = places_[i] < table.columns.size() && table.columns[places_[i]].name == columns_[i];
  }
  if (!is_known) {
    places_.clear();
    for (const std::string& column : columns_) {
      const auto found =
          std::find_if(table.columns.begin(), table.columns.end(),
                       [&](const model::Column& each) { return each.name == column; });
      if (found != table.columns.end())
        places_.push_back(static_cast<std::uint32_t>(found - table.columns.begin()));
    }
    places_of_ = &table;
  }
  key.clear();
  if (places_.size() != columns_.size()) return false;
  for (const std::uint32_t place : places_) {
    const model::Cell& cell = row[place];
    const bool is_null = cell.kind == model::CellKind::kNull;
    if (!is_null && cell.kind != model::CellKind::kText) return false;
    append_part(key, is_null, is_null ? std::string_view() : cell.text());
  }
  return true;
}

// --- Opening -----------------------------------------------------------------------------------

Result<RowLog> RowLog::open(io::Fs& fs, std::string directory, const std::string& table) {
  RowLog out(fs, std::move(directory));
  TRY(out.look_up(table));
  return out;
}

// Of the last segments, whose heads name every table there was until then.
Status RowLog::look_up(const std::string& table) {
  TRY_ASSIGN(const auto files, log::list_segments(fs_, directory_));
  if (files.empty())
    return error(Code::kNotFound, fmt::format("there is no log in {}", directory_), {},
                 "`pgweir run` makes it");
  model::Position tail;
  std::uint32_t epoch = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    auto opened = log::SegmentReader::open(fs_, files[i].path, log::LogOptions().frame_bytes_max);
    if (!opened.ok() && i > 0) continue;  // it is being made
    TRY_ASSIGN(const auto reader, std::move(opened));
    tail = reader->header().before.last;
    if (i == 0) begin_ = tail;
    model::Position first = reader->header().first;
    log::StoredFrame frame;
    while (first == model::Position{}) {
      const auto more = reader->next(frame);
      if (!more.ok() || !*more) break;
      if (!frame.repeated) first = frame.header.first;
    }
    if (first.epoch > epoch) epoch_begin_ = first.lsn;
    epoch = std::max(epoch, first.epoch);
  }
  TRY_ASSIGN(const auto cursor, log::FolderCursor::open(fs_, directory_, tail));
  end_ = tail;
  std::map<std::string, std::shared_ptr<const model::Table>> known;
  while (true) {
    TRY_ASSIGN(const log::FramePtr frame, cursor->next(Microseconds(0)));
    if (frame == nullptr) break;
    end_ = std::max(end_, frame->header.last);
    end_lsn_ = std::max({end_lsn_, frame->header.end_lsn, end_.lsn});
    if (frame->header.kind != log::FrameKind::kSchema) continue;
    log::RecordReader records(frame->payload);
    std::string_view record;
    while (records.next(record)) {
      TRY_ASSIGN(postgres::SchemaRecord schema, postgres::decode_schema(record));
      std::erase_if(known, [&](const auto& each) { return each.second->id == schema.table.id; });
      const std::string name = schema.table.qualified_name();
      known[name] = std::make_shared<const model::Table>(std::move(schema.table));
    }
  }
  std::vector<std::string> names, fitting;
  for (const auto& [name, each] : known) {
    names.push_back(name);
    if (name == table || each->name == table) fitting.push_back(name);
  }
  if (known.contains(table)) fitting = {table};
  if (fitting.size() > 1)
    return error(Code::kInvalid, fmt::format("'{}' fits several tables", table), {},
                 fmt::format("name one of {}", fmt::join(fitting, ", ")));
  if (fitting.empty()) {
    const bool has_schema = table.find('.') != std::string::npos;
    const std::string nearest = nearest_name(has_schema ? table : "public." + table, names);
    return error(Code::kNotFound, fmt::format("the log has no table '{}'", table), {},
                 nearest.empty() ? fmt::format("it has {}", fmt::join(names, ", "))
                                 : fmt::format("did you mean '{}'?", nearest));
  }
  table_ = known[fitting[0]];
  return {};
}

// --- Reading -----------------------------------------------------------------------------------

Status RowLog::scan(const model::Position& after, const model::Position& to,
                    const Visitor& visitor) {
  const model::Position from = std::max(after, begin_);
  TRY_ASSIGN(auto cursor, log::FolderCursor::open(fs_, directory_, from));
  const auto reader = BatchReader::over(std::move(cursor), from, BatchReaderOptions{});
  while (true) {
    TRY_ASSIGN(const LogEvent event, reader->next(Microseconds(0)));
    if (event.kind == LogEvent::Kind::kNothing) return {};
    const bool is_ours = event.table != nullptr && event.table->id == table_->id;
    switch (event.kind) {
      case LogEvent::Kind::kSnapshotBegin:
        TRY(visitor.rows_begin());
        break;
      case LogEvent::Kind::kSnapshotEnd:
        TRY(visitor.rows_end());
        break;
      case LogEvent::Kind::kReadBegin:
        if (is_ours && event.read.replaces) TRY(visitor.rows_begin());
        break;
      case LogEvent::Kind::kReadEnd:
        if (is_ours) TRY(visitor.rows_end());
        break;
      default:
        break;
    }
    if (event.batch) TRY(visit(*event.batch, to, visitor));
    if (event.position > to) return {};
  }
}

Status RowLog::visit(const model::Batch& batch, const model::Position& to, const Visitor& visitor) {
  for (const model::Change& change : batch.changes) {
    const auto& table = batch.tables[change.table];
    if (table->id != table_->id) continue;
    const auto cells = [&](std::uint32_t row) {
      return row == model::kNoRow ? nullptr : batch.cells.data() + row;
    };
    if (visitor.wants && !visitor.wants(change, *table, cells(change.before), cells(change.after)))
      continue;
    const model::Transaction& transaction = batch.transactions[change.transaction];
    RowChange out;
    out.position = {batch.to.epoch, transaction.commit_lsn, change.sequence};
    if (out.position > to) return {};
    out.op = change.op;
    out.commit_time = transaction.commit_time;
    out.xid = transaction.xid;
    out.in_stream =
        transaction.kind == model::Transaction::Kind::kStream && change.op != model::Op::kRead;
    if (change.before != model::kNoRow) out.before = row_of(batch, table, change.before);
    if (change.after != model::kNoRow) {
      out.after = row_of(batch, table, change.after);
      for (const model::Cell& cell : batch.row(change.after, *table))
        out.untouched.push_back(cell.kind == model::CellKind::kUnchanged);
    }
    TRY(visitor.change(std::move(out)));
  }
  return {};
}

}  // namespace pgweir::pipeline
