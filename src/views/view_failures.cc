// A view that cannot be kept is set aside with those that read it, and stops nothing else.
#include <fmt/core.h>

#include <algorithm>

#include "views/view_set_internal.h"

namespace pgweir::views {
namespace {

// A view that runs out of memory so often in a row is set aside: twice in each of two attempts,
// with the database opened anew between them.
constexpr int kShortOfMemoryMax = 4;

// A failure of the machine or of the database, not of one view's SQL.
bool concerns_all(const Error& failure) {
  switch (failure.code) {
    case Code::kNoSpace:
    case Code::kIo:
    case Code::kCancelled:
    case Code::kCorruption:
    case Code::kBroken:
      return true;
    default:
      return false;
  }
}

}  // namespace

Status ViewSet::failed(View& view, const Error& failure) {
  if (failure.code == Code::kUnavailable) {
    // The engine stops queries from outside and tries once more, then opens its database anew.
    if (short_of_memory_ != view.name()) short_of_memory_times_ = 0;
    short_of_memory_ = view.name();
    if (++short_of_memory_times_ < kShortOfMemoryMax) return failure;
  }
  return blame(view, failure);
}

Status ViewSet::blame(View& view, const Error& failure) {
  if (concerns_all(failure)) return failure;
  failing_ = &view;
  failure_ = failure;
  failing_for_ = Why::kFailed;
  Error told = failure;
  told.message =
      fmt::format("view {} cannot be kept up to date: {}", view.title(), failure.message);
  return told;
}

Result<bool> ViewSet::set_aside_failed() {
  if (failing_ == nullptr) return std::exchange(listener_failed_, false);
  View& view = *failing_;
  Error why = *failure_;
  if (failing_for_ == Why::kFailed) {
    why.detail += fmt::format("{}in the changes after {}", why.detail.empty() ? "" : "; ",
                              model::to_string(engine_->position().end_lsn));
  }
  duck::Connection& connection = engine_->write_connection();
  TRY(duck::in_transaction(connection,
                           [&] { return set_aside(connection, view, why, failing_for_); }));
  times_.forget(view.title());
  logger_.error("view {} is set aside: {}", view.title(), why.text());
  failing_ = nullptr;
  failure_.reset();
  short_of_memory_times_ = 0;
  publish(Transactions::kOwn);
  tell_replaced();
  return true;
}

Status ViewSet::set_aside(duck::Connection& connection, View& view, const Error& failure,
                          Why reason) {
  std::vector<std::pair<View*, Error>> stopped = {{&view, failure}};
  if (reason == Why::kOverBudget) {
    for (const auto& part : views_)
      if (part->part_of == &view && part->strategy != nullptr)
        stopped.emplace_back(part.get(), failure);
  }
  for (const std::size_t i : order_) {
    View& above = *views_[i];
    const bool is_known = std::any_of(stopped.begin(), stopped.end(),
                                      [&](const auto& each) { return each.first == &above; });
    if (above.strategy == nullptr || above.state == ViewState::kFailed || is_known) continue;
    for (const auto& [below, why] : stopped) {
      if (&above == below || !above.reads_relation(below->strategy->relation())) continue;
      // A part's failure is its view's own.
      Error told = why;
      if (above.title() != below->title())
        told =
            error(Code::kInvalid, fmt::format("the view reads {}, which is failed", below->title()),
                  why.message);
      stopped.emplace_back(&above, std::move(told));
      break;
    }
  }
  for (auto& [each, why] : stopped) {
    const std::string state = state_name(each->name());
    const bool is_own = each->title() == view.title();
    if (reason == Why::kFailed) {
      TRY(ViewCatalog::save(connection, state, {each->fingerprint, why.text()}));
    } else if (is_own) {
      TRY(ViewCatalog::save(connection, state, {over_budget_mark(*each), why.text()}));
    } else {
      TRY(ViewCatalog::forget(connection, state));  // it comes back with what it reads
    }
    TRY(drop_state(connection, *each));
    if (each->isolated != nullptr) each->isolated->stop();
    each->state = ViewState::kFailed;
    each->error = why;
  }
  return drop_unused_arrangements(connection);
}

Status ViewSet::drop_state(duck::Connection& connection, const View& view) {
  const std::string rows = duck::quote_identifier(view.name());
  TRY(connection.execute("DROP VIEW IF EXISTS main." + rows));
  TRY(connection.execute(fmt::format("DROP VIEW IF EXISTS {}.{}", engine::kInternalSchema, rows)));
  TRY(connection.execute(fmt::format("DROP VIEW IF EXISTS {}.{}", engine::kInternalSchema,
                                     duck::quote_identifier("view " + view.name()))));
  TRY(drop_open_windows(connection, view));
  TRY(drop_store(connection, state_name(view.name()) + " bound"));  // of its first rows
  TRY(IsolatedStrategy::forget(connection, view.name()));
  return drop_store(connection, state_name(view.name()));
}

// What append mode keeps beside the view.
Status ViewSet::drop_open_windows(duck::Connection& connection, const View& view) {
  const std::string open = AppendStrategy::open_name(view.name());
  TRY(connection.execute(fmt::format("DROP VIEW IF EXISTS main.{}", duck::quote_identifier(open))));
  TRY(connection.execute(fmt::format("DROP VIEW IF EXISTS {}.{}", engine::kInternalSchema,
                                     duck::quote_identifier("view " + open))));
  TRY(drop_store(connection, state_name(open)));
  return ClosedWindows::forget(connection, view.name());
}

ViewSet::View* ViewSet::first_user(const Arrangement& arrangement) const {
  for (const auto& view : views_) {
    if (view->strategy == nullptr || view->state == ViewState::kFailed) continue;
    for (const Lookup& lookup : *view->lookups)
      if (lookup.arrangement == &arrangement) return view.get();
  }
  return nullptr;
}

Status ViewSet::drop_unused_arrangements(duck::Connection& connection) {
  for (auto entry = arrangements_.begin(); entry != arrangements_.end();) {
    if (first_user(*entry->second) != nullptr) {
      ++entry;
      continue;
    }
    TRY(drop_store(connection, entry->second->store_name()));
    TRY(ViewCatalog::forget(connection, entry->second->store_name()));
    entry = arrangements_.erase(entry);
  }
  return {};
}

Status ViewSet::drop_leftovers(duck::Connection& connection) {
  TRY_ASSIGN(const auto stored, ViewCatalog::read(connection));
  std::set<std::string> used;
  for (const auto& view : views_) {
    if (view->live() || (view->state == ViewState::kFailed && view->strategy != nullptr))
      used.insert(state_name(view->name()));
  }
  for (const auto& [name, arrangement] : arrangements_) used.insert(arrangement->store_name());
  const std::string view_prefix = state_name("");
  for (const auto& [name, state] : stored) {
    if (used.contains(name)) continue;
    TRY(ViewCatalog::forget(connection, name));
    if (name.starts_with(view_prefix)) {
      const ViewDefinition gone{.source = {.name = name.substr(view_prefix.size()), .sql = ""}};
      TRY(drop_state(connection, View(gone)));
    } else {
      TRY(drop_store(connection, name));
    }
  }
  return {};
}

}  // namespace pgweir::views
