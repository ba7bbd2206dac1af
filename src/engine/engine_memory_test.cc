// An engine that is opened with less memory than what it holds was made with.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "harness/scratch.h"

namespace pgweir::engine {
namespace {

constexpr model::Timestamp kTime{1767225600000000};

class EngineMemoryTest : public testing::Test {
 protected:
  EngineMemoryTest() {
    auto table = std::make_shared<model::Table>();
    table->id = model::Oid{1};
    table->schema = "public";
    table->name = "accounts";
    table->columns = {int_column("id", true), text_column("note")};
    table->primary_key = {0};
    accounts_ = std::move(table);
  }

  void open(const std::string& directory, std::uint64_t memory_bytes,
            std::optional<StoreOptions> store = {}) {
    engine_.reset();
    auto engine = Engine::open(
        {.directory = directory, .memory_bytes = memory_bytes, .store = std::move(store)},
        [](const model::Table&) {
          return std::optional<std::vector<std::uint32_t>>({0, 1});
        },
        logger_);
    ASSERT_TRUE(engine.ok()) << engine.error().text();
    engine_ = std::move(engine).value();
    next_ = engine_->position().position;
  }

  // Rows [first, last) in one transaction, in batches, as inserts or as updates.
  void write(int first, int last, const std::string& note, bool insert) {
    constexpr int kBatchRows = 25'000;
    const std::uint64_t lsn = lsn_ += 16;
    for (int from = first; from < last; from += kBatchRows) {
      BatchBuilder batch(next_);
      batch.begin(lsn, kTime, from == first);
      const int to = std::min(last, from + kBatchRows);
      for (int id = from; id < to; ++id) {
        const TextRow row{std::to_string(id), note};
        insert ? batch.insert(accounts_, row) : batch.update(accounts_, {}, row);
      }
      batch.end(to == last);
      const Status done = engine_->apply(batch.batch());
      ASSERT_TRUE(done.ok()) << done.error().text();
      next_ = batch.batch().to;
    }
  }

  std::string rows(const std::string& select) {
    auto reader = engine_->reader(Milliseconds{1000});
    if (!reader.ok()) return reader.error().text();
    const auto found = (*reader)->connection().query_texts(select);
    if (!found.ok()) return found.error().text();
    std::string out;
    for (const duck::TextRow& row : found->rows) {
      out += out.empty() ? "" : ";";
      for (const auto& cell : row) out += cell.value_or("NULL") + " ";
    }
    return out;
  }

  harness::ScratchFolder scratch_;
  Logger logger_{LogLevel::kOff};
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<const model::Table> accounts_;
  model::Position next_;
  std::uint64_t lsn_ = 0;
};

const char* const kContent =
    "SELECT note, count(*), count(DISTINCT id) FROM accounts GROUP BY note ORDER BY note";

}  // namespace

// More is pending than the little memory allows, some of it in DuckDB's own log: as a kill leaves
// it.
TEST_F(EngineMemoryTest, AFullStoreOpensWithLessAndGoesOn) {
  constexpr std::uint64_t kLittle = 96 * kMiB;
  constexpr int kRows = 450'000, kChanged = 100'000;
  const std::string made = scratch_.file("made"), killed = scratch_.file("killed");
  open(made, kGiB, StoreOptions{.pending_rows_min = kRows * 2});
  write(0, kRows, "first", true);
  write(0, kChanged, "second", false);
  ASSERT_GT(engine_->store_options().work->pending_rows,
            store_options_for(kLittle).pending_rows_total_max);
  std::filesystem::copy(made, killed, std::filesystem::copy_options::recursive);
  ASSERT_GT(std::filesystem::file_size(killed + "/engine.duckdb.wal"), 256 * kKiB);
  for (const std::string& directory : {killed, made}) {
    open(directory, kLittle);
    EXPECT_EQ(rows(kContent),
              fmt::format("first {0} {0} ;second {1} {1} ", kRows - kChanged, kChanged));
    // All over the store, and rows that are recent among them.
    write(kChanged / 2, kRows, "third", false);
    EXPECT_EQ(rows(kContent),
              fmt::format("second {0} {0} ;third {1} {1} ", kChanged / 2, kRows - kChanged / 2));
    EXPECT_LE(engine_->store_options().work->pending_rows,
              2 * store_options_for(kLittle).pending_rows_total_max);
  }
}

}  // namespace pgweir::engine
