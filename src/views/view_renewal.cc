// States that are made anew in the middle of a batch, of what their inputs are at that moment.
#include "views/view_set_internal.h"

namespace pgweir::views {

Status ViewSet::table_replaced(duck::Connection& connection, const engine::Mirror& mirror) {
  TRY(before_changes(connection));
  const Relation* relation = bound(mirror);
  return relation == nullptr ? Status{} : renew(connection, *relation);
}

// The relation, what reads it, and the parts without rows of their own that those read: such a part
// shows what its tables are at this moment, so a change of it that is still to be told would count
// twice in a state made now.
std::set<const Relation*> ViewSet::to_renew(const Relation& relation) const {
  std::set<const Relation*> renewed = {&relation};
  for (std::size_t before = 0; before != renewed.size();) {
    before = renewed.size();
    for (const std::size_t i : order_) {
      const View& view = *views_[i];
      if (!view.live()) continue;
      const bool above = std::any_of(view.inputs.begin(), view.inputs.end(),
                                     [&](const Relation* read) { return renewed.contains(read); });
      if (above) renewed.insert(&view.strategy->relation());
      if (!renewed.contains(&view.strategy->relation())) continue;
      for (const Relation* read : view.inputs)
        if (!read->stored) renewed.insert(read);
    }
  }
  return renewed;
}

// Makes the states above a relation anew, in the middle of a batch: of what their inputs are at
// this moment, so that changes which come later in the batch are added as ever.
Status ViewSet::renew(duck::Connection& connection, const Relation& relation) {
  states_made();
  const std::set<const Relation*> renewed = to_renew(relation);
  bool fell = false;
  for (const std::size_t i : order_) {
    View& view = *views_[i];
    if (!view.live() || !renewed.contains(&view.strategy->relation())) continue;
    TRY_ASSIGN(const bool falls, falls_with_renewed(connection, view, relation));
    fell = fell || falls;
    if (falls) continue;
    Status done = view.strategy->renew(connection);
    if (!done.ok()) return failed(view, done.error());
    TRY_ASSIGN(view.rows, view.strategy->state_rows());
    view.changed = false;
    if (view.part_of == nullptr) replaced_.insert(view.name());
  }
  for (const auto& [name, arrangement] : arrangements_) {
    View* user = first_user(*arrangement);
    if (user == nullptr || !renewed.contains(&arrangement->relation())) continue;
    const Status done = arrangement->setup(connection, false);
    if (!done.ok()) return failed(*user, done.error());
  }
  if (!fell) return {};
  publish(Transactions::kCallers);
  return drop_unused_arrangements(connection);
}

// A view above `replaced` is not made anew when one that it reads fell, or another input's rows are
// not there.
Result<bool> ViewSet::falls_with_renewed(duck::Connection& connection, View& view,
                                         const Relation& replaced) {
  TRY_ASSIGN(const bool falls, falls_with_input(connection, view));
  if (falls) return true;
  for (const Relation* input : view.inputs) {
    // Of the replaced one there are those of this batch, and no others.
    if (input == &replaced || input->released.empty()) continue;
    TRY(wait_for_rows(connection, view, *input));
    return true;
  }
  return false;
}

}  // namespace pgweir::views
