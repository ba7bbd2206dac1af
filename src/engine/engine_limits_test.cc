// Memory and disk that run out, and queries that hold them.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <random>
#include <thread>

#include "base/mutex.h"
#include "engine/testing_engine.h"
#include "harness/file_size_limit.h"

namespace pgweir::engine {

// Texts that cannot be compressed.
static std::string noise(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string out(bytes, 'a');
  for (char& c : out) c = static_cast<char>('a' + random() % 26);
  return out;
}

class EngineLimitsTest : public EngineTest {
 protected:
  // A checkpoint that finds no memory makes DuckDB give the database up, behind the commit: the
  // next who reads finds it, and whoever drives the engine opens it anew.
  void recover_when_given_up() {
    if (engine_->reader(Milliseconds{1000}).ok()) return;
    ASSERT_TRUE(engine_->needs_recovery());
    const Status recovered = engine_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().text();
  }

  // How a query that holds most of 80 MiB has ended when `work` has been done beside it; nothing
  // when it went on.
  std::optional<Code> end_of_query_beside(const std::function<void()>& work) {
    Mutex mutex;
    std::optional<Code> ended;
    std::jthread query([&] {
      auto reader = engine_->reader(Milliseconds{1000}).value();
      const Status status = reader->connection().execute(
          "SELECT count(*) FROM range(1000000000000) AS r JOIN range(1000000) AS held "
          "ON r.range % 1000000 = held.range WHERE held.range + r.range = -1");
      MutexLock lock(mutex);
      if (!status.ok()) ended = status.error().code;
    });
    // Until it holds what it needs: about as much for a second, so that it asks for nothing more.
    long long held = 0;
    for (int i = 0, alike = 0; i < 1200 && alike < 20; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      const long long now = std::stoll(rows("SELECT sum(memory_usage_bytes) FROM duckdb_memory()"));
      alike = now >= 38'000'000 && std::abs(now - held) < 1'000'000 ? alike + 1 : 0;
      held = now;
    }
    work();
    const auto seen = [&] {
      MutexLock lock(mutex);
      return ended;
    }();
    engine_->interrupt_readers();
    query.join();
    recover_when_given_up();
    return seen;
  }
};

TEST_F(EngineLimitsTest, ABatchThatNeedsTooMuchMemoryChangesNothing) {
  open({.memory_bytes = 32 * kMiB});
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  for (int attempt = 0; attempt < 2; ++attempt) {
    begin(20);
    for (int i = 2; i < 10; ++i)
      builder_->insert(accounts_, {std::to_string(i), noise(8 * kMiB, 1)});
    builder_->end();
    const Status failed = engine_->apply(builder_->batch());
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().code, Code::kUnavailable);
    EXPECT_EQ(failed.error().message, "the engine has run out of memory");
    EXPECT_NE(failed.error().detail.find("/16.0 MiB used)"), std::string::npos)
        << failed.error().detail;
    EXPECT_EQ(failed.error().detail.find("Possible solutions"), std::string::npos);
    EXPECT_EQ(failed.error().hint, "Raise engine.memory, which is 32.0 MiB");
    EXPECT_EQ(engine_->position().position, next_);
    const Status recovered = engine_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().text();
    EXPECT_EQ(rows("SELECT * FROM accounts"), "1|a");
  }
  open({.memory_bytes = 512 * kMiB});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT count(*), sum(length(name)) FROM accounts"), "9|67108865");
}

// The engine stops a query for a batch's sake. Which of the two asks for the last of the memory is
// chance: a query that was it has ended by itself, and is begun again for another batch.
TEST_F(EngineLimitsTest, QueriesGiveWayWhenMemoryRunsOut) {
  constexpr int kRoundsMax = 20;
  constexpr int kRows = 3;
  open({.memory_bytes = 80 * kMiB});
  std::optional<Code> ended;
  int rounds = 0;
  while (ended != Code::kCancelled && rounds < kRoundsMax) {
    ended = end_of_query_beside([&] {
      begin(static_cast<std::uint64_t>(10 * ++rounds));
      // More than is left beside it, less than there is without it.
      for (int i = 0; i < kRows; ++i)
        builder_->insert(accounts_, {std::to_string(rounds * kRows + i), noise(8 * kMiB, 1)});
      EXPECT_EQ(apply(), "");
    });
    ASSERT_TRUE(ended) << "the query went on";
    ASSERT_TRUE(ended == Code::kCancelled || ended == Code::kUnavailable) << code_name(*ended);
  }
  EXPECT_EQ(ended, Code::kCancelled);
  // To read what many rounds left needs more than one round did.
  open({.memory_bytes = 512 * kMiB});
  EXPECT_EQ(rows("SELECT count(*), sum(length(name)) FROM accounts"),
            fmt::format("{}|{}", kRows * rounds, kRows * rounds * 8 * kMiB));
}

// The database is opened with them, and again without.
TEST_F(EngineLimitsTest, ALargeSnapshotIsWrittenByMoreThreads) {
  open({.load_threads = 3, .load_bytes_min = 0, .readers_patience = Milliseconds{50}});
  for (const std::uint64_t lsn : {30, 60}) {
    next_ = {static_cast<std::uint32_t>(lsn / 30), model::Lsn{lsn}, 0};
    ASSERT_TRUE(engine_->begin_snapshot(next_).ok());
    builder_ = std::make_unique<BatchBuilder>(next_);
    builder_->begin(lsn, kTime, true, model::Transaction::Kind::kSnapshot);
    for (std::uint64_t id = 1; id <= 5000; ++id)
      builder_->insert(accounts_, {std::to_string(id), noise(20, lsn + id)}, model::Op::kRead);
    EXPECT_EQ(apply(), "");
    const auto reader = engine_->reader(Milliseconds{1000}).value();
    const Status ended = engine_->end_snapshot(next_, model::Lsn{lsn + 1});
    ASSERT_TRUE(ended.ok()) << ended.error().text();
    EXPECT_EQ(rows("SELECT count(*), count(DISTINCT name) FROM accounts"), "5000|5000");
    EXPECT_EQ(rows("SELECT current_setting('threads')"), "1");
    begin(lsn + 10);
    builder_->remove(accounts_, {"7", std::nullopt});
    EXPECT_EQ(apply(), "");
    EXPECT_EQ(rows("SELECT count(*) FROM accounts"), "4999");
  }
}

TEST_F(EngineLimitsTest, CheckpointsGoOnBesideAReader) {
  open({.memory_bytes = 128 * kMiB, .checkpoint_bytes = 256 * kKiB});
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  const auto reader = engine_->reader(Milliseconds{1000}).value();
  for (std::uint64_t lsn = 20; lsn < 400; lsn += 20) {
    begin(lsn);
    builder_->remove(accounts_, {"1", std::nullopt});
    builder_->insert(accounts_, {"1", noise(100'000, 1)});
    EXPECT_EQ(apply(), "");
  }
  EXPECT_LT(std::filesystem::file_size(scratch_.file("engine.duckdb.wal")), 600 * kKiB);
  EXPECT_EQ(reader->connection().query_texts("SELECT name FROM accounts")->rows[0][0], "a");
  EXPECT_EQ(rows("SELECT id, length(name) FROM accounts"), "1|100000");
}

// A checkpoint that cannot be written makes DuckDB give the database up: the rest of the process
// must not be needed to go on. A reader that stays away keeps nothing from it.
TEST_F(EngineLimitsTest, ADatabaseThatDuckDbGaveUpIsOpenedAnew) {
  open({.memory_bytes = 128 * kMiB,
        .checkpoint_bytes = 512 * kKiB,
        .readers_patience = Milliseconds{50}});
  int next_id = 0;
  const auto insert = [&](std::uint64_t lsn) {
    begin(lsn);
    for (int i = 0; i < 300; ++i, ++next_id)
      builder_->insert(accounts_, {std::to_string(next_id), noise(1000, lsn)});
    builder_->end();
    const Status status = engine_->apply(builder_->batch());
    if (status.ok()) next_ = builder_->batch().to;
    if (!status.ok()) next_id -= 300;
    return status;
  };
  std::uint64_t lsn = 10;
  ASSERT_TRUE(insert(lsn).ok());
  for (int round = 0; round < 2; ++round) {
    Status status;
    std::unique_ptr<Reader> away = engine_->reader(Milliseconds{1000}).value();
    {
      // The write-ahead log fits, the database file does not.
      const harness::FileSizeLimit full(2 * kMiB +
                                        std::filesystem::file_size(scratch_.file("engine.duckdb")));
      for (int i = 0; status.ok() && i < 200; ++i) status = insert(lsn += 10);
    }
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::kBroken) << status.error().text();
    EXPECT_NE(status.error().detail.find("has been invalidated"), std::string::npos);
    EXPECT_FALSE(away->connection().query_int("SELECT count(*) FROM accounts").ok());
    EXPECT_FALSE(engine_->needs_recovery());
    EXPECT_EQ(engine_->reader(Milliseconds{10}).error().code, Code::kUnavailable);
    EXPECT_TRUE(engine_->needs_recovery());
    EXPECT_EQ(engine_->position().position, next_);
    const Status recovered = engine_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().text();
    EXPECT_FALSE(engine_->needs_recovery());
    EXPECT_EQ(engine_->position().position, next_);
    const auto content = [&] { return rows("SELECT count(*), count(DISTINCT id) FROM accounts"); };
    EXPECT_EQ(content(), fmt::format("{0}|{0}", next_id));
    ASSERT_TRUE(insert(lsn += 10).ok());
    away.reset();
    EXPECT_EQ(content(), fmt::format("{0}|{0}", next_id));
    EXPECT_EQ(rows("SELECT sum(changes) FROM pgweir.activity"), std::to_string(next_id));
  }
  open();
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT id) FROM accounts"),
            fmt::format("{0}|{0}", next_id));
}

// A query that needs all memory ends, one way or the other; batches go on meanwhile.
TEST_F(EngineLimitsTest, AHeavyQueryDoesNotStopBatches) {
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  std::jthread heavy([&] {
    auto reader = engine_->reader(Milliseconds{1000}).value();
    const Status ended = reader->connection().execute(
        "SELECT count(*) FROM (SELECT hash(a.range, b.range) h, list(a.range) l "
        "FROM range(30000) a, range(3000) b GROUP BY h)");
    (void)ended;
  });
  for (std::uint64_t i = 2; i < 40; ++i) {
    begin(i * 10);
    builder_->insert(accounts_, {std::to_string(i), "x"});
    EXPECT_EQ(apply(), "");
  }
  engine_->interrupt_readers();
  heavy.join();
  EXPECT_EQ(rows("SELECT count(*) FROM accounts"), "39");
}

}  // namespace pgweir::engine
