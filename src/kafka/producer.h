// Writes records to Kafka, one after the other, in transactions where that is asked for.
//
// Place:   above librdkafka; knows nothing of changes and events.
// Life:    create(), reach() where one wants to know at once, topic() for each topic, then
//          produce() and poll(); flush() at the end. With transactions: init_transactions() first,
//          and everything between begin() and commit() or abort(). Destroyed with records on their
//          way, it gives them up. After kFatal or kFenced: create another.
// Threads: one thread at a time. Reports of deliveries are told on the thread that calls poll(),
//          flush(), commit() or abort(), from within.
// Errors:  as kafka/client.h says.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "kafka/client.h"

namespace pgweir::kafka {

enum class Acks { kNone, kLeader, kAll };
enum class Compression { kNone, kGzip, kSnappy, kLz4, kZstd };
enum class Idempotence { kOff, kOn };

enum class FailureClass {
  kTooLarge,       // larger than the topic or we allow
  kUnknownTopic,   // no such topic or partition, and none is created
  kNotAuthorized,  // no right to write there
  kRefused,        // the broker does not take it as it is
  kRetriable,      // not delivered in time: the brokers are away or too slow
  kFatal,          // the producer has given itself up
  kPurged,         // taken back by abort(): told to no visitor
};
inline constexpr std::size_t kFailureClasses = 7;
const char* failure_class_name(FailureClass failure);

// A topic that this producer knows; of no use with another.
enum class TopicHandle : std::uint32_t {};

// One record to write. Views need to live during produce() alone.
struct RecordView {
  TopicHandle topic{};
  std::optional<Partition> partition;  // none: by the hash of the key, any without one
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;  // none: a tombstone
  std::span<const Header> headers;
  std::optional<TimestampMs> timestamp;  // none: now
  std::uint64_t tag = 0;                 // the caller's: comes back with a failure
};

// One record that did not get through, for an error policy. Views live during the visit alone.
struct FailedRecord {
  FailureClass failure{};
  Error error;
  std::string_view topic;
  std::optional<Partition> partition;
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::span<const Header> headers;
  std::uint64_t tag = 0;
};

struct ProducerOptions {
  ClientOptions client;
  Acks acks = Acks::kAll;  // all: what idempotence and transactions need
  Compression compression = Compression::kNone;
  Idempotence idempotence = Idempotence::kOn;
  std::string transactional_id;  // "" = no transactions
  // A transaction that is open for longer is aborted by the brokers, which allow up to 15 minutes.
  Milliseconds transaction_timeout{60'000};
  // How long a record waits for others to share a request. Longer: fewer requests, later delivered.
  Microseconds linger{5'000};
  std::uint32_t batch_bytes_max = 1'000'000;
  std::uint32_t batch_records_max = 10'000;
  std::uint32_t message_bytes_max = 1'000'000;  // before compression; the topic has its own limit
  // Records that were taken and not reported yet: memory. With either reached, the queue is full.
  std::uint32_t queue_records_max = 100'000;
  std::uint64_t queue_bytes_max = 64 * kMiB;
  Milliseconds delivery_timeout{120'000};  // then a record has failed; capped by the transaction's
  // How long a topic that is not there is waited for, as after it was created.
  Milliseconds topic_timeout{10'000};
  // Told of every record that failed, but for those that abort() takes back.
  std::function<void(const FailedRecord&)> on_failure;
};

enum class Produced {
  kTaken,      // it will be delivered, or reported
  kQueueFull,  // not taken: poll(), then offer it again
  kRefused,    // it can never be taken, and was reported as failed
};

struct DeliveryCounts {
  std::uint64_t delivered = 0;
  std::array<std::uint64_t, kFailureClasses> failed{};

  std::uint64_t failed_of(FailureClass failure) const {
    return failed[static_cast<std::size_t>(failure)];
  }
};

enum class TransactionOutcome {
  kDone,
  kRetry,      // nothing is decided: the same call again goes on
  kMustAbort,  // call abort(); then the transaction can be done anew, and may once have to again
  kFenced,     // another producer has taken over the transactional id: this one is at its end
  kFatal,      // the producer has given itself up: create another, which aborts what was open
};

struct TransactionResult {
  TransactionOutcome outcome = TransactionOutcome::kDone;
  std::optional<Error> error;  // unless kDone

  bool done() const { return outcome == TransactionOutcome::kDone; }
};

class Producer {
 public:
  // Does not wait for a broker. kConfig: an option or property that cannot be.
  static Result<std::unique_ptr<Producer>> create(ProducerOptions options);
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  // Waits until a broker answers. kUnavailable, kTimeout: none did. kCheckFailed: it refuses us.
  Status reach(Milliseconds timeout);

  // The same name gives the same handle; asks no broker. kInvalid: no topic can be called so.
  Result<TopicHandle> topic(std::string_view name);

  // Takes a copy of key, value and headers. An error is the producer's, not the record's: kBroken,
  // or kInternal outside of a transaction where there must be one.
  Result<Produced> produce(const RecordView& record);

  // Tells reports that have come, and waits up to `timeout` for one. How many events there were.
  int poll(Milliseconds timeout);
  // Waits until every record taken is reported. kTimeout: some are not yet; call it again.
  Status flush(Milliseconds timeout);

  // Once, before the first begin(): takes the transactional id over, and aborts what another
  // producer left open under it.
  TransactionResult init_transactions(Milliseconds timeout);
  TransactionResult begin();
  // Delivers what was taken and commits. With a record that failed after it was taken: kMustAbort.
  // What produce() refused is not in the transaction, which goes on.
  TransactionResult commit(Milliseconds timeout);
  TransactionResult abort(Milliseconds timeout);

  const DeliveryCounts& counts() const;
  // The first of its class since the producer was created; nullptr when there was none.
  const Error* first_error(FailureClass failure) const;
  std::size_t queued_records() const;  // taken and not reported

 private:
  struct State;
  explicit Producer(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace pgweir::kafka
