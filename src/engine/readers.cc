#include "engine/readers.h"

#include <chrono>

#include "engine/meta.h"

namespace pgweir::engine {

class PooledReader : public Reader {
 public:
  PooledReader(ReaderPool& pool, duck::Connection& connection)
      : pool_(pool), connection_(connection) {}
  ~PooledReader() override {
    // Fails only when a query's error has ended the transaction already.
    const Status ignored = connection_.execute("ROLLBACK");
    (void)ignored;
    pool_.give_back(connection_);
  }

  // The transaction's view of the data is fixed here: everything read later is of this position.
  Status begin() {
    TRY(connection_.execute("BEGIN TRANSACTION READ ONLY"));
    TRY_ASSIGN(const State state, read_state(connection_));
    position_ = state.position;
    return {};
  }

  const EnginePosition& position() const override { return position_; }
  duck::Connection& connection() override { return connection_; }

 private:
  ReaderPool& pool_;
  duck::Connection& connection_;
  EnginePosition position_;
};

Result<std::unique_ptr<ReaderPool>> ReaderPool::open(EngineDatabase& database, int readers_max) {
  auto pool = std::unique_ptr<ReaderPool>(new ReaderPool);
  MutexLock lock(pool->mutex_);
  for (int i = 0; i < readers_max; ++i) {
    TRY_ASSIGN(auto connection, database.connect());
    pool->places_.push_back({std::move(connection), true});
  }
  return pool;
}

ReaderPool::~ReaderPool() {
  MutexLock lock(mutex_);
  for (const Place& place : places_) PGWEIR_ASSERT(place.is_free, "a reader outlives the engine");
}

Result<std::unique_ptr<Reader>> ReaderPool::lend(Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  duck::Connection* connection = nullptr;
  {
    MutexLock lock(mutex_);
    while (connection == nullptr) {
      for (Place& place : places_) {
        if (!place.is_free) continue;
        place.is_free = false;
        connection = place.connection.get();
        break;
      }
      if (connection != nullptr) break;
      const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
          deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0)
        return error(Code::kTimeout, "too many queries are running",
                     std::to_string(places_.size()) + " at a time are allowed",
                     "Try again in a moment");
      changed_.wait_for(mutex_, left);
    }
  }
  auto reader = std::make_unique<PooledReader>(*this, *connection);
  TRY(reader->begin());
  return std::unique_ptr<Reader>(std::move(reader));
}

void ReaderPool::give_back(duck::Connection& connection) {
  MutexLock lock(mutex_);
  for (Place& place : places_) {
    if (place.connection.get() == &connection) place.is_free = true;
  }
  changed_.notify_one();
}

void ReaderPool::interrupt_all() {
  MutexLock lock(mutex_);
  for (const Place& place : places_) {
    if (!place.is_free) place.connection->interrupt();
  }
}

}  // namespace pgweir::engine
