// A store holds exactly what its deltas add up to.
#include "engine/store.h"

#include <gtest/gtest.h>

#include <fmt/core.h>

#include <map>
#include <random>
#include <set>

#include "harness/scratch.h"

namespace pgweir::engine {
namespace {

// All that is due, in the open transaction.
Status maintain(Store& store) {
  TRY(store.maintain());
  while (store.is_due()) TRY(store.work_off());
  return {};
}

}  // namespace

class StoreTest : public testing::Test {
 protected:
  void open(const StoreSpec& spec, const StoreOptions& options = {}) {
    ASSERT_TRUE(connection_
                    ->execute("CREATE TEMP TABLE IF NOT EXISTS delta (k INTEGER, v VARCHAR, "
                              "pgweir_hash UBIGINT, pgweir_weight TINYINT)")
                    .ok());
    auto store = Store::open(*connection_, spec, options);
    ASSERT_TRUE(store.ok()) << store.error().text();
    store_ = std::move(store).value();
  }

  // Applies "(-1, 1, 'a'), (1, 1, 'b')": weight, key, value. Returns the content, or the error.
  std::string apply(const std::string& rows) {
    fill_delta(rows);
    const Status status = duck::in_transaction(*connection_, [&]() -> Status {
      TRY(store_->apply("temp.delta"));
      return maintain(*store_);
    });
    return status.ok() ? content() : status.error().message;
  }

  void fill_delta(const std::string& rows) {
    EXPECT_TRUE(connection_->execute("DELETE FROM temp.delta").ok());
    const Status filled = connection_->execute(fmt::format(
        "INSERT INTO temp.delta SELECT k, v, hash(k), w FROM (VALUES {}) AS t(w, k, v)", rows));
    EXPECT_TRUE(filled.ok()) << filled.error().text();
  }

  bool is_large() {
    return connection_->query_int("SELECT count(*) FROM pgweir_internal.stores WHERE large")
               .value() == 1;
  }

  void checkpoint() {
    const Status done = connection_->execute("CHECKPOINT d");
    EXPECT_TRUE(done.ok()) << done.error().text();
  }

  std::string content() {
    const auto rows = connection_->query_texts(
        fmt::format("SELECT k, v FROM {} ORDER BY ALL", store_->content_name()));
    EXPECT_TRUE(rows.ok()) << rows.error().text();
    std::string out;
    for (const duck::TextRow& row : rows->rows)
      out += fmt::format("{}{}={}", out.empty() ? "" : " ", row[0].value_or("NULL"),
                         row[1].value_or("NULL"));
    return out;
  }

  const StoreSpec keyed_{
      .name = "a \"keyed\" one", .columns = {{"k", "INTEGER"}, {"v", "VARCHAR"}}, .key = {0}};
  const StoreSpec bag_{
      .name = "bag", .columns = {{"k", "INTEGER"}, {"v", "VARCHAR"}}, .key = {0}, .unique = false};
  // In a file with the smallest row groups, so that a few rows make several.
  std::unique_ptr<duck::Connection> connect() {
    auto connection = database_->connect().value();
    EXPECT_TRUE(connection
                    ->execute(fmt::format("ATTACH '{}' AS d (ROW_GROUP_SIZE 2048); USE d",
                                          scratch_.file("store.duckdb")))
                    .ok());
    return connection;
  }

  const harness::ScratchFolder scratch_;
  std::unique_ptr<duck::Database> database_ = duck::Database::open("", {{"threads", "2"}}).value();
  std::unique_ptr<duck::Connection> connection_ = connect();
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, DistinctRowsOfOneKeyComeAndGoOneByOne) {
  StoreSpec spec = bag_;
  spec.distinct = true;
  open(spec);
  EXPECT_EQ(apply("(1, 1, 'a'), (1, 1, 'b'), (1, 1, NULL), (1, 2, 'b')"), "1=a 1=b 1=NULL 2=b");
  EXPECT_EQ(apply("(-1, 1, 'b'), (-1, 1, NULL), (1, 2, 'c')"), "1=a 2=b 2=c");
}

TEST_F(StoreTest, ColumnsMayHaveAnyNames) {
  const StoreSpec spec{.name = "names",
                       .columns = {{"n", "INTEGER"}, {"h", "INTEGER"}, {"copies", "INTEGER"}},
                       .key = {0, 1, 2},
                       .unique = false};
  auto store = Store::open(*connection_, spec).value();
  ASSERT_TRUE(store->load("VALUES (2, 2, 1), (1, 2, 1), (3, 1, 1)").ok());
  ASSERT_TRUE(
      connection_
          ->execute("CREATE TEMP TABLE names AS SELECT *, hash(n, h, copies), -1 AS pgweir_weight "
                    "FROM (VALUES (2, 2, 1), (1, 2, 1)) AS t(n, h, copies);"
                    "ALTER TABLE names RENAME COLUMN \"hash(n, h, copies)\" TO pgweir_hash")
          .ok());
  const Status applied = store->apply("temp.names");
  ASSERT_TRUE(applied.ok()) << applied.error().text();
  EXPECT_EQ(store->row_count().value(), 1U);
}

TEST_F(StoreTest, RowsComeChangeAndGo) {
  open(keyed_);
  EXPECT_EQ(apply("(1, 1, 'a'), (1, 2, 'b'), (1, NULL, 'n')"), "1=a 2=b NULL=n");
  EXPECT_EQ(apply("(-1, 1, 'a'), (1, 1, 'c'), (-1, NULL, 'n')"), "1=c 2=b");
  EXPECT_EQ(apply("(-1, 1, 'c'), (-1, 2, 'b')"), "");
}

TEST_F(StoreTest, ARowThatIsNotThereCannotGo) {
  open(keyed_);
  EXPECT_EQ(apply("(-1, 1, 'a')"), "store a \"keyed\" one removed 0 rows where the delta names 1");
}

TEST_F(StoreTest, EqualRowsAreCounted) {
  open(bag_);
  EXPECT_EQ(apply("(1, 1, 'a'), (1, 1, 'a'), (1, 1, 'a'), (1, 1, 'b'), (1, 2, NULL)"),
            "1=a 1=a 1=a 1=b 2=NULL");
  EXPECT_EQ(apply("(-1, 1, 'a'), (-1, 1, 'a'), (-1, 2, NULL)"), "1=a 1=b");
}

TEST_F(StoreTest, LoadReplacesEverything) {
  open(keyed_);
  apply("(1, 1, 'a')");
  ASSERT_TRUE(store_->load("SELECT range::INTEGER, 'x' FROM range(3)").ok());
  EXPECT_EQ(content(), "0=x 1=x 2=x");
  EXPECT_EQ(apply("(-1, 1, 'x')"), "0=x 2=x");
  EXPECT_EQ(store_->row_count().value(), 2u);
}

TEST_F(StoreTest, LargeStoreKnowsItsRowsByKey) {
  open(keyed_, {.small_rows_max = 2});
  EXPECT_EQ(apply("(1, 1, 'a'), (1, 2, 'b'), (1, NULL, 'n')"), "1=a 2=b NULL=n");
  ASSERT_TRUE(is_large());
  // Out of the base, out of what came since, and back again.
  EXPECT_EQ(apply("(-1, 1, 'a'), (1, 1, 'c'), (-1, NULL, 'n')"), "1=c 2=b");
  EXPECT_EQ(apply("(-1, 1, 'c'), (1, NULL, 'm')"), "2=b NULL=m");
  EXPECT_EQ(apply("(1, 1, 'a'), (-1, NULL, 'm')"), "1=a 2=b");
  EXPECT_EQ(store_->row_count().value(), 2U);
}

TEST_F(StoreTest, CopiesInALargeBagGoOneByOne) {
  open(bag_, {.small_rows_max = 2});
  EXPECT_EQ(apply("(1, 1, 'a'), (1, 1, 'a'), (1, 1, 'a'), (1, 1, NULL)"), "1=a 1=a 1=a 1=NULL");
  ASSERT_TRUE(is_large());
  EXPECT_EQ(apply("(-1, 1, 'a')"), "1=a 1=a 1=NULL");
  EXPECT_EQ(apply("(1, 2, 'b'), (-1, 1, NULL)"), "1=a 1=a 2=b");
  EXPECT_EQ(apply("(-1, 1, 'a'), (-1, 1, 'a')"), "2=b");
  EXPECT_EQ(apply("(-1, 2, 'b'), (-1, 2, 'b')"),
            "store bag removed 1 rows where the delta names 2");
}

TEST_F(StoreTest, LoadMakesALargeStoreAtOnce) {
  open(keyed_, {.small_rows_max = 2});
  ASSERT_TRUE(store_->load("SELECT range::INTEGER, 'x' FROM range(3)").ok());
  EXPECT_TRUE(is_large());
  EXPECT_EQ(apply("(-1, 1, 'x')"), "0=x 2=x");
  ASSERT_TRUE(store_->load("SELECT 7, 'y'").ok());
  EXPECT_EQ(apply("(-1, 7, 'y'), (1, 8, 'z')"), "8=z");
  ASSERT_TRUE(store_->clear().ok());
  EXPECT_EQ(content(), "");
}

// Rows in numbers that DuckDB writes to the file before the commit; several steps in a transaction.
TEST_F(StoreTest, StepsOfManyRowGroupsKeepEveryRow) {
  open(keyed_, {.small_rows_max = 100,
                .pending_rows_min = 2000,
                .pending_rows_max = 2000,
                .step_rows_min = 3000,
                .step_rows_max = 9000});
  ASSERT_TRUE(store_->load("SELECT range::INTEGER, 'v0' FROM range(30000)").ok());
  ASSERT_TRUE(connection_->execute("BEGIN").ok());
  for (int round = 1; round <= 6; ++round) {
    ASSERT_TRUE(connection_
                    ->execute(fmt::format(
                        "DELETE FROM temp.delta;"
                        "INSERT INTO temp.delta SELECT k, CASE WHEN w < 0 THEN v ELSE 'v{0}' END, "
                        "pgweir_hash, w FROM {1}, (VALUES (-1), (1)) AS w(w) WHERE k % 7 = {0}",
                        round, store_->content_name()))
                    .ok());
    ASSERT_TRUE(store_->apply("temp.delta").ok());
    const Status maintained = maintain(*store_);
    ASSERT_TRUE(maintained.ok()) << maintained.error().text();
  }
  ASSERT_TRUE(connection_->execute("COMMIT").ok());
  const auto wrong = connection_->query_int(fmt::format(
      "SELECT count(*) FILTER (v <> 'v' || (k % 7)) * 1000000 + count(DISTINCT k) FROM {}",
      store_->content_name()));
  EXPECT_EQ(wrong.value(), 30000);
  EXPECT_EQ(store_->row_count().value(), 30000U);
}

// 40,000 rows of 10 KB, where DuckDB has 192 MB.
TEST_F(StoreTest, WideRowsAreRewrittenInWhatMemoryThereIs) {
  ASSERT_TRUE(connection_
                  ->execute(fmt::format("SET memory_limit = '192MB'; SET temp_directory = '{}'",
                                        scratch_.file("spill")))
                  .ok());
  open(keyed_, {.small_rows_max = 20'000,
                .pending_rows_min = 2000,
                .pending_rows_max = 2000,
                .step_rows_min = 20'000,
                .step_rows_max = 40'000,
                .step_bytes_max = 16 * kMiB});
  constexpr int kBatchRows = 1000, kBatches = 40;
  for (int batch = 0; batch < kBatches; ++batch) {
    const Status filled = connection_->execute(fmt::format(
        "DELETE FROM temp.delta; INSERT INTO temp.delta SELECT i::INTEGER, "
        "substr(repeat(md5(i::VARCHAR), 320), 1, 10000), hash(i::INTEGER), 1 FROM range({}, {}) AS "
        "t(i)",
        batch * kBatchRows, (batch + 1) * kBatchRows));
    ASSERT_TRUE(filled.ok()) << filled.error().text();
    const Status applied = duck::in_transaction(*connection_, [&]() -> Status {
      TRY(store_->apply("temp.delta"));
      TRY(connection_->execute("DELETE FROM temp.delta"));
      return maintain(*store_);
    });
    ASSERT_TRUE(applied.ok()) << "batch " << batch << ": " << applied.error().text();
    if (batch % 10 == 9) checkpoint();
  }
  // Rows that go make the base be rewritten as well.
  for (int batch = 0; batch < kBatches; ++batch) {
    const Status filled = connection_->execute(
        fmt::format("DELETE FROM temp.delta; INSERT INTO temp.delta SELECT k, '', pgweir_hash, -1 "
                    "FROM {} WHERE "
                    "k % 2 = 0 AND k >= {} AND k < {}",
                    store_->content_name(), batch * kBatchRows, (batch + 1) * kBatchRows));
    ASSERT_TRUE(filled.ok()) << filled.error().text();
    const Status applied = duck::in_transaction(*connection_, [&]() -> Status {
      TRY(store_->apply("temp.delta"));
      TRY(connection_->execute("DELETE FROM temp.delta"));
      return maintain(*store_);
    });
    ASSERT_TRUE(applied.ok()) << "removals " << batch << ": " << applied.error().text();
    if (batch % 10 == 9) checkpoint();
  }
  EXPECT_EQ(connection_
                ->query_int(fmt::format("SELECT count(*) FROM {} WHERE v LIKE md5(k::VARCHAR) || "
                                        "'%' AND strlen(v) = 10000",
                                        store_->content_name()))
                .value(),
            kBatchRows * kBatches / 2);
}

// A backlog leaves more pending, small batches then work off more than they bring; and what one
// store has pending, another cannot have.
TEST_F(StoreTest, WhatIsPendingStaysWithinItsBounds) {
  const StoreOptions options{.small_rows_max = 100,
                             .pending_rows_min = 100,
                             .pending_rows_max = 500,
                             .backlog_rows_min = 50,
                             .pending_rows_total_max = 1500,
                             .pending_rows_floor = 200,
                             .step_rows_min = 10,
                             .step_rows_max = 1000,
                             .work = std::make_shared<StoreWork>()};
  open(keyed_, options);
  int next = 0;
  const auto add = [&](int rows) {
    const Status filled = connection_->execute(
        fmt::format("DELETE FROM temp.delta; INSERT INTO temp.delta SELECT i::INTEGER, 'v', "
                    "hash(i::INTEGER), 1 FROM range({}, {}) AS t(i)",
                    next, next + rows));
    ASSERT_TRUE(filled.ok()) << filled.error().text();
    next += rows;
    ASSERT_TRUE(store_->apply("temp.delta").ok());
    ASSERT_TRUE(maintain(*store_).ok());
  };
  for (int i = 0; i < 60; ++i) add(100);
  EXPECT_GT(options.work->pending_rows, 750U);
  EXPECT_LE(options.work->pending_rows, 1500U);
  for (int i = 0; i < 300; ++i) add(10);
  EXPECT_LE(options.work->pending_rows, 510U);
  for (int i = 0; i < 30; ++i) add(100);
  const std::uint64_t of_first = options.work->pending_rows;
  EXPECT_GT(of_first, 750U);

  const std::unique_ptr<Store> first = std::move(store_);
  StoreSpec second = keyed_;
  second.name = "another";
  open(second, options);
  for (int i = 0; i < 60; ++i) add(100);
  EXPECT_LE(options.work->pending_rows, 1500U);
  EXPECT_EQ(store_->row_count().value(), 6000U);
  store_.reset();
  EXPECT_EQ(options.work->pending_rows, of_first);
}

// However much is due, it is rewritten in bounded parts, which may be undone.
TEST_F(StoreTest, WhatIsDueIsWorkedOffInParts) {
  constexpr std::uint64_t kStepRows = 1000;
  const StoreOptions options{.small_rows_max = 100,
                             .pending_rows_min = 500,
                             .pending_rows_max = 500,
                             .pending_rows_total_max = 500,
                             .step_rows_min = kStepRows,
                             .step_rows_max = kStepRows,
                             .work = std::make_shared<StoreWork>()};
  open(keyed_, options);
  ASSERT_TRUE(store_->load("SELECT range::INTEGER, 'v' FROM range(20000)").ok());
  const auto change = [&](int first, int last) {
    const Status filled = connection_->execute(fmt::format(
        "DELETE FROM temp.delta; INSERT INTO temp.delta SELECT i::INTEGER, CASE WHEN w < 0 THEN "
        "'v' ELSE 'new' END, hash(i::INTEGER), w FROM range({}, {}) AS t(i), (VALUES (-1), (1)) AS "
        "w(w)",
        first, last));
    ASSERT_TRUE(filled.ok()) << filled.error().text();
    const Status applied = duck::in_transaction(*connection_, [&]() -> Status {
      TRY(store_->apply("temp.delta"));
      return store_->maintain();
    });
    ASSERT_TRUE(applied.ok()) << applied.error().text();
    ASSERT_EQ(options.work->due.count(store_.get()), 1U);
  };
  change(0, 3000);
  const std::string changed = content();
  ASSERT_TRUE(connection_->execute("BEGIN").ok());
  ASSERT_TRUE(store_->work_off().ok());
  ASSERT_TRUE(connection_->execute("ROLLBACK").ok());
  EXPECT_EQ(content(), changed);
  EXPECT_EQ(store_->row_count().value(), 20000U);
  // What is undone waits for the next batch.
  ASSERT_TRUE(store_->work_off().ok());
  EXPECT_FALSE(store_->is_due());

  change(3000, 6000);
  const std::string before = content();
  int steps = 0;
  for (; !options.work->due.empty() && steps < 100; ++steps) {
    const std::uint64_t deleted = options.work->deleted_rows;
    const std::uint64_t pending = options.work->pending_rows;
    const Status done = duck::in_transaction(*connection_, [&] { return store_->work_off(); });
    ASSERT_TRUE(done.ok()) << done.error().text();
    EXPECT_LE(options.work->deleted_rows - deleted, kStepRows + pending);
    EXPECT_LE(options.work->pending_rows, pending);
  }
  EXPECT_GT(steps, 10);
  EXPECT_FALSE(store_->is_due());
  EXPECT_LT(options.work->pending_rows, 1500U);
  EXPECT_EQ(content(), before);
}

// (DuckDB loses the rows of the second INSERT when the first had an ORDER BY.)
TEST_F(StoreTest, ManyRowsAfterLoadingNothingAreKept) {
  open(keyed_, {.small_rows_max = 2, .pending_rows_min = 1, .pending_rows_max = 1});
  ASSERT_TRUE(store_->load("SELECT range::INTEGER, 'x' FROM range(5)").ok());
  ASSERT_TRUE(connection_->execute("BEGIN").ok());
  ASSERT_TRUE(store_->load("SELECT 1, 'x' WHERE false").ok());
  ASSERT_TRUE(connection_
                  ->execute("INSERT INTO temp.delta SELECT range::INTEGER, 'y', "
                            "hash(range::INTEGER), 1 FROM range(30000)")
                  .ok());
  ASSERT_TRUE(store_->apply("temp.delta").ok());
  ASSERT_TRUE(maintain(*store_).ok());
  ASSERT_TRUE(connection_->execute("COMMIT").ok());
  EXPECT_EQ(connection_->query_int("SELECT count(*) FROM " + store_->content_name()).value(),
            30000);
}

// What random batches do to a store, and to a multiset in memory.
class StoreModelTest : public StoreTest, public testing::WithParamInterface<int> {
 protected:
  void run(StoreSpec spec) {
    random_.seed(harness::test_seed() + static_cast<unsigned>(GetParam()));
    const StoreOptions options{.small_rows_max = 20,
                               .pending_rows_min = pick(60) + 1,
                               .pending_rows_max = pick(60) + 61,
                               .backlog_rows_min = pick(30) + 1,
                               .pending_rows_total_max = pick(100) + 61,
                               .pending_rows_floor = 1,
                               .step_rows_min = pick(30) + 1,
                               .step_rows_max = pick(60) + 31,
                               .many_keys_min = pick(15) + 1,
                               .batches_to_index = pick(3),
                               .run_rows = pick(20) + 1,
                               .work = std::make_shared<StoreWork>()};
    open(spec, options);
    const int batches = harness::random_rounds(90);
    for (int batch = 0; batch < batches && !HasFailure(); ++batch) {
      const std::size_t what = pick(40);
      if (what == 0) open(spec, options);
      if (what == 1) checkpoint();
      if (what == 2 && pick(3) == 0) {
        ASSERT_TRUE(store_->clear().ok());
        model_.clear();
      }
      // Several deltas in one transaction; one in six transactions is rolled back.
      const auto before = model_;
      ASSERT_TRUE(connection_->execute("BEGIN").ok());
      for (std::size_t part = pick(3); part != std::size_t(-1) && !HasFailure(); --part)
        one_delta();
      const bool keep = pick(6) != 0;
      ASSERT_TRUE(connection_->execute(keep ? "COMMIT" : "ROLLBACK").ok());
      if (!keep) model_ = before;
      compare();
    }
  }

 private:
  std::size_t pick(std::size_t below) { return random_() % below; }

  void one_delta() {
    std::string rows;
    std::map<std::pair<int, std::string>, int> net;
    std::map<int, bool> touched;
    const auto change = [&](int weight, int key, const std::string& value) {
      rows += fmt::format("{}({}, {}, '{}')", rows.empty() ? "" : ", ", weight, key, value);
    };
    const bool shrinks = pick(3) == 0;
    for (std::size_t i = 0, count = 1 + pick(30); i < count; ++i) {
      const int key = static_cast<int>(pick(store_->spec().unique ? 300 : 40));
      if (!touched.emplace(key, true).second) continue;
      const std::string value = fmt::format("v{}", pick(3));
      auto& held = model_[key];
      if (store_->spec().unique || store_->spec().distinct) {
        const bool had = held.contains(value);
        if (store_->spec().unique && !held.empty()) {
          change(-1, key, *held.begin());
          const std::string old = *held.begin();
          held.clear();
          if (!shrinks && old != value) held.insert(value), change(1, key, value);
        } else if (had) {
          held.erase(value), change(-1, key, value);
        } else if (!shrinks) {
          held.insert(value), change(1, key, value);
        }
        continue;
      }
      for (std::size_t copies = pick(4); copies > 0; --copies) {
        if (shrinks && !held.contains(value)) break;
        if (shrinks) {
          held.erase(held.find(value)), change(-1, key, value);
        } else {
          held.insert(value), change(1, key, value);
        }
      }
    }
    if (rows.empty()) return;
    fill_delta(rows);
    const Status applied = store_->apply("temp.delta");
    ASSERT_TRUE(applied.ok()) << applied.error().text();
    const Status maintained = maintain(*store_);
    ASSERT_TRUE(maintained.ok()) << maintained.error().text();
    if (pick(4) == 0) compare();
  }

  void compare() {
    std::string expected;
    std::uint64_t count = 0;
    for (const auto& [key, values] : model_) {
      for (const std::string& value : values) {
        expected += fmt::format("{}{}={}", expected.empty() ? "" : " ", key, value);
        ++count;
      }
    }
    ASSERT_EQ(content(), expected);
    ASSERT_EQ(store_->row_count().value(), count);
    // And what a lookup gives, of every third key.
    const std::string keys = "SELECT hash(range::INTEGER) AS pgweir_hash FROM range(0, 300, 3)";
    const auto found = connection_->query_int(
        fmt::format("SELECT count(*) FROM {} AS s JOIN ({}) AS d ON s.pgweir_hash = d.pgweir_hash",
                    store_->lookup(keys).value(), keys));
    const auto wanted = connection_->query_int(
        fmt::format("SELECT count(*) FROM {} WHERE k % 3 = 0", store_->content_name()));
    ASSERT_EQ(found.value(), wanted.value());
  }

  std::mt19937_64 random_;
  std::map<int, std::multiset<std::string>> model_;
};

TEST_P(StoreModelTest, UniqueStoreIsItsDeltas) {
  run(keyed_);
}
TEST_P(StoreModelTest, DistinctStoreIsItsDeltas) {
  StoreSpec spec = bag_;
  spec.distinct = true;
  run(spec);
}
TEST_P(StoreModelTest, BagIsItsDeltas) {
  run(bag_);
}
INSTANTIATE_TEST_SUITE_P(Seeds, StoreModelTest, testing::Range(0, 6));

TEST_F(StoreTest, ReopensWithTheSameShapeOnly) {
  open(keyed_);
  apply("(1, 1, 'a')");
  open(keyed_);
  EXPECT_EQ(content(), "1=a");
  StoreSpec other = keyed_;
  other.columns[1].type = "BLOB";
  EXPECT_EQ(Store::open(*connection_, other).error().code, Code::kCorruption);
  ASSERT_TRUE(Store::drop(*connection_, keyed_.name).ok());
  open(keyed_);
  EXPECT_EQ(content(), "");
}

}  // namespace pgweir::engine
