// Each thing that can be wrong with a source, and the finding that says so.
#include "postgres/preflight.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "harness/cluster.h"
#include "postgres/replication_stream.h"
#include "postgres/setup.h"

namespace pgweir::postgres {
namespace {
using harness::shared_cluster;

// "error code: message (detail) -> fix", a line each.
std::string render(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& finding : findings) {
    const char* severities[] = {"note", "warning", "error"};
    out += fmt::format("{} {}: {} ({}) -> {}\n", severities[static_cast<int>(finding.severity)],
                       finding.code, finding.message, finding.detail, finding.fix);
  }
  return out;
}

struct Case {
  const char* name;
  const char* user;
  const char* set_up;  // by the superuser, in a database of its own; {} is its name
  std::vector<std::string> tables;
  const char* findings;  // {} is the database's name
};

constexpr const char* kRoles =
    "DO $$ BEGIN CREATE ROLE pf_reader LOGIN REPLICATION; CREATE ROLE pf_plain LOGIN;"
    " EXCEPTION WHEN duplicate_object THEN END $$;";

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"NothingWrong", "postgres", "CREATE TABLE a (id int PRIMARY KEY)", {"public.*"}, ""},
      {"NoReplicationPrivilege",
       "pf_plain",
       "CREATE TABLE a (id int PRIMARY KEY); ALTER TABLE a OWNER TO pf_plain;"
       "GRANT CREATE ON DATABASE {0} TO pf_plain",
       {"public.*"},
       "error replication_privilege: role pf_plain may not replicate () -> ALTER ROLE \"pf_plain\" "
       "REPLICATION\n"},
      {"NoRightsToAnything",
       "pf_reader",
       "CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY)",
       {"s.*"},
       "error schema_privilege: role pf_reader may not use schema s () -> GRANT USAGE ON SCHEMA "
       "\"s\" "
       "TO \"pf_reader\"\n"
       "error select_privilege: role pf_reader may not read table s.a () -> GRANT SELECT ON "
       "\"s\".\"a\" TO \"pf_reader\"\n"
       "error publication_privilege: role pf_reader may not create publication 'pgweir' () -> "
       "GRANT "
       "CREATE ON DATABASE \"{0}\" TO \"pf_reader\"\n"
       "error table_ownership: only their owner can put these tables into publication 'pgweir' "
       "(s.a) -> Let their owner run: CREATE PUBLICATION \"pgweir\" FOR TABLE ONLY \"s\".\"a\" "
       "WITH "
       "(publish_via_partition_root = true)\n"
       "error publication_privilege: role pf_reader may not create publication 'pgweir_append' () "
       "-> "
       "GRANT CREATE ON DATABASE \"{0}\" TO \"pf_reader\"\n"},
      {"PublicationsMadeByTheOwner",
       "pf_reader",
       "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);"
       "GRANT SELECT ON a, b TO pf_reader; CREATE PUBLICATION pgweir FOR TABLE a;"
       "CREATE PUBLICATION pgweir_append WITH (publish = 'insert, truncate')",
       {"public.*"},
       "error publication_missing_table: publication 'pgweir' lacks tables, and role pf_reader may "
       "not add them (public.b) -> Let the owner of the tables and of the publication run: ALTER "
       "PUBLICATION \"pgweir\" ADD TABLE ONLY \"public\".\"b\"\n"},
      {"RowLevelSecurity",
       "pf_reader",
       "CREATE TABLE a (id int PRIMARY KEY); ALTER TABLE a ENABLE ROW LEVEL SECURITY;"
       "GRANT SELECT ON a TO pf_reader; CREATE PUBLICATION pgweir FOR TABLE a;"
       "CREATE PUBLICATION pgweir_append WITH (publish = 'insert, truncate')",
       {"public.*"},
       "error row_security: row-level security hides rows of table public.a from role pf_reader "
       "(the "
       "snapshot would miss them) -> ALTER ROLE \"pf_reader\" BYPASSRLS\n"},
      {"MissingTablesAndPatterns",
       "postgres",
       "CREATE TABLE a (id int PRIMARY KEY); CREATE VIEW v AS SELECT 1",
       {"public.a", "public.gone", "shop.*", "public.v"},
       "error table_missing: source.tables: public.gone matches no table () -> Create the table, "
       "or "
       "correct the name in source.tables\n"
       "error table_missing: source.tables: shop.* matches no table () -> Create the table, or "
       "correct the name in source.tables\n"
       "error table_missing: source.tables: public.v matches no table (it is a view) -> Create the "
       "table, or correct the name in source.tables\n"},
      {"TablesWithoutIdentity",
       "postgres",
       "CREATE TABLE a (id int); CREATE TABLE b (id int PRIMARY KEY);"
       "ALTER TABLE b REPLICA IDENTITY NOTHING",
       {"public.*"},
       "warning no_identity: table public.a has no usable replica identity: its inserts and "
       "truncates are captured, its updates and deletes are not (it has no primary key) -> ALTER "
       "TABLE \"public\".\"a\" REPLICA IDENTITY FULL\n"
       "warning no_identity: table public.b has no usable replica identity: its inserts and "
       "truncates are captured, its updates and deletes are not (it has a primary key, but its "
       "replica identity is not that key) -> ALTER TABLE \"public\".\"b\" REPLICA IDENTITY "
       "DEFAULT\n"},
      {"PublicationLeavesOut",
       "postgres",
       "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
       "CREATE PUBLICATION pgweir FOR TABLE p WITH (publish = 'insert, delete')",
       {"public.*"},
       "error publication_operations: publication 'pgweir' leaves out operations (update, "
       "truncate: rows that nobody tells of would stay in the mirrors as they were, and come a "
       "second time when their keys do) "
       "-> ALTER PUBLICATION \"pgweir\" SET (publish = 'insert, update, delete, truncate')\n"},
      // PostgreSQL 15 and later.
      {"PublicationFiltersPartitions",
       "postgres",
       "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
       "CREATE TABLE p1 PARTITION OF p DEFAULT;"
       "CREATE PUBLICATION pgweir FOR TABLE p1 WHERE (id > 1)",
       {"public.*"},
       "error publication_partition_root: publication 'pgweir' filters rows or columns of "
       "partitions of public.p, and sends them under their own names () -> ALTER PUBLICATION "
       "\"pgweir\" SET "
       "(publish_via_partition_root = true), or name the partitions in source.tables instead of "
       "their root\n"},
      {"PublicationOfEverything",
       "postgres",
       "CREATE TABLE a (id int PRIMARY KEY); CREATE PUBLICATION pgweir FOR ALL TABLES",
       {"public.*"},
       "warning publication_all_tables: publication 'pgweir' is FOR ALL TABLES (PostgreSQL then "
       "refuses UPDATE and DELETE on every table without a replica identity) -> Set "
       "source.publication to another name, or: DROP PUBLICATION \"pgweir\"\n"},
  };
  return all;
}

class PreflightCases : public ::testing::TestWithParam<Case> {};

TEST_P(PreflightCases, SaysWhatIsWrong) {
  const Case& test = GetParam();
  auto& cluster = shared_cluster();
  const std::string database = cluster.create_database();
  cluster.sql(kRoles + fmt::format(fmt::runtime(test.set_up), database), database);
  auto connection = Connection::open(
      {.url = fmt::format("postgresql://{}@127.0.0.1:{}/{}", test.user, cluster.port(), database)});
  ASSERT_TRUE(connection.ok()) << connection.error().text();
  const auto findings = preflight(*connection, {.slot = "slot_" + database, .tables = test.tables});
  ASSERT_TRUE(findings.ok()) << findings.error().text();
  EXPECT_EQ(render(*findings), fmt::format(fmt::runtime(test.findings), database));
  // What passes can be set up.
  if (first_error(*findings).ok()) {
    const auto found = expand_tables(*connection, test.tables, {}).value();
    const auto made = ensure_publications(*connection, "pgweir", found.tables);
    EXPECT_TRUE(made.ok()) << made.error().text();
    const auto again = preflight(*connection, {.slot = "slot_" + database, .tables = test.tables});
    EXPECT_TRUE(first_error(*again).ok()) << render(*again);
  }
}

INSTANTIATE_TEST_SUITE_P(All, PreflightCases, ::testing::ValuesIn(cases()),
                         [](const auto& chosen) { return std::string(chosen.param.name); });

std::string codes(Connection& connection, const std::string& slot) {
  const auto findings = preflight(connection, {.slot = slot, .tables = {"*.*"}});
  std::string out;
  for (const Finding& finding : findings.value()) out += finding.code + " ";
  return out;
}

TEST(Preflight, SlotInUseOfAnotherPluginOrDatabase) {
  auto& cluster = shared_cluster();
  const std::string database = cluster.create_database(), other = cluster.create_database();
  cluster.sql("CREATE TABLE a (id int PRIMARY KEY)", database);
  auto connection = Connection::open({.url = cluster.url(database)});
  auto elsewhere = Connection::open({.url = cluster.url(other)});
  ASSERT_TRUE(
      connection->execute("SELECT pg_create_physical_replication_slot('pf_physical')").ok());
  EXPECT_EQ(codes(*connection, "pf_physical"), "slot_plugin ");
  (void)create_slot(*elsewhere, {.name = "pf_elsewhere", .export_snapshot = false}).value();
  EXPECT_EQ(codes(*connection, "pf_elsewhere"), "slot_database ");
  (void)create_slot(*connection, {.name = "pf_ours", .export_snapshot = false}).value();
  EXPECT_EQ(codes(*connection, "pf_ours"), "");
  ASSERT_TRUE(ensure_publications(*connection, "pub", {}).ok());
  {
    auto reader = Connection::open({.url = cluster.url(database),
                                    .application_name = "the other one",
                                    .kind = ConnectionKind::kReplication});
    const int pid = reader->backend_pid();
    auto stream = ReplicationStream::start(std::move(reader).value(),
                                           {.slot = "pf_ours", .publications = {"pub"}});
    ASSERT_TRUE(stream.ok()) << stream.error().text();
    const auto findings = preflight(*connection, {.slot = "pf_ours", .tables = {"*.*"}}).value();
    EXPECT_EQ(
        render(findings),
        fmt::format("error slot_in_use: slot 'pf_ours' is in use (by process {0}, application "
                    "'the other one' from 127.0.0.1) -> Stop that reader, or: SELECT "
                    "pg_terminate_backend({0})\n",
                    pid));
    EXPECT_EQ(first_error(findings).error().code, Code::kCheckFailed);
  }
  for (const char* slot : {"pf_physical", "pf_elsewhere", "pf_ours"})
    EXPECT_TRUE(drop_slot(*connection, slot, Milliseconds(10'000)).ok());
}

TEST(Preflight, WalLevelAndLimits) {
  harness::ClusterOptions options;
  options.settings = {
      {"wal_level", "replica"}, {"max_wal_senders", "0"}, {"max_replication_slots", "0"}};
  harness::Cluster cluster(options);
  cluster.sql("CREATE TABLE a (id int PRIMARY KEY)");
  auto connection = Connection::open({.url = cluster.url()});
  EXPECT_EQ(codes(*connection, "pgweir"), "wal_level no_free_slot no_free_sender ");
  // What the server itself says when nobody has looked before.
  auto made = create_slot(*connection, {.name = "pgweir"});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, Code::kCheckFailed) << made.error().text();
}

TEST(Preflight, LostSlotIsADataIntegrityError) {
  harness::ClusterOptions options;
  options.settings = {
      {"max_slot_wal_keep_size", "1MB"}, {"max_wal_size", "32MB"}, {"min_wal_size", "32MB"}};
  harness::Cluster cluster(options);
  cluster.sql("CREATE TABLE a (id int PRIMARY KEY, t text)");
  auto connection = Connection::open({.url = cluster.url()});
  (void)create_slot(*connection, {.name = "pgweir", .export_snapshot = false}).value();
  for (int i = 0; i < 6; ++i)
    cluster.sql(
        "INSERT INTO a SELECT i, 'x' FROM generate_series(1, 1000) i ON CONFLICT DO NOTHING;"
        "SELECT pg_switch_wal(); CHECKPOINT");
  const auto info = slot_info(*connection, "pgweir").value();
  ASSERT_TRUE(info->lost()) << info->wal_status;
  const auto findings = preflight(*connection, {.tables = {"public.a"}}).value();
  EXPECT_EQ(render(findings),
            fmt::format("error slot_lost: slot 'pgweir' is lost (the server removed WAL that it "
                        "still needed, more than max_slot_wal_keep_size = 1.0 MiB) -> {}. Raise "
                        "max_slot_wal_keep_size before\n",
                        kResyncHint));
  EXPECT_EQ(first_error(findings).error().code, Code::kCorruption);
  auto reader = Connection::open({.url = cluster.url(), .kind = ConnectionKind::kReplication});
  const auto stream = ReplicationStream::start(std::move(reader).value(),
                                               {.slot = "pgweir", .publications = {"pub"}});
  ASSERT_FALSE(stream.ok());
  EXPECT_EQ(sqlstate_of(stream.error()), "55000") << stream.error().text();
}

}  // namespace
}  // namespace pgweir::postgres
