// How a table is kept in its mirror: which columns, as which types, and how a row of PostgreSQL's
// texts becomes values of them.
//
// Place:   used by the engine alone.
// Threads: plain values and functions.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "duck/row_writer.h"
#include "engine/consolidate.h"
#include "engine/store.h"
#include "engine/type_map.h"
#include "model/batch.h"

namespace pgweir::engine {

struct MirrorLayout {
  model::Table table;
  RowIdentity identity;
  std::vector<StoreColumn> columns;  // of the kept ones: DuckDB's names (without clashes) and types
  std::vector<ColumnType> types;
};

// Which columns (`kept`, and those of its key), told apart by what.
MirrorLayout lay_out(const model::Table& table, std::vector<std::uint32_t> kept,
                     const TypeOptions& options);

// A value of a row that its column cannot hold.
struct RowMisfit {
  Fit fit = Fit::kOk;
  std::size_t kept_index = 0;
};
// Appends the kept columns of a row, up to the first value that does not fit. The row is not ended.
std::optional<RowMisfit> put_row(const MirrorLayout& layout, const model::Cell* row,
                                 duck::RowWriter& out);

// The message, with the key out of `key_row`.
Error does_not_fit(const MirrorLayout& layout, const RowMisfit& misfit, const model::Cell* row,
                   const model::Cell* key_row, model::Lsn lsn);

}  // namespace pgweir::engine
