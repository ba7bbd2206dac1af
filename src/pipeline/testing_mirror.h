// For tests: tables as the log tells them, kept in memory by the rules that every follower has.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "log/log.h"
#include "pipeline/batch_reader.h"
#include "pipeline/chunk_merge.h"

namespace pgweir::pipeline {

class TestingMirror {
 public:
  explicit TestingMirror(log::Log& log) : reader_(BatchReader::open(log, {}, {}).value()) {}

  // Takes everything that is durable.
  void follow() {
    while (true) {
      const LogEvent event = reader_->next(Microseconds(0)).value();
      if (event.kind == LogEvent::Kind::kNothing) return;
      if (event.kind == LogEvent::Kind::kTable && in_snapshot_) table_of(*event.table).known = true;
      if (event.kind == LogEvent::Kind::kSnapshotBegin) in_snapshot_ = true;
      if (event.kind == LogEvent::Kind::kSnapshotEnd) in_snapshot_ = false;
      if (event.kind == LogEvent::Kind::kReadBegin) begin(event);
      if (event.kind == LogEvent::Kind::kReadEnd) end(event);
      if (event.position < last_) ADD_FAILURE() << "positions go back";
      last_ = event.position;
      if (!event.batch) continue;
      for (const model::Change& change : event.batch->changes) apply(*event.batch, change);
    }
  }

  // "field|field" of every row, in the order of their texts.
  std::multiset<std::string> rows(const std::string& table) const {
    std::multiset<std::string> out;
    const auto found = tables_.find(table);
    if (found == tables_.end()) return out;
    for (const auto& [key, row] : found->second.rows) {
      std::string text;
      for (const auto& field : row) text += (text.empty() ? "" : "|") + field.value_or("?");
      out.insert(text);
    }
    return out;
  }
  bool reading(const std::string& table) const {
    const auto found = tables_.find(table);
    return found != tables_.end() && found->second.reading;
  }
  // Of kind 'r', of all tables.
  std::uint64_t reads() const { return reads_; }
  // Readings that began, of the table that was read last.
  std::uint64_t begins() const { return begins_; }

 private:
  using Row = std::vector<std::optional<std::string>>;
  struct Table {
    model::Oid id{};
    std::map<std::string, Row> rows;
    std::set<std::string> seen;
    bool reading = false;
    bool known = false;  // of one that came later nothing is, until it is read
  };

  // Another one of its name has taken its place.
  Table& table_of(const model::Table& shape) {
    Table& table = tables_[shape.name];
    if (table.id != shape.id) table = {};
    table.id = shape.id;
    return table;
  }

  void begin(const LogEvent& event) {
    begins_ = event.table->id == last_begun_ ? begins_ + 1 : 1;
    last_begun_ = event.table->id;
    Table& table = table_of(*event.table);
    table.reading = table.known = true;
    table.seen.clear();
    // What a first snapshot brought is right.
    for (const auto& [key, row] : table.rows) {
      if (in_snapshot_) table.seen.insert(key);
    }
    if (event.read.replaces) table.rows.clear();
  }

  void end(const LogEvent& event) {
    Table& table = table_of(*event.table);
    table.reading = false;
    std::erase_if(table.rows, [&](const auto& row) { return !table.seen.contains(row.first); });
  }

  void apply(const model::Batch& batch, const model::Change& change) {
    const model::Table& shape = batch.table_of(change);
    Table& table = table_of(shape);
    if (!table.known) return;
    if (change.op == model::Op::kTruncate) {
      table.rows.clear();
      return;
    }
    auto key = key_columns(shape);
    // (Without a key rows are told apart by all their columns: the tests have no equal ones.)
    for (std::uint32_t i = 0; key_columns(shape).empty() && i < shape.columns.size(); ++i)
      key.push_back(i);
    std::string old_key, new_key;
    Row row;
    if (change.after != model::kNoRow) {
      const auto cells = batch.row(change.after, shape);
      new_key = old_key = key_of_cells(cells, key);
      for (const model::Cell& cell : cells) {
        const bool sent = cell.kind != model::CellKind::kUnchanged;
        row.push_back(sent ? std::optional(copy_field(cell)) : std::nullopt);
      }
    }
    if (change.before != model::kNoRow)
      old_key = key_of_cells(batch.row(change.before, shape), key);
    Row before;
    bool had = false;
    if (change.op == model::Op::kUpdate || change.op == model::Op::kDelete) {
      const auto found = table.rows.find(old_key);
      had = found != table.rows.end();
      if (had) before = found->second;
      if (had) table.rows.erase(found);
      if (!had && !table.reading)
        ADD_FAILURE() << "no row " << old_key << " of " << shape.name << " to change";
    }
    if (change.op == model::Op::kRead) ++reads_;
    if (change.op == model::Op::kDelete) return;
    for (std::size_t i = 0; had && i < row.size(); ++i) {
      if (!row[i]) row[i] = before[i];
    }
    for (const auto& field : row) {
      if (field) continue;
      if (!table.reading) ADD_FAILURE() << "a value of row " << new_key << " is not known";
      return;
    }
    if (change.op == model::Op::kInsert && table.rows.contains(new_key))
      ADD_FAILURE() << "row " << new_key << " is inserted twice";
    table.rows[new_key] = std::move(row);
    table.seen.insert(new_key);
  }

  const std::unique_ptr<BatchReader> reader_;
  std::map<std::string, Table> tables_;
  model::Position last_;
  std::uint64_t reads_ = 0;
  std::uint64_t begins_ = 0;
  model::Oid last_begun_{};
  bool in_snapshot_ = false;
};

}  // namespace pgweir::pipeline
