// What only some versions of PostgreSQL have.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/scratch.h"

namespace pgweir::harness {

TEST(PostgreSQL18, StoredGeneratedColumnsComeWhereTheyArePublished) {
  Cluster cluster({.version = 18});
  cluster.sql(
      "CREATE TABLE sent (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED,"
      " never int GENERATED ALWAYS AS (a + 1) VIRTUAL, b text);"
      "CREATE TABLE listed (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) "
      "STORED,"
      " more int GENERATED ALWAYS AS (a * 3) STORED);"
      "INSERT INTO sent (id, a, b) VALUES (1, 1, 'x'), (2, 2, 'y');"
      "INSERT INTO listed (id, a) VALUES (1, 1), (2, 2);"
      "CREATE PUBLICATION pgweir FOR TABLE sent, TABLE listed (id, twice)"
      " WITH (publish_generated_columns = stored)");
  ScratchFolder scratch;
  Program program(scratch.path(),
                  fmt::format("source: {{url: \"{}\"}}\ndata: {}/data\n"
                              "engine: {{memory: 256MiB, mirrors: all}}\n"
                              "views: {{total: SELECT sum(twice) AS total FROM sent}}\n",
                              cluster.url(), scratch.path()));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  const auto expect = [&](const std::string& sent, const std::string& listed,
                          const std::string& total) {
    ASSERT_TRUE(program.wait_position(cluster.sql("SELECT pg_current_wal_lsn()")));
    EXPECT_EQ(program.sql("SELECT * FROM sent ORDER BY id"), sent);
    EXPECT_EQ(program.sql("SELECT * FROM listed ORDER BY id"), listed);
    EXPECT_EQ(program.sql("SELECT * FROM total"), total);
  };
  expect("1|1|2|x;2|2|4|y", "1|2;2|4", "6");
  cluster.sql(
      "INSERT INTO sent (id, a, b) VALUES (3, 3, 'z'); UPDATE sent SET a = 10 WHERE id = 1;"
      "DELETE FROM sent WHERE id = 2; INSERT INTO listed (id, a) VALUES (3, 3);"
      "UPDATE listed SET a = 10 WHERE id = 1");
  expect("1|10|20|x;3|3|6|z", "1|20;2|4;3|6", "26");
  EXPECT_EQ(program.terminate(), 0) << program.output();
}

}  // namespace pgweir::harness
