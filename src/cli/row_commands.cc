// `pgweir history` and `pgweir undo`: a table's changes out of the log in the data folder.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include "pipeline/row_history.h"
#include "pipeline/undo.h"
#include "server/rows.h"

namespace pgweir::cli {
namespace {

using Json = nlohmann::ordered_json;

const char* word_of(model::Op op) {
  switch (op) {
    case model::Op::kInsert:
      return "insert";
    case model::Op::kUpdate:
      return "update";
    case model::Op::kDelete:
      return "delete";
    case model::Op::kTruncate:
      return "truncate";
    case model::Op::kMessage:
      return "message";
    case model::Op::kRead:
      return "read";
  }
  return "";
}

const pipeline::LogRow* row_of(const pipeline::RowVersion& version) {
  if (version.change.after) return &*version.change.after;
  return version.change.before ? &*version.change.before : nullptr;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "id=1, *balance=5, note=?"
std::string row_text(const pipeline::RowVersion& version) {
  const pipeline::LogRow* row = row_of(version);
  std::string out;
  for (std::size_t i = 0; row != nullptr && i < row->values.size(); ++i) {
    const std::string& name = row->table->columns[i].name;
    const pipeline::LogValue& value = row->values[i];
    const char* mark = contains(version.changed, name) ? "*" : "";
    const std::string text = !value.known()                                  ? "?"
                             : value.kind == pipeline::LogValue::Kind::kNull ? "NULL"
                                                                             : value.text;
    out += fmt::format("{}{}{}={}", out.empty() ? "" : ", ", mark, name, text);
  }
  return out;
}

Json version_json(const pipeline::RowVersion& version, std::size_t life) {
  const pipeline::RowChange& change = version.change;
  Json row;
  if (const pipeline::LogRow* values = row_of(version)) {
    for (std::size_t i = 0; i < values->values.size(); ++i) {
      const pipeline::LogValue& value = values->values[i];
      if (!value.known()) continue;
      Json& cell = row[values->table->columns[i].name];
      if (value.kind == pipeline::LogValue::Kind::kText) cell = value.text;
    }
  }
  return {{"life", life},
          {"op", word_of(change.op)},
          {"lsn", model::to_string(change.position.lsn)},
          {"position", model::to_string(change.position)},
          {"time", server::format_time(model::value(change.commit_time))},
          {"xid", change.in_stream ? Json(static_cast<std::uint32_t>(change.xid)) : Json()},
          {"row", row},
          {"changed", version.changed},
          {"unknown", version.unknown}};
}

struct History {
  std::string table;
  std::vector<pipeline::RowLife> lives;
  model::Lsn log_begin{};
};

Result<History> read_history(Context& context, const HistoryOptions& options) {
  TRY_ASSIGN(const std::string directory, log_directory(context));
  TRY_ASSIGN(auto log, pipeline::RowLog::open(context.fs, directory, options.table));
  TRY_ASSIGN(const pipeline::LogRow key, pipeline::parse_key(log.table(), options.key));
  History out;
  out.table = log.table().qualified_name();
  TRY_ASSIGN(out.lives, pipeline::row_history(log, key, {}));
  out.log_begin = std::max(log.begin().lsn, log.epoch_begin());
  if (!out.lives.empty()) return out;
  return error(Code::kNotFound,
               fmt::format("the log has no row of {} with the key {}", out.table, options.key),
               fmt::format("it begins at {}", model::to_string(out.log_begin)),
               "keys are compared as PostgreSQL prints them");
}

Result<model::Lsn> lsn_of(const char* option, const std::string& text) {
  auto lsn = model::parse_lsn(text);
  if (lsn.ok()) return lsn;
  return error(Code::kUsage, fmt::format("{}: {}", option, lsn.error().message), {},
               "an LSN such as 0/16B3748; `pgweir history` and `pgweir tail` show them");
}

struct Undo {
  pipeline::UndoScript script;
  std::string sql;
};

Result<Undo> make_undo(Context& context, const UndoOptions& options) {
  TRY_ASSIGN(const model::Lsn from, lsn_of("--from", options.from));
  TRY_ASSIGN(const model::Lsn to, lsn_of("--to", options.to));
  TRY_ASSIGN(const std::string directory, log_directory(context));
  TRY_ASSIGN(auto log, pipeline::RowLog::open(context.fs, directory, options.table));
  TRY_ASSIGN(const config::Config config, load_config(context));
  Undo out;
  TRY_ASSIGN(out.script,
             pipeline::undo_script(log, from, to,
                                   {.snapshots_have_rows = config.source.snapshot.mode !=
                                                           config::SnapshotMode::kNever}));
  out.sql = out.script.sql(log.table(), from, to);
  return out;
}

}  // namespace

int history(Context& context, const HistoryOptions& options) {
  const auto history = read_history(context, options);
  if (!history.ok()) return context.output.fail(history.error());
  const bool complete = history->lives.front().begins_in_log;
  Json versions = Json::array();
  for (std::size_t i = 0; i < history->lives.size(); ++i) {
    if (i > 0 && !context.output.json()) context.output.line("");
    for (const pipeline::RowVersion& version : history->lives[i].versions) {
      if (context.output.json()) {
        versions.push_back(version_json(version, i + 1));
        continue;
      }
      const pipeline::RowChange& change = version.change;
      context.output.line(fmt::format(
          "{}  {}  {:8}  {}{}", model::to_string(change.position.lsn),
          server::format_time(model::value(change.commit_time)), word_of(change.op),
          change.in_stream ? fmt::format("xid {}  ", static_cast<std::uint32_t>(change.xid)) : "",
          row_text(version)));
    }
  }
  if (context.output.json()) {
    context.output.json({{"table", history->table},
                         {"complete", complete},
                         {"log_begin", model::to_string(history->log_begin)},
                         {"versions", versions}});
  } else if (!complete) {
    context.output.message(
        fmt::format("pgweir: the row is older than the log, which begins at {}: its versions "
                    "before that are gone",
                    model::to_string(history->log_begin)));
  }
  return static_cast<int>(Exit::kOk);
}

int undo(Context& context, const UndoOptions& options) {
  const auto undo = make_undo(context, options);
  if (!undo.ok()) return context.output.fail(undo.error());
  const pipeline::UndoScript& script = undo->script;
  if (context.output.json()) {
    Json refused = Json::array();
    for (const pipeline::RefusedRow& row : script.refused)
      refused.push_back({{"key", row.key}, {"reason", row.reason}});
    context.output.json({{"changes", script.changes},
                         {"statements", script.statements.size()},
                         {"refused", refused},
                         {"sql", undo->sql}});
  } else {
    context.output.out() << undo->sql << std::flush;
  }
  if (script.refused.empty()) return static_cast<int>(Exit::kOk);
  std::string rows;
  for (const pipeline::RefusedRow& row : script.refused)
    rows += fmt::format("{}{}: {}", rows.empty() ? "" : "\n", row.key, row.reason);
  return context.output.fail(error(
      Code::kCheckFailed,
      fmt::format("the changes of {} rows are not taken back by it", script.refused.size()), rows,
      "a log that reaches further back, or REPLICA IDENTITY FULL, has what is missing"));
}

}  // namespace pgweir::cli
