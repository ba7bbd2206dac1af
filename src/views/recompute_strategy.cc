// Any other SELECT: computed anew when an input has changed, and compared with what it was.
#include <fmt/core.h>

#include "views/arrangement.h"
#include "views/strategy.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

class RecomputeStrategy : public ViewStrategy {
 public:
  explicit RecomputeStrategy(StrategyInput input)
      : input_(std::move(input)),
        spec_(make_spec()),
        delta_(fmt::format("pgweir_view_{}", input_.id), delta_columns(spec_.columns)) {
    relation_.name = input_.view;
    relation_.schema = "main";
    relation_.table = input_.view;
    relation_.columns = input_.columns;
    relation_.key = input_.columns;
    relation_.unique = false;
    relation_.rows = "main." + quote_identifier(input_.view);
    relation_.delta = delta_.name();
  }

  const char* kind() const override { return "recompute"; }
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
    changed_ = false;
    const std::string source =
        fmt::format("SELECT {0}, 1 AS pgweir_w FROM ({1}) UNION ALL SELECT {0}, -1 FROM {2}",
                    name_list(spec_.columns), new_rows(), relation_.content);
    compare_ = fmt::format("INSERT INTO {} {}", delta_.name(),
                           consolidated(source, spec_.columns, spec_.columns, true));
    grown_ = PreparedSql(fmt::format("SELECT CAST(sum({}) AS BIGINT) FROM {}",
                                     engine::kWeightColumn, delta_.name()));
    if (keep) return {};
    return store_->load(new_rows());
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
    if (compared.rows_changed() == 0) return Change{};
    TRY(store_->apply(delta_.name()));
    TRY(store_->maintain());
    return grown_by(connection);
  }

  Status clear_delta(duck::Connection& connection) override { return delta_.clear(connection); }

  Result<std::uint64_t> state_rows() override { return store_->row_count(); }

 private:
  Result<Change> grown_by(duck::Connection& connection) {
    TRY_ASSIGN(duck::Rows rows, grown_.query(connection));
    const duck::Chunk* chunk = rows.next();
    return Change{true, chunk->is_null(0, 0) ? 0 : chunk->data<std::int64_t>(0)[0]};
  }

  engine::StoreSpec make_spec() const {
    engine::StoreSpec spec;
    spec.name = state_name(input_.view);
    spec.columns = input_.columns;
    spec.unique = false;
    for (std::uint32_t i = 0; i < spec.columns.size(); ++i) spec.key.push_back(i);
    return spec;
  }

  // The line break ends a comment that the SELECT may close with.
  std::string new_rows() const {
    std::string list, names;
    for (const auto& column : spec_.columns) {
      const std::string name = quote_identifier(column.name);
      list +=
          fmt::format("{}CAST({} AS {}) AS {}", list.empty() ? "" : ", ", name, column.type, name);
    }
    return fmt::format("SELECT {} FROM ({}\n) AS pgweir_new({})", list, input_.select,
                       name_list(spec_.columns));
  }

  StrategyInput input_;
  engine::StoreSpec spec_;
  Relation relation_;
  std::shared_ptr<engine::Store> store_;
  ScratchTable delta_;
  std::string compare_;
  PreparedSql grown_;
  bool changed_ = false;
};

}  // namespace

std::unique_ptr<ViewStrategy> make_recompute_strategy(StrategyInput input) {
  return std::make_unique<RecomputeStrategy>(std::move(input));
}

}  // namespace pgweir::views
