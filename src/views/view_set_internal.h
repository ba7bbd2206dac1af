// One view of a ViewSet. Private to views/.
#pragma once

#include <set>

#include "views/append_strategy.h"
#include "views/isolated_strategy.h"
#include "views/view_set.h"

namespace pgweir::views {

struct ViewSet::View {
  explicit View(const ViewDefinition& made_from) : definition(made_from) {}
  // A part of `whole`, which is a view of the configuration.
  View(std::unique_ptr<ViewDefinition> made_from, const View& whole)
      : own(std::move(made_from)), definition(*own), part_of(&whole) {}

  const std::unique_ptr<ViewDefinition> own;
  const ViewDefinition& definition;
  const View* part_of = nullptr;
  ViewState state = ViewState::kWaiting;
  std::optional<Error> error;

  // Of binding.
  std::optional<Error> unresolved;         // a name that means nothing, or too much
  std::vector<Named> names;                // what definition.refs mean
  std::set<std::size_t> reads;             // indexes of views
  std::vector<const Relation*> relations;  // as definition.refs
  // What is kept: the definition itself, or what is left of it beside its parts.
  std::unique_ptr<ViewDefinition> rest;
  Extent extent = Extent::kAny;         // of the definition
  std::optional<FirstRows> first_rows;  // in place of what the definition gives
  std::vector<const Relation*> inputs;  // of the strategy: by number, or each once
  std::optional<Plan> plan;
  std::optional<KeyedPlan> keyed;
  Lookups lookups;
  std::string reason;
  std::vector<engine::StoreColumn> columns;
  std::unique_ptr<ViewStrategy> strategy;
  AppendStrategy* append = nullptr;      // `strategy`, in append mode
  TemporalStrategy* temporal = nullptr;  // `strategy`, of a temporal filter
  IsolatedStrategy* isolated = nullptr;  // `strategy`, of an isolated view
  std::string fingerprint;

  // Of keeping.
  bool awaits_rows = false;  // its state cannot be made: an input's rows are not kept
  std::uint64_t rows = 0;
  bool changed = false;  // in this batch: its delta is to be emptied

  const std::string& name() const { return definition.source.name; }
  // For people: a part goes by its view's name.
  const std::string& title() const { return part_of != nullptr ? part_of->name() : name(); }
  const ViewDefinition& kept() const { return rest != nullptr ? *rest : definition; }
  bool live() const { return state == ViewState::kLive; }
  bool reads_relation(const Relation& relation) const {
    for (const Relation* read : inputs)
      if (read == &relation) return true;
    return false;
  }
};

// What a strategy is given the changes of.
std::vector<const Relation*> inputs_of(const Plan& plan);
std::vector<const Relation*> each_once(const std::vector<const Relation*>& relations);

}  // namespace pgweir::views
