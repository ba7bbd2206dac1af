// A batch's changes of one table, folded to one net change per key.
//
// Place:   used by the engine, one Consolidator for each mirror, its memory reused from batch to
// batch. Life:    begin(), add() for every change in order, then rows(); cells stay those of the
// batch, which
//          must live until the next begin().
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/batch.h"

namespace pgweir::engine {

enum class MirrorKind {
  kKeyed,       // by primary key or replica identity index
  kBag,         // no key, replica identity FULL: equal rows are counted
  kAppendOnly,  // no key, no identity: PostgreSQL sends only inserts and truncates
};

// How the rows of a table are told apart.
struct RowIdentity {
  MirrorKind kind = MirrorKind::kKeyed;
  std::vector<std::uint32_t> key;   // indexes into the table's columns; of a bag, the kept columns
  std::vector<std::uint32_t> kept;  // indexes into the table's columns
};

// What is left of a key's changes in one batch. All are rows of the table's full width.
struct NetChange {
  std::string_view key;
  // Holds the key's values, of rows with and without `after`.
  const model::Cell* key_row = nullptr;
  // Of the first change, where it told the row as it was before the batch: as much of it as the
  // message had. Under REPLICA IDENTITY FULL with had_old it is the whole row.
  const model::Cell* before = nullptr;
  // The row as it ends up; nullptr when it is gone.
  const model::Cell* after = nullptr;
  // Where `after` has kUnchanged cells in kept columns: the key in the mirror, as it was before
  // this batch, of the row that they come from.
  const model::Cell* unchanged_from = nullptr;
  bool had_old = false;    // the mirror holds a row of this key (may hold one: Rows::kSome)
  std::int32_t count = 0;  // of a bag: how many such rows come (or go); `key_row` is the row
};

// Whether the mirror has every row that the changes concern.
enum class Rows {
  kAll,
  kSome,  // the table is being read: rows may be missing, and rows that are read may be there
};

class Consolidator {
 public:
  // Forgets everything; keeps the memory. `identity` must outlive the use.
  void begin(const RowIdentity& identity, Rows rows = Rows::kAll);

  // kCorruption when the change does not follow from those before it (a row inserted twice, a row
  // changed after it was deleted): the stream and the table do not fit together.
  Status add(const model::Batch& batch, const model::Change& change);

  // True when a truncate emptied the table: rows() then build on nothing.
  bool truncated() const { return truncated_; }
  // The net changes, in the order in which their keys were first seen; those that cancelled out
  // have neither had_old nor after (or count 0).
  std::span<const NetChange> rows() const { return entries_; }
  bool has_unchanged_cells() const { return has_unchanged_; }

  // A copy of `row` that may be changed, alive until the next begin().
  model::Cell* copy_row(std::span<const model::Cell> row);
  // A copy of `text`, alive until the next begin().
  std::string_view copy_text(std::string_view text);
  // Replaces the after image of rows()[index].
  void set_after(std::size_t index, const model::Cell* after) { entries_[index].after = after; }

 private:
  struct Found {
    NetChange* entry;
    bool is_new;
  };

  std::string_view key_of(const model::Cell* row);
  Found find(std::string_view key);
  void grow();
  void truncate();
  void add_to_bag(const model::Cell* row, std::int32_t count);
  Status add_keyed(const model::Batch& batch, const model::Change& change);
  Status insert(const model::Cell* after, const model::Cell* unchanged_from, std::string_view key);
  Status remove(const model::Cell* before, std::string_view key, NetChange& gone);
  Status update(const model::Cell* before, const model::Cell* after, std::size_t width,
                std::string_view key);
  bool some() const { return rows_known_ == Rows::kSome; }
  const model::Cell* complete(const model::Cell* after, const model::Cell* from, std::size_t width,
                              bool& incomplete);

  const RowIdentity* identity_ = nullptr;
  Rows rows_known_ = Rows::kAll;
  std::vector<NetChange> entries_;
  std::vector<std::uint32_t> slots_;  // entry + 1, or 0; a power of two of them
  std::vector<std::unique_ptr<char[]>> texts_;
  std::size_t text_used_ = 0;
  std::size_t text_size_ = 0;
  std::vector<std::unique_ptr<model::Cell[]>> rows_;
  bool truncated_ = false;
  bool has_unchanged_ = false;
};

}  // namespace pgweir::engine
