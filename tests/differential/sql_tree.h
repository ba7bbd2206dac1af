// SQL as a tree that can be printed in two dialects and made smaller piece by piece.
//
// Place:   made by the generators or read from a case's file; printed for both sides.
// Threads: plain data.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace pgweir::differential {

enum class Dialect { kPostgres, kView };

struct Tree {
  // What it is: "bool", "int", "from", "query int,text" ... A tree may stand where another one of
  // its kind stands. "" is like nothing else.
  std::string kind;
  // The text; "@a" stands for the first child, "@b" for the second, and so on.
  std::string text;
  // The text in a view's dialect; "" where it is the same.
  std::string view_text;
  // With a separator it has no text of its own but lists its children, those that print as
  // something.
  std::string separator;
  bool optional = false;  // the SQL makes sense without it
  std::vector<Tree> children;

  bool is_nothing() const { return text.empty() && separator.empty(); }
};

Tree leaf(std::string kind, std::string text);
Tree branch(std::string kind, std::string text, std::vector<Tree> children,
            std::string view_text = "");
Tree list(std::string separator, std::vector<Tree> children);
Tree optional(Tree tree);

std::string print(const Tree& tree, Dialect dialect);
// Whether the two dialects' texts differ.
bool differs(const Tree& tree);

// Trees that are like `tree` but for one piece, which is left out, or replaced by one of its own
// kind below it, or by a constant. Large pieces first. `visit` returns true to stop.
bool each_smaller(const Tree& tree, const std::function<bool(const Tree&)>& visit);

}  // namespace pgweir::differential
