// The Parquet sink's files are what PostgreSQL did, for every reader that docs/parquet.md names:
// DuckDB, pyarrow, pandas and Spark.
//
// Method: triggers note each change as it happens (tests/readers/audit.sql);
// tests/readers/compare.py
//         reads the folder with each reader and compares columns, types and every value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "harness/scenario.h"

namespace pgweir::harness {
namespace {
using namespace std::chrono_literals;

const std::string kPython = PGWEIR_SOURCE "/.deps/python/bin/python";
const std::string kReaders = PGWEIR_SOURCE "/tests/readers/";

std::string contents(const std::string& name) {
  std::ostringstream text;
  text << std::ifstream(kReaders + name).rdbuf();
  return text.str();
}

// The folders of dates that a sink has made, over all tables.
std::set<std::string> dates(const std::string& folder) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("date=")) found.insert(name);
  }
  return found;
}

}  // namespace

TEST(ParquetReaders, AllFindWhatPostgresDid) {
  ASSERT_TRUE(std::filesystem::exists(kPython))
      << "the readers are not installed: run tools/setup.sh test";
  ScratchFolder scratch;
  const std::string lake = scratch.file("lake");
  Scenario scenario(
      contents("audit.sql") + contents("tables.sql"),
      "sinks: {lake: {type: parquet, path: " + lake + ", roll: {every: 500ms, size: 1MiB}}}\n",
      "[public.*, \"Sales Dept.*\"]");
  ASSERT_TRUE(scenario.start());
  for (const char* script : {"changes.sql", "grown.sql"}) {
    ASSERT_TRUE(scenario.change(contents(script)));
    const Json engine = scenario.program().status()["followers"][0];
    ASSERT_EQ(engine["name"], "engine");
    ASSERT_TRUE(scenario.program().wait_follower("lake", engine["position"]));
  }
  EXPECT_EQ(scenario.program().terminate(), 0);
  EXPECT_THAT(dates(lake),
              testing::IsSupersetOf({"date=1969-12-31", "date=2000-02-29", "date=2027-01-01"}));

  const std::string expected = scratch.file("expected.jsonl");
  std::ofstream(expected) << scenario.sql("SELECT line FROM audit.lines ORDER BY n") << "\n";
  const auto compared = io::run({.arguments = {kPython, kReaders + "compare.py", lake, expected},
                                 .directory = scratch.path()},
                                5min);
  ASSERT_TRUE(compared.ok()) << compared.error().text();
  EXPECT_EQ(compared->exit_code, 0) << compared->output;
  EXPECT_THAT(compared->output, testing::HasSubstr("\n0 differences"));
}

}  // namespace pgweir::harness
