// A connection to PostgreSQL: RAII over libpq, with the session settings that decoding relies on.
//
// Place:   the bottom of postgres/; everything else here speaks through it.
// Life:    open(), then commands one at a time; the destructor closes. After kUnavailable, kTimeout
//          or kCancelled the connection is closed for good: open another.
// Threads: one thread at a time. The waker in the options may be woken by any thread.
// Errors:  kUnavailable (no server, connection lost, server starting or stopping: retrying helps),
//          kCheckFailed (password, privilege, setting, limit), kNotFound (a named object is
//          missing), kTimeout, kCancelled (the waker), kConfig (the URL cannot be read), kInternal
//          (our SQL is wrong). The detail of a server's error holds "SQLSTATE 42501". No text holds
//          a password.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "io/waker.h"

struct pg_conn;
struct pg_result;

namespace pgweir::postgres {

enum class ConnectionKind { kOrdinary, kReplication };

struct ConnectionOptions {
  std::string url;  // a libpq URI or keyword string; several hosts, PGPASSFILE, PG* variables
  std::string application_name = "pgweir";
  ConnectionKind kind = ConnectionKind::kOrdinary;
  Milliseconds connect_timeout{10'000};  // for each host; connect_timeout in the URL goes first
  Milliseconds lock_timeout{10'000};     // how long a command of ours may wait for a lock
  Milliseconds query_timeout{60'000};    // of query() and execute(); zero waits for ever
  // Ends every wait with kCancelled while it is woken; may be null; must outlive the connection.
  const io::Waker* cancel = nullptr;
};

// The rows of one command. Views into it live as long as it does.
class QueryResult {
 public:
  explicit QueryResult(pg_result* result) : result_(result) {}

  int row_count() const;
  int column_count() const;
  std::string_view column_name(int column) const;
  std::uint32_t column_type(int column) const;  // its OID
  std::int32_t column_modifier(int column) const;
  bool is_null(int row, int column) const;
  std::string_view text(int row, int column) const;  // "" for NULL
  // The cell as an integer, a boolean; zero or false when it is none.
  std::int64_t integer(int row, int column) const;
  bool boolean(int row, int column) const;
  // The command began a stream: START_REPLICATION, COPY ... TO STDOUT.
  bool is_copy_both() const;
  bool is_copy_out() const;

 private:
  friend class Connection;
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

// The database that the URL names, without connecting: as libpq, else the user's name. kConfig for
// a URL that is none, or names neither.
Result<std::string> database_of(const std::string& url);

class Connection {
 public:
  // Connects and sets, whatever role, database and environment say: DateStyle ISO, IntervalStyle
  // postgres, extra_float_digits 3, bytea_output hex, TimeZone UTC, client_encoding UTF8, an empty
  // search_path, lc_monetary C, no JIT, no statement or idle timeouts, the lock timeout of the
  // options.
  static Result<Connection> open(const ConnectionOptions& options);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // One statement with $1, $2 ... as texts. On a replication connection without parameters only.
  Result<QueryResult> query(const std::string& sql, std::span<const std::string> parameters = {});
  Result<QueryResult> query(const std::string& sql, std::initializer_list<std::string> parameters);
  // One or more statements, in one transaction unless they say otherwise; rows are thrown away.
  Status execute(const std::string& sql);

  // In two steps, for waits that the caller wants to look into. finish() waits up to `timeout` and
  // gives kTimeout with the command still running: call it again, or close the connection.
  Status send(const std::string& sql);
  Result<QueryResult> finish(Milliseconds timeout);

  int server_version() const;  // 150020 is 15.20
  int backend_pid() const;
  const ConnectionOptions& options() const { return options_; }
  // "host:port/database", for messages.
  std::string where() const;
  bool is_open() const { return connection_ != nullptr; }
  void close();

  // For the other files of this folder.
  pg_conn* raw() { return connection_.get(); }
  // Waits for the socket; kCancelled when the waker is woken.
  Result<io::Readiness> wait(io::Interest interest, Microseconds timeout);
  // The server's or libpq's last error as ours; closes a connection that is lost. `what` is what
  // failed, in words: "START_REPLICATION".
  Error failure(const pg_result* result, std::string_view what);

 private:
  struct Finish {
    void operator()(pg_conn* connection) const;
  };
  Connection(std::unique_ptr<pg_conn, Finish> connection, ConnectionOptions options);
  Result<QueryResult> wait_result(Microseconds timeout, std::string_view what);

  std::unique_ptr<pg_conn, Finish> connection_;
  ConnectionOptions options_;
  std::string where_;
  // The result so far of the command that runs.
  std::unique_ptr<pg_result, QueryResult::Clear> collected_;
};

// The five characters of a server's error, "" when the error is not from a server.
std::string_view sqlstate_of(const Error& error);

// libpq's own version, "15.14".
std::string library_version();

// A name, a qualified name or a text as SQL takes it.
std::string quote_identifier(std::string_view name);
std::string quote_name(std::string_view schema, std::string_view name);
std::string quote_literal(std::string_view text);
// '{"a","b"}': a text[] parameter.
std::string array_literal(std::span<const std::string> items);

}  // namespace pgweir::postgres
