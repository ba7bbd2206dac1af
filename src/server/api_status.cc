// Status, tables and views as JSON.
#include "server/api_internal.h"
#include "server/names.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

void write_pace(JsonWriter& json, double rows_per_second, const std::optional<double>& left) {
  json.key("rows_per_second").number(rows_per_second);
  if (left)
    json.key("seconds_left").number(*left);
  else
    json.key("seconds_left").null();
}

void write_read(JsonWriter& json, const TableReadProgress& read) {
  json.begin_object();
  json.key("table").string(read.table);
  json.key("state").string(read.begun ? "reading" : "waiting");
  json.key("rows").integer(read.rows);
  json.key("bytes").integer(read.bytes);
  json.key("estimated_rows").optional_integer(read.estimated_rows);
  json.key("percent").number(read.percent);
  write_pace(json, read.rows_per_second, read.seconds_left);
  json.key("message").string(read.message);
  json.end_object();
}

void write_source(JsonWriter& json, const SourceStatus& source) {
  json.key("source").begin_object();
  json.key("name").string(source.name);
  json.key("database").string(source.database);
  json.key("host").string(source.host);
  json.key("server_version").string(source.server_version);
  json.key("slot").string(source.slot);
  json.key("publication").string(source.publication);
  json.key("slot_active").boolean(source.slot_active);
  json.key("retained_wal_bytes").optional_integer(source.retained_wal_bytes);
  json.key("wal_status").optional_string(source.wal_status);
  json.key("safe_wal_bytes").optional_integer(source.safe_wal_bytes);
  json.key("wal_limit_bytes").optional_integer(source.wal_limit_bytes);
  json.key("retained_growth_bytes_per_second");
  if (source.retained_growth_bytes_per_second) {
    json.number(*source.retained_growth_bytes_per_second);
  } else {
    json.null();
  }
  json.key("slot_seconds_left").optional_integer(source.slot_seconds_left);
  json.key("slot_invalidation_reason").optional_string(source.slot_invalidation_reason);
  json.key("slot_failover");
  if (source.slot_failover) {
    json.boolean(*source.slot_failover);
  } else {
    json.null();
  }
  json.key("slot_alarm").optional_string(source.slot_alarm);
  json.key("received_lsn");
  write_lsn(json, source.received_lsn);
  json.key("confirmed_lsn");
  write_lsn(json, source.confirmed_lsn);
  json.key("server_lsn");
  write_lsn(json, source.server_lsn);
  json.key("last_commit_time");
  write_time(json, source.last_commit_time);
  json.key("tables").integer(source.tables);
  const SchemaKnowledge& schema = source.schema_changes;
  json.key("schema_changes").begin_object();
  json.key("told_by").string(schema.at_once ? "event_trigger" : "catalog");
  json.key("asked");
  write_time(json, schema.asked);
  json.key("error").optional_string(schema.error);
  json.end_object();
  const SnapshotProgress& snapshot = source.snapshot;
  json.key("snapshot").begin_object();
  json.key("state").string(name_of(snapshot.state));
  json.key("rows").integer(snapshot.rows);
  json.key("tables_done").integer(snapshot.tables_done);
  json.key("tables_total").integer(snapshot.tables_total);
  json.key("bytes").integer(snapshot.bytes);
  json.key("estimated_rows").optional_integer(snapshot.estimated_rows);
  write_pace(json, snapshot.rows_per_second, snapshot.seconds_left);
  json.end_object();
  json.key("reads").begin_array();
  for (const TableReadProgress& read : source.reads) write_read(json, read);
  json.end_array().end_object();
}

void write_log(JsonWriter& json, const LogStatus& log) {
  json.key("log").begin_object();
  json.key("bytes").integer(log.bytes);
  json.key("segments").integer(log.segments);
  json.key("oldest_time");
  write_time(json, log.oldest_time);
  json.key("first_lsn");
  write_lsn(json, log.first_lsn);
  json.key("last_lsn");
  write_lsn(json, log.last_lsn);
  json.key("free_disk_bytes").optional_integer(log.free_disk_bytes);
  json.end_object();
}

void write_follower(JsonWriter& json, const FollowerStatus& follower) {
  json.begin_object();
  json.key("name").string(follower.name);
  json.key("kind").string(follower.kind);
  json.key("state").string(name_of(follower.state));
  json.key("position");
  write_lsn(json, follower.position);
  json.key("lag_bytes").integer(follower.lag_bytes);
  json.key("lag_ms").optional_integer(follower.lag_ms);
  json.key("error").optional_string(follower.error);
  json.end_object();
}

void write_watermarks(JsonWriter& json, const std::vector<WatermarkStatus>& watermarks) {
  json.key("watermarks").begin_array();
  for (const WatermarkStatus& watermark : watermarks) {
    json.begin_object();
    json.key("column").string(watermark.column);
    json.key("delay_ms").integer(watermark.delay_ms);
    json.key("watermark");
    write_time(json, watermark.watermark);
    json.key("newest");
    write_time(json, watermark.newest);
    json.end_object();
  }
  json.end_array();
}

void write_table(JsonWriter& json, const TableInfo& table) {
  json.begin_object();
  json.key("schema").string(table.schema);
  json.key("name").string(table.name);
  json.key("columns").begin_array();
  for (const TableColumn& column : table.columns) {
    json.begin_object().key("name").string(column.name).key("type").string(column.type);
    json.key("key").boolean(column.key).end_object();
  }
  json.end_array();
  json.key("mirrored").boolean(table.mirrored);
  json.key("rows").optional_integer(table.rows);
  json.key("bytes").optional_integer(table.bytes);
  json.key("inserts").integer(table.inserts);
  json.key("updates").integer(table.updates);
  json.key("deletes").integer(table.deletes);
  json.key("truncates").integer(table.truncates);
  json.key("reads").integer(table.reads);
  json.key("last_change");
  write_time(json, table.last_change);
  json.key("error").optional_string(table.error);
  if (table.released) json.key("released").string(*table.released);
  if (table.reading_percent) json.key("reading_percent").number(*table.reading_percent);
  json.end_object();
}

}  // namespace

void write_status(JsonWriter& json, const StatusReport& status, TimeUs now) {
  json.begin_object();
  json.key("state").string(name_of(status.state));
  json.key("message").string(status.message);
  json.key("time").string(format_time(now));
  json.key("version").string(status.version);
  write_source(json, status.source);
  write_log(json, status.log);
  json.key("followers").begin_array();
  for (const FollowerStatus& follower : status.followers) write_follower(json, follower);
  json.end_array();
  json.key("rates").begin_object();
  json.key("changes_per_second").number(status.rates.changes_per_second);
  json.key("bytes_per_second").number(status.rates.bytes_per_second);
  json.end_object();
  if (!status.watermarks.empty()) write_watermarks(json, status.watermarks);
  if (status.now) {
    json.key("now");
    write_time(json, status.now);
  }
  json.key("findings").begin_array();
  for (const Finding& finding : status.findings) {
    json.begin_object();
    json.key("severity").string(name_of(finding.severity));
    json.key("subject").string(finding.subject);
    json.key("message").string(finding.message);
    json.key("hint").string(finding.hint);
    json.end_object();
  }
  json.end_array().end_object();
}

void write_tables(JsonWriter& json, const std::vector<TableInfo>& tables) {
  json.begin_object().key("tables").begin_array();
  for (const TableInfo& table : tables) write_table(json, table);
  json.end_array().end_object();
}

void write_view(JsonWriter& json, const ViewInfo& view) {
  json.begin_object();
  json.key("name").string(view.name);
  json.key("sql").string(view.sql);
  json.key("strategy").string(view.strategy);
  json.key("reason").string(view.reason);
  json.key("mode").string(view.mode);
  if (view.state_rows) json.key("state_rows").integer(*view.state_rows);
  if (view.windows) {
    json.key("windows").begin_object().key("closed_up_to");
    write_time(json, view.windows->closed_up_to);
    json.key("late_rows").integer(view.windows->late_rows).end_object();
  }
  const auto batch = [&](const char* which, const std::optional<ViewInfo::Batch>& told) {
    if (!told) return;
    json.key(std::string(which) + "_batch_ms")
        .number(static_cast<double>(told->took.count()) / 1e3);
    json.key(std::string(which) + "_batch_changes").integer(told->changes);
  };
  batch("last", view.last_batch);
  batch("longest", view.longest_batch);
  if (view.budget.count() != 0) json.key("budget_ms").integer(view.budget.count());
  if (view.isolated) {
    json.key("isolated").begin_object().key("time");
    write_time(json, view.isolated->time);
    json.key("behind").boolean(view.isolated->is_behind).end_object();
  }
  json.key("columns");
  write_columns(json, view.columns);
  json.key("rows").optional_integer(view.rows);
  json.key("state").string(name_of(view.state));
  json.key("error").optional_string(view.error);
  json.key("position");
  write_lsn(json, view.position);
  json.end_object();
}

}  // namespace pgweir::server
