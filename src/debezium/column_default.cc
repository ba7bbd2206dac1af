#include "debezium/column_default.h"

#include <cstddef>

namespace pgweir::debezium {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789.eE+-") == std::string_view::npos;
}

// Behind the opening quote; nothing when it is not closed. `rest` is what stands behind the closing
// one.
std::optional<std::string> quoted(std::string_view text, bool escapes, std::string_view& rest) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\'') {
      if (i + 1 == text.size() || text[i + 1] != '\'') {
        rest = text.substr(i + 1);
        return out;
      }
      ++i;
    } else if (escapes && text[i] == '\\' && i + 1 < text.size()) {
      ++i;  // pg_get_expr() writes no escape but that of the backslash itself
    }
    out += text[i];
  }
  return std::nullopt;
}

// The text of a constant: 'a'::text, 7, (-1), true, '2024-01-01'::date.
std::optional<std::string> constant(std::string_view expression) {
  if (expression.starts_with("(") && expression.ends_with(")"))
    return constant(expression.substr(1, expression.size() - 2));
  if (expression == "true") return "t";
  if (expression == "false") return "f";
  if (is_number(expression)) return std::string(expression);
  const bool escapes = expression.starts_with("E'");
  if (!escapes && !expression.starts_with("'")) {
    // A number with a cast: 1::smallint, (1)::numeric.
    const std::size_t cast = expression.find("::");
    if (cast == std::string_view::npos || cast == 0) return std::nullopt;
    return expression[0] == '(' || is_number(expression.substr(0, cast))
               ? constant(expression.substr(0, cast))
               : std::nullopt;
  }
  std::string_view rest;
  std::optional<std::string> text = quoted(expression.substr(escapes ? 2 : 1), escapes, rest);
  // A cast may follow, and nothing else: 'a' || 'b' is no constant.
  if (!text || !(rest.empty() || rest.starts_with("::"))) return std::nullopt;
  if (rest.find_first_of("|+'") != std::string_view::npos) return std::nullopt;
  return text;
}

}  // namespace

std::optional<std::string> default_json(std::string_view expression, const ValueType& type) {
  if (expression.empty() || expression.starts_with("NULL")) return std::nullopt;
  const std::optional<std::string> text = constant(expression);
  std::string json;
  if (text && type.append(*text, json)) return json;
  return type.zero();
}

}  // namespace pgweir::debezium
