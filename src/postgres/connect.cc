#include "postgres/connect.h"

#include <fmt/core.h>
#include <libpq-fe.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "postgres/server_error.h"

namespace pgweir::postgres {
namespace {
using SteadyClock = std::chrono::steady_clock;
using Parameters = std::map<std::string, std::string>;

struct Finish {
  void operator()(pg_conn* connection) const { PQfinish(connection); }
};
using Owned = std::unique_ptr<pg_conn, Finish>;

// What the URL sets, and what the environment adds for the keywords that we look at.
Result<Parameters> read_url(const std::string& url) {
  char* message = nullptr;
  PQconninfoOption* parsed = PQconninfoParse(url.c_str(), &message);
  if (parsed == nullptr) {
    Error failure = url_error(message == nullptr ? "" : message);
    PQfreemem(message);
    return failure;
  }
  Parameters out;
  for (const PQconninfoOption* option = parsed; option->keyword != nullptr; ++option) {
    const char* value = option->val;
    if (value == nullptr && option->envvar != nullptr) value = std::getenv(option->envvar);
    if (value != nullptr) out[option->keyword] = value;
  }
  PQconninfoFree(parsed);
  return out;
}

}  // namespace

Result<std::string> database_of(const std::string& url) {
  TRY_ASSIGN(const Parameters given, read_url(url));
  for (const char* key : {"dbname", "user"}) {
    const auto found = given.find(key);
    if (found != given.end() && !found->second.empty()) return found->second;
  }
  return error(Code::kConfig, "the source's URL names no database", {},
               "Write it as postgresql://user@host:port/database");
}

namespace {

// Start options beat what is set for the role, the database and in postgresql.conf. Our queries are
// of the catalog and short, but look dear enough to the planner to be compiled for half a second.
std::string session_options(const ConnectionOptions& options, const std::string& users) {
  // A slot's creation waits for transactions through locks: its limit is its own.
  const auto lock_timeout =
      options.kind == ConnectionKind::kReplication ? Milliseconds(0) : options.lock_timeout;
  return fmt::format(
      "{} -c DateStyle=ISO,MDY -c IntervalStyle=postgres -c extra_float_digits=3 -c "
      "bytea_output=hex "
      "-c TimeZone=UTC -c search_path= -c lc_monetary=C -c xmloption=content "
      "-c statement_timeout=0 -c lock_timeout={} -c idle_in_transaction_session_timeout=0 "
      "-c idle_session_timeout=0 -c jit=off",
      users, lock_timeout.count());
}

Parameters start_parameters(const ConnectionOptions& options, const Parameters& url) {
  Parameters out;
  const auto given = [&](const char* key) {
    const auto found = url.find(key);
    return found == url.end() ? std::string() : found->second;
  };
  out["options"] = session_options(options, given("options"));
  out["client_encoding"] = "UTF8";
  out["fallback_application_name"] = options.application_name;
  out["replication"] = options.kind == ConnectionKind::kReplication ? "database" : "false";
  // A peer that vanished without a word is noticed after a minute, not after two hours.
  const std::pair<const char*, const char*> kKeepalives[] = {{"keepalives_idle", "30"},
                                                             {"keepalives_interval", "10"},
                                                             {"keepalives_count", "3"},
                                                             {"tcp_user_timeout", "60000"}};
  for (const auto& [key, value] : kKeepalives) {
    if (given(key).empty()) out[key] = value;
  }
  return out;
}

Owned start(const std::string& url, const Parameters& parameters) {
  std::vector<const char*> keys = {"dbname"};
  std::vector<const char*> values = {url.c_str()};
  for (const auto& [key, value] : parameters) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  Owned connection(PQconnectStartParams(keys.data(), values.data(), 1));
  if (connection) PQsetErrorVerbosity(connection.get(), PQERRORS_VERBOSE);
  return connection;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> out;
  std::size_t from = 0;
  for (;;) {
    const std::size_t comma = list.find(',', from);
    out.push_back(list.substr(from, comma - from));
    if (comma == std::string::npos) return out;
    from = comma + 1;
  }
}

// The lists of hosts that the URL gives, which a timeout shortens from the front: without its
// blocking calls libpq does not pass over a host that stays silent.
class Hosts {
 public:
  explicit Hosts(const Parameters& url) {
    for (const char* key : {"host", "hostaddr", "port"}) {
      const auto found = url.find(key);
      if (found != url.end()) lists_[key] = split(found->second);
      if (found != url.end() && std::string_view(key) != "port")
        count_ = std::max(count_, lists_[key].size());
    }
  }

  std::size_t count() const { return count_; }

  // Drops the hosts up to the one that `connection` tries now; false when none is left.
  bool drop_through(const pg_conn* connection) {
    if (count_ <= 1) return false;
    const std::string host = PQhost(connection), port = PQport(connection);
    std::size_t at = 0;
    while (at + 1 < count_ && !matches(at, host, port)) ++at;
    for (auto& [key, list] : lists_) {
      if (list.size() > 1) list.erase(list.begin(), list.begin() + static_cast<long>(at) + 1);
    }
    count_ -= at + 1;
    shortened_ = true;
    return count_ > 0;
  }

  void put_into(Parameters& parameters) const {
    if (!shortened_) return;
    for (const auto& [key, list] : lists_) {
      std::string joined;
      for (const std::string& item : list) joined += (joined.empty() ? "" : ",") + item;
      parameters[key] = joined;
    }
  }

 private:
  bool matches(std::size_t at, const std::string& host, const std::string& port) const {
    const auto item = [&](const char* key) -> std::string {
      const auto found = lists_.find(key);
      if (found == lists_.end()) return "";
      return found->second.size() == 1 ? found->second[0] : found->second[at];
    };
    const bool same_port = item("port").empty() || item("port") == port;
    return same_port && (item("host") == host || item("hostaddr") == host);
  }

  std::map<std::string, std::vector<std::string>> lists_;
  std::size_t count_ = 0;
  bool shortened_ = false;
};

std::string where(const pg_conn* connection) {
  return fmt::format("{}:{}/{}", PQhost(connection), PQport(connection), PQdb(connection));
}

// Polls until connected. kTimeout when the host that is being tried stays silent.
Status poll_connection(pg_conn* connection, Milliseconds timeout, const io::Waker* cancel) {
  auto deadline = SteadyClock::now() + timeout;
  std::string host;
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(connection) != CONNECTION_BAD) {
    if (const std::string now = where(connection); now != host) {
      host = now;
      deadline = SteadyClock::now() + timeout;
    }
    const auto left = std::chrono::duration_cast<Microseconds>(deadline - SteadyClock::now());
    if (timeout.count() > 0 && left.count() <= 0) {
      return error(Code::kTimeout, fmt::format("PostgreSQL at {} cannot be reached", host),
                   fmt::format("no answer in {}", format_duration(timeout)),
                   "Check that the server runs, and that no firewall is in between");
    }
    TRY_ASSIGN(
        const io::Readiness ready,
        io::wait_socket(PQsocket(connection),
                        next == PGRES_POLLING_READING ? io::Interest::kRead : io::Interest::kWrite,
                        timeout.count() > 0 ? left : Microseconds(-1), cancel));
    if (ready.woken) return error(Code::kCancelled, "stopped connecting to PostgreSQL");
    if (!ready.readable && !ready.writable) continue;
    next = PQconnectPoll(connection);
    if (next == PGRES_POLLING_OK) return {};
    if (next == PGRES_POLLING_FAILED) break;
  }
  return connect_error(where(connection), PQerrorMessage(connection));
}

}  // namespace

Result<pg_conn*> connect(const ConnectionOptions& options) {
  TRY_ASSIGN(const Parameters url, read_url(options.url));
  Parameters parameters = start_parameters(options, url);
  Milliseconds timeout = options.connect_timeout;
  if (const auto given = url.find("connect_timeout"); given != url.end()) {
    const std::string& text = given->second;
    std::int64_t seconds = 0;
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (seconds > 0) timeout = std::chrono::seconds(seconds);
  }
  Hosts hosts(url);
  // Of several hosts the primary is meant, unless the URL says otherwise: the others are its
  // standbys, of which one takes over.
  if (hosts.count() > 1 && url.count("target_session_attrs") == 0)
    parameters["target_session_attrs"] = "read-write";
  for (;;) {
    hosts.put_into(parameters);
    Owned connection = start(options.url, parameters);
    if (!connection) return error(Code::kUnavailable, "out of memory for a connection");
    const Status connected = poll_connection(connection.get(), timeout, options.cancel);
    if (connected.ok()) return connection.release();
    if (connected.error().code != Code::kTimeout) return connected.error();
    if (!hosts.drop_through(connection.get())) {
      Error failure = connected.error();
      failure.code = Code::kUnavailable;
      return failure;
    }
  }
}

}  // namespace pgweir::postgres
