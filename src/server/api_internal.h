// What the files of the API share.
#pragma once

#include <string>
#include <vector>

#include "server/api.h"
#include "server/json_writer.h"

namespace pgweir::server {

struct ApiContext {
  Backend& backend;
  const HttpStats& stats;
  const io::Clock& clock;
  ApiOptions options;
};

Response json_response(JsonWriter& json);

// 404 with the nearest of the known names.
Response unknown_name(std::string_view what, const std::string& name,
                      const std::vector<std::string>& known);

// 503 while rows would be those of half a snapshot.
std::optional<Response> refuse_before_snapshot(Backend& backend);

// Turns "public.accounts", "accounts" or "public.*" into the names of captured tables. kNotFound
// with the nearest name when one fits nothing, kInvalid when one without schema fits several.
// kToo: "pgweir.messages" is a name as well.
enum class Messages { kNot, kToo };
Result<std::vector<std::string>> resolve_tables(Backend& backend,
                                                const std::vector<std::string>& patterns,
                                                Messages messages = Messages::kNot);

void write_status(JsonWriter& json, const StatusReport& status, TimeUs now);
void write_tables(JsonWriter& json, const std::vector<TableInfo>& tables);
void write_view(JsonWriter& json, const ViewInfo& view);

Response get_view_rows(const ApiContext& api, const Request& request);
Response get_view_stream(const ApiContext& api, const Request& request);
Response post_table_snapshot(const ApiContext& api, const Request& request);
Response post_sql(const ApiContext& api, const Request& request);
Response get_activity(const ApiContext& api, const Request& request);
Response get_activity_tables(const ApiContext& api, const Request& request);
Response get_activity_heatmap(const ApiContext& api, const Request& request);
Response get_tail(const ApiContext& api, const Request& request);
Response post_view_rebuild(const ApiContext& api, const Request& request);
Response post_reload(const ApiContext& api, const Request& request);
Response get_verify(const ApiContext& api, const Request& request);

}  // namespace pgweir::server
