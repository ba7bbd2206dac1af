// One view of a ViewSet. Private to views/.
#pragma once

#include <set>

#include "views/append_strategy.h"
#include "views/view_set.h"

namespace pgweir::views {

struct ViewSet::View {
  explicit View(const ViewDefinition& made_from) : definition(made_from) {}

  const ViewDefinition& definition;
  ViewState state = ViewState::kWaiting;
  std::optional<Error> error;

  // Of binding.
  std::optional<Error> unresolved;         // a name that means nothing, or too much
  std::vector<Named> names;                // what definition.refs mean
  std::set<std::size_t> reads;             // indexes of views
  std::vector<const Relation*> relations;  // as definition.refs
  std::optional<Plan> plan;
  Lookups lookups;
  std::string reason;
  std::vector<engine::StoreColumn> columns;
  std::unique_ptr<ViewStrategy> strategy;
  AppendStrategy* append = nullptr;  // `strategy`, in append mode
  std::string fingerprint;

  // Of keeping.
  std::uint64_t rows = 0;
  bool changed = false;  // in this batch: its delta is to be emptied

  const std::string& name() const { return definition.source.name; }
  bool live() const { return state == ViewState::kLive; }
  bool reads_relation(const Relation& relation) const {
    for (const Relation* read : relations)
      if (read == &relation) return true;
    return false;
  }
};

}  // namespace pgweir::views
