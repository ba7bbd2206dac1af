// What a database notes down of its stores: the table pgweir_internal.stores.
//
// Place:   private to engine/; store.cc has the stores themselves.
// Threads: the engine's write connection only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "duck/duck.h"
#include "engine/store.h"

namespace pgweir::engine {

struct StoreEntry {
  std::int64_t id = 0;
  bool is_new = false;  // nothing but this entry is there
};

// What changes of a store while it lives.
struct StoreShape {
  bool large = false;
  std::uint64_t next_hash = 0;  // where the next step of rewriting begins
};

// The entry of a store, made when there is none. kInvalid for a spec that no store can have,
// kCorruption when the store is there with another one.
Result<StoreEntry> find_or_add_store(duck::Connection& connection, const StoreSpec& spec);

// Removes the entry; returns the id that it had. kNotFound without one.
Result<std::int64_t> remove_store(duck::Connection& connection, const std::string& name);

Result<StoreShape> read_store_shape(duck::Connection& connection, std::int64_t id,
                                    const std::string& name);
Status write_store_shape(duck::Connection& connection, std::int64_t id, const StoreShape& shape);

}  // namespace pgweir::engine
