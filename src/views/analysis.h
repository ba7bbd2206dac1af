// What a view's SQL says, before anything is known of the tables: which relations it reads, and
// whether it may be a view at all.
//
// Place:   the first half of the analysis; plan.h is the second, over known columns.
// Threads: plain data and pure functions over a parser.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/nearest_name.h"
#include "base/result.h"
#include "base/units.h"
#include "model/table.h"
#include "views/ast.h"
#include "views/event_time.h"
#include "views/functions.h"
#include "views/window_call.h"

namespace pgweir::views {

// A view as the configuration names it.
struct ViewSource {
  std::string name;
  std::string sql;
  OutputMode mode = OutputMode::kUpdate;
  bool keeps_late_rows = false;  // of append mode, in pgweir.late_rows
  Milliseconds budget{0};        // of a batch; zero takes that of the ViewSet
  bool isolated = false;         // holds no other view back, at a position of its own
  bool operator==(const ViewSource&) const = default;
};

// One place in the SQL that names a table or a view.
struct RelationRef {
  std::string schema;  // "" when not given
  std::string name;
  std::string alias;  // "" when not given
  // The text to be replaced when names are resolved: [start, end).
  std::size_t start = 0;
  std::size_t end = 0;
  std::optional<WindowCall> window;

  std::string text() const { return schema.empty() ? name : schema + "." + name; }
};

struct ViewDefinition {
  ViewSource source;
  Json node;                      // the AST; null when the view is refused
  std::vector<RelationRef> refs;  // in the order of the text
  std::optional<Error> refusal;   // why it is no view, with line and column
  // Where the first now() of a temporal filter stands; its WHERE, or that of a SELECT in it, has
  // one.
  std::optional<std::uint64_t> clock;
};

// Whose words the SQL is in: what DuckDB prints of a view that was taken apart spells some of
// PostgreSQL's operators as functions that people may not use.
enum class Wording { kOfPeople, kPrinted };

// Never fails: what is wrong with the view is in its `refusal`.
ViewDefinition analyse(SqlParser& parser, const FunctionCatalog& functions, ViewSource source,
                       Wording wording = Wording::kOfPeople);

// The columns of `table` that the views name, as indexes; nothing when no view reads the table.
// Every column when some view takes them all. Keys are always among them.
std::optional<std::vector<std::uint32_t>> columns_used(const std::vector<ViewDefinition>& views,
                                                       const model::Table& table);

// Every name that the view may mean a column by, in lower case; with "*" when it takes all columns.
std::set<std::string> columns_named(const ViewDefinition& view);

// A table or a view that a name may mean.
struct Named {
  std::string schema;  // "" for a view
  std::string name;
  std::string text() const { return schema.empty() ? name : schema + "." + name; }
  bool operator==(const Named&) const = default;
};

// What `ref` in the view `reader` means. kNotFound with the nearest name; kInvalid when ambiguous,
// with the candidates. A view's own name means a table in it.
Result<Named> resolve(const RelationRef& ref, const std::string& reader, const std::string& sql,
                      const std::vector<Named>& known);

// Views in an order in which each comes after those that it reads; those in or above a cycle are
// left out and named in `cyclic`. `reads[i]` are indexes of views.
std::vector<std::size_t> dependency_order(const std::vector<std::set<std::size_t>>& reads,
                                          std::vector<std::size_t>* cyclic);

}  // namespace pgweir::views
