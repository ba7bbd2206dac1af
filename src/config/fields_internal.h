// The one table of everything that the pipeline's file may say.
//
// Place: parsing, the defaults shown, docs/configuration.md and the JSON Schema are made from it.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"

namespace pgweir::config {

// Where a field's value goes: the configuration, and the named view, sink or watermark that is
// being read.
struct Target {
  Config& config;
  ViewConfig* view = nullptr;
  SinkConfig* sink = nullptr;
  WatermarkConfig* watermark = nullptr;
};

// A member of an option struct; its C++ type says how the file's text is read.
using Slot = std::variant<std::string*,               // text
                          Secret*,                    // text that is never shown
                          std::uint32_t*,             // whole number
                          std::uint64_t*,             // size with a unit
                          Milliseconds*,              // duration with a unit
                          std::uint8_t*,              // an enum's number: the index into choices
                          std::vector<std::string>*,  // list of texts
                          bool*,                      // true or false
                          std::map<std::string, std::string>*>;  // texts by names

struct Choice {
  const char* name;
  bool built = true;
};

struct Field {
  // Keys joined with dots; "*" stands for a name that the user chooses.
  std::string_view path;
  // nullptr: known, but not built yet.
  Slot (*slot)(Target&) = nullptr;
  const char* description = "";
  bool required = false;
  // May stand alone in place of the mapping around it: `balance: SELECT ...`.
  bool alone = false;
  const char* default_note = "";     // in place of the default, where that depends on something
  std::vector<Choice> choices = {};  // of an enum, or of a list's items
  std::uint64_t minimum = 0;
  std::uint64_t maximum = std::numeric_limits<std::uint64_t>::max();
  // Of a sink's field: the sinks that have it; the others refuse it. Empty: all have it.
  std::string_view only_of = {};
  // "" when the text is fine, else what is wrong with it, without the text itself.
  std::string (*check)(std::string_view text) = nullptr;

  bool built() const { return slot != nullptr; }
};

const std::vector<Field>& fields();

// The field at exactly this path, or nullptr.
const Field* find_field(std::string_view path);
// Every key that may follow `path` ("" is the file itself), in the table's order; "*" alone when
// the user chooses the names.
std::vector<std::string> child_keys(std::string_view path);
// The child's path: "views" and "balance" give "views.*".
std::string child_path(std::string_view path, const std::string& key);
// What is wrong with a name of the user's choice, or "".
std::string check_name(std::string_view path, std::string_view name);
// Adds the named view, sink or watermark and points the target at it. Requires a path that ends in
// "*".
void enter_named(std::string_view path, const std::string& name, Target& target);

// Whether the target's sink, if the field is one of a sink's, is of a type that has it.
bool has_field(const Field& field, const Target& target);

// "text", "whole number", "duration" ...
const char* type_name(const Field& field);
// Whether a text of this name is never shown: a password, a key.
bool is_secret_name(std::string_view name);
// The field's value in `config`, as one would write it into the file; requires a built field.
std::string value_text(const Field& field, Target& target);

}  // namespace pgweir::config
