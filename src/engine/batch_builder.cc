#include "engine/batch_builder.h"

namespace pgweir::engine {

model::Column typed_column(const std::string& name, std::uint32_t type, std::int32_t modifier) {
  return {.name = name,
          .type = model::Oid{type},
          .type_modifier = modifier,
          .type_name = "type " + std::to_string(type),
          .base_type = model::Oid{type}};
}

model::Column text_column(const std::string& name, bool in_key) {
  model::Column column = typed_column(name, 25);
  column.type_name = "text";
  column.in_key = in_key;
  return column;
}

model::Column int_column(const std::string& name, bool in_key) {
  model::Column column = typed_column(name, 23);
  column.type_name = "integer";
  column.in_key = in_key;
  return column;
}

void BatchBuilder::begin(std::uint64_t lsn, model::Timestamp time, bool is_first_part,
                         model::Transaction::Kind kind) {
  batch_.transactions.push_back({.kind = kind,
                                 .xid = model::Xid{static_cast<std::uint32_t>(lsn)},
                                 .commit_lsn = model::Lsn{lsn},
                                 .commit_time = time,
                                 .first_change = static_cast<std::uint32_t>(batch_.changes.size()),
                                 .begins = is_first_part});
  if (is_first_part) batch_.to = {batch_.from.epoch, model::Lsn{lsn}, 0};
}

model::Change& BatchBuilder::add(const std::shared_ptr<const model::Table>& table, model::Op op) {
  std::uint32_t index = 0;
  while (index < batch_.tables.size() && batch_.tables[index] != table) ++index;
  if (index == batch_.tables.size()) batch_.tables.push_back(table);
  ++batch_.transactions.back().change_count;
  batch_.changes.push_back(
      {.op = op,
       .transaction = static_cast<std::uint32_t>(batch_.transactions.size() - 1),
       .table = index,
       .bytes = 10,
       .sequence = ++batch_.to.sequence});
  return batch_.changes.back();
}

std::uint32_t BatchBuilder::add_row(const TextRow& row, const model::Table& table, bool key_only) {
  const auto first = static_cast<std::uint32_t>(batch_.cells.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    model::Cell cell;
    if (key_only && !table.columns[i].in_key) {
      cell.kind = model::CellKind::kAbsent;
    } else if (row[i] == kUnchangedText) {
      cell.kind = model::CellKind::kUnchanged;
    } else if (row[i]) {
      const auto text = std::make_shared<const std::string>(*row[i]);
      batch_.arenas.push_back(text);
      cell = {text->data(), static_cast<std::uint32_t>(text->size()), model::CellKind::kText};
    }
    batch_.cells.push_back(cell);
  }
  return first;
}

void BatchBuilder::insert(const std::shared_ptr<const model::Table>& table, const TextRow& row,
                          model::Op op) {
  const std::uint32_t after = add_row(row, *table, false);
  add(table, op).after = after;
}

void BatchBuilder::update(const std::shared_ptr<const model::Table>& table, const TextRow& before,
                          const TextRow& after) {
  const bool full = table->replica_identity == model::ReplicaIdentity::kFull;
  const std::uint32_t old_row = before.empty() ? model::kNoRow : add_row(before, *table, !full);
  const std::uint32_t new_row = add_row(after, *table, false);
  model::Change& change = add(table, model::Op::kUpdate);
  change.before = old_row;
  change.after = new_row;
  if (!before.empty())
    change.before_image = full ? model::BeforeImage::kFull : model::BeforeImage::kKey;
}

void BatchBuilder::remove(const std::shared_ptr<const model::Table>& table, const TextRow& before) {
  const bool full = table->replica_identity == model::ReplicaIdentity::kFull;
  const std::uint32_t old_row = add_row(before, *table, !full);
  model::Change& change = add(table, model::Op::kDelete);
  change.before = old_row;
  change.before_image = full ? model::BeforeImage::kFull : model::BeforeImage::kKey;
}

void BatchBuilder::truncate(const std::shared_ptr<const model::Table>& table) {
  add(table, model::Op::kTruncate);
}

void BatchBuilder::end(bool ends) {
  model::Transaction& transaction = batch_.transactions.back();
  transaction.ends = ends;
  if (!ends) return;
  ++batch_.to.sequence;  // the commit's record
  transaction.end_lsn = model::Lsn{model::value(transaction.commit_lsn) + 1};
}

}  // namespace pgweir::engine
