// Mirrors without rows: which rows the views need, and the views that wait for them.
#include <fmt/core.h>

#include <algorithm>

#include "views/view_set_internal.h"

namespace pgweir::views {

// A state is never made of a store that is empty because nobody keeps its rows.
Status ViewSet::wait_for_rows(duck::Connection& connection, View& view, const Relation& relation) {
  view.awaits_rows = true;
  view.state = ViewState::kFailed;
  view.error =
      error(Code::kInvalid, fmt::format("the view waits for the rows of table {}", relation.name),
            relation.released, "The table is read again beside the stream");
  TRY(drop_state(connection, view));
  return ViewCatalog::forget(connection, state_name(view.name()));
}

engine::ViewMaintainer::RowsNeeded ViewSet::rows_needed(const engine::Mirror& mirror) const {
  const Relation* relation = bound(mirror);
  if (undone_ || failing_ != nullptr || engine_ == nullptr || relation == nullptr)
    return RowsNeeded::kUnknown;
  for (const Watermarks::Mark& mark : watermarks_.marks()) {
    if (same_name(mark.schema, relation->schema) && same_name(mark.table, relation->table))
      return RowsNeeded::kYes;
  }
  bool is_unknown = false, by_changes = false;
  for (const auto& view : views_) {
    const auto& named = view->relations;
    const bool is_input = view->reads_relation(*relation);
    if (!is_input && std::find(named.begin(), named.end(), relation) == named.end()) continue;
    if (view->awaits_rows) return RowsNeeded::kYes;
    if (view->live() && is_input) {
      if (view->strategy->needs_rows_of(*relation)) return RowsNeeded::kYes;
      by_changes = true;
    }
    // It waits for something else, and may need anything then. One that was set aside or refused
    // stays so until somebody changes it.
    const bool waits = view->state == ViewState::kWaiting ||
                       (view->state == ViewState::kFailed && view->strategy == nullptr);
    is_unknown = is_unknown || waits;
  }
  return by_changes && !is_unknown ? RowsNeeded::kNo : RowsNeeded::kUnknown;
}

}  // namespace pgweir::views
