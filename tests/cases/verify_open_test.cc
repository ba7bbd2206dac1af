// verify beside a huge transaction that is open, and cancelled in its middle.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <future>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/unseen.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
using testing::HasSubstr;

class VerifyOpen : public testing::Test {
 protected:
  // Transactions come in parts from 64 kB on.
  VerifyOpen() : cluster_({.settings = {{"logical_decoding_work_mem", "64kB"}}}) {
    cluster_.sql(
        "CREATE TABLE t (id int PRIMARY KEY, n int, v text); CREATE TABLE go (id int);"
        "INSERT INTO t SELECT i, 0, 'v' || i FROM generate_series(1, 20000) i");
    program_ = std::make_unique<Program>(
        scratch_.path(),
        fmt::format("source: {{url: \"{}\", tables: [public.t]}}\ndata: {}/data\nengine: {{memory: "
                    "256MiB, mirrors: all}}\n",
                    cluster_.url(), scratch_.path()));
    program_->start();
  }

  // A session that does this, and then waits with its transaction open until let_go().
  std::future<void> open_transaction(const std::string& statements) {
    auto open = std::async(std::launch::async, [this, statements] {
      cluster_.sql("BEGIN; " + statements +
                   "; SET LOCAL application_name = 'holds'; DO $$ BEGIN LOOP EXIT WHEN EXISTS"
                   " (SELECT FROM go); PERFORM pg_sleep(0.02); END LOOP; END $$; COMMIT");
    });
    EXPECT_TRUE(wait_for(60s, [this] { return sessions("application_name = 'holds'") == "1"; }));
    return open;
  }
  void let_go(std::future<void>& open) {
    cluster_.sql("INSERT INTO go VALUES (1)");
    open.get();
    cluster_.sql("TRUNCATE go");
  }
  std::string sessions(const std::string& where) {
    return cluster_.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> "
        "pg_backend_pid() AND " +
        where);
  }
  io::Finished verify() { return run_program({"-c", program_->config_file(), "verify"}); }
  // In one transaction that the stream does not see.
  void plant(const std::string& statement) { cluster_.sql(unseen("t", statement)); }
  // Of verify, in parts: what has not committed yet.
  std::string streamed() {
    return cluster_.sql("SELECT stream_txns FROM pg_stat_replication_slots");
  }

  ScratchFolder scratch_;
  Cluster cluster_;
  std::unique_ptr<Program> program_;
};

constexpr const char* kSessions =
    "SELECT pid, state, wait_event, query FROM pg_stat_activity WHERE datname IS NOT NULL";
constexpr const char* kHuge =
    "UPDATE t SET n = n + 1, v = repeat(v, 20) WHERE id > 10;"
    "INSERT INTO t SELECT i, 1, repeat('x', 100) FROM generate_series(100001, 130000) i";

}  // namespace

TEST_F(VerifyOpen, AHugeTransactionThatIsOpenAndArrivesInPartsIsNoDifference) {
  ASSERT_TRUE(program_->wait_ready());
  auto open = open_transaction(kHuge);
  const io::Finished beside = verify();
  EXPECT_EQ(beside.exit_code, 0) << beside.output;
  EXPECT_THAT(beside.output, HasSubstr("public.t: equal, 20000 rows"));
  EXPECT_TRUE(wait_for(30s, [this] { return streamed() != "0"; }));

  plant("UPDATE t SET v = 'planted' WHERE id = 5");
  const io::Finished found = verify();
  EXPECT_EQ(found.exit_code, 5) << found.output;
  EXPECT_THAT(found.output, HasSubstr("public.t: differs in 1 of 20000 rows"));
  EXPECT_THAT(found.output, HasSubstr("id=5: v: source planted, mirror v5"));

  // Its end arrives while one verify after the other looks.
  cluster_.sql("UPDATE t SET v = 'v5' WHERE id = 5");
  auto ended = std::async(std::launch::async, [&] { let_go(open); });
  for (int i = 0; i < 3; ++i) {
    const io::Finished during = verify();
    // Its commit may come between the two sides' pictures.
    const bool too_many = during.output.find("more than 10000 rows changed") != std::string::npos;
    EXPECT_TRUE(during.exit_code == 0 || during.exit_code == 6 || too_many) << during.output;
    EXPECT_THAT(during.output, testing::Not(HasSubstr("differs")));
  }
  ended.get();
  const io::Finished after = verify();
  EXPECT_EQ(after.exit_code, 0) << after.output;
  EXPECT_THAT(after.output, HasSubstr("public.t: equal, 50000 rows"));
  EXPECT_EQ(program_->terminate(), 0);
}

// In the middle of its reading, which waits for a lock: neither a statement nor a transaction of it
// is left on the source, and the next one can run.
TEST_F(VerifyOpen, CancelledOrKilledItLeavesNothingOpen) {
  ASSERT_TRUE(program_->wait_ready());
  const std::string waits = "wait_event_type = 'Lock' AND query LIKE '%hashtextextended%'";
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    SCOPED_TRACE(signal);
    auto open = open_transaction("LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    auto client =
        io::Process::start({.arguments = {program_path(), "-c", program_->config_file(), "verify"},
                            .output = scratch_.file("client.log")})
            .value();
    ASSERT_TRUE(wait_for(60s, [&] { return sessions(waits) == "1"; })) << cluster_.sql(kSessions);
    const auto before = std::chrono::steady_clock::now();
    ASSERT_TRUE(client.signal(signal).ok());
    EXPECT_TRUE(client.wait(30s).ok());
    EXPECT_TRUE(wait_for(30s, [&] {
      return sessions("xact_start IS NOT NULL AND application_name <> 'holds'") == "0";
    })) << cluster_.sql(kSessions);
    // By itself its statement would wait for 10 s.
    EXPECT_LT(std::chrono::steady_clock::now() - before, 8s);
    // While the lock is still held.
    EXPECT_EQ(sessions("application_name = 'holds'"), "1");
    let_go(open);
    const io::Finished next = verify();
    EXPECT_EQ(next.exit_code, 0) << next.output;
  }
  EXPECT_EQ(program_->terminate(), 0);
}

}  // namespace pgweir::harness
