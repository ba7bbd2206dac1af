#include "kafka/admin.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "kafka/client_internal.h"

namespace pgweir::kafka {
namespace {

constexpr std::size_t kReasonBytes = 512;

using RdNewTopic = std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_destroy>>;
using RdDeleteTopic =
    std::unique_ptr<rd_kafka_DeleteTopic_t, Destroy<rd_kafka_DeleteTopic_destroy>>;
using RdAdminOptions =
    std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>>;
using RdEvent = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
using RdMetadata = std::unique_ptr<const rd_kafka_metadata_t, Destroy<rd_kafka_metadata_destroy>>;

// librdkafka's lists are of plain pointers.
template <typename Owner>
auto pointers_of(const std::vector<Owner>& owners) {
  std::vector<typename Owner::pointer> pointers;
  for (const Owner& owner : owners) pointers.push_back(owner.get());
  return pointers;
}

TopicDescription description_of(const rd_kafka_metadata_topic& topic) {
  TopicDescription description{topic.topic, topic.partition_cnt, 0};
  for (int i = 0; i < topic.partition_cnt; ++i) {
    const int copies = topic.partitions[i].replica_cnt;
    description.replication = i == 0 ? copies : std::min(description.replication, copies);
  }
  return description;
}

}  // namespace

struct Admin::State {
  AdminOptions options;
  ClientTrouble trouble;
  RdHandle client;
  RdQueue queue;

  Result<RdAdminOptions> call_options(rd_kafka_admin_op_t operation) const {
    RdAdminOptions call(rd_kafka_AdminOptions_new(client.get(), operation));
    std::array<char, kReasonBytes> why{};
    const int timeout_ms = wait_ms(options.timeout);
    // How long the client waits for the brokers, and how long they wait for each other.
    if (rd_kafka_AdminOptions_set_request_timeout(call.get(), timeout_ms, why.data(), why.size()) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_AdminOptions_set_operation_timeout(call.get(), timeout_ms, why.data(),
                                                    why.size()) != RD_KAFKA_RESP_ERR_NO_ERROR)
      return error(Code::kConfig, "Kafka's administration cannot wait as long as it should",
                   why.data(), "Set another timeout");
    return call;
  }

  // The answer to the call that was made last.
  Result<RdEvent> answer(const char* what) {
    RdEvent event(rd_kafka_queue_poll(queue.get(), -1));
    const auto cause = rd_kafka_event_error(event.get());
    if (cause == RD_KAFKA_RESP_ERR_NO_ERROR) return event;
    std::string why = rd_kafka_event_error_string(event.get());
    while (rd_kafka_poll(client.get(), 0) > 0) continue;
    if (!trouble.text.empty()) why += "; " + trouble.text;
    return kafka_error(cause, fmt::format("Kafka did not {} topics", what), options.client, why);
  }

  Result<RdMetadata> metadata(rd_kafka_topic_t* topic, const std::string& what) {
    const rd_kafka_metadata_t* found = nullptr;
    const auto cause = rd_kafka_metadata(client.get(), topic == nullptr ? 1 : 0, topic, &found,
                                         wait_ms(options.timeout));
    RdMetadata owned(found);
    if (cause == RD_KAFKA_RESP_ERR_NO_ERROR) return owned;
    std::string why = rd_kafka_err2str(cause);
    while (rd_kafka_poll(client.get(), 0) > 0) continue;
    if (!trouble.text.empty()) why += "; " + trouble.text;
    return kafka_error(cause, what, options.client, why);
  }
};

Admin::Admin(std::unique_ptr<State> state) : state_(std::move(state)) {}
Admin::~Admin() = default;

Result<std::unique_ptr<Admin>> Admin::create(AdminOptions options) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  // A consumer's: a producer that asks about a topic would have it created.
  TRY_ASSIGN(state->client, make_client(RD_KAFKA_CONSUMER, state->options.client, {},
                                        {.trouble = &state->trouble, .opaque = &state->trouble}));
  state->queue.reset(rd_kafka_queue_new(state->client.get()));
  return std::unique_ptr<Admin>(new Admin(std::move(state)));
}

Result<std::vector<Created>> Admin::create_topics(std::span<const NewTopic> topics) {
  if (topics.empty()) return std::vector<Created>{};
  std::vector<RdNewTopic> wanted;
  for (const NewTopic& topic : topics) {
    TRY(check_topic_name(topic.name));
    std::array<char, kReasonBytes> why{};
    RdNewTopic made(rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions, topic.replication,
                                          why.data(), why.size()));
    if (made == nullptr)
      return error(Code::kInvalid, fmt::format("topic '{}' cannot be created", topic.name),
                   why.data(), "Choose other numbers of partitions and copies");
    for (const auto& [name, value] : topic.settings)
      rd_kafka_NewTopic_set_config(made.get(), name.c_str(), value.c_str());
    wanted.push_back(std::move(made));
  }
  auto pointers = pointers_of(wanted);
  TRY_ASSIGN(const auto call, state_->call_options(RD_KAFKA_ADMIN_OP_CREATETOPICS));
  rd_kafka_CreateTopics(state_->client.get(), pointers.data(), pointers.size(), call.get(),
                        state_->queue.get());
  TRY_ASSIGN(const RdEvent event, state_->answer("create"));
  std::size_t count = 0;
  const auto* answers =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  std::vector<Created> created;
  for (std::size_t i = 0; i < count; ++i) {
    const auto cause = rd_kafka_topic_result_error(answers[i]);
    if (cause != RD_KAFKA_RESP_ERR_NO_ERROR && cause != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
      const char* why = rd_kafka_topic_result_error_string(answers[i]);
      return kafka_error(cause,
                         fmt::format("Kafka did not create the topic '{}'",
                                     rd_kafka_topic_result_name(answers[i])),
                         state_->options.client, why != nullptr ? why : rd_kafka_err2str(cause));
    }
    created.push_back(cause == RD_KAFKA_RESP_ERR_NO_ERROR ? Created::kNow : Created::kBefore);
  }
  return created;
}

Result<TopicDescription> Admin::describe_topic(const std::string& name) {
  TRY(check_topic_name(name));
  const RdTopic topic(rd_kafka_topic_new(state_->client.get(), name.c_str(), nullptr));
  TRY_ASSIGN(const RdMetadata metadata,
             state_->metadata(topic.get(), fmt::format("topic '{}' cannot be looked at", name)));
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const rd_kafka_metadata_topic& found = metadata->topics[i];
    if (found.topic != name) continue;
    if (found.err == RD_KAFKA_RESP_ERR_NO_ERROR) return description_of(found);
    return kafka_error(found.err, fmt::format("topic '{}' cannot be looked at", name),
                       state_->options.client, rd_kafka_err2str(found.err));
  }
  return error(Code::kNotFound, fmt::format("there is no topic '{}'", name),
               state_->options.client.bootstrap_servers, "Create it");
}

Result<std::vector<TopicDescription>> Admin::describe_topics() {
  TRY_ASSIGN(const RdMetadata metadata, state_->metadata(nullptr, "topics cannot be looked at"));
  std::vector<TopicDescription> topics;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    if (metadata->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
      topics.push_back(description_of(metadata->topics[i]));
  }
  return topics;
}

Status Admin::delete_topics(std::span<const std::string> names) {
  if (names.empty()) return {};
  std::vector<RdDeleteTopic> unwanted;
  for (const std::string& name : names) {
    TRY(check_topic_name(name));
    unwanted.emplace_back(rd_kafka_DeleteTopic_new(name.c_str()));
  }
  auto pointers = pointers_of(unwanted);
  TRY_ASSIGN(const auto call, state_->call_options(RD_KAFKA_ADMIN_OP_DELETETOPICS));
  rd_kafka_DeleteTopics(state_->client.get(), pointers.data(), pointers.size(), call.get(),
                        state_->queue.get());
  TRY_ASSIGN(const RdEvent event, state_->answer("delete"));
  std::size_t count = 0;
  const auto* answers =
      rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event.get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto cause = rd_kafka_topic_result_error(answers[i]);
    if (cause == RD_KAFKA_RESP_ERR_NO_ERROR || code_of(cause) == Code::kNotFound) continue;
    return kafka_error(
        cause,
        fmt::format("Kafka did not delete the topic '{}'", rd_kafka_topic_result_name(answers[i])),
        state_->options.client, rd_kafka_err2str(cause));
  }
  return {};
}

}  // namespace pgweir::kafka
