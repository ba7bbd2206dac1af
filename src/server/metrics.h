// Prometheus text (docs/metrics.md lists the names).
#pragma once

#include <string>
#include <vector>

#include "server/backend.h"
#include "server/http_server.h"

namespace pgweir::server {

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// Families with HELP and TYPE lines; those without samples are left out.
std::string render_metrics(const std::vector<MetricFamily>& families);

// What status, tables, views and the HTTP server itself have to tell.
std::vector<MetricFamily> collect_metrics(const StatusReport& status,
                                          const std::vector<TableInfo>& tables,
                                          const std::vector<ViewInfo>& views,
                                          const HttpStats& http);

}  // namespace pgweir::server
