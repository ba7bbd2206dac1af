// What a view may call: DuckDB's functions by kind, and those that a view must not use.
//
// Place:   read once from DuckDB's own catalog, plus a list for what the catalog does not tell.
// Threads: immutable.
#pragma once

#include <set>
#include <string>

#include "base/result.h"
#include "views/ast.h"

namespace pgweir::views {

class FunctionCatalog {
 public:
  static Result<FunctionCatalog> read(duck::Connection& connection);

  bool is_aggregate(const std::string& name) const { return aggregates_.contains(lower(name)); }

  // Why a view may not hold this expression ("" = it may): a function whose result differs from
  // call to call or with the session, current_timestamp and its like, a parameter.
  std::string refusal(const Json& expression) const;
  // The same for a function in FROM.
  std::string table_function_refusal(const std::string& name) const;

 private:
  std::set<std::string> aggregates_;
  std::set<std::string> volatile_;
};

}  // namespace pgweir::views
