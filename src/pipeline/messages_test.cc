// Users' logical messages: events of the log in their place, each once, whether they come inside a
// transaction or between two, and whenever the server sends them again.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "model/message.h"
#include "pipeline/testing_streamed_fixture.h"

namespace pgweir::pipeline {
namespace {

// What was rolled back is taken out of the files at once.
Way adopted_with_nothing_rolled_back() {
  Way way = adopted();
  way.name = "AdoptedWithNothingRolledBack";
  way.options.rolled_back_ranges_max = 0;
  return way;
}

class MessagesTest : public StreamedFixture {
 protected:
  void begin(const std::string& setup) {
    sql(setup);
    start();
    ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  }

  // "m prefix content" of messages and "i t 1" of rows, transaction by transaction.
  std::vector<std::string> events(std::size_t batch_rows_max = 50'000) {
    std::vector<std::string> out;
    model::Position last;
    auto reader = BatchReader::open(*log_, {}, {.batch_rows_max = batch_rows_max}).value();
    while (true) {
      const LogEvent event = reader->next(Microseconds(0)).value();
      if (event.kind == LogEvent::Kind::kNothing) break;
      if (!event.batch) continue;
      const model::Batch& batch = *event.batch;
      for (const model::Change& change : batch.changes) {
        const model::Transaction& transaction = batch.transactions[change.transaction];
        const model::Position at{batch.to.epoch, transaction.commit_lsn, change.sequence};
        EXPECT_LT(last, at) << "positions rise";
        last = at;
        const model::Table& table = batch.table_of(change);
        const auto row = batch.row(change.after, table);
        EXPECT_EQ(change.op == model::Op::kMessage, model::holds_messages(table));
        std::string text =
            fmt::format("{} {} {}", static_cast<char>(change.op),
                        change.op == model::Op::kMessage ? "" : table.name + " ", row[0].text());
        if (change.op == model::Op::kMessage) {
          text = fmt::format("m {} {} {}{}", row[0].text(),
                             row[1].kind == model::CellKind::kNull ? "-" : row[1].text(),
                             row[2].text(), row[3].text() == "t" ? "" : " at once");
          EXPECT_EQ(transaction.xid == model::Xid{}, row[3].text() == "f");
        } else {
          text = fmt::format("{} {} {}", static_cast<char>(change.op), table.name, row[0].text());
        }
        out.push_back(text);
      }
    }
    return out;
  }

  static std::string insert(int from, int to) {
    return fmt::format(
        "INSERT INTO t SELECT i, repeat(md5(i::text), 6) FROM generate_series({}, {}) i;", from,
        to);
  }
};

std::string emit(const char* transactional, const char* prefix, const char* content) {
  return fmt::format("SELECT 1 FROM pg_logical_emit_message({}, '{}', '{}');", transactional,
                     prefix, content);
}

const char* const kTable = "CREATE TABLE t (id int PRIMARY KEY, v text)";

using Events = std::vector<std::string>;

}  // namespace

TEST_P(MessagesTest, AreEventsInTheirPlace) {
  begin(kTable);
  sql(emit("true", "alone", "a") + "BEGIN; INSERT INTO t VALUES (1); " +
      emit("true", "within", "b") + "INSERT INTO t VALUES (2);" + emit("false", "at once", "c") +
      "COMMIT;" + "SELECT 1 FROM pg_logical_emit_message(false, 'binary', '\\x00ff5c0a'::bytea);" +
      "BEGIN; " + emit("true", "gone", "d") + emit("false", "stays", "") + "ROLLBACK;" +
      emit("true", "pgweir", "ours") + emit("false", "pgweir.ours", "") +
      emit("true", "pgweirs", "theirs"));
  settle();
  const Events expected = {"m alone \\x61 1",
                           "m at once \\x63 1 at once",
                           "i t 1",
                           "m within \\x62 1",
                           "i t 2",
                           "m binary \\x00ff5c0a 4 at once",
                           "m stays \\x 0 at once",
                           "m pgweirs \\x746865697273 6"};
  EXPECT_EQ(events(), expected);
  EXPECT_EQ(events(1), expected);
  // The same after an end without a last word, from which the server sends much again.
  stop();
  start();
  ASSERT_TRUE(wait_state(CaptureState::kStreaming));
  settle();
  EXPECT_EQ(events(), expected);
}

TEST_P(MessagesTest, AReaderGoesOnBehindEachOfThem) {
  begin(kTable);
  sql("BEGIN; INSERT INTO t VALUES (1); " + emit("true", "a", "") + "INSERT INTO t VALUES (2); " +
      emit("true", "b", "") + "COMMIT; " + emit("false", "c", "") + "INSERT INTO t VALUES (3)");
  settle();
  std::vector<model::Position> positions = {{}};
  auto reader = BatchReader::open(*log_, {}, {.batch_rows_max = 1}).value();
  const auto count_behind = [&](const model::Position& after) {
    std::size_t count = 0;
    auto rest = BatchReader::open(*log_, after, {}).value();
    while (true) {
      const LogEvent event = rest->next(Microseconds(0)).value();
      if (event.kind == LogEvent::Kind::kNothing) return count;
      if (event.batch) count += event.batch->changes.size();
    }
  };
  while (true) {
    const LogEvent event = reader->next(Microseconds(0)).value();
    if (event.kind == LogEvent::Kind::kNothing) break;
    if (!event.batch) continue;
    for (const model::Change& change : event.batch->changes) {
      positions.push_back({event.batch->to.epoch,
                           event.batch->transactions[change.transaction].commit_lsn,
                           change.sequence});
    }
  }
  ASSERT_EQ(positions.size(), 7u);
  for (std::size_t i = 0; i < positions.size(); ++i)
    EXPECT_EQ(count_behind(positions[i]), 6 - i) << model::to_string(positions[i]);
}

TEST_P(MessagesTest, OfAStreamedTransactionComeAtItsCommit) {
  begin(kTable);
  postgres::Connection open = session();
  run(open, "BEGIN; " + emit("true", "first", "1") + insert(1, 1000));
  wait_streamed();
  run(open, emit("true", "middle", "2") + emit("false", "at once", "3") + insert(1001, 1500));
  const Events at_once = {"m at once \\x33 1 at once"};
  EXPECT_TRUE(wait_until([&] { return events() == at_once; }));
  run(open, emit("true", "last", "4") + "COMMIT");
  settle();
  const Events all = events();
  ASSERT_EQ(all.size(), 1504u);
  EXPECT_EQ(all[1], "m first \\x31 1");
  EXPECT_EQ(all[1002], "m middle \\x32 1");
  EXPECT_EQ(all.back(), "m last \\x34 1");
  EXPECT_EQ(events(100), all);
}

TEST_P(MessagesTest, OfWhatIsRolledBackLeaveNothing) {
  begin(kTable);
  postgres::Connection open = session();
  run(open, "BEGIN; " + emit("true", "kept", "") + insert(1, 1000));
  run(open, "SAVEPOINT a; " + emit("true", "gone", "") + insert(1001, 2000));
  wait_streamed();
  run(open, "ROLLBACK TO a; " + emit("true", "gone", "") + insert(2001, 2010));
  run(open, "SAVEPOINT b; " + emit("true", "gone", "") + "RELEASE b; ROLLBACK TO a");
  run(open, "SAVEPOINT c; " + emit("true", "released", "") + "RELEASE c; COMMIT");
  settle();
  Events messages;
  for (const std::string& event : events()) {
    if (event[0] == 'm') messages.push_back(event);
  }
  EXPECT_EQ(messages, (Events{"m kept \\x 0", "m released \\x 0"}));
  EXPECT_EQ(sql("SELECT count(*) FROM t"), "1000");
  EXPECT_EQ(events().size(), 1002u);
}

TEST_P(MessagesTest, TooLargeOnesComeWithoutTheirContent) {
  begin(kTable);
  sql("SELECT 1 FROM pg_logical_emit_message(false, 'large', repeat('x', 1048577));"
      "BEGIN; SELECT 1 FROM pg_logical_emit_message(true, 'huge', repeat('x', 50000000));"
      "INSERT INTO t VALUES (1); COMMIT;"
      "SELECT 1 FROM pg_logical_emit_message(false, 'fits', repeat('x', 1048576))");
  settle();
  const Events got = events();
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0], "m large - 1048577 at once");
  EXPECT_EQ(got[1], "m huge - 50000000");
  EXPECT_EQ(got[2], "i t 1");
  EXPECT_EQ(got[3].size(), std::string("m fits \\x").size() + 2 * 1048576 + 16);
}

INSTANTIATE_TEST_SUITE_P(Ways, MessagesTest,
                         testing::Values(adopted(), adopted_with_nothing_rolled_back(),
                                         Way{"Appended", {}}),
                         [](const auto& way) { return way.param.name; });

}  // namespace pgweir::pipeline
