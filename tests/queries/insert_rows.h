// INSERT statements of many rows, and other pieces of the queries' data.
//
// Threads: plain data.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

#include "differential/test_case.h"

namespace pgweir::queries {

// Gathers a table's rows as INSERT statements of a step.
class InsertRows {
 public:
  explicit InsertRows(std::string table) : table_(std::move(table)) {}

  // "1, 'a', NULL"
  void add(const std::string& values) {
    if (count_++ == kRowsMax) end_statement();
    statement_ += (statement_.empty() ? "INSERT INTO " + table_ + " VALUES\n(" : ",\n(") + values;
    statement_ += ')';
  }

  void move_to(differential::Step& step) {
    end_statement();
    for (differential::Tree& statement : statements_)
      step.statements.push_back(std::move(statement));
    statements_.clear();
  }

 private:
  static constexpr std::size_t kRowsMax = 1000;

  void end_statement() {
    if (!statement_.empty()) statements_.push_back(differential::leaf("", std::move(statement_)));
    statement_.clear();
    count_ = 0;
  }

  const std::string table_;
  std::string statement_;
  std::size_t count_ = 0;  // of its rows
  std::vector<differential::Tree> statements_;
};

// "2026-01-31"
std::string date_text(std::chrono::sys_days day);

}  // namespace pgweir::queries
