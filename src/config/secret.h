// A text that must never reach a log, a terminal or an HTTP answer: passwords, tokens.
//
// Threads: a plain value.
#pragma once

#include <ostream>
#include <string>
#include <utility>

namespace pgweir::config {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}

  // The only way to the text; a search for this name finds every use.
  const std::string& reveal() const { return text_; }
  bool empty() const { return text_.empty(); }
  bool operator==(const Secret&) const = default;

 private:
  std::string text_;
};

// Prints "***", never the text, also in a failing test.
inline std::ostream& operator<<(std::ostream& out, const Secret&) {
  return out << "***";
}

// A connection string of libpq, as URI or as "key=value" pairs, with its passwords as "***".
std::string redact_url(const std::string& url);

}  // namespace pgweir::config
