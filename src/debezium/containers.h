// Values that hold others, as PostgreSQL prints them: arrays and hstore.
//
// Place:   under value_type. Threads: an ArrayText is one thread's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pgweir::debezium {

// The elements of an array's text, one after the other: {1,NULL,"a\"b",{2,3}}.
class ArrayText {
 public:
  enum class Kind : std::uint8_t { kValue, kNull, kArray };
  struct Element {
    Kind kind = Kind::kNull;
    std::string_view text;  // of a value; until the next call
  };

  // `text` must outlive this.
  explicit ArrayText(std::string_view text);

  // Null at the end, and where the text is not an array's: ok() tells which.
  const Element* next();
  bool ok() const { return state_ == State::kEnd; }

 private:
  enum class State : std::uint8_t { kFirst, kMore, kEnd, kBroken };

  bool take_quoted();
  bool take_plain();
  bool take_nested();
  bool at(char c) const { return at_ < text_.size() && text_[at_] == c; }

  std::string_view text_;
  std::size_t at_ = 0;
  State state_ = State::kFirst;
  Element element_;
  std::string unescaped_;
};

// "a"=>"1", "b"=>NULL as a JSON object, in PostgreSQL's order. False when the text is none.
bool append_hstore(std::string_view text, std::string& json);

}  // namespace pgweir::debezium
