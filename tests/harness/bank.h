// The bank of `generate payments` with views over it, and PostgreSQL's own answers to compare with.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/cluster.h"
#include "harness/program.h"

namespace pgweir::harness {

// The `views:` of a configuration: balance, total (a view over it), large, by_region, per_minute.
std::string bank_views_yaml();

// A text's parts as sorted lines, so that both sides compare whatever their order.
std::string sorted_lines(const std::string& text, char separator);

// A table, and the SELECT list that says what all its rows add up to.
struct BankTable {
  const char* name;
  const char* columns;
};
std::span<const BankTable> bank_tables();

// PostgreSQL's answers to every view, and what all rows of its tables add up to.
struct BankAnswers {
  std::vector<std::string> views;
  std::vector<std::string> tables;  // in the order of bank_tables()
};
BankAnswers bank_answers_of(Cluster& cluster, const std::string& database);

// Every view and mirror of the running program gives the same answers.
void expect_bank_answers(Program& program, const BankAnswers& expected);

}  // namespace pgweir::harness
