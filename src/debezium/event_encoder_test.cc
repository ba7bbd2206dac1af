// What the recorded messages (tests/conformance) do not show: states, resuming, options, refusals.
#include "debezium/event_encoder.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "debezium/testing_batch.h"

namespace pgweir::debezium {
namespace {

using model::Op;

EventOptions options() {
  EventOptions out;
  out.tables.topic_prefix = "p";
  out.key_schemas = out.value_schemas = false;
  return out;
}

// The value's field `name`, as text.
std::string field(std::string_view value, std::string_view name) {
  const std::string begin = "\"" + std::string(name) + "\":";
  const std::size_t at = value.find(begin);
  if (at == std::string_view::npos) return "none";
  value.remove_prefix(at + begin.size());
  if (value.starts_with('"')) return std::string(value.substr(1, value.find('"', 1) - 1));
  if (value.starts_with('{')) return std::string(value.substr(0, value.find('}') + 1));
  return std::string(value.substr(0, value.find_first_of(",}")));
}

// "topic key op snapshot", and "topic key gone" of a tombstone.
Strings summary(const EventEncoder& encoder, const Events& events) {
  Strings out;
  for (const Event& event : events.events) {
    const std::string_view value = events.text(event.value);
    std::string line = encoder.topic(event.topic) + " " +
                       std::string(event.key.is_null() ? "-" : events.text(event.key));
    line +=
        event.value.is_null() ? " gone" : " " + field(value, "op") + " " + field(value, "snapshot");
    out.push_back(line);
  }
  return out;
}

Strings encoded(EventEncoder& encoder, const model::Batch& batch) {
  Events out;
  const Status status = encoder.encode(batch, 2'000'000, out);
  EXPECT_TRUE(status.ok()) << status.error().text();
  return summary(encoder, out);
}

const auto kA = testing_table(1, "a"), kB = testing_table(2, "b"),
           kBare = testing_table(3, "bare", false);

TEST(EventEncoderTest, MarkersTellFirstAndLastRowsOfTablesAndOfAll) {
  struct Case {
    std::vector<std::shared_ptr<const model::Table>> rows;
    Strings markers;
  };
  const Case cases[] = {
      {{}, {}},
      {{kA}, {"last"}},
      {{kA, kA}, {"first", "last"}},
      {{kA, kB}, {"first", "last"}},
      {{kA, kB, kB, kB, kBare},
       {"first", "first_in_data_collection", "true", "last_in_data_collection", "last"}},
      {{kA, kA, kB, kBare},
       {"first", "last_in_data_collection", "last_in_data_collection", "last"}},
  };
  for (const Case& each : cases) {
    EventEncoder encoder(options());
    encoder.begin_snapshot();
    Events out;
    // One row a batch: the marker does not depend on where batches end.
    for (std::size_t i = 0; i < each.rows.size(); ++i) {
      BatchBuilder batch;
      batch.snapshot().change(Op::kRead, each.rows[i], {}, {std::to_string(i), "0"});
      ASSERT_TRUE(encoder.encode(batch, 0, out).ok());
      EXPECT_EQ(out.events.size(), i) << "the newest row waits";
    }
    encoder.end_snapshot(out);
    Strings markers;
    for (const Event& event : out.events)
      markers.push_back(field(out.text(event.value), "snapshot"));
    EXPECT_EQ(markers, each.markers);
  }
}

TEST(EventEncoderTest, SnapshotGoesOnWhereItsStateWas) {
  BatchBuilder rows;
  rows.snapshot();
  for (const char* id : {"1", "2", "3"}) rows.change(Op::kRead, kA, {}, {id, "0"});
  EventEncoder first(options());
  first.begin_snapshot();
  const Strings before = encoded(first, rows);
  EXPECT_EQ(first.held_sequence(), 3u);
  // The third is held back: it comes again.
  BatchBuilder again;
  again.snapshot().change(Op::kRead, kA, {}, {"3", "0"}).change(Op::kRead, kA, {}, {"4", "0"});
  EventEncoder second(options());
  second.resume(first.state());
  Events out;
  ASSERT_TRUE(second.encode(again, 0, out).ok());
  second.end_snapshot(out);
  EXPECT_EQ(before, (Strings{"p.public.a {\"id\":1} r first", "p.public.a {\"id\":2} r true"}));
  EXPECT_EQ(summary(second, out),
            (Strings{"p.public.a {\"id\":3} r true", "p.public.a {\"id\":4} r last"}));
}

TEST(EventEncoderTest, SnapshotThatBeginsAgainForgetsTheOneBefore) {
  EventEncoder encoder(options());
  for (int i = 0; i < 2; ++i) {
    encoder.begin_snapshot();
    BatchBuilder rows;
    rows.snapshot().change(Op::kRead, kA, {}, {"1", "0"});
    EXPECT_TRUE(encoded(encoder, rows).empty());
  }
  Events out;
  encoder.end_snapshot(out);
  EXPECT_EQ(summary(encoder, out), (Strings{"p.public.a {\"id\":1} r last"}));
}

TEST(EventEncoderTest, RowsReadBesideTheStreamStandNowhereInTheWal) {
  EventEncoder encoder(options());
  BatchBuilder batch;
  batch.transaction(7, 1000).change(Op::kInsert, kA, {}, {"1", "0"});
  batch.snapshot().change(Op::kRead, kA, {}, {"2", "0"});
  Events out;
  ASSERT_TRUE(encoder.encode(batch, 0, out).ok());
  ASSERT_EQ(out.events.size(), 2u);
  const std::string_view value = out.text(out.events[1].value);
  EXPECT_NE(value.find(R"("snapshot":"incremental")"), std::string_view::npos) << value;
  EXPECT_NE(value.find(R"("sequence":"[\"1008\",\"1008\"]")"), std::string_view::npos) << value;
  EXPECT_NE(value.find(R"("txId":null,"lsn":null)"), std::string_view::npos) << value;
}

TEST(EventEncoderTest, OperationsThatAreSkippedLeaveNothing) {
  BatchBuilder batch;
  batch.transaction(7, 1000)
      .change(Op::kInsert, kA, {}, {"1", "0"})
      .change(Op::kUpdate, kA, {"1", "0"}, {"2", "0"})
      .change(Op::kDelete, kA, {"2", "-"}, {})
      .change(Op::kTruncate, kA, {}, {});
  const std::pair<const char*, std::size_t> cases[] = {
      {"", 1 + 3 + 2 + 1}, {"t", 1 + 3 + 2}, {"cudt", 0}, {"u", 1 + 2 + 1}, {"d", 1 + 3 + 1}};
  for (const auto& [skipped, count] : cases) {
    EventOptions with = options();
    with.skipped_operations = skipped;
    EventEncoder encoder(with);
    EXPECT_EQ(encoded(encoder, batch).size(), count) << skipped;
  }
}

TEST(EventEncoderTest, KeyThatChangesIsADeleteAndACreate) {
  EventEncoder encoder(options());
  BatchBuilder batch;
  batch.transaction(7, 1000).change(Op::kUpdate, kA, {"1", "-"}, {"2", "5"});
  Events out;
  ASSERT_TRUE(encoder.encode(batch, 0, out).ok());
  EXPECT_EQ(summary(encoder, out),
            (Strings{"p.public.a {\"id\":1} d false", "p.public.a {\"id\":1} gone",
                     "p.public.a {\"id\":2} c false"}));
  EXPECT_EQ(out.text(out.events[0].other_key), R"({"id":2})");
  EXPECT_EQ(out.events[0].headers, EventHeaders::kNewKey);
  EXPECT_EQ(out.text(out.events[2].other_key), R"({"id":1})");
  EXPECT_EQ(out.events[2].headers, EventHeaders::kOldKey);
  for (const Event& event : out.events) EXPECT_EQ(event.sequence, 1u);
}

TEST(EventEncoderTest, UnchangedRowsAreSkippedWhereOldRowsAreWhole) {
  EventOptions with = options();
  with.skip_unchanged = true;
  EventEncoder encoder(with);
  BatchBuilder batch;
  batch.transaction(7, 1000)
      .change(Op::kUpdate, kBare, {"1", "5"}, {"1", "5"})
      .change(Op::kUpdate, kBare, {"1", "-"}, {"1", "5"})
      .change(Op::kUpdate, kBare, {"1", "5"}, {"1", "6"})
      .change(Op::kUpdate, kBare, {}, {"1", "6"});
  EXPECT_EQ(encoded(encoder, batch), Strings(3, "p.public.bare - u false"));
}

TEST(EventEncoderTest, TablesThatAreNotWantedLeaveNothing) {
  EventOptions with = options();
  with.wanted = [](const model::Table& each) { return each.name != "b"; };
  EventEncoder encoder(with);
  BatchBuilder batch;
  batch.transaction(7, 1000)
      .change(Op::kInsert, kB, {}, {"1", "0"})
      .change(Op::kInsert, kA, {}, {"1", "0"});
  EXPECT_EQ(encoded(encoder, batch), (Strings{"p.public.a {\"id\":1} c false"}));
}

TEST(EventEncoderTest, TransactionsAreCountedOverBatches) {
  EventOptions with = options();
  with.transaction_metadata = true;
  Events out;
  EventEncoder first(with);
  BatchBuilder begin;
  begin.transaction(6, 800);  // nothing in it: no events
  begin.transaction(7, 1000).change(Op::kInsert, kA, {}, {"1", "0"}).open_end();
  ASSERT_TRUE(first.encode(begin, 0, out).ok());
  // After a restart.
  EventEncoder second(with);
  second.resume(first.state());
  BatchBuilder end;
  end.transaction(7, 1000)
      .open_begin()
      .change(Op::kInsert, kB, {}, {"1", "0"})
      .change(Op::kInsert, kA, {}, {"2", "0"});
  Events rest;
  ASSERT_TRUE(second.encode(end, 0, rest).ok());
  ASSERT_EQ(out.events.size(), 2u);
  EXPECT_EQ(
      out.text(out.events[0].value),
      R"({"status":"BEGIN","id":"7:901","event_count":null,"data_collections":null,"ts_ms":1000})");
  ASSERT_EQ(rest.events.size(), 3u);
  EXPECT_NE(rest.text(rest.events[1].value)
                .find(R"("transaction":{"id":"7:902","total_order":3,"data_collection_order":2})"),
            std::string_view::npos);
  EXPECT_EQ(rest.text(rest.events[2].value),
            R"({"status":"END","id":"7:1008","event_count":3,"data_collections":[)"
            R"({"data_collection":"public.a","event_count":2},)"
            R"({"data_collection":"public.b","event_count":1}],"ts_ms":1000})");
}

TEST(EventEncoderTest, SequenceHasTheEndOfTheTransactionBefore) {
  EventEncoder encoder(options());
  BatchBuilder batch;
  batch.transaction(7, 1000).change(Op::kInsert, kA, {}, {"1", "0"});
  batch.transaction(8, 2000);
  batch.transaction(9, 3000).change(Op::kInsert, kA, {}, {"2", "0"});
  Events out;
  ASSERT_TRUE(encoder.encode(batch, 0, out).ok());
  EXPECT_NE(out.text(out.events[0].value).find(R"("sequence":"[null,\"901\"]")"),
            std::string_view::npos);
  EXPECT_NE(out.text(out.events[1].value).find(R"("sequence":"[\"2008\",\"2901\"]")"),
            std::string_view::npos);
}

TEST(EventEncoderTest, ValueThatIsNoneOfItsTypeIsRefusedWithItsPlace) {
  EventEncoder encoder(options());
  BatchBuilder batch;
  batch.transaction(7, 0x1000)
      .change(Op::kInsert, kA, {}, {"1", "0"})
      .change(Op::kInsert, kA, {}, {"2", "x\"y"});
  Events out;
  const Status status = encoder.encode(batch, 0, out);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().text(),
            "a value of public.a.v is none of its type: 'x\"y' (at 0:0/1000:2)");
}

TEST(EventEncoderTest, EventsAreTakenBeforeTheyAreTooMany) {
  BatchBuilder batch;
  for (std::uint32_t xid = 1; xid <= 20; ++xid) {
    batch.transaction(xid, 1000 * xid);
    for (int i = 0; i < 10; ++i) batch.change(Op::kInsert, kA, {}, {std::to_string(i), "0"});
  }
  EventEncoder whole(options());
  const Strings expected = encoded(whole, batch);
  EventEncoder encoder(options());
  constexpr std::size_t kBytesMax = 3'000, kEventBytesMax = 1'000;
  Strings taken;
  Events out;
  const EventEncoder::Drain drain{kBytesMax, [&](Events& events) -> Status {
                                    EXPECT_LT(events.bytes.size(), kBytesMax + kEventBytesMax);
                                    for (std::string& line : summary(encoder, events))
                                      taken.push_back(std::move(line));
                                    events.clear();
                                    return {};
                                  }};
  ASSERT_TRUE(encoder.encode(batch, 0, drain, out).ok());
  EXPECT_GT(taken.size(), 100u);
  for (std::string& line : summary(encoder, out)) taken.push_back(std::move(line));
  EXPECT_EQ(taken, expected);
}

TEST(EventEncoderTest, TableThatChangesItsShapeHasItsNewColumns) {
  EventEncoder encoder(options());
  auto wider = *kA;
  wider.columns.push_back(wider.columns[1]);
  wider.columns[2].name = "w";
  BatchBuilder batch;
  batch.transaction(7, 1000)
      .change(Op::kInsert, kA, {}, {"1", "2"})
      .change(Op::kInsert, std::make_shared<const model::Table>(wider), {}, {"1", "2", "3"});
  Events out;
  ASSERT_TRUE(encoder.encode(batch, 0, out).ok());
  EXPECT_EQ(field(out.text(out.events[0].value), "after"), R"({"id":1,"v":2})");
  EXPECT_EQ(field(out.text(out.events[1].value), "after"), R"({"id":1,"v":2,"w":3})");
}

}  // namespace
}  // namespace pgweir::debezium
