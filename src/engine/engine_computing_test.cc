// Readers for computing: they may take long, and hand on what they have computed.
#include <gmock/gmock.h>

#include <fmt/core.h>

#include <atomic>
#include <filesystem>
#include <optional>
#include <thread>

#include "engine/database.h"
#include "engine/testing_engine.h"
#include "harness/wait.h"

namespace pgweir::engine {

using namespace std::chrono_literals;
using testing::HasSubstr;
constexpr auto kComputes = Reader::Purpose::kComputes;

class EngineComputingTest : public EngineTest {
 protected:
  void insert(std::uint64_t first, std::uint64_t rows) {
    begin(++lsn_ * 10);
    for (std::uint64_t i = 0; i < rows; ++i)
      builder_->insert(accounts_, {std::to_string(first + i), "some name " + std::to_string(i)});
    ASSERT_EQ(apply(), "");
  }

  std::uint64_t lsn_ = 0;
};

TEST_F(EngineComputingTest, WhatOneComputesAnotherReads) {
  insert(1, 3);
  {
    auto reader = engine_->reader(1000ms, kComputes).value();
    EXPECT_EQ(reader->position().position, next_);
    duck::Connection& connection = reader->connection();
    const Status main = connection.execute("CREATE TABLE wrong AS FROM accounts");
    EXPECT_THAT(main.error().text(), HasSubstr("read-only"));
  }
  {
    auto reader = engine_->reader(1000ms, kComputes).value();
    insert(4, 1);
    duck::Connection& connection = reader->connection();
    ASSERT_TRUE(connection.execute("CREATE TEMP TABLE own AS FROM accounts").ok());
    ASSERT_TRUE(connection.execute("COMMIT").ok());
    ASSERT_TRUE(
        connection.execute(fmt::format("CREATE TABLE {}.main.t AS FROM own", kScratchCatalog))
            .ok());
  }
  EXPECT_EQ(rows("SELECT count(*) FROM memory.main.t"), "3");
  EXPECT_EQ(rows("SELECT count(*) FROM accounts"), "4");
}

TEST_F(EngineComputingTest, ThePlacesOfQueriesAreOthers) {
  open({.memory_bytes = 256 * kMiB, .readers_max = 1, .computing_readers_max = 2});
  const auto query = engine_->reader(1000ms).value();
  const auto first = engine_->reader(1000ms, kComputes).value();
  const auto second = engine_->reader(1000ms, kComputes).value();
  EXPECT_EQ(engine_->reader(1ms, kComputes).error().code, Code::kTimeout);
  EXPECT_EQ(engine_->reader(1ms).error().code, Code::kTimeout);
}

// DuckDB makes no checkpoint while who reads began before a change of the catalog: without an end
// of that its write-ahead log would grow as long as it takes.
TEST_F(EngineComputingTest, OneThatTakesTooLongEndsForTheCheckpoint) {
  open({.memory_bytes = 256 * kMiB, .checkpoint_bytes = 256 * kKiB});
  insert(1, 1000);
  std::optional<Error> ended;
  std::atomic<bool> begun{false}, is_over{false};
  std::jthread computing([&] {
    auto reader = engine_->reader(1000ms, kComputes).value();
    begun = true;
    const Status done = reader->connection().execute(
        "SELECT count(*) FROM accounts a, accounts b, accounts c, accounts d WHERE (a.id * b.id + "
        "c.id * d.id) % 1000003 = 17");
    if (!done.ok()) ended = done.error();
    reader.reset();
    is_over = true;
  });
  ASSERT_TRUE(harness::wait_for(60s, [&] { return begun.load(); }));
  ASSERT_TRUE(
      engine_->define_table(*make_table(9, "public", "other", {int_column("id", true)})).ok());
  const std::string wal = scratch_.path() + "/engine.duckdb.wal";
  std::uint64_t bytes_max = 0;
  for (std::uint64_t i = 1; i <= 2000 && !is_over; ++i) {
    insert(i * 10'000, 1000);
    std::error_code missing;
    const auto bytes = std::filesystem::file_size(wal, missing);
    if (!missing) bytes_max = std::max<std::uint64_t>(bytes_max, bytes);
  }
  computing.join();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, Code::kCancelled);
  EXPECT_GT(bytes_max, 8 * 256 * kKiB);
  insert(1'000'000'000, 1);
  std::error_code missing;
  EXPECT_LT(std::filesystem::file_size(wal, missing), bytes_max);
}

}  // namespace pgweir::engine
