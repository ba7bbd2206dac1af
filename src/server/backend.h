// What the HTTP API asks of a running pipeline: plain questions, plain answers.
//
// Place:   the edge between server/ (HTTP, JSON, limits, parameters) and whoever owns the pipeline.
//          Nothing here knows HTTP or Boost; names, ranges and limits arrive checked by the API.
// Threads: every call may come from several server threads at once, and each must return in
//          bounded time, since HttpServer::stop() waits for calls that run.
// Values:  times are microseconds since 1970-01-01 UTC; an LSN of zero means "none" (JSON null).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model/position.h"

namespace pgweir::server {

using TimeUs = std::int64_t;

enum class PipelineState {
  kStarting,
  kSnapshotting,
  kStreaming,
  kWaitingForDisk,
  kReconnecting,
  kStopped,
  kFailed,
};

enum class Operation { kInsert, kUpdate, kDelete, kTruncate, kRead, kMessage };

enum class SnapshotState { kNone, kRunning, kDone };

struct SnapshotProgress {
  SnapshotState state = SnapshotState::kNone;
  std::uint64_t rows = 0;  // read so far
  std::uint64_t tables_done = 0;
  std::uint64_t tables_total = 0;
  std::uint64_t bytes = 0;
  std::optional<std::uint64_t> estimated_rows;  // of all tables, by the server's statistics
  double rows_per_second = 0;
  std::optional<double> seconds_left;
};

// A table that is read beside the stream, or waits for it.
struct TableReadProgress {
  std::string table;  // schema.table
  bool begun = false;
  std::uint64_t rows = 0;  // in the log so far
  std::uint64_t bytes = 0;
  std::optional<std::uint64_t> estimated_rows;
  double percent = 0;
  double rows_per_second = 0;
  std::optional<double> seconds_left;
  std::string message;  // what it waits for; may be empty
};

// How changes of the tables' shapes become known, and how old that knowledge is.
struct SchemaKnowledge {
  bool at_once = false;         // an event trigger tells of them; else the catalog is asked
  std::optional<TimeUs> asked;  // when the catalog was asked last
  std::optional<std::string> error;
};

struct SourceStatus {
  std::string name;
  std::string database;
  std::string host;  // without user and password
  std::string server_version;
  std::string slot;
  std::string publication;
  bool slot_active = false;
  std::optional<std::uint64_t> retained_wal_bytes;
  std::optional<std::string> wal_status;         // reserved, extended, unreserved, lost
  std::optional<std::uint64_t> safe_wal_bytes;   // that may still be written before it is in danger
  std::optional<std::uint64_t> wal_limit_bytes;  // max_slot_wal_keep_size
  std::optional<double> retained_growth_bytes_per_second;
  std::optional<std::uint64_t> slot_seconds_left;  // until the limit, at that rate
  std::optional<std::string> slot_invalidation_reason;
  std::optional<bool> slot_failover;      // standbys keep a copy of it
  std::optional<std::string> slot_alarm;  // what is alarming, in words
  model::Lsn received_lsn{};
  model::Lsn confirmed_lsn{};
  model::Lsn server_lsn{};
  std::optional<TimeUs> last_commit_time;
  std::uint64_t tables = 0;
  SchemaKnowledge schema_changes;
  SnapshotProgress snapshot;
  std::vector<TableReadProgress> reads;
};

struct LogStatus {
  std::uint64_t bytes = 0;
  std::uint64_t segments = 0;
  std::optional<TimeUs> oldest_time;
  model::Lsn first_lsn{};
  model::Lsn last_lsn{};
  std::optional<std::uint64_t> free_disk_bytes;
};

enum class FollowerState { kFollowing, kCatchingUp, kStopped, kFailed, kLost };

struct FollowerStatus {
  std::string name;
  std::string kind;  // engine, parquet, …
  FollowerState state = FollowerState::kStopped;
  model::Lsn position{};
  std::uint64_t lag_bytes = 0;
  std::optional<std::uint64_t> lag_ms;
  std::optional<std::string> error;
};

// How far event time has come by a column.
struct WatermarkStatus {
  std::string column;  // schema.table.column
  std::uint64_t delay_ms = 0;
  std::optional<TimeUs> watermark;  // no row before it is expected; none before the first
  std::optional<TimeUs> newest;
};

struct Rates {
  double changes_per_second = 0;
  double bytes_per_second = 0;
};

enum class Severity { kNote, kWarning, kError };

// Something that a person should know or put right (preflight and while running).
struct Finding {
  Severity severity = Severity::kNote;
  std::string subject;  // "table public.visits", "source"
  std::string message;
  std::string hint;  // may be empty
};

struct StatusReport {
  PipelineState state = PipelineState::kStarting;
  std::string message;  // one sentence on the state; may be empty
  std::string version;
  SourceStatus source;
  LogStatus log;
  std::vector<FollowerStatus> followers;
  Rates rates;
  std::vector<WatermarkStatus> watermarks;
  std::optional<TimeUs> now;  // what it is in views, where one goes by it
  std::vector<Finding> findings;
};

// What /readyz and the calls that read rows decide by; cheap, asked often.
struct Readiness {
  bool snapshot_complete = false;      // false only until the first snapshot is in the mirrors
  std::vector<std::string> not_ready;  // one sentence each; empty means ready
};

struct TableColumn {
  std::string name;
  std::string type;  // as PostgreSQL prints it: numeric(10,2)
  bool key = false;
};

struct TableInfo {
  std::string schema;
  std::string name;
  std::vector<TableColumn> columns;
  bool mirrored = false;
  std::optional<std::uint64_t> rows;   // of the mirror
  std::optional<std::uint64_t> bytes;  // of the mirror, when known
  std::uint64_t inserts = 0;
  std::uint64_t updates = 0;
  std::uint64_t deletes = 0;
  std::uint64_t truncates = 0;
  std::uint64_t reads = 0;
  std::optional<TimeUs> last_change;
  std::optional<std::string> error;       // why the mirror of this table alone has stopped
  std::optional<std::string> released;    // why the mirror keeps no rows, only their changes
  std::optional<double> reading_percent;  // while it is read beside the stream
};

// How the text of a cell becomes JSON (rows.h has the rules).
enum class CellKind {
  kText,     // a string: texts, numerics, LSNs, times (ISO 8601 with zone), bytes
  kInteger,  // a number within ±2^53, a string beyond
  kFloat,    // a number; a string when it is not finite
  kBoolean,  // "true" or "false"
  kJson,     // valid JSON already: lists, structs
};

struct RowColumn {
  std::string name;
  std::string type;  // the engine's name of the type
  CellKind kind = CellKind::kText;
};

// Rows as text, row after row in one vector: `cells.size() == columns.size() * row_count()`.
struct RowSet {
  std::vector<RowColumn> columns;
  std::vector<std::optional<std::string>> cells;  // nothing is NULL

  std::size_t row_count() const { return columns.empty() ? 0 : cells.size() / columns.size(); }
};

enum class ViewState { kLive, kBuilding, kFailed };

struct ViewInfo {
  std::string name;
  std::string sql;
  std::string strategy;  // delta, affected keys, recompute, isolated
  std::string reason;    // why this strategy
  std::string mode = "update";
  std::optional<std::uint64_t> state_rows;  // that are kept to bring it up to date
  // Of append mode.
  struct Windows {
    std::optional<TimeUs>
        closed_up_to;             // windows that end by then have left; none before the first
    std::uint64_t late_rows = 0;  // changes that came too late for theirs
  };
  std::optional<Windows> windows;
  // What a live view takes of the batches that change something for it.
  struct Batch {
    Microseconds took{0};
    std::uint64_t changes = 0;
  };
  std::optional<Batch> last_batch;
  std::optional<Batch> longest_batch;  // of late, among those that its budget is about
  std::optional<Microseconds> batch_time_total;
  Milliseconds budget{0};  // zero: none
  // Of an isolated view that is live: when it was true, which is at `position`, and whether what it
  // reads has changed since.
  struct Isolated {
    std::optional<TimeUs> time;
    bool is_behind = false;
  };
  std::optional<Isolated> isolated;
  std::vector<RowColumn> columns;
  std::optional<std::uint64_t> rows;
  ViewState state = ViewState::kBuilding;
  std::optional<std::string> error;
  model::Lsn position{};
};

struct OrderBy {
  std::string column;  // one of the view's
  bool descending = false;
};

struct RowsRequest {
  std::uint64_t limit = 0;
  std::uint64_t offset = 0;
  std::vector<OrderBy> order;   // empty: any order
  std::uint64_t bytes_max = 0;  // of cell text: kInvalid with a hint when more
};

struct RowsAnswer {
  RowSet rows;
  model::Lsn position{};
  std::optional<TimeUs> time;  // commit time at the position
  std::uint64_t total = 0;     // rows of the whole view, at the same position
};

using SqlParameter = std::variant<std::monostate, bool, std::int64_t, double, std::string>;

struct SqlRequest {
  std::string sql;
  std::vector<SqlParameter> parameters;  // $1, $2, …
  std::uint64_t limit = 0;               // rows; what comes after is cut, `truncated`
  std::uint64_t bytes_max = 0;           // of cell text; likewise
  Milliseconds timeout{0};               // kTimeout after it
};

struct SqlAnswer {
  RowSet rows;
  model::Lsn position{};
  bool truncated = false;
};

enum class TimeBucket { kMinute, kHour, kDay };

struct ActivityRequest {
  TimeUs from = 0;                          // inclusive
  TimeUs to = 0;                            // exclusive
  std::vector<std::string> tables;          // "schema.table"; empty: all
  std::vector<Operation> operations;        // empty: all
  TimeBucket bucket = TimeBucket::kMinute;  // UTC
};

struct ActivityBucket {
  TimeUs time = 0;  // start of the bucket
  std::string table;
  Operation operation = Operation::kInsert;
  std::uint64_t changes = 0;
  std::uint64_t bytes = 0;
  std::uint64_t transactions = 0;
};

struct ActivityAnswer {
  std::vector<ActivityBucket> buckets;  // by time, table, operation; empty ones left out
  model::Lsn position{};
};

struct TailRequest {
  std::vector<std::string> tables;    // "schema.table"; empty: all, also those that come later
  std::vector<Operation> operations;  // empty: all
  // Where to begin; at most one is set, none means with the next change.
  std::optional<model::Position> after;  // the change behind this one (Last-Event-ID)
  std::optional<model::Lsn> from_lsn;    // the first commit at or behind it
  std::optional<TimeUs> from_time;
};

// One change as a line of JSON, in the form that docs/http_api.md gives under "tail".
struct TailEvent {
  std::string id;  // to_string(Position); may be empty
  std::string json;
  std::string name = {};  // of the event; empty: a message
};

enum class SinkState {
  kOpen,    // go on
  kFull,    // wait_for_room() only: still no room
  kClosed,  // the reader left or was dropped: end the subscription
};

// Where a subscription delivers. Safe from any thread.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // Never waits: a reader that is slower than its buffer allows is dropped.
  virtual SinkState send(const TailEvent& event) = 0;
  // For producers with a thread of their own, before each batch: waits until half of the buffer is
  // free. A burst is then not taken for a slow reader, and old changes come at the reader's pace.
  virtual SinkState wait_for_room(Milliseconds timeout) = 0;
  // Drops the reader for being too slow: what he has not read is thrown away for the reason.
  virtual void drop(const std::string& reason) = 0;
  // Ends the stream from the producer's side; the reader is told why.
  virtual void fail(const Error& error) = 0;
  // The same, when all is said.
  virtual void end() = 0;
};

// Its destructor ends the delivery and waits for a send() that runs; it is never called from
// within send().
class Subscription {
 public:
  virtual ~Subscription() = default;
};

enum class MetricKind { kCounter, kGauge };

struct MetricSample {
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
};

struct MetricFamily {
  std::string name;  // pgweir_…, with its unit; counters end in _total
  std::string help;
  MetricKind kind = MetricKind::kGauge;
  std::vector<MetricSample> samples;
};

// What a changed configuration made of the views.
struct ReloadReport {
  bool done = true;  // else it goes on; the log of the program tells its end
  std::vector<std::string> added, changed, dropped, unchanged;
  std::vector<std::pair<std::string, std::string>> renamed;  // from, to
  std::vector<std::pair<std::string, std::string>> failed;   // views that are not live, and why
};

// What a rebuild made of a view and of those that read it.
struct RebuildReport {
  bool done = true;                       // else it goes on; the log of the program tells its end
  std::vector<std::string> rebuilt;       // the view first
  std::vector<std::string> emitted_anew;  // of them, those in append mode: their windows left again
  std::vector<std::pair<std::string, std::string>> waiting;  // for rows, and why
  std::vector<std::pair<std::string, std::string>> failed;   // views that are not live, and why
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual StatusReport status() = 0;
  virtual Readiness readiness() = 0;
  virtual std::vector<TableInfo> tables() = 0;
  // Queues readings of the captured tables that match SCHEMA.TABLE (* and ?); their names.
  // kNotFound when there is none.
  virtual Result<std::vector<std::string>> read_tables(const std::string& pattern) {
    return error(Code::kUnsupported, "tables cannot be read again here", pattern);
  }
  // view_definitions() leaves out what only a query tells: rows and position.
  virtual std::vector<ViewInfo> view_definitions() = 0;
  virtual std::vector<ViewInfo> views() = 0;

  // kNotFound for an unknown view, kUnavailable for one that is not live.
  virtual Result<RowsAnswer> view_rows(const std::string& name, const RowsRequest& request) = 0;

  // Delivers the view's rows and then what changes of them, in the form that docs/http_api.md
  // gives, until the subscription is destroyed. It goes on behind the event `last_event_id` when
  // what came since is still kept; "": there is none. Fails as view_rows().
  virtual Result<std::unique_ptr<Subscription>> view_stream(const std::string& name,
                                                            const std::string& last_event_id,
                                                            std::shared_ptr<EventSink> sink) = 0;

  // Read-only, without files, network or settings. kInvalid (with the engine's message) for wrong
  // SQL, kTimeout, kUnavailable when too many queries run.
  virtual Result<SqlAnswer> sql(const SqlRequest& request) = 0;

  virtual Result<ActivityAnswer> activity(const ActivityRequest& request) = 0;

  // Delivers changes to `sink` until the subscription is destroyed or the sink says kClosed.
  // kNotFound when the log does not go back that far.
  virtual Result<std::unique_ptr<Subscription>> tail(const TailRequest& request,
                                                     std::shared_ptr<EventSink> sink) = 0;

  // Compares mirrors with the source: events {"progress"} now and then, then one {"report"}, in the
  // form that docs/http_api.md gives. `tables`: "schema.table"; empty: all mirrors. kUnavailable
  // while another one runs. Destroying the subscription cancels it.
  virtual Result<std::unique_ptr<Subscription>> verify(const std::vector<std::string>& tables,
                                                       std::shared_ptr<EventSink> sink) = 0;

  // Takes the configuration file as it is now. kConfig, with nothing changed, names the mistakes
  // and the keys that cannot be changed.
  virtual Result<ReloadReport> reload() {
    return error(Code::kUnsupported, "the configuration cannot be loaded again here");
  }

  // Builds a view, and those that read it, anew from what the tables hold now. kNotFound for an
  // unknown view, kInvalid for one that is refused or could not be built.
  virtual Result<RebuildReport> rebuild_view(const std::string& name) {
    return error(Code::kUnsupported, "views cannot be built anew here", name);
  }

  // What the status does not hold: the pipeline's own counters, written as they are.
  virtual std::vector<MetricFamily> metrics() { return {}; }
};

}  // namespace pgweir::server
