// Rows of two databases as texts that can be compared.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::differential {

// Rows of cells in one form: numbers without closing zeros, times without closing zeros of the
// fraction, booleans as true and false; NULL as "NULL", an empty text as "''".
struct Answer {
  std::vector<bool> is_number;  // by column
  std::vector<std::vector<std::string>> rows;

  // The rows as lines with | between the cells, sorted.
  std::vector<std::string> lines() const;
};

// `types` are PostgreSQL's OIDs of the columns, also for rows of DuckDB's.
Answer make_answer(const std::vector<std::uint32_t>& types,
                   const std::vector<std::vector<std::optional<std::string>>>& rows);

// "" when both have the same rows, else those that only one has. Numbers with a fraction are equal
// when they differ by no more than rounding does.
std::string difference(const Answer& wanted, const Answer& found);

}  // namespace pgweir::differential
