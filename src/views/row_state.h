// A view's state that is the view's rows themselves, and what a batch changes of them.
//
// Place:   used by the strategies that keep rows: filters, projections and joins; recompute.
// Life:    open(), load() unless it was kept; in every batch the delta is filled, take_delta(),
//          clear_delta().
// Threads: the engine's write connection only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "views/strategy.h"

namespace pgweir::views {

// `input.select`'s rows as the view's columns, and behind them `also`. The line break ends a
// comment that the SELECT may close with.
std::string rows_of_select(const StrategyInput& input, const std::string& also = "");

class RowState {
 public:
  // Gives SQL when the state is opened: a SELECT of the spec's columns.
  using SelectText = std::function<std::string()>;

  // `spec`: the view's columns and what tells its rows apart. `select` is of rows that are not kept
  // (StrategyInput::stored), else it is null.
  RowState(const StrategyInput& input, engine::StoreSpec spec, SelectText select = nullptr);

  const engine::StoreSpec& spec() const { return spec_; }
  const Relation& relation() const { return relation_; }
  ScratchTable& delta() { return delta_; }

  Status open(duck::Connection& connection, bool keep);
  // Of a state that is not stored: nothing.
  Status load(const std::string& select) { return store_ ? store_->load(select) : Status{}; }

  // SQL that fills the delta from a SELECT of the columns and pgweir_w.
  std::string fill_statement(const std::string& into, const std::string& source) const;
  // The delta becomes part of the state.
  Result<ViewStrategy::Change> take_delta();
  // ViewStrategy::forget_rows(). Requires an empty delta.
  Result<std::uint64_t> forget_rows(duck::Connection& connection, const std::string& condition);
  Result<std::string> lookup(const std::string& keys) { return store_->lookup(keys); }
  Status clear_delta(duck::Connection& connection) { return delta_.clear(connection); }
  Result<std::uint64_t> row_count() {
    return store_ ? store_->row_count() : Result<std::uint64_t>(0);
  }

 private:
  const engine::StoreSpec spec_;
  const engine::StoreOptions store_options_;
  const SelectText select_;
  Relation relation_;
  std::shared_ptr<engine::Store> store_;
  ScratchTable delta_;
};

}  // namespace pgweir::views
