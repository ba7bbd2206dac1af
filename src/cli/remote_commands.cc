// The commands that ask a running pgweir through its HTTP API.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/http_client.h"
#include "cli/output.h"
#include "cli/remote.h"
#include "cli/render.h"
#include "cli/stop_signals.h"

namespace pgweir::cli {
namespace {

using Json = nlohmann::ordered_json;

// Where a server that listens everywhere is reached from here.
std::string reachable(const std::string& listen) {
  if (listen.starts_with("0.0.0.0:")) return "127.0.0.1" + listen.substr(7);
  if (listen.starts_with("[::]:")) return "[::1]" + listen.substr(4);
  return listen;
}

// --server names another pgweir than the configuration's; its token then comes from PGWEIR_TOKEN.
HttpClientOptions named_server(const Context& context) {
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  HttpClientOptions options;
  options.address = context.server;
  options.tls = context.server.starts_with(kTls);
  if (options.tls) options.address.erase(0, kTls.size());
  if (options.address.starts_with(kPlain)) options.address.erase(0, kPlain.size());
  while (options.address.ends_with('/')) options.address.pop_back();
  options.token = config::Secret(context.environment("PGWEIR_TOKEN").value_or(""));
  return options;
}

Result<Json> ask(const Context& context, const std::string& path) {
  TRY_ASSIGN(const auto client, connect(context));
  TRY_ASSIGN(const std::string body, client->get(path));
  return parse_answer(body);
}

// Prints a whole answer as JSON, or through `text`.
template <typename Text>
int show(Context& context, const std::string& path, Text text) {
  const auto answer = ask(context, path);
  if (!answer.ok()) return context.output.fail(answer.error());
  if (context.output.json()) {
    context.output.json(*answer);
  } else {
    text(*answer);
  }
  return 0;
}

Status print_event(Context& context, const TailOptions& options, const ServerEvent& event) {
  const Json data = Json::parse(event.data, nullptr, false);
  if (event.name == "error" || event.name == "dropped" || event.name == "end") {
    std::string message = event.name == "end" ? "the server ended the stream" : event.data;
    if (data.is_object() && data.contains("error") && data["error"].is_object())
      message = cell_of(data["error"].value("message", Json(message))).value_or(message);
    return error(Code::kUnavailable, message);
  }
  if (event.name == "oversized" || !data.is_object()) {
    context.output.message("pgweir: a change is too large to be shown");
    return {};
  }
  context.output.line(options.json ? json_line(data) : change_text(data));
  return {};
}

std::string text_of(const Json& object, const char* key) {
  return cell_of(object.value(key, Json())).value_or("");
}

// What was built anew, and what that means for who has taken windows of it already.
std::vector<std::string> rebuilt_lines(const Json& answer) {
  const auto names = [&](const char* key) {
    std::vector<std::string> out;
    for (const Json& name : list_of(answer, key)) out.push_back(cell_of(name).value_or(""));
    return out;
  };
  std::vector<std::string> rebuilt = names("rebuilt");
  if (rebuilt.empty()) return {};
  std::vector<std::string> lines = {rebuilt.front() + " is built anew"};
  rebuilt.erase(rebuilt.begin());
  if (!rebuilt.empty())
    lines.push_back(fmt::format("with it, as they read it: {}", fmt::join(rebuilt, ", ")));
  for (const std::string& view : names("emitted_anew")) {
    lines.push_back(
        fmt::format("{} is in append mode: its windows that had left have left anew, "
                    "of what the tables hold now, late rows included",
                    view));
  }
  for (const Json& view : list_of(answer, "waiting")) {
    lines.push_back(fmt::format("{} waits: {}", text_of(view, "view"), text_of(view, "reason")));
  }
  return lines;
}

Status run_tail(Context& context, const TailOptions& options) {
  TRY_ASSIGN(const auto client, connect(context));
  std::string path = "/api/v1/tail";
  char separator = '?';
  const auto add = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    path += fmt::format("{}{}={}", separator, name, encode_part(value));
    separator = '&';
  };
  add("table", options.table);
  add("op", options.op);
  return client->stream(
      path, [&](const ServerEvent& event) { return print_event(context, options, event); });
}

}  // namespace

Result<nlohmann::ordered_json> parse_answer(const std::string& body) {
  Json answer = Json::parse(body, nullptr, false);
  if (!answer.is_object())
    return error(Code::kUnavailable, "the answer is not the JSON object that pgweir sends", {},
                 "Is it a pgweir that listens there?");
  return answer;
}

Result<std::unique_ptr<HttpClient>> connect(const Context& context) {
  if (!context.server.empty()) return std::make_unique<HttpClient>(named_server(context));
  TRY_ASSIGN(const config::Config config, load_config(context));
  HttpClientOptions options;
  options.address = reachable(config.server.listen);
  options.tls = !config.server.tls.certificate.empty();
  options.pinned_file = config.server.tls.certificate;
  options.token = config.server.token;
  return std::make_unique<HttpClient>(std::move(options));
}

int status(Context& context) {
  return show(context, "/api/v1/status", [&](const Json& answer) {
    context.output.out() << status_text(answer) << std::flush;
  });
}

int top(Context& context) {
  StopSignals signals({});
  while (true) {
    const auto answer = ask(context, "/api/v1/status");
    if (!answer.ok()) return context.output.fail(answer.error());
    if (context.output.json()) {
      context.output.json(*answer);
    } else {
      context.output.out() << "\033[H\033[2J" << status_text(*answer) << std::flush;
    }
    const auto signal = signals.wait(std::chrono::seconds(1), nullptr);
    if (!signal.ok()) return context.output.fail(signal.error());
    if (*signal != 0) return 0;
  }
}

int snapshot(Context& context, const std::string& table) {
  const auto answer = [&]() -> Result<Json> {
    TRY_ASSIGN(const auto client, connect(context));
    TRY_ASSIGN(const std::string body,
               client->post("/api/v1/tables/snapshot", json_line(Json{{"table", table}})));
    return parse_answer(body);
  }();
  if (!answer.ok()) return context.output.fail(answer.error());
  if (context.output.json()) {
    context.output.json(*answer);
    return 0;
  }
  for (const Json& name : list_of(*answer, "tables"))
    context.output.line(name.get<std::string>() + " is read; `pgweir status` shows how far it is");
  return 0;
}

int tables(Context& context) {
  return show(context, "/api/v1/tables", [&](const Json& answer) {
    context.output.table(pick_table(
        list_of(answer, "tables"),
        {"schema", "name", "rows", "inserts", "updates", "deletes", "last_change", "error"}));
  });
}

int tail(Context& context, const TailOptions& options) {
  const Status ended = run_tail(context, options);
  return ended.ok() ? 0 : context.output.fail(ended.error());
}

int views_list(Context& context) {
  return show(context, "/api/v1/views", [&](const Json& answer) {
    context.output.table(
        pick_table(list_of(answer, "views"), {"name", "state", "strategy", "rows", "last_batch_ms",
                                              "longest_batch_ms", "position", "error"}));
  });
}

int views_show(Context& context, const std::string& name) {
  return show(context, "/api/v1/views/" + encode_part(name), [&](const Json& answer) {
    context.output.out() << lines_text(answer) << std::flush;
  });
}

// "3.1 ms of 40 changes; of late at most 12.5 ms of 900 changes; its budget is 10000 ms".
std::string batches_text(const Json& view) {
  const auto batch = [&](const std::string& which) {
    return fmt::format("{:.1f} ms of {} changes", view[which + "_batch_ms"].get<double>(),
                       view[which + "_batch_changes"].get<std::uint64_t>());
  };
  std::string text = batch("last");
  if (view.contains("longest_batch_ms")) text += "; of late at most " + batch("longest");
  if (view.contains("budget_ms"))
    text += fmt::format("; its budget is {} ms", view["budget_ms"].get<std::uint64_t>());
  return text;
}

int views_explain(Context& context, const std::string& name) {
  return show(context, "/api/v1/views/" + encode_part(name), [&](const Json& answer) {
    Json wanted = Json::object();
    for (const char* key : {"name", "strategy", "reason", "mode", "state", "error"}) {
      if (answer.contains(key) && !answer[key].is_null()) wanted[key] = answer[key];
    }
    if (answer.contains("last_batch_ms")) wanted["batches"] = batches_text(answer);
    context.output.out() << lines_text(wanted) << std::flush;
  });
}

int views_rebuild(Context& context, const std::string& name) {
  const auto answer = [&]() -> Result<Json> {
    TRY_ASSIGN(const auto client, connect(context));
    TRY_ASSIGN(const std::string body,
               client->post("/api/v1/views/" + encode_part(name) + "/rebuild", "{}"));
    return parse_answer(body);
  }();
  if (!answer.ok()) return context.output.fail(answer.error());
  if (context.output.json()) {
    context.output.json(*answer);
  } else {
    for (const std::string& line : rebuilt_lines(*answer)) context.output.line(line);
  }
  if (!answer->value("done", true)) {
    return context.output.fail(
        error(Code::kTimeout, fmt::format("view {} is still being built", name), {},
              "It goes on: `pgweir views list` shows its state, the log of pgweir its end"));
  }
  const Json failed = list_of(*answer, "failed");
  if (failed.empty()) return 0;
  std::string reasons;
  for (const Json& view : failed) {
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "\n", text_of(view, "view"),
                           text_of(view, "error"));
  }
  return context.output.fail(
      error(Code::kInvalid, "views that read it could not be built", reasons));
}

}  // namespace pgweir::cli
