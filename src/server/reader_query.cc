#include "server/reader_query.h"

#include <fmt/core.h>

#include <thread>

#include "base/mutex.h"

namespace pgweir::server {
namespace {

// Interrupts a connection once a time has passed, unless it is destroyed before.
class Deadline {
 public:
  Deadline(duck::Connection& connection, Milliseconds timeout)
      : thread_([this, &connection, timeout] { watch(connection, timeout); }) {}

  ~Deadline() {
    {
      MutexLock lock(mutex_);
      done_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  bool passed() const {
    MutexLock lock(mutex_);
    return passed_;
  }

 private:
  // An interrupt between two queries of the connection is lost, so it is repeated.
  static constexpr Milliseconds kRepeat{20};

  void watch(duck::Connection& connection, Milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex_);
    while (!done_) {
      const auto now = std::chrono::steady_clock::now();
      if (now < deadline) {
        changed_.wait_for(mutex_, std::chrono::duration_cast<Microseconds>(deadline - now));
        continue;
      }
      passed_ = true;
      connection.interrupt();
      changed_.wait_for(mutex_, kRepeat);
    }
  }

  mutable Mutex mutex_;
  Condition changed_;
  bool done_ GUARDED_BY(mutex_) = false;
  bool passed_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

CellKind cell_kind(const duck::ColumnInfo& column) {
  switch (column.kind) {
    case duck::Type::kBoolean:
      return CellKind::kBoolean;
    case duck::Type::kTinyint:
    case duck::Type::kSmallint:
    case duck::Type::kInteger:
    case duck::Type::kBigint:
    case duck::Type::kUbigint:
    case duck::Type::kHugeint:
      return CellKind::kInteger;
    case duck::Type::kFloat:
    case duck::Type::kDouble:
      return CellKind::kFloat;
    case duck::Type::kOther:
      // Lists and structs; what else DuckDB has is text.
      return column.type.ends_with("[]") || column.type == "OTHER" ? CellKind::kJson
                                                                   : CellKind::kText;
    default:
      return CellKind::kText;
  }
}

std::string without_semicolon(std::string sql) {
  const std::size_t end = sql.find_last_not_of(" \t\r\n;");
  return end == std::string::npos ? std::string() : sql.substr(0, end + 1);
}

Status bind(duck::Statement& statement, std::size_t number, const SqlParameter& parameter) {
  if (std::holds_alternative<std::monostate>(parameter)) return statement.bind_null(number);
  if (const auto* flag = std::get_if<bool>(&parameter))
    return statement.bind(number, std::string_view(*flag ? "true" : "false"));
  if (const auto* integer = std::get_if<std::int64_t>(&parameter))
    return statement.bind(number, *integer);
  if (const auto* real = std::get_if<double>(&parameter))
    return statement.bind(number, fmt::format("{}", *real));
  return statement.bind(number, std::get<std::string>(parameter));
}

// DuckDB prints "2026-11-21 14:00:00+00"; the API promises ISO 8601.
std::string iso_time(std::string_view text) {
  std::string out(text);
  if (const std::size_t space = out.find(' '); space == 10) out[space] = 'T';
  if (out.ends_with("+00")) out.replace(out.size() - 3, 3, "Z");
  return out;
}

// A SELECT around the SELECT that prints every column, with names of our own: theirs may repeat.
std::string printing_select(const std::string& select, const std::vector<RowColumn>& columns,
                            std::uint64_t row_max) {
  std::string names, casts;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const char* separator = i == 0 ? "" : ", ";
    names += fmt::format("{}c{}", separator, i);
    casts += columns[i].kind == CellKind::kJson
                 ? fmt::format("{}CAST(to_json(c{}) AS VARCHAR)", separator, i)
                 : fmt::format("{}CAST(c{} AS VARCHAR)", separator, i);
  }
  return fmt::format("SELECT {} FROM ({}\n) AS answer({}) LIMIT {}", casts, select, names, row_max);
}

Error timed_out(Milliseconds timeout) {
  return error(Code::kTimeout,
               fmt::format("the query did not end within {}", format_duration(timeout)), {},
               "Ask for less, or for a longer timeout_ms");
}

// The engine interrupts queries that are in its way.
Error as_told(Error failure) {
  if (failure.code != Code::kCancelled) return failure;
  return error(
      Code::kUnavailable,
      "the query gave way to the engine, which needs its memory or opens its database anew", {},
      "Try again in a moment");
}

Result<ReaderRows> query_rows(duck::Connection& connection, const ReaderQuery& query) {
  const std::string select = without_semicolon(query.sql);
  ReaderRows out;
  std::vector<duck::ColumnInfo> columns;
  std::vector<bool> is_time;
  {
    TRY_ASSIGN(const auto statement, connection.prepare(select));
    if (statement->kind() != duck::StatementKind::kSelect) {
      return error(Code::kInvalid, "only SELECT is allowed", {},
                   "Queries from outside read; they change nothing");
    }
    if (statement->parameter_count() != query.parameters.size()) {
      return error(Code::kInvalid,
                   fmt::format("the query has {} parameters, {} values were given",
                               statement->parameter_count(), query.parameters.size()));
    }
    columns = statement->columns();
  }
  for (const duck::ColumnInfo& column : columns) {
    out.rows.columns.push_back({column.name, column.type, cell_kind(column)});
    is_time.push_back(column.kind == duck::Type::kTimestamp ||
                      column.kind == duck::Type::kTimestampTz);
  }
  TRY_ASSIGN(const auto statement,
             connection.prepare(printing_select(select, out.rows.columns, query.row_max + 1)));
  for (std::size_t i = 0; i < query.parameters.size(); ++i)
    TRY(bind(*statement, i + 1, query.parameters[i]));

  Result<duck::Rows> rows = [&]() -> Result<duck::Rows> {
    const Deadline deadline(connection, query.timeout);
    auto result = statement->execute();
    if (!result.ok() && deadline.passed()) return timed_out(query.timeout);
    return result;
  }();
  if (!rows.ok()) return rows.error();
  std::uint64_t row_count = 0, bytes = 0;
  while (const duck::Chunk* chunk = rows->next()) {
    for (std::size_t row = 0; row < chunk->row_count(); ++row) {
      if (row_count == query.row_max) out.cut_by_rows = true;
      if (bytes > query.bytes_max) out.cut_by_bytes = true;
      if (out.cut_by_rows || out.cut_by_bytes) return out;
      ++row_count;
      for (std::size_t column = 0; column < columns.size(); ++column) {
        if (chunk->is_null(column, row)) {
          out.rows.cells.emplace_back();
          continue;
        }
        const std::string_view text = chunk->string(column, row);
        bytes += text.size();
        out.rows.cells.emplace_back(is_time[column] ? iso_time(text) : std::string(text));
      }
    }
  }
  return out;
}

}  // namespace

Result<ReaderRows> run_query(duck::Connection& connection, const ReaderQuery& query) {
  Result<ReaderRows> rows = query_rows(connection, query);
  if (!rows.ok()) return as_told(rows.error());
  return rows;
}

}  // namespace pgweir::server
