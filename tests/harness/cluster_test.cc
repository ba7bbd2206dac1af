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

}  // namespace pgweir::harness
