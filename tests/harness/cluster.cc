#include "harness/cluster.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

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

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "harness: %s\n", what.c_str());
  std::abort();
}

// Debian's package is 15; its folder also has the clients, which speak to every version.
constexpr int kDebianVersion = 15;
constexpr const char* kDebianBin = "/usr/lib/postgresql/15/bin";

// Others may go through every folder on the way to it.
bool is_reachable(const std::filesystem::path& folder) {
  for (auto path = folder; path.has_relative_path(); path = path.parent_path()) {
    std::error_code failure;
    const auto rights = std::filesystem::status(path, failure).permissions();
    if (failure || (rights & std::filesystem::perms::others_exec) == std::filesystem::perms::none)
      return false;
  }
  return true;
}

// A copy for the server's user, made once, of a server that stands below a private folder.
std::string reachable_copy(const std::filesystem::path& server) {
  std::ifstream lock(server / ".pgweir-lock");
  std::string name, checksum;
  lock >> name >> checksum;
  const auto target = std::filesystem::temp_directory_path() / ("pgweir-postgres-" + checksum);
  std::error_code failure;
  if (std::filesystem::exists(target)) return target.string();
  const std::string made = fmt::format("{}.{}", target.string(), ::getpid());
  std::filesystem::copy(
      server, made,
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks,
      failure);
  // Another test may have been faster.
  if (!failure) std::filesystem::rename(made, target, failure);
  if (failure) std::filesystem::remove_all(made);
  if (!std::filesystem::exists(target)) die("no copy of the server: " + failure.message());
  return target.string();
}

const std::filesystem::path kOthers = std::filesystem::path(PGWEIR_SOURCE) / ".deps/postgres";

// With every program, and pgvector.
std::string complete_bin_of(int version) {
  const auto servers = std::filesystem::path("servers") / std::to_string(version) / "bin";
  const auto tools = kOthers / "tools";
  if (!std::filesystem::exists(tools / servers))
    die(fmt::format("no complete PostgreSQL {} is installed: run tools/setup.sh test", version));
  const auto there = std::filesystem::canonical(tools);
  const bool copied = *server_user() != 0 && !is_reachable(there);
  return ((copied ? std::filesystem::path(reachable_copy(there)) : there) / servers).string();
}

std::string bin_of(int version) {
  std::filesystem::path bin = kDebianBin;
  if (version != kDebianVersion) bin = kOthers / std::to_string(version) / "bin";
  if (!std::filesystem::exists(bin / "initdb"))
    die(fmt::format("PostgreSQL {} is not installed: run tools/setup.sh {}", version,
                    version == kDebianVersion ? "server" : "test"));
  bin = std::filesystem::canonical(bin);
  if (*server_user() != 0 && !is_reachable(bin)) return reachable_copy(bin.parent_path()) + "/bin";
  return bin.string();
}

io::Finished must_run(std::vector<std::string> arguments, const std::string& user) {
  auto finished = io::run({.arguments = arguments, .directory = "/", .user = user}, 60s);
  if (!finished.ok()) die(finished.error().text());
  if (finished->exit_code != 0) die(arguments[0] + ": " + finished->output);
  return std::move(finished).value();
}

}  // namespace

int default_version() {
  const char* given = std::getenv("PGWEIR_POSTGRES");
  return given == nullptr ? kDebianVersion : std::atoi(given);
}

Cluster::Cluster(ClusterOptions options)
    : options_(std::move(options)),
      version_(options_.version == 0 ? default_version() : options_.version),
      bin_(options_.complete ? complete_bin_of(version_) : bin_of(version_)) {
  data_ = scratch_.file("data");
  port_ = free_port();
  if (!options_.files.empty()) {
    std::filesystem::rename(options_.files, data_);
  } else if (options_.standby_of == nullptr) {
    make_data(options_.initdb_arguments);
  } else {
    copy_data(*options_.standby_of);
  }
  configure();
  start();
}

void Cluster::configure() {
  std::map<std::string, std::string> settings = {
      {"wal_level", "logical"},          {"max_wal_senders", "20"},
      {"max_replication_slots", "20"},   {"fsync", "off"},
      {"listen_addresses", "127.0.0.1"}, {"unix_socket_directories", scratch_.path()},
      {"log_min_messages", "info"}};
  if (options_.standby_of != nullptr) {
    settings["primary_slot_name"] = "standby";
    settings["hot_standby_feedback"] = "on";
    settings["primary_conninfo"] =
        fmt::format("host=127.0.0.1 port={} user={} dbname=postgres", options_.standby_of->port(),
                    options_.initdb_superuser);
  }
  for (const auto& [name, value] : options_.settings) settings[name] = value;
  std::ofstream file(data_ + "/postgresql.conf", std::ios::app);
  for (const auto& [name, value] : settings) file << name << " = '" << value << "'\n";
  file.close();
  if (!options_.hba.empty()) std::ofstream(data_ + "/pg_hba.conf") << options_.hba;
}

void Cluster::make_data(std::vector<std::string> more_arguments) {
  std::vector<std::string> initdb = {bin_ + "/initdb",
                                     "-D",
                                     data_,
                                     "-U",
                                     options_.initdb_superuser,
                                     "-A",
                                     "trust",
                                     "-E",
                                     "UTF8",
                                     "--locale=C.UTF-8",
                                     "--no-sync"};
  initdb.insert(initdb.end(), more_arguments.begin(), more_arguments.end());
  must_run(std::move(initdb), server_user());
}

void Cluster::copy_data(Cluster& primary) {
  primary.sql("SELECT pg_create_physical_replication_slot('standby')");
  primary.stop();
  must_run({"cp", "-a", primary.directory(), data_}, "");
  primary.start();
  // The slots are the primary's own.
  must_run({"sh", "-c", fmt::format("rm -rf {}/pg_replslot/*", data_)}, "");
  must_run({"touch", data_ + "/standby.signal"}, server_user());
}

void Cluster::run_as_owner(std::vector<std::string> arguments) {
  must_run(std::move(arguments), server_user());
}

// pg_upgrade wants programs of the old version beside its server. Of 17 we have the server alone:
// pg_controldata of 16 reads its pg_control, and says what pg_resetwal is asked for, but for the
// next segment of WAL.
std::string Cluster::programs_to_upgrade_from() {
  if (version_ == 16) return complete_bin_of(16);
  const std::string bin = scratch_.file("old_bin"), tools = complete_bin_of(16);
  std::filesystem::create_directory(bin);
  for (const char* name : {"postgres", "pg_ctl"})
    std::filesystem::create_symlink(bin_ + "/" + name, bin + "/" + name);
  std::filesystem::create_symlink(tools + "/pg_controldata", bin + "/pg_controldata");
  std::ofstream(bin + "/pg_resetwal")
      << "#!/bin/sh\n[ $1 = -V ] && echo 'pg_resetwal (PostgreSQL) 17' && exit\n"
      << tools << "/pg_controldata \"$2\"\n"
      << "last=$(ls \"$2/pg_wal\" | grep -E '^[0-9A-F]{24}$' | tail -n 1)\n"
         "printf 'First log segment after reset: %s%08X\\n' ${last%????????} "
         "$((0x${last#????????????????} + 1))\n";
  std::filesystem::permissions(bin + "/pg_resetwal", std::filesystem::perms(0755));
  return bin;
}

void Cluster::upgrade() {
  constexpr int kNewVersion = 18;
  stop();
  const std::string old_data = data_, old_bin = programs_to_upgrade_from();
  data_ = scratch_.file("upgraded");
  version_ = kNewVersion;
  bin_ = complete_bin_of(version_);
  make_data({"--no-data-checksums"});
  configure();
  const std::string work = scratch_.file("upgrade");
  run_as_owner({"mkdir", work});
  run_as_owner(
      {"sh", "-c",
       fmt::format("cd {0} && {1}/pg_upgrade -b {2} -B {1} -d {3} -D {4} -U {5} -p {6} -P "
                   "{6} --no-sync || (cat {4}/pg_upgrade_output.d/*/*.log; false)",
                   work, bin_, old_bin, old_data, data_, options_.initdb_superuser, free_port())});
  start();
}

void Cluster::promote() {
  sql("SELECT pg_promote()");
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

void Cluster::fill_disk() {
  must_run({"prlimit", "--pid", std::to_string(server_->pid()), "--fsize=0:"}, server_user());
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
  auto finished = io::run({.arguments = {std::string(kDebianBin) + "/psql", "-XAtq", "-v",
                                         "ON_ERROR_STOP=1", "-d", url(database), "-f", script}},
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
