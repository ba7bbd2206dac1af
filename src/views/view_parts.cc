// How a view is kept: by one strategy, or taken apart into parts that are views of their own.
#include <fmt/core.h>

#include <algorithm>

#include "views/outline.h"
#include "views/view_set_internal.h"

namespace pgweir::views {
namespace {

// Layers that are taken off one view, and parts that it has, at the most.
constexpr int kLayersMax = 16;
constexpr std::size_t kPartsMax = 64;
// Parts of parts.
constexpr int kDepthMax = 16;

std::vector<const Relation*> inputs_of(const KeyedPlan& plan) {
  std::vector<const Relation*> inputs;
  for (const KeyedInput& input : plan.inputs) inputs.push_back(input.relation);
  return inputs;
}

// A reason less its place in a text that nobody wrote: that of a part.
std::string without_place(std::string reason) {
  const std::size_t at = reason.rfind(" at ");
  if (at != std::string::npos &&
      reason.find_first_not_of("0123456789:", at + 4) == std::string::npos)
    reason.resize(at);
  return reason;
}

}  // namespace

std::vector<const Relation*> inputs_of(const Plan& plan) {
  std::vector<const Relation*> inputs;
  for (const PlanInput& input : plan.inputs) inputs.push_back(input.relation);
  return inputs;
}

std::vector<const Relation*> each_once(const std::vector<const Relation*>& relations) {
  std::vector<const Relation*> once;
  for (const Relation* relation : relations) {
    if (std::find(once.begin(), once.end(), relation) == once.end()) once.push_back(relation);
  }
  return once;
}

Status ViewSet::plan_view(View& view, const std::string& select,
                          const std::vector<std::optional<Window>>& windows) {
  const std::size_t views = views_.size(), ordered = order_.size();
  view.lookups = std::make_shared<std::vector<Lookup>>();
  StrategyInput input{.view = view.name(),
                      .schema = view.part_of == nullptr ? "main" : engine::kInternalSchema,
                      .title = view.part_of == nullptr ? "" : view.name(),
                      .stored = view.part_of == nullptr,
                      .id = next_id_++,
                      .columns = view.columns,
                      .select = select,
                      .first_rows_spare = options_.first_rows_spare,
                      .store_options = engine_->store_options()};
  if (view.first_rows) {
    input.first_rows = view.first_rows;
    input.first_of = view.relations.at(0);
    view.inputs = {input.first_of};
    view.reason =
        fmt::format("the first {} rows in this order, and some behind them", view.first_rows->rows);
    view.strategy = make_strategy(std::move(input));
    return {};
  }
  const ViewDefinition* definition = &view.definition;
  std::vector<const Relation*> relations = view.relations;
  std::vector<std::optional<Window>> own_windows = windows;
  bool planned = view.extent != Extent::kAny && !definition->clock;
  if (planned) plan_few_rows(view, view.extent, relations, &input);
  std::string reason;
  for (int layer = 0; layer < kLayersMax && !planned; ++layer) {
    const BoundSelect whole{*definition, relations, own_windows, view.columns};
    if (definition->clock) TRY(plan_temporal(view, whole, &input, &planned));
    if (planned) return {};
    input.sessions = plan_sessions(*definition, relations, own_windows);
    if (input.sessions) {
      view.reason = "the sessions of the partitions that change";
      view.plan.reset();
      view.keyed.reset();
      view.inputs = {input.sessions->relation};
      planned = true;
      break;
    }
    if (!definition->clock) TRY(plan_rest(view, *definition, relations, own_windows, &planned));
    if (reason.empty()) reason = view.reason;
    if (planned) break;
    int number = 0;
    const auto name_part = [&] {
      return fmt::format("pgweir_part {} {}", view.name(),
                         views_.size() - views + static_cast<std::size_t>(++number));
    };
    TRY_ASSIGN(const auto outline, take_layer(view, whole, name_part));
    bool added = false;
    if (outline) TRY(add_parts(view, *outline, &added));
    if (!added) break;
    if (!outline->all_of.empty()) {
      for (const std::string& name : outline->all_of)
        input.all_of.push_back(relation_named("main", name));
      view.inputs = input.all_of;
      view.reason = fmt::format("all rows of {} SELECTs", input.all_of.size());
      auto rest = std::make_unique<ViewDefinition>(*definition);
      view.rest = std::move(rest);
      planned = true;
      break;
    }
    bool bound = false;
    TRY(bind_rest(view, outline->sql, &relations, &own_windows, &bound));
    if (!bound) break;
    definition = view.rest.get();
    if (outline->extent != Extent::kAny && !definition->clock) {
      plan_few_rows(view, outline->extent, relations, &input);
      input.select = select_over_rows(*definition, relations, own_windows);
      planned = true;
    }
  }
  if (planned) {
    input.plan = view.plan;
    input.keyed = view.keyed;
    input.lookups = view.lookups;
  } else if (view.definition.clock) {
    return clock_refused(view, "the SELECT around it cannot be taken apart");
  } else if (definition != &view.definition) {
    // What could be taken off is kept; the rest alone is computed anew.
    input.select = select_over_rows(*definition, relations, own_windows);
    view.plan.reset();
    view.keyed.reset();
    view.inputs = each_once(relations);
  } else {
    forget_parts(views, ordered);
    view.rest.reset();
    view.plan.reset();
    view.keyed.reset();
    view.reason = reason;
    view.inputs = each_once(view.relations);
  }
  view.strategy = make_strategy(std::move(input));
  return {};
}

// Computed anew in every batch, from few rows.
void ViewSet::plan_few_rows(View& view, Extent extent,
                            const std::vector<const Relation*>& relations, StrategyInput* input) {
  input->extent = extent;
  view.plan.reset();
  view.keyed.reset();
  view.reason = "computed from the few rows that are kept for it";
  view.inputs = each_once(relations);
}

// By deltas, or by affected keys.
Status ViewSet::plan_rest(View& view, const ViewDefinition& definition,
                          const std::vector<const Relation*>& relations,
                          const std::vector<std::optional<Window>>& windows, bool* planned) {
  TRY_ASSIGN(PlanOutcome outcome,
             make_plan(*parser_, *functions_, definition, relations, windows, view.columns));
  const bool written = &definition == &view.definition && view.part_of == nullptr;
  view.reason = written ? std::move(outcome.reason) : without_place(std::move(outcome.reason));
  view.plan = std::move(outcome.plan);
  view.keyed.reset();
  *planned = true;
  if (view.plan) {
    view.lookups = lookups_of(*view.plan);
    view.inputs = inputs_of(*view.plan);
    return {};
  }
  TRY_ASSIGN(KeyedOutcome keyed,
             make_keyed_plan(*parser_, *functions_, definition, relations, windows, view.columns));
  if (keyed.plan) {
    view.reason = std::move(keyed.reason);
    view.keyed = std::move(keyed.plan);
    view.lookups = lookups_of(*view.keyed);
    view.inputs = inputs_of(*view.keyed);
    return {};
  }
  *planned = false;
  return {};
}

// Binds the parts as views. One that cannot be bound leaves the view in one piece.
Status ViewSet::add_parts(View& view, const Outline& outline, bool* added) {
  if (part_depth_ >= kDepthMax) return {};
  ++part_depth_;
  const auto leave = std::shared_ptr<void>(nullptr, [this](void*) { --part_depth_; });
  const View& whole = view.part_of != nullptr ? *view.part_of : view;
  for (const OutlinePart& part : outline.parts) {
    if (views_.size() > definitions_.size() + kPartsMax * definitions_.size()) return {};
    auto definition = std::make_unique<ViewDefinition>(
        analyse(*parser_, *functions_, {.name = part.name, .sql = part.sql}, Wording::kPrinted));
    if (definition->refusal) return {};
    auto bound = std::make_unique<View>(std::move(definition), whole);
    bound->extent = part.extent;
    bound->first_rows = part.first_rows;
    for (const RelationRef& ref : bound->definition.refs) {
      const Relation* relation = relation_named(ref.schema, ref.name);
      if (relation == nullptr) return {};
      bound->relations.push_back(relation);
    }
    const Status made = make_strategy_of(*bound);
    if (!made.ok()) return {};
    bound->fingerprint = fingerprint_of(*bound);
    views_.push_back(std::move(bound));
    order_.push_back(views_.size() - 1);
  }
  *added = true;
  return {};
}

Status ViewSet::bind_rest(View& view, const std::string& sql,
                          std::vector<const Relation*>* relations,
                          std::vector<std::optional<Window>>* windows, bool* bound) {
  auto rest = std::make_unique<ViewDefinition>(
      analyse(*parser_, *functions_, {.name = view.name(), .sql = sql}, Wording::kPrinted));
  if (rest->refusal) return {};
  relations->clear();
  for (const RelationRef& ref : rest->refs) {
    const Relation* relation = relation_named(ref.schema, ref.name);
    if (relation == nullptr) return {};
    relations->push_back(relation);
  }
  TRY_ASSIGN(*windows, windows_of(*rest, *relations));
  view.rest = std::move(rest);
  *bound = true;
  return {};
}

const Relation* ViewSet::relation_named(const std::string& schema, const std::string& name) const {
  for (const auto& view : views_) {
    if (view->strategy == nullptr) continue;
    const Relation& relation = view->strategy->relation();
    if (relation.schema == schema && relation.table == name) return &relation;
  }
  for (const auto& [qualified, relation] : mirrors_)
    if (relation->schema == schema && relation->table == name) return relation.get();
  return nullptr;
}

// Takes back the parts that a view has got since there were so many views.
void ViewSet::forget_parts(std::size_t views, std::size_t ordered) {
  order_.resize(ordered);
  views_.resize(views);
}

}  // namespace pgweir::views
