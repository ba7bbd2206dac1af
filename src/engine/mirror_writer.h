// Keeps one mirror: turns a batch's changes of its table into a delta, and the delta into rows.
//
// Place:   used by the engine alone.
// Life:    open(); then for each batch begin(), add() for every change, make_delta(),
// apply_delta().
//          While a snapshot is loaded: append_raw() instead, and load_raw() at its end.
// Threads: the engine's write connection only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "duck/duck.h"
#include "engine/consolidate.h"
#include "engine/mirror_layout.h"
#include "engine/prepared_sql.h"
#include "engine/store.h"
#include "model/batch.h"

namespace pgweir::engine {

class MirrorWriter {
 public:
  // Opens or creates the mirror's store, and its temporary tables.
  static Result<std::unique_ptr<MirrorWriter>> open(duck::Connection& connection,
                                                    MirrorLayout layout,
                                                    const StoreOptions& store_options);

  const MirrorLayout& layout() const { return layout_; }
  // Other catalog facts of the same table, where nothing that is kept changes.
  void set_table(const model::Table& table, RowIdentity identity);
  const std::shared_ptr<Store>& store() const { return store_; }

  // While the table is read, rows may be missing, and those that come may be there already. `seen`,
  // where it has a name, is a table that takes the keys of all rows that come.
  void begin_reading(std::string seen) {
    rows_known_ = Rows::kSome;
    seen_ = std::move(seen);
  }
  void end_reading() {
    rows_known_ = Rows::kAll;
    seen_.clear();
  }
  // For CREATE TABLE: the columns of `seen`.
  std::string key_columns() const;
  // Fills the delta table with the rows whose keys are not in `seen`, as rows that go; returns
  // their number.
  Result<std::uint64_t> make_delta_of_unseen();

  // Nothing is looked up from here on: no rows are kept, and each change tells its whole old row
  // (REPLICA IDENTITY FULL). Only the rows that come behind a truncate are stored.
  void release() { released_ = true; }

  // A new batch: forgets the last one's changes and delta.
  Status begin();
  Status add(const model::Batch& batch, const model::Change& change) {
    return consolidator_.add(batch, change);
  }
  bool truncated() const { return consolidator_.truncated(); }
  // Fills the delta table from the changes; returns its number of rows. kInvalid for a value that
  // does not fit its column, naming table, column, key and LSN.
  Result<std::uint64_t> make_delta(const model::Batch& batch);
  const std::string& delta_table() const { return delta_; }
  // Empties the store first when the table was truncated, and the delta table afterwards.
  Status apply_delta(std::uint64_t delta_rows);

  // Whether the call that failed met a value that does not fit its column.
  bool met_misfit() const { return met_misfit_; }

  // The batch's transaction is about to be rolled back.
  void rolled_back() {
    raw_appender_.reset();
    stage_appender_.reset();
    met_misfit_ = false;
  }

  // Rows of a snapshot, in no order, without looking for others of the same key.
  Status create_raw();
  Status append_raw(const model::Batch& batch, const model::Change& change);
  Status flush_raw();
  // COPY text, taken apart by DuckDB's threads. Returns the number of rows.
  Result<std::uint64_t> append_raw(std::span<const std::string_view> blocks, model::Lsn lsn);
  Status load_raw();
  Status drop_raw();

 private:
  MirrorWriter(duck::Connection& connection, MirrorLayout layout)
      : connection_(connection), layout_(std::move(layout)) {}

  Status create_temporary_tables();
  Status prepare_statements();
  std::string old_rows_statement(const std::string& rows, const std::string& keys) const;
  Status find_old_rows(std::uint64_t wanted);
  std::string looked_up_hashes() const;
  std::string changes_statement(Rows rows) const;
  Status note_seen();
  Result<std::uint64_t> make_delta_of_stream(const model::Batch& batch);
  bool same_rows(const model::Cell* a, const model::Cell* b) const;
  Status resolve_unchanged(const model::Batch& batch);
  Status read_unchanged(std::size_t wanted);
  Status put_row(duck::Appender& out, const model::Cell* row, const model::Batch& batch,
                 const model::Cell* key_row);
  Status put_key_row(duck::Appender& out, const model::Cell* row, const model::Batch& batch);
  Error note_misfit(const RowMisfit& misfit, const model::Cell* row, const model::Cell* key_row,
                    const model::Batch& batch);
  Status stage_changes(const model::Batch& batch, std::uint64_t& looked_up);
  Status open_stage_appender();
  std::string staged_keys() const;
  std::string same_key() const;
  bool is_key(std::size_t kept_index) const { return is_key_[kept_index]; }

  duck::Connection& connection_;
  MirrorLayout layout_;
  std::vector<bool> is_key_;  // of each kept column
  std::shared_ptr<Store> store_;
  Consolidator consolidator_;
  Rows rows_known_ = Rows::kAll;
  std::string seen_;
  bool released_ = false;
  std::string stage_name_;
  std::string stage_;
  std::string delta_;
  std::string old_;  // the rows that the batch changes, as they were
  std::string raw_name_;
  // Made anew after a rollback: a row may have been left half written.
  std::unique_ptr<duck::Appender> stage_appender_;
  std::unique_ptr<duck::Appender> raw_appender_;
  bool met_misfit_ = false;
  std::unique_ptr<duck::Statement> clear_stage_;
  std::unique_ptr<duck::Statement> clear_delta_;
  PreparedSql find_old_;
  PreparedSql find_recent_;
  PreparedSql find_base_;
  std::unique_ptr<duck::Statement> clear_old_;
  std::unique_ptr<duck::Statement> add_changes_;
  std::unique_ptr<duck::Statement> add_inserts_;
  PreparedSql add_changes_of_some_;
  PreparedSql note_seen_sql_;
  PreparedSql look_up_;
};

}  // namespace pgweir::engine
