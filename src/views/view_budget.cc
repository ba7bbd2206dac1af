// A view that takes more of the batches than its budget is set aside: all views share a position,
// and wait for the slowest.
#include <fmt/core.h>

#include "views/view_set_internal.h"

namespace pgweir::views {

Milliseconds ViewSet::budget_of(const View& view) const {
  const ViewSource& source = (view.part_of != nullptr ? *view.part_of : view).definition.source;
  return source.budget.count() != 0 ? source.budget : options_.budget;
}

void ViewSet::declare_budgets() {
  std::map<std::string, Milliseconds> budgets;
  for (const ViewDefinition& definition : definitions_)
    budgets[definition.source.name] = budget_of(View(definition));
  times_.declare(budgets);
}

std::string ViewSet::over_budget_mark(const View& view) const {
  return fmt::format("{}\nover its budget of {} ms", view.fingerprint, budget_of(view).count());
}

ViewSet::View* ViewSet::over_budget() const {
  const auto name = times_.over_budget();
  View* view = name ? find_view(*name) : nullptr;
  return view != nullptr && view->live() ? view : nullptr;
}

Status ViewSet::check_budgets() {
  View* const view = over_budget();
  if (view == nullptr) return {};
  const BatchTime last = times_.of(view->name()).last_over;
  Error why = error(
      Code::kInvalid,
      fmt::format("the view took {:.1f} s for a batch of {} changes, and its budget is {}",
                  static_cast<double>(last.took.count()) / 1e6, last.changes,
                  format_duration(budget_of(*view))),
      fmt::format("it took longer for each of the last {} batches of up to {} changes; all views "
                  "share one position, so it would hold the others back",
                  kOverBudgetMax, kJudgedChangesMax),
      fmt::format("Declare it `isolated: true`, raise its `budget` or engine.view_budget, or make "
                  "it smaller; `pgweir views explain {}` says what is dear in it",
                  view->name()));
  Status failed = blame(*view, why);
  failing_for_ = Why::kOverBudget;
  return failed;
}

}  // namespace pgweir::views
