// Mirrors whose rows nobody looks up: they keep none, until somebody does.
#include <fmt/core.h>

#include "engine/duck_engine_internal.h"

namespace pgweir::engine {
namespace {

using RowsNeeded = ViewMaintainer::RowsNeeded;

constexpr const char* kReleased =
    "its rows are not kept here: its changes tell their old rows, and no view needs others";

}  // namespace

// Its rows are all there, and every change of one tells the row as it was.
bool DuckEngine::can_release(const KnownTable& known) const {
  const StoredTable& stored = known.stored;
  return stored.mirrored && !stored.hidden && !stored.released && stored.stopped.empty() &&
         !stored.awaits_rows && !stored.reading &&
         stored.table.presence == model::Presence::kCaptured &&
         stored.table.replica_identity == model::ReplicaIdentity::kFull &&
         known.mirror.kind == MirrorKind::kKeyed;
}

// Between two batches: rows that are needed are asked for, those that are not go.
Status DuckEngine::settle_rows() {
  const bool may = options_.releases_mirrors && options_.rows_are_read && maintainer_ != nullptr;
  if (in_transaction_ || state_.half_applied || state_.phase != Phase::kLive) return {};
  for (auto& entry : tables_) {
    KnownTable& known = entry.second;  // (no structured binding: lambdas take it)
    const bool is_back = known.stored.released && known.stored.stopped.empty();
    if (!is_back && !(may && can_release(known))) continue;
    // Without the option, what was released with it comes back.
    const RowsNeeded needed = may ? maintainer_->rows_needed(known.mirror) : RowsNeeded::kYes;
    if (is_back && needed == RowsNeeded::kYes && options_.rows_are_read) {
      const MirrorLayout layout = known.writer->layout();  // the writer goes
      TRY(commit(
          [&] { return await_rows(known, layout, "its rows were not kept, and are needed"); }));
    } else if (!is_back && needed == RowsNeeded::kNo) {
      TRY(commit([&] { return release(known); }));
    }
  }
  return {};
}

Status DuckEngine::release(KnownTable& known) {
  logger_.info("table {}: its rows are kept no longer, its changes are enough",
               known.stored.table.qualified_name());
  tables_changed_ = true;
  known.stored.released = true;
  tell_released(known);
  TRY(known.writer->store()->clear());
  TRY(meta_->write_table(known.stored));
  TRY(show(known));
  return tell_mirrors();
}

void DuckEngine::tell_released(KnownTable& known) {
  known.mirror.released = known.stored.released ? kReleased : "";
  if (known.stored.released) known.writer->release();
}

Status DuckEngine::show_released(const KnownTable& known) {
  return show_unreadable(known, fmt::format("table {} has no rows to show: {}",
                                            known.stored.table.qualified_name(), kReleased));
}

// A partition may have another replica identity than its root, whose rows its changes are. Before
// anything of the batch's portion has reached the views.
Status DuckEngine::await_old_row(KnownTable& known, const model::Change& change) {
  const bool takes = change.op == model::Op::kUpdate || change.op == model::Op::kDelete;
  if (!takes || change.before_image == model::BeforeImage::kFull) return {};
  const MirrorLayout layout = known.writer->layout();  // the writer goes
  known.touched = false;
  return await_rows(known, layout, "its rows were not kept, and a change lacks its old row");
}

}  // namespace pgweir::engine
