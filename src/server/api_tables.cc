// What can be asked for tables, and of the configuration.
#include <nlohmann/json.hpp>

#include "server/api_internal.h"
#include "server/params.h"

namespace pgweir::server {

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
  const auto names = [&](const char* key, const std::vector<std::string>& list) {
    json.key(key).begin_array();
    for (const std::string& name : list) json.string(name);
    json.end_array();
  };
  const auto pairs = [&](const char* key, const char* first, const char* second, const auto& list) {
    json.key(key).begin_array();
    for (const auto& [one, other] : list)
      json.begin_object().key(first).string(one).key(second).string(other).end_object();
    json.end_array();
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

}  // namespace pgweir::server
