#include <fmt/core.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "config/yaml_internal.h"

namespace pgweir::config {
namespace {

Mark to_mark(const YAML::Mark& mark) {
  return Mark{mark.line + 1, mark.column + 1};
}

// Leaves yaml-cpp's parser early; caught in parse_yaml().
struct Refused {
  Problem problem;
};

constexpr const char* kNoAliases =
    "anchors and aliases are not taken; put a text that begins with * or & into quotes";

class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(std::size_t depth_max, Node& root) : depth_max_(depth_max), root_(root) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, "", anchor);
    add(Node{Node::Kind::kNull, to_mark(mark), {}, {}});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{{to_mark(mark), kNoAliases}};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check(mark, tag, anchor);
    add(Node{Node::Kind::kScalar, to_mark(mark), value, {}});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    enter(mark, tag, anchor, Node::Kind::kList);
  }
  void OnSequenceEnd() override { leave(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    enter(mark, tag, anchor, Node::Kind::kMapping);
  }
  void OnMapEnd() override { leave(); }

 private:
  static void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) throw Refused{{to_mark(mark), kNoAliases}};
    // yaml-cpp gives "?" to plain and "!" to quoted scalars without a tag.
    if (!tag.empty() && tag != "?" && tag != "!")
      throw Refused{
          {to_mark(mark), "tags are not taken; put a text that begins with ! into quotes"}};
  }
  void enter(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
             Node::Kind kind) {
    check(mark, tag, anchor);
    if (open_.size() >= depth_max_)
      throw Refused{{to_mark(mark), fmt::format("nested deeper than {} levels", depth_max_)}};
    open_.push_back(Node{kind, to_mark(mark), {}, {}});
  }
  void leave() {
    Node node = std::move(open_.back());
    open_.pop_back();
    add(std::move(node));
  }
  void add(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else {
      Node& parent = open_.back();
      // A missing value has no place of its own: it is where its key is.
      const bool missing = parent.kind == Node::Kind::kMapping && parent.items.size() % 2 == 1 &&
                           node.kind == Node::Kind::kNull;
      if (missing) node.mark = parent.items.back().mark;
      parent.items.push_back(std::move(node));
    }
  }

  const std::size_t depth_max_;
  Node& root_;
  std::vector<Node> open_;
};

// The length of the UTF-8 character at `at`, or 0 when there is none.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t index) {
    return index < text.size() ? static_cast<unsigned char>(text[index]) : 0u;
  };
  const unsigned first = byte(at);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf5 ? 0 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (length == 0 || first < 0xc2) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(at + 1);
  // Overlong forms, surrogates, and what lies beyond U+10FFFF.
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0)) return 0;
  if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90)) return 0;
  return length;
}

// yaml-cpp takes a byte 4 for the end of the text, and guesses UTF-16 from zero bytes: so what is
// not plain text must not reach it. Collects the lines that a tab indents.
std::optional<Problem> check_bytes(std::string_view text, std::vector<Mark>& tabs) {
  Mark mark;
  bool indentation = true;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t length = utf8_length(text, at);
    if (length == 0) return Problem{mark, "not UTF-8 text"};
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f)
      return Problem{mark, fmt::format("the control character {:#04x} is not taken", byte)};
    if (byte == '\t' && indentation && (tabs.empty() || tabs.back().line != mark.line))
      tabs.push_back(mark);
    if (byte == '\n') {
      mark = Mark{mark.line + 1, 1};
      indentation = true;
    } else {
      indentation = indentation && (byte == ' ' || byte == '\t');
      ++mark.column;
    }
    at += length;
  }
  return std::nullopt;
}

// The text of a line, numbered from 1.
std::string_view line_of(std::string_view text, int line) {
  for (; line > 1 && !text.empty(); --line)
    text.remove_prefix(std::min(text.size(), text.find('\n') + 1));
  return text.substr(0, text.find('\n'));
}

Problem explain(const YAML::Exception& failure, const std::vector<Mark>& tabs,
                std::string_view text) {
  const Mark mark = to_mark(failure.mark);
  for (const Mark& tab : tabs) {
    if (tab.line == mark.line) return Problem{tab, "a tab in the indentation; YAML wants spaces"};
  }
  const bool alias = failure.msg == YAML::ErrorMsg::UNKNOWN_ANCHOR ||
                     failure.msg == YAML::ErrorMsg::ALIAS_NOT_FOUND ||
                     failure.msg == YAML::ErrorMsg::ANCHOR_NOT_FOUND ||
                     failure.msg == YAML::ErrorMsg::CHAR_IN_ALIAS ||
                     failure.msg == YAML::ErrorMsg::CHAR_IN_ANCHOR;
  if (alias) return Problem{mark, kNoAliases};
  std::string what = "not YAML: " + failure.msg;
  if (line_of(text, mark.line).find("${") != std::string_view::npos)
    what += "; inside { } and [ ] a ${...} needs quotes";
  return Problem{mark, std::move(what)};
}

}  // namespace

std::optional<Problem> parse_yaml(std::string_view text, const YamlLimits& limits, Node& root) {
  if (text.size() > limits.bytes_max)
    return Problem{{}, fmt::format("the file is larger than {} bytes", limits.bytes_max)};
  std::vector<Mark> tabs;
  if (auto problem = check_bytes(text, tabs)) return problem;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(limits.depth_max, root);
    if (!parser.HandleNextDocument(builder)) return std::nullopt;
    Node second;
    TreeBuilder rest(limits.depth_max, second);
    if (parser.HandleNextDocument(rest))
      return Problem{second.mark, "a second document begins here; one file is one pipeline"};
  } catch (const Refused& refused) {
    return refused.problem;
  } catch (const YAML::Exception& failure) {
    return explain(failure, tabs, text);
  }
  return std::nullopt;
}

}  // namespace pgweir::config
