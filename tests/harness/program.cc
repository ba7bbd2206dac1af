#include "harness/program.h"

#include <curl/curl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

std::size_t collect(char* data, std::size_t size, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(data, size * count);
  return size * count;
}

HttpAnswer request(const std::string& url, const std::string* body) {
  HttpAnswer answer;
  CURL* curl = curl_easy_init();
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 30'000L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  curl_slist* headers = nullptr;
  if (body != nullptr) {
    headers = curl_slist_append(headers, "Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(body->size()));
    curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, body->c_str());
  }
  if (curl_easy_perform(curl) == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    answer.status = static_cast<int>(status);
  }
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return answer;
}

std::uint64_t lsn_value(const std::string& text) {
  unsigned high = 0, low = 0;
  if (std::sscanf(text.c_str(), "%X/%X", &high, &low) != 2) return 0;
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

}  // namespace

HttpAnswer http_get(const std::string& url) {
  return request(url, nullptr);
}
HttpAnswer http_post(const std::string& url, const std::string& body) {
  return request(url, &body);
}

std::string program_path() {
  return PGWEIR_PROGRAM;
}

Program::Program(const std::string& directory, std::string yaml)
    : directory_(directory), config_file_(directory + "/pgweir.yaml") {
  const int port = free_port();
  url_ = fmt::format("http://127.0.0.1:{}", port);
  yaml += fmt::format("\nserver: {{listen: \"127.0.0.1:{}\"}}\n", port);
  std::ofstream(config_file_) << yaml;
}

Program::~Program() {
  if (running()) kill();
}

void Program::start(std::vector<std::string> more_arguments) {
  std::vector<std::string> arguments = {program_path(), "-c", config_file_, "run"};
  arguments.insert(arguments.end(), more_arguments.begin(), more_arguments.end());
  auto process = io::Process::start({.arguments = arguments, .output = directory_ + "/pgweir.log"});
  ASSERT_TRUE(process.ok()) << process.error().text();
  process_ = std::make_unique<io::Process>(std::move(process).value());
}

void Program::kill() {
  (void)process_->signal(SIGKILL);
  (void)process_->wait(30s);
  process_.reset();
}

int Program::terminate() {
  (void)process_->signal(SIGTERM);
  return wait();
}

int Program::wait(std::chrono::seconds timeout) {
  const auto code = process_->wait(timeout);
  if (!code.ok()) {
    ADD_FAILURE() << code.error().text() << "\n" << output();
    return -1;
  }
  process_.reset();
  return *code;
}

bool Program::running() {
  return process_ && !process_->poll();
}

std::string Program::output() const {
  std::ifstream file(directory_ + "/pgweir.log");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool Program::wait_ready(std::chrono::seconds timeout) {
  const bool ready =
      wait_for(timeout, [this] { return !running() || http_get(url_ + "/readyz").status == 200; });
  if (ready && running()) return true;
  ADD_FAILURE() << "not ready: " << http_get(url_ + "/readyz").body << "\n" << output();
  return false;
}

bool Program::wait_position(const std::string& lsn, std::chrono::seconds timeout) {
  const std::uint64_t wanted = lsn_value(lsn);
  const bool reached = wait_for(timeout, [&] {
    const Json answer = http_post(url_ + "/api/v1/sql", R"({"sql":"SELECT 1"})").json();
    return answer.is_object() && answer.contains("position") && answer["position"].is_string() &&
           lsn_value(answer["position"].get<std::string>()) >= wanted;
  });
  if (!reached) {
    ADD_FAILURE() << "position " << lsn
                  << " not reached: " << http_get(url_ + "/api/v1/status").body << "\n"
                  << output();
  }
  return reached;
}

bool Program::wait_follower(const std::string& name, const std::string& lsn,
                            std::chrono::seconds timeout) {
  Json found;
  const bool reached = wait_for(timeout, [&] {
    const Json answer = status();
    if (!answer.is_object()) return false;
    for (const Json& follower : answer["followers"]) {
      if (follower["name"] != name) continue;
      found = follower;
      // It is null until the follower has opened what it writes to.
      if (!follower["position"].is_string()) return false;
      return lsn_value(follower["position"].get<std::string>()) >= lsn_value(lsn);
    }
    return false;
  });
  if (!reached) ADD_FAILURE() << "not at " << lsn << ": " << found.dump() << "\n" << output();
  return reached;
}

std::string Program::sql(const std::string& select) {
  const Json answer =
      http_post(url_ + "/api/v1/sql", Json{{"sql", select}, {"limit", 100'000}}.dump()).json();
  if (!answer.is_object()) return "no answer";
  if (answer.contains("error")) return answer["error"]["message"].get<std::string>();
  std::string out;
  for (const Json& row : answer["rows"]) {
    if (!out.empty()) out += ";";
    bool first = true;
    for (const Json& cell : row) {
      if (!first) out += "|";
      first = false;
      out += cell.is_null() ? "NULL" : cell.is_string() ? cell.get<std::string>() : cell.dump();
    }
  }
  return out;
}

Json Program::status() {
  return http_get(url_ + "/api/v1/status").json();
}

io::Finished run_program(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program_path());
  auto finished = io::run({.arguments = std::move(arguments)}, 60s);
  if (!finished.ok()) {
    ADD_FAILURE() << finished.error().text();
    return {};
  }
  return std::move(finished).value();
}

}  // namespace pgweir::harness
