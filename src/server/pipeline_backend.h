// Answers the API's questions from a running pipeline.
//
// Place:   the only part of server/ that knows pipeline/ and engine/.
// Threads: any; every query reads on a connection of its own at one position.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "pipeline/pipeline.h"
#include "server/backend.h"
#include "server/view_stream.h"

namespace pgweir::server {

struct PipelineBackendOptions {
  std::string version;                 // of the program
  Milliseconds reader_wait{2'000};     // for a free reader, then kUnavailable
  Milliseconds rows_timeout{10'000};   // of calls without a timeout of their own
  Milliseconds ready_lag_max{30'000};  // a follower further behind makes /readyz say no
  Milliseconds rate_window{5'000};     // over which rates are taken
  std::size_t tail_rows_max = 2'000;   // changes read from the log at a time for one tail
  // The configuration file as it is now; without it nothing is loaded again.
  std::function<Result<config::Config>()> load_config;
  Milliseconds reload_wait{10'000};  // for the views to be built, then it goes on alone
};

class PipelineBackend final : public Backend {
 public:
  // `pipeline` must outlive the backend, and run only while it lives.
  explicit PipelineBackend(pipeline::Pipeline& pipeline, PipelineBackendOptions options);
  ~PipelineBackend() override;

  StatusReport status() override;
  Readiness readiness() override;
  std::vector<TableInfo> tables() override;
  Result<std::vector<std::string>> read_tables(const std::string& pattern) override {
    return pipeline_.read_tables(pattern);
  }
  std::vector<ViewInfo> view_definitions() override;
  std::vector<ViewInfo> views() override;
  Result<RowsAnswer> view_rows(const std::string& name, const RowsRequest& request) override;
  Result<std::unique_ptr<Subscription>> view_stream(const std::string& name,
                                                    const std::string& last_event_id,
                                                    std::shared_ptr<EventSink> sink) override;
  Result<SqlAnswer> sql(const SqlRequest& request) override;
  Result<ActivityAnswer> activity(const ActivityRequest& request) override;
  Result<std::unique_ptr<Subscription>> tail(const TailRequest& request,
                                             std::shared_ptr<EventSink> sink) override;
  Result<std::unique_ptr<Subscription>> verify(const std::vector<std::string>& tables,
                                               std::shared_ptr<EventSink> sink) override;
  Result<ReloadReport> reload() override;
  Result<RebuildReport> rebuild_view(const std::string& name) override;
  std::vector<MetricFamily> metrics() override;

 private:
  Result<std::unique_ptr<engine::Reader>> reader();
  std::vector<FollowerStatus> followers(const pipeline::CaptureStatus& capture);
  Rates rates(std::uint64_t changes, std::uint64_t bytes) EXCLUDES(mutex_);

  pipeline::Pipeline& pipeline_;
  const PipelineBackendOptions options_;
  std::unique_ptr<ViewStreams> view_streams_;  // null without an engine

  struct Sample {
    std::int64_t time_us = 0;
    std::uint64_t changes = 0;
    std::uint64_t bytes = 0;
  };
  // One verify at a time.
  const std::shared_ptr<std::atomic<bool>> verifying_ = std::make_shared<std::atomic<bool>>(false);

  Mutex mutex_;
  Sample older_ GUARDED_BY(mutex_);
  Sample newer_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::server
