#include "duck/duck.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "harness/file_size_limit.h"
#include "harness/scratch.h"

namespace pgweir::duck {

class DuckTest : public testing::Test {
 protected:
  std::unique_ptr<Database> database_ = Database::open("", {{"threads", "2"}}).value();
  std::unique_ptr<Connection> connection_ = database_->connect().value();

  // Rows as "a|b;c|NULL".
  std::string answer(const std::string& select) {
    auto result = connection_->query_texts(select);
    if (!result.ok()) return result.error().message;
    std::string out;
    for (const TextRow& row : result->rows) {
      if (!out.empty()) out += ";";
      for (std::size_t i = 0; i < row.size(); ++i)
        out += (i == 0 ? "" : "|") + row[i].value_or("NULL");
    }
    return out;
  }
};

TEST_F(DuckTest, TheLibraryIsThePinnedVersion) {
  EXPECT_EQ(library_version(), "v1.5.5");
}

TEST_F(DuckTest, ErrorsCarryTheMessage) {
  const auto status = connection_->execute("SELEC 1");
  EXPECT_EQ(status.error().code, Code::kInvalid);
  EXPECT_NE(status.error().message.find("syntax error"), std::string::npos);
  EXPECT_EQ(connection_->prepare("SELECT 1; SELECT 2").error().message,
            "only one SQL statement is allowed");
  EXPECT_EQ(connection_->prepare("").error().message, "there is no SQL statement");
}

TEST(DuckErrors, MemoryThatRunsOutIsUnavailable) {
  const auto database =
      Database::open("", {{"memory_limit", "8MiB"}, {"temp_directory", ""}}).value();
  const auto connection = database->connect().value();
  const auto status = connection->execute("CREATE TABLE t AS SELECT repeat('x', 10000000) AS v");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kUnavailable) << status.error().message;
  EXPECT_EQ(status.error().message.find("Possible solutions"), std::string::npos);
}

TEST(DuckErrors, AFileThatCannotGrowAndADatabaseGivenUp) {
  const harness::ScratchFolder scratch;
  const auto database =
      Database::open(scratch.file("db"), {{"checkpoint_threshold", "1TB"}}).value();
  const auto connection = database->connect().value();
  ASSERT_TRUE(connection->execute("CREATE TABLE t AS SELECT range AS a FROM range(100000)").ok());
  const harness::FileSizeLimit full(1);
  const auto committed = connection->execute("INSERT INTO t SELECT range FROM range(10)");
  ASSERT_FALSE(committed.ok());
  EXPECT_EQ(committed.error().code, Code::kNoSpace) << committed.error().message;
  EXPECT_TRUE(connection->execute("SELECT count(*) FROM t").ok());
  for (const char* statement : {"CHECKPOINT", "SELECT count(*) FROM t"}) {
    const auto given_up = connection->execute(statement);
    ASSERT_FALSE(given_up.ok()) << statement;
    EXPECT_EQ(given_up.error().code, Code::kBroken) << given_up.error().message;
  }
}

TEST_F(DuckTest, TextsOfRepeatedNamesAndCommentsAndOrder) {
  EXPECT_EQ(answer("SELECT a, a, [1,2] FROM range(3) t(a) ORDER BY a DESC -- done"),
            "2|2|[1, 2];1|1|[1, 2];0|0|[1, 2]");
}

TEST_F(DuckTest, AppenderKeepsEveryTypeAndNull) {
  ASSERT_TRUE(
      connection_
          ->execute("CREATE TEMP TABLE t (b BOOLEAN, i8 TINYINT, i16 SMALLINT, i32 INTEGER, "
                    "i64 BIGINT, h HUGEINT, f FLOAT, d DOUBLE, d4 DECIMAL(4,1), d9 DECIMAL(9,2), "
                    "d18 DECIMAL(18,3), d38 DECIMAL(38,9), s VARCHAR, x BLOB, dt DATE, tm TIME, "
                    "ts TIMESTAMP, iv INTERVAL)")
          .ok());
  auto appender = connection_->appender("temp", "main", "t").value();
  appender->append_bool(true);
  for (int i = 0; i < 4; ++i) appender->append_int(-7);
  appender->append_int128(1, 1);
  appender->append_double(0.5);
  appender->append_double(-0.25);
  appender->append_int(-15);
  appender->append_int(-15);
  appender->append_int(-15);
  appender->append_int(-15);
  appender->append_text("h\xc3\xa9llo, a text that is not short");
  appender->append_text(std::string_view("\0\xff", 2));
  appender->append_int(1);
  appender->append_int(1'000'000);
  appender->append_int(1'000'000);
  appender->append_interval(1, -2, 3);
  ASSERT_TRUE(appender->end_row().ok());
  for (int i = 0; i < 18; ++i) appender->append_null();
  ASSERT_TRUE(appender->end_row().ok());
  ASSERT_TRUE(appender->flush().ok());
  EXPECT_EQ(answer("SELECT * FROM t LIMIT 1"),
            "true|-7|-7|-7|-7|18446744073709551617|0.5|-0.25|-1.5|-0.15|-0.015|-0.000000015|"
            "h\xc3\xa9llo, a text that is not short|\\x00\\xFF|1970-01-02|00:00:01|"
            "1970-01-01 00:00:01|1 month -2 days 00:00:00.000003");
  EXPECT_EQ(answer("SELECT count(*) FROM t WHERE s IS NULL AND b IS NULL AND iv IS NULL"), "1");
}

TEST_F(DuckTest, AppenderGoesOverManyChunks) {
  ASSERT_TRUE(connection_->execute("CREATE TEMP TABLE t (a BIGINT, s VARCHAR)").ok());
  auto appender = connection_->appender("temp", "main", "t").value();
  for (int i = 0; i < 10'000; ++i) {
    appender->append_int(i);
    if (i % 3 == 0)
      appender->append_null();
    else
      appender->append_text("value number " + std::to_string(i));
    ASSERT_TRUE(appender->end_row().ok());
  }
  ASSERT_TRUE(appender->flush().ok());
  EXPECT_EQ(answer("SELECT count(*), sum(a), count(s), min(s) FROM t"),
            "10000|49995000|6666|value number 1");
}

TEST_F(DuckTest, FailedBodyRollsBack) {
  ASSERT_TRUE(connection_->execute("CREATE TABLE t (a INT)").ok());
  const Status status = in_transaction(*connection_, [&]() -> Status {
    TRY(connection_->execute("INSERT INTO t VALUES (1)"));
    return connection_->execute("INSERT INTO t VALUES ('x')");
  });
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(answer("SELECT count(*) FROM t"), "0");
  EXPECT_TRUE(in_transaction(*connection_, [&] {
                return connection_->execute("INSERT INTO t VALUES (1)");
              }).ok());
  EXPECT_EQ(answer("SELECT count(*) FROM t"), "1");
}

TEST_F(DuckTest, PreparedStatementsSeeRowsOutsideTheRangeThatTheyWerePreparedWith) {
  ASSERT_TRUE(connection_
                  ->execute("CREATE TABLE t AS SELECT i AS k FROM range(1000) r(i);"
                            "CREATE TEMP TABLE d AS SELECT i AS k FROM range(3) r(i);"
                            "CREATE TABLE o (k BIGINT, n BIGINT)")
                  .ok());
  auto statement = connection_
                       ->prepare(
                           "INSERT INTO o SELECT t.k, n FROM t JOIN (SELECT k, count(*) AS n "
                           "FROM d GROUP BY k HAVING count(*) > 0) AS e ON t.k = e.k")
                       .value();
  ASSERT_TRUE(statement->execute().ok());
  ASSERT_TRUE(connection_
                  ->execute("DELETE FROM d; DELETE FROM o;"
                            "INSERT INTO d SELECT i + 100000000000 FROM range(500, 600) r(i);"
                            "INSERT INTO t SELECT * FROM d")
                  .ok());
  ASSERT_TRUE(statement->execute().ok());
  EXPECT_EQ(answer("SELECT count(*), min(k), max(k) FROM o"), "100|100000000500|100000000599");
}

// The first row group has six rows by its count, of which one is left.
TEST_F(DuckTest, TheFirstRowsAreRightWhereRowsOfAGroupWereDeleted) {
  const harness::ScratchFolder folder;
  database_ = Database::open(folder.file("rows.duckdb"), {}).value();
  connection_ = database_->connect().value();
  for (const char* statement :
       {"CREATE TABLE rows (id INTEGER, v INTEGER)",
        "INSERT INTO rows VALUES (4, 3), (5, NULL), (6, 3), (7, 1), (8, 2), (9, 0)", "CHECKPOINT",
        "DELETE FROM rows WHERE id <> 9", "INSERT INTO rows VALUES (3, 2), (10, 2)"})
    ASSERT_TRUE(connection_->execute(statement).ok()) << statement;
  EXPECT_EQ(answer("SELECT id FROM rows ORDER BY v DESC NULLS LAST, id LIMIT 1"), "3");
  EXPECT_EQ(answer("SELECT v FROM rows ORDER BY v DESC NULLS LAST LIMIT 2"), "2;2");
}

TEST_F(DuckTest, PreparedStatementsSurviveChangesOfTheCatalog) {
  ASSERT_TRUE(connection_->execute("CREATE TABLE t (k INT)").ok());
  const auto add = connection_->prepare("INSERT INTO t VALUES ($1)").value();
  const auto count = connection_->prepare("SELECT count(*) FROM t").value();
  for (const char* change :
       {"CREATE TABLE u (a INT)", "ALTER TABLE t ADD COLUMN b INT DEFAULT 1",
        "ALTER TABLE t DROP COLUMN b", "BEGIN; CREATE TABLE v (a INT); ROLLBACK",
        "DROP TABLE t; CREATE TABLE t (k INT)"}) {
    ASSERT_TRUE(connection_->execute("DELETE FROM t").ok());
    ASSERT_TRUE(connection_->execute(change).ok()) << change;
    for (const std::int64_t value : {1, 2}) {
      if (std::string(change).find("ADD COLUMN") != std::string::npos) continue;
      ASSERT_TRUE(add->bind(1, value).ok());
      const auto added = add->execute();
      ASSERT_TRUE(added.ok()) << change << ": " << added.error().message;
    }
    auto counted = count->execute();
    ASSERT_TRUE(counted.ok()) << change << ": " << counted.error().message;
  }
  EXPECT_EQ(answer("SELECT count(*) FROM t"), "2");
}

TEST_F(DuckTest, InterruptStopsALongQuery) {
  std::jthread other([&] {
    for (int i = 0; i < 50; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      connection_->interrupt();
    }
  });
  const auto status = connection_->execute(
      "SELECT count(*) FROM range(100000000) a, range(1000000) b WHERE a.range % 7 = b.range");
  other.join();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kCancelled);
}

TEST_F(DuckTest, NamesAndTextsAreQuoted) {
  EXPECT_EQ(quote_identifier("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(quote_literal("a'b"), "'a''b'");
}

TEST(Duck, StreamGivesRowsAsTheyAreAskedForAndTellsOfAFailure) {
  auto database = Database::open("", {}).value();
  auto connection = database->connect().value();
  auto rows = connection->stream("SELECT range FROM range(100000)").value();
  std::int64_t count = 0, sum = 0;
  while (const Chunk* chunk = rows.next()) {
    for (std::size_t i = 0; i < chunk->row_count(); ++i) sum += chunk->data<std::int64_t>(0)[i];
    count += static_cast<std::int64_t>(chunk->row_count());
  }
  EXPECT_TRUE(rows.ended().ok());
  EXPECT_EQ(count, 100'000);
  EXPECT_EQ(sum, 100'000LL * 99'999 / 2);
  EXPECT_FALSE(connection->stream("SELECT nothing").ok());
  auto failing = connection->stream("SELECT error('late') FROM range(100000) WHERE range > 90000");
  if (failing.ok()) {
    while (failing->next() != nullptr) {
    }
    EXPECT_FALSE(failing->ended().ok());
  }
}

}  // namespace pgweir::duck
