// A private PostgreSQL: made by initdb in a scratch folder, on a free port, as a non-root user.
//
// Life: the server is stopped and its folder removed when the Cluster is destroyed.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/scratch.h"
#include "io/process.h"

namespace pgweir::harness {

struct ClusterOptions {
  // postgresql.conf settings beside the defaults below: wal_level=logical, max_wal_senders=20,
  // max_replication_slots=20, fsync=off, and both TCP on loopback and a socket in the folder.
  std::map<std::string, std::string> settings;
  // Folder of initdb and postgres; "" is the newest Debian package there is.
  std::string bin;
  // pg_hba.conf; "" trusts everybody on loopback.
  std::string hba;
  std::string initdb_superuser = "postgres";
};

class Cluster {
 public:
  // Starts a server, or aborts the test program with the server's own words.
  explicit Cluster(ClusterOptions options = {});
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  int port() const { return port_; }
  const std::string& directory() const { return data_; }
  const std::string& bin() const { return bin_; }
  // "postgresql://postgres@127.0.0.1:PORT/DATABASE"
  std::string url(const std::string& database = "postgres") const;
  // Creates a database of a fresh name and returns its name.
  std::string create_database();
  // Runs SQL (several statements are fine) through psql and returns unaligned, tuples-only output
  // without the last newline. A failing statement fails the test and returns what psql said. Any
  // thread.
  std::string sql(const std::string& statements, const std::string& database = "postgres");

  enum class Stop { kFast, kImmediate, kKill };
  void stop(Stop how = Stop::kFast);
  // After stop(): the same data, the same port.
  void start();
  std::string server_log() const;

 private:
  ClusterOptions options_;
  ScratchFolder scratch_;
  std::string bin_;
  std::string data_;
  int port_ = 0;
  int databases_ = 0;
  std::atomic<int> scripts_{0};
  std::unique_ptr<io::Process> server_;
};

// One cluster shared by all tests of a program that ask for it, started on first use: a test takes
// a database of its own in it.
Cluster& shared_cluster();

}  // namespace pgweir::harness
