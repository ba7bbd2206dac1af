// Rows that we make ourselves, as a relation in SQL: DuckDB's threads come and take them.
//
// Place:   for Connection::run_over() (duck.h).
// Life:    a RowSource outlives the run_over() that it is given to; its RowMakers end with that.
// Threads: maker() from any thread, several at a time; a RowMaker is used by one at a time.
#pragma once

#include <cstddef>
#include <memory>

#include "base/result.h"
#include "duck/row_writer.h"

namespace pgweir::duck {

// What the relation is called in SQL.
inline constexpr const char* kRowSource = "pgweir_rows()";

// Rows for the chunk that DuckDB wants to be filled. What append_lasting_text() was given must stay
// where it is until the next call of make().
class SourceRows : public RowWriter {
 public:
  SourceRows() : RowWriter(Texts::kReferred) {}
  bool is_full() const { return row_count() == row_max_; }
  // Ends the row; every column must have been given. Requires that it was not full before.
  void end_row() { next_row(); }

 private:
  friend class RowSources;
  std::size_t row_max_ = 0;
};

// The part of one of DuckDB's threads.
class RowMaker {
 public:
  virtual ~RowMaker() = default;
  // Appends rows until there are no more, or `out` is full. Without a row it is the end.
  virtual Status make(SourceRows& out) = 0;
};

class RowSource {
 public:
  virtual ~RowSource() = default;
  // How many threads have something to do.
  virtual std::size_t makers_max() const = 0;
  virtual std::unique_ptr<RowMaker> maker() = 0;
};

}  // namespace pgweir::duck
