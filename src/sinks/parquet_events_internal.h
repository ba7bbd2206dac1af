// How a change event of one table looks as a row: its columns, their types, and how it is written.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "duck/duck.h"
#include "engine/type_map.h"
#include "model/batch.h"
#include "model/table.h"
#include "sinks/parquet_sink.h"

namespace pgweir::sinks {

// The same for every row of a transaction.
struct EventHead {
  model::Lsn lsn{};
  std::string lsn_text;
  std::int64_t commit_time_us = 0;
  std::int64_t xid = 0;
  std::int64_t epoch = 0;
};

class EventWriter {
 public:
  EventWriter(std::shared_ptr<const model::Table> table, const ParquetOptions& options);

  // The columns of the relation that holds the rows, as CREATE TABLE takes them.
  std::string definition() const;
  std::size_t column_count() const;
  // What is selected from it for the file.
  std::string selection() const;

  // Writes one row. kInvalid for a value that its column cannot hold: names table, column, key,
  // LSN.
  Status write(duck::Appender& appender, const EventHead& head, const model::Batch& batch,
               const model::Change& change);

 private:
  struct Column {
    std::string output;  // its name in the file
    engine::ColumnType type;
  };

  Status write_image(duck::Appender& appender, const EventHead& head, const model::Batch& batch,
                     const model::Change& change);
  void write_notes(duck::Appender& appender, const model::Batch& batch,
                   const model::Change& change);
  Error unfit(engine::Fit fit, const EventHead& head, std::span<const model::Cell> row,
              std::size_t column) const;

  const std::shared_ptr<const model::Table> table_;
  std::vector<Column> columns_;
  std::string text_;  // reused
};

}  // namespace pgweir::sinks
