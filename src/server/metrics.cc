#include "server/metrics.h"

#include <fmt/core.h>

#include <cmath>

#include "server/names.h"

namespace pgweir::server {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

std::string escape(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
  return out;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

double as_double(std::uint64_t value) {
  return static_cast<double>(value);
}

// Collects families; `labels` of the source go before each sample's own.
class Collector {
 public:
  explicit Collector(std::string source) : source_(std::move(source)) {}

  void begin(MetricKind kind, std::string name, std::string help) {
    families_.push_back({std::move(name), std::move(help), kind, {}});
  }
  void add(double value, const Labels& labels = {}) {
    Labels all{{"source", source_}};
    all.insert(all.end(), labels.begin(), labels.end());
    families_.back().samples.push_back({std::move(all), value});
  }
  void gauge(std::string name, std::string help, std::optional<double> value) {
    begin(MetricKind::kGauge, std::move(name), std::move(help));
    if (value) add(*value);
  }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  const std::string source_;
  std::vector<MetricFamily> families_;
};

std::optional<double> as_double(std::optional<std::uint64_t> value) {
  if (!value) return std::nullopt;
  return static_cast<double>(*value);
}

std::optional<double> lsn_value(model::Lsn lsn) {
  if (model::value(lsn) == 0) return std::nullopt;
  return as_double(model::value(lsn));
}

void collect_source(Collector& out, const StatusReport& status) {
  out.begin(MetricKind::kGauge, "pgweir_state", "1 for the state that the pipeline is in, else 0");
  for (int i = 0; i <= static_cast<int>(PipelineState::kFailed); ++i) {
    const auto state = static_cast<PipelineState>(i);
    out.add(status.state == state ? 1 : 0, {{"state", std::string(name_of(state))}});
  }
  const SourceStatus& source = status.source;
  out.gauge("pgweir_source_slot_active", "Whether the replication slot is in use",
            source.slot_active ? 1 : 0);
  out.gauge("pgweir_source_retained_wal_bytes", "WAL that the slot makes PostgreSQL keep",
            as_double(source.retained_wal_bytes));
  out.begin(MetricKind::kGauge, "pgweir_source_wal_status",
            "1 for the slot's wal_status in pg_replication_slots, else 0");
  for (const char* name : {"reserved", "extended", "unreserved", "lost"}) {
    if (source.wal_status) out.add(*source.wal_status == name ? 1 : 0, {{"status", name}});
  }
  out.gauge("pgweir_source_safe_wal_bytes",
            "WAL that may still be written before the slot is in danger; none without a limit",
            as_double(source.safe_wal_bytes));
  out.gauge("pgweir_source_wal_limit_bytes", "max_slot_wal_keep_size; none without a limit",
            as_double(source.wal_limit_bytes));
  out.gauge("pgweir_source_retained_wal_growth_bytes_per_second",
            "How fast the WAL that the slot holds back grows",
            source.retained_growth_bytes_per_second);
  out.gauge("pgweir_slot_seconds_left", "Time until the slot is lost, at the present rate",
            as_double(source.slot_seconds_left));
  out.gauge("pgweir_slot_alarm", "1 while the slot is in danger or lost; the status says why",
            source.slot_alarm ? 1 : 0);
  out.gauge("pgweir_source_received_lsn_bytes", "Position received, as a byte offset in the WAL",
            lsn_value(source.received_lsn));
  out.gauge("pgweir_source_confirmed_lsn_bytes", "Position confirmed to PostgreSQL as durable",
            lsn_value(source.confirmed_lsn));
  out.gauge("pgweir_source_server_lsn_bytes", "Position of the server's WAL when last asked",
            lsn_value(source.server_lsn));
  out.begin(MetricKind::kGauge, "pgweir_source_last_commit_timestamp_seconds",
            "Commit time of the last transaction received, in seconds since 1970");
  if (source.last_commit_time) out.add(static_cast<double>(*source.last_commit_time) / 1e6);
  out.gauge("pgweir_source_tables", "Tables captured", as_double(source.tables));
  out.gauge("pgweir_snapshot_running", "Whether the first snapshot is being read",
            source.snapshot.state == SnapshotState::kRunning ? 1 : 0);
  out.begin(MetricKind::kCounter, "pgweir_snapshot_rows_total", "Rows read by the snapshot");
  out.add(as_double(source.snapshot.rows));
}

void collect_log(Collector& out, const LogStatus& log) {
  out.gauge("pgweir_log_size_bytes", "Size of the durable log on disk", as_double(log.bytes));
  out.gauge("pgweir_log_segments", "Segments of the durable log", as_double(log.segments));
  out.begin(MetricKind::kGauge, "pgweir_log_oldest_timestamp_seconds",
            "Time of the oldest change in the log, in seconds since 1970");
  if (log.oldest_time) out.add(static_cast<double>(*log.oldest_time) / 1e6);
  out.gauge("pgweir_log_last_lsn_bytes", "Last durable position, as a byte offset in the WAL",
            lsn_value(log.last_lsn));
  out.gauge("pgweir_disk_free_bytes", "Free space where the log is",
            as_double(log.free_disk_bytes));
}

void collect_followers(Collector& out, const std::vector<FollowerStatus>& followers) {
  const auto each = [&](const char* name, const char* help, auto value_of) {
    out.begin(MetricKind::kGauge, name, help);
    for (const FollowerStatus& follower : followers) {
      const std::optional<double> value = value_of(follower);
      if (value) out.add(*value, {{"follower", follower.name}, {"kind", follower.kind}});
    }
  };
  using Value = std::optional<double>;
  each("pgweir_follower_lag_bytes", "How far the follower is behind the log's end",
       [](const FollowerStatus& f) -> Value { return as_double(f.lag_bytes); });
  each("pgweir_follower_lag_seconds", "The same in time between commits",
       [](const FollowerStatus& f) -> Value {
         if (!f.lag_ms) return std::nullopt;
         return as_double(*f.lag_ms) / 1e3;
       });
  each("pgweir_follower_position_lsn_bytes", "The follower's position, as a byte offset in the WAL",
       [](const FollowerStatus& f) -> Value { return lsn_value(f.position); });
  each("pgweir_follower_healthy",
       "1 while it follows or catches up, 0 when stopped, failed or lost",
       [](const FollowerStatus& f) -> Value {
         const bool healthy =
             f.state == FollowerState::kFollowing || f.state == FollowerState::kCatchingUp;
         return healthy ? 1 : 0;
       });
}

void collect_tables(Collector& out, const std::vector<TableInfo>& tables) {
  out.begin(MetricKind::kCounter, "pgweir_table_changes_total", "Changes taken in, by operation");
  for (const TableInfo& table : tables) {
    const std::string name = table.schema + "." + table.name;
    const std::pair<Operation, std::uint64_t> counts[] = {{Operation::kInsert, table.inserts},
                                                          {Operation::kUpdate, table.updates},
                                                          {Operation::kDelete, table.deletes},
                                                          {Operation::kTruncate, table.truncates},
                                                          {Operation::kRead, table.reads}};
    for (const auto& [operation, count] : counts)
      out.add(as_double(count), {{"table", name}, {"op", std::string(name_of(operation))}});
  }
  out.begin(MetricKind::kGauge, "pgweir_table_rows", "Rows of the table's mirror");
  for (const TableInfo& table : tables) {
    if (table.rows) out.add(as_double(*table.rows), {{"table", table.schema + "." + table.name}});
  }
  out.begin(MetricKind::kGauge, "pgweir_table_stopped", "1 for a table whose mirror has stopped");
  for (const TableInfo& table : tables)
    out.add(table.error ? 1 : 0, {{"table", table.schema + "." + table.name}});
}

void collect_views(Collector& out, const std::vector<ViewInfo>& views) {
  out.begin(MetricKind::kGauge, "pgweir_view_rows", "Rows of the view");
  for (const ViewInfo& view : views) {
    if (view.rows) out.add(as_double(*view.rows), {{"view", view.name}});
  }
  out.begin(MetricKind::kGauge, "pgweir_view_state_rows",
            "Rows kept to bring the view up to date; in append mode those of open windows");
  for (const ViewInfo& view : views) {
    if (view.state_rows) out.add(as_double(*view.state_rows), {{"view", view.name}});
  }
  out.begin(MetricKind::kCounter, "pgweir_view_late_rows_total",
            "Changes that came too late for the windows of a view in append mode");
  for (const ViewInfo& view : views) {
    if (view.windows) out.add(as_double(view.windows->late_rows), {{"view", view.name}});
  }
  out.begin(MetricKind::kGauge, "pgweir_view_closed_timestamp_seconds",
            "Windows of a view in append mode that end by then have left");
  for (const ViewInfo& view : views) {
    if (view.windows && view.windows->closed_up_to)
      out.add(static_cast<double>(*view.windows->closed_up_to) / 1e6, {{"view", view.name}});
  }
  out.begin(MetricKind::kCounter, "pgweir_view_batch_seconds_total",
            "Time that batches have taken to bring the view up to date");
  for (const ViewInfo& view : views) {
    if (view.batch_time_total)
      out.add(static_cast<double>(view.batch_time_total->count()) / 1e6, {{"view", view.name}});
  }
  out.begin(MetricKind::kGauge, "pgweir_view_longest_batch_seconds",
            "The longest of late, of the batches that the view's budget is about");
  for (const ViewInfo& view : views) {
    if (view.longest_batch)
      out.add(static_cast<double>(view.longest_batch->took.count()) / 1e6, {{"view", view.name}});
  }
  out.begin(MetricKind::kGauge, "pgweir_view_live", "Whether the view is kept up to date");
  for (const ViewInfo& view : views)
    out.add(view.state == ViewState::kLive ? 1 : 0,
            {{"view", view.name}, {"strategy", view.strategy}});
}

void collect_watermarks(Collector& out, const std::vector<WatermarkStatus>& watermarks) {
  out.begin(MetricKind::kGauge, "pgweir_watermark_timestamp_seconds",
            "No row before this time is expected by the column");
  for (const WatermarkStatus& watermark : watermarks) {
    if (watermark.watermark)
      out.add(static_cast<double>(*watermark.watermark) / 1e6, {{"column", watermark.column}});
  }
}

void collect_http(Collector& out, const HttpStats& http) {
  out.begin(MetricKind::kCounter, "pgweir_http_requests_total", "Requests answered, by status");
  for (std::size_t i = 2; i < 6; ++i)
    out.add(as_double(http.requests[i].load()), {{"status", fmt::format("{}xx", i)}});
  out.gauge("pgweir_http_connections", "Connections open", as_double(http.connections.load()));
  out.gauge("pgweir_http_streams", "Event streams open", as_double(http.streams.load()));
  out.begin(MetricKind::kCounter, "pgweir_http_connections_refused_total",
            "Connections refused because too many were open");
  out.add(as_double(http.connections_refused.load()));
  out.begin(MetricKind::kCounter, "pgweir_http_streams_dropped_total",
            "Event streams ended because their reader was too slow");
  out.add(as_double(http.streams_dropped.load()));
  out.begin(MetricKind::kCounter, "pgweir_http_sent_bytes_total", "Bytes sent to clients");
  out.add(as_double(http.bytes_sent.load()));
}

}  // namespace

std::string render_metrics(const std::vector<MetricFamily>& families) {
  std::string out;
  for (const MetricFamily& family : families) {
    if (family.samples.empty()) continue;
    out += fmt::format("# HELP {} {}\n", family.name, escape(family.help, false));
    out += fmt::format("# TYPE {} {}\n", family.name,
                       family.kind == MetricKind::kCounter ? "counter" : "gauge");
    for (const MetricSample& sample : family.samples) {
      out += family.name;
      char separator = '{';
      for (const auto& [label, value] : sample.labels) {
        out += fmt::format("{}{}=\"{}\"", separator, label, escape(value, true));
        separator = ',';
      }
      if (!sample.labels.empty()) out += '}';
      out += ' ' + number(sample.value) + '\n';
    }
  }
  return out;
}

std::vector<MetricFamily> collect_metrics(const StatusReport& status,
                                          const std::vector<TableInfo>& tables,
                                          const std::vector<ViewInfo>& views,
                                          const HttpStats& http) {
  Collector out(status.source.name);
  out.begin(MetricKind::kGauge, "pgweir_build_info", "Always 1; the version is a label");
  out.add(1, {{"version", status.version}});
  collect_source(out, status);
  out.gauge("pgweir_changes_per_second", "Changes taken in, lately",
            status.rates.changes_per_second);
  out.gauge("pgweir_received_bytes_per_second", "Bytes taken in, lately",
            status.rates.bytes_per_second);
  collect_log(out, status.log);
  collect_followers(out, status.followers);
  collect_tables(out, tables);
  collect_views(out, views);
  collect_watermarks(out, status.watermarks);
  collect_http(out, http);
  return out.take();
}

}  // namespace pgweir::server
