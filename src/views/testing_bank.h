// A bank in an engine, with views over it (a filter, a join with group, a window count, or others),
// for benchmarks: filled with as many rows as wanted, then given batches of random changes.
//
// Life:    filled by the constructor, as a snapshot would; its folder is removed at the end, unless
//          the bank is kept: then it is opened again by the next bank of that folder, as it was.
// Threads: one thread. Not used by the product.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/units.h"
#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "views/view_set.h"

namespace pgweir::views {

enum class BankKeys { kUuid, kBigint };
enum class BankLife { kRemoved, kKept };

struct BankOptions {
  BankKeys keys = BankKeys::kUuid;
  std::uint64_t memory_bytes = kGiB;
  BankLife life = BankLife::kRemoved;
  std::uint32_t accounts = 10'000;  // that the entries are spread over
  int inserts_in_ten = 5;           // of the changes of a batch
  int deletes_in_ten = 1;           // the rest are updates
  std::vector<ViewSource> views = {
      {"large", "SELECT id, amount FROM entries WHERE amount > 900"},
      {"by_region",
       "SELECT region, count(*) AS n, sum(amount) AS amount FROM entries "
       "JOIN accounts ON account_id = accounts.id GROUP BY region"},
      {"per_minute",
       "SELECT window_start, count(*) AS n FROM tumble(entries, made, INTERVAL 1 MINUTE) "
       "GROUP BY 1"}};
};

class TestingBank {
 public:
  // Both tables are mirrored with all columns, whatever the views need.
  TestingBank(const std::string& folder, std::uint32_t rows, BankOptions options = {})
      : folder_(folder), options_(std::move(options)) {
    const bool found = options_.life == BankLife::kKept && std::filesystem::exists(memory_file());
    if (!found) std::filesystem::remove_all(folder_);
    views_ = ViewSet::create(options_.views, logger_).value();
    engine_ = engine::Engine::open(
                  {.directory = folder_, .memory_bytes = options_.memory_bytes},
                  [](const model::Table& table) {
                    std::vector<std::uint32_t> all(table.columns.size());
                    std::iota(all.begin(), all.end(), 0);
                    return std::optional(all);
                  },
                  logger_)
                  .value();
    if (!found) check(engine_->begin_snapshot(next_));
    check(views_->open(*engine_));
    engine_->set_maintainer(views_.get());
    if (found) {
      remember();
    } else {
      fill(rows);
    }
  }
  ~TestingBank() {
    views_->close();
    engine_.reset();
    if (options_.life == BankLife::kKept) {
      note_down();
    } else {
      std::filesystem::remove_all(folder_);
    }
  }
  TestingBank(const TestingBank&) = delete;
  TestingBank& operator=(const TestingBank&) = delete;

  // Makes a batch, one transaction, of inserts, updates and deletes at random keys.
  void prepare(int changes) {
    engine::BatchBuilder builder(next_);
    builder.begin(++lsn_, kTime);
    for (int i = 0; i < changes; ++i) {
      const std::size_t at = random_() % live_.size();
      if (i % 10 < options_.inserts_in_ten) {
        live_.push_back(next_number_++);
        builder.insert(entries_, entry(live_.back()));
      } else if (i % 10 < 10 - options_.deletes_in_ten) {
        builder.update(entries_, {}, entry(live_[at]));
      } else {
        builder.remove(entries_, {key(live_[at]), std::nullopt, std::nullopt, std::nullopt});
        live_[at] = live_.back();
        live_.pop_back();
      }
    }
    builder.end();
    batch_ = builder.batch();
  }

  // Applies and commits what prepare() made. After an error the bank is of no more use.
  Status apply() {
    TRY(engine_->apply(batch_));
    next_ = batch_.to;
    return {};
  }

  // Other views in the place of those that there are, built from the mirrors.
  Status redefine(std::vector<ViewSource> views) {
    TRY(views_->redefine(std::move(views)));
    for (const ViewInfo& view : views_->views()) {
      if (view.error) return *view.error;
    }
    return {};
  }
  // How each view is kept.
  std::vector<ViewInfo> views() const { return views_->views(); }

  // How many entries there must be now.
  std::size_t rows() const { return live_.size(); }
  static void check(const Status& status) {
    if (status.ok()) return;
    fmt::print(stderr, "{}\n", status.error().text());
    std::abort();
  }
  // An integer out of a SELECT, as a reader sees it.
  std::int64_t ask(const std::string& select) {
    auto reader = engine_->reader(Milliseconds(1000)).value();
    return reader->connection().query_int(select).value();
  }

 private:
  using TablePtr = std::shared_ptr<const model::Table>;
  static constexpr std::uint32_t kFillRows = 50'000;  // in one batch
  static constexpr model::Timestamp kTime{1'767'225'600'000'000};

  static TablePtr table(std::uint32_t oid, const char* name, std::vector<model::Column> columns) {
    model::Table made{.id = model::Oid{oid}, .schema = "public", .name = name};
    columns[0].in_key = true;
    made.columns = std::move(columns);
    made.primary_key = {0};
    return std::make_shared<const model::Table>(std::move(made));
  }

  // Key number N: as random as a UUID, and yet known.
  std::string key(std::uint32_t number) const {
    if (options_.keys == BankKeys::kBigint) return std::to_string(number);
    const auto mixed = [](std::uint64_t x) {
      x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
      x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
      return x ^ (x >> 31);
    };
    const std::uint64_t a = mixed(number * 2 + 0x9e3779b97f4a7c15);
    const std::uint64_t b = mixed(a + number);
    return fmt::format("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", a >> 32, a >> 16 & 0xffff,
                       a & 0xfff, b >> 52, b & 0xffffffffffff);
  }

  engine::TextRow entry(std::uint32_t number) {
    const std::uint64_t second = random_() % 86'400;
    return {key(number), key(static_cast<std::uint32_t>(random_() % options_.accounts)),
            fmt::format("{}.{:02}", random_() % 1000, random_() % 100),
            fmt::format("2026-01-01 {:02}:{:02}:{:02}+00", second / 3600, second / 60 % 60,
                        second % 60)};
  }

  void fill(std::uint32_t rows) {
    check(engine_->define_table(*accounts_));
    check(engine_->define_table(*entries_));
    live_.reserve(rows + rows / 8);
    std::uint32_t accounts = 0;
    while (accounts < options_.accounts || next_number_ < rows) {
      engine::BatchBuilder builder(next_);
      builder.begin(1, kTime, accounts == 0, model::Transaction::Kind::kSnapshot);
      std::uint32_t filled = 0;
      for (; filled < kFillRows && accounts < options_.accounts; ++filled, ++accounts)
        builder.insert(accounts_, {key(accounts), fmt::format("region {}", accounts % 50)},
                       model::Op::kRead);
      for (; filled < kFillRows && next_number_ < rows; ++filled) {
        live_.push_back(next_number_++);
        builder.insert(entries_, entry(live_.back()), model::Op::kRead);
      }
      builder.end(false);
      check(engine_->apply(builder.batch()));
      next_ = builder.batch().to;
    }
    check(engine_->end_snapshot(next_, model::Lsn{2}));
  }

  // What a kept bank must know beside its folder.
  std::string memory_file() const { return folder_ + "/bank"; }
  void note_down() const {
    std::ofstream out(memory_file());
    out << random_ << ' ' << next_number_ << ' ' << lsn_ << ' ' << live_.size();
    for (const std::uint32_t number : live_) out << ' ' << number;
  }
  void remember() {
    std::ifstream in(memory_file());
    std::size_t count = 0;
    in >> random_ >> next_number_ >> lsn_ >> count;
    live_.resize(count);
    for (std::uint32_t& number : live_) in >> number;
    next_ = engine_->position().position;
  }

  model::Column key_column(const char* name) const {
    return engine::typed_column(name, options_.keys == BankKeys::kUuid ? 2950 : 20);
  }

  const std::string folder_;
  const BankOptions options_;
  Logger logger_{LogLevel::kWarning};
  std::unique_ptr<ViewSet> views_;
  std::unique_ptr<engine::Engine> engine_;
  const TablePtr accounts_ =
      table(1, "accounts", {key_column("id"), engine::text_column("region")});
  const TablePtr entries_ = table(2, "entries",
                                  {key_column("id"), key_column("account_id"),
                                   engine::typed_column("amount", 1700, ((12 << 16) | 2) + 4),
                                   engine::typed_column("made", 1184)});
  std::mt19937_64 random_{42};
  std::vector<std::uint32_t> live_;  // numbers of the entries that are there
  std::uint32_t next_number_ = 0;
  model::Position next_{1, model::Lsn{1}, 0};
  std::uint64_t lsn_ = 10;
  model::Batch batch_;
};

}  // namespace pgweir::views
