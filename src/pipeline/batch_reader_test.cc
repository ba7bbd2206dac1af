// Rows of a first snapshot that are given out as the log has them, not decoded; batches' memory.
#include "pipeline/batch_reader.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "io/fake_fs.h"
#include "postgres/catalog.h"

namespace pgweir::pipeline {

class BatchReaderTest : public testing::Test {
 protected:
  static constexpr int kFrames = 6, kFrameRows = 3;

  // A snapshot of the tables 7 and 8 in frames of three rows each, one table after the other.
  void SetUp() override {
    (void)fs_.create_directories("log");
    log_ = log::Log::open(fs_, clock_, "log", {}).value();
    append(log::FrameKind::kSnapshotBegin, 0, 0, 0, "");
    for (const std::uint32_t oid : {7, 8}) {
      model::Table table{
          .id = model::Oid{oid}, .schema = "public", .name = fmt::format("t{}", oid)};
      table.columns = {{.name = "v", .type = model::Oid{25}, .type_name = "text", .in_key = true}};
      append(log::FrameKind::kSchema, oid, 0, 0, postgres::encode_schema({"", table}));
    }
    std::uint64_t row = 0;
    for (std::uint32_t i = 0; i < kFrames; ++i, row += kFrameRows) {
      append(log::FrameKind::kSnapshotRows, 7 + i % 2, row + 1, row + kFrameRows,
             fmt::format("{}\n{}\n{}\n", row + 1, row + 2, row + 3));
    }
    append(log::FrameKind::kSnapshotEnd, 0, row + 1, row + 1, "");
    ASSERT_TRUE(log_->sync().ok());
  }

  void append(log::FrameKind kind, std::uint64_t key, std::uint64_t first, std::uint64_t last,
              const std::string& record) {
    log::Frame frame;
    frame.header.kind = kind;
    frame.header.key = key;
    frame.header.first = at(first);
    frame.header.last = at(last);
    frame.header.time_us = 1;
    if (kind == log::FrameKind::kSnapshotEnd) frame.header.end_lsn = model::Lsn{17};
    if (!record.empty()) {
      frame.header.record_count = 1;
      log::append_record(frame.payload, record);
    }
    const Status appended = log_->append(std::move(frame));
    ASSERT_TRUE(appended.ok()) << appended.error().text();
  }

  static model::Position at(std::uint64_t sequence) { return {1, model::Lsn{16}, sequence}; }

  // Every event from there on: "begin", "table 7", "rows (0,6] 7:1,2,3 8:4,5,6", "batch (0,6] 6"
  // ...
  std::vector<std::string> read(std::uint64_t after, BatchReaderOptions options) {
    auto reader = BatchReader::open(*log_, at(after), options).value();
    std::vector<std::string> out;
    while (true) {
      const auto event = reader->next(Microseconds{0});
      if (!event.ok()) out.push_back(event.error().message);
      if (!event.ok() || event->kind == LogEvent::Kind::kNothing) return out;
      out.push_back(text_of(*event));
    }
  }

  static std::string text_of(const LogEvent& event) {
    switch (event.kind) {
      case LogEvent::Kind::kSnapshotBegin:
        return "begin";
      case LogEvent::Kind::kSnapshotEnd:
        return fmt::format("end {}", event.position.sequence);
      case LogEvent::Kind::kTable:
        return "table " + event.table->name;
      case LogEvent::Kind::kBatch:
        return fmt::format("batch ({},{}] {}", event.batch->from.sequence, event.batch->to.sequence,
                           event.batch->changes.size());
      case LogEvent::Kind::kRows:
        break;
      default:
        return "?";
    }
    EXPECT_EQ(event.position, event.rows->to);
    EXPECT_EQ(event.rows->time, model::Timestamp{1});
    std::string out =
        fmt::format("rows ({},{}]", event.rows->from.sequence, event.rows->to.sequence);
    for (const model::RowBlock& block : event.rows->blocks) {
      std::string lines(block.lines.substr(0, block.lines.size() - 1));
      std::replace(lines.begin(), lines.end(), '\n', ',');
      out += fmt::format(" {}:{}", block.table->name, lines);
    }
    return out;
  }

  io::FakeFs fs_;
  io::FakeClock clock_;
  std::unique_ptr<log::Log> log_;
};

using Texts = std::vector<std::string>;

TEST_F(BatchReaderTest, SnapshotRowsComePacked) {
  EXPECT_EQ(read(0, {.packs_snapshot_rows = true}),
            (Texts{"table t7", "table t8",
                   "rows (0,18] t7:1,2,3 t8:4,5,6 t7:7,8,9 t8:10,11,12 t7:13,14,15 t8:16,17,18",
                   "end 19"}));
}

TEST_F(BatchReaderTest, PackedRowsAreBounded) {
  const auto events = read(0, {.batch_bytes_max = 1, .packs_snapshot_rows = true});
  ASSERT_EQ(events.size(), 2U + kFrames + 1);
  EXPECT_EQ(events[2], "rows (0,3] t7:1,2,3");
  EXPECT_EQ(events[3], "rows (3,6] t8:4,5,6");
}

TEST_F(BatchReaderTest, PackedRowsGoOnBehindAPosition) {
  const auto events = read(12, {.packs_snapshot_rows = true});
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(Texts(events.end() - 2, events.end()),
            (Texts{"rows (12,18] t7:13,14,15 t8:16,17,18", "end 19"}));
  EXPECT_EQ(read(18, {.packs_snapshot_rows = true}).back(), "end 19");
}

// Within a frame: from there on they are decoded.
TEST_F(BatchReaderTest, RowsOfAFrameThatIsTakenInPartAreDecoded) {
  const auto events = read(13, {.packs_snapshot_rows = true});
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(Texts(events.end() - 2, events.end()), (Texts{"batch (13,18] 5", "end 19"}));
}

// A batch is its readers' for as long as they hold it; then its memory is the next one's.
TEST_F(BatchReaderTest, MemoryOfABatchIsUsedAgainOnceNobodyHoldsIt) {
  auto reader = BatchReader::open(*log_, at(0), {.batch_rows_max = 1}).value();
  const auto next = [&]() -> model::BatchPtr {
    while (true) {
      auto event = reader->next(Microseconds{0});
      if (!event.ok() || event->kind == LogEvent::Kind::kNothing) return nullptr;
      if (event->kind == LogEvent::Kind::kBatch) return event->batch;
    }
  };
  const auto values = [](const model::Batch& batch) {
    std::string out;
    for (const model::Cell& cell : batch.cells) out += fmt::format("{} ", cell.text());
    return out;
  };
  const model::BatchPtr first = next();
  model::BatchPtr second = next();
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->cells.data(), second->cells.data());
  const model::Cell* const cells = second->cells.data();
  second.reset();
  const model::BatchPtr third = next(), fourth = next();
  ASSERT_TRUE(third && fourth);
  EXPECT_EQ(third->cells.data(), cells);
  EXPECT_EQ(values(*first), "1 2 3 ");
  EXPECT_EQ(values(*third), "7 8 9 ");
  EXPECT_EQ(values(*fourth), "10 11 12 ");
  EXPECT_EQ(third->from, at(6));
  EXPECT_EQ(third->tables.size(), 1U);
  // A reader that is gone, and who holds a batch longer.
  reader.reset();
  EXPECT_EQ(values(*fourth), "10 11 12 ");
}

TEST_F(BatchReaderTest, SnapshotRowsAreDecodedForOthers) {
  EXPECT_EQ(read(0, {}), (Texts{"table t7", "table t8", "batch (0,18] 18", "end 19"}));
}

}  // namespace pgweir::pipeline
