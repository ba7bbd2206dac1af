// The tables that the engine knows: their mirrors, what they look like, and those that stopped.
#include <fmt/core.h>

#include <algorithm>

#include "engine/duck_engine_internal.h"
#include "model/message.h"

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

}  // namespace

std::string mirror_name(const model::Table& table) {
  return mirror_schema(table) + "." + quote_identifier(table.name);
}

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
                  .stopped = known.stored.stopped,
                  .rows_id = known.stored.rows_id};
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
  // Of a database made before there were any.
  if (known.mirror.rows_id.empty()) known.mirror.rows_id = known.writer->store()->content_name();
  tell_reading(known);
  tell_released(known);
  return {};
}

void DuckEngine::publish_mirrors() {
  std::vector<TableToRead> to_read;
  for (const auto& [oid, known] : tables_) {
    const StoredTable& stored = known.stored;
    if (stored.mirrored && stored.awaits_rows && !stored.reading)
      to_read.push_back({stored.table.id, stored.table.qualified_name(), stored.stopped});
  }
  std::vector<Mirror> mirrors = shown_mirrors();
  MutexLock lock(mutex_);
  mirrors_ = std::move(mirrors);
  to_read_ = std::move(to_read);
}

std::vector<Mirror> DuckEngine::shown_mirrors() const {
  std::vector<Mirror> mirrors;
  for (const auto& [oid, known] : tables_) {
    if (known.is_shown()) mirrors.push_back(known.mirror);
  }
  std::sort(mirrors.begin(), mirrors.end(), [](const Mirror& a, const Mirror& b) {
    return a.table.qualified_name() < b.table.qualified_name();
  });
  return mirrors;
}

// Another table with the name of this one: PostgreSQL has dropped or renamed it, which we shall
// hear of later, or the two differ only in upper and lower case, which DuckDB does not tell apart.
Status DuckEngine::make_room(KnownTable& known) {
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  };
  const model::Table& table = known.stored.table;
  for (auto& [oid, other] : tables_) {
    const model::Table& old = other.stored.table;
    if (&other == &known || !known.stored.mirrored || !other.is_shown() ||
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
    TRY(connection_->execute("DROP VIEW IF EXISTS " + other.mirror.name));
    other.stored.hidden = true;
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
  known.stored.awaits_rows = known.stored.reading = known.mirror.reading = false;
  tables_changed_ = true;
  TRY(meta_->write_table(known.stored));
  if (!known.stored.hidden) TRY(show_stopped(known));
  // The views are bound to the mirrors when the snapshot ends.
  if (state_.phase == Phase::kLoading) return known.writer->drop_raw();
  if (known.stored.hidden) return {};
  return maintainer_ == nullptr ? Status{} : maintainer_->table_stopped(*connection_, known.mirror);
}

// Whatever is read of the mirror, and be it a count, fails with the reason: it is neither constant,
// which the optimizer would fold, nor in a column that nobody reads.
Status DuckEngine::show_stopped(const KnownTable& known) {
  return show_unreadable(known,
                         fmt::format("table {} is stopped: {}", known.stored.table.qualified_name(),
                                     known.stored.stopped));
}

Status DuckEngine::show_unreadable(const KnownTable& known, const std::string& why) {
  const model::Table& table = known.stored.table;
  std::string columns;
  for (const StoreColumn& column : known.writer->layout().columns)
    columns += fmt::format("{}CAST(error(why) AS {}) AS {}", columns.empty() ? "" : ", ",
                           column.type, quote_identifier(column.name));
  TRY(connection_->execute(fmt::format("CREATE SCHEMA IF NOT EXISTS {}", mirror_schema(table))));
  return connection_->execute(
      fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {} FROM (VALUES ({})) AS t(why) "
                  "WHERE CAST(error(why) AS BOOLEAN)",
                  known.mirror.name, columns, duck::quote_literal(why)));
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
  if (!known.stored.hidden)
    TRY(connection_->execute("DROP VIEW IF EXISTS " + mirror_name(known.stored.table)));
  TRY(
      connection_->execute(fmt::format("DROP TABLE IF EXISTS {0}.raw_{1}; "
                                       "DROP TABLE IF EXISTS {0}.seen_{1}",
                                       kInternalSchema, oid)));
  return Store::drop(*connection_, fmt::format("mirror of {}", oid));
}

Result<KnownTable*> DuckEngine::known_table(const model::Table& table) {
  if (model::holds_messages(table)) return &messages_;
  const auto found = tables_.find(model::value(table.id));
  if (found == tables_.end() || !(found->second.stored.table == table)) TRY(define_table(table));
  return &tables_.at(model::value(table.id));
}

}  // namespace pgweir::engine
