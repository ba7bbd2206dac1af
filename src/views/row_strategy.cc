// Filters, projections and joins: a change of an input, put through the same SELECT, is a change of
// the view. The state's rows are known by the keys of the inputs' rows; of inputs without keys the
// view is a bag.
#include <fmt/core.h>

#include "views/delta_join.h"
#include "views/row_spec.h"
#include "views/row_state.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

class RowStrategy : public ViewStrategy {
 public:
  explicit RowStrategy(StrategyInput input)
      : input_(std::move(input)),
        rows_(make_row_spec(input_)),
        state_(input_, rows_.store, input_.stored ? nullptr : every_row()),
        join_(*input_.plan, input_.lookups, input_.id),
        whole_(fmt::format("pgweir_whole_{}", input_.id), state_.delta().columns()) {}

  const char* kind() const override { return "delta"; }
  const Relation& relation() const override { return state_.relation(); }
  std::vector<std::string> stores() const override { return {state_.spec().name}; }
  bool needs_rows_of(const Relation& relation) const override {
    return !input_.stored || look_into(input_.lookups, relation);
  }

  Status setup(duck::Connection& connection, bool keep) override {
    TRY(state_.open(connection, keep));
    TRY(whole_.create(connection));
    TRY(join_.setup(connection));
    parts_ = 0;
    accumulate_.clear();
    accumulate_.resize(input_.plan->inputs.size());
    const std::string& delta = state_.delta().name();
    consolidate_ = PreparedSql(state_.fill_statement(
        whole_.name(),
        fmt::format("SELECT {}, {} AS pgweir_w FROM {}", name_list(state_.spec().columns),
                    engine::kWeightColumn, delta)));
    copy_back_ = PreparedSql(fmt::format("INSERT INTO {} SELECT * FROM {}", delta, whole_.name()));
    if (keep) return {};
    return state_.load(every_row()());
  }

  Status accumulate(duck::Connection& connection, std::size_t input) override {
    TRY_ASSIGN(const auto from, join_.from(connection, input));
    if (!from) return {};
    PreparedSql& statement = accumulate_[input];
    statement.set(state_.fill_statement(
        state_.delta().name(), fmt::format("SELECT {}, pgweir_w {}", rows_.values, *from)));
    TRY_ASSIGN(const std::uint64_t rows, statement.run(connection));
    if (rows > 0) ++parts_;
    return {};
  }

  Result<Change> finish(duck::Connection& connection) override {
    TRY(join_.clear(connection));
    if (parts_ == 0) return Change{};
    if (parts_ > 1) {
      // The parts may take back what others gave.
      TRY(consolidate_.run(connection));
      TRY(state_.clear_delta(connection));
      TRY(copy_back_.run(connection));
      TRY(whole_.clear(connection));
    }
    return state_.take_delta();
  }

  Status clear_delta(duck::Connection& connection) override {
    parts_ = 0;
    return state_.clear_delta(connection);
  }

  Result<std::uint64_t> state_rows() override { return state_.row_count(); }

  Result<std::uint64_t> forget_rows(duck::Connection& connection, std::size_t column,
                                    const RowTest& test) override {
    return state_.forget_rows(connection, test(quote_identifier(input_.columns[column].name)));
  }

 private:
  RowState::SelectText every_row() {
    return [this] { return fmt::format("SELECT {} {}", rows_.values, full_from(*input_.plan)); };
  }

  StrategyInput input_;
  const RowSpec rows_;
  RowState state_;
  DeltaJoin join_;
  ScratchTable whole_;
  std::vector<PreparedSql> accumulate_;
  PreparedSql consolidate_;
  PreparedSql copy_back_;
  int parts_ = 0;
};

}  // namespace

std::unique_ptr<ViewStrategy> make_row_strategy(StrategyInput input) {
  return std::make_unique<RowStrategy>(std::move(input));
}

}  // namespace pgweir::views
