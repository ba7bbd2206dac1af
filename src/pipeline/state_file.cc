#include "pipeline/state_file.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

namespace pgweir::pipeline {
namespace {
std::string path_in(const std::string& directory) {
  return directory + "/pipeline.json";
}
}  // namespace

Result<std::optional<PipelineState>> load_state(io::Fs& fs, const std::string& data_directory) {
  const std::string path = path_in(data_directory);
  if (!fs.exists(path)) return std::optional<PipelineState>();
  TRY_ASSIGN(const std::string text, io::read_file(fs, path));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("format_version") ||
      !json["format_version"].is_number_integer()) {
    return error(Code::kCorruption, fmt::format("'{}' is damaged", path), {},
                 "Restore the data folder from a backup, or start with an empty one");
  }
  const int version = json["format_version"].get<int>();
  if (version > kDataFormatVersion) {
    return error(
        Code::kCheckFailed,
        fmt::format("the data folder '{}' was written by a newer pgweir", data_directory),
        fmt::format("its format is {}, this program reads up to {}", version, kDataFormatVersion),
        "Use the newer pgweir, or another data folder");
  }
  const auto text_of = [&json](const char* key) { return json.value(key, std::string()); };
  PipelineState state;
  state.system_identifier = text_of("system_identifier");
  state.database = text_of("database");
  state.slot = text_of("slot");
  state.publication = text_of("publication");
  state.creating_slot = json.value("creating_slot", false);
  state.resyncing = json.value("resyncing", false);
  state.publication_missed = json.value("publication_missed", false);
  state.snapshot_lsn = model::Lsn{json.value("snapshot_lsn", std::uint64_t{0})};
  state.timeline = json.value("timeline", std::uint32_t{0});
  return std::optional<PipelineState>(std::move(state));
}

Status store_state(io::Fs& fs, const std::string& data_directory, const PipelineState& state) {
  const nlohmann::json json = {{"format_version", kDataFormatVersion},
                               {"system_identifier", state.system_identifier},
                               {"database", state.database},
                               {"slot", state.slot},
                               {"publication", state.publication},
                               {"creating_slot", state.creating_slot},
                               {"resyncing", state.resyncing},
                               {"publication_missed", state.publication_missed},
                               {"snapshot_lsn", model::value(state.snapshot_lsn)},
                               {"timeline", state.timeline}};
  return io::write_file_durably(fs, path_in(data_directory), json.dump(2) + "\n");
}

}  // namespace pgweir::pipeline
