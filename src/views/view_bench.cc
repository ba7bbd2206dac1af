// What a batch of 100 changes costs with three views (a filter, a join with group, a window count),
// over tables of 200 k and of 20 M rows with random UUID keys.
//
//   views_bench --benchmark_filter=200000
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <filesystem>
#include <random>

#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "views/view_set.h"

namespace pgweir::views {
namespace {

using engine::text_column;
using engine::typed_column;
using TablePtr = std::shared_ptr<const model::Table>;

constexpr int kAccounts = 10'000;
constexpr int kSnapshotRows = 50'000;
constexpr int kChanges = 100;
constexpr model::Timestamp kTime{1767225600000000};

TablePtr table(std::uint32_t oid, const char* name, std::vector<model::Column> columns) {
  model::Table made{.id = model::Oid{oid}, .schema = "public", .name = name};
  columns[0].in_key = true;
  made.columns = std::move(columns);
  made.primary_key = {0};
  return std::make_shared<const model::Table>(std::move(made));
}

void check(const Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.error().text());
  std::abort();
}

// A database with `rows` entries, filled once for all runs of the same size.
class Bank {
 public:
  explicit Bank(int rows) : folder_(fmt::format("{}/pgweir-views-bench-{}",
                                                std::filesystem::temp_directory_path().string(), rows)) {
    std::filesystem::remove_all(folder_);
    views_ = ViewSet::create(
                 {{"large", "SELECT id, amount FROM entries WHERE amount > 900"},
                  {"by_region", "SELECT region, count(*) AS n, sum(amount) AS amount FROM entries "
                                "JOIN accounts ON account_id = accounts.id GROUP BY region"},
                  {"per_minute", "SELECT window_start, count(*) AS n FROM "
                                 "tumble(entries, made, INTERVAL 1 MINUTE) GROUP BY 1"}},
                 logger_)
                 .value();
    engine_ = engine::Engine::open({.directory = folder_, .memory_bytes = kGiB},
                                   [&](const model::Table& t) { return views_->wanted_columns(t); }, logger_)
                  .value();
    check(engine_->begin_snapshot(next_));
    check(views_->open(*engine_));
    engine_->set_maintainer(views_.get());
    load(rows);
  }
  ~Bank() {
    views_->close();
    engine_.reset();
    std::filesystem::remove_all(folder_);
  }

  void batch() {
    engine::BatchBuilder builder(next_);
    builder.begin(++lsn_, kTime);
    for (int i = 0; i < kChanges; ++i) {
      const std::size_t row = random_() % ids_.size();
      switch (i % 10) {
        case 0: builder.remove(entries_, {ids_[row], std::nullopt, std::nullopt, std::nullopt});
          ids_[row] = ids_.back();
          ids_.pop_back();
          break;
        case 1: case 2: case 3: case 4: builder.update(entries_, {}, entry(ids_[row])); break;
        default: ids_.push_back(uuid(random_(), random_())); builder.insert(entries_, entry(ids_.back()));
      }
    }
    builder.end();
    batch_ = builder.batch();
  }
  void apply() {
    check(engine_->apply(batch_));
    next_ = batch_.to;
  }

 private:
  static std::string uuid(std::uint64_t a, std::uint64_t b) {
    return fmt::format("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", a >> 32, a >> 16 & 0xffff, a & 0xfff,
                       b >> 52, b & 0xffffffffffff);
  }
  std::string account(std::uint64_t number) { return uuid(number * 0x9e3779b97f4a7c15, number); }
  engine::TextRow entry(const std::string& id) {
    const std::uint64_t second = random_() % 86400;
    return {id, account(random_() % kAccounts),
            fmt::format("{}.{:02}", random_() % 1000, random_() % 100),
            fmt::format("2026-01-01 {:02}:{:02}:{:02}+00", second / 3600, second / 60 % 60, second % 60)};
  }

  void load(int rows) {
    check(engine_->define_table(*accounts_));
    check(engine_->define_table(*entries_));
    for (int done = 0; done < rows;) {
      engine::BatchBuilder builder(next_);
      builder.begin(1, kTime, done == 0, model::Transaction::Kind::kSnapshot);
      if (done == 0) {
        for (std::uint64_t i = 0; i < kAccounts; ++i)
          builder.insert(accounts_, {account(i), fmt::format("region {}", i % 50)}, model::Op::kRead);
      }
      for (int i = 0; i < kSnapshotRows && done < rows; ++i, ++done) {
        ids_.push_back(uuid(random_(), random_()));
        builder.insert(entries_, entry(ids_.back()), model::Op::kRead);
      }
      builder.end(false);
      check(engine_->apply(builder.batch()));
      next_ = builder.batch().to;
    }
    check(engine_->end_snapshot(next_, model::Lsn{2}));
  }

  const std::string folder_;
  Logger logger_{LogLevel::kWarning};
  std::unique_ptr<ViewSet> views_;
  std::unique_ptr<engine::Engine> engine_;
  const TablePtr accounts_ = table(1, "accounts", {typed_column("id", 2950), text_column("region")});
  const TablePtr entries_ =
      table(2, "entries", {typed_column("id", 2950), typed_column("account_id", 2950),
                           typed_column("amount", 1700, ((12 << 16) | 2) + 4), typed_column("made", 1184)});
  std::mt19937_64 random_{42};
  std::vector<std::string> ids_;
  model::Position next_{1, model::Lsn{1}, 0};
  std::uint64_t lsn_ = 10;
  model::Batch batch_;
};

void views_batch(benchmark::State& state) {
  Bank bank(static_cast<int>(state.range(0)));
  for (int i = 0; i < 20; ++i) {
    bank.batch();
    bank.apply();
  }
  for (auto _ : state) {
    state.PauseTiming();
    bank.batch();
    state.ResumeTiming();
    bank.apply();
  }
}
BENCHMARK(views_batch)->Arg(200'000)->Arg(20'000'000)->Unit(benchmark::kMillisecond)->Iterations(200);

}  // namespace
}  // namespace pgweir::views
