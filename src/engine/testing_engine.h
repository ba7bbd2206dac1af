// For tests: an engine on a scratch folder, batches as rows of texts, content as SQL and text.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "harness/scratch.h"

namespace pgweir::engine {

using TablePtr = std::shared_ptr<const model::Table>;

// 2026-01-01 00:00:00 UTC.
inline constexpr model::Timestamp kTime{1767225600000000};

inline TablePtr make_table(std::uint32_t oid, const std::string& schema, const std::string& name,
                           std::vector<model::Column> columns,
                           model::ReplicaIdentity identity = model::ReplicaIdentity::kDefault) {
  model::Table table{
      .id = model::Oid{oid}, .schema = schema, .name = name, .replica_identity = identity};
  for (std::uint32_t i = 0; i < columns.size(); ++i) {
    if (columns[i].in_key && identity == model::ReplicaIdentity::kDefault)
      table.primary_key.push_back(i);
  }
  table.columns = std::move(columns);
  return std::make_shared<const model::Table>(std::move(table));
}

// A table with a column that not every value fits into.
inline TablePtr make_prices(std::uint32_t oid = 2, const std::string& name = "prices") {
  model::Column amount = typed_column("amount", 1700);
  amount.type_name = "numeric";
  return make_table(oid, "shop", name, {int_column("id", true), amount});
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override { open(); }

  void open(EngineOptions options = {.memory_bytes = 256 * kMiB}) {
    engine_.reset();
    options.directory = scratch_.path();
    auto engine = Engine::open(
        options,
        [](const model::Table& table) {
          std::vector<std::uint32_t> all(table.columns.size());
          for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
          return std::optional(all);
        },
        logger_);
    ASSERT_TRUE(engine.ok()) << engine.error().text();
    engine_ = std::move(engine).value();
  }

  void begin(std::uint64_t lsn, model::Timestamp time = kTime) {
    builder_ = std::make_unique<BatchBuilder>(next_);
    builder_->begin(lsn, time);
  }
  // Ends the batch and applies it; "" or the error's message.
  std::string apply(bool ends = true) {
    builder_->end(ends);
    const Status status = engine_->apply(builder_->batch());
    if (status.ok()) next_ = builder_->batch().to;
    return status.ok() ? "" : status.error().text();
  }

  std::string rows(const std::string& select) {
    auto reader = engine_->reader(Milliseconds{1000});
    if (!reader.ok()) return reader.error().text();
    const auto result = (*reader)->connection().query_texts(select);
    if (!result.ok()) return result.error().message;
    std::string out;
    for (const duck::TextRow& row : result->rows) {
      if (!out.empty()) out += ";";
      for (std::size_t i = 0; i < row.size(); ++i)
        out += (i == 0 ? "" : "|") + row[i].value_or("NULL");
    }
    return out;
  }

  harness::ScratchFolder scratch_;
  Logger logger_{LogLevel::kOff};
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<BatchBuilder> builder_;
  model::Position next_;
  const TablePtr accounts_ =
      make_table(1, "public", "accounts", {int_column("id", true), text_column("name")});
};

}  // namespace pgweir::engine
