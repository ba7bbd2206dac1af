// The bank: whatever is killed whenever, the sum over all accounts reads 0 at every moment.
//
// Method: a generator moves money between accounts, each transfer in one transaction. A reader
// polls
//         `total`, a view over the view `balance`, the whole time. pgweir is killed at random
//         moments, PostgreSQL too. At the end every mirror and view equals PostgreSQL's own answer.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "harness/bank.h"
#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/scratch.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

std::string bank_yaml(const Cluster& cluster, const std::string& database,
                      const std::string& directory) {
  return fmt::format(
             "source: {{url: \"{}\", tables: [public.*]}}\ndata: {}/data\n"
             "engine: {{memory: 512MiB, mirrors: all}}\n"
             "sinks: {{lake: {{type: parquet, path: {}/lake, roll: {{every: 2s, size: "
             "8MiB}}}}}}\n",
             cluster.url(database), directory, directory) +
         bank_views_yaml();
}

// Polls `total` the whole time; anything but 0 is a failure.
class TotalReader {
 public:
  explicit TotalReader(std::string url) : url_(std::move(url)), thread_([this] { run(); }) {}
  ~TotalReader() { stop(); }
  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int answers() const { return answers_; }
  std::string wrong() {
    stop();
    return wrong_;
  }

 private:
  void run() {
    while (!stopping_) {
      const HttpAnswer answer = http_get(url_ + "/api/v1/views/total/rows");
      if (answer.status != 200) {
        std::this_thread::sleep_for(5ms);
        continue;
      }
      const Json json = answer.json();
      ++answers_;
      const Json total = json["rows"].empty() ? Json("no row") : json["rows"][0][0];
      const bool zero = total.is_null() ||
                        (total.is_string() && std::stod(total.get<std::string>()) == 0) ||
                        (total.is_number() && total.get<double>() == 0);
      if (!zero) wrong_ += answer.body + "\n";
    }
  }

  const std::string url_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> answers_{0};
  std::string wrong_;
  std::thread thread_;
};

int kill_count(const char* variable, int standard) {
  const char* given = std::getenv(variable);
  return given != nullptr ? std::atoi(given) : standard;
}

}  // namespace

TEST(Consistency, TotalReadsZeroThroughKillsOfBothSides) {
  const int program_kills = kill_count("PGWEIR_KILLS", 50);
  const int server_kills = kill_count("PGWEIR_SERVER_KILLS", 5);
  std::mt19937 random(test_seed());
  ScratchFolder scratch;
  // A killed server must come back with what it confirmed.
  Cluster cluster({.settings = {{"fsync", "on"}}});
  const std::string database = cluster.create_database();
  ASSERT_EQ(run_program({"generate", "payments", "--url", cluster.url(database), "--init-only",
                         "--accounts", "200"})
                .exit_code,
            0);

  Program program(scratch.path(), bank_yaml(cluster, database, scratch.path()));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  TotalReader reader(program.url());

  const unsigned workload_seed = random();
  std::jthread generator([&](const std::stop_token& stop) {
    // A killed server ends the generator: it is started again with another seed.
    for (unsigned run = 0; !stop.stop_requested(); ++run) {
      auto process = io::Process::start(
          {.arguments = {program_path(), "generate", "payments", "--url", cluster.url(database),
                         "--rate", "300", "--for", "5s", "--updates", "0.2", "--deletes", "0.1",
                         "--accounts", "200", "--seed", std::to_string(workload_seed + run)},
           .output = scratch.file("generator.log")});
      if (!process.ok()) return;
      while (!stop.stop_requested() && !process->poll()) std::this_thread::sleep_for(20ms);
      if (!process->poll()) (void)process->signal(SIGTERM);
      (void)process->wait(10s);
      std::this_thread::sleep_for(100ms);
    }
  });

  std::uniform_int_distribution<int> pause_ms(100, 1500);
  std::vector<bool> server_turn(static_cast<std::size_t>(program_kills + server_kills), false);
  std::fill(server_turn.begin(), server_turn.begin() + server_kills, true);
  std::shuffle(server_turn.begin(), server_turn.end(), random);
  for (std::size_t turn = 0; turn < server_turn.size(); ++turn) {
    SCOPED_TRACE(fmt::format("kill {}", turn));
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms(random)));
    if (server_turn[turn]) {
      cluster.stop(turn % 2 == 0 ? Cluster::Stop::kKill : Cluster::Stop::kImmediate);
      cluster.start();
    } else {
      ASSERT_TRUE(program.running()) << program.output();
      program.kill();
      program.start();
    }
    // The position goes on after every kill.
    const std::string lsn = cluster.sql("SELECT pg_current_wal_insert_lsn()", database);
    ASSERT_TRUE(program.wait_position(lsn));
  }
  generator.request_stop();
  generator.join();

  ASSERT_TRUE(program.wait_position(cluster.sql("SELECT pg_current_wal_lsn()", database)));
  expect_bank_answers(program, bank_answers_of(cluster, database));
  EXPECT_GT(reader.answers(), 100);
  EXPECT_EQ(reader.wrong(), "");
  EXPECT_EQ(program.terminate(), 0) << program.output();
}

}  // namespace pgweir::harness
