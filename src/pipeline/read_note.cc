#include "pipeline/read_note.h"

#include <nlohmann/json.hpp>

namespace pgweir::pipeline {

std::string encode_read_note(const ReadNote& note) {
  const nlohmann::json json = {
      {"whole", note.whole}, {"replaces", note.replaces}, {"snapshot", note.snapshot}};
  return json.dump();
}

Result<ReadNote> decode_read_note(std::string_view bytes) {
  const auto json = nlohmann::json::parse(bytes, nullptr, false);
  if (!json.is_object()) return error(Code::kCorruption, "a note on a table's reading is damaged");
  ReadNote note;
  note.whole = json.value("whole", false);
  note.replaces = json.value("replaces", false);
  note.snapshot = json.value("snapshot", "");
  return note;
}

}  // namespace pgweir::pipeline
