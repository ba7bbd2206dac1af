#include "views/outer_joins.h"

#include <algorithm>
#include <set>

#include "views/select_tree.h"

namespace pgweir::views {
namespace {

using Inputs = std::set<std::size_t>;

Inputs in_both(const Inputs& a, const Inputs& b) {
  Inputs both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::inserter(both, both.end()));
  return both;
}

bool one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* each) { return name == each; });
}

class Reducer {
 public:
  explicit Reducer(const Scope& scope) : scope_(scope) {}

  // The inputs of which a row of NULLs makes the expression NULL. Only what is known of.
  Inputs null_by(const Json& expression) const {
    if (const auto place = scope_.place_of_reference(expression)) return {place->input};
    const std::string type = text_of(expression, "type");
    if (is_class(expression, "CAST")) return null_by(child(expression, "child"));
    if (is_class(expression, "BETWEEN")) return null_by(child(expression, "input"));
    if (is_class(expression, "COMPARISON")) {
      const bool null = one_of(
          type, {"COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN",
                 "COMPARE_LESSTHANOREQUALTO", "COMPARE_GREATERTHANOREQUALTO"});
      if (!null) return {};
      return in_any({child(expression, "left"), child(expression, "right")});
    }
    if (is_class(expression, "OPERATOR")) {
      if (!one_of(type, {"OPERATOR_NOT", "COMPARE_IN", "COMPARE_NOT_IN"})) return {};
      return null_by(child(expression, "children")[0]);
    }
    if (is_class(expression, "FUNCTION") &&
        one_of(lower(text_of(expression, "function_name")),
               {"+", "-", "*", "/", "//", "%", "abs", "lower", "upper", "length", "date_trunc",
                "~~", "!~~", "~~*", "!~~*"}))
      return in_any(child(expression, "children"));
    return {};
  }

  // The inputs of which a row of NULLs does not meet the condition.
  Inputs refused_by(const Json& condition) const {
    const std::string type = text_of(condition, "type");
    if (is_class(condition, "CONJUNCTION")) {
      Inputs refused;
      bool first = true;
      for (const Json& part : child(condition, "children")) {
        Inputs own = refused_by(part);
        if (type == "CONJUNCTION_AND")
          refused.merge(own);
        else
          refused = first ? own : in_both(refused, own);
        first = false;
      }
      return refused;
    }
    if (is_class(condition, "OPERATOR") && type == "OPERATOR_IS_NOT_NULL")
      return null_by(child(condition, "children")[0]);
    return null_by(condition);
  }

  // `refused` by what is behind the join. Inputs are counted in the order of the text.
  bool reduce(Json& from, const Inputs& refused, std::size_t* next) const {
    if (text_of(from, "type") != "JOIN") {
      ++*next;
      return false;
    }
    const std::size_t first = *next;
    const std::size_t middle = first + leaves(child(from, "left"));
    const std::size_t end = middle + leaves(child(from, "right"));
    const auto has_any = [&](std::size_t begin, std::size_t behind) {
      const auto at = refused.lower_bound(begin);
      return at != refused.end() && *at < behind;
    };
    const bool left_is_there = has_any(first, middle), right_is_there = has_any(middle, end);
    const std::string kind = text_of(from, "join_type");
    bool keeps_left = one_of(kind, {"LEFT", "FULL", "OUTER"});
    bool keeps_right = one_of(kind, {"RIGHT", "FULL", "OUTER"});
    if (!keeps_left && !keeps_right && kind != "INNER") {
      *next = end;
      return false;
    }
    const bool changes = (keeps_left && right_is_there) || (keeps_right && left_is_there);
    keeps_left = keeps_left && !right_is_there;
    keeps_right = keeps_right && !left_is_there;
    if (changes) {
      from["join_type"] =
          keeps_left ? (keeps_right ? "FULL" : "LEFT") : (keeps_right ? "RIGHT" : "INNER");
    }
    // What meets no condition of ON is lost on a side that is not kept; what is behind the join
    // sees every row of a side that is never filled with NULLs.
    const Inputs own = refused_by(child(from, "condition"));
    Inputs of_left = keeps_left ? Inputs() : own, of_right = keeps_right ? Inputs() : own;
    if (!keeps_right) of_left.insert(refused.begin(), refused.end());
    if (!keeps_left) of_right.insert(refused.begin(), refused.end());
    const bool left = reduce(child_of(from, "left"), of_left, next);
    const bool right = reduce(child_of(from, "right"), of_right, next);
    return changes || left || right;
  }

 private:
  static std::size_t leaves(const Json& from) {
    if (text_of(from, "type") != "JOIN") return 1;
    return leaves(child(from, "left")) + leaves(child(from, "right"));
  }

  Inputs in_any(const Json& expressions) const {
    Inputs inputs;
    for (const Json& expression : expressions) inputs.merge(null_by(expression));
    return inputs;
  }

  const Scope& scope_;
};

}  // namespace

bool reduce_outer_joins(const Scope& scope, const Json& where, Json& from) {
  const Reducer reducer(scope);
  std::size_t next = 0;
  return reducer.reduce(from, reducer.refused_by(where), &next);
}

}  // namespace pgweir::views
