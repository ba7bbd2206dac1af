// For tests: the real file system, where a chosen step fails, and where power can be lost.
//
// Other than io's fake it keeps files on disk, where DuckDB writes and reads them by itself.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/fs.h"

namespace pgweir::sinks {

class CrashFs final : public io::Fs {
 public:
  enum class Failure {
    kDeath,    // this step and all that follow fail: the process is gone
    kNoSpace,  // this step and the two after it find the disk full
  };

  // `root` is the folder that power loss is about; backups go beside it.
  explicit CrashFs(std::string root) : root_(std::move(root)), backups_(root_ + ".backups") {
    std::filesystem::create_directories(backups_);
  }
  ~CrashFs() override {
    std::error_code ignored;
    std::filesystem::remove_all(backups_, ignored);
  }

  // The `step`-th change from now on fails, counted from 1.
  void fail_at(int step, Failure failure) {
    steps_ = 0;
    fail_step_ = step;
    failure_ = failure;
  }
  int steps() const { return steps_; }

  // Undoes every change of names whose folder was not synced, and empties every file that was not.
  void lose_power() {
    for (auto change = pending_.rbegin(); change != pending_.rend(); ++change) undo(*change);
    pending_.clear();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      if (entry.is_regular_file() && !synced_.contains(entry.path().string()))
        std::filesystem::resize_file(entry.path(), 0);
    }
  }

  Result<std::unique_ptr<io::WritableFile>> create(const std::string& path) override {
    TRY(step("create", path));
    if (!real_.exists(path)) pending_.push_back({path, "", ""});
    synced_.erase(path);
    TRY_ASSIGN(auto file, real_.create(path));
    return std::unique_ptr<io::WritableFile>(std::make_unique<File>(*this, path, std::move(file)));
  }
  Result<std::unique_ptr<io::WritableFile>> open_append(const std::string& path) override {
    TRY(step("open", path));
    TRY_ASSIGN(auto file, real_.open_append(path));
    return std::unique_ptr<io::WritableFile>(std::make_unique<File>(*this, path, std::move(file)));
  }
  Result<std::unique_ptr<io::ReadableFile>> open_read(const std::string& path) override {
    return real_.open_read(path);
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return real_.list(directory);
  }
  bool exists(const std::string& path) override { return real_.exists(path); }
  Status create_directories(const std::string& path) override {
    TRY(step("mkdir", path));
    return real_.create_directories(path);
  }
  Status rename(const std::string& from, const std::string& to) override {
    TRY(step("rename", from));
    pending_.push_back({to, from, keep(to)});
    if (synced_.erase(from) > 0)
      synced_.insert(to);
    else
      synced_.erase(to);
    return real_.rename(from, to);
  }
  Status remove(const std::string& path) override {
    TRY(step("remove", path));
    pending_.push_back({path, "", keep(path)});
    return real_.remove(path);
  }
  Status sync_directory(const std::string& path) override {
    TRY(step("fsync", path));
    std::erase_if(pending_, [&](const Change& c) { return io::parent_path(c.path) == path; });
    return real_.sync_directory(path);
  }
  Result<std::uint64_t> free_bytes(const std::string& path) override {
    return real_.free_bytes(path);
  }
  Result<std::unique_ptr<io::FileLock>> lock(const std::string& path) override {
    synced_.insert(path);
    return real_.lock(path);
  }

 private:
  // A name that appeared or went, and what brings the old state back.
  struct Change {
    std::string path;
    std::string from;    // where the file was before, "" = it was new or is removed
    std::string backup;  // what was at `path` before, "" = nothing
  };

  class File final : public io::WritableFile {
   public:
    File(CrashFs& fs, std::string path, std::unique_ptr<io::WritableFile> file)
        : fs_(fs), path_(std::move(path)), file_(std::move(file)) {}
    Status append(std::string_view bytes) override {
      TRY(fs_.step("write", path_));
      fs_.synced_.erase(path_);
      return file_->append(bytes);
    }
    Status write_at(std::uint64_t offset, std::string_view bytes) override {
      TRY(fs_.step("write", path_));
      fs_.synced_.erase(path_);
      return file_->write_at(offset, bytes);
    }
    Status sync() override {
      TRY(fs_.step("fdatasync", path_));
      fs_.synced_.insert(path_);
      return file_->sync();
    }
    Status truncate(std::uint64_t size) override { return file_->truncate(size); }
    std::uint64_t size() const override { return file_->size(); }

   private:
    CrashFs& fs_;
    const std::string path_;
    const std::unique_ptr<io::WritableFile> file_;
  };

  Status step(const char* call, const std::string& path) {
    ++steps_;
    if (fail_step_ == 0 || steps_ < fail_step_) return {};
    if (failure_ == Failure::kDeath)
      return error(Code::kIo, std::string(call) + " '" + path + "' failed: dead");
    if (steps_ >= fail_step_ + 3) return {};
    return error(Code::kNoSpace, std::string(call) + " '" + path + "' failed: no space");
  }

  std::string keep(const std::string& path) {
    if (!real_.exists(path)) return "";
    const std::string backup = backups_ + "/" + std::to_string(backups_made_++);
    std::filesystem::copy_file(path, backup);
    return backup;
  }

  void undo(const Change& change) {
    std::error_code ignored;
    if (!change.from.empty()) {
      std::filesystem::rename(change.path, change.from, ignored);
      if (synced_.erase(change.path) > 0) synced_.insert(change.from);
    } else if (change.backup.empty()) {
      std::filesystem::remove(change.path, ignored);
    }
    if (!change.backup.empty()) {
      std::filesystem::copy_file(change.backup, change.path,
                                 std::filesystem::copy_options::overwrite_existing, ignored);
      synced_.insert(change.path);
    }
  }

  io::RealFs real_;
  const std::string root_;
  const std::string backups_;
  int backups_made_ = 0;
  int steps_ = 0;
  int fail_step_ = 0;
  Failure failure_ = Failure::kDeath;
  std::vector<Change> pending_;
  std::set<std::string> synced_;
};

}  // namespace pgweir::sinks
