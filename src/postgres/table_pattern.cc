#include "postgres/table_pattern.h"

#include <fmt/core.h>

namespace pgweir::postgres {

Result<TablePattern> TablePattern::parse(std::string_view text) {
  TablePattern out;
  out.text_ = text;
  const auto bad = [&](std::string_view why) {
    return error(Code::kConfig, fmt::format("'{}' is no table pattern", text), std::string(why),
                 "Write SCHEMA.TABLE, like public.* or \"My Schema\".orders");
  };
  Glob* part = &out.schema_;
  bool quoted = false, split = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      const bool doubled = quoted && i + 1 < text.size() && text[i + 1] == '"';
      if (!doubled) {
        quoted = !quoted;
        continue;
      }
      ++i;
    } else if (!quoted && c == '.') {
      if (split) return bad("it has more than two parts");
      split = true;
      part = &out.table_;
      continue;
    } else if (!quoted && (c == '*' || c == '?')) {
      part->tokens.push_back({c == '*' ? Token::Kind::kAny : Token::Kind::kOne, 0});
      part->exact = false;
      continue;
    }
    part->tokens.push_back({Token::Kind::kLiteral, c});
  }
  if (quoted) return bad("a double quote is not closed");
  if (!split) return bad("it has one part");
  if (out.schema_.tokens.empty() || out.table_.tokens.empty()) return bad("a part is empty");
  return out;
}

bool TablePattern::matches(std::string_view schema, std::string_view table) const {
  return schema_.matches(schema) && table_.matches(table);
}

// Greedy with one step back to the last *, so its time is bounded by the product of the lengths.
bool TablePattern::Glob::matches(std::string_view name) const {
  std::size_t at = 0, token = 0;
  std::size_t star = tokens.size(), star_at = 0;
  while (at < name.size()) {
    const bool fits =
        token < tokens.size() &&
        (tokens[token].kind == Token::Kind::kOne ||
         (tokens[token].kind == Token::Kind::kLiteral && tokens[token].literal == name[at]));
    if (fits) {
      // One character, not one byte, of a UTF-8 name.
      const bool one = tokens[token].kind == Token::Kind::kOne;
      do ++at;
      while (one && at < name.size() && (static_cast<unsigned char>(name[at]) & 0xC0) == 0x80);
      ++token;
    } else if (token < tokens.size() && tokens[token].kind == Token::Kind::kAny) {
      star = token++;
      star_at = at;
    } else if (star < tokens.size()) {
      token = star + 1;
      at = ++star_at;
    } else {
      return false;
    }
  }
  while (token < tokens.size() && tokens[token].kind == Token::Kind::kAny) ++token;
  return token == tokens.size();
}

}  // namespace pgweir::postgres
