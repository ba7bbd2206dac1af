#include "base/nearest_name.h"

#include <algorithm>

namespace pgweir {
namespace {

// Comparing takes the product of the lengths.
constexpr std::size_t kNameBytesMax = 200;
constexpr std::size_t kEditsAlways = 2;  // so many are near, however short the name

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Letters to insert, remove or replace.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      const std::size_t replaced = diagonal + (lower(a[i]) == lower(b[j]) ? 0 : 1);
      row[j + 1] = std::min({row[j] + 1, above + 1, replaced});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  if (name.size() > kNameBytesMax) return {};
  std::string best;
  std::size_t best_distance = std::max(kEditsAlways, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    if (candidate.size() > kNameBytesMax) continue;
    const std::size_t distance = edit_distance(name, candidate);
    if (distance >= best_distance || distance >= candidate.size()) continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

}  // namespace pgweir
