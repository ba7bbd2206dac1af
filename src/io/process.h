// Child processes: for the demo's private PostgreSQL, the benchmarks' peers, and the tests'
// servers.
//
// Life:    a Process that is destroyed while it runs is killed and waited for, so nothing stays
// behind. Threads: one thread at a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace pgweir::io {

struct ProcessOptions {
  std::vector<std::string> arguments;              // [0] is the program, looked up in PATH
  std::map<std::string, std::string> environment;  // added to ours
  std::string directory;                           // "" = ours
  std::string output;  // file for stdout and stderr together, appended; "" = ours
  // Run as this user when we are root (PostgreSQL refuses root); "" = as ourselves.
  std::string user;
  // Let the kernel end the child with SIGKILL when we die, however we die.
  bool dies_with_parent = true;
};

class Process {
 public:
  // SIGHUP, SIGINT, SIGQUIT and SIGTERM end it unless it handles them, also where we ignore them.
  static Result<Process> start(const ProcessOptions& options);
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  pid_t pid() const { return pid_; }
  Status signal(int number);
  // The exit code, 128 + signal number for a death by signal; nothing while it still runs.
  std::optional<int> poll();
  // Waits up to `timeout`; kTimeout when it still runs then.
  Result<int> wait(std::chrono::milliseconds timeout);

 private:
  explicit Process(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

// Runs to the end; its exit code and everything that it wrote to stdout and stderr.
struct Finished {
  int exit_code = 0;
  std::string output;
};
Result<Finished> run(ProcessOptions options, std::chrono::milliseconds timeout);

}  // namespace pgweir::io
