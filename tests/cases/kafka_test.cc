// The whole way into a real Kafka: each event once, in order, whatever is killed.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "harness/kafka_cluster.h"
#include "harness/scenario.h"
#include "harness/wait.h"
#include "kafka/consumer.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

constexpr int kRows = 50;

// Each change of a row counts its `n` up: what is lost, doubled or out of order shows.
constexpr const char* kSetup = R"(
CREATE TABLE counters (id int PRIMARY KEY, n int NOT NULL, gone boolean DEFAULT false);
INSERT INTO counters SELECT i, 0 FROM generate_series(1, 50) AS i)";

class KafkaEndToEnd : public testing::Test {
 protected:
  void SetUp() override {
    PGWEIR_NEEDS_KAFKA();
    scenario_ = std::make_unique<Scenario>(
        kSetup, fmt::format("sinks: {{events: {{type: kafka, brokers: [\"{}\"], topic: "
                            "\"{}.{{schema}}.{{table}}\", properties: {{"
                            "key.converter.schemas.enable: false, value.converter.schemas.enable: "
                            "false}}}}}}\n",
                            shared_kafka().bootstrap_servers(), topic_prefix()));
    ASSERT_TRUE(scenario_->start());
  }

  static std::string topic_prefix() {
    return std::string("e2e-") + testing::UnitTest::GetInstance()->current_test_info()->name();
  }

  struct Counter {
    std::vector<int> seen;  // `n` of every event, in order
  };
  // By id; what is committed.
  std::map<int, Counter> counters() const {
    std::map<int, Counter> out;
    auto reader = kafka::TopicReader::open(
        {.client = {.bootstrap_servers = shared_kafka().bootstrap_servers()},
         .topic = topic_prefix() + ".public.counters"});
    if (!reader.ok()) return out;
    const Status status = (*reader)->read_to_end(
        [&](const kafka::ReadRecord& record) {
          const Json row = Json::parse(*record.value)["after"];
          out[row["id"]].seen.push_back(row["n"]);
        },
        30s);
    EXPECT_TRUE(status.ok()) << status.error().text();
    return out;
  }
  // Adds one to random rows, several in a transaction.
  void count_up(std::mt19937& random) {
    std::string script = "BEGIN;";
    for (unsigned i = random() % 5; i < 5; ++i)
      script += fmt::format("UPDATE counters SET n = n + 1 WHERE id = {};", random() % kRows + 1);
    scenario_->sql(script + "COMMIT");
  }
  void expect_each_once() {
    const std::string lsn = scenario_->sql("SELECT pg_current_wal_lsn()");
    ASSERT_TRUE(scenario_->program().wait_follower("events", lsn));
    const auto found = counters();
    ASSERT_EQ(found.size(), static_cast<std::size_t>(kRows));
    for (const auto& [id, counter] : found) {
      const int last =
          std::stoi(scenario_->sql(fmt::format("SELECT n FROM counters WHERE id = {}", id)));
      std::vector<int> expected;
      for (int n = 0; n <= last; ++n) expected.push_back(n);
      EXPECT_EQ(counter.seen, expected) << "row " << id;
    }
  }

  std::unique_ptr<Scenario> scenario_;
};

}  // namespace

TEST_F(KafkaEndToEnd, EachEventIsReadOnceThroughKillsOfOurs) {
  std::mt19937 random(test_seed());
  std::atomic<bool> stopping{false};
  std::jthread load([&] {
    std::mt19937 mine(random());
    while (!stopping) count_up(mine);
  });
  for (int kill = 0; kill < 8; ++kill) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 400));
    scenario_->program().kill();
    scenario_->program().start();
    ASSERT_TRUE(scenario_->program().wait_ready());
  }
  stopping = true;
  load.join();
  expect_each_once();
}

// As a team would look: with Kafka's own console consumer.
TEST_F(KafkaEndToEnd, KafkasConsoleConsumerReadsTheEvents) {
  scenario_->sql("UPDATE counters SET n = 7 WHERE id = 3");
  const std::string lsn = scenario_->sql("SELECT pg_current_wal_lsn()");
  ASSERT_TRUE(scenario_->program().wait_follower("events", lsn));
  const io::Finished consumer = KafkaCluster::run_tool(
      {"org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server",
       shared_kafka().bootstrap_servers(), "--topic", topic_prefix() + ".public.counters",
       "--from-beginning", "--isolation-level", "read_committed", "--max-messages",
       std::to_string(kRows + 1), "--timeout-ms", "30000"});
  ASSERT_EQ(consumer.exit_code, 0) << consumer.output;
  std::istringstream lines(consumer.output);
  std::string line, last;
  int count = 0;
  while (std::getline(lines, line)) {
    if (!line.starts_with('{')) continue;  // the consumer's own words
    last = line;
    ++count;
  }
  EXPECT_EQ(count, kRows + 1);
  const Json event = Json::parse(last);
  EXPECT_EQ(event["op"], "u");
  EXPECT_EQ(event["after"]["n"], 7);
  EXPECT_EQ(event["source"]["table"], "counters");
}

}  // namespace pgweir::harness
