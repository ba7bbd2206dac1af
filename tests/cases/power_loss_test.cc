// Power loss: whatever was written last of log, engine, output folder and slot, the program either
// goes on to the right answers or is refused with exit 5.
//
// Method: the bank runs. At three moments pgweir is killed, and log, engine, Parquet folder and
//         slot are copied aside. At the end every combination of the copies is opened and must
//         either reach PostgreSQL's own answers, with every event in the files exactly once, or
//         end by itself with exit 5.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "duck/duck.h"
#include "harness/bank.h"
#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/scratch.h"
#include "harness/wait.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;
namespace files = std::filesystem;

constexpr int kMoments = 3;
constexpr int kExitIntegrity = 5;

// Which copy of each part is put together, by moment from 1; 0 is a part that is not there at all.
struct Combination {
  int log, engine, lake, slot;
  bool whole_and_behind_the_log() const {
    return log > 0 && engine <= log && lake <= log && slot <= log;
  }
  std::string text() const {
    return fmt::format("log {} engine {} lake {} slot {}", log, engine, lake, slot);
  }
};

std::vector<Combination> all_combinations() {
  std::vector<Combination> out;
  for (int log = 1; log <= kMoments; ++log) {
    for (int engine = 1; engine <= kMoments; ++engine) {
      for (int lake = 1; lake <= kMoments; ++lake) out.push_back({log, engine, lake, log});
    }
  }
  const Combination others[] = {
      {2, 2, 2, 1}, {3, 3, 3, 1}, {3, 1, 2, 2},  // the server confirmed less than the log has
      {1, 1, 1, 2}, {2, 1, 1, 3},                // it confirmed what the log does not have
      {3, 0, 3, 3}, {3, 3, 0, 3}, {1, 0, 0, 1},  // parts made anew from the log
      {0, 0, 0, 1}, {0, 1, 1, 1}, {0, 0, 2, 3},  // the log itself is gone
  };
  out.insert(out.end(), std::begin(others), std::end(others));
  return out;
}

class PowerLoss : public testing::Test {
 protected:
  PowerLoss() : database_(cluster().create_database()) {}
  ~PowerLoss() override {
    for (int moment = 0; moment <= kMoments; ++moment) drop_slot(slot_of(moment));
  }

  static Cluster& cluster() { return shared_cluster(); }
  std::string sql(const std::string& statements) { return cluster().sql(statements, database_); }
  std::string slot_of(int moment) const { return fmt::format("{}_{}", database_, moment); }

  void drop_slot(const std::string& slot) {
    wait_for(10s, [&] {
      return cluster().sql(fmt::format(
                 "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}' AND active",
                 slot)) == "0";
    });
    cluster().sql(fmt::format(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = "
        "'{}'",
        slot));
  }

  void copy_slot(const std::string& from, const std::string& to) {
    sql(fmt::format("SELECT pg_copy_logical_replication_slot('{}', '{}')", from, to));
  }

  std::string yaml(const std::string& directory, const std::string& slot) const {
    return fmt::format(
               "source: {{url: \"{}\", tables: [public.*], slot: {}, publication: pub_{}}}\n"
               "data: {}/data\nengine: {{memory: 256MiB, mirrors: all}}\n"
               "sinks: {{lake: {{type: parquet, path: {}/lake, roll: {{every: 300ms, size: "
               "8MiB}}}}}}\n",
               cluster().url(database_), slot, database_, directory, directory) +
           bank_views_yaml();
  }

  std::string moment_folder(int moment) const {
    return scratch_.file(fmt::format("moment_{}", moment));
  }

  // Copies everything aside that a killed program has left.
  void keep(const std::string& directory, int moment) {
    const std::string to = moment_folder(moment);
    copy_slot(slot_of(0), slot_of(moment));
    files::create_directories(to);
    for (const char* part : {"data", "lake"})
      files::copy(directory + "/" + part, to + "/" + part, files::copy_options::recursive);
  }

  // A folder with the copies that belong to the combination.
  std::string put_together(const Combination& parts, const std::string& slot) {
    const std::string to = scratch_.file(slot);
    files::create_directories(to + "/data");
    const auto take = [&](int moment, const std::string& part) {
      if (moment > 0)
        files::copy(moment_folder(moment) + "/" + part, to + "/" + part,
                    files::copy_options::recursive);
    };
    take(parts.log, "data/log");
    take(parts.engine, "data/engine");
    take(parts.lake, "lake");
    std::ifstream in(moment_folder(std::max(parts.log, 1)) + "/data/pipeline.json");
    Json state = Json::parse(in);
    state["slot"] = slot;
    std::ofstream(to + "/data/pipeline.json") << state.dump();
    return to;
  }

  void expect_right(Program& program, const std::string& directory);
  void expect_lake(const std::string& lake, const std::map<std::string, std::string>& activity);
  std::string open(const Combination& parts, const std::string& slot);
  void make_moments(std::mt19937& random);

  ScratchFolder scratch_;
  std::string database_;
  std::string last_lsn_;      // the server's end
  std::string sentinel_lsn_;  // between the last two commits
  BankAnswers answers_;
};

void PowerLoss::make_moments(std::mt19937& random) {
  const std::string directory = scratch_.file("live");
  files::create_directories(directory);
  Program program(directory, yaml(directory, slot_of(0)));
  program.start();
  ASSERT_TRUE(program.wait_ready());
  auto generator = io::Process::start(
      {.arguments = {program_path(), "generate", "payments", "--url", cluster().url(database_),
                     "--rate", "400", "--updates", "0.2", "--deletes", "0.1", "--accounts", "100",
                     "--large-transaction", "300", "--large-every", "150", "--seed",
                     std::to_string(random())},
       .output = scratch_.file("generator.log")});
  ASSERT_TRUE(generator.ok());
  std::uniform_int_distribution<int> pause_ms(400, 1200);
  for (int moment = 1; moment <= kMoments; ++moment) {
    ASSERT_TRUE(program.wait_position(sql("SELECT pg_current_wal_lsn()")));
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms(random)));
    ASSERT_FALSE(generator->poll().has_value());
    program.kill();
    keep(directory, moment);
    if (moment < kMoments) program.start();
  }
  std::this_thread::sleep_for(300ms);
  (void)generator->signal(SIGTERM);
  ASSERT_TRUE(generator->wait(20s).ok());
  sentinel_lsn_ = sql("SELECT pg_current_wal_insert_lsn()");
  sql("UPDATE accounts SET region = region WHERE id = 1");
  last_lsn_ = sql("SELECT pg_current_wal_lsn()");
  answers_ = bank_answers_of(cluster(), database_);
}

// Every event once: as many as the engine has counted, no position twice, and the newest row of
// each key is the table.
void PowerLoss::expect_lake(const std::string& lake,
                            const std::map<std::string, std::string>& activity) {
  auto database = duck::Database::open("", {});
  ASSERT_TRUE(database.ok());
  auto connection = (*database)->connect();
  ASSERT_TRUE(connection.ok());
  const auto counts =
      (*connection)
          ->query_texts(fmt::format("SELECT replace(regexp_extract(filename, 'table=([^/]+)', 1), "
                                    "'%2E', '.'), op, count(*), "
                                    "count(DISTINCT (epoch, commit_lsn, sequence)) FROM "
                                    "read_parquet('{}/table=*/date=*/*."
                                    "parquet', union_by_name = true, filename = true, "
                                    "hive_partitioning = false) GROUP BY 1, 2",
                                    lake));
  ASSERT_TRUE(counts.ok()) << counts.error().text();
  std::map<std::string, std::string> found;
  for (const duck::TextRow& row : counts->rows) {
    found[row[0].value_or("") + " " + row[1].value_or("")] = row[2].value_or("");
    EXPECT_EQ(row[2], row[3]) << "a position is there twice: " << row[0].value_or("");
  }
  EXPECT_EQ(found, activity);
  for (std::size_t i = 0; i < bank_tables().size(); ++i) {
    const BankTable& table = bank_tables()[i];
    const auto newest =
        (*connection)
            ->query_texts(fmt::format(
                "SELECT {} FROM (SELECT * FROM read_parquet('{}/table=public.{}/**/*.parquet', "
                "union_by_name = true) QUALIFY row_number() OVER (PARTITION BY id ORDER BY epoch "
                "DESC, "
                "lsn DESC, sequence DESC) = 1) WHERE op <> 'd'",
                table.columns, lake, table.name));
    ASSERT_TRUE(newest.ok()) << newest.error().text();
    std::string line;
    for (const auto& cell : newest->rows.at(0))
      line += (line.empty() ? "" : "|") + cell.value_or("");
    EXPECT_EQ(line, answers_.tables[i]) << table.name;
  }
}

void PowerLoss::expect_right(Program& program, const std::string& directory) {
  ASSERT_TRUE(program.wait_position(last_lsn_, 30s));
  ASSERT_TRUE(program.wait_follower("lake", sentinel_lsn_, 30s));
  expect_bank_answers(program, answers_);
  std::map<std::string, std::string> activity;
  const Json answer = http_post(program.url() + "/api/v1/sql",
                                R"({"sql":"SELECT schema || '.' || \"table\" || ' ' || op, )"
                                R"(sum(changes)::VARCHAR FROM pgweir.activity GROUP BY 1"})")
                          .json();
  for (const Json& row : answer["rows"])
    activity[row[0].get<std::string>()] = row[1].get<std::string>();
  EXPECT_FALSE(activity.empty()) << answer.dump();
  EXPECT_EQ(program.terminate(), 0);
  expect_lake(directory + "/lake", activity);
}

// "right" or "refused", with what is neither as a failure.
std::string PowerLoss::open(const Combination& parts, const std::string& slot) {
  copy_slot(slot_of(parts.slot), slot);
  const std::string directory = put_together(parts, slot);
  Program program(directory, yaml(directory, slot));
  program.start();
  const bool settled = wait_for(
      30s, [&] { return !program.running() || http_get(program.url() + "/readyz").status == 200; });
  if (!settled) {
    ADD_FAILURE() << "neither ready nor ended: " << program.status().dump(1) << program.output();
    return "stuck";
  }
  if (program.running()) {
    expect_right(program, directory);
    return "right";
  }
  EXPECT_EQ(program.wait(), kExitIntegrity) << program.output();
  return "refused";
}

TEST_F(PowerLoss, EveryCombinationIsRightOrRefused) {
  std::mt19937 random(test_seed());
  ASSERT_EQ(run_program({"generate", "payments", "--url", cluster().url(database_), "--init-only",
                         "--accounts", "100"})
                .exit_code,
            0);
  ASSERT_NO_FATAL_FAILURE(make_moments(random));
  const std::vector<Combination> combinations = all_combinations();
  std::atomic<std::size_t> next{0};
  std::atomic<int> right{0};
  const auto open_some = [&] {
    for (std::size_t i = next++; i < combinations.size() && !HasFailure(); i = next++) {
      const Combination& parts = combinations[i];
      SCOPED_TRACE(parts.text());
      const std::string slot = fmt::format("{}_opened_{}", database_, i);
      const std::string result = open(parts, slot);
      drop_slot(slot);
      fmt::print("{}: {}\n", parts.text(), result);
      if (parts.whole_and_behind_the_log()) {
        EXPECT_EQ(result, "right");
      }
      if (result == "right") ++right;
    }
  };
  std::jthread other(open_some);
  open_some();
  other.join();
  EXPECT_GE(right.load(), 14);
}

}  // namespace
}  // namespace pgweir::harness
