// Names that a connector's property selects: a list of regular expressions.
//
// Place:   column.include.list, table.exclude.list, message.key.columns and their like.
// Threads: immutable once made.
#pragma once

#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pgweir::debezium {

class Selection {
 public:
  // Separated by commas; one that belongs to an expression is written "\,". Each must match a whole
  // name, in whatever case. kConfig names the property and the expression that is none.
  static Result<Selection> parse(std::string_view property, std::string_view list);

  bool is_empty() const { return expressions_.empty(); }
  bool matches(const std::string& name) const;

 private:
  std::vector<std::regex> expressions_;
};

// The parts of `list` between separators, without the spaces around them; "\," is a comma of a
// part.
std::vector<std::string> split_list(std::string_view list, char separator);

}  // namespace pgweir::debezium
