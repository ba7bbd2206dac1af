#include "views/watermarks.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/store.h"
#include "engine/time_text.h"
#include "views/ast.h"

namespace pgweir::views {
namespace {

constexpr std::uint32_t kDateType = 1082, kTimestampType = 1114, kTimestampTzType = 1184;
constexpr std::int64_t kMicrosOfDay = 86'400'000'000;

std::string table_name() {
  return fmt::format("{}.watermarks", engine::kInternalSchema);
}

std::int64_t micros(Milliseconds time) {
  return time.count() * 1000;
}

// The three parts of "schema.table.column"; whole names where there are fewer.
void split(const std::string& name, Watermarks::Mark* mark) {
  const std::size_t first = name.find('.');
  const std::size_t second = first == std::string::npos ? first : name.find('.', first + 1);
  if (second == std::string::npos) return;
  mark->schema = name.substr(0, first);
  mark->table = name.substr(first + 1, second - first - 1);
  mark->column = name.substr(second + 1);
}

// Nothing for what is no time, and for those that never come.
std::optional<std::int64_t> time_of(const model::Cell& cell, std::uint32_t type) {
  if (cell.kind != model::CellKind::kText) return std::nullopt;
  std::int64_t value = 0;
  const engine::Fit fit = type == kDateType ? engine::parse_date(cell.text(), value)
                                            : engine::parse_timestamp(cell.text(), value);
  if (fit != engine::Fit::kOk || cell.text().find("infinity") != std::string_view::npos)
    return std::nullopt;
  return type == kDateType ? value * kMicrosOfDay : value;
}

std::string number(const std::optional<std::int64_t>& value) {
  return value ? std::to_string(*value) : "NULL";
}

std::optional<std::int64_t> number(const std::optional<std::string>& text) {
  return text ? std::optional(static_cast<std::int64_t>(std::stoll(*text))) : std::nullopt;
}

}  // namespace

const char* output_mode_name(OutputMode mode) {
  switch (mode) {
    case OutputMode::kUpdate:
      return "update";
    case OutputMode::kAppend:
      return "append";
    case OutputMode::kComplete:
      return "complete";
  }
  return "unknown";
}

Watermarks::Watermarks(std::vector<WatermarkSource> sources) {
  for (WatermarkSource& source : sources) {
    Mark& mark = marks_.emplace_back();
    mark.source = std::move(source);
    split(mark.source.column, &mark);
  }
}

std::optional<std::size_t> Watermarks::find(const std::string& schema, const std::string& table,
                                            const std::string& column) const {
  for (std::size_t i = 0; i < marks_.size(); ++i) {
    if (same_name(marks_[i].schema, schema) && same_name(marks_[i].table, table) &&
        same_name(marks_[i].column, column))
      return i;
  }
  return std::nullopt;
}

// --- In the database ---------------------------------------------------------------------------

Status Watermarks::create(duck::Connection& connection) {
  TRY(
      connection.execute(fmt::format("CREATE TABLE IF NOT EXISTS {} (name VARCHAR, reached BIGINT, "
                                     "newest BIGINT, open_newest BIGINT, "
                                     "last_commit BIGINT)",
                                     table_name())));
  return connection.execute(fmt::format(
      "CREATE SCHEMA IF NOT EXISTS pgweir; CREATE OR REPLACE VIEW pgweir.watermarks AS SELECT name "
      "AS \"column\", make_timestamptz(reached) AS watermark, make_timestamptz(newest) AS newest "
      "FROM "
      "{}",
      table_name()));
}

Status Watermarks::read(duck::Connection& connection) {
  forget();
  changed_ = false;
  TRY_ASSIGN(const auto rows, connection.query_texts("SELECT name, reached, newest, open_newest, "
                                                     "last_commit FROM " +
                                                     table_name()));
  for (const auto& row : rows.rows) {
    for (Mark& mark : marks_) {
      if (mark.source.column != row[0]) continue;
      mark.at = number(row[1]);
      mark.newest = number(row[2]);
      mark.open_newest = number(row[3]);
      mark.last_commit = number(row[4]);
      // With another delay than at the last time: it rises at once, and never falls.
      advance(mark);
    }
  }
  changed_ = changed_ || rows.rows.size() != marks_.size();
  return {};
}

Status Watermarks::write(duck::Connection& connection) {
  if (!changed_) return {};
  std::string values;
  for (const Mark& mark : marks_) {
    values += fmt::format("{}({}, {}, {}, {}, {})", values.empty() ? "" : ", ",
                          duck::quote_literal(mark.source.column), number(mark.at),
                          number(mark.newest), number(mark.open_newest), number(mark.last_commit));
  }
  TRY(connection.execute("DELETE FROM " + table_name()));
  if (!values.empty())
    TRY(connection.execute(fmt::format("INSERT INTO {} VALUES {}", table_name(), values)));
  changed_ = false;
  return {};
}

// --- Transactions ------------------------------------------------------------------------------

void Watermarks::begin(const model::Batch& batch) {
  watched_.clear();
  watched_.resize(batch.tables.size());
  for (std::size_t i = 0; i < batch.tables.size(); ++i) {
    const model::Table& table = *batch.tables[i];
    for (std::size_t column = 0; column < table.columns.size(); ++column) {
      const auto mark = find(table.schema, table.name, table.columns[column].name);
      const std::uint32_t type = model::value(table.columns[column].type);
      if (mark && (type == kDateType || type == kTimestampType || type == kTimestampTzType))
        watched_[i].push_back({*mark, column, type});
    }
  }
}

void Watermarks::take(const model::Batch& batch, const model::Transaction& transaction) {
  if (marks_.empty() || transaction.kind != model::Transaction::Kind::kStream) return;
  const std::int64_t commit_us = model::value(transaction.commit_time);
  clock_us_ = std::max(clock_us_, commit_us);
  for (Mark& mark : marks_) {
    // What a transaction that never ended had seen.
    if (transaction.begins && mark.open_newest) mark.open_newest.reset();
  }
  for (std::uint32_t i = 0; i < transaction.change_count; ++i)
    look_at(batch, batch.changes[transaction.first_change + i], commit_us);
  if (!transaction.ends) return;
  for (Mark& mark : marks_) {
    if (!mark.open_newest) continue;
    if (!mark.newest || *mark.newest < *mark.open_newest) mark.newest = mark.open_newest;
    mark.open_newest.reset();
    advance(mark);
  }
}

void Watermarks::look_at(const model::Batch& batch, const model::Change& change,
                         std::int64_t commit_us) {
  const auto& watched = watched_[change.table];
  if (watched.empty() || change.op == model::Op::kRead || change.after == model::kNoRow) return;
  const auto row = batch.row(change.after, batch.table_of(change));
  for (const Watched& each : watched) {
    Mark& mark = marks_[each.mark];
    mark.last_commit = commit_us;
    changed_ = true;
    const auto time = time_of(row[each.column], each.type);
    if (!time || *time > commit_us + micros(mark.source.future)) continue;
    if (!mark.open_newest || *mark.open_newest < *time) mark.open_newest = *time;
  }
}

void Watermarks::advance(Mark& mark) {
  if (!mark.newest) return;
  const std::int64_t at = *mark.newest - micros(mark.source.delay);
  if (mark.at && *mark.at >= at) return;
  mark.at = at;
  changed_ = true;
}

void Watermarks::start(std::size_t mark, std::int64_t newest) {
  marks_[mark].newest = newest;
  changed_ = true;
  advance(marks_[mark]);
}

void Watermarks::forget() {
  for (Mark& mark : marks_) {
    mark.at.reset();
    mark.newest.reset();
    mark.open_newest.reset();
    mark.last_commit.reset();
  }
  changed_ = true;
}

bool Watermarks::idle(std::size_t mark) const {
  const auto& last = marks_[mark].last_commit;
  return !last || clock_us_ - *last > micros(marks_[mark].source.idle);
}

}  // namespace pgweir::views
