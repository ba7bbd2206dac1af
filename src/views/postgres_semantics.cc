#include "views/postgres_semantics.h"

#include <fmt/core.h>

#include <set>

namespace pgweir::views {
namespace {

// The parser's function of `~`, SIMILAR TO and regexp_full_match() alike.
constexpr const char* kMatch = "regexp_full_match";

// What stands in the text where an expression does, in lower case.
std::string word_at(const std::string& sql, std::uint64_t offset) {
  if (offset >= sql.size()) return "";
  constexpr std::size_t kLongest = 40;
  return lower(std::string_view(sql).substr(offset, kLongest));
}

std::string match_refusal(const std::string& word) {
  if (word.starts_with("similar") || word.starts_with("not"))
    return "SIMILAR TO is not PostgreSQL's here: write a regular expression, t ~ '^(a|b)'";
  if (word.starts_with(kMatch))
    return "regexp_full_match() is no function of PostgreSQL's: write t ~ '^(...)$'";
  return "";
}

// date_part('second', t) and its like, which EXTRACT becomes, gives whole seconds.
std::string seconds_refusal(const Json& call) {
  static const std::set<std::string> kSeconds = {"second", "seconds", "sec", "secs", "s"};
  const Json& arguments = child(call, "children");
  if (arguments.empty()) return "";
  const Json& part = child(arguments[0], "value");
  if (!kSeconds.contains(lower(text_of(part, "value")))) return "";
  return "the seconds of a time are whole numbers here, and in PostgreSQL not: write "
         "extract(microseconds FROM t) / 1e6";
}

}  // namespace

std::string semantics_refusal(const Json& expression, const std::string& sql) {
  // NOT SIMILAR TO: the text tells where the NOT is, and not where the match is.
  if (text_of(expression, "type") == "OPERATOR_NOT") {
    const Json& children = child(expression, "children");
    if (children.empty()) return "";
    const Json& negated = children[0];
    if (text_of(negated, "function_name") == kMatch && offset_of(negated) == kNoOffset)
      return match_refusal(word_at(sql, offset_of(expression)));
    return "";
  }
  if (!is_class(expression, "FUNCTION")) return "";
  const std::string name = lower(text_of(expression, "function_name"));
  if (name == kMatch) return match_refusal(word_at(sql, offset_of(expression)));
  if (name == "date_part" || name == "datepart") return seconds_refusal(expression);
  return "";
}

}  // namespace pgweir::views
