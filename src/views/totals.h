// Sums and counts from which rows can be taken back exactly, and types that compare exactly.
//
// Place:   used by the planner (plan.cc) alone.
// Threads: plain data and functions.
#pragma once

#include <string>

#include "views/plan.h"

namespace pgweir::views {

struct Aggregate {
  std::string function;  // "count", "sum", "avg"
  std::string argument;  // SQL; "" for count(*)
  std::string filter;    // SQL; "" without
  std::string argument_type;

  bool operator==(const Aggregate&) const = default;
};

// Adds the partials that the aggregate needs to the plan, shared with others that need the same,
// and sets `sql` to the aggregate's value over them. Returns why that cannot be, or "".
std::string add_total(const Aggregate& aggregate, Plan& plan, std::string* sql);

// Two types whose equal values have equal hashes after a TRY_CAST from one to the other.
bool joinable(const std::string& a, const std::string& b);

// A type that holds the values of both exactly, so that equal values stay equal; "" when there is
// none.
std::string common_type(const std::string& a, const std::string& b);

}  // namespace pgweir::views
