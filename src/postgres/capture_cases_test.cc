// SQL in, decoded changes out, on a real server.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "harness/wait.h"
#include "postgres/testing_capture.h"

namespace pgweir::postgres {
namespace {
using testing_capture::Capture;

struct Case {
  const char* name;
  const char* set_up;
  const char* sql;
  const char* changes;
};

const Case kCases[] = {
    {"OneKeyInOneTransaction", "CREATE TABLE t (id int PRIMARY KEY, a text)",
     "BEGIN; INSERT INTO t VALUES (1, 'x'); UPDATE t SET a = 'y'; DELETE FROM t; COMMIT",
     "i public.t 1|x\nu public.t 1|y\nd public.t key 1|-\ncommit\n"},
    {"KeyUpdateSendsTheOldKey", "CREATE TABLE t (id int PRIMARY KEY, a text)",
     "INSERT INTO t VALUES (1, 'x'); UPDATE t SET id = 2",
     "i public.t 1|x\ncommit\nu public.t key 1|- -> 2|x\ncommit\n"},
    {"TwoKeysAreSwapped",
     "CREATE TABLE t (id int PRIMARY KEY, a text);"
     "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
     "BEGIN; UPDATE t SET id = 3 WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2;"
     "UPDATE t SET id = 2 WHERE id = 3; COMMIT",
     "u public.t key 1|- -> 3|x\nu public.t key 2|- -> 1|y\nu public.t key 3|- -> 2|x\ncommit\n"},
    {"DeleteAndInsertOfOneKey", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
     "BEGIN; DELETE FROM t; INSERT INTO t VALUES (1); COMMIT",
     "d public.t key 1\ni public.t 1\ncommit\n"},
    {"CompositeKeyInOtherOrder", "CREATE TABLE t (a int, b text, c int, PRIMARY KEY (c, a))",
     "INSERT INTO t VALUES (1, 'x', 2); UPDATE t SET c = 3; DELETE FROM t",
     "i public.t 1|x|2\ncommit\nu public.t key 1|-|2 -> 1|x|3\ncommit\n"
     "d public.t key 1|-|3\ncommit\n"},
    {"IdentityFullWithDuplicates",
     "CREATE TABLE t (a int, b text); ALTER TABLE t REPLICA IDENTITY FULL",
     "INSERT INTO t VALUES (1, 'x'), (1, 'x'); UPDATE t SET b = 'y'; DELETE FROM t WHERE a = 1",
     "i public.t 1|x\ni public.t 1|x\ncommit\n"
     "u public.t old 1|x -> 1|y\nu public.t old 1|x -> 1|y\ncommit\n"
     "d public.t old 1|y\nd public.t old 1|y\ncommit\n"},
    {"IdentityIndex",
     "CREATE TABLE t (a int PRIMARY KEY, b int NOT NULL UNIQUE, c int);"
     "ALTER TABLE t REPLICA IDENTITY USING INDEX t_b_key",
     "INSERT INTO t VALUES (1, 2, 3); UPDATE t SET b = 4; UPDATE t SET a = 5; DELETE FROM t",
     "i public.t 1|2|3\ncommit\nu public.t key -|2|- -> 1|4|3\ncommit\nu public.t 5|4|3\ncommit\n"
     "d public.t key -|4|-\ncommit\n"},
    {"NoIdentityIsAppendOnlyAndTheSourceGoesOn",
     "CREATE TABLE bare (a int); CREATE TABLE off (a int PRIMARY KEY);"
     "ALTER TABLE off REPLICA IDENTITY NOTHING",
     "INSERT INTO bare VALUES (1); UPDATE bare SET a = 2; DELETE FROM bare;"
     "INSERT INTO off VALUES (1); UPDATE off SET a = 2; DELETE FROM off; TRUNCATE bare",
     "i public.bare 1\ncommit\ni public.off 1\ncommit\nt public.bare\ncommit\n"},
    {"NullInEveryPosition", "CREATE TABLE t (id int PRIMARY KEY, a int, b text, c date)",
     "INSERT INTO t VALUES (1, NULL, 'x', '2000-01-01'), (2, 5, NULL, '2000-01-01'),"
     " (3, 5, '', NULL), (4, NULL, NULL, NULL)",
     "i public.t 1|null|x|2000-01-01\ni public.t 2|5|null|2000-01-01\ni public.t 3|5||null\n"
     "i public.t 4|null|null|null\ncommit\n"},
    {"UnchangedToastIsNotSent",
     "CREATE TABLE t (id int PRIMARY KEY, n int, big text, list text[]);"
     "ALTER TABLE t ALTER big SET STORAGE EXTERNAL, ALTER list SET STORAGE EXTERNAL;"
     "INSERT INTO t VALUES (1, 0, repeat('x', 9000), ARRAY[repeat('y', 9000)])",
     "UPDATE t SET n = 1; UPDATE t SET id = 2; UPDATE t SET big = 'small'",
     "u public.t 1|1|~|~\ncommit\nu public.t key 1|-|-|- -> 2|1|~|~\ncommit\n"
     "u public.t 2|1|small|~\ncommit\n"},
    {"UnchangedToastOfTheKeyIsTakenFromTheOldKey",
     "CREATE TABLE t (id text PRIMARY KEY, n int); ALTER TABLE t ALTER id SET STORAGE EXTERNAL;"
     "INSERT INTO t VALUES (repeat('x', 2100), 0)",
     "UPDATE t SET n = 1", nullptr},
    {"TextsWithEverythingAwkward", "CREATE TABLE t (id int PRIMARY KEY, a text)",
     "INSERT INTO t VALUES (1, E'a\\tb\\\\c\\rd'), (2, '\\N'), (3, E'\\u00e9\\U0001F600'), (4, "
     "'\\x00')",
     "i public.t 1|a\tb\\c\rd\ni public.t 2|\\N\ni public.t 3|\xc3\xa9\xf0\x9f\x98\x80\n"
     "i public.t 4|\\x00\ncommit\n"},
    {"TruncateOfOneAndSeveral",
     "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a);"
     "CREATE TABLE c (id int PRIMARY KEY)",
     "TRUNCATE c; TRUNCATE a, b, c; TRUNCATE a CASCADE;"
     "BEGIN; INSERT INTO a VALUES (1); TRUNCATE a, b; INSERT INTO a VALUES (2); COMMIT",
     "t public.c\ncommit\nt public.a\nt public.b\nt public.c\ncommit\nt public.a\nt "
     "public.b\ncommit\n"
     "i public.a 1\nt public.a\nt public.b\ni public.a 2\ncommit\n"},
    {"CopyAndMultiRowInsert", "CREATE TABLE t (id int PRIMARY KEY, a text)",
     "COPY t FROM STDIN;\n1\tx\n2\t\\N\n\\.\nINSERT INTO t SELECT i, 'y' FROM generate_series(3, "
     "4) i",
     "i public.t 1|x\ni public.t 2|null\ncommit\ni public.t 3|y\ni public.t 4|y\ncommit\n"},
    {"OnConflictDoUpdate", "CREATE TABLE t (id int PRIMARY KEY, n int)",
     "INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (1, 2), (2, 2)"
     " ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n; INSERT INTO t VALUES (1, 3)"
     " ON CONFLICT DO NOTHING",
     "i public.t 1|1\ncommit\nu public.t 1|2\ni public.t 2|2\ncommit\n"},
    {"TriggersChangesAreChanges",
     "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE seen (id int PRIMARY KEY);"
     "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
     " 'BEGIN INSERT INTO public.seen VALUES (NEW.id * 10); RETURN NEW; END';"
     "CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
     "INSERT INTO t VALUES (1); SET session_replication_role = replica; INSERT INTO t VALUES (2)",
     "i public.t 1\ni public.seen 10\ncommit\ni public.t 2\ncommit\n"},
    {"SavepointsRolledBackLeaveNothing", "CREATE TABLE t (id int PRIMARY KEY)",
     "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s;"
     "INSERT INTO t VALUES (3); SAVEPOINT u; INSERT INTO t VALUES (4); RELEASE u; COMMIT;"
     "BEGIN; INSERT INTO t VALUES (5); ROLLBACK",
     "i public.t 1\ni public.t 3\ni public.t 4\ncommit\n"},
    {"EmptyAndUnpublishedTransactions",
     "CREATE TABLE t (id int PRIMARY KEY); CREATE UNLOGGED TABLE u (a int)",
     "BEGIN; COMMIT; INSERT INTO u VALUES (1); CREATE TEMP TABLE x (a int); INSERT INTO x VALUES "
     "(1);"
     "CREATE TABLE later (a int); INSERT INTO later VALUES (1); INSERT INTO t VALUES (1)",
     "i public.t 1\ncommit\n"},
    {"NamesOfAllKinds",
     "CREATE SCHEMA \"My.Schema\"; CREATE TABLE \"My.Schema\".\"a \"\"b\" (\"select\" int PRIMARY "
     "KEY,"
     " \"Gr\u00f6\u00dfe\" text, \"lsn\" int);"
     "CREATE SCHEMA other; CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other.t (id int "
     "PRIMARY KEY);"
     "CREATE TABLE n23456789012345678901234567890123456789012345678901234567890123 (id int PRIMARY "
     "KEY)",
     "INSERT INTO \"My.Schema\".\"a \"\"b\" VALUES (1, 'x', 2); INSERT INTO t VALUES (1);"
     "INSERT INTO other.t VALUES (2);"
     "INSERT INTO n23456789012345678901234567890123456789012345678901234567890123 VALUES (3)",
     "i My.Schema.a \"b 1|x|2\ncommit\ni public.t 1\ncommit\ni other.t 2\ncommit\n"
     "i public.n23456789012345678901234567890123456789012345678901234567890123 3\ncommit\n"},
    {"SettingsOfOthersDoNotMatter",
     "CREATE TABLE t (id int PRIMARY KEY, d date, z timestamptz, i interval, f float8, b bytea, m "
     "money,"
     " r regclass);"
     "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET DateStyle = ''German''', "
     "current_database());"
     "EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Kathmandu''', current_database());"
     "EXECUTE format('ALTER DATABASE %I SET IntervalStyle = ''iso_8601''', current_database());"
     "EXECUTE format('ALTER DATABASE %I SET extra_float_digits = -9', current_database());"
     "EXECUTE format('ALTER DATABASE %I SET search_path = public', current_database());"
     "EXECUTE format('ALTER DATABASE %I SET bytea_output = escape', current_database()); END $$",
     "SET TimeZone = 'UTC'; INSERT INTO t VALUES (1, '2020-02-03', '2020-02-03 04:05:06.789',"
     " '1 month -2 days 03:04:05', 0.1 + 0.2::float8, '\\x00ff', 12.5, 't')",
     "i public.t 1|2020-02-03|2020-02-03 04:05:06.789+00|1 mon -2 days +03:04:05|"
     "0.30000000000000004|\\x00ff|$12.50|public.t\ncommit\n"},
    {"GeneratedAndDroppedColumnsAreLeftOut",
     "CREATE TABLE t (gone int, id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) "
     "STORED,"
     " b text); ALTER TABLE t DROP gone",
     "INSERT INTO t (id, a, b) VALUES (1, 2, 'x'); DELETE FROM t",
     "i public.t 1|2|x\ncommit\nd public.t key 1|-|-\ncommit\n"},
    {"PartitionsUnderTheirRoot",
     "CREATE TABLE p (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);"
     "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 (k int NOT NULL, id int "
     "NOT NULL,"
     " PRIMARY KEY (id, k)); ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2)",
     "INSERT INTO p VALUES (10, 1), (20, 2); UPDATE p SET k = 2 WHERE id = 10; DELETE FROM p2;"
     "CREATE TABLE p3 PARTITION OF p FOR VALUES IN (3); INSERT INTO p3 VALUES (30, 3); TRUNCATE p",
     "i public.p 10|1\ni public.p 20|2\ncommit\nd public.p key 10|1\ni public.p 10|2\ncommit\n"
     "d public.p key 20|2\nd public.p key 10|2\ncommit\ni public.p 30|3\ncommit\nt "
     "public.p\ncommit\n"},
    {"InheritedTablesAreTablesOfTheirOwn",
     "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (a int, PRIMARY KEY (id))"
     " INHERITS (parent)",
     "INSERT INTO child VALUES (1, 2); INSERT INTO parent VALUES (3)",
     "i public.child 1|2\ncommit\ni public.parent 3\ncommit\n"},
    {"ColumnAddedWithinATransaction",
     "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
     "BEGIN; INSERT INTO t VALUES (2); ALTER TABLE t ADD a text DEFAULT 'd'; INSERT INTO t VALUES "
     "(3);"
     "UPDATE t SET id = 4 WHERE id = 1; COMMIT",
     "i public.t 2\ni public.t 3|d\nu public.t key 1|- -> 4|d\ncommit\n"},
    {"TableWithoutColumns", "CREATE TABLE t ()", "INSERT INTO t DEFAULT VALUES",
     "i public.t \ncommit\n"},
    {"IdentityChangedWhileStreaming",
     "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)",
     "UPDATE t SET a = 2; ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET a = 3;"
     "ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET id = 2",
     "u public.t 1|2\ncommit\nu public.t old 1|2 -> 1|3\ncommit\nu public.t key 1|- -> "
     "2|3\ncommit\n"},
    {"IrrelevantChangesDisturbNothing", "CREATE TABLE t (id int PRIMARY KEY, a int)",
     "COMMENT ON TABLE t IS 'x'; CREATE INDEX ON t (a); ANALYZE t; INSERT INTO t VALUES (1, 1);"
     "VACUUM FULL t; CLUSTER t USING t_pkey; ALTER TABLE t ALTER a SET DEFAULT 5; INSERT INTO t "
     "VALUES (2)",
     "i public.t 1|1\ncommit\ni public.t 2|5\ncommit\n"},
    {"RenamedTableAndColumn", "CREATE TABLE t (id int PRIMARY KEY, a int)",
     "INSERT INTO t VALUES (1, 1); ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME TO u;"
     "INSERT INTO u VALUES (2, 2)",
     "i public.t 1|1\ncommit\ni public.u 2|2\ncommit\n"},
    {"TransactionalMessagesAreRecordsOfTheirTransaction", "CREATE TABLE t (id int PRIMARY KEY)",
     "BEGIN; SELECT 1 FROM pg_logical_emit_message(true, 'a', 'b'); INSERT INTO t VALUES (1);"
     "SELECT 1 FROM pg_logical_emit_message(false, 'a', 'b');"
     "SELECT 1 FROM pg_logical_emit_message(true, 'pgweir', 'b'); COMMIT",
     "m pgweir.messages a|\\x62|1|t\ni public.t 1\ncommit\n"},
    {"OriginsAreTakenToo", "CREATE TABLE t (id int PRIMARY KEY)",
     "SELECT pg_replication_origin_create('elsewhere_' || current_database());"
     "SELECT pg_replication_origin_session_setup('elsewhere_' || current_database());"
     "INSERT INTO t VALUES (1); SELECT pg_replication_origin_session_reset();"
     "SELECT pg_replication_origin_drop('elsewhere_' || current_database())",
     "i public.t 1\ncommit\n"},
};

class CaptureCases : public ::testing::TestWithParam<Case> {};

TEST_P(CaptureCases, GivesTheseChanges) {
  Capture capture(GetParam().set_up);
  const std::string got = capture.changes(GetParam().sql);
  if (GetParam().changes != nullptr) {
    EXPECT_EQ(got, GetParam().changes);
  } else {
    const std::string key(2100, 'x');
    EXPECT_EQ(got, "u public.t key " + key + "|- -> " + key + "|1\ncommit\n");
  }
}

INSTANTIATE_TEST_SUITE_P(All, CaptureCases, ::testing::ValuesIn(kCases),
                         [](const auto& chosen) { return std::string(chosen.param.name); });

TEST(Capture, IdentityFullCompletesUnchangedToast) {
  Capture capture(
      "CREATE TABLE t (id int, big text); ALTER TABLE t REPLICA IDENTITY FULL;"
      "ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, repeat('x', 9000))");
  const std::string big(9000, 'x');
  EXPECT_EQ(capture.changes("UPDATE t SET id = 2"),
            "u public.t old 1|" + big + " -> 2|" + big + "\ncommit\n");
}

TEST(Capture, OrderIsCommitOrder) {
  Capture capture("CREATE TABLE t (id int PRIMARY KEY)");
  auto& cluster = harness::shared_cluster();
  auto first = Connection::open({.url = cluster.url(capture.database())});
  auto second = Connection::open({.url = cluster.url(capture.database())});
  ASSERT_TRUE(first->execute("BEGIN; INSERT INTO public.t VALUES (1)").ok());
  ASSERT_TRUE(second->execute("BEGIN; INSERT INTO public.t VALUES (2)").ok());
  ASSERT_TRUE(first->execute("INSERT INTO public.t VALUES (3)").ok());
  ASSERT_TRUE(second->execute("COMMIT").ok());
  ASSERT_TRUE(first->execute("COMMIT").ok());
  EXPECT_EQ(capture.read(), "i public.t 2\ncommit\ni public.t 1\ni public.t 3\ncommit\n");
}

TEST(Capture, UnconfirmedChangesComeAgainAndConfirmedOnesDoNot) {
  Capture capture("CREATE TABLE t (id int PRIMARY KEY)");
  EXPECT_EQ(capture.changes("INSERT INTO t VALUES (1)"), "i public.t 1\ncommit\n");
  capture.restart();
  EXPECT_EQ(capture.read(), "i public.t 1\ncommit\n");
  const model::Lsn end = current_lsn(capture.control()).value();
  ASSERT_TRUE(
      capture.stream().send_feedback(end, end, end, ReplicationStream::Reply::kNotNeeded, 0).ok());
  ASSERT_TRUE(capture.stream().stop(Milliseconds(10'000)).ok());
  const auto info = slot_info(capture.control(), capture.slot()).value();
  EXPECT_EQ(info->confirmed_flush, end);
  EXPECT_EQ(info->active_pid, 0);
  capture.restart();
  EXPECT_EQ(capture.changes("INSERT INTO t VALUES (2)"), "i public.t 2\ncommit\n");
}

// The last messages and the end of the stream come at once: feedback between the two is no error.
TEST(Capture, AnEndBehindMessagesIsReportedByTheNextRead) {
  Capture capture("CREATE TABLE t (id int PRIMARY KEY)");
  auto& cluster = harness::shared_cluster();
  cluster.sql("INSERT INTO t VALUES (1)", capture.database());
  // Decoded and sent, since the slot's reader has been there.
  const model::Lsn end = current_lsn(capture.control()).value();
  const std::string sent = fmt::format(
      "SELECT r.sent_lsn >= '{}' FROM pg_stat_replication r JOIN pg_replication_slots s ON"
      " s.active_pid = r.pid WHERE s.slot_name = '{}'",
      model::to_string(end), capture.slot());
  ASSERT_TRUE(
      harness::wait_for(std::chrono::seconds(30), [&] { return cluster.sql(sent) == "t"; }));
  const std::string active = fmt::format(
      "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}'", capture.slot());
  cluster.sql(fmt::format("SELECT pg_terminate_backend(({}))", active));
  ASSERT_TRUE(
      harness::wait_for(std::chrono::seconds(30), [&] { return cluster.sql(active).empty(); }));
  // A keepalive of before may stand alone in front.
  Gulp gulp;
  for (int reads = 0; reads < 10 && gulp.messages.empty(); ++reads)
    ASSERT_TRUE(capture.stream().read(gulp, Microseconds(1'000'000), nullptr).ok());
  EXPECT_FALSE(gulp.messages.empty());
  EXPECT_TRUE(
      capture.stream().send_feedback({}, {}, {}, ReplicationStream::Reply::kNotNeeded, 0).ok());
  const Status ended = capture.stream().read(gulp, Microseconds(1'000'000), nullptr);
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().code, Code::kUnavailable);
  capture.restart();
}

TEST(Capture, DecoderGoesOnInsideATransactionAfterARestart) {
  Capture capture("CREATE TABLE t (id int PRIMARY KEY)");
  (void)capture.changes("INSERT INTO t SELECT generate_series(1, 3)");
  const model::Position end = capture.decoder().position();
  EXPECT_EQ(end.sequence, 4u);  // three rows and the commit
  capture.restart({1, end.lsn, 2});
  EXPECT_EQ(capture.read(), "i public.t 3\ncommit\n");
  capture.restart(end);
  EXPECT_EQ(capture.read(), "");
}

TEST(Capture, LargeTransactionAndLargeValueComeWhole) {
  Capture capture("CREATE TABLE t (id int PRIMARY KEY, a text)");
  const std::string got = capture.changes(
      "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 20000) i;"
      "INSERT INTO t VALUES (0, repeat('y', 20000000))");
  EXPECT_EQ(std::count(got.begin(), got.end(), '\n'), 20'003);
  EXPECT_GT(got.size(), 20'000'000u);
}

TEST(Capture, SlotInUseAndMissingSlotAreSaid) {
  Capture capture("CREATE TABLE t (id int PRIMARY KEY)");
  const auto start = [&](const std::string& slot) {
    auto connection = Connection::open({.url = harness::shared_cluster().url(capture.database()),
                                        .kind = ConnectionKind::kReplication});
    return ReplicationStream::start(std::move(connection).value(),
                                    {.slot = slot, .publications = {"pub"}})
        .error();
  };
  const Error in_use = start(capture.slot());
  EXPECT_EQ(in_use.code, Code::kCheckFailed);
  EXPECT_EQ(sqlstate_of(in_use), "55006");
  EXPECT_EQ(start("no_such_slot").code, Code::kNotFound);
}

TEST(Capture, LossOfTheConnectionIsUnavailable) {
  Capture capture("CREATE TABLE t (id int PRIMARY KEY)");
  (void)capture.changes("INSERT INTO t VALUES (1)");
  harness::shared_cluster().sql(
      "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = "
      "'" +
      capture.slot() + "'");
  Gulp gulp;
  Status read;
  for (int i = 0; i < 100 && read.ok(); ++i)
    read = capture.stream().read(gulp, Microseconds(100'000), nullptr);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, Code::kUnavailable) << read.error().text();
}

TEST(Capture, WakerEndsAQuietReadAtOnce) {
  Capture capture("CREATE TABLE t (id int PRIMARY KEY)");
  (void)capture.read();
  io::Waker waker;
  waker.wake();
  Gulp gulp;
  do {
    ASSERT_TRUE(capture.stream().read(gulp, Microseconds(60'000'000), &waker).ok());
  } while (!gulp.woken);
  EXPECT_TRUE(gulp.messages.empty());
}

}  // namespace
}  // namespace pgweir::postgres
