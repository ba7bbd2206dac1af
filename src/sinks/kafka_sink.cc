#include "sinks/kafka_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "debezium/event_state.h"
#include "kafka/consumer.h"

namespace pgweir::sinks {
namespace {

using kafka::TransactionOutcome;

constexpr std::size_t kHeadersMax = 8;
constexpr Milliseconds kPollWhenFull{10};
constexpr std::size_t kShownKeyBytes = 100;
constexpr std::size_t kEventBytesMax = 4 * kMiB;  // encoded, and not given to the producer yet

// Why a record was refused for good; nothing where trying again helps.
std::optional<Error> refusal(const kafka::FailedRecord& record) {
  using kafka::FailureClass;
  switch (record.failure) {
    case FailureClass::kTooLarge:
    case FailureClass::kUnknownTopic:
    case FailureClass::kNotAuthorized:
    case FailureClass::kRefused:
      break;
    case FailureClass::kRetriable:
    case FailureClass::kFatal:
    case FailureClass::kPurged:
      return std::nullopt;
  }
  Error why = record.error;
  why.code = Code::kInvalid;
  const std::string key(record.key.value_or("none").substr(0, kShownKeyBytes));
  why.detail += fmt::format("{}topic {}, key {}, record {} of its transaction",
                            why.detail.empty() ? "" : ", ", record.topic, key, record.tag);
  return why;
}

}  // namespace

KafkaSink::KafkaSink(const io::Clock& clock, KafkaOptions options)
    : clock_(clock), options_(std::move(options)), encoder_(options_.events) {
  for (const auto& [name, value] : encoder_.context()) context_.push_back({name, value});
}

KafkaSink::~KafkaSink() = default;

Result<std::unique_ptr<KafkaSink>> KafkaSink::open(const io::Clock& clock, KafkaOptions options) {
  std::unique_ptr<KafkaSink> sink(new KafkaSink(clock, std::move(options)));
  TRY(sink->open());
  return sink;
}

// --- Opening -------------------------------------------------------------------------------------

Status KafkaSink::open() {
  kafka::ProducerOptions options;
  options.client = options_.client;
  options.compression = options_.compression;
  options.linger = options_.linger;
  options.message_bytes_max = options_.record_bytes_max;
  options.transaction_timeout = options_.transaction_timeout;
  if (options_.delivery == KafkaDelivery::kExactlyOnce) options.transactional_id = position_key();
  options.on_failure = [this](const kafka::FailedRecord& record) {
    if (!refused_) refused_ = refusal(record);
  };
  TRY_ASSIGN(producer_, kafka::Producer::create(std::move(options)));
  TRY(producer_->reach(options_.answer_timeout));
  TRY_ASSIGN(admin_, kafka::Admin::create({.client = options_.client}));
  TRY(make_topic(options_.positions_topic, 1, {{"cleanup.policy", "compact"}}));
  TRY_ASSIGN(positions_, producer_->topic(options_.positions_topic));
  // Before the position is read: nobody else can move it from here on.
  if (options_.delivery == KafkaDelivery::kExactlyOnce)
    TRY(settle(producer_->init_transactions(options_.answer_timeout)));
  return read_position();
}

Status KafkaSink::make_topic(const std::string& name, int partitions,
                             std::map<std::string, std::string> settings) {
  const kafka::NewTopic topic{.name = name,
                              .partitions = partitions,
                              .replication = options_.replication,
                              .settings = std::move(settings)};
  TRY(admin_->create_topics({&topic, 1}));
  return {};
}

Status KafkaSink::read_position() {
  TRY_ASSIGN(auto reader, kafka::TopicReader::open({.client = options_.client,
                                                    .topic = options_.positions_topic,
                                                    .timeout = options_.answer_timeout}));
  const std::string key = position_key();
  std::string newest;
  TRY(reader->read_to_end(
      [&](const kafka::ReadRecord& record) {
        if (record.key == key) newest = record.value.value_or("");
      },
      options_.answer_timeout));
  if (newest.empty()) return {};
  TRY_ASSIGN(Kept kept, parse_position_value(newest));
  log_identity_ = std::move(kept.log_identity);
  taken_ = kept.position;
  encoder_.resume(std::move(kept.state));
  set_position();
  return {};
}

std::string KafkaSink::position_key() const {
  return fmt::format("pgweir.{}.{}", options_.events.tables.topic_prefix, options_.name);
}

std::string KafkaSink::position_value() const {
  const nlohmann::json json = {{"log", log_identity_},
                               {"position", model::to_string(safe_position())},
                               {"events", debezium::encode_state(encoder_.state())}};
  return json.dump();
}

Result<KafkaSink::Kept> KafkaSink::parse_position_value(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  Kept kept;
  std::string position, state;
  const std::pair<const char*, std::string*> fields[] = {
      {"log", &kept.log_identity}, {"position", &position}, {"events", &state}};
  for (const auto& [field, out] : fields) {
    if (!json.is_object() || !json.contains(field) || !json[field].is_string())
      return error(Code::kCorruption, "the position in Kafka is none of ours",
                   std::string(text.substr(0, kShownKeyBytes)),
                   "Name another topic for positions, or delete this one to start anew");
    *out = json[field];
  }
  TRY_ASSIGN(kept.position, model::parse_position(position));
  TRY_ASSIGN(kept.state, debezium::decode_state(state));
  return kept;
}

Status KafkaSink::bind_log(const std::string& log_identity) {
  if (log_identity_.empty()) {
    log_identity_ = log_identity;
    return commit();
  }
  if (log_identity_ == log_identity) return {};
  return error(Code::kCorruption, fmt::format("sink '{}' has positions of another log", name()),
               fmt::format("topic {}, key {}", options_.positions_topic, position_key()),
               "Put that log back, or give the sink another name to send everything anew");
}

// --- Events --------------------------------------------------------------------------------------

Status KafkaSink::apply(const model::BatchPtr& batch) {
  const debezium::EventEncoder::Drain drain{kEventBytesMax,
                                            [this](debezium::Events&) { return send_events(); }};
  TRY(encoder_.encode(*batch, clock_.now_us(), drain, events_));
  taken_ = batch->to;
  TRY(send_events());
  if (options_.delivery == KafkaDelivery::kAtLeastOnce) return tick();
  // What comes meanwhile is the next batch: the longer a commit takes the more goes with one.
  return commit();
}

Status KafkaSink::begin_snapshot() {
  encoder_.begin_snapshot();
  return {};
}

Status KafkaSink::end_snapshot() {
  encoder_.end_snapshot(events_);
  TRY(send_events());
  return commit();
}

Status KafkaSink::advance(const model::Position& to) {
  taken_ = to;
  return tick();
}

Status KafkaSink::send_events() {
  for (const debezium::Event& event : events_.events) TRY(send(event));
  {
    MutexLock lock(mutex_);
    stats_.rows_written += events_.events.size();
    stats_.bytes_written += events_.bytes.size();
  }
  events_.clear();
  return {};
}

Status KafkaSink::send(const debezium::Event& event) {
  using debezium::EventHeaders;
  std::array<kafka::Header, kHeadersMax> headers;
  std::size_t count = 0;
  if (event.headers == EventHeaders::kNewKey)
    headers[count++] = {"__debezium.newkey", events_.text(event.other_key)};
  if (event.headers == EventHeaders::kOldKey)
    headers[count++] = {"__debezium.oldkey", events_.text(event.other_key)};
  if (event.headers != EventHeaders::kNone) {
    for (const kafka::Header& header : context_) headers[count++] = header;
  }
  kafka::RecordView record;
  TRY_ASSIGN(record.topic, topic_of(event.topic));
  if (!event.key.is_null()) record.key = events_.text(event.key);
  if (!event.value.is_null()) record.value = events_.text(event.value);
  record.headers = {headers.data(), count};
  record.tag = event.sequence;
  return produce(record);
}

Result<kafka::TopicHandle> KafkaSink::topic_of(std::uint32_t number) {
  while (topics_.size() <= number) {
    const std::string& name = encoder_.topic(static_cast<std::uint32_t>(topics_.size()));
    TRY(make_topic(name, options_.partitions, {}));
    TRY_ASSIGN(const kafka::TopicHandle topic, producer_->topic(name));
    topics_.push_back(topic);
  }
  return topics_[number];
}

Status KafkaSink::produce(const kafka::RecordView& record) {
  if (options_.delivery == KafkaDelivery::kExactlyOnce && !in_transaction_) {
    TRY(settle(producer_->begin()));
    in_transaction_ = true;
  }
  const auto began = clock_.steady();
  while (true) {
    TRY_ASSIGN(const kafka::Produced produced, producer_->produce(record));
    if (produced == kafka::Produced::kTaken) return {};
    if (produced == kafka::Produced::kRefused) return refused();
    producer_->poll(kPollWhenFull);
    TRY(refused());
    if (clock_.steady() - began < options_.answer_timeout) continue;
    return error(Code::kUnavailable, "Kafka's brokers take no records",
                 options_.client.bootstrap_servers, "They are tried again");
  }
}

// --- Positions -----------------------------------------------------------------------------------

// A row that the encoder holds back was not sent: it is to come again.
model::Position KafkaSink::safe_position() const {
  const auto held = encoder_.held_sequence();
  if (!held) return taken_;
  return {taken_.epoch, taken_.lsn, *held - 1};
}

void KafkaSink::set_position() {
  position_due_ = clock_.steady() + options_.position_interval;
  MutexLock lock(mutex_);
  position_ = safe_position();
}

// Everything that was sent is there, and the position with it.
Status KafkaSink::commit() {
  if (options_.delivery == KafkaDelivery::kAtLeastOnce)
    TRY(producer_->flush(options_.answer_timeout));
  TRY(refused());
  const std::string key = position_key(), value = position_value();
  kafka::RecordView record;
  record.topic = positions_;
  record.key = key;
  record.value = value;
  TRY(produce(record));
  if (options_.delivery == KafkaDelivery::kExactlyOnce) {
    TRY(commit_transaction());
  } else {
    TRY(producer_->flush(options_.answer_timeout));
    TRY(refused());
  }
  set_position();
  return {};
}

Status KafkaSink::commit_transaction() {
  const auto began = clock_.steady();
  while (true) {
    const kafka::TransactionResult result = producer_->commit(options_.answer_timeout);
    const bool again = result.outcome == TransactionOutcome::kRetry &&
                       clock_.steady() - began < options_.transaction_timeout;
    if (again) continue;
    in_transaction_ = false;
    return settle(result);
  }
}

// What is left to do is another's: the follower opens the sink anew, which ends what is open.
Status KafkaSink::settle(const kafka::TransactionResult& result) {
  if (result.done()) return {};
  TRY(refused());
  Error why = *result.error;
  switch (result.outcome) {
    case TransactionOutcome::kDone:
      return {};
    case TransactionOutcome::kRetry:
    case TransactionOutcome::kMustAbort:
      why.code = Code::kUnavailable;
      break;
    case TransactionOutcome::kFatal:
      why.code = Code::kBroken;
      break;
    case TransactionOutcome::kFenced:
      return error(Code::kCheckFailed,
                   fmt::format("another pgweir writes as sink '{}' to these topics", name()),
                   why.text(), "Let one of them run, or give the sinks other names");
  }
  return why;
}

Status KafkaSink::refused() const {
  return refused_ ? Status(*refused_) : Status();
}

Status KafkaSink::tick() {
  producer_->poll(Milliseconds(0));
  TRY(refused());
  if (safe_position() == position() || clock_.steady() < position_due_) return {};
  return commit();
}

std::optional<Microseconds> KafkaSink::due_in() const {
  if (safe_position() == position()) return std::nullopt;
  return std::max(std::chrono::duration_cast<Microseconds>(position_due_ - clock_.steady()),
                  Microseconds(0));
}

Result<model::Position> KafkaSink::flush() {
  if (safe_position() != position()) TRY(commit());
  return position();
}

model::Position KafkaSink::position() const {
  MutexLock lock(mutex_);
  return position_;
}

SinkStats KafkaSink::stats() const {
  MutexLock lock(mutex_);
  return stats_;
}

}  // namespace pgweir::sinks
