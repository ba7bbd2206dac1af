// Writing to a real broker, and reading it back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "harness/kafka_cluster.h"
#include "harness/wait.h"
#include "kafka/admin.h"
#include "kafka/consumer.h"
#include "kafka/producer.h"

namespace pgweir::kafka {
namespace {
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kWait = 30s;

std::string text_of(const std::optional<std::string_view>& bytes) {
  return bytes ? "'" + std::string(*bytes) + "'" : "null";
}

// A topic of each test's own on the shared broker.
class Broker : public testing::Test {
 protected:
  void SetUp() override {
    PGWEIR_NEEDS_KAFKA();
    client_ = {.bootstrap_servers = harness::shared_kafka().bootstrap_servers()};
    auto admin = Admin::create({.client = client_});
    ASSERT_TRUE(admin.ok()) << admin.error().text();
    admin_ = std::move(admin).value();
  }

  std::string create_topic(NewTopic topic = {}) {
    topic.name = std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) + "-" +
                 std::to_string(++topics_);
    const auto created = admin_->create_topics({&topic, 1});
    EXPECT_TRUE(created.ok()) << created.error().text();
    return topic.name;
  }

  // With what each failed record holds kept in failed_.
  std::unique_ptr<Producer> producer(ProducerOptions options = {}) {
    options.client = client_;
    options.linger = 1ms;
    options.on_failure = [this](const FailedRecord& record) {
      failed_.push_back(std::string(failure_class_name(record.failure)) + ": " +
                        std::string(record.topic) + " " + text_of(record.key) + "=" +
                        std::to_string(record.value ? record.value->size() : 0) + " bytes #" +
                        std::to_string(record.tag));
      last_failure_ = record.error;
    };
    auto made = Producer::create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.error().text();
    return std::move(made).value();
  }

  std::unique_ptr<Producer> transactional(const std::string& id, ProducerOptions options = {}) {
    options.transactional_id = id;
    auto made = producer(std::move(options));
    expect_done(made->init_transactions(kWait));
    return made;
  }

  static void expect_done(const TransactionResult& result) {
    EXPECT_TRUE(result.done()) << result.error->text();
  }

  static Produced put(Producer& to, const std::string& topic, std::string_view key,
                      std::optional<std::string_view> value, std::uint64_t tag = 0) {
    const auto produced =
        to.produce({.topic = *to.topic(topic), .key = key, .value = value, .tag = tag});
    EXPECT_TRUE(produced.ok()) << produced.error().text();
    return produced.ok() ? *produced : Produced::kRefused;
  }

  static void flush(Producer& of) {
    const Status flushed = of.flush(kWait);
    EXPECT_TRUE(flushed.ok()) << flushed.error().text();
  }

  // Everything in the topic as "key=value", in each partition's order.
  std::vector<std::string> read(const std::string& topic,
                                Isolation isolation = Isolation::kReadCommitted) {
    auto reader = TopicReader::open({.client = client_, .topic = topic, .isolation = isolation});
    EXPECT_TRUE(reader.ok()) << reader.error().text();
    std::vector<std::string> records;
    const Status status = (*reader)->read_to_end(
        [&](const ReadRecord& record) {
          records.push_back(text_of(record.key) + "=" + text_of(record.value));
        },
        kWait);
    EXPECT_TRUE(status.ok()) << status.error().text();
    return records;
  }

  ClientOptions client_;
  std::unique_ptr<Admin> admin_;
  std::vector<std::string> failed_;
  std::optional<Error> last_failure_;
  int topics_ = 0;
};

}  // namespace

TEST_F(Broker, TakesAndGivesBackEveryPartOfARecord) {
  const std::string large(100'000, 'x');
  const Header headers[] = {{"a", "1"}, {"null", std::nullopt}, {"empty", ""}, {"a", "2"}};
  for (const Compression compression :
       {Compression::kNone, Compression::kGzip, Compression::kSnappy, Compression::kLz4,
        Compression::kZstd}) {
    SCOPED_TRACE(static_cast<int>(compression));
    const std::string topic = create_topic({.partitions = 2});
    const auto writer = producer({.compression = compression});
    const TopicHandle handle = *writer->topic(topic);
    const RecordView records[] = {{.topic = handle,
                                   .partition = Partition{1},
                                   .key = "k",
                                   .value = large,
                                   .headers = headers,
                                   .timestamp = TimestampMs{1'700'000'000'123}},
                                  {.topic = handle, .partition = Partition{1}, .key = "k"},
                                  {.topic = handle, .partition = Partition{1}, .value = ""},
                                  {.topic = handle,
                                   .partition = Partition{1},
                                   .key = "",
                                   .value = std::string_view("\0b", 2)}};
    for (const RecordView& record : records) EXPECT_EQ(*writer->produce(record), Produced::kTaken);
    flush(*writer);
    EXPECT_EQ(writer->counts().delivered, 4U);

    auto reader = TopicReader::open({.client = client_, .topic = topic});
    ASSERT_TRUE(reader.ok()) << reader.error().text();
    EXPECT_EQ((*reader)->partition_count(), 2);
    int seen = 0;
    const Status status = (*reader)->read_to_end(
        [&](const ReadRecord& record) {
          ASSERT_LT(seen, 4);
          const RecordView& wanted = records[seen];
          EXPECT_EQ(record.partition, Partition{1});
          EXPECT_EQ(record.offset, Offset{seen});
          EXPECT_EQ(text_of(record.key), text_of(wanted.key));
          EXPECT_EQ(text_of(record.value), text_of(wanted.value));
          ASSERT_EQ(record.headers.size(), wanted.headers.size());
          for (std::size_t i = 0; i < wanted.headers.size(); ++i) {
            EXPECT_EQ(record.headers[i].name, wanted.headers[i].name);
            EXPECT_EQ(text_of(record.headers[i].value), text_of(wanted.headers[i].value));
          }
          // The broker's own time is later than this one.
          if (wanted.timestamp) {
            EXPECT_EQ(record.timestamp, *wanted.timestamp);
          } else {
            EXPECT_GT(record.timestamp, TimestampMs{1'700'000'000'123});
          }
          ++seen;
        },
        kWait);
    EXPECT_TRUE(status.ok()) << status.error().text();
    EXPECT_EQ(seen, 4);
  }
}

TEST_F(Broker, AReaderGoesOnWhereItsLastEndWas) {
  const std::string topic = create_topic();
  const auto writer = producer();
  auto reader = TopicReader::open({.client = client_, .topic = topic});
  ASSERT_TRUE(reader.ok()) << reader.error().text();
  std::string seen;
  const auto visit = [&](const ReadRecord& record) { seen += *record.key; };
  EXPECT_TRUE((*reader)->read_to_end(visit, kWait).ok());
  EXPECT_EQ(seen, "");
  for (const char* key : {"1", "2"}) {
    put(*writer, topic, key, "");
    flush(*writer);
    EXPECT_TRUE((*reader)->read_to_end(visit, kWait).ok());
    EXPECT_TRUE((*reader)->read_to_end(visit, kWait).ok());
  }
  EXPECT_EQ(seen, "12");
}

TEST_F(Broker, AnEndThatIsNotReachedInTimeIsToldAndTheNextReadingGoesOn) {
  const std::string topic = create_topic();
  const auto writer = producer();
  put(*writer, topic, "k", "v");
  flush(*writer);
  auto reader = TopicReader::open({.client = client_, .topic = topic});
  ASSERT_TRUE(reader.ok()) << reader.error().text();
  int seen = 0;
  const auto count = [&](const ReadRecord&) { ++seen; };
  harness::shared_kafka().pause(1);
  const Status late = (*reader)->read_to_end(count, 300ms);
  harness::shared_kafka().resume(1);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, Code::kTimeout);
  const Status status = (*reader)->read_to_end(count, kWait);
  EXPECT_TRUE(status.ok()) << status.error().text();
  EXPECT_EQ(seen, 1);
}

TEST_F(Broker, AKilledBrokerLosesAndDoublesNothing) {
  constexpr int kRecords = 20'000;
  const std::string topic = create_topic({.partitions = 2});
  // Small batches, so that many are on their way at the kill.
  const auto writer = producer({.batch_records_max = 50, .queue_records_max = 1'000});
  const TopicHandle handle = *writer->topic(topic);
  for (int i = 0; i < kRecords; ++i) {
    if (i == kRecords / 2) {
      harness::shared_kafka().kill(1);
      harness::shared_kafka().launch(1);
    }
    const std::string value = std::to_string(i);
    const RecordView record{.topic = handle, .partition = Partition{i % 2}, .value = value};
    while (true) {
      const auto produced = writer->produce(record);
      ASSERT_TRUE(produced.ok()) << produced.error().text();
      if (*produced == Produced::kTaken) break;
      writer->poll(100ms);
    }
  }
  flush(*writer);
  harness::shared_kafka().wait_ready(1);
  EXPECT_THAT(failed_, ElementsAre());
  EXPECT_EQ(writer->counts().delivered, static_cast<std::uint64_t>(kRecords));

  std::map<Partition, int> next = {{Partition{0}, 0}, {Partition{1}, 1}};
  auto reader = TopicReader::open({.client = client_, .topic = topic});
  ASSERT_TRUE(reader.ok()) << reader.error().text();
  const Status status = (*reader)->read_to_end(
      [&](const ReadRecord& record) {
        ASSERT_EQ(std::string(*record.value), std::to_string(next[record.partition]));
        next[record.partition] += 2;
      },
      kWait);
  EXPECT_TRUE(status.ok()) << status.error().text();
  EXPECT_EQ(next[Partition{0}], kRecords);
  EXPECT_EQ(next[Partition{1}], kRecords + 1);
}

TEST_F(Broker, OnlyWhatWasCommittedIsSeen) {
  const std::string topic = create_topic();
  const auto writer = transactional("only-committed");
  const auto transaction = [&](const char* key) {
    expect_done(writer->begin());
    put(*writer, topic, key, "v");
    flush(*writer);
  };
  transaction("aborted");
  expect_done(writer->abort(kWait));
  transaction("committed");
  expect_done(writer->commit(kWait));
  transaction("open");
  EXPECT_THAT(read(topic), ElementsAre("'committed'='v'"));
  EXPECT_THAT(read(topic, Isolation::kReadUncommitted),
              ElementsAre("'aborted'='v'", "'committed'='v'", "'open'='v'"));
  expect_done(writer->commit(kWait));
  EXPECT_THAT(read(topic), ElementsAre("'committed'='v'", "'open'='v'"));
}

TEST_F(Broker, RecordsThatAbortTakesBackAreNotToldAsFailed) {
  const std::string topic = create_topic();
  const auto writer = transactional("taken-back");
  expect_done(writer->begin());
  for (int i = 0; i < 1'000; ++i) put(*writer, topic, "k", "v");
  expect_done(writer->abort(kWait));
  EXPECT_THAT(failed_, ElementsAre());
  EXPECT_EQ(writer->counts().delivered + writer->counts().failed_of(FailureClass::kPurged), 1'000U);
}

TEST_F(Broker, AProducerThatTakesOverFencesTheFirst) {
  const std::string topic = create_topic();
  const auto first = transactional("taken-over");
  expect_done(first->begin());
  put(*first, topic, "first", "v");
  flush(*first);
  const auto second = transactional("taken-over");
  const TransactionResult fenced = first->commit(kWait);
  EXPECT_EQ(fenced.outcome, TransactionOutcome::kFenced);
  EXPECT_EQ(fenced.error->code, Code::kBroken);
  EXPECT_THAT(fenced.error->text(), HasSubstr("'taken-over'"));
  EXPECT_THAT(fenced.error->text(), HasSubstr("same transactional id"));
  EXPECT_EQ(first->begin().outcome, TransactionOutcome::kFenced);

  expect_done(second->begin());
  put(*second, topic, "second", "v");
  expect_done(second->commit(kWait));
  EXPECT_THAT(read(topic), ElementsAre("'second'='v'"));
}

TEST_F(Broker, ARecordThatIsTooLargeIsToldWithAllItHolds) {
  const std::string topic = create_topic({.settings = {{"max.message.bytes", "2000"}}});
  const auto writer = producer({.message_bytes_max = 10'000});
  EXPECT_EQ(put(*writer, topic, "fits", "v"), Produced::kTaken);
  // We know of our own limit; of the topic's the broker tells.
  EXPECT_EQ(put(*writer, topic, "ours", std::string(10'000, 'x'), 1), Produced::kRefused);
  flush(*writer);
  EXPECT_EQ(put(*writer, topic, "topic's", std::string(5'000, 'x'), 2), Produced::kTaken);
  flush(*writer);
  EXPECT_THAT(failed_, ElementsAre("too large: " + topic + " 'ours'=10000 bytes #1",
                                   "too large: " + topic + " 'topic's'=5000 bytes #2"));
  EXPECT_EQ(last_failure_->code, Code::kInvalid);
  EXPECT_THAT(last_failure_->text(), HasSubstr("max.message.bytes"));
  EXPECT_EQ(put(*writer, topic, "next", "v"), Produced::kTaken);
  flush(*writer);
  EXPECT_THAT(read(topic), ElementsAre("'fits'='v'", "'next'='v'"));
  EXPECT_EQ(writer->counts().failed_of(FailureClass::kTooLarge), 2U);
}

TEST_F(Broker, ATopicThatNobodyCreatedIsTold) {
  const std::string topic = "nobody-created-it";
  const auto writer = producer({.topic_timeout = 500ms});
  put(*writer, topic, "k", "v", 9);
  flush(*writer);
  EXPECT_THAT(failed_, ElementsAre("unknown topic: nobody-created-it 'k'=1 bytes #9"));
  EXPECT_EQ(last_failure_->code, Code::kNotFound);
  // Nor is a partition made by naming it.
  const std::string small = create_topic();
  EXPECT_TRUE(writer->produce({.topic = *writer->topic(small), .partition = Partition{1}}).ok());
  flush(*writer);
  EXPECT_EQ(writer->counts().failed_of(FailureClass::kUnknownTopic), 2U);
  EXPECT_EQ(admin_->describe_topic(topic).error().code, Code::kNotFound);
  EXPECT_EQ(TopicReader::open({.client = client_, .topic = topic}).error().code, Code::kNotFound);
}

TEST_F(Broker, AFailedRecordAbortsItsTransactionAndTheNextGoesOn) {
  const std::string topic = create_topic({.settings = {{"max.message.bytes", "2000"}}});
  const auto writer = transactional("goes-on");
  expect_done(writer->begin());
  put(*writer, topic, "small", "v");
  put(*writer, topic, "large", std::string(5'000, 'x'));
  const TransactionResult failed = writer->commit(kWait);
  EXPECT_EQ(failed.outcome, TransactionOutcome::kMustAbort);
  EXPECT_EQ(failed.error->code, Code::kInvalid);
  EXPECT_FALSE(failed_.empty());
  expect_done(writer->abort(kWait));
  // librdkafka notices the gap that the failed record left with the first one after it, and asks
  // for another abort.
  TransactionResult again{.outcome = TransactionOutcome::kMustAbort};
  for (int attempt = 0; attempt < 2 && !again.done(); ++attempt) {
    if (attempt > 0) expect_done(writer->abort(kWait));
    expect_done(writer->begin());
    put(*writer, topic, "again", "v");
    again = writer->commit(kWait);
    if (!again.done()) {
      EXPECT_EQ(again.outcome, TransactionOutcome::kMustAbort);
      EXPECT_THAT(again.error->text(), HasSubstr("done anew"));
    }
  }
  expect_done(again);
  EXPECT_THAT(read(topic), ElementsAre("'again'='v'"));
}

TEST_F(Broker, AFullQueueEmptiesWhilePolled) {
  const std::string topic = create_topic();
  const auto writer = producer({.queue_records_max = 10});
  int full = 0;
  for (int i = 0; i < 200; ++i) {
    while (put(*writer, topic, "k", "v") == Produced::kQueueFull) {
      ++full;
      writer->poll(100ms);
    }
  }
  flush(*writer);
  EXPECT_GT(full, 0);
  EXPECT_EQ(writer->queued_records(), 0U);
  EXPECT_EQ(read(topic).size(), 200U);
}

TEST_F(Broker, TopicsAreCreatedOnceDescribedAndDeleted) {
  const NewTopic topics[] = {{.name = "described", .partitions = 3}, {.name = "described-too"}};
  const auto created = admin_->create_topics(topics);
  ASSERT_TRUE(created.ok()) << created.error().text();
  EXPECT_THAT(*created, ElementsAre(Created::kNow, Created::kNow));
  EXPECT_THAT(*admin_->create_topics(topics), ElementsAre(Created::kBefore, Created::kBefore));
  const auto described = admin_->describe_topic("described");
  ASSERT_TRUE(described.ok()) << described.error().text();
  EXPECT_EQ(described->partitions, 3);
  EXPECT_EQ(described->replication, 1);

  const auto all = admin_->describe_topics();
  ASSERT_TRUE(all.ok()) << all.error().text();
  EXPECT_THAT(*all, testing::Contains(testing::Field(&TopicDescription::name, "described-too")));

  const NewTopic copies{.name = "too-many-copies", .replication = 3};
  const auto refused = admin_->create_topics({&copies, 1});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalid);
  EXPECT_THAT(refused.error().text(), HasSubstr("'too-many-copies'"));
  const NewTopic setting{.name = "strange-setting", .settings = {{"cleanup.policy", "sometimes"}}};
  EXPECT_EQ(admin_->create_topics({&setting, 1}).error().code, Code::kInvalid);

  const std::string names[] = {"described", "never-there"};
  EXPECT_TRUE(admin_->delete_topics(names).ok());
  EXPECT_TRUE(harness::wait_for(kWait, [&] { return !admin_->describe_topic("described").ok(); }));
  EXPECT_TRUE(admin_->describe_topic("described-too").ok());
}

TEST_F(Broker, TlsBothWaysAndSaslAreAWayInAndWhatIsWrongIsTold) {
  harness::ScratchFolder folder;
  const auto made =
      io::run({.arguments = {"openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-subj",
                             "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-newkey",
                             "rsa:2048", "-keyout", folder.file("key"), "-out",
                             folder.file("certificate")}},
              60s);
  ASSERT_TRUE(made.ok() && made->exit_code == 0) << (made.ok() ? made->output : "");
  harness::KafkaCluster cluster(
      {.guard = harness::KafkaGuard{.certificate_file = folder.file("certificate"),
                                    .key_file = folder.file("key"),
                                    .user = "alice",
                                    .password = "open-sesame"}});
  const ClientOptions right = {.bootstrap_servers = cluster.guarded_servers(),
                               .security = {.protocol = Protocol::kSaslOverTls,
                                            .sasl_mechanism = "PLAIN",
                                            .user = "alice",
                                            .password = "open-sesame",
                                            .authority_file = folder.file("certificate"),
                                            .certificate_file = folder.file("certificate"),
                                            .key_file = folder.file("key")}};
  const auto reach = [](const ClientOptions& client, Milliseconds timeout = kWait) {
    const auto writer = Producer::create({.client = client});
    return writer.ok() ? (*writer)->reach(timeout) : Status(writer.error());
  };
  const Status reached = reach(right);
  EXPECT_TRUE(reached.ok()) << reached.error().text();

  ClientOptions wrong = right;
  wrong.security.password = "open-barley";
  const Status refused = reach(wrong);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kCheckFailed) << refused.error().text();
  EXPECT_THAT(refused.error().text(), HasSubstr("Authentication failed"));
  EXPECT_THAT(refused.error().text(), testing::Not(HasSubstr("barley")));

  ClientOptions distrustful = right;
  distrustful.security.authority_file = "";
  const Status unknown = reach(distrustful);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, Code::kCheckFailed) << unknown.error().text();
  EXPECT_THAT(unknown.error().text(), HasSubstr("certificate"));

  ClientOptions open = {.bootstrap_servers = cluster.guarded_servers()};
  EXPECT_FALSE(reach(open, 1s).ok());
}

}  // namespace pgweir::kafka
