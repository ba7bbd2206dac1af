#include "kafka/producer.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <vector>

#include "kafka/client_internal.h"

namespace pgweir::kafka {
namespace {

constexpr std::size_t kReasonBytes = 512;

const char* acks_text(Acks acks) {
  switch (acks) {
    case Acks::kNone:
      return "0";
    case Acks::kLeader:
      return "1";
    case Acks::kAll:
      return "all";
  }
  return "";
}

const char* compression_text(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "none";
    case Compression::kGzip:
      return "gzip";
    case Compression::kSnappy:
      return "snappy";
    case Compression::kLz4:
      return "lz4";
    case Compression::kZstd:
      return "zstd";
  }
  return "";
}

FailureClass class_of(rd_kafka_resp_err_t cause) {
  switch (code_of(cause)) {
    case Code::kInvalid:
      return cause == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
                     cause == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE
                 ? FailureClass::kTooLarge
                 : FailureClass::kRefused;
    case Code::kNotFound:
      return FailureClass::kUnknownTopic;
    case Code::kCheckFailed:
      return FailureClass::kNotAuthorized;
    case Code::kBroken:
      return FailureClass::kFatal;
    case Code::kCancelled:
      return FailureClass::kPurged;
    default:
      return FailureClass::kRetriable;
  }
}

bool is_fencing(rd_kafka_resp_err_t cause) {
  return cause == RD_KAFKA_RESP_ERR__FENCED || cause == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
         cause == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

// The whole KiB that librdkafka counts in.
std::string queue_kib(std::uint64_t bytes) {
  return std::to_string(std::max<std::uint64_t>(1, bytes / kKiB));
}

Settings settings_of(const ProducerOptions& options) {
  Settings settings = {
      {"acks", acks_text(options.acks)},
      {"compression.codec", compression_text(options.compression)},
      {"enable.idempotence", options.idempotence == Idempotence::kOn ? "true" : "false"},
      {"linger.ms", fmt::format("{:.3f}", static_cast<double>(options.linger.count()) / 1000)},
      {"batch.size", std::to_string(options.batch_bytes_max)},
      {"batch.num.messages", std::to_string(options.batch_records_max)},
      {"message.max.bytes", std::to_string(options.message_bytes_max)},
      {"queue.buffering.max.messages", std::to_string(options.queue_records_max)},
      {"queue.buffering.max.kbytes", queue_kib(options.queue_bytes_max)},
      {"topic.metadata.propagation.max.ms", std::to_string(options.topic_timeout.count())},
      // The hash that Kafka's own clients take: a key's records stay in one partition whoever
      // writes them.
      {"partitioner", "murmur2_random"}};
  auto delivery_timeout = options.delivery_timeout;
  if (!options.transactional_id.empty()) {
    delivery_timeout = std::min(delivery_timeout, options.transaction_timeout);
    settings.emplace_back("transactional.id", options.transactional_id);
    settings.emplace_back("transaction.timeout.ms",
                          std::to_string(options.transaction_timeout.count()));
  }
  settings.emplace_back("message.timeout.ms", std::to_string(delivery_timeout.count()));
  return settings;
}

Status check(const ProducerOptions& options) {
  if (options.transactional_id.empty()) return {};
  if (options.idempotence == Idempotence::kOff || options.acks != Acks::kAll)
    return error(Code::kConfig, "transactions of Kafka need idempotence and acks of all replicas",
                 fmt::format("transactional id '{}'", options.transactional_id),
                 "Leave both as they are by default, or name no transactional id");
  return {};
}

}  // namespace

const char* failure_class_name(FailureClass failure) {
  switch (failure) {
    case FailureClass::kTooLarge:
      return "too large";
    case FailureClass::kUnknownTopic:
      return "unknown topic";
    case FailureClass::kNotAuthorized:
      return "not authorized";
    case FailureClass::kRefused:
      return "refused";
    case FailureClass::kRetriable:
      return "not delivered in time";
    case FailureClass::kFatal:
      return "fatal";
    case FailureClass::kPurged:
      return "taken back";
  }
  return "";
}

struct Producer::State {
  ProducerOptions options;
  ClientTrouble trouble;
  DeliveryCounts counts;
  std::size_t queued = 0;
  std::array<std::optional<Error>, kFailureClasses> first_errors;
  std::map<std::string, TopicHandle, std::less<>> handles;
  // The client goes first: it tells reports into what stands above, and topics are part of it.
  RdHandle client;
  std::vector<RdTopic> topics;

  static void report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& state = *static_cast<State*>(opaque);
    --state.queued;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      ++state.counts.delivered;
      return;
    }
    const auto headers = headers_of(*message);
    FailedRecord record{.failure = class_of(message->err),
                        .topic = rd_kafka_topic_name(message->rkt),
                        .key = key_of(*message),
                        .value = value_of(*message),
                        .headers = headers,
                        .tag = reinterpret_cast<std::uintptr_t>(message->_private)};
    if (message->partition >= 0) record.partition = Partition{message->partition};
    state.fail(message->err, record);
  }

  static void keep_trouble(rd_kafka_t*, int code, const char* text, void* opaque) {
    static_cast<State*>(opaque)->trouble.note(code, text);
  }

  // Counts and tells a record that failed; everything but its error is filled in.
  void fail(rd_kafka_resp_err_t cause, FailedRecord record) {
    const auto index = static_cast<std::size_t>(record.failure);
    ++counts.failed[index];
    const bool told = options.on_failure && record.failure != FailureClass::kPurged;
    if (!told && first_errors[index]) return;
    record.error =
        kafka_error(cause, fmt::format("Kafka did not take a record of topic '{}'", record.topic),
                    options.client, rd_kafka_err2str(cause));
    if (!first_errors[index]) first_errors[index] = record.error;
    if (told) options.on_failure(record);
  }

  // The error behind a fatal one, which by itself says only that it is.
  rd_kafka_resp_err_t root_of(rd_kafka_resp_err_t cause, std::string& why) const {
    std::array<char, kReasonBytes> reason{};
    const auto fatal = rd_kafka_fatal_error(client.get(), reason.data(), reason.size());
    if (fatal == RD_KAFKA_RESP_ERR_NO_ERROR) return cause;
    why = reason.data();
    return fatal;
  }

  // A code alone does not tell whether the transaction or the producer is what must be anew.
  static void judge(TransactionResult& result) {
    Error& failure = *result.error;
    const bool passes = failure.code == Code::kUnavailable || failure.code == Code::kTimeout;
    if (result.outcome == TransactionOutcome::kMustAbort &&
        (passes || failure.code == Code::kBroken)) {
      failure.code = Code::kUnavailable;
      failure.hint = "The transaction is aborted and done anew";
    } else if (passes && result.outcome != TransactionOutcome::kRetry) {
      failure.code = Code::kBroken;
      failure.hint = "A new producer goes on";
    }
  }

  TransactionResult outcome(rd_kafka_error_t* returned, const char* what) {
    const RdError failure(returned);
    if (failure == nullptr) return {};
    std::string why = rd_kafka_error_string(failure.get());
    const auto cause = root_of(rd_kafka_error_code(failure.get()), why);
    TransactionResult result;
    if (is_fencing(cause)) {
      result.outcome = TransactionOutcome::kFenced;
    } else if (rd_kafka_error_is_fatal(failure.get()) != 0) {
      result.outcome = TransactionOutcome::kFatal;
    } else if (rd_kafka_error_txn_requires_abort(failure.get()) != 0) {
      result.outcome = TransactionOutcome::kMustAbort;
    } else if (rd_kafka_error_is_retriable(failure.get()) != 0 ||
               rd_kafka_error_code(failure.get()) == RD_KAFKA_RESP_ERR__TIMED_OUT) {
      result.outcome = TransactionOutcome::kRetry;
    } else {
      result.outcome = TransactionOutcome::kFatal;
    }
    if (!trouble.text.empty() && result.outcome == TransactionOutcome::kRetry)
      why += "; " + trouble.text;
    result.error = kafka_error(
        cause,
        fmt::format("Kafka did not {} the transaction of '{}'", what, options.transactional_id),
        options.client, why);
    judge(result);
    return result;
  }
};

Producer::Producer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Producer::~Producer() {
  if (!state_->client) return;
  // Nobody is there to be told.
  state_->options.on_failure = nullptr;
  rd_kafka_purge(state_->client.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                           RD_KAFKA_PURGE_F_NON_BLOCKING);
  state_->topics.clear();
}

Result<std::unique_ptr<Producer>> Producer::create(ProducerOptions options) {
  TRY(check(options));
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  TRY_ASSIGN(state->client,
             make_client(RD_KAFKA_PRODUCER, state->options.client, settings_of(state->options),
                         {.trouble = &state->trouble,
                          .opaque = state.get(),
                          .reports = &State::report,
                          .errors = &State::keep_trouble}));
  return std::unique_ptr<Producer>(new Producer(std::move(state)));
}

Status Producer::reach(Milliseconds timeout) {
  return reach_broker(state_->client.get(), state_->options.client, state_->trouble, timeout);
}

Result<TopicHandle> Producer::topic(std::string_view name) {
  if (const auto known = state_->handles.find(name); known != state_->handles.end())
    return known->second;
  TRY(check_topic_name(name));
  const std::string text(name);
  RdTopic made(rd_kafka_topic_new(state_->client.get(), text.c_str(), nullptr));
  if (made == nullptr)
    return kafka_error(rd_kafka_last_error(), fmt::format("topic '{}' cannot be written to", name),
                       state_->options.client, rd_kafka_err2str(rd_kafka_last_error()));
  const auto handle = TopicHandle{static_cast<std::uint32_t>(state_->topics.size())};
  state_->topics.push_back(std::move(made));
  state_->handles.emplace(text, handle);
  return handle;
}

namespace {

// librdkafka takes a null pointer for an absent value, and an empty view may have one.
void* bytes_of(std::string_view text) {
  return const_cast<char*>(text.data() == nullptr ? "" : text.data());
}

// Owned by librdkafka once a record with them was taken.
using RdHeaders = std::unique_ptr<rd_kafka_headers_t, Destroy<rd_kafka_headers_destroy>>;
RdHeaders copy_headers(std::span<const Header> headers) {
  RdHeaders list(rd_kafka_headers_new(headers.size()));
  for (const Header& header : headers) {
    rd_kafka_header_add(list.get(), header.name.data(), static_cast<ssize_t>(header.name.size()),
                        header.value ? bytes_of(*header.value) : nullptr,
                        header.value ? static_cast<ssize_t>(header.value->size()) : 0);
  }
  return list;
}

// What describes one record to librdkafka, without an allocation.
struct Fields {
  static constexpr std::size_t kFieldsMax = 8;
  std::array<rd_kafka_vu_t, kFieldsMax> list;
  std::size_t count = 0;

  rd_kafka_vu_t& add(rd_kafka_vtype_t type) {
    list[count].vtype = type;
    return list[count++];
  }
};

}  // namespace

Result<Produced> Producer::produce(const RecordView& record) {
  const auto index = static_cast<std::size_t>(record.topic);
  PGWEIR_ASSERT(index < state_->topics.size(), "a topic of another producer");
  rd_kafka_topic_t* topic = state_->topics[index].get();
  Fields fields;
  fields.add(RD_KAFKA_VTYPE_RKT).u.rkt = topic;
  fields.add(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
  fields.add(RD_KAFKA_VTYPE_OPAQUE).u.ptr =
      reinterpret_cast<void*>(static_cast<std::uintptr_t>(record.tag));
  if (record.partition)
    fields.add(RD_KAFKA_VTYPE_PARTITION).u.i32 = static_cast<std::int32_t>(*record.partition);
  if (record.timestamp)
    fields.add(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = static_cast<std::int64_t>(*record.timestamp);
  if (record.key)
    fields.add(RD_KAFKA_VTYPE_KEY).u.mem = {bytes_of(*record.key), record.key->size()};
  if (record.value)
    fields.add(RD_KAFKA_VTYPE_VALUE).u.mem = {bytes_of(*record.value), record.value->size()};
  RdHeaders headers;
  if (!record.headers.empty()) {
    headers = copy_headers(record.headers);
    fields.add(RD_KAFKA_VTYPE_HEADERS).u.headers = headers.get();
  }
  const RdError failure(rd_kafka_produceva(state_->client.get(), fields.list.data(), fields.count));
  if (failure == nullptr) {
    (void)headers.release();
    ++state_->queued;
    return Produced::kTaken;
  }

  const auto cause = rd_kafka_error_code(failure.get());
  if (cause == RD_KAFKA_RESP_ERR__QUEUE_FULL) return Produced::kQueueFull;
  const FailureClass kind = class_of(cause);
  if (kind == FailureClass::kTooLarge || kind == FailureClass::kUnknownTopic ||
      kind == FailureClass::kRefused) {
    state_->fail(cause, {.failure = kind,
                         .topic = rd_kafka_topic_name(topic),
                         .partition = record.partition,
                         .key = record.key,
                         .value = record.value,
                         .headers = record.headers,
                         .tag = record.tag});
    return Produced::kRefused;
  }
  std::string why = rd_kafka_error_string(failure.get());
  const auto root = state_->root_of(cause, why);
  Error broken = kafka_error(
      root,
      fmt::format("Kafka's producer takes no record of topic '{}'", rd_kafka_topic_name(topic)),
      state_->options.client, why);
  if (root != cause) broken.code = Code::kBroken;
  return broken;
}

int Producer::poll(Milliseconds timeout) {
  return rd_kafka_poll(state_->client.get(), wait_ms(timeout));
}

Status Producer::flush(Milliseconds timeout) {
  const auto cause = rd_kafka_flush(state_->client.get(), wait_ms(timeout));
  if (cause == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  std::string why = fmt::format("{} records wait", queued_records());
  if (!state_->trouble.text.empty()) why += "; " + state_->trouble.text;
  return kafka_error(
      cause, fmt::format("Kafka did not take everything within {}", format_duration(timeout)),
      state_->options.client, why);
}

TransactionResult Producer::init_transactions(Milliseconds timeout) {
  auto result = state_->outcome(rd_kafka_init_transactions(state_->client.get(), wait_ms(timeout)),
                                "prepare");
  // What the connections met waits for a poll.
  if (result.outcome == TransactionOutcome::kRetry) {
    poll(Milliseconds(0));
    if (!state_->trouble.text.empty()) result.error->detail += "; " + state_->trouble.text;
  }
  return result;
}

TransactionResult Producer::begin() {
  return state_->outcome(rd_kafka_begin_transaction(state_->client.get()), "begin");
}

TransactionResult Producer::commit(Milliseconds timeout) {
  return state_->outcome(rd_kafka_commit_transaction(state_->client.get(), wait_ms(timeout)),
                         "commit");
}

TransactionResult Producer::abort(Milliseconds timeout) {
  return state_->outcome(rd_kafka_abort_transaction(state_->client.get(), wait_ms(timeout)),
                         "abort");
}

const DeliveryCounts& Producer::counts() const {
  return state_->counts;
}

const Error* Producer::first_error(FailureClass failure) const {
  const auto& first = state_->first_errors[static_cast<std::size_t>(failure)];
  return first ? &*first : nullptr;
}

std::size_t Producer::queued_records() const {
  return state_->queued;
}

}  // namespace pgweir::kafka
