// A slot's stream of pgoutput messages, taken in gulps, and the feedback that moves the slot.
//
// Place:   raw messages; pgoutput.h decodes them, stream_tracker.h knows their positions.
// Life:    start() takes a replication connection; the destructor closes it, which frees the slot.
// Threads: one thread at a time; that thread also sends the feedback.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model/batch.h"
#include "model/position.h"
#include "postgres/connection.h"
#include "postgres/gulp_policy.h"

namespace pgweir::postgres {

// What one read() took. Reuse it: clear() keeps the memory; moving `arena` away is fine too.
struct Gulp {
  struct Message {
    model::Lsn start_lsn{};    // of the XLogData
    std::uint32_t offset = 0;  // of the message in the arena, behind its length
    std::uint32_t size = 0;
  };

  // Every message behind its length as 32-bit little-endian, without gaps: the log's record format.
  std::string arena;
  std::vector<Message> messages;
  // The newest keepalive's WAL position, or the end of our own heartbeat, zero without one. Every
  // transaction that ends at or before it has been given, in this gulp or an earlier one.
  model::Lsn keepalive_lsn{};
  model::Timestamp server_time{};  // when the server sent the newest message or keepalive; 0 = none
  bool reply_requested = false;    // answer now with send_feedback(), or the server gives us up
  bool woken = false;              // the waker ended the wait
  bool ddl = false;                // a message of the event trigger is among them (ddl_trigger.h)
  std::uint64_t wire_bytes = 0;    // with the protocol's headers

  std::string_view message(std::size_t index) const {
    return std::string_view(arena).substr(messages[index].offset, messages[index].size);
  }
  bool empty() const { return messages.empty() && keepalive_lsn == model::Lsn{}; }
  std::size_t used_bytes() const { return arena.size() + messages.size() * sizeof(Message); }
  std::size_t memory_bytes() const {
    return arena.capacity() + messages.capacity() * sizeof(Message);
  }
  void clear();
};

struct StreamOptions {
  std::string slot;
  std::vector<std::string> publications;
  // Where to go on. PostgreSQL goes on from the slot's confirmed_flush_lsn when that is later, and
  // does not say so: compare with slot_info() first.
  model::Lsn start_lsn{};
  // Transactions that outgrow the server's logical_decoding_work_mem come before they commit
  // (streamed.h). Those that are prepared come as others do, at COMMIT PREPARED.
  bool streaming = false;
  std::optional<GulpPolicyOptions> gulp;       // nothing: what fits TCP or a Unix socket
  std::size_t gulp_bytes_max = 4 * kMiB;       // one read() takes no more than this and one message
  std::uint32_t message_bytes_max = 1u << 30;  // a larger one is kCorruption
  // Of a logical message: with more it comes without its content (logical_message.h). It is kept as
  // text of twice the size; the limit is that of most brokers for a message.
  std::size_t content_bytes_max = kMiB;
};

class ReplicationStream {
 public:
  // Requires a connection of kind kReplication. kCheckFailed when the slot is in use (SQLSTATE
  // 55006) or cannot be read any more (55000), kNotFound when there is none.
  static Result<ReplicationStream> start(Connection connection, const StreamOptions& options);
  ReplicationStream(ReplicationStream&&) noexcept = default;
  ReplicationStream& operator=(ReplicationStream&&) noexcept = default;

  // Replaces `gulp` by what has arrived: thousands of messages under load, perhaps one when quiet.
  // Waits up to `timeout` for the first; an empty gulp when there was none, or when `waker` (may be
  // null) is woken. kUnavailable when the server or the connection ended the stream; what came
  // before is in earlier gulps. kCancelled by the connection's own waker.
  Status read(Gulp& gulp, Microseconds timeout, const io::Waker* waker);

  // Tells the server how far we are: everything up to `flushed` is durable here. `now_us`: wall
  // clock since 1970. Waits for the socket only when its send buffer is full, `timeout` at most.
  // Does nothing when the server has ended the stream, which the next read() reports.
  enum class Reply { kNotNeeded, kRequested };
  Status send_feedback(model::Lsn written, model::Lsn flushed, model::Lsn applied, Reply reply,
                       std::int64_t now_us, Milliseconds timeout = Milliseconds(10'000));

  // Ends the stream in the protocol's way, so that the server has taken the last feedback and let
  // the slot go when this returns; then closes. What still arrives is thrown away.
  Status stop(Milliseconds timeout);

  // Since the start; for metrics and the benchmark.
  struct Counters {
    std::uint64_t gulps = 0;
    std::uint64_t reads = 0;
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
    std::uint64_t sleeps = 0;
    std::uint64_t polls = 0;
    double fill_sum = 0;  // of the receive buffer at each gulp, 0 to 1
  };
  const Counters& counters() const { return counters_; }
  Connection& connection() { return connection_; }

 private:
  ReplicationStream(Connection connection, const StreamOptions& options);
  Status wait_for_data(Microseconds timeout, const io::Waker* waker, Gulp& gulp);
  Status drain(Gulp& gulp);
  Status take(Gulp& gulp);
  Status take_message(std::string_view data, Gulp& gulp);
  Result<bool> fill_buffer();
  Status end_of_stream(int why);
  Status flush(std::chrono::steady_clock::time_point deadline);
  double receive_fill();

  Connection connection_;
  StreamOptions options_;
  GulpPolicy policy_;
  Microseconds pause_{0};  // before the next gulp; zero: wait in poll
  bool encrypted_ = false;
  int encrypted_left_ = 0;  // reads left that the socket would not ask for
  bool in_block_ = false;   // of a streamed transaction
  std::string limited_;     // a message without its content
  int ended_ = 0;           // how, by libpq; the next read() reports it
  Counters counters_;
};

}  // namespace pgweir::postgres
