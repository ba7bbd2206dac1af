// A file system in memory that forgets on a crash what was not synced, and fails on request.
//
// Place:   for tests of everything that must survive a crash or a broken disk.
// Model:   bytes are durable after WritableFile::sync(); names (new, renamed, removed files) after
//          sync_directory() of their folder. Folders themselves are always durable. Removing or
//          renaming happens in the order of the calls, so that a crash keeps a prefix of it.
// Threads: any.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "io/fs.h"

namespace pgweir::io {

class FakeFs final : public Fs {
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

  // The machine loses power. Of each file, what was synced is left, and the first
  // `unsynced_bytes_kept` bytes of what was appended since; of names, what was synced. Files opened
  // before fail from now on.
  void crash(std::uint64_t unsynced_bytes_kept = 0);
  // The same, but of each file any of the unsynced sectors may have reached the disk, in no order,
  // and any number of the unsynced changes of names, in order.
  void crash_at_random(unsigned seed);
  // kill -9: the process is gone, the machine goes on. Nothing is lost; open files fail from now
  // on.
  void kill();

  // How many operations there have been: every call of Fs and of its files is one.
  std::uint64_t operations() const;
  // Operation number `operation`, as operations() counts, fails once with this code. An append that
  // fails has written half of its bytes.
  void fail_at(std::uint64_t operation, Code code);
  // The process dies at that operation: it and every later one fails with kIo and does nothing (an
  // append writes half of its bytes) until crash() or kill(). A crash before it leaves the
  // appointment.
  void die_at(std::uint64_t operation);
  bool dead() const;

  // All files together may hold so many bytes; an append beyond writes what fits and is kNoSpace.
  void set_capacity(std::uint64_t bytes);
  void set_no_capacity_limit() { set_capacity(~std::uint64_t{0}); }
  std::uint64_t used_bytes() const;

  // The content of a file as a reader sees it; "" when there is none.
  std::string content(const std::string& path) const;
  // Replaces a file's bytes, durably, behind everybody's back.
  void overwrite(const std::string& path, std::string bytes);

 private:
  friend class FakeWritableFile;
  friend class FakeReadableFile;
  friend class FakeFileLock;

  struct Inode {
    std::string bytes;     // as readers see them
    std::string durable;   // as a crash leaves them
    std::size_t same = 0;  // so many bytes at the beginning are alike in both

    void changed_from(std::size_t offset) { same = std::min(same, offset); }
    // Costs what was written since, so that a log may be synced after each of many writes.
    void sync() {
      durable.resize(std::min(durable.size(), same));
      durable.append(bytes, durable.size());
      same = bytes.size();
    }
  };
  using InodePtr = std::shared_ptr<Inode>;
  using Names = std::map<std::string, InodePtr>;
  // A change of names that no sync_directory() has covered; a null inode is a name that is gone.
  struct NameChange {
    std::string directory;
    std::vector<std::pair<std::string, InodePtr>> entries;
  };

  // Counts an operation and tells whether it fails.
  std::optional<Error> begin(const char* call, const std::string& path) REQUIRES(mutex_);
  void change_names(NameChange change) REQUIRES(mutex_);
  static void apply(const NameChange& change, Names& names);
  std::uint64_t used() const REQUIRES(mutex_);
  Status append(std::uint64_t generation, const InodePtr& inode, const std::string& path,
                std::uint64_t offset, std::string_view bytes, std::uint64_t& written);
  void end_crash() REQUIRES(mutex_);
  void begin_life() REQUIRES(mutex_);

  mutable Mutex mutex_;
  Names names_ GUARDED_BY(mutex_);
  Names durable_names_ GUARDED_BY(mutex_);
  std::vector<NameChange> unsynced_names_ GUARDED_BY(mutex_);
  std::set<std::string> directories_ GUARDED_BY(mutex_);
  std::set<std::string> locks_ GUARDED_BY(mutex_);
  std::uint64_t operations_ GUARDED_BY(mutex_) = 0;
  std::uint64_t capacity_ GUARDED_BY(mutex_) = ~std::uint64_t{0};
  // Rises with every crash: files of an older generation are dead.
  std::uint64_t generation_ GUARDED_BY(mutex_) = 0;
  std::optional<std::pair<std::uint64_t, Code>> fault_ GUARDED_BY(mutex_);
  std::optional<std::uint64_t> death_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::io
