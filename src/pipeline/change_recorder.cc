#include "pipeline/change_recorder.h"

#include <algorithm>

#include "model/table_change.h"

namespace pgweir::pipeline {
namespace {

// Whether rows of one are rows of the other, field by field.
bool same_fields(const model::Table& a, const model::Table& b) {
  return std::equal(a.columns.begin(), a.columns.end(), b.columns.begin(), b.columns.end(),
                    [](const model::Column& x, const model::Column& y) {
                      return x.name == y.name && x.type == y.type &&
                             x.type_modifier == y.type_modifier;
                    });
}

}  // namespace

Result<std::unique_ptr<ChangeRecorder>> ChangeRecorder::open(log::Log& log,
                                                             const model::Position& after,
                                                             const RecorderOptions& options) {
  TRY_ASSIGN(auto reader, BatchReader::open(log, after, {}));
  return std::unique_ptr<ChangeRecorder>(new ChangeRecorder(std::move(reader), after, options));
}

Status ChangeRecorder::catch_up() {
  while (true) {
    TRY_ASSIGN(const LogEvent event, reader_->next(Microseconds(0)));
    if (event.kind == LogEvent::Kind::kNothing) return {};
    if (event.table) see(event.table);
    if (event.batch) take(*event.batch);
    position_ = std::max(position_, event.position);
  }
}

RecordedTable& ChangeRecorder::add(model::Oid table) {
  RecordedTable& recorded = tables_[model::value(table)];
  recorded = {};
  return recorded;
}

void ChangeRecorder::see(const std::shared_ptr<const model::Table>& shape) {
  RecordedTable* recorded = find(shape->id);
  if (recorded == nullptr) return;
  if (recorded->table == nullptr) {
    recorded->key = key_columns(*shape);
    recorded->table = shape;
  } else if (!same_fields(*shape, *recorded->table) || model::was_away(*recorded->table, *shape)) {
    // Chunks may lack what was done meanwhile.
    recorded->reshaped = true;
  }
}

RecordedTable* ChangeRecorder::find(model::Oid table) {
  const auto found = tables_.find(model::value(table));
  return found == tables_.end() ? nullptr : &found->second;
}

void ChangeRecorder::take(const model::Batch& batch) {
  std::vector<RecordedTable*> tables;
  for (const auto& table : batch.tables) {
    see(table);
    tables.push_back(find(table->id));
  }
  for (const model::Change& change : batch.changes) {
    RecordedTable* table = tables[change.table];
    if (table == nullptr || table->reshaped || table->only_shape || change.op == model::Op::kRead)
      continue;
    record(*table, batch, change);
  }
}

void ChangeRecorder::record(RecordedTable& table, const model::Batch& batch,
                            const model::Change& change) {
  const model::Table& shape = batch.table_of(change);
  RecordedChange out;
  out.op = change.op;
  out.xid = batch.transactions[change.transaction].xid;
  if (change.after != model::kNoRow) {
    const auto row = batch.row(change.after, shape);
    out.new_key = key_of_cells(row, table.key);
    for (const model::Cell& cell : row) {
      const bool sent = cell.kind != model::CellKind::kUnchanged;
      out.fields.push_back(sent ? std::optional(copy_field(cell)) : std::nullopt);
    }
  }
  if (change.before != model::kNoRow)
    out.old_key = key_of_cells(batch.row(change.before, shape), table.key);
  else
    out.old_key = out.new_key;
  if (table.key.empty() && change.before != model::kNoRow) {
    for (const model::Cell& cell : batch.row(change.before, shape)) {
      if (&cell != &batch.row(change.before, shape).front()) out.old_line += '\t';
      out.old_line += copy_field(cell);
    }
  }
  if (!table.key.empty()) list(table, out);
  Entry entry{shape.id, std::move(out), 0};
  entry.bytes = entry.change.bytes();
  bytes_ += entry.bytes;
  entries_.push_back(std::move(entry));
  if (bytes_ <= options_.record_bytes_max) return;
  entries_.clear();
  bytes_ = 0;
  ++generation_;
}

void ChangeRecorder::list(RecordedTable& table, const RecordedChange& change) {
  if (change.op == model::Op::kTruncate) {
    table.listed.clear();
    table.truncated = table.closed = true;
    table.listed_too_much = false;
    return;
  }
  const bool was_listed = table.listed.erase(change.old_key) > 0;
  if (change.op == model::Op::kDelete) return;
  if (change.is_complete()) {
    table.listed.erase(change.new_key);
    return;
  }
  if (!was_listed && table.closed) return;
  table.listed.insert(change.new_key);
  if (table.listed.size() <= options_.listed_keys_max) return;
  table.listed.clear();
  table.listed_too_much = true;
}

std::vector<const RecordedChange*> ChangeRecorder::unseen(
    model::Oid table, const postgres::XidSnapshot& snapshot) const {
  std::vector<const RecordedChange*> out;
  for (const Entry& entry : entries_) {
    if (entry.table == table && !snapshot.sees(entry.change.xid)) out.push_back(&entry.change);
  }
  return out;
}

void ChangeRecorder::forget(const std::function<bool(model::Xid)>& seen) {
  std::size_t kept = 0;
  for (Entry& entry : entries_) {
    if (seen(entry.change.xid)) {
      bytes_ -= entry.bytes;
      continue;
    }
    if (&entries_[kept] != &entry) entries_[kept] = std::move(entry);
    ++kept;
  }
  entries_.resize(kept);
}

}  // namespace pgweir::pipeline
