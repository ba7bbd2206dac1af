#include "server/reader_query.h"

#include <fmt/core.h>

#include "server/printed_rows.h"

namespace pgweir::server {
namespace {

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
  for (const duck::ColumnInfo& column : columns) out.rows.columns.push_back(row_column(column));
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
        out.rows.cells.push_back(printed_cell(columns[column], text));
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
