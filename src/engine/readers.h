// The readers' connections: a few, lent out one at a time. Those for queries are made at
// open, those for computing when they are needed first.
//
// Life:    open() and close() in turn, as the database is; outlives every Reader that it lent.
// Threads: any; open() and close() the engine's.
#pragma once

#include <atomic>
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
  ReaderPool(int readers_max, int computing_readers_max)
      : readers_max_(readers_max), computing_readers_max_(computing_readers_max) {}
  ~ReaderPool();

  // `database` must outlive close().
  Status open(EngineDatabase& database);

  // Lends nothing more until resume(), stops the queries that run, and waits for their readers.
  void pause(Milliseconds patience);
  void resume();
  // Lends nothing more until release(), and waits until those that are lent have begun: they see
  // what was committed before, and may go on. open() changes nothing of it.
  void hold();
  void release();
  // As pause(), until the next open(). A reader that is not back in time keeps its connection, and
  // what is behind it, for itself until it ends.
  void close(Milliseconds patience);

  // A reader in a transaction that has begun, read-only unless it computes. kTimeout when no place
  // came free, kUnavailable while nothing is lent.
  Result<std::unique_ptr<Reader>> lend(Milliseconds timeout, Reader::Purpose purpose);

  // Stops the query that each lent connection runs.
  void interrupt_all();
  // That of each lent for computing.
  void interrupt_computing();

  // Whether a reader found that DuckDB has given the database up, since open().
  bool found_broken() const { return found_broken_; }

 private:
  friend class PooledReader;
  struct Place {
    std::unique_ptr<duck::Connection> connection;  // set once, under the mutex
    std::unique_ptr<duck::Statement> read_state;   // prepared at the first use
    Reader::Purpose purpose = Reader::Purpose::kQueries;
    bool is_free = true;
    bool has_begun = false;  // its transaction, if it is lent
  };
  using PlacePtr = std::shared_ptr<Place>;

  Result<PlacePtr> take_place(Milliseconds timeout, Reader::Purpose purpose);
  Status connect(Place& place);
  void has_begun(const PlacePtr& place);
  void give_back(const PlacePtr& place);
  void interrupt_lent() REQUIRES(mutex_);
  bool all_back() const REQUIRES(mutex_);

  const int readers_max_;
  const int computing_readers_max_;
  std::atomic<bool> found_broken_{false};
  EngineDatabase* database_ = nullptr;  // changes only while nothing is lent
  Mutex mutex_;
  Condition changed_;
  bool lends_ GUARDED_BY(mutex_) = false;
  bool held_ GUARDED_BY(mutex_) = false;
  int lent_ GUARDED_BY(mutex_) = 0;  // also those of a pool that was closed since
  std::vector<PlacePtr> places_ GUARDED_BY(mutex_);
};

// pause() and resume() as a scope.
class ReaderPause {
 public:
  ReaderPause(ReaderPool& pool, Milliseconds patience) : pool_(pool) { pool_.pause(patience); }
  ~ReaderPause() { pool_.resume(); }
  ReaderPause(const ReaderPause&) = delete;
  ReaderPause& operator=(const ReaderPause&) = delete;

 private:
  ReaderPool& pool_;
};

}  // namespace pgweir::engine
