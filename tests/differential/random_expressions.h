// Random expressions over the relations of a FROM.
//
// Threads: plain data.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "differential/random_source.h"

namespace pgweir::differential {

struct ScopeItem {
  std::string alias;
  Relation relation;
};
using Scope = std::vector<ScopeItem>;

struct Expression {
  Tree tree;
  Type type = Type::kInt;
  bool exact = true;
};

class Expressions {
 public:
  // `tables` may stand in subqueries.
  Expressions(Dice& dice, const std::vector<Relation>& tables) : dice_(dice), tables_(tables) {}

  // A column of the type whose values are exact; nothing when there is none.
  std::optional<Tree> column(const Scope& scope, Type type);
  // Any column that is exact.
  Expression any_column(const Scope& scope);
  // What a group can be made by: it has a column in it.
  Expression group_key(const Scope& scope);
  // Of this type; exact.
  Tree of_type(const Scope& scope, Type type, int depth);
  // Of any type; also what is not exact.
  Expression any(const Scope& scope, int depth);
  Tree constant(Type type);

  enum class Subqueries { kNone, kAllowed };
  Tree predicate(const Scope& scope, int depth, Subqueries subqueries = Subqueries::kNone);
  // (SELECT ...), correlated or not, of a number.
  Expression scalar_subquery(const Scope& scope);
  Expression aggregate(const Scope& scope);
  // Over a PARTITION BY. `unique`: columns that order the rows of the scope without ties; empty
  // when there are none.
  Expression window(const Scope& scope, const std::vector<std::string>& unique);
  // "a DESC NULLS LAST", of any exact type.
  Tree order_item(const Scope& scope);

 private:
  Tree comparison(const Scope& scope, int depth);
  Tree subquery_predicate(const Scope& scope);
  Tree number(const Scope& scope, Type type, int depth);
  Tree text(const Scope& scope, int depth);
  Tree time(const Scope& scope, Type type, int depth);
  // WHERE of a subquery over `inner`; correlated with `outer`, or not.
  Tree inner_where(const Scope& outer, const Scope& inner, bool correlated);
  Scope subquery_scope();
  Expression total(const Scope& scope);
  Type comparable_type(const Scope& scope);

  Dice& dice_;
  const std::vector<Relation>& tables_;
  int subqueries_ = 0;  // names their relations
};

}  // namespace pgweir::differential
