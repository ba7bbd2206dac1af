// Reads one topic from its beginning to its end, all its partitions: for what is kept in a topic,
// such as a position, and for tests.
//
// Place:   above librdkafka. It joins no group and commits no offsets.
// Life:    open(), then read_to_end() as often as one likes: each goes on where the last ended.
// Threads: one thread at a time; records are told on it.
// Errors:  as kafka/client.h says.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "kafka/client.h"

namespace pgweir::kafka {

enum class Isolation {
  kReadUncommitted,  // what aborted transactions wrote, too
  kReadCommitted,    // up to the first transaction that is open, without what was aborted
};

struct ReaderOptions {
  ClientOptions client;
  std::string topic;
  Isolation isolation = Isolation::kReadCommitted;
  std::uint32_t fetch_bytes_max = 16 * 1024 * 1024;  // fetched ahead: memory
  Milliseconds timeout{30'000};                      // of open()
};

// Views live during the visit alone.
struct ReadRecord {
  Partition partition{};
  Offset offset{};
  TimestampMs timestamp{};
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;  // none: a tombstone
  std::span<const Header> headers;
};

class TopicReader {
 public:
  // kNotFound: there is no such topic.
  static Result<std::unique_ptr<TopicReader>> open(ReaderOptions options);
  ~TopicReader();
  TopicReader(const TopicReader&) = delete;
  TopicReader& operator=(const TopicReader&) = delete;

  // Visits every record up to where each partition ends at a moment during the call; in order
  // within a partition. An end that a transaction holds back is the end for kReadCommitted: who
  // must see everything of a transactional id first takes it over with init_transactions().
  // kTimeout: the end was not reached; the next call goes on.
  Status read_to_end(const std::function<void(const ReadRecord&)>& visit, Milliseconds timeout);

  int partition_count() const;

 private:
  struct State;
  explicit TopicReader(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace pgweir::kafka
