// Views that are computed beside the others, at a position of their own.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "harness/scenario.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

constexpr const char* kSetup = R"(
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint);
INSERT INTO accounts SELECT i, 1000 FROM generate_series(1, 300) AS i)";
constexpr const char* kHalves =
    "SELECT id % 2 AS half, sum(balance)::bigint AS volume FROM accounts GROUP BY 1";
// Takes longer than any test.
constexpr const char* kEndless =
    "SELECT count(*) AS n FROM accounts a, accounts b, accounts c, accounts d, accounts e WHERE "
    "(a.balance * b.id + c.balance * d.id + e.balance) % 1000003 = 17";

class Isolated : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(scenario_.start()); }

  Json view(const std::string& name) {
    return http_get(scenario_.program().url() + "/api/v1/views/" + name).json();
  }
  bool wait_equal(const std::string& name) {
    return wait_for(60s, [&] {
      const std::string ours = scenario_.ours(fmt::format("SELECT * FROM {} ORDER BY half", name));
      return ours == scenario_.sql(fmt::format(
                         "SELECT string_agg(half || '|' || volume, ';' ORDER BY half) FROM ({}) v",
                         kHalves));
    });
  }
  // Money goes from one account to another, and none is lost.
  static std::string transfer(int i) {
    return fmt::format(
        "BEGIN; UPDATE accounts SET balance = balance - {0} WHERE id = {0} % 300 + 1; UPDATE "
        "accounts SET balance = balance + {0} WHERE id = {0} * 7 % 300 + 1; COMMIT;",
        i);
  }

  Scenario scenario_{kSetup, fmt::format("views: {{beside: \"{0}\", apart: {{isolated: true, sql: "
                                         "\"{0}\"}}, endless: {{isolated: true, sql: \"{1}\"}}}}\n",
                                         kHalves, kEndless)};
};

}  // namespace

TEST_F(Isolated, ItIsRightAtItsPositionAndHoldsNobodyBackOverKills) {
  ASSERT_TRUE(wait_equal("apart")) << scenario_.program().output();
  EXPECT_EQ(view("apart")["strategy"], "isolated");
  EXPECT_EQ(view("endless")["state"], "building");
  std::atomic<bool> stopping{false};
  std::thread writer([&] {
    for (int i = 1; !stopping; ++i) scenario_.sql(transfer(i));
  });
  for (int round = 0; round < 3; ++round) {
    // Each time it has moved on by itself, and never shows half of a transfer.
    const Json before = view("apart")["position"];
    EXPECT_TRUE(wait_for(60s, [&] {
      const Json now = view("apart")["position"];
      EXPECT_EQ(scenario_.ours("SELECT sum(volume)::bigint FROM apart"), "300000");
      return now.is_string() && now != before;
    })) << scenario_.program().output();
    scenario_.program().kill();
    scenario_.program().start();
    EXPECT_TRUE(scenario_.program().wait_ready());
  }
  stopping = true;
  writer.join();
  EXPECT_TRUE(wait_equal("beside")) << scenario_.program().output();
  EXPECT_TRUE(wait_equal("apart")) << scenario_.program().output();
  EXPECT_TRUE(wait_for(60s, [&] { return view("apart")["isolated"]["behind"] == false; }));
  EXPECT_EQ(view("endless")["state"], "building");
  EXPECT_EQ(scenario_.program().terminate(), 0);
}

}  // namespace pgweir::harness
