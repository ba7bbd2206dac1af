// One case of the differential tester: tables, views and what happens to the tables, as trees that
// can be made smaller and as a text that can be kept.
//
// The text, in sections:
//   # anything
//   [options] small stores, parts of 3 changes          (both optional)
//   [table]        CREATE TABLE ...
//   [view NAME]    its SELECT; [postgres NAME] PostgreSQL's own, where the dialects differ
//   [transaction]  statements of one transaction
//   [restart]      the engine is closed and opened again
//   [rebuild]      all views are dropped, and made anew from the mirrors
//   [rows NAME]    the view's rows at this point, as PostgreSQL has them: cells between |, sorted
//
// Threads: plain data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "differential/sql_tree.h"

namespace pgweir::differential {

struct CaseView {
  std::string name;
  Tree sql;
};

struct Step {
  enum class Kind { kTransaction, kRestart, kRebuild };
  Kind kind = Kind::kTransaction;
  std::vector<Tree> statements;
  // What a file says the views' rows are behind this step.
  std::map<std::string, std::vector<std::string>> rows;
};

struct TestCase {
  std::string title;  // of the file, or the seed
  std::vector<std::string> tables;
  std::vector<CaseView> views;
  std::vector<Step> steps;
  bool small_stores = false;     // a few rows make a store of the engine's large
  std::size_t part_changes = 0;  // a transaction comes in parts of so many changes; 0: whole
};

// The case's text. Rows are those of its steps.
std::string to_text(const TestCase& test_case);
// kInvalid with the line that cannot be understood.
Result<TestCase> parse_case(const std::string& title, const std::string& text);

}  // namespace pgweir::differential
