// A disk that is full, as one process sees it: no file of it can grow beyond a size.
//
// Life: until destroyed. Threads: the limit is the whole process's.
#pragma once

#include <sys/resource.h>

#include <csignal>
#include <cstdint>

namespace pgweir::harness {

class FileSizeLimit {
 public:
  explicit FileSizeLimit(std::uint64_t bytes) {
    // Writes beyond it then fail with EFBIG instead of ending the process.
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_{};
  void (*old_handler_)(int) = SIG_DFL;
};

}  // namespace pgweir::harness
