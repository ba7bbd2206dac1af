#include "debezium/selection.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace pgweir::debezium {
namespace {

std::string trimmed(const std::string& text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const std::size_t from = text.find_first_not_of(kSpaces);
  if (from == std::string::npos) return {};
  return text.substr(from, text.find_last_not_of(kSpaces) - from + 1);
}

}  // namespace

std::vector<std::string> split_list(std::string_view list, char separator) {
  std::vector<std::string> out;
  std::string part;
  const auto take = [&] {
    if (std::string text = trimmed(std::exchange(part, {})); !text.empty())
      out.push_back(std::move(text));
  };
  for (std::size_t i = 0; i < list.size(); ++i) {
    const bool is_escaped = list[i] == '\\' && i + 1 < list.size() && list[i + 1] == separator;
    if (is_escaped) {
      part += list[++i];
    } else if (list[i] == separator) {
      take();
    } else {
      part += list[i];
    }
  }
  take();
  return out;
}

Result<Selection> Selection::parse(std::string_view property, std::string_view list) {
  Selection out;
  for (const std::string& part : split_list(list, ',')) {
    try {
      out.expressions_.emplace_back(part, std::regex::ECMAScript | std::regex::icase);
    } catch (const std::regex_error& why) {
      return error(Code::kConfig, fmt::format("{} has no regular expression: '{}'", property, part),
                   why.what(), "Write names as schema.table or schema.table.column");
    }
  }
  return out;
}

bool Selection::matches(const std::string& name) const {
  return std::any_of(expressions_.begin(), expressions_.end(), [&](const std::regex& expression) {
    return std::regex_match(name, expression);
  });
}

}  // namespace pgweir::debezium
