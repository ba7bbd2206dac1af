// The tail: changes out of the log, from any place in it, to one reader. What follows a view. The
// configuration, loaded again.

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "pipeline/batch_reader.h"
#include "server/change_json.h"
#include "server/pipeline_backend.h"

namespace pgweir::server {
namespace {

// Reads the log on a thread of its own, so that a slow reader costs nobody else anything.
class LogTail final : public Subscription {
 public:
  LogTail(std::unique_ptr<pipeline::BatchReader> reader, TailRequest request,
          std::shared_ptr<EventSink> sink)
      : reader_(std::move(reader)),
        request_(std::move(request)),
        sink_(std::move(sink)),
        thread_([this] { run(); }) {}

  ~LogTail() override {
    stopping_ = true;
    thread_.join();
  }

 private:
  // How soon the destructor is noticed.
  static constexpr Microseconds kLook{50'000};

  void run() {
    while (!stopping_) {
      const auto event = reader_->next(kLook);
      if (!event.ok()) {
        sink_->fail(event.error());
        return;
      }
      if (event->kind == pipeline::LogEvent::Kind::kBatch && !deliver(*event->batch)) return;
    }
  }

  // False when the reader is gone.
  bool deliver(const model::Batch& batch) {
    for (const model::Change& change : batch.changes) {
      const model::Transaction& transaction = batch.transactions[change.transaction];
      if (!wanted(batch, change, transaction)) continue;
      const model::Position position{batch.to.epoch, transaction.commit_lsn, change.sequence};
      while (true) {
        if (stopping_) return false;
        const SinkState room = sink_->wait_for_room(Milliseconds(kLook.count() / 1000));
        if (room == SinkState::kClosed) return false;
        if (room == SinkState::kOpen) break;
      }
      if (sink_->send({model::to_string(position), change_as_json(batch, change, position)}) ==
          SinkState::kClosed)
        return false;
    }
    return true;
  }

  bool wanted(const model::Batch& batch, const model::Change& change,
              const model::Transaction& transaction) const {
    if (request_.from_lsn && transaction.commit_lsn < *request_.from_lsn) return false;
    if (request_.from_time && model::value(transaction.commit_time) < *request_.from_time)
      return false;
    const auto contains = [](const auto& list, const auto& item) {
      return list.empty() || std::find(list.begin(), list.end(), item) != list.end();
    };
    return contains(request_.operations, operation_of(change.op)) &&
           contains(request_.tables, batch.table_of(change).qualified_name());
  }

  const std::unique_ptr<pipeline::BatchReader> reader_;
  const TailRequest request_;
  const std::shared_ptr<EventSink> sink_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Subscription>> PipelineBackend::tail(const TailRequest& request,
                                                            std::shared_ptr<EventSink> sink) {
  log::Log& log = pipeline_.log();
  model::Position after = log.durable_position();
  if (request.after) {
    after = *request.after;
  } else if (request.from_lsn || request.from_time) {
    // The newest segment that begins early enough: what lies in front of the wish is filtered.
    const auto segments = log.segments();
    after = {};
    for (const log::SegmentInfo& segment : segments) {
      const bool early = request.from_lsn ? segment.last.lsn < *request.from_lsn
                                          : segment.last_frame_us < *request.from_time;
      if (early) after = segment.last;
    }
    if (after == model::Position{} && !segments.empty() && segments.front().first.sequence > 1) {
      after = segments.front().first;
      --after.sequence;
    }
  }
  pipeline::BatchReaderOptions options;
  options.batch_rows_max = options_.tail_rows_max;
  TRY_ASSIGN(auto reader, pipeline::BatchReader::open(log, after, options));
  return std::unique_ptr<Subscription>(
      std::make_unique<LogTail>(std::move(reader), request, std::move(sink)));
}

Result<std::unique_ptr<Subscription>> PipelineBackend::view_stream(
    const std::string& name, const std::string& last_event_id, std::shared_ptr<EventSink> sink) {
  if (view_streams_ == nullptr)
    return error(Code::kNotFound, fmt::format("there is no view '{}'", name));
  return follow_view(*view_streams_, name, last_event_id, std::move(sink));
}

Result<ReloadReport> PipelineBackend::reload() {
  if (!options_.load_config) return Backend::reload();
  TRY_ASSIGN(const config::Config config, options_.load_config());
  auto reloaded = pipeline_.reload(config, options_.reload_wait);
  ReloadReport out;
  if (!reloaded.ok() && reloaded.error().code == Code::kTimeout) {
    out.done = false;
    return out;
  }
  if (!reloaded.ok()) return reloaded.error();
  views::ViewChanges& changes = reloaded->changes;
  out.added = std::move(changes.added);
  out.changed = std::move(changes.changed);
  out.dropped = std::move(changes.dropped);
  out.renamed = std::move(changes.renamed);
  out.unchanged = std::move(changes.unchanged);
  for (const views::ViewInfo& view : reloaded->failed)
    out.failed.emplace_back(view.name, view.error ? view.error->text() : "");
  return out;
}

Result<RebuildReport> PipelineBackend::rebuild_view(const std::string& name) {
  auto rebuilt = pipeline_.rebuild_view(name, options_.reload_wait);
  RebuildReport out;
  if (!rebuilt.ok() && rebuilt.error().code == Code::kTimeout) {
    out.done = false;
    return out;
  }
  if (!rebuilt.ok()) return rebuilt.error();
  // What reads a view that waits, waits with it.
  bool is_awaited = false;
  for (const views::ViewInfo& view : *rebuilt) {
    is_awaited = is_awaited || view.awaits_rows;
    const std::string why = view.error      ? view.error->text()
                            : view.isolated ? "its rows are computed beside the other views"
                                            : "";
    out.rebuilt.push_back(view.name);
    if (view.state == views::ViewState::kLive) {
      if (view.mode == views::OutputMode::kAppend) out.emitted_anew.push_back(view.name);
    } else if (is_awaited || view.state == views::ViewState::kWaiting) {
      out.waiting.emplace_back(view.name, why);
    } else {
      out.failed.emplace_back(view.name, why);
    }
  }
  return out;
}

std::vector<MetricFamily> PipelineBackend::metrics() {
  const pipeline::CaptureStatus capture = pipeline_.capture_status();
  const auto counter = [](const char* name, const char* help, std::uint64_t value) {
    return MetricFamily{name, help, MetricKind::kCounter, {{{}, static_cast<double>(value)}}};
  };
  return {
      counter("pgweir_capture_changes_total", "Row changes captured since the start.",
              capture.changes),
      counter("pgweir_capture_transactions_total", "Transactions captured since the start.",
              capture.transactions),
      counter("pgweir_capture_bytes_total", "Bytes of messages captured since the start.",
              capture.bytes),
      counter("pgweir_capture_reconnects_total",
              "Times the connection to the source was made anew.", capture.reconnects),
  };
}

}  // namespace pgweir::server
