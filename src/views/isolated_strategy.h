// A view that holds no other back: it is computed beside the others, and is true at a position of
// its own. Its rows change only when a computation is over, by what differs then.
//
// Place:   one of the strategies; isolated_runner.h computes.
// Threads: as ViewStrategy says.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "views/isolated_runner.h"
#include "views/row_state.h"

namespace pgweir::views {

// Where an isolated view is true.
struct IsolatedPosition {
  model::Lsn end_lsn{};
  model::Timestamp commit_time{};
};

// Where the rows of an isolated view are true that the connection's transaction sees; nothing
// before its first computation.
Result<std::optional<IsolatedPosition>> isolated_position(duck::Connection& connection,
                                                          const std::string& view);

class IsolatedStrategy final : public ViewStrategy {
 public:
  IsolatedStrategy(StrategyInput input, IsolatedRunner& runner);

  // Where views of that name are true, in the database.
  static Status create(duck::Connection& connection);
  static Status forget(duck::Connection& connection, const std::string& view);

  static Status rename(duck::Connection& connection, const std::string& from,
                       const std::string& to);

  const char* kind() const override { return "isolated"; }
  const Relation& relation() const override { return state_.relation(); }
  std::vector<std::string> stores() const override { return {state_.spec().name}; }
  // A new state is empty, and reading the view fails, until its first computation is taken in.
  Status setup(duck::Connection& connection, bool keep) override;
  // Its rows stay until the computation that sees those of the input.
  Status renew(duck::Connection& connection) override;
  Status accumulate(duck::Connection& connection, std::size_t input) override;
  Result<Change> finish(duck::Connection& connection) override;
  Status clear_delta(duck::Connection& connection) override {
    return state_.clear_delta(connection);
  }
  Result<std::uint64_t> state_rows() override { return state_.row_count(); }

  // It is set aside: nothing is computed any more.
  void stop() { runner_.forget(id_); }

  // In the open transaction; nothing before the first computation.
  const std::optional<IsolatedPosition>& true_at() const { return true_at_; }
  bool is_behind() const { return runner_.is_behind(id_); }
  // The transaction is over.
  void rolled_back() { true_at_ = committed_at_; }
  void committed() { committed_at_ = true_at_; }

 private:
  Status hide(duck::Connection& connection);
  Status show(duck::Connection& connection);

  StrategyInput input_;
  IsolatedRunner& runner_;
  const IsolatedRunner::Id id_;
  RowState state_;
  std::optional<IsolatedPosition> true_at_, committed_at_;
};

}  // namespace pgweir::views
