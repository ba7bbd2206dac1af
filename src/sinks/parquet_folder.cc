#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "sinks/parquet_folder_internal.h"

namespace pgweir::sinks {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;

Error damaged(const std::string& path, const std::string& what) {
  return error(Code::kCorruption, fmt::format("'{}' is damaged: {}", path, what), {},
               "Restore the folder from a copy, or give the sink an empty folder");
}

// The object in a control file, of a format that this version reads.
Result<Json> read_json(io::Fs& fs, const std::string& path) {
  TRY_ASSIGN(const std::string text, io::read_file(fs, path));
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.value("format", Json()).is_number_integer())
    return damaged(path, "it is not what pgweir writes");
  if (json["format"].get<int>() > kFormat) {
    return error(Code::kCheckFailed, fmt::format("'{}' was written by a newer pgweir", path),
                 fmt::format("format {}, this one knows {}", json["format"].get<int>(), kFormat),
                 "Use that version, or give the sink an empty folder");
  }
  return json;
}

Result<std::string> text_field(const Json& json, const char* key, const std::string& path) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string())
    return damaged(path, fmt::format("'{}' is missing", key));
  return found->get<std::string>();
}

Result<model::Position> position_field(const Json& json, const char* key, const std::string& path) {
  TRY_ASSIGN(const std::string text, text_field(json, key, path));
  const auto position = model::parse_position(text);
  if (!position.ok()) return damaged(path, position.error().message);
  return *position;
}

}  // namespace

ParquetFolder::ParquetFolder(io::Fs& fs, std::string directory)
    : fs_(fs), directory_(std::move(directory)), control_(directory_ + "/_pgweir") {}

Result<std::unique_ptr<ParquetFolder>> ParquetFolder::open(io::Fs& fs,
                                                           const std::string& directory) {
  std::unique_ptr<ParquetFolder> folder(new ParquetFolder(fs, directory));
  TRY(fs.create_directories(folder->staging()));
  TRY(fs.create_directories(folder->spill()));
  TRY(fs.sync_directory(folder->control_));
  TRY(fs.sync_directory(directory));
  TRY_ASSIGN(folder->lock_, fs.lock(folder->control_ + "/lock"));
  TRY(folder->recover());
  return folder;
}

Status ParquetFolder::recover() {
  TRY(read_position());
  TRY_ASSIGN(intent_, read_intent());
  // An intent whose position is written is done; only its removal was cut off.
  if (intent_ && intent_->range.to <= position_) intent_.reset();
  if (intent_) {
    if (intent_->range.from != position_)
      return damaged(
          control_ + "/intent.json",
          fmt::format("it begins at {}, but the position is {}",
                      model::to_string(intent_->range.from), model::to_string(position_)));
    TRY(finish());
  }
  TRY(discard_staged());
  TRY(remove_files_in(spill()));
  return check_files();
}

Status ParquetFolder::read_position() {
  const std::string path = control_ + "/position.json";
  if (!fs_.exists(path)) return {};
  TRY_ASSIGN(const Json json, read_json(fs_, path));
  TRY_ASSIGN(log_identity_, text_field(json, "log", path));
  TRY_ASSIGN(position_, position_field(json, "position", path));
  return {};
}

Result<std::optional<ParquetFolder::Intent>> ParquetFolder::read_intent() {
  const std::string path = control_ + "/intent.json";
  if (!fs_.exists(path)) return std::optional<Intent>();
  TRY_ASSIGN(const Json json, read_json(fs_, path));
  Intent intent;
  TRY_ASSIGN(intent.range.from, position_field(json, "from", path));
  TRY_ASSIGN(intent.range.to, position_field(json, "to", path));
  for (const Json& entry : json.value("files", Json::array())) {
    File file;
    TRY_ASSIGN(file.staged, text_field(entry, "staged", path));
    TRY_ASSIGN(file.path, text_field(entry, "path", path));
    intent.files.push_back(std::move(file));
  }
  return std::optional<Intent>(std::move(intent));
}

Status ParquetFolder::bind_log(const std::string& identity) {
  if (log_identity_ == identity) return {};
  if (!log_identity_.empty()) {
    return error(Code::kCorruption,
                 fmt::format("the Parquet folder '{}' belongs to another log", directory_),
                 fmt::format("its position is in log {}, this is log {}", log_identity_, identity),
                 "Use the data folder that it was written from, or give the sink an empty folder");
  }
  log_identity_ = identity;
  const Status status = write_position(position_);
  if (!status.ok()) log_identity_.clear();
  return status;
}

Status ParquetFolder::discard_staged() {
  const std::string intent = control_ + "/intent.json";
  if (fs_.exists(intent)) {
    TRY(fs_.remove(intent));
    TRY(fs_.sync_directory(control_));
  }
  return remove_files_in(staging());
}

Status ParquetFolder::remove_files_in(const std::string& directory) {
  TRY_ASSIGN(const auto names, fs_.list(directory));
  for (const std::string& name : names) TRY(fs_.remove(directory + "/" + name));
  return {};
}

// A file behind the position would be written a second time: it comes from a copy of the folder
// that was made while it changed, or from an older position.json.
Status ParquetFolder::check_files() {
  TRY_ASSIGN(const auto tables, fs_.list(directory_));
  for (const std::string& table : tables) {
    if (!table.starts_with("table=")) continue;
    TRY(check_names(table));
    TRY_ASSIGN(const auto names, fs_.list(full(table)));
    for (const std::string& name : names) {
      if (name.starts_with("date=")) TRY(check_names(table + "/" + name));
    }
  }
  return {};
}

Status ParquetFolder::check_names(const std::string& directory) {
  TRY_ASSIGN(const auto names, fs_.list(full(directory)));
  for (const std::string& name : names) {
    const auto range = parse_file_name(name);
    if (!range || range->to <= position_) continue;
    return error(
        Code::kCorruption,
        fmt::format("the Parquet folder '{}' holds a file behind its own position", directory_),
        fmt::format("{}/{}, position {}", directory, name, model::to_string(position_)),
        "Restore folder and files from one copy, or give the sink an empty folder");
  }
  return {};
}

// --- A range, step by step -----------------------------------------------------------------------

Status ParquetFolder::write_intent(const model::Position& to, std::vector<File>& files) {
  PGWEIR_ASSERT(!intent_, "an intent is carried out before the next one");
  PGWEIR_ASSERT(to > position_, "a range ends behind its begin");
  Json json{{"format", kFormat},
            {"log", log_identity_},
            {"from", model::to_string(position_)},
            {"to", model::to_string(to)},
            {"files", Json::array()}};
  for (File& file : files) {
    TRY_ASSIGN(const auto staged, fs_.open_append(staging() + "/" + file.staged));
    TRY(staged->sync());
    file.bytes = staged->size();
    json["files"].push_back(
        {{"staged", file.staged}, {"path", file.path}, {"rows", file.rows}, {"bytes", file.bytes}});
  }
  TRY(fs_.sync_directory(staging()));
  TRY(io::write_file_durably(fs_, control_ + "/intent.json", json.dump(2) + "\n"));
  intent_ = Intent{{position_, to}, files};
  return {};
}

Status ParquetFolder::finish() {
  PGWEIR_ASSERT(intent_.has_value(), "there is no intent to carry out");
  for (const File& file : intent_->files) TRY(move_into_place(file));
  TRY(sync_folders(*intent_));
  TRY(write_position(intent_->range.to));
  // Not synced: an intent up to the position is passed over.
  TRY(fs_.remove(control_ + "/intent.json"));
  intent_.reset();
  return {};
}

Status ParquetFolder::move_into_place(const File& file) {
  const std::string staged = staging() + "/" + file.staged;
  const std::string path = full(file.path);
  if (fs_.exists(staged)) {
    TRY(fs_.create_directories(io::parent_path(path)));
    return fs_.rename(staged, path);
  }
  if (fs_.exists(path)) return {};
  return error(
      Code::kCorruption,
      fmt::format("a file of the Parquet folder '{}' is gone before it was in place", directory_),
      fmt::format("{}, staged as {}", file.path, staged),
      "Restore the folder from a copy, or give the sink an empty folder");
}

Status ParquetFolder::sync_folders(const Intent& intent) {
  std::set<std::string> folders{directory_};
  for (const File& file : intent.files) {
    for (std::string path = io::parent_path(file.path); path != "."; path = io::parent_path(path))
      folders.insert(full(path));
  }
  folders.insert(staging());
  for (const std::string& folder : folders) TRY(fs_.sync_directory(folder));
  return {};
}

Status ParquetFolder::advance(const model::Position& to) {
  PGWEIR_ASSERT(!intent_, "an intent is carried out before the position moves on");
  return write_position(to);
}

Status ParquetFolder::write_position(const model::Position& position) {
  const Json json{{"format", kFormat},
                  {"log", log_identity_},
                  {"position", model::to_string(position)},
                  {"lsn", model::to_string(position.lsn)}};
  TRY(io::write_file_durably(fs_, control_ + "/position.json", json.dump(2) + "\n"));
  position_ = position;
  return {};
}

}  // namespace pgweir::sinks
