#include "sinks/kafka_sink.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "debezium/testing_batch.h"
#include "harness/kafka_cluster.h"
#include "kafka/consumer.h"

namespace pgweir::sinks {
namespace {

using debezium::BatchBuilder;
using debezium::Strings;
using model::Op;
using namespace std::chrono_literals;

const auto kA = debezium::testing_table(1, "a");

// Each test has topics of its own.
class KafkaSinkTest : public testing::Test {
 protected:
  void SetUp() override {
    PGWEIR_NEEDS_KAFKA();
    static std::atomic<int> tests{0};
    prefix_ = fmt::format("t{}", ++tests);
    kafka_ = &harness::shared_kafka();
  }

  KafkaOptions options() const {
    KafkaOptions out;
    out.name = "events";
    out.client.bootstrap_servers = kafka_->bootstrap_servers();
    out.events.tables.topic_prefix = prefix_;
    out.events.key_schemas = out.events.value_schemas = false;
    out.positions_topic = prefix_ + ".positions";
    return out;
  }
  std::unique_ptr<KafkaSink> open() { return open(options()); }
  std::unique_ptr<KafkaSink> open(KafkaOptions with) {
    auto sink = KafkaSink::open(clock_, std::move(with));
    if (!sink.ok()) ADD_FAILURE() << sink.error().text();
    if (!sink.ok()) return nullptr;
    const Status bound = (*sink)->bind_log("log");
    EXPECT_TRUE(bound.ok()) << bound.error().text();
    return std::move(sink).value();
  }

  // One transaction that inserts rows, behind the last one.
  model::BatchPtr inserts(const Strings& ids, const std::string& v = "0") {
    BatchBuilder out;
    ++xid_;
    out.transaction(xid_, 1000 * xid_);
    for (const std::string& id : ids) out.change(Op::kInsert, kA, {}, {id, v});
    const model::Position to{1, model::Lsn{1000 * xid_}, ids.size() + 1};
    out.range(std::exchange(at_, to), to);
    return out.shared();
  }

  // "key op" of every record that is committed, or "key gone".
  Strings records(const std::string& table = "a") {
    auto reader = kafka::TopicReader::open({.client = options().client,
                                            .topic = prefix_ + ".public." + table,
                                            .isolation = kafka::Isolation::kReadCommitted});
    if (!reader.ok()) return {reader.error().text()};
    Strings out;
    const Status status = (*reader)->read_to_end(
        [&](const kafka::ReadRecord& record) {
          std::string line(record.key.value_or("-"));
          if (record.value)
            line += " " + std::string(record.value->substr(record.value->find("\"op\":") + 6, 1));
          else
            line += " gone";
          for (const kafka::Header& header : record.headers) {
            if (header.name.find("key") != std::string_view::npos)
              line += fmt::format(" {}={}", header.name, *header.value);
          }
          out.push_back(std::move(line));
        },
        30s);
    EXPECT_TRUE(status.ok()) << status.error().text();
    return out;
  }

  static void expect_ok(const Status& status) { EXPECT_TRUE(status.ok()) << status.error().text(); }

  io::RealClock clock_;
  harness::KafkaCluster* kafka_ = nullptr;
  std::string prefix_;
  std::uint32_t xid_ = 0;
  model::Position at_;
};

TEST_F(KafkaSinkTest, EventsArriveWithTheirPosition) {
  auto sink = open();
  BatchBuilder batch;
  batch.transaction(7, 1000)
      .change(Op::kInsert, kA, {}, {"1", "0"})
      .change(Op::kUpdate, kA, {"1", "-"}, {"2", "0"})
      .change(Op::kDelete, kA, {"2", "-"}, {})
      .range({}, {1, model::Lsn{1000}, 4});
  expect_ok(sink->apply(batch.shared()));
  EXPECT_EQ(sink->position(), (model::Position{1, model::Lsn{1000}, 4}));
  EXPECT_EQ(records(), (Strings{"{\"id\":1} c", "{\"id\":1} d __debezium.newkey={\"id\":2}",
                                "{\"id\":1} gone __debezium.newkey={\"id\":2}",
                                "{\"id\":2} c __debezium.oldkey={\"id\":1}", "{\"id\":2} d",
                                "{\"id\":2} gone"}));
  sink.reset();
  EXPECT_EQ(open()->position(), (model::Position{1, model::Lsn{1000}, 4}));
}

TEST_F(KafkaSinkTest, AnotherOfTheNameTakesOver) {
  auto first = open();
  expect_ok(first->apply(inserts({"1"})));
  auto second = open();
  EXPECT_EQ(second->position(), first->position());
  const model::BatchPtr next = inserts({"2"});
  const Status late = first->apply(next);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, Code::kCheckFailed) << late.error().text();
  EXPECT_EQ(late.error().message, "another pgweir writes as sink 'events' to these topics");
  expect_ok(second->apply(next));
  EXPECT_EQ(records(), (Strings{"{\"id\":1} c", "{\"id\":2} c"}));
}

TEST_F(KafkaSinkTest, RecordThatIsTooLargeIsNamedAndNothingOfItsBatchIsSeen) {
  KafkaOptions small = options();
  small.record_bytes_max = 2'000;
  auto sink = open(small);
  expect_ok(sink->apply(inserts({"1"})));
  auto wide = *kA;
  wide.columns[1].type = wide.columns[1].base_type = model::Oid{25};
  const auto table = std::make_shared<const model::Table>(wide);
  BatchBuilder batch;
  batch.transaction(9, 9000)
      .change(Op::kInsert, table, {}, {"2", "short"})
      .change(Op::kInsert, table, {}, {"3", std::string(3'000, 'x')})
      .range(at_, {1, model::Lsn{9000}, 3});
  const Status status = sink->apply(batch.shared());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kInvalid);
  EXPECT_NE(status.error().text().find(prefix_ + ".public.a, key {\"id\":3}"), std::string::npos)
      << status.error().text();
  sink.reset();
  auto again = open();
  EXPECT_EQ(again->position(), at_);
  expect_ok(again->apply(batch.shared()));
  EXPECT_EQ(records(), (Strings{"{\"id\":1} c", "{\"id\":2} c", "{\"id\":3} c"}));
}

TEST_F(KafkaSinkTest, RowThatASnapshotHoldsBackComesAgain) {
  const auto rows = [&](std::uint64_t from, std::uint64_t to) {
    BatchBuilder out;
    out.snapshot().open_end();
    for (std::uint64_t i = from; i <= to; ++i)
      out.change(Op::kRead, kA, {}, {std::to_string(i), "0"}, i);
    out.range({1, model::Lsn{500}, from - 1}, {1, model::Lsn{500}, to});
    return out.shared();
  };
  auto sink = open();
  expect_ok(sink->begin_snapshot());
  expect_ok(sink->apply(rows(1, 3)));
  EXPECT_EQ(sink->position(), (model::Position{1, model::Lsn{500}, 2}));
  sink = open();
  expect_ok(sink->apply(rows(3, 4)));
  expect_ok(sink->end_snapshot());
  EXPECT_EQ(sink->position(), (model::Position{1, model::Lsn{500}, 4}));
  EXPECT_EQ(records(), (Strings{"{\"id\":1} r", "{\"id\":2} r", "{\"id\":3} r", "{\"id\":4} r"}));
}

TEST_F(KafkaSinkTest, PositionsOfAnotherLogAreRefused) {
  expect_ok(open()->apply(inserts({"1"})));
  auto sink = KafkaSink::open(clock_, options()).value();
  const Status status = sink->bind_log("another");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message, "sink 'events' has positions of another log");
}

TEST_F(KafkaSinkTest, AtLeastOnceKeepsItsPositionNowAndThen) {
  KafkaOptions with = options();
  with.delivery = KafkaDelivery::kAtLeastOnce;
  with.position_interval = 1h;
  auto sink = open(with);
  const model::BatchPtr batch = inserts({"1", "2"});
  expect_ok(sink->apply(batch));
  EXPECT_EQ(sink->position(), model::Position{}) << "its time has not come";
  ASSERT_TRUE(sink->flush().ok());
  EXPECT_EQ(sink->position(), at_);
  EXPECT_EQ(records(), (Strings{"{\"id\":1} c", "{\"id\":2} c"}));
}

TEST_F(KafkaSinkTest, PositionMovesWithoutEvents) {
  KafkaOptions with = options();
  with.position_interval = 0ms;
  auto sink = open(with);
  const model::Position to{1, model::Lsn{5000}, 0};
  expect_ok(sink->advance(to));
  EXPECT_EQ(sink->position(), to);
  EXPECT_EQ(open()->position(), to);
}

TEST_F(KafkaSinkTest, BrokersThatAreAwayAreToldAsThat) {
  KafkaOptions with = options();
  with.client.bootstrap_servers = fmt::format("127.0.0.1:{}", harness::free_port());
  with.answer_timeout = 500ms;
  const auto sink = KafkaSink::open(clock_, with);
  ASSERT_FALSE(sink.ok());
  EXPECT_EQ(sink.error().code, Code::kUnavailable) << sink.error().text();
}

// A broker of one dies with a transaction on its way: each event is seen once, in order.
TEST_F(KafkaSinkTest, EventsAreSeenOnceThroughABrokersDeath) {
  harness::KafkaCluster kafka;
  kafka_ = &kafka;
  KafkaOptions with = options();
  with.answer_timeout = 2s;
  auto sink = open(with);
  Strings expected;
  for (int round = 0; round < 30; ++round) {
    Strings ids;
    for (int i = 0; i < 200; ++i) ids.push_back(std::to_string(round * 200 + i));
    for (const std::string& id : ids) expected.push_back(fmt::format("{{\"id\":{}}} c", id));
    const model::BatchPtr batch = inserts(ids);
    if (round == 10) kafka.kill(1);
    if (round == 10) kafka.launch(1);
    // As a follower does: after an error a new one goes on from its position.
    for (int attempt = 0; sink == nullptr || sink->position() < batch->to; ++attempt) {
      ASSERT_LT(attempt, 100);
      if (sink == nullptr) {
        auto opened = KafkaSink::open(clock_, with);
        if (!opened.ok()) continue;
        sink = std::move(opened).value();
        if (sink->position() >= batch->to) break;
      }
      if (!sink->apply(batch).ok()) sink.reset();
    }
  }
  sink.reset();
  EXPECT_EQ(records(), expected);
}

}  // namespace
}  // namespace pgweir::sinks
