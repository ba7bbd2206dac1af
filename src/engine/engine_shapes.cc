// How a table that the engine knows takes on another shape: in the place of the log where the
// source's table did, with the rows that are here where they tell the new ones.
#include <fmt/core.h>

#include <algorithm>

#include "engine/duck_engine_internal.h"

namespace pgweir::engine {
namespace {

using duck::quote_identifier;

// One row of the values that added columns have in rows from before.
constexpr const char* kMissingTable = "pgweir_missing";

std::string store_name_of(const model::Table& table) {
  return fmt::format("mirror of {}", model::value(table.id));
}

// Whether rows of one layout are rows of the other as they stand.
bool same_rows(const MirrorLayout& old, const MirrorLayout& now, const model::TableChange& change) {
  if (old.columns != now.columns || old.identity.kind != now.identity.kind) return false;
  const auto keys = [](const MirrorLayout& layout) {
    std::vector<bool> out;
    for (const std::uint32_t i : layout.identity.kept)
      out.push_back(std::count(layout.identity.key.begin(), layout.identity.key.end(), i) != 0);
    return out;
  };
  if (keys(old) != keys(now)) return false;
  for (std::size_t i = 0; i < now.identity.kept.size(); ++i) {
    if (change.from[now.identity.kept[i]] != old.identity.kept[i]) return false;
  }
  return true;
}

// Why the rows that are kept do not tell those of the new layout; empty when they do.
std::string unknown_rows(const MirrorLayout& old, const MirrorLayout& now,
                         const model::TableChange& change) {
  if (!change.other_rows.empty()) return change.other_rows;
  for (const std::uint32_t column : now.identity.kept) {
    if (!change.unknown[column].empty()) return change.unknown[column];
    const std::uint32_t from = change.from[column];
    const auto& kept = old.identity.kept;
    if (from != model::kAddedColumn && std::find(kept.begin(), kept.end(), from) == kept.end())
      return fmt::format("column {} was not kept here", now.table.columns[column].name);
  }
  return {};
}

}  // namespace

Status DuckEngine::define_table(const model::Table& table) {
  const auto found = tables_.find(model::value(table.id));
  if (found == tables_.end()) return commit_or_join([&] { return define_new(table); });
  if (found->second.stored.table == table) return {};
  return commit_or_join([&] { return redefine(found->second, table); });
}

Status DuckEngine::ask_wanted() {
  if (!options_.rows_are_read || state_.phase != Phase::kLive) return {};
  TRY(settle_rows());
  std::vector<model::Table> wanted;
  for (const auto& [oid, known] : tables_) {
    const model::Table& table = known.stored.table;
    const bool waits = known.stored.mirrored || !known.stored.stopped.empty() ||
                       table.presence != model::Presence::kCaptured;
    if (!waits && columns_of(table)) wanted.push_back(table);
  }
  if (wanted.empty()) return {};
  return commit([&]() -> Status {
    for (const model::Table& table : wanted) TRY(define_new(table));
    return {};
  });
}

void DuckEngine::new_rows_id(KnownTable& known) {
  known.stored.rows_id = fmt::format("{} since {}", store_name_of(known.stored.table),
                                     model::to_string(state_.position.position));
}

// The views see the mirrors as they are from here on. While a snapshot comes in, they wait for it.
Status DuckEngine::tell_mirrors() {
  if (maintainer_ == nullptr || state_.phase == Phase::kLoading) return {};
  return maintainer_->mirrors_changed(*connection_, shown_mirrors());
}

// PostgreSQL has tables without columns, DuckDB has none.
std::optional<std::vector<std::uint32_t>> DuckEngine::columns_of(const model::Table& table) const {
  auto columns = wanted_(table);
  return columns && columns->empty() ? std::nullopt : columns;
}

Status DuckEngine::define_new(const model::Table& table) {
  KnownTable& known = tables_[model::value(table.id)];
  tables_changed_ = true;
  const auto wanted =
      table.presence == model::Presence::kCaptured ? columns_of(table) : std::nullopt;
  known = {};
  known.stored = {.table = table, .mirrored = wanted.has_value()};
  new_rows_id(known);
  if (wanted) known.stored.kept_columns = *wanted;
  TRY(make_room(known));
  TRY(meta_->write_table(known.stored));
  if (!known.stored.mirrored) return {};
  const bool waits = options_.rows_are_read && state_.phase == Phase::kLive;
  if (waits)
    return await_rows(known, lay_out(table, *wanted, type_options()), "its rows are being read");
  TRY(attach_mirror(known));
  if (state_.phase == Phase::kLoading) return known.writer->create_raw();
  TRY(show_mirror(known));
  return tell_mirrors();
}

Status DuckEngine::redefine(KnownTable& known, const model::Table& table) {
  tables_changed_ = true;
  const StoredTable& stored = known.stored;
  const auto wanted =
      table.presence == model::Presence::kDropped ? std::nullopt : columns_of(table);
  if (!stored.mirrored || !wanted) return redefine_unmirrored(known, table, wanted.has_value());
  if (table.presence == model::Presence::kUnpublished) return redefine_unpublished(known);

  const model::TableChange change = model::compare(stored.table, table);
  const MirrorLayout layout = lay_out(table, *wanted, type_options());
  std::string unknown = unknown_rows(known.writer->layout(), layout, change);
  if (stored.table.presence == model::Presence::kUnpublished)
    unknown = "it was out of the publication for a time";
  const bool same = same_rows(known.writer->layout(), layout, change);
  const bool is_full = table.replica_identity == model::ReplicaIdentity::kFull;
  if (stored.released && unknown.empty() && !(same && is_full)) unknown = "its rows were not kept";
  const bool live = stored.stopped.empty();
  if (same && (live ? unknown.empty() : stored.table.presence == table.presence))
    return adopt(known, layout);
  const bool loading = state_.phase == Phase::kLoading;
  if (live && unknown.empty() && !loading) return reshape(known, layout, change);
  if (options_.rows_are_read && !loading) {
    if (unknown.empty()) unknown = "its shape has changed";
    return await_rows(known, layout, stored.awaits_rows ? stored.stopped : unknown);
  }
  if (!live) return {};
  return stop(known, unknown.empty() ? "its shape changed while it was read" : unknown);
}

// Other facts, and maybe another name, of the same rows.
Status DuckEngine::adopt(KnownTable& known, const MirrorLayout& layout) {
  const bool renamed = known.stored.table.qualified_name() != layout.table.qualified_name();
  TRY(take_name(known, layout.table));
  known.stored.table = known.mirror.table = layout.table;
  known.stored.kept_columns = known.mirror.kept_columns = layout.identity.kept;
  known.writer->set_table(layout.table, layout.identity);
  if (renamed) TRY(show(known));
  TRY(meta_->write_table(known.stored));
  return renamed ? tell_mirrors() : Status{};
}

Status DuckEngine::show(const KnownTable& known) {
  if (!known.is_shown() || state_.phase == Phase::kLoading) return {};
  if (!known.stored.stopped.empty()) return show_stopped(known);
  return known.stored.released ? show_released(known) : show_mirror(known);
}

// Gives up the old name and takes the new one, which may be another table's in our eyes still.
Status DuckEngine::take_name(KnownTable& known, const model::Table& table) {
  if (known.stored.table.qualified_name() == table.qualified_name()) return {};
  if (known.is_shown()) TRY(connection_->execute("DROP VIEW IF EXISTS " + known.mirror.name));
  logger_.info("table {} is now called {}", known.stored.table.qualified_name(),
               table.qualified_name());
  known.stored.table = known.mirror.table = table;
  known.stored.hidden = false;
  known.mirror.name = mirror_name(table);
  return make_room(known);
}

// A table that is not mirrored here, or is no longer: because it is gone, or by its name.
Status DuckEngine::redefine_unmirrored(KnownTable& known, const model::Table& table, bool wanted) {
  const bool was_mirrored = known.stored.mirrored;
  if (wanted && table.presence == model::Presence::kCaptured && state_.phase == Phase::kLive &&
      options_.rows_are_read) {
    TRY(define_new(table));
    return {};
  }
  if (was_mirrored) {
    if (table.presence == model::Presence::kDropped)
      logger_.info("table {} was dropped", table.qualified_name());
    TRY(hide_mirror(known));
    known.stored.mirrored = known.stored.awaits_rows = known.stored.hidden = false;
  }
  known.stored.table = table;
  TRY(meta_->write_table(known.stored));
  return was_mirrored ? tell_mirrors() : Status{};
}

Status DuckEngine::redefine_unpublished(KnownTable& known) {
  known.stored.table.presence = known.mirror.table.presence = model::Presence::kUnpublished;
  known.stored.awaits_rows = false;
  if (!known.stored.stopped.empty()) return meta_->write_table(known.stored);
  return stop(known, "the publication has it no longer: its changes are not sent");
}

// --- Rows from one shape into another ------------------------------------------------------------

Status DuckEngine::reshape(KnownTable& known, const MirrorLayout& layout,
                           const model::TableChange& change) {
  const std::string name = layout.table.qualified_name();
  auto rows = rows_in_shape(known, layout, change);
  if (!rows.ok() && rows.error().code == Code::kInvalid) return stop(known, rows.error().text());
  if (!rows.ok()) return rows.error();
  logger_.info("table {} takes on another shape", name);
  TRY(rebuild_store(known, layout, rows.value()));
  TRY(meta_->write_table(known.stored));
  TRY(show(known));
  return known.is_shown() ? tell_mirrors() : Status{};
}

// A SELECT of the kept rows in the new layout.
Result<std::string> DuckEngine::rows_in_shape(const KnownTable& known, const MirrorLayout& now,
                                              const model::TableChange& change) {
  const MirrorLayout& old = known.writer->layout();
  std::string select, missing_columns;
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < now.identity.kept.size(); ++i) {
    const std::string& type = now.columns[i].type;
    const std::uint32_t from = change.from[now.identity.kept[i]];
    std::string value = "NULL";
    if (from != model::kAddedColumn) {
      const auto& kept = old.identity.kept;
      const auto place = std::find(kept.begin(), kept.end(), from) - kept.begin();
      value = "o." + quote_identifier(old.columns[static_cast<std::size_t>(place)].name);
    } else if (now.table.columns[now.identity.kept[i]].missing) {
      value = fmt::format("m.c{}", i);
      missing_columns += fmt::format("{}c{} {}", missing.empty() ? "" : ", ", i, type);
      missing.push_back(i);
    }
    select += fmt::format("{}CAST({} AS {})", i == 0 ? "" : ", ", value, type);
  }
  std::string from = known.writer->store()->content_name() + " AS o";
  if (!missing.empty()) {
    TRY(connection_->execute(
        fmt::format("CREATE OR REPLACE TEMP TABLE {} ({})", kMissingTable, missing_columns)));
    TRY(write_missing(now, missing));
    from += fmt::format(", temp.main.{} AS m", kMissingTable);
  }
  return fmt::format("SELECT {} FROM {}", select, from);
}

// kInvalid for a value that the mirror cannot hold.
Status DuckEngine::write_missing(const MirrorLayout& layout,
                                 const std::vector<std::size_t>& missing) {
  TRY_ASSIGN(const auto out, connection_->appender("temp", "main", kMissingTable));
  for (const std::size_t i : missing) {
    const model::Column& column = layout.table.columns[layout.identity.kept[i]];
    const Fit fit = layout.types[i].convert(layout.types[i], *column.missing, *out);
    if (fit == Fit::kOk) continue;
    return error(Code::kInvalid,
                 fmt::format("the default of column {} ({}) does not fit into {}", column.name,
                             column.type_name, layout.columns[i].type),
                 fmt::format("value '{}'", *column.missing));
  }
  TRY(out->end_row());
  return out->flush();
}

Status DuckEngine::rebuild_store(KnownTable& known, const MirrorLayout& layout,
                                 const std::string& rows) {
  const std::string name = store_name_of(layout.table);
  const std::string old_name = name + " before";
  known.writer.reset();
  known.mirror.store.reset();
  TRY(Store::rename(*connection_, name, old_name));
  TRY(take_name(known, layout.table));
  known.stored.table = layout.table;
  known.stored.kept_columns = layout.identity.kept;
  TRY(attach_mirror(known));
  TRY(known.writer->store()->load(rows));
  return Store::drop(*connection_, old_name);
}

// The mirror is empty, and cannot be read, until the source has been asked.
Status DuckEngine::await_rows(KnownTable& known, const MirrorLayout& layout,
                              const std::string& reason) {
  logger_.info("table {} has to be read: {}", layout.table.qualified_name(), reason);
  tables_changed_ = true;
  if (known.writer != nullptr) {
    known.writer.reset();
    known.mirror.store.reset();
    TRY(Store::drop(*connection_, store_name_of(layout.table)));
  }
  TRY(take_name(known, layout.table));
  known.stored.table = layout.table;
  known.stored.kept_columns = layout.identity.kept;
  known.stored.stopped = reason;
  known.stored.awaits_rows = true;
  known.stored.released = known.stored.reading = known.stored.counts_seen = false;
  new_rows_id(known);
  TRY(attach_mirror(known));
  TRY(meta_->write_table(known.stored));
  TRY(show(known));
  return tell_mirrors();
}

}  // namespace pgweir::engine
