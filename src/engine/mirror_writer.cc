#include "engine/mirror_writer.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/row_loader.h"

namespace pgweir::engine {
namespace {

using duck::quote_identifier;
using model::Cell;
using model::CellKind;

constexpr const char* kDatabase = "pgweir_engine";

// "a0, a1, ..." for every column, each made by `item`.
template <typename Item>
std::string joined(std::size_t count, const char* separator, const Item& item) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += (i == 0 ? "" : separator) + item(i);
  return out;
}

// The statement's own complaint that an old row is missing.
Error as_corruption(Error failure) {
  if (failure.message.find("lacks the row of a key") != std::string::npos)
    failure.code = Code::kCorruption;
  return failure;
}

}  // namespace

Result<std::unique_ptr<MirrorWriter>> MirrorWriter::open(duck::Connection& connection,
                                                         MirrorLayout layout,
                                                         const StoreOptions& store_options) {
  auto writer = std::unique_ptr<MirrorWriter>(new MirrorWriter(connection, std::move(layout)));
  const MirrorLayout& made = writer->layout_;
  StoreSpec spec{.name = fmt::format("mirror of {}", model::value(made.table.id)),
                 .columns = made.columns};
  spec.unique = made.identity.kind == MirrorKind::kKeyed;
  for (std::uint32_t i = 0; i < made.identity.kept.size(); ++i) {
    const auto& key = made.identity.key;
    const bool is_key = std::find(key.begin(), key.end(), made.identity.kept[i]) != key.end();
    writer->is_key_.push_back(is_key);
    if (is_key) spec.key.push_back(i);
  }
  TRY_ASSIGN(writer->store_, Store::open(connection, spec, store_options));
  TRY(writer->create_temporary_tables());
  TRY(writer->prepare_statements());
  return writer;
}

void MirrorWriter::set_table(const model::Table& table, RowIdentity identity) {
  layout_.table = table;
  layout_.identity = std::move(identity);
}

Status MirrorWriter::create_temporary_tables() {
  const std::uint32_t id = model::value(layout_.table.id);
  stage_name_ = fmt::format("pgweir_stage_{}", id);
  stage_ = "temp.main." + stage_name_;
  delta_ = fmt::format("temp.main.pgweir_delta_{}", id);
  raw_name_ = fmt::format("raw_{}", id);
  const auto staged = [&](std::size_t i) {
    return fmt::format("c{} {}, ", i, layout_.columns[i].type);
  };
  TRY(connection_.execute(
      fmt::format("CREATE OR REPLACE TEMP TABLE {} ({}had_old BOOLEAN, has_new BOOLEAN, n BIGINT)",
                  stage_name_, joined(layout_.columns.size(), "", staged))));
  const auto kept = [&](std::size_t i) {
    return fmt::format("{} {}, ", quote_identifier(layout_.columns[i].name),
                       layout_.columns[i].type);
  };
  TRY(connection_.execute(
      fmt::format("CREATE OR REPLACE TEMP TABLE pgweir_delta_{} ({}{} UBIGINT, {} INTEGER)", id,
                  joined(layout_.columns.size(), "", kept), kHashColumn, kWeightColumn)));
  old_ = fmt::format("temp.main.pgweir_old_{}", id);
  const auto old_column = [&](std::size_t i) {
    return fmt::format("o{} {}, ", i, layout_.columns[i].type);
  };
  TRY(connection_.execute(fmt::format("CREATE OR REPLACE TEMP TABLE {} ({}found UBIGINT)", old_,
                                      joined(layout_.columns.size(), "", old_column))));
  return {};
}

Status MirrorWriter::open_stage_appender() {
  if (stage_appender_ != nullptr) return {};
  TRY_ASSIGN(stage_appender_, connection_.appender("temp", "main", stage_name_));
  return {};
}

// The old rows of `keys`, of those in `rows`.
std::string MirrorWriter::old_rows_statement(const std::string& rows,
                                             const std::string& keys) const {
  const auto column = [&](std::size_t i) {
    return fmt::format("m.{}, ", quote_identifier(layout_.columns[i].name));
  };
  return fmt::format("INSERT INTO {} SELECT {}m.{} FROM {} AS m JOIN ({}) AS s ON m.{} = s.h{}",
                     old_, joined(layout_.columns.size(), "", column), kHashColumn, rows, keys,
                     kHashColumn, same_key());
}

// Fills the table of the old rows of all staged keys, `wanted` of them.
Status MirrorWriter::find_old_rows(std::uint64_t wanted) {
  // (The condition on n is always true: a filter on the small side makes DuckDB push a Bloom filter
  // of its keys into the scan of the large one.)
  const std::string staged = fmt::format("SELECT *, hash({}) AS h FROM {} WHERE had_old AND n >= 0",
                                         staged_keys(), stage_);
  if (!store_->are_many(wanted)) {
    TRY_ASSIGN(const std::string rows, store_->lookup(looked_up_hashes()));
    find_old_.set(old_rows_statement(rows, staged));
    TRY(find_old_.run(connection_));
    return {};
  }
  find_recent_.set(old_rows_statement(store_->recent_name(), staged));
  TRY_ASSIGN(const std::uint64_t found, find_recent_.run(connection_));
  if (found >= wanted) return {};
  std::string is_found = "s.h = o.found";
  for (std::size_t i = 0; i < layout_.columns.size(); ++i) {
    if (is_key(i)) is_found += fmt::format(" AND s.c{0} = o.o{0}", i);
  }
  const std::string left =
      fmt::format("SELECT s.* FROM ({}) AS s ANTI JOIN {} AS o ON {}", staged, old_, is_found);
  TRY_ASSIGN(const std::string rows,
             store_->lookup_base(fmt::format("SELECT h AS {} FROM ({})", kHashColumn, left)));
  find_base_.set(old_rows_statement(rows, left));
  TRY(find_base_.run(connection_));
  return {};
}

// The hashes of the staged keys that have an old row.
std::string MirrorWriter::looked_up_hashes() const {
  return fmt::format("SELECT hash({}) AS {} FROM {} WHERE had_old AND n >= 0", staged_keys(),
                     kHashColumn, stage_);
}

// The staged keys with their old rows give both rows of an update; equal ones give none. The old
// rows stand in a table of their own: an outer join with the mirror itself would read all of it.
// Every condition of the join is an equality of both sides: one that concerns a single side would
// make it a nested loop, which grows with the square of the batch.
std::string MirrorWriter::changes_statement(Rows rows) const {
  const std::size_t count = layout_.columns.size();
  std::string differs = "false", same_key = "o.found = s.old_h";
  for (std::size_t i = 0; i < count; ++i) {
    if (is_key(i)) {
      same_key += fmt::format(" AND o.o{0} = s.c{0}", i);
    } else {
      differs += " OR " + differs_expression(layout_.columns[i].type, fmt::format("r.o{}", i),
                                             fmt::format("r.c{}", i));
    }
  }
  const auto either = [](std::size_t i) {
    return fmt::format("CASE WHEN w.w < 0 THEN r.o{0} ELSE r.c{0} END, ", i);
  };
  const std::string missing = duck::quote_literal(fmt::format(
      "the mirror of {} lacks the row of a key that was changed", layout_.table.qualified_name()));
  return fmt::format(
      "INSERT INTO {delta} SELECT {either}CASE WHEN r.had_old AND r.found IS NULL "
      "THEN CAST(error({missing}) AS UBIGINT) ELSE r.h END, w.w "
      "FROM (SELECT {staged}, o.* FROM (SELECT *, hash({keys}) AS h, CASE WHEN had_old THEN h END "
      "AS "
      "old_h FROM {stage}) AS s "
      "LEFT JOIN {old} AS o ON {same_key}) AS r, (VALUES (-1), (1)) AS w(w) "
      "WHERE CASE WHEN w.w < 0 THEN r.had_old ELSE r.has_new END "
      "AND (r.found IS NULL OR NOT r.has_new OR {differs})",
      fmt::arg("delta", delta_), fmt::arg("keys", staged_keys()), fmt::arg("stage", stage_),
      fmt::arg("old", old_), fmt::arg("same_key", same_key),
      fmt::arg("either", joined(count, "", either)), fmt::arg("differs", differs),
      fmt::arg("missing", missing),
      fmt::arg("staged", rows == Rows::kAll
                             ? "s.*"
                             : "s.* EXCLUDE (had_old), o.found IS NOT NULL AS had_old"));
}

// "c0, c2": the key's columns in the stage table.
std::string MirrorWriter::staged_keys() const {
  std::string out;
  for (std::size_t i = 0; i < layout_.columns.size(); ++i) {
    if (is_key(i)) out += fmt::format("{}c{}", out.empty() ? "" : ", ", i);
  }
  return out;
}

// " AND ...": a mirror's row `m` and a staged row `s` have the same key.
std::string MirrorWriter::same_key() const {
  std::string out;
  for (std::size_t i = 0; i < layout_.columns.size(); ++i) {
    if (is_key(i))
      out += " AND " +
             beside_hash(fmt::format("m.{} = s.c{}", quote_identifier(layout_.columns[i].name), i));
  }
  return out;
}

Status MirrorWriter::prepare_statements() {
  const std::size_t count = layout_.columns.size();
  const auto column = [](std::size_t i) { return fmt::format("c{}, ", i); };
  const std::string keys = staged_keys();
  TRY_ASSIGN(clear_stage_, connection_.prepare("DELETE FROM " + stage_));
  TRY_ASSIGN(clear_delta_, connection_.prepare("DELETE FROM " + delta_));
  TRY_ASSIGN(add_inserts_,
             connection_.prepare(fmt::format(
                 "INSERT INTO {} SELECT {}{}, CASE WHEN has_new THEN 1 ELSE -1 END FROM {}", delta_,
                 joined(count, "", column),
                 keys.empty() ? "0::UBIGINT" : fmt::format("hash({})", keys), stage_)));
  if (layout_.identity.kind == MirrorKind::kKeyed) {
    TRY_ASSIGN(clear_old_, connection_.prepare("DELETE FROM " + old_));
    TRY_ASSIGN(add_changes_, connection_.prepare(changes_statement(Rows::kAll)));
  }
  return {};
}

Status MirrorWriter::begin() {
  consolidator_.begin(layout_.identity, rows_known_);
  return {};
}

// --- Values -----------------------------------------------------------------------------------

// Of the change that brought the value; completed rows share its text.
Error MirrorWriter::note_misfit(const RowMisfit& misfit, const Cell* row, const Cell* key_row,
                                const model::Batch& batch) {
  met_misfit_ = true;
  const std::uint32_t column = layout_.identity.kept[misfit.kept_index];
  model::Lsn lsn = batch.transactions.empty() ? model::Lsn{} : batch.transactions.back().commit_lsn;
  for (const model::Change& change : batch.changes) {
    if (change.after != model::kNoRow && batch.table_of(change).id == layout_.table.id &&
        batch.cells[change.after + column].data == row[column].data)
      lsn = batch.transactions[change.transaction].commit_lsn;
  }
  return does_not_fit(layout_, misfit, row, key_row, lsn);
}

Status MirrorWriter::put_row(duck::Appender& out, const Cell* row, const model::Batch& batch,
                             const Cell* key_row) {
  const auto misfit = engine::put_row(layout_, row, out);
  return misfit ? Status(note_misfit(*misfit, row, key_row, batch)) : Status();
}

Status MirrorWriter::put_key_row(duck::Appender& out, const Cell* row, const model::Batch& batch) {
  const auto& kept = layout_.identity.kept;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (!is_key(i) || row[kept[i]].kind != CellKind::kText) {
      out.append_null();
      continue;
    }
    const Fit fit = layout_.types[i].convert(layout_.types[i], row[kept[i]].text(), out);
    if (fit != Fit::kOk) return note_misfit({fit, i}, row, row, batch);
  }
  return {};
}

// --- A batch ----------------------------------------------------------------------------------

// Stages one row for each key, or for each copy of a row that comes or goes.
Status MirrorWriter::stage_changes(const model::Batch& batch, std::uint64_t& looked_up) {
  duck::Appender& out = *stage_appender_;
  for (const NetChange& change : consolidator_.rows()) {
    if (layout_.identity.kind == MirrorKind::kKeyed) {
      if (!change.had_old && change.after == nullptr) continue;
      TRY(change.after != nullptr ? put_row(out, change.after, batch, change.key_row)
                                  : put_key_row(out, change.key_row, batch));
      out.append_bool(change.had_old);
      out.append_bool(change.after != nullptr);
      out.append_int(0);
      TRY(out.end_row());
      looked_up += change.had_old;
      continue;
    }
    for (std::int32_t i = 0; i < std::abs(change.count); ++i) {
      TRY(put_row(out, change.key_row, batch, change.key_row));
      out.append_bool(change.count < 0);
      out.append_bool(change.count > 0);
      out.append_int(0);
      TRY(out.end_row());
    }
  }
  return out.flush();
}

Result<std::uint64_t> MirrorWriter::make_delta(const model::Batch& batch) {
  TRY(open_stage_appender());
  if (released_) return make_delta_of_stream(batch);
  if (consolidator_.has_unchanged_cells()) TRY(resolve_unchanged(batch));
  std::uint64_t looked_up = 0;
  TRY(stage_changes(batch, looked_up));
  // Rows that are only new need no look at the old ones. After a truncate there are none.
  const bool looks_up = looked_up > 0;
  if (looks_up) {
    TRY(find_old_rows(looked_up));
  }
  std::uint64_t rows = 0;
  if (looks_up && rows_known_ == Rows::kSome) {
    add_changes_of_some_.set(changes_statement(Rows::kSome));
    TRY_ASSIGN(rows, add_changes_of_some_.run(connection_));
  } else {
    duck::Statement& statement = looks_up ? *add_changes_ : *add_inserts_;
    auto made = statement.execute();
    if (!made.ok()) return as_corruption(made.error());
    rows = made->rows_changed();
  }
  if (!seen_.empty()) TRY(note_seen());
  // Temporary rows that are gone before the commit are never written anywhere: DuckDB would else
  // copy them into the temporary tables then, and spill those when memory is short.
  TRY(clear_stage_->execute());
  if (looks_up) TRY(clear_old_->execute());
  return rows;
}

Status MirrorWriter::apply_delta(std::uint64_t delta_rows) {
  if (truncated()) TRY(store_->clear());
  if (delta_rows == 0) return {};
  if (!released_ || truncated()) TRY(store_->apply(delta_));
  TRY(clear_delta_->execute());
  return store_->maintain();
}

// --- Values that PostgreSQL did not send --------------------------------------------------------

Status MirrorWriter::resolve_unchanged(const model::Batch& batch) {
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < consolidator_.rows().size(); ++i) {
    const NetChange& change = consolidator_.rows()[i];
    if (change.after == nullptr || change.unchanged_from == nullptr) continue;
    wanted.push_back(i);
  }
  if (wanted.empty()) return {};
  if (truncated() && rows_known_ == Rows::kSome) {
    for (const std::size_t i : wanted) consolidator_.set_after(i, nullptr);
    return {};
  }
  // The keys go through the stage table, each with its change's number.
  for (const std::size_t i : wanted) {
    TRY(put_key_row(*stage_appender_, consolidator_.rows()[i].unchanged_from, batch));
    stage_appender_->append_bool(true);
    stage_appender_->append_bool(false);
    stage_appender_->append_int(static_cast<std::int64_t>(i));
    TRY(stage_appender_->end_row());
  }
  TRY(stage_appender_->flush());
  TRY(read_unchanged(wanted.size()));
  TRY(clear_stage_->execute());
  return {};
}

Status MirrorWriter::read_unchanged(std::size_t wanted) {
  const std::size_t count = layout_.columns.size();
  const auto as_text = [&](std::size_t i) {
    const std::string name = quote_identifier(layout_.columns[i].name);
    return layout_.columns[i].type == "BLOB" ? fmt::format(", '\\x' || hex(m.{})", name)
                                             : fmt::format(", CAST(m.{} AS VARCHAR)", name);
  };
  TRY_ASSIGN(const std::string stored, store_->lookup(looked_up_hashes()));
  look_up_.set(fmt::format(
      "SELECT s.n{} FROM (SELECT *, hash({}) AS h FROM {} WHERE had_old) AS s JOIN {} AS m "
      "ON m.{} = s.h{}",
      joined(count, "", as_text), staged_keys(), stage_, stored, kHashColumn, same_key()));
  const std::size_t width = layout_.table.columns.size();
  TRY_ASSIGN(duck::Rows rows, look_up_.query(connection_));
  std::size_t found = 0;
  std::vector<bool> resolved(rows_known_ == Rows::kSome ? consolidator_.rows().size() : 0);
  while (const duck::Chunk* chunk = rows.next()) {
    for (std::size_t row = 0; row < chunk->row_count(); ++row, ++found) {
      const auto index = static_cast<std::size_t>(chunk->data<std::int64_t>(0)[row]);
      Cell* after = consolidator_.copy_row({consolidator_.rows()[index].after, width});
      for (std::size_t i = 0; i < count; ++i) {
        Cell& cell = after[layout_.identity.kept[i]];
        if (cell.kind != CellKind::kUnchanged) continue;
        cell.kind = CellKind::kNull;
        if (chunk->is_null(i + 1, row)) continue;
        const std::string_view text = consolidator_.copy_text(chunk->string(i + 1, row));
        cell = {text.data(), static_cast<std::uint32_t>(text.size()), CellKind::kText};
      }
      consolidator_.set_after(index, after);
      if (!resolved.empty()) resolved[index] = true;
    }
  }
  if (found == wanted) return {};
  if (rows_known_ == Rows::kSome) {
    // Its row has not been read yet: it comes whole, later.
    for (std::size_t i = 0; i < resolved.size(); ++i) {
      const NetChange& change = consolidator_.rows()[i];
      if (change.after != nullptr && change.unchanged_from != nullptr && !resolved[i])
        consolidator_.set_after(i, nullptr);
    }
    return {};
  }
  return error(Code::kCorruption,
               fmt::format("the mirror of {} has no row for a key that was changed",
                           layout_.table.qualified_name()),
               fmt::format("{} of {} found", found, wanted));
}

// --- A snapshot -------------------------------------------------------------------------------

Status MirrorWriter::create_raw() {
  const auto column = [&](std::size_t i) {
    return fmt::format("{} {} USING COMPRESSION uncompressed",
                       quote_identifier(layout_.columns[i].name), layout_.columns[i].type);
  };
  return connection_.execute(fmt::format("CREATE OR REPLACE TABLE {}.{} ({})", kInternalSchema,
                                         raw_name_, joined(layout_.columns.size(), ", ", column)));
}

Status MirrorWriter::append_raw(const model::Batch& batch, const model::Change& change) {
  if (raw_appender_ == nullptr) {
    TRY_ASSIGN(raw_appender_, connection_.appender(kDatabase, kInternalSchema, raw_name_));
  }
  const Cell* row = batch.cells.data() + change.after;
  Status status = put_row(*raw_appender_, row, batch, row);
  if (status.ok()) status = raw_appender_->end_row();
  if (!status.ok()) raw_appender_.reset();
  return status;
}

Result<std::uint64_t> MirrorWriter::append_raw(std::span<const std::string_view> blocks,
                                               model::Lsn lsn) {
  const auto column = [&](std::size_t i) { return quote_identifier(layout_.columns[i].name); };
  const std::string columns = joined(layout_.columns.size(), ", ", column);
  RowLoader loader(layout_, blocks, lsn);
  const auto rows = connection_.run_over(
      loader, fmt::format("SELECT {} FROM {}.{}", columns, kInternalSchema, raw_name_),
      fmt::format("INSERT INTO {}.{} SELECT * FROM {}", kInternalSchema, raw_name_,
                  duck::kRowSource));
  met_misfit_ = met_misfit_ || loader.met_misfit();
  return rows;
}

Status MirrorWriter::flush_raw() {
  if (raw_appender_ == nullptr) return {};
  return raw_appender_->flush();
}

Status MirrorWriter::load_raw() {
  raw_appender_.reset();
  TRY(store_->load_from(fmt::format("{}.{}", kInternalSchema, raw_name_)));
  return drop_raw();
}

Status MirrorWriter::drop_raw() {
  raw_appender_.reset();
  return connection_.execute(fmt::format("DROP TABLE {}.{}", kInternalSchema, raw_name_));
}

}  // namespace pgweir::engine
