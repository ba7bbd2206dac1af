#include "debezium/containers.h"

#include <algorithm>

#include "debezium/json_text.h"

namespace pgweir::debezium {
namespace {

// Behind an opening quote at `at`: the text up to the closing one, which is passed.
bool take_quoted_text(std::string_view text, std::size_t& at, std::string& out) {
  out.clear();
  while (at < text.size() && text[at] != '"') {
    if (text[at] == '\\' && ++at == text.size()) return false;
    out += text[at++];
  }
  return at++ < text.size();
}

}  // namespace

ArrayText::ArrayText(std::string_view text) : text_(text) {
  // Bounds that do not begin with 1 stand in front: "[0:2]={1,2,3}".
  if (at('[')) {
    const std::size_t equals = text_.find('=');
    at_ = equals == std::string_view::npos ? text_.size() : equals + 1;
  }
  if (!at('{')) {
    state_ = State::kBroken;
    return;
  }
  ++at_;
}

bool ArrayText::take_quoted() {
  ++at_;
  if (!take_quoted_text(text_, at_, unescaped_)) return false;
  element_ = {Kind::kValue, unescaped_};
  return true;
}

bool ArrayText::take_plain() {
  const std::size_t end = text_.find_first_of(",}", at_);
  if (end == std::string_view::npos || end == at_) return false;
  const std::string_view plain = text_.substr(at_, end - at_);
  element_ = plain == "NULL" ? Element{} : Element{Kind::kValue, plain};
  at_ = end;
  return true;
}

bool ArrayText::take_nested() {
  std::size_t depth = 0;
  for (; at_ < text_.size(); ++at_) {
    if (at('"')) {
      ++at_;
      if (!take_quoted_text(text_, at_, unescaped_)) return false;
      --at_;
    } else if (at('{')) {
      ++depth;
    } else if (at('}') && --depth == 0) {
      ++at_;
      element_ = {Kind::kArray, {}};
      return true;
    }
  }
  return false;
}

const ArrayText::Element* ArrayText::next() {
  if (state_ == State::kEnd || state_ == State::kBroken) return nullptr;
  if (at('}')) {
    state_ = at_ + 1 == text_.size() ? State::kEnd : State::kBroken;
    return nullptr;
  }
  if (state_ == State::kMore && !at(',')) {
    state_ = State::kBroken;
    return nullptr;
  }
  if (state_ == State::kMore) ++at_;
  state_ = State::kMore;
  const bool taken = at('"') ? take_quoted() : at('{') ? take_nested() : take_plain();
  if (taken) return &element_;
  state_ = State::kBroken;
  return nullptr;
}

bool append_hstore(std::string_view text, std::string& json) {
  std::string key, value;
  std::size_t at = 0;
  json += '{';
  while (at < text.size()) {
    if (at > 0) {
      if (!text.substr(at).starts_with(", ")) return false;
      at += 2;
      json += ',';
    }
    if (at >= text.size() || text[at++] != '"' || !take_quoted_text(text, at, key)) return false;
    append_json_string(key, json);
    json += ':';
    if (!text.substr(std::min(at, text.size())).starts_with("=>")) return false;
    at += 2;
    if (text.substr(at).starts_with("NULL")) {
      json += "null";
      at += 4;
    } else {
      if (at >= text.size() || text[at++] != '"' || !take_quoted_text(text, at, value))
        return false;
      append_json_string(value, json);
    }
  }
  json += '}';
  return true;
}

}  // namespace pgweir::debezium
