// The first rows of a relation, and some behind them: what a LIMIT or a least value is computed
// from.
//
// State: all rows up to a bound, which is a value of the order (DuckDB's create_sort_key()). A
// change beyond the bound is none. When too many of the rows have gone, the next ones are read from
// the relation and the bound moves back; when too many have come, the bound moves up. So a read of
// the whole relation follows only after as many rows have gone as are kept to spare.
#include <fmt/core.h>

#include <algorithm>

#include "views/arrangement.h"
#include "views/row_state.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

class FirstRowsStrategy : public ViewStrategy {
 public:
  explicit FirstRowsStrategy(StrategyInput input)
      : input_(std::move(input)),
        rows_kept_(2 * input_.first_rows->rows + input_.first_rows_spare),
        state_(input_, make_spec()),
        changes_(fmt::format("pgweir_changes_{}", input_.id), change_columns()),
        next_(fmt::format("pgweir_next_{}", input_.id), bound_spec().columns) {
    for (const FirstRows::Order& by : input_.first_rows->order)
      sort_key_ += fmt::format("{}, '{}', ", quote_identifier(by.column), by.direction);
    // With a text it is a BLOB; of short columns alone it would be a BIGINT.
    sort_key_ = "create_sort_key(" + sort_key_ + "'', 'ASC NULLS LAST')";
  }

  const char* kind() const override { return "delta"; }
  const Relation& relation() const override { return state_.relation(); }
  std::vector<std::string> stores() const override {
    return {state_.spec().name, bound_spec().name};
  }

  Status setup(duck::Connection& connection, bool keep) override {
    TRY(state_.open(connection, keep));
    if (!keep) TRY(drop_store(connection, bound_spec().name));
    TRY_ASSIGN(bound_, engine::Store::open(connection, bound_spec(), input_.store_options));
    TRY(changes_.create(connection));
    TRY(next_.create(connection));
    any_ = false;
    if (keep) return {};
    TRY(find_bound(connection, keys_of(input_.first_of->content), rows_kept_));
    TRY(take_bound(connection));
    return state_.load(fmt::format("SELECT {} FROM {} WHERE {}", columns(),
                                   input_.first_of->content, within_bound()));
  }

  Status accumulate(duck::Connection& connection, std::size_t) override {
    TRY_ASSIGN(const duck::Rows rows,
               connection.query(fmt::format("INSERT INTO {} SELECT {}, {} FROM {} WHERE {}",
                                            changes_.name(), columns(), engine::kWeightColumn,
                                            input_.first_of->delta, within_bound())));
    any_ = any_ || rows.rows_changed() > 0;
    return {};
  }

  Result<Change> finish(duck::Connection& connection) override {
    if (!any_) return Change{};
    any_ = false;
    TRY_ASSIGN(const std::uint64_t before, state_.row_count());
    TRY_ASSIGN(const std::int64_t more, weight_of(connection, changes_.name(), "pgweir_w"));
    if (static_cast<std::int64_t>(before) + more > static_cast<std::int64_t>(2 * rows_kept_))
      TRY(move_up(connection));
    TRY(connection.execute(state_.fill_statement(
        state_.delta().name(),
        fmt::format("SELECT * FROM {} WHERE {}", changes_.name(), within_bound()))));
    TRY(changes_.clear(connection));
    TRY_ASSIGN(const std::int64_t added,
               weight_of(connection, state_.delta().name(), engine::kWeightColumn));
    const std::int64_t rows = std::max<std::int64_t>(static_cast<std::int64_t>(before) + added, 0);
    if (rows < static_cast<std::int64_t>(input_.first_rows->rows))
      TRY(move_back(connection, rows_kept_ - static_cast<std::size_t>(rows)));
    return state_.take_delta();
  }

  Status clear_delta(duck::Connection& connection) override {
    return state_.clear_delta(connection);
  }

  Result<std::uint64_t> state_rows() override { return state_.row_count(); }

 private:
  engine::StoreSpec make_spec() const {
    const Relation& relation = *input_.first_of;
    engine::StoreSpec spec;
    spec.name = state_name(input_.view);
    spec.columns = input_.columns;
    spec.unique = relation.unique;
    for (const engine::StoreColumn& key : relation.key) {
      if (!relation.unique) break;
      std::uint32_t at = 0;
      while (at < spec.columns.size() && spec.columns[at].name != key.name) ++at;
      if (at == spec.columns.size()) spec.columns.push_back(key);
      spec.key.push_back(at);
    }
    for (std::uint32_t i = 0; !relation.unique && i < spec.columns.size(); ++i)
      spec.key.push_back(i);
    return spec;
  }

  // One row: the greatest value of the order that is kept, and whether that is all there is.
  engine::StoreSpec bound_spec() const {
    engine::StoreSpec spec;
    spec.name = state_name(input_.view) + " bound";
    spec.columns = {{"bound", "BLOB"}, {"complete", "BOOLEAN"}};
    return spec;
  }

  std::vector<engine::StoreColumn> change_columns() const {
    std::vector<engine::StoreColumn> columns = state_.spec().columns;
    columns.push_back({"pgweir_w", "BIGINT"});
    return columns;
  }

  std::string columns() const { return name_list(state_.spec().columns); }

  // A condition over rows with the relation's columns.
  std::string within_bound() const {
    return fmt::format("((SELECT complete FROM {0}) OR {1} <= (SELECT bound FROM {0}))",
                       bound_->content_name(), sort_key_);
  }

  std::string keys_of(const std::string& source) const {
    return fmt::format("SELECT {} AS s FROM {}", sort_key_, source);
  }

  // Fills next_ with the bound that takes in the first `rows` of the keys.
  Status find_bound(duck::Connection& connection, const std::string& keys, std::size_t rows) {
    return connection.execute(
        fmt::format("INSERT INTO {0} SELECT max(s), count(*) < {2} FROM ({1} ORDER BY s LIMIT {2})",
                    next_.name(), keys, rows));
  }

  Status take_bound(duck::Connection& connection) {
    TRY(bound_->load("SELECT bound, complete FROM " + next_.name()));
    return next_.clear(connection);
  }

  // The state is cut to the first rows that are wanted and those to spare.
  Status move_up(duck::Connection& connection) {
    const std::string keys = fmt::format(
        "SELECT s FROM ({}, 1 AS w FROM {} UNION ALL {}, pgweir_w FROM {}) GROUP BY s HAVING "
        "sum(w) "
        "> 0",
        "SELECT " + sort_key_ + " AS s", relation().content, "SELECT " + sort_key_,
        changes_.name());
    TRY(find_bound(connection, keys, rows_kept_));
    TRY(connection.execute(fmt::format("UPDATE {} SET complete = false", next_.name())));
    TRY(take_bound(connection));
    return connection.execute(fmt::format("INSERT INTO {} SELECT {}, {}, -1 FROM {} WHERE NOT {}",
                                          state_.delta().name(), columns(), engine::kHashColumn,
                                          relation().content, within_bound()));
  }

  // `rows` more are read from the relation, if there are any.
  Status move_back(duck::Connection& connection, std::size_t rows) {
    TRY_ASSIGN(const bool complete, is_complete(connection));
    if (complete) return {};
    const std::string beyond = fmt::format("{} > (SELECT coalesce(bound, ''::BLOB) FROM {})",
                                           sort_key_, bound_->content_name());
    TRY(find_bound(connection, keys_of(input_.first_of->content) + " WHERE " + beyond, rows));
    TRY(connection.execute(fmt::format(
        "INSERT INTO {} {}", state_.delta().name(),
        consolidated(
            fmt::format("SELECT {}, 1 AS pgweir_w FROM {} WHERE {} AND {} <= (SELECT bound "
                        "FROM {})",
                        columns(), input_.first_of->content, beyond, sort_key_, next_.name()),
            state_.spec().columns, relation().key, !state_.spec().unique))));
    return take_bound(connection);
  }

  Result<std::int64_t> weight_of(duck::Connection& connection, const std::string& table,
                                 const char* column) const {
    return connection.query_int(
        fmt::format("SELECT CAST(coalesce(sum({}), 0) AS BIGINT) FROM {}", column, table));
  }

  Result<bool> is_complete(duck::Connection& connection) const {
    TRY_ASSIGN(const std::int64_t complete,
               connection.query_int(
                   fmt::format("SELECT CAST(complete AS BIGINT) FROM {}", bound_->content_name())));
    return complete != 0;
  }

  StrategyInput input_;
  const std::size_t rows_kept_;  // after the bound was moved
  RowState state_;
  std::unique_ptr<engine::Store> bound_;
  ScratchTable changes_;  // of this batch, within the bound
  ScratchTable next_;     // the bound that is to be
  std::string sort_key_;
  bool any_ = false;
};

}  // namespace

std::unique_ptr<ViewStrategy> make_first_rows_strategy(StrategyInput input) {
  return std::make_unique<FirstRowsStrategy>(std::move(input));
}

}  // namespace pgweir::views
