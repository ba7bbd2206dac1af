// YAML text into a small tree with marks, with limits. The only user of yaml-cpp.
//
// Anchors, aliases, tags and a second document are refused: a pipeline's file needs none, and so
// the tree is never larger than the text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::config {

struct Mark {
  int line = 1;
  int column = 1;
};

struct Problem {
  Mark mark;
  std::string text;
};

struct Node {
  enum class Kind { kNull, kScalar, kList, kMapping };
  Kind kind = Kind::kNull;
  Mark mark;
  std::string text;         // of a scalar
  std::vector<Node> items;  // of a list; of a mapping key, value, key, value ...
};

struct YamlLimits {
  std::size_t bytes_max = 1u << 20;
  std::size_t depth_max = 32;
};

// Fills `root`, or says the first thing that is wrong. An empty text gives a kNull root.
std::optional<Problem> parse_yaml(std::string_view text, const YamlLimits& limits, Node& root);

}  // namespace pgweir::config
