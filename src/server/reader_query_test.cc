#include "server/reader_query.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "duck/duck.h"

namespace pgweir::server {
namespace {

// Runs until somebody ends it.
constexpr const char* kEndless =
    "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE hash(a.range + b.range) = 1";

class ReaderQueryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto database = duck::Database::open("", {});
    ASSERT_TRUE(database.ok()) << database.error().text();
    database_ = std::move(*database);
    auto connection = database_->connect();
    ASSERT_TRUE(connection.ok()) << connection.error().text();
    connection_ = std::move(*connection);
  }

  Result<ReaderRows> run(const std::string& sql, Milliseconds timeout) {
    return run_query(*connection_,
                     {.sql = sql, .row_max = 10, .bytes_max = 1000, .timeout = timeout});
  }

  std::unique_ptr<duck::Database> database_;
  std::unique_ptr<duck::Connection> connection_;
};

TEST_F(ReaderQueryTest, AQueryThatTakesTooLongNamesItsTimeout) {
  const auto rows = run(kEndless, Milliseconds(50));
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().code, Code::kTimeout);
  EXPECT_EQ(rows.error().message, "the query did not end within 50ms");
}

TEST_F(ReaderQueryTest, AQueryThatTheEngineEndsMayBeTriedAgain) {
  std::atomic<bool> done{false};
  std::thread engine([&] {
    while (!done) {
      connection_->interrupt();
      std::this_thread::sleep_for(Milliseconds(10));
    }
  });
  const auto rows = run(kEndless, Milliseconds(600'000));
  done = true;
  engine.join();
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().code, Code::kUnavailable);
  EXPECT_EQ(rows.error().message,
            "the query gave way to the engine, which needs its memory or opens its database anew");
  EXPECT_TRUE(run("SELECT 1", Milliseconds(600'000)).ok());
}

}  // namespace
}  // namespace pgweir::server
