#include "postgres/connection.h"

#include <fmt/core.h>
#include <libpq-fe.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <map>
#include <utility>

#include "postgres/connect.h"
#include "postgres/server_error.h"

namespace pgweir::postgres {
namespace {
using SteadyClock = std::chrono::steady_clock;

Microseconds left_until(SteadyClock::time_point deadline) {
  const auto left = std::chrono::duration_cast<Microseconds>(deadline - SteadyClock::now());
  return left.count() > 0 ? left : Microseconds(0);
}

std::string field(const pg_result* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? "" : text;
}

bool ends_the_wait(ExecStatusType status) {
  return status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH || status == PGRES_COPY_IN;
}

}  // namespace

int QueryResult::row_count() const {
  return PQntuples(result_.get());
}
int QueryResult::column_count() const {
  return PQnfields(result_.get());
}
std::string_view QueryResult::column_name(int column) const {
  return PQfname(result_.get(), column);
}
std::uint32_t QueryResult::column_type(int column) const {
  return PQftype(result_.get(), column);
}
std::int32_t QueryResult::column_modifier(int column) const {
  return PQfmod(result_.get(), column);
}
bool QueryResult::is_null(int row, int column) const {
  return PQgetisnull(result_.get(), row, column) != 0;
}
std::string_view QueryResult::text(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}
std::int64_t QueryResult::integer(int row, int column) const {
  const std::string_view cell = text(row, column);
  std::int64_t number = 0;
  std::from_chars(cell.data(), cell.data() + cell.size(), number);
  return number;
}
bool QueryResult::boolean(int row, int column) const {
  return text(row, column) == "t";
}
bool QueryResult::is_copy_both() const {
  return PQresultStatus(result_.get()) == PGRES_COPY_BOTH;
}
bool QueryResult::is_copy_out() const {
  return PQresultStatus(result_.get()) == PGRES_COPY_OUT;
}

void QueryResult::Clear::operator()(pg_result* result) const {
  PQclear(result);
}
void Connection::Finish::operator()(pg_conn* connection) const {
  PQfinish(connection);
}

Connection::Connection(std::unique_ptr<pg_conn, Finish> connection, ConnectionOptions options)
    : connection_(std::move(connection)),
      options_(std::move(options)),
      where_(fmt::format("{}:{}/{}", PQhost(connection_.get()), PQport(connection_.get()),
                         PQdb(connection_.get()))) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Result<Connection> Connection::open(const ConnectionOptions& options) {
  TRY_ASSIGN(pg_conn * raw, connect(options));
  std::unique_ptr<pg_conn, Finish> owned(raw);
  PQsetErrorVerbosity(raw, PQERRORS_DEFAULT);
  PQsetNoticeProcessor(
      raw, [](void*, const char*) {}, nullptr);
  Connection connection(std::move(owned), options);
  // Unknown to older servers, so it cannot be among the start options.
  if (connection.server_version() >= 170000) TRY(connection.execute("SET transaction_timeout = 0"));
  return connection;
}

int Connection::server_version() const {
  return PQserverVersion(connection_.get());
}
int Connection::backend_pid() const {
  return PQbackendPID(connection_.get());
}
std::string Connection::where() const {
  return where_;
}

void Connection::close() {
  collected_.reset();
  connection_.reset();
}

Result<io::Readiness> Connection::wait(io::Interest interest, Microseconds timeout) {
  TRY_ASSIGN(const io::Readiness ready,
             io::wait_socket(PQsocket(raw()), interest, timeout, options_.cancel));
  if (ready.woken) {
    close();
    return error(Code::kCancelled, fmt::format("stopped waiting for PostgreSQL at {}", where_));
  }
  return ready;
}

Error Connection::failure(const pg_result* result, std::string_view what) {
  const std::string sqlstate = field(result, PG_DIAG_SQLSTATE);
  const bool lost = connection_ == nullptr || PQstatus(raw()) == CONNECTION_BAD;
  Error out;
  if (sqlstate.empty()) {
    const std::string text = connection_ == nullptr ? "" : one_line(PQerrorMessage(raw()));
    out = error(lost ? Code::kUnavailable : Code::kInternal,
                lost ? fmt::format("the connection to PostgreSQL at {} is lost", where_)
                     : fmt::format("{} failed at PostgreSQL {}", what, where_),
                text);
  } else {
    std::string detail = "SQLSTATE " + sqlstate;
    if (const auto more = field(result, PG_DIAG_MESSAGE_DETAIL); !more.empty())
      detail += "; " + one_line(more);
    std::string hint = hint_of_sqlstate(sqlstate);
    if (const auto server_hint = field(result, PG_DIAG_MESSAGE_HINT); !server_hint.empty())
      hint = one_line(server_hint);
    out =
        error(code_of_sqlstate(sqlstate),
              fmt::format("{} failed: {}", what, one_line(field(result, PG_DIAG_MESSAGE_PRIMARY))),
              std::move(detail), std::move(hint));
    if (lost) out.code = Code::kUnavailable;
  }
  if (lost) close();
  return out;
}

Result<QueryResult> Connection::wait_result(Microseconds timeout, std::string_view what) {
  const auto deadline = SteadyClock::now() + timeout;
  for (;;) {
    while (PQisBusy(raw()) != 0) {
      TRY_ASSIGN(const io::Readiness ready,
                 wait(io::Interest::kRead,
                      timeout.count() == 0 ? Microseconds(-1) : left_until(deadline)));
      if (!ready.readable) {
        return error(
            Code::kTimeout,
            fmt::format("PostgreSQL at {} did not answer {} in {}", where_, what,
                        format_duration(std::chrono::duration_cast<Milliseconds>(timeout))));
      }
      if (PQconsumeInput(raw()) == 0) return failure(nullptr, what);
    }
    pg_result* next = PQgetResult(raw());
    if (next == nullptr) break;
    // The first error counts, else the last result; a COPY has no further one until it is done.
    const bool failed_before = collected_ && PQresultStatus(collected_.get()) == PGRES_FATAL_ERROR;
    if (failed_before) {
      PQclear(next);
    } else {
      collected_.reset(next);
    }
    if (ends_the_wait(PQresultStatus(next))) break;
    if (PQstatus(raw()) == CONNECTION_BAD) break;
  }
  if (!collected_) return failure(nullptr, what);
  const ExecStatusType status = PQresultStatus(collected_.get());
  if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
    const auto failed = std::move(collected_);
    return failure(failed.get(), what);
  }
  return QueryResult(collected_.release());
}

Status Connection::send(const std::string& sql) {
  if (!is_open()) return failure(nullptr, "a command");
  collected_.reset();
  if (PQsendQuery(raw(), sql.c_str()) == 0) return failure(nullptr, "a command");
  return {};
}

Result<QueryResult> Connection::finish(Milliseconds timeout) {
  if (!is_open()) return failure(nullptr, "a command");
  return wait_result(timeout, "a command");
}

Result<QueryResult> Connection::query(const std::string& sql,
                                      std::span<const std::string> parameters) {
  if (!is_open()) return failure(nullptr, "a query");
  collected_.reset();
  int sent = 0;
  if (parameters.empty()) {
    sent = PQsendQuery(raw(), sql.c_str());
  } else {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
    sent = PQsendQueryParams(raw(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                             values.data(), nullptr, nullptr, 0);
  }
  if (sent == 0) return failure(nullptr, "a query");
  auto result = wait_result(options_.query_timeout, "a query");
  // The answer may still come: the connection is of no more use.
  if (!result.ok() && result.error().code == Code::kTimeout && sqlstate_of(result.error()).empty())
    close();
  return result;
}

Result<QueryResult> Connection::query(const std::string& sql,
                                      std::initializer_list<std::string> parameters) {
  return query(sql, std::span<const std::string>(parameters.begin(), parameters.size()));
}

Status Connection::execute(const std::string& sql) {
  auto result = query(sql);
  if (!result.ok()) return result.error();
  return {};
}

std::string_view sqlstate_of(const Error& error) {
  constexpr std::string_view kMark = "SQLSTATE ";
  const std::size_t at = error.detail.find(kMark);
  if (at == std::string::npos) return {};
  return std::string_view(error.detail).substr(at + kMark.size(), 5);
}

std::string library_version() {
  const int version = PQlibVersion();
  return fmt::format("{}.{}", version / 10000, version % 10000);
}

std::string quote_identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

std::string quote_name(std::string_view schema, std::string_view name) {
  return quote_identifier(schema) + "." + quote_identifier(name);
}

std::string quote_literal(std::string_view text) {
  // E'' so that a backslash means the same whatever standard_conforming_strings says.
  const bool escapes = text.find('\\') != std::string_view::npos;
  std::string out = escapes ? "E'" : "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + '\'';
}

std::string array_literal(std::span<const std::string> items) {
  std::string out = "{";
  for (const std::string& item : items) {
    if (out.size() > 1) out += ',';
    out += '"';
    for (const char c : item) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + '}';
}

}  // namespace pgweir::postgres
