// A slot that is lost, whatever took it: the program says what happened and how to go on, exit 5.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <functional>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/scratch.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kTable = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE fill (v text)";

class SlotLost : public testing::Test {
 protected:
  // A program on a server of its own.
  void use(ClusterOptions options) {
    cluster_ = std::make_unique<Cluster>(std::move(options));
    cluster_->sql(kTable);
    program_ = std::make_unique<Program>(
        scratch_.path(), fmt::format("source: {{url: \"{}\", tables: [public.t]}}\ndata: {}/data\n",
                                     cluster_->url(), scratch_.path()));
  }
  void use_small() {
    use({.settings = {{"max_slot_wal_keep_size", "8MB"},
                      {"max_wal_size", "4MB"},
                      {"min_wal_size", "4MB"}},
         .initdb_arguments = {"--wal-segsize=1"}});
  }
  bool start() {
    program_->start();
    return program_->wait_ready();
  }
  std::string sql(const std::string& statements) { return cluster_->sql(statements); }
  // Writes WAL until the server has invalidated the slot.
  void lose() {
    for (int round = 0; round < 40; ++round) {
      sql("INSERT INTO fill SELECT repeat('x', 1000) FROM generate_series(1, 1000);"
          "SELECT pg_switch_wal(); CHECKPOINT");
      if (sql("SELECT wal_status FROM pg_replication_slots") == "lost") return;
    }
    ADD_FAILURE() << sql("SELECT * FROM pg_replication_slots");
  }
  void drop_slot() {
    // The program takes the slot again as soon as its walsender has ended.
    EXPECT_TRUE(wait_for(30s, [this] {
      sql("DO $$ BEGIN PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE "
          "active; PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots;"
          "EXCEPTION WHEN object_in_use THEN END $$");
      return sql("SELECT count(*) FROM pg_replication_slots") == "0";
    }));
  }
  void expect_end(const std::string& message) {
    EXPECT_EQ(program_->wait(), 5) << program_->output();
    EXPECT_THAT(program_->output(), HasSubstr(message));
    EXPECT_THAT(program_->output(), HasSubstr("run --resync"));
  }

  ScratchFolder scratch_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Program> program_;
};

constexpr const char* kWalRemoved =
    "slot 'pgweir' is lost\n  detail: the server removed WAL that it still needed, more than "
    "max_slot_wal_keep_size = 8.0 MiB";

}  // namespace

TEST_F(SlotLost, BySizeWhileStopped) {
  use_small();
  ASSERT_TRUE(start());
  ASSERT_EQ(program_->terminate(), 0);
  lose();
  program_->start();
  expect_end(kWalRemoved);
}

TEST_F(SlotLost, BySizeWhileSuspended) {
  use_small();
  ASSERT_TRUE(start());
  ::kill(program_->pid(), SIGSTOP);
  lose();
  ::kill(program_->pid(), SIGCONT);
  expect_end(kWalRemoved);
}

TEST_F(SlotLost, DroppedWhileStopped) {
  use({});
  ASSERT_TRUE(start());
  ASSERT_EQ(program_->terminate(), 0);
  drop_slot();
  program_->start();
  expect_end("slot 'pgweir' is gone from the server");
}

TEST_F(SlotLost, DroppedWhileStreaming) {
  use({});
  ASSERT_TRUE(start());
  drop_slot();
  expect_end("slot 'pgweir' is gone from the server");
}

TEST_F(SlotLost, ByIdleTimeout) {
  use({.settings = {{"idle_replication_slot_timeout", "1s"}}, .version = 18});
  ASSERT_TRUE(start());
  // `check` says it before it happens.
  const io::Finished check = run_program({"-c", program_->config_file(), "check"});
  EXPECT_EQ(check.exit_code, 0);
  EXPECT_THAT(check.output, HasSubstr("after idle_replication_slot_timeout = 1s"));
  ASSERT_EQ(program_->terminate(), 0);
  EXPECT_TRUE(wait_for(30s, [this] {
    sql("CHECKPOINT");
    return sql("SELECT invalidation_reason FROM pg_replication_slots") == "idle_timeout";
  }));
  program_->start();
  expect_end(
      "slot 'pgweir' is lost\n  detail: nobody read it for longer than "
      "idle_replication_slot_timeout = 1s");
}

TEST_F(SlotLost, StatusShowsWhatIsHeldBackAndWhatIsAllowed) {
  use_small();
  ASSERT_TRUE(start());
  Json source;
  ASSERT_TRUE(wait_for(30s, [&] {
    source = program_->status()["source"];
    return source["wal_limit_bytes"].is_number();
  }));
  EXPECT_EQ(source["wal_limit_bytes"], 8 << 20);
  EXPECT_TRUE(source["safe_wal_bytes"].is_number());
  EXPECT_TRUE(source["slot_alarm"].is_null());
  EXPECT_TRUE(source["slot_invalidation_reason"].is_null());
  EXPECT_EQ(source["slot_failover"], cluster_->version() >= 17);
  const std::string metrics = http_get(program_->url() + "/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("pgweir_slot_alarm{source=\"postgres\"} 0\n"));
  EXPECT_THAT(metrics, HasSubstr("pgweir_source_wal_limit_bytes{source=\"postgres\"} 8388608\n"));
  // A transaction that stays open holds back everything behind it.
  auto session = io::Process::start(
      {.arguments = {"/usr/lib/postgresql/15/bin/psql", "-Xq", "-d", cluster_->url(), "-c",
                     "BEGIN; INSERT INTO t VALUES (1); SELECT pg_sleep(600)"},
       .output = scratch_.file("session.log")});
  ASSERT_TRUE(session.ok());
  for (int round = 0; round < 5; ++round)
    sql("INSERT INTO fill SELECT repeat('x', 1000) FROM generate_series(1, 1000)");
  ASSERT_TRUE(wait_for(30s, [&] {
    source = program_->status()["source"];
    return source["slot_alarm"].is_string();
  })) << source.dump();
  EXPECT_THAT(source["slot_alarm"], HasSubstr("of what max_slot_wal_keep_size allows"));
  EXPECT_THAT(program_->output(), HasSubstr("of what max_slot_wal_keep_size allows"));
  EXPECT_EQ(program_->status()["findings"].back()["subject"], "slot pgweir");
  EXPECT_THAT(http_get(program_->url() + "/metrics").body,
              HasSubstr("pgweir_slot_alarm{source=\"postgres\"} 1\n"));
  (void)session->signal(SIGTERM);
  (void)session->wait(10s);
}

}  // namespace pgweir::harness
