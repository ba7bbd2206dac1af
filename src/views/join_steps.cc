// In which order the inputs of a join are joined to one that changes, and by which columns.
#include <algorithm>

#include "views/strategy.h"

namespace pgweir::views {
namespace {

// How `input` can be joined to those that are `joined`.
JoinStep step_to(const Plan& plan, std::size_t input, const std::vector<bool>& joined) {
  JoinStep found;
  found.input = input;
  for (const JoinKey& key : plan.join) {
    for (const bool turned : {false, true}) {
      const std::size_t own = turned ? key.right_input : key.left_input;
      const std::size_t other = turned ? key.left_input : key.right_input;
      if (own != input || !joined[other]) continue;
      const engine::StoreColumn& column = turned ? key.right : key.left;
      const bool known = std::any_of(found.columns.begin(), found.columns.end(),
                                     [&](const auto& c) { return c.name == column.name; });
      // One partner a column is enough to look rows up; further equalities are conditions.
      if (known) continue;
      found.columns.push_back(column);
      found.partners.emplace_back(other, turned ? key.left : key.right);
    }
  }
  return found;
}

// With the columns by which a lookup of them finds rows, in its order.
JoinStep settled(const Plan& plan, const JoinStep& step, bool* own_key) {
  JoinStep out;
  out.input = step.input;
  *own_key = false;
  if (step.columns.empty()) return out;
  Lookup lookup;
  lookup.relation = plan.inputs[step.input].relation;
  lookup.set_key(step.columns);
  *own_key = lookup.own_key;
  for (const engine::StoreColumn& column : lookup.key) {
    const auto at = std::find(step.columns.begin(), step.columns.end(), column);
    out.columns.push_back(column);
    out.partners.push_back(step.partners[static_cast<std::size_t>(at - step.columns.begin())]);
  }
  return out;
}

}  // namespace

bool find_steps(Plan& plan, bool whole) {
  plan.steps.clear();
  std::vector<std::pair<std::size_t, std::vector<engine::StoreColumn>>> lookups;
  for (std::size_t changed = 0; changed < plan.inputs.size(); ++changed) {
    std::vector<bool> joined(plan.inputs.size(), false);
    joined[changed] = true;
    std::vector<JoinStep>& steps = plan.steps.emplace_back();
    while (steps.size() + 1 < plan.inputs.size()) {
      JoinStep best;
      bool best_is_own = false;
      std::optional<std::size_t> first;  // that is left
      for (std::size_t input = 0; input < plan.inputs.size(); ++input) {
        if (joined[input]) continue;
        if (!first) first = input;
        bool own = false;
        JoinStep step = settled(plan, step_to(plan, input, joined), &own);
        if (step.columns.empty()) continue;
        // A key finds few rows.
        if (!best.columns.empty() && (best_is_own || !own)) continue;
        best = std::move(step);
        best_is_own = own;
      }
      if (best.columns.empty() && !whole) return false;
      if (best.columns.empty()) best.input = *first;
      joined[best.input] = true;
      const std::pair wanted(best.input, best.columns);
      const auto found = std::find(lookups.begin(), lookups.end(), wanted);
      best.lookup = static_cast<std::size_t>(found - lookups.begin());
      if (found == lookups.end()) lookups.push_back(wanted);
      steps.push_back(std::move(best));
    }
  }
  return true;
}

Lookups lookups_of(const Plan& plan) {
  auto lookups = std::make_shared<std::vector<Lookup>>();
  for (const std::vector<JoinStep>& steps : plan.steps) {
    for (const JoinStep& step : steps) {
      if (step.lookup >= lookups->size()) lookups->resize(step.lookup + 1);
      Lookup& lookup = (*lookups)[step.lookup];
      lookup.input = step.input;
      lookup.relation = plan.inputs[step.input].relation;
      lookup.columns = plan.inputs[step.input].used;
      lookup.set_key(step.columns);
    }
  }
  return lookups;
}

}  // namespace pgweir::views
