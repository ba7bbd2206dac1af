// Files with honest durability: the only way that pgweir touches the disk (DuckDB has its own).
//
// Place:   RealFs is the operating system; FakeFs (fake_fs.h) forgets unsynced bytes on a crash and
//          fails on request.
// Errors:  kNotFound, kNoSpace (ENOSPC, EDQUOT), kIo; the message names the call and the path.
// Threads: a Fs may be used from many threads; one file from one thread at a time, but read_at().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pgweir::io {

// A file being written. Bytes are durable once sync() has returned; the name of a new file is
// durable once Fs::sync_directory() of its folder has.
class WritableFile {
 public:
  virtual ~WritableFile() = default;  // closes, does not sync
  // All or an error; after an error the file's end is unknown until truncate() has succeeded.
  virtual Status append(std::string_view bytes) = 0;
  // Replaces bytes that the file has; after an error what stands there is unknown. The end stays.
  virtual Status write_at(std::uint64_t offset, std::string_view bytes) = 0;
  // Waits until everything appended is on stable storage (fdatasync).
  virtual Status sync() = 0;
  // Cuts the file, or makes it longer by zeros that take no room yet.
  virtual Status truncate(std::uint64_t size) = 0;
  virtual std::uint64_t size() const = 0;
};

class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  // Reads up to `size` bytes at `offset` into `out` (resized to what was read); fewer at the end.
  virtual Status read_at(std::uint64_t offset, std::size_t size, std::string& out) const = 0;
  virtual Result<std::uint64_t> size() const = 0;
};

// Held as long as the object lives; given up by the operating system when the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class Fs {
 public:
  virtual ~Fs() = default;
  virtual Result<std::unique_ptr<WritableFile>> create(const std::string& path) = 0;  // truncates
  virtual Result<std::unique_ptr<WritableFile>> open_append(const std::string& path) = 0;
  virtual Result<std::unique_ptr<ReadableFile>> open_read(const std::string& path) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  // names, sorted
  virtual bool exists(const std::string& path) = 0;
  virtual Status create_directories(const std::string& path) = 0;
  virtual Status rename(const std::string& from,
                        const std::string& to) = 0;  // replaces, atomically
  virtual Status remove(const std::string& path) = 0;
  virtual Status sync_directory(const std::string& path) = 0;
  virtual Result<std::uint64_t> free_bytes(const std::string& path) = 0;
  // kCheckFailed when another process holds it.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
};

class RealFs final : public Fs {
 public:
  Result<std::unique_ptr<WritableFile>> create(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> open_append(const std::string& path) override;
  Result<std::unique_ptr<ReadableFile>> open_read(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  bool exists(const std::string& path) override;
  Status create_directories(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
};

// The whole file, or an error.
Result<std::string> read_file(Fs& fs, const std::string& path);

// Replaces `path` so that after a crash it holds either the old or the new bytes: writes aside,
// syncs, renames, syncs the folder.
Status write_file_durably(Fs& fs, const std::string& path, std::string_view bytes);

// The folder part of a path, "." when there is none.
std::string parent_path(const std::string& path);

}  // namespace pgweir::io
