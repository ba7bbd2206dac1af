// What people and programs are told of the views.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "views/view_set_internal.h"

namespace pgweir::views {
namespace {

std::string joined(const std::vector<std::string>& parts, const char* separator = ", ") {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : separator) + part;
  return out;
}

std::string names_of_columns(const std::vector<engine::StoreColumn>& columns) {
  std::vector<std::string> names;
  for (const auto& column : columns) names.push_back(column.name);
  return joined(names);
}

// "2026-01-05 10:01:00+00".
std::string time_text(std::int64_t micros) {
  const std::chrono::sys_time<std::chrono::microseconds> time{std::chrono::microseconds(micros)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{std::chrono::floor<std::chrono::seconds>(time - day)};
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}+00", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string text_of(const BatchTime& time) {
  return fmt::format("{:.1f} ms of one of {} changes", static_cast<double>(time.took.count()) / 1e3,
                     time.changes);
}

std::string text_of_times(const ViewInfo& view) {
  if (!view.last_batch) return "";
  std::string text = "  batches: took " + text_of(*view.last_batch);
  if (view.longest_batch) text += ", of late at most " + text_of(*view.longest_batch);
  if (view.budget.count() != 0)
    text += fmt::format("; its budget is {}", format_duration(view.budget));
  return text + "\n";
}

std::string text_of(const Explanation& told) {
  const ViewInfo& view = told.view;
  std::string text = fmt::format("view {}: {}", view.name, view_state_name(view.state));
  if (!view.strategy.empty()) text += fmt::format(", {} ({})", view.strategy, view.reason);
  if (view.mode != OutputMode::kUpdate)
    text += fmt::format(", mode {}", output_mode_name(view.mode));
  text += "\n";
  if (view.error) text += "  " + view.error->text() + "\n";
  for (const auto& input : told.inputs) {
    text += fmt::format("  reads {}", input.relation);
    if (!input.columns.empty()) text += ": changes of " + joined(input.columns);
    text += "\n";
    if (!input.lookup.empty()) text += "    its rows are found " + input.lookup + "\n";
  }
  if (!told.keeps.empty()) text += "  keeps " + joined(told.keeps) + "\n";
  for (const auto& arranged : told.arrangements)
    text += fmt::format("  arrangement {}: {} rows\n", arranged.name, arranged.rows);
  for (const auto& part : told.parts) {
    text += fmt::format("  {}: {} ({})\n    {}\n    reads {}", part.name, part.strategy,
                        part.reason, part.sql, joined(part.reads));
    if (part.is_temporal)
      text += fmt::format("; {} changes to come are kept\n", part.rows);
    else
      text += part.stored ? fmt::format("; {} rows kept\n", part.rows) : "; keeps no rows\n";
  }
  if (told.parts.empty() && view.strategy == "affected keys")
    text += "  computed anew for the keys whose rows have changed, and compared with what it was\n";
  if (told.parts.empty() && view.strategy == "recompute")
    text += "  computed anew when what it reads has changed, and compared with what it was\n";
  if (view.state == ViewState::kLive) {
    text += fmt::format("  state: {} rows\n", view.state_rows);
    text += text_of_times(view);
  }
  if (told.parts.empty() && view.isolated)
    text +=
        "  computed anew when what it reads has changed, beside the others and later than they\n";
  if (view.as_of)
    text += fmt::format("  true at {}, of {}{}\n", model::to_string(view.as_of->end_lsn),
                        time_text(model::value(view.as_of->commit_time)),
                        view.is_behind ? "; what it reads has changed since" : "");
  if (view.state == ViewState::kLive && view.mode == OutputMode::kAppend) {
    text +=
        fmt::format("  windows that ended up to {} have left; {} rows of open ones are kept\n",
                    view.closed_up_to ? time_text(*view.closed_up_to) : "(none)", view.open_rows);
    text += fmt::format("  {} changes came too late for their windows\n", view.late_rows);
  }
  return text;
}

// The dearer, the higher.
int cost_of(std::string_view strategy) {
  if (strategy == "recompute") return 2;
  return strategy == "affected keys" ? 1 : 0;
}

}  // namespace

const char* view_state_name(ViewState state) {
  switch (state) {
    case ViewState::kLive:
      return "live";
    case ViewState::kWaiting:
      return "waiting for the snapshot";
    case ViewState::kRefused:
      return "refused";
    case ViewState::kFailed:
      return "failed";
  }
  return "unknown";
}

std::string ViewSet::name_for_people(const Relation& relation) const {
  const View* part = view_of(relation);
  if (part == nullptr || part->part_of == nullptr) return relation.name;
  std::size_t number = 0;
  for (const std::size_t i : order_) {
    const View& other = *views_[i];
    if (other.part_of == part->part_of) ++number;
    if (&other == part) break;
  }
  return fmt::format("part {}", number);
}

// Of a view in one piece that is the view alone.
std::vector<const ViewSet::View*> ViewSet::parts_of(const View& view) const {
  std::vector<const View*> parts;
  for (const std::size_t i : order_) {
    const View& part = *views_[i];
    if (part.strategy != nullptr && (part.part_of == &view || &part == &view))
      parts.push_back(&part);
  }
  return parts;
}

void ViewSet::tell_parts(const View& view, Explanation& told) const {
  for (const View* each : parts_of(view)) {
    const View& part = *each;
    const Relation& relation = part.strategy->relation();
    Explanation::Part& shown = told.parts.emplace_back();
    shown.name = name_for_people(relation);
    shown.sql = part.kept().source.sql;
    shown.strategy = part.strategy->kind();
    shown.reason = part.reason;
    for (const Relation* input : part.inputs) shown.reads.push_back(name_for_people(*input));
    shown.stored = relation.stored;
    shown.is_temporal = part.temporal != nullptr;
    shown.rows = part.live() ? part.rows : 0;
    if (cost_of(shown.strategy) > cost_of(told.view.strategy)) {
      told.view.strategy = shown.strategy;
      told.view.reason = shown.reason;
    }
  }
  if (told.parts.size() == 1) told.parts.clear();
}

Explanation ViewSet::explanation_of(const View& view) const {
  Explanation told;
  told.view = {.name = view.name(),
               .sql = view.definition.source.sql,
               .state = view.state,
               .strategy = view.strategy != nullptr ? view.strategy->kind() : "",
               .reason = view.reason,
               .columns = view.columns,
               .state_rows = view.live() ? view.rows : 0,
               .mode = view.definition.source.mode,
               .budget = budget_of(view),
               .error = view.error,
               .rows = "main." + duck::quote_identifier(view.name())};
  tell_rows(view, &told.view);
  const std::vector<const View*> parts = parts_of(view);
  told.view.awaits_rows =
      view.awaits_rows ||
      std::any_of(parts.begin(), parts.end(), [](const View* part) { return part->awaits_rows; });
  for (const Relation* relation : view.relations) told.view.reads.push_back(relation->name);
  if (view.plan) {
    for (std::size_t i = 0; i < view.plan->inputs.size(); ++i) {
      const PlanInput& input = view.plan->inputs[i];
      Explanation::Input& shown = told.inputs.emplace_back();
      shown.relation = name_for_people(*input.relation);
      shown.columns = input.used;
      for (const Lookup& lookup : *view.lookups) {
        if (lookup.input != i) continue;
        shown.lookup += fmt::format("{}by {} ({})", shown.lookup.empty() ? "" : ", or ",
                                    names_of_columns(lookup.key),
                                    lookup.own_key ? "its own key" : "an arrangement");
        if (lookup.whole) shown.lookup += ", every row";
        if (lookup.arrangement == nullptr || !view.live()) continue;
        const std::string name = lookup.arrangement->name();
        const bool known = std::any_of(told.arrangements.begin(), told.arrangements.end(),
                                       [&](const auto& other) { return other.name == name; });
        if (known) continue;
        auto rows = lookup.arrangement->rows();
        told.arrangements.push_back({name, rows.ok() ? rows.value() : 0});
      }
    }
    for (const std::string& group : view.plan->group_sql) told.keeps.push_back("group " + group);
    for (const Partial& partial : view.plan->partials) told.keeps.push_back("sum " + partial.value);
  } else if (view.keyed) {
    for (std::size_t i = 0; i < view.keyed->inputs.size(); ++i) {
      const Lookup& lookup = (*view.lookups)[i];
      told.inputs.push_back({name_for_people(*lookup.relation), lookup.columns,
                             fmt::format("by {} ({})", names_of_columns(lookup.key),
                                         lookup.own_key ? "its own key" : "an arrangement")});
      if (lookup.arrangement == nullptr || !view.live()) continue;
      auto rows = lookup.arrangement->rows();
      told.arrangements.push_back({lookup.arrangement->name(), rows.ok() ? rows.value() : 0});
    }
  } else if (view.strategy != nullptr) {
    for (const Relation* relation : view.inputs)
      told.inputs.push_back({name_for_people(*relation), {}, ""});
  }
  tell_parts(view, told);
  told.text = text_of(told);
  return told;
}

// Made while the transaction is open, which alone sees what the states hold.
void ViewSet::publish(Transactions transactions) {
  std::vector<Explanation> told;
  std::set<std::string> live;
  for (const auto& view : views_) {
    if (view->part_of != nullptr) continue;
    told.push_back(explanation_of(*view));
    if (view->live()) live.insert(view->name());
  }
  {
    MutexLock lock(mutex_);
    const auto& before = to_commit_ ? *to_commit_ : to_publish_ ? *to_publish_ : published_;
    for (const Explanation& each : before) {
      const ViewInfo& view = each.view;
      if (view.state == ViewState::kLive && !live.contains(view.name)) replaced_.insert(view.name);
    }
  }
  to_commit_ = std::move(told);
  if (transactions == Transactions::kCallers) return;
  to_publish_ = std::exchange(to_commit_, std::nullopt);
  publish_committed();
}

void ViewSet::publish_committed() {
  if (to_publish_) {
    publish_watermarks();
    MutexLock lock(mutex_);
    published_ = *std::exchange(to_publish_, std::nullopt);
  }
  // After a rollback the counts in memory are wrong until they are taken anew.
  if (rows_changed_ && !recount_) publish_rows();
}

void ViewSet::publish_rows() {
  rows_changed_ = false;
  publish_watermarks();
  MutexLock lock(mutex_);
  for (std::size_t i = 0; i < published_.size() && i < views_.size(); ++i) {
    const View& view = *views_[i];
    tell_rows(view, &published_[i].view);
    std::size_t part = 0;
    for (const View* each : parts_of(view)) {
      if (part == published_[i].parts.size()) break;
      published_[i].parts[part++].rows = each->live() ? each->rows : 0;
    }
  }
}

void ViewSet::tell_rows(const View& view, ViewInfo* told) const {
  told->state_rows = view.live() ? view.rows : 0;
  const ViewTimes::Times times = view.live() ? times_.of(view.name()) : ViewTimes::Times{};
  told->last_batch = times.last;
  told->longest_batch = times.most();
  told->time_total = times.total;
  told->isolated = view.isolated != nullptr;
  if (view.isolated != nullptr && view.live()) {
    told->as_of = view.isolated->true_at();
    told->is_behind = view.isolated->is_behind();
    told->state = told->as_of ? ViewState::kLive : ViewState::kWaiting;
  }
  if (view.append == nullptr || !view.live()) return;
  told->closed_up_to.reset();
  if (view.append->closed_up_to() != kNothingClosed)
    told->closed_up_to = view.append->closed_up_to();
  told->open_rows = view.append->open_rows();
  told->late_rows = view.append->late();
}

std::vector<ViewInfo> ViewSet::views() const {
  MutexLock lock(mutex_);
  std::vector<ViewInfo> views;
  for (const Explanation& told : published_) views.push_back(told.view);
  return views;
}

Result<ViewInfo> ViewSet::view(const std::string& name) const {
  TRY_ASSIGN(const Explanation told, explain(name));
  return told.view;
}

Result<Explanation> ViewSet::explain(const std::string& name) const {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const Explanation& told : published_) {
    if (!same_name(told.view.name, name)) {
      names.push_back(told.view.name);
      continue;
    }
    Explanation copy = told;
    copy.text = text_of(copy);
    return copy;
  }
  const std::string nearest = nearest_name(name, names);
  return error(Code::kNotFound, fmt::format("there is no view \"{}\"", name), "",
               nearest.empty() ? "" : "did you mean \"" + nearest + "\"?");
}

}  // namespace pgweir::views
