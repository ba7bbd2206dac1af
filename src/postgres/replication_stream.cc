#include "postgres/replication_stream.h"

#include <fmt/core.h>
#include <libpq-fe.h>
#include <linux/sock_diag.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>

#include "base/bytes.h"
#include "postgres/ddl_trigger.h"
#include "postgres/heartbeat.h"
#include "postgres/logical_message.h"
#include "postgres/pgoutput.h"

namespace pgweir::postgres {
namespace {
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kCopyDataHeader = 1 + 4;          // kind, length
constexpr std::size_t kXLogDataHeader = 1 + 8 + 8 + 8;  // kind, start, end, server time

// The encryption layer holds back up to one record (16 kB) that the socket no longer shows, and
// libpq reads at least 8 kB of it at a time.
constexpr int kEncryptedReads = 2;

struct FreeMemory {
  void operator()(char* memory) const { PQfreemem(memory); }
};

Microseconds steady_now() {
  return std::chrono::duration_cast<Microseconds>(SteadyClock::now().time_since_epoch());
}

GulpPolicyOptions policy_for(int socket) {
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size);
  return own.ss_family == AF_UNIX ? GulpPolicyOptions::for_unix_socket() : GulpPolicyOptions();
}

std::string start_command(const StreamOptions& options) {
  std::string names;
  for (const std::string& publication : options.publications)
    names += (names.empty() ? "" : ",") + quote_identifier(publication);
  return fmt::format(
      "START_REPLICATION SLOT {} LOGICAL {} ({}, messages 'true', publication_names {})",
      quote_identifier(options.slot), model::to_string(options.start_lsn),
      options.streaming ? "proto_version '2', streaming 'on'" : "proto_version '1'",
      quote_literal(names));
}

}  // namespace

void Gulp::clear() {
  arena.clear();
  messages.clear();
  keepalive_lsn = {};
  ddl = false;
  server_time = {};
  reply_requested = false;
  woken = false;
  wire_bytes = 0;
}

ReplicationStream::ReplicationStream(Connection connection, const StreamOptions& options)
    : connection_(std::move(connection)), options_(options) {}

Result<ReplicationStream> ReplicationStream::start(Connection connection,
                                                   const StreamOptions& options) {
  if (!connection.is_open()) return connection.failure(nullptr, "START_REPLICATION");
  ReplicationStream stream(std::move(connection), options);
  Connection& own = stream.connection_;
  stream.policy_ = GulpPolicy(options.gulp.value_or(policy_for(PQsocket(own.raw()))));
  TRY(own.send(start_command(options)));
  auto answer = own.finish(own.options().query_timeout);
  if (!answer.ok()) {
    Error failure = answer.error();
    failure.message = fmt::format("slot '{}' cannot be read: {}", options.slot, failure.message);
    return failure;
  }
  if (!answer->is_copy_both()) {
    return error(Code::kInternal, "START_REPLICATION did not begin a stream",
                 "PostgreSQL at " + own.where());
  }
  stream.encrypted_ = PQsslInUse(own.raw()) != 0 || PQgssEncInUse(own.raw()) != 0;
  // Feedback must never wait for a server that itself waits for us to read.
  PQsetnonblocking(own.raw(), 1);
  return stream;
}

Status ReplicationStream::read(Gulp& gulp, Microseconds timeout, const io::Waker* waker) {
  gulp.clear();
  if (!connection_.is_open()) return connection_.failure(nullptr, "reading the stream");
  if (ended_ != 0) return end_of_stream(ended_);
  // What libpq holds from before comes first; only then the socket is asked.
  TRY(drain(gulp));
  const auto deadline = SteadyClock::now() + timeout;
  // What arrives may be the first part of a large message only: then the wait goes on.
  for (auto left = timeout; gulp.empty();) {
    TRY(wait_for_data(left, waker, gulp));
    const double fill = receive_fill();
    counters_.fill_sum += fill;
    TRY(take(gulp));
    pause_ = policy_.after_gulp(gulp.wire_bytes, fill, steady_now());
    left = std::chrono::duration_cast<Microseconds>(deadline - SteadyClock::now());
    if (gulp.woken || left.count() <= 0) break;
  }
  ++counters_.gulps;
  counters_.messages += gulp.messages.size();
  counters_.bytes += gulp.wire_bytes;
  return {};
}

Status ReplicationStream::wait_for_data(Microseconds timeout, const io::Waker* waker, Gulp& gulp) {
  const int socket = PQsocket(connection_.raw());
  if (pause_.count() > 0) {
    // Asleep for the sender's sake: data does not end this wait, the waker does.
    ++counters_.sleeps;
    TRY_ASSIGN(const io::Readiness slept,
               io::wait_socket(-1, io::Interest::kNothing, std::min(pause_, timeout), waker));
    gulp.woken = slept.woken;
    TRY_ASSIGN(const io::Readiness look, connection_.wait(io::Interest::kRead, Microseconds(0)));
    if (look.readable || gulp.woken) return {};
  }
  ++counters_.polls;
  if (timeout.count() <= 0) return {};
  // Two wakers may end this wait: the caller's, and the connection's own for a stop.
  TRY_ASSIGN(const io::Readiness ready, io::wait_socket(socket, io::Interest::kRead, timeout, waker,
                                                        connection_.options().cancel));
  gulp.woken = ready.woken;
  TRY(connection_.wait(io::Interest::kNothing, Microseconds(0)));
  return {};
}

// How full the kernel's buffer is, with the overhead that counts against its limit.
double ReplicationStream::receive_fill() {
  const int socket = PQsocket(connection_.raw());
  std::uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof(memory);
  double used = 0, limit = 1;
  if (::getsockopt(socket, SOL_SOCKET, SO_MEMINFO, memory, &size) == 0) {
    used = memory[SK_MEMINFO_RMEM_ALLOC];
    limit = memory[SK_MEMINFO_RCVBUF];
  }
  // A Unix socket's bytes count against the sender, so look at the bytes too.
  int waiting = 0;
  if (::ioctl(socket, FIONREAD, &waiting) == 0) used = std::max(used, static_cast<double>(waiting));
  return limit > 0 ? std::min(used / limit, 1.0) : 0;
}

// Moves the whole messages in libpq's buffer into the gulp, without a look at the socket.
Status ReplicationStream::drain(Gulp& gulp) {
  while (gulp.arena.size() < options_.gulp_bytes_max) {
    char* raw = nullptr;
    const int size = PQgetCopyData(connection_.raw(), &raw, 1);
    if (size == 0) return {};
    if (size < 0) {
      // What came before the end is handed out; the next call reports the end.
      ended_ = size;
      return gulp.messages.empty() ? end_of_stream(size) : Status();
    }
    const std::unique_ptr<char, FreeMemory> owned(raw);
    gulp.wire_bytes += static_cast<std::size_t>(size) + kCopyDataHeader;
    TRY(take_message({raw, static_cast<std::size_t>(size)}, gulp));
  }
  return {};
}

// Takes all that has arrived, up to the limit.
Status ReplicationStream::take(Gulp& gulp) {
  while (gulp.arena.size() < options_.gulp_bytes_max) {
    auto more = fill_buffer();
    // The connection is lost: again, what came before goes first.
    if (!more.ok() && !gulp.messages.empty()) return {};
    if (!more.ok()) return more.error();
    if (!*more) return {};
    ++counters_.reads;
    TRY(drain(gulp));
    if (ended_ != 0) return {};
  }
  return {};
}

// Reads what the socket has into libpq's buffer; false when there is nothing more to read.
Result<bool> ReplicationStream::fill_buffer() {
  TRY_ASSIGN(
      const io::Readiness look,
      io::wait_socket(PQsocket(connection_.raw()), io::Interest::kRead, Microseconds(0), nullptr));
  if (look.readable) {
    encrypted_left_ = kEncryptedReads;
  } else if (!encrypted_ || encrypted_left_-- <= 0) {
    return false;
  }
  if (PQconsumeInput(connection_.raw()) == 0)
    return connection_.failure(nullptr, "reading the stream");
  return true;
}

// libpq gives -1 both when the server ends the stream in order, as it does when it stops, and for
// an error of the server's.
Status ReplicationStream::end_of_stream(int why) {
  pg_result* result = PQgetResult(connection_.raw());
  Error failure;
  if (why == -1 && PQresultStatus(result) != PGRES_FATAL_ERROR) {
    failure =
        error(Code::kUnavailable, fmt::format("PostgreSQL at {} ended the stream of slot '{}'",
                                              connection_.where(), options_.slot));
  } else {
    failure = connection_.failure(result, fmt::format("reading slot '{}'", options_.slot));
    failure.code = Code::kUnavailable;
  }
  PQclear(result);
  connection_.close();
  return failure;
}

Status ReplicationStream::take_message(std::string_view data, Gulp& gulp) {
  NetworkReader in(data);
  const char kind = in.read<char>();
  if (kind == 'w' && data.size() > kXLogDataHeader) [[likely]] {
    const auto start = model::Lsn{in.read<std::uint64_t>()};
    in.read<std::uint64_t>();
    gulp.server_time = from_wire_time(in.read<std::int64_t>());
    std::string_view message = data.substr(kXLogDataHeader);
    if (message[0] == 'S' || message[0] == 'E') in_block_ = message[0] == 'S';
    if (message[0] == 'M') [[unlikely]] {
      if (const auto end = heartbeat_lsn(message)) {
        gulp.keepalive_lsn = std::max(gulp.keepalive_lsn, *end);
        return {};
      }
      gulp.ddl = gulp.ddl || is_ddl_message(message);
      const auto place = in_block_ ? MessagePlace::kInBlock : MessagePlace::kPlain;
      message = limit_content(message, place, options_.content_bytes_max, limited_);
    }
    if (message.size() > options_.message_bytes_max) {
      return error(Code::kCorruption, "a message of the stream is too large",
                   fmt::format("{} bytes at {}", message.size(), model::to_string(start)));
    }
    const auto length = static_cast<std::uint32_t>(message.size());
    append_file(gulp.arena, length);
    gulp.messages.push_back({start, static_cast<std::uint32_t>(gulp.arena.size()), length});
    gulp.arena.append(message);
    return {};
  }
  if (kind == 'k') {
    const auto end = model::Lsn{in.read<std::uint64_t>()};
    const auto time = from_wire_time(in.read<std::int64_t>());
    const bool reply = in.read<std::uint8_t>() != 0;
    if (in.ok() && in.at_end()) {
      gulp.keepalive_lsn = std::max(gulp.keepalive_lsn, end);
      gulp.server_time = time;
      gulp.reply_requested = gulp.reply_requested || reply;
      return {};
    }
  }
  return error(Code::kCorruption, "the replication stream sent something that is no message",
               fmt::format("kind {}, {} bytes", static_cast<int>(kind), data.size()));
}

Status ReplicationStream::send_feedback(model::Lsn written, model::Lsn flushed, model::Lsn applied,
                                        Reply reply, std::int64_t now_us, Milliseconds timeout) {
  if (!connection_.is_open()) return connection_.failure(nullptr, "feedback");
  if (ended_ != 0) return {};
  std::string message = "r";
  append_network(message, model::value(written));
  append_network(message, model::value(flushed));
  append_network(message, model::value(applied));
  append_network(message, now_us - kPostgresEpochUs);
  append_network(message, static_cast<std::uint8_t>(reply == Reply::kRequested ? 1 : 0));
  const auto deadline = SteadyClock::now() + timeout;
  if (PQputCopyData(connection_.raw(), message.data(), static_cast<int>(message.size())) != 1)
    return connection_.failure(nullptr, "feedback");
  return flush(deadline);
}

Status ReplicationStream::flush(SteadyClock::time_point deadline) {
  for (;;) {
    const int left = PQflush(connection_.raw());
    if (left == 0) return {};
    if (left < 0) return connection_.failure(nullptr, "feedback");
    const auto wait = std::chrono::duration_cast<Microseconds>(deadline - SteadyClock::now());
    if (wait.count() <= 0) {
      return error(Code::kTimeout, "the server does not take our feedback",
                   "PostgreSQL at " + connection_.where());
    }
    TRY_ASSIGN(const io::Readiness ready, connection_.wait(io::Interest::kReadWrite, wait));
    // Reading makes room at the other end; what comes is kept in libpq's buffer.
    if (ready.readable && PQconsumeInput(connection_.raw()) == 0)
      return connection_.failure(nullptr, "feedback");
  }
}

Status ReplicationStream::stop(Milliseconds timeout) {
  if (!connection_.is_open()) return {};
  if (ended_ != 0) {
    connection_.close();
    return {};
  }
  const auto deadline = SteadyClock::now() + timeout;
  if (PQputCopyEnd(connection_.raw(), nullptr) != 1)
    return connection_.failure(nullptr, "ending the stream");
  TRY(flush(deadline));
  for (;;) {
    char* raw = nullptr;
    const int size = PQgetCopyData(connection_.raw(), &raw, 1);
    if (size > 0) {
      PQfreemem(raw);
      continue;
    }
    if (size < 0) break;
    const auto left = std::chrono::duration_cast<Microseconds>(deadline - SteadyClock::now());
    if (left.count() <= 0) {
      connection_.close();
      return error(Code::kTimeout, "the server did not end the stream in time");
    }
    TRY_ASSIGN(const io::Readiness ready, connection_.wait(io::Interest::kRead, left));
    if (ready.readable && PQconsumeInput(connection_.raw()) == 0)
      return connection_.failure(nullptr, "ending the stream");
  }
  // The command's end: only then has the server let the slot go.
  const auto left = std::chrono::duration_cast<Milliseconds>(deadline - SteadyClock::now());
  const auto ended = connection_.finish(std::max(left, Milliseconds(1)));
  connection_.close();
  return ended.ok() ? Status() : Status(ended.error());
}

}  // namespace pgweir::postgres
