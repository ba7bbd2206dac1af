// SELECT * FROM session(...): a row's window goes by the other rows of its partition, so a change
// of an input makes the windows of the partitions anew that it touches, and of no others. The state
// has the rows themselves, found by partition: what they were before comes from there, not from
// the input.
#include <fmt/core.h>

#include "views/row_state.h"

namespace pgweir::views {
namespace {

using duck::quote_identifier;

std::vector<engine::StoreColumn> with_weight(std::vector<engine::StoreColumn> columns) {
  columns.push_back({"pgweir_w", "BIGINT"});
  return columns;
}

class SessionStrategy : public ViewStrategy {
 public:
  explicit SessionStrategy(StrategyInput input)
      : input_(std::move(input)),
        sessions_(*input_.sessions),
        state_(input_, make_spec()),
        changes_(fmt::format("pgweir_changes_{}", input_.id),
                 with_weight(sessions_.relation->columns)),
        partitions_(fmt::format("pgweir_partitions_{}", input_.id), partition_columns()),
        rows_(fmt::format("pgweir_rows_{}", input_.id), with_weight(input_.columns)) {}

  const char* kind() const override { return "affected keys"; }
  const Relation& relation() const override { return state_.relation(); }
  std::vector<std::string> stores() const override { return {state_.spec().name}; }

  Status setup(duck::Connection& connection, bool keep) override {
    TRY(state_.open(connection, keep));
    for (ScratchTable* table : {&changes_, &partitions_, &rows_}) TRY(table->create(connection));
    changed_ = false;
    prepare();
    if (keep) return {};
    return state_.load(fmt::format("SELECT {} FROM {}", cast_list(),
                                   windowed_rows(sessions_.window, sessions_.relation->content)));
  }

  Status accumulate(duck::Connection& connection, std::size_t) override {
    take_change_.set(fmt::format("INSERT INTO {} SELECT {}, {} FROM {}", changes_.name(),
                                 name_list(sessions_.relation->columns), engine::kWeightColumn,
                                 sessions_.relation->delta));
    TRY_ASSIGN(const std::uint64_t rows, take_change_.run(connection));
    changed_ = changed_ || rows > 0;
    return {};
  }

  Result<Change> finish(duck::Connection& connection) override {
    if (!changed_) return Change{};
    changed_ = false;
    TRY_ASSIGN(const std::uint64_t partitions, take_partitions_.run(connection));
    if (partitions == 0) {  // what changed is no change of any row
      TRY(changes_.clear(connection));
      return Change{};
    }
    TRY_ASSIGN(
        const std::string kept,
        state_.lookup(fmt::format("SELECT {} FROM {}", engine::kHashColumn, partitions_.name())));
    take_rows_.set(fmt::format(
        "INSERT INTO {} SELECT {}, 1 FROM {} AS s JOIN (SELECT * FROM {} WHERE pgweir_w > 0) AS c "
        "ON s.{} = c.{}{}",
        rows_.name(), name_list(input_.columns, "s."), kept, partitions_.name(),
        engine::kHashColumn, engine::kHashColumn, and_same(by_, "s", "c")));
    TRY(take_rows_.run(connection));
    TRY(compare_.run(connection));
    for (ScratchTable* table : {&changes_, &partitions_, &rows_}) TRY(table->clear(connection));
    return state_.take_delta();
  }

  Status clear_delta(duck::Connection& connection) override {
    return state_.clear_delta(connection);
  }
  Result<std::uint64_t> state_rows() override { return state_.row_count(); }

 private:
  engine::StoreSpec make_spec() {
    engine::StoreSpec spec;
    spec.name = state_name(input_.view);
    spec.columns = input_.columns;
    spec.unique = false;
    for (const std::string& name : sessions_.window.partition) {
      for (std::uint32_t i = 0; i < spec.columns.size(); ++i) {
        if (spec.columns[i].name != name) continue;
        spec.key.push_back(i);
        by_.push_back(spec.columns[i]);
      }
    }
    return spec;
  }

  std::vector<engine::StoreColumn> partition_columns() const {
    std::vector<engine::StoreColumn> columns = by_;
    columns.push_back({engine::kHashColumn, "UBIGINT"});
    columns.push_back({"pgweir_w", "BIGINT"});
    return columns;
  }

  std::string cast_list() const {
    std::string list;
    for (const auto& column : input_.columns) {
      const std::string name = quote_identifier(column.name);
      list +=
          fmt::format("{}CAST({} AS {}) AS {}", list.empty() ? "" : ", ", name, column.type, name);
    }
    return list;
  }

  void prepare() {
    const std::string columns = name_list(sessions_.relation->columns);
    // Rows that cancel each other out touch nothing.
    const std::string changes = fmt::format(
        "SELECT * FROM (SELECT {}, CAST(sum(pgweir_w) AS BIGINT) AS pgweir_w FROM {} GROUP BY ALL) "
        "WHERE pgweir_w <> 0",
        columns, changes_.name());
    const std::string by = by_.empty() ? "" : name_list(by_) + ", ";
    take_partitions_ = PreparedSql(
        fmt::format("INSERT INTO {} SELECT DISTINCT {}{} AS {}, 1 FROM ({})", partitions_.name(),
                    by, hash_of(by_), engine::kHashColumn, changes));
    const std::string now = fmt::format(
        "(SELECT * EXCLUDE (pgweir_w, pgweir_copy) FROM (SELECT *, unnest(range(pgweir_w)) AS "
        "pgweir_copy FROM (SELECT {0}, CAST(sum(pgweir_w) AS BIGINT) AS pgweir_w FROM (SELECT {0}, "
        "pgweir_w FROM {1} UNION ALL SELECT {0}, pgweir_w FROM {2}) GROUP BY ALL)))",
        columns, rows_.name(), changes_.name());
    compare_ = PreparedSql(state_.fill_statement(
        state_.delta().name(),
        fmt::format("SELECT {}, 1 AS pgweir_w FROM {} UNION ALL SELECT {}, -1 FROM {}", cast_list(),
                    windowed_rows(sessions_.window, now), name_list(input_.columns),
                    rows_.name())));
  }

  StrategyInput input_;
  const SessionPlan& sessions_;
  std::vector<engine::StoreColumn> by_;  // the partition columns
  RowState state_;
  ScratchTable changes_;     // of this batch
  ScratchTable partitions_;  // that they touch
  ScratchTable rows_;        // of these, as they were
  PreparedSql take_change_;
  PreparedSql take_partitions_;
  PreparedSql take_rows_;
  PreparedSql compare_;
  bool changed_ = false;
};

}  // namespace

std::optional<SessionPlan> plan_sessions(const ViewDefinition& view,
                                         const std::vector<const Relation*>& relations,
                                         const std::vector<std::optional<Window>>& windows) {
  const Json& node = view.node;
  if (view.refs.size() != 1 || !windows[0] || !windows[0]->goes_by_other_rows() ||
      text_of(node, "type") != "SELECT_NODE" ||
      text_of(child(node, "from_table"), "type") != "TABLE_FUNCTION" ||
      !child(child(node, "from_table"), "column_name_alias").empty())
    return std::nullopt;
  for (const char* part : {"where_clause", "having", "qualify", "sample"})
    if (!child(node, part).is_null()) return std::nullopt;
  for (const Json& modifier : child(node, "modifiers"))
    if (text_of(modifier, "type") != "ORDER_MODIFIER") return std::nullopt;
  const Json& list = child(node, "select_list");
  if (list.size() != 1 || !is_class(list[0], "STAR") || child(list[0], "columns") == true ||
      !child(list[0], "expr").is_null() || !child(node, "group_expressions").empty())
    return std::nullopt;
  for (const char* part : {"exclude_list", "replace_list", "qualified_exclude_list", "rename_list"})
    if (!child(list[0], part).empty()) return std::nullopt;
  return SessionPlan{relations[0], *windows[0]};
}

std::unique_ptr<ViewStrategy> make_session_strategy(StrategyInput input) {
  return std::make_unique<SessionStrategy>(std::move(input));
}

}  // namespace pgweir::views
