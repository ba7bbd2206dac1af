// What lies between two versions of one table: how rows of the old one become rows of the new one,
// or why they cannot.
//
// Place:   asked by whoever keeps rows. It goes by the catalog's facts, which may be those of a
//          later moment than the new version's: whatever is ambiguous is answered with "read the
//          rows again", which is always right.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/table.h"

namespace pgweir::model {

inline constexpr std::uint32_t kAddedColumn = 0xffffffff;

struct TableChange {
  // For each column of the new version: its place in the old one, or kAddedColumn. An added
  // column's value in all old rows is its `missing`, or NULL.
  std::vector<std::uint32_t> from;
  // For each column of the new version: why its values cannot be told from the old rows; mostly
  // empty. Only the source knows them then.
  std::vector<std::string> unknown;
  // Why the old rows are not those of the new version at all; empty when they are.
  std::string other_rows;
};

// Requires two versions of one table (the same id).
TableChange compare(const Table& old, const Table& now);

// Whether the partition was detached and attached again between the two.
bool came_again(const Partition& was, const Partition& is);

// Whether what was done to the table, or to a partition of it, was not sent for a time.
bool was_away(const Table& old, const Table& now);

// Whether every value of the old column is the same value, and the same text, of the new one.
bool keeps_values(const Column& old, const Column& now);

}  // namespace pgweir::model
