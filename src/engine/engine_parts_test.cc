// Values that do not fit, and transactions that are committed in parts.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "engine/testing_engine.h"

namespace pgweir::engine {

using EnginePartsTest = EngineTest;

static const std::string kMisfit =
    "a value of shop.prices.amount (numeric) does not fit into DECIMAL(38,9) "
    "(key (id)=(42); commit 0/10; value '0.0000000001'). "
    "Choose a source.numeric that holds it and remove the folder engine in the data folder, "
    "which is then built anew from the log";

TEST_F(EnginePartsTest, AValueThatDoesNotFitStopsItsTableAlone) {
  const auto prices = make_prices();
  begin(15);
  builder_->insert(prices, {"41", "0.5"});
  EXPECT_EQ(apply(), "");
  begin(16);
  builder_->insert(accounts_, {"1", "a"});
  builder_->insert(prices, {"42", "0.0000000001"});
  builder_->insert(prices, {"43", "0.5"});
  EXPECT_EQ(apply(), "");
  begin(17);
  builder_->insert(prices, {"44", "0.5"});
  builder_->update(accounts_, {}, {"1", "b"});
  EXPECT_EQ(apply(), "");
  for (int opened = 0; opened < 2; ++opened) {
    EXPECT_EQ(engine_->position().position, next_);
    EXPECT_EQ(rows("SELECT * FROM accounts"), "1|b");
    const std::string told = "Invalid Input Error: table shop.prices is stopped: " + kMisfit;
    for (const char* read : {"SELECT * FROM shop.prices", "SELECT count(*) FROM shop.prices",
                             "SELECT count(*) FROM accounts LEFT JOIN shop.prices USING (id)"})
      EXPECT_EQ(rows(read), told);
    EXPECT_EQ(rows("SELECT changes FROM pgweir.activity WHERE \"table\" = 'prices'"), "4");
    EXPECT_EQ(engine_->mirrors()[1].stopped, kMisfit);
    open();
  }
}

TEST_F(EnginePartsTest, AMisfitInALaterPartStopsItsTableInFrontOfTheTransaction) {
  const auto prices = make_prices(), others = make_prices(3, "others");
  begin(10);
  builder_->insert(prices, {"1", "1"});
  EXPECT_EQ(apply(), "");
  const model::Position before = next_;
  // Each misfit takes the transaction back to its beginning.
  std::string told;
  for (int attempt = 0; attempt < 3; ++attempt) {
    next_ = before;
    begin(16);
    builder_->insert(accounts_, {"1", "a"});
    builder_->insert(prices, {"2", "2"});
    EXPECT_EQ(apply(false), "");
    builder_ = std::make_unique<BatchBuilder>(next_);
    builder_->begin(16, kTime, false);
    builder_->insert(accounts_, {"2", "b"});
    builder_->insert(prices, {"42", "0.0000000001"});
    builder_->insert(others, {"1", "NaN"});
    told += apply() + ";";
    EXPECT_EQ(engine_->position().position, attempt < 2 ? before : next_);
  }
  EXPECT_EQ(told,
            "a transaction is begun anew without a table that stopped (shop.prices);"
            "a transaction is begun anew without a table that stopped (shop.others);;");
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "1|a;2|b");
  EXPECT_EQ(rows("SELECT * FROM shop.prices"),
            "Invalid Input Error: table shop.prices is stopped: " + kMisfit);
  EXPECT_EQ(rows("SELECT changes FROM pgweir.activity ORDER BY ALL"), "1;2;3");
  EXPECT_EQ(engine_->mirrors()[1].stopped,
            "a value of shop.others.amount (numeric) does not fit into DECIMAL(38,9) "
            "(key (id)=(1); commit 0/10; value 'NaN'). "
            "Correct it at the source, and start anew with an empty data folder");
}

// A transaction that is too large for one commit is never seen half: by a reader that began before,
// by one that asks meanwhile, or after a restart in the middle.
TEST_F(EnginePartsTest, AHugeTransactionIsCommittedInPartsAndSeenWhole) {
  open({.memory_bytes = 256 * kMiB, .part_changes_max = 100});
  begin(16);
  builder_->insert(accounts_, {"0", "before"});
  ASSERT_EQ(apply(), "");
  auto earlier = engine_->reader(Milliseconds{1000}).value();
  const std::string count = "SELECT count(*), count(DISTINCT id) FROM accounts";
  constexpr int kParts = 5, kPartRows = 60;
  for (int part = 0; part < kParts; ++part) {
    builder_ = std::make_unique<BatchBuilder>(next_);
    builder_->begin(32, kTime, part == 0);
    for (int i = 1; i <= kPartRows; ++i)
      builder_->insert(accounts_, {std::to_string(part * kPartRows + i), "a"});
    ASSERT_EQ(apply(part + 1 == kParts), "");
    const std::string seen = rows(count);
    if (part == 0) {
      EXPECT_EQ(seen, "1|1");  // not committed
    } else if (part + 1 < kParts) {
      EXPECT_NE(seen.find("queries wait for the end of a large transaction"), std::string::npos);
    }
    if (part == 1) {
      EXPECT_EQ(engine_->position().position, next_);
      const auto old = earlier->connection().query_texts(count);
      EXPECT_EQ(old->rows[0][0], "1");
      earlier.reset();
      open({.memory_bytes = 256 * kMiB, .part_changes_max = 100});
      EXPECT_EQ(engine_->position().position, next_);
      EXPECT_NE(rows(count).find("queries wait"), std::string::npos);
    }
  }
  EXPECT_EQ(rows(count), "301|301");
  EXPECT_EQ(rows("SELECT changes, transactions FROM pgweir.activity"), "301|2");
  begin(64);
  builder_->remove(accounts_, {"7", std::nullopt});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows(count), "300|300");
}

// A batch ends one that is half applied and begins the next, of which parts come after a restart.
TEST_F(EnginePartsTest, ATransactionInPartsIsCountedOnceThroughRestarts) {
  const EngineOptions options{.memory_bytes = 256 * kMiB, .part_changes_max = 1};
  open(options);
  int next_id = 0;
  const auto part = [&](std::uint64_t lsn, bool begins, bool ends) {
    builder_ = std::make_unique<BatchBuilder>(next_);
    builder_->begin(lsn, kTime, begins);
    builder_->insert(accounts_, {std::to_string(++next_id), "a"});
    ASSERT_EQ(apply(ends), "");
    open(options);
  };
  part(16, true, false);
  part(16, false, false);
  builder_ = std::make_unique<BatchBuilder>(next_);
  builder_->begin(16, kTime, false);
  builder_->insert(accounts_, {"100", "a"});
  builder_->end();
  builder_->begin(32, kTime);
  builder_->update(accounts_, {}, {"100", "b"});
  ASSERT_EQ(apply(false), "");
  open(options);
  part(32, false, false);
  part(32, false, true);
  EXPECT_EQ(rows("SELECT op, changes, transactions FROM pgweir.activity ORDER BY op"),
            "i|5|2;u|1|1");
}

TEST_F(EnginePartsTest, AMisfitInASnapshotLosesNoRowOfOtherTables) {
  const auto prices = make_prices();
  next_ = {1, model::Lsn{16}, 0};
  ASSERT_TRUE(engine_->begin_snapshot(next_).ok());
  constexpr int kPartRows = 5000;
  for (int part = 0; part < 3; ++part) {
    builder_ = std::make_unique<BatchBuilder>(next_);
    builder_->begin(16, kTime, part == 0, model::Transaction::Kind::kSnapshot);
    for (int i = 0; i < kPartRows; ++i) {
      const std::string id = std::to_string(part * kPartRows + i);
      builder_->insert(accounts_, {id, "a"}, model::Op::kRead);
      builder_->insert(prices, {id, id}, model::Op::kRead);
    }
    if (part == 1) builder_->insert(prices, {"42", "0.0000000001"}, model::Op::kRead);
    EXPECT_EQ(apply(part == 2), "");
    if (part == 1) open();
  }
  const Status ended = engine_->end_snapshot(next_, model::Lsn{17});
  ASSERT_TRUE(ended.ok()) << ended.error().text();
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT id) FROM accounts"), "15000|15000");
  EXPECT_EQ(rows("SELECT * FROM shop.prices"),
            "Invalid Input Error: table shop.prices is stopped: " + kMisfit);
  // The next snapshot takes it in again.
  next_ = {2, model::Lsn{18}, 0};
  ASSERT_TRUE(engine_->begin_snapshot(next_).ok());
  builder_ = std::make_unique<BatchBuilder>(next_);
  builder_->begin(18, kTime, true, model::Transaction::Kind::kSnapshot);
  builder_->insert(prices, {"42", "0.5"}, model::Op::kRead);
  EXPECT_EQ(apply(), "");
  ASSERT_TRUE(engine_->end_snapshot(next_, model::Lsn{19}).ok());
  EXPECT_EQ(rows("SELECT * FROM shop.prices"), "42|0.500000000");
}

}  // namespace pgweir::engine
