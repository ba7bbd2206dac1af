// What every client of Kafka is told: where the brokers are, who it is, and how it proves that.
//
// Place:   the bottom of kafka/, the only folder that knows librdkafka.
// Errors:  kConfig (a property or an option that librdkafka refuses, named), kUnavailable (no
//          broker answers: retrying helps), kTimeout, kCheckFailed (password, certificate, right),
//          kNotFound (a topic), kInvalid (a record or name that Kafka never takes), kBroken (the
//          client has given itself up: make another). No text holds a password.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace pgweir::kafka {

enum class Protocol { kPlain, kTls, kSasl, kSaslOverTls };
enum class HostCheck { kVerifyName, kAnyName };

struct SecurityOptions {
  Protocol protocol = Protocol::kPlain;
  std::string sasl_mechanism;  // "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"
  std::string user;
  std::string password;
  std::string authority_file;    // PEM; "" = the system's
  std::string certificate_file;  // PEM, of this client, with its key
  std::string key_file;
  std::string key_password;
  HostCheck host_check = HostCheck::kVerifyName;
};

struct ClientOptions {
  std::string bootstrap_servers;  // "host:port,host:port"
  std::string client_id = "pgweir";
  SecurityOptions security;
  // librdkafka's own, by its names. One that an option here sets is refused.
  std::map<std::string, std::string> properties;
};

// A header's value may be null, which is not the empty one.
struct Header {
  std::string_view name;
  std::optional<std::string_view> value;
};

enum class Partition : std::int32_t {};
enum class Offset : std::int64_t {};
// Since 1970, UTC.
enum class TimestampMs : std::int64_t {};

// kInvalid unless Kafka takes it as a topic's name: 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-',
// and not "." or "..".
Status check_topic_name(std::string_view name);

// "2.0.2"
std::string library_version();

}  // namespace pgweir::kafka
