#include "differential/random_views.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "differential/random_windows.h"

namespace pgweir::differential {
namespace {

constexpr double kRowsMax = 3000;  // about so many rows may come out of a join
constexpr int kDepthMax = 2;       // of subqueries in FROM and WITH

struct Query {
  Tree tree;
  std::vector<OutColumn> columns;
  double rows = 40;
};

struct From {
  Tree tree;
  Scope scope;
  double rows = 0;
  std::vector<Tree> conditions;  // of cross joins, for WHERE
};

std::string column_name(std::size_t i) {
  return fmt::format("c{}", i + 1);
}

class Maker {
 public:
  Maker(Dice& dice, const std::vector<Relation>& relations)
      : dice_(dice), relations_(relations), make_(dice, relations_) {}

  Query query(int depth) {
    switch (dice_.up_to(depth > 0 ? 17 : 13)) {
      case 0:
      case 1:
      case 2:
        return rows_query(wanted_types(0), depth);
      case 3:
      case 4:
      case 5:
      case 6:
        return group_query(depth);
      case 7:
        return sets_query(depth);
      case 8:
      case 9:
        return union_query(depth);
      case 10:
        return window_query(depth);
      case 11:
        return dice_.percent(60) ? top_query() : top_of_all_query(depth);
      case 12:
        return dice_.percent(60) ? top_of_groups_query() : distinct_on_query();
      case 13:
        return top_of_groups_query();
      default:
        return with_query(depth);
    }
  }

 private:
  // --- FROM ---

  const Relation& any_relation() {
    // Tables, views and WITH queries; the newest more often.
    const auto last = static_cast<int>(relations_.size()) - 1;
    return relations_[static_cast<std::size_t>(dice_.percent(25) ? last : dice_.up_to(last))];
  }

  std::string alias() { return fmt::format("r{}", ++aliases_); }

  // "t1 AS r1", a subquery, or windows of a table.
  std::pair<Tree, ScopeItem> item(int depth) {
    if (depth > 0 && dice_.one_in(9)) {
      Query below = query(depth - 1);
      ScopeItem item{alias(), Relation{.columns = below.columns, .rows = below.rows}};
      return {branch("", "(@a) AS " + item.alias, {std::move(below.tree)}), std::move(item)};
    }
    ScopeItem item{alias(), any_relation()};
    if (dice_.one_in(8)) {
      if (auto windows = random_windows(dice_, item)) return {*std::move(windows), std::move(item)};
    }
    return {leaf("", item.relation.name + " AS " + item.alias), std::move(item)};
  }

  int join_count() {
    const int roll = dice_.up_to(99);
    if (roll < 42) return 0;
    if (roll < 72) return 1;
    if (roll < 86) return 2;
    return dice_.between(3, 7);
  }

  static std::vector<std::string> int_columns(const ScopeItem& item) {
    std::vector<std::string> names;
    for (const OutColumn& column : item.relation.columns)
      if (column.type == Type::kInt && column.exact)
        names.push_back(item.alias + "." + column.name);
    return names;
  }

  // An equality of a column of one side and the other, by a key where the rows would become too
  // many otherwise. Nothing when there is none. `computed` becomes true when it is one of
  // expressions.
  std::optional<Tree> equality(const Scope& left, const ScopeItem& right, double& rows,
                               bool& computed) {
    const ScopeItem& partner = dice_.pick(left);
    const auto keyed = [](const ScopeItem& item) { return item.relation.key.size() == 1; };
    const auto theirs = int_columns(partner), ours = int_columns(right);
    if (theirs.empty() || ours.empty()) return std::nullopt;
    const double by_value = rows * right.relation.rows / 5;
    if (by_value < kRowsMax / 2 && dice_.one_in(8)) {
      rows = by_value * 2;
      computed = true;
      return branch("bool",
                    dice_.pick({"(@a % 3) = @b", "@a = (@b + 1)", "abs(@a) = abs(@b)",
                                "coalesce(@a, 0) = coalesce(@b, 0)"}),
                    {leaf("int", dice_.pick(theirs)), leaf("int", dice_.pick(ours))});
    }
    if (by_value < kRowsMax && dice_.percent(35)) {
      rows = by_value;
      return branch("bool", "@a = @b",
                    {leaf("int", dice_.pick(theirs)), leaf("int", dice_.pick(ours))});
    }
    if (keyed(right)) {
      return branch("bool", "@a = @b",
                    {leaf("int", dice_.pick(theirs)), leaf("int", right.alias + ".id")});
    }
    if (keyed(partner) && rows * right.relation.rows / 30 < kRowsMax) {
      rows = std::max(rows, rows * right.relation.rows / 30);
      return branch("bool", "@a = @b",
                    {leaf("int", partner.alias + ".id"), leaf("int", dice_.pick(ours))});
    }
    if (by_value >= kRowsMax) return std::nullopt;
    rows = by_value;
    return branch("bool", "@a = @b",
                  {leaf("int", dice_.pick(theirs)), leaf("int", dice_.pick(ours))});
  }

  From from(int depth) {
    From out;
    auto [first, first_item] = item(depth);
    out.rows = first_item.relation.rows;
    out.scope.push_back(std::move(first_item));
    out.tree = branch("from", "@a", {std::move(first)});
    const int joins = join_count();
    for (int i = 0; i < joins; ++i) {
      if (i == 0 && dice_.one_in(7)) {
        join_using(out, depth);
      } else {
        join(out, depth);
      }
    }
    return out;
  }

  // By a column that both sides have. Conditions and items name the sides.
  void join_using(From& out, int depth) {
    auto [tree, right] = item(depth);
    std::vector<std::string> shared;
    for (const OutColumn& column : out.scope[0].relation.columns) {
      for (const OutColumn& other : right.relation.columns) {
        if (column.name == other.name && column.type == other.type && column.exact && other.exact &&
            column.type != Type::kJson)
          shared.push_back(column.name);
      }
    }
    const double rows = out.rows * right.relation.rows / 4;
    if (shared.empty() || rows > kRowsMax) return;
    std::string columns = dice_.pick(shared);
    if (dice_.one_in(4) && columns != shared.front()) columns += ", " + shared.front();
    const char* word = dice_.pick({"JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"});
    // Columns of one name have one type in all tables.
    const bool natural =
        dice_.one_in(4) && out.scope[0].relation.is_table && right.relation.is_table;
    out.tree = branch("from",
                      natural ? fmt::format("@a NATURAL {} @b", word)
                              : fmt::format("@a {} @b USING ({})", word, columns),
                      {std::move(out.tree), std::move(tree)});
    out.rows = std::max(out.rows, rows);
    out.scope.push_back(std::move(right));
  }

  // Something to group by is in it: PostgreSQL up to 17 shows constants in every grouping set.
  From grouped_from(int depth) {
    From source = from(depth);
    const bool any = std::any_of(source.scope.begin(), source.scope.end(), [](const auto& item) {
      return std::any_of(item.relation.columns.begin(), item.relation.columns.end(),
                         [](const auto& column) { return column.exact; });
    });
    return any ? source : keyed_table();
  }

  void join(From& out, int depth) {
    auto [tree, right] = item(depth);
    bool computed = false;
    auto condition = equality(out.scope, right, out.rows, computed);
    const double pairs = out.rows * right.relation.rows;
    if (pairs < kRowsMax && dice_.one_in(12)) {
      Scope both = out.scope;
      both.push_back(right);
      condition = make_.predicate(both, 0);
      out.rows = pairs / 2;
      out.tree =
          branch("from", "@a JOIN @b ON @c", {std::move(out.tree), std::move(tree), *condition});
      out.scope = std::move(both);
      return;
    }
    if (!condition) return;
    Scope both = out.scope;
    both.push_back(right);
    const int kind = dice_.up_to(99);
    // PostgreSQL takes no other conditions in FULL joins.
    const bool full = kind >= 92;
    if (!full && dice_.one_in(4)) {
      condition = list(" AND ", {*condition, optional(make_.predicate(both, 0))});
    }
    const char* word = full         ? "FULL JOIN"
                       : kind >= 84 ? "RIGHT JOIN"
                       : kind >= 60 ? "LEFT JOIN"
                                    : "JOIN";
    // Some expressions are no NULL for a NULL: below an outer join all rows would meet all others,
    // in PostgreSQL, too.
    if (kind < 12 && !computed) {
      out.conditions.push_back(*condition);
      out.tree = branch("from", "@a CROSS JOIN @b", {std::move(out.tree), std::move(tree)});
    } else {
      out.tree = branch("from", fmt::format("@a {} @b ON @c", word),
                        {std::move(out.tree), std::move(tree), *condition});
    }
    out.scope = std::move(both);
  }

  // " WHERE ..." with the conditions of FROM and, now and then, others.
  Tree where(const From& from, int chance = 55) {
    std::vector<Tree> conditions = from.conditions;
    if (dice_.percent(chance))
      conditions.push_back(
          optional(make_.predicate(from.scope, 1, Expressions::Subqueries::kAllowed)));
    if (conditions.empty()) return {};
    return optional(branch("", " WHERE @a", {list(" AND ", std::move(conditions))}));
  }

  // --- SELECT lists ---

  std::vector<Type> wanted_types(int least) {
    static const std::vector<Type> kTypes = {
        Type::kInt,  Type::kInt,  Type::kText,   Type::kInt,  Type::kNumeric,
        Type::kBool, Type::kDate, Type::kBigint, Type::kText, Type::kTimestamp};
    std::vector<Type> types;
    for (int i = std::max(least, dice_.between(1, 4)); i > 0; --i)
      types.push_back(dice_.pick(kTypes));
    return types;
  }

  static Tree named(Tree tree, std::size_t i) {
    return optional(branch("", "@a AS " + column_name(i), {std::move(tree)}));
  }

  Query rows_query(const std::vector<Type>& types, int depth, bool plain = false) {
    From source = from(depth);
    std::vector<Tree> items;
    Query out;
    for (const Type type : types) {
      Expression item{make_.of_type(source.scope, type, 1), type, true};
      if (!plain && dice_.one_in(8)) item = make_.scalar_subquery(source.scope);
      if (!plain && dice_.one_in(3)) item = make_.any(source.scope, 2);
      out.columns.push_back({column_name(items.size()), item.type, item.exact});
      items.push_back(named(std::move(item.tree), items.size()));
    }
    const bool distinct = dice_.percent(20);
    out.rows = source.rows;
    out.tree = branch(plain ? signature(types) : "", "SELECT @a@b FROM @c@d",
                      {distinct ? optional(leaf("", "DISTINCT ")) : Tree{},
                       list(", ", std::move(items)), source.tree, where(source)});
    return out;
  }

  static std::string signature(const std::vector<Type>& types) {
    std::string kind = "query";
    for (const Type type : types) kind += std::string(" ") + kind_of(type);
    return kind;
  }

  // --- Groups ---

  struct Groups {
    std::vector<Expression> keys;
    std::vector<Tree> items;  // of the SELECT list
    std::vector<Tree> by;     // of GROUP BY
  };

  Groups groups(const Scope& scope, int count, Query& out, bool all_shown) {
    Groups made;
    for (int i = 0; i < count; ++i) {
      Expression key = make_.group_key(scope);
      key.tree.kind.clear();  // no constant takes its place
      const bool shown = all_shown || dice_.percent(85);
      if (shown) {
        out.columns.push_back({column_name(out.columns.size()), key.type, true});
        made.items.push_back(named(key.tree, out.columns.size() - 1));
      }
      const bool by_place = shown && !all_shown && dice_.percent(40);
      made.by.push_back(
          optional(by_place ? leaf("", std::to_string(made.items.size())) : key.tree));
      made.keys.push_back(std::move(key));
    }
    return made;
  }

  void add_aggregates(const Scope& scope, Query& out, std::vector<Tree>& items) {
    for (int i = dice_.between(1, 3); i > 0; --i) {
      Expression total = make_.aggregate(scope);
      out.columns.push_back({column_name(out.columns.size()), total.type, total.exact});
      items.push_back(named(std::move(total.tree), out.columns.size() - 1));
    }
  }

  Tree having() {
    if (!dice_.one_in(4)) return {};
    return optional(leaf("", dice_.pick({" HAVING count(*) > 1", " HAVING count(*) < 4",
                                         " HAVING count(*) > 100", " HAVING min(1) = 1"})));
  }

  Query group_query(int depth) {
    From source = grouped_from(depth);
    Query out;
    Groups made = groups(source.scope, dice_.up_to(2), out, false);
    std::vector<Tree> items = std::move(made.items);
    add_aggregates(source.scope, out, items);
    Tree filter = having();
    if (!filter.is_nothing() && dice_.percent(50))
      filter = optional(
          branch("", dice_.percent(50) ? " HAVING @a > 2" : " HAVING sum(@b) >= 3",
                 {leaf("bigint", "count(*)"), make_.of_type(source.scope, Type::kInt, 0)}));
    Tree by = made.by.empty()
                  ? Tree{}
                  : optional(branch("", " GROUP BY @a", {list(", ", std::move(made.by))}));
    out.rows = made.keys.empty() ? 1 : std::min(source.rows, 20.0);
    out.tree = branch("", "SELECT @a FROM @b@c@d@e",
                      {list(", ", std::move(items)), source.tree, where(source), std::move(by),
                       std::move(filter)});
    return out;
  }

  // ROLLUP, CUBE, GROUPING SETS.
  Query sets_query(int depth) {
    From source = grouped_from(depth);
    Query out;
    Groups made = groups(source.scope, 2, out, true);
    std::vector<Tree> items = std::move(made.items);
    add_aggregates(source.scope, out, items);
    const Tree &a = made.keys[0].tree, &b = made.keys[1].tree;
    if (dice_.percent(30)) {
      out.columns.push_back({column_name(out.columns.size()), Type::kInt, true});
      items.push_back(named(branch("int", "grouping(@a)::int", {a}), out.columns.size() - 1));
    }
    const char* by =
        dice_.pick({"ROLLUP (@a, @b)", "CUBE (@a, @b)", "GROUPING SETS ((@a), (@b), ())",
                    "GROUPING SETS ((@a, @b), (@a))", "@a, ROLLUP (@b)",
                    "GROUPING SETS ((@b, @a), (@b))", "ROLLUP ((@a, @b))"});
    out.rows = 30;
    out.tree = branch("", "SELECT @a FROM @b@c GROUP BY @d@e",
                      {list(", ", std::move(items)), source.tree, where(source),
                       branch("", by, {a, b}), having()});
    return out;
  }

  // --- Sets ---

  Query union_query(int depth) {
    const std::vector<Type> types = wanted_types(1);
    Query out = rows_query(types, depth - 1, true);
    const std::string kind = signature(types);
    for (int arms = dice_.between(1, 2); arms > 0; --arms) {
      Query arm = rows_query(types, depth - 1, true);
      const char* word = dice_.pick({"UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL",
                                     "EXCEPT ALL", "UNION ALL"});
      out.tree = branch(kind, fmt::format("(@a) {} (@b)", word),
                        {std::move(out.tree), std::move(arm.tree)});
      out.rows += arm.rows;
    }
    for (std::size_t i = 0; i < types.size(); ++i) out.columns[i].type = types[i];
    return out;
  }

  // --- Windows and the first rows ---

  // The columns of the scope's rows that are unique, where they are known: of one table.
  static std::vector<std::string> unique_columns(const Scope& scope) {
    std::vector<std::string> names;
    if (scope.size() != 1) return names;
    for (const std::string& key : scope[0].relation.key)
      names.push_back(scope[0].alias + "." + key);
    return names;
  }

  From keyed_table() {
    std::vector<const Relation*> keyed;
    for (const Relation& relation : relations_)
      if (!relation.key.empty()) keyed.push_back(&relation);
    From out;
    const Relation& relation = *dice_.pick(keyed);
    out.scope.push_back({alias(), relation});
    out.rows = relation.rows;
    out.tree = leaf("", relation.name + " AS " + out.scope[0].alias);
    return out;
  }

  Query window_query(int depth) {
    From source = dice_.percent(50) ? keyed_table() : from(depth);
    Query out;
    std::vector<Tree> items;
    const auto add = [&](Expression item) {
      out.columns.push_back({column_name(items.size()), item.type, item.exact});
      items.push_back(named(std::move(item.tree), items.size()));
    };
    for (int i = dice_.between(1, 2); i > 0; --i) add(make_.any_column(source.scope));
    for (int i = dice_.between(1, 2); i > 0; --i)
      add(make_.window(source.scope, unique_columns(source.scope)));
    out.rows = source.rows;
    out.tree = branch("", "SELECT @a FROM @b@c",
                      {list(", ", std::move(items)), source.tree, where(source, 35)});
    return out;
  }

  // The key behind something else: an order without ties.
  Tree total_order(const Scope& scope) {
    std::vector<Tree> items = {optional(make_.order_item(scope))};
    for (const std::string& name : unique_columns(scope)) {
      items.push_back(leaf("", dice_.one_in(4) ? name + " DESC" : name));
    }
    return list(", ", std::move(items));
  }

  Query top_query() {
    From source = keyed_table();
    Query out;
    std::vector<Tree> items;
    for (int i = dice_.between(1, 3); i > 0; --i) {
      Expression item = make_.any(source.scope, 1);
      out.columns.push_back({column_name(items.size()), item.type, item.exact});
      items.push_back(named(std::move(item.tree), items.size()));
    }
    out.rows = 5;
    const Tree order = total_order(source.scope);
    out.tree =
        branch("", fmt::format("SELECT @a FROM @b@c ORDER BY @d LIMIT {}@e", dice_.between(1, 8)),
               {list(", ", std::move(items)), source.tree, where(source, 40), order,
                dice_.one_in(4) ? optional(leaf("", fmt::format(" OFFSET {}", dice_.between(1, 3))))
                                : Tree{}});
    return out;
  }

  // The first rows of whatever a query gives, ordered by all of its columns: ties are equal rows.
  Query top_of_all_query(int depth) {
    Query below = dice_.percent(50) && depth > 0 ? group_query(depth - 1)
                                                 : rows_query(wanted_types(1), depth, true);
    const bool exact = std::all_of(below.columns.begin(), below.columns.end(),
                                   [](const OutColumn& column) { return column.exact; });
    if (!exact) return below;
    std::vector<Tree> order;
    for (const OutColumn& column : below.columns) {
      const char* how = dice_.pick({"", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"});
      order.insert(dice_.percent(50) ? order.begin() : order.end(),
                   leaf("", "q." + column.name + how));
    }
    below.tree.kind.clear();
    // A column that the SELECT list lacks cannot be ordered by.
    return {.tree = branch("",
                           fmt::format("SELECT * FROM (@a) AS q ORDER BY @b LIMIT {}{}",
                                       dice_.between(1, 8), dice_.one_in(4) ? " OFFSET 2" : ""),
                           {std::move(below.tree), list(", ", std::move(order))}),
            .columns = std::move(below.columns),
            .rows = 5};
  }

  // The first row of each value.
  Query distinct_on_query() {
    From source = keyed_table();
    Query out;
    std::vector<Tree> items, by, order;
    for (int i = dice_.between(1, 2); i > 0; --i) {
      by.push_back(make_.any_column(source.scope).tree);
      order.push_back(branch("", dice_.pick({"@a", "@a DESC"}), {by.back()}));
    }
    for (int i = dice_.between(1, 3); i > 0; --i) {
      Expression item = make_.any_column(source.scope);
      out.columns.push_back({column_name(items.size()), item.type, item.exact});
      items.push_back(named(std::move(item.tree), items.size()));
    }
    order.push_back(total_order(source.scope));
    out.rows = 10;
    out.tree = branch("", "SELECT DISTINCT ON (@a) @b FROM @c@d ORDER BY @e",
                      {list(", ", std::move(by)), list(", ", std::move(items)), source.tree,
                       where(source, 40), list(", ", std::move(order))});
    return out;
  }

  // The first rows of each group, by QUALIFY or by a condition outside.
  Query top_of_groups_query() {
    From source = keyed_table();
    Query out;
    std::vector<Tree> items, names;
    for (int i = dice_.between(1, 3); i > 0; --i) {
      Expression item = make_.any_column(source.scope);
      out.columns.push_back({column_name(items.size()), item.type, item.exact});
      // Both texts must have the same columns.
      names.push_back(leaf("", "q." + column_name(items.size())));
      items.push_back(named(std::move(item.tree), items.size()));
      items.back().optional = false;
    }
    const bool rows = dice_.percent(70);
    const Tree order = rows ? total_order(source.scope) : make_.order_item(source.scope);
    const Tree place = branch(
        "", "@a OVER (@bORDER BY @c)",
        {leaf("", rows ? "row_number()" : dice_.pick({"rank()", "dense_rank()"})),
         optional(branch("", "PARTITION BY @a ", {make_.any_column(source.scope).tree})), order});
    const Tree last = leaf("", dice_.pick({"<= 1", "<= 2", "<= 3", "= 1", "< 3"}));
    const Tree condition = where(source, 40);
    const char* outside = "SELECT @a FROM (SELECT @b, @c AS place FROM @d@e) AS q WHERE q.place @f";
    const bool qualify = dice_.percent(50);
    out.rows = 20;
    out.tree = branch("", outside,
                      {list(", ", std::move(names)), list(", ", std::move(items)), place,
                       source.tree, condition, last},
                      qualify ? "SELECT @b FROM @d@e QUALIFY @c @f" : "");
    return out;
  }

  // --- WITH ---

  Query with_query(int depth) {
    Query below = query(depth - 1);
    const std::string name = fmt::format("w{}", ++withs_);
    relations_.push_back(Relation{.name = name, .columns = below.columns, .rows = below.rows});
    // Newest of the relations, it is taken often.
    Query out = query(depth - 1);
    relations_.pop_back();
    // Of two that follow each other the second one is in parentheses.
    if (out.tree.text.starts_with("WITH"))
      out.tree = branch("", "SELECT * FROM (@a) AS z", {std::move(out.tree)});
    const bool materialized = dice_.one_in(8);
    out.tree =
        branch("", fmt::format("WITH {} AS {}(@a) @b", name, materialized ? "MATERIALIZED " : ""),
               {std::move(below.tree), std::move(out.tree)});
    return out;
  }

  Dice& dice_;
  std::vector<Relation> relations_;
  Expressions make_;
  int aliases_ = 0;
  int withs_ = 0;
};

}  // namespace

CaseView random_view(Dice& dice, const std::string& name, std::vector<Relation>& relations) {
  Maker maker(dice, relations);
  Query query = maker.query(kDepthMax);
  relations.push_back(
      Relation{.name = name, .columns = query.columns, .rows = std::min(query.rows, kRowsMax)});
  return {name, std::move(query.tree)};
}

}  // namespace pgweir::differential
