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

class Cluster;

struct ClusterOptions {
  // postgresql.conf settings beside the defaults below: wal_level=logical, max_wal_senders=20,
  // max_replication_slots=20, fsync=off, and both TCP on loopback and a socket in the folder.
  std::map<std::string, std::string> settings;
  // The major version; 0 is the one that PGWEIR_POSTGRES names in the environment, else Debian's.
  int version = 0;
  // The installation with every program and pgvector, which 16 and 18 have.
  bool complete = false;
  // pg_hba.conf; "" trusts everybody on loopback.
  std::string hba;
  std::string initdb_superuser = "postgres";
  std::vector<std::string> initdb_arguments;  // more of them
  // A physical standby of this cluster, which must outlive the constructor: its copy, streaming
  // through a slot named 'standby'. The primary is restarted for it.
  Cluster* standby_of = nullptr;
  // Not initdb's, but this folder of data, which is moved: a copy of a server that has stopped, or
  // a base backup.
  std::string files;
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
  // Of a standby; returns when it takes writes.
  void promote();
  const std::string& bin() const { return bin_; }
  int version() const { return version_; }
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
  // By pg_upgrade 18, from 16 or 17: stops it, and starts the new cluster on the same port with the
  // same settings.
  void upgrade();
  // A program of PostgreSQL's as the servers' user, to its end; the test program is aborted when it
  // fails.
  void run_as_owner(std::vector<std::string> arguments);
  // Until the next start() the server's new processes cannot write to any file, as on a full disk.
  void fill_disk();
  std::string server_log() const;

 private:
  void make_data(std::vector<std::string> more_arguments);
  void configure();
  std::string programs_to_upgrade_from();
  void copy_data(Cluster& primary);

  ClusterOptions options_;
  int version_;
  ScratchFolder scratch_;
  std::string bin_;
  std::string data_;
  int port_ = 0;
  int databases_ = 0;
  std::atomic<int> scripts_{0};
  std::unique_ptr<io::Process> server_;
};

// The major version of a cluster that names none.
int default_version();

// One cluster shared by all tests of a program that ask for it, started on first use: a test takes
// a database of its own in it.
Cluster& shared_cluster();

}  // namespace pgweir::harness
