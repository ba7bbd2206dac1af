// For tests: batches as text.
//
// Form:  one line a change: op, table, before image, after image; then "commit" a transaction.
//        i public.t 1|a     u public.t key 1|- -> 2|~     d public.t old 1|a     t public.t
//        null is NULL, ~ an unchanged value that was not sent, - a column outside the image.
#pragma once

#include <string>

#include "model/batch.h"

namespace pgweir::postgres::testing_render {

inline std::string render_row(const model::Batch& batch, std::uint32_t first,
                              const model::Table& table) {
  std::string out;
  for (const model::Cell& cell : batch.row(first, table)) {
    if (&cell != &batch.cells[first]) out += '|';
    switch (cell.kind) {
      case model::CellKind::kNull:
        out += "null";
        break;
      case model::CellKind::kText:
        out += cell.text();
        break;
      case model::CellKind::kUnchanged:
        out += '~';
        break;
      case model::CellKind::kAbsent:
        out += '-';
        break;
    }
  }
  return out;
}

inline std::string render(const model::Batch& batch) {
  std::string out;
  for (const model::Transaction& transaction : batch.transactions) {
    for (std::uint32_t i = 0; i < transaction.change_count; ++i) {
      const model::Change& change = batch.changes[transaction.first_change + i];
      const model::Table& table = batch.table_of(change);
      out += static_cast<char>(change.op);
      out += " " + table.qualified_name();
      if (change.before != model::kNoRow) {
        out += change.before_image == model::BeforeImage::kFull ? " old " : " key ";
        out += render_row(batch, change.before, table);
        if (change.after != model::kNoRow) out += " ->";
      }
      if (change.after != model::kNoRow) out += " " + render_row(batch, change.after, table);
      out += '\n';
    }
    if (transaction.ends) out += "commit\n";
  }
  return out;
}

}  // namespace pgweir::postgres::testing_render
