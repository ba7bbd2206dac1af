#include "differential/random_expressions.h"

#include <fmt/core.h>

#include "differential/random_changes.h"

namespace pgweir::differential {
namespace {

std::string aliased(const ScopeItem& item, const OutColumn& column) {
  return item.alias + "." + column.name;
}

}  // namespace

std::optional<Tree> Expressions::column(const Scope& scope, Type type) {
  std::vector<std::string> names;
  for (const ScopeItem& item : scope) {
    for (const OutColumn& column : item.relation.columns)
      if (column.type == type && column.exact) names.push_back(aliased(item, column));
  }
  if (names.empty()) return std::nullopt;
  return leaf(kind_of(type), dice_.pick(names));
}

Expression Expressions::any_column(const Scope& scope) {
  std::vector<Expression> found;
  for (const ScopeItem& item : scope) {
    for (const OutColumn& column : item.relation.columns)
      if (column.exact && column.type != Type::kJson)
        found.push_back({leaf(kind_of(column.type), aliased(item, column)), column.type, true});
  }
  if (found.empty()) return {constant(Type::kInt), Type::kInt, true};
  return dice_.pick(found);
}

Tree Expressions::constant(Type type) {
  if (type == Type::kJson) return leaf("json", "'{}'::jsonb");
  const std::string value = random_value(dice_, type, true);
  if (type == Type::kInt || type == Type::kBool) return leaf(kind_of(type), value);
  return leaf(kind_of(type), fmt::format("{}::{}", value.front() == '-' ? "(" + value + ")" : value,
                                         type_name(type)));
}

Expression Expressions::group_key(const Scope& scope) {
  Expression key = any_column(scope);
  if (!dice_.one_in(4)) return key;
  const char* kind = kind_of(key.type);
  switch (key.type) {
    case Type::kInt:
    case Type::kBigint:
      key.tree = branch(kind, dice_.pick({"(@a % 3)", "coalesce(@a, 0)", "abs(@a)"}), {key.tree});
      break;
    case Type::kText:
      key.tree = branch(kind, dice_.pick({"upper(@a)", "coalesce(@a, '-')"}), {key.tree});
      break;
    case Type::kTimestamp:
      key.tree = branch(kind, "date_trunc('hour', @a)", {key.tree});
      break;
    case Type::kDate:
      key.tree = branch("int", "extract(month FROM @a)::int", {key.tree});
      key.type = Type::kInt;
      break;
    default:
      key.tree = branch("bool", "(@a IS NULL)", {key.tree});
      key.type = Type::kBool;
  }
  return key;
}

Tree Expressions::of_type(const Scope& scope, Type type, int depth) {
  if (depth > 0 && dice_.percent(45)) {
    const char* kind = kind_of(type);
    const int form = dice_.up_to(5);
    if (form == 0)
      return branch(
          kind, "CASE WHEN @a THEN @b ELSE @c END",
          {predicate(scope, 0), of_type(scope, type, depth - 1), of_type(scope, type, depth - 1)});
    if (form == 1 && type != Type::kJson)
      return branch(kind, "coalesce(@a, @b)",
                    {of_type(scope, type, depth - 1), of_type(scope, type, depth - 1)});
    if (form == 2 && type != Type::kJson && type != Type::kBool)
      return branch(kind, "nullif(@a, @b)",
                    {of_type(scope, type, depth - 1), of_type(scope, type, depth - 1)});
    if (form == 3 && type != Type::kJson && type != Type::kBool)
      return branch(kind, dice_.percent(50) ? "greatest(@a, @b)" : "least(@a, @b)",
                    {of_type(scope, type, depth - 1), of_type(scope, type, depth - 1)});
    if (is_number(type)) return number(scope, type, depth - 1);
    if (type == Type::kText) return text(scope, depth - 1);
    if (type == Type::kBool) return branch(kind, "(@a)", {predicate(scope, depth - 1)});
    if (type != Type::kJson) return time(scope, type, depth - 1);
  }
  auto found = column(scope, type);
  if (found && !dice_.one_in(8)) return *found;
  if (dice_.one_in(10)) return leaf(kind_of(type), fmt::format("NULL::{}", type_name(type)));
  return constant(type);
}

Tree Expressions::number(const Scope& scope, Type type, int depth) {
  const char* kind = kind_of(type);
  const Tree a = of_type(scope, type, depth);
  if (type == Type::kInt) {
    switch (dice_.up_to(7)) {
      case 0:
        return branch(kind, dice_.percent(50) ? "(@a / 2)" : "(@a / nullif(@b, 0))",
                      {a, of_type(scope, type, depth)});
      case 1:
        return branch(kind, "(@a % 3)", {a});
      case 2:
        return branch(kind, "length(@a)", {of_type(scope, Type::kText, depth)});
      case 3:
        return branch(
            kind,
            fmt::format("extract({} FROM @a)::int",
                        dice_.pick({"year", "month", "day", "dow", "doy", "week", "quarter"})),
            {of_type(scope, Type::kDate, depth)});
      case 4:
        return branch(kind, "(@a - @b)",
                      {of_type(scope, Type::kDate, depth), of_type(scope, Type::kDate, depth)});
      case 5: {
        const auto json = column(scope, Type::kJson);
        if (json) return branch(kind, "(@a->>'n')::int", {*json});
        return branch(kind, "strpos(@a, 'b')", {of_type(scope, Type::kText, depth)});
      }
      default:
        break;
    }
  }
  switch (dice_.up_to(4)) {
    case 0:
      return branch(kind, "(@a * 2)", {a});
    case 1:
      return branch(kind, "abs(@a)", {a});
    case 2:
      return branch(kind, "(- @a)", {a});
    case 3:
      return branch(kind, "(@a - @b)", {a, of_type(scope, type, depth)});
    default:
      return branch(kind, "(@a + @b)", {a, of_type(scope, type, depth)});
  }
}

Tree Expressions::text(const Scope& scope, int depth) {
  const Tree a = of_type(scope, Type::kText, depth);
  const auto json = column(scope, Type::kJson);
  if (json && dice_.percent(40)) {
    return branch("text", dice_.pick({"(@a->>'k')", "(@a->'o'->>'k')", "(@a->'l'->>0)"}), {*json});
  }
  switch (dice_.up_to(7)) {
    case 0:
      return branch("text", "(@a || @b)", {a, of_type(scope, Type::kText, depth)});
    case 1:
      return branch("text", "concat(@a, '-', @b)",
                    {a, of_type(scope, dice_.percent(50) ? Type::kText : Type::kInt, depth)});
    case 2:
      return branch("text", "replace(@a, 'a', 'x')", {a});
    case 3:
      return branch("text",
                    dice_.pick({"substr(@a, 1, 1)", "substr(@a, 2)", "substr(@a, 0, 2)",
                                "substring(@a, -1, 3)"}),
                    {a});
    case 4:
      return branch("text", "(@a)::text", {of_type(scope, Type::kInt, 0)});
    case 5:
      return branch("text", "left(@a, 1)", {a});
    default:
      return branch("text", dice_.percent(50) ? "upper(@a)" : "lower(@a)", {a});
  }
}

Tree Expressions::time(const Scope& scope, Type type, int depth) {
  const Tree a = of_type(scope, type, depth);
  if (type == Type::kDate) {
    if (dice_.percent(50)) return branch("date", "(@a + 3)", {a});
    return branch("date", "(@a)::date", {of_type(scope, Type::kTimestamp, depth)});
  }
  if (type == Type::kTimestamp && dice_.percent(50)) {
    return branch(
        "timestamp",
        fmt::format("date_trunc('{}', @a)", dice_.pick({"hour", "day", "month", "minute"})), {a});
  }
  return branch(kind_of(type), "(@a + interval '90 minutes')", {a});
}

Expression Expressions::any(const Scope& scope, int depth) {
  if (dice_.percent(50)) return any_column(scope);
  static const std::vector<Type> kTypes = {
      Type::kInt,  Type::kInt,    Type::kText,      Type::kText,  Type::kNumeric, Type::kBool,
      Type::kDate, Type::kBigint, Type::kTimestamp, Type::kFloat, Type::kZoned};
  const Type type = dice_.pick(kTypes);
  return {of_type(scope, type, depth), type, true};
}

// --- Conditions --------------------------------------------------------------------------------

Type Expressions::comparable_type(const Scope& scope) {
  const Expression column = any_column(scope);
  return column.type == Type::kBool ? Type::kInt : column.type;
}

Tree Expressions::comparison(const Scope& scope, int depth) {
  const Type type = comparable_type(scope);
  const Tree a = of_type(scope, type, depth);
  switch (dice_.up_to(11)) {
    case 0:
      return branch("bool", "@a IS NULL", {a});
    case 1:
      return branch("bool", "@a IS NOT NULL", {a});
    case 2:
      return branch("bool", dice_.percent(50) ? "@a BETWEEN @b AND @c" : "@a NOT BETWEEN @b AND @c",
                    {a, constant(type), constant(type)});
    case 3:
    case 4: {
      std::vector<Tree> members;
      for (int i = dice_.between(1, 3); i > 0; --i) members.push_back(constant(type));
      if (dice_.one_in(5)) members.push_back(leaf("", "NULL"));
      return branch("bool", dice_.percent(60) ? "@a IN (@b)" : "@a NOT IN (@b)",
                    {a, list(", ", std::move(members))});
    }
    case 5:
      return branch("bool", fmt::format("@a IS {}DISTINCT FROM @b", dice_.pick({"", "NOT "})),
                    {a, of_type(scope, type, depth)});
    case 6:
      return branch("bool",
                    fmt::format("@a {} '{}'",
                                dice_.pick({"LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE", "~", "!~",
                                            "~*", "!~*"}),
                                dice_.pick({"a%", "%b", "_", "%", "ab", "a\\%", "^a", "b$", "a"})),
                    {of_type(scope, Type::kText, depth)});
    case 7: {
      const auto flag = column(scope, Type::kBool);
      if (flag) return *flag;
      break;
    }
    default:
      break;
  }
  return branch("bool", fmt::format("@a {} @b", dice_.pick({"=", "<>", "<", "<=", ">", ">="})),
                {a, dice_.percent(60) ? constant(type) : of_type(scope, type, depth)});
}

Tree Expressions::predicate(const Scope& scope, int depth, Subqueries subqueries) {
  if (subqueries == Subqueries::kAllowed && dice_.percent(35)) {
    if (dice_.percent(60)) return subquery_predicate(scope);
    return branch("bool", "(@a AND @b)", {subquery_predicate(scope), predicate(scope, 0)});
  }
  if (depth > 0 && dice_.percent(35)) {
    switch (dice_.up_to(2)) {
      case 0:
        return branch("bool", "NOT (@a)", {predicate(scope, depth - 1)});
      case 1:
        return branch("bool", "(@a AND @b)",
                      {predicate(scope, depth - 1), predicate(scope, depth - 1)});
      default:
        return branch("bool", "(@a OR @b)",
                      {predicate(scope, depth - 1), predicate(scope, depth - 1)});
    }
  }
  return comparison(scope, depth);
}

Scope Expressions::subquery_scope() {
  return {{fmt::format("x{}", ++subqueries_), dice_.pick(tables_)}};
}

Tree Expressions::inner_where(const Scope& outer, const Scope& inner, bool correlated) {
  std::vector<Tree> conditions;
  if (correlated) {
    const Type type = Type::kInt;
    const auto inside = column(inner, type), outside = column(outer, type);
    if (inside && outside)
      conditions.push_back(
          branch("bool", dice_.one_in(6) ? "@a < @b" : "@a = @b", {*inside, *outside}));
    // Besides another comparison, which is no equality.
    const auto other = column(inner, type), others = column(outer, type);
    if (inside && outside && other && others && dice_.one_in(6))
      conditions.push_back(
          optional(branch("bool", dice_.percent(60) ? "@a <> @b" : "@a >= @b", {*other, *others})));
  }
  if (conditions.empty() || dice_.percent(40)) conditions.push_back(optional(predicate(inner, 0)));
  return optional(branch("", " WHERE @a", {list(" AND ", std::move(conditions))}));
}

Tree Expressions::subquery_predicate(const Scope& scope) {
  const Scope inner = subquery_scope();
  const ScopeItem& item = inner[0];
  const Tree from = leaf("", item.relation.name + " AS " + item.alias);
  const int form = dice_.up_to(9);
  if (form < 4) {
    return branch("bool",
                  form < 2 ? "EXISTS (SELECT 1 FROM @a@b)" : "NOT EXISTS (SELECT 1 FROM @a@b)",
                  {from, inner_where(scope, inner, !dice_.one_in(5))});
  }
  if (form < 8) {
    const Type type = comparable_type(inner);
    const auto inside = column(inner, type);
    if (inside) {
      const char* text =
          form < 6 ? "@a IN (SELECT @b FROM @c@d)" : "@a NOT IN (SELECT @b FROM @c@d)";
      if (dice_.one_in(6))
        text = dice_.pick({"@a = ANY (SELECT @b FROM @c@d)", "@a <> ALL (SELECT @b FROM @c@d)",
                           "@a < ANY (SELECT @b FROM @c@d)", "@a >= ALL (SELECT @b FROM @c@d)",
                           "@a IN (SELECT @b FROM @c@d ORDER BY 1 LIMIT 2)"});
      return branch(
          "bool", text,
          {of_type(scope, type, 0), *inside, from, inner_where(scope, inner, dice_.one_in(4))});
    }
  }
  const Expression value = scalar_subquery(scope);
  return branch("bool", fmt::format("@a {} @b", dice_.pick({"=", "<", ">=", "<>"})),
                {of_type(scope, Type::kInt, 0), value.tree});
}

Expression Expressions::scalar_subquery(const Scope& scope) {
  const Scope inner = subquery_scope();
  const ScopeItem& item = inner[0];
  const Tree from = leaf("", item.relation.name + " AS " + item.alias);
  const Tree where = inner_where(scope, inner, dice_.percent(60));
  switch (dice_.up_to(5)) {
    case 5:
      return {branch("int",
                     dice_.pick({"(SELECT @c FROM @a@b ORDER BY 1 LIMIT 1)",
                                 "(SELECT @c FROM @a@b ORDER BY 1 DESC LIMIT 1)",
                                 "(SELECT @c FROM @a@b ORDER BY 1 LIMIT 1 OFFSET 1)"}),
                     {from, where, of_type(inner, Type::kInt, 0)}),
              Type::kInt, true};
    case 0:
      return {branch("bigint", "(SELECT count(*) FROM @a@b)", {from, where}), Type::kBigint, true};
    case 1:
      return {branch("bigint", "(SELECT sum(@c) FROM @a@b)",
                     {from, where, of_type(inner, Type::kInt, 0)}),
              Type::kBigint, true};
    default:
      return {branch("int", fmt::format("(SELECT {}(@c) FROM @a@b)", dice_.pick({"max", "min"})),
                     {from, where, of_type(inner, Type::kInt, 0)}),
              Type::kInt, true};
  }
}

// --- Aggregates --------------------------------------------------------------------------------

Expression Expressions::total(const Scope& scope) {
  const Expression column = any_column(scope);
  const Tree a = dice_.percent(70) ? column.tree : of_type(scope, column.type, 1);
  if (column.type != Type::kBool && dice_.percent(35))
    return {branch(kind_of(column.type), dice_.percent(50) ? "min(@a)" : "max(@a)", {a}),
            column.type, true};
  if (column.type == Type::kText)
    return {branch("text",
                   dice_.percent(60) ? "string_agg(@a, ',' ORDER BY @a)"
                                     : "string_agg(DISTINCT @a, ',' ORDER BY @a)",
                   {a}),
            Type::kText, true};
  if (column.type == Type::kBool)
    return {branch("bool", dice_.percent(50) ? "bool_and(@a)" : "bool_or(@a)", {a}), Type::kBool,
            true};
  if (!is_number(column.type))
    return {branch("bigint", dice_.percent(50) ? "count(@a)" : "count(DISTINCT @a)", {a}),
            Type::kBigint, true};
  if (dice_.percent(30)) {
    const char* function =
        dice_.pick({"avg(@a)", "avg(@a)", "avg(DISTINCT @a)", "stddev(@a)", "variance(@a)",
                    "var_pop(@a)", "stddev_pop(@a)", "stddev_samp(@a)"});
    return {branch("", function, {a}), Type::kNumeric, false};
  }
  if (column.type == Type::kFloat) return {branch("", "sum(@a)", {a}), Type::kFloat, false};
  const Type type = column.type == Type::kInt ? Type::kBigint : Type::kNumeric;
  return {branch(kind_of(type), dice_.percent(75) ? "sum(@a)" : "sum(DISTINCT @a)", {a}), type,
          true};
}

Expression Expressions::aggregate(const Scope& scope) {
  Expression out;
  const int form = dice_.up_to(9);
  if (form < 2) {
    out = {leaf("bigint", "count(*)"), Type::kBigint, true};
  } else if (form < 4) {
    out = {branch("bigint", dice_.percent(50) ? "count(@a)" : "count(DISTINCT @a)",
                  {any_column(scope).tree}),
           Type::kBigint, true};
  } else {
    out = total(scope);
  }
  if (dice_.percent(20)) {
    out.tree =
        branch(out.tree.kind, "@a@b",
               {out.tree, optional(branch("", " FILTER (WHERE @a)", {predicate(scope, 1)}))});
  }
  if (out.exact && out.type == Type::kBigint && dice_.percent(15))
    out.tree = branch("bigint", dice_.percent(50) ? "coalesce(@a, 0)" : "(@a + 1)", {out.tree});
  return out;
}

Tree Expressions::order_item(const Scope& scope) {
  return branch("",
                fmt::format("@a{}{}", dice_.pick({"", " DESC"}),
                            dice_.pick({"", "", " NULLS FIRST", " NULLS LAST"})),
                {any_column(scope).tree});
}

Expression Expressions::window(const Scope& scope, const std::vector<std::string>& unique) {
  std::vector<Tree> parts;
  if (!dice_.one_in(4)) {
    parts.push_back(optional(branch("", "PARTITION BY @a", {any_column(scope).tree})));
  }
  const Tree order = order_item(scope);
  std::vector<Tree> total_order = {optional(order)};
  for (const std::string& name : unique) total_order.push_back(leaf("", name));
  std::vector<Tree> ordered = parts, unordered = parts, ranked = parts;
  if (!unique.empty()) ordered.push_back(branch("", "ORDER BY @a", {list(", ", total_order)}));
  ranked.push_back(branch("", "ORDER BY @a", {order}));
  const auto over = [&](const char* function, std::vector<Tree> children, std::vector<Tree> of,
                        Type type, bool exact = true) -> Expression {
    std::string text = std::string(function) + " OVER (@";
    text += static_cast<char>('a' + children.size());
    text += ")";
    children.push_back(list(" ", std::move(of)));
    return {branch(exact ? kind_of(type) : "", text, std::move(children)), type, exact};
  };
  const Tree number = of_type(scope, Type::kInt, 0);
  switch (dice_.up_to(9)) {
    case 0:
      return over("rank()", {}, ranked, Type::kBigint);
    case 1:
      return over("dense_rank()", {}, ranked, Type::kBigint);
    case 2:
      return over("sum(@a)", {number}, ranked, Type::kBigint);
    case 3:
      return over("count(*)", {}, unordered, Type::kBigint);
    case 4:
      return over("max(@a)", {number}, unordered, Type::kInt);
    case 5:
      return over("avg(@a)", {number}, unordered, Type::kNumeric, false);
    default:
      break;
  }
  if (unique.empty()) return over("sum(@a)", {number}, unordered, Type::kBigint);
  switch (dice_.up_to(6)) {
    case 0:
      return over("lag(@a)", {number}, ordered, Type::kInt);
    case 3:
      return over("ntile(3)", {}, ordered, Type::kInt);
    case 4:
    case 5:
      ordered.push_back(leaf("", dice_.pick({"ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
                                             "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING",
                                             "ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING"})));
      if (dice_.percent(30)) return over("last_value(@a)", {number}, ordered, Type::kInt);
      return dice_.percent(50) ? over("sum(@a)", {number}, ordered, Type::kBigint)
                               : over("max(@a)", {number}, ordered, Type::kInt);
    case 1:
      return over("lead(@a, 2)", {number}, ordered, Type::kInt);
    case 2:
      return over("first_value(@a)", {number}, ordered, Type::kInt);
    default:
      return over("row_number()", {}, ordered, Type::kBigint);
  }
}

}  // namespace pgweir::differential
