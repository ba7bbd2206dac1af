#include "server/pipeline_backend.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "server/reader_query.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

PipelineState state_of(pipeline::CaptureState state) {
  switch (state) {
    case pipeline::CaptureState::kStarting:
      return PipelineState::kStarting;
    case pipeline::CaptureState::kSnapshotting:
      return PipelineState::kSnapshotting;
    case pipeline::CaptureState::kStreaming:
      return PipelineState::kStreaming;
    case pipeline::CaptureState::kWaitingForDisk:
      return PipelineState::kWaitingForDisk;
    case pipeline::CaptureState::kReconnecting:
      return PipelineState::kReconnecting;
    case pipeline::CaptureState::kStopped:
      return PipelineState::kStopped;
    case pipeline::CaptureState::kFailed:
      return PipelineState::kFailed;
  }
  return PipelineState::kFailed;
}

FollowerState state_of(pipeline::FollowerState state) {
  switch (state) {
    case pipeline::FollowerState::kFollowing:
      return FollowerState::kFollowing;
    case pipeline::FollowerState::kCatchingUp:
      return FollowerState::kCatchingUp;
    case pipeline::FollowerState::kStopped:
      return FollowerState::kStopped;
    case pipeline::FollowerState::kFailed:
      return FollowerState::kFailed;
    case pipeline::FollowerState::kLost:
      return FollowerState::kLost;
  }
  return FollowerState::kFailed;
}

Severity severity_of(postgres::Severity severity) {
  switch (severity) {
    case postgres::Severity::kNote:
      return Severity::kNote;
    case postgres::Severity::kWarning:
      return Severity::kWarning;
    case postgres::Severity::kError:
      return Severity::kError;
  }
  return Severity::kError;
}

// "150020" is 15.20.
std::string version_text(int version) {
  return fmt::format("{}.{}", version / 10000, version % 10000);
}

std::optional<TimeUs> time_or_none(model::Timestamp time) {
  if (model::value(time) == 0) return std::nullopt;
  return model::value(time);
}

std::uint64_t difference(model::Lsn from, model::Lsn to) {
  return to > from ? model::value(to) - model::value(from) : 0;
}

void add_slot(StatusReport& out, const pipeline::SlotHealth& health, const std::string& name) {
  SourceStatus& source = out.source;
  if (health.slot) {
    const postgres::SlotInfo& slot = *health.slot;
    source.retained_wal_bytes = slot.retained_bytes;
    source.wal_status = slot.wal_status;
    source.safe_wal_bytes = slot.safe_bytes;
    source.wal_limit_bytes = slot.limit_bytes;
    source.slot_failover = slot.failover;
    if (!slot.invalidation_reason.empty())
      source.slot_invalidation_reason = slot.invalidation_reason;
  }
  source.retained_growth_bytes_per_second = health.growth_bytes_per_second;
  if (health.time_left)
    source.slot_seconds_left = static_cast<std::uint64_t>(health.time_left->count() / 1000);
  if (health.danger == pipeline::SlotDanger::kNone) return;
  source.slot_alarm = health.alarm;
  out.findings.push_back(
      {health.danger == pipeline::SlotDanger::kLost ? Severity::kError : Severity::kWarning,
       "slot " + name, health.alarm, health.hint});
}

const char* operation_name(Operation operation) {
  switch (operation) {
    case Operation::kInsert:
      return "i";
    case Operation::kUpdate:
      return "u";
    case Operation::kDelete:
      return "d";
    case Operation::kTruncate:
      return "t";
    case Operation::kRead:
      return "r";
    case Operation::kMessage:
      return "m";
  }
  return "i";
}

Operation operation_of(std::string_view letter) {
  switch (letter.empty() ? 'i' : letter[0]) {
    case 'u':
      return Operation::kUpdate;
    case 'd':
      return Operation::kDelete;
    case 't':
      return Operation::kTruncate;
    case 'r':
      return Operation::kRead;
    case 'm':
      return Operation::kMessage;
    default:
      return Operation::kInsert;
  }
}

std::int64_t number(const std::optional<std::string>& text) {
  return text ? std::strtoll(text->c_str(), nullptr, 10) : 0;
}

// Of the primary key, or of the index that stands for it. Under REPLICA IDENTITY FULL PostgreSQL
// marks every column, which names no key.
bool is_key_column(const model::Table& table, std::uint32_t column) {
  const std::vector<std::uint32_t>& key = table.primary_key;
  if (!key.empty()) return std::find(key.begin(), key.end(), column) != key.end();
  return table.columns[column].in_key && table.replica_identity != model::ReplicaIdentity::kFull;
}

Error snapshot_in_progress() {
  return error(Code::kUnavailable, "the first snapshot is not complete yet", {},
               "Views and tables are shown once they are true; the status tells how far it is");
}

}  // namespace

PipelineBackend::PipelineBackend(pipeline::Pipeline& pipeline, PipelineBackendOptions options)
    : pipeline_(pipeline), options_(std::move(options)) {
  if (pipeline_.engine() == nullptr) return;
  view_streams_ =
      std::make_unique<ViewStreams>(*pipeline_.engine(), *pipeline_.views(), pipeline_.clock());
  pipeline_.views()->set_listener(&view_streams_->feeds);
}

PipelineBackend::~PipelineBackend() {
  if (view_streams_) pipeline_.views()->set_listener(nullptr);
}

Result<std::unique_ptr<engine::Reader>> PipelineBackend::reader() {
  if (pipeline_.engine() == nullptr) {
    return error(Code::kUnavailable, "the engine is not open", "engine.mirrors is none",
                 "Set engine.mirrors to needed or all, and restart");
  }
  return pipeline_.engine()->reader(options_.reader_wait);
}

std::vector<FollowerStatus> PipelineBackend::followers(const pipeline::CaptureStatus& capture) {
  std::vector<FollowerStatus> out;
  const model::Position durable = pipeline_.log().durable_position();
  const auto segments = pipeline_.log().segments();
  const model::Lsn oldest = segments.empty() ? durable.lsn : segments.front().first.lsn;
  for (const pipeline::FollowerStatus& follower : pipeline_.follower_statuses()) {
    FollowerStatus row;
    row.name = follower.name;
    row.kind = follower.kind;
    row.state = state_of(follower.state);
    row.position = follower.position.lsn;
    // One that has nothing yet is behind by what there is, not by all LSNs since 0.
    row.lag_bytes = difference(std::max(follower.position.lsn, oldest), durable.lsn);
    row.lag_ms = 0;
    if (follower.position < durable) {
      const std::int64_t newest = model::value(capture.last_commit_time);
      const std::int64_t own = model::value(follower.commit_time);
      row.lag_ms = own != 0 && newest > own ? static_cast<std::uint64_t>(newest - own) / 1000 : 0;
    }
    if (follower.error) row.error = follower.error->text();
    out.push_back(std::move(row));
  }
  return out;
}

Rates PipelineBackend::rates(std::uint64_t changes, std::uint64_t bytes) {
  const std::int64_t now = pipeline_.clock().now_us();
  MutexLock lock(mutex_);
  if (newer_.time_us == 0) older_ = newer_ = {now, changes, bytes};
  if (now - newer_.time_us > Microseconds(options_.rate_window).count()) {
    older_ = newer_;
    newer_ = {now, changes, bytes};
  }
  const double seconds = static_cast<double>(now - older_.time_us) / 1e6;
  if (seconds <= 0) return {};
  return {static_cast<double>(changes - older_.changes) / seconds,
          static_cast<double>(bytes - older_.bytes) / seconds};
}

namespace {

// How fast it went since it began, and how long the rest takes at that pace.
void set_pace(std::uint64_t rows, std::int64_t estimated, std::int64_t began_us,
              std::int64_t now_us, double& rows_per_second,
              std::optional<std::uint64_t>& estimated_rows, std::optional<double>& seconds_left) {
  if (estimated >= 0) estimated_rows = static_cast<std::uint64_t>(estimated);
  if (began_us == 0 || now_us <= began_us) return;
  rows_per_second = static_cast<double>(rows) * 1e6 / static_cast<double>(now_us - began_us);
  if (!estimated_rows || rows_per_second <= 0) return;
  const std::uint64_t left = *estimated_rows > rows ? *estimated_rows - rows : 0;
  seconds_left = static_cast<double>(left) / rows_per_second;
}

std::vector<TableReadProgress> reads_of(const pipeline::CaptureStatus& capture,
                                        std::int64_t now_us) {
  std::vector<TableReadProgress> out;
  for (const pipeline::TableReadStatus& read : capture.reads) {
    TableReadProgress row;
    row.table = read.name;
    row.begun = read.begun;
    row.rows = read.rows;
    row.bytes = read.bytes;
    row.percent = read.fraction * 100;
    row.message = read.message;
    set_pace(read.rows, read.estimated_rows, read.began_us, now_us, row.rows_per_second,
             row.estimated_rows, row.seconds_left);
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace

StatusReport PipelineBackend::status() {
  const pipeline::CaptureStatus capture = pipeline_.capture_status();
  const config::Config& config = pipeline_.config();
  StatusReport out;
  out.state = state_of(capture.state);
  out.message = capture.message;
  out.version = options_.version;
  out.source.name = config.source.name.empty() ? capture.system.database : config.source.name;
  out.source.database = capture.system.database;
  out.source.host = capture.where.substr(0, capture.where.find('/'));
  if (capture.system.server_version != 0)
    out.source.server_version = version_text(capture.system.server_version);
  out.source.slot = config.source.slot;
  out.source.publication = config.source.publication;
  out.source.slot_active = capture.state == pipeline::CaptureState::kStreaming;
  out.source.received_lsn = capture.received_lsn;
  out.source.confirmed_lsn = capture.confirmed_lsn;
  out.source.server_lsn = capture.server_lsn;
  add_slot(out, capture.slot, config.source.slot);
  out.source.last_commit_time = time_or_none(capture.last_commit_time);
  out.source.tables = capture.tables.size();
  const pipeline::SchemaWatchStatus& schema = capture.schema;
  out.source.schema_changes.at_once = schema.ddl_trigger;
  if (schema.looked_us != 0) out.source.schema_changes.asked = schema.looked_us;
  if (schema.failure) {
    out.source.schema_changes.error = schema.failure->text();
    out.findings.push_back({Severity::kWarning, "source",
                            "changes of tables may stay unknown: " + schema.failure->message,
                            schema.failure->hint});
  }
  if (pipeline_.views() != nullptr) {
    for (const views::WatermarkInfo& mark : pipeline_.views()->watermarks())
      out.watermarks.push_back(
          {mark.column, static_cast<std::uint64_t>(mark.delay.count()), mark.at, mark.newest});
    out.now = pipeline_.views()->now_us();
  }
  out.source.snapshot.rows = capture.snapshot.rows;
  out.source.snapshot.bytes = capture.snapshot.bytes;
  out.source.reads = reads_of(capture, pipeline_.clock().now_us());
  out.source.snapshot.tables_done = capture.snapshot.parts_done;
  out.source.snapshot.tables_total = capture.snapshot.parts;
  out.source.snapshot.state =
      capture.state == pipeline::CaptureState::kSnapshotting
          ? SnapshotState::kRunning
          : (pipeline_.log().durable_position() == model::Position{} ? SnapshotState::kNone
                                                                     : SnapshotState::kDone);
  if (out.source.snapshot.state == SnapshotState::kRunning) {
    SnapshotProgress& progress = out.source.snapshot;
    set_pace(progress.rows, capture.snapshot_estimated_rows, capture.snapshot_began_us,
             pipeline_.clock().now_us(), progress.rows_per_second, progress.estimated_rows,
             progress.seconds_left);
  }
  const auto segments = pipeline_.log().segments();
  out.log.bytes = pipeline_.log().bytes();
  out.log.segments = segments.size();
  if (!segments.empty()) {
    out.log.oldest_time = segments.front().created_us;
    out.log.first_lsn = segments.front().first.lsn;
  }
  out.log.last_lsn = pipeline_.log().durable_position().lsn;
  out.log.free_disk_bytes = pipeline_.free_disk_bytes();
  out.followers = followers(capture);
  out.rates = rates(capture.changes, capture.bytes);
  for (const postgres::Finding& finding : capture.findings)
    out.findings.push_back({severity_of(finding.severity), "source", finding.message, finding.fix});
  if (pipeline_.engine() == nullptr) return out;
  for (const engine::Mirror& mirror : pipeline_.engine()->mirrors()) {
    if (mirror.stopped.empty()) continue;
    out.findings.push_back({Severity::kError, "table " + mirror.table.qualified_name(),
                            "has stopped: " + mirror.stopped,
                            "The views over it have stopped with it; everything else goes on."});
  }
  return out;
}

Readiness PipelineBackend::readiness() {
  Readiness out;
  const pipeline::CaptureStatus capture = pipeline_.capture_status();
  const engine::Engine* engine = pipeline_.engine();
  out.snapshot_complete = engine == nullptr ? pipeline_.log().snapshot_complete()
                                            : engine->position().snapshot_complete;
  if (!out.snapshot_complete) out.not_ready.push_back("The first snapshot is not complete.");
  if (capture.state != pipeline::CaptureState::kStreaming)
    out.not_ready.push_back("The source is not streaming.");
  if (engine != nullptr) {
    // What was read has still to reach the mirrors.
    if (engine->position().position.epoch < pipeline_.log().epoch())
      out.not_ready.push_back("The engine has not come to the new slot's changes yet.");
    for (const engine::Mirror& mirror : engine->mirrors()) {
      if (mirror.reading)
        out.not_ready.push_back(
            fmt::format("Rows of table {} are on their way.", mirror.table.qualified_name()));
    }
  }
  for (const pipeline::TableReadStatus& read : capture.reads)
    out.not_ready.push_back(
        fmt::format("Table {} is being read ({:.0f} %).", read.name, read.fraction * 100));
  for (const FollowerStatus& follower : followers(capture)) {
    if (follower.state == FollowerState::kFailed || follower.state == FollowerState::kLost)
      out.not_ready.push_back(fmt::format("Follower {} has stopped.", follower.name));
    else if (follower.lag_ms.value_or(0) >
             static_cast<std::uint64_t>(options_.ready_lag_max.count()))
      out.not_ready.push_back(
          fmt::format("Follower {} is {} ms behind.", follower.name, *follower.lag_ms));
  }
  return out;
}

std::vector<TableInfo> PipelineBackend::tables() {
  std::map<std::string, TableInfo> by_name;
  for (const model::Table& table : pipeline_.capture_status().tables) {
    TableInfo& info = by_name[table.qualified_name()];
    info.schema = table.schema;
    info.name = table.name;
    for (std::uint32_t i = 0; i < table.columns.size(); ++i)
      info.columns.push_back(
          {table.columns[i].name, table.columns[i].type_name, is_key_column(table, i)});
  }
  for (const pipeline::TableReadStatus& read : pipeline_.capture_status().reads) {
    const auto entry = by_name.find(read.name);
    if (entry != by_name.end()) entry->second.reading_percent = read.fraction * 100;
  }
  std::vector<engine::Mirror> mirrors;
  if (pipeline_.engine() != nullptr) mirrors = pipeline_.engine()->mirrors();
  for (const engine::Mirror& mirror : mirrors) {
    const auto entry = by_name.find(mirror.table.qualified_name());
    if (entry == by_name.end()) continue;
    entry->second.mirrored = true;
    if (!mirror.stopped.empty())
      entry->second.error = mirror.stopped;
    else if (!mirror.released.empty())
      entry->second.released = mirror.released;
  }
  const auto reader = this->reader();
  if (reader.ok()) {
    duck::Connection& connection = (*reader)->connection();
    const bool complete = (*reader)->position().snapshot_complete;
    for (const engine::Mirror& mirror : mirrors) {
      const auto entry = by_name.find(mirror.table.qualified_name());
      if (entry == by_name.end() || !complete || !mirror.stopped.empty() ||
          !mirror.released.empty())
        continue;
      if (const auto rows = connection.query_int("SELECT count(*) FROM " + mirror.name); rows.ok())
        entry->second.rows = static_cast<std::uint64_t>(*rows);
    }
    const auto activity = connection.query_texts(
        "SELECT \"schema\" || '.' || \"table\", op, sum(changes), epoch_us(max(minute)) "
        "FROM pgweir.activity GROUP BY ALL");
    if (activity.ok()) {
      for (const duck::TextRow& row : activity->rows) {
        const auto entry = by_name.find(row[0].value_or(""));
        if (entry == by_name.end()) continue;
        TableInfo& info = entry->second;
        const auto changes = static_cast<std::uint64_t>(number(row[2]));
        switch (operation_of(row[1].value_or(""))) {
          case Operation::kInsert:
            info.inserts = changes;
            break;
          case Operation::kUpdate:
            info.updates = changes;
            break;
          case Operation::kDelete:
            info.deletes = changes;
            break;
          case Operation::kTruncate:
            info.truncates = changes;
            break;
          case Operation::kRead:
            info.reads = changes;
            break;
          case Operation::kMessage:
            break;
        }
        info.last_change = std::max(info.last_change.value_or(0), number(row[3]));
      }
    }
  }
  std::vector<TableInfo> out;
  for (auto& [name, info] : by_name) out.push_back(std::move(info));
  return out;
}

std::vector<ViewInfo> PipelineBackend::view_definitions() {
  std::vector<ViewInfo> out;
  if (pipeline_.views() == nullptr) return out;
  for (const views::ViewInfo& view : pipeline_.views()->views()) {
    ViewInfo info;
    info.name = view.name;
    info.sql = view.sql;
    info.strategy = view.strategy;
    info.reason = view.reason;
    info.mode = views::output_mode_name(view.mode);
    if (view.state == views::ViewState::kLive) {
      const bool append = view.mode == views::OutputMode::kAppend;
      info.state_rows = append ? view.open_rows : view.state_rows;
      if (append) info.windows = {view.closed_up_to, view.late_rows};
      if (view.as_of) info.isolated = {time_or_none(view.as_of->commit_time), view.is_behind};
      if (view.last_batch) info.last_batch = {view.last_batch->took, view.last_batch->changes};
      if (view.longest_batch)
        info.longest_batch = {view.longest_batch->took, view.longest_batch->changes};
      info.batch_time_total = view.time_total;
    }
    info.budget = view.budget;
    for (const engine::StoreColumn& column : view.columns)
      info.columns.push_back({column.name, column.type, CellKind::kText});
    info.state = view.state == views::ViewState::kLive      ? ViewState::kLive
                 : view.state == views::ViewState::kWaiting ? ViewState::kBuilding
                                                            : ViewState::kFailed;
    if (view.error) info.error = view.error->text();
    out.push_back(std::move(info));
  }
  return out;
}

std::vector<ViewInfo> PipelineBackend::views() {
  std::vector<ViewInfo> out = view_definitions();
  const auto reader = this->reader();
  if (!reader.ok() || !(*reader)->position().snapshot_complete) return out;
  for (ViewInfo& info : out) {
    const auto view = pipeline_.views()->view(info.name);
    if (info.state != ViewState::kLive || !view.ok()) continue;
    const auto rows = (*reader)->connection().query_int("SELECT count(*) FROM " + view->rows);
    if (rows.ok()) info.rows = static_cast<std::uint64_t>(*rows);
    info.position = view->as_of ? view->as_of->end_lsn : (*reader)->position().end_lsn;
  }
  return out;
}

Result<RowsAnswer> PipelineBackend::view_rows(const std::string& name, const RowsRequest& request) {
  TRY_ASSIGN(const auto reader, this->reader());
  if (!reader->position().snapshot_complete) return snapshot_in_progress();
  TRY_ASSIGN(const views::ViewInfo view, pipeline_.views()->view(name));
  if (view.state != views::ViewState::kLive) {
    return error(Code::kUnavailable, fmt::format("view '{}' is not live", name),
                 view.error ? view.error->text() : "", "Its state says why: /api/v1/views");
  }
  const std::string& from = view.rows;
  std::string order;
  for (const OrderBy& by : request.order) {
    order += fmt::format("{}{}{}", order.empty() ? " ORDER BY " : ", ",
                         duck::quote_identifier(by.column), by.descending ? " DESC" : "");
  }
  ReaderQuery query;
  query.sql = fmt::format("SELECT * FROM {}{} LIMIT {} OFFSET {}", from, order, request.limit,
                          request.offset);
  query.row_max = request.limit;
  query.bytes_max = request.bytes_max;
  query.timeout = options_.rows_timeout;
  TRY_ASSIGN(ReaderRows rows, run_query(reader->connection(), query));
  if (rows.cut_by_bytes) {
    return error(Code::kInvalid, "the rows are too large for one answer", {},
                 "Ask for fewer rows with limit");
  }
  RowsAnswer out;
  out.rows = std::move(rows.rows);
  out.total = out.rows.row_count();
  // All of them are in the answer, or they have to be counted.
  if (request.offset > 0 || out.total >= request.limit) {
    TRY_ASSIGN(const std::int64_t total,
               reader->connection().query_int(fmt::format("SELECT count(*) FROM {}", from)));
    out.total = static_cast<std::uint64_t>(total);
  }
  out.position = reader->position().end_lsn;
  out.time = time_or_none(reader->position().commit_time);
  if (view.isolated) {
    TRY_ASSIGN(const auto at, views::isolated_position(reader->connection(), view.name));
    if (at) {
      out.position = at->end_lsn;
      out.time = time_or_none(at->commit_time);
    }
  }
  return out;
}

Result<SqlAnswer> PipelineBackend::sql(const SqlRequest& request) {
  TRY_ASSIGN(const auto reader, this->reader());
  if (!reader->position().snapshot_complete) return snapshot_in_progress();
  ReaderQuery query;
  query.sql = request.sql;
  query.parameters = request.parameters;
  query.row_max = request.limit;
  query.bytes_max = request.bytes_max;
  query.timeout = request.timeout;
  TRY_ASSIGN(ReaderRows rows, run_query(reader->connection(), query));
  SqlAnswer out;
  out.rows = std::move(rows.rows);
  out.truncated = rows.cut_by_rows || rows.cut_by_bytes;
  out.position = reader->position().end_lsn;
  return out;
}

Result<ActivityAnswer> PipelineBackend::activity(const ActivityRequest& request) {
  TRY_ASSIGN(const auto reader, this->reader());
  const char* bucket = request.bucket == TimeBucket::kMinute ? "minute"
                       : request.bucket == TimeBucket::kHour ? "hour"
                                                             : "day";
  std::string where = fmt::format(
      "minute >= make_timestamptz({}) AND minute < make_timestamptz({})", request.from, request.to);
  const auto in_list = [&where](const char* column, const std::vector<std::string>& values) {
    if (values.empty()) return;
    std::string list;
    for (const std::string& value : values)
      list += (list.empty() ? "" : ", ") + duck::quote_literal(value);
    where += fmt::format(" AND {} IN ({})", column, list);
  };
  in_list("\"schema\" || '.' || \"table\"", request.tables);
  std::vector<std::string> letters;
  for (const Operation operation : request.operations) letters.push_back(operation_name(operation));
  in_list("op", letters);
  TRY_ASSIGN(const duck::TextRows rows,
             reader->connection().query_texts(fmt::format(
                 "SELECT epoch_us(date_trunc('{}', minute AT TIME ZONE 'UTC')) AS bucket, "
                 "\"schema\" || '.' || \"table\" AS name, op, sum(changes), sum(bytes), "
                 "sum(transactions) FROM pgweir.activity WHERE {} GROUP BY ALL "
                 "ORDER BY bucket, name, op",
                 bucket, where)));
  ActivityAnswer out;
  for (const duck::TextRow& row : rows.rows) {
    out.buckets.push_back({number(row[0]), row[1].value_or(""), operation_of(row[2].value_or("")),
                           static_cast<std::uint64_t>(number(row[3])),
                           static_cast<std::uint64_t>(number(row[4])),
                           static_cast<std::uint64_t>(number(row[5]))});
  }
  out.position = reader->position().end_lsn;
  return out;
}

}  // namespace pgweir::server
