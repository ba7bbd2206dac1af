// `pgweir verify`: asks a running pgweir to compare its mirrors, and prints what differs.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "cli/exit_code.h"
#include "cli/remote.h"
#include "cli/render.h"

namespace pgweir::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? "" : cell_of(*found).value_or("NULL");
}

std::uint64_t number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

bool flag_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

// The code of an error event, as far as its name says what the shell is told.
Code code_named(const std::string& name) {
  for (const Code code : {Code::kTimeout, Code::kInvalid, Code::kNotFound, Code::kCheckFailed,
                          Code::kCorruption, Code::kCancelled}) {
    if (name == code_name(code)) return code;
  }
  return Code::kUnavailable;
}

Error failure_of(const ServerEvent& event) {
  const Json data = Json::parse(event.data, nullptr, false);
  if (!data.is_object() || !data.contains("error"))
    return error(Code::kUnavailable, "verify was ended: " + event.name);
  return error(code_named(text_of(data["error"], "code")), text_of(data["error"], "message"));
}

// The report; what it is doing goes to stderr meanwhile.
Result<Json> run_verify(Context& context, const VerifyOptions& options) {
  TRY_ASSIGN(const auto client, connect(context));
  std::string path = "/api/v1/verify";
  if (!options.table.empty()) path += "?table=" + encode_part(options.table);
  Json report;
  const Status ended = client->stream(path, [&](const ServerEvent& event) -> Status {
    if (!event.name.empty()) return failure_of(event);
    const Json data = Json::parse(event.data, nullptr, false);
    if (data.is_object() && data.contains("progress"))
      context.output.detail("pgweir: " + text_of(data, "progress"));
    if (!data.is_object() || !data.contains("report")) return {};
    report = data["report"];
    return error(Code::kCancelled, "it has said all");
  });
  if (report.is_object()) return report;
  return ended.error();
}

std::string joined(const Json& object) {
  std::string out;
  for (const auto& [name, value] : object.items())
    out += fmt::format("{}{}={}", out.empty() ? "" : ", ", name, cell_of(value).value_or("NULL"));
  return out;
}

std::string difference_text(const Json& row) {
  std::string out = "  " + joined(row.value("key", Json::object())) + ": ";
  const std::uint64_t source = number_of(row, "source_rows");
  const std::uint64_t mirror = number_of(row, "mirror_rows");
  if (source == 0) return out + "only in the mirror\n";
  if (mirror == 0) return out + "only in the source\n";
  if (source != mirror)
    return out + fmt::format("{} times in the source, {} times in the mirror\n", source, mirror);
  std::string columns;
  for (const Json& column : list_of(row, "columns")) {
    columns +=
        fmt::format("{}{}: source {}, mirror {}", columns.empty() ? "" : "; ",
                    text_of(column, "name"), text_of(column, "source"), text_of(column, "mirror"));
  }
  return out + columns + "\n";
}

std::string verdict_text(const Json& table) {
  std::string out = text_of(table, "table") + ": ";
  if (flag_of(table, "equal"))
    return out + fmt::format("equal, {} rows\n", number_of(table, "source_rows"));
  const std::uint64_t differing = number_of(table, "differing");
  const std::uint64_t unsettled = number_of(table, "unsettled");
  if (flag_of(table, "stopped"))
    return out + "its mirror has stopped: " + text_of(table, "reason") + "\n";
  if (const Json& reason = table.value("reason", Json()); !reason.is_null())
    return out + "not compared: " + text_of(table, "reason") + "\n";
  if (differing > 0) {
    out += fmt::format("differs in {}{} of {} rows", flag_of(table, "more") ? "more than " : "",
                       differing, number_of(table, "source_rows"));
  }
  if (unsettled > 0) {
    out += fmt::format("{}{} rows changed whenever they were looked at",
                       differing > 0 ? "; " : "not settled: ", unsettled);
  }
  out += "\n";
  const Json differences = list_of(table, "differences");
  for (const Json& row : differences) out += difference_text(row);
  if (differences.size() < differing)
    out += fmt::format("  ... and {} more\n", differing - differences.size());
  return out;
}

// What the shell is told of all tables: the worst of them.
Status judge(const Json& report) {
  std::uint64_t differing = 0, stopped = 0, not_compared = 0, unsettled = 0;
  for (const Json& table : list_of(report, "tables")) {
    const bool has_reason = !table.value("reason", Json()).is_null();
    if (flag_of(table, "stopped")) {
      ++stopped;
    } else if (has_reason) {
      ++not_compared;
    } else if (number_of(table, "differing") > 0) {
      ++differing;
    } else if (number_of(table, "unsettled") > 0) {
      ++unsettled;
    }
  }
  if (differing + stopped > 0) {
    return error(Code::kCorruption,
                 fmt::format("{} of the mirrors are not equal to the source", differing + stopped),
                 {}, "`docs/verify.md` says what that means and how to put it right");
  }
  if (not_compared > 0)
    return error(Code::kUnavailable, fmt::format("{} tables could not be compared", not_compared));
  if (unsettled > 0) {
    return error(Code::kTimeout,
                 fmt::format("in {} tables some rows changed at every look", unsettled), {},
                 "run it again when there is less load on them");
  }
  return {};
}

}  // namespace

int verify(Context& context, const VerifyOptions& options) {
  const auto report = run_verify(context, options);
  if (!report.ok()) return context.output.fail(report.error());
  if (context.output.json()) {
    context.output.json(*report);
  } else {
    for (const Json& table : list_of(*report, "tables"))
      context.output.out() << verdict_text(table);
    context.output.out() << std::flush;
  }
  const Status judged = judge(*report);
  if (!judged.ok()) return context.output.fail(judged.error());
  if (!context.output.json()) context.output.line("verify: equal at " + text_of(*report, "lsn"));
  return static_cast<int>(Exit::kOk);
}

}  // namespace pgweir::cli
