// Rows of DuckDB's as the API prints their cells.
//
// Place:   between duck/ and the JSON of rows.h.
// Threads: of the connection's user; Deadline has one of its own.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "duck/duck.h"
#include "server/backend.h"

namespace pgweir::server {

RowColumn row_column(const duck::ColumnInfo& column);

// A SELECT around `select` that prints every column as text, with names of our own: theirs may
// repeat.
std::string printing_select(const std::string& select, const std::vector<RowColumn>& columns,
                            std::optional<std::uint64_t> row_max = {});

// What it printed, as the API promises it.
std::string printed_cell(const duck::ColumnInfo& column, std::string_view text);

// The rows of a SELECT, made as they are asked for. Take them to the end, or drop them, before
// anything else is done on the connection.
class PrintedRows {
 public:
  static Result<PrintedRows> open(duck::Connection& connection, const std::string& select);

  const std::vector<RowColumn>& columns() const { return columns_; }
  // The next row's cells, in the order of the columns; nothing is NULL. False at the end.
  Result<bool> next(std::vector<std::optional<std::string>>& cells);

 private:
  explicit PrintedRows(duck::Rows rows) : rows_(std::move(rows)) {}

  std::vector<duck::ColumnInfo> types_;
  std::vector<RowColumn> columns_;
  duck::Rows rows_;
  const duck::Chunk* chunk_ = nullptr;
  std::size_t row_ = 0;
};

// Interrupts a connection once a time has passed, unless it is destroyed before.
class Deadline {
 public:
  Deadline(duck::Connection& connection, Milliseconds timeout);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  bool passed() const EXCLUDES(mutex_);

 private:
  void watch(duck::Connection& connection, Milliseconds timeout) EXCLUDES(mutex_);

  mutable Mutex mutex_;
  Condition changed_;
  bool done_ GUARDED_BY(mutex_) = false;
  bool passed_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace pgweir::server
