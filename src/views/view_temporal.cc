// Views whose rows enter and leave by the clock.
#include <fmt/core.h>

#include <algorithm>

#include "views/temporal_outline.h"
#include "views/view_set_internal.h"

namespace pgweir::views {

// --- Binding -----------------------------------------------------------------------------------

// A part that is a temporal filter of one relation and nothing else.
Status ViewSet::plan_temporal(View& view, const BoundSelect& select, StrategyInput* input,
                              bool* planned) {
  if (view.part_of == nullptr) return {};
  TRY_ASSIGN(auto temporal, plan_temporal_filter(*parser_, *functions_, select));
  if (!temporal) return {};
  const bool enters = !temporal->times.enters.empty(), leaves = !temporal->times.leaves.empty();
  view.reason =
      fmt::format("a temporal filter: rows {} as time passes", enters && leaves ? "enter and leave"
                                                               : leaves         ? "leave"
                                                                                : "enter");
  view.plan = std::move(temporal->plan);
  view.keyed.reset();
  view.inputs = inputs_of(*view.plan);
  input->plan = view.plan;
  input->lookups = view.lookups;
  auto strategy =
      std::make_unique<TemporalStrategy>(std::move(*input), std::move(temporal->times), clock_);
  view.temporal = strategy.get();
  view.strategy = std::move(strategy);
  *planned = true;
  return {};
}

// Temporal filters come off first.
Result<std::optional<Outline>> ViewSet::take_layer(const View& view, const BoundSelect& select,
                                                   const NamePart& name_part) {
  TemporalLayer layer;
  if (select.definition.clock) {
    TRY_ASSIGN(layer, take_temporal_filters(*parser_, select, name_part));
  }
  if (layer.outline) return std::move(layer.outline);
  if (!layer.problem) return take_apart(*parser_, *functions_, select, name_part);
  if (view.part_of == nullptr && &select.definition == &view.definition) {
    const std::string place = place_of(view.definition.source.sql, layer.problem->offset);
    return error(Code::kInvalid,
                 fmt::format("now() cannot be followed here: {}{}{}", layer.problem->why,
                             place.empty() ? "" : " at ", place));
  }
  if (clock_problem_.empty()) clock_problem_ = layer.problem->why;
  return clock_refused(view, layer.problem->why);
}

// The place of the first one stands for that of a part, whose own text nobody has written.
Error ViewSet::clock_refused(const View& view, const std::string& why) const {
  const std::string& told = clock_problem_.empty() ? why : clock_problem_;
  return error(Code::kInvalid, fmt::format("now() cannot be followed here: {} at {}", told,
                                           place_of(view.definition.source.sql,
                                                    view.definition.clock.value_or(kNoOffset))));
}

// --- The clock ---------------------------------------------------------------------------------

bool ViewSet::goes_by_clock() const {
  return std::any_of(views_.begin(), views_.end(),
                     [](const auto& view) { return view->temporal != nullptr && view->live(); });
}

// As the engine's transaction has it. States that are kept stand where it is; where there are none
// it begins with the present.
Status ViewSet::start_clock(duck::Connection& connection,
                            const std::map<std::string, StoredView>& stored, Keep keep) {
  TRY(clock_.read(connection));
  clock_stale_ = false;
  bool goes = false, is_kept = false;
  for (const auto& view : views_) {
    if (view->temporal == nullptr) continue;
    const auto state = stored.find(state_name(view->name()));
    goes = true;
    is_kept = is_kept || (keep == Keep::kUnchanged && state != stored.end() &&
                          state->second.fingerprint == view->fingerprint);
  }
  if (goes && !is_kept) TRY(clock_.advance(connection, wall_us()));
  return {};
}

const io::Clock& ViewSet::machine() const {
  return options_.clock != nullptr ? *options_.clock : machine_clock_;
}

std::int64_t ViewSet::wall_us() const {
  return machine().now_us();
}

// Before the changes of a transaction: they meet what goes by the clock at one moment.
Result<bool> ViewSet::advance_clock(duck::Connection& connection) {
  return goes_by_clock() ? clock_.advance(connection, wall_us()) : Result<bool>(false);
}

Status ViewSet::time_passes(duck::Connection& connection) {
  TRY(before_changes(connection));
  TRY(check_budgets());
  TRY_ASSIGN(const bool moves, runner_ != nullptr ? clock_.advance(connection, wall_us())
                                                  : advance_clock(connection));
  // Changes of one position are told apart by the clock.
  if (runner_ != nullptr && !moves) runner_->offer_nothing();
  return batch_applied(connection);
}

bool ViewSet::is_time_due() const {
  if (over_budget() != nullptr) return true;
  const std::int64_t now = std::max(ViewClock::step_of(wall_us()), clock_.step());
  if (runner_ != nullptr && now > clock_.step() && runner_->has_outcome()) return true;
  return std::any_of(views_.begin(), views_.end(), [now](const auto& view) {
    if (view->temporal == nullptr || !view->live()) return false;
    const auto next = view->temporal->next_step();
    return next && *next <= now;
  });
}

std::optional<std::int64_t> ViewSet::now_us() const {
  MutexLock lock(mutex_);
  return published_now_us_ > 0 ? std::optional(published_now_us_) : std::nullopt;
}

}  // namespace pgweir::views
