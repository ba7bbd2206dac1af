// What a view can read: a mirror, or another view's state.
//
// Place:   between the plan of a view and whoever keeps the rows.
// Threads: plain data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/store.h"

namespace pgweir::views {

struct Relation {
  std::string name;    // for people: "public.entries", "balance"
  std::string schema;  // as declared to the parser: "public"; "main" for views
  std::string table;   // "entries", "balance"
  // SQL, quoted, for FROM: the columns alone, as users see them.
  std::string rows;
  // Of a mirror: engine::Mirror::rows_id.
  std::string rows_id;
  // Of a mirror: engine::Mirror::released. There are no rows then, only changes.
  std::string released;
  // SQL, quoted, for FROM: the columns, the key columns that are not among them, kHashColumn.
  std::string content;
  // The store whose content this is, where `content` shows nothing else; its owner may make it
  // anew.
  std::weak_ptr<engine::Store> store;
  // False when nobody keeps the rows: `content` computes them anew.
  bool stored = true;
  // The temporary table (or view) with the change of this batch: as `content`, and kWeightColumn.
  // Rows may cancel each other out; who reads it adds up the weights.
  std::string delta;
  // When the delta is given, `store` has it already (a view's), or not yet (a mirror's).
  bool delta_in_store = false;
  std::vector<engine::StoreColumn> columns;
  // Columns of `content` whose hash is kHashColumn, in the hash's order. When `unique`, at most one
  // row has a key; else the rows are a bag and only all columns together tell rows apart.
  std::vector<engine::StoreColumn> key;
  bool unique = true;
};

}  // namespace pgweir::views
