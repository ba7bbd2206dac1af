// The readers' connections: a few, made at open, lent out one at a time.
//
// Life:    outlives every Reader that it lent. close() waits for them.
// Threads: any.
#pragma once

#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "engine/database.h"
#include "engine/engine.h"

namespace pgweir::engine {

class ReaderPool {
 public:
  static Result<std::unique_ptr<ReaderPool>> open(EngineDatabase& database, int readers_max);
  ~ReaderPool();

  // A reader in a read-only transaction that has begun. kTimeout when no place came free.
  Result<std::unique_ptr<Reader>> lend(Milliseconds timeout);

  // Stops the query that each lent connection runs.
  void interrupt_all();

 private:
  friend class PooledReader;
  struct Place {
    std::unique_ptr<duck::Connection> connection;
    std::unique_ptr<duck::Statement> read_state;  // prepared at the first use
    bool is_free = true;
  };

  ReaderPool() = default;
  void give_back(Place& place);

  Mutex mutex_;
  Condition changed_;
  std::vector<Place> places_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::engine
