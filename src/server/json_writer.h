// Writes JSON into a string: commas and quoting by itself, no tree in between.
//
// Texts that are not valid UTF-8 get U+FFFD for what is broken, so the result is always valid JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::server {

// Appends `text` to `out` as a JSON string, quotes included.
void append_json_string(std::string& out, std::string_view text);

class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);

  JsonWriter& string(std::string_view text);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  // Beyond ±2^53 as a string: readers keep numbers as doubles.
  JsonWriter& integer(std::int64_t value);
  JsonWriter& integer(std::uint64_t value);
  // The shortest text that reads back the same; null when not finite.
  JsonWriter& number(double value);
  // `json` must be valid.
  JsonWriter& raw(std::string_view json);

  JsonWriter& optional_string(const std::optional<std::string>& text);
  JsonWriter& optional_integer(std::optional<std::uint64_t> value);

  std::string take() { return std::move(out_); }

 private:
  void separate();

  std::string out_;
  bool comma_ = false;  // a value has ended, so the next one needs a comma
};

}  // namespace pgweir::server
