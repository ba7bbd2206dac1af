// How one view is kept up to date. A new way of keeping views is one more implementation.
//
// Place:   made by make_strategy() from a view's plan; driven by the ViewSet.
// Life:    setup(); then in every batch accumulate() for each change of an input and finish() once.
//          All inside the engine's transactions; on an error the transaction is rolled back, and
//          everything that a strategy remembers between calls must still be right then.
// Threads: the engine's write connection only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "views/keyed_plan.h"
#include "views/outline.h"
#include "views/plan.h"
#include "views/scratch.h"

namespace pgweir::views {

class Arrangement;

// Raised whenever a strategy keeps its state in another form, or SQL means something else: every
// state is then made anew.
inline constexpr int kStateVersion = 6;

// The rows of one input that are looked up, found by their columns `key`.
struct Lookup {
  std::size_t input = 0;
  const Relation* relation = nullptr;
  std::vector<std::string> columns;  // that are read of them
  std::vector<engine::StoreColumn> key;
  bool own_key = false;                // `key` is that of the relation itself
  bool whole = false;                  // every row is wanted; `key` is any
  Arrangement* arrangement = nullptr;  // without own_key: set before the first accumulate()

  // By these columns; by none means every row. The key is in the order of the relation's own key
  // when that is among them, and without the others then; else in the order of names, so that
  // lookups by the same columns share an arrangement.
  void set_key(const std::vector<engine::StoreColumn>& wanted);

  // SQL for FROM: the rows whose hash is in `keys`, as Store::lookup() gives them; or every row.
  Result<std::string> rows_of(const std::string& keys) const;
};
using Lookups = std::shared_ptr<std::vector<Lookup>>;

// Whether one of them reads the relation itself, and not an arrangement of it.
bool look_into(const Lookups& lookups, const Relation& relation);

class ViewStrategy {
 public:
  // What a batch did to a view's state.
  struct Change {
    bool any = false;
    std::int64_t rows_more = 0;  // by which the state has grown
  };

  virtual ~ViewStrategy() = default;

  // "delta", "affected keys" or "recompute".
  virtual const char* kind() const = 0;
  // Columns, key and the names under which the state and its changes are read.
  virtual const Relation& relation() const = 0;
  // Names of the stores that hold the state.
  virtual std::vector<std::string> stores() const = 0;

  // Whether it reads the input's own rows to keep its state, or goes by its changes and what
  // arrangements have of it. To make the state anew it needs the rows in any case.
  virtual bool needs_rows_of(const Relation&) const { return true; }

  // Opens the kept state, or makes it anew from the inputs as they are now.
  virtual Status setup(duck::Connection& connection, bool keep) = 0;
  // Makes the state anew in the middle of a batch: an input was truncated or replaced.
  virtual Status renew(duck::Connection& connection) { return setup(connection, false); }
  // Drops the rows of which `test`, of the SQL of the view's column, holds, without a delta:
  // nothing will change them any more. Returns how many. A strategy may keep them.
  using RowTest = std::function<std::string(const std::string& sql)>;
  virtual Result<std::uint64_t> forget_rows(duck::Connection& connection, std::size_t column,
                                            const RowTest& test) {
    (void)connection, (void)column, (void)test;
    return 0;
  }
  // Input `input` changes by its relation's delta. Every other input is as it is at this moment.
  virtual Status accumulate(duck::Connection& connection, std::size_t input) = 0;
  // No further changes in this batch: brings the state up to date and fills relation().delta.
  virtual Result<Change> finish(duck::Connection& connection) = 0;
  // The batch is over: empties relation().delta.
  virtual Status clear_delta(duck::Connection& connection) = 0;
  virtual Result<std::uint64_t> state_rows() = 0;
};

struct StrategyInput {
  std::string view;             // its name
  std::string schema = "main";  // of the view of its rows
  std::string title;            // for people; as `view` when empty
  bool stored = true;           // else rows are not kept, where the strategy can do without
  std::size_t id = 0;           // makes temporary names
  std::vector<engine::StoreColumn> columns;
  std::string select;  // over the relations' rows: for recompute
  // The SELECT's plan, of one kind, and its lookups; without a plan the view is recomputed.
  std::optional<Plan> plan;
  std::optional<SessionPlan> sessions;  // in place of a plan
  std::optional<KeyedPlan> keyed;
  Extent extent = Extent::kAny;         // of what is recomputed
  std::optional<FirstRows> first_rows;  // of the relation `first_of`
  const Relation* first_of = nullptr;
  std::size_t first_rows_spare = 0;     // that are kept beyond twice those
  std::vector<const Relation*> all_of;  // a UNION ALL of these relations' columns, by position
  Lookups lookups;
  engine::StoreOptions store_options;
};

std::unique_ptr<ViewStrategy> make_strategy(StrategyInput input);

std::unique_ptr<ViewStrategy> make_row_strategy(StrategyInput input);
std::unique_ptr<ViewStrategy> make_group_strategy(StrategyInput input);
std::unique_ptr<ViewStrategy> make_session_strategy(StrategyInput input);
std::unique_ptr<ViewStrategy> make_keyed_strategy(StrategyInput input);
std::unique_ptr<ViewStrategy> make_union_strategy(StrategyInput input);
std::unique_ptr<ViewStrategy> make_first_rows_strategy(StrategyInput input);
std::unique_ptr<ViewStrategy> make_recompute_strategy(StrategyInput input);

// The lookups that a plan's join needs, without arrangements; numbered as its steps name them.
Lookups lookups_of(const Plan& plan);
Lookups lookups_of(const KeyedPlan& plan);

// The name of the store of a view's rows.
std::string state_name(const std::string& view);

// FROM ... with the conditions: all rows of the inputs.
std::string full_from(const Plan& plan);

}  // namespace pgweir::views
