// A mirror that keeps no rows: a batch's change of it is what the stream tells.
#include <fmt/core.h>

#include <algorithm>

#include "engine/mirror_writer.h"

namespace pgweir::engine {

using model::Cell;
using model::CellKind;

// As texts: what is equal only as a value goes and comes, which adds up to nothing.
bool MirrorWriter::same_rows(const Cell* a, const Cell* b) const {
  const auto& kept = layout_.identity.kept;
  return std::all_of(kept.begin(), kept.end(), [&](std::uint32_t i) {
    const bool has_text = a[i].kind == CellKind::kText;
    if (has_text != (b[i].kind == CellKind::kText)) return false;
    return !has_text || a[i].text() == b[i].text();
  });
}

Result<std::uint64_t> MirrorWriter::make_delta_of_stream(const model::Batch& batch) {
  duck::Appender& out = *stage_appender_;
  const auto stage = [&](const Cell* row, const NetChange& change) -> Status {
    TRY(put_row(out, row, batch, change.key_row));
    out.append_bool(row == change.before);
    out.append_bool(row == change.after);
    out.append_int(0);
    return out.end_row();
  };
  for (const NetChange& change : consolidator_.rows()) {
    const Cell* before = change.had_old ? change.before : nullptr;
    const bool misses_old = change.had_old && before == nullptr;
    if (misses_old || (change.after != nullptr && change.unchanged_from != nullptr)) {
      return error(Code::kCorruption,
                   fmt::format("a change of table {} lacks its whole old row",
                               layout_.table.qualified_name()),
                   "its rows are not kept here, and its replica identity is FULL");
    }
    if (before != nullptr && change.after != nullptr && same_rows(before, change.after)) continue;
    if (before != nullptr) TRY(stage(before, change));
    if (change.after != nullptr) TRY(stage(change.after, change));
  }
  TRY(out.flush());
  TRY_ASSIGN(const duck::Rows made, add_inserts_->execute());
  TRY(clear_stage_->execute());
  return made.rows_changed();
}

}  // namespace pgweir::engine
