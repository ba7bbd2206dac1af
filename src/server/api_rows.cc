// Rows of views, and SQL.
#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/api_internal.h"
#include "server/event_stream.h"
#include "server/params.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

enum class RowsFormat { kJson, kCsv, kParquet };

// "balance,-account_id": a '-' before a name means descending.
std::vector<OrderBy> parse_order(Params& params, const ViewInfo& view) {
  std::vector<std::string> names;
  for (const RowColumn& column : view.columns) names.push_back(column.name);
  const auto is_column = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  std::vector<OrderBy> order;
  for (const std::string& item : params.list("order")) {
    const bool descending = !is_column(item) && item.front() == '-';
    const std::string name = descending ? item.substr(1) : item;
    if (!is_column(name)) {
      const std::string nearest = nearest_name(name, names);
      params.refuse("order", fmt::format("names '{}', which is no column of the view", name),
                    nearest.empty() ? fmt::format("its columns: {}", fmt::join(names, ", "))
                                    : fmt::format("did you mean '{}'?", nearest));
      return {};
    }
    order.push_back({name, descending});
  }
  return order;
}

Response rows_response(const RowsAnswer& answer, RowsFormat format) {
  Response response;
  if (format == RowsFormat::kCsv) {
    response.content_type = "text/csv; charset=utf-8; header=present";
    response.headers.emplace_back("Pgweir-Position", model::to_string(answer.position));
    response.body = rows_as_csv(answer.rows);
    return response;
  }
  JsonWriter json;
  json.begin_object();
  write_rows(json, answer.rows);
  json.key("position");
  write_lsn(json, answer.position);
  json.key("time");
  write_time(json, answer.time);
  json.key("total").integer(answer.total);
  json.end_object();
  return json_response(json);
}

Error bad_field(std::string_view field, std::string_view what) {
  return error(Code::kInvalid, fmt::format("field '{}' {}", field, what), {},
               R"(send {"sql":"SELECT …","params":[],"limit":1000,"timeout_ms":10000})");
}

Result<std::uint64_t> read_integer(const nlohmann::json& body, const char* field,
                                   std::uint64_t standard, std::uint64_t max) {
  const auto found = body.find(field);
  if (found == body.end() || found->is_null()) return standard;
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() < 1 ||
      found->get<std::uint64_t>() > max)
    return bad_field(field, fmt::format("is not a whole number from 1 to {}", max));
  return found->get<std::uint64_t>();
}

Result<SqlParameter> read_parameter(const nlohmann::json& value, std::size_t number) {
  if (value.is_null()) return SqlParameter(std::monostate());
  if (value.is_boolean()) return SqlParameter(value.get<bool>());
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)
    return SqlParameter(value.dump());
  if (value.is_number_integer()) return SqlParameter(value.get<std::int64_t>());
  if (value.is_number_float()) return SqlParameter(value.get<double>());
  if (value.is_string()) return SqlParameter(value.get<std::string>());
  return bad_field("params", fmt::format("holds a list or an object as parameter {}", number));
}

Result<SqlRequest> read_sql(const std::string& text, const ApiOptions& options) {
  const nlohmann::json body = nlohmann::json::parse(text, nullptr, false);
  if (body.is_discarded() || !body.is_object())
    return error(Code::kInvalid, "the request's body is not a JSON object", {},
                 R"(send {"sql":"SELECT …"})");
  const std::vector<std::string> known{"sql", "params", "limit", "timeout_ms"};
  for (const auto& [field, value] : body.items()) {
    if (std::find(known.begin(), known.end(), field) == known.end())
      return error(Code::kInvalid, fmt::format("unknown field '{}'", field), {},
                   fmt::format("known: {}", fmt::join(known, ", ")));
  }
  SqlRequest out;
  const auto sql = body.find("sql");
  if (sql == body.end() || !sql->is_string() || sql->get_ref<const std::string&>().empty())
    return bad_field("sql", "is missing or not a text");
  out.sql = sql->get<std::string>();
  if (const auto params = body.find("params"); params != body.end() && !params->is_null()) {
    if (!params->is_array()) return bad_field("params", "is not a list");
    for (const auto& value : *params) {
      TRY_ASSIGN(auto parameter, read_parameter(value, out.parameters.size() + 1));
      out.parameters.push_back(std::move(parameter));
    }
  }
  TRY_ASSIGN(out.limit,
             read_integer(body, "limit", options.sql_limit_default, options.sql_limit_max));
  const auto count = [](Milliseconds duration) {
    return static_cast<std::uint64_t>(duration.count());
  };
  TRY_ASSIGN(const auto timeout,
             read_integer(body, "timeout_ms", count(options.sql_timeout_default),
                          count(options.sql_timeout_max)));
  out.timeout = Milliseconds(timeout);
  out.bytes_max = options.answer_bytes_max;
  return out;
}

// The view in the path, or the answer that there is none.
struct FoundView {
  ViewInfo view;
  std::optional<Response> refusal;
};
FoundView find_view(const ApiContext& api, const std::string& name) {
  if (auto refusal = refuse_before_snapshot(api.backend)) return {{}, std::move(refusal)};
  std::vector<std::string> names;
  for (ViewInfo& each : api.backend.view_definitions()) {
    if (each.name == name) return {std::move(each), std::nullopt};
    names.push_back(each.name);
  }
  return {{}, unknown_name("view", name, names)};
}

}  // namespace

Response get_view_rows(const ApiContext& api, const Request& request) {
  const std::string& name = request.placeholder("name");
  FoundView found = find_view(api, name);
  if (found.refusal) return std::move(*found.refusal);
  Params params(request, {"limit", "offset", "order", "format"});
  RowsRequest rows;
  rows.limit =
      params.integer("limit", api.options.rows_limit_default, 0, api.options.rows_limit_max);
  rows.offset = params.integer("offset", 0, 0, INT64_MAX);
  rows.order = parse_order(params, found.view);
  rows.bytes_max = api.options.answer_bytes_max;
  const auto format =
      static_cast<RowsFormat>(params.choice("format", {"json", "csv", "parquet"}).value_or(0));
  if (const Status status = params.status(); !status.ok()) return error_response(status.error());
  if (format == RowsFormat::kParquet)
    return error_response(501, "unsupported", "rows as Parquet are planned, but not built yet",
                          "use format=csv, or a parquet sink");
  const auto answer = api.backend.view_rows(name, rows);
  return answer.ok() ? rows_response(*answer, format) : error_response(answer.error());
}

Response get_view_stream(const ApiContext& api, const Request& request) {
  const Status status = Params(request, {}).status();
  if (!status.ok()) return error_response(status.error());
  const std::string& name = request.placeholder("name");
  FoundView found = find_view(api, name);
  if (found.refusal) return std::move(*found.refusal);
  const std::string* last = request.header("last-event-id");
  const auto stream =
      std::make_shared<EventStream>(EventStreamOptions{api.options.tail_buffer_bytes_max});
  auto subscription = api.backend.view_stream(name, last == nullptr ? "" : *last, stream);
  if (!subscription.ok()) return error_response(subscription.error());
  Response response;
  response.stream = stream;
  response.stream_owner = std::shared_ptr<Subscription>(std::move(*subscription));
  return response;
}

Response post_sql(const ApiContext& api, const Request& request) {
  const Status status = Params(request, {}).status();
  if (!status.ok()) return error_response(status.error());
  const std::string* type = request.header("content-type");
  if (type == nullptr || type->rfind("application/json", 0) != 0)
    return error_response(415, "invalid", "the request's Content-Type is not application/json",
                          "send JSON, with that header");
  const auto sql = read_sql(request.body, api.options);
  if (!sql.ok()) return error_response(sql.error());
  if (auto refusal = refuse_before_snapshot(api.backend)) return std::move(*refusal);

  const auto start = api.clock.steady();
  const auto answer = api.backend.sql(*sql);
  if (!answer.ok()) return error_response(answer.error());
  const std::chrono::duration<double, std::milli> elapsed = api.clock.steady() - start;
  JsonWriter json;
  json.begin_object();
  write_rows(json, answer->rows);
  json.key("position");
  write_lsn(json, answer->position);
  json.key("elapsed_ms").number(elapsed.count());
  json.key("truncated").boolean(answer->truncated);
  json.end_object();
  return json_response(json);
}

}  // namespace pgweir::server
