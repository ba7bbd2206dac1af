// The rows of a plan without groups: their columns, those that tell them apart among these, and
// the SELECT list that gives them.
//
// Place:   used by the strategies that keep rows of inputs, or pass them on.
// Threads: plain data.
#pragma once

#include <string>

#include "views/strategy.h"

namespace pgweir::views {

struct RowSpec {
  // Named as the view's state. Key columns of the inputs that the view does not show are hidden
  // ones, behind the view's; of inputs without keys it is a bag.
  engine::StoreSpec store;
  std::string values;  // over the plan's inputs, each as its column
};

// Of input.plan.
RowSpec make_row_spec(const StrategyInput& input);

}  // namespace pgweir::views
