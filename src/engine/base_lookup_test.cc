// Several readers find in a base what one statement would have found.
#include "engine/base_lookup.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <random>

#include "harness/scratch.h"

namespace pgweir::engine {

// A store of enough rows for several readers: keys from 0, with the value 'v'.
class BaseLookupTest : public testing::Test {
 protected:
  static constexpr int kRows = 120'000;

  void SetUp() override {
    options_.work = std::make_shared<StoreWork>();
    options_.readers = std::make_shared<BaseReaders>(3);
    options_.batches_to_index = 1;
    options_.readers->open([this] { return connect(); });
    run("CREATE TEMP TABLE delta (k INTEGER, v VARCHAR, pgweir_hash UBIGINT, pgweir_weight "
        "TINYINT); CREATE TEMP TABLE wanted (k INTEGER)");
    store_ = Store::open(*connection_,
                         {.name = "s", .columns = {{"k", "INTEGER"}, {"v", "VARCHAR"}}, .key = {0}},
                         options_)
                 .value();
    const Status loaded =
        store_->load(fmt::format("SELECT range::INTEGER, 'v' FROM range({})", kRows));
    ASSERT_TRUE(loaded.ok()) << loaded.error().text();
    change(0, 1);
    committed();
  }
  void TearDown() override { options_.readers->close(); }

  Result<std::unique_ptr<duck::Connection>> connect() {
    if (refuses_) return error(Code::kUnavailable, "no more connections");
    TRY_ASSIGN(auto connection, database_->connect());
    TRY(connection->execute("USE d"));
    return connection;
  }

  void run(const std::string& sql) {
    const Status done = connection_->execute(sql);
    ASSERT_TRUE(done.ok()) << done.error().text();
  }
  void committed() { ++options_.work->commits; }

  // The keys from `first` to `end` get the value 'new', in every second batch 'v' again.
  void change(int first, int end) {
    run("DELETE FROM delta");
    run(
        fmt::format("INSERT INTO delta SELECT s.k, CASE WHEN w < 0 THEN s.v WHEN s.v = 'v' THEN "
                    "'new' ELSE 'v' END, s.pgweir_hash, w FROM {} AS s, (VALUES (-1), (1)) AS w(w) "
                    "WHERE s.k >= {} AND s.k < {}",
                    store_->content_name(), first, end));
    const Status applied = store_->apply("temp.delta");
    ASSERT_TRUE(applied.ok()) << applied.error().text();
    const Status maintained = store_->maintain();
    ASSERT_TRUE(maintained.ok()) << maintained.error().text();
  }

  // Some keys, of which a few are not there.
  void want(int count, std::mt19937& random) {
    run("DELETE FROM wanted");
    std::string keys;
    for (int i = 0; i < count; ++i)
      keys += fmt::format("{}({})", i == 0 ? "" : ", ", random() % (kRows + kRows / 20));
    run("INSERT INTO wanted VALUES " + keys);
  }

  // Those that are wanted, of what is in `rows`.
  std::string wanted_of(const std::string& rows) {
    const auto found = connection_->query_texts(
        fmt::format("SELECT count(*), sum(s.k), count(*) FILTER (WHERE v = 'new') FROM {} AS s "
                    "WHERE k IN (SELECT k FROM wanted)",
                    rows));
    EXPECT_TRUE(found.ok()) << found.error().text();
    return fmt::format("{} rows, sum {}, {} new", *found->rows[0][0],
                       found->rows[0][1].value_or("-"), *found->rows[0][2]);
  }

  // Looks the wanted up and compares; whether readers did it.
  bool is_read_by_readers() {
    const auto rows = store_->lookup("SELECT hash(k) AS pgweir_hash FROM wanted");
    EXPECT_TRUE(rows.ok()) << rows.error().text();
    if (!rows.ok()) return false;
    EXPECT_EQ(wanted_of(*rows), wanted_of(store_->content_name()));
    return rows->find("pgweir_from_base") != std::string::npos;
  }

  const harness::ScratchFolder scratch_;
  std::unique_ptr<duck::Database> database_ = duck::Database::open("", {{"threads", "1"}}).value();
  std::unique_ptr<duck::Connection> connection_ = [this] {
    auto made = database_->connect().value();
    const Status attached =
        made->execute(fmt::format("ATTACH '{}' AS d (ROW_GROUP_SIZE 4096, BLOCK_SIZE 65536); USE d",
                                  scratch_.file("store.duckdb")));
    EXPECT_TRUE(attached.ok()) << attached.error().text();
    return made;
  }();
  bool refuses_ = false;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(BaseLookupTest, ReadersFindWhatIsThere) {
  const unsigned seed = harness::test_seed();
  SCOPED_TRACE(fmt::format("PGWEIR_SEED={}", seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 12; ++round) {
    want(200, random);
    run("BEGIN");
    EXPECT_TRUE(is_read_by_readers());
    const int first = static_cast<int>(random() % kRows);
    change(first, first + 2000);
    EXPECT_TRUE(is_read_by_readers());
    // A rollback forgets which pending rows there are: they are looked through then.
    const bool forgets = round % 4 == 3;
    run(forgets ? "ROLLBACK" : "COMMIT");
    if (!forgets) committed();
  }
}

TEST_F(BaseLookupTest, FewKeysAreNotWorthIt) {
  std::mt19937 random(1);
  want(20, random);
  EXPECT_FALSE(is_read_by_readers());
}

TEST_F(BaseLookupTest, ABaseThatTheOpenTransactionChangedIsReadInIt) {
  std::mt19937 random(1);
  want(200, random);
  for (const char* end : {"ROLLBACK", "COMMIT"}) {
    run("BEGIN");
    const Status loaded =
        store_->load(fmt::format("SELECT range::INTEGER * 2, 'new' FROM range({})", kRows));
    ASSERT_TRUE(loaded.ok()) << loaded.error().text();
    change(0, 10);
    EXPECT_FALSE(is_read_by_readers());
    run(end);
    change(0, 10);
    EXPECT_FALSE(is_read_by_readers()) << "nobody said that it is committed";
  }
  committed();
  EXPECT_TRUE(is_read_by_readers());
}

TEST_F(BaseLookupTest, RowsOfTheBaseDoNotStay) {
  std::mt19937 random(1);
  want(200, random);
  ASSERT_TRUE(is_read_by_readers());
  const std::string left = "SELECT count(*) FROM temp.main.pgweir_from_base_1";
  EXPECT_GT(connection_->query_int(left).value(), 0);
  change(0, 10);
  EXPECT_EQ(connection_->query_int(left).value(), 0);
}

TEST_F(BaseLookupTest, AReaderThatFailsIsTold) {
  std::mt19937 random(1);
  want(200, random);
  refuses_ = true;
  const auto refused = store_->lookup("SELECT hash(k) AS pgweir_hash FROM wanted");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "no more connections");
  refuses_ = false;
  EXPECT_TRUE(is_read_by_readers());

  // One that fails while others read.
  run("CREATE TEMP TABLE numbers (n UBIGINT)");
  auto out = connection_->appender("temp", "main", "numbers").value();
  const std::vector<std::uint64_t> hashes{1, 2, 3, 4, 5, 6};
  const std::string select = fmt::format(
      "SELECT CASE WHEN pgweir_hash = {{}} THEN CAST(error('not this one') AS UBIGINT) ELSE "
      "pgweir_hash END FROM {}",
      BaseReaders::kWantedTable);
  for (const std::uint64_t wrong : hashes) {
    const std::string fails = fmt::format(fmt::runtime(select), wrong);
    const auto failed = options_.readers->read({&fails, hashes, 0}, 3, 100, *out);
    ASSERT_FALSE(failed.ok());
    EXPECT_NE(failed.error().text().find("not this one"), std::string::npos);
  }
  out = nullptr;
  run("DELETE FROM numbers");
  out = connection_->appender("temp", "main", "numbers").value();
  const std::string works = fmt::format(fmt::runtime(select), 7);
  // With more parts than readers, some read again.
  for (const std::size_t parts : {3U, 6U}) {
    const auto done = options_.readers->read({&works, hashes, 0}, parts, 100, *out);
    ASSERT_TRUE(done.ok()) << done.error().text();
    EXPECT_EQ(*done, 6U);
  }
  EXPECT_EQ(connection_->query_int("SELECT sum(n * n) FROM numbers").value(), 2 * 91);
  // Enough is enough.
  const auto first = options_.readers->read({&works, hashes, 0}, 6, 2, *out);
  ASSERT_TRUE(first.ok()) << first.error().text();
  EXPECT_EQ(*first, 3U);
}

// A store of rows that share their keys, looked up by a batch with this many keys.
class SharedKeysTest : public BaseLookupTest {
 protected:
  void load(const std::string& select) {
    store_ = Store::open(*connection_,
                         {.name = "shared",
                          .columns = {{"k", "INTEGER"}, {"v", "VARCHAR"}, {"id", "INTEGER"}},
                          .key = {0},
                          .unique = false,
                          .distinct = true},
                         options_)
                 .value();
    const Status loaded = store_->load(select);
    ASSERT_TRUE(loaded.ok()) << loaded.error().text();
    run("CREATE OR REPLACE TEMP TABLE delta (k INTEGER, v VARCHAR, id INTEGER, pgweir_hash "
        "UBIGINT, pgweir_weight TINYINT)");
    committed();
  }

  void want_keys(int count, int step) {
    run(fmt::format("DELETE FROM wanted; INSERT INTO wanted SELECT range * {} FROM range({})", step,
                    count));
  }

  // The rows of some keys go, and as many come with other values.
  void change_keys(int first, int end) {
    run(fmt::format(
        "DELETE FROM delta; INSERT INTO delta SELECT s.k, CASE WHEN w < 0 THEN s.v ELSE 'new' END, "
        "s.id, s.pgweir_hash, w FROM {} AS s, (VALUES (-1), (1)) AS w(w) WHERE s.k >= {} AND s.k < "
        "{} AND s.v <> 'new'",
        store_->content_name(), first, end));
    const Status applied = store_->apply("temp.delta");
    ASSERT_TRUE(applied.ok()) << applied.error().text();
    const Status maintained = store_->maintain();
    ASSERT_TRUE(maintained.ok()) << maintained.error().text();
  }
};

TEST_F(SharedKeysTest, ReadersFindAllRowsOfAKey) {
  load("SELECT range::INTEGER // 7, 'v', range::INTEGER FROM range(120000)");
  want_keys(200, 80);
  for (int round = 0; round < 6; ++round) {
    EXPECT_TRUE(is_read_by_readers());
    change_keys(round * 1000, round * 1000 + 300);
    EXPECT_TRUE(is_read_by_readers());
    committed();
  }
}

// As views over one table do, each with the keys of the same changes.
TEST_F(SharedKeysTest, KeysThatWereReadAreNotReadAgainUntilAChange) {
  load("SELECT range::INTEGER // 7, 'v', range::INTEGER FROM range(120000)");
  change_keys(16'000, 16'001);
  const auto rows_held = [&] {
    return connection_->query_int("SELECT count(*) FROM temp.main.pgweir_from_base_2").value();
  };
  run("BEGIN");
  want_keys(200, 80);
  EXPECT_TRUE(is_read_by_readers());
  EXPECT_EQ(rows_held(), 200 * 7);
  want_keys(100, 160);
  EXPECT_TRUE(is_read_by_readers());
  EXPECT_EQ(rows_held(), 200 * 7) << "they are among those";
  run("INSERT INTO wanted VALUES (1)");
  EXPECT_TRUE(is_read_by_readers());
  EXPECT_EQ(rows_held(), 101 * 7) << "one more that is not";
  change_keys(160, 161);
  EXPECT_TRUE(is_read_by_readers());
  EXPECT_EQ(rows_held(), 101 * 7);
  run("ROLLBACK");
  want_keys(200, 80);
  EXPECT_TRUE(is_read_by_readers());
  EXPECT_EQ(rows_held(), 200 * 7);
}

// More than DuckDB prunes row groups for in one statement; there must be as many row groups.
TEST_F(SharedKeysTest, ManyKeysAreReadInParts) {
  load("SELECT range::INTEGER // 4, 'v', range::INTEGER FROM range(4800000)");
  change_keys(0, 300);
  for (const int keys : {900, 1'100, 1'150}) {
    want_keys(keys, 1000);
    EXPECT_TRUE(is_read_by_readers()) << keys;
  }
  want_keys(1'200, 900);
  EXPECT_FALSE(is_read_by_readers()) << "they are in most row groups";
}

TEST_F(SharedKeysTest, KeysOfTooManyRowsAreLeftToAStatement) {
  load("SELECT range::INTEGER % 400, repeat('v', 1000), range::INTEGER FROM range(120000)");
  want_keys(30, 1);
  EXPECT_FALSE(is_read_by_readers());
  EXPECT_EQ(connection_->query_int("SELECT count(*) FROM temp.main.pgweir_from_base_2").value(), 0);
  // Nor is it tried again and again.
  want_keys(24, 1000);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(is_read_by_readers());
  EXPECT_TRUE(is_read_by_readers());
}

}  // namespace pgweir::engine
