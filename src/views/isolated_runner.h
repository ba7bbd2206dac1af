// Computes isolated views beside everything else: what differs between a view's SELECT and the rows
// that it has, at one position, which the engine's thread then takes in.
//
// Place:   owned by the ViewSet; used by IsolatedStrategy (isolated_strategy.h).
// Life:    add() and restart() while views are bound, committed() when their states are there. The
//          destructor ends what runs. The engine must outlive it, and may close its database only
//          when it is gone.
// Threads: one of its own for each view, up to parallel_max, which compute in readers of the engine
//          for that. has_outcome(): any thread. Everything else: the engine's.
// Failing: a computation that the machine or the moment has ended is made again; with any other
//          error the view is to be set aside. While a snapshot replaces the mirrors it may fail so:
//          then all is bound anew.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/logger.h"
#include "base/mutex.h"
#include "engine/engine.h"

namespace pgweir::views {

struct IsolatedOptions {
  // Views that are computed at a time; as many as the engine has readers for.
  std::size_t parallel_max = 4;
  // Between two computations of a view it rests as long as the last one took, and at least so long.
  Milliseconds rest_min{1'000};
  // After one that was interrupted, or found no memory, twice as long each time, up to so long.
  Milliseconds rest_max{60'000};
  // A view that runs out of memory behind so many failures in a row is given up.
  int failures_max = 8;
};

class IsolatedRunner {
 public:
  using Id = std::size_t;

  struct Outcome {
    engine::EnginePosition at;  // that both sides were read at
    std::string table;          // in FROM: columns, kHashColumn, kWeightColumn, as a store's delta
    std::uint64_t rows = 0;     // of it
    std::optional<Error> failure;  // in place of all that
  };

  IsolatedRunner(engine::Engine& engine, Logger& logger, const IsolatedOptions& options);
  ~IsolatedRunner() EXCLUDES(mutex_);

  // Views are bound anew: whatever was computed does not count. Nothing is begun until
  // committed() or rolled_back().
  void forget_all() EXCLUDES(mutex_);
  Id add(const std::string& title) EXCLUDES(mutex_);
  // The view's rows are made anew: it is computed next, by the SELECT `difference` of what an
  // Outcome's table has. Nothing is begun until
  // committed() or rolled_back().
  void restart(Id id, const std::string& difference) EXCLUDES(mutex_);

  // Until restart() nothing is computed.
  void forget(Id id) EXCLUDES(mutex_);

  // In a transaction: what the view reads changes.
  void input_changed(Id id) EXCLUDES(mutex_);
  // What there is to take in, in this transaction: once, unless it is rolled back. In one
  // transaction only what was there at the first take(): it does not see tables made later.
  std::optional<Outcome> take(Id id) EXCLUDES(mutex_);
  // In a transaction: nothing can be taken in it.
  void offer_nothing() EXCLUDES(mutex_);
  // The transaction is over. Only now what restart() told may be computed.
  void committed() EXCLUDES(mutex_);
  void rolled_back() EXCLUDES(mutex_);

  // Whether its rows, as last committed, may lack changes that the view's inputs have.
  bool is_behind(Id id) const EXCLUDES(mutex_);
  // Whether take() has something for a view. Asked often: what should end, but began a statement
  // behind its interrupt, is told again here.
  bool has_outcome() EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  enum class State {
    kIdle,
    kComputing,
    kReady,    // to be taken in
    kOffered,  // in the open transaction of the engine
    kTaken,    // by it
    kEnded,
  };
  struct Job {
    std::string title;
    std::string table;
    bool has_table = false;       // that nobody needs any more
    bool is_with_thread = false;  // which may be one that does not count any more
    std::string difference;       // "" before restart()
    State state = State::kIdle;
    // That computes it; interrupted under the mutex, so that it is there.
    duck::Connection* running = nullptr;
    std::uint64_t running_generation = 0;
    std::uint64_t generation = 0;  // another one: what runs does not count
    bool is_due = false;           // an input has changed since the last computation began
    bool changes = false;          // an input changes in the open transaction
    Clock::time_point not_before{};
    Microseconds took{0};
    int failures = 0;  // in a row
    int short_of_memory = 0;
    Outcome outcome;
  };

  using JobPtr = std::shared_ptr<Job>;
  // The job's table is to be made of its SELECT; or dropped, where there is none.
  struct Work {
    JobPtr job;
    std::uint64_t generation = 0;
    std::string difference;
  };

  static void interrupt(const Job& job);
  void stop(Job& job) REQUIRES(mutex_);
  void run() EXCLUDES(mutex_);
  std::optional<Work> wait_for_work() EXCLUDES(mutex_);
  std::optional<Work> next_work(Clock::time_point* wake_at) REQUIRES(mutex_);
  // kNo: it had no reader. Whatever it says then is not about the view.
  enum class Begun { kYes, kNo };
  Result<Outcome> compute(const Work& work, Begun* begun) EXCLUDES(mutex_);
  Status run_sql(duck::Connection& connection, const Work& work, Outcome* outcome) EXCLUDES(mutex_);
  void note(const Work& work, Result<Outcome> outcome, Begun begun, Microseconds took)
      EXCLUDES(mutex_);
  bool fails_for_good(Job& job, const Error& failure) const REQUIRES(mutex_);

  engine::Engine& engine_;
  Logger& logger_;
  const IsolatedOptions options_;

  mutable Mutex mutex_;
  Condition changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::size_t threads_running_ GUARDED_BY(mutex_) = 0;
  bool held_ GUARDED_BY(mutex_) = true;
  bool offered_ GUARDED_BY(mutex_) = false;  // take() was called in the open transaction
  std::vector<JobPtr> jobs_ GUARDED_BY(mutex_);
  // Of views that were bound before, until a thread has dropped their tables.
  std::vector<JobPtr> forgotten_ GUARDED_BY(mutex_);
  std::size_t next_table_ GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> threads_;  // the last: they see all of the above
};

}  // namespace pgweir::views
