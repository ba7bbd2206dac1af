#include "postgres/setup.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <thread>

#include "harness/cluster.h"

namespace pgweir::postgres {
namespace {
using namespace std::chrono_literals;
using harness::shared_cluster;

class Setup : public ::testing::Test {
 protected:
  Setup() : database_(shared_cluster().create_database()) {
    control_ = std::make_unique<Connection>(
        Connection::open({.url = shared_cluster().url(database_)}).value());
  }
  std::string sql(const std::string& statements) {
    return shared_cluster().sql(statements, database_);
  }
  Result<Publications> ensure(const std::string& name = "pub") {
    const auto found = expand_tables(*control_, std::vector<std::string>{"*.*"}, {}).value();
    return ensure_publications(*control_, name, found.tables);
  }
  std::string members() {
    return sql(
        "SELECT string_agg(p.pubname || ':' || c.relname, ' ' ORDER BY 1)"
        " FROM (SELECT p.pubname, c.relname FROM pg_publication p"
        " JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid"
        " ORDER BY 1, 2) x(pubname, relname), LATERAL (SELECT x.pubname) p,"
        " LATERAL (SELECT x.relname) c");
  }

  std::string database_;
  std::unique_ptr<Connection> control_;
};

TEST_F(Setup, PublicationsAreMadeCompletedAndKept) {
  sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE \"B c\" (id int)");
  auto made = ensure();
  ASSERT_TRUE(made.ok()) << made.error().text();
  EXPECT_TRUE(made->changed);
  EXPECT_EQ(made->names, (std::vector<std::string>{"pub_append", "pub"}));
  EXPECT_EQ(made->append_only_tables, std::vector<std::string>{"public.B c"});
  EXPECT_EQ(members(), "pub:a pub_append:B c");
  EXPECT_EQ(sql("SELECT pubname, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot"
                " FROM pg_publication ORDER BY 1"),
            "pub|t|t|t|t|t\npub_append|t|f|f|t|t");
  EXPECT_FALSE(ensure()->changed);

  sql("CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE d (id int);"
      "ALTER TABLE \"B c\" REPLICA IDENTITY FULL; ALTER TABLE a DROP CONSTRAINT a_pkey");
  ASSERT_TRUE(ensure().ok());
  EXPECT_EQ(members(), "pub:B c pub:c pub_append:a pub_append:d");
  sql("UPDATE a SET id = 2; DELETE FROM d");
  ASSERT_TRUE(drop_publications(*control_, "pub").ok());
  EXPECT_EQ(sql("SELECT count(*) FROM pg_publication"), "0");
  EXPECT_TRUE(drop_publications(*control_, "pub").ok());
}

// PostgreSQL 15 and later.
TEST_F(Setup, PublicationsOfSchemasAreCompletedNotShrunk) {
  sql("CREATE TABLE a (id int PRIMARY KEY); CREATE SCHEMA s; CREATE TABLE s.b (id int PRIMARY KEY);"
      "CREATE PUBLICATION pub FOR TABLES IN SCHEMA s");
  ASSERT_TRUE(ensure().ok());
  EXPECT_EQ(members(), "pub:a");
  EXPECT_FALSE(ensure()->changed);
}

TEST_F(Setup, PublicationsOfOthersAreCompletedNotShrunk) {
  sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);"
      "CREATE TABLE c (id int PRIMARY KEY); CREATE PUBLICATION pub FOR TABLE b");
  const auto one = expand_tables(*control_, std::vector<std::string>{"public.a"}, {}).value();
  ASSERT_TRUE(ensure_publications(*control_, "pub", one.tables).ok());
  EXPECT_EQ(members(), "pub:a pub:b");
  sql("CREATE PUBLICATION everything FOR ALL TABLES");
  ASSERT_TRUE(ensure("everything").ok());
  EXPECT_EQ(members(), "pub:a pub:b");
}

TEST_F(Setup, MissingOwnershipNamesTheSqlForTheOwner) {
  sql("DO $$ BEGIN CREATE ROLE visitor LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;"
      "CREATE TABLE a (id int PRIMARY KEY)");
  auto visitor = Connection::open({.url = fmt::format("postgresql://visitor@127.0.0.1:{}/{}",
                                                      shared_cluster().port(), database_)});
  const auto found = expand_tables(*visitor, std::vector<std::string>{"*.*"}, {}).value();
  const auto made = ensure_publications(*visitor, "pub", found.tables);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, Code::kCheckFailed);
  EXPECT_NE(
      made.error().hint.find("CREATE PUBLICATION \"pub\" FOR TABLE ONLY \"public\".\"a\" WITH "
                             "(publish_via_partition_root = true);"),
      std::string::npos)
      << made.error().text();
  EXPECT_TRUE(visitor->execute("SELECT 1").ok());
}

TEST_F(Setup, SlotIsMadeShownAndDropped) {
  const std::string name = "made_" + database_;
  EXPECT_FALSE(slot_info(*control_, name).value().has_value());
  auto made = create_slot(*control_, {.name = name});
  ASSERT_TRUE(made.ok()) << made.error().text();
  EXPECT_FALSE(made->snapshot.empty());
  const auto info = slot_info(*control_, name).value();
  EXPECT_EQ(info->plugin, "pgoutput");
  EXPECT_EQ(info->database, database_);
  EXPECT_EQ(info->confirmed_flush, made->consistent_point);
  EXPECT_EQ(info->wal_status, "reserved");
  EXPECT_FALSE(info->lost() || info->temporary);
  EXPECT_NE(info->restart_lsn, model::Lsn{});

  auto again = create_slot(*control_, {.name = name});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(sqlstate_of(again.error()), "42710");
  EXPECT_TRUE(drop_slot(*control_, name, 0ms).ok());
  EXPECT_FALSE(slot_info(*control_, name).value().has_value());
  EXPECT_TRUE(drop_slot(*control_, name, 0ms).ok());
}

TEST_F(Setup, SlotCreationNamesTheTransactionItWaitsFor) {
  sql("CREATE TABLE t (id int)");
  auto blocker =
      Connection::open({.url = shared_cluster().url(database_), .application_name = "long report"});
  ASSERT_TRUE(blocker->execute("BEGIN; INSERT INTO public.t VALUES (1)").ok());
  const std::string name = "waits_" + database_;
  int waited_for = 0;
  CreateSlotOptions options{.name = name, .timeout = 300ms};
  options.on_wait = [&](const std::vector<Blocker>& found) { waited_for = found[0].pid; };
  options.on_wait_every = 50ms;
  const auto made = create_slot(*control_, options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, Code::kTimeout);
  EXPECT_EQ(waited_for, blocker->backend_pid());
  const std::string text = made.error().text();
  EXPECT_NE(text.find(fmt::format("process {} (user postgres, application 'long report', idle in "
                                  "transaction)",
                                  blocker->backend_pid())),
            std::string::npos)
      << text;
  EXPECT_NE(text.find(fmt::format("pg_terminate_backend({})", blocker->backend_pid())),
            std::string::npos);
  // Nothing is left behind, and it works once the transaction has ended.
  EXPECT_FALSE(slot_info(*control_, name).value().has_value());
  ASSERT_TRUE(blocker->execute("COMMIT").ok());
  EXPECT_TRUE(create_slot(*control_, {.name = name}).ok());
  EXPECT_TRUE(drop_slot(*control_, name, 10s).ok());
}

TEST_F(Setup, IdentityOfTheSystem) {
  const SystemIdentity identity = system_identity(*control_).value();
  EXPECT_EQ(identity.database, database_);
  EXPECT_EQ(identity.timeline, 1u);
  EXPECT_EQ(identity.system_identifier, sql("SELECT system_identifier FROM pg_control_system()"));
  EXPECT_GE(identity.server_version, 140000);
  EXPECT_NE(identity.current_lsn, model::Lsn{});
  EXPECT_GE(current_lsn(*control_).value(), identity.current_lsn);
}

}  // namespace
}  // namespace pgweir::postgres
