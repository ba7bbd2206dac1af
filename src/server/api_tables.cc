// What can be asked for tables.
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

}  // namespace pgweir::server
