// Every PostgreSQL type's place in DuckDB: the same value exactly, or PostgreSQL's own text.
//
// Place:   used by the engine for mirrors. docs/types.md has the whole table, which a test keeps
// true. Threads: plain values and functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "duck/duck.h"
#include "model/table.h"

namespace pgweir::engine {

struct TypeOptions {
  // How numeric without a precision is kept: DECIMAL(precision, scale).
  int numeric_precision = 38;
  int numeric_scale = 9;
};

// Whether a text could be stored.
enum class Fit : std::uint8_t {
  kOk,
  kOutOfRange,  // a value of the type that DuckDB's type cannot hold exactly
  kMalformed,   // not a text of the type as PostgreSQL prints it with the settings that we ask for
};

// A column's type in DuckDB and how PostgreSQL's text becomes a value of it; chosen once a column.
struct ColumnType {
  using Convert = Fit (*)(const ColumnType&, std::string_view text, duck::RowWriter&);

  std::string duck_type;
  Convert convert = nullptr;  // appends one value when it returns kOk, else nothing
  int precision = 0;          // of a DECIMAL
  int scale = 0;
};

// Texts are expected as PostgreSQL prints them with DateStyle ISO, IntervalStyle postgres,
// bytea_output hex, extra_float_digits 1 or more, and in UTF-8.
ColumnType map_type(const model::Column& column, const TypeOptions& options);

// The condition, in SQL, that two values of a DuckDB type differ in any way that people could see:
// IS DISTINCT FROM takes a month and 30 days for equal.
std::string differs_expression(const std::string& duck_type, const std::string& a,
                               const std::string& b);

}  // namespace pgweir::engine
