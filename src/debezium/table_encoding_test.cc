#include "debezium/table_encoding.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace pgweir::debezium {
namespace {
using model::Cell;
using model::CellKind;

model::Column column(std::string name, std::uint32_t type, bool not_null,
                     std::string default_value = {}, std::int32_t modifier = -1) {
  model::Column out;
  out.name = std::move(name);
  out.type = out.base_type = model::Oid{type};
  out.type_modifier = out.facts.modifier = modifier;
  out.not_null = not_null;
  out.default_value = std::move(default_value);
  return out;
}

// CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL DEFAULT 'anon', qty int DEFAULT 7,
//   price numeric(10,2), at timestamptz DEFAULT '2024-01-01 00:00:00+00')
model::Table item() {
  model::Table out;
  out.schema = "public";
  out.name = "item";
  out.columns = {column("id", 23, true), column("name", 25, true, "'anon'::text"),
                 column("qty", 23, false, "7"),
                 column("price", 1700, false, {}, (10 << 16 | 2) + 4),
                 column("at", 1184, false, "'2024-01-01 00:00:00+00'::timestamp with time zone")};
  out.primary_key = {0};
  return out;
}

Cell text(std::string_view value) {
  return {value.data(), static_cast<std::uint32_t>(value.size()), CellKind::kText};
}
constexpr Cell kNull{};
constexpr Cell kAbsent{nullptr, 0, CellKind::kAbsent};
constexpr Cell kUnchanged{nullptr, 0, CellKind::kUnchanged};

std::string row_of(const TableEncoding& table, const std::vector<Cell>& row) {
  std::string out;
  const Status status = table.append_row(row, out);
  return status.ok() ? out : status.error().text();
}

std::string key_of(const TableEncoding& table, const std::vector<Cell>& row) {
  std::string out;
  const Status status = table.append_key(row, out);
  return status.ok() ? out : status.error().text();
}

// As Debezium 3.6.3 wrote them.
constexpr std::string_view kItemKeySchema =
    R"j({"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":fa)j"
    R"j(lse,"name":"dbserver1.public.item.Key"})j";

constexpr std::string_view kItemEnvelopeSchema =
    R"j({"type":"struct","fields":[{"type":"struct","fields":[{"type":"int32","optional":false,")j"
    R"j(field":"id"},{"type":"string","optional":false,"default":"anon","field":"name"},{"type":)j"
    R"j("int32","optional":true,"default":7,"field":"qty"},{"type":"bytes","optional":true,"name)j"
    R"j(":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect)j"
    R"j(.decimal.precision":"10"},"field":"price"},{"type":"string","optional":true,"name":"io.d)j"
    R"j(ebezium.time.ZonedTimestamp","version":1,"default":"2024-01-01T00:00:00.000000Z","field")j"
    R"j(:"at"}],"optional":true,"name":"dbserver1.public.item.Value","field":"before"},{"type":")j"
    R"j(struct","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"string","optio)j"
    R"j(nal":false,"default":"anon","field":"name"},{"type":"int32","optional":true,"default":7,)j"
    R"j("field":"qty"},{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Dec)j"
    R"j(imal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"p)j"
    R"j(rice"},{"type":"string","optional":true,"name":"io.debezium.time.ZonedTimestamp","versio)j"
    R"j(n":1,"default":"2024-01-01T00:00:00.000000Z","field":"at"}],"optional":true,"name":"dbse)j"
    R"j(rver1.public.item.Value","field":"after"},{"type":"struct","fields":[{"type":"string","o)j"
    R"j(ptional":false,"field":"version"},{"type":"string","optional":false,"field":"connector"})j"
    R"j(,{"type":"string","optional":false,"field":"name"},{"type":"int64","optional":false,"fie)j"
    R"j(ld":"ts_ms"},{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1)j"
    R"j(,"parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,la)j"
    R"j(st,false,incremental"},"default":"false","field":"snapshot"},{"type":"string","optional")j"
    R"j(:false,"field":"db"},{"type":"string","optional":true,"field":"sequence"},{"type":"int64)j"
    R"j(","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"},{"ty)j"
    R"j(pe":"string","optional":false,"field":"schema"},{"type":"string","optional":false,"field)j"
    R"j(":"table"},{"type":"int64","optional":true,"field":"txId"},{"type":"int64","optional":tr)j"
    R"j(ue,"field":"lsn"},{"type":"int64","optional":true,"field":"xmin"},{"type":"string","opti)j"
    R"j(onal":true,"field":"origin"},{"type":"int64","optional":true,"field":"origin_lsn"}],"opt)j"
    R"j(ional":false,"name":"io.debezium.connector.postgresql.Source","version":1,"field":"sourc)j"
    R"j(e"},{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},{"type":")j"
    R"j(int64","optional":false,"field":"total_order"},{"type":"int64","optional":false,"field":)j"
    R"j("data_collection_order"}],"optional":true,"name":"event.block","version":1,"field":"tran)j"
    R"j(saction"},{"type":"string","optional":false,"field":"op"},{"type":"int64","optional":tru)j"
    R"j(e,"field":"ts_ms"},{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","opt)j"
    R"j(ional":true,"field":"ts_ns"}],"optional":false,"name":"dbserver1.public.item.Envelope",")j"
    R"j(version":2})j";

TEST(TableEncoding, TopicAndSchemasAreDebeziums) {
  const TableEncoding table(item(), {.topic_prefix = "dbserver1"});
  EXPECT_EQ(table.topic(), "dbserver1.public.item");
  EXPECT_EQ(table.key_schema(), kItemKeySchema);
  EXPECT_EQ(table.envelope_schema(), kItemEnvelopeSchema);
}

TEST(TableEncoding, RowsAndKeys) {
  const TableEncoding table(item(), {.topic_prefix = "dbserver1"});
  EXPECT_EQ(
      row_of(table,
             {text("10"), text("ten"), text("100"), text("10.10"), text("2024-01-01 00:00:00+00")}),
      R"({"id":10,"name":"ten","qty":100,"price":"A/I=","at":"2024-01-01T00:00:00.000000Z"})");
  // A key-only old row: defaults, the zero of what is NOT NULL without one, null.
  EXPECT_EQ(row_of(table, {text("1"), kAbsent, kAbsent, kAbsent, kAbsent}),
            R"({"id":1,"name":"anon","qty":7,"price":null,"at":"2024-01-01T00:00:00.000000Z"})");
  EXPECT_EQ(row_of(table, {text("1"), kUnchanged, kNull, kNull, kNull}),
            R"({"id":1,"name":"__debezium_unavailable_value","qty":null,"price":null,"at":null})");
  EXPECT_EQ(key_of(table, {text("1"), kAbsent, kAbsent, kAbsent, kAbsent}), R"({"id":1})");
  // REPLICA IDENTITY USING INDEX: the old row is without its primary key.
  EXPECT_EQ(key_of(table, {kAbsent, text("c1"), kAbsent, kAbsent, kAbsent}), R"({"id":0})");
  EXPECT_EQ(row_of(table, {text("1x"), kNull, kNull, kNull, kNull}),
            "a value of public.item.id is none of its type: '1x'");
}

TEST(TableEncoding, KeysAreInTheirOwnOrderAndCompared) {
  model::Table table;
  table.schema = "public";
  table.name = "multi_pk";
  table.columns = {column("a", 23, true), column("b", 25, true), column("v", 23, false)};
  table.primary_key = {1, 0};
  const TableEncoding encoding(table, {.topic_prefix = "dbserver1"});
  const std::vector<Cell> row = {text("1"), text("k"), text("9")};
  EXPECT_EQ(key_of(encoding, row), R"({"b":"k","a":1})");
  EXPECT_TRUE(encoding.same_key(row, std::vector<Cell>{text("1"), text("k"), kNull}));
  EXPECT_FALSE(encoding.same_key(row, std::vector<Cell>{text("1"), text("kk"), kNull}));
  EXPECT_FALSE(encoding.same_key(row, std::vector<Cell>{text("1"), kAbsent, kNull}));
}

TEST(TableEncoding, WhatHasNoPlaceIsLeftOut) {
  model::Table table;
  table.schema = "public";
  table.name = "shapes";
  table.columns = {column("id", 23, false), column("box", 603, false)};
  const TableEncoding encoding(table, {.topic_prefix = "x"});
  EXPECT_FALSE(encoding.has_key());
  EXPECT_EQ(row_of(encoding, {text("1"), text("(1,1),(0,0)")}), R"({"id":1})");
  table.columns.erase(table.columns.begin());
  EXPECT_EQ(row_of(TableEncoding(table, {}), {text("(1,1),(0,0)")}), "{}");
}

TEST(TableEncoding, NamesOfTopics) {
  struct NameCase {
    std::string_view name;
    std::string_view expected;
  };
  constexpr NameCase kCases[] = {{"dbserver1.public.item", "dbserver1.public.item"},
                                 {"Weird Näme.x", "Weird_N_me.x"},
                                 {"a-b_c$d", "a-b_c_d"},
                                 {"\xF0\x9F\x98\x80", "__"}};
  for (const auto& [name, expected] : kCases) EXPECT_EQ(topic_name(name), expected);
}

}  // namespace
}  // namespace pgweir::debezium
