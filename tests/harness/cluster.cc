#include "harness/cluster.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

// PostgreSQL refuses to run as root; its package's own user can, and nobody always exists.
const char* server_user() {
  return ::geteuid() == 0 ? "postgres" : "";
}

std::string newest_bin() {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
    if (std::filesystem::exists(entry.path() / "bin" / "initdb"))
      found.push_back((entry.path() / "bin").string());
  }
  std::sort(found.begin(), found.end());
  return found.empty() ? "" : found.back();
}

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "harness: %s\n", what.c_str());
  std::abort();
}

io::Finished must_run(std::vector<std::string> arguments, const std::string& user) {
  auto finished = io::run({.arguments = arguments, .directory = "/", .user = user}, 60s);
  if (!finished.ok()) die(finished.error().text());
  if (finished->exit_code != 0) die(arguments[0] + ": " + finished->output);
  return std::move(finished).value();
}

}  // namespace

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) {
  bin_ = options_.bin.empty() ? newest_bin() : options_.bin;
  if (bin_.empty()) die("no PostgreSQL server is installed: run tools/setup.sh server");
  data_ = scratch_.file("data");
  port_ = free_port();
  must_run({bin_ + "/initdb", "-D", data_, "-U", options_.initdb_superuser, "-A", "trust", "-E",
            "UTF8", "--locale=C.UTF-8", "--no-sync"},
           server_user());
  std::map<std::string, std::string> settings = {
      {"wal_level", "logical"},          {"max_wal_senders", "20"},
      {"max_replication_slots", "20"},   {"fsync", "off"},
      {"listen_addresses", "127.0.0.1"}, {"unix_socket_directories", scratch_.path()},
      {"log_min_messages", "info"}};
  for (const auto& [name, value] : options_.settings) settings[name] = value;
  std::ofstream file(data_ + "/postgresql.conf", std::ios::app);
  for (const auto& [name, value] : settings) file << name << " = '" << value << "'\n";
  file.close();
  if (!options_.hba.empty()) std::ofstream(data_ + "/pg_hba.conf") << options_.hba;
  start();
}

Cluster::~Cluster() {
  if (server_) stop(Stop::kImmediate);
}

void Cluster::start() {
  std::size_t log_before = 0;
  const auto launch = [&] {
    log_before = server_log().size();
    auto process = io::Process::start(
        {.arguments = {bin_ + "/postgres", "-D", data_, "-p", std::to_string(port_)},
         .directory = "/",
         .output = scratch_.file("server.log"),
         .user = server_user()});
    if (!process.ok()) die(process.error().text());
    server_ = std::make_unique<io::Process>(std::move(process).value());
  };
  launch();
  for (int attempt = 0; attempt < 1200; ++attempt) {
    if (server_->poll()) {
      // A killed server's children hold its shared memory a moment longer than it lives.
      if (server_log().find("shared memory block", log_before) == std::string::npos)
        die("the server ended: " + server_log());
      launch();
    }
    // A killed server leaves its file behind, in which it was ready too.
    std::ifstream file(data_ + "/postmaster.pid");
    std::stringstream text;
    text << file.rdbuf();
    if (text.str().starts_with(std::to_string(server_->pid()) + "\n") &&
        text.str().find("ready") != std::string::npos)
      return;
    std::this_thread::sleep_for(50ms);
  }
  die("the server was not ready in time: " + server_log());
}

void Cluster::stop(Stop how) {
  if (!server_) return;
  if (how == Stop::kKill) {
    // The postmaster's children notice its death and end by themselves; start() waits for them.
    (void)server_->signal(SIGKILL);
  } else {
    (void)server_->signal(how == Stop::kFast ? SIGINT : SIGQUIT);
  }
  if (!server_->wait(60s).ok()) die("the server did not stop");
  server_.reset();
}

std::string Cluster::url(const std::string& database) const {
  return fmt::format("postgresql://{}@127.0.0.1:{}/{}", options_.initdb_superuser, port_, database);
}

std::string Cluster::create_database() {
  const std::string name = fmt::format("db{}", ++databases_);
  sql("CREATE DATABASE " + name);
  return name;
}

std::string Cluster::sql(const std::string& statements, const std::string& database) {
  const std::string script = scratch_.file(fmt::format("statements_{}.sql", ++scripts_));
  std::ofstream(script) << statements;
  auto finished = io::run({.arguments = {newest_bin() + "/psql", "-XAtq", "-v", "ON_ERROR_STOP=1",
                                         "-d", url(database), "-f", script}},
                          std::chrono::minutes(10));
  if (!finished.ok()) die(finished.error().text());
  std::remove(script.c_str());
  std::string output = finished->output;
  while (!output.empty() && output.back() == '\n') output.pop_back();
  if (finished->exit_code != 0) ADD_FAILURE() << "psql: " << output << "\nin: " << statements;
  return output;
}

std::string Cluster::server_log() const {
  std::ifstream file(scratch_.path() + "/server.log");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Cluster& shared_cluster() {
  // Destroyed at exit, which stops the server.
  static Cluster cluster;
  return cluster;
}

}  // namespace pgweir::harness
