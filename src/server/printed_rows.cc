#include "server/printed_rows.h"

#include <fmt/core.h>

#include <chrono>

namespace pgweir::server {
namespace {

// An interrupt between two queries of a connection is lost, so it is repeated.
constexpr Milliseconds kInterruptAgain{20};

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

// DuckDB prints "2026-11-21 14:00:00+00"; the API promises ISO 8601.
std::string iso_time(std::string_view text) {
  std::string out(text);
  if (const std::size_t space = out.find(' '); space == 10) out[space] = 'T';
  if (out.ends_with("+00")) out.replace(out.size() - 3, 3, "Z");
  return out;
}

}  // namespace

RowColumn row_column(const duck::ColumnInfo& column) {
  return {column.name, column.type, cell_kind(column)};
}

std::string printing_select(const std::string& select, const std::vector<RowColumn>& columns,
                            std::optional<std::uint64_t> row_max) {
  std::string names, casts;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const char* separator = i == 0 ? "" : ", ";
    names += fmt::format("{}c{}", separator, i);
    casts += columns[i].kind == CellKind::kJson
                 ? fmt::format("{}CAST(to_json(c{}) AS VARCHAR)", separator, i)
                 : fmt::format("{}CAST(c{} AS VARCHAR)", separator, i);
  }
  return fmt::format("SELECT {} FROM ({}\n) AS answer({}){}", casts, select, names,
                     row_max ? fmt::format(" LIMIT {}", *row_max) : "");
}

std::string printed_cell(const duck::ColumnInfo& column, std::string_view text) {
  const bool is_time =
      column.kind == duck::Type::kTimestamp || column.kind == duck::Type::kTimestampTz;
  return is_time ? iso_time(text) : std::string(text);
}

Result<PrintedRows> PrintedRows::open(duck::Connection& connection, const std::string& select) {
  TRY_ASSIGN(std::vector<duck::ColumnInfo> types, connection.describe(select));
  std::vector<RowColumn> columns;
  for (const duck::ColumnInfo& type : types) columns.push_back(row_column(type));
  TRY_ASSIGN(duck::Rows rows, connection.stream(printing_select(select, columns)));
  PrintedRows out(std::move(rows));
  out.types_ = std::move(types);
  out.columns_ = std::move(columns);
  return out;
}

Result<bool> PrintedRows::next(std::vector<std::optional<std::string>>& cells) {
  cells.clear();
  while (chunk_ == nullptr || row_ == chunk_->row_count()) {
    chunk_ = rows_.next();
    row_ = 0;
    if (chunk_ != nullptr) continue;
    TRY(rows_.ended());
    return false;
  }
  for (std::size_t i = 0; i < types_.size(); ++i) {
    if (chunk_->is_null(i, row_)) {
      cells.emplace_back();
    } else {
      cells.emplace_back(printed_cell(types_[i], chunk_->string(i, row_)));
    }
  }
  ++row_;
  return true;
}

Deadline::Deadline(duck::Connection& connection, Milliseconds timeout)
    : thread_([this, &connection, timeout] { watch(connection, timeout); }) {}

Deadline::~Deadline() {
  {
    MutexLock lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

bool Deadline::passed() const {
  MutexLock lock(mutex_);
  return passed_;
}

void Deadline::watch(duck::Connection& connection, Milliseconds timeout) {
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
    changed_.wait_for(mutex_, kInterruptAgain);
  }
}

}  // namespace pgweir::server
