// From the definitions and the mirrors to names, plans and strategies.
#include <fmt/core.h>

#include <algorithm>

#include "views/view_set_internal.h"

namespace pgweir::views {
namespace {

bool reserved(const std::string& name) {
  return lower(name).starts_with("pgweir_");
}

// Every result column needs a name of its own.
Status check_columns(const std::vector<engine::StoreColumn>& columns, bool of_part) {
  std::set<std::string> seen;
  for (const auto& column : columns) {
    if (column.name.empty())
      return error(Code::kInvalid, "a column of the result has no name", "", "give it one with AS");
    if (reserved(column.name) && !of_part)
      return error(Code::kInvalid,
                   fmt::format("the column name \"{}\" is kept for pgweir itself", column.name));
    if (!seen.insert(lower(column.name)).second)
      return error(Code::kInvalid,
                   fmt::format("two columns of the result are called \"{}\"", column.name), "",
                   "give one of them another name with AS");
  }
  return {};
}

// Its name, its key, and the columns that are `named` ("*": all of them).
std::string describe_relation(const Relation& relation, const std::set<std::string>& named) {
  std::string text = relation.name + (relation.unique ? " unique(" : " bag(");
  for (const auto& key : relation.key) text += fmt::format("{} {} ", key.name, key.type);
  text += ")";
  // The rows of a bag are told apart by all columns.
  const bool all = named.contains("*") || !relation.unique;
  for (const auto& column : relation.columns) {
    if (all || named.contains(lower(column.name)))
      text += fmt::format(" {} {}", column.name, column.type);
  }
  return text;
}

}  // namespace

void ViewSet::declare_mirror(const engine::Mirror& mirror) {
  const auto store = mirror.store.lock();
  const engine::StoreSpec& spec = store->spec();
  auto& relation = mirrors_[mirror.table.qualified_name()];
  if (relation == nullptr) relation = std::make_unique<Relation>();
  relation->name = mirror.table.qualified_name();
  relation->schema = mirror.table.schema;
  relation->table = mirror.table.name;
  relation->rows = mirror.name;
  relation->content = store->content_name();
  relation->store = store;
  relation->rows_id = mirror.rows_id;
  relation->released = mirror.released;
  relation->columns = spec.columns;
  relation->unique = spec.unique;
  relation->key.clear();
  for (const std::uint32_t i : spec.key) relation->key.push_back(spec.columns[i]);
  if (!mirror.stopped.empty()) stopped_[relation->name] = mirror.stopped;
  const Status declared = parser_->declare(relation->schema, relation->table, relation->columns);
  if (!declared.ok())
    logger_.warning("views: {} cannot be read: {}", relation->name, declared.error().message);
}

std::vector<Named> ViewSet::known_names() const {
  std::vector<Named> names;
  for (const auto& [name, relation] : mirrors_)
    names.push_back({relation->schema, relation->table});
  for (const ViewDefinition& definition : definitions_)
    names.push_back({"", definition.source.name});
  return names;
}

void ViewSet::find_dependencies() {
  const std::vector<Named> known = known_names();
  std::vector<std::set<std::size_t>> reads(views_.size());
  for (std::size_t i = 0; i < views_.size(); ++i) {
    View& view = *views_[i];
    for (const RelationRef& ref : view.definition.refs) {
      const auto named = resolve(ref, view.name(), view.definition.source.sql, known);
      if (!named.ok()) {
        view.unresolved = named.error();
        break;
      }
      view.names.push_back(named.value());
      for (std::size_t j = 0; j < views_.size() && named->schema.empty(); ++j)
        if (same_name(views_[j]->name(), named->name)) view.reads.insert(j);
    }
    reads[i] = view.reads;
  }
  std::vector<std::size_t> cyclic;
  order_ = dependency_order(reads, &cyclic);
  for (const std::size_t i : cyclic) {
    // Only those on the cycle itself are wrong; the others read something that is.
    std::set<std::size_t> reached, next = reads[i];
    while (!next.empty()) {
      const std::size_t j = *next.begin();
      next.erase(next.begin());
      if (reached.insert(j).second) next.insert(reads[j].begin(), reads[j].end());
    }
    if (reached.contains(i)) {
      std::string names;
      for (const std::size_t j : reached)
        if (std::find(cyclic.begin(), cyclic.end(), j) != cyclic.end())
          names += (names.empty() ? "" : ", ") + views_[j]->name();
      views_[i]->unresolved = error(Code::kInvalid, "the view reads itself in a circle", names,
                                    "take one view out of it");
    }
    order_.push_back(i);
  }
}

void ViewSet::bind_all() {
  if (runner_ != nullptr) runner_->forget_all();
  views_.clear();
  arrangements_.clear();
  failing_ = nullptr;
  mirrors_.clear();
  stopped_.clear();
  next_id_ = 0;
  declare_closed_windows();
  declare_budgets();
  for (const engine::Mirror& mirror : mirrors_now_ ? *mirrors_now_ : engine_->mirrors())
    declare_mirror(mirror);
  for (const ViewDefinition& definition : definitions_)
    views_.push_back(std::make_unique<View>(definition));
  find_dependencies();
  std::vector<std::size_t> users = std::move(order_);
  order_.clear();
  for (const std::size_t i : users) {
    bind(*views_[i]);  // its parts come before it
    order_.push_back(i);
  }
  arrange();
}

void ViewSet::bind(View& view) {
  const auto refuse = [&](const Error& why, ViewState state = ViewState::kRefused) {
    view.state = state;
    view.error = why;
    view.strategy.reset();
  };
  if (view.definition.refusal) return refuse(*view.definition.refusal);
  if (view.unresolved) return refuse(*view.unresolved);
  for (const std::size_t j : view.reads) {
    const View& read = *views_[j];
    if (read.strategy == nullptr || read.state == ViewState::kFailed)
      return refuse(error(Code::kInvalid,
                          fmt::format("the view reads {}, which is {}", read.name(),
                                      view_state_name(read.state)),
                          read.error ? read.error->message : ""),
                    read.state);
    if (read.isolated != nullptr)
      return refuse(error(Code::kInvalid,
                          fmt::format("the view reads {}, which is isolated", read.name()),
                          "that one has a position of its own, and so no changes to go by",
                          "read what it reads, or take `isolated` off it"));
  }
  const Status found = find_relations(view);
  if (!found.ok()) return refuse(found.error());
  for (const Relation* relation : view.relations) {
    const auto stopped = stopped_.find(relation->name);
    if (stopped != stopped_.end())
      return refuse(error(Code::kInvalid, fmt::format("table {} is stopped", relation->name),
                          stopped->second),
                    ViewState::kFailed);
  }
  const std::optional<Error> lacking = lacking_columns(view);
  if (lacking && columns_named(view.definition).contains("*")) return refuse(*lacking);
  const std::size_t views = views_.size(), ordered = order_.size();
  clock_problem_.clear();
  const Status made = make_strategy_of(view);
  if (!made.ok()) {
    forget_parts(views, ordered);
    return refuse(lacking.value_or(made.error()));
  }
  view.fingerprint = fingerprint_of(view);
}

Status ViewSet::find_relations(View& view) {
  view.relations.clear();
  for (const Named& named : view.names) {
    if (!named.schema.empty()) {
      view.relations.push_back(mirrors_.at(named.text()).get());
      continue;
    }
    for (const std::size_t j : view.reads)
      if (same_name(views_[j]->name(), named.name))
        view.relations.push_back(&views_[j]->strategy->relation());
  }
  return {};
}

Status ViewSet::make_strategy_of(View& view) {
  const ViewDefinition& definition = view.definition;
  if (view.part_of == nullptr && (reserved(view.name()) || view.name().empty()))
    return error(Code::kInvalid, fmt::format("a view cannot be called \"{}\"", view.name()));
  TRY_ASSIGN(auto windows, windows_of(definition, view.relations));
  const std::string select = select_over_rows(definition, view.relations, windows);
  std::uint64_t offset = kNoOffset;
  // By the names under which the parser knows the relations.
  const ResolvedSql declared(definition, view.relations, windows, [](const Relation& relation) {
    return duck::quote_identifier(relation.schema) + "." + duck::quote_identifier(relation.table);
  });
  auto columns = parser_->describe(declared.text(), &offset);
  if (!columns.ok()) {
    Error failure = columns.error();
    const std::string place = place_of(definition.source.sql, declared.original(offset));
    // DuckDB's candidates follow on further lines.
    const std::size_t line = failure.message.find('\n');
    if (line != std::string::npos) {
      failure.detail = failure.message.substr(line + 1);
      while (!failure.detail.empty() && failure.detail.back() == '\n') failure.detail.pop_back();
      failure.message.resize(line);
    }
    if (!place.empty()) failure.message += " at " + place;
    return failure;
  }
  view.columns = std::move(columns).value();
  TRY(check_columns(view.columns, view.part_of != nullptr));
  std::optional<AppendPlan> append;
  if (view.part_of == nullptr) {
    TRY_ASSIGN(append, plan_mode(definition, aggregates(*functions_, definition.node),
                                 view.relations, windows, view.columns, watermarks_));
  }
  view.append = nullptr;
  if (append && definition.clock) {
    return error(Code::kInvalid,
                 fmt::format("a view in append mode cannot go by now(), which is at {}",
                             place_of(definition.source.sql, *definition.clock)),
                 "its rows never change", "leave the mode as update");
  }
  view.isolated = nullptr;
  if (definition.source.isolated) {
    const bool by_clock = definition.clock.has_value();
    if (append || by_clock)
      return error(
          Code::kInvalid,
          fmt::format("an isolated view cannot {}", by_clock ? "go by now()" : "be in append mode"),
          "it is computed now and then, not with every transaction",
          by_clock ? "filter by time in a view that is not isolated, and read that"
                   : "leave its mode as update");
    TRY(plan_isolated_view(view, select));
  } else if (append) {
    for (auto& window : windows)
      if (window) window->only_sql = ClosedWindows::open_sql(view.name(), window->type);
    TRY(plan_append_view(view, select, windows, std::move(*append)));
  } else {
    TRY(plan_view(view, select, windows));
  }
  return parser_->declare("main", view.name(), view.columns);
}

// A view that tells each window once is kept in one piece: by deltas, or computed anew.
Status ViewSet::plan_append_view(View& view, const std::string& select,
                                 const std::vector<std::optional<Window>>& windows,
                                 AppendPlan append) {
  TRY_ASSIGN(PlanOutcome outcome, make_plan(*parser_, *functions_, view.definition, view.relations,
                                            windows, view.columns));
  view.plan = std::move(outcome.plan);
  view.keyed.reset();
  view.reason = std::move(outcome.reason);
  view.lookups = view.plan ? lookups_of(*view.plan) : std::make_shared<std::vector<Lookup>>();
  view.inputs = view.plan ? inputs_of(*view.plan) : each_once(view.relations);
  auto sessions = plan_sessions(view.definition, view.relations, windows);
  if (sessions) view.reason = "the sessions of the partitions that change";
  StrategyInput input{.view = view.name(),
                      .id = next_id_++,
                      .columns = view.columns,
                      .select = select,
                      .plan = view.plan,
                      .sessions = std::move(sessions),
                      .lookups = view.lookups,
                      .store_options = engine_->store_options()};
  view.strategy = make_append_strategy(view, std::move(input), std::move(append), windows);
  return {};
}

// In one piece, however it could be kept.
Status ViewSet::plan_isolated_view(View& view, const std::string& select) {
  view.plan.reset();
  view.keyed.reset();
  view.lookups = std::make_shared<std::vector<Lookup>>();
  view.inputs = each_once(view.relations);
  view.reason = "computed beside the others, at a position of its own";
  if (runner_ == nullptr)
    runner_ = std::make_unique<IsolatedRunner>(*engine_, logger_, options_.isolated);
  auto strategy =
      std::make_unique<IsolatedStrategy>(StrategyInput{.view = view.name(),
                                                       .id = next_id_++,
                                                       .columns = view.columns,
                                                       .select = select,
                                                       .lookups = view.lookups,
                                                       .store_options = engine_->store_options()},
                                         *runner_);
  view.isolated = strategy.get();
  view.strategy = std::move(strategy);
  return {};
}

Result<std::vector<std::optional<Window>>> ViewSet::windows_of(
    const ViewDefinition& definition, const std::vector<const Relation*>& relations) {
  std::vector<std::optional<Window>> windows(definition.refs.size());
  for (std::size_t i = 0; i < definition.refs.size(); ++i) {
    if (!definition.refs[i].window) continue;
    TRY_ASSIGN(windows[i], make_window(*parser_, *definition.refs[i].window, *relations[i],
                                       definition.source.sql));
  }
  return windows;
}

// `windows` are the open ones, `input` is over all.
std::unique_ptr<ViewStrategy> ViewSet::make_append_strategy(
    View& view, StrategyInput input, AppendPlan plan,
    const std::vector<std::optional<Window>>& windows) {
  StrategyInput open = input;
  open.view = AppendStrategy::open_name(view.name());
  open.id = next_id_++;
  open.select = select_over_rows(view.definition, view.relations, windows);
  auto strategy = std::make_unique<AppendStrategy>(
      AppendInput{.view = std::move(input),
                  .plan = std::move(plan),
                  .named = columns_named(view.definition),
                  .keeps_late_rows = view.definition.source.keeps_late_rows,
                  .watermarks = &watermarks_},
      make_strategy(std::move(open)));
  view.append = strategy.get();
  return strategy;
}

// Of its columns only those `named` count: others may come and go.
std::string ViewSet::fingerprint_of(const Relation& relation,
                                    const std::set<std::string>& named) const {
  const View* view = view_of(relation);
  return view != nullptr ? view->name() + " {" + view->fingerprint + "}"
                         : relation.rows_id + " " + describe_relation(relation, named);
}

std::string ViewSet::fingerprint_of(const View& view) const {
  std::string text = fmt::format("{} {} {} {}", kStateVersion, duck::library_version(),
                                 view.strategy->kind(), view.kept().source.sql);
  if (view.append != nullptr) text += " append";
  if (view.temporal != nullptr) text += fmt::format(" steps of {}", ViewClock::kStepUs);
  const std::set<std::string> named = columns_named(view.kept());
  for (const Relation* relation : view.inputs) text += "\n" + fingerprint_of(*relation, named);
  return text;
}

// One arrangement for all joins that look a relation up by the same columns.
void ViewSet::arrange() {
  struct Need {
    const Relation* relation = nullptr;
    std::vector<engine::StoreColumn> key;
    std::set<std::string> columns;
    std::vector<Lookup*> users;
  };
  std::map<std::string, Need> needs;
  for (const auto& view : views_) {
    if (view->strategy == nullptr) continue;
    for (Lookup& lookup : *view->lookups) {
      if (lookup.own_key) continue;
      Need& need = needs[Arrangement::name_of(lookup.relation->name, lookup.key)];
      need.relation = lookup.relation;
      need.key = lookup.key;
      for (const std::string& column : lookup.columns) need.columns.insert(column);
      need.users.push_back(&lookup);
    }
  }
  for (auto& [name, need] : needs) {
    std::vector<engine::StoreColumn> columns = need.key;
    const auto add = [&columns, &wanted = need](const engine::StoreColumn& column) {
      if (wanted.columns.contains(column.name) &&
          std::find(columns.begin(), columns.end(), column) == columns.end())
        columns.push_back(column);
    };
    if (need.relation->unique) {
      for (const auto& column : need.relation->key) need.columns.insert(column.name);
    }
    for (const auto& column : need.relation->columns) add(column);
    for (const auto& column : need.relation->key) add(column);
    auto& arrangement = arrangements_[name];
    arrangement = std::make_unique<Arrangement>(*need.relation, std::move(columns), need.key.size(),
                                                next_id_++, engine_->store_options());
    for (Lookup* user : need.users) user->arrangement = arrangement.get();
  }
}

}  // namespace pgweir::views
