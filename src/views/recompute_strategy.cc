// Any other SELECT, and one of few rows: computed anew when an input has changed, and compared with
// what it was.
#include <fmt/core.h>

#include "views/row_state.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

// The key of a view that is always one row.
constexpr const char* kOneKey = "pgweir_one";

class RecomputeStrategy : public ViewStrategy {
 public:
  explicit RecomputeStrategy(StrategyInput input)
      : input_(std::move(input)), state_(input_, make_spec()) {}

  const char* kind() const override {
    return input_.extent == Extent::kAny ? "recompute" : "affected keys";
  }
  const Relation& relation() const override { return state_.relation(); }
  std::vector<std::string> stores() const override { return {state_.spec().name}; }

  Status setup(duck::Connection& connection, bool keep) override {
    TRY(state_.open(connection, keep));
    changed_ = false;
    compare_ = state_.fill_statement(
        state_.delta().name(),
        fmt::format("SELECT {0}, 1 AS pgweir_w FROM ({1}) UNION ALL SELECT {0}, -1 FROM {2}",
                    name_list(state_.spec().columns), new_rows(), relation().content));
    return keep ? Status{} : state_.load(new_rows());
  }

  Status accumulate(duck::Connection&, std::size_t) override {
    changed_ = true;
    return {};
  }

  Result<Change> finish(duck::Connection& connection) override {
    if (!changed_) return Change{};
    changed_ = false;
    // Planned anew each time: people's SELECT may have any form (engine/prepared_sql.h).
    TRY_ASSIGN(const duck::Rows compared, connection.query(compare_));
    return compared.rows_changed() == 0 ? Change{} : state_.take_delta();
  }

  Status clear_delta(duck::Connection& connection) override {
    return state_.clear_delta(connection);
  }

  Result<std::uint64_t> state_rows() override { return state_.row_count(); }

  Result<std::uint64_t> forget_rows(duck::Connection& connection, std::size_t column,
                                    const RowTest& test) override {
    return state_.forget_rows(connection, test(quote_identifier(input_.columns[column].name)));
  }

 private:
  engine::StoreSpec make_spec() const {
    engine::StoreSpec spec;
    spec.name = state_name(input_.view);
    spec.columns = input_.columns;
    spec.unique = false;
    if (input_.extent == Extent::kOneRow) {
      spec.unique = true;
      spec.key = {static_cast<std::uint32_t>(spec.columns.size())};
      spec.columns.push_back({kOneKey, "TINYINT"});
      return spec;
    }
    for (std::uint32_t i = 0; i < spec.columns.size(); ++i) spec.key.push_back(i);
    return spec;
  }

  std::string new_rows() const {
    const bool one = input_.extent == Extent::kOneRow;
    return rows_of_select(input_, one ? fmt::format(", CAST(0 AS TINYINT) AS {}", kOneKey) : "");
  }

  StrategyInput input_;
  RowState state_;
  std::string compare_;
  bool changed_ = false;
};

}  // namespace

std::unique_ptr<ViewStrategy> make_recompute_strategy(StrategyInput input) {
  return std::make_unique<RecomputeStrategy>(std::move(input));
}

}  // namespace pgweir::views
