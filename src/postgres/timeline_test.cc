// What a timeline's history says of the WAL that we have taken.
#include "postgres/timeline.h"

#include <gtest/gtest.h>

#include "harness/cluster.h"

namespace pgweir::postgres {

TEST(Timeline, EndIsReadFromTheHistory) {
  constexpr const char* kHistory =
      "1\t0/3000000\tno recovery target specified\n\n# a remark\n3\t1/A0\tbefore 2020-01-01\n";
  EXPECT_EQ(end_of_timeline(kHistory, 1), model::Lsn{0x3000000});
  EXPECT_EQ(end_of_timeline(kHistory, 3), model::Lsn{0x1000000A0});
  EXPECT_FALSE(end_of_timeline(kHistory, 2));
  EXPECT_FALSE(end_of_timeline("", 1));
  EXPECT_FALSE(end_of_timeline("1", 1));
  EXPECT_FALSE(end_of_timeline("1\tnonsense", 1));
}

TEST(Timeline, OfARunningServer) {
  auto& cluster = harness::shared_cluster();
  auto control = Connection::open({.url = cluster.url()});
  auto replication = Connection::open({.url = cluster.url(), .kind = ConnectionKind::kReplication});
  const SystemIdentity system = system_identity(*control).value();
  EXPECT_TRUE(check_same_server(*replication, system).ok());
  EXPECT_EQ(old_primary("here", system, system.timeline + 1).code, Code::kCheckFailed);
  SystemIdentity other = system;
  other.timeline = 7;
  const Status switched = check_same_server(*replication, other);
  ASSERT_FALSE(switched.ok());
  EXPECT_EQ(switched.error().code, Code::kUnavailable);
}

}  // namespace pgweir::postgres
