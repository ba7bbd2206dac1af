// A Backend with made-up answers, for the tests of this folder: the bank of two tables and a view
// that docs/http_api.md shows.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>

#include "server/backend.h"
#include "server/rows.h"

namespace pgweir::server {

class FakeBackend final : public Backend {
 public:
  StatusReport status() override;
  Readiness readiness() override {
    std::lock_guard lock(mutex_);
    return readiness_;
  }
  std::vector<TableInfo> tables() override;
  std::vector<ViewInfo> view_definitions() override { return views(); }
  std::vector<ViewInfo> views() override;
  Result<RowsAnswer> view_rows(const std::string& name, const RowsRequest& request) override;
  Result<std::unique_ptr<Subscription>> view_stream(const std::string& name,
                                                    const std::string& last_event_id,
                                                    std::shared_ptr<EventSink> sink) override;
  Result<SqlAnswer> sql(const SqlRequest& request) override;
  Result<ActivityAnswer> activity(const ActivityRequest& request) override;
  Result<std::unique_ptr<Subscription>> tail(const TailRequest& request,
                                             std::shared_ptr<EventSink> sink) override;
  // Says at once that all is equal; a table "public.entries" that another one runs.
  Result<std::unique_ptr<Subscription>> verify(const std::vector<std::string>& tables,
                                               std::shared_ptr<EventSink> sink) override;
  Result<ReloadReport> reload() override {
    ReloadReport out;
    out.added = {"per_hour"};
    out.dropped = {"total"};
    out.renamed = {{"large", "large_transfers"}};
    out.unchanged = {"balance"};
    out.failed = {{"per_hour", "there is no table \"transfer\" at 1:22"}};
    return out;
  }
  // Of "balance", which "per/minute" reads; that one cannot be built.
  Result<RebuildReport> rebuild_view(const std::string& name) override {
    {
      std::lock_guard lock(mutex_);
      asked_.rebuilt = name;
      if (rebuild_) return *rebuild_;
    }
    if (name != "balance")
      return error(Code::kInvalid, "view " + name + " could not be built", "a column is gone",
                   "put it right");
    RebuildReport out;
    out.rebuilt = {"balance", "per/minute"};
    out.emitted_anew = {"per/minute"};
    return out;
  }
  void set_rebuild(RebuildReport report) {
    std::lock_guard lock(mutex_);
    rebuild_ = std::move(report);
  }
  std::vector<MetricFamily> metrics() override {
    return {{"pgweir_engine_batches_total", "Batches", MetricKind::kCounter, {{{}, 7}}}};
  }

  void set_readiness(Readiness readiness) {
    std::lock_guard lock(mutex_);
    readiness_ = std::move(readiness);
  }
  // What the calls were asked last.
  struct Asked {
    RowsRequest rows;
    SqlRequest sql;
    ActivityRequest activity;
    TailRequest tail;
    std::string followed;  // a view
    std::string last_event_id;
    std::string rebuilt;  // a view
    std::shared_ptr<EventSink> sink;
  };
  Asked asked() {
    std::lock_guard lock(mutex_);
    Asked out = asked_;
    out.sink = sink_.lock();
    return out;
  }
  using AnswerSql = std::function<Result<SqlAnswer>(const SqlRequest&)>;
  void set_sql(AnswerSql answer) {
    std::lock_guard lock(mutex_);
    answer_sql_ = std::move(answer);
  }
  int subscriptions() {
    std::lock_guard lock(mutex_);
    return subscriptions_;
  }
  // False when that takes longer than 20 s.
  bool wait_until_unsubscribed() {
    std::unique_lock lock(mutex_);
    return unsubscribed_.wait_for(lock, std::chrono::seconds(20),
                                  [this] { return subscriptions_ == 0; });
  }

 private:
  friend class FakeSubscription;
  std::mutex mutex_;
  std::condition_variable unsubscribed_;
  int subscriptions_ = 0;
  Readiness readiness_{true, {}};
  Asked asked_;
  std::weak_ptr<EventSink> sink_;
  AnswerSql answer_sql_;
  std::optional<RebuildReport> rebuild_;
};

inline constexpr model::Lsn kFakeLsn{0x16B3748};
inline constexpr TimeUs kFakeTime = 1'795'269'600'000'000;  // 2026-11-21T14:00:00Z

inline StatusReport FakeBackend::status() {
  StatusReport out;
  out.state = PipelineState::kStreaming;
  out.message = "streaming from bank on 127.0.0.1:5432";
  out.version = "0.1.0";
  SourceStatus& source = out.source;
  source.name = "bank";
  source.database = "bank";
  source.host = "127.0.0.1:5432";
  source.server_version = "15.14";
  source.slot = "pgweir";
  source.publication = "pgweir";
  source.slot_active = true;
  source.retained_wal_bytes = 1024;
  source.wal_status = "reserved";
  source.safe_wal_bytes = 10'000'000;
  source.wal_limit_bytes = 16'777'216;
  source.retained_growth_bytes_per_second = 0.5;
  source.slot_seconds_left = 20'000'000;
  source.slot_failover = false;
  source.received_lsn = source.confirmed_lsn = source.server_lsn = kFakeLsn;
  source.last_commit_time = kFakeTime;
  source.tables = 2;
  source.schema_changes.asked = kFakeTime;
  source.snapshot = {SnapshotState::kDone, 1000, 2, 2};
  out.log = {123'456, 1, kFakeTime, model::Lsn{0x16B0000}, kFakeLsn, 50'000'000'000};
  out.followers = {
      {"engine", "engine", FollowerState::kFollowing, kFakeLsn, 0, 3, std::nullopt},
      {"lake", "parquet", FollowerState::kFailed, kFakeLsn, 4096, std::nullopt, "disk \"full\""}};
  out.rates = {12.5, 1234};
  out.findings = {{Severity::kWarning, "table public.visits", "has no primary key",
                   "add one, or ALTER TABLE public.visits REPLICA IDENTITY FULL"}};
  return out;
}

inline std::vector<TableInfo> FakeBackend::tables() {
  TableInfo accounts{"public", "accounts", {{"id", "bigint", true}, {"owner", "text", false}}};
  accounts.mirrored = true;
  accounts.rows = 100;
  accounts.bytes = 65536;
  accounts.inserts = 100;
  accounts.updates = 7;
  accounts.reads = 100;
  accounts.last_change = kFakeTime;
  TableInfo entries{
      "public", "entries", {{"id", "bigint", true}, {"amount", "numeric(20,2)", false}}};
  return {accounts, entries};
}

inline std::vector<ViewInfo> FakeBackend::views() {
  ViewInfo balance;
  balance.name = "balance";
  balance.sql = "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1";
  balance.strategy = "delta";
  balance.reason = "groups of one table with count and sum";
  balance.columns = {{"account_id", "BIGINT", CellKind::kInteger},
                     {"balance", "DECIMAL(38,2)", CellKind::kText}};
  balance.rows = 100;
  balance.state = ViewState::kLive;
  balance.last_batch = {Microseconds{3'100}, 40};
  balance.longest_batch = {Microseconds{12'500}, 900};
  balance.batch_time_total = Microseconds{4'250'000};
  balance.budget = Milliseconds{10'000};
  balance.position = kFakeLsn;
  ViewInfo broken;
  broken.name = "per/minute";
  broken.sql = "SELECT 1";
  broken.strategy = "recompute";
  broken.state = ViewState::kFailed;
  broken.error = "a column is gone";
  ViewInfo apart;
  apart.name = "apart";
  apart.sql = "SELECT max(amount) AS most FROM entries";
  apart.strategy = "isolated";
  apart.reason = "computed beside the others, at a position of its own";
  apart.columns = {{"most", "DECIMAL(20,2)", CellKind::kText}};
  apart.rows = 1;
  apart.state = ViewState::kLive;
  apart.isolated = {kFakeTime, true};
  apart.position = kFakeLsn;
  return {balance, broken, apart};
}

inline Result<RowsAnswer> FakeBackend::view_rows(const std::string& name,
                                                 const RowsRequest& request) {
  {
    std::lock_guard lock(mutex_);
    asked_.rows = request;
  }
  if (name != "balance") return error(Code::kUnavailable, "view '" + name + "' has failed");
  RowsAnswer out;
  out.rows.columns = views()[0].columns;
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(request.limit, 2); ++i) {
    out.rows.cells.emplace_back(i == 0 ? "1" : "9007199254740993");
    out.rows.cells.emplace_back(i == 0 ? std::optional<std::string>("10.50") : std::nullopt);
  }
  out.position = kFakeLsn;
  out.time = kFakeTime;
  out.total = 100;
  return out;
}

inline Result<SqlAnswer> FakeBackend::sql(const SqlRequest& request) {
  AnswerSql answer;
  {
    std::lock_guard lock(mutex_);
    asked_.sql = request;
    answer = answer_sql_;
  }
  if (answer) return answer(request);
  SqlAnswer out;
  out.rows.columns = {{"n", "BIGINT", CellKind::kInteger}, {"ok", "BOOLEAN", CellKind::kBoolean}};
  out.rows.cells = {"42", "true"};
  out.position = kFakeLsn;
  return out;
}

inline Result<ActivityAnswer> FakeBackend::activity(const ActivityRequest& request) {
  {
    std::lock_guard lock(mutex_);
    asked_.activity = request;
  }
  ActivityAnswer out;
  out.buckets = {{kFakeTime, "public.accounts", Operation::kInsert, 12, 3456, 2},
                 {kFakeTime, "public.accounts", Operation::kUpdate, 1, 99, 1},
                 {kFakeTime + 3'600'000'000, "public.accounts", Operation::kInsert, 3, 44, 1}};
  out.position = kFakeLsn;
  return out;
}

// Delivers nothing by itself: tests send through last_sink.
class FakeSubscription final : public Subscription {
 public:
  explicit FakeSubscription(FakeBackend& backend) : backend_(backend) {}
  ~FakeSubscription() override {
    std::lock_guard lock(backend_.mutex_);
    --backend_.subscriptions_;
    backend_.unsubscribed_.notify_all();
  }

 private:
  FakeBackend& backend_;
};

inline Result<std::unique_ptr<Subscription>> FakeBackend::tail(const TailRequest& request,
                                                               std::shared_ptr<EventSink> sink) {
  if (request.from_lsn && *request.from_lsn < model::Lsn{0x100})
    return error(Code::kNotFound, "the log begins at 0/16B0000", {}, "begin there");
  std::lock_guard lock(mutex_);
  asked_.tail = request;
  sink_ = sink;
  ++subscriptions_;
  return std::unique_ptr<Subscription>(std::make_unique<FakeSubscription>(*this));
}

inline Result<std::unique_ptr<Subscription>> FakeBackend::view_stream(
    const std::string& name, const std::string& last_event_id, std::shared_ptr<EventSink> sink) {
  if (name != "balance") return error(Code::kUnavailable, "view '" + name + "' is not live");
  std::lock_guard lock(mutex_);
  asked_.followed = name;
  asked_.last_event_id = last_event_id;
  sink_ = sink;
  ++subscriptions_;
  return std::unique_ptr<Subscription>(std::make_unique<FakeSubscription>(*this));
}

inline Result<std::unique_ptr<Subscription>> FakeBackend::verify(
    const std::vector<std::string>& tables, std::shared_ptr<EventSink> sink) {
  if (tables == std::vector<std::string>{"public.entries"})
    return error(Code::kUnavailable, "another verify runs");
  sink->send({"", R"({"progress":"comparing public.accounts"})"});
  sink->send({"", R"({"report":{"equal":true}})"});
  sink->end();
  std::lock_guard lock(mutex_);
  ++subscriptions_;
  return std::unique_ptr<Subscription>(std::make_unique<FakeSubscription>(*this));
}

}  // namespace pgweir::server
