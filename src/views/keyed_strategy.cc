// Affected keys: the keys of all rows that changed are collected; at the end of the batch the
// result is computed anew for these keys alone and compared with what it was.
#include <fmt/core.h>

#include "views/row_state.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

class KeyedStrategy : public ViewStrategy {
 public:
  explicit KeyedStrategy(StrategyInput input)
      : input_(std::move(input)),
        plan_(*input_.keyed),
        state_(input_, make_spec()),
        keys_(fmt::format("pgweir_keys_{}", input_.id), key_columns()) {}

  const char* kind() const override { return "affected keys"; }
  const Relation& relation() const override { return state_.relation(); }
  std::vector<std::string> stores() const override { return {state_.spec().name}; }
  bool needs_rows_of(const Relation& relation) const override {
    return look_into(input_.lookups, relation);
  }

  Status setup(duck::Connection& connection, bool keep) override {
    TRY(state_.open(connection, keep));
    TRY(keys_.create(connection));
    any_ = false;
    for (auto* statements : {&accumulate_, &accumulate_more_}) {
      statements->clear();
      statements->resize(plan_.inputs.size());
    }
    compare_ = PreparedSql();
    if (keep) return {};
    std::vector<std::string> rows;
    for (const KeyedInput& input : plan_.inputs) rows.push_back(input.relation->content);
    return state_.load(select_over(rows));
  }

  Status accumulate(duck::Connection& connection, std::size_t number) override {
    const KeyedInput& input = plan_.inputs[number];
    std::string columns, keys;
    for (const std::string& column : input.used) columns += quote_identifier(column) + ", ";
    for (std::size_t i = 0; i < plan_.key.size(); ++i)
      keys +=
          fmt::format("{}CAST({} AS {}) AS {}", i == 0 ? "" : ", ",
                      quote_identifier(input.key[i].name), plan_.key[i].type, plan_.key[i].name);
    // Each key once, also when a change before this one had it.
    std::string is_new;
    if (any_)
      is_new =
          fmt::format(" ANTI JOIN {} AS k ON true{}", keys_.name(), and_equal(plan_.key, "k", "t"));
    PreparedSql& statement = (any_ ? accumulate_more_ : accumulate_)[number];
    // Columns that the view does not see change nothing of it.
    statement.set(fmt::format(
        "INSERT INTO {} SELECT t.*, {} FROM (SELECT DISTINCT {} FROM (SELECT {}sum({}) AS pgweir_w "
        "FROM {} GROUP BY ALL) WHERE pgweir_w <> 0) AS t{}",
        keys_.name(), hash_of(plan_.key, "t."), keys, columns, engine::kWeightColumn,
        input.relation->delta, is_new));
    TRY_ASSIGN(const std::uint64_t rows, statement.run(connection));
    any_ = any_ || rows > 0;
    return {};
  }

  Result<Change> finish(duck::Connection& connection) override {
    if (!any_) return Change{};
    any_ = false;
    TRY_ASSIGN(const std::string statement, compare_statement());
    TRY_ASSIGN(const std::uint64_t rows, compare(connection, statement));
    TRY(keys_.clear(connection));
    return rows == 0 ? Change{} : state_.take_delta();
  }

  Status clear_delta(duck::Connection& connection) override {
    return state_.clear_delta(connection);
  }

  Result<std::uint64_t> state_rows() override { return state_.row_count(); }

 private:
  // Kept prepared only where people's SELECT joins nothing: what it joins may be of any form
  // (engine/prepared_sql.h).
  Result<std::uint64_t> compare(duck::Connection& connection, const std::string& statement) {
    if (!plan_.plain) {
      TRY_ASSIGN(const duck::Rows rows, connection.query(statement));
      return rows.rows_changed();
    }
    compare_.set(statement);
    return compare_.run(connection);
  }

  engine::StoreSpec make_spec() {
    engine::StoreSpec spec;
    spec.name = state_name(input_.view);
    spec.unique = plan_.unique;
    spec.distinct = !plan_.unique && plan_.distinct;
    for (const PlanColumn& column : plan_.columns) {
      spec.columns.push_back(column.column);
      add_value(column.sql, column.column);
    }
    for (std::size_t i = 0; i < plan_.key.size(); ++i) {
      std::uint32_t shown = 0;
      while (shown < plan_.columns.size() && !shows(plan_.columns[shown], i)) ++shown;
      if (shown == plan_.columns.size()) {
        shown = static_cast<std::uint32_t>(spec.columns.size());
        spec.columns.push_back(plan_.key[i]);
        add_value(plan_.key_sql[i], plan_.key[i]);
      }
      spec.key.push_back(shown);
    }
    return spec;
  }

  // Of one input, a column of the result that is the key's.
  bool shows(const PlanColumn& column, std::size_t key) const {
    return plan_.inputs.size() == 1 && column.column.type == plan_.key[key].type &&
           column.source == std::pair(std::size_t{0}, plan_.inputs[0].key[key].name);
  }

  void add_value(const std::string& sql, const engine::StoreColumn& column) {
    values_ += fmt::format("{}CAST({} AS {}) AS {}", values_.empty() ? "" : ", ", sql, column.type,
                           quote_identifier(column.name));
  }

  std::vector<engine::StoreColumn> key_columns() const {
    std::vector<engine::StoreColumn> columns = plan_.key;
    columns.push_back({engine::kHashColumn, "UBIGINT"});
    return columns;
  }

  // The view's SELECT with its hidden columns; rows[i] is SQL for FROM.
  std::string select_over(const std::vector<std::string>& rows) const {
    std::string sql = fmt::format("SELECT {} FROM {} AS i0", values_, rows[0]);
    if (!plan_.join.empty())
      sql += fmt::format(" {} JOIN {} AS i1 ON {}", plan_.join, rows[1], plan_.on);
    if (!plan_.where.empty()) sql += " WHERE " + plan_.where;
    if (!plan_.group_by.empty()) sql += " GROUP BY " + plan_.group_by;
    if (!plan_.having.empty()) sql += " HAVING " + plan_.having;
    if (!plan_.qualify.empty()) sql += " QUALIFY " + plan_.qualify;
    return sql;
  }

  // The rows of an input that have one of the keys.
  Result<std::string> affected_rows(std::size_t number) const {
    const KeyedInput& input = plan_.inputs[number];
    const Lookup& lookup = (*input_.lookups)[number];
    // In the order of the lookup's own columns.
    std::string hashed;
    for (const engine::StoreColumn& column : lookup.key) {
      for (std::size_t i = 0; i < input.key.size(); ++i) {
        if (input.key[i].name != column.name) continue;
        hashed += hashed.empty() ? "" : ", ";
        hashed += column.type == plan_.key[i].type
                      ? "k." + plan_.key[i].name
                      : fmt::format("TRY_CAST(k.{} AS {})", plan_.key[i].name, column.type);
        break;
      }
    }
    const std::string hash = "hash(" + hashed + ")";
    TRY_ASSIGN(const std::string rows,
               lookup.rows_of(fmt::format("SELECT {} AS {} FROM {} AS k", hash, engine::kHashColumn,
                                          keys_.name())));
    std::string same;
    for (std::size_t i = 0; i < input.key.size(); ++i) {
      same += " AND " + engine::beside_hash(fmt::format("r.{} IS NOT DISTINCT FROM k.{}",
                                                        quote_identifier(input.key[i].name),
                                                        plan_.key[i].name));
    }
    return fmt::format("(SELECT r.* FROM {} AS r JOIN (SELECT * FROM {}) AS k ON r.{} = {}{})",
                       rows, keys_.name(), engine::kHashColumn, hash, same);
  }

  // Fills the state's delta with what is new less what was.
  Result<std::string> compare_statement() {
    std::vector<std::string> rows;
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i) {
      TRY_ASSIGN(std::string affected, affected_rows(i));
      rows.push_back(std::move(affected));
    }
    TRY_ASSIGN(const std::string state,
               state_.lookup(fmt::format("SELECT {} FROM {}", engine::kHashColumn, keys_.name())));
    std::string same;
    for (std::size_t i = 0; i < plan_.key.size(); ++i) {
      same += " AND " + engine::beside_hash(fmt::format(
                            "s.{} IS NOT DISTINCT FROM k.{}",
                            quote_identifier(state_.relation().key[i].name), plan_.key[i].name));
    }
    const std::string names = name_list(state_.spec().columns);
    return state_.fill_statement(
        state_.delta().name(),
        fmt::format("SELECT {0}, 1 AS pgweir_w FROM ({1}) UNION ALL SELECT {2}, -1 FROM {3} AS s "
                    "JOIN {4} AS k ON s.{5} = k.{5}{6}",
                    names, select_over(rows), name_list(state_.spec().columns, "s."), state,
                    keys_.name(), engine::kHashColumn, same));
  }

  StrategyInput input_;
  const KeyedPlan& plan_;
  std::string values_;  // the SELECT list over the inputs
  RowState state_;
  ScratchTable keys_;                         // of this batch's changes, each once, with its hash
  std::vector<PreparedSql> accumulate_;       // while there is no key yet
  std::vector<PreparedSql> accumulate_more_;  // beside those that there are
  PreparedSql compare_;
  bool any_ = false;
};

}  // namespace

std::unique_ptr<ViewStrategy> make_keyed_strategy(StrategyInput input) {
  return std::make_unique<KeyedStrategy>(std::move(input));
}

Lookups lookups_of(const KeyedPlan& plan) {
  auto lookups = std::make_shared<std::vector<Lookup>>();
  for (const KeyedInput& input : plan.inputs) {
    Lookup& lookup = lookups->emplace_back();
    lookup.input = lookups->size() - 1;
    lookup.relation = input.relation;
    lookup.columns = input.used;
    lookup.set_key(input.key);
  }
  return lookups;
}

}  // namespace pgweir::views
