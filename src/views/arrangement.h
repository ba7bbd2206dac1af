// A copy of some columns of a relation, found by other columns than its key: what a join looks up.
//
// Place:   owned by the ViewSet, shared by the views that join over the same columns.
// Life:    setup() once; changed() whenever the relation has a delta.
// Threads: the engine's write connection only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "views/relation.h"
#include "views/scratch.h"

namespace pgweir::views {

class Arrangement {
 public:
  // `columns` begins with the `key_count` columns of the key, and has the relation's own key when
  // that is unique: its rows are then distinct. `id` makes temporary names.
  Arrangement(const Relation& relation, std::vector<engine::StoreColumn> columns,
              std::size_t key_count, std::size_t id, const engine::StoreOptions& store_options);

  const Relation& relation() const { return relation_; }
  std::vector<engine::StoreColumn> key() const;
  // "public.orders by customer_id", for people.
  static std::string name_of(const std::string& relation,
                             const std::vector<engine::StoreColumn>& key);
  std::string name() const { return name_of(relation_.name, key()); }
  const std::string& store_name() const { return spec_.name; }
  // Everything that its rows depend on, as text.
  std::string shape() const;

  // Opens the kept rows, or makes them anew from the relation as it is now.
  Status setup(duck::Connection& connection, bool keep);
  // The relation's delta tells what it is about to become, or has just become.
  Status changed(duck::Connection& connection);

  // SQL for FROM: every row.
  const std::string& content() const { return store_->content_name(); }
  Result<std::string> lookup(const std::string& keys) { return store_->lookup(keys); }
  // 0 before setup().
  Result<std::uint64_t> rows() {
    return store_ == nullptr ? Result<std::uint64_t>(0) : store_->row_count();
  }

 private:
  const Relation& relation_;
  const engine::StoreOptions store_options_;
  engine::StoreSpec spec_;
  std::unique_ptr<engine::Store> store_;
  ScratchTable delta_;
  PreparedSql fill_delta_;
};

// Drops a store of this name if there is one.
Status drop_store(duck::Connection& connection, const std::string& name);

}  // namespace pgweir::views
