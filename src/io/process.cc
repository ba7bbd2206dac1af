#include "io/process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

extern char** environ;

namespace pgweir::io {
namespace {

int exit_code_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  bool change = false;
};

Result<User> find_user(const std::string& name) {
  if (name.empty() || ::geteuid() != 0) return User{};
  const passwd* entry = ::getpwnam(name.c_str());
  if (entry == nullptr) return error(Code::kNotFound, fmt::format("there is no user '{}'", name));
  return User{entry->pw_uid, entry->pw_gid, true};
}

}  // namespace

Result<Process> Process::start(const ProcessOptions& options) {
  PGWEIR_ASSERT(!options.arguments.empty(), "a process needs a program");
  TRY_ASSIGN(const User user, find_user(options.user));

  // Everything that allocates happens before fork(): other threads may hold the allocator's lock.
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view line = *entry;
    if (!options.environment.contains(std::string(line.substr(0, line.find('=')))))
      environment.emplace_back(line);
  }
  for (const auto& [name, value] : options.environment) environment.push_back(name + "=" + value);
  std::vector<char*> argv, envp;
  for (const auto& argument : options.arguments)
    argv.push_back(const_cast<char*>(argument.c_str()));
  for (const auto& entry : environment) envp.push_back(const_cast<char*>(entry.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);

  int failure_pipe[2];
  if (::pipe2(failure_pipe, O_CLOEXEC) != 0)
    return error(Code::kIo, fmt::format("pipe failed: {}", std::strerror(errno)));
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return error(Code::kIo, fmt::format("fork failed: {}", std::strerror(errno)));
  if (pid == 0) {
    // What a shell has us ignore, as it does for what it runs in the background, is not for a
    // child.
    for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) ::signal(number, SIG_DFL);
    bool ok = true;
    if (!options.output.empty()) {
      const int fd = ::open(options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      ok = fd >= 0 && ::dup2(fd, 1) >= 0 && ::dup2(fd, 2) >= 0;
    }
    ok = ok && (options.directory.empty() || ::chdir(options.directory.c_str()) == 0);
    if (ok && user.change)
      ok = ::setgroups(0, nullptr) == 0 && ::setgid(user.gid) == 0 && ::setuid(user.uid) == 0;
    if (ok && options.dies_with_parent) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(127);
    }
    if (ok) ::execvpe(argv[0], argv.data(), envp.data());
    const int number = errno;
    const ssize_t ignored = ::write(failure_pipe[1], &number, sizeof(number));
    (void)ignored;
    ::_exit(127);
  }
  ::close(failure_pipe[1]);
  int number = 0;
  const ssize_t got = ::read(failure_pipe[0], &number, sizeof(number));
  ::close(failure_pipe[0]);
  if (got == static_cast<ssize_t>(sizeof(number))) {
    ::waitpid(pid, nullptr, 0);
    return error(number == ENOENT ? Code::kNotFound : Code::kIo,
                 fmt::format("cannot start '{}': {}", options.arguments[0], std::strerror(number)));
  }
  return Process(pid);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), exit_code_(other.exit_code_) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(exit_code_, other.exit_code_);
  return *this;
}

Process::~Process() {
  if (pid_ < 0 || exit_code_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Status Process::signal(int number) {
  if (poll()) return error(Code::kNotFound, "the process has ended");
  if (::kill(pid_, number) != 0)
    return error(Code::kIo, fmt::format("kill {} failed: {}", pid_, std::strerror(errno)));
  return {};
}

std::optional<int> Process::poll() {
  if (exit_code_ || pid_ < 0) return exit_code_;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == pid_) exit_code_ = exit_code_of(status);
  return exit_code_;
}

Result<int> Process::wait(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  auto pause = std::chrono::milliseconds(1);
  while (!poll()) {
    if (std::chrono::steady_clock::now() >= deadline)
      return error(Code::kTimeout,
                   fmt::format("process {} still runs after {} ms", pid_, timeout.count()));
    std::this_thread::sleep_for(pause);
    if (pause < std::chrono::milliseconds(20)) pause *= 2;
  }
  return *exit_code_;
}

Result<Finished> run(ProcessOptions options, std::chrono::milliseconds timeout) {
  std::string path = "/tmp/pgweir-run-XXXXXX";
  const int fd = ::mkstemp(path.data());
  if (fd < 0) return error(Code::kIo, fmt::format("mkstemp failed: {}", std::strerror(errno)));
  // The child may run as another user and opens the file by its name.
  ::fchmod(fd, 0666);
  options.output = path;
  Result<int> exit_code = error(Code::kInternal, "not run");
  if (auto process = Process::start(options); process.ok()) {
    exit_code = process->wait(timeout);
  } else {
    exit_code = process.error();
  }
  Finished finished;
  char buffer[65536];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof(buffer))) > 0)
    finished.output.append(buffer, static_cast<std::size_t>(got));
  ::close(fd);
  ::unlink(path.c_str());
  if (!exit_code.ok()) return exit_code.error();
  finished.exit_code = *exit_code;
  return finished;
}

}  // namespace pgweir::io
