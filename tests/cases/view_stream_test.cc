// Views that are followed while they change, while the program is killed, and by those who do not
// read.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <mutex>
#include <random>
#include <sstream>

#include "harness/bank.h"
#include "harness/event_client.h"
#include "harness/scenario.h"
#include "harness/wait.h"
#include "server/testing_view_follower.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

// Follows a view, and comes back with the last event that it has whenever the connection ends.
class Follower {
 public:
  Follower(std::string program_url, const std::string& view)
      : url_(program_url + "/api/v1/views/" + view + "/stream") {
    connect();
  }

  // After every event, with the rows folded so far.
  void on_whole(std::function<void(const server::ViewFolder&)> check) {
    std::lock_guard lock(mutex_);
    folder_.on_whole([this, check = std::move(check)] { check(folder_); });
  }
  void connect() {
    client_.reset();
    std::string last;
    {
      std::lock_guard lock(mutex_);
      folder_.reconnected();
      last = folder_.last_id();
    }
    ++connections_;
    client_ = std::make_unique<EventClient>(url_, last, [this](const std::string& bytes) {
      std::lock_guard lock(mutex_);
      folder_.feed(bytes);
    });
  }
  bool wait_rows(const std::string& rows) {
    return wait_for(120s, [&] {
      if (client_->ended()) connect();
      std::lock_guard lock(mutex_);
      return folder_.rows() == rows;
    });
  }
  std::string rows() const {
    std::lock_guard lock(mutex_);
    return folder_.rows();
  }
  std::string log() const {
    std::lock_guard lock(mutex_);
    return folder_.log();
  }
  int connections() const { return connections_; }

 private:
  const std::string url_;
  mutable std::mutex mutex_;
  server::ViewFolder folder_;
  int connections_ = 0;
  std::unique_ptr<EventClient> client_;
};

// As the folder sorts rows.
std::string sorted_rows(const std::string& rows) {
  std::vector<std::string> lines;
  std::istringstream parts(rows);
  for (std::string line; std::getline(parts, line, ';');) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& line : lines) out += (out.empty() ? "" : ";") + line;
  return out;
}

}  // namespace

TEST(ViewStream, FoldsToTheViewThroughKillsAndConnections) {
  std::mt19937 random(test_seed());
  ScratchFolder scratch;
  Cluster& cluster = shared_cluster();
  const std::string database = cluster.create_database();
  ASSERT_EQ(run_program({"generate", "payments", "--url", cluster.url(database), "--init-only",
                         "--accounts", "50"})
                .exit_code,
            0);
  Program program(scratch.path(),
                  fmt::format("source: {{url: \"{}\", slot: slot_{}, publication: pub_{}}}\n"
                              "data: {}/data\nengine: {{memory: 256MiB, mirrors: all}}\n",
                              cluster.url(database), database, database, scratch.path()) +
                      bank_views_yaml());
  program.start();
  ASSERT_TRUE(program.wait_ready());

  const std::vector<std::string> views = {"balance", "by_region", "large"};
  std::map<std::string, std::unique_ptr<Follower>> followers;
  for (const std::string& view : views)
    followers[view] = std::make_unique<Follower>(program.url(), view);
  std::string unequal;
  int looks = 0;
  // Money only moves: at the end of every transaction all balances add up to 0.
  followers["balance"]->on_whole([&](const server::ViewFolder& folder) {
    double sum = 0;
    for (const auto& [row, count] : folder.counted_rows())
      sum += count * std::stod(row.substr(row.find('|') + 1));
    ++looks;
    if (std::abs(sum) > 0.001) unequal += fmt::format("{} behind {}; ", sum, folder.last_id());
  });

  constexpr int kKills = 4;
  for (int kill = 0; kill <= kKills; ++kill) {
    SCOPED_TRACE(fmt::format("kill {}", kill));
    auto generator = io::Process::start(
        {.arguments = {program_path(), "generate", "payments", "--url", cluster.url(database),
                       "--transactions", "300", "--updates", "0.2", "--deletes", "0.1",
                       "--accounts", "50", "--seed", std::to_string(random())},
         .output = scratch.file("generator.log")});
    ASSERT_TRUE(generator.ok());
    // Some time in the middle of it.
    const auto now = [&] { return cluster.sql("SELECT count(*) FROM transfers", database); };
    const std::string before = now();
    ASSERT_TRUE(wait_for(60s, [&] { return now() != before; }));
    if (kill < kKills) {
      program.kill();
      program.start();
      ASSERT_TRUE(program.wait_ready());
    } else {
      for (const std::string& view : views) followers[view]->connect();
    }
    ASSERT_TRUE(generator->wait(120s).ok());
    ASSERT_TRUE(program.wait_position(cluster.sql("SELECT pg_current_wal_lsn()", database)));
    for (const std::string& view : views) {
      const std::string expected = sorted_rows(program.sql("SELECT * FROM " + view));
      ASSERT_TRUE(followers[view]->wait_rows(expected))
          << view << " is " << followers[view]->rows() << " and not " << expected << " after "
          << followers[view]->log();
    }
  }
  EXPECT_GT(followers["balance"]->connections(), kKills);
  EXPECT_THAT(followers["balance"]->log(), HasSubstr("changes changes "));
  followers.clear();
  EXPECT_EQ(unequal, "");
  EXPECT_GT(looks, 10);
  EXPECT_EQ(program.terminate(), 0) << program.output();
  const std::string slot = fmt::format("slot_name = 'slot_{}'", database);
  EXPECT_TRUE(wait_for(60s, [&] {
    return cluster.sql("SELECT count(*) FROM pg_replication_slots WHERE NOT active AND " + slot) ==
           "1";
  }));
  cluster.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE " + slot);
}

TEST(ViewStream, WhoDoesNotReadIsDroppedAndSlowsNobody) {
  Scenario scenario("CREATE TABLE notes (id int PRIMARY KEY, n int, note text)",
                    "views: {notes_now: \"SELECT id, n, note FROM notes\"}\n");
  ASSERT_TRUE(scenario.start());
  // Asks, and then never reads.
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const int small = 4096;
  ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const std::string& url = scenario.program().url();
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string ask = "GET /api/v1/views/notes_now/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
  ASSERT_EQ(::send(socket, ask.data(), ask.size(), 0), static_cast<ssize_t>(ask.size()));

  Follower follower(url, "notes_now");
  // Each round changes some MB of the view.
  for (int round = 0; round < 12; ++round) {
    ASSERT_TRUE(scenario.change(fmt::format(
        "INSERT INTO notes SELECT i, {0}, repeat(md5(i::text || {0}), 300) FROM "
        "generate_series(1, 200) AS i ON CONFLICT (id) DO UPDATE SET n = excluded.n, note = "
        "excluded.note",
        round)));
    const std::string expected = sorted_rows(scenario.ours("SELECT * FROM notes_now"));
    ASSERT_TRUE(follower.wait_rows(expected)) << round << ": " << follower.log();
  }
  EXPECT_EQ(follower.connections(), 1) << follower.log();
  std::string got;
  char buffer[65536];
  ssize_t size;
  while ((size = ::recv(socket, buffer, sizeof buffer, 0)) > 0)
    got.append(buffer, static_cast<std::size_t>(size));
  ::close(socket);
  // A server that has waited 30 s to send something has closed the connection without a word.
  if (size == 0 && got.ends_with("}\n\n")) {
    EXPECT_THAT(got.substr(got.rfind("event: ")), HasSubstr("event: dropped"));
  }
  EXPECT_LT(got.size(), 16'000'000u);
}

TEST(ViewStream, SqlWatchPrintsAgainWhenTheAnswerChanges) {
  Scenario scenario("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)",
                    "engine: {mirrors: all}\n");
  ASSERT_TRUE(scenario.start());
  const std::string file = scenario.directory() + "/watch.txt";
  auto watch =
      io::Process::start({.arguments = {program_path(), "-c", scenario.program().config_file(),
                                        "sql", "SELECT count(*) AS n FROM t", "--watch", "--json"},
                          .output = file});
  ASSERT_TRUE(watch.ok());
  const auto answers = [&] {
    std::string out;
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
      const Json answer = Json::parse(line, nullptr, false);
      out += answer.is_object() ? answer["rows"].dump() + " " : line + " ";
    }
    return out;
  };
  ASSERT_TRUE(wait_for(60s, [&] { return answers() == "[[0]] "; })) << answers();
  ASSERT_TRUE(scenario.change("INSERT INTO t VALUES (1)"));
  ASSERT_TRUE(wait_for(60s, [&] { return answers() == "[[0]] [[1]] "; })) << answers();
  ASSERT_TRUE(scenario.change("INSERT INTO other VALUES (1)"));
  ASSERT_TRUE(scenario.change("INSERT INTO t VALUES (2)"));
  ASSERT_TRUE(wait_for(60s, [&] { return answers() == "[[0]] [[1]] [[2]] "; })) << answers();
  (void)watch->signal(SIGINT);
  EXPECT_EQ(watch->wait(60s).value(), 0);
}

TEST(ViewStream, RowsEnterAndLeaveByThemselves) {
  Scenario scenario("CREATE TABLE notes (id int PRIMARY KEY, starts timestamptz, ends timestamptz)",
                    "views:\n  begun: SELECT id FROM notes WHERE starts <= now()\n"
                    "  going_on: SELECT id FROM notes WHERE now() BETWEEN starts AND ends\n"
                    "  how_many: SELECT count(*) AS n FROM going_on\n");
  ASSERT_TRUE(scenario.start());
  const std::string& url = scenario.program().url();
  Follower begun(url, "begun"), going_on(url, "going_on"), how_many(url, "how_many");
  // Nothing else is written from here on.
  ASSERT_TRUE(scenario.change(
      "INSERT INTO notes SELECT i, now() + i * interval '300 ms', now() + i * interval '300 ms' + "
      "interval '3 s' FROM generate_series(1, 30) AS i"));
  const std::string at_the_clock =
      "SELECT id FROM notes WHERE (SELECT now FROM pgweir.clock) BETWEEN starts AND ends";
  const auto wrong_rows = [&] {
    return scenario.ours(fmt::format(
        "SELECT (SELECT count(*) FROM (FROM going_on EXCEPT {0})) + (SELECT count(*) FROM ({0} "
        "EXCEPT "
        "FROM going_on)) + abs((SELECT count(*) FROM going_on) - (SELECT n FROM how_many))",
        at_the_clock));
  };
  const auto begun_so_far = [&] { return std::stoi(scenario.ours("SELECT count(*) FROM begun")); };
  ASSERT_TRUE(wait_for(120s, [&] {
    EXPECT_EQ(wrong_rows(), "0");
    return begun_so_far() >= 10;
  }));
  // Killed in the middle, they go on.
  scenario.program().kill();
  scenario.program().start();
  ASSERT_TRUE(scenario.program().wait_ready());
  std::string all;
  for (int i = 1; i <= 30; ++i) all += (i == 1 ? "" : ";") + std::to_string(i);
  EXPECT_TRUE(begun.wait_rows(sorted_rows(all))) << begun.rows() << " after " << begun.log();
  EXPECT_TRUE(going_on.wait_rows("")) << going_on.rows() << " after " << going_on.log();
  EXPECT_TRUE(how_many.wait_rows("0")) << how_many.rows() << " after " << how_many.log();
  EXPECT_EQ(wrong_rows(), "0");
  EXPECT_THAT(begun.log(), HasSubstr("changes "));

  // Nor does an answer that is shown again wait for a change of a table.
  const std::string file = scenario.directory() + "/watch.txt";
  auto watch = io::Process::start(
      {.arguments = {program_path(), "-c", scenario.program().config_file(), "sql",
                     "SELECT count(*) AS n FROM begun", "--watch", "--json"},
       .output = file});
  ASSERT_TRUE(watch.ok());
  const auto watched = [&] {
    std::ifstream lines(file);
    std::string last;
    for (std::string line; std::getline(lines, line);) {
      const Json answer = Json::parse(line, nullptr, false);
      if (answer.is_object()) last = answer["rows"].dump();
    }
    return last;
  };
  ASSERT_TRUE(wait_for(60s, [&] { return watched() == "[[30]]"; })) << watched();
  ASSERT_TRUE(scenario.change("INSERT INTO notes VALUES (31, now() + interval '2 s')"));
  ASSERT_TRUE(wait_for(120s, [&] { return watched() == "[[31]]"; })) << watched();
  (void)watch->signal(SIGINT);
  EXPECT_EQ(watch->wait(60s).value(), 0);
}

}  // namespace pgweir::harness
