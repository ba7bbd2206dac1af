// Which joins stay outer ones.
#include "views/outer_joins.h"

#include <gmock/gmock.h>

#include <functional>

#include "views/select_tree.h"

namespace pgweir::views {

class OuterJoinsTest : public testing::Test {
 protected:
  // The kinds of the joins from the outermost on, the left before the right: "LEFT INNER", over
  // tables a, b, c, d with columns x, y, s.
  std::string reduced(const std::string& from, const std::string& where) {
    const std::string sql =
        "SELECT 1 AS one FROM " + from + (where.empty() ? "" : " WHERE ") + where;
    const ViewDefinition view = analyse(*parser_, functions_, {"v", sql});
    if (view.refusal) return view.refusal->text();
    std::vector<const Relation*> relations;
    for (const RelationRef& ref : view.refs) {
      const std::size_t which = static_cast<std::size_t>(ref.name[0] - 'a');
      relations.push_back(&tables_.at(which));
    }
    const std::vector<std::optional<Window>> windows(view.refs.size());
    Scope scope(view, relations, windows);
    Json tree = child(view.node, "from_table");
    if (!scope.add_any_from(tree)) return scope.reason();
    Json condition = child(view.node, "where_clause");
    EXPECT_TRUE(scope.canonicalise(condition)) << scope.reason();
    EXPECT_TRUE(canonical_conditions(scope, tree)) << scope.reason();
    const std::string before = kinds(tree);
    const bool changed = reduce_outer_joins(scope, condition, tree);
    EXPECT_EQ(changed, kinds(tree) != before) << sql;
    return kinds(tree);
  }

 private:
  static bool canonical_conditions(Scope& scope, Json& from) {
    if (text_of(from, "type") != "JOIN") return true;
    Json& condition = child_of(from, "condition");
    return (condition.is_null() || scope.canonicalise(condition)) &&
           canonical_conditions(scope, child_of(from, "left")) &&
           canonical_conditions(scope, child_of(from, "right"));
  }

  static std::string kinds(const Json& from) {
    if (text_of(from, "type") != "JOIN") return "";
    std::string out = text_of(from, "join_type");
    for (const char* side : {"left", "right"}) {
      const std::string below = kinds(child(from, side));
      if (!below.empty()) out += " " + below;
    }
    return out;
  }

  static Relation relation(const std::string& name) {
    Relation made;
    made.name = "public." + name;
    made.schema = "public";
    made.table = name;
    made.columns = {{"x", "INTEGER"}, {"y", "INTEGER"}, {"s", "VARCHAR"}};
    return made;
  }

  std::unique_ptr<SqlParser> parser_ = SqlParser::create().value();
  const FunctionCatalog functions_ = FunctionCatalog::read(parser_->connection()).value();
  const std::vector<Relation> tables_ = {relation("a"), relation("b"), relation("c"),
                                         relation("d")};
};

TEST_F(OuterJoinsTest, ConditionsThatNullsDoNotMeetMakeInnerOnes) {
  struct Case {
    const char* where;
    const char* left;   // what becomes of a LEFT JOIN b
    const char* right;  // of a RIGHT JOIN b
    const char* full;   // of a FULL JOIN b
  };
  const Case cases[] = {
      {"", "LEFT", "RIGHT", "FULL"},
      {"b.y = 1", "INNER", "RIGHT", "RIGHT"},
      {"a.y <> 1", "LEFT", "INNER", "LEFT"},
      {"a.y < b.y", "INNER", "INNER", "INNER"},
      {"a.y = 1 AND b.y = 1", "INNER", "INNER", "INNER"},
      {"a.y = 1 OR b.y = 1", "LEFT", "RIGHT", "FULL"},
      {"a.y = b.x OR b.y = 1", "INNER", "RIGHT", "RIGHT"},
      {"NOT (b.y > 1)", "INNER", "RIGHT", "RIGHT"},
      {"b.y NOT BETWEEN 4 AND a.x", "INNER", "RIGHT", "RIGHT"},
      {"1 BETWEEN b.x AND b.y", "LEFT", "RIGHT", "FULL"},
      {"b.y IN (1, 2)", "INNER", "RIGHT", "RIGHT"},
      {"b.y NOT IN (1, 2)", "INNER", "RIGHT", "RIGHT"},
      {"b.y IS NOT NULL", "INNER", "RIGHT", "RIGHT"},
      {"b.y IS NULL", "LEFT", "RIGHT", "FULL"},
      {"NOT (b.y IS NOT NULL)", "LEFT", "RIGHT", "FULL"},
      {"b.y IS DISTINCT FROM 1", "LEFT", "RIGHT", "FULL"},
      {"b.y IS NOT DISTINCT FROM 1", "LEFT", "RIGHT", "FULL"},
      {"coalesce(b.y, 1) = 1", "LEFT", "RIGHT", "FULL"},
      {"CASE WHEN b.y = 1 THEN false ELSE true END", "LEFT", "RIGHT", "FULL"},
      {"length(b.s) <> 3", "INNER", "RIGHT", "RIGHT"},
      {"lower(b.s) LIKE 'x%'", "INNER", "RIGHT", "RIGHT"},
      {"CAST(b.y AS text) = '1'", "INNER", "RIGHT", "RIGHT"},
      {"b.y % 3 + 1 = 2", "INNER", "RIGHT", "RIGHT"},
      {"false", "LEFT", "RIGHT", "FULL"},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(reduced("a LEFT JOIN b ON a.x = b.x", each.where), each.left) << each.where;
    EXPECT_EQ(reduced("a RIGHT JOIN b ON a.x = b.x", each.where), each.right) << each.where;
    EXPECT_EQ(reduced("a FULL JOIN b ON a.x = b.x", each.where), each.full) << each.where;
  }
}

TEST_F(OuterJoinsTest, ConditionsOfJoinsBehindCountToo) {
  struct Case {
    const char* from;
    const char* where;
    const char* kinds;
  };
  const Case cases[] = {
      {"a LEFT JOIN b ON a.x = b.x LEFT JOIN c ON b.x = c.x", "c.y = 1", "INNER INNER"},
      {"a LEFT JOIN b ON a.x = b.x LEFT JOIN c ON b.x = c.x", "b.y = 1", "LEFT INNER"},
      {"a LEFT JOIN b ON a.x = b.x LEFT JOIN c ON b.x = c.x", "", "LEFT LEFT"},
      {"a LEFT JOIN b ON a.x = b.x JOIN c ON b.x = c.x", "", "INNER INNER"},
      {"a LEFT JOIN b ON a.x = b.x JOIN c ON a.x = c.x", "", "INNER LEFT"},
      {"a LEFT JOIN b ON a.x = b.x RIGHT JOIN c ON b.x = c.x", "", "RIGHT INNER"},
      {"a LEFT JOIN b ON a.x = b.x RIGHT JOIN c ON b.x = c.x", "b.y = 1", "INNER INNER"},
      {"a LEFT JOIN b ON a.x = b.x FULL JOIN c ON b.x = c.x", "", "FULL LEFT"},
      {"a LEFT JOIN b ON a.x = b.x FULL JOIN c ON b.x = c.x", "c.y = 1", "RIGHT INNER"},
      {"a LEFT JOIN b ON a.x = b.x FULL JOIN c ON b.x = c.x", "a.y = 1", "LEFT LEFT"},
      {"a LEFT JOIN (b LEFT JOIN c ON b.x = c.x) ON a.x = c.y", "", "LEFT INNER"},
      {"a LEFT JOIN (b LEFT JOIN c ON b.x = c.x) ON a.x = b.y", "", "LEFT LEFT"},
      {"a CROSS JOIN b RIGHT JOIN c ON a.x = c.x", "a.y = b.y", "INNER INNER"},
      {"a FULL JOIN b USING (x) JOIN c ON c.x = a.x", "", "INNER LEFT"},
      {"a LEFT JOIN b ON a.x = b.x CROSS JOIN (c LEFT JOIN d ON c.x = d.x)", "b.y = d.y",
       "INNER INNER INNER"},
  };
  for (const Case& each : cases)
    EXPECT_EQ(reduced(each.from, each.where), each.kinds) << each.from << " " << each.where;
}

}  // namespace pgweir::views
