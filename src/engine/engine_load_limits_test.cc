// A first snapshot's load when disk or memory run out, and when it is told to end: nothing is
// lost, and it goes on to the right rows, each once.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <thread>

#include "engine/testing_load.h"
#include "harness/file_size_limit.h"

namespace pgweir::engine {

constexpr int kTextBytes = 200;

class EngineLoadLimitsTest : public EngineLoadTest {
 protected:
  void SetUp() override { open_small(256 * kMiB); }

  // Everything beyond a few rows is written and sorted as much is.
  void open_small(std::uint64_t memory_bytes, std::uint64_t load_bytes_max = kMiB) {
    StoreOptions store = store_options_for(memory_bytes);
    store.small_rows_max = 1000;
    store.load_bytes_max = load_bytes_max;
    open({.memory_bytes = memory_bytes, .load_threads = 3, .load_bytes_min = 0, .store = store});
  }

  // Rows [first, first + count), which cannot be compressed.
  static std::string noise_lines(int first, int count) {
    std::mt19937 random(static_cast<unsigned>(first) + 1);
    std::string out;
    for (int i = first; i < first + count; ++i) {
      out += fmt::format("{}\t", i);
      for (int c = 0; c < kTextBytes; ++c) out += static_cast<char>('!' + random() % 90);
      if (const auto escape = out.find('\\', out.size() - kTextBytes); escape != std::string::npos)
        std::replace(out.end() - kTextBytes, out.end(), '\\', '/');
      out += '\n';
    }
    return out;
  }

  Status give_noise(int first, int count) { return give({{texts_, noise_lines(first, count)}}); }

  std::uint64_t bytes_of(const std::string& name) {
    std::error_code missing;
    const auto size = std::filesystem::file_size(scratch_.file(name), missing);
    return missing ? 0 : size;
  }

  // What one can wait out, told so that one sees what is wrong; and nothing has changed.
  void expect_waits(const Status& status) {
    ASSERT_FALSE(status.ok());
    const Error& failure = status.error();
    EXPECT_TRUE(failure.code == Code::kNoSpace || failure.code == Code::kBroken) << failure.text();
    EXPECT_NE(failure.text().find("File too large"), std::string::npos) << failure.text();
    EXPECT_NE(failure.hint.find("oom"), std::string::npos) << failure.text();
    EXPECT_EQ(engine_->position().position, at_);
    EXPECT_FALSE(engine_->position().snapshot_complete);
  }

  void recover() {
    const Status recovered = engine_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().text();
    EXPECT_EQ(engine_->position().position, at_);
  }

  static bool is_out_of_memory(const Status& status) {
    return status.error().code == Code::kUnavailable || status.error().code == Code::kBroken;
  }

  // As a follower does when memory runs out; how many tries it took.
  int end_in_tries() {
    constexpr int kTriesMax = 8;
    for (int tries = 1; tries <= kTriesMax; ++tries) {
      const Status ended = try_end();
      if (engine_->position().snapshot_complete) ++at_.sequence;
      if (ended.ok()) return tries;
      EXPECT_TRUE(is_out_of_memory(ended)) << ended.error().text();
      recover();
      if (engine_->position().snapshot_complete) return tries;
    }
    ADD_FAILURE() << "it does not end";
    return 0;
  }

  void expect_texts(int count) {
    EXPECT_EQ(rows("SELECT count(*), count(DISTINCT id), min(id), max(id), min(length(v)), "
                   "max(length(v)) FROM texts"),
              fmt::format("{0}|{0}|0|{1}|{2}|{2}", count, count - 1, kTextBytes));
    expect_sorted_bases(1, static_cast<std::uint64_t>(count));
    EXPECT_EQ(rows("SELECT sum(changes) FROM pgweir.activity"), std::to_string(count));
  }
};

TEST_F(EngineLoadLimitsTest, AFullDiskWhileRowsAreLoaded) {
  constexpr int kBlock = 5000, kBlocks = 8;
  begin_snapshot();
  int block = 0;
  for (; block < 2; ++block) ASSERT_TRUE(give_noise(block * kBlock, kBlock).ok());
  for (int round = 0; round < 2; ++round) {
    Status status;
    {
      const harness::FileSizeLimit full(bytes_of("engine.duckdb") + 2 * kMiB);
      for (; status.ok() && block < kBlocks; ++block) status = give_noise(block * kBlock, kBlock);
      --block;
      expect_waits(status);
      // It is still full.
      if (engine_->recover().ok()) expect_waits(give_noise(block * kBlock, kBlock));
    }
    recover();
    ASSERT_TRUE(give_noise(block++ * kBlock, kBlock).ok());
  }
  open_small(256 * kMiB);
  for (; block < kBlocks; ++block) ASSERT_TRUE(give_noise(block * kBlock, kBlock).ok());
  end_snapshot();
  expect_texts(kBlock * kBlocks);
}

// What DuckDB writes to its own log at the commit has no room.
TEST_F(EngineLoadLimitsTest, AFullDiskAtTheCommitOfRows) {
  constexpr int kBlock = 3500, kBlocks = 6;
  begin_snapshot();
  ASSERT_TRUE(give_noise(0, kBlock).ok());
  for (int block = 1; block < kBlocks; ++block) {
    {
      const harness::FileSizeLimit full(64 * kKiB);
      expect_waits(give_noise(block * kBlock, kBlock));
    }
    recover();
    ASSERT_TRUE(give_noise(block * kBlock, kBlock).ok());
  }
  end_snapshot();
  expect_texts(kBlock * kBlocks);
}

TEST_F(EngineLoadLimitsTest, AFullDiskWhileRangesAreSorted) {
  constexpr int kBlock = 10'000, kBlocks = 5;
  begin_snapshot();
  for (int block = 0; block < kBlocks; ++block)
    ASSERT_TRUE(give_noise(block * kBlock, kBlock).ok());
  for (const std::uint64_t room : {kMiB, 4 * kMiB}) {
    {
      const harness::FileSizeLimit full(bytes_of("engine.duckdb") + room);
      expect_waits(try_end());
    }
    recover();
  }
  end_snapshot();
  expect_texts(kBlock * kBlocks);
  open_small(256 * kMiB);
  expect_texts(kBlock * kBlocks);
}

// Nothing but the end itself is refused: every byte that it needs is missing once.
TEST_F(EngineLoadLimitsTest, AFullDiskAtTheEndOfASnapshot) {
  constexpr int kRows = 3500;
  begin_snapshot();
  ASSERT_TRUE(give_noise(0, kRows).ok());
  Status ended = error(Code::kNoSpace, "not tried");
  int tries = 0;
  for (std::uint64_t room = 0; !ended.ok(); room += 256 * kKiB, ++tries) {
    ASSERT_LT(tries, 20);
    {
      const harness::FileSizeLimit full(room);
      ended = try_end();
    }
    // The end may be committed, and what comes behind it have failed.
    if (engine_->position().snapshot_complete) break;
    expect_waits(ended);
    recover();
  }
  EXPECT_GT(tries, 1);
  ++at_.sequence;
  recover();
  EXPECT_TRUE(engine_->position().snapshot_complete);
  expect_texts(kRows);
}

// Each of several threads fills a group of rows: what is too much at once is refused, and taken in
// parts by fewer of them.
TEST_F(EngineLoadLimitsTest, MemoryThatRunsOutWhileRowsAreLoaded) {
  constexpr int kBlock = 4000, kBlocks = 4, kRefusedMax = 8;
  constexpr std::size_t kLongText = 4 * kKiB;
  open_small(64 * kMiB);
  begin_snapshot();
  int refused = 0;
  for (int block = 0, count = kBlocks; block < kBlocks;) {
    const int end = std::min(block + count, kBlocks);
    Blocks blocks;
    for (int i = block; i < end; ++i)
      blocks.emplace_back(texts_, lines(i * kBlock, kBlock, std::string(kLongText, 'x')));
    const Status status = give(blocks);
    if (status.ok()) {
      block = end;
      continue;
    }
    ASSERT_TRUE(is_out_of_memory(status)) << status.error().text();
    EXPECT_EQ(engine_->position().position, at_);
    recover();
    ASSERT_LT(++refused, kRefusedMax) << status.error().text();
    count = std::max(count / 2, 1);
  }
  refused += end_in_tries() - 1;
  EXPECT_GT(refused, 0);
  open_small(512 * kMiB);
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT id), sum(length(v)) FROM texts"),
            fmt::format("{0}|{0}|{1}", kBlock * kBlocks, kBlock * kBlocks * kLongText));
}

// They are made smaller.
TEST_F(EngineLoadLimitsTest, RangesThatDoNotFitIntoMemory) {
  constexpr int kBlock = 20'000, kBlocks = 10;
  open_small(48 * kMiB, kGiB);
  begin_snapshot();
  for (int block = 0; block < kBlocks; ++block)
    ASSERT_TRUE(give_noise(block * kBlock, kBlock).ok());
  EXPECT_GT(end_in_tries(), 1);
  expect_texts(kBlock * kBlocks);
}

// As a follower does that is stopped: the engine is told until the call has ended.
TEST_F(EngineLoadLimitsTest, AStopEndsALoadSoonAndTheNextStartGoesOn) {
  constexpr int kBlock = 20'000, kBlocks = 5;
  begin_snapshot();
  const auto stopped_after = [&](Milliseconds wait, const std::function<Status()>& call) {
    std::atomic<bool> ended = false;
    Status status;
    std::jthread running([&] {
      status = call();
      ended = true;
    });
    std::this_thread::sleep_for(wait);
    do {
      engine_->stop_loading();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    } while (!ended);
    running.join();
    EXPECT_EQ(status.ok() ? Code::kInternal : status.error().code, Code::kCancelled);
    EXPECT_EQ(engine_->position().position, at_);
    EXPECT_EQ(load({{texts_, "7\tx\n"}}), "asked to stop while rows of a snapshot are loaded");
    open_small(256 * kMiB);
    EXPECT_EQ(engine_->position().position, at_);
  };
  for (int block = 0; block < kBlocks; ++block) {
    const std::string rows = noise_lines(block * kBlock, kBlock);
    if (block < 2) stopped_after(Milliseconds{block * 10}, [&] { return give({{texts_, rows}}); });
    ASSERT_EQ(load({{texts_, rows}}), "");
  }
  for (const int wait_ms : {0, 50, 150})
    stopped_after(Milliseconds{wait_ms}, [&] { return try_end(); });
  end_snapshot();
  expect_texts(kBlock * kBlocks);
}

// Of DuckDB's accounting, looked at all the while.
TEST_F(EngineLoadLimitsTest, MemoryStaysBelowItsLimit) {
  constexpr int kBlock = 10'000, kBlocks = 20;
  constexpr std::uint64_t kMemory = 64 * kMiB;
  open_small(kMemory, store_options_for(kMemory).load_bytes_max);
  std::atomic<bool> done = false;
  std::uint64_t most = 0, looks = 0;
  std::jthread looking([&] {
    while (!done) {
      auto reader = engine_->reader(Milliseconds{10});
      if (!reader.ok()) continue;
      const auto bytes = (*reader)->connection().query_int(
          "SELECT CAST(sum(memory_usage_bytes) AS BIGINT) FROM duckdb_memory()");
      if (!bytes.ok()) continue;
      most = std::max(most, static_cast<std::uint64_t>(*bytes));
      ++looks;
    }
  });
  begin_snapshot();
  for (int block = 0; block < kBlocks; ++block)
    ASSERT_TRUE(give_noise(block * kBlock, kBlock).ok());
  end_in_tries();
  done = true;
  looking.join();
  EXPECT_GT(looks, 0u);
  // (database.cc: half of it is DuckDB's, where it is so little; a block may be on its way.)
  EXPECT_GT(most, kMemory / 8);
  EXPECT_LE(most, kMemory / 2 + kMiB);
  expect_texts(kBlock * kBlocks);
}

}  // namespace pgweir::engine
