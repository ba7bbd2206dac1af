// A view in append mode: another strategy keeps the rows of the windows that are open; once the
// watermark has passed a window's end, its rows move to the view, where they stay as they are.
//
// Place:   around any strategy whose SELECT takes only rows of open windows (Window::only_sql). The
//          state below can be read as "name (open)".
// Life:    as every strategy. note_late() before accumulate() for each change of a relation;
//          close_up_to() before the finish() that closes windows.
// Threads: the engine's write connection only.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "views/append_mode.h"
#include "views/row_state.h"
#include "views/strategy.h"

namespace pgweir::views {

struct AppendInput {
  StrategyInput
      view;  // its name, id, columns; and the SELECT over all rows, of open windows or not
  AppendPlan plan;
  std::set<std::string> named;  // columns that the view names, in lower case
  bool keeps_late_rows = false;
  const Watermarks* watermarks = nullptr;
};

class AppendStrategy : public ViewStrategy {
 public:
  AppendStrategy(AppendInput input, std::unique_ptr<ViewStrategy> open);

  // The name of the view of the rows of open windows.
  static std::string open_name(const std::string& view) { return view + " (open)"; }
  // pgweir.late_rows keeps so many rows at the most: of the oldest, half go.
  static constexpr std::int64_t kLateRowsMax = 100'000;

  const char* kind() const override { return open_->kind(); }
  const Relation& relation() const override { return emitted_.relation(); }
  std::vector<std::string> stores() const override;

  Status setup(duck::Connection& connection, bool keep) override;
  Status renew(duck::Connection& connection) override;
  Status accumulate(duck::Connection& connection, std::size_t input) override {
    return open_->accumulate(connection, input);
  }
  Result<Change> finish(duck::Connection& connection) override;
  Status clear_delta(duck::Connection& connection) override;
  Result<std::uint64_t> state_rows() override;

  // Reads what other calls remember, after a rollback.
  Status read_closed(duck::Connection& connection);
  Status note_late(duck::Connection& connection, const Relation& relation);
  // True when windows are complete that were not.
  bool is_due() const { return input_.plan.complete(*input_.watermarks) > closed_.up_to; }
  void close() { closing_ = true; }

  std::int64_t closed_up_to() const { return closed_.up_to; }
  std::uint64_t late() const { return closed_.late; }
  std::uint64_t open_rows() const { return open_rows_; }

 private:
  Status emit(duck::Connection& connection);
  Status keep_late(duck::Connection& connection, const AppendPlan::Input& input,
                   const std::string& late_rows);
  std::vector<engine::StoreColumn> named_columns(const AppendPlan::Input& input) const;
  std::string late_rows_of(const AppendPlan::Input& input) const;
  std::string closed_condition(std::int64_t after, std::int64_t up_to) const;

  const AppendInput input_;
  const std::unique_ptr<ViewStrategy> open_;
  RowState emitted_;
  ClosedWindows::Entry closed_;
  bool closing_ = false;
  std::uint64_t open_rows_ = 0;
  std::vector<PreparedSql> count_late_;  // by plan.inputs
};

}  // namespace pgweir::views
