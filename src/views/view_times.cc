#include "views/view_times.h"

#include <utility>

namespace pgweir::views {

void ViewTimes::declare(const std::map<std::string, Milliseconds>& budgets) {
  std::erase_if(views_, [&](const auto& entry) { return !budgets.contains(entry.first); });
  for (const auto& [view, budget] : budgets) views_[view].budget = budget;
}

void ViewTimes::forget(const std::string& view) {
  const auto found = views_.find(view);
  if (found != views_.end()) found->second = {.budget = found->second.budget};
}

void ViewTimes::take(std::uint64_t changes) {
  changes_ = changes_.value_or(0) + changes;
}

void ViewTimes::add(const std::string& view, Microseconds took, Work work) {
  const auto found = views_.find(view);
  if (found == views_.end()) return;
  found->second.open += took;
  found->second.changes = found->second.changes || work == Work::kChanges;
}

void ViewTimes::committed() {
  const auto changes = std::exchange(changes_, std::nullopt);
  for (auto& [view, times] : views_) {
    times.total += times.open;
    if (times.changes && changes) note(times, {times.open, *changes});
    times.open = {};
    times.changes = false;
  }
}

void ViewTimes::rolled_back() {
  changes_.reset();
  for (auto& [view, times] : views_) {
    times.open = {};
    times.changes = false;
  }
}

void ViewTimes::note(Times& times, BatchTime batch) {
  times.last = batch;
  if (batch.changes > kJudgedChangesMax) return;
  const bool over = times.budget.count() != 0 && batch.took > times.budget;
  times.over = over ? times.over + 1 : 0;
  if (over) times.last_over = batch;
  if (times.judged == kLateBatches) {
    times.longest[1] = std::exchange(times.longest[0], std::nullopt);
    times.judged = 0;
  }
  ++times.judged;
  if (!times.longest[0] || batch.took > times.longest[0]->took) times.longest[0] = batch;
}

std::optional<std::string> ViewTimes::over_budget() const {
  for (const auto& [view, times] : views_)
    if (times.over >= kOverBudgetMax) return view;
  return std::nullopt;
}

ViewTimes::Times ViewTimes::of(const std::string& view) const {
  const auto found = views_.find(view);
  return found == views_.end() ? Times{} : found->second;
}

std::optional<BatchTime> ViewTimes::Times::most() const {
  if (!longest[0] || (longest[1] && longest[1]->took > longest[0]->took)) return longest[1];
  return longest[0];
}

}  // namespace pgweir::views
