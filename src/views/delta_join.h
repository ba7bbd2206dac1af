// What a change of one input of a SELECT does to its FROM: the changed rows, joined with the rows
// of the other inputs.
//
// Place:   used by the strategies that keep a view by deltas.
// Life:    setup() once; in a batch from() for each change, clear() at its end.
// Threads: the engine's write connection only.
//
// With one input, or two different ones, this is a single FROM. Of more it is a chain of temporary
// tables, each the join of the one before with the rows of one more input, which are looked up by
// an equality: no step costs more than what it finds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "views/strategy.h"

namespace pgweir::views {

class DeltaJoin {
 public:
  // `plan` must outlive this. `id` makes temporary names.
  DeltaJoin(const Plan& plan, Lookups lookups, std::size_t id);

  Status setup(duck::Connection& connection);

  // "FROM ... WHERE ..." with the columns that expressions over the inputs name, and pgweir_w: by
  // input `changed`'s delta, every other input as it is at this moment. Nothing when there is no
  // such row. The text may change from batch to batch. A relation that stands in FROM several times
  // is changed in one place after the other.
  Result<std::optional<std::string>> from(duck::Connection& connection, std::size_t changed);

  Status clear(duck::Connection& connection);

 private:
  // The changed rows, and what they were joined with up to the last but one input.
  struct Chain {
    std::vector<ScratchTable> tables;
    std::vector<PreparedSql> fills;
    std::size_t filled = 0;  // tables that are to be emptied
  };

  Chain make_chain(std::size_t changed, std::size_t id) const;
  Result<std::string> pair_from(std::size_t changed) const;
  // FROM with the rows of step number `step` behind the chain's table of that number.
  Result<std::string> step_from(std::size_t changed, std::size_t step) const;
  Result<std::string> step_rows(std::size_t changed, const JoinStep& step,
                                const std::string& keys) const;
  // The conditions that the inputs of the chain up to `step` meet for the first time there.
  std::string new_conditions(std::size_t changed, std::size_t step, bool beside) const;
  std::set<std::size_t> joined_before(std::size_t changed, std::size_t step) const;

  const Plan& plan_;
  const Lookups lookups_;
  std::vector<Chain> chains_;  // by the input that changes; without flat names none
};

}  // namespace pgweir::views
