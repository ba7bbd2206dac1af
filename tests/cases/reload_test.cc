// A changed configuration while pgweir runs: by SIGHUP and by POST /api/v1/reload.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "harness/scenario.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kSetup = R"(
CREATE TABLE entries (id serial PRIMARY KEY, account_id int, amount numeric(12,2));
CREATE TABLE accounts (id int PRIMARY KEY, owner text);
INSERT INTO accounts SELECT i, 'owner ' || i % 5 FROM generate_series(1, 20) AS i;
INSERT INTO entries (account_id, amount) SELECT i % 20 + 1, i FROM generate_series(1, 500) AS i)";
constexpr const char* kBalance =
    "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY account_id";
constexpr const char* kByOwner =
    "SELECT owner, count(*) AS n, sum(amount) AS volume FROM entries JOIN accounts ON accounts.id "
    "= "
    "account_id GROUP BY owner";

class Reload : public testing::Test {
 protected:
  explicit Reload(const std::string& more = "")
      : scenario_(kSetup, fmt::format("views: {{balance: \"{}\"}}\n{}", kBalance, more),
                  "[public.*]", ", catalog_interval: 200ms") {
    std::ifstream file(scenario_.program().config_file());
    std::stringstream text;
    text << file.rdbuf();
    const std::string whole = text.str();
    const std::size_t at = whole.find("views:");
    head_ = whole.substr(0, at);
    tail_ = whole.substr(whole.find('\n', at));
  }
  void SetUp() override { ASSERT_TRUE(scenario_.start()); }

  // `views` in the place of what the file had, `more` behind it.
  void write(const std::string& views, const std::string& more = "") {
    std::ofstream(scenario_.program().config_file()) << head_ << views << tail_ << more;
  }
  HttpAnswer reload() { return http_post(scenario_.program().url() + "/api/v1/reload", "{}"); }
  // Until the program's log has the text.
  bool wait_output(const std::string& text) {
    return wait_for(60s,
                    [&] { return scenario_.program().output().find(text) != std::string::npos; });
  }
  // That the view has PostgreSQL's rows, at one position behind all that was written.
  bool wait_equal(const std::string& view, const std::string& select) {
    const auto sorted = [](const std::string& text, char separator) {
      std::vector<std::string> lines;
      std::istringstream parts(text);
      for (std::string line; std::getline(parts, line, separator);) lines.push_back(line);
      std::sort(lines.begin(), lines.end());
      return lines;
    };
    const auto expected = sorted(scenario_.sql(select), '\n');
    return wait_for(
        60s, [&] { return sorted(scenario_.ours("SELECT * FROM " + view), ';') == expected; });
  }

  Scenario scenario_;
  std::string head_, tail_;
};

}  // namespace

class ReloadOfColumns : public Reload {
 protected:
  ReloadOfColumns() : Reload("engine: {mirrors: needed_columns}\n") {}
};

TEST_F(Reload, AViewOverItsBudgetStopsAloneAndComesBackWithAnother) {
  const std::string dear =
      "SELECT count(*) AS n FROM accounts, generate_series(1, 1000000) AS g(i) WHERE "
      "(accounts.id + i) % 7 = 0";
  const auto views = [&](const std::string& budget) {
    return fmt::format("views: {{balance: \"{}\", dear: {{sql: \"{}\", budget: {}}}}}", kBalance,
                       dear, budget);
  };
  const auto told = [&] {
    return Json::parse(http_get(scenario_.program().url() + "/api/v1/views/dear").body);
  };
  write(views("1ms"));
  ASSERT_EQ(reload().status, 200);
  EXPECT_EQ(told()["budget_ms"], 1);
  ASSERT_TRUE(wait_equal("dear", dear));  // once its table is read
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(scenario_.change(fmt::format("INSERT INTO accounts VALUES ({}, 'x')", 100 + i)));
  }
  ASSERT_TRUE(wait_for(60s, [&] { return told()["state"] == "failed"; })) << told();
  EXPECT_THAT(told()["error"].get<std::string>(),
              HasSubstr("for a batch of 1 changes, and its budget is 1ms"));
  ASSERT_TRUE(scenario_.change("INSERT INTO entries (account_id, amount) VALUES (1, 5)"));
  EXPECT_TRUE(wait_equal("balance", kBalance));

  scenario_.program().kill();
  ASSERT_TRUE(scenario_.start());
  EXPECT_EQ(told()["state"], "failed");
  write(views("1h"));
  ASSERT_EQ(reload().status, 200);
  ASSERT_TRUE(scenario_.change("INSERT INTO accounts VALUES (200, 'x')"));
  EXPECT_TRUE(wait_equal("dear", dear));
  EXPECT_GT(told()["last_batch_ms"], 1);
}

TEST_F(Reload, AViewIsAddedUnderLoadAndOthersGoOn) {
  // Changes all the time, of a table that has a mirror and of one that has none yet.
  std::atomic<bool> stop{false};
  std::jthread load([&] {
    for (int i = 0; !stop; ++i) {
      scenario_.sql(fmt::format(
          "INSERT INTO entries (account_id, amount) VALUES ({0} % 20 + 1, {0}); UPDATE accounts "
          "SET "
          "owner = 'owner ' || {0} % 7 WHERE id = {0} % 20 + 1; DELETE FROM entries WHERE id = {0}",
          i + 1));
    }
  });
  const std::string url = scenario_.program().url();
  write(
      fmt::format("views:\n  balance: {}\n  by_owner: {}\n  large: SELECT id, amount FROM entries "
                  "WHERE amount > 400\n",
                  kBalance, kByOwner));
  const HttpAnswer answer = reload();
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["added"], Json({"by_owner", "large"})) << answer.body;
  EXPECT_EQ(answer.json()["unchanged"], Json({"balance"}));
  // The accounts have to be read first.
  const auto is_live = [&] {
    return http_get(url + "/api/v1/views/by_owner").json()["state"] == "live";
  };
  EXPECT_TRUE(wait_for(60s, is_live)) << http_get(url + "/api/v1/views/by_owner").body;
  stop = true;
  load.join();
  ASSERT_TRUE(scenario_.program().wait_position(scenario_.sql("SELECT pg_current_wal_lsn()")));
  EXPECT_TRUE(wait_equal("balance", kBalance));
  EXPECT_TRUE(wait_equal("by_owner", kByOwner));
  EXPECT_TRUE(wait_equal("large", "SELECT id, amount FROM entries WHERE amount > 400"));

  // The same after the next start.
  scenario_.program().kill();
  ASSERT_TRUE(scenario_.start());
  ASSERT_TRUE(scenario_.change("UPDATE entries SET amount = amount + 1"));
  EXPECT_TRUE(wait_equal("by_owner", kByOwner));
}

TEST_F(Reload, SighupTakesChangedRenamedAndDroppedViews) {
  write(
      fmt::format("views:\n  accounts_balance: {}\n  large: SELECT id FROM entries WHERE amount > "
                  "499\n",
                  kBalance));
  ASSERT_EQ(::kill(scenario_.program().pid(), SIGHUP), 0);
  ASSERT_TRUE(wait_output("views: added large; renamed balance to accounts_balance"));
  EXPECT_THAT(scenario_.program().output(),
              HasSubstr("view balance is now called accounts_balance"));
  EXPECT_EQ(scenario_.ours("SELECT * FROM large"), "500");
  EXPECT_TRUE(wait_equal("accounts_balance", kBalance));
  write("views: {large: SELECT id FROM entries WHERE amount > 498}\n");
  ASSERT_EQ(::kill(scenario_.program().pid(), SIGHUP), 0);
  ASSERT_TRUE(wait_output("views: changed large; dropped accounts_balance"));
  EXPECT_EQ(scenario_.ours("SELECT * FROM large ORDER BY 1"), "499;500");
  EXPECT_THAT(scenario_.ours("SELECT * FROM accounts_balance"), HasSubstr("does not exist"));
  EXPECT_EQ(scenario_.program().terminate(), 0);
}

TEST_F(Reload, ABadFileChangesNothing) {
  write("views: {large: SELECT id FROM entries}\nsnks: {}\n");
  HttpAnswer answer = reload();
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("unknown key 'snks'; did you mean 'sinks'?"));
  ASSERT_EQ(::kill(scenario_.program().pid(), SIGHUP), 0);
  ASSERT_TRUE(wait_output("nothing was changed: "));

  write("views: {large: SELECT id FROM entries}\nlog: {retain: 1d}\nengine: {memory: 2GiB}\n");
  answer = reload();
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body,
              HasSubstr("log.retain, engine.memory cannot be changed while pgweir runs"));
  const Json views = http_get(scenario_.program().url() + "/api/v1/views").json();
  ASSERT_EQ(views["views"].size(), 1u);
  EXPECT_EQ(views["views"][0]["name"], "balance");

  // One that is wrong is refused alone.
  write(fmt::format("views: {{balance: \"{}\", typo: SELECT amuont FROM entries}}\n", kBalance));
  answer = reload();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.json()["failed"][0]["view"], "typo") << answer.body;
  EXPECT_THAT(answer.json()["failed"][0]["error"].get<std::string>(), HasSubstr("amuont"));
  ASSERT_TRUE(scenario_.change("INSERT INTO entries (account_id, amount) VALUES (1, 1)"));
  EXPECT_TRUE(wait_equal("balance", kBalance));
}

TEST_F(Reload, ColumnsThatAWideTableWasKeptWithoutAreReadWhenAsked) {
  std::string columns;
  for (int i = 0; i < 40; ++i) columns += fmt::format(", c{} int DEFAULT {}", i, i);
  ASSERT_TRUE(scenario_.change("CREATE TABLE wide (id int PRIMARY KEY" + columns +
                               "); INSERT INTO wide SELECT i FROM generate_series(1, 50) AS i"));
  const std::string narrow = "SELECT id, c1 FROM wide";
  const std::string more = "SELECT id, c1 + c2 AS s FROM wide WHERE c3 = 3";
  write("views: {narrow: \"" + narrow + "\"}\n");
  ASSERT_TRUE(wait_for(60s, [&] { return reload().status == 200; }));
  ASSERT_TRUE(wait_equal("narrow", narrow)) << reload().body << scenario_.program().output();
  write("views: {narrow: \"" + narrow + "\", more: \"" + more + "\"}\n");
  const HttpAnswer answer = reload();
  EXPECT_THAT(answer.body, HasSubstr("columns of table public.wide are not kept here: c2, c3"));
  EXPECT_TRUE(wait_equal("narrow", narrow));
  EXPECT_EQ(scenario_.command({"snapshot", "--table", "public.wide"}).exit_code, 0);
  EXPECT_TRUE(wait_equal("more", more)) << scenario_.program().output();
  EXPECT_TRUE(wait_equal("narrow", narrow));
}

TEST_F(ReloadOfColumns, OnlyWhatViewsNameIsKept) {
  const std::string ids = "SELECT id FROM accounts";
  write("views: {ids: \"" + ids + "\"}\n");
  ASSERT_TRUE(wait_for(60s, [&] { return reload().status == 200; }));
  ASSERT_TRUE(wait_equal("ids", ids)) << scenario_.program().output();
  ASSERT_TRUE(scenario_.change("UPDATE accounts SET owner = 'nobody' WHERE id = 3"));
  EXPECT_EQ(scenario_.ours("SELECT * FROM public.accounts WHERE id = 3"), "3");
  write("views: {ids: \"" + ids + "\", by_owner: \"" + kByOwner + "\"}\n");
  EXPECT_THAT(reload().body,
              HasSubstr("columns of table public.accounts are not kept here: owner"));
  EXPECT_EQ(scenario_.command({"snapshot", "--table", "public.accounts"}).exit_code, 0);
  EXPECT_TRUE(wait_equal("by_owner", kByOwner)) << scenario_.program().output();
  EXPECT_EQ(scenario_.ours("SELECT * FROM public.accounts WHERE id = 3"), "3|nobody");
}

}  // namespace pgweir::harness
