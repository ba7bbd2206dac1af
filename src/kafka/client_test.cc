// What needs no broker: names, options, and that none answers.
#include "kafka/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "harness/scratch.h"
#include "kafka/admin.h"
#include "kafka/consumer.h"
#include "kafka/producer.h"

namespace pgweir::kafka {
namespace {
using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr auto kLong = 10s;  // what is bounded by a second ends before

std::string nowhere() {
  return "127.0.0.1:" + std::to_string(harness::free_port());
}

ProducerOptions options() {
  return {.client = {.bootstrap_servers = nowhere()}};
}

// The text of the error with which no producer is created.
std::string refusal(ProducerOptions options) {
  const auto producer = Producer::create(std::move(options));
  if (producer.ok()) return "none";
  EXPECT_EQ(producer.error().code, Code::kConfig);
  EXPECT_FALSE(producer.error().hint.empty());
  return producer.error().text();
}

}  // namespace

TEST(TopicName, StrangeCharactersAreRefusedAndNamed) {
  EXPECT_TRUE(check_topic_name("server.public.Orders_2-x").ok());
  EXPECT_TRUE(check_topic_name(std::string(249, 'a')).ok());
  const struct {
    std::string name, why;
  } cases[] = {{"", "empty"},
               {".", "folder"},
               {"..", "folder"},
               {std::string(250, 'a'), "250 characters"},
               {"a b", "0x20 at its place 2"},
               {"caf\xc3\xa9", "0xc3 at its place 4"},
               {"a/b", "0x2f"},
               {std::string("a\0b", 3), "0x00"}};
  for (const auto& [name, why] : cases) {
    const Status status = check_topic_name(name);
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_EQ(status.error().code, Code::kInvalid);
    EXPECT_THAT(status.error().text(), HasSubstr(why));
  }
  const auto producer = Producer::create(options());
  ASSERT_TRUE(producer.ok()) << producer.error().text();
  EXPECT_FALSE((*producer)->topic("a b").ok());
  EXPECT_TRUE((*producer)->topic("a.b").ok());
}

TEST(Options, WhatCannotBeIsNamed) {
  ProducerOptions none = options();
  none.client.bootstrap_servers = "";
  EXPECT_THAT(refusal(none), HasSubstr("bootstrap servers"));

  ProducerOptions unknown = options();
  unknown.client.properties = {{"no.such.property", "1"}};
  EXPECT_THAT(refusal(unknown), HasSubstr("'no.such.property'"));

  ProducerOptions twice = options();
  twice.client.properties = {{"linger.ms", "1"}};
  EXPECT_THAT(refusal(twice), HasSubstr("'linger.ms'"));

  ProducerOptions half = options();
  half.transactional_id = "t";
  half.idempotence = Idempotence::kOff;
  EXPECT_THAT(refusal(half), HasSubstr("idempotence"));

  ProducerOptions user = options();
  user.client.security.user = "somebody";
  EXPECT_THAT(refusal(user), HasSubstr("SASL"));

  ProducerOptions key = options();
  key.client.security.protocol = Protocol::kTls;
  key.client.security.certificate_file = "/no/such/certificate.pem";
  EXPECT_THAT(refusal(key), HasSubstr("key"));
  key.client.security.key_file = "/no/such/key.pem";
  EXPECT_THAT(refusal(key), HasSubstr("/no/such/"));
}

TEST(Options, NoTextHasThePassword) {
  ProducerOptions secret = options();
  secret.client.security = {.protocol = Protocol::kSasl,
                            .sasl_mechanism = "no-such",
                            .user = "somebody",
                            .password = "tell-nobody"};
  EXPECT_THAT(refusal(secret), Not(HasSubstr("tell-nobody")));
  secret.client.security.sasl_mechanism = "SCRAM-SHA-256";
  const auto producer = Producer::create(secret);
  ASSERT_TRUE(producer.ok()) << producer.error().text();
  EXPECT_THAT((*producer)->reach(200ms).error().text(), Not(HasSubstr("tell-nobody")));
}

TEST(Unreachable, EveryCallEndsInItsTimeAndNamesTheServers) {
  ProducerOptions given = options();
  given.transactional_id = "t";
  const auto says_where = AllOf(HasSubstr(given.client.bootstrap_servers), HasSubstr("refused"),
                                HasSubstr("Check that the brokers run"));
  const auto begun = std::chrono::steady_clock::now();

  const auto producer = Producer::create(given);
  ASSERT_TRUE(producer.ok()) << producer.error().text();
  const Status reached = (*producer)->reach(500ms);
  ASSERT_FALSE(reached.ok());
  EXPECT_EQ(reached.error().code, Code::kUnavailable);
  EXPECT_THAT(reached.error().text(), says_where);
  const TransactionResult prepared = (*producer)->init_transactions(500ms);
  EXPECT_EQ(prepared.outcome, TransactionOutcome::kRetry);
  EXPECT_THAT(prepared.error->text(), says_where);

  const auto admin = Admin::create({.client = given.client, .timeout = 500ms});
  ASSERT_TRUE(admin.ok()) << admin.error().text();
  const NewTopic topic{.name = "t"};
  const auto created = (*admin)->create_topics({&topic, 1});
  ASSERT_FALSE(created.ok());
  EXPECT_THAT(created.error().text(), says_where);
  EXPECT_FALSE((*admin)->describe_topic("t").ok());

  const auto reader = TopicReader::open({.client = given.client, .topic = "t", .timeout = 500ms});
  ASSERT_FALSE(reader.ok());
  EXPECT_THAT(reader.error().text(), says_where);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, kLong);
}

TEST(Unreachable, RecordsFailInTheirTimeWithWhatTheyHold) {
  ProducerOptions given = options();
  given.delivery_timeout = 300ms;
  std::vector<std::string> failed;
  given.on_failure = [&](const FailedRecord& record) {
    EXPECT_EQ(record.failure, FailureClass::kRetriable);
    EXPECT_EQ(record.topic, "t");
    EXPECT_FALSE(record.value);
    failed.emplace_back(std::string(*record.key) + std::to_string(record.tag));
  };
  const auto producer = Producer::create(given);
  ASSERT_TRUE(producer.ok()) << producer.error().text();
  const auto topic = (*producer)->topic("t");
  ASSERT_TRUE((*producer)->produce({.topic = *topic, .key = "k", .tag = 7}).ok());
  EXPECT_EQ((*producer)->flush(10ms).error().code, Code::kTimeout);
  EXPECT_TRUE((*producer)->flush(kLong).ok());
  EXPECT_THAT(failed, testing::ElementsAre("k7"));
  EXPECT_EQ((*producer)->counts().failed_of(FailureClass::kRetriable), 1U);
  ASSERT_NE((*producer)->first_error(FailureClass::kRetriable), nullptr);
  EXPECT_THAT((*producer)->first_error(FailureClass::kRetriable)->text(), HasSubstr("'t'"));
}

TEST(Unreachable, AFullQueueIsToldAndTakesNothing) {
  ProducerOptions given = options();
  given.queue_records_max = 3;
  const auto producer = Producer::create(given);
  ASSERT_TRUE(producer.ok()) << producer.error().text();
  const RecordView record{.topic = *(*producer)->topic("t"), .value = "v"};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*(*producer)->produce(record), Produced::kTaken);
  EXPECT_EQ(*(*producer)->produce(record), Produced::kQueueFull);
  EXPECT_EQ((*producer)->queued_records(), 3U);
}

}  // namespace pgweir::kafka
