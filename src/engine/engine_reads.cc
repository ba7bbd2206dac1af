// Tables that are read beside the stream.
#include <fmt/core.h>

#include <algorithm>

#include "engine/duck_engine_internal.h"

namespace pgweir::engine {
namespace {

std::string seen_table(const model::Table& table) {
  return fmt::format("{}.seen_{}", kInternalSchema, model::value(table.id));
}

}  // namespace

void DuckEngine::tell_reading(KnownTable& known) {
  known.mirror.reading = known.stored.reading;
  if (known.stored.reading)
    known.writer->begin_reading(known.stored.counts_seen ? seen_table(known.stored.table) : "");
  else
    known.writer->end_reading();
}

Status DuckEngine::begin_read(const model::Table& table, Reading how,
                              const model::Position& position, model::Lsn end_lsn) {
  TRY(leave_epoch(position));
  return commit([&]() -> Status {
    TRY(begin_read(table, how));
    state_.position.position = position;
    if (model::value(end_lsn) != 0) state_.position.end_lsn = end_lsn;
    return {};
  });
}

// Columns that are wanted since it was made.
bool DuckEngine::lacks_columns(const KnownTable& known) const {
  const auto& kept = known.stored.kept_columns;
  const auto wanted = columns_of(known.stored.table);
  return wanted && !std::all_of(wanted->begin(), wanted->end(), [&](std::uint32_t column) {
           return std::find(kept.begin(), kept.end(), column) != kept.end();
         });
}

Status DuckEngine::begin_read(const model::Table& table, Reading how) {
  TRY(known_table(table));  // takes on the shape
  KnownTable& known = tables_.at(model::value(table.id));
  if (known.writer == nullptr) return {};
  StoredTable& stored = known.stored;
  if (state_.phase == Phase::kLoading && how == Reading::kReplaces) {
    // The snapshot ends without it: all its rows come later, behind another begin.
    if (stored.stopped.empty()) TRY(known.writer->drop_raw());
    const MirrorLayout layout = known.writer->layout();  // the writer goes
    return await_rows(known, layout, "its first reading was cut off");
  }
  if (state_.phase == Phase::kLoading) {
    // The rows that are there came from the same snapshot: they are right.
    stored.reading = stored.stopped.empty();
  } else {
    const bool lacks_columns = this->lacks_columns(known);
    const bool keeps =
        how == Reading::kCompares && stored.stopped.empty() && !stored.released && !lacks_columns;
    if (!keeps && (!stored.awaits_rows || stored.reading || lacks_columns)) {
      stored.reading = false;
      const MirrorLayout layout = lacks_columns ? lay_out(table, *columns_of(table), type_options())
                                                : known.writer->layout();  // the writer goes
      TRY(await_rows(known, layout, "it is read again"));
    }
    stored.reading = true;
    stored.counts_seen = false;
    if (keeps) {
      TRY_ASSIGN(const std::uint64_t rows, known.writer->store()->row_count());
      stored.counts_seen = rows > 0;
    }
  }
  if (stored.counts_seen) {
    TRY(connection_->execute(fmt::format("CREATE OR REPLACE TABLE {} ({})", seen_table(table),
                                         known.writer->key_columns())));
  }
  tell_reading(known);
  tables_changed_ = true;
  return meta_->write_table(stored);
}

Status DuckEngine::end_read(model::Oid table, const model::Position& position, model::Lsn end_lsn) {
  return commit([&]() -> Status {
    const auto found = tables_.find(model::value(table));
    if (found != tables_.end() && found->second.stored.reading) TRY(end_read(found->second));
    state_.position.position = position;
    if (model::value(end_lsn) != 0) state_.position.end_lsn = end_lsn;
    return {};
  });
}

Status DuckEngine::end_read(KnownTable& known) {
  StoredTable& stored = known.stored;
  tables_changed_ = true;
  if (known.is_filled()) {
    stored.stopped.clear();
    known.mirror.stopped.clear();
    stored.reading = stored.awaits_rows = false;
    new_rows_id(known);
    known.mirror.rows_id = stored.rows_id;
    tell_reading(known);
    TRY(meta_->write_table(stored));
    TRY(show(known));
    return tell_mirrors();
  }
  const bool live = known.takes_changes();
  if (live && stored.counts_seen) {
    TRY(known.writer->begin());
    TRY_ASSIGN(const std::uint64_t rows, known.writer->make_delta_of_unseen());
    if (rows != 0 && maintainer_ != nullptr) {
      TRY(maintainer_->table_changed(*connection_, known.mirror,
                                     {.table = known.writer->delta_table(), .rows = rows}));
    }
    TRY(known.writer->apply_delta(rows));
  }
  if (stored.counts_seen)
    TRY(connection_->execute("DROP TABLE IF EXISTS " + seen_table(stored.table)));
  stored.reading = stored.counts_seen = false;
  if (known.writer != nullptr) tell_reading(known);
  TRY(meta_->write_table(stored));
  return live && maintainer_ != nullptr ? maintainer_->batch_applied(*connection_) : Status{};
}

}  // namespace pgweir::engine
