#include "engine/readers.h"

#include <chrono>

#include "engine/meta.h"

namespace pgweir::engine {

class PooledReader : public Reader {
 public:
  PooledReader(ReaderPool& pool, ReaderPool::Place& place)
      : pool_(pool), place_(place), connection_(*place.connection) {}
  ~PooledReader() override {
    // Fails only when a query's error has ended the transaction already.
    const Status ignored = connection_.execute("ROLLBACK");
    (void)ignored;
    pool_.give_back(place_);
  }

  // The transaction's view of the data is fixed here: everything read later is of this position.
  Status begin() {
    TRY(connection_.execute("BEGIN TRANSACTION READ ONLY"));
    if (place_.read_state == nullptr) {
      TRY_ASSIGN(place_.read_state, prepare_read_state(connection_));
    }
    TRY_ASSIGN(const State state, read_state(*place_.read_state));
    position_ = state.position;
    return {};
  }

  const EnginePosition& position() const override { return position_; }
  duck::Connection& connection() override { return connection_; }

 private:
  ReaderPool& pool_;
  ReaderPool::Place& place_;
  duck::Connection& connection_;
  EnginePosition position_;
};

Result<std::unique_ptr<ReaderPool>> ReaderPool::open(EngineDatabase& database, int readers_max) {
  auto pool = std::unique_ptr<ReaderPool>(new ReaderPool);
  MutexLock lock(pool->mutex_);
  for (int i = 0; i < readers_max; ++i) {
    TRY_ASSIGN(auto connection, database.connect());
    pool->places_.push_back({.connection = std::move(connection)});
  }
  return pool;
}

ReaderPool::~ReaderPool() {
  MutexLock lock(mutex_);
  for (const Place& place : places_) PGWEIR_ASSERT(place.is_free, "a reader outlives the engine");
}

Result<std::unique_ptr<Reader>> ReaderPool::lend(Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  Place* free = nullptr;
  {
    MutexLock lock(mutex_);
    while (free == nullptr) {
      for (Place& place : places_) {
        if (!place.is_free) continue;
        place.is_free = false;
        free = &place;
        break;
      }
      if (free != nullptr) break;
      const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
          deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0)
        return error(Code::kTimeout, "too many queries are running",
                     std::to_string(places_.size()) + " at a time are allowed",
                     "Try again in a moment");
      changed_.wait_for(mutex_, left);
    }
  }
  auto reader = std::make_unique<PooledReader>(*this, *free);
  TRY(reader->begin());
  return std::unique_ptr<Reader>(std::move(reader));
}

void ReaderPool::give_back(Place& place) {
  MutexLock lock(mutex_);
  place.is_free = true;
  changed_.notify_one();
}

void ReaderPool::interrupt_all() {
  MutexLock lock(mutex_);
  for (const Place& place : places_) {
    if (!place.is_free) place.connection->interrupt();
  }
}

}  // namespace pgweir::engine
