// How long the views take of the batches, and which one is over its budget.
//
// Place:   a ViewSet measures, and asks between transactions.
// Life:    of the process: nothing of it is stored. Views go by their names.
// Threads: one.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/units.h"

namespace pgweir::views {

// A larger batch is one of catching up: all views take long of it, and none is judged by it.
constexpr std::uint64_t kJudgedChangesMax = 1000;
// A view that takes more than its budget of so many judged batches in a row holds others back; one
// alone may have met a busy machine.
constexpr int kOverBudgetMax = 3;
// The longest time "of late" is that of between one and two times so many judged batches.
constexpr int kLateBatches = 100;

struct BatchTime {
  Microseconds took{0};
  std::uint64_t changes = 0;  // of the whole batch
};

class ViewTimes {
 public:
  // What a piece of work was for.
  enum class Work { kNothing, kChanges };

  // Those that are not among them are forgotten. A budget of zero is none.
  void declare(const std::map<std::string, Milliseconds>& budgets);
  // The view begins anew.
  void forget(const std::string& view);

  // The open transaction takes in so many changes of the source. Without this it is none that a
  // view is judged by: time passes, rows are read.
  void take(std::uint64_t changes);
  void add(const std::string& view, Microseconds took, Work work);
  void committed();
  void rolled_back();

  // A view that is to be set aside: the last kOverBudgetMax judged batches that changed something
  // for it took longer than its budget.
  std::optional<std::string> over_budget() const;

  struct Times {
    Microseconds budget{0};
    std::optional<BatchTime> last;                    // of all that changed something for the view
    std::array<std::optional<BatchTime>, 2> longest;  // of the judged ones of late, then before
    Microseconds total{0};                            // committed
    int judged = 0;                                   // in longest[0]
    int over = 0;                                     // judged ones in a row
    BatchTime last_over;                              // the last of them
    // Of the open transaction.
    Microseconds open{0};
    bool changes = false;

    // Of late.
    std::optional<BatchTime> most() const;
  };
  // Without any for a view that was not declared.
  Times of(const std::string& view) const;

 private:
  static void note(Times& times, BatchTime batch);

  std::map<std::string, Times> views_;
  std::optional<std::uint64_t> changes_;  // of the open transaction
};

}  // namespace pgweir::views
