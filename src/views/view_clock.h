// What now() is in views: a clock of the set of views, at the same moment for all of them, and
// committed with their states. It goes by the wall clock and in steps, and never back: over a
// restart it goes on from where it was, and while the wall clock is behind it stands still.
//
// Place:   owned by the ViewSet; a table in the engine's database, written in the transaction that
//          moves the views to that moment. SQL of views reads it there.
// Life:    create() and read(); advance() before the changes of a transaction. After a rollback
//          read() again.
// Threads: the engine's write connection only; read_step(): any connection.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "duck/duck.h"

namespace pgweir::views {

class ViewClock {
 public:
  // One step. The shorter it is, the more transactions without changes of tables there are: one a
  // step at the most, and only where a row enters or leaves.
  static constexpr std::int64_t kStepUs = 100'000;
  // Beyond all steps that the clock comes to, and before all of them.
  static constexpr std::int64_t kNeverStep = 1'000'000'000'000'000;
  static constexpr std::int64_t kAlwaysStep = -kNeverStep;

  static std::int64_t step_of(std::int64_t wall_us) { return wall_us / kStepUs; }

  // The table, and pgweir.clock over it.
  static Status create(duck::Connection& connection);
  // As the connection's transaction sees it; 0 before it has begun.
  static Result<std::int64_t> read_step(duck::Connection& connection);
  // A scalar subquery of it.
  static std::string sql();

  Status read(duck::Connection& connection);
  // To the wall clock's time. True when it has moved.
  Result<bool> advance(duck::Connection& connection, std::int64_t wall_us);

  std::int64_t step() const { return step_; }
  std::int64_t now_us() const { return step_ * kStepUs; }

 private:
  std::int64_t step_ = 0;
};

}  // namespace pgweir::views
