// Batches of changes to tables with two columns, id and v. For tests only.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/batch.h"

namespace pgweir::debezium {

using Strings = std::vector<std::string>;

inline std::shared_ptr<const model::Table> testing_table(std::uint32_t oid, std::string name,
                                                         bool keyed = true) {
  model::Table out;
  out.id = model::Oid{oid};
  out.schema = "public";
  out.name = std::move(name);
  for (const char* each : {"id", "v"}) {
    model::Column column;
    column.name = each;
    column.type = column.base_type = model::Oid{23};
    out.columns.push_back(column);
  }
  if (keyed) out.primary_key = {0};
  return std::make_shared<const model::Table>(std::move(out));
}

// Row by row.
class BatchBuilder {
 public:
  BatchBuilder() { batch_.arenas.push_back(texts_); }
  BatchBuilder& transaction(std::uint32_t xid, std::uint64_t lsn) {
    model::Transaction out;
    out.xid = model::Xid{xid};
    out.commit_lsn = model::Lsn{lsn};
    out.commit_time = model::Timestamp{1'000'000};
    out.first_change = static_cast<std::uint32_t>(batch_.changes.size());
    out.begins = out.ends = true;
    out.end_lsn = model::Lsn{lsn + 8};
    batch_.transactions.push_back(out);
    return *this;
  }
  BatchBuilder& snapshot() {
    transaction(0, 500);
    batch_.transactions.back().kind = model::Transaction::Kind::kSnapshot;
    return *this;
  }
  // Rows as {"1", "2"}; empty: none; "-": a column that the row is without. `sequence`: 0 counts.
  BatchBuilder& change(model::Op op, const std::shared_ptr<const model::Table>& of,
                       const Strings& before, const Strings& after, std::uint64_t sequence = 0) {
    model::Change out;
    out.op = op;
    out.transaction = static_cast<std::uint32_t>(batch_.transactions.size() - 1);
    out.table = static_cast<std::uint32_t>(batch_.tables.size());
    batch_.tables.push_back(of);
    out.before = add(before);
    out.after = add(after);
    out.sequence = ++batch_.transactions.back().change_count;
    if (sequence != 0) out.sequence = sequence;
    out.lsn = model::Lsn{model::value(batch_.transactions.back().commit_lsn) - 100 + out.sequence};
    batch_.changes.push_back(out);
    return *this;
  }
  // The transaction goes on in the next batch; or has begun in the one before.
  BatchBuilder& open_end() {
    batch_.transactions.back().ends = false;
    return *this;
  }
  BatchBuilder& open_begin() {
    batch_.transactions.back().begins = false;
    return *this;
  }
  // Behind a position, up to the last change, or the commit.
  BatchBuilder& range(const model::Position& from, const model::Position& to) {
    batch_.from = from;
    batch_.to = to;
    return *this;
  }
  operator const model::Batch&() const { return batch_; }  // NOLINT: implicit on purpose
  model::BatchPtr shared() const { return std::make_shared<const model::Batch>(batch_); }

 private:
  std::uint32_t add(const Strings& row) {
    if (row.empty()) return model::kNoRow;
    const auto first = static_cast<std::uint32_t>(batch_.cells.size());
    for (const std::string& value : row) {
      texts_->push_back(value);
      const std::string& text = texts_->back();
      const auto size = static_cast<std::uint32_t>(text.size());
      batch_.cells.push_back(
          {text.data(), size, text == "-" ? model::CellKind::kAbsent : model::CellKind::kText});
    }
    return first;
  }

  std::shared_ptr<std::deque<std::string>> texts_ = std::make_shared<std::deque<std::string>>();
  model::Batch batch_;
};

}  // namespace pgweir::debezium
