// Topics: makes, describes and deletes them.
//
// Place:   above librdkafka.
// Life:    create(), then calls one at a time.
// Threads: one thread at a time; each call waits for the brokers, up to the timeout.
// Errors:  as kafka/client.h says.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "kafka/client.h"

namespace pgweir::kafka {

struct AdminOptions {
  ClientOptions client;
  Milliseconds timeout{30'000};  // of each call
};

struct NewTopic {
  std::string name;
  int partitions = 1;                           // -1: as the brokers have it by default
  int replication = 1;                          // copies; -1: as the brokers have it by default
  std::map<std::string, std::string> settings;  // "cleanup.policy": "compact"
};

enum class Created { kNow, kBefore };

struct TopicDescription {
  std::string name;
  int partitions = 0;
  int replication = 0;  // of the partition that has the fewest copies
};

class Admin {
 public:
  // Does not wait for a broker.
  static Result<std::unique_ptr<Admin>> create(AdminOptions options);
  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  // One for each topic, in their order. A topic that is there is left as it is. With the first that
  // cannot be created for another reason it fails; others may be created.
  Result<std::vector<Created>> create_topics(std::span<const NewTopic> topics);
  // kNotFound: there is none. Never creates it, whatever the brokers do by themselves.
  Result<TopicDescription> describe_topic(const std::string& name);
  // Every topic that we may see.
  Result<std::vector<TopicDescription>> describe_topics();
  // A topic that is not there is fine.
  Status delete_topics(std::span<const std::string> names);

 private:
  struct State;
  explicit Admin(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace pgweir::kafka
