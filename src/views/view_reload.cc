// Other definitions while the engine runs: what is the same keeps its state, also by another name.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "views/view_set_internal.h"

namespace pgweir::views {
namespace {

ViewChanges compare(const std::vector<ViewDefinition>& before,
                    const std::vector<ViewDefinition>& now) {
  const auto find = [](const std::vector<ViewDefinition>& in, const std::string& name) {
    return std::find_if(in.begin(), in.end(), [&](const ViewDefinition& each) {
      return same_name(each.source.name, name);
    });
  };
  ViewChanges changes;
  std::vector<const ViewSource*> gone;
  for (const ViewDefinition& old : before)
    if (find(now, old.source.name) == now.end()) gone.push_back(&old.source);
  for (const ViewDefinition& each : now) {
    const std::string& name = each.source.name;
    const auto old = find(before, name);
    if (old != before.end()) {
      (old->source == each.source ? changes.unchanged : changes.changed).push_back(name);
      continue;
    }
    const auto same = std::find_if(gone.begin(), gone.end(), [&](const ViewSource* other) {
      ViewSource renamed = *other;
      renamed.name = name;
      return renamed == each.source;
    });
    if (same == gone.end()) {
      changes.added.push_back(name);
    } else {
      changes.renamed.emplace_back((*same)->name, name);
      gone.erase(same);
    }
  }
  for (const ViewSource* each : gone) changes.dropped.push_back(each->name);
  return changes;
}

}  // namespace

Status ViewSet::check_names(const std::vector<ViewSource>& sources) {
  std::set<std::string> names;
  for (const ViewSource& source : sources) {
    if (names.insert(lower(source.name)).second) continue;
    return error(Code::kConfig, fmt::format("two views are called \"{}\"", source.name),
                 "names do not tell upper from lower case");
  }
  return {};
}

Result<ViewChanges> ViewSet::redefine(std::vector<ViewSource> sources) {
  TRY(check_names(sources));
  std::vector<ViewDefinition> definitions;
  for (ViewSource& source : sources)
    definitions.push_back(analyse(*parser_, *functions_, std::move(source)));
  ViewChanges changes = compare(definitions_, definitions);
  // The views refer to the old ones, which keep their place in memory.
  std::swap(definitions_, definitions);
  redefining_ = true;
  const Status asked = engine_->ask_wanted();
  redefining_ = false;
  if (!asked.ok()) {
    std::swap(definitions_, definitions);
    return asked.error();
  }
  mirrors_now_.reset();
  undone_ = true;  // until all is open
  engine::Engine& engine = *engine_;
  auto runner = std::move(runner_);  // the engine stays, and with it what is to be dropped there
  close();
  runner_ = std::move(runner);
  TRY(open(engine));
  undone_ = false;
  TRY(engine.ask_wanted());  // rows that are not kept may be needed now
  return changes;
}

// States whose view is gone, and that are those of a view without one: it takes them over.
Status ViewSet::take_over_renamed(duck::Connection& connection) {
  TRY_ASSIGN(const auto stored, ViewCatalog::read(connection));
  const std::string prefix = state_name("");
  for (const auto& view : views_) {
    // What append mode keeps beside the state has the old name in it, and so have the parts of a
    // view: such views are built anew.
    const bool in_one_piece = view->part_of == nullptr && view->rest == nullptr;
    if (view->strategy == nullptr || view->append != nullptr || !in_one_piece ||
        stored.contains(state_name(view->name())))
      continue;
    for (const auto& [name, state] : stored) {
      if (!name.starts_with(prefix) || name.starts_with(state_name("pgweir_part ")) ||
          !state.error.empty() || state.fingerprint != view->fingerprint ||
          find_view(name.substr(prefix.size())) != nullptr)
        continue;
      logger_.info("view {} is now called {}", name.substr(prefix.size()), view->name());
      TRY(engine::Store::rename(connection, name, state_name(view->name())));
      TRY(IsolatedStrategy::rename(connection, name.substr(prefix.size()), view->name()));
      const ViewDefinition gone{.source = {.name = name.substr(prefix.size()), .sql = ""}};
      TRY(drop_state(connection, View(gone)));
      TRY(ViewCatalog::forget(connection, name));
      TRY(ViewCatalog::save(connection, state_name(view->name()), state));
      return take_over_renamed(connection);  // each state once
    }
  }
  return {};
}

// Why a mirror does not have all that the view names: it keeps what views named when it was read.
std::optional<Error> ViewSet::lacking_columns(const View& view) const {
  for (const engine::Mirror& mirror : mirrors_now_ ? *mirrors_now_ : engine_->mirrors()) {
    const std::string table = mirror.table.qualified_name();
    const bool is_read =
        std::any_of(view.relations.begin(), view.relations.end(),
                    [&](const Relation* relation) { return relation->name == table; });
    if (!is_read || mirror.kept_columns.size() == mirror.table.columns.size()) continue;
    const auto used = columns_used({view.definition}, mirror.table);
    std::vector<std::string> names;
    for (const std::uint32_t column : used.value_or(std::vector<std::uint32_t>())) {
      const auto& kept = mirror.kept_columns;
      if (std::find(kept.begin(), kept.end(), column) == kept.end())
        names.push_back(mirror.table.columns[column].name);
    }
    if (names.empty()) continue;
    return error(
        Code::kInvalid,
        fmt::format("columns of table {} are not kept here: {}", table, fmt::join(names, ", ")),
        "of a table with many columns only those are kept that views named when it was "
        "read",
        fmt::format("Have it read again: `pgweir snapshot --table {}`; the views over it "
                    "wait until that is done",
                    table));
  }
  return std::nullopt;
}

}  // namespace pgweir::views
