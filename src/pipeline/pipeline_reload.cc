// Another configuration while the pipeline runs.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <chrono>

#include "pipeline/pipeline.h"
#include "pipeline/pipeline_internal.h"

namespace pgweir::pipeline {
namespace {

// How often it is looked whether the engine's thread still runs.
constexpr Milliseconds kLook{100};

std::string told(const views::ViewChanges& changes) {
  std::vector<std::string> parts;
  const auto add = [&](const char* what, const std::vector<std::string>& names) {
    if (!names.empty()) parts.push_back(fmt::format("{} {}", what, fmt::join(names, ", ")));
  };
  add("added", changes.added);
  add("changed", changes.changed);
  add("dropped", changes.dropped);
  for (const auto& [from, to] : changes.renamed)
    parts.push_back(fmt::format("renamed {} to {}", from, to));
  return parts.empty() ? "nothing has changed" : fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace

Result<Pipeline::Reloaded> Pipeline::reload(const config::Config& config, Milliseconds patience) {
  const std::vector<std::string> fixed = config::differing_keys(options_.config, config);
  if (!fixed.empty()) {
    return error(Code::kConfig,
                 fmt::format("{} cannot be changed while pgweir runs, only views can",
                             fmt::join(fixed, ", ")),
                 "nothing was changed", "Restart pgweir, or put back what the file had");
  }
  TRY(check_engine_for_views(config));
  if (engine_ == nullptr) return Reloaded{};

  const auto deadline = std::chrono::steady_clock::now() + patience;
  MutexLock lock(reload_mutex_);
  if (reload_ != nullptr)
    return error(Code::kUnavailable, "another reload goes on", {}, "Try again in a moment");
  const auto reload = reload_ = std::make_shared<Reload>();
  reload->sources = view_sources(config);
  while (!reload->outcome) {
    const FollowerStatus engine = followers_.front()->status();
    if (engine.state == FollowerState::kFailed || engine.state == FollowerState::kLost) {
      if (reload_ == reload) reload_.reset();
      return error(Code::kUnavailable, "the engine has stopped, and takes no views",
                   engine.error ? engine.error->text() : "", "GET /api/v1/status says more");
    }
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) {
      reload->is_awaited = false;
      return error(Code::kTimeout, "the views are still being built", {},
                   "It goes on; the program's log tells its end");
    }
    reload_changed_.wait_for(
        reload_mutex_,
        std::min<Microseconds>(kLook, std::chrono::duration_cast<Microseconds>(deadline - now)));
  }
  return *reload->outcome;
}

// On the engine's thread, between two of its transactions.
void Pipeline::run_reload() {
  std::shared_ptr<Reload> reload;
  {
    MutexLock lock(reload_mutex_);
    if (reload_ == nullptr || reload_->outcome) return;
    reload = reload_;
  }
  auto outcome = redefine(std::move(reload->sources));
  MutexLock lock(reload_mutex_);
  if (!outcome.ok() && !reload->is_awaited)
    logger_.error("the views could not be changed: {}", outcome.error().text());
  reload->outcome = std::move(outcome);
  if (reload_ == reload) reload_.reset();
  reload_changed_.notify_all();
}

Result<Pipeline::Reloaded> Pipeline::redefine(std::vector<views::ViewSource> sources) {
  if (!engine_->position().snapshot_complete)
    return error(Code::kUnavailable, "the first snapshot is not complete yet",
                 "nothing was changed", "Try again once it is");
  Reloaded out;
  TRY_ASSIGN(out.changes, views_->redefine(std::move(sources)));
  for (views::ViewInfo& view : views_->views()) {
    if (view.state == views::ViewState::kLive || view.state == views::ViewState::kWaiting) continue;
    out.failed.push_back(std::move(view));
  }
  logger_.info("views: {}", told(out.changes));
  for (const views::ViewInfo& view : out.failed) {
    logger_.error("view {} is {}: {}", view.name, views::view_state_name(view.state),
                  view.error ? view.error->text() : "");
  }
  return out;
}

}  // namespace pgweir::pipeline
