// What DuckDB's syntax tree tells of a view's SQL: what it reads, why it is refused, how it is
// kept.
#include "views/analysis.h"

#include <gmock/gmock.h>

#include <fmt/core.h>

#include "views/plan.h"

namespace pgweir::views {

class AnalysisTest : public testing::Test {
 protected:
  ViewDefinition analysed(const std::string& sql) {
    return analyse(*parser_, functions_, {"v", sql});
  }

  // What the SQL reads, "a, s.b, tumble c", or why it is refused.
  std::string reads(const std::string& sql) {
    const ViewDefinition view = analysed(sql);
    if (view.refusal) return view.refusal->text();
    std::string out;
    for (const RelationRef& ref : view.refs) {
      out += (out.empty() ? "" : ", ") +
             (ref.window ? window_function_name(ref.window->kind) + std::string(" ") : "") +
             ref.text();
      EXPECT_LT(ref.start, ref.end);
    }
    return out;
  }

  // "delta" or the reason for recomputing, over t(id key, a, b, n, s, d, at), u(id key, a, v).
  std::string kept(const std::string& sql) {
    const ViewDefinition view = analysed(sql);
    if (view.refusal) return view.refusal->text();
    std::vector<const Relation*> relations;
    std::vector<std::optional<Window>> windows;
    for (const RelationRef& ref : view.refs) {
      relations.push_back(ref.name == "t" ? &t_ : &u_);
      auto& window = windows.emplace_back();
      if (!ref.window) continue;
      auto made = make_window(*parser_, *ref.window, *relations.back(), sql);
      if (!made.ok()) return made.error().text();
      window = made.value();
    }
    const ResolvedSql resolved(view, relations, windows, [](const Relation& r) { return r.rows; });
    std::uint64_t offset = kNoOffset;
    const auto columns = parser_->describe(resolved.text(), &offset);
    if (!columns.ok())
      return columns.error().message.substr(0, 40) + " at " +
             place_of(sql, resolved.original(offset));
    const auto outcome = make_plan(*parser_, functions_, view, relations, windows, columns.value());
    if (!outcome.ok()) return outcome.error().text();
    return outcome->plan ? "delta" : outcome->reason;
  }

  static Relation relation(const std::string& name, std::vector<engine::StoreColumn> columns) {
    Relation made;
    made.name = "public." + name;
    made.schema = "public";
    made.table = name;
    made.rows = made.content = made.delta = "\"public\".\"" + name + "\"";
    made.key = {columns[0]};
    made.columns = std::move(columns);
    return made;
  }

  std::unique_ptr<SqlParser> parser_ = SqlParser::create().value();
  const FunctionCatalog functions_ = FunctionCatalog::read(parser_->connection()).value();
  const Relation t_ = relation("t", {{"id", "INTEGER"},
                                     {"a", "INTEGER"},
                                     {"b", "BIGINT"},
                                     {"n", "DECIMAL(12,2)"},
                                     {"s", "VARCHAR"},
                                     {"d", "DOUBLE"},
                                     {"made", "TIMESTAMP WITH TIME ZONE"},
                                     {"day", "DATE"}});
  const Relation u_ = relation("u", {{"id", "INTEGER"}, {"a", "INTEGER"}, {"v", "VARCHAR"}});

  void SetUp() override {
    for (const Relation* each : {&t_, &u_})
      ASSERT_TRUE(parser_->declare(each->schema, each->table, each->columns).ok());
  }
};

TEST_F(AnalysisTest, FindsWhatAViewReads) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"SELECT 1", ""},
      {"SELECT * FROM a", "a"},
      {"FROM a", "a"},
      {"SELECT * FROM s.a, b AS c JOIN \"D e\" ON true", "s.a, b, D e"},
      {"WITH a AS (SELECT * FROM b) SELECT * FROM a, c", "b, c"},
      {"WITH a AS (SELECT * FROM a) SELECT * FROM a", "a"},
      {"WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r, b) FROM r", "b"},
      {"SELECT (SELECT max(x) FROM a) FROM b WHERE EXISTS (SELECT 1 FROM c)", "a, b, c"},
      {"SELECT 1 FROM tumble(a, t, INTERVAL 1 MINUTE)", "tumble a"},
      {"SELECT 1 FROM tumble(s.a, t, INTERVAL '1 day') AS w", "tumble s.a"},
      {"SELECT 1 FROM HOP(a, t, INTERVAL 1 MINUTE, INTERVAL 1 HOUR), b", "hop a, b"},
      {"SELECT 1 FROM cumulate(a, t, INTERVAL 1 MINUTE, INTERVAL 1 HOUR, INTERVAL 5 SECOND)",
       "cumulate a"},
      {"SELECT 1 FROM session(a, t, INTERVAL 1 MINUTE, x, y)", "session a"},
      {"SELECT * FROM a UNION SELECT * FROM b", "a, b"},
      {"SELECT i FROM range(10) AS t(i), unnest([1, 2])", ""},
  };
  for (const auto& [sql, expected] : cases) EXPECT_EQ(reads(sql), expected) << sql;
}

TEST_F(AnalysisTest, RefusesWhatWouldNotMeanWhatItMeansInPostgres) {
  const std::string kSimilar =
      "SIMILAR TO is not PostgreSQL's here: write a regular expression, t ~ '^(a|b)' at ";
  const std::string kSeconds =
      "the seconds of a time are whole numbers here, and in PostgreSQL not: write "
      "extract(microseconds FROM t) / 1e6 at ";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"SELECT a FROM t WHERE s SIMILAR TO 'x%'", kSimilar + "1:25"},
      {"SELECT a FROM t\nWHERE s NOT SIMILAR TO 'x%'", kSimilar + "2:9"},
      {"SELECT regexp_full_match(s, 'x') FROM t",
       "regexp_full_match() is no function of PostgreSQL's: write t ~ '^(...)$' at 1:8"},
      {"SELECT extract(second FROM made) FROM t", kSeconds + "1:8"},
      {"SELECT date_part('secs', made) FROM t", kSeconds + "1:8"},
      {"SELECT extract(microseconds FROM made), s ~ 'x', s !~ 'x', NOT s ~* 'x' FROM t", "t"},
  };
  for (const auto& [sql, expected] : cases) EXPECT_EQ(reads(sql), expected) << sql;
}

TEST_F(AnalysisTest, RefusesWhatIsNoViewWithItsPlace) {
  const std::string kVolatile = "() is volatile, so a view cannot be kept up to date with it at ";
  const std::string kClock =
      " changes by itself: a view may have it in WHERE alone, compared with a time of its rows: "
      "created_at > now() - INTERVAL 1 HOUR at ";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"SELEC 1", "syntax error at or near \"SELEC\" at 1:1"},
      {"SELECT a\nFROM t\nWHERE (", "syntax error at end of input at 3:8"},
      {"", "there is no SELECT"},
      {"SELECT 1; SELECT 2", "a view is one SELECT, not several"},
      {"INSERT INTO t VALUES (1)", "a view is one SELECT"},
      {"SELECT random()", "random" + kVolatile + "1:8"},
      {"SELECT 'äöü', uuid() FROM t", "uuid" + kVolatile + "1:15"},
      {"SELECT a, now() AS n FROM t", "now()" + kClock + "1:11"},
      {"SELECT a FROM t WHERE made > now() OR a = 1", "now()" + kClock + "1:30"},
      {"SELECT a FROM t WHERE NOT (made > now() AND a = 1)", "now()" + kClock + "1:35"},
      {"SELECT a FROM t WHERE made IN (now())", "now()" + kClock + "1:32"},
      {"SELECT a FROM t WHERE made > greatest(now(), x)", "now()" + kClock + "1:30"},
      {"SELECT a FROM t JOIN u ON t.made > now()", "now()" + kClock + "1:36"},
      {"SELECT a, max(made) FROM t GROUP BY a HAVING max(made) > now()", "now()" + kClock + "1:58"},
      {"SELECT nextval('s')", "nextval" + kVolatile + "1:8"},
      {"SELECT current_setting('x')", "current_setting" + kVolatile + "1:8"},
      {"SELECT current_date", "current_date" + kClock + "1:8"},
      {"SELECT a FROM t\n  WHERE made <> CURRENT_TIMESTAMP",
       "current_timestamp changes by itself: it is compared by <, <=, >, >= or BETWEEN alone, and "
       "a "
       "day by = at 2:17"},
      {"SELECT a FROM t WHERE made > now() - INTERVAL 1 MONTH",
       "now() changes by itself: months and years are not equally long: write them on the row's "
       "side, created_at + INTERVAL 1 MONTH > now() at 1:47"},
      {"SELECT a FROM t WHERE made > now() - ttl * INTERVAL 1 SECOND",
       "now() changes by itself: what is added to it or taken from it is a constant; columns stand "
       "on "
       "the row's side, as in created_at + (ttl * INTERVAL 1 SECOND) > now() at 1:42"},
      {"SELECT a FROM t WHERE made > now() - 7",
       "now() changes by itself: it needs an INTERVAL beside it at 1:38"},
      {"SELECT a FROM t WHERE made > now() - INTERVAL 400000 DAY",
       "now() changes by itself: the INTERVAL beside it is of 1000 years at the most at 1:47"},
      {"SELECT a FROM t WHERE made BETWEEN now() AND now() + made",
       "now() changes by itself: what is added to it or taken from it is a constant; columns stand "
       "on "
       "the row's side, as in created_at + (ttl * INTERVAL 1 SECOND) > now() at 1:54"},
      {"SELECT a FROM t WHERE now() > current_timestamp",
       "now() changes by itself: it stands on both sides of a comparison; keep the row's time on "
       "one "
       "side alone at 1:23"},
      {"SELECT a FROM t WHERE date_trunc('month', now()) < made",
       "now() changes by itself: date_trunc() of it takes 'second', 'minute', 'hour' or 'day' at "
       "1:23"},
      {"SELECT a FROM t WHERE CAST(now() - INTERVAL 1 HOUR AS DATE) < made",
       "now() changes by itself: take whole days or hours of it first, and the INTERVAL from that "
       "at "
       "1:23"},
      {"SELECT a FROM t WHERE (SELECT max(made) FROM u) > now()",
       "now() changes by itself: it cannot be compared with a subquery at 1:51"},
      {"SELECT a FROM t WHERE now() - made < INTERVAL 1 HOUR",
       "now() changes by itself: what is added to it or taken from it is a constant; columns stand "
       "on "
       "the row's side, as in created_at + (ttl * INTERVAL 1 SECOND) > now() at 1:31"},
      {"SELECT a FROM t WHERE made > now() + random() * INTERVAL 1 HOUR",
       "random" + kVolatile + "1:38"},
      // What may stand.
      {"SELECT a FROM t WHERE made > now() - INTERVAL 1 HOUR AND a IN (SELECT a FROM u WHERE now() "
       ">= "
       "u.made)",
       "t, u"},
      {"SELECT age(made) FROM t",
       "age() of one time counts from today, so a view cannot be kept up to date with it at 1:8"},
      {"SELECT * FROM read_csv('/etc/passwd')",
       "read_csv() reads files, which a view may not at 1:15"},
      {"SELECT * FROM glob('*')", "glob() reads files, which a view may not at 1:15"},
      {"SELECT * FROM duckdb_tables()", "duckdb_tables() cannot stand in a view's FROM at 1:15"},
      {"SELECT * FROM t USING SAMPLE 10%",
       "a sample is not the same twice, so a view cannot take one"},
      {"SELECT $1", "a view has no parameters"},
      {"SELECT * FROM a.b.c", "a view reads tables as schema.table, not \"a.b.c\" at 1:15"},
      {"SELECT * FROM tumble(t)",
       "tumble takes (table, time column, INTERVAL size[, offset]) at 1:15"},
      {"SELECT * FROM hop(t, made, INTERVAL 1 MINUTE)",
       "hop takes (table, time column, INTERVAL slide, size[, offset]) at 1:15"},
      {"SELECT * FROM cumulate(t, made + 1, INTERVAL 1 MINUTE, INTERVAL 2 MINUTE)",
       "cumulate takes (table, time column, INTERVAL step, size[, offset]) at 1:15"},
      {"SELECT * FROM session(t, made, INTERVAL 1 MINUTE, a + 1)",
       "session takes (table, time column, INTERVAL gap[, partition column ...]) at 1:53"},
      {"SELECT * FROM hop(t, made, INTERVAL 1 MINUTE, INTERVAL (b) MINUTE)",
       "the window's length must be a constant at 1:57"},
      {"SELECT * FROM tumble(t, made, a)", "the window's length must be a constant at 1:31"},
  };
  for (const auto& [sql, expected] : cases) EXPECT_EQ(reads(sql), expected) << sql;
}

TEST_F(AnalysisTest, ChoosesTheStrategyAndSaysWhy) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"SELECT * FROM t", "delta"},
      {"SELECT t.*, a + 1 AS c FROM public.t WHERE a IN (1, 2) OR s LIKE 'x%'", "delta"},
      {"SELECT * EXCLUDE (d) FROM t AS x ORDER BY a", "delta"},
      {"SELECT a FROM t WHERE made > TIMESTAMPTZ '2026-01-01' -- done", "delta"},
      {"SELECT count(*) FROM t", "delta"},
      {"SELECT a, sum(b) AS x FROM t GROUP BY a HAVING x > 1", "delta"},
      {"SELECT a AS k, count(*) FROM t GROUP BY k", "delta"},
      {"SELECT a + 1 AS k, k * 2, count(*) FROM t GROUP BY ALL", "delta"},
      {"SELECT a % 2 + 1, avg(n), sum(a) / count(*) FROM t GROUP BY a % 2", "delta"},
      {"SELECT date_trunc('day', made), count(*) FROM t GROUP BY 1", "delta"},
      {"SELECT sum(n) FILTER (WHERE a > 1) FROM t", "delta"},
      {"SELECT window_start, count(*) FROM tumble(t, made, INTERVAL 5 MINUTE) GROUP BY 1", "delta"},
      {"SELECT window_end FROM tumble(t, day, INTERVAL 1 MONTH)", "delta"},
      {"SELECT id FROM hop(t, made, INTERVAL 5 MINUTE, INTERVAL 1 HOUR, INTERVAL 1 MINUTE)",
       "delta"},
      {"SELECT window_end, sum(a) FROM cumulate(t, day, INTERVAL 1 MONTH, INTERVAL 1 YEAR) GROUP "
       "BY 1",
       "delta"},
      {"SELECT id, window_end FROM session(t, made, INTERVAL 1 MINUTE, a)",
       "the sessions of a row go by other rows: a view SELECT * FROM session(...) is kept by "
       "partition, read that at 1:28"},
      {"SELECT * FROM t JOIN u ON t.a = u.id", "delta"},
      {"SELECT id, t.a, u.a FROM t JOIN u USING (id)", "delta"},
      {"SELECT t.id FROM t, u WHERE t.b = u.a AND t.s > u.v", "delta"},
      {"SELECT v, sum(n) FROM t JOIN u ON t.a = u.id GROUP BY v", "delta"},
      {"SELECT DISTINCT a FROM t", "DISTINCT"},
      {"SELECT a FROM t ORDER BY a LIMIT 3", "LIMIT or OFFSET"},
      {"SELECT a FROM t UNION ALL SELECT a FROM u", "UNION of several SELECTs"},
      {"WITH x AS (FROM t) SELECT a FROM x", "a WITH query"},
      {"SELECT a FROM (SELECT a FROM t)", "a subquery in FROM"},
      {"SELECT a FROM t WHERE a IN (SELECT a FROM u)", "a subquery at 1:25"},
      {"SELECT sum(a) OVER () FROM t", "the window function sum() at 1:8"},
      {"SELECT a FROM t QUALIFY row_number() OVER () = 1", "QUALIFY"},
      {"SELECT max(a) FROM t", "max() is not a total to which rows can be added and taken from"},
      {"SELECT count(DISTINCT a) FROM t", "count(DISTINCT ...)"},
      {"SELECT sum(d) FROM t",
       "sum() over DOUBLE, from which a value cannot be taken back exactly"},
      {"SELECT avg(d) FROM t",
       "avg() over DOUBLE, from which a value cannot be taken back exactly"},
      {"SELECT a, count(*) FROM t GROUP BY ROLLUP (a)", "several grouping sets"},
      {"SELECT * FROM t LEFT JOIN u ON t.a = u.id", "LEFT join at 1:17"},
      {"SELECT 1 FROM t NATURAL JOIN u", "delta"},
      {"SELECT 1 FROM t, u", "delta"},
      {"SELECT 1 FROM t JOIN u ON t.a + 1 = u.id", "a join by an expression"},
      {"SELECT 1 FROM t x JOIN t y ON x.a = y.id", "delta"},
      {"SELECT 1 FROM t JOIN u ON t.a = u.id JOIN u AS z ON z.a = t.b", "delta"},
      {"SELECT 1 FROM t JOIN u ON t.a = u.id JOIN u AS z ON true", "delta"},
      {"SELECT 1 FROM t a, t b, t c, t d, t e, t f, t g, t h, t i WHERE a.id = b.id",
       "a join of more than 8 relations"},
      {"SELECT 1 FROM t x, u AS x", "two relations of one name"},
      {"SELECT x FROM t AS r(x)", "renamed columns in FROM"},
      {"SELECT i FROM range(3) AS r(i)", "renamed columns in FROM"},
      {"SELECT 1", "nothing in FROM"},
      {"SELECT list_transform([a], lambda x: x + 1) FROM t", "a lambda at 1:35"},
      {"SELECT COLUMNS('a') FROM t", "COLUMNS() at 1:8"},
      {"SELECT * REPLACE (1 AS a) FROM t", "a star with changes at 1:8"},
      {"SELECT t FROM t", "the name t cannot be followed at 1:8"},
      // The binder's word, with the place in the text that the user wrote.
      {"SELECT b, c FROM t", "Referenced column \"c\" not found in FROM  at 1:11"},
      {"SELECT w.a\nFROM tumble(t, made, INTERVAL 1 HOUR) AS w\nWHERE x > 1",
       "Referenced column \"x\" not found in FROM  at 3:7"},
      {"SELECT sum(s) FROM t", "No function matches the given name and a at 1:8"},
      {"SELECT 1 FROM tumble(t, mad, INTERVAL 1 HOUR)",
       "public.t has no column \"mad\" at 1:25. did you mean \"made\"?"},
      {"SELECT 1 FROM tumble(t, a, INTERVAL 1 HOUR)",
       "tumble() needs a time, but a at 1:25 is INTEGER"},
      {"SELECT 1 FROM tumble(t, made, INTERVAL '1 month 1 day')",
       "the length of a window must be a positive INTERVAL, either of months or of days and "
       "shorter, at 1:40"},
      {"SELECT 1 FROM hop(t, made, INTERVAL 1 DAY, INTERVAL 1 MONTH)",
       "slide and size must both be of months, or both of days and shorter units, at 1:37"},
      {"SELECT 1 FROM hop(t, made, INTERVAL 2 DAY, INTERVAL 1 DAY)",
       "the slide is longer than the windows: some rows would be in none at 1:37"},
      {"SELECT 1 FROM cumulate(t, made, INTERVAL 2 DAY, INTERVAL 3 DAY)",
       "the size must be a multiple of the step at 1:58"},
      {"SELECT 1 FROM hop(t, made, INTERVAL 1 SECOND, INTERVAL 1 DAY)",
       "a row would be in 86400 windows, more than 2000: lengthen the slide at 1:37"},
      {"SELECT 1 FROM tumble(t, made, INTERVAL 1 DAY, INTERVAL 1 MONTH)",
       "the offset of windows must be an INTERVAL of days and shorter units at 1:56"},
      {"SELECT 1 FROM session(t, made, INTERVAL 1 MONTH)",
       "the gap between sessions must be of days and shorter units at 1:41"},
      {"SELECT 1 FROM session(t, made, INTERVAL 1 DAY, c)", "public.t has no column \"c\" at 1:48"},
      {"SELECT 1 FROM tumble(t, made, INTERVAL (-1) HOUR)",
       "the length of a window must be a positive INTERVAL, either of months or of days and "
       "shorter, at 1:41"},
  };
  for (const auto& [sql, expected] : cases) EXPECT_EQ(kept(sql), expected) << sql;
}

TEST_F(AnalysisTest, NamesMeanOneRelationOrAreRefused) {
  const std::vector<Named> known = {{"public", "orders"},
                                    {"archive", "orders"},
                                    {"public", "items"},
                                    {"", "totals"},
                                    {"", "items"}};
  const auto meaning = [&](const std::string& schema, const std::string& name,
                           const std::string& reader) {
    const auto named = resolve({.schema = schema, .name = name}, reader, "SELECT", known);
    return named.ok() ? (named->schema.empty() ? "view " : "table ") + named->text()
                      : named.error().text();
  };
  EXPECT_EQ(meaning("archive", "ORDERS", "v"), "table archive.orders");
  EXPECT_EQ(meaning("", "totals", "v"), "view totals");
  EXPECT_EQ(meaning("main", "totals", "v"), "view totals");
  EXPECT_EQ(meaning("", "orders", "v"),
            "\"orders\" at 1:1 is ambiguous (it could be public.orders, "
            "archive.orders). write the schema before the name");
  EXPECT_EQ(meaning("", "items", "v"),
            "\"items\" at 1:1 is ambiguous (it could be public.items, "
            "items). write the schema before the name");
  // In the view itself its own name is the table.
  EXPECT_EQ(meaning("", "items", "items"), "table public.items");
  EXPECT_EQ(meaning("", "total", "v"),
            "there is no table or view \"total\" at 1:1. did you mean \"totals\"?");
  EXPECT_EQ(meaning("publik", "items", "v"),
            "there is no table or view \"publik.items\" at 1:1. did you mean \"public.items\"?");
  EXPECT_EQ(meaning("", "something_else", "v"),
            "there is no table or view \"something_else\" at 1:1. a view reads captured tables "
            "(source.tables) and other views");
}

TEST_F(AnalysisTest, ColumnsThatViewsName) {
  model::Table table{.schema = "public", .name = "t"};
  for (const char* name : {"id", "a", "b", "c", "d"}) table.columns.push_back({.name = name});
  table.primary_key = {0};
  const auto used = [&](const std::string& sql) -> std::string {
    const auto columns = columns_used({analysed(sql)}, table);
    if (!columns) return "none";
    std::string out;
    for (const std::uint32_t i : *columns) out += table.columns[i].name;
    return out;
  };
  EXPECT_EQ(used("SELECT 1 FROM u"), "none");
  EXPECT_EQ(used("SELECT count(*) FROM t"), "id");
  EXPECT_EQ(used("SELECT x.B FROM public.t AS x WHERE d = 1"), "idbd");
  EXPECT_EQ(used("SELECT 1 FROM t JOIN u USING (c)"), "idc");
  EXPECT_EQ(used("SELECT 1 FROM tumble(t, c, INTERVAL 1 DAY)"), "idc");
  EXPECT_EQ(used("SELECT u.* FROM t, u"), "idabcd");
  EXPECT_EQ(used("SELECT t FROM t"), "idabcd");
  EXPECT_EQ(used("SELECT a FROM other.t"), "none");
  // FULL marks every column, and only without a primary key are rows told apart by them.
  table.replica_identity = model::ReplicaIdentity::kFull;
  for (model::Column& column : table.columns) column.in_key = true;
  EXPECT_EQ(used("SELECT b FROM t"), "idb");
  table.primary_key.clear();
  EXPECT_EQ(used("SELECT b FROM t"), "idabcd");
}

TEST_F(AnalysisTest, ViewsComeAfterThoseThatTheyRead) {
  std::vector<std::size_t> cyclic;
  EXPECT_EQ(dependency_order({{1, 2}, {}, {1}}, &cyclic), (std::vector<std::size_t>{1, 2, 0}));
  EXPECT_TRUE(cyclic.empty());
  EXPECT_EQ(dependency_order({{1}, {0}, {}, {0}}, &cyclic), (std::vector<std::size_t>{2}));
  EXPECT_EQ(cyclic, (std::vector<std::size_t>{0, 1, 3}));
}

}  // namespace pgweir::views
