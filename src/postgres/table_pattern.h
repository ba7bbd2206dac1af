// The pattern language of source.tables: SCHEMA.TABLE with * and ?, double quotes for literal
// parts.
//
// Threads: plain values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pgweir::postgres {

class TablePattern {
 public:
  // kConfig for a text that is no pattern.
  static Result<TablePattern> parse(std::string_view text);

  bool matches(std::string_view schema, std::string_view table) const;
  // Names one table: holds no * or ?.
  bool is_exact() const { return schema_.exact && table_.exact; }
  const std::string& text() const { return text_; }

 private:
  struct Token {
    enum class Kind : char { kLiteral, kAny, kOne };
    Kind kind = Kind::kLiteral;
    char literal = 0;
  };
  struct Glob {
    std::vector<Token> tokens;
    bool exact = true;
    bool matches(std::string_view name) const;
  };

  std::string text_;
  Glob schema_;
  Glob table_;
};

}  // namespace pgweir::postgres
