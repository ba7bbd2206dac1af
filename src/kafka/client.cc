#include "kafka/client.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include "kafka/client_internal.h"

namespace pgweir::kafka {
namespace {

constexpr std::size_t kTopicNameBytesMax = 249;
constexpr std::size_t kErrorTextBytes = 512;
// While a broker is waited for, how often its refusals are looked for.
constexpr Milliseconds kLookAtTrouble{500};

struct Conf {
  std::unique_ptr<rd_kafka_conf_t, Destroy<rd_kafka_conf_destroy>> conf{rd_kafka_conf_new()};

  Status set(const std::string& name, const std::string& value) {
    std::array<char, kErrorTextBytes> why{};
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), why.data(), why.size()) ==
        RD_KAFKA_CONF_OK)
      return {};
    // Its text quotes the value, which a password's must not be.
    const bool secret = name.find("password") != std::string::npos ||
                        name.find("secret") != std::string::npos || name.ends_with(".pem") ||
                        name.starts_with("sasl.oauthbearer");
    return error(Code::kConfig, fmt::format("librdkafka refuses the property '{}'", name),
                 secret ? "its value cannot be read" : why.data(),
                 "See librdkafka's CONFIGURATION.md for its names and values");
  }
};

const char* protocol_name(Protocol protocol) {
  switch (protocol) {
    case Protocol::kPlain:
      return "plaintext";
    case Protocol::kTls:
      return "ssl";
    case Protocol::kSasl:
      return "sasl_plaintext";
    case Protocol::kSaslOverTls:
      return "sasl_ssl";
  }
  return "";
}

bool has_sasl(Protocol protocol) {
  return protocol == Protocol::kSasl || protocol == Protocol::kSaslOverTls;
}

Status check(const ClientOptions& options) {
  const SecurityOptions& security = options.security;
  if (options.bootstrap_servers.empty())
    return error(Code::kConfig, "no bootstrap servers of Kafka are named", "",
                 "Name some: host:port,host:port");
  if (has_sasl(security.protocol) && security.sasl_mechanism.empty())
    return error(Code::kConfig, "SASL is asked for without a mechanism", "",
                 "Name one: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512");
  if (!has_sasl(security.protocol) && !security.user.empty())
    return error(Code::kConfig, "Kafka's user is named, but SASL is not asked for", "",
                 "Choose SASL, with TLS where others can listen, or leave the user out");
  if (security.certificate_file.empty() != security.key_file.empty())
    return error(Code::kConfig, "a certificate for Kafka needs its key, and a key its certificate",
                 "", "Name both files, or none");
  for (const std::string& file :
       {security.authority_file, security.certificate_file, security.key_file}) {
    if (!file.empty() && !std::ifstream(file))
      return error(Code::kConfig, fmt::format("'{}', named for Kafka's TLS, cannot be read", file),
                   std::strerror(errno), "Check the name and its rights");
  }
  return {};
}

Settings settings_of(const ClientOptions& options) {
  const SecurityOptions& security = options.security;
  Settings settings = {{"bootstrap.servers", options.bootstrap_servers},
                       {"client.id", options.client_id},
                       {"security.protocol", protocol_name(security.protocol)}};
  if (has_sasl(security.protocol)) {
    settings.insert(settings.end(), {{"sasl.mechanism", security.sasl_mechanism},
                                     {"sasl.username", security.user},
                                     {"sasl.password", security.password}});
  }
  settings.insert(settings.end(), {{"ssl.ca.location", security.authority_file},
                                   {"ssl.certificate.location", security.certificate_file},
                                   {"ssl.key.location", security.key_file},
                                   {"ssl.key.password", security.key_password}});
  // As since librdkafka 2.0; older ones asked for it.
  settings.emplace_back("ssl.endpoint.identification.algorithm",
                        security.host_check == HostCheck::kVerifyName ? "https" : "none");
  // What waits for a batch is chosen by linger; the system's waiting would come on top.
  settings.emplace_back("socket.nagle.disable", "true");
  return settings;
}

void keep_trouble(rd_kafka_t*, int code, const char* text, void* opaque) {
  static_cast<ClientTrouble*>(opaque)->note(code, text);
}

// What a client has to say comes with the errors of its calls.
void drop_log(const rd_kafka_t*, int, const char*, const char*) {}

bool is_refusal(rd_kafka_resp_err_t code) {
  return code_of(code) == Code::kCheckFailed;
}

}  // namespace

Status check_topic_name(std::string_view name) {
  const auto is_fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  const auto wrong = std::find_if_not(name.begin(), name.end(), is_fine);
  std::string why;
  if (name.empty()) {
    why = "it is empty";
  } else if (name.size() > kTopicNameBytesMax) {
    why = fmt::format("it has {} characters, {} are the most", name.size(), kTopicNameBytesMax);
  } else if (name == "." || name == "..") {
    why = "it would be a folder's";
  } else if (wrong != name.end()) {
    why = fmt::format("the byte 0x{:02x} at its place {}", static_cast<unsigned char>(*wrong),
                      wrong - name.begin() + 1);
  } else {
    return {};
  }
  return error(Code::kInvalid, fmt::format("'{}' cannot be the name of a topic", name), why,
               "Kafka takes a-z, A-Z, 0-9, '.', '_' and '-'; route or adjust the name");
}

std::string library_version() {
  return rd_kafka_version_str();
}

Result<RdHandle> make_client(rd_kafka_type_t type, const ClientOptions& options,
                             const Settings& settings, const ClientParts& parts) {
  TRY(check(options));
  Settings all = settings_of(options);
  all.insert(all.end(), settings.begin(), settings.end());
  Conf conf;
  for (const auto& [name, value] : all) {
    if (options.properties.contains(name))
      return error(Code::kConfig,
                   fmt::format("the property '{}' is what an option of ours sets", name), "",
                   "Set the option instead");
    if (!value.empty()) TRY(conf.set(name, value));
  }
  for (const auto& [name, value] : options.properties) TRY(conf.set(name, value));
  rd_kafka_conf_set_opaque(conf.conf.get(), parts.opaque);
  rd_kafka_conf_set_error_cb(conf.conf.get(),
                             parts.errors != nullptr ? parts.errors : keep_trouble);
  rd_kafka_conf_set_log_cb(conf.conf.get(), drop_log);
  if (parts.reports != nullptr) rd_kafka_conf_set_dr_msg_cb(conf.conf.get(), parts.reports);

  std::array<char, kErrorTextBytes> why{};
  RdHandle client(rd_kafka_new(type, conf.conf.get(), why.data(), why.size()));
  if (client == nullptr)
    return error(Code::kConfig, "librdkafka cannot start with these options", why.data(),
                 "Check them, and the files that they name");
  // It is the client's now.
  (void)conf.conf.release();
  return client;
}

Status reach_broker(rd_kafka_t* client, const ClientOptions& options, ClientTrouble& trouble,
                    Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  do {
    const auto left =
        std::chrono::duration_cast<Milliseconds>(deadline - std::chrono::steady_clock::now());
    const rd_kafka_metadata_t* metadata = nullptr;
    code = rd_kafka_metadata(client, 0, nullptr, &metadata,
                             wait_ms(std::clamp(left, Milliseconds(1), kLookAtTrouble)));
    if (metadata != nullptr) rd_kafka_metadata_destroy(metadata);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    // What the connections met waits in the client's queue.
    while (rd_kafka_poll(client, 0) > 0) continue;
    // Asking again does not help.
  } while (!is_refusal(trouble.code) && std::chrono::steady_clock::now() < deadline);
  const auto cause = is_refusal(trouble.code) ? trouble.code : code;
  return kafka_error(cause,
                     is_refusal(cause) ? "Kafka refuses us"
                                       : fmt::format("no broker of Kafka answers within {}",
                                                     format_duration(timeout)),
                     options, trouble.text.empty() ? rd_kafka_err2str(code) : trouble.text);
}

Code code_of(rd_kafka_resp_err_t cause) {
  switch (cause) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
      return Code::kInvalid;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      return Code::kNotFound;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return Code::kCheckFailed;
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
      return Code::kConfig;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:
    case RD_KAFKA_RESP_ERR__INCONSISTENT:
    case RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE:
      return Code::kBroken;
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
      return Code::kCancelled;
    case RD_KAFKA_RESP_ERR__STATE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__NOT_CONFIGURED:
      return Code::kInternal;
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
      return Code::kTimeout;
    default:
      return Code::kUnavailable;
  }
}

const char* hint_of(rd_kafka_resp_err_t cause) {
  switch (code_of(cause)) {
    case Code::kInvalid:
      if (cause == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
          cause == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE)
        return "Raise the topic's max.message.bytes and the largest message of the sink, or leave "
               "large columns out";
      return "Put right what the broker names";
    case Code::kConfig:
      return "Shorten the transaction's timeout, or raise the brokers' transaction.max.timeout.ms";
    case Code::kNotFound:
      return "Create the topic, or let it be created";
    case Code::kCheckFailed:
      return "Check user, password, certificates and the rights that the brokers give";
    case Code::kBroken:
      if (cause == RD_KAFKA_RESP_ERR__FENCED || cause == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
          cause == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH)
        return "Another one writes with the same transactional id: stop it, or give one of them "
               "another";
      return "A new producer goes on";
    case Code::kTimeout:
    case Code::kUnavailable:
      return "Check that the brokers run and can be reached from here, also by the addresses that "
             "they advertise";
    default:
      return "";
  }
}

Error kafka_error(rd_kafka_resp_err_t cause, std::string what, const ClientOptions& options,
                  std::string_view why) {
  return error(code_of(cause), std::move(what),
               fmt::format("{}: {}", options.bootstrap_servers, why), hint_of(cause));
}

std::vector<Header> headers_of(const rd_kafka_message_t& message) {
  std::vector<Header> headers;
  rd_kafka_headers_t* list = nullptr;
  if (rd_kafka_message_headers(&message, &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return headers;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t bytes = 0;
  for (std::size_t i = 0;
       rd_kafka_header_get_all(list, i, &name, &value, &bytes) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
    Header header{name, std::nullopt};
    if (value != nullptr) header.value.emplace(static_cast<const char*>(value), bytes);
    headers.push_back(header);
  }
  return headers;
}

std::optional<std::string_view> key_of(const rd_kafka_message_t& message) {
  if (message.key == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(message.key), message.key_len);
}

std::optional<std::string_view> value_of(const rd_kafka_message_t& message) {
  if (message.payload == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(message.payload), message.len);
}

}  // namespace pgweir::kafka
