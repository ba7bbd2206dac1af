// Tables with REPLICA IDENTITY FULL whose views go by their changes alone: no rows of them are kept
// (engine.mirrors: needed_columns), and they come back for whoever needs them.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

#include "harness/scenario.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

// Notes are stored out of line.
constexpr const char* kSetup = R"(
CREATE TABLE entries (id serial PRIMARY KEY, account_id int, amount numeric(12,2), note text);
ALTER TABLE entries REPLICA IDENTITY FULL;
ALTER TABLE entries ALTER note SET STORAGE EXTERNAL;
CREATE TABLE accounts (id int PRIMARY KEY, owner text);
INSERT INTO accounts SELECT i, 'owner ' || i % 5 FROM generate_series(1, 20) AS i;
INSERT INTO entries (account_id, amount, note)
  SELECT i % 20 + 1, i, repeat(i::text, 3000) FROM generate_series(1, 200) AS i)";
constexpr const char* kBalance =
    "SELECT account_id, count(*) AS n, sum(amount) AS balance FROM entries GROUP BY account_id";
constexpr const char* kLarge =
    "SELECT id, account_id, md5(note) AS m FROM entries WHERE amount > 50";
// Those that look entries up by their account.
constexpr const char* kByOwner =
    "SELECT owner, sum(amount) AS volume FROM entries JOIN accounts ON accounts.id = account_id "
    "GROUP BY owner";

constexpr const char* kMost =
    "SELECT account_id, max(amount) AS most FROM entries GROUP BY account_id";
// It looks into the table itself.
constexpr const char* kFirst = "SELECT id, amount FROM entries ORDER BY amount DESC, id LIMIT 5";

class Release : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(scenario_.start()); }

  static std::string views(const std::string& more = "") {
    return fmt::format(
        "views: {{balance: \"{}\", large: \"{}\", by_owner: \"{}\", most: \"{}\"{}}}\n", kBalance,
        kLarge, kByOwner, kMost, more);
  }
  void write(const std::string& views) {
    std::ifstream file(scenario_.program().config_file());
    std::stringstream text;
    text << file.rdbuf();
    const std::string whole = text.str();
    const std::size_t at = whole.find("views:");
    std::ofstream(scenario_.program().config_file())
        << whole.substr(0, at) << views << whole.substr(whole.find('\n', at) + 1);
  }
  HttpAnswer reload() { return http_post(scenario_.program().url() + "/api/v1/reload", "{}"); }
  bool said(const std::string& text) {
    return wait_for(60s,
                    [&] { return scenario_.program().output().find(text) != std::string::npos; });
  }
  Json entries() {
    const Json all = http_get(scenario_.program().url() + "/api/v1/tables").json();
    for (const Json& table : all.value("tables", Json::array()))
      if (table["name"] == "entries") return table;
    return Json::object();
  }
  // Changes of another table have the engine look at what it keeps.
  bool wait_released() {
    return wait_for(60s, [&] {
      scenario_.sql("UPDATE accounts SET owner = owner || '.' WHERE id = 1");
      return entries().contains("released");
    });
  }
  bool wait_back() {
    return wait_for(60s,
                    [&] { return entries().contains("rows") && entries()["rows"].is_number(); });
  }
  bool wait_equal(const std::string& view, const std::string& select) {
    const auto sorted = [](const std::string& text, char separator) {
      std::vector<std::string> lines;
      std::istringstream parts(text);
      for (std::string line; std::getline(parts, line, separator);) lines.push_back(line);
      std::sort(lines.begin(), lines.end());
      return lines;
    };
    return wait_for(60s, [&] {
      return sorted(scenario_.ours("SELECT * FROM " + view), ';') ==
             sorted(scenario_.sql(select), '\n');
    });
  }
  void expect_equal(const std::string& when) {
    EXPECT_TRUE(wait_equal("balance", kBalance)) << when << scenario_.program().output();
    EXPECT_TRUE(wait_equal("large", kLarge)) << when << scenario_.program().output();
    EXPECT_TRUE(wait_equal("by_owner", kByOwner)) << when << scenario_.program().output();
    EXPECT_TRUE(wait_equal("most", kMost)) << when << scenario_.program().output();
  }
  // Inserts, updates that leave the note, deletes, and keys that change.
  static std::string changes(int i) {
    return fmt::format(
        "BEGIN; INSERT INTO entries (account_id, amount, note) VALUES ({0} % 20 + 1, {0}, "
        "repeat('{0}', 3000)); UPDATE entries SET amount = amount + 1, account_id = {0} % 20 + 1 "
        "WHERE id % 40 = {0} % 40; UPDATE entries SET id = -id WHERE id = {0}; DELETE FROM entries "
        "WHERE id = {0} * 2 + 1; COMMIT;",
        i);
  }

  Scenario scenario_{kSetup, views() + "engine: {mirrors: needed_columns}\n", "[public.*]",
                     ", catalog_interval: 200ms"};
};

}  // namespace

TEST_F(Release, ViewsAreRightOverKillsAndNoRowsAreKept) {
  ASSERT_TRUE(wait_released()) << entries().dump();
  EXPECT_THAT(entries()["released"].get<std::string>(), HasSubstr("its rows are not kept here"));
  EXPECT_THAT(scenario_.ours("SELECT count(*) FROM public.entries"),
              HasSubstr("table public.entries has no rows to show"));
  expect_equal("at first");
  std::atomic<int> done{0};
  std::atomic<bool> stop{false};
  std::jthread load([&] {
    for (int i = 1; !stop; ++i) {
      scenario_.sql(changes(i));
      done = i;
    }
  });
  for (int kill = 0; kill < 3; ++kill) {
    const int before = done;
    ASSERT_TRUE(wait_for(60s, [&] { return done > before + 5; }));
    scenario_.program().kill();
    ASSERT_TRUE(scenario_.start());
    EXPECT_TRUE(entries().contains("released"));
  }
  stop = true;
  load.join();
  ASSERT_TRUE(scenario_.program().wait_position(scenario_.sql("SELECT pg_current_wal_lsn()")));
  expect_equal("after kills");
  EXPECT_TRUE(entries().contains("released"));
  ASSERT_TRUE(scenario_.change("TRUNCATE entries; " + changes(7)));
  expect_equal("after a truncate");
  EXPECT_TRUE(entries().contains("released"));
  EXPECT_THAT(scenario_.command({"verify", "--table", "public.entries"}).output,
              HasSubstr("not compared: its rows are not kept here"));
  EXPECT_EQ(scenario_.program().terminate(), 0);
}

TEST_F(Release, AViewThatNeedsRowsHasThemReadUnderLoadAndKills) {
  ASSERT_TRUE(wait_released());
  std::atomic<bool> stop{false};
  std::jthread load([&] {
    for (int i = 1; !stop; ++i) scenario_.sql(changes(i));
  });
  write(views(fmt::format(", first: \"{}\"", kFirst)));
  const HttpAnswer answer = reload();
  EXPECT_EQ(answer.status, 200) << answer.body;
  scenario_.program().kill();
  ASSERT_TRUE(scenario_.start());
  EXPECT_TRUE(wait_back()) << entries().dump();
  stop = true;
  load.join();
  ASSERT_TRUE(scenario_.program().wait_position(scenario_.sql("SELECT pg_current_wal_lsn()")));
  EXPECT_TRUE(wait_equal("first", kFirst)) << scenario_.program().output();
  expect_equal("with its rows");
  // Without it they go again.
  write(views());
  EXPECT_EQ(reload().status, 200);
  EXPECT_TRUE(wait_released());
  ASSERT_TRUE(scenario_.change(changes(3)));
  expect_equal("without them");
}

TEST_F(Release, AnotherIdentityShapeOrReadingBringsRowsBack) {
  ASSERT_TRUE(wait_released());
  ASSERT_TRUE(scenario_.change("ALTER TABLE entries REPLICA IDENTITY DEFAULT; " + changes(3)));
  EXPECT_TRUE(wait_back()) << entries().dump() << scenario_.program().output();
  ASSERT_TRUE(scenario_.change(changes(4)));
  expect_equal("another identity");
  EXPECT_FALSE(entries().contains("released"));
  ASSERT_TRUE(scenario_.change("ALTER TABLE entries REPLICA IDENTITY FULL; " + changes(5)));
  EXPECT_TRUE(wait_released());
  expect_equal("FULL again");

  ASSERT_TRUE(scenario_.change("ALTER TABLE entries ADD more int DEFAULT 5; " + changes(6)));
  EXPECT_TRUE(said("table public.entries has to be read: its rows were not kept"));
  expect_equal("another shape");
  EXPECT_TRUE(wait_released());
  EXPECT_EQ(scenario_.command({"snapshot", "--table", "public.entries"}).exit_code, 0);
  ASSERT_TRUE(scenario_.change(changes(8)));
  expect_equal("read again");
  EXPECT_TRUE(wait_released());
}

// The partitions' identities are their own.
TEST_F(Release, APartitionWithAnotherIdentityBringsRowsBack) {
  ASSERT_TRUE(wait_released());
  ASSERT_TRUE(scenario_.change(
      "CREATE TABLE parted (id int, v int, PRIMARY KEY (id)) PARTITION BY RANGE (id);"
      "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);"
      "CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200);"
      "ALTER TABLE parted REPLICA IDENTITY FULL; ALTER TABLE parted_1 REPLICA IDENTITY FULL;"
      "INSERT INTO parted SELECT i, i FROM generate_series(1, 199) AS i"));
  const std::string sums = "SELECT id % 3 AS k, sum(v) AS s FROM parted GROUP BY 1";
  write(fmt::format("views: {{sums: \"{}\"}}\n", sums));
  ASSERT_TRUE(wait_for(60s, [&] { return reload().status == 200; }));
  ASSERT_TRUE(wait_equal("sums", sums)) << scenario_.program().output();
  ASSERT_TRUE(scenario_.change("UPDATE parted SET v = v + 1 WHERE id < 50"));
  EXPECT_TRUE(said("table public.parted: its rows are kept no longer"));
  EXPECT_TRUE(wait_equal("sums", sums)) << scenario_.program().output();
  ASSERT_TRUE(scenario_.change("UPDATE parted SET v = v + 2 WHERE id > 150"));
  EXPECT_TRUE(said("public.parted has to be read: its rows were not kept, and a change lacks"));
  EXPECT_TRUE(wait_equal("sums", sums)) << scenario_.program().output();
}

}  // namespace pgweir::harness
