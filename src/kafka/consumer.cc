#include "kafka/consumer.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "kafka/admin.h"
#include "kafka/client_internal.h"

namespace pgweir::kafka {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How often a wait for records looks at what the connections say.
constexpr Milliseconds kSlice{100};

Settings settings_of(const ReaderOptions& options) {
  return {{"isolation.level",
           options.isolation == Isolation::kReadCommitted ? "read_committed" : "read_uncommitted"},
          {"enable.partition.eof", "true"},
          {"auto.offset.reset", "earliest"},
          {"fetch.wait.max.ms", "50"},
          {"queued.max.messages.kbytes",
           std::to_string(std::max<std::uint64_t>(1, options.fetch_bytes_max / kKiB))}};
}

ReadRecord record_of(const rd_kafka_message_t& message, std::span<const Header> headers) {
  rd_kafka_timestamp_type_t type{};
  return {.partition = Partition{message.partition},
          .offset = Offset{message.offset},
          .timestamp = TimestampMs{rd_kafka_message_timestamp(&message, &type)},
          .key = key_of(message),
          .value = value_of(message),
          .headers = headers};
}

}  // namespace

struct TopicReader::State {
  ReaderOptions options;
  ClientTrouble trouble;
  std::vector<std::int64_t> next_offsets;  // by partition
  RdHandle client;
  RdQueue queue;
  RdTopic topic;

  Error failure(rd_kafka_resp_err_t cause, std::string_view why) const {
    return kafka_error(cause, fmt::format("topic '{}' cannot be read", options.topic),
                       options.client, why);
  }

  Error late(Milliseconds timeout) const {
    return failure(RD_KAFKA_RESP_ERR__TIMED_OUT,
                   fmt::format("its end was not reached within {}{}{}", format_duration(timeout),
                               trouble.text.empty() ? "" : "; ", trouble.text));
  }

  Status start(std::vector<bool>& reading) {
    for (std::size_t partition = 0; partition < next_offsets.size(); ++partition) {
      if (rd_kafka_consume_start_queue(topic.get(), static_cast<std::int32_t>(partition),
                                       next_offsets[partition], queue.get()) != 0)
        return failure(rd_kafka_last_error(), rd_kafka_err2str(rd_kafka_last_error()));
      reading[partition] = true;
    }
    return {};
  }

  void stop(std::vector<bool>& reading) {
    for (std::size_t partition = 0; partition < reading.size(); ++partition) {
      if (reading[partition])
        rd_kafka_consume_stop(topic.get(), static_cast<std::int32_t>(partition));
    }
    // What was fetched ahead of the stop is fetched again.
    while (RdMessage(rd_kafka_consume_queue(queue.get(), 0)) != nullptr) continue;
  }

  Status read(const std::function<void(const ReadRecord&)>& visit, Milliseconds timeout) {
    const auto deadline = SteadyClock::now() + timeout;
    std::vector<bool> at_end(next_offsets.size(), false);
    auto left = next_offsets.size();
    while (left > 0) {
      if (SteadyClock::now() >= deadline) return late(timeout);
      const RdMessage message(rd_kafka_consume_queue(queue.get(), wait_ms(kSlice)));
      rd_kafka_poll(client.get(), 0);
      if (message == nullptr) continue;
      if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
          message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        // The client connects again by itself.
        if (code_of(message->err) == Code::kUnavailable) continue;
        return failure(message->err, rd_kafka_message_errstr(message.get()));
      }
      const auto partition = static_cast<std::size_t>(message->partition);
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        next_offsets[partition] = message->offset;
        if (!at_end[partition]) --left;
        at_end[partition] = true;
        continue;
      }
      // Only so much that a topic that grows has an end.
      if (at_end[partition]) continue;
      next_offsets[partition] = message->offset + 1;
      visit(record_of(*message, headers_of(*message)));
    }
    return {};
  }
};

TopicReader::TopicReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TopicReader::~TopicReader() = default;

Result<std::unique_ptr<TopicReader>> TopicReader::open(ReaderOptions options) {
  TRY(check_topic_name(options.topic));
  TRY_ASSIGN(const auto admin,
             Admin::create({.client = options.client, .timeout = options.timeout}));
  TRY_ASSIGN(const TopicDescription description, admin->describe_topic(options.topic));
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  state->next_offsets.assign(static_cast<std::size_t>(description.partitions),
                             RD_KAFKA_OFFSET_BEGINNING);
  TRY_ASSIGN(state->client,
             make_client(RD_KAFKA_CONSUMER, state->options.client, settings_of(state->options),
                         {.trouble = &state->trouble, .opaque = &state->trouble}));
  state->queue.reset(rd_kafka_queue_new(state->client.get()));
  state->topic.reset(
      rd_kafka_topic_new(state->client.get(), state->options.topic.c_str(), nullptr));
  if (state->topic == nullptr)
    return state->failure(rd_kafka_last_error(), rd_kafka_err2str(rd_kafka_last_error()));
  return std::unique_ptr<TopicReader>(new TopicReader(std::move(state)));
}

Status TopicReader::read_to_end(const std::function<void(const ReadRecord&)>& visit,
                                Milliseconds timeout) {
  // Each start tells of each partition's end anew.
  std::vector<bool> reading(state_->next_offsets.size(), false);
  Status status = state_->start(reading);
  if (status.ok()) status = state_->read(visit, timeout);
  state_->stop(reading);
  return status;
}

int TopicReader::partition_count() const {
  return static_cast<int>(state_->next_offsets.size());
}

}  // namespace pgweir::kafka
