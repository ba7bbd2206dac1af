#include "views/view_set.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "views/view_set_internal.h"

namespace pgweir::views {

// After so many batches the counts of rows are taken anew.
constexpr std::uint64_t kRecountBatches = 4096;

ViewSet::ViewSet(Logger& logger, ViewSetOptions options)
    : logger_(logger), options_(std::move(options)), watermarks_(options_.watermarks) {}
ViewSet::~ViewSet() = default;

Result<std::unique_ptr<ViewSet>> ViewSet::create(std::vector<ViewSource> sources, Logger& logger,
                                                 ViewSetOptions options) {
  auto set = std::unique_ptr<ViewSet>(new ViewSet(logger, std::move(options)));
  TRY_ASSIGN(set->parser_, SqlParser::create());
  TRY_ASSIGN(set->functions_, FunctionCatalog::read(set->parser_->connection()));
  TRY(check_names(sources));
  for (ViewSource& source : sources)
    set->definitions_.push_back(analyse(*set->parser_, *set->functions_, std::move(source)));
  for (const ViewDefinition& definition : set->definitions_) {
    View view(definition);
    if (definition.refusal) view.state = ViewState::kRefused;
    view.error = definition.refusal;
    MutexLock lock(set->mutex_);
    set->published_.push_back(set->explanation_of(view));
  }
  return set;
}

std::optional<std::vector<std::uint32_t>> ViewSet::wanted_columns(const model::Table& table) const {
  auto columns = columns_used(definitions_, table);
  if (columns && table.columns.size() <= options_.whole_table_columns_max) {
    columns->resize(table.columns.size());
    for (std::uint32_t i = 0; i < columns->size(); ++i) (*columns)[i] = i;
  }
  return columns;
}

// --- Making states -----------------------------------------------------------------------------

Status ViewSet::open(engine::Engine& engine) {
  engine_ = &engine;
  duck::Connection& connection = engine.write_connection();
  const auto create_tables = [&connection]() -> Status {
    TRY(ViewCatalog::create(connection));
    TRY(Watermarks::create(connection));
    TRY(ViewClock::create(connection));
    TRY(IsolatedStrategy::create(connection));
    return ClosedWindows::create(connection);
  };
  TRY(duck::in_transaction(connection, create_tables));
  bind_all();
  if (loading(connection)) {
    TRY(wait_for_snapshot(connection));
  } else {
    TRY(set_up_all(connection, Transactions::kOwn, Keep::kUnchanged));
  }
  settle_isolated(true);
  publish(Transactions::kOwn);
  tell_replaced();
  return {};
}

void ViewSet::close() {
  runner_.reset();  // it reads the database, and its outcomes are of these views
  for (const auto& view : views_) view->strategy.reset();
  views_.clear();
  order_.clear();
  arrangements_.clear();
  mirrors_.clear();
  failing_ = nullptr;
  engine_ = nullptr;
}

void ViewSet::database_closes() {
  if (listener_ != nullptr) listener_->rolled_back();
  close();
  stopped_.clear();
  mirrors_now_.reset();
  made_at_.reset();
  to_commit_.reset();
  undone_ = false;
}

// While rows of a snapshot come in, the mirrors cannot be read yet.
bool ViewSet::loading(duck::Connection& connection) const {
  if (engine_->position().snapshot_complete) return false;
  for (const auto& [name, relation] : mirrors_) {
    if (!connection.prepare(fmt::format("SELECT 1 FROM {} LIMIT 0", relation->rows)).ok())
      return true;
  }
  return false;
}

Status ViewSet::wait_for_snapshot(duck::Connection& connection) {
  arrangements_.clear();
  for (const auto& view : views_) {
    if (view->strategy != nullptr) view->state = ViewState::kWaiting;
  }
  return duck::in_transaction(connection, [&] { return drop_leftovers(connection); });
}

Status ViewSet::set_up_all(duck::Connection& connection, Transactions transactions, Keep keep) {
  const bool own = transactions == Transactions::kOwn;
  const auto take_over = [&] { return take_over_renamed(connection); };
  TRY(own ? duck::in_transaction(connection, take_over) : take_over());
  TRY_ASSIGN(const auto stored, ViewCatalog::read(connection));
  const auto entry = [&](const std::string& name) {
    const auto found = stored.find(name);
    return found == stored.end() ? nullptr : &found->second;
  };
  const auto time = [&]() -> Status {
    TRY(start_clock(connection, stored, keep));
    return read_watermarks(connection, keep);
  };
  TRY(own ? duck::in_transaction(connection, time) : time());
  const auto attempt = [&](View& view, const std::function<Status()>& body) -> Status {
    const Status done = own ? duck::in_transaction(connection, body) : body();
    if (done.ok()) return {};
    const Status told = own ? blame(view, done.error()) : failed(view, done.error());
    if (!own || failing_ == nullptr) return told;
    TRY_ASSIGN(const bool aside, set_aside_failed());
    (void)aside;
    return {};
  };
  // Those that would have to be made of mirrors without rows.
  std::set<const Arrangement*> rowless;
  for (const auto& [name, arrangement] : arrangements_) {
    if (!arrangement->relation().released.empty() &&
        !is_kept(*arrangement, entry(arrangement->store_name()), keep))
      rowless.insert(arrangement.get());
  }
  for (const std::size_t i : order_) {
    View& view = *views_[i];
    if (view.strategy == nullptr || view.state == ViewState::kFailed) continue;
    TRY(attempt(view, [&] {
      return set_up(connection, view, entry(state_name(view.name())), keep, rowless);
    }));
  }
  std::vector<Arrangement*> arrangements;
  for (const auto& [name, arrangement] : arrangements_) arrangements.push_back(arrangement.get());
  for (Arrangement* arrangement : arrangements) {
    View* user = first_user(*arrangement);
    if (user == nullptr) continue;  // dropped below, or with the view that failed
    TRY(attempt(*user, [&] {
      return set_up(connection, *arrangement, entry(arrangement->store_name()), keep);
    }));
  }
  const auto tidy = [&]() -> Status {
    TRY(drop_unused_arrangements(connection));
    return drop_leftovers(connection);
  };
  return own ? duck::in_transaction(connection, tidy) : tidy();
}

Status ViewSet::set_up(duck::Connection& connection, View& view, const StoredView* stored,
                       Keep keep, const std::set<const Arrangement*>& rowless) {
  const bool same = stored != nullptr && stored->fingerprint == view.fingerprint;
  const bool over_budget = stored != nullptr && stored->fingerprint == over_budget_mark(view);
  if ((same || over_budget) && !stored->error.empty()) {
    view.state = ViewState::kFailed;
    view.error = error(Code::kInvalid, stored->error);
    return {};
  }
  TRY_ASSIGN(const bool falls, falls_with_input(connection, view));
  if (falls) return {};
  const bool kept = same && keep == Keep::kUnchanged;
  view.awaits_rows = false;
  const bool has_lookups =
      std::none_of(view.lookups->begin(), view.lookups->end(),
                   [&](const Lookup& lookup) { return rowless.contains(lookup.arrangement); });
  for (const Relation* relation : view.inputs) {
    const bool by_changes = kept && has_lookups && !view.strategy->needs_rows_of(*relation);
    if (!relation->released.empty() && !by_changes)
      return wait_for_rows(connection, view, *relation);
  }
  if (!kept && view.append == nullptr) TRY(drop_open_windows(connection, view));
  TRY(view.strategy->setup(connection, kept));
  TRY_ASSIGN(view.rows, view.strategy->state_rows());
  if (!kept) {
    TRY(ViewCatalog::save(connection, state_name(view.name()), {view.fingerprint, ""}));
    replaced_.insert(view.name());
    times_.forget(view.title());
  }
  view.state = ViewState::kLive;
  view.error.reset();
  view.changed = false;
  return {};
}

// A view is no better than those that it reads.
Result<bool> ViewSet::falls_with_input(duck::Connection& connection, View& view) {
  for (const Relation* relation : view.inputs) {
    const View* read = view_of(*relation);
    if (read == nullptr || read->live()) continue;
    view.state = ViewState::kFailed;
    view.error =
        read->part_of != nullptr && read->error
            ? *read->error
            : error(Code::kInvalid, fmt::format("the view reads {}, which is {}", read->title(),
                                                view_state_name(read->state)));
    TRY(drop_state(connection, view));
    TRY(ViewCatalog::forget(connection, state_name(view.name())));
    return true;
  }
  return false;
}

std::string ViewSet::shape_of(const Arrangement& arrangement) const {
  return arrangement.shape() + "\n" + fingerprint_of(arrangement.relation(), {});
}

bool ViewSet::is_kept(const Arrangement& arrangement, const StoredView* stored, Keep keep) const {
  return keep == Keep::kUnchanged && stored != nullptr &&
         stored->fingerprint == shape_of(arrangement);
}

Status ViewSet::set_up(duck::Connection& connection, Arrangement& arrangement,
                       const StoredView* stored, Keep keep) {
  const bool kept = is_kept(arrangement, stored, keep);
  TRY(arrangement.setup(connection, kept));
  return kept
             ? Status{}
             : ViewCatalog::save(connection, arrangement.store_name(), {shape_of(arrangement), ""});
}

Result<std::vector<std::string>> ViewSet::rebuild_view(const std::string& name) {
  const View* wanted = find_view(name);
  if (wanted == nullptr)
    return error(Code::kNotFound, fmt::format("there is no view \"{}\"", name));
  if (wanted->strategy == nullptr) {
    return error(Code::kInvalid, fmt::format("view {} cannot be built", wanted->name()),
                 wanted->error ? wanted->error->text() : "",
                 "Put right what that says: the view is then built by itself");
  }
  std::vector<const View*> above = {wanted};
  for (const auto& part : views_)
    if (part->part_of == wanted) above.push_back(part.get());
  for (const std::size_t i : order_) {
    for (const View* below : above) {
      if (below->strategy == nullptr || !views_[i]->reads_relation(below->strategy->relation()))
        continue;
      above.push_back(views_[i].get());
      break;
    }
  }
  duck::Connection& connection = engine_->write_connection();
  const auto forget = [&]() -> Status {
    for (const View* each : above) TRY(ViewCatalog::forget(connection, state_name(each->name())));
    return {};
  };
  TRY(duck::in_transaction(connection, forget));
  std::vector<std::string> names;
  for (const View* each : above)
    if (each->part_of == nullptr) names.push_back(each->name());
  mirrors_now_.reset();
  undone_ = true;  // until all is open
  TRY(open(*engine_));
  undone_ = false;
  TRY(engine_->ask_wanted());  // rows that are not kept may be needed now
  return names;
}

// --- Batches -----------------------------------------------------------------------------------

Relation* ViewSet::bound(const engine::Mirror& mirror) const {
  const auto found = mirrors_.find(mirror.table.qualified_name());
  if (found == mirrors_.end()) return nullptr;
  Relation& relation = *found->second;
  const auto store = mirror.store.lock();
  const bool same = relation.content == store->content_name() &&
                    relation.columns == store->spec().columns &&
                    relation.unique == store->spec().unique;
  return same ? &relation : nullptr;
}

void ViewSet::states_made() {
  made_at_ = engine_->position().position;
}

Status ViewSet::before_changes(duck::Connection& connection) {
  if (failing_ != nullptr)
    return error(Code::kInternal,
                 fmt::format("view {} failed and was not set aside", failing_->name()));
  if (made_at_ && *made_at_ != engine_->position().position) made_at_.reset();
  if (undone_) return open_again(connection);
  if (clock_stale_) TRY(clock_.read(connection));
  clock_stale_ = false;
  return {};
}

// Binds everything anew inside the engine's transaction; what is unchanged keeps its state.
Status ViewSet::open_again(duck::Connection& connection) {
  bind_all();
  states_made();
  undone_ = false;
  TRY(set_up_all(connection, Transactions::kCallers, Keep::kUnchanged));
  publish(Transactions::kCallers);
  return {};
}

Status ViewSet::mirrors_changed(duck::Connection& connection, std::vector<engine::Mirror> mirrors) {
  if (redefining_) return {};
  mirrors_now_ = std::move(mirrors);
  if (definitions_.empty()) return {};
  TRY(before_changes(connection));
  std::map<std::string, ViewState> before;
  for (const auto& view : views_) before[view->name()] = view->state;
  TRY(open_again(connection));
  for (const auto& view : views_) {
    if (before[view->name()] != ViewState::kLive || view->live()) continue;
    logger_.error("view {} stops: {}", view->name(), view->error ? view->error->text() : "");
  }
  return {};
}

void ViewSet::rolled_back() {
  event_time_stale_ = clock_stale_ = true;
  times_.rolled_back();
  for (const auto& view : views_)
    if (view->temporal != nullptr) view->temporal->forget();
  if (made_at_) undone_ = true;
  made_at_.reset();
  mirrors_now_.reset();
  recount_ = true;
  settle_isolated(false);
  to_commit_.reset();
  if (listener_ != nullptr) listener_->rolled_back();
}

Status ViewSet::table_changed(duck::Connection& connection, const engine::Mirror& mirror,
                              const engine::Delta& delta) {
  TRY(before_changes(connection));
  Relation* relation = bound(mirror);
  if (relation == nullptr) return {};
  relation->store = mirror.store;
  relation->delta = delta.table;
  return give_delta(connection, *relation);
}

// First the views, which may look up the relation's old rows, then the arrangements of it.
Status ViewSet::give_delta(duck::Connection& connection, const Relation& relation) {
  for (const std::size_t i : order_) {
    View& view = *views_[i];
    if (!view.live() || !view.reads_relation(relation)) continue;
    const Microseconds began = machine().steady();
    bool noted = false;
    for (std::size_t input = 0; input < view.inputs.size(); ++input) {
      if (view.inputs[input] != &relation) continue;
      Status done;
      if (view.append != nullptr && !noted) done = view.append->note_late(connection, relation);
      noted = true;
      if (done.ok()) done = view.strategy->accumulate(connection, input);
      if (!done.ok()) return failed(view, done.error());
    }
    times_.add(view.title(), machine().steady() - began, ViewTimes::Work::kChanges);
  }
  for (const auto& [name, arrangement] : arrangements_) {
    if (&arrangement->relation() != &relation) continue;
    const Microseconds began = machine().steady();
    const Status done = arrangement->changed(connection);
    View* user = first_user(*arrangement);
    if (user != nullptr)
      times_.add(user->title(), machine().steady() - began, ViewTimes::Work::kNothing);
    if (!done.ok()) return user != nullptr ? failed(*user, done.error()) : done;
  }
  return {};
}

Status ViewSet::batch_applied(duck::Connection& connection) {
  TRY(before_changes(connection));
  for (const std::size_t i : order_) {
    if (!views_[i]->live()) continue;
    TRY(finish(connection, *views_[i]));
  }
  for (const auto& view : views_) {
    if (!view->changed) continue;
    view->changed = false;
    TRY(view->strategy->clear_delta(connection));
  }
  return end_batch();
}

Status ViewSet::finish(duck::Connection& connection, View& view) {
  const Microseconds began = machine().steady();
  const auto change = view.strategy->finish(connection);
  if (!change.ok()) return failed(view, change.error());
  times_.add(view.title(), machine().steady() - began,
             change->any ? ViewTimes::Work::kChanges : ViewTimes::Work::kNothing);
  view.rows = static_cast<std::uint64_t>(static_cast<std::int64_t>(view.rows) + change->rows_more);
  if (!change->any) return {};
  view.changed = true;
  TRY(tell_listener(connection, view));
  return give_delta(connection, view.strategy->relation());
}

Status ViewSet::tell_listener(duck::Connection& connection, const View& view) {
  if (listener_ == nullptr || view.part_of != nullptr || !listener_->wants(view.name())) return {};
  const Relation& relation = view.strategy->relation();
  const Status told = listener_->changed(
      connection, view.name(),
      fmt::format("SELECT {0}, CAST(sum({1}) AS BIGINT) AS {1} FROM {2} GROUP BY ALL "
                  "HAVING sum({1}) <> 0",
                  name_list(relation.columns), engine::kWeightColumn, relation.delta));
  listener_failed_ = !told.ok();
  return told;
}

// Not inside a transaction: what was replaced is committed.
void ViewSet::tell_replaced() {
  for (const std::string& view : std::exchange(replaced_, {})) {
    if (listener_ != nullptr) listener_->replaced(view);
  }
}

void ViewSet::committed(const engine::EnginePosition& position, bool whole) {
  listener_failed_ = false;
  times_.committed();
  settle_isolated(true);
  if (to_commit_) to_publish_ = std::exchange(to_commit_, std::nullopt);
  if (whole) publish_committed();
  tell_replaced();
  if (listener_ != nullptr) listener_->committed(position, clock_.step(), whole);
  MutexLock lock(mutex_);
  published_now_us_ = clock_.now_us();
}

Status ViewSet::end_batch() {
  short_of_memory_times_ = 0;
  if (recount_ || ++batches_ % kRecountBatches == 0) {
    recount_ = false;
    for (const auto& view : views_) {
      if (!view->live()) continue;
      TRY_ASSIGN(view->rows, view->strategy->state_rows());
    }
  }
  rows_changed_ = true;
  return {};
}

Status ViewSet::rebuild(duck::Connection& connection) {
  bind_all();
  states_made();
  undone_ = false;
  TRY(set_up_all(connection, Transactions::kCallers, Keep::kNothing));
  publish(Transactions::kCallers);
  return {};
}

Status ViewSet::table_stopped(duck::Connection& connection, const engine::Mirror& mirror) {
  TRY(before_changes(connection));
  states_made();
  const std::string name = mirror.table.qualified_name();
  stopped_[name] = mirror.stopped;
  const auto found = mirrors_.find(name);
  if (found == mirrors_.end()) return {};
  for (const auto& view : views_) {
    if (view->strategy == nullptr || view->state == ViewState::kFailed ||
        !view->reads_relation(*found->second))
      continue;
    TRY(set_aside(connection, *view,
                  error(Code::kInvalid, fmt::format("table {} is stopped", name), mirror.stopped),
                  Why::kFailed));
  }
  publish(Transactions::kCallers);
  return {};
}

// The transaction that isolated views had a part in is over.
void ViewSet::settle_isolated(bool committed) {
  if (runner_ == nullptr) return;
  for (const auto& view : views_) {
    if (view->isolated == nullptr || view->strategy == nullptr) continue;
    committed ? view->isolated->committed() : view->isolated->rolled_back();
  }
  committed ? runner_->committed() : runner_->rolled_back();
}

ViewSet::View* ViewSet::view_of(const Relation& relation) const {
  for (const auto& view : views_) {
    if (view->strategy != nullptr && &view->strategy->relation() == &relation) return view.get();
  }
  return nullptr;
}

ViewSet::View* ViewSet::find_view(const std::string& name) const {
  for (const auto& view : views_) {
    if (view->part_of == nullptr && same_name(view->name(), name)) return view.get();
  }
  return nullptr;
}

}  // namespace pgweir::views
