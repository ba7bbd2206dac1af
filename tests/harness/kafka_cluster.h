// A real Kafka: one broker or three in KRaft mode, in a scratch folder, on free ports.
//
// Life: the brokers are killed and their folder removed when the KafkaCluster is destroyed; they
// die with the test program, however it ends. Threads: one thread at a time.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/scratch.h"
#include "io/process.h"

// First in every test that needs a broker: skips the test where Java or Kafka is not installed. It
// fails there if the environment has CI, as .ci/run sees to.
#define PGWEIR_NEEDS_KAFKA()                                                                 \
  do {                                                                                       \
    if (const auto missing = ::pgweir::harness::KafkaCluster::missing(); !missing.empty()) { \
      if (::pgweir::harness::KafkaCluster::is_required()) GTEST_FAIL() << missing;           \
      GTEST_SKIP() << missing;                                                               \
    }                                                                                        \
  } while (false)

namespace pgweir::harness {

// A second way in, by TLS both ways and SASL/PLAIN.
struct KafkaGuard {
  std::string certificate_file;  // PEM for 127.0.0.1, also the one that clients must show
  std::string key_file;
  std::string user;
  std::string password;
};

struct KafkaOptions {
  int nodes = 1;  // each is broker and controller; three replicate everything three times
  // server.properties beside what a small cluster needs. No topic is made by being named, unless
  // auto.create.topics.enable says so here.
  std::map<std::string, std::string> settings;
  std::optional<KafkaGuard> guard;
};

class KafkaCluster {
 public:
  // "" where there are Java and the broker's files, else what is missing and how it comes.
  static std::string missing();
  static bool is_available() { return missing().empty(); }
  // Whether a test may not do without.
  static bool is_required();

  // Starts all nodes and waits until they are ready, or aborts the test program with the broker's
  // own words. Requires is_available().
  explicit KafkaCluster(KafkaOptions options = {});
  ~KafkaCluster();
  KafkaCluster(const KafkaCluster&) = delete;
  KafkaCluster& operator=(const KafkaCluster&) = delete;

  int node_count() const { return options_.nodes; }
  // Of all nodes, whether they run or not.
  std::string bootstrap_servers() const;

  // Those of the guarded way in; requires KafkaOptions::guard.
  std::string guarded_servers() const;

  // Nodes count from 1.
  void kill(int node);        // SIGKILL, and waits for the end
  void launch(int node);      // after kill(): the same data and port; does not wait
  void wait_ready(int node);  // aborts the test program when it takes a minute
  void start(int node);       // launch() and wait_ready()
  void pause(int node);       // it keeps its sockets and answers nothing
  void resume(int node);      // after pause()
  bool is_running(int node);
  std::string log(int node) const;  // everything it has written since the first start

  // One of Kafka's own tools, to its end: the class, and what it is told.
  // {"org.apache.kafka.tools.TopicCommand", "--list", "--bootstrap-server", ...}
  static io::Finished run_tool(std::vector<std::string> arguments);

 private:
  struct Node {
    int port = 0;
    int controller_port = 0;
    int guarded_port = 0;
    std::size_t log_bytes_before = 0;  // at the last launch
    std::unique_ptr<io::Process> process;
  };
  void guard(int node, std::map<std::string, std::string>& settings);
  void configure(int node, const std::string& voters);
  void format();
  Node& at(int node);
  std::string file(int node, const std::string& name) const;

  const KafkaOptions options_;
  ScratchFolder scratch_;
  std::vector<Node> nodes_;  // behind the folder: they end before it goes
};

// One broker shared by all tests of a program that ask for it, started on first use: a test takes
// topics of its own in it.
KafkaCluster& shared_kafka();

}  // namespace pgweir::harness
