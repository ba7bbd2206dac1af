// The comparison of mirrors with their source.
#include <fmt/core.h>

#include <algorithm>

#include "server/api_internal.h"
#include "server/event_stream.h"
#include "server/params.h"

namespace pgweir::server {

Response get_verify(const ApiContext& api, const Request& request) {
  Params params(request, {"table"});
  const std::vector<std::string> patterns = params.list("table");
  if (const Status status = params.status(); !status.ok()) return error_response(status.error());
  const auto tables = resolve_tables(api.backend, patterns);
  if (!tables.ok()) return error_response(tables.error());
  if (auto refusal = refuse_before_snapshot(api.backend)) return std::move(*refusal);
  // Its one large event is the report.
  const auto stream =
      std::make_shared<EventStream>(EventStreamOptions{api.options.answer_bytes_max});
  auto subscription = api.backend.verify(*tables, stream);
  if (!subscription.ok()) return error_response(subscription.error());
  Response response;
  response.stream = stream;
  response.stream_owner = std::shared_ptr<Subscription>(std::move(*subscription));
  return response;
}

}  // namespace pgweir::server
