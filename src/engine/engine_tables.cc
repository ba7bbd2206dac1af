// The tables that the engine knows: their mirrors, what they look like, and those that stopped.
#include <fmt/core.h>

#include <algorithm>

#include "engine/duck_engine_internal.h"

namespace pgweir::engine {
namespace {

using duck::quote_identifier;

// A schema that is called like one of DuckDB's databases needs ours in front.
std::string mirror_schema(const model::Table& table) {
  const std::string schema = quote_identifier(table.schema);
  for (const char* database : {kCatalog, "memory", "system", "temp"}) {
    if (table.schema == database) return fmt::format("{}.{}", kCatalog, schema);
  }
  return schema;
}

std::string mirror_name(const model::Table& table) {
  return mirror_schema(table) + "." + quote_identifier(table.name);
}

// Whether every value of the old type is the same value, and the same text, of the new one.
bool keeps_values(const model::Column& old, const model::Column& now) {
  constexpr model::Oid kVarchar{1043};
  if (old.type != now.type) return false;
  const bool longer =
      now.type_modifier < 0 || (old.type_modifier >= 0 && old.type_modifier <= now.type_modifier);
  return old.type_modifier == now.type_modifier || (old.type == kVarchar && longer);
}

}  // namespace

// The tables as the database has them. Mirrors that are known already keep their place in memory.
Status DuckEngine::load_tables() {
  TRY_ASSIGN(const std::vector<StoredTable> stored, meta_->read_tables());
  std::map<std::uint32_t, KnownTable> loaded;
  for (const StoredTable& table : stored) {
    KnownTable& known = loaded[model::value(table.table.id)];
    known.stored = table;
    if (table.mirrored) TRY(attach_mirror(known));
  }
  tables_ = std::move(loaded);
  publish_mirrors();
  return {};
}

Status DuckEngine::attach_mirror(KnownTable& known) {
  const model::Table& table = known.stored.table;
  MirrorLayout layout = lay_out(table, known.stored.kept_columns, type_options());
  known.mirror = {.table = table,
                  .kind = layout.identity.kind,
                  .kept_columns = layout.identity.kept,
                  .name = mirror_name(table),
                  .stopped = known.stored.stopped};
  auto writer = MirrorWriter::open(*connection_, std::move(layout), store_options_);
  if (!writer.ok() && writer.error().code == Code::kCorruption) {
    return error(
        Code::kCorruption,
        fmt::format("the mirror of {} was made with another configuration", table.qualified_name()),
        writer.error().text(),
        "Put source.numeric back as it was, or remove the folder engine in the data "
        "folder: it is then built anew from the log");
  }
  TRY_ASSIGN(known.writer, std::move(writer));
  known.mirror.store = known.writer->store();
  return {};
}

void DuckEngine::publish_mirrors() {
  std::vector<Mirror> mirrors;
  for (const auto& [oid, known] : tables_) {
    if (known.stored.mirrored) mirrors.push_back(known.mirror);
  }
  std::sort(mirrors.begin(), mirrors.end(), [](const Mirror& a, const Mirror& b) {
    return a.table.qualified_name() < b.table.qualified_name();
  });
  MutexLock lock(mutex_);
  mirrors_ = std::move(mirrors);
}

// --- Definitions -------------------------------------------------------------------------------

// The new places of the kept columns. Nothing that is kept may change: names, types, key.
Result<std::vector<std::uint32_t>> DuckEngine::kept_places(const KnownTable& known,
                                                           const model::Table& table) const {
  const MirrorLayout& old = known.writer->layout();
  std::string changes;
  std::vector<std::uint32_t> kept;
  for (const std::uint32_t i : old.identity.kept) {
    const model::Column& column = old.table.columns[i];
    const auto same = std::find_if(table.columns.begin(), table.columns.end(),
                                   [&](const model::Column& c) { return c.name == column.name; });
    if (same == table.columns.end()) {
      changes += fmt::format("column {} is gone; ", column.name);
    } else if (!keeps_values(column, *same)) {
      changes += fmt::format("column {} was {} and is {}; ", column.name, column.type_name,
                             same->type_name);
    } else {
      kept.push_back(static_cast<std::uint32_t>(same - table.columns.begin()));
    }
  }
  if (changes.empty()) {
    const MirrorLayout now = lay_out(table, kept, type_options());
    if (now.columns != old.columns)
      changes += "its key or the order of its columns is another; ";
    else if (now.identity.kind != old.identity.kind)
      changes += "its replica identity is another; ";
  }
  if (table.schema != old.table.schema || table.name != old.table.name)
    changes += fmt::format("it is now called {}; ", table.qualified_name());
  if (changes.empty()) return kept;
  changes.resize(changes.size() - 2);
  return error(Code::kUnsupported,
               fmt::format("table {} changed its shape", old.table.qualified_name()), changes,
               "Its mirror and the views over it stop here; a new snapshot takes it in again");
}

Status DuckEngine::define_table(const model::Table& table) {
  const auto found = tables_.find(model::value(table.id));
  const bool is_known = found != tables_.end();
  if (is_known && (found->second.stored.table == table || !found->second.stored.stopped.empty()))
    return {};
  if (!is_known || found->second.writer == nullptr)
    return commit_or_join([&] { return define_new(table); });
  TRY_ASSIGN(const std::vector<std::uint32_t> kept, kept_places(found->second, table));
  return commit_or_join([&] { return redefine(found->second, table, kept); });
}

// New columns are not mirrored before the next snapshot: the rows that are there lack them.
Status DuckEngine::redefine(KnownTable& known, const model::Table& table,
                            const std::vector<std::uint32_t>& kept) {
  MirrorLayout layout = lay_out(table, kept, type_options());
  known.stored.table = known.mirror.table = table;
  known.stored.kept_columns = known.mirror.kept_columns = layout.identity.kept;
  known.writer->set_table(table, std::move(layout.identity));
  tables_changed_ = true;
  return meta_->write_table(known.stored);
}

Status DuckEngine::define_new(const model::Table& table) {
  KnownTable& known = tables_[model::value(table.id)];
  tables_changed_ = true;
  const auto wanted = wanted_(table);
  known.stored = {.table = table, .mirrored = wanted.has_value()};
  if (wanted) known.stored.kept_columns = *wanted;
  TRY(make_room(known));
  TRY(meta_->write_table(known.stored));
  if (!known.stored.mirrored) return {};
  TRY(attach_mirror(known));
  if (state_.phase == Phase::kLoading) return known.writer->create_raw();
  return show_mirror(known);
}

// Another table with the name of this one: PostgreSQL has dropped or renamed it, or the two differ
// only in upper and lower case, which DuckDB does not tell apart.
Status DuckEngine::make_room(KnownTable& known) {
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  };
  const model::Table& table = known.stored.table;
  for (auto& [oid, other] : tables_) {
    const model::Table& old = other.stored.table;
    if (&other == &known || !known.stored.mirrored || !other.stored.mirrored ||
        lower(old.qualified_name()) != lower(table.qualified_name()))
      continue;
    if (old.qualified_name() != table.qualified_name()) {
      known.stored.mirrored = false;
      known.stored.stopped =
          fmt::format("the engine does not tell its name from {}", old.qualified_name());
      logger_.warning("engine: table {} is not mirrored: {}; exclude one of them in source.exclude",
                      table.qualified_name(), known.stored.stopped);
      return {};
    }
    TRY(hide_mirror(other));
    other.stored.mirrored = false;
    other.stored.stopped = "another table has its name now";
    TRY(meta_->write_table(other.stored));
  }
  return {};
}

Status DuckEngine::show_mirror(const KnownTable& known) {
  const model::Table& table = known.stored.table;
  std::string columns;
  for (const StoreColumn& column : known.writer->layout().columns)
    columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
  TRY(connection_->execute(fmt::format("CREATE SCHEMA IF NOT EXISTS {}", mirror_schema(table))));
  return connection_->execute(fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}",
                                          known.mirror.name, columns,
                                          known.writer->store()->content_name()));
}

// --- Stopping and hiding ------------------------------------------------------------------------

Status DuckEngine::stop_table(model::Oid table, const std::string& reason) {
  const auto found = tables_.find(model::value(table));
  if (found == tables_.end() || !found->second.stored.mirrored)
    return error(Code::kNotFound, "the table to stop is not mirrored");
  KnownTable& known = found->second;
  if (!known.stored.stopped.empty()) return {};
  return commit_or_join([&] { return stop(known, reason); });
}

// Of a table that the batch which failed had made known itself, nothing is left.
Status DuckEngine::stop_misfit(const Misfit& misfit) {
  const std::uint32_t oid = model::value(misfit.table.id);
  return commit([&]() -> Status {
    if (!tables_.contains(oid)) TRY(define_new(misfit.table));
    return stop(tables_.at(oid), misfit.reason);
  });
}

Status DuckEngine::stop(KnownTable& known, const std::string& reason) {
  logger_.error("table {} has stopped: {}", known.stored.table.qualified_name(), reason);
  known.stored.stopped = known.mirror.stopped = reason;
  tables_changed_ = true;
  TRY(meta_->write_table(known.stored));
  TRY(show_stopped(known));
  // The views are bound to the mirrors when the snapshot ends.
  if (state_.phase == Phase::kLoading) return known.writer->drop_raw();
  return maintainer_ == nullptr ? Status{} : maintainer_->table_stopped(*connection_, known.mirror);
}

// Whatever is read of the mirror, and be it a count, fails with the reason: it is neither constant,
// which the optimizer would fold, nor in a column that nobody reads.
Status DuckEngine::show_stopped(const KnownTable& known) {
  const model::Table& table = known.stored.table;
  std::string columns;
  for (const StoreColumn& column : known.writer->layout().columns)
    columns += fmt::format("{}CAST(error(why) AS {}) AS {}", columns.empty() ? "" : ", ",
                           column.type, quote_identifier(column.name));
  const std::string text =
      fmt::format("table {} is stopped: {}", table.qualified_name(), known.stored.stopped);
  TRY(connection_->execute(fmt::format("CREATE SCHEMA IF NOT EXISTS {}", mirror_schema(table))));
  return connection_->execute(
      fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {} FROM (VALUES ({})) AS t(why) "
                  "WHERE CAST(error(why) AS BOOLEAN)",
                  known.mirror.name, columns, duck::quote_literal(text)));
}

Status DuckEngine::hide_mirrors() {
  for (auto& [oid, known] : tables_) {
    if (known.stored.mirrored) TRY(hide_mirror(known));
  }
  return {};
}

Status DuckEngine::hide_mirror(KnownTable& known) {
  known.writer.reset();
  known.mirror.store.reset();
  const std::uint32_t oid = model::value(known.stored.table.id);
  TRY(connection_->execute("DROP VIEW IF EXISTS " + mirror_name(known.stored.table)));
  TRY(connection_->execute(fmt::format("DROP TABLE IF EXISTS {}.raw_{}", kInternalSchema, oid)));
  return Store::drop(*connection_, fmt::format("mirror of {}", oid));
}

Result<KnownTable*> DuckEngine::known_table(const model::Table& table) {
  const auto found = tables_.find(model::value(table.id));
  if (found == tables_.end() || !(found->second.stored.table == table)) TRY(define_table(table));
  return &tables_.at(model::value(table.id));
}

}  // namespace pgweir::engine
