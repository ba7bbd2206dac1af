#include "engine/readers.h"

#include <algorithm>
#include <chrono>

#include "engine/meta.h"

namespace pgweir::engine {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// A reader may begin its next query behind an interrupt: it is told again so often.
constexpr Milliseconds kInterruptAgain{20};

Microseconds left_until(SteadyTime deadline) {
  return std::chrono::duration_cast<Microseconds>(deadline - std::chrono::steady_clock::now());
}

Error not_now() {
  return error(Code::kUnavailable,
               "queries wait for the engine, which needs its memory or opens its database anew", "",
               "Try again in a moment");
}

Error half_applied() {
  return error(Code::kUnavailable, "queries wait for the end of a large transaction", "",
               "Try again in a moment; with more engine.memory it takes larger ones at once");
}

}  // namespace

class PooledReader : public Reader {
 public:
  PooledReader(ReaderPool& pool, ReaderPool::PlacePtr place)
      : pool_(pool), place_(std::move(place)) {}
  ~PooledReader() override {
    // Fails only when a query's error, or who computes, has ended the transaction already.
    const Status ignored = connection().execute("ROLLBACK");
    (void)ignored;
    pool_.give_back(place_);
  }

  // The transaction's view of the data is fixed here: everything read later is of this position.
  Status begin() {
    constexpr const char* kBegin = "BEGIN TRANSACTION READ ONLY";
    if (!connection().execute(kBegin).ok()) {
      // An interrupt may have hit the ROLLBACK of who had the connection before.
      const Status ignored = connection().execute("ROLLBACK");
      (void)ignored;
      TRY(connection().execute(kBegin));
    }
    if (place_->read_state == nullptr) {
      TRY_ASSIGN(place_->read_state, prepare_read_state(connection()));
    }
    TRY_ASSIGN(const State state, read_state(*place_->read_state));
    position_ = state.position;
    return {};
  }

  const EnginePosition& position() const override { return position_; }
  const ReaderPool::PlacePtr& place() const { return place_; }
  duck::Connection& connection() override { return *place_->connection; }

 private:
  ReaderPool& pool_;
  const ReaderPool::PlacePtr place_;
  EnginePosition position_;
};

ReaderPool::~ReaderPool() {
  MutexLock lock(mutex_);
  PGWEIR_ASSERT(lent_ == 0, "a reader outlives the engine");
}

Status ReaderPool::open(EngineDatabase& database) {
  std::vector<PlacePtr> places;
  for (int i = 0; i < readers_max_; ++i) {
    TRY_ASSIGN(auto connection, database.connect());
    places.push_back(std::make_shared<Place>(Place{.connection = std::move(connection)}));
  }
  for (int i = 0; i < computing_readers_max_; ++i)
    places.push_back(std::make_shared<Place>(Place{.purpose = Reader::Purpose::kComputes}));
  found_broken_ = false;
  {
    MutexLock lock(mutex_);
    database_ = &database;
    places_ = std::move(places);
  }
  resume();
  return {};
}

void ReaderPool::pause(Milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  MutexLock lock(mutex_);
  lends_ = false;
  while (!all_back() && left_until(deadline).count() > 0) {
    interrupt_lent();
    changed_.wait_for(mutex_, std::min<Microseconds>(kInterruptAgain, left_until(deadline)));
  }
}

void ReaderPool::resume() {
  MutexLock lock(mutex_);
  lends_ = true;
  changed_.notify_all();
}

void ReaderPool::hold() {
  MutexLock lock(mutex_);
  held_ = true;
  const auto fixed = [](const PlacePtr& place) { return place->is_free || place->has_begun; };
  while (!std::all_of(places_.begin(), places_.end(), fixed)) changed_.wait(mutex_);
}

void ReaderPool::release() {
  MutexLock lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

void ReaderPool::close(Milliseconds patience) {
  pause(patience);
  MutexLock lock(mutex_);
  places_.clear();
}

Result<ReaderPool::PlacePtr> ReaderPool::take_place(Milliseconds timeout, Reader::Purpose purpose) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (true) {
    for (const PlacePtr& place : places_) {
      if (!lends_ || held_ || !place->is_free || place->purpose != purpose) continue;
      place->is_free = false;
      place->has_begun = false;
      ++lent_;
      return place;
    }
    const Microseconds left = left_until(deadline);
    if (left.count() <= 0) break;
    changed_.wait_for(mutex_, left);
  }
  if (!lends_) return not_now();
  if (held_) return half_applied();
  return error(Code::kTimeout, "too many queries are running",
               std::to_string(readers_max_) + " at a time are allowed", "Try again in a moment");
}

// Of a place that is lent: the database is there.
Status ReaderPool::connect(Place& place) {
  if (place.connection != nullptr) return {};
  TRY_ASSIGN(auto connection, database_->connect());
  MutexLock lock(mutex_);
  place.connection = std::move(connection);
  return {};
}

Result<std::unique_ptr<Reader>> ReaderPool::lend(Milliseconds timeout, Reader::Purpose purpose) {
  TRY_ASSIGN(const PlacePtr place, take_place(timeout, purpose));
  if (const Status connected = connect(*place); !connected.ok()) {
    give_back(place);
    return connected.error();
  }
  auto reader = std::make_unique<PooledReader>(*this, place);
  const Status begun = reader->begin();
  has_begun(reader->place());
  if (begun.ok()) return std::unique_ptr<Reader>(std::move(reader));
  if (begun.error().code != Code::kBroken) return begun.error();
  found_broken_ = true;
  return not_now();
}

void ReaderPool::has_begun(const PlacePtr& place) {
  MutexLock lock(mutex_);
  place->has_begun = true;
  changed_.notify_all();
}

void ReaderPool::give_back(const PlacePtr& place) {
  MutexLock lock(mutex_);
  place->is_free = true;
  --lent_;
  changed_.notify_all();
}

bool ReaderPool::all_back() const {
  return std::all_of(places_.begin(), places_.end(),
                     [](const PlacePtr& place) { return place->is_free; });
}

void ReaderPool::interrupt_lent() {
  for (const PlacePtr& place : places_) {
    if (!place->is_free && place->connection != nullptr) place->connection->interrupt();
  }
}

void ReaderPool::interrupt_computing() {
  MutexLock lock(mutex_);
  for (const PlacePtr& place : places_) {
    if (place->purpose == Reader::Purpose::kComputes && !place->is_free &&
        place->connection != nullptr)
      place->connection->interrupt();
  }
}

void ReaderPool::interrupt_all() {
  MutexLock lock(mutex_);
  interrupt_lent();
}

}  // namespace pgweir::engine
