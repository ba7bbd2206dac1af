// UNION ALL: every change of an input is a change of the view. The rows are a bag.
#include <fmt/core.h>

#include "views/row_state.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

class UnionStrategy : public ViewStrategy {
 public:
  explicit UnionStrategy(StrategyInput input)
      : input_(std::move(input)),
        state_(input_, make_spec(),
               input_.stored ? nullptr : RowState::SelectText([this] { return every_row(); })),
        whole_(fmt::format("pgweir_whole_{}", input_.id), state_.delta().columns()) {}

  const char* kind() const override { return "delta"; }
  const Relation& relation() const override { return state_.relation(); }
  std::vector<std::string> stores() const override { return {state_.spec().name}; }

  Status setup(duck::Connection& connection, bool keep) override {
    TRY(state_.open(connection, keep));
    TRY(whole_.create(connection));
    parts_ = 0;
    accumulate_.clear();
    accumulate_.resize(input_.all_of.size());
    const std::string& delta = state_.delta().name();
    consolidate_ = PreparedSql(state_.fill_statement(
        whole_.name(), fmt::format("SELECT {}, {} AS pgweir_w FROM {}", name_list(input_.columns),
                                   engine::kWeightColumn, delta)));
    copy_back_ = PreparedSql(fmt::format("INSERT INTO {} SELECT * FROM {}", delta, whole_.name()));
    return keep ? Status{} : state_.load(every_row());
  }

  Status accumulate(duck::Connection& connection, std::size_t input) override {
    PreparedSql& statement = accumulate_[input];
    statement.set(state_.fill_statement(
        state_.delta().name(),
        fmt::format("SELECT {}, CAST({} AS BIGINT) AS pgweir_w FROM {}", values_of(input),
                    engine::kWeightColumn, input_.all_of[input]->delta)));
    TRY_ASSIGN(const std::uint64_t rows, statement.run(connection));
    if (rows > 0) ++parts_;
    return {};
  }

  Result<Change> finish(duck::Connection& connection) override {
    if (parts_ == 0) return Change{};
    if (parts_ > 1) {
      // What one input takes away another may bring.
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

 private:
  engine::StoreSpec make_spec() const {
    engine::StoreSpec spec;
    spec.name = state_name(input_.view);
    spec.columns = input_.columns;
    spec.unique = false;
    for (std::uint32_t i = 0; i < spec.columns.size(); ++i) spec.key.push_back(i);
    return spec;
  }

  // The input's columns, by position, as the view's.
  std::string values_of(std::size_t input) const {
    std::string list;
    for (std::size_t i = 0; i < input_.columns.size(); ++i) {
      list += fmt::format("{}CAST({} AS {}) AS {}", i == 0 ? "" : ", ",
                          quote_identifier(input_.all_of[input]->columns[i].name),
                          input_.columns[i].type, quote_identifier(input_.columns[i].name));
    }
    return list;
  }

  std::string every_row() const {
    std::string sql;
    for (std::size_t i = 0; i < input_.all_of.size(); ++i) {
      sql += fmt::format("{}SELECT {} FROM {}", i == 0 ? "" : " UNION ALL ", values_of(i),
                         input_.all_of[i]->content);
    }
    return sql;
  }

  StrategyInput input_;
  RowState state_;
  ScratchTable whole_;
  std::vector<PreparedSql> accumulate_;
  PreparedSql consolidate_;
  PreparedSql copy_back_;
  int parts_ = 0;
};

}  // namespace

std::unique_ptr<ViewStrategy> make_union_strategy(StrategyInput input) {
  return std::make_unique<UnionStrategy>(std::move(input));
}

}  // namespace pgweir::views
