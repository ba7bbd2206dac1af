// The part of a view that a temporal filter is: it passes on the rows of its input that are in at
// the clock's moment, and keeps, of each row that is still to enter or to leave, when that will be.
//
// Place:   around the plan of a filter of one relation (temporal_outline.h); what stands above gets
//          its delta as from any part. Its rows are not kept: they are those of the input.
// Life:    as every strategy. forget() after a rollback.
// Threads: the engine's write connection only.
//
// What is to come is a store, found by the step of the clock: a row stands there once for each time
// at which it will enter or leave, with the change that it makes then. It follows from the input's
// rows and the clock alone, so a change of a row is a change of few rows there, found by the same
// step; and the clock's way from one step to another gives all that stands in between, and takes
// it away. A row that is out for good is not there.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "views/delta_join.h"
#include "views/row_spec.h"
#include "views/row_state.h"
#include "views/strategy.h"
#include "views/view_clock.h"

namespace pgweir::views {

// When a row of the plan enters and leaves.
struct TemporalPlan {
  std::vector<std::string> times;   // SQL over the plan's input
  std::vector<std::string> enters;  // steps, as SQL over times_column(): the last of them counts
  std::vector<std::string> leaves;  // the first of these
  static std::string time_column(std::size_t number);
};

class TemporalStrategy : public ViewStrategy {
 public:
  // So many of the next steps at which something happens are known in memory; beyond them the store
  // is looked through once for every so many.
  static constexpr std::size_t kKnownStepsMax = 16'384;
  // So many steps are looked up at a time; of more, as after a long stop, all of the store is read.
  static constexpr std::size_t kLookupStepsMax = 256;

  // `input.plan` is the SELECT without its conditions of time. `clock` must outlive this.
  TemporalStrategy(StrategyInput input, TemporalPlan plan, const ViewClock& clock);

  const char* kind() const override { return "delta"; }
  const Relation& relation() const override { return state_.relation(); }
  std::vector<std::string> stores() const override { return {events_.name}; }

  Status setup(duck::Connection& connection, bool keep) override;
  Status accumulate(duck::Connection& connection, std::size_t input) override;
  Result<Change> finish(duck::Connection& connection) override;
  Status clear_delta(duck::Connection& connection) override;
  // How much is to come.
  Result<std::uint64_t> state_rows() override { return store_->row_count(); }

  // Nothing happens before the clock comes to this step; nothing happens any more without one.
  std::optional<std::int64_t> next_step() const;
  // What is in memory may not be what the database has.
  void forget() { knows_ = false; }

 private:
  std::string in_time(const std::string& from, const std::string& weight) const;
  std::string to_come(const std::string& changes) const;
  void prepare();
  Status learn(duck::Connection& connection);
  void note(duck::Rows& steps);
  Status take_due(duck::Connection& connection);
  Result<Change> take_changes(duck::Connection& connection);

  const StrategyInput input_;
  const TemporalPlan plan_;
  const ViewClock& clock_;
  const RowSpec rows_;
  engine::StoreSpec events_;  // the rows, and kStep, kChange
  RowState state_;
  DeltaJoin join_;
  std::unique_ptr<engine::Store> store_;
  ScratchTable changes_;  // of the input's rows in this batch, with their times
  ScratchTable steps_;    // that the clock has come to
  ScratchTable due_;      // what happens then
  ScratchTable delta_;    // of the store
  PreparedSql take_change_;
  PreparedSql take_due_;
  PreparedSql fill_rows_;
  PreparedSql fill_events_;
  PreparedSql new_steps_;
  PreparedSql grown_;
  bool changed_ = false;

  bool knows_ = false;             // what follows
  std::set<std::int64_t> known_;   // steps at which something may happen: all of those ...
  std::int64_t known_before_ = 0;  // ... before this one
};

}  // namespace pgweir::views
