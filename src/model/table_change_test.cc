// What of a table's rows can be told from an older version's, by the catalog's facts.
#include "model/table_change.h"

#include <gtest/gtest.h>

#include <functional>

namespace pgweir::model {
namespace {

Column column_of(const std::string& name, std::int16_t number, std::uint32_t type = 23) {
  Column column;
  column.name = name;
  column.type = Oid{type};
  column.type_name = "type " + std::to_string(type);
  column.number = number;
  column.revision = 1;
  return column;
}

Table known() {
  Table table;
  table.id = Oid{1};
  table.schema = "public";
  table.name = "t";
  table.columns = {column_of("id", 1), column_of("v", 2)};
  table.columns[0].in_key = true;
  table.numbers_max = 2;
  table.storage = 7;
  return table;
}

// "0 1 +" and the first reason why rows are not known.
std::string change(const std::function<void(Table&)>& body, Table old = known()) {
  Table now = old;
  body(now);
  const TableChange change = compare(old, now);
  std::string out;
  for (const std::uint32_t from : change.from)
    out += (out.empty() ? "" : " ") + (from == kAddedColumn ? "+" : std::to_string(from));
  std::string why = change.other_rows;
  for (const std::string& unknown : change.unknown) why = why.empty() ? unknown : why;
  return out + (why.empty() ? "" : ": " + why);
}

void add(Table& table, Column column) {
  table.numbers_max = std::max(table.numbers_max, column.number);
  table.columns.push_back(std::move(column));
}

TEST(TableChange, ColumnsAreFollowedByTheirNumbers) {
  EXPECT_EQ(change([](Table&) {}), "0 1");
  EXPECT_EQ(change([](Table& now) { now.columns[1].name = "w"; }), "0 1");
  EXPECT_EQ(change([](Table& now) { now.columns.pop_back(); }), "0");
  EXPECT_EQ(change([](Table& now) { add(now, column_of("w", 3)); }), "0 1 +");
  EXPECT_EQ(change([](Table& now) {
              now.columns.pop_back();
              add(now, column_of("w", 3));
            }),
            "0 +");
  EXPECT_EQ(change([](Table& now) { std::swap(now.columns[0].name, now.columns[1].name); }), "0 1");
}

TEST(TableChange, WhatIsAmbiguousIsRead) {
  EXPECT_EQ(change([](Table& now) {
              now.columns.pop_back();
              add(now, column_of("v", 3));
            }),
            "0 +: column v was dropped and added again");
  EXPECT_EQ(change([](Table& now) { add(now, column_of("w", 4)); }),
            "0 1 +: column w came, with values that are not known");
  EXPECT_EQ(change([](Table& now) { add(now, column_of("w", 0)); }),
            "0 1 +: column w came, with values that are not known");
}

TEST(TableChange, ARewriteMattersOnlyWithAChangedColumn) {
  EXPECT_EQ(change([](Table& now) { now.storage = 8; }), "0 1");
  EXPECT_EQ(change([](Table& now) { now.columns[1].revision = 2; }), "0 1");
  const auto rewritten = [](Table& now) {
    now.storage = 8;
    now.columns[1].revision = 2;
  };
  EXPECT_EQ(change(rewritten), "0 1: column v was changed and the table rewritten");
  // VACUUM FULL makes a default a value of every row.
  Table defaulted = known();
  defaulted.columns[1].missing = "5";
  EXPECT_EQ(change(
                [&](Table& now) {
                  rewritten(now);
                  now.columns[1].missing.reset();
                },
                defaulted),
            "0 1");
  EXPECT_EQ(change([](Table& now) {
              now.storage = 8;
              add(now, column_of("w", 3));
            }),
            "0 1 +: column w was added and the table rewritten");
  EXPECT_EQ(change([](Table& now) {
              now.storage = 8;
              add(now, column_of("w", 3));
              now.columns.back().missing = "5";
            }),
            "0 1 +");
}

TEST(TableChange, TypesThatKeepEveryValueAreTaken) {
  const auto retyped = [](std::uint32_t from, int from_modifier, std::uint32_t to,
                          int to_modifier) {
    Table old = known();
    old.columns[1] = column_of("v", 2, from);
    old.columns[1].type_modifier = from_modifier;
    return change(
               [&](Table& now) {
                 now.columns[1] = column_of("v", 2, to);
                 now.columns[1].type_modifier = to_modifier;
               },
               old) == "0 1";
  };
  const auto numeric = [](int precision, int scale) { return (precision << 16 | scale) + 4; };
  constexpr std::uint32_t kText = 25, kVarchar = 1043, kNumeric = 1700;
  EXPECT_TRUE(retyped(kVarchar, 14, kVarchar, 24));
  EXPECT_TRUE(retyped(kVarchar, 14, kVarchar, -1));
  EXPECT_TRUE(retyped(kVarchar, 14, kText, -1));
  EXPECT_TRUE(retyped(kText, -1, kVarchar, -1));
  EXPECT_TRUE(retyped(kNumeric, numeric(10, 2), kNumeric, numeric(12, 2)));
  EXPECT_TRUE(retyped(kNumeric, numeric(10, 2), kNumeric, -1));
  EXPECT_FALSE(retyped(kVarchar, 24, kVarchar, 14));
  EXPECT_FALSE(retyped(kText, -1, kVarchar, 14));
  EXPECT_FALSE(retyped(kNumeric, numeric(10, 2), kNumeric, numeric(12, 3)));
  EXPECT_FALSE(retyped(kNumeric, -1, kNumeric, numeric(12, 3)));
  EXPECT_FALSE(retyped(23, -1, 20, -1));
}

TEST(TableChange, PartitionsThatComeAndGoWithRows) {
  Table old = known();
  old.storage = 0;
  old.partitions = {{Oid{11}, 1, true}, {Oid{12}, 2, false}};
  const auto made = [&](const std::function<void(Table&)>& body) { return change(body, old); };
  EXPECT_EQ(made([](Table& now) { now.partitions.push_back({Oid{13}, 3, true}); }), "0 1");
  EXPECT_EQ(made([](Table& now) {
              now.partitions.push_back({Oid{13}, 3, false});
            }),
            "0 1: a partition was attached");
  EXPECT_EQ(made([](Table& now) { now.partitions.pop_back(); }),
            "0 1: a partition was detached or dropped");
  EXPECT_EQ(made([](Table& now) { now.partitions[1].storage = 9; }),
            "0 1: a partition was truncated or rewritten");
  EXPECT_EQ(made([](Table& now) { now.partitions[0].attached = 5; }), "0 1");  // not known before
  old.partitions[0].attached = 5;
  EXPECT_EQ(made([](Table& now) { now.partitions[0].attached = 0; }), "0 1");
  EXPECT_EQ(made([](Table& now) { now.partitions[0].attached = 6; }),
            "0 1: a partition was detached and attached again");
}

TEST(TableChange, WhatWasOutOfThePublicationMissesRows) {
  const auto change_between = [](std::vector<std::uint64_t> was, std::vector<std::uint64_t> is) {
    Table old = known();
    old.published_by = std::move(was);
    return change([&](Table& now) { now.published_by = is; }, old);
  };
  EXPECT_EQ(change_between({3}, {3}), "0 1");
  EXPECT_EQ(change_between({3, 5}, {5, 7}), "0 1");
  EXPECT_EQ(change_between({}, {5}), "0 1");  // not known before
  EXPECT_EQ(change_between({5}, {}), "0 1");
  EXPECT_EQ(change_between({3, 5}, {4, 6}), "0 1: it was out of the publication for a time");
}

TEST(TableChange, AnotherRowFilterIsOfOtherRows) {
  EXPECT_EQ(change([](Table& now) { now.row_filter = "(a > 1)"; }),
            "0 1: its row filter was changed");
}

TEST(TableChange, AnIdentityThatComesLaterHasMissedChanges) {
  Table old = known();
  old.columns[0].in_key = false;
  EXPECT_EQ(change([](Table& now) { now.columns[0].in_key = true; }, old),
            "0 1: its updates and deletes were not sent before it had a replica identity");
  EXPECT_EQ(change([](Table& now) { now.columns[0].in_key = false; }), "0 1");
}

}  // namespace
}  // namespace pgweir::model
