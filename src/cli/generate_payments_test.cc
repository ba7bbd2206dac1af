// The generator against a real server: sums at every moment, repeatable, through a killed server.
#include "cli/generate_payments.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "harness/cluster.h"
#include "io/process.h"

namespace pgweir::cli {
namespace {
using namespace std::chrono_literals;

std::vector<std::string> command(const std::string& url, std::vector<std::string> more) {
  std::vector<std::string> out = {PGWEIR_PROGRAM, "generate",   "payments", "--url", url,
                                  "--json",       "--accounts", "50"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

nlohmann::json generate(const std::string& url, const std::vector<std::string>& more) {
  const auto finished = io::run({.arguments = command(url, more)}, 120s);
  EXPECT_TRUE(finished.ok()) << finished.error().text();
  EXPECT_EQ(finished->exit_code, 0) << finished->output;
  return nlohmann::json::parse(finished->output, nullptr, false);
}

std::string sums_of(harness::Cluster& cluster, const std::string& database) {
  return cluster.sql(
      "SELECT (SELECT sum(balance) FROM accounts), (SELECT sum(amount) FROM entries)", database);
}

std::string content_of(harness::Cluster& cluster, const std::string& database) {
  return cluster.sql(
      "SELECT md5(string_agg(a::text, '' ORDER BY id)) FROM accounts a;"
      "SELECT md5(string_agg(e::text, '' ORDER BY id)) FROM entries e;"
      "SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM transfers t",
      database);
}

const std::vector<std::string> kMixed = {"--rate",        "0",   "--updates",           "0.3",
                                         "--deletes",     "0.2", "--large-transaction", "1500",
                                         "--large-every", "100", "--connections",       "3"};

std::vector<std::string> mixed(const std::vector<std::string>& more) {
  std::vector<std::string> out = kMixed;
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace

TEST(GeneratePayments, SameSeedLeavesTheSameDatabase) {
  harness::Cluster& cluster = harness::shared_cluster();
  std::vector<std::string> contents;
  for (const char* seed : {"5", "5", "6"}) {
    const std::string database = cluster.create_database();
    const auto summary =
        generate(cluster.url(database), mixed({"--transactions", "600", "--seed", seed}));
    EXPECT_EQ(summary["transactions"], 600);
    EXPECT_EQ(summary["seed"], std::stoi(seed));
    EXPECT_EQ(sums_of(cluster, database), "0.00|0.00");
    contents.push_back(content_of(cluster, database));
  }
  EXPECT_EQ(contents[0], contents[1]);
  EXPECT_NE(contents[0], contents[2]);
}

TEST(GeneratePayments, SecondRunGoesOn) {
  harness::Cluster& cluster = harness::shared_cluster();
  const std::string database = cluster.create_database();
  generate(cluster.url(database), {"--init-only"});
  EXPECT_EQ(cluster.sql("SELECT count(*) FROM accounts", database), "50");
  generate(cluster.url(database), {"--rate", "0", "--transactions", "100"});
  generate(cluster.url(database), {"--rate", "0", "--transactions", "100"});
  EXPECT_EQ(cluster.sql("SELECT count(*) FROM transfers", database), "200");
  EXPECT_EQ(sums_of(cluster, database), "0.00|0.00");
}

TEST(GeneratePayments, KeepsItsRateAndItsTime) {
  harness::Cluster& cluster = harness::shared_cluster();
  const std::string database = cluster.create_database();
  const auto summary = generate(cluster.url(database), {"--rate", "200", "--for", "2s"});
  EXPECT_NEAR(summary["transactions"].get<double>(), 400, 60);
}

TEST(GeneratePayments, SignalEndsItWithASummary) {
  harness::Cluster& cluster = harness::shared_cluster();
  const std::string database = cluster.create_database();
  generate(cluster.url(database), {"--init-only"});
  harness::ScratchFolder scratch;
  for (const int number : {SIGINT, SIGTERM}) {
    const std::string output = scratch.file("output" + std::to_string(number));
    const std::string before = cluster.sql("SELECT coalesce(max(id), 0) FROM transfers", database);
    auto process = io::Process::start(
        {.arguments = command(cluster.url(database), mixed({})), .output = output});
    ASSERT_TRUE(process.ok());
    while (cluster.sql("SELECT coalesce(max(id), 0) > " + before + " FROM transfers", database) !=
           "t")
      std::this_thread::sleep_for(10ms);
    ASSERT_TRUE(process->signal(number).ok());
    EXPECT_EQ(process->wait(30s).value(), 0);
    std::ifstream file(output);
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_NE(text.str().find("\"workload\": \"payments\""), std::string::npos) << text.str();
    EXPECT_EQ(sums_of(cluster, database), "0.00|0.00");
  }
}

TEST(GeneratePayments, KilledServerCostsNothing) {
  harness::Cluster cluster;
  const std::string database = cluster.create_database();
  harness::ScratchFolder scratch;
  const std::vector<std::string> more = mixed({"--transactions", "6000", "--seed", "9"});
  auto process = io::Process::start(
      {.arguments = command(cluster.url(database), more), .output = scratch.file("output")});
  ASSERT_TRUE(process.ok());
  // Only a server that was there once is waited for.
  while (process->poll() == std::nullopt &&
         cluster.sql("SELECT to_regclass('transfers') IS NOT NULL", database) != "t")
    std::this_thread::sleep_for(10ms);
  for (int kill = 0; kill < 3; ++kill) {
    std::this_thread::sleep_for(300ms);
    cluster.stop(harness::Cluster::Stop::kKill);
    cluster.start();
  }
  EXPECT_EQ(process->wait(120s).value(), 0);
  EXPECT_EQ(sums_of(cluster, database), "0.00|0.00");
  // The same as without the kills.
  const std::string undisturbed = cluster.create_database();
  generate(cluster.url(undisturbed), more);
  for (const std::string& name : {database, undisturbed})
    cluster.sql("UPDATE accounts SET updated_at = 'epoch'", name);
  EXPECT_EQ(content_of(cluster, database), content_of(cluster, undisturbed));
}

}  // namespace pgweir::cli
