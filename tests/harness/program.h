// The real pgweir program, run on a configuration of the test's.
//
// Life: killed and waited for when destroyed.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/scratch.h"
#include "io/process.h"

namespace pgweir::harness {

using Json = nlohmann::json;

struct HttpAnswer {
  int status = 0;  // 0: nothing answered
  std::string body;
  Json json() const { return Json::parse(body, nullptr, false); }
};

HttpAnswer http_get(const std::string& url);
HttpAnswer http_post(const std::string& url, const std::string& body);

class Program {
 public:
  // Writes `yaml` to DIRECTORY/pgweir.yaml and adds a server.listen on a free port.
  Program(const std::string& directory, std::string yaml);
  ~Program();

  const std::string& url() const { return url_; }
  const std::string& config_file() const { return config_file_; }

  // Starts `pgweir run`; does not wait.
  void start(std::vector<std::string> more_arguments = {});
  void kill();      // SIGKILL, and waits for the end
  int terminate();  // SIGTERM; the exit code
  // Waits until it has ended by itself; the exit code.
  int wait(std::chrono::seconds timeout = std::chrono::seconds(60));
  bool running();
  pid_t pid() const { return process_ ? process_->pid() : -1; }
  // Everything it has written since the first start.
  std::string output() const;

  // Waits until /readyz says yes. False, with the output printed, when it does not in time.
  bool wait_ready(std::chrono::seconds timeout = std::chrono::seconds(60));
  // Waits until the engine has everything up to `lsn` ("0/16B3748").
  bool wait_position(const std::string& lsn,
                     std::chrono::seconds timeout = std::chrono::seconds(60));
  // Waits until a sink's position, which moves with its files, is at `lsn`.
  bool wait_follower(const std::string& name, const std::string& lsn,
                     std::chrono::seconds timeout = std::chrono::seconds(60));
  // Rows of a SELECT as "a|b;c|NULL"; the error's message when it fails.
  std::string sql(const std::string& select);
  Json status();

 private:
  const std::string directory_;
  std::string config_file_;
  std::string url_;
  std::unique_ptr<io::Process> process_;
};

// Runs the program to its end with these arguments: exit code, and stdout and stderr together.
io::Finished run_program(std::vector<std::string> arguments);

// Where the test's build put it.
std::string program_path();

}  // namespace pgweir::harness
