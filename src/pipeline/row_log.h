// A table's changes out of a log folder: what history and undo are made from.
//
// Place:   reads files alone, also beside a running pipeline.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/fs.h"
#include "model/batch.h"
#include "pipeline/batch_reader.h"

namespace pgweir::pipeline {

// A value as the log has it.
struct LogValue {
  enum class Kind : std::uint8_t { kNull, kText, kUnknown };
  Kind kind = Kind::kUnknown;
  std::string text;

  bool known() const { return kind != Kind::kUnknown; }
  bool operator==(const LogValue&) const = default;
};

// A row, as wide as its table.
struct LogRow {
  std::shared_ptr<const model::Table> table;
  std::vector<LogValue> values;

  std::size_t bytes() const;
  // The value of the column of that name; unknown when there is none.
  const LogValue& value(const std::string& column) const;
  bool complete() const;
};

// What tells the rows of a table apart in the stream: the columns of its key, by name, so that it
// holds for earlier versions of the table, too.
class RowKey {
 public:
  explicit RowKey(const model::Table& table);

  // Empty: nothing tells them apart.
  const std::vector<std::string>& columns() const { return columns_; }
  // A key as bytes, the same for the same texts. Nothing when a part of it is not known.
  std::optional<std::string> of(const LogRow& row) const;
  // The same of a row of a batch, into `key`; false when a part is not known.
  bool read(const model::Table& table, const model::Cell* row, std::string& key);

 private:
  std::vector<std::string> columns_;
  const model::Table* places_of_ = nullptr;
  std::vector<std::uint32_t> places_;
};

// One change of the table. A truncate has neither row.
struct RowChange {
  model::Op op = model::Op::kInsert;
  model::Position position;
  model::Timestamp commit_time{};
  model::Xid xid{};
  std::optional<LogRow> before;  // what was sent of it
  std::optional<LogRow> after;   // a value that was not touched and not sent is unknown ...
  // ... and is the same as before: by column.
  std::vector<bool> untouched;
  bool in_stream = true;  // else a row read by a snapshot
};

class RowLog {
 public:
  // kNotFound with the nearest names when the log knows no such table: "schema.table", or a name
  // that only one schema has. `fs` must outlive it.
  static Result<RowLog> open(io::Fs& fs, std::string directory, const std::string& table);

  // The newest version that the log has.
  const model::Table& table() const { return *table_; }
  // In front of the first record: {0,0,0} unless some were pruned.
  const model::Position& begin() const { return begin_; }
  // Where its newest epoch begins: what was before has LSNs of another count, or of no record.
  model::Lsn epoch_begin() const { return epoch_begin_; }
  // What the log reaches up to.
  const model::Position& end() const { return end_; }
  model::Lsn end_lsn() const { return end_lsn_; }

  struct Visitor {
    std::function<Status(RowChange)> change;
    // What it is not interested in costs little: false for changes to be passed over. Rows that are
    // not there are null.
    std::function<bool(const model::Change&, const model::Table&, const model::Cell* before,
                       const model::Cell* after)>
        wants = {};
    // Every row of the table that there is comes next (from a snapshot), or has come.
    std::function<Status()> rows_begin = [] { return Status(); };
    std::function<Status()> rows_end = [] { return Status(); };
  };
  // Everything about the table in (after, to].
  Status scan(const model::Position& after, const model::Position& to, const Visitor& visitor);

 private:
  RowLog(io::Fs& fs, std::string directory) : fs_(fs), directory_(std::move(directory)) {}
  Status look_up(const std::string& table);
  Status visit(const model::Batch& batch, const model::Position& to, const Visitor& visitor);

  io::Fs& fs_;
  const std::string directory_;
  std::shared_ptr<const model::Table> table_;
  model::Position begin_;
  model::Lsn epoch_begin_{};
  model::Position end_;
  model::Lsn end_lsn_{};
};

}  // namespace pgweir::pipeline
