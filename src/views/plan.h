// How a view's SELECT can be kept by deltas: its inputs, join, conditions and totals, with every
// column resolved; or the reason why it cannot.
//
// Place:   the second half of the analysis, over relations with known columns. Strategies turn a
//          plan into statements (plan_sql.h).
// Threads: plain data.
#pragma once

#include <optional>
#include <string>
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

struct PlanInput {
  const Relation* relation = nullptr;
  std::string alias;  // "i0", "i1"
  std::optional<Window> window;
  std::vector<std::string> used;  // columns of the relation that the view needs
};

// left of input 0 = right of input 1, both plain columns.
struct JoinKey {
  engine::StoreColumn left;
  engine::StoreColumn right;
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
  std::vector<JoinKey> join;
  std::vector<std::string> conditions;  // SQL over the inputs; all must hold
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
