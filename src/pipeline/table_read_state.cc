#include "pipeline/table_read_state.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

namespace pgweir::pipeline {
namespace {

using Json = nlohmann::json;

std::string path_in(const std::string& directory) {
  return directory + "/reads.json";
}

// Keys hold any bytes that a server's text may have: as hexadecimal digits they are safe in JSON.
std::string to_hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

std::string from_hex(std::string_view digits) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    out += static_cast<char>(value(digits[i]) * 16 + value(digits[i + 1]));
  return out;
}

Json to_json(const TableReadState& read) {
  Json todo = Json::array(), listed = Json::array();
  for (const TidRange& range : read.todo) todo.push_back({range.from, range.to});
  for (const std::string& key : read.listed) listed.push_back(to_hex(key));
  return {{"table", model::value(read.table)},
          {"name", read.name},
          {"whole", read.whole},
          {"replaces", read.replaces},
          {"begun", read.begun},
          {"closed", read.closed},
          {"todo", std::move(todo)},
          {"listed", std::move(listed)},
          {"rows", read.rows},
          {"files", read.files}};
}

TableReadState from_json(const Json& json) {
  TableReadState read;
  read.table = model::Oid{json.at("table").get<std::uint32_t>()};
  read.name = json.at("name").get<std::string>();
  read.whole = json.at("whole").get<bool>();
  read.replaces = json.at("replaces").get<bool>();
  read.begun = json.at("begun").get<bool>();
  read.closed = json.at("closed").get<bool>();
  for (const Json& range : json.at("todo"))
    read.todo.push_back({range.at(0).get<std::uint64_t>(), range.at(1).get<std::uint64_t>()});
  for (const Json& key : json.at("listed")) read.listed.push_back(from_hex(key.get<std::string>()));
  read.rows = json.at("rows").get<std::uint64_t>();
  read.files = json.value("files", "");  // since format 2
  return read;
}

}  // namespace

bool lacks_files(const TableReadState& read) {
  const bool is_whole = read.todo == std::vector<TidRange>{TidRange{}};
  return read.begun && !read.whole && read.files.empty() && !is_whole;
}

Result<TableReadsState> load_reads(io::Fs& fs, const std::string& data_directory) {
  const std::string path = path_in(data_directory);
  TableReadsState state;
  if (!fs.exists(path)) return state;
  TRY_ASSIGN(const std::string text, io::read_file(fs, path));
  try {
    const Json json = Json::parse(text);
    TRY_ASSIGN(state.position, model::parse_position(json.at("position").get<std::string>()));
    for (const Json& read : json.at("reads")) state.reads.push_back(from_json(read));
  } catch (const Json::exception& failure) {
    return error(Code::kCorruption, fmt::format("'{}' is damaged", path), failure.what(),
                 "Remove it: tables that were being read then must be read anew with `pgweir "
                 "snapshot`");
  }
  return state;
}

Status store_reads(io::Fs& fs, const std::string& data_directory, const TableReadsState& state) {
  Json reads = Json::array();
  for (const TableReadState& read : state.reads) reads.push_back(to_json(read));
  const Json json = {{"format_version", 2},
                     {"position", model::to_string(state.position)},
                     {"reads", std::move(reads)}};
  return io::write_file_durably(fs, path_in(data_directory), json.dump() + "\n");
}

}  // namespace pgweir::pipeline
