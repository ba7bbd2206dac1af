#include "io/fake_fs.h"

#include <fmt/core.h>

#include <algorithm>
#include <random>

namespace pgweir::io {
namespace {

constexpr std::size_t kSectorBytes = 512;

Error missing(const char* call, const std::string& path) {
  return error(Code::kNotFound, fmt::format("{} '{}' failed: no such file", call, path));
}

Error stale(const std::string& path) {
  return error(Code::kIo, fmt::format("'{}' was opened before the crash", path));
}

// What a crash leaves of a file when each sector may hold its old or its new bytes.
std::string mix_sectors(const std::string& durable, const std::string& bytes,
                        std::mt19937& random) {
  const std::size_t low = std::min(durable.size(), bytes.size());
  const std::size_t high = std::max(durable.size(), bytes.size());
  std::uniform_int_distribution<std::size_t> any_size(low, high);
  const std::size_t sizes[] = {durable.size(), bytes.size(), any_size(random)};
  std::string out(sizes[random() % 3], '\0');
  for (std::size_t at = 0; at < out.size(); at += kSectorBytes) {
    const std::string& from = random() % 2 == 0 ? durable : bytes;
    for (std::size_t i = at; i < std::min(at + kSectorBytes, out.size()); ++i)
      out[i] = i < from.size() ? from[i] : '\0';
  }
  return out;
}

}  // namespace

class FakeWritableFile final : public WritableFile {
 public:
  FakeWritableFile(FakeFs& fs, FakeFs::InodePtr inode, std::string path, std::uint64_t generation,
                   std::uint64_t size)
      : fs_(fs),
        inode_(std::move(inode)),
        path_(std::move(path)),
        generation_(generation),
        size_(size) {}

  Status append(std::string_view bytes) override {
    return fs_.append(generation_, inode_, path_, size_, bytes, size_);
  }

  Status write_at(std::uint64_t offset, std::string_view bytes) override {
    std::uint64_t written = 0;
    return fs_.append(generation_, inode_, path_, offset, bytes, written);
  }

  Status sync() override {
    MutexLock lock(fs_.mutex_);
    if (const auto failure = fs_.begin("fdatasync", path_)) return *failure;
    if (generation_ != fs_.generation_) return stale(path_);
    inode_->sync();
    return {};
  }

  Status truncate(std::uint64_t size) override {
    MutexLock lock(fs_.mutex_);
    if (const auto failure = fs_.begin("ftruncate", path_)) return *failure;
    if (generation_ != fs_.generation_) return stale(path_);
    inode_->changed_from(static_cast<std::size_t>(size));
    inode_->bytes.resize(static_cast<std::size_t>(size));
    size_ = size;
    return {};
  }

  std::uint64_t size() const override { return size_; }

 private:
  FakeFs& fs_;
  const FakeFs::InodePtr inode_;
  const std::string path_;
  const std::uint64_t generation_;
  std::uint64_t size_;
};

class FakeReadableFile final : public ReadableFile {
 public:
  FakeReadableFile(FakeFs& fs, FakeFs::InodePtr inode, std::string path, std::uint64_t generation)
      : fs_(fs), inode_(std::move(inode)), path_(std::move(path)), generation_(generation) {}

  Status read_at(std::uint64_t offset, std::size_t size, std::string& out) const override {
    MutexLock lock(fs_.mutex_);
    out.clear();
    if (const auto failure = fs_.begin("read", path_)) return *failure;
    if (generation_ != fs_.generation_) return stale(path_);
    const std::string& bytes = inode_->bytes;
    if (offset < bytes.size()) out = bytes.substr(static_cast<std::size_t>(offset), size);
    return {};
  }

  Result<std::uint64_t> size() const override {
    MutexLock lock(fs_.mutex_);
    if (const auto failure = fs_.begin("fstat", path_)) return *failure;
    if (generation_ != fs_.generation_) return stale(path_);
    return static_cast<std::uint64_t>(inode_->bytes.size());
  }

 private:
  FakeFs& fs_;
  const FakeFs::InodePtr inode_;
  const std::string path_;
  const std::uint64_t generation_;
};

class FakeFileLock final : public FileLock {
 public:
  FakeFileLock(FakeFs& fs, std::string path, std::uint64_t generation)
      : fs_(fs), path_(std::move(path)), generation_(generation) {}
  ~FakeFileLock() override {
    MutexLock lock(fs_.mutex_);
    if (generation_ == fs_.generation_) fs_.locks_.erase(path_);
  }

 private:
  FakeFs& fs_;
  const std::string path_;
  const std::uint64_t generation_;
};

std::optional<Error> FakeFs::begin(const char* call, const std::string& path) {
  const std::uint64_t operation = operations_++;
  if (death_ && operation >= *death_)
    return error(Code::kIo, fmt::format("{} '{}': the process is dead", call, path));
  if (!fault_ || fault_->first != operation) return std::nullopt;
  const Code code = fault_->second;
  fault_.reset();
  return error(code, fmt::format("{} '{}' failed on request: {}", call, path, code_name(code)));
}

void FakeFs::apply(const NameChange& change, Names& names) {
  for (const auto& [path, inode] : change.entries) {
    if (inode) {
      names[path] = inode;
    } else {
      names.erase(path);
    }
  }
}

void FakeFs::change_names(NameChange change) {
  apply(change, names_);
  unsynced_names_.push_back(std::move(change));
}

Result<std::unique_ptr<WritableFile>> FakeFs::create(const std::string& path) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("open", path)) return *failure;
  if (directories_.count(parent_path(path)) == 0) return missing("open", path);
  auto& inode = names_[path];
  if (inode) {
    inode->changed_from(0);
    inode->bytes.clear();
  } else {
    inode = std::make_shared<Inode>();
    change_names({parent_path(path), {{path, inode}}});
  }
  return std::unique_ptr<WritableFile>(
      std::make_unique<FakeWritableFile>(*this, inode, path, generation_, 0));
}

Result<std::unique_ptr<WritableFile>> FakeFs::open_append(const std::string& path) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("open", path)) return *failure;
  if (directories_.count(parent_path(path)) == 0) return missing("open", path);
  auto& inode = names_[path];
  if (!inode) {
    inode = std::make_shared<Inode>();
    change_names({parent_path(path), {{path, inode}}});
  }
  return std::unique_ptr<WritableFile>(std::make_unique<FakeWritableFile>(
      *this, inode, path, generation_, static_cast<std::uint64_t>(inode->bytes.size())));
}

Result<std::unique_ptr<ReadableFile>> FakeFs::open_read(const std::string& path) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("open", path)) return *failure;
  const auto found = names_.find(path);
  if (found == names_.end()) return missing("open", path);
  return std::unique_ptr<ReadableFile>(
      std::make_unique<FakeReadableFile>(*this, found->second, path, generation_));
}

Result<std::vector<std::string>> FakeFs::list(const std::string& directory) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("opendir", directory)) return *failure;
  if (directories_.count(directory) == 0) return missing("opendir", directory);
  std::vector<std::string> names;
  for (const auto& [path, inode] : names_) {
    if (parent_path(path) == directory) names.push_back(path.substr(directory.size() + 1));
  }
  return names;
}

bool FakeFs::exists(const std::string& path) {
  MutexLock lock(mutex_);
  if (begin("access", path)) return false;
  return names_.count(path) != 0 || directories_.count(path) != 0;
}

Status FakeFs::create_directories(const std::string& path) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("mkdir", path)) return *failure;
  for (std::string at = path;; at = parent_path(at)) {
    directories_.insert(at);
    if (at == parent_path(at) || at == ".") break;
  }
  return {};
}

Status FakeFs::rename(const std::string& from, const std::string& to) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("rename", from)) return *failure;
  const auto found = names_.find(from);
  if (found == names_.end()) return missing("rename", from);
  change_names({parent_path(to), {{to, found->second}, {from, nullptr}}});
  return {};
}

Status FakeFs::remove(const std::string& path) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("remove", path)) return *failure;
  if (names_.count(path) == 0) return missing("remove", path);
  change_names({parent_path(path), {{path, nullptr}}});
  return {};
}

Status FakeFs::sync_directory(const std::string& path) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("fsync", path)) return *failure;
  const auto covered = [&](const NameChange& change) { return change.directory == path; };
  for (const NameChange& change : unsynced_names_) {
    if (covered(change)) apply(change, durable_names_);
  }
  unsynced_names_.erase(std::remove_if(unsynced_names_.begin(), unsynced_names_.end(), covered),
                        unsynced_names_.end());
  return {};
}

Result<std::uint64_t> FakeFs::free_bytes(const std::string& path) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("statvfs", path)) return *failure;
  return capacity_ - std::min(capacity_, used());
}

Result<std::unique_ptr<FileLock>> FakeFs::lock(const std::string& path) {
  MutexLock lock(mutex_);
  if (const auto failure = begin("flock", path)) return *failure;
  if (!locks_.insert(path).second)
    return error(Code::kCheckFailed, fmt::format("'{}' is in use by another process", path));
  return std::unique_ptr<FileLock>(std::make_unique<FakeFileLock>(*this, path, generation_));
}

Status FakeFs::append(std::uint64_t generation, const InodePtr& inode, const std::string& path,
                      std::uint64_t offset, std::string_view bytes, std::uint64_t& written) {
  MutexLock lock(mutex_);
  const bool was_dead = death_ && operations_ > *death_;
  const auto failure = begin("write", path);
  if (generation != generation_) return stale(path);
  if (was_dead) return *failure;
  const std::uint64_t free = capacity_ - std::min(capacity_, used());
  std::size_t fits = bytes.size();
  if (failure) fits /= 2;
  const auto over_old_bytes = static_cast<std::size_t>(inode->bytes.size() - offset);
  if (fits > over_old_bytes && fits - over_old_bytes > free)
    fits = over_old_bytes + static_cast<std::size_t>(free);
  inode->changed_from(std::min(inode->bytes.size(), static_cast<std::size_t>(offset)));
  inode->bytes.resize(std::max(inode->bytes.size(), static_cast<std::size_t>(offset) + fits));
  inode->bytes.replace(static_cast<std::size_t>(offset), fits, bytes.substr(0, fits));
  written = offset + fits;
  if (failure) return *failure;
  if (fits < bytes.size())
    return error(Code::kNoSpace, fmt::format("write '{}' failed: the disk is full", path));
  return {};
}

void FakeFs::begin_life() {
  locks_.clear();
  if (death_ && operations_ > *death_) death_.reset();
  ++generation_;
}

void FakeFs::end_crash() {
  for (auto& [path, inode] : names_) inode->sync();
  durable_names_ = names_;
  unsynced_names_.clear();
  begin_life();
}

void FakeFs::crash(std::uint64_t unsynced_bytes_kept) {
  MutexLock lock(mutex_);
  names_ = durable_names_;
  for (auto& [path, inode] : names_) {
    std::string left = inode->durable;
    if (inode->bytes.size() > left.size())
      left += inode->bytes.substr(left.size(), static_cast<std::size_t>(unsynced_bytes_kept));
    inode->changed_from(0);
    inode->bytes = std::move(left);
  }
  end_crash();
}

void FakeFs::crash_at_random(unsigned seed) {
  MutexLock lock(mutex_);
  std::mt19937 random(seed);
  const std::size_t kept = random() % (unsynced_names_.size() + 1);
  for (std::size_t i = 0; i < kept; ++i) apply(unsynced_names_[i], durable_names_);
  names_ = durable_names_;
  for (auto& [path, inode] : names_) {
    if (inode->bytes == inode->durable) continue;
    inode->bytes = mix_sectors(inode->durable, inode->bytes, random);
    inode->changed_from(0);
  }
  end_crash();
}

void FakeFs::kill() {
  MutexLock lock(mutex_);
  // Unlike after a crash, what was not synced still is not.
  begin_life();
}

std::uint64_t FakeFs::operations() const {
  MutexLock lock(mutex_);
  return operations_;
}

void FakeFs::fail_at(std::uint64_t operation, Code code) {
  MutexLock lock(mutex_);
  fault_ = {operation, code};
}

void FakeFs::die_at(std::uint64_t operation) {
  MutexLock lock(mutex_);
  death_ = operation;
}

bool FakeFs::dead() const {
  MutexLock lock(mutex_);
  return death_ && operations_ > *death_;
}

void FakeFs::set_capacity(std::uint64_t bytes) {
  MutexLock lock(mutex_);
  capacity_ = bytes;
}

std::uint64_t FakeFs::used() const {
  std::uint64_t sum = 0;
  for (const auto& [path, inode] : names_) sum += inode->bytes.size();
  return sum;
}

std::uint64_t FakeFs::used_bytes() const {
  MutexLock lock(mutex_);
  return used();
}

std::string FakeFs::content(const std::string& path) const {
  MutexLock lock(mutex_);
  const auto found = names_.find(path);
  return found == names_.end() ? "" : found->second->bytes;
}

void FakeFs::overwrite(const std::string& path, std::string bytes) {
  MutexLock lock(mutex_);
  auto inode = std::make_shared<Inode>();
  inode->bytes = inode->durable = std::move(bytes);
  names_[path] = durable_names_[path] = std::move(inode);
  directories_.insert(parent_path(path));
}

}  // namespace pgweir::io
