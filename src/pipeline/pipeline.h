// A pipeline: one source, its log, its followers, one data folder. Wires and owns them.
//
// Place:   above everything that moves data, below server/ and cli/, which only ask it.
// Life:    open() takes the data folder's lock, opens log, engine and sinks; start(); stop().
// Threads: start() and stop(): one thread; everything else: any.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/logger.h"
#include "base/mutex.h"
#include "base/result.h"
#include "config/config.h"
#include "engine/engine.h"
#include "io/clock.h"
#include "io/fs.h"
#include "log/log.h"
#include "pipeline/capture.h"
#include "pipeline/follower.h"
#include "views/view_set.h"

namespace pgweir::pipeline {

struct PipelineOptions {
  config::Config config;
  bool resync = false;  // CaptureOptions::resync
};

class Pipeline {
 public:
  // kCheckFailed: the data folder is in use, not writable, or another pipeline's; kCorruption:
  // damaged, or log, engine and sinks do not fit together. All references must outlive the
  // pipeline.
  static Result<std::unique_ptr<Pipeline>> open(PipelineOptions options, io::Fs& fs,
                                                const io::Clock& clock, Logger& logger);
  ~Pipeline();

  void start();
  // Capture first, so that the followers can take what is durable; then they.
  void stop();

  // What ended capture; nothing while it runs.
  std::optional<Error> failure() const;
  // Before start(): called, on a thread of the pipeline's, when failure() has become true.
  void on_failure(std::function<void()> callback) { capture_->on_failure(std::move(callback)); }

  // True once the log has everything up to `lsn`, and every follower that lives has taken it:
  // stop() then makes it durable in all of them.
  bool reached(model::Lsn lsn) const;

  // Queues readings of the captured tables that match SCHEMA.TABLE (* and ?); their names. Any
  // thread. kNotFound when there is none.
  Result<std::vector<std::string>> read_tables(const std::string& pattern);

  // What a reload made of the views.
  struct Reloaded {
    views::ViewChanges changes;
    std::vector<views::ViewInfo> failed;  // that are not live, nor wait for a snapshot
  };
  // Takes the views of another configuration, between two batches; all else must be as it is. Any
  // thread. kConfig, with nothing changed, names what cannot be; kTimeout when it goes on after
  // `patience`: the log then tells its end.
  Result<Reloaded> reload(const config::Config& config, Milliseconds patience);

  // Builds a view and those that read it anew, between two batches; what became of them, its own
  // first. Any thread. kNotFound for an unknown view; kInvalid for a refused one, and when it could
  // not be built; kTimeout as reload().
  Result<std::vector<views::ViewInfo>> rebuild_view(const std::string& name, Milliseconds patience);

  // But for the views, which reload() may have changed.
  const config::Config& config() const { return options_.config; }
  log::Log& log() { return *log_; }
  // Null with engine.mirrors: none.
  engine::Engine* engine() { return engine_.get(); }
  views::ViewSet* views() { return views_.get(); }
  CaptureStatus capture_status() const { return capture_->status(); }
  std::vector<FollowerStatus> follower_statuses() const;
  std::uint64_t free_disk_bytes() const;
  const io::Clock& clock() const { return clock_; }
  std::int64_t started_us() const { return started_us_; }

 private:
  Pipeline(PipelineOptions options, io::Fs& fs, const io::Clock& clock, Logger& logger);
  Status open_parts();
  Status open_engine();
  Status open_sinks();
  // Has `work` done on the engine's thread, between two of its transactions; one at a time. What
  // `work` refers to must live as long as the pipeline. `what` says what it is if it fails after
  // `patience`.
  Status ask_engine(std::string what, std::function<Status()> work, Milliseconds patience)
      EXCLUDES(errand_mutex_);
  void run_errand() EXCLUDES(errand_mutex_);
  Result<Reloaded> redefine(std::vector<views::ViewSource> sources);
  Result<std::vector<views::ViewInfo>> build_anew(const std::string& name);
  // Log, engine and sinks come from one history, or we refuse: never a wrong answer.
  Status check_positions() const;

  const PipelineOptions options_;
  io::Fs& fs_;
  const io::Clock& clock_;
  Logger& logger_;
  const std::int64_t started_us_;

  std::unique_ptr<io::FileLock> lock_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<views::ViewSet> views_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Capture> capture_;
  std::vector<std::unique_ptr<Follower>> followers_;

  // What is asked of the engine's thread.
  struct Errand {
    std::string what;  // for the log: "the views could not be changed"
    std::function<Status()> work;
    bool is_awaited = true;
    std::optional<Status> outcome;
  };
  Mutex errand_mutex_;
  Condition errand_changed_;
  std::shared_ptr<Errand> errand_ GUARDED_BY(errand_mutex_);
};

}  // namespace pgweir::pipeline
