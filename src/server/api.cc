#include "server/api.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "model/message.h"
#include "server/api_internal.h"
#include "server/metrics.h"
#include "server/params.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

using Call = Response (*)(const ApiContext&, const Request&);

std::vector<std::string> table_names(const std::vector<TableInfo>& tables) {
  std::vector<std::string> names;
  for (const TableInfo& table : tables) names.push_back(table.schema + "." + table.name);
  return names;
}

Response get_health(const ApiContext&, const Request&) {
  JsonWriter json;
  json.begin_object().key("ok").boolean(true).end_object();
  return json_response(json);
}

Response get_ready(const ApiContext& api, const Request&) {
  const Readiness readiness = api.backend.readiness();
  if (!readiness.not_ready.empty()) {
    Response response =
        error_response(503, "not_ready", fmt::format("{}", fmt::join(readiness.not_ready, "; ")),
                       "GET /api/v1/status says more");
    response.headers.emplace_back("Retry-After", "1");
    return response;
  }
  JsonWriter json;
  json.begin_object().key("ready").boolean(true).end_object();
  return json_response(json);
}

Response get_metrics(const ApiContext& api, const Request&) {
  std::vector<MetricFamily> families =
      collect_metrics(api.backend.status(), api.backend.tables(), api.backend.views(), api.stats);
  for (MetricFamily& family : api.backend.metrics()) families.push_back(std::move(family));
  Response response;
  response.content_type = kMetricsContentType;
  response.body = render_metrics(families);
  return response;
}

Response get_status(const ApiContext& api, const Request&) {
  JsonWriter json;
  write_status(json, api.backend.status(), api.clock.now_us());
  return json_response(json);
}

Response get_tables(const ApiContext& api, const Request&) {
  JsonWriter json;
  write_tables(json, api.backend.tables());
  return json_response(json);
}

Response get_views(const ApiContext& api, const Request&) {
  JsonWriter json;
  json.begin_object().key("views").begin_array();
  for (const ViewInfo& view : api.backend.views()) write_view(json, view);
  json.end_array().end_object();
  return json_response(json);
}

Response get_view(const ApiContext& api, const Request& request) {
  std::vector<std::string> names;
  for (const ViewInfo& view : api.backend.views()) {
    if (view.name == request.placeholder("name")) {
      JsonWriter json;
      write_view(json, view);
      return json_response(json);
    }
    names.push_back(view.name);
  }
  return unknown_name("view", request.placeholder("name"), names);
}

// Most calls take no parameters; saying so beats ignoring a mistyped one.
Response without_parameters(Call call, const ApiContext& api, const Request& request) {
  const Status status = Params(request, {}).status();
  return status.ok() ? call(api, request) : error_response(status.error());
}

void add_unbuilt(Router& router) {
  static constexpr std::array<std::pair<const char*, const char*>, 19> kUnbuilt{{
      {"GET", "/api/v1/transactions"},
      {"GET", "/api/v1/changes"},
      {"GET", "/api/v1/wal"},
      {"GET", "/api/v1/advice"},
      {"GET", "/api/v1/alerts"},
      {"GET", "/api/v1/reports"},
      {"POST", "/api/v1/sinks/{name}/pause"},
      {"POST", "/api/v1/sinks/{name}/resume"},
      {"POST", "/api/v1/sinks/{name}/rewind"},
      {"GET", "/connectors"},
      {"POST", "/connectors"},
      {"GET", "/connectors/{name}"},
      {"DELETE", "/connectors/{name}"},
      {"GET", "/connectors/{name}/config"},
      {"PUT", "/connectors/{name}/config"},
      {"GET", "/connectors/{name}/status"},
      {"PUT", "/connectors/{name}/pause"},
      {"PUT", "/connectors/{name}/resume"},
      {"POST", "/connectors/{name}/restart"},
  }};
  for (const auto& [method, path] : kUnbuilt) {
    router.add({method, path, [](const Request& request) {
                  return error_response(
                      501, "unsupported",
                      request.method + " " + request.path + " is planned, but not built yet",
                      "docs/http_api.md lists the calls that are");
                }});
  }
}

}  // namespace

Response json_response(JsonWriter& json) {
  Response response;
  response.body = json.take();
  return response;
}

Response unknown_name(std::string_view what, const std::string& name,
                      const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(name, known);
  std::string hint = fmt::format("there are no {}s", what);
  if (!nearest.empty()) {
    hint = fmt::format("did you mean '{}'?", nearest);
  } else if (!known.empty()) {
    hint = fmt::format("known: {}", fmt::join(known, ", "));
  }
  return error_response(404, "not_found", fmt::format("there is no {} '{}'", what, name), hint);
}

std::optional<Response> refuse_before_snapshot(Backend& backend) {
  if (backend.readiness().snapshot_complete) return std::nullopt;
  Response response = error_response(503, "snapshot_in_progress",
                                     "the first snapshot of the source is not complete yet",
                                     "GET /api/v1/status shows its progress");
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

Result<std::vector<std::string>> resolve_tables(Backend& backend,
                                                const std::vector<std::string>& patterns,
                                                Messages messages) {
  std::vector<std::string> out;
  if (patterns.empty()) return out;
  static const std::string kMessages = model::messages_table()->qualified_name();
  const std::vector<std::string> names = table_names(backend.tables());
  for (const std::string& pattern : patterns) {
    const bool is_glob = pattern.find_first_of("*?") != std::string::npos;
    const bool has_schema = pattern.find('.') != std::string::npos;
    std::vector<std::string> found;
    for (const std::string& name : names) {
      if (glob_matches(has_schema ? pattern : "*." + pattern, name)) found.push_back(name);
    }
    if (messages == Messages::kToo && has_schema && glob_matches(pattern, kMessages))
      found.push_back(kMessages);
    if (found.empty()) {
      const std::string nearest = nearest_name(has_schema ? pattern : "public." + pattern, names);
      return error(Code::kNotFound, fmt::format("there is no captured table '{}'", pattern), {},
                   nearest.empty() ? "GET /api/v1/tables lists them"
                                   : fmt::format("did you mean '{}'?", nearest));
    }
    if (!is_glob && found.size() > 1)
      return error(Code::kInvalid,
                   fmt::format("parameter 'table' is '{}', which fits several tables", pattern), {},
                   fmt::format("name one of {}", fmt::join(found, ", ")));
    out.insert(out.end(), found.begin(), found.end());
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void add_api(Router& router, Backend& backend, const HttpStats& stats, const io::Clock& clock,
             ApiOptions options) {
  const auto api = std::make_shared<const ApiContext>(ApiContext{backend, stats, clock, options});
  const auto plain = [&](const char* path, Call call, Access access = Access::kToken) {
    router.add(
        {"GET", path,
         [api, call](const Request& request) { return without_parameters(call, *api, request); },
         Lane::kQuick, access});
  };
  const auto query = [&](const char* method, const char* path, Call call) {
    router.add({method, path, [api, call](const Request& request) { return call(*api, request); },
                Lane::kQuery});
  };
  plain("/healthz", get_health, Access::kOpen);
  plain("/readyz", get_ready, Access::kOpen);
  plain("/metrics", get_metrics);
  plain("/api/v1/status", get_status);
  plain("/api/v1/tables", get_tables);
  plain("/api/v1/views", get_views);
  plain("/api/v1/views/{name}", get_view);
  query("GET", "/api/v1/views/{name}/rows", get_view_rows);
  query("GET", "/api/v1/views/{name}/stream", get_view_stream);
  query("POST", "/api/v1/sql", post_sql);
  query("POST", "/api/v1/tables/snapshot", post_table_snapshot);
  query("GET", "/api/v1/activity", get_activity);
  query("GET", "/api/v1/activity/tables", get_activity_tables);
  query("GET", "/api/v1/activity/heatmap", get_activity_heatmap);
  query("GET", "/api/v1/tail", get_tail);
  query("GET", "/api/v1/verify", get_verify);
  query("POST", "/api/v1/views/{name}/rebuild", post_view_rebuild);
  query("POST", "/api/v1/reload", post_reload);
  add_unbuilt(router);
}

}  // namespace pgweir::server
