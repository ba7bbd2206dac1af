// For tests: a first snapshot's rows given to the engine as blocks of text.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/testing_engine.h"

namespace pgweir::engine {

inline constexpr std::uint32_t kInt8 = 20, kText = 25, kNumeric = 1700;

inline std::shared_ptr<const model::Table> make_loaded(std::uint32_t oid, const std::string& name,
                                                       std::uint32_t value_type, bool has_key) {
  model::Table table{.id = model::Oid{oid},
                     .schema = "public",
                     .name = name,
                     .columns = {{.name = "id", .type = model::Oid{kInt8}, .in_key = has_key},
                                 {.name = "v", .type = model::Oid{value_type}}}};
  table.columns[1].type_name = value_type == kNumeric ? "numeric" : "text";
  if (has_key) table.primary_key = {0};
  if (!has_key) table.replica_identity = model::ReplicaIdentity::kFull;
  return std::make_shared<const model::Table>(std::move(table));
}

class EngineLoadTest : public EngineTest {
 protected:
  void SetUp() override { open_threaded(); }

  void open_threaded() {
    open({.memory_bytes = 256 * kMiB, .load_threads = 3, .load_bytes_min = 0});
  }

  void begin_snapshot() {
    at_ = {1, model::Lsn{16}, 0};
    ASSERT_TRUE(engine_->begin_snapshot(at_).ok());
  }

  using Blocks = std::vector<std::pair<std::shared_ptr<const model::Table>, std::string>>;

  Status give(const Blocks& blocks) {
    model::RowBlocks rows{.from = at_, .to = at_, .time = kTime};
    for (const auto& [table, lines] : blocks) {
      rows.blocks.push_back({table, lines});
      rows.to.sequence += static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
    }
    const Status status = engine_->load(rows);
    if (!status.ok()) return status;
    at_ = rows.to;
    EXPECT_EQ(engine_->position().position, at_);
    return {};
  }
  // "" or the error's message.
  std::string load(const Blocks& blocks) {
    const Status status = give(blocks);
    return status.ok() ? "" : status.error().message;
  }

  Status try_end() {
    model::Position end = at_;
    ++end.sequence;
    return engine_->end_snapshot(end, model::Lsn{17});
  }
  void end_snapshot() {
    const Status ended = try_end();
    ASSERT_TRUE(ended.ok()) << ended.error().text();
    ++at_.sequence;
    EXPECT_EQ(engine_->position().position, at_);
    EXPECT_TRUE(engine_->position().snapshot_complete);
  }

  // Lines "first\ttext", "first+1\ttext" ...
  static std::string lines(int first, int count, const std::string& text) {
    std::string out;
    for (int i = first; i < first + count; ++i) out += fmt::format("{}\t{}\n", i, text);
    return out;
  }

  // Rows lie in the order of their hashes in every base.
  void expect_sorted_bases(std::size_t count, std::uint64_t rows_of_all) {
    auto reader = engine_->reader(Milliseconds{1000}).value();
    const auto bases = reader->connection().query_texts(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'pgweir_internal' AND "
        "regexp_full_match(table_name, 'b[0-9]+')");
    ASSERT_TRUE(bases.ok()) << bases.error().text();
    EXPECT_EQ(bases->rows.size(), count);
    std::uint64_t found = 0;
    for (const auto& base : bases->rows) {
      const std::string name = "pgweir_internal." + base[0].value_or("");
      const auto sums = reader->connection().query_texts(fmt::format(
          "SELECT count(*), count(*) FILTER (WHERE {0} < before) FROM (SELECT {0}, lag({0}) OVER "
          "(ORDER BY rowid) AS before FROM {1})",
          kHashColumn, name));
      ASSERT_TRUE(sums.ok()) << sums.error().text();
      found += std::stoull(sums->rows[0][0].value_or("0"));
      EXPECT_EQ(sums->rows[0][1], "0") << name;
    }
    EXPECT_EQ(found, rows_of_all);
  }

  model::Position at_;
  const std::shared_ptr<const model::Table> texts_ = make_loaded(1, "texts", kText, true);
  const std::shared_ptr<const model::Table> prices_ = make_loaded(2, "prices", kNumeric, true);
  const std::shared_ptr<const model::Table> bag_ = make_loaded(3, "bag", kText, false);
};

}  // namespace pgweir::engine
