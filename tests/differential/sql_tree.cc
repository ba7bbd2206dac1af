#include "differential/sql_tree.h"

#include <map>

namespace pgweir::differential {
namespace {

std::string print_list(const Tree& tree, Dialect dialect) {
  std::string out;
  for (const Tree& child : tree.children) {
    const std::string text = print(child, dialect);
    if (text.empty()) continue;
    out += (out.empty() ? "" : tree.separator) + text;
  }
  return out;
}

// What an expression of this kind can be replaced by.
const std::string* constant_of(const std::string& kind) {
  static const std::map<std::string, std::string> kConstants = {{"int", "0"},
                                                                {"bigint", "0::bigint"},
                                                                {"numeric", "0::numeric(12,2)"},
                                                                {"bool", "true"},
                                                                {"text", "''"},
                                                                {"float", "0::float8"},
                                                                {"from", ""},
                                                                {"date", "'2026-01-01'::date"}};
  const auto found = kConstants.find(kind);
  return found == kConstants.end() || found->second.empty() ? nullptr : &found->second;
}

// Subtrees of `kind` below `tree`, outermost ones only.
void find_kind(const Tree& tree, const std::string& kind, std::vector<const Tree*>* found) {
  for (const Tree& child : tree.children) {
    if (child.kind == kind) {
      found->push_back(&child);
    } else {
      find_kind(child, kind, found);
    }
  }
}

bool each_smaller_here(Tree& whole, Tree& place, const std::function<bool(const Tree&)>& visit) {
  const Tree before = place;
  const auto attempt = [&](Tree instead) {
    place = std::move(instead);
    const bool stop = visit(whole);
    place = before;
    return stop;
  };
  if (before.is_nothing()) return false;
  if (before.optional && attempt(Tree{})) return true;
  if (!before.kind.empty()) {
    std::vector<const Tree*> same;
    find_kind(before, before.kind, &same);
    for (const Tree* each : same) {
      if (attempt(*each)) return true;
    }
    const std::string* constant = constant_of(before.kind);
    if (constant != nullptr && !before.children.empty() && attempt(leaf(before.kind, *constant)))
      return true;
  }
  for (Tree& child : place.children) {
    if (each_smaller_here(whole, child, visit)) return true;
  }
  return false;
}

}  // namespace

Tree leaf(std::string kind, std::string text) {
  return Tree{.kind = std::move(kind), .text = std::move(text)};
}

Tree branch(std::string kind, std::string text, std::vector<Tree> children, std::string view_text) {
  return Tree{.kind = std::move(kind),
              .text = std::move(text),
              .view_text = std::move(view_text),
              .children = std::move(children)};
}

Tree list(std::string separator, std::vector<Tree> children) {
  return Tree{.separator = std::move(separator), .children = std::move(children)};
}

Tree optional(Tree tree) {
  tree.optional = true;
  return tree;
}

std::string print(const Tree& tree, Dialect dialect) {
  if (!tree.separator.empty()) return print_list(tree, dialect);
  const bool of_view = dialect == Dialect::kView && !tree.view_text.empty();
  const std::string& text = of_view ? tree.view_text : tree.text;
  if (tree.children.empty()) return text;
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto child =
        i + 1 < text.size() ? static_cast<std::size_t>(text[i + 1] - 'a') : tree.children.size();
    if (text[i] == '@' && child < tree.children.size()) {
      out += print(tree.children[child], dialect);
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool differs(const Tree& tree) {
  return print(tree, Dialect::kPostgres) != print(tree, Dialect::kView);
}

bool each_smaller(const Tree& tree, const std::function<bool(const Tree&)>& visit) {
  Tree whole = tree;
  return each_smaller_here(whole, whole, visit);
}

}  // namespace pgweir::differential
