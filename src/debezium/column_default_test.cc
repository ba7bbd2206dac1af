#include "debezium/column_default.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace pgweir::debezium {
namespace {

std::string json_of(std::uint32_t oid, std::string_view expression, std::int32_t modifier = -1) {
  model::Column column;
  column.type = column.base_type = model::Oid{oid};
  column.type_modifier = column.facts.modifier = modifier;
  const auto json = default_json(expression, ValueType::of(column, {}).value());
  return json.value_or("none");
}

struct DefaultCase {
  std::uint32_t oid;
  std::string_view expression;
  std::string_view expected;
};

// As pg_get_expr() prints them.
TEST(ColumnDefault, ConstantsAreValuesAndAllElseIsZero) {
  constexpr DefaultCase kCases[] = {
      {25, "", "none"},
      {25, "NULL::text", "none"},
      {25, "'anon'::text", "\"anon\""},
      {25, "'it''s'::text", "\"it's\""},
      {25, R"(E'a\\b'::text)", R"("a\\b")"},
      {25, "''::text", "\"\""},
      {25, "('a'::text || 'b'::text)", "\"\""},
      {25, "'a'::text || 'b'::text", "\"\""},
      {25, "upper('a'::text)", "\"\""},
      {25, "'open", "\"\""},
      {1043, "'x'::character varying", "\"x\""},
      {23, "7", "7"},
      {23, "'-1'::integer", "-1"},
      {23, "(-1)", "-1"},
      {21, "(1)::smallint", "1"},
      {20, "1::bigint", "1"},
      {23, "nextval('public.t_id_seq'::regclass)", "0"},
      {23, "(1 + 1)", "0"},
      {16, "true", "true"},
      {16, "false", "false"},
      {701, "1.5", "1.5"},
      {701, "'NaN'::double precision", "\"NaN\""},
      {1700, "1.50", R"({"scale":1,"value":"Dw=="})"},
      {1184, "'2024-01-01 00:00:00+00'::timestamp with time zone",
       "\"2024-01-01T00:00:00.000000Z\""},
      {1184, "now()", "\"1970-01-01T00:00:00.000000Z\""},
      {1082, "CURRENT_DATE", "0"},
      {1082, "'1970-01-02'::date", "1"},
  };
  for (const auto& [oid, expression, expected] : kCases)
    EXPECT_EQ(json_of(oid, expression), expected) << expression;
  EXPECT_EQ(json_of(1700, "1.5", (10 << 16 | 2) + 4), "\"AJY=\"");
}

}  // namespace
}  // namespace pgweir::debezium
