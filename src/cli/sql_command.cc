// `pgweir sql`: once, or again whenever the answer may have changed.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/render.h"
#include "cli/stop_signals.h"

namespace pgweir::cli {
namespace {

using Json = nlohmann::ordered_json;

// The position is looked at so often; the query runs again no more often than that.
constexpr Milliseconds kWatchInterval{500};

Result<Json> ask_sql(HttpClient& client, const SqlOptions& options) {
  const Json request = {
      {"sql", options.sql}, {"limit", options.limit}, {"timeout_ms", options.timeout.count()}};
  // The server keeps the time; this only ends a wait for a server that does not.
  const Milliseconds patience = options.timeout + std::chrono::seconds(15);
  TRY_ASSIGN(const std::string body, client.post("/api/v1/sql", json_line(request), patience));
  return parse_answer(body);
}

// Where the engine stands, as the status tells it.
Result<std::string> engine_position(HttpClient& client) {
  TRY_ASSIGN(const std::string body, client.get("/api/v1/status"));
  TRY_ASSIGN(const Json status, parse_answer(body));
  for (const Json& follower : list_of(status, "followers")) {
    // Views change by the clock alone, too.
    if (follower.value("kind", "") == "engine")
      return json_line(follower["position"]) + json_line(status.value("now", Json()));
  }
  return std::string();
}

Format format_of(const Context& context, const SqlOptions& options) {
  return options.format.value_or(context.output.json() ? Format::kJson : Format::kTable);
}

void print_answer(Context& context, const SqlOptions& options, const Json& answer) {
  Output& output = context.output;
  const Table table = rows_table(answer);
  switch (format_of(context, options)) {
    case Format::kTable:
      output.table(table);
      break;
    case Format::kCsv:
      output.out() << csv_text(table) << std::flush;
      break;
    case Format::kJsonl:
      for (const Json& row : rows_objects(answer)) output.out() << json_line(row) << '\n';
      output.out() << std::flush;
      break;
    case Format::kJson:
      output.json(answer);
      break;
  }
  if (answer.value("truncated", Json(false)) == true) {
    output.message(
        fmt::format("pgweir: only the first {} rows are shown; --limit takes more", options.limit));
  }
}

// On a terminal in the place of the answer before; else behind it, JSON on one line each.
void print_watched(Context& context, const SqlOptions& options, const Json& answer, bool is_first) {
  const Format format = format_of(context, options);
  std::ostream& out = context.output.out();
  if (format == Format::kJson) {
    Json whole = {{"schema_version", 1}};
    whole.update(answer);
    out << json_line(whole) << '\n' << std::flush;
    return;
  }
  const bool redraws = format == Format::kTable && stdout_is_terminal();
  if (redraws) {
    out << "\033[H\033[2J";
  } else if (format == Format::kTable && !is_first) {
    out << '\n';
  }
  print_answer(context, options, answer);
  if (redraws) {
    const std::string position = cell_of(answer.value("position", Json())).value_or("");
    context.output.line(fmt::format("at {}; Ctrl-C ends", position));
  }
}

Status watch(Context& context, const SqlOptions& options) {
  StopSignals signals;
  TRY_ASSIGN(const auto client, connect(context));
  client->cancel_when([&signals] {
    const auto signal = signals.wait(Microseconds(0), nullptr);
    return !signal.ok() || *signal != 0;
  });
  std::optional<std::string> position;  // that the last answer is of, or of before
  std::optional<std::string> rows;
  while (true) {
    TRY_ASSIGN(std::string now, engine_position(*client));
    if (now != position) {
      position = std::move(now);
      TRY_ASSIGN(const Json answer, ask_sql(*client, options));
      std::string text = json_line(answer.value("rows", Json()));
      if (text != rows) print_watched(context, options, answer, !rows);
      rows = std::move(text);
    }
    TRY_ASSIGN(const int signal, signals.wait(kWatchInterval, nullptr));
    if (signal != 0) return {};
  }
}

}  // namespace

int sql(Context& context, const SqlOptions& options) {
  if (options.watch) {
    const Status ended = watch(context, options);
    const bool is_asked = ended.ok() || ended.error().code == Code::kCancelled;
    return is_asked ? 0 : context.output.fail(ended.error());
  }
  const auto answer = [&]() -> Result<Json> {
    TRY_ASSIGN(const auto client, connect(context));
    return ask_sql(*client, options);
  }();
  if (!answer.ok()) return context.output.fail(answer.error());
  print_answer(context, options, *answer);
  return 0;
}

}  // namespace pgweir::cli
