// How a view's SELECT can be kept by deltas: its inputs, join, conditions and totals, with every
// column resolved; or the reason why it cannot.
//
// Place:   the second half of the analysis, over relations with known columns. Strategies turn a
//          plan into statements (plan_sql.h).
// Threads: plain data.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "views/analysis.h"
#include "views/relation.h"
#include "views/window.h"

namespace pgweir::views {

// The view's SQL with every name replaced by the relation that it means, and tumble() and
// its like by a subquery. `rows_of` gives the text to read a relation from. Keeps a map back for
// messages.
class ResolvedSql {
 public:
  ResolvedSql(const ViewDefinition& view, const std::vector<const Relation*>& relations,
              const std::vector<std::optional<Window>>& windows,
              std::string (*rows_of)(const Relation&));
  const std::string& text() const { return text_; }
  // The offset in the user's text for one in text().
  std::uint64_t original(std::uint64_t offset) const;

 private:
  struct Edit {
    std::size_t start = 0, end = 0, original = 0, original_end = 0;
  };
  std::string text_;
  std::vector<Edit> edits_;
};

// The SELECT over the rows that readers see of the relations.
std::string select_over_rows(const ViewDefinition& view,
                             const std::vector<const Relation*>& relations,
                             const std::vector<std::optional<Window>>& windows);

struct PlanInput {
  const Relation* relation = nullptr;
  std::string alias;  // "i0", "i1"
  std::optional<Window> window;
  std::vector<std::string> used;  // columns of the relation that the view needs
};

// A join reads so many inputs at the most.
inline constexpr std::size_t kJoinInputsMax = 8;

// A plain column of one input that equals one of another.
struct JoinKey {
  std::size_t left_input = 0;
  engine::StoreColumn left;
  std::size_t right_input = 0;
  engine::StoreColumn right;
};

// One more input of a join of deltas: its rows are found by `columns`, which equal `partners`,
// columns of inputs that are joined already. Without columns it is joined to all of them.
struct JoinStep {
  std::size_t input = 0;
  std::size_t lookup = 0;  // of lookups_of()
  std::vector<engine::StoreColumn> columns;
  std::vector<std::pair<std::size_t, engine::StoreColumn>> partners;
};

struct Condition {
  std::string sql;  // over the inputs
  std::set<std::size_t> inputs;
};

// A total that can be added to and taken from: sum(value) over the rows of a group.
struct Partial {
  std::string column;
  std::string type;
  std::string value;  // SQL over the inputs, never NULL
};

struct PlanColumn {
  engine::StoreColumn column;
  // Without groups over the inputs, else over group columns, partials and finals.
  std::string sql;
  // When it is a group column (its number) or a plain column of an input, this says which.
  std::optional<std::size_t> group;
  std::optional<std::pair<std::size_t, std::string>> source;
};

struct Plan {
  std::vector<PlanInput> inputs;
  // A column of an input is called "i0.name", one name, and not i0.name: joins of more than two
  // inputs, and of a relation with itself, go through tables that have columns of several.
  bool flat = false;
  std::vector<JoinKey> join;
  // By the input that changes: how the others are joined to it.
  std::vector<std::vector<JoinStep>> steps;
  std::vector<Condition> conditions;  // all must hold
  std::vector<PlanColumn> columns;

  bool grouped = false;
  bool global = false;                      // totals without GROUP BY: one row, whatever the input
  std::vector<engine::StoreColumn> groups;  // "pgweir_g0" ...
  std::vector<std::string> group_sql;       // over the inputs
  std::vector<Partial> partials;            // the first counts the group's rows
  std::vector<std::pair<std::string, std::string>> finals;  // name, SQL over groups and partials
  std::string having;  // SQL over groups, partials and finals; may be empty
};

// SELECT * FROM session(...): all rows of a relation, each with its session.
struct SessionPlan {
  const Relation* relation = nullptr;
  Window window;
};
// Nothing for any other SELECT.
std::optional<SessionPlan> plan_sessions(const ViewDefinition& view,
                                         const std::vector<const Relation*>& relations,
                                         const std::vector<std::optional<Window>>& windows);

// The column of an input in SQL over the inputs.
std::string column_sql(const Plan& plan, std::size_t input, const std::string& column);

// Rows of an input as expressions over the inputs want them; `source` is SQL for FROM that gives
// the relation's columns.
std::string input_from(const Plan& plan, std::size_t input, const std::string& source);

// Finds plan.steps. What is not joined to the others by an equality is read whole, for every change
// of them, when `whole` allows it; else false.
bool find_steps(Plan& plan, bool whole);

struct PlanOutcome {
  std::optional<Plan> plan;
  std::string reason;  // of the choice, for people
};

// `relations[i]` and `windows[i]` are those of view.refs[i]; `result` is what the view's SELECT
// gives. Fails only when DuckDB does.
Result<PlanOutcome> make_plan(SqlParser& parser, const FunctionCatalog& functions,
                              const ViewDefinition& view,
                              const std::vector<const Relation*>& relations,
                              const std::vector<std::optional<Window>>& windows,
                              const std::vector<engine::StoreColumn>& result);

}  // namespace pgweir::views
