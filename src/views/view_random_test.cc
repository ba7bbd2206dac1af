// Every view equals its SELECT after every batch.
//
// Method: three tables (keyed, keyed by two columns, without a key) with few different values, many
// NULLs and equal rows; random transactions through the real engine, with key changes, truncates,
// transactions in parts, and restarts. After each batch every view is compared with its SELECT over
// the mirrors as a bag of rows. The seed is printed; PGWEIR_SEED repeats a run.
#include <fmt/core.h>
#include <gmock/gmock.h>

#include <random>

#include "views/view_fixture.h"

namespace pgweir::views {

using engine::int_column;
using engine::text_column;
using engine::TextRow;
using engine::typed_column;

struct RandomView {
  const char* name;
  const char* strategy;
  const char* sql;
  const char* oracle = nullptr;  // where the SQL is not DuckDB's own
};

constexpr const char* kWindow =
    "time_bucket(to_minutes(5), timezone('UTC', made), TIMESTAMP '1970-01-01')";

// Every row with the windows that it is in, found by comparing with all there could be.
constexpr const char* kHops =
    "SELECT t.*, b0 AS window_start, b0 + INTERVAL 15 MINUTE AS window_end FROM t LEFT JOIN "
    "(SELECT "
    "unnest(generate_series(TIMESTAMP '2025-12-31 23:30', TIMESTAMP '2026-01-01 01:00', "
    "INTERVAL 5 MINUTE)) AS b0) ON timezone('UTC', made) >= b0 AND timezone('UTC', made) < b0 + "
    "INTERVAL 15 MINUTE";
constexpr const char* kUnevenHops =
    "SELECT t.*, b0 AS window_start, b0 + INTERVAL 10 MINUTE AS window_end FROM t LEFT JOIN "
    "(SELECT "
    "unnest(generate_series(TIMESTAMP '2025-12-31 23:01', TIMESTAMP '2026-01-01 01:00', "
    "INTERVAL 4 MINUTE)) AS b0) ON timezone('UTC', made) >= b0 AND timezone('UTC', made) < b0 + "
    "INTERVAL 10 MINUTE";
constexpr const char* kCumulated =
    "SELECT t.*, b0 AS window_start, e0 AS window_end FROM t LEFT JOIN (SELECT b0, b0 + "
    "to_minutes(4 * "
    "k) AS e0 FROM (SELECT unnest(generate_series(TIMESTAMP '2025-12-31 23:48', TIMESTAMP "
    "'2026-01-01 01:00', INTERVAL 12 MINUTE)) AS b0), (SELECT unnest([1, 2, 3]) AS k)) ON "
    "timezone('UTC', made) >= b0 AND timezone('UTC', made) < e0";

static const std::vector<RandomView>& random_views() {
  static const std::vector<RandomView> kViews = {
      {"everything", "delta", "SELECT * FROM t"},
      {"positive", "delta", "SELECT id, a, n FROM t WHERE a > 1"},
      {"computed", "delta",
       "SELECT a + b AS c, upper(s) AS u, CASE WHEN n > 0 THEN 'p' END AS p FROM t"},
      {"no_key_shown", "delta", "SELECT s FROM t WHERE b IS NOT NULL"},
      {"bag_rows", "delta", "SELECT x, y + 1 AS y FROM bag WHERE x IS DISTINCT FROM 2"},
      {"bag_all", "delta", "SELECT y FROM bag"},
      {"counts", "delta", "SELECT a, count(*) AS n, count(b) AS nb FROM t GROUP BY a"},
      {"sums", "delta",
       "SELECT s, sum(a) AS sa, sum(n) AS sn, sum(a) - sum(b) AS d FROM t GROUP BY s"},
      {"averages", "delta",
       "SELECT b, round(avg(a), 6) AS aa, round(avg(n), 6) AS an FROM t GROUP BY b"},
      {"by_expression", "delta",
       "SELECT a % 2 AS parity, upper(s), count(*) AS n FROM t WHERE id > 3 GROUP BY parity, "
       "upper(s)"},
      {"hidden_group", "delta", "SELECT sum(n) AS n FROM t GROUP BY a, b"},
      {"filtered", "delta",
       "SELECT a, count(*) FILTER (WHERE b = 1) AS ones, sum(n) FILTER (WHERE flag) AS sn FROM t "
       "GROUP BY ALL"},
      {"having_more", "delta",
       "SELECT s, count(*) AS c FROM t GROUP BY s HAVING count(*) > 1 AND sum(a) > 0"},
      {"overall", "delta", "SELECT count(*) AS n, sum(a) AS a, count(n) + 1 AS m FROM t"},
      {"bag_groups", "delta", "SELECT x, count(*) AS c, sum(y) AS y FROM bag GROUP BY x"},
      {"join_key", "delta",
       "SELECT t.id, t.s, two.v FROM t JOIN two ON t.id = two.k1 AND t.a = two.k2"},
      {"join_part", "delta",
       "SELECT t.id, two.k1, two.k2, two.v FROM two JOIN t ON t.b = two.k1 WHERE t.a > two.v"},
      {"join_nulls", "delta",
       "SELECT * EXCLUDE (made, flag, n) FROM t, two WHERE a = v AND b = k2"},
      {"join_using", "delta",
       "SELECT x, y, count(*) AS c FROM bag JOIN pairs USING (x) GROUP BY x, y"},
      {"join_bag", "delta", "SELECT t.id, bag.y FROM t JOIN bag ON t.b = bag.x AND bag.y > 0"},
      {"join_groups", "delta",
       "SELECT t.s, count(*) AS c, sum(two.v) AS v FROM t JOIN two ON t.b = two.k1 GROUP BY t.s"},
      {"pairs", "delta", "SELECT a AS x, count(*) AS c FROM t GROUP BY a"},
      {"of_counts", "delta", "SELECT n, count(*) AS groups, sum(nb) AS nb FROM counts GROUP BY n"},
      {"of_rows", "delta", "SELECT c, count(*) AS n FROM computed GROUP BY c"},
      {"of_bag", "delta", "SELECT x, sum(y) AS y FROM bag_rows GROUP BY x"},
      {"of_hidden", "delta", "SELECT sum(n) AS n, count(*) AS c FROM hidden_group"},
      {"of_overall", "delta", "SELECT n + 1 AS n FROM overall WHERE a IS NOT NULL"},
      {"view_join", "delta", "SELECT two.k1, two.k2, c.n FROM two JOIN counts c ON two.v = c.a"},
      {"views_join", "delta",
       "SELECT c.a, c.n, p.c FROM counts c JOIN pairs p ON c.a = p.x WHERE c.nb > 0"},
      {"of_having", "delta", "SELECT count(*) AS n, sum(c) AS c FROM having_more"},
      {"ranked", "recompute", "SELECT id, row_number() OVER (ORDER BY n, id) AS place FROM t"},
  };
  return kViews;
}

static const std::vector<RandomView>& window_views() {
  static const std::vector<RandomView> kViews = {
      {"windows", "delta",
       "SELECT window_start, count(*) AS c, sum(a) AS a FROM tumble(t, made, INTERVAL 5 MINUTE) "
       "GROUP BY 1",
       "SELECT timezone('UTC', w), count(*), sum(a) FROM (SELECT *, {} AS w FROM t) GROUP BY w"},
      {"window_rows", "delta",
       "SELECT w.id, window_end FROM tumble(t, made, INTERVAL 5 MINUTE) AS w WHERE a > 0",
       "SELECT id, timezone('UTC', {} + INTERVAL 5 MINUTE) FROM t WHERE a > 0"},
      {"hop_rows", "delta",
       "SELECT id, window_start, window_end FROM hop(t, made, INTERVAL 5 MINUTE, INTERVAL 15 "
       "MINUTE) WHERE a > 0",
       "SELECT id, timezone('UTC', window_start), timezone('UTC', window_end) FROM ({1}) WHERE a > "
       "0"},
      {"hop_hidden", "delta",
       "SELECT s, a FROM hop(t, made, INTERVAL 4 MINUTE, INTERVAL 10 MINUTE, INTERVAL 1 MINUTE)",
       "SELECT s, a FROM ({2})"},
      {"hop_groups", "delta",
       "SELECT window_end, s, count(*) AS c, sum(a) AS a FROM hop(t, made, INTERVAL 4 MINUTE, "
       "INTERVAL 10 MINUTE, INTERVAL 1 MINUTE) GROUP BY ALL",
       "SELECT timezone('UTC', window_end), s, count(*), sum(a) FROM ({2}) GROUP BY ALL"},
      {"hop_counts", "delta",
       "SELECT a, count(*) AS c FROM hop(t, made, INTERVAL 5 MINUTE, INTERVAL 15 MINUTE) GROUP BY "
       "a",
       "SELECT a, count(*) FROM ({1}) GROUP BY a"},
      {"cumulated_rows", "delta",
       "SELECT * FROM cumulate(t, made, INTERVAL 4 MINUTE, INTERVAL 12 MINUTE)",
       "SELECT * REPLACE (timezone('UTC', window_start) AS window_start, timezone('UTC', "
       "window_end) AS window_end) FROM ({3})"},
      {"cumulated", "delta",
       "SELECT window_start, window_end, sum(n) AS n FROM cumulate(t, made, INTERVAL 4 MINUTE, "
       "INTERVAL 12 MINUTE) GROUP BY 1, 2",
       "SELECT timezone('UTC', window_start), timezone('UTC', window_end), sum(n) FROM ({3}) "
       "GROUP BY window_start, window_end"},
      {"of_hops", "delta", "SELECT window_start, count(*) AS n FROM hop_rows GROUP BY 1"},
      {"hop_join", "delta",
       "SELECT two.k1, two.k2, w.id, w.window_start FROM hop(t, made, INTERVAL 5 MINUTE, INTERVAL "
       "15 MINUTE) w JOIN two ON w.b = two.k1",
       "SELECT two.k1, two.k2, w.id, timezone('UTC', w.window_start) FROM ({1}) w JOIN two ON w.b "
       "= two.k1"},
      {"sessions", "affected keys",
       "SELECT id, window_start, window_end FROM session(t, made, INTERVAL 2 MINUTE, b)",
       "WITH starts AS (SELECT b, made FROM t y WHERE NOT EXISTS (SELECT 1 FROM t z WHERE z.b IS "
       "NOT DISTINCT FROM y.b AND z.made < y.made AND z.made >= y.made - INTERVAL 2 MINUTE)), "
       "ends AS (SELECT b, made FROM t y WHERE NOT EXISTS (SELECT 1 FROM t z WHERE z.b IS NOT "
       "DISTINCT FROM y.b AND z.made > y.made AND z.made <= y.made + INTERVAL 2 MINUTE)) SELECT "
       "id, (SELECT max(y.made) FROM starts y WHERE y.b IS NOT DISTINCT FROM x.b AND y.made <= "
       "x.made), (SELECT min(y.made) + INTERVAL 2 MINUTE FROM ends y WHERE y.b IS NOT DISTINCT "
       "FROM x.b AND y.made >= x.made) FROM t x"},
      {"all_sessions", "affected keys", "SELECT * FROM session(t, made, INTERVAL 2 MINUTE, b)",
       "SELECT t.*, s.window_start, s.window_end FROM t JOIN sessions s USING (id)"},
      {"one_partition", "affected keys", "SELECT * FROM session(t, made, INTERVAL 1 MINUTE)",
       "WITH starts AS (SELECT made FROM t y WHERE NOT EXISTS (SELECT 1 FROM t z WHERE z.made < "
       "y.made AND z.made >= y.made - INTERVAL 1 MINUTE)), ends AS (SELECT made FROM t y WHERE "
       "NOT EXISTS (SELECT 1 FROM t z WHERE z.made > y.made AND z.made <= y.made + INTERVAL 1 "
       "MINUTE)) SELECT x.*, (SELECT max(y.made) FROM starts y WHERE y.made <= x.made), (SELECT "
       "min(y.made) + INTERVAL 1 MINUTE FROM ends y WHERE y.made >= x.made) FROM t x"},
      {"of_sessions", "delta",
       "SELECT b, window_start, count(*) AS n FROM all_sessions GROUP BY ALL"},
  };
  return kViews;
}

// Joins of many, affected keys, and what is taken apart.
static const std::vector<RandomView>& other_views() {
  static const std::vector<RandomView> kViews = {
      {"counts", "delta", "SELECT a, count(*) AS n, count(b) AS nb FROM t GROUP BY a"},
      {"pairs", "delta", "SELECT a AS x, count(*) AS c FROM t GROUP BY a"},
      {"extremes", "affected keys", "SELECT a, min(b) AS b, max(n) AS n FROM t GROUP BY a"},
      {"extremes_of_few", "affected keys",
       "SELECT upper(s) AS u, min(b) AS b, count(DISTINCT n) AS n, string_agg(s, ',' ORDER BY id) "
       "AS ids FROM t WHERE a > 0 GROUP BY u HAVING count(*) > 1"},
      {"extremes_of_join", "affected keys",
       "SELECT t.s, max(two.v) AS v, count(DISTINCT two.k2) AS k FROM t JOIN two ON t.b = two.k1 "
       "GROUP BY t.s"},
      {"window_extremes", "affected keys",
       "SELECT window_start, max(a) AS a FROM tumble(t, made, INTERVAL 5 MINUTE) GROUP BY 1",
       "SELECT timezone('UTC', w), max(a) FROM (SELECT *, {} AS w FROM t) GROUP BY w"},
      {"bag_extremes", "affected keys",
       "SELECT x, max(y) AS y, stddev_samp(y) IS NULL AS one FROM "
       "bag GROUP BY x"},
      {"left_join", "affected keys", "SELECT t.id, two.v FROM t LEFT JOIN two ON t.b = two.k1"},
      {"left_part", "affected keys",
       "SELECT t.id, two.* FROM t LEFT JOIN two ON t.b = two.k1 AND two.v > 0 WHERE t.a IS NOT "
       "NULL"},
      {"right_join", "affected keys",
       "SELECT t.id, t.s, two.k1, two.k2 FROM t RIGHT JOIN two ON t.b = two.k1 AND t.a = two.v"},
      {"full_join", "affected keys",
       "SELECT t.id, bag.x, bag.y FROM t FULL JOIN bag ON t.b = bag.x AND t.a = bag.y"},
      {"left_self", "affected keys",
       "SELECT l.id, r.id AS other FROM t l LEFT JOIN t r ON l.a = r.b"},
      {"left_chain", "affected keys",
       "SELECT t.id, two.v, bag.y FROM t LEFT JOIN two ON t.b = two.k1 LEFT JOIN bag ON two.v = "
       "bag.x"},
      {"left_and_inner", "affected keys",
       "SELECT t.id, two.v, bag.y FROM t LEFT JOIN two ON t.b = two.k1 JOIN bag ON t.a = bag.x"},
      {"left_groups", "affected keys",
       "SELECT t.s, count(*) AS c, count(two.v) AS v, sum(two.v) AS sv FROM t LEFT JOIN two ON t.b "
       "= two.k1 GROUP BY t.s"},
      {"distinct_rows", "delta", "SELECT DISTINCT a, b FROM t"},
      {"distinct_joined", "delta",
       "SELECT DISTINCT t.a, bag.y + 1 AS y FROM t, bag WHERE t.b = bag.x"},
      {"of_distinct", "delta", "SELECT a, count(*) AS n FROM distinct_rows GROUP BY a"},
      {"self_join", "delta", "SELECT l.id AS l, r.id AS r FROM t l JOIN t r ON l.a = r.b"},
      {"self_groups", "delta",
       "SELECT l.a, count(*) AS c, sum(r.n) AS n FROM t l JOIN t r ON l.a = r.a GROUP BY l.a"},
      {"self_thrice", "delta",
       "SELECT a.x, b.y, c.y AS z FROM bag a JOIN bag b ON a.x = b.x JOIN bag c ON b.y = c.y"},
      {"self_view", "delta",
       "SELECT l.a, r.a AS other FROM counts l JOIN counts r ON l.n = r.n AND l.a < r.a"},
      {"joins_of_three", "delta",
       "SELECT t.id, two.k2, bag.y FROM t JOIN two ON t.b = two.k1 JOIN bag ON two.v = bag.x WHERE "
       "t.a <> bag.y"},
      {"joins_of_four", "delta",
       "SELECT t.s, count(*) AS n, sum(two.v + c.n) AS v FROM t JOIN two ON t.id = two.k1 JOIN bag "
       "ON two.v = bag.x, counts c WHERE c.a = t.a GROUP BY t.s"},
      {"joins_of_five", "delta",
       "SELECT t.id, p.c, b.y FROM t, two, bag b, pairs p, counts c WHERE t.b = two.k1 AND two.v = "
       "b.x AND b.y = p.x AND c.a = t.a"},
      {"with_query", "delta",
       "WITH q AS (SELECT a FROM t WHERE a > 0) SELECT a, count(*) AS n FROM q GROUP BY 1"},
      {"with_queries", "affected keys",
       "WITH q(k, m) AS (SELECT b, max(n) FROM t GROUP BY b), r AS (SELECT q.k, q.m, two.v FROM q "
       "JOIN two ON q.k = two.k1) SELECT k, m, v FROM r WHERE v > 0"},
      {"subquery", "delta",
       "SELECT q.a, q.c + 1 AS c FROM (SELECT a, count(*) AS c FROM t GROUP BY a) q JOIN (SELECT "
       "DISTINCT x FROM bag) AS b(a) ON q.a = b.a"},
      {"both", "delta", "SELECT a FROM t UNION ALL SELECT x FROM bag"},
      {"all_of_three", "delta",
       "SELECT a, 't' AS f FROM t WHERE b > 0 UNION ALL (SELECT x, 'b' FROM bag UNION ALL SELECT "
       "v, "
       "NULL FROM two)"},
      {"either", "delta", "SELECT a, b FROM t UNION SELECT x, y FROM bag"},
      {"one_not_other", "delta", "SELECT a, b FROM t EXCEPT SELECT x, y FROM bag"},
      {"one_and_other", "delta", "SELECT a, b FROM t INTERSECT SELECT x, y FROM bag"},
      {"of_either", "delta", "SELECT a, count(*) AS c FROM either GROUP BY a"},
      {"ranked_parts", "affected keys",
       "SELECT id, row_number() OVER (PARTITION BY a ORDER BY n, id) AS place FROM t"},
      {"top_parts", "affected keys",
       "SELECT id, a, n FROM t WHERE b IS NOT NULL QUALIFY row_number() OVER (PARTITION BY a ORDER "
       "BY n DESC NULLS LAST, id) <= 2"},
      {"top_outer", "affected keys",
       "SELECT id, u FROM (SELECT id, upper(s) AS u, rank() OVER (PARTITION BY upper(s) ORDER BY "
       "id "
       "DESC) AS r FROM t) WHERE r <= 2"},
      {"group_shares", "affected keys",
       "SELECT a, b, count(*) AS c, sum(count(*)) OVER (PARTITION BY a) AS all_of_a FROM t GROUP "
       "BY "
       "a, b"},
      {"lags", "affected keys",
       "SELECT id, lag(id) OVER (PARTITION BY s, a ORDER BY id) AS before, sum(b) OVER (PARTITION "
       "BY "
       "a ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS two_rows FROM t"},
      {"semi", "delta", "SELECT id, a FROM t WHERE b IN (SELECT x FROM bag WHERE y > 0)"},
      {"semi_exists", "delta",
       "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM two WHERE two.k1 = t.b AND two.v > 0) AND a > "
       "0"},
      {"anti_exists", "affected keys",
       "SELECT s, count(*) AS c FROM t WHERE NOT EXISTS (SELECT * FROM two WHERE t.b = two.k1) "
       "GROUP "
       "BY s"},
      {"some_exists", "affected keys",
       "SELECT id, EXISTS (SELECT 1 FROM bag WHERE bag.x = t.a) AS e FROM t WHERE a > 2 OR EXISTS "
       "(SELECT 1 FROM two WHERE two.k1 = t.b)"},
      {"scalars", "affected keys",
       "SELECT t.id, (SELECT count(*) + 1 FROM bag WHERE bag.x = t.a) AS n, (SELECT max(v) FROM "
       "two "
       "WHERE two.k1 = t.b AND two.v > 0) AS v FROM t"},
  };
  return kViews;
}

// The first rows of all, aggregates over all rows, grouping sets, subqueries that are compared
// with.
static const std::vector<RandomView>& whole_views() {
  static const std::vector<RandomView> kViews = {
      {"first", "affected keys", "SELECT id, n FROM t ORDER BY n DESC, id LIMIT 4"},
      {"first_behind", "affected keys",
       "SELECT id, s FROM t WHERE a > 0 ORDER BY s NULLS FIRST, id DESC LIMIT 3 OFFSET 2"},
      {"first_by_hidden", "affected keys", "SELECT s FROM t ORDER BY a + b, id LIMIT 5"},
      {"first_of_bag", "affected keys", "SELECT * FROM bag ORDER BY 2 DESC, x LIMIT 6"},
      {"first_groups", "affected keys",
       "SELECT a, count(*) AS c FROM t GROUP BY a ORDER BY count(*) DESC, a LIMIT 2"},
      {"first_of_all", "affected keys",
       "SELECT a, b FROM t UNION ALL SELECT x, y FROM bag ORDER BY a, b LIMIT 7"},
      {"first_different", "affected keys", "SELECT DISTINCT b FROM t ORDER BY b LIMIT 2"},
      {"of_first", "delta", "SELECT s, count(*) AS c FROM first_by_hidden GROUP BY s"},
      {"first_in_query", "affected keys",
       "SELECT q.id, two.v FROM (SELECT id, b FROM t ORDER BY b, id LIMIT 5) q JOIN two ON q.b = "
       "two.k1"},
      {"top_ranks", "affected keys",
       "SELECT id, rank() OVER (ORDER BY a DESC) AS r FROM t QUALIFY r <= 3"},
      {"top_numbers", "affected keys",
       "SELECT id, u FROM (SELECT id, upper(s) AS u, row_number() OVER (ORDER BY n + 1, id) AS r "
       "FROM t WHERE b IS NOT NULL) WHERE r < 4"},
      {"least", "affected keys", "SELECT min(n) AS n FROM t"},
      {"extremes_of_all", "affected keys",
       "SELECT min(a) AS a, max(s) AS s, max(n) FILTER (WHERE flag) AS n, count(*) AS c, sum(b) AS "
       "b, "
       "count(DISTINCT s) AS d, sum(DISTINCT a) + 1 AS e FROM t"},
      {"extremes_of_join_all", "affected keys",
       "SELECT max(two.v) - min(t.n) AS d FROM t JOIN two ON t.b = two.k1 WHERE t.a > 0 HAVING "
       "count(*) > 1"},
      {"rolled", "delta", "SELECT a, b, count(*) AS c, sum(n) AS n FROM t GROUP BY ROLLUP (a, b)"},
      {"cubed", "affected keys",
       "SELECT a, s, grouping(a, s) AS g, max(b) AS b FROM t GROUP BY CUBE (a, s) HAVING count(*) "
       "> 1 OR a IS NULL"},
      {"sets", "delta",
       "SELECT upper(s) AS u, b, count(*) AS c FROM t WHERE a > 0 GROUP BY GROUPING SETS "
       "((upper(s)), (b), ())"},
      {"only_total", "delta", "SELECT a FROM t GROUP BY ROLLUP (a)"},
      {"except_all", "affected keys", "SELECT a, b FROM t EXCEPT ALL SELECT x, y FROM bag"},
      {"intersect_all", "affected keys", "SELECT a, b FROM t INTERSECT ALL SELECT x, y FROM bag"},
      {"distinct_on", "affected keys",
       "SELECT DISTINCT ON (a) a, id, upper(s) AS u FROM t ORDER BY a, u DESC, id"},
      {"not_in", "affected keys", "SELECT id FROM t WHERE b NOT IN (SELECT y FROM bag)"},
      {"not_in_known", "affected keys",
       "SELECT id FROM t WHERE b NOT IN (SELECT y FROM bag WHERE y IS NOT NULL AND x = 2)"},
      {"not_in_by_key", "affected keys",
       "SELECT id FROM t WHERE a NOT IN (SELECT v FROM two WHERE two.k1 = t.b)"},
      {"in_value", "affected keys",
       "SELECT id, a IN (SELECT x FROM bag WHERE y > 1) AS i FROM t WHERE id < 9 OR b IN (SELECT v "
       "FROM two)"},
      {"in_groups", "delta",
       "SELECT id FROM t WHERE a IN (SELECT x FROM bag GROUP BY x HAVING count(*) > 1)"},
      {"above_average", "delta", "SELECT id, n FROM t WHERE n > (SELECT avg(a) FROM t)"},
      {"least_of_all", "affected keys",
       "SELECT id, n - (SELECT min(n) FROM t) AS d FROM t WHERE a = (SELECT max(x) FROM bag)"},
      {"groups_above", "delta",
       "SELECT a, sum(n) AS s FROM t GROUP BY a HAVING sum(n) > (SELECT avg(b) FROM t) AND a > 0"},
      {"others_exist", "affected keys",
       "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM two WHERE two.k1 = t.b AND two.v <> t.a) AND "
       "NOT EXISTS (SELECT 1 FROM two, bag WHERE bag.x = two.v AND two.k1 > t.b AND bag.y < t.a)"},
      {"counts_of_less", "affected keys",
       "SELECT l.id, (SELECT count(*) FROM t r WHERE r.n < l.n) AS c FROM t l, bag WHERE l.a = "
       "bag.x"},
      {"in_some", "affected keys",
       "SELECT id, b IN (SELECT k1 FROM two WHERE v < t.a) AS i FROM t"},
      {"either_join", "delta",
       "SELECT t.id, two.k2 FROM t, two WHERE (t.b = two.k1 AND t.a > 1) OR (t.b = two.k1 AND "
       "two.v = 2 AND t.n > 0)"},
      {"not_in_constant", "delta",
       "SELECT id, 3 IN (SELECT y FROM bag) AS i FROM t WHERE 7 NOT IN (SELECT v FROM two WHERE "
       "two.k1 = 3)"},
      {"cross_and_left", "affected keys",
       "SELECT t.id, two.v, bag.y FROM t CROSS JOIN two LEFT JOIN bag ON two.v = bag.x WHERE t.b = "
       "two.k1"},
      {"rest_anew", "recompute",
       "WITH w AS (SELECT a, sum(n) AS n FROM t GROUP BY a) SELECT a, n, rank() OVER (ORDER BY n, "
       "a) "
       "AS r FROM w"},
      {"least_shown", "affected keys",
       "SELECT (SELECT min(id) FROM t WHERE b BETWEEN 1 AND 3) AS m, 8 AS e, c.n FROM counts_of c "
       "WHERE NOT (c.s !~ 'a%')"},
      {"counts_of", "delta", "SELECT s, count(*) AS n FROM t GROUP BY s"},
      {"one_value", "affected keys",
       "SELECT id, (SELECT v FROM two WHERE k1 = 3 AND k2 = 4) AS v FROM t WHERE b > 0"},
      {"one_first", "affected keys",
       "SELECT id FROM t WHERE id = (SELECT k1 FROM two ORDER BY v DESC NULLS LAST, k1 LIMIT 1)"},
      {"if_any", "delta",
       "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM bag WHERE x = 3) AND NOT EXISTS (SELECT 1 "
       "FROM "
       "two WHERE v = 3 AND k2 = 1)"},
      {"every_pair", "delta", "SELECT t.id, bag.y FROM t, bag WHERE t.b < bag.x AND t.a > 1"},
      {"left_is_inner", "delta",
       "SELECT t.id, two.k2 FROM t LEFT JOIN two ON t.b = two.k1 WHERE two.v > 0"},
      {"full_is_left", "affected keys",
       "SELECT t.id, two.k1, two.k2 FROM t FULL JOIN two ON t.b = two.k1 WHERE NOT t.a IN (1, 5)"},
      {"right_is_inner_below", "delta",
       "SELECT two.k1, two.k2, t.id, bag.y FROM t CROSS JOIN two RIGHT JOIN bag ON two.v = bag.x "
       "WHERE t.b = two.k1 AND bag.y <> 3"},
      {"every_pair_self", "delta", "SELECT l.id AS l, r.id AS r FROM t l JOIN t r ON l.n < r.a"},
      {"crossed", "delta",
       "SELECT two.k1, two.k2, c.n, c.m FROM two CROSS JOIN (SELECT count(*) AS n, sum(y) AS m "
       "FROM "
       "bag) c WHERE two.v > 0"},
      {"by_expression_join", "delta",
       "SELECT t.id, two.k2 FROM t JOIN two ON t.a + 1 = two.k1 + two.v"},
      {"by_expression_left", "affected keys",
       "SELECT t.id, coalesce(bag.y, 7) AS y FROM t LEFT JOIN bag ON t.a = coalesce(bag.y, 7)"},
      {"full_using", "affected keys",
       "SELECT * FROM (SELECT a AS x, id FROM t) l FULL JOIN (SELECT x, y FROM bag) r USING (x)"},
      {"right_using", "affected keys",
       "SELECT x, id, y FROM (SELECT a AS x, id FROM t) l RIGHT JOIN bag USING (x)"},
      {"natural", "delta",
       "SELECT * FROM (SELECT a AS x, id FROM t WHERE b > 0) l NATURAL JOIN bag"},
  };
  return kViews;
}

class ViewRandomTest : public ViewFixture {
 protected:
  struct RandomTable {
    TablePtr table;
    std::vector<TextRow> rows;
  };

  void make_tables() {
    tables_ = {
        {make_table(1, "t",
                    {int_column("id", true), int_column("a"), int_column("b"), text_column("s"),
                     typed_column("n", 1700, ((12 << 16) | 2) + 4), typed_column("made", 1184),
                     typed_column("flag", 16)})},
        {make_table(2, "two", {int_column("k1", true), int_column("k2", true), int_column("v")})},
        {make_table(3, "bag", {int_column("x"), int_column("y")}, model::ReplicaIdentity::kFull)}};
  }

  void open_all() {
    std::vector<TablePtr> tables;
    for (const auto& table : tables_) tables.push_back(table.table);
    std::vector<ViewSource> sources;
    for (const RandomView& view : *shown_) sources.push_back({view.name, view.sql});
    // A few rows make a store large, and have it rewritten again and again; or do not.
    store_options_.reset();
    view_options_.first_rows_spare = static_cast<std::size_t>(up_to(4));
    if (up_to(1) == 0)
      store_options_ = engine::StoreOptions{.small_rows_max = 10,
                                            .pending_rows_min = 10,
                                            .pending_rows_max = 30,
                                            .step_rows_min = 5,
                                            .step_rows_max = 50,
                                            .many_keys_min = up_to(1) == 0 ? 4U : 1000U,
                                            .batches_to_index = 2,
                                            .run_rows = 8};
    open(tables, sources);
  }

  int up_to(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }

  std::optional<std::string> value(const model::Column& column) {
    if (!column.in_key && up_to(5) == 0) return std::nullopt;
    switch (model::value(column.type)) {
      case 16:
        return up_to(1) == 0 ? "t" : "f";
      case 25:
        return std::string(1, static_cast<char>('a' + up_to(3)));
      case 1184:
        return fmt::format("2026-01-01 00:{:02}:{:02}.{:06}+00", up_to(20), up_to(59),
                           up_to(999999));
      case 1700:
        return fmt::format("{}.{:02}", up_to(20) - 10, up_to(99));
      default:
        return std::to_string(column.in_key ? up_to(12) : up_to(4) - 1);
    }
  }

  TextRow random_row(const model::Table& table) {
    TextRow row;
    for (const model::Column& column : table.columns) row.push_back(value(column));
    return row;
  }

  static bool same_key(const model::Table& table, const TextRow& a, const TextRow& b) {
    for (const std::uint32_t i : table.primary_key)
      if (a[i] != b[i]) return false;
    return !table.primary_key.empty();
  }

  // Whether a row other than number `except` has this row's key.
  static bool taken(const RandomTable& table, const TextRow& row, std::size_t except) {
    for (std::size_t i = 0; i < table.rows.size(); ++i)
      if (i != except && same_key(*table.table, table.rows[i], row)) return true;
    return false;
  }

  void random_change() {
    RandomTable& table = tables_[static_cast<std::size_t>(up_to(2))];
    const int kind = up_to(99);
    if (kind == 0) {
      builder().truncate(table.table);
      table.rows.clear();
    } else if (kind < 45 || table.rows.empty()) {
      const TextRow row = random_row(*table.table);
      if (taken(table, row, table.rows.size())) return;
      builder().insert(table.table, row);
      table.rows.push_back(row);
    } else {
      const auto at = static_cast<std::size_t>(up_to(static_cast<int>(table.rows.size()) - 1));
      if (kind < 65) {
        builder().remove(table.table, table.rows[at]);
        table.rows.erase(table.rows.begin() + static_cast<std::ptrdiff_t>(at));
        return;
      }
      change_row(table, at);
    }
  }

  void change_row(RandomTable& table, std::size_t at) {
    const TextRow before = table.rows[at];
    TextRow after = before;
    for (std::size_t i = 0; i < after.size(); ++i)
      if (up_to(3) == 0) after[i] = value(table.table->columns[i]);
    if (taken(table, after, at)) return;
    const bool full = table.table->replica_identity == model::ReplicaIdentity::kFull;
    const bool moved = !full && !same_key(*table.table, before, after);
    builder().update(table.table, full || moved ? before : TextRow{}, after);
    table.rows[at] = after;
  }

  void random_batch() {
    begin();
    const int changes = up_to(up_to(4) == 0 ? 60 : 6) + 1;
    for (int i = 0; i < changes; ++i) random_change();
    if (up_to(9) == 0) {
      ASSERT_EQ(commit(false), "");
      builder_ = std::make_unique<engine::BatchBuilder>(next_);
      builder_->begin(lsn_, model::Timestamp{1767225600000000}, false);
      for (int i = 0; i < 5; ++i) random_change();
    }
    ASSERT_EQ(commit(), "");
  }

  void compare(int batch) {
    for (const RandomView& view : *shown_) {
      const std::string oracle =
          view.oracle == nullptr
              ? view.sql
              : fmt::format(fmt::runtime(view.oracle), kWindow, kHops, kUnevenHops, kCumulated);
      ASSERT_EQ(difference(view.name, oracle), "") << "after batch " << batch;
    }
  }

  void run(const std::vector<RandomView>& views, int batches = 24) {
    shown_ = &views;
    make_tables();
    open_all();
    for (const RandomView& view : views)
      EXPECT_THAT(strategy(view.name), testing::StartsWith(std::string(view.strategy) + ":"))
          << view.name;
    for (const RandomView& view : views) ASSERT_EQ(error_of(view.name), "live") << view.name;
    const int rounds = harness::random_rounds(batches, 8);
    for (int batch = 0; batch < rounds; ++batch) {
      if (batch % 8 == 7) open_all();
      random_batch();
      if (HasFatalFailure()) return;
      compare(batch);
      if (HasFatalFailure()) return;
    }
  }

  const std::vector<RandomView>* shown_ = nullptr;
  std::mt19937 random_{harness::test_seed()};
  std::vector<RandomTable> tables_;
};

TEST_F(ViewRandomTest, EveryViewEqualsItsSelectAfterEveryBatch) {
  run(random_views());
}

TEST_F(ViewRandomTest, JoinsOfManyAndPartsEqualTheirSelects) {
  run(other_views(), 16);
}

TEST_F(ViewRandomTest, WhatGoesByAllRowsEqualsItsSelect) {
  run(whole_views(), 16);
}

TEST_F(ViewRandomTest, WindowsAreThoseOfEveryRowAfterEveryBatch) {
  run(window_views());
}

}  // namespace pgweir::views
