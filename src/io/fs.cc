#include "io/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/assert.h"

namespace pgweir::io {
namespace {

Error system_error(const char* call, const std::string& path, int number) {
  Code code = Code::kIo;
  if (number == ENOENT) code = Code::kNotFound;
  if (number == ENOSPC || number == EDQUOT) code = Code::kNoSpace;
  return error(code, fmt::format("{} '{}' failed: {}", call, path, std::strerror(number)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

class RealWritableFile final : public WritableFile {
 public:
  RealWritableFile(Descriptor fd, std::string path, std::uint64_t size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  Status append(std::string_view bytes) override { return write(size_, bytes); }

  Status write_at(std::uint64_t offset, std::string_view bytes) override {
    PGWEIR_ASSERT(offset + bytes.size() <= size_, "only bytes that are there are replaced");
    return write(offset, bytes);
  }

  Status sync() override {
    if (::fdatasync(fd_.get()) != 0) return system_error("fdatasync", path_, errno);
    return {};
  }

  Status truncate(std::uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0)
      return system_error("ftruncate", path_, errno);
    size_ = size;
    return {};
  }

  std::uint64_t size() const override { return size_; }

 private:
  Status write(std::uint64_t offset, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written =
          ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0) {
        if (errno == EINTR) continue;
        return system_error("write", path_, errno);
      }
      offset += static_cast<std::uint64_t>(written);
      size_ = std::max(size_, offset);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
  }

  Descriptor fd_;
  const std::string path_;
  std::uint64_t size_;
};

class RealReadableFile final : public ReadableFile {
 public:
  RealReadableFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Status read_at(std::uint64_t offset, std::size_t size, std::string& out) const override {
    out.resize(size);
    std::size_t done = 0;
    while (done < size) {
      const ssize_t got =
          ::pread(fd_.get(), out.data() + done, size - done, static_cast<off_t>(offset + done));
      if (got < 0) {
        if (errno == EINTR) continue;
        return system_error("read", path_, errno);
      }
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    out.resize(done);
    return {};
  }

  Result<std::uint64_t> size() const override {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) return system_error("fstat", path_, errno);
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  Descriptor fd_;
  const std::string path_;
};

class RealFileLock final : public FileLock {
 public:
  explicit RealFileLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  Descriptor fd_;
};

Result<std::unique_ptr<WritableFile>> open_writable(const std::string& path, int flags) {
  Descriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0640));
  if (fd.get() < 0) return system_error("open", path, errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return system_error("fstat", path, errno);
  return std::unique_ptr<WritableFile>(std::make_unique<RealWritableFile>(
      std::move(fd), path, static_cast<std::uint64_t>(status.st_size)));
}

}  // namespace

Result<std::unique_ptr<WritableFile>> RealFs::create(const std::string& path) {
  return open_writable(path, O_TRUNC);
}

Result<std::unique_ptr<WritableFile>> RealFs::open_append(const std::string& path) {
  return open_writable(path, 0);
}

Result<std::unique_ptr<ReadableFile>> RealFs::open_read(const std::string& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return system_error("open", path, errno);
  return std::unique_ptr<ReadableFile>(std::make_unique<RealReadableFile>(std::move(fd), path));
}

Result<std::vector<std::string>> RealFs::list(const std::string& directory) {
  DIR* handle = ::opendir(directory.c_str());
  if (handle == nullptr) return system_error("opendir", directory, errno);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(handle)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(handle);
  std::sort(names.begin(), names.end());
  return names;
}

bool RealFs::exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

Status RealFs::create_directories(const std::string& path) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  if (failure) return system_error("mkdir", path, failure.value());
  return {};
}

Status RealFs::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return system_error("rename", from, errno);
  return {};
}

Status RealFs::remove(const std::string& path) {
  if (::remove(path.c_str()) != 0) return system_error("remove", path, errno);
  return {};
}

Status RealFs::sync_directory(const std::string& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return system_error("open", path, errno);
  if (::fsync(fd.get()) != 0) return system_error("fsync", path, errno);
  return {};
}

Result<std::uint64_t> RealFs::free_bytes(const std::string& path) {
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0) return system_error("statvfs", path, errno);
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

Result<std::unique_ptr<FileLock>> RealFs::lock(const std::string& path) {
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (fd.get() < 0) return system_error("open", path, errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_error("flock", path, errno);
    return error(Code::kCheckFailed, fmt::format("'{}' is in use by another process", path));
  }
  return std::unique_ptr<FileLock>(std::make_unique<RealFileLock>(std::move(fd)));
}

Result<std::string> read_file(Fs& fs, const std::string& path) {
  TRY_ASSIGN(const auto file, fs.open_read(path));
  TRY_ASSIGN(const std::uint64_t size, file->size());
  std::string bytes;
  TRY(file->read_at(0, static_cast<std::size_t>(size), bytes));
  return bytes;
}

Status write_file_durably(Fs& fs, const std::string& path, std::string_view bytes) {
  const std::string aside = path + ".new";
  {
    TRY_ASSIGN(const auto file, fs.create(aside));
    TRY(file->append(bytes));
    TRY(file->sync());
  }
  TRY(fs.rename(aside, path));
  return fs.sync_directory(parent_path(path));
}

std::string parent_path(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace pgweir::io
