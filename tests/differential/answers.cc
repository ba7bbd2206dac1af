#include "differential/answers.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

namespace pgweir::differential {
namespace {

constexpr double kTolerance = 1e-9;  // absolute below 1, else relative
constexpr std::size_t kRowsShown = 8;

// PostgreSQL's OIDs.
constexpr std::uint32_t kBool = 16;
bool is_number_type(std::uint32_t type) {
  return type == 20 || type == 21 || type == 23 || type == 700 || type == 701 || type == 1700;
}
bool is_time_type(std::uint32_t type) {
  return type == 1114 || type == 1184 || type == 1083;
}

std::string number_text(std::string text) {
  if (text.find_first_of("eE") != std::string::npos) return text;
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

// "2026-01-01 00:00:00.500000+00" without the zeros that close the fraction.
std::string time_text(const std::string& text) {
  const std::size_t point = text.find('.');
  if (point == std::string::npos) return text;
  std::size_t end = point + 1;
  while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
  std::size_t kept = end;
  while (text[kept - 1] == '0') --kept;
  if (text[kept - 1] == '.') --kept;
  return text.substr(0, kept) + text.substr(end);
}

std::string cell_text(std::uint32_t type, const std::optional<std::string>& cell) {
  if (!cell) return "NULL";
  if (is_number_type(type)) return number_text(*cell);
  if (is_time_type(type)) return time_text(*cell);
  if (type == kBool) return *cell == "t" || *cell == "true" ? "true" : "false";
  return cell->empty() ? "''" : *cell;
}

std::string line_of(const std::vector<std::string>& row) {
  std::string line;
  for (const std::string& cell : row) line += (&cell == row.data() ? "" : "|") + cell;
  return line;
}

bool same_number(const std::string& a, const std::string& b) {
  if (a == b) return true;
  if (a == "NULL" || b == "NULL") return false;
  const bool whole =
      a.find_first_of(".eE") == std::string::npos && b.find_first_of(".eE") == std::string::npos;
  if (whole) return false;
  const double x = std::strtod(a.c_str(), nullptr), y = std::strtod(b.c_str(), nullptr);
  return std::abs(x - y) <= kTolerance * std::max({1.0, std::abs(x), std::abs(y)});
}

bool same_row(const std::vector<bool>& is_number, const std::vector<std::string>& a,
              const std::vector<std::string>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (is_number[i] ? !same_number(a[i], b[i]) : a[i] != b[i]) return false;
  return true;
}

std::string shown(const char* what, const std::vector<std::string>& lines) {
  std::string out;
  for (std::size_t i = 0; i < std::min(lines.size(), kRowsShown); ++i)
    out += fmt::format("  {} {}\n", what, lines[i]);
  if (lines.size() > kRowsShown) out += fmt::format("  {} {} rows in all\n", what, lines.size());
  return out;
}

}  // namespace

std::vector<std::string> Answer::lines() const {
  std::vector<std::string> out;
  for (const auto& row : rows) out.push_back(line_of(row));
  std::sort(out.begin(), out.end());
  return out;
}

Answer make_answer(const std::vector<std::uint32_t>& types,
                   const std::vector<std::vector<std::optional<std::string>>>& rows) {
  Answer answer;
  for (const std::uint32_t type : types) answer.is_number.push_back(is_number_type(type));
  for (const auto& row : rows) {
    auto& cells = answer.rows.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i)
      cells.push_back(cell_text(i < types.size() ? types[i] : 0, row[i]));
  }
  return answer;
}

std::string difference(const Answer& wanted, const Answer& found) {
  // Rows of equal texts go in pairs; what is left is compared number by number.
  std::map<std::string, int> counts;
  for (const auto& row : wanted.rows) ++counts[line_of(row)];
  std::vector<const std::vector<std::string>*> more;
  for (const auto& row : found.rows)
    if (--counts[line_of(row)] < 0) more.push_back(&row);
  std::vector<std::string> missing;
  for (const auto& row : wanted.rows) {
    const std::string line = line_of(row);
    if (counts[line] <= 0) continue;
    --counts[line];
    const auto same = std::find_if(more.begin(), more.end(), [&](const auto* other) {
      return same_row(wanted.is_number, row, *other);
    });
    if (same == more.end()) {
      missing.push_back(line);
    } else {
      more.erase(same);
    }
  }
  if (missing.empty() && more.empty()) return "";
  std::vector<std::string> extra;
  for (const auto* row : more) extra.push_back(line_of(*row));
  return shown("lacks", missing) + shown("should not have", extra);
}

}  // namespace pgweir::differential
