// Changes as Debezium's events in Kafka, each exactly once where that is asked for.
//
// Place:   debezium/ makes the events, kafka/ sends them; a table's topic has its events in order.
// Delivery: with transactions the events of a batch and the position behind it are one transaction
//          of Kafka's: who reads committed records sees each event once, whatever dies when. A
//          transaction of the source that is larger than a batch comes in several. Without, what
//          was sent since the last position that was kept comes again after a crash.
// Position: in a compacted topic of its own, under the key that names this sink. Taking it over
// fences
//          whoever had it: two of the same name never write side by side.
// Threads: as sink.h says.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "debezium/event_encoder.h"
#include "io/clock.h"
#include "kafka/admin.h"
#include "kafka/producer.h"
#include "sinks/sink.h"

namespace pgweir::sinks {

enum class KafkaDelivery { kExactlyOnce, kAtLeastOnce };

struct KafkaOptions {
  std::string name;
  kafka::ClientOptions client;
  kafka::Compression compression = kafka::Compression::kNone;
  KafkaDelivery delivery = KafkaDelivery::kExactlyOnce;
  debezium::EventOptions events;  // `wanted` and the topics' prefix among them
  std::string positions_topic = "__pgweir_positions";
  // Of topics that are not there when they are first needed; -1: as the brokers have it by default.
  int partitions = 1;
  int replication = -1;
  std::uint32_t record_bytes_max = 1'000'000;
  Milliseconds linger{1};
  Milliseconds transaction_timeout{60'000};
  // How long brokers that are away are waited for, before the batch is tried again from its
  // beginning.
  Milliseconds answer_timeout{30'000};
  // How often a position is kept that no events came with; and, at least once, any.
  Milliseconds position_interval{1'000};
};

class KafkaSink final : public Sink {
 public:
  // Takes over the name: reads its position, and has Kafka end what another left open.
  // kUnavailable: no broker answers. kCorruption: the position is none of ours.
  static Result<std::unique_ptr<KafkaSink>> open(const io::Clock& clock, KafkaOptions options);
  ~KafkaSink() override;

  const std::string& name() const override { return options_.name; }
  const char* kind() const override { return "kafka"; }
  model::Position position() const override;
  SinkStats stats() const override;
  Status bind_log(const std::string& log_identity) override;
  // kInvalid: Kafka refuses a record, and the error says which; nothing of the batch is visible
  // then (with exactly once). kUnavailable: brokers are away. kBroken: the producer has given
  // itself up. kCheckFailed: another has taken over the name.
  Status apply(const model::BatchPtr& batch) override;
  Status begin_snapshot() override;
  Status end_snapshot() override;
  Status advance(const model::Position& to) override;
  Status tick() override;
  std::optional<Microseconds> due_in() const override;
  Result<model::Position> flush() override;

 private:
  // The record in the positions topic.
  struct Kept {
    std::string log_identity;
    model::Position position;
    debezium::EventEncoder::State state;
  };

  KafkaSink(const io::Clock& clock, KafkaOptions options);
  Status open();
  Status make_topic(const std::string& name, int partitions,
                    std::map<std::string, std::string> settings);
  Status read_position();
  std::string position_key() const;
  std::string position_value() const;
  static Result<Kept> parse_position_value(std::string_view text);

  Status send_events();
  Status send(const debezium::Event& event);
  Status produce(const kafka::RecordView& record);
  Result<kafka::TopicHandle> topic_of(std::uint32_t number);
  Status commit();
  Status commit_transaction();
  Status settle(const kafka::TransactionResult& result);
  Status refused() const;
  model::Position safe_position() const;
  void set_position();

  const io::Clock& clock_;
  const KafkaOptions options_;
  debezium::EventEncoder encoder_;
  std::vector<kafka::Header> context_;  // into the encoder's
  std::unique_ptr<kafka::Producer> producer_;
  std::unique_ptr<kafka::Admin> admin_;
  std::vector<kafka::TopicHandle> topics_;  // by the encoder's numbers
  kafka::TopicHandle positions_{};
  std::string log_identity_;
  bool in_transaction_ = false;
  debezium::Events events_;
  model::Position taken_;  // of the last record that was given
  std::chrono::microseconds position_due_{0};
  std::optional<Error> refused_;  // the first record that Kafka did not take

  mutable Mutex mutex_;
  model::Position position_ GUARDED_BY(mutex_);
  SinkStats stats_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::sinks
