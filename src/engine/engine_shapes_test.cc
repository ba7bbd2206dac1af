// Mirrors take on the shapes that their tables have at the source.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "engine/testing_engine.h"

namespace pgweir::engine {

using EngineShapesTest = EngineTest;

// A version of a table with the catalog's facts: columns are numbered by `numbers`.
model::Table numbered(const std::shared_ptr<const model::Table>& table,
                      const std::vector<std::int16_t>& numbers, std::int16_t numbers_max) {
  model::Table out = *table;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    out.columns[i].number = numbers[i];
    out.columns[i].revision = 1;
  }
  out.numbers_max = numbers_max;
  out.storage = 1;
  return out;
}

std::shared_ptr<const model::Table> shared(model::Table table) {
  return std::make_shared<const model::Table>(std::move(table));
}

TEST_F(EngineShapesTest, AMirrorTakesOnTheShapesOfItsTable) {
  model::Column code = typed_column("code", 1043, 14);
  const auto before =
      shared(numbered(make_table(5, "public", "items", {int_column("id", true), code}), {1, 2}, 2));
  begin(10);
  builder_->insert(before, {"1", "a"});
  EXPECT_EQ(apply(), "");
  // A longer text, a column with a default and one without.
  code.type_modifier = 24;
  model::Table wider =
      numbered(make_table(5, "public", "items",
                          {int_column("id", true), code, int_column("count"), text_column("note")}),
               {1, 2, 3, 4}, 4);
  wider.columns[2].missing = "7";
  begin(20);
  builder_->update(shared(wider), {}, {"1", "b", "8", "x"});
  builder_->insert(shared(wider), {"2", "c", "9", "y"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM items ORDER BY id"), "1|b|8|x;2|c|9|y");
  // One is gone, one has another name, the table too.
  const model::Table narrower =
      numbered(make_table(5, "shop", "goods",
                          {int_column("id", true), int_column("pieces"), text_column("note")}),
               {1, 3, 4}, 4);
  ASSERT_TRUE(engine_->define_table(narrower).ok());
  for (int opened = 0; opened < 2; ++opened) {
    EXPECT_EQ(rows("SELECT * FROM shop.goods ORDER BY id"), "1|8|x;2|9|y");
    EXPECT_EQ(engine_->mirrors().size(), 1u);
    open();
  }
  // The same name again is another column, of which nothing is known here.
  model::Table again =
      numbered(make_table(5, "shop", "goods",
                          {int_column("id", true), text_column("note"), int_column("pieces")}),
               {1, 4, 5}, 5);
  ASSERT_TRUE(engine_->define_table(again).ok());
  EXPECT_EQ(rows("SELECT count(*) FROM shop.goods"),
            "Invalid Input Error: table shop.goods is stopped: column pieces was dropped and added "
            "again");
  // It is gone with its table.
  again.presence = model::Presence::kDropped;
  ASSERT_TRUE(engine_->define_table(again).ok());
  EXPECT_TRUE(engine_->mirrors().empty());
}

TEST_F(EngineShapesTest, OldRowsHaveTheDefaultOfANewColumn) {
  const auto before =
      shared(numbered(make_table(5, "public", "items", {int_column("id", true)}), {1}, 1));
  begin(10);
  builder_->insert(before, {"1"});
  builder_->insert(before, {"2"});
  EXPECT_EQ(apply(), "");
  model::Table wider =
      numbered(make_table(5, "public", "items",
                          {int_column("id", true), text_column("note"), int_column("n")}),
               {1, 2, 3}, 3);
  wider.columns[1].missing = "it's new";
  ASSERT_TRUE(engine_->define_table(wider).ok());
  EXPECT_EQ(rows("SELECT * FROM items ORDER BY id"), "1|it's new|NULL;2|it's new|NULL");
  // A default that the mirror cannot hold stops the table, not the engine.
  wider.columns.push_back(typed_column("small", 21));
  wider.columns.back().number = wider.numbers_max = 4;
  wider.columns.back().missing = "99999";
  ASSERT_TRUE(engine_->define_table(wider).ok());
  EXPECT_EQ(rows("SELECT count(*) FROM items"),
            "Invalid Input Error: table public.items is stopped: the default of column small (type "
            "21) does not fit into SMALLINT (value '99999')");
}

TEST_F(EngineShapesTest, ATableWithoutColumnsHasNoMirrorAndDisturbsNobody) {
  const TablePtr none = make_table(7, "public", "none", {});
  begin(10);
  builder_->insert(none, {});
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM accounts"), "1|a");
}

TEST_F(EngineShapesTest, TwoTablesSwapTheirNames) {
  const auto columns = {int_column("id", true)};
  const auto one = make_table(5, "public", "one", columns);
  const auto two = make_table(6, "public", "two", columns);
  begin(10);
  builder_->insert(one, {"1"});
  builder_->insert(two, {"2"});
  EXPECT_EQ(apply(), "");
  const auto renamed = [](const auto& table, const char* name) {
    model::Table out = *table;
    out.name = name;
    return shared(out);
  };
  begin(20);
  builder_->insert(renamed(two, "one"), {"22"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM one ORDER BY id"), "2;22");
  open();
  begin(30);
  builder_->insert(renamed(one, "two"), {"11"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM one ORDER BY id"), "2;22");
  EXPECT_EQ(rows("SELECT * FROM two ORDER BY id"), "1;11");
}

TEST_F(EngineShapesTest, AShapeWithUnknownRowsStopsThatTableAlone) {
  const auto others = make_table(2, "public", "others", {int_column("id", true)});
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  builder_->insert(others, {"1"});
  EXPECT_EQ(apply(), "");
  const auto wider = make_table(1, "public", "accounts",
                                {int_column("id", true), int_column("name"), text_column("more")});
  ASSERT_TRUE(engine_->define_table(*wider).ok());
  begin(20);
  builder_->insert(wider, {"2", "5", "x"});
  builder_->insert(others, {"2"});
  EXPECT_EQ(apply(), "");
  for (int opened = 0; opened < 2; ++opened) {
    EXPECT_EQ(rows("SELECT count(*) FROM others"), "2");
    EXPECT_EQ(rows("SELECT count(*) FROM accounts"),
              "Invalid Input Error: table public.accounts is stopped: column name was text and is "
              "integer");
    EXPECT_EQ(rows("SELECT sum(changes) FROM pgweir.activity WHERE \"table\" = 'accounts'"), "2");
    open();
  }
}

}  // namespace pgweir::engine
