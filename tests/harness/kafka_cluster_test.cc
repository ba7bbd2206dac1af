#include "harness/kafka_cluster.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace pgweir::harness {
namespace {

std::string tool(const std::string& name, const KafkaCluster& cluster,
                 std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"org.apache.kafka.tools." + name, "--bootstrap-server",
                                       cluster.bootstrap_servers()});
  const auto finished = KafkaCluster::run_tool(arguments);
  EXPECT_EQ(finished.exit_code, 0) << finished.output;
  return finished.output;
}

}  // namespace

TEST(KafkaCluster, OfThreeAnswersKafkasOwnToolsAndTakesAKilledOneBack) {
  PGWEIR_NEEDS_KAFKA();
  KafkaCluster cluster({.nodes = 3});
  tool("TopicCommand", cluster,
       {"--create", "--topic", "kept", "--partitions", "2", "--replication-factor", "3"});
  cluster.kill(1);
  EXPECT_FALSE(cluster.is_running(1));
  EXPECT_TRUE(cluster.is_running(2) && cluster.is_running(3));
  cluster.start(1);
  EXPECT_TRUE(cluster.is_running(1));
  EXPECT_THAT(tool("TopicCommand", cluster, {"--describe", "--topic", "kept"}),
              testing::AllOf(testing::HasSubstr("PartitionCount: 2"),
                             testing::HasSubstr("ReplicationFactor: 3")));
}

// One node, as most tests have it.
TEST(KafkaCluster, DiesWithTheTest) {
  PGWEIR_NEEDS_KAFKA();
  ScratchFolder scratch;
  // The broker inherits its end: the other one tells when nobody is left who has it.
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // A test program in the midst of a test.
    ::setenv("TMPDIR", scratch.path().c_str(), 1);
    ::close(ends[0]);
    KafkaCluster cluster;
    if (::write(ends[1], "r", 1) == 1) ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  ::close(ends[1]);
  char ready = 0;
  EXPECT_EQ(::read(ends[0], &ready, 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  pollfd end{ends[0], POLLIN, 0};
  EXPECT_EQ(::poll(&end, 1, 10'000), 1) << "the broker lives on";
  EXPECT_EQ(end.revents, POLLHUP);
  ::close(ends[0]);
}

}  // namespace pgweir::harness
