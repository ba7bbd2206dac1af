// Verify, on a thread of its own for as long as its reader stays.
#include <fmt/core.h>

#include <algorithm>
#include <thread>

#include "base/mutex.h"
#include "pipeline/verify.h"
#include "server/pipeline_backend.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

void write_difference(JsonWriter& json, const pipeline::RowDifference& row) {
  json.begin_object().key("key").begin_object();
  for (const auto& [name, value] : row.key) json.key(name).optional_string(value);
  json.end_object();
  json.key("source_rows").integer(row.source_rows);
  json.key("mirror_rows").integer(row.mirror_rows);
  json.key("columns").begin_array();
  for (const pipeline::ColumnDifference& column : row.columns) {
    json.begin_object().key("name").string(column.name);
    json.key("source").optional_string(column.source);
    json.key("mirror").optional_string(column.mirror);
    json.end_object();
  }
  json.end_array().end_object();
}

void write_verdict(JsonWriter& json, const pipeline::TableVerdict& verdict) {
  json.begin_object().key("table").string(verdict.table);
  json.key("equal").boolean(verdict.equal());
  json.key("reason");
  verdict.reason.empty() ? json.null() : json.string(verdict.reason);
  json.key("stopped").boolean(verdict.stopped);
  json.key("source_rows").integer(verdict.source_count);
  json.key("mirror_rows").integer(verdict.mirror_count);
  json.key("ranges").integer(verdict.ranges);
  json.key("ranges_differing").integer(verdict.ranges_differing);
  json.key("differing").integer(verdict.differing);
  json.key("more").boolean(verdict.more);
  json.key("unsettled").integer(verdict.unsettled);
  json.key("running_xids").begin_array();
  for (const std::uint64_t xid : verdict.running_xids) json.integer(xid);
  json.end_array().key("differences").begin_array();
  for (const pipeline::RowDifference& row : verdict.differences) write_difference(json, row);
  json.end_array().end_object();
}

std::string report_json(const pipeline::VerifyReport& report, double elapsed_ms) {
  const bool equal = std::all_of(report.tables.begin(), report.tables.end(),
                                 [](const auto& verdict) { return verdict.equal(); });
  JsonWriter json;
  json.begin_object().key("report").begin_object().key("equal").boolean(equal).key("lsn");
  write_lsn(json, report.lsn);
  json.key("looks").integer(report.looks);
  json.key("elapsed_ms").number(elapsed_ms);
  json.key("tables").begin_array();
  for (const pipeline::TableVerdict& verdict : report.tables) write_verdict(json, verdict);
  json.end_array().end_object().end_object();
  return json.take();
}

class VerifyRun final : public Subscription {
 public:
  VerifyRun(std::unique_ptr<pipeline::Verifier> verifier, std::vector<std::string> tables,
            std::shared_ptr<EventSink> sink, std::shared_ptr<std::atomic<bool>> verifying)
      : verifier_(std::move(verifier)),
        tables_(std::move(tables)),
        sink_(std::move(sink)),
        verifying_(std::move(verifying)),
        thread_([this] { run(); }) {}

  // What is interrupted between two statements must be interrupted again.
  ~VerifyRun() override {
    constexpr Microseconds kRepeat{20'000};
    {
      MutexLock lock(mutex_);
      while (!done_) {
        verifier_->cancel();
        changed_.wait_for(mutex_, kRepeat);
      }
    }
    thread_.join();
  }

 private:
  void run() {
    const auto start = std::chrono::steady_clock::now();
    const auto report = verifier_->run(tables_, [this](const std::string& what) {
      JsonWriter json;
      json.begin_object().key("progress").string(what).end_object();
      sink_->send({"", json.take()});
    });
    const std::chrono::duration<double, std::milli> elapsed =
        std::chrono::steady_clock::now() - start;
    if (report.ok()) {
      sink_->send({"", report_json(*report, elapsed.count())});
      sink_->end();
    } else {
      sink_->fail(report.error());
    }
    verifying_->store(false);
    MutexLock lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }

  const std::unique_ptr<pipeline::Verifier> verifier_;
  const std::vector<std::string> tables_;
  const std::shared_ptr<EventSink> sink_;
  const std::shared_ptr<std::atomic<bool>> verifying_;
  Mutex mutex_;
  Condition changed_;
  bool done_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Subscription>> PipelineBackend::verify(
    const std::vector<std::string>& tables, std::shared_ptr<EventSink> sink) {
  engine::Engine* engine = pipeline_.engine();
  std::vector<std::string> mirrored;
  if (engine != nullptr) {
    for (const engine::Mirror& mirror : engine->mirrors())
      mirrored.push_back(mirror.table.qualified_name());
  }
  for (const std::string& table : tables) {
    if (std::find(mirrored.begin(), mirrored.end(), table) != mirrored.end()) continue;
    return error(Code::kInvalid, fmt::format("there is no mirror of {} to verify", table), {},
                 "engine.mirrors: all keeps one of every captured table");
  }
  if (mirrored.empty()) {
    return error(Code::kInvalid, "there are no mirrors to verify", {},
                 "engine.mirrors: all keeps one of every captured table");
  }
  if (verifying_->exchange(true)) {
    return error(Code::kUnavailable, "another verify runs", {}, "One runs at a time: wait for it");
  }
  const config::Config& config = pipeline_.config();
  pipeline::VerifyOptions options;
  options.url = config.source.url.reveal();
  options.types = {.numeric_precision = static_cast<int>(config.source.numeric.precision),
                   .numeric_scale = static_cast<int>(config.source.numeric.scale)};
  return std::unique_ptr<Subscription>(std::make_unique<VerifyRun>(
      std::make_unique<pipeline::Verifier>(*engine, pipeline_.log(), std::move(options)),
      tables.empty() ? mirrored : tables, std::move(sink), verifying_));
}

}  // namespace pgweir::server
