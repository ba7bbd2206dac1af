#include "views/temporal_strategy.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <limits>

#include "views/arrangement.h"

namespace pgweir::views {
namespace {

// Of the store's rows, which have the columns of the part's: when, and whether the row enters (1)
// or leaves (-1) then.
constexpr const char* kStep = "pgweir_step";
constexpr const char* kChange = "pgweir_change";
// Of a row of the input.
constexpr const char* kEnters = "pgweir_enters";
constexpr const char* kLeaves = "pgweir_leaves";

constexpr std::int64_t kEverything = std::numeric_limits<std::int64_t>::max();

using Columns = std::vector<engine::StoreColumn>;

Columns with(Columns columns, const Columns& more) {
  columns.insert(columns.end(), more.begin(), more.end());
  return columns;
}

engine::StoreSpec events_of(const engine::StoreSpec& rows) {
  engine::StoreSpec spec;
  spec.name = rows.name;  // the rows themselves are not kept
  spec.columns = with(rows.columns, {{kStep, "BIGINT"}, {kChange, "TINYINT"}});
  spec.key = {static_cast<std::uint32_t>(rows.columns.size())};
  spec.unique = false;
  spec.distinct = rows.unique;
  return spec;
}

// That a step is still to come. (Not a comparison of the column itself: from that DuckDB would make
// a filter of a scan, which a prepared statement keeps from its last execution.)
std::string is_later(const char* step) {
  return fmt::format("({} - {} > 0)", step, ViewClock::sql());
}

// The first of them, one more than can be known.
std::string first_steps(const std::string& from) {
  return fmt::format("SELECT DISTINCT {0} FROM {1} ORDER BY {0} LIMIT {2}", kStep, from,
                     TemporalStrategy::kKnownStepsMax + 1);
}

// `function` of the steps; `none` without any.
std::string one_of(const char* function, const std::vector<std::string>& steps, std::int64_t none) {
  std::string list;
  for (const std::string& step : steps) list += (list.empty() ? "" : ", ") + step;
  if (steps.empty()) list = std::to_string(none);
  return steps.size() > 1 ? fmt::format("{}({})", function, list) : list;
}

}  // namespace

std::string TemporalPlan::time_column(std::size_t number) {
  return fmt::format("pgweir_t{}", number);
}

TemporalStrategy::TemporalStrategy(StrategyInput input, TemporalPlan plan, const ViewClock& clock)
    : input_(std::move(input)),
      plan_(std::move(plan)),
      clock_(clock),
      rows_(make_row_spec(input_)),
      events_(events_of(rows_.store)),
      state_(input_, rows_.store,
             [this] {
               return fmt::format(
                   "SELECT {} FROM {} WHERE NOT {} AND {}", name_list(rows_.store.columns),
                   in_time(full_from(*input_.plan), "1"), is_later(kEnters), is_later(kLeaves));
             }),
      join_(*input_.plan, input_.lookups, input_.id),
      changes_(fmt::format("pgweir_changes_{}", input_.id),
               with(rows_.store.columns,
                    {{"pgweir_w", "BIGINT"}, {kEnters, "BIGINT"}, {kLeaves, "BIGINT"}})),
      steps_(fmt::format("pgweir_steps_{}", input_.id),
             {{kStep, "BIGINT"}, {engine::kHashColumn, "UBIGINT"}}),
      due_(fmt::format("pgweir_due_{}", input_.id), events_.columns),
      delta_(fmt::format("pgweir_events_{}", input_.id), delta_columns(events_.columns)) {}

// A subquery for FROM: the part's columns, pgweir_w, kEnters and kLeaves of the rows that are in at
// some time.
std::string TemporalStrategy::in_time(const std::string& from, const std::string& weight) const {
  std::string times;
  for (std::size_t i = 0; i < plan_.times.size(); ++i)
    times += fmt::format(", ({}) AS {}", plan_.times[i], TemporalPlan::time_column(i));
  return fmt::format(
      "(SELECT * FROM (SELECT *, CAST({} AS BIGINT) AS {}, CAST({} AS BIGINT) AS {} FROM (SELECT "
      "{}, "
      "CAST({} AS BIGINT) AS pgweir_w{} {})) WHERE {} < {})",
      one_of("greatest", plan_.enters, ViewClock::kAlwaysStep), kEnters,
      one_of("least", plan_.leaves, ViewClock::kNeverStep), kLeaves, rows_.values, weight, times,
      from, kEnters, kLeaves);
}

// What is to come of changes_, or of rows like these: events, and pgweir_w.
std::string TemporalStrategy::to_come(const std::string& changes) const {
  const auto events = [&](const char* step, int change) {
    return fmt::format(
        "SELECT {}, {} AS {}, CAST({} AS TINYINT) AS {}, pgweir_w FROM {} WHERE {} AND {} < {}",
        name_list(rows_.store.columns), step, kStep, change, kChange, changes, is_later(step), step,
        ViewClock::kNeverStep);
  };
  return events(kLeaves, -1) + " UNION ALL " + events(kEnters, 1);
}

Status TemporalStrategy::setup(duck::Connection& connection, bool keep) {
  TRY(state_.open(connection, keep));
  for (ScratchTable* table : {&changes_, &steps_, &due_, &delta_}) TRY(table->create(connection));
  TRY(join_.setup(connection));
  if (!keep) TRY(drop_store(connection, events_.name));
  TRY_ASSIGN(store_, engine::Store::open(connection, events_, input_.store_options));
  changed_ = knows_ = false;
  prepare();
  if (keep) return {};
  return store_->load(fmt::format("SELECT {} FROM ({})", name_list(events_.columns),
                                  to_come(in_time(full_from(*input_.plan), "1"))));
}

void TemporalStrategy::prepare() {
  const std::string names = name_list(rows_.store.columns);
  fill_rows_ = PreparedSql(state_.fill_statement(
      state_.delta().name(),
      fmt::format("SELECT {0}, pgweir_w FROM {1} WHERE NOT {2} UNION ALL SELECT {0}, {3} FROM {4}",
                  names, changes_.name(), is_later(kEnters), kChange, due_.name())));
  fill_events_ = PreparedSql(fmt::format(
      "INSERT INTO {} {}", delta_.name(),
      consolidated(fmt::format("{} UNION ALL SELECT {}, -1 FROM {}", to_come(changes_.name()),
                               name_list(events_.columns), due_.name()),
                   events_.columns, {{kStep, "BIGINT"}}, !events_.distinct)));
  grown_ = PreparedSql(fmt::format("SELECT CAST(coalesce(sum({}), 0) AS BIGINT) FROM {}",
                                   engine::kWeightColumn, delta_.name()));
  new_steps_ = PreparedSql(
      first_steps(fmt::format("{} WHERE {} > 0", delta_.name(), engine::kWeightColumn)));
  take_change_ = PreparedSql();
  take_due_ = PreparedSql();
}

// --- Batches -----------------------------------------------------------------------------------

Status TemporalStrategy::accumulate(duck::Connection& connection, std::size_t input) {
  TRY_ASSIGN(const auto from, join_.from(connection, input));
  take_change_.set(fmt::format("INSERT INTO {} SELECT {} FROM {} WHERE {}", changes_.name(),
                               name_list(changes_.columns()), in_time(*from, "pgweir_w"),
                               is_later(kLeaves)));
  TRY_ASSIGN(const std::uint64_t rows, take_change_.run(connection));
  changed_ = changed_ || rows > 0;
  return {};
}

Result<ViewStrategy::Change> TemporalStrategy::finish(duck::Connection& connection) {
  TRY(join_.clear(connection));
  if (!knows_ || known_before_ <= clock_.step()) TRY(learn(connection));
  const bool is_due = !known_.empty() && *known_.begin() <= clock_.step();
  if (!changed_ && !is_due) return Change{};
  changed_ = false;
  if (is_due) TRY(take_due(connection));
  return take_changes(connection);
}

// What happened in changes_ and due_.
Result<ViewStrategy::Change> TemporalStrategy::take_changes(duck::Connection& connection) {
  Change change;
  TRY_ASSIGN(const std::uint64_t events, fill_events_.run(connection));
  if (events > 0) {
    TRY_ASSIGN(duck::Rows steps, new_steps_.query(connection));
    note(steps);
    TRY_ASSIGN(duck::Rows grown, grown_.query(connection));
    change.rows_more = grown.next()->data<std::int64_t>(0)[0];
    TRY(store_->apply(delta_.name()));
    TRY(store_->maintain());
    TRY(delta_.clear(connection));
  }
  TRY_ASSIGN(const std::uint64_t rows, fill_rows_.run(connection));
  TRY(changes_.clear(connection));
  TRY(due_.clear(connection));
  change.any = rows > 0;
  return change;
}

Status TemporalStrategy::clear_delta(duck::Connection& connection) {
  return state_.clear_delta(connection);
}

// --- What is to come ---------------------------------------------------------------------------

std::optional<std::int64_t> TemporalStrategy::next_step() const {
  if (!knows_) return ViewClock::kAlwaysStep;
  if (!known_.empty()) return *known_.begin();
  return known_before_ == kEverything ? std::nullopt : std::optional(known_before_);
}

Status TemporalStrategy::learn(duck::Connection& connection) {
  known_.clear();
  known_before_ = kEverything;
  knows_ = true;
  TRY_ASSIGN(duck::Rows steps, connection.query(first_steps(store_->content_name())));
  note(steps);
  return {};
}

// What does not fit is not known from there on.
void TemporalStrategy::note(duck::Rows& steps) {
  std::size_t count = 0;
  std::int64_t last = kEverything;
  while (const duck::Chunk* chunk = steps.next()) {
    for (std::size_t row = 0; row < chunk->row_count(); ++row, ++count) {
      last = chunk->data<std::int64_t>(0)[row];
      if (last < known_before_) known_.insert(last);
    }
  }
  if (count > kKnownStepsMax) known_before_ = std::min(known_before_, last);
  while (known_.size() > kKnownStepsMax) {
    known_before_ = *known_.rbegin();
    known_.erase(std::prev(known_.end()));
  }
  if (known_before_ != kEverything) known_.erase(known_.lower_bound(known_before_), known_.end());
}

// Moves to due_ what the clock has come to. It goes out of the store with the batch's changes.
Status TemporalStrategy::take_due(duck::Connection& connection) {
  const auto end = known_.upper_bound(clock_.step());
  const auto count = static_cast<std::size_t>(std::distance(known_.begin(), end));
  if (count > kLookupStepsMax) {
    TRY(connection.execute(fmt::format("INSERT INTO {} SELECT {} FROM {} WHERE {} <= {}",
                                       due_.name(), name_list(events_.columns),
                                       store_->content_name(), kStep, clock_.step())));
  } else {
    std::string list;
    for (auto step = known_.begin(); step != end; ++step)
      list += (list.empty() ? "" : ", ") + std::to_string(*step);
    TRY(connection.execute(fmt::format(
        "INSERT INTO {} SELECT s, hash(s) FROM (SELECT CAST(unnest([{}]) AS BIGINT) AS s)",
        steps_.name(), list)));
    TRY_ASSIGN(
        const std::string rows,
        store_->lookup(fmt::format("SELECT {} FROM {}", engine::kHashColumn, steps_.name())));
    const engine::StoreColumn step{kStep, "BIGINT"};
    take_due_.set(
        fmt::format("INSERT INTO {0} SELECT {1} FROM {2} AS e JOIN (SELECT * FROM {3} WHERE {4} IS "
                    "NOT NULL) AS "
                    "s ON e.{5} = s.{5}{6}",
                    due_.name(), name_list(events_.columns, "e."), rows, steps_.name(), kStep,
                    engine::kHashColumn, and_same({step}, "e", "s")));
    TRY(take_due_.run(connection));
    TRY(steps_.clear(connection));
  }
  known_.erase(known_.begin(), end);
  return {};
}

}  // namespace pgweir::views
