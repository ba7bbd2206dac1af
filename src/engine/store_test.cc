// A store holds exactly what its deltas add up to.
#include "engine/store.h"

#include <gtest/gtest.h>

#include <fmt/core.h>

#include <map>
#include <random>

namespace pgweir::engine {

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
    const std::string hash = store_->spec().unique ? "hash(k)" : "hash(k)";
    EXPECT_TRUE(connection_->execute("DELETE FROM temp.delta").ok());
    const Status filled = connection_->execute(fmt::format(
        "INSERT INTO temp.delta SELECT k, v, {}, w FROM (VALUES {}) AS t(w, k, v)", hash, rows));
    EXPECT_TRUE(filled.ok()) << filled.error().text();
    const Status status = duck::in_transaction(*connection_, [&]() -> Status {
      TRY(store_->apply("temp.delta"));
      return store_->maintain();
    });
    return status.ok() ? content() : status.error().message;
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
  std::unique_ptr<duck::Database> database_ = duck::Database::open("", {{"threads", "2"}}).value();
  std::unique_ptr<duck::Connection> connection_ = database_->connect().value();
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

// Rows move from level to level while they come, change and go; nothing is lost or doubled.
TEST_F(StoreTest, RewritingKeepsEveryRow) {
  for (const bool unique : {true, false}) {
    StoreSpec spec = unique ? keyed_ : bag_;
    open(spec, {.recent_rows_max = 100, .middle_rows_max = 300, .step_rows = 64});
    std::map<int, std::string> model;
    std::mt19937 random(7);
    for (int batch = 0; batch < 60; ++batch) {
      std::map<int, std::string> changes;
      std::string rows;
      for (int i = 0; i < 40; ++i) {
        const int key = static_cast<int>(random() % 2000);
        if (!changes.emplace(key, "").second) continue;
        const auto found = model.find(key);
        if (found != model.end()) rows += fmt::format(", (-1, {}, '{}')", key, found->second);
        if (found != model.end() && random() % 4 == 0) {
          model.erase(found);
          continue;
        }
        model[key] = fmt::format("v{}", batch);
        rows += fmt::format(", (1, {}, '{}')", key, model[key]);
      }
      std::string expected;
      for (const auto& [key, value] : model)
        expected += fmt::format("{}{}={}", expected.empty() ? "" : " ", key, value);
      ASSERT_EQ(apply(rows.substr(2)), expected) << "batch " << batch;
      if (batch % 20 == 10)
        open(spec, {.recent_rows_max = 100, .middle_rows_max = 300, .step_rows = 64});
    }
    const auto levels = connection_->query_int(fmt::format(
        "SELECT count(DISTINCT pgweir_run) FROM pgweir_internal.s{} WHERE pgweir_run >= 4294967296",
        unique ? 1 : 2));
    EXPECT_GT(levels.value(), 3);
  }
}

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
