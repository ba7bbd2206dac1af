// Totals by group: the state holds, for each group, the number of its rows and sums to which rows
// can be added and from which they can be taken. What people see is computed from these on reading.
#include <fmt/core.h>

#include <utility>

#include "views/arrangement.h"
#include "views/delta_join.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

class GroupStrategy : public ViewStrategy {
 public:
  explicit GroupStrategy(StrategyInput input)
      : input_(std::move(input)),
        plan_(*input_.plan),
        spec_(make_spec()),
        join_(plan_, input_.lookups, input_.id),
        change_(fmt::format("pgweir_change_{}", input_.id), delta_columns(spec_.columns)),
        parts_table_(fmt::format("pgweir_parts_{}", input_.id), spec_.columns),
        delta_(fmt::format("pgweir_view_{}", input_.id), delta_columns(spec_.columns)) {
    relation_.name = input_.title.empty() ? input_.view : input_.title;
    relation_.schema = "main";
    relation_.table = input_.view;
    relation_.columns = input_.columns;
    for (std::size_t i = 0; i < plan_.groups.size(); ++i) relation_.key.push_back(shown_group(i));
    relation_.rows = quote_identifier(input_.schema) + "." + quote_identifier(input_.view);
    relation_.delta_in_store = true;
    relation_.content =
        fmt::format("{}.{}", engine::kInternalSchema, quote_identifier("view " + input_.view));
    relation_.delta = fmt::format("temp.main.pgweir_out_{}", input_.id);
  }

  const char* kind() const override { return "delta"; }
  const Relation& relation() const override { return relation_; }
  std::vector<std::string> stores() const override { return {spec_.name}; }
  bool needs_rows_of(const Relation& relation) const override {
    return look_into(input_.lookups, relation);
  }

  Status setup(duck::Connection& connection, bool keep) override {
    if (!keep) TRY(drop_store(connection, spec_.name));
    TRY_ASSIGN(store_, engine::Store::open(connection, spec_, input_.store_options));
    parts_ = 0;
    for (ScratchTable* table : {&parts_table_, &change_, &delta_}) TRY(table->create(connection));
    TRY(join_.setup(connection));
    TRY(connection.execute(fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {}, {} {}",
                                       relation_.content, shown_, engine::kHashColumn,
                                       state_from(store_->content_name()))));
    TRY(connection.execute(fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}",
                                       relation_.rows, name_list(relation_.columns),
                                       relation_.content)));
    TRY(connection.execute(fmt::format("CREATE OR REPLACE TEMP VIEW {} AS SELECT {}, {}, {} {}",
                                       relation_.delta, shown_, engine::kHashColumn,
                                       engine::kWeightColumn, state_from(delta_.name()))));
    prepare();
    if (keep) return {};
    return store_->load(totals("sum({})", full_from(plan_), true));
  }

  Status accumulate(duck::Connection& connection, std::size_t input) override {
    TRY_ASSIGN(const auto from, join_.from(connection, input));
    if (!from) return {};
    // The first part, which is mostly the only one, is the change itself.
    const std::string part = totals("sum(({}) * pgweir_w)", *from, false);
    PreparedSql& statement = (parts_ == 0 ? accumulate_ : accumulate_more_)[input];
    if (parts_ > 0) {
      statement.set(fmt::format("INSERT INTO {} {}", parts_table_.name(), part));
    } else {
      statement.set(fmt::format("INSERT INTO {} SELECT *, {}, 1 FROM ({}) WHERE {}", change_.name(),
                                hash_of(plan_.groups), part, changes_something()));
    }
    TRY_ASSIGN(const std::uint64_t rows, statement.run(connection));
    if (rows > 0) ++parts_;
    return {};
  }

  Result<Change> finish(duck::Connection& connection) override {
    TRY(join_.clear(connection));
    const int parts = std::exchange(parts_, 0);
    if (parts == 0) return Change{};
    if (parts > 1) {
      TRY(move_first_.run(connection));
      TRY(change_.clear(connection));
      TRY_ASSIGN(const std::uint64_t groups, sum_up_.run(connection));
      TRY(parts_table_.clear(connection));
      if (groups == 0) return Change{};
    }
    TRY_ASSIGN(std::string take_old, take_old_statement());
    take_old_.set(std::move(take_old));
    TRY_ASSIGN(const std::uint64_t before, take_old_.run(connection));
    TRY_ASSIGN(const std::uint64_t after, add_new_.run(connection));
    TRY(change_.clear(connection));
    if (before + after == 0) return Change{};  // what was counted is rolled back
    TRY(store_->apply(delta_.name(), {.removals = before, .all = before + after}));
    TRY(store_->maintain());
    return Change{true, static_cast<std::int64_t>(after) - static_cast<std::int64_t>(before)};
  }

  Status clear_delta(duck::Connection& connection) override { return delta_.clear(connection); }

  Result<std::uint64_t> state_rows() override { return store_->row_count(); }

  Result<std::uint64_t> forget_rows(duck::Connection& connection, std::size_t column,
                                    const RowTest& test) override {
    if (!plan_.columns[column].group) return 0;
    TRY_ASSIGN(
        const duck::Rows rows,
        connection.query(fmt::format("INSERT INTO {} SELECT {}, {}, -1 FROM {} WHERE {}",
                                     delta_.name(), name_list(spec_.columns), engine::kHashColumn,
                                     store_->content_name(), test(plan_.columns[column].sql))));
    const std::uint64_t gone = rows.rows_changed();
    if (gone == 0) return 0;
    TRY(store_->apply(delta_.name()));
    TRY(store_->maintain());
    TRY(delta_.clear(connection));
    return gone;
  }

 private:
  engine::StoreSpec make_spec() const {
    engine::StoreSpec spec;
    spec.name = state_name(input_.view);
    for (std::uint32_t i = 0; i < plan_.groups.size(); ++i) {
      spec.columns.push_back(plan_.groups[i]);
      spec.key.push_back(i);
    }
    for (const Partial& partial : plan_.partials)
      spec.columns.push_back({partial.column, partial.type});
    return spec;
  }

  // The view's column that shows a group column, or a hidden one.
  engine::StoreColumn shown_group(std::size_t group) {
    if (shown_.empty()) {
      for (const PlanColumn& column : plan_.columns) add_shown(column.sql, column.column);
    }
    for (const PlanColumn& column : plan_.columns)
      if (column.group == group) return column.column;
    add_shown(plan_.groups[group].name, plan_.groups[group]);
    return plan_.groups[group];
  }

  void add_shown(const std::string& sql, const engine::StoreColumn& column) {
    shown_ += fmt::format("{}CAST({} AS {}) AS {}", shown_.empty() ? "" : ", ", sql, column.type,
                          quote_identifier(column.name));
  }

  // FROM the state, or its change, with the finished aggregates, after HAVING.
  std::string state_from(const std::string& source) const {
    std::string finals;
    for (const auto& [name, sql] : plan_.finals) finals += fmt::format(", {} AS {}", sql, name);
    return fmt::format("FROM (SELECT *{} FROM {}){}", finals, source,
                       plan_.having.empty() ? "" : " WHERE " + plan_.having);
  }

  // Group columns and totals of what FROM gives; `total` says how a value is added up.
  std::string totals(fmt::string_view total, const std::string& from, bool even_of_nothing) const {
    std::string list, groups;
    for (std::size_t i = 0; i < plan_.groups.size(); ++i) {
      list += fmt::format("CAST({} AS {}) AS {}, ", plan_.group_sql[i], plan_.groups[i].type,
                          plan_.groups[i].name);
      groups += fmt::format("{}{}", i == 0 ? "" : ", ", i + 1);
    }
    for (std::size_t i = 0; i < plan_.partials.size(); ++i) {
      const Partial& partial = plan_.partials[i];
      const std::string sum = fmt::format(fmt::runtime(total), partial.value);
      list += fmt::format("{}CAST(coalesce({}, 0) AS {}) AS {}", i == 0 ? "" : ", ", sum,
                          partial.type, partial.column);
    }
    // Totals without GROUP BY have their one row even of nothing.
    const bool grouped = !(plan_.global && even_of_nothing);
    return fmt::format("SELECT {} {}{}", list, from, grouped ? " GROUP BY " + groups : "");
  }

  std::string changes_something() const {
    std::string out;
    for (const Partial& partial : plan_.partials)
      out += fmt::format("{}{} <> 0", out.empty() ? "" : " OR ", partial.column);
    return out;
  }

  void prepare() {
    accumulate_.clear();
    accumulate_.resize(plan_.inputs.size());
    accumulate_more_.clear();
    accumulate_more_.resize(plan_.inputs.size());
    move_first_ = PreparedSql(fmt::format("INSERT INTO {} SELECT {} FROM {}", parts_table_.name(),
                                          name_list(spec_.columns), change_.name()));
    const std::string groups = name_list(plan_.groups);
    std::string sums, changed, news;
    for (const Partial& partial : plan_.partials) {
      sums += fmt::format(", CAST(sum({0}) AS {1}) AS {0}", partial.column, partial.type);
      changed += fmt::format("{}sum({}) <> 0", changed.empty() ? "" : " OR ", partial.column);
      news +=
          fmt::format(", CAST(c.{0} + coalesce(o.{0}, 0) AS {1})", partial.column, partial.type);
    }
    sum_up_ = PreparedSql(fmt::format(
        "INSERT INTO {} SELECT {}{}, {}, 1 FROM {} GROUP BY {} HAVING {}", change_.name(), groups,
        sums, hash_of(plan_.groups), parts_table_.name(), groups, changed));
    const std::string rows = fmt::format("c.{0} + coalesce(o.{0}, 0)", plan_.partials[0].column);
    const std::string kept = fmt::format(
        "CASE WHEN {0} < 0 THEN error({1}) IS NULL ELSE {2} END", rows,
        duck::quote_literal("a group of the view has fewer rows than were taken from it"),
        plan_.global ? "true" : rows + " > 0");
    add_new_ = PreparedSql(fmt::format(
        "INSERT INTO {0} SELECT {1}{2}, c.{3}, 1 FROM {4} AS c LEFT JOIN {0} AS o ON o.{3} = c.{3}"
        "{5} WHERE {6}",
        delta_.name(), name_list(plan_.groups, "c."), news, engine::kHashColumn, change_.name(),
        and_equal(plan_.groups, "o", "c"), kept));
  }

  // The state's rows of the groups that change.
  Result<std::string> take_old_statement() {
    const std::string changed =
        fmt::format("FROM {} WHERE {} > 0", change_.name(), engine::kWeightColumn);
    TRY_ASSIGN(const std::string state,
               store_->lookup(fmt::format("SELECT {} {}", engine::kHashColumn, changed)));
    return fmt::format(
        "INSERT INTO {0} SELECT {1}, s.{2}, -1 FROM {3} AS s JOIN (SELECT * {4}) AS c "
        "ON s.{2} = c.{2}{5}",
        delta_.name(), name_list(spec_.columns, "s."), engine::kHashColumn, state, changed,
        and_same(plan_.groups, "s", "c"));
  }

  StrategyInput input_;
  const Plan& plan_;
  std::string shown_;  // the view's SELECT list over the state: its columns, hidden group columns
  engine::StoreSpec spec_;
  DeltaJoin join_;
  Relation relation_;
  std::unique_ptr<engine::Store> store_;
  ScratchTable change_;       // totals of this batch's changes: the first part, then all added up
  ScratchTable parts_table_;  // further parts, of other inputs
  ScratchTable delta_;        // old and new rows of the state
  std::vector<PreparedSql> accumulate_;       // of the first part
  std::vector<PreparedSql> accumulate_more_;  // of further ones
  PreparedSql move_first_;
  PreparedSql sum_up_;
  PreparedSql take_old_;
  PreparedSql add_new_;
  int parts_ = 0;
};

}  // namespace

std::unique_ptr<ViewStrategy> make_group_strategy(StrategyInput input) {
  return std::make_unique<GroupStrategy>(std::move(input));
}

}  // namespace pgweir::views
