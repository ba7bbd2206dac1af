// A transaction larger than the engine takes at once: in bounded memory, and seen whole or not at
// all, through kill -9 at any moment.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

constexpr int kMemoryMib = 64;
constexpr int kRows = 300'000;

double peak_memory_mb(int pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

// Asks for rows of mirror and view until it is destroyed; what was seen.
class Watcher {
 public:
  explicit Watcher(Program& program) : program_(program), thread_([this] { watch(); }) {}
  ~Watcher() { stop(); }

  std::set<std::string> stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return seen_;
  }

 private:
  void watch() {
    while (!stopping_) {
      const std::string rows = program_.sql(
          "SELECT (SELECT count(*) FROM t), (SELECT coalesce(sum(rows), 0) FROM by_group)");
      // Refused while it is taken in, or while the program is not there.
      if (!rows.empty() && rows.find_first_not_of("0123456789|") == std::string::npos)
        seen_.insert(rows);
      std::this_thread::sleep_for(5ms);
    }
  }

  Program& program_;
  std::atomic<bool> stopping_{false};
  std::set<std::string> seen_;
  std::thread thread_;
};

std::string insert(int from, int rows) {
  return fmt::format(
      "INSERT INTO t SELECT i, i % 10, md5(i::text) || md5((i + 1)::text) FROM "
      "generate_series({}, {}) i; ",
      from, from + rows - 1);
}

}  // namespace

TEST(LargeTransaction, IsSeenWholeInBoundedMemoryThroughKills) {
  ScratchFolder scratch;
  Cluster cluster({.settings = {{"logical_decoding_work_mem", "64kB"}}});
  cluster.sql("CREATE TABLE t (id int PRIMARY KEY, g int, v text)");
  Program program(
      scratch.path(),
      fmt::format("source: {{url: \"{}\", tables: [public.*]}}\ndata: {}\n"
                  "engine: {{mirrors: all, memory: {}MiB}}\nviews: {{by_group: 'SELECT g, "
                  "count(*) AS rows FROM t GROUP BY g'}}\n",
                  cluster.url(), scratch.file("data"), kMemoryMib));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  // Stores are rewritten behind the commit, in the same little memory: a query may find none, or be
  // asked to give way.
  const auto answer = [&](const std::string& select) {
    std::string found;
    wait_for(60s, [&] {
      found = program.sql(select);
      return found.find("Out of Memory") == std::string::npos &&
             found.find("needs its memory") == std::string::npos;
    });
    return found;
  };
  const auto expect_equal = [&] {
    ASSERT_TRUE(program.wait_position(cluster.sql("SELECT pg_current_wal_insert_lsn()"), 120s))
        << program.output();
    const std::string select = "SELECT count(*), sum(id), min(v) FROM t";
    EXPECT_EQ(answer(select), cluster.sql(select));
    EXPECT_EQ(answer("SELECT sum(rows) FROM by_group"), cluster.sql("SELECT count(*) FROM t"));
  };
  {
    Watcher watcher(program);
    cluster.sql("BEGIN; " + insert(1, kRows) + "SAVEPOINT s; " + insert(kRows + 1, 50'000) +
                "DELETE FROM t WHERE id % 2 = 0; ROLLBACK TO s; COMMIT");
    expect_equal();
    for (const std::string& seen : watcher.stop())
      EXPECT_TRUE(seen == "0|0" || seen == fmt::format("{0}|{0}", kRows)) << seen;
  }
  EXPECT_LE(peak_memory_mb(program.pid()), 1.5 * kMemoryMib * 1.05 + 100);

  // Killed while it is received, while it is taken in, and once more.
  {
    Watcher watcher(program);
    std::thread writer([&] {
      cluster.sql("BEGIN; UPDATE t SET v = 'new', g = g + 1; " + insert(1'000'000, 50'000) +
                  "COMMIT");
    });
    for (const auto pause : {700ms, 2000ms, 1500ms}) {
      std::this_thread::sleep_for(pause);
      program.kill();
      program.start();
    }
    writer.join();
    expect_equal();
    for (const std::string& seen : watcher.stop()) {
      const int all = kRows + 50'000;
      EXPECT_TRUE(seen == fmt::format("{0}|{0}", kRows) || seen == fmt::format("{0}|{0}", all))
          << seen;
    }
  }
  EXPECT_EQ(program.terminate(), 0);
  const io::Finished verified = run_program({"-c", program.config_file(), "log", "verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
}

}  // namespace pgweir::harness
