#include "model/copy_text.h"

#include <gtest/gtest.h>

#include <string>

namespace pgweir::model {

// "a|NULL|b", or "no row".
static std::string split(std::string_view line, std::size_t count) {
  std::vector<Cell> cells(count);
  TextRoom room;
  if (!split_copy_row(line, count, cells.data(), room)) return "no row";
  std::string out;
  for (const Cell& cell : cells) {
    if (&cell != cells.data()) out += "|";
    out += cell.kind == CellKind::kText ? std::string(cell.text()) : "NULL";
  }
  return out;
}

TEST(CopyText, ARowIsItsFields) {
  EXPECT_EQ(split("1\ttwo\t", 3), "1|two|");
  EXPECT_EQ(split("", 1), "");
  EXPECT_EQ(split("", 0), "");
  EXPECT_EQ(split("\t", 2), "|");
  EXPECT_EQ(split("\\N\tx\t\\N", 3), "NULL|x|NULL");
  EXPECT_EQ(split("\\\\N\ta\\tb\\n\\r\\b\\f\\v\\\\c\\d", 2), "\\N|a\tb\n\r\b\f\v\\cd");
  EXPECT_EQ(split("a\\", 1), "a\\");
}

TEST(CopyText, ARowOfAnotherTableIsNone) {
  EXPECT_EQ(split("1\t2", 1), "no row");
  EXPECT_EQ(split("1\t2", 3), "no row");
  EXPECT_EQ(split("1", 0), "no row");
  EXPECT_EQ(split("", 2), "no row");
  Table table{.schema = "public", .name = "t", .columns = {{.name = "a"}, {.name = "b"}}};
  EXPECT_EQ(not_a_row_of(table, "1").detail, "table public.t has 2 columns, the row fewer");
  EXPECT_EQ(not_a_row_of(table, "1\t2\t3").detail, "table public.t has 2 columns, the row more");
}

TEST(CopyText, TheLastLinesNewlineMayBeMissing) {
  std::string_view lines = "a\n\nb";
  EXPECT_EQ(next_line(lines), "a");
  EXPECT_EQ(next_line(lines), "");
  EXPECT_EQ(next_line(lines), "b");
  EXPECT_TRUE(lines.empty());
}

// What was given before stays in its place until the room is cleared, whatever comes.
TEST(CopyText, RoomGrowsAndIsUsedAgain) {
  TextRoom room;
  const char* first = nullptr;
  for (int round = 0; round < 2; ++round) {
    std::vector<Cell> cells(300);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string line =
          std::string(i * 17 % 5000, 'x') + "\\t" + (i == 100 ? std::string(100'000, 'y') : "");
      ASSERT_TRUE(split_copy_row(line, 1, &cells[i], room));
    }
    for (std::size_t i = 0; i < cells.size(); ++i) {
      ASSERT_EQ(cells[i].size, i * 17 % 5000 + 1 + (i == 100 ? 100'000 : 0));
      ASSERT_EQ(cells[i].text()[i * 17 % 5000], '\t');
    }
    if (round == 0) first = cells[0].data;
    EXPECT_EQ(cells[0].data, first);
    room.clear();
  }
}

}  // namespace pgweir::model
