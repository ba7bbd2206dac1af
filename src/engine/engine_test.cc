// The engine keeps mirrors, activity and position together, through restarts and failures.
#include "engine/engine.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "engine/batch_builder.h"
#include "harness/scratch.h"

namespace pgweir::engine {

using TablePtr = std::shared_ptr<const model::Table>;

// 2026-01-01 00:00:00 UTC.
constexpr model::Timestamp kTime{1767225600000000};

static TablePtr make_table(std::uint32_t oid, const std::string& schema, const std::string& name,
                           std::vector<model::Column> columns,
                           model::ReplicaIdentity identity = model::ReplicaIdentity::kDefault) {
  model::Table table{.id = model::Oid{oid}, .schema = schema, .name = name, .replica_identity = identity};
  for (std::uint32_t i = 0; i < columns.size(); ++i) {
    if (columns[i].in_key && identity == model::ReplicaIdentity::kDefault) table.primary_key.push_back(i);
  }
  table.columns = std::move(columns);
  return std::make_shared<const model::Table>(std::move(table));
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override { open(); }

  void open() {
    engine_.reset();
    auto engine = Engine::open({.directory = scratch_.path(), .memory_bytes = 256 * kMiB},
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
      for (std::size_t i = 0; i < row.size(); ++i) out += (i == 0 ? "" : "|") + row[i].value_or("NULL");
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

TEST_F(EngineTest, ChangesArriveInTheMirror) {
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  builder_->insert(accounts_, {"2", "b"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "1|a;2|b");
  begin(20);
  builder_->update(accounts_, {}, {"1", "c"});
  builder_->remove(accounts_, {"2", std::nullopt});
  builder_->insert(accounts_, {"3", std::nullopt});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM public.accounts ORDER BY id"), "1|c;3|NULL");
  EXPECT_EQ(rows("SELECT lsn, sequence FROM pgweir.positions"), "0/15|4");
  EXPECT_EQ(rows("SELECT op, changes, bytes, transactions FROM pgweir.activity ORDER BY op"),
            "d|1|10|1;i|3|30|2;u|1|10|1");
}

TEST_F(EngineTest, AnUnchangedValueComesFromTheMirror) {
  begin(10);
  builder_->insert(accounts_, {"1", "long"});
  builder_->insert(accounts_, {"2", "other"});
  EXPECT_EQ(apply(), "");
  begin(20);
  builder_->update(accounts_, {"1", std::nullopt}, {"9", kUnchangedText});
  builder_->update(accounts_, {}, {"2", kUnchangedText});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "2|other;9|long");
}

TEST_F(EngineTest, ASnapshotReplacesEverything) {
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  next_ = {1, model::Lsn{30}, 0};
  ASSERT_TRUE(engine_->begin_snapshot(next_).ok());
  builder_ = std::make_unique<BatchBuilder>(next_);
  builder_->begin(30, kTime, true, model::Transaction::Kind::kSnapshot);
  builder_->insert(accounts_, {"5", "e"}, model::Op::kRead);
  EXPECT_EQ(apply(false), "");
  open();
  EXPECT_EQ(engine_->position().position, next_);
  EXPECT_FALSE(engine_->position().snapshot_complete);
  builder_ = std::make_unique<BatchBuilder>(next_);
  builder_->begin(30, kTime, false, model::Transaction::Kind::kSnapshot);
  builder_->insert(accounts_, {"6", "f"}, model::Op::kRead);
  EXPECT_EQ(apply(), "");
  const Status ended = engine_->end_snapshot(next_, model::Lsn{31});
  ASSERT_TRUE(ended.ok()) << ended.error().text();
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "5|e;6|f");
  EXPECT_TRUE(engine_->position().snapshot_complete);
  begin(40);
  builder_->update(accounts_, {}, {"5", "g"});
  EXPECT_EQ(apply(), "");
  open();
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "5|g;6|f");
}

}  // namespace pgweir::engine
