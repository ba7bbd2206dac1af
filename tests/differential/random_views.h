// Random views: SELECTs of every shape that views are kept in.
//
// Threads: plain data.
#pragma once

#include <string>
#include <vector>

#include "differential/random_expressions.h"
#include "differential/random_source.h"
#include "differential/test_case.h"

namespace pgweir::differential {

// One more view over the relations, which it is added to.
CaseView random_view(Dice& dice, const std::string& name, std::vector<Relation>& relations);

}  // namespace pgweir::differential
