// The pipeline's views: analysed, bound to the mirrors, kept up to date with every batch.
//
// Place:   plugs into the engine as its ViewMaintainer; the only thing of views/ that others need.
// Life:    create() from the configuration; wanted_columns() answers the engine while it opens and
//          defines its tables; open(engine), and the engine's set_maintainer(this); close() before
//          the engine is destroyed. A ViewSet is needed even when there are no views any more: it
//          drops what they left.
// Threads: views(), view(), explain(): any thread. Everything else: the engine's.
// Failing: a view that cannot be kept is set aside and stops nothing else; see set_aside_failed().
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/logger.h"
#include "base/mutex.h"
#include "base/result.h"
#include "engine/engine.h"
#include "io/clock.h"
#include "views/analysis.h"
#include "views/append_strategy.h"
#include "views/arrangement.h"
#include "views/isolated_strategy.h"
#include "views/outline.h"
#include "views/strategy.h"
#include "views/temporal_strategy.h"
#include "views/view_catalog.h"
#include "views/view_clock.h"
#include "views/view_listener.h"
#include "views/view_times.h"
#include "views/watermarks.h"

namespace pgweir::views {

enum class ViewState {
  kLive,
  kWaiting,  // for the first snapshot
  kRefused,  // its definition cannot be a view
  kFailed,   // it could not be kept up to date, and will be made anew when its definition changes
};
const char* view_state_name(ViewState state);

struct ViewInfo {
  std::string name;
  std::string sql;
  ViewState state = ViewState::kWaiting;
  // "delta", "affected keys", "recompute": the dearest of its parts; empty when refused.
  std::string strategy;
  std::string reason;  // why this strategy
  std::vector<engine::StoreColumn> columns;
  std::vector<std::string> reads;  // tables and views
  std::uint64_t state_rows = 0;    // that the state holds; HAVING may show fewer
  OutputMode mode = OutputMode::kUpdate;
  // Of append mode. Windows that end up to here have left: microseconds since 1970-01-01 UTC;
  // nothing before the first.
  std::optional<std::int64_t> closed_up_to;
  std::uint64_t open_rows = 0;  // of the state of windows that are open
  std::uint64_t late_rows = 0;  // changes of rows in closed windows, which the view left out
  // What a live view, with its parts, takes of the batches that change something for it.
  std::optional<BatchTime> last_batch;
  std::optional<BatchTime> longest_batch;  // of late, among those that it is judged by
  Microseconds time_total{0};              // since it was opened
  Milliseconds budget{0};                  // zero: none
  bool awaits_rows = false;                // of a table that is read again: then it is built
  std::optional<Error> error;
  std::string rows;  // SQL, quoted, to read it from
  // Of an isolated view; `as_of` is nothing before it was computed first, when its state is
  // waiting. While it is not behind, it is true at every position since.
  bool isolated = false;
  std::optional<IsolatedPosition> as_of;
  bool is_behind = false;
};

// Answers "how is this view kept?": `text` for people, the rest for programs.
struct Explanation {
  ViewInfo view;
  struct Input {
    std::string relation;
    std::vector<std::string> columns;  // whose changes matter
    std::string lookup;                // how a join finds its rows; empty without
  };
  std::vector<Input> inputs;
  struct Arranged {
    std::string name;  // "public.orders by customer_id"
    std::uint64_t rows = 0;
  };
  std::vector<Arranged> arrangements;
  std::vector<std::string> keeps;  // group columns and totals of the state
  // What the view was taken apart into, in the order in which they are kept; the view itself is the
  // last. Empty for a view in one piece.
  struct Part {
    std::string name;  // "part 1"; the view's own for the last
    std::string sql;
    std::string strategy;
    std::string reason;
    std::vector<std::string> reads;
    bool stored = true;        // else its rows are computed where they are needed
    bool is_temporal = false;  // its rows enter and leave by the clock
    std::uint64_t rows = 0;    // that it keeps; of a temporal one the times at which they will
  };
  std::vector<Part> parts;
  std::string text;
};

struct WatermarkInfo {
  std::string column;  // "schema.table.column"
  Milliseconds delay{0};
  std::optional<std::int64_t> at;      // microseconds since 1970-01-01 UTC
  std::optional<std::int64_t> newest;  // time of a row
};

struct ViewSetOptions {
  std::vector<WatermarkSource> watermarks;
  // A table with more columns than this is mirrored only with those that views name.
  std::size_t whole_table_columns_max = 32;
  // Of the first rows of a relation so many are kept beyond twice those that a view needs: before
  // so many have gone it is not read again.
  std::size_t first_rows_spare = 1000;
  IsolatedOptions isolated;
  // What a view may take of a batch of up to kJudgedChangesMax changes, where its definition says
  // nothing else; zero: as long as it likes. One that takes more of kOverBudgetMax of them in a row
  // is set aside until its definition or its budget is another, or rebuild_view().
  Milliseconds budget{10'000};
  // Tells the time and measures, that of the machine without one. Must outlive the ViewSet.
  const io::Clock* clock = nullptr;
};

// What other definitions made of the views, by name.
struct ViewChanges {
  std::vector<std::string> added;
  std::vector<std::string> changed;
  std::vector<std::string> dropped;
  std::vector<std::pair<std::string, std::string>> renamed;  // from, to
  std::vector<std::string> unchanged;
};

class ViewSet : public engine::ViewMaintainer {
 public:
  // Fails only for what concerns all views: another DuckDB, two views of one name.
  static Result<std::unique_ptr<ViewSet>> create(std::vector<ViewSource> sources, Logger& logger,
                                                 ViewSetOptions options = {});
  ~ViewSet() override;

  // For Engine::open(): the columns of a table that the views need; nothing when none reads it.
  std::optional<std::vector<std::uint32_t>> wanted_columns(const model::Table& table) const;

  // Binds the views to the engine's mirrors. An unchanged view keeps its state, a new or changed
  // one is built from the mirrors, what is left of removed ones is dropped. Not while the engine is
  // in a transaction. `engine` must outlive close().
  Status open(engine::Engine& engine);
  // Gives back everything that lives on the engine's connection.
  void close();

  // After an apply(), let_time_pass() or end_snapshot() that failed: true when a view's own
  // failure, or that it was over its budget in the batches before, was the reason. The view, and
  // those that read it, are then set aside for good and the same call can be made again from the
  // engine's position(). True also when it was the listener's.
  Result<bool> set_aside_failed();

  // Takes other definitions, as create() and open() would. A view that is as it was keeps its
  // state, also under another name; the others are built from the mirrors as they are now. Not
  // while the engine is in a transaction. After a failure with kConfig nothing has changed; after
  // another one the next batch begins with what was left undone.
  Result<ViewChanges> redefine(std::vector<ViewSource> sources);

  // Builds a view, and those that read it, anew from what the tables hold now: also one that
  // failed. Their names, its own first; view() tells which of them are live then. Windows that had
  // left a view in append mode leave anew. Not while the engine is in a transaction. kNotFound when
  // there is none, kInvalid when its definition is refused: then nothing has changed. After another
  // failure the next batch begins with what was left undone.
  Result<std::vector<std::string>> rebuild_view(const std::string& name);

  // As readers find the views: what a transaction makes of them is told once it is committed.
  std::vector<ViewInfo> views() const;
  std::vector<WatermarkInfo> watermarks() const;
  Result<ViewInfo> view(const std::string& name) const;
  Result<Explanation> explain(const std::string& name) const;

  // One, or none (nullptr). Not while the engine is in a call; it must outlive that.
  void set_listener(ViewListener* listener) { listener_ = listener; }

  // What now() is, in microseconds since 1970-01-01 UTC, as last committed; nothing before there
  // was a view that goes by it. Any thread.
  std::optional<std::int64_t> now_us() const;
  // Whether Engine::let_time_pass() does something: rows enter or leave by now, or a view is over
  // its budget, and it fails for that.
  bool is_time_due() const;

  // ViewMaintainer.
  Result<Portion> take_transactions(duck::Connection& connection, const model::Batch& batch,
                                    std::size_t first) override;
  Status table_changed(duck::Connection& connection, const engine::Mirror& mirror,
                       const engine::Delta& delta) override;
  Status batch_applied(duck::Connection& connection) override;
  Status time_passes(duck::Connection& connection) override;
  RowsNeeded rows_needed(const engine::Mirror& mirror) const override;
  Status rebuild(duck::Connection& connection) override;
  Status table_replaced(duck::Connection& connection, const engine::Mirror& mirror) override;
  Status table_stopped(duck::Connection& connection, const engine::Mirror& mirror) override;
  Status mirrors_changed(duck::Connection& connection,
                         std::vector<engine::Mirror> mirrors) override;
  void committed(const engine::EnginePosition& position, bool whole) override;
  void rolled_back() override;
  void database_closes() override;
  Status database_opened(engine::Engine& engine) override { return open(engine); }

 private:
  struct View;

  ViewSet(Logger& logger, ViewSetOptions options);

  // Binding (view_binding.cc): from definitions and mirrors to names, plans and strategies.
  void bind_all();
  void find_dependencies();
  void bind(View& view);
  Status find_relations(View& view);
  Status make_strategy_of(View& view);
  std::unique_ptr<ViewStrategy> make_append_strategy(
      View& view, StrategyInput input, AppendPlan plan,
      const std::vector<std::optional<Window>>& windows);
  Status plan_append_view(View& view, const std::string& select,
                          const std::vector<std::optional<Window>>& windows, AppendPlan append);
  // view_parts.cc: how a view is kept, and the parts that it needs for that.
  Status plan_view(View& view, const std::string& select,
                   const std::vector<std::optional<Window>>& windows);
  static void plan_few_rows(View& view, Extent extent,
                            const std::vector<const Relation*>& relations, StrategyInput* input);
  Status plan_rest(View& view, const ViewDefinition& definition,
                   const std::vector<const Relation*>& relations,
                   const std::vector<std::optional<Window>>& windows, bool* planned);
  Status add_parts(View& view, const Outline& outline, bool* added);
  Status bind_rest(View& view, const std::string& sql, std::vector<const Relation*>* relations,
                   std::vector<std::optional<Window>>* windows, bool* bound);
  Status plan_isolated_view(View& view, const std::string& select);
  void settle_isolated(bool committed);
  Result<std::vector<std::optional<Window>>> windows_of(
      const ViewDefinition& definition, const std::vector<const Relation*>& relations);
  const Relation* relation_named(const std::string& schema, const std::string& name) const;
  void forget_parts(std::size_t views, std::size_t ordered);
  void arrange();
  std::vector<Named> known_names() const;
  void declare_mirror(const engine::Mirror& mirror);
  std::string fingerprint_of(const View& view) const;
  std::optional<Error> lacking_columns(const View& view) const;
  std::string fingerprint_of(const Relation& relation, const std::set<std::string>& named) const;

  // Other definitions (view_reload.cc).
  static Status check_names(const std::vector<ViewSource>& sources);
  Status take_over_renamed(duck::Connection& connection);

  // Keeping (view_set.cc).
  enum class Transactions { kOwn, kCallers };
  enum class Keep { kUnchanged, kNothing };
  Status set_up_all(duck::Connection& connection, Transactions transactions, Keep keep);
  Status set_up(duck::Connection& connection, View& view, const StoredView* stored, Keep keep,
                const std::set<const Arrangement*>& rowless);
  std::string shape_of(const Arrangement& arrangement) const;
  bool is_kept(const Arrangement& arrangement, const StoredView* stored, Keep keep) const;
  Status set_up(duck::Connection& connection, Arrangement& arrangement, const StoredView* stored,
                Keep keep);
  Status wait_for_rows(duck::Connection& connection, View& view, const Relation& relation);
  Result<bool> falls_with_input(duck::Connection& connection, View& view);
  Result<bool> falls_with_renewed(duck::Connection& connection, View& view,
                                  const Relation& replaced);
  Status wait_for_snapshot(duck::Connection& connection);
  Status before_changes(duck::Connection& connection);
  Status open_again(duck::Connection& connection);
  std::set<const Relation*> to_renew(const Relation& relation) const;
  Status renew(duck::Connection& connection, const Relation& relation);
  void states_made();
  Status give_delta(duck::Connection& connection, const Relation& relation);
  Status finish(duck::Connection& connection, View& view);
  Status tell_listener(duck::Connection& connection, const View& view);
  void tell_replaced();
  Status end_batch();
  bool loading(duck::Connection& connection) const;

  // What goes by the clock (view_temporal.cc).
  Status plan_temporal(View& view, const BoundSelect& select, StrategyInput* input, bool* planned);
  Result<std::optional<Outline>> take_layer(const View& view, const BoundSelect& select,
                                            const NamePart& name_part);
  Error clock_refused(const View& view, const std::string& why) const;
  bool goes_by_clock() const;
  const io::Clock& machine() const;
  std::int64_t wall_us() const;
  Status start_clock(duck::Connection& connection, const std::map<std::string, StoredView>& stored,
                     Keep keep);
  Result<bool> advance_clock(duck::Connection& connection);

  // Event time (view_event_time.cc).
  void declare_closed_windows();
  Status read_watermarks(duck::Connection& connection, Keep keep);
  Status start_watermark(duck::Connection& connection, std::size_t mark);
  void publish_watermarks();

  // Setting aside (view_failures.cc).
  Status failed(View& view, const Error& failure);
  Status blame(View& view, const Error& failure);
  // For its own failure, or for its budget: then all of its parts, which take the time, too.
  enum class Why { kFailed, kOverBudget };
  Status set_aside(duck::Connection& connection, View& view, const Error& failure, Why reason);
  Status drop_state(duck::Connection& connection, const View& view);
  Status drop_open_windows(duck::Connection& connection, const View& view);
  Status drop_unused_arrangements(duck::Connection& connection);
  Status drop_leftovers(duck::Connection& connection);
  View* first_user(const Arrangement& arrangement) const;

  // Budgets (view_budget.cc).
  Milliseconds budget_of(const View& view) const;
  void declare_budgets();
  // Fails once when a view is over its budget; set_aside_failed() then sets it aside.
  Status check_budgets();
  View* over_budget() const;
  // Of a view that was set aside for its budget, in place of its fingerprint.
  std::string over_budget_mark(const View& view) const;

  // Telling (view_explain.cc).
  void publish(Transactions transactions);
  void publish_committed();
  void publish_rows();
  void tell_rows(const View& view, ViewInfo* told) const;
  Explanation explanation_of(const View& view) const;
  std::vector<const View*> parts_of(const View& view) const;
  void tell_parts(const View& view, Explanation& told) const;
  std::string name_for_people(const Relation& relation) const;

  View* view_of(const Relation& relation) const;
  View* find_view(const std::string& name) const;
  // The mirror's relation; nullptr when it is not bound as it is now.
  Relation* bound(const engine::Mirror& mirror) const;

  Logger& logger_;
  const ViewSetOptions options_;
  std::unique_ptr<SqlParser> parser_;
  std::optional<FunctionCatalog> functions_;
  std::vector<ViewDefinition> definitions_;  // of all views, in the configuration's order
  ViewListener* listener_ = nullptr;
  std::set<std::string> replaced_;  // what it is told at the next commit; once too often is fine
  bool listener_failed_ = false;    // since the last commit
  Watermarks watermarks_;
  bool event_time_stale_ = true;  // what is in memory of it may not be what the database has
  const io::RealClock machine_clock_;
  ViewClock clock_;
  bool clock_stale_ = true;    // the same
  std::string clock_problem_;  // of a part of the view that is bound: why now() cannot be followed

  engine::Engine* engine_ = nullptr;
  std::unique_ptr<IsolatedRunner> runner_;                    // once there is an isolated view
  std::map<std::string, std::unique_ptr<Relation>> mirrors_;  // by qualified name
  std::map<std::string, std::string> stopped_;                // mirrors out of date, and why
  std::vector<std::unique_ptr<View>> views_;                  // as definitions_, then their parts
  std::vector<std::size_t> order_;  // of views_: each after those that it reads
  std::map<std::string, std::unique_ptr<Arrangement>> arrangements_;
  std::size_t next_id_ = 0;  // of temporary tables
  int part_depth_ = 0;       // of the part that is bound
  std::uint64_t batches_ = 0;

  // As the engine's open transaction has left them; without it, as the engine shows them.
  std::optional<std::vector<engine::Mirror>> mirrors_now_;
  // States were made in the engine's transaction that began at this position: its rollback, which
  // sets undone_, takes them away, and everything is opened again before the next change.
  std::optional<model::Position> made_at_;
  bool undone_ = false;
  bool redefining_ = false;  // whoever changes the mirrors need not tell
  bool recount_ = false;     // after a rollback
  View* failing_ = nullptr;  // whose failure made the last call fail
  std::optional<Error> failure_;
  Why failing_for_ = Why::kFailed;
  ViewTimes times_;
  std::string short_of_memory_;    // the view that was so in the last calls
  int short_of_memory_times_ = 0;  // in a row

  // What is told of the views is true for readers: of the open transaction it waits for the commit,
  // of a committed part of a large one for the last.
  std::optional<std::vector<Explanation>> to_commit_;
  std::optional<std::vector<Explanation>> to_publish_;
  bool rows_changed_ = false;  // and their counts are to be told

  mutable Mutex mutex_;
  std::vector<Explanation> published_ GUARDED_BY(mutex_);
  std::vector<WatermarkInfo> published_watermarks_ GUARDED_BY(mutex_);
  std::int64_t published_now_us_ GUARDED_BY(mutex_) = 0;
};

}  // namespace pgweir::views
