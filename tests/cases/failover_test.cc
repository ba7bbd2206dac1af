// The primary dies under load and its standby takes over: nothing is lost, nothing comes twice.
//
// Method: primary and standby, a pipeline with both as hosts, and the bank's workload. The primary
// is
//         killed at once, the standby promoted, the workload goes on there. What the standby has is
//         then the truth. Before PostgreSQL 17 no slot is there any more, which must be said.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "harness/bank.h"
#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/scratch.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

// Whether the primary gives the slot only what the standby has.
enum class Standby { kWaitedFor, kNotWaitedFor };

class Pair {
 public:
  explicit Pair(int version, Standby standby = Standby::kWaitedFor) {
    primary_ = std::make_unique<Cluster>(ClusterOptions{.version = version});
    database_ = primary_->create_database();
    EXPECT_EQ(run_program({"generate", "payments", "--url", primary_->url(database_), "--init-only",
                           "--accounts", "200"})
                  .exit_code,
              0);
    std::map<std::string, std::string> settings;
    if (version >= 17) settings["sync_replication_slots"] = "on";
    standby_ = std::make_unique<Cluster>(
        ClusterOptions{.settings = settings, .version = version, .standby_of = primary_.get()});
    if (version >= 17 && standby == Standby::kWaitedFor)
      primary_->sql(
          "ALTER SYSTEM SET synchronized_standby_slots = 'standby'; SELECT pg_reload_conf()");
    program_ = std::make_unique<Program>(
        scratch_.path(),
        fmt::format("source: {{url: \"postgresql://postgres@127.0.0.1:{},127.0.0.1:{}/"
                    "{}\"}}\ndata: {}/data\nengine: {{memory: 512MiB, mirrors: all}}\n",
                    primary_->port(), standby_->port(), database_, scratch_.path()) +
            bank_views_yaml());
  }
  ~Pair() { stop_load(); }

  Cluster& primary() { return *primary_; }
  Cluster& standby() { return *standby_; }
  Program& program() { return *program_; }
  const std::string& database() const { return database_; }

  bool start() {
    program_->start();
    return program_->wait_ready();
  }
  // The standby keeps a slot that would survive a promotion.
  bool wait_synced() {
    return wait_for(60s, [this] {
      primary_->sql("SELECT pg_log_standby_snapshot()");
      return standby_->sql(
                 "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'pgweir' "
                 "AND synced AND NOT temporary") == "1";
    });
  }
  void load(Cluster& server, unsigned seed) {
    stop_load();
    load_ = std::make_unique<io::Process>(
        io::Process::start(
            {.arguments = {program_path(), "generate", "payments", "--url", server.url(database_),
                           "--rate", "300", "--for", "60s", "--updates", "0.2", "--deletes", "0.1",
                           "--accounts", "200", "--seed", std::to_string(seed)},
             .output = scratch_.file("load.log")})
            .value());
  }
  void stop_load() {
    if (!load_) return;
    if (!load_->poll()) (void)load_->signal(SIGTERM);
    (void)load_->wait(30s);
    load_.reset();
  }
  std::string rows(Cluster& server, const std::string& table) {
    return server.sql("SELECT count(*) FROM " + table, database_);
  }
  void wait_rows(Cluster& server, int more) {
    const int before = std::stoi(rows(server, "transfers"));
    EXPECT_TRUE(
        wait_for(30s, [&] { return std::stoi(rows(server, "transfers")) > before + more; }));
  }
  // Mirrors and views equal the server's tables, and the changes that were counted add up to them.
  void expect_equal(Cluster& server) {
    ASSERT_TRUE(program_->wait_position(server.sql("SELECT pg_current_wal_lsn()", database_)));
    expect_bank_answers(*program_, bank_answers_of(server, database_));
    for (const BankTable& table : bank_tables()) {
      EXPECT_EQ(program_->sql(fmt::format(
                    "SELECT sum(CASE op WHEN 'd' THEN -changes WHEN 'u' THEN 0 ELSE changes END) "
                    "FROM pgweir.activity WHERE \"table\" = '{}'",
                    table.name)),
                rows(server, table.name))
          << table.name;
    }
  }

 private:
  ScratchFolder scratch_;
  std::unique_ptr<Cluster> primary_;
  std::unique_ptr<Cluster> standby_;
  std::string database_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<io::Process> load_;
};

class Failover : public testing::TestWithParam<int> {};

}  // namespace

TEST_P(Failover, GoesOnAtThePromotedStandby) {
  Pair pair(GetParam());
  ASSERT_TRUE(pair.start());
  ASSERT_TRUE(pair.wait_synced());
  pair.load(pair.primary(), 1);
  pair.wait_rows(pair.primary(), 300);
  pair.primary().stop(Cluster::Stop::kKill);
  pair.standby().promote();
  pair.load(pair.standby(), 2);
  pair.wait_rows(pair.standby(), 300);
  pair.stop_load();
  pair.expect_equal(pair.standby());
  EXPECT_THAT(pair.program().output(), HasSubstr("timeline 1 is followed by timeline 2"));

  // The old primary comes back beside the new one: nothing of it is taken.
  pair.standby().stop();
  pair.primary().start();
  EXPECT_TRUE(wait_for(30s, [&] {
    return pair.program().output().find("an old primary came back") != std::string::npos;
  })) << pair.program().output();
  pair.primary().sql("UPDATE accounts SET balance = balance + 1", pair.database());
  EXPECT_TRUE(pair.program().running());
  pair.primary().stop();
  pair.standby().start();
  pair.expect_equal(pair.standby());
  EXPECT_EQ(pair.program().terminate(), 0);
}

// The standby had not received all that the log has: the two histories differ.
TEST_P(Failover, AStandbyThatLacksChangesIsRefused) {
  Pair pair(GetParam(), Standby::kNotWaitedFor);
  ASSERT_TRUE(pair.start());
  ASSERT_TRUE(pair.wait_synced());
  pair.standby().stop();
  pair.primary().sql("UPDATE accounts SET balance = balance + 1", pair.database());
  const std::string end = pair.primary().sql("SELECT pg_current_wal_lsn()");
  ASSERT_TRUE(pair.program().wait_position(end));
  pair.primary().stop(Cluster::Stop::kKill);
  pair.standby().start();
  pair.standby().promote();
  // Its WAL has soon passed the log's end.
  for (int round = 0; round < 3; ++round)
    pair.standby().sql("UPDATE accounts SET balance = balance + 2", pair.database());
  EXPECT_EQ(pair.program().wait(), 5) << pair.program().output();
  EXPECT_THAT(pair.program().output(),
              HasSubstr("the server that took over lacks changes that the log has"));
  EXPECT_THAT(pair.program().output(), HasSubstr("run --resync"));
}

INSTANTIATE_TEST_SUITE_P(PostgreSQL, Failover, testing::Values(17, 18),
                         [](const auto& version) { return std::to_string(version.param); });

TEST(FailoverBefore17, TheSlotIsGoneAndThatIsSaid) {
  Pair pair(15);
  ASSERT_TRUE(pair.start());
  pair.load(pair.primary(), 1);
  pair.wait_rows(pair.primary(), 100);
  pair.stop_load();
  // What the log has must be at the standby, else another check is first.
  const std::string end = pair.primary().sql("SELECT pg_current_wal_lsn()");
  ASSERT_TRUE(wait_for(30s, [&] {
    return pair.standby().sql(fmt::format("SELECT pg_last_wal_replay_lsn() >= '{}'", end)) == "t";
  }));
  ASSERT_EQ(pair.program().terminate(), 0);
  pair.primary().stop(Cluster::Stop::kImmediate);
  pair.standby().promote();
  pair.program().start();
  EXPECT_EQ(pair.program().wait(), 5) << pair.program().output();
  EXPECT_THAT(pair.program().output(), HasSubstr("slot 'pgweir' is gone from the server"));
  EXPECT_THAT(pair.program().output(), HasSubstr("run --resync"));
}

}  // namespace pgweir::harness
