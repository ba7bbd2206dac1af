// Filters, projections and joins: a change of an input, put through the same SELECT, is a change of
// the view. The state's rows are known by the keys of the inputs' rows; of inputs without keys the
// view is a bag.
#include <fmt/core.h>

#include "views/arrangement.h"
#include "views/strategy.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

class RowStrategy : public ViewStrategy {
 public:
  explicit RowStrategy(StrategyInput input)
      : input_(std::move(input)),
        spec_(make_spec()),
        delta_(fmt::format("pgweir_view_{}", input_.id), delta_columns(spec_.columns)),
        whole_(fmt::format("pgweir_whole_{}", input_.id), delta_columns(spec_.columns)) {
    relation_.name = input_.view;
    relation_.schema = "main";
    relation_.table = input_.view;
    relation_.columns = input_.columns;
    relation_.unique = spec_.unique;
    for (const std::uint32_t i : spec_.key) relation_.key.push_back(spec_.columns[i]);
    relation_.rows = "main." + quote_identifier(input_.view);
    relation_.delta = delta_.name();
  }

  const char* kind() const override { return "delta"; }
  const Relation& relation() const override { return relation_; }
  std::vector<std::string> stores() const override { return {spec_.name}; }

  Status setup(duck::Connection& connection, bool keep) override {
    if (!keep) TRY(drop_store(connection, spec_.name));
    TRY_ASSIGN(store_, engine::Store::open(connection, spec_, input_.store_options));
    relation_.content = store_->content_name();
    relation_.store = store_;
    TRY(connection.execute(fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}",
                                       relation_.rows, name_list(relation_.columns),
                                       relation_.content)));
    TRY(delta_.create(connection));
    TRY(whole_.create(connection));
    parts_ = 0;
    accumulate_.clear();
    accumulate_.resize(input_.plan->inputs.size());
    const std::string source =
        fmt::format("SELECT {}, {} AS pgweir_w FROM {}", name_list(spec_.columns),
                    engine::kWeightColumn, delta_.name());
    consolidate_ =
        PreparedSql(fmt::format("INSERT INTO {} {}", whole_.name(),
                                consolidated(source, spec_.columns, relation_.key, !spec_.unique)));
    copy_back_ =
        PreparedSql(fmt::format("INSERT INTO {} SELECT * FROM {}", delta_.name(), whole_.name()));
    grown_ = PreparedSql(fmt::format("SELECT CAST(sum({}) AS BIGINT) FROM {}",
                                     engine::kWeightColumn, delta_.name()));
    if (keep) return {};
    return store_->load(fmt::format("SELECT {} {}", values_, full_from(*input_.plan)));
  }

  Status accumulate(duck::Connection& connection, std::size_t input) override {
    TRY_ASSIGN(const std::string from, delta_from(*input_.plan, input_.lookups, input));
    const std::string source = fmt::format("SELECT {}, pgweir_w {}", values_, from);
    PreparedSql& statement = accumulate_[input];
    statement.set(fmt::format("INSERT INTO {} {}", delta_.name(),
                              consolidated(source, spec_.columns, relation_.key, !spec_.unique)));
    TRY_ASSIGN(const std::uint64_t rows, statement.run(connection));
    if (rows > 0) ++parts_;
    return {};
  }

  Result<Change> finish(duck::Connection& connection) override {
    if (parts_ == 0) return Change{};
    if (parts_ > 1) {
      // The parts may take back what others gave.
      TRY(consolidate_.run(connection));
      TRY(delta_.clear(connection));
      TRY(copy_back_.run(connection));
      TRY(whole_.clear(connection));
    }
    TRY(store_->apply(delta_.name()));
    TRY(store_->maintain());
    return grown_by(connection);
  }

  Status clear_delta(duck::Connection& connection) override {
    parts_ = 0;
    return delta_.clear(connection);
  }

  Result<std::uint64_t> state_rows() override { return store_->row_count(); }

 private:
  Result<Change> grown_by(duck::Connection& connection) {
    TRY_ASSIGN(duck::Rows rows, grown_.query(connection));
    const duck::Chunk* chunk = rows.next();
    return Change{true, chunk->is_null(0, 0) ? 0 : chunk->data<std::int64_t>(0)[0]};
  }

  engine::StoreSpec make_spec() {
    const Plan& plan = *input_.plan;
    engine::StoreSpec spec;
    spec.name = state_name(input_.view);
    for (const PlanColumn& column : plan.columns) {
      spec.columns.push_back(column.column);
      add_value(column.sql, column.column);
    }
    for (const PlanInput& input : plan.inputs) spec.unique = spec.unique && input.relation->unique;
    for (std::size_t i = 0; i < plan.inputs.size() && spec.unique; ++i) {
      for (const auto& key : plan.inputs[i].relation->key)
        spec.key.push_back(key_column(i, key, &spec));
    }
    if (!spec.unique) {
      for (std::uint32_t i = 0; i < spec.columns.size(); ++i) spec.key.push_back(i);
    }
    return spec;
  }

  // The column that shows this key column of an input, or a hidden one for it.
  std::uint32_t key_column(std::size_t input, const engine::StoreColumn& key,
                           engine::StoreSpec* spec) {
    const Plan& plan = *input_.plan;
    for (std::uint32_t i = 0; i < plan.columns.size(); ++i) {
      if (plan.columns[i].source == std::pair(input, key.name)) return i;
    }
    const engine::StoreColumn hidden{fmt::format("pgweir_k{}", spec->columns.size()), key.type};
    spec->columns.push_back(hidden);
    add_value(fmt::format("{}.{}", plan.inputs[input].alias, quote_identifier(key.name)), hidden);
    return static_cast<std::uint32_t>(spec->columns.size() - 1);
  }

  void add_value(const std::string& sql, const engine::StoreColumn& column) {
    values_ += fmt::format("{}CAST({} AS {}) AS {}", values_.empty() ? "" : ", ", sql, column.type,
                           quote_identifier(column.name));
  }

  StrategyInput input_;
  std::string values_;  // the SELECT list over the inputs
  engine::StoreSpec spec_;
  Relation relation_;
  std::shared_ptr<engine::Store> store_;
  ScratchTable delta_;
  ScratchTable whole_;
  std::vector<PreparedSql> accumulate_;
  PreparedSql consolidate_;
  PreparedSql copy_back_;
  PreparedSql grown_;
  int parts_ = 0;
};

}  // namespace

std::unique_ptr<ViewStrategy> make_row_strategy(StrategyInput input) {
  return std::make_unique<RowStrategy>(std::move(input));
}

}  // namespace pgweir::views
