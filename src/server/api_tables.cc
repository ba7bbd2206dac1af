// What can be asked for tables, and of the configuration.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/api_internal.h"
#include "server/params.h"

namespace pgweir::server {
namespace {

void write_names(JsonWriter& json, const char* key, const std::vector<std::string>& names) {
  json.key(key).begin_array();
  for (const std::string& name : names) json.string(name);
  json.end_array();
}

void write_pairs(JsonWriter& json, const char* key, const char* first, const char* second,
                 const std::vector<std::pair<std::string, std::string>>& pairs) {
  json.key(key).begin_array();
  for (const auto& [one, other] : pairs)
    json.begin_object().key(first).string(one).key(second).string(other).end_object();
  json.end_array();
}

}  // namespace

Response post_table_snapshot(const ApiContext& api, const Request& request) {
  const Status status = Params(request, {}).status();
  if (!status.ok()) return error_response(status.error());
  const auto body = nlohmann::json::parse(request.body, nullptr, false);
  if (!body.is_object() || !body.contains("table") || !body["table"].is_string())
    return error_response(400, "invalid", "the field 'table' is missing or not a text",
                          "send {\"table\": \"public.orders\"}; * and ? match any names");
  const auto names = api.backend.read_tables(body["table"].get<std::string>());
  if (!names.ok()) return error_response(names.error());
  JsonWriter json;
  json.begin_object().key("tables").begin_array();
  for (const std::string& name : *names) json.string(name);
  json.end_array().end_object();
  return json_response(json);
}

Response post_reload(const ApiContext& api, const Request& request) {
  const Status status = Params(request, {}).status();
  if (!status.ok()) return error_response(status.error());
  const auto report = api.backend.reload();
  if (!report.ok()) return error_response(report.error());
  JsonWriter json;
  json.begin_object().key("done").boolean(report->done);
  const auto names = [&](const char* key, const auto& list) { write_names(json, key, list); };
  const auto pairs = [&](const char* key, const char* first, const char* second, const auto& list) {
    write_pairs(json, key, first, second, list);
  };
  names("added", report->added);
  names("changed", report->changed);
  names("dropped", report->dropped);
  pairs("renamed", "from", "to", report->renamed);
  names("unchanged", report->unchanged);
  pairs("failed", "view", "error", report->failed);
  json.end_object();
  Response response = json_response(json);
  if (!report->done) response.status = 202;
  return response;
}

Response post_view_rebuild(const ApiContext& api, const Request& request) {
  const Status status = Params(request, {}).status();
  if (!status.ok()) return error_response(status.error());
  const std::string& name = request.placeholder("name");
  std::vector<std::string> known;
  for (const ViewInfo& view : api.backend.view_definitions()) known.push_back(view.name);
  if (std::find(known.begin(), known.end(), name) == known.end())
    return unknown_name("view", name, known);
  const auto report = api.backend.rebuild_view(name);
  if (!report.ok()) return error_response(report.error());
  JsonWriter json;
  json.begin_object().key("done").boolean(report->done);
  write_names(json, "rebuilt", report->rebuilt);
  write_names(json, "emitted_anew", report->emitted_anew);
  write_pairs(json, "waiting", "view", "reason", report->waiting);
  write_pairs(json, "failed", "view", "error", report->failed);
  json.end_object();
  Response response = json_response(json);
  if (!report->done) response.status = 202;
  return response;
}

}  // namespace pgweir::server
