// What is asked of the views while the pipeline runs: another configuration, one built anew.
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

  const auto reloaded = std::make_shared<Reloaded>();
  TRY(ask_engine(
      "the views could not be changed",
      [this, reloaded, sources = view_sources(config)]() mutable -> Status {
        TRY_ASSIGN(*reloaded, redefine(std::move(sources)));
        return {};
      },
      patience));
  return std::move(*reloaded);
}

Result<std::vector<views::ViewInfo>> Pipeline::rebuild_view(const std::string& name,
                                                            Milliseconds patience) {
  if (engine_ == nullptr)
    return error(Code::kNotFound, fmt::format("there is no view \"{}\"", name), {},
                 "Views need an engine with mirrors");
  const auto rebuilt = std::make_shared<std::vector<views::ViewInfo>>();
  TRY(ask_engine(
      fmt::format("view {} could not be built anew", name),
      [this, rebuilt, name]() -> Status {
        TRY_ASSIGN(*rebuilt, build_anew(name));
        return {};
      },
      patience));
  return std::move(*rebuilt);
}

Status Pipeline::ask_engine(std::string what, std::function<Status()> work, Milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  MutexLock lock(errand_mutex_);
  if (errand_ != nullptr)
    return error(Code::kUnavailable, "another reload or rebuild of views goes on", {},
                 "Try again in a moment");
  const auto errand = errand_ = std::make_shared<Errand>();
  errand->what = std::move(what);
  errand->work = std::move(work);
  while (!errand->outcome) {
    const FollowerStatus engine = followers_.front()->status();
    if (engine.state == FollowerState::kFailed || engine.state == FollowerState::kLost) {
      if (errand_ == errand) errand_.reset();
      return error(Code::kUnavailable, "the engine has stopped, and takes no views",
                   engine.error ? engine.error->text() : "", "GET /api/v1/status says more");
    }
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) {
      errand->is_awaited = false;
      return error(Code::kTimeout, "the views are still being built", {},
                   "It goes on; the program's log tells its end");
    }
    errand_changed_.wait_for(
        errand_mutex_,
        std::min<Microseconds>(kLook, std::chrono::duration_cast<Microseconds>(deadline - now)));
  }
  return *errand->outcome;
}

// On the engine's thread, between two of its transactions.
void Pipeline::run_errand() {
  std::shared_ptr<Errand> errand;
  {
    MutexLock lock(errand_mutex_);
    if (errand_ == nullptr || errand_->outcome) return;
    errand = errand_;
  }
  Status outcome = errand->work();
  MutexLock lock(errand_mutex_);
  if (!outcome.ok() && !errand->is_awaited)
    logger_.error("{}: {}", errand->what, outcome.error().text());
  errand->outcome = std::move(outcome);
  if (errand_ == errand) errand_.reset();
  errand_changed_.notify_all();
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

Result<std::vector<views::ViewInfo>> Pipeline::build_anew(const std::string& name) {
  if (!engine_->position().snapshot_complete)
    return error(Code::kUnavailable, "the first snapshot is not complete yet",
                 "nothing was changed", "Try again once it is");
  TRY_ASSIGN(const std::vector<std::string> names, views_->rebuild_view(name));
  std::vector<views::ViewInfo> rebuilt;
  for (const std::string& each : names) {
    TRY_ASSIGN(views::ViewInfo view, views_->view(each));
    rebuilt.push_back(std::move(view));
  }
  const views::ViewInfo& wanted = rebuilt.front();
  const bool is_set_aside =
      wanted.state == views::ViewState::kFailed || wanted.state == views::ViewState::kRefused;
  if (is_set_aside && !wanted.awaits_rows) {
    return error(Code::kInvalid, fmt::format("view {} could not be built", wanted.name),
                 wanted.error ? wanted.error->text() : "",
                 "It stays set aside: put right what that says, then rebuild it again");
  }
  logger_.info("views built anew: {}", fmt::join(names, ", "));
  return rebuilt;
}

}  // namespace pgweir::pipeline
