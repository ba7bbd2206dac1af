#include "harness/cluster.h"

#include <gtest/gtest.h>

namespace pgweir::harness {

TEST(Cluster, AnswersAndSurvivesARestart) {
  Cluster cluster;
  const std::string database = cluster.create_database();
  cluster.sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2);", database);
  EXPECT_EQ(cluster.sql("SELECT sum(a) FROM t", database), "3");
  cluster.stop();
  cluster.start();
  EXPECT_EQ(cluster.sql("SELECT count(*) FROM t; SHOW wal_level", database), "2\nlogical");
}

TEST(Cluster, IsReadyAgainAfterEveryKill) {
  Cluster cluster;
  for (int kill = 0; kill < 5; ++kill) {
    cluster.sql("CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t VALUES (1)");
    cluster.stop(Cluster::Stop::kKill);
    cluster.start();
  }
  EXPECT_EQ(cluster.sql("SELECT count(*) FROM t"), "5");
}

TEST(Cluster, IsOfTheVersionAskedFor) {
  Cluster cluster;
  EXPECT_EQ(cluster.sql("SELECT current_setting('server_version_num')::int / 10000"),
            std::to_string(default_version()));
}

}  // namespace pgweir::harness
