// Rows of a snapshot and the changes behind it give the rows as they are now.
//
// Method: a table of key, value and a large value; changes as a short script, the rows as text.
#include "pipeline/chunk_merge.h"

#include <gtest/gtest.h>

#include <deque>
#include <sstream>

namespace pgweir::pipeline {
namespace {

// "i KEY V L", "u KEY V L", "k OLD NEW V L" (a change of the key), "d KEY", "t"; L may be "-": not
// sent. One change a line. The result's rows in order, then the incomplete keys behind a bar.
std::string merged(const std::string& lines, const std::string& script) {
  std::deque<RecordedChange> changes;
  std::istringstream in(script);
  for (std::string op; in >> op;) {
    RecordedChange change;
    change.op = op == "i"   ? model::Op::kInsert
                : op == "d" ? model::Op::kDelete
                : op == "t" ? model::Op::kTruncate
                            : model::Op::kUpdate;
    if (op == "k" || op == "d") in >> change.old_key;
    if (op == "i" || op == "u" || op == "k") {
      std::string value, large;
      in >> change.new_key >> value >> large;
      if (op == "u") change.old_key = change.new_key;
      change.fields = {change.new_key, value, std::nullopt};
      if (large != "-") change.fields[2] = large;
    }
    changes.push_back(std::move(change));
  }
  std::vector<const RecordedChange*> pointers;
  for (const RecordedChange& change : changes) pointers.push_back(&change);
  const std::vector<std::uint32_t> key = {0};
  const std::vector<std::string> asked = {"9"};
  const MergedChunk out = merge_chunk(lines, key, pointers, asked);
  std::vector<std::string> rows;
  std::istringstream result(out.lines);
  for (std::string line; std::getline(result, line);) rows.push_back(line);
  EXPECT_EQ(rows.size(), out.row_count);
  std::sort(rows.begin(), rows.end());
  std::string text;
  for (const std::string& row : rows) text += row + ";";
  for (const std::string& each : out.incomplete) text += "|" + each;
  return text;
}

const std::string kRows = "1\ta\tA\n2\tb\tB\n3\tc\tC\n";

}  // namespace

TEST(ChunkMerge, WithoutChangesIsAsRead) {
  EXPECT_EQ(merged(kRows, ""), "1\ta\tA;2\tb\tB;3\tc\tC;");
  EXPECT_EQ(merged("", ""), "");
}

TEST(ChunkMerge, UpdateTakesWhatItDoesNotSendFromTheRow) {
  EXPECT_EQ(merged(kRows, "u 2 x -"), "1\ta\tA;2\tx\tB;3\tc\tC;");
  EXPECT_EQ(merged(kRows, "u 2 x X u 2 y -"), "1\ta\tA;2\ty\tX;3\tc\tC;");
}

TEST(ChunkMerge, DeletedRowIsLeftOut) {
  EXPECT_EQ(merged(kRows, "d 1 d 9"), "2\tb\tB;3\tc\tC;");
}

TEST(ChunkMerge, RowThatOnlyChangesBroughtIsLeftToThem) {
  EXPECT_EQ(merged(kRows, "i 4 d D"), "1\ta\tA;2\tb\tB;3\tc\tC;");
  EXPECT_EQ(merged(kRows, "d 1 i 1 z Z"), "2\tb\tB;3\tc\tC;");
}

TEST(ChunkMerge, RowMovesWithItsKey) {
  EXPECT_EQ(merged(kRows, "k 2 7 x -"), "1\ta\tA;3\tc\tC;7\tx\tB;");
  EXPECT_EQ(merged(kRows, "k 1 7 x - k 2 1 y - k 7 2 z -"), "1\ty\tB;2\tz\tA;3\tc\tC;");
}

TEST(ChunkMerge, ChangeOfARowElsewhereIsIncomplete) {
  EXPECT_EQ(merged(kRows, "u 9 x -"), "1\ta\tA;2\tb\tB;3\tc\tC;|9");
  EXPECT_EQ(merged(kRows, "k 8 9 x - d 9"), "1\ta\tA;2\tb\tB;3\tc\tC;");
  EXPECT_EQ(merged(kRows, "u 9 x X"), "1\ta\tA;2\tb\tB;3\tc\tC;");
}

TEST(ChunkMerge, WhatConcernsOthersIsPassedOver) {
  EXPECT_EQ(merged(kRows, "u 6 x - k 7 8 x X i 5 a A d 4 u 2 y Y"), "1\ta\tA;2\ty\tY;3\tc\tC;");
  EXPECT_EQ(merged(kRows, "d 1 k 8 1 x -"), "2\tb\tB;3\tc\tC;");
}

TEST(ChunkMerge, TruncateLeavesNothing) {
  EXPECT_EQ(merged(kRows, "u 1 x - t"), "");
  EXPECT_EQ(merged(kRows, "t i 1 n N"), "");
}

TEST(ChunkMerge, KeysAreComparedAsCopyWritesThem) {
  const std::string text = "a\tb\\c\nd";
  const model::Cell cell{text.data(), static_cast<std::uint32_t>(text.size()),
                         model::CellKind::kText};
  const std::vector<model::Cell> row = {model::Cell{}, cell};
  const std::vector<std::uint32_t> key = {1, 0};
  EXPECT_EQ(key_of_cells(row, key), "a\\tb\\\\c\\nd\t\\N");
  EXPECT_EQ(key_of_line("\\N\ta\\tb\\\\c\\nd\tmore", key), "a\\tb\\\\c\\nd\t\\N");
}

}  // namespace pgweir::pipeline
