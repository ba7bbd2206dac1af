// Dice, and the types and relations that random SQL is made of.
//
// Threads: plain data.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "differential/sql_tree.h"

namespace pgweir::differential {

// Numbers that are the same on every machine for a seed, whatever its standard library does.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  // From 0 to `most`.
  int up_to(int most) {
    return static_cast<int>(engine_() % (static_cast<std::uint64_t>(most) + 1));
  }
  int between(int least, int most) { return least + up_to(most - least); }
  bool one_in(int n) { return up_to(n - 1) == 0; }
  bool percent(int chance) { return up_to(99) < chance; }
  template <typename Items>
  const typename Items::value_type& pick(const Items& items) {
    return items[static_cast<std::size_t>(up_to(static_cast<int>(items.size()) - 1))];
  }
  const char* pick(std::initializer_list<const char*> items) {
    return items.begin()[up_to(static_cast<int>(items.size()) - 1)];
  }

 private:
  std::mt19937_64 engine_;
};

enum class Type {
  kInt,
  kBigint,
  kNumeric,
  kFloat,
  kText,
  kBool,
  kDate,
  kTimestamp,
  kZoned,  // timestamptz
  kJson
};

// "int", "bigint" ...: a tree's kind. And as PostgreSQL writes the type.
const char* kind_of(Type type);
const char* type_name(Type type);
bool is_number(Type type);

struct OutColumn {
  std::string name;
  Type type = Type::kInt;
  // Equal on both sides to the last digit, so that it can be compared, grouped and joined by.
  bool exact = true;
};

// A table, a view, or a subquery with a name.
struct Relation {
  std::string name;
  std::vector<OutColumn> columns;
  std::vector<std::string> key;  // of a table; empty: rows can be equal
  bool is_table = false;
  double rows = 40;  // about so many
};

}  // namespace pgweir::differential
