// Publications that their users made: what they let through is what the mirrors have, from the
// first snapshot, the stream and later readings alike, and verify finds nothing else.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/scratch.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

// Row filters, column lists and schemas came with 15.
Cluster& cluster() {
  static Cluster own({.version = default_version() < 15 ? 18 : 0});
  return own;
}

class PublicationsTest : public testing::Test {
 protected:
  explicit PublicationsTest(Cluster& server = cluster())
      : cluster_(server), database_(server.create_database()) {}
  ~PublicationsTest() override {
    program_.reset();
    const std::string count =
        fmt::format("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", database_);
    wait_for(seconds(10), [&] { return sql(count + " AND active") == "0"; });
    if (sql(count) == "1") sql(fmt::format("SELECT pg_drop_replication_slot('{}')", database_));
  }

  void begin(const std::string& setup, const std::string& source = "",
             const std::string& more = "") {
    sql(setup);
    program_ = std::make_unique<Program>(
        scratch_.path(),
        fmt::format(
            "source: {{url: \"{}\", slot: {}, publication: pub, catalog_interval: 200ms{}}}\n"
            "data: {}/data\nengine: {{memory: 256MiB, mirrors: all}}\n{}",
            cluster_.url(database_), database_, source, scratch_.path(), more));
    program_->start();
    ASSERT_TRUE(program_->wait_ready());
  }

  std::string sql(const std::string& statements) { return cluster_.sql(statements, database_); }
  std::string ours(const std::string& select) { return program_->sql(select); }

  void change(const std::string& statements) {
    sql(statements);
    ASSERT_TRUE(program_->wait_position(sql("SELECT pg_current_wal_lsn()")));
  }
  void becomes(const std::string& select, const std::string& rows) {
    wait_for(seconds(60), [&] { return ours(select) == rows; });
    EXPECT_EQ(ours(select), rows);
  }
  std::string verify() { return run_program({"-c", program_->config_file(), "verify"}).output; }
  // Where a look at the catalog may yet tell of a table that is then read again.
  void becomes_equal() {
    std::string last;
    wait_for(seconds(60), [&] {
      last = verify();
      return last.find("verify: equal") != std::string::npos;
    });
    EXPECT_THAT(last, HasSubstr("verify: equal"));
  }

  Cluster& cluster_;
  ScratchFolder scratch_;
  const std::string database_;
  std::unique_ptr<Program> program_;
};

// On every version.
class PartitionsTest : public PublicationsTest {
 protected:
  PartitionsTest() : PublicationsTest(shared_cluster()) {}
};

}  // namespace

TEST_F(PublicationsTest, RowFiltersHoldForSnapshotStreamReadingAndVerify) {
  begin(
      "CREATE TABLE t (id int PRIMARY KEY, region text NOT NULL, v text);"
      "ALTER TABLE t REPLICA IDENTITY FULL;"
      "INSERT INTO t SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, 'v' FROM "
      "generate_series(1, 1000) i; CREATE TABLE u (id int PRIMARY KEY);"
      "CREATE TABLE p (id int PRIMARY KEY, a int) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);"
      "INSERT INTO p VALUES (1, 1), (5, 5), (11, 11), (15, 15);"
      "CREATE PUBLICATION pub FOR TABLE t WHERE (region = 'eu'), TABLE u, TABLE p WHERE (id > 4)"
      " WITH (publish_via_partition_root = true)");
  EXPECT_EQ(ours("SELECT count(*), min(region), max(region) FROM t"), "500|eu|eu");
  EXPECT_EQ(ours("SELECT id FROM p ORDER BY 1"), "5;11;15");
  EXPECT_THAT(verify(), HasSubstr("verify: equal"));

  // Rows that move in and out of the filter come as inserts and deletes.
  change(
      "UPDATE t SET region = 'eu' WHERE id = 1; UPDATE t SET region = 'us' WHERE id = 2;"
      "UPDATE t SET v = 'w' WHERE id IN (3, 4); DELETE FROM t WHERE id IN (5, 6);"
      "INSERT INTO t VALUES (2001, 'us', 'x'), (2002, 'eu', 'x'); INSERT INTO u VALUES (1);"
      "INSERT INTO p VALUES (2, 2), (6, 6); UPDATE p SET id = 7 WHERE id = 1;"
      "UPDATE p SET id = 3 WHERE id = 11");
  EXPECT_EQ(ours("SELECT id, v FROM t WHERE id < 8 OR id > 2000 ORDER BY id"), "1|v;4|w;2002|x");
  EXPECT_EQ(ours("SELECT id FROM p ORDER BY 1"), "5;6;7;15");
  EXPECT_THAT(verify(), HasSubstr("verify: equal"));

  const io::Finished read =
      run_program({"-c", program_->config_file(), "snapshot", "--table", "public.*"});
  EXPECT_EQ(read.exit_code, 0) << read.output;
  wait_for(seconds(60), [&] { return program_->status()["source"]["reads"].empty(); });
  change("INSERT INTO t VALUES (2003, 'us', 'y'), (2004, 'eu', 'y')");
  EXPECT_EQ(ours("SELECT count(*), min(region), max(region) FROM t"), "501|eu|eu");
  EXPECT_THAT(verify(), HasSubstr("verify: equal"));

  // Another filter, then none: the table is read again by itself.
  sql("ALTER PUBLICATION pub SET TABLE t WHERE (region = 'us'), u, p");
  becomes("SELECT count(*), min(region), max(region) FROM t",
          sql("SELECT count(*) FROM t WHERE region = 'us'") + "|us|us");
  becomes("SELECT count(*) FROM p", "6");
  sql("ALTER PUBLICATION pub SET TABLE t, u, p");
  becomes("SELECT count(*) FROM t", sql("SELECT count(*) FROM t"));
  EXPECT_THAT(verify(), HasSubstr("verify: equal"));
  EXPECT_EQ(program_->terminate(), 0) << program_->output();
}

TEST_F(PublicationsTest, ColumnListsHoldForSnapshotStreamReadingAndVerify) {
  begin(
      "CREATE TABLE t (id int PRIMARY KEY, secret text, v text);"
      "INSERT INTO t VALUES (1, 'hidden', 'a'); CREATE PUBLICATION pub FOR TABLE t (id, v)");
  change(
      "INSERT INTO t VALUES (2, 'hidden', 'b'); UPDATE t SET v = 'c', secret = 'x' WHERE id = 1");
  EXPECT_EQ(ours("SELECT * FROM t ORDER BY id"), "1|c;2|b");
  EXPECT_EQ(
      run_program({"-c", program_->config_file(), "snapshot", "--table", "public.t"}).exit_code, 0);
  wait_for(seconds(60), [&] { return program_->status()["source"]["reads"].empty(); });
  EXPECT_EQ(ours("SELECT * FROM t ORDER BY id"), "1|c;2|b");
  EXPECT_THAT(verify(), HasSubstr("verify: equal"));
  EXPECT_EQ(program_->terminate(), 0) << program_->output();
}

TEST_F(PublicationsTest, TablesThatNobodyAskedForComeToNobody) {
  begin(
      "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY);"
      "CREATE TABLE secret (id int PRIMARY KEY); INSERT INTO secret VALUES (1);"
      "CREATE PUBLICATION pub FOR ALL TABLES",
      ", tables: [\"public.a*\"], exclude: [public.secret]",
      fmt::format(
          "sinks: {{lake: {{type: parquet, path: {}/lake, roll: {{every: 100ms, size: 1MiB}}}}}}\n",
          scratch_.path()));
  change(
      "INSERT INTO secret VALUES (2); INSERT INTO a VALUES (1); UPDATE secret SET id = 3 WHERE id "
      "= 2;"
      "INSERT INTO other VALUES (1); BEGIN; INSERT INTO secret VALUES (9); INSERT INTO a VALUES "
      "(2);"
      "TRUNCATE secret, other; COMMIT; CREATE TABLE a_later (id int PRIMARY KEY);"
      "INSERT INTO a_later VALUES (1)");
  EXPECT_EQ(ours("SELECT id FROM a ORDER BY 1"), "1;2");
  becomes("SELECT id FROM a_later ORDER BY 1", "1");
  EXPECT_THAT(ours("SELECT * FROM secret"), HasSubstr("does not exist"));
  EXPECT_EQ(ours("SELECT DISTINCT \"table\" FROM pgweir.activity ORDER BY 1"), "a;a_later");
  ASSERT_TRUE(program_->wait_follower("lake", sql("SELECT pg_current_wal_lsn()")));
  EXPECT_EQ(program_->terminate(), 0) << program_->output();
  const std::vector<std::string> folders = {"/lake/table=public.secret",
                                            "/lake/table=public.other"};
  for (const std::string& folder : folders)
    EXPECT_FALSE(std::filesystem::exists(scratch_.path() + folder)) << folder;
  EXPECT_TRUE(std::filesystem::exists(scratch_.path() + "/lake/table=public.a"));
}

TEST_F(PublicationsTest, TablesOfASchemaComeAsTheyAreMade) {
  begin(
      "CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY); INSERT INTO s.a VALUES (1);"
      "CREATE PUBLICATION pub FOR TABLES IN SCHEMA s",
      ", tables: [s.*]");
  change(
      "INSERT INTO s.a VALUES (2); CREATE TABLE s.b (id int PRIMARY KEY); INSERT INTO s.b VALUES "
      "(1)");
  EXPECT_EQ(ours("SELECT id FROM s.a ORDER BY 1"), "1;2");
  becomes("SELECT id FROM s.b", "1");
  EXPECT_THAT(verify(), HasSubstr("verify: equal"));
  EXPECT_EQ(program_->terminate(), 0) << program_->output();
}

TEST_F(PartitionsTest, SentByNameAreTheirRootOrTablesOfTheirOwn) {
  begin(
      "CREATE TABLE p (id int, a int, PRIMARY KEY (id)) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE p2 (a int, gone int, id int NOT NULL, PRIMARY KEY (id));"
      "ALTER TABLE p2 DROP gone; ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);"
      "CREATE TABLE q (id int PRIMARY KEY, a int) PARTITION BY RANGE (id);"
      "CREATE TABLE q1 PARTITION OF q FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE q2 PARTITION OF q FOR VALUES FROM (10) TO (20);"
      "INSERT INTO p VALUES (1, 1), (11, 11); INSERT INTO q VALUES (1, 1), (11, 11);"
      "CREATE PUBLICATION pub FOR TABLE p, q WITH (publish_via_partition_root = false)",
      ", tables: [public.p, public.q1]");
  EXPECT_EQ(ours("SELECT * FROM p ORDER BY 1"), "1|1;11|11");
  EXPECT_EQ(ours("SELECT * FROM q1 ORDER BY 1"), "1|1");
  change(
      "INSERT INTO p VALUES (2, 2), (12, 12); UPDATE p SET a = 0 WHERE id IN (1, 11);"
      "UPDATE p SET id = 13 WHERE id = 2; DELETE FROM p WHERE id = 12;"
      "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30); INSERT INTO p VALUES (21, 21);"
      "INSERT INTO q VALUES (2, 2), (12, 12); UPDATE q SET id = 13 WHERE id = 2");
  EXPECT_EQ(ours("SELECT * FROM p ORDER BY 1"), "1|0;11|0;13|2;21|21");
  EXPECT_EQ(ours("SELECT * FROM q1 ORDER BY 1"), "1|1");
  EXPECT_THAT(ours("SELECT * FROM q2"), HasSubstr("does not exist"));
  EXPECT_THAT(verify(), HasSubstr("verify: equal"));
  // A partition's own TRUNCATE is not sent as its root's; the catalog tells.
  sql("TRUNCATE p2");
  becomes("SELECT * FROM p ORDER BY 1", "1|0;21|21");
  change("TRUNCATE p; TRUNCATE q1; INSERT INTO p VALUES (3, 3)");
  EXPECT_EQ(ours("SELECT * FROM q1"), "");
  becomes("SELECT * FROM p", "3|3");
  becomes_equal();
  EXPECT_EQ(program_->terminate(), 0) << program_->output();
}

// Rows and columns that nobody lets through are neither compared nor given.
TEST_F(PublicationsTest, AResyncComparesWhatIsLetThrough) {
  begin(
      "CREATE TABLE t (id int, region text, v text, secret text, PRIMARY KEY (id, region));"
      "INSERT INTO t SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, 'v', 's' FROM"
      " generate_series(1, 1000) i;"
      "CREATE PUBLICATION pub FOR TABLE t (id, region, v) WHERE (region = 'eu')");
  EXPECT_EQ(ours("SELECT count(*) FROM t"), "500");
  ASSERT_EQ(program_->terminate(), 0) << program_->output();
  sql(fmt::format("SELECT pg_drop_replication_slot('{}')", database_));
  sql("UPDATE t SET v = 'x' WHERE id % 100 IN (0, 1); UPDATE t SET secret = 'other';"
      "DELETE FROM t WHERE id % 100 IN (2, 3); UPDATE t SET region = 'eu' WHERE id % 100 = 5;"
      "UPDATE t SET region = 'us' WHERE id % 100 = 6;"
      "INSERT INTO t VALUES (2001, 'us', 'n', 's'), (2002, 'eu', 'n', 's')");
  program_->start();
  EXPECT_EQ(program_->wait(), 5);
  program_->start({"--resync"});
  ASSERT_TRUE(program_->wait_ready()) << program_->output();
  change("UPDATE t SET v = 'later' WHERE id = 10");
  EXPECT_EQ(ours("SELECT op, CAST(sum(changes) AS BIGINT) FROM pgweir.activity WHERE \"table\" ="
                 " 't' GROUP BY op ORDER BY op"),
            "d|20;i|11;r|500;u|11");
  EXPECT_EQ(ours("SELECT count(*), sum(id), max(region), min(v) FROM t"), "491|247972|eu|later");
  EXPECT_THAT(ours("SELECT secret FROM t"), HasSubstr("secret"));
  EXPECT_THAT(verify(), HasSubstr("verify: equal"));
  EXPECT_EQ(program_->terminate(), 0) << program_->output();
}

// What was done to a partition while it was away, nobody sends.
TEST_F(PartitionsTest, DetachedFilledAndAttachedAgainAreReadAgain) {
  begin(
      "CREATE TABLE p (id int PRIMARY KEY, a int) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (30) PARTITION BY RANGE (id);"
      "CREATE TABLE p21 PARTITION OF p2 FOR VALUES FROM (10) TO (20);"
      "CREATE TABLE q (id int PRIMARY KEY, a int) PARTITION BY RANGE (id);"
      "CREATE TABLE q1 PARTITION OF q FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE n (id int, a int) PARTITION BY RANGE (id);"
      "CREATE TABLE n1 PARTITION OF n FOR VALUES FROM (0) TO (10);"
      "ALTER TABLE n REPLICA IDENTITY FULL; ALTER TABLE n1 REPLICA IDENTITY FULL;"
      "CREATE TABLE parent (id int PRIMARY KEY, a int);"
      "CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);"
      "INSERT INTO p VALUES (1, 1), (2, 2), (11, 11); INSERT INTO q VALUES (1, 1);"
      "INSERT INTO n VALUES (1, 1), (1, 1), (2, 2); INSERT INTO parent VALUES (1, 1);"
      "INSERT INTO child VALUES (2, 2); CREATE PUBLICATION pub FOR TABLE p, n, q, q1, ONLY parent, "
      "child"
      " WITH (publish_via_partition_root = false);",
      ", tables: [public.p, public.q, public.n, public.parent, public.child]");
  const auto expect = [&](const char* p, const char* q, const char* n) {
    becomes("SELECT * FROM p ORDER BY 1", p);
    becomes("SELECT * FROM q ORDER BY 1", q);
    becomes("SELECT * FROM n ORDER BY 1", n);
    becomes_equal();
  };
  // Between two looks, and with nothing said of the table behind it.
  sql("BEGIN; ALTER TABLE p DETACH PARTITION p1; INSERT INTO p1 VALUES (3, 3); UPDATE p1 SET a = 0"
      " WHERE id = 1; DELETE FROM p1 WHERE id = 2; ALTER TABLE p ATTACH PARTITION p1 FOR VALUES"
      " FROM (0) TO (10); ALTER TABLE q DETACH PARTITION q1; INSERT INTO q1 VALUES (3, 3);"
      "ALTER TABLE q ATTACH PARTITION q1 FOR VALUES FROM (0) TO (10);"
      "ALTER TABLE n DETACH PARTITION n1; DELETE FROM n1 WHERE ctid = '(0,1)'; INSERT INTO n1"
      " VALUES (2, 2); ALTER TABLE n ATTACH PARTITION n1 FOR VALUES FROM (0) TO (10); COMMIT");
  expect("1|0;3|3;11|11", "1|1;3|3", "1|1;2|2;2|2");
  // With a row behind it, of an inner partition with all its leaves.
  sql("BEGIN; ALTER TABLE p DETACH PARTITION p2; INSERT INTO p2 VALUES (12, 12); DELETE FROM p21"
      " WHERE id = 11; ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (30);"
      "INSERT INTO p VALUES (13, 13); COMMIT;"
      "BEGIN; ALTER TABLE child NO INHERIT parent; INSERT INTO child VALUES (3, 3); UPDATE child"
      " SET a = 0 WHERE id = 2; ALTER TABLE child INHERIT parent; COMMIT");
  expect("1|0;3|3;12|12;13|13", "1|1;3|3", "1|1;2|2;2|2");
  becomes("SELECT * FROM parent", "1|1");
  becomes("SELECT * FROM child ORDER BY 1", "2|0;3|3");
  // While nobody looks.
  ASSERT_EQ(program_->terminate(), 0) << program_->output();
  sql("ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY");
  sql("INSERT INTO p1 VALUES (4, 4); ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10);"
      "ALTER TABLE q DETACH PARTITION q1; TRUNCATE q1; INSERT INTO q1 VALUES (5, 5);"
      "ALTER TABLE q ATTACH PARTITION q1 FOR VALUES FROM (0) TO (10)");
  program_->start();
  ASSERT_TRUE(program_->wait_ready()) << program_->output();
  expect("1|0;3|3;4|4;12|12;13|13", "5|5", "1|1;2|2;2|2");
  sql("VACUUM FREEZE pg_inherits");
  sql("VACUUM FULL pg_inherits");
  change("INSERT INTO p VALUES (5, 5)");
  EXPECT_EQ(ours("SELECT count(*) FROM p"), "6");
  // One whose rows were none of ours before, and that are none again.
  sql("CREATE TABLE p3 (id int PRIMARY KEY, a int); INSERT INTO p3 VALUES (30, 30)");
  sql("ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (30) TO (40)");
  becomes("SELECT count(*) FROM p", "7");
  change("INSERT INTO p VALUES (31, 31)");
  EXPECT_EQ(ours("SELECT count(*) FROM p"), "8");
  sql("ALTER TABLE p DETACH PARTITION p3");
  becomes("SELECT count(*) FROM p", "6");
  change("INSERT INTO p3 VALUES (32, 32); UPDATE p3 SET a = 0");
  EXPECT_EQ(ours("SELECT count(*) FROM p"), "6");
  becomes_equal();
  EXPECT_EQ(program_->terminate(), 0) << program_->output();
}

TEST_F(PublicationsTest, OneThatLeavesOutOperationsIsRefusedWithTheCommand) {
  sql("CREATE TABLE t (id int PRIMARY KEY, a int);"
      "CREATE PUBLICATION pub FOR TABLE t WITH (publish = 'insert, update')");
  Program program(
      scratch_.path(),
      fmt::format("source: {{url: \"{}\", slot: {}, publication: pub}}\ndata: {}/data\n",
                  cluster_.url(database_), database_, scratch_.path()));
  program.start();
  EXPECT_EQ(program.wait(), 4);
  EXPECT_THAT(program.output(),
              AllOf(HasSubstr("leaves out operations"), HasSubstr("delete, truncate"),
                    HasSubstr("SET (publish = 'insert, update, delete, truncate')")));
}

}  // namespace pgweir::harness
