#include "differential/runner.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "differential/answers.h"
#include "differential/random_windows.h"
#include "engine/engine.h"
#include "harness/scratch.h"

namespace pgweir::differential {
namespace {

constexpr std::uint64_t kEngineBytes = 512 * kMiB;
constexpr Milliseconds kReaderPatience{10'000};
// So few that they are used up.
constexpr std::size_t kFirstRowsSpare = 20;
constexpr std::size_t kFirstRowsSpareSmall = 1;
// PostgreSQL's function under its name.
constexpr const char* kDateBin =
    "CREATE OR REPLACE TEMP MACRO date_bin(length, moment, origin) AS "
    "time_bucket(CAST(length AS INTERVAL), moment, origin)";

// A store is large with a few rows, and is rewritten again and again.
engine::StoreOptions small_stores() {
  return {.small_rows_max = 10,
          .pending_rows_min = 10,
          .pending_rows_max = 30,
          .step_rows_min = 5,
          .step_rows_max = 50,
          .many_keys_min = 4,
          .batches_to_index = 2,
          .run_rows = 8};
}

// The engine with its views, for one case.
class Side {
 public:
  Side(const TestCase& test_case, std::vector<views::ViewSource> sources,
       std::vector<std::shared_ptr<const model::Table>> tables)
      : test_case_(test_case), sources_(std::move(sources)), tables_(std::move(tables)) {}
  ~Side() { close(); }

  Status open() {
    close();
    TRY_ASSIGN(views_, views::ViewSet::create(
                           sources_, logger_,
                           {.first_rows_spare =
                                test_case_.small_stores ? kFirstRowsSpareSmall : kFirstRowsSpare}));
    engine::EngineOptions options{.directory = scratch_.path(), .memory_bytes = kEngineBytes};
    if (test_case_.small_stores) options.store = small_stores();
    TRY_ASSIGN(engine_, engine::Engine::open(options, all_columns, logger_));
    for (const auto& table : tables_) TRY(engine_->define_table(*table));
    TRY(views_->open(*engine_));
    engine_->set_maintainer(views_.get());
    return {};
  }

  // A view that fails is set aside, as in the program, and found when the views are looked at.
  Status apply(std::vector<model::Batch> batches) {
    // After a failure everything since the last commit comes again.
    std::size_t committed = 0;
    for (std::size_t i = 0; i < batches.size(); ++i) {
      batches[i].from = engine_->position().position;
      const Status applied = engine_->apply(batches[i]);
      if (applied.ok()) {
        if (batches[i].ends_transaction()) committed = i + 1;
        continue;
      }
      TRY_ASSIGN(const bool by_view, views_->set_aside_failed());
      if (!by_view) return applied;
      i = committed - 1;
    }
    return {};
  }

  Status rebuild() {
    TRY(views_->redefine({}));
    TRY(views_->redefine(sources_));
    return {};
  }

  views::ViewSet& views() { return *views_; }
  // The engine's rows as they are now; not over a change.
  Result<std::unique_ptr<engine::Reader>> reader() {
    TRY_ASSIGN(auto reader, engine_->reader(kReaderPatience));
    TRY(reader->connection().execute(kDateBin));
    return reader;
  }

 private:
  static std::optional<std::vector<std::uint32_t>> all_columns(const model::Table& table) {
    std::vector<std::uint32_t> all(table.columns.size());
    for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
    return all;
  }

  void close() {
    if (views_ != nullptr) views_->close();
    engine_.reset();
    views_.reset();
  }

  const TestCase& test_case_;
  const std::vector<views::ViewSource> sources_;
  const std::vector<std::shared_ptr<const model::Table>> tables_;
  harness::ScratchFolder scratch_;
  Logger logger_{LogLevel::kOff};
  std::unique_ptr<views::ViewSet> views_;
  std::unique_ptr<engine::Engine> engine_;
};

// One run of a case.
class Run {
 public:
  Run(Source& source, const TestCase& test_case, Counts& counts, Runner::Time end)
      : source_(source), test_case_(test_case), counts_(counts), end_(end) {}

  Outcome go() {
    const Status begun = begin();
    if (!begun.ok()) return failed("", begun.error().text());
    for (; outcome_.step < test_case_.steps.size() && outcome_.failure.empty(); ++outcome_.step) {
      if (std::chrono::steady_clock::now() >= end_) break;
      const Step& step = test_case_.steps[outcome_.step];
      const Status done = take(step);
      if (!done.ok()) return failed("", done.error().text());
      compare_all(step);
      if (!outcome_.failure.empty()) return outcome_;
    }
    for (auto& [name, run] : outcome_.views) {
      auto told = side_->views().explain(name);
      if (told.ok()) run.told = std::move(told).value();
    }
    return outcome_;
  }

 private:
  Status take(const Step& step) {
    switch (step.kind) {
      case Step::Kind::kRestart:
        return side_->open();
      case Step::Kind::kRebuild:
        return side_->rebuild();
      case Step::Kind::kTransaction:
        break;
    }
    return change(step);
  }

  Outcome failed(const std::string& view, const std::string& why) {
    outcome_.view = view;
    outcome_.failure = why.empty() ? "failed" : why;
    return outcome_;
  }

  Status begin() {
    source_.reset();
    TRY_ASSIGN(auto tables, source_.make_tables(test_case_.tables));
    std::vector<views::ViewSource> sources;
    for (const CaseView& view : test_case_.views) {
      const Status made = source_.execute(
          fmt::format("CREATE VIEW {} AS {}", view.name, print(view.sql, Dialect::kPostgres)));
      if (!made.ok()) {
        outcome_.not_taken[view.name] = made.error().text();
        continue;
      }
      taken_.push_back(&view);
      sources.push_back({view.name, print(view.sql, Dialect::kView)});
    }
    TRY(source_.begin_changes());
    side_ = std::make_unique<Side>(test_case_, std::move(sources), std::move(tables));
    TRY(side_->open());
    count_views();
    return {};
  }

  void count_views() {
    for (const views::ViewInfo& view : side_->views().views()) {
      ++counts_.views;
      ++counts_.strategies[view.strategy.empty() ? "none" : view.strategy];
      if (view.strategy != "recompute") continue;
      // Without the place, and without names: only what is general.
      ++counts_.recomputed[view.reason.substr(0, view.reason.find(" at "))];
    }
  }

  // A statement that PostgreSQL refuses takes its transaction with it, and nothing changes.
  Status change(const Step& step) {
    std::string statements;
    for (const Tree& statement : step.statements) {
      const std::string text = print(statement, Dialect::kPostgres);
      if (!text.empty()) statements += text + ";\n";
    }
    const Status done = source_.execute("BEGIN;\n" + statements + "COMMIT");
    if (!done.ok()) TRY(source_.execute("ROLLBACK"));
    TRY_ASSIGN(auto batches, source_.changes(test_case_.part_changes));
    ++counts_.batches;
    return side_->apply(std::move(batches));
  }

  void compare_all(const Step& step) {
    auto reader = side_->reader();
    if (!reader.ok()) {
      failed("", reader.error().text());
      return;
    }
    for (const CaseView* view : taken_) {
      if (outcome_.not_taken.contains(view->name)) continue;
      const auto listed = step.rows.find(view->name);
      compare(*view, listed == step.rows.end() ? nullptr : &listed->second,
              reader.value()->connection());
      if (!outcome_.failure.empty()) return;
    }
  }

  void note_answer(const std::string& view) {
    ViewRun& run = outcome_.views[view];
    run.rows_most = std::max(run.rows_most, outcome_.rows.size());
    if (run.lines == outcome_.rows) return;
    ++run.answers;
    run.lines = outcome_.rows;
  }

  void compare(const CaseView& view, const std::vector<std::string>* listed,
               duck::Connection& ours) {
    auto wanted_rows = source_.rows("SELECT * FROM " + view.name);
    if (!wanted_rows.ok()) {
      outcome_.not_taken[view.name] = wanted_rows.error().text();
      return;
    }
    const Answer wanted = make_answer(wanted_rows->types, wanted_rows->rows);
    outcome_.rows = wanted.lines();
    note_answer(view.name);
    const auto info = side_->views().view(view.name);
    if (info->state != views::ViewState::kLive) {
      failed(view.name, fmt::format("is {}: {}", views::view_state_name(info->state),
                                    info->error ? info->error->text() : ""));
      return;
    }
    const auto differs_from = [&](const std::string& select) -> std::string {
      const auto rows = ours.query_texts(select);
      if (!rows.ok()) return rows.error().text();
      return difference(wanted, make_answer(wanted_rows->types, rows->rows));
    };
    // Windows are no functions of DuckDB's, but it understands what PostgreSQL has for them. A view
    // without them that is recomputed has done it already.
    const std::string text = print(view.sql, Dialect::kView);
    const bool windows = has_windows(text);
    const std::string alone = windows ? print(view.sql, Dialect::kPostgres) : text;
    std::string wrong = differs_from("SELECT * FROM main." + view.name);
    if (wrong.empty() && (windows || info->strategy != "recompute")) wrong = differs_from(alone);
    if (!wrong.empty()) {
      const std::string recomputed = differs_from(alone);
      wrong =
          fmt::format("({}: {}) has not PostgreSQL's rows\n{}  its SELECT over the mirrors {}{}",
                      info->strategy, info->reason, wrong,
                      recomputed.empty() ? "has them\n" : "neither\n", recomputed);
    }
    if (wrong.empty() && listed != nullptr && *listed != wanted.lines())
      wrong = "PostgreSQL's rows are not those of the file";
    if (!wrong.empty()) failed(view.name, wrong);
    ++counts_.comparisons;
    counts_.rows += wanted.rows.size();
  }

  Source& source_;
  const TestCase& test_case_;
  Counts& counts_;
  const Runner::Time end_;
  Outcome outcome_;
  std::vector<const CaseView*> taken_;
  std::unique_ptr<Side> side_;
};

}  // namespace

Outcome Runner::run(const TestCase& test_case, Time end) {
  return Run(source_, test_case, counts_, end).go();
}

std::string Counts::text() const {
  std::string out = fmt::format("{} views, {} batches, {} comparisons of {} rows\n", views, batches,
                                comparisons, rows);
  for (const auto& [strategy, count] : strategies)
    out += fmt::format("  {} views: {}\n", count, strategy);
  for (const auto& [reason, count] : recomputed)
    out += fmt::format("    {} recomputed: {}\n", count, reason);
  return out;
}

}  // namespace pgweir::differential
