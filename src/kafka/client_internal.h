// For the files of this folder: a librdkafka client with its configuration, and its errors as ours.
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "kafka/client.h"

namespace pgweir::kafka {

// What makes a deleter of one of librdkafka's functions.
template <auto kDestroy>
struct Destroy {
  template <typename T>
  void operator()(T* object) const {
    kDestroy(object);
  }
};
using RdError = std::unique_ptr<rd_kafka_error_t, Destroy<rd_kafka_error_destroy>>;
using RdMessage = std::unique_ptr<rd_kafka_message_t, Destroy<rd_kafka_message_destroy>>;
using RdQueue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using RdTopic = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using RdHandle = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;

// What the options of one kind of client are, as librdkafka names them. Empty values are left out.
using Settings = std::vector<std::pair<std::string, std::string>>;

// The last that a client said about its connections; kept by the client that it was given to.
struct ClientTrouble {
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string text;

  void note(int what, const char* why) {
    // Why each of them is down was said before.
    if (what == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !text.empty()) return;
    code = static_cast<rd_kafka_resp_err_t>(what);
    text = why;
  }
};

struct ClientParts {
  ClientTrouble* trouble = nullptr;  // outlives the client
  void* opaque = nullptr;            // what callbacks get; must be `trouble` where reports is null
  void (*reports)(rd_kafka_t*, const rd_kafka_message_t*, void*) = nullptr;
  void (*errors)(rd_kafka_t*, int, const char*, void*) = nullptr;
};

// Starts a client; it connects in the background. kConfig names the property that is refused.
Result<RdHandle> make_client(rd_kafka_type_t type, const ClientOptions& options,
                             const Settings& settings, const ClientParts& parts);

// Waits until a broker answers: kUnavailable after `timeout`, kCheckFailed when it refuses us.
Status reach_broker(rd_kafka_t* client, const ClientOptions& options, ClientTrouble& trouble,
                    Milliseconds timeout);

// What librdkafka's codes mean to us.
Code code_of(rd_kafka_resp_err_t cause);
const char* hint_of(rd_kafka_resp_err_t cause);

// `what` failed: "Kafka did not create the topic 'x'".
Error kafka_error(rd_kafka_resp_err_t cause, std::string what, const ClientOptions& options,
                  std::string_view why);

// Of a message that came or failed; views into it.
std::vector<Header> headers_of(const rd_kafka_message_t& message);
std::optional<std::string_view> key_of(const rd_kafka_message_t& message);
std::optional<std::string_view> value_of(const rd_kafka_message_t& message);

inline int wait_ms(Milliseconds timeout) {
  return static_cast<int>(timeout.count());
}

}  // namespace pgweir::kafka
