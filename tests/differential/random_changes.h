// Random tables, and random transactions over them.
//
// Threads: plain data.
#pragma once

#include <string>
#include <vector>

#include "differential/random_source.h"
#include "differential/test_case.h"

namespace pgweir::differential {

struct RandomTable {
  Relation relation;
  std::string sql;  // CREATE TABLE
};

// t1, t2 ...: keyed by one column or two, or without a key.
std::vector<RandomTable> random_tables(Dice& dice);

// A transaction of inserts, updates (also of keys), deletes and truncates, or a restart or rebuild.
// Its statements make sense whatever rows there are.
Step random_step(Dice& dice, const std::vector<RandomTable>& tables);
// The first one: rows in every table.
Step first_step(Dice& dice, const std::vector<RandomTable>& tables);

// A literal of the type out of few different ones, "NULL" now and then unless `not_null`.
std::string random_value(Dice& dice, Type type, bool not_null = false);

}  // namespace pgweir::differential
