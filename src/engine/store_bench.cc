// What finding rows by key costs: docs/decisions/0001-finding-rows-by-key.md is made from this.
//
//   engine_bench [lookups ROWS...] | [growth ROWS BATCH] | [batches COUNT] | [stream CHANGES BATCH]
//                | [cells]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "base/units.h"
#include "engine/batch_builder.h"
#include "engine/database.h"
#include "engine/engine.h"
#include "engine/store.h"
#include "engine/type_map.h"

namespace pgweir::engine {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}
double worst(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

void check(const Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.error().text());
  std::exit(1);
}

// Key number i: as random as a UUID, and yet known.
std::string key(const std::string& number) {
  return fmt::format("md5(({})::VARCHAR)::UUID", number);
}

struct Bench {
  std::string directory;
  std::unique_ptr<EngineDatabase> database;
  std::unique_ptr<duck::Connection> connection;
  std::unique_ptr<Store> store;
  std::int64_t step = 0;

  explicit Bench(const std::string& name)
      : directory((std::filesystem::temp_directory_path() / ("pgweir_bench_" + name)).string()) {
    std::filesystem::remove_all(directory);
    database =
        EngineDatabase::open({.directory = directory, .memory_bytes = kGiB, .threads = 2}).value();
    connection = database->connect().value();
    StoreSpec spec{.name = "bench",
                   .columns = {{"k", "UUID"},
                               {"a", "BIGINT"},
                               {"b", "INTEGER"},
                               {"c", "TIMESTAMP"},
                               {"d", "DECIMAL(12,2)"}},
                   .key = {0}};
    store = Store::open(*connection, spec).value();
    check(
        connection->execute("CREATE TEMP TABLE delta (k UUID, a BIGINT, b INTEGER, c TIMESTAMP, "
                            "d DECIMAL(12,2), pgweir_hash UBIGINT, pgweir_weight INTEGER);"
                            "CREATE TEMP TABLE keys (k UUID)"));
  }
  ~Bench() {
    store.reset();
    connection.reset();
    database.reset();
    std::filesystem::remove_all(directory);
  }

  static std::string columns(const std::string& number) {
    return fmt::format(
        "{} AS k, {} % 1000 AS a, ({} % 100)::INTEGER AS b, "
        "TIMESTAMP '2026-01-01' + to_seconds({}) AS c, ({} % 5000)::DECIMAL(12,2) AS d",
        key(number), number, number, number, number);
  }

  // One batch: `updates` random keys of the first `existing`, then `inserts` new ones.
  struct Times {
    double look_up = 0, apply = 0, commit = 0, maintain = 0;
    double total() const { return look_up + apply + commit + maintain; }
  };
  Times batch(std::int64_t existing, std::int64_t updates, std::int64_t inserts) {
    ++step;
    check(connection->execute("DELETE FROM delta; DELETE FROM keys"));
    check(connection->execute(fmt::format("INSERT INTO keys SELECT DISTINCT {} FROM range({}) t(i)",
                                          key(fmt::format("(hash(i + {}) % {})", step * 1000003,
                                                          std::max<std::int64_t>(existing, 1))),
                                          updates)));
    Times times;
    check(connection->execute("BEGIN"));
    auto start = Clock::now();
    // The old rows and the new ones, as the engine asks for them.
    check(connection->execute(fmt::format(
        "INSERT INTO delta SELECT m.k, CASE WHEN w.w < 0 THEN m.a ELSE m.a + 1 END, m.b, m.c, m.d, "
        "m.pgweir_hash, w.w FROM {} m JOIN (SELECT k, hash(k) AS h FROM keys WHERE k IS NOT NULL) "
        "s "
        "ON m.pgweir_hash = s.h AND {}, (VALUES (-1), (1)) w(w)",
        store->lookup("SELECT hash(k) AS pgweir_hash FROM keys WHERE k IS NOT NULL").value(),
        beside_hash("m.k = s.k"))));
    times.look_up = milliseconds_since(start);
    if (inserts > 0)
      check(connection->execute(fmt::format(
          "INSERT INTO delta SELECT *, hash(k), 1 FROM (SELECT {} FROM range({}, {}) t(i))",
          columns("i"), existing, existing + inserts)));
    start = Clock::now();
    check(store->apply("temp.delta"));
    times.apply = milliseconds_since(start);
    start = Clock::now();
    check(store->maintain());
    times.maintain = milliseconds_since(start);
    start = Clock::now();
    check(connection->execute("COMMIT"));
    times.commit = milliseconds_since(start);
    start = Clock::now();
    while (store->is_due())
      check(duck::in_transaction(*connection, [&] { return store->work_off(); }));
    times.maintain += milliseconds_since(start);
    return times;
  }

  void load(std::int64_t rows) {
    const auto start = Clock::now();
    check(store->load(fmt::format("SELECT {} FROM range({}) t(i)", columns("i"), rows)));
    const double loaded = milliseconds_since(start);
    check(database->checkpoint(*connection));
    fmt::print("load {} rows: {:.0f} ms, checkpoint {:.0f} ms, {}\n", rows, loaded,
               milliseconds_since(start) - loaded,
               format_size(std::filesystem::file_size(directory + "/engine.duckdb")));
  }
};

void lookups(std::int64_t rows) {
  Bench bench(std::to_string(rows));
  bench.load(rows);
  for (const std::int64_t size : {25, 100, 1000, 10000}) {
    std::vector<double> look_up, apply, commit, total;
    const int rounds = size >= 10000 ? 7 : 21;
    for (int i = 0; i < rounds; ++i) {
      const auto times = bench.batch(rows, size, 0);
      look_up.push_back(times.look_up);
      apply.push_back(times.apply);
      commit.push_back(times.commit);
      total.push_back(times.total());
    }
    fmt::print(
        "{:>9} rows, batch of {:>5}: look up {:6.1f}  apply {:6.1f}  commit {:6.1f}  "
        "total {:6.1f} ms (worst {:.1f})\n",
        rows, size, median(look_up), median(apply), median(commit), median(total), worst(total));
  }
  std::vector<double> scans;
  for (int i = 0; i < 5; ++i) {
    const auto start = Clock::now();
    check(bench.connection->execute(
        fmt::format("SELECT b, sum(d), count(*) FROM {} GROUP BY b", bench.store->content_name())));
    scans.push_back(milliseconds_since(start));
  }
  fmt::print("{:>9} rows, full scan with group: {:.1f} ms\n", rows, median(scans));
  const auto start = Clock::now();
  check(bench.database->checkpoint(*bench.connection));
  fmt::print("{:>9} rows, checkpoint after it: {:.1f} ms\n", rows, milliseconds_since(start));
}

// From empty to `rows` by batches of 10,000 changes: half inserts, half random updates.
void growth(std::int64_t rows, std::int64_t size) {
  Bench bench("growth");
  std::int64_t existing = 0, changes = 0;
  double maintain = 0, apply = 0, look_up = 0, commit = 0, checkpoints = 0;
  std::vector<double> totals, pauses;
  const auto begin = Clock::now();
  std::int64_t shown = 0;
  while (existing < rows) {
    const std::int64_t updates = existing == 0 ? 0 : size / 2;
    const auto times = bench.batch(existing, updates, size - updates);
    existing += size - updates;
    changes += size;
    look_up += times.look_up, apply += times.apply, maintain += times.maintain,
        commit += times.commit;
    totals.push_back(times.total());
    if (bench.database->wal_bytes() > 128 * kMiB) {
      const auto start = Clock::now();
      check(bench.database->checkpoint(*bench.connection));
      pauses.push_back(milliseconds_since(start));
      checkpoints += pauses.back();
    }
    if (existing - shown >= rows / 5) {
      shown = existing;
      fmt::print(
          "  {:>8} rows: {:.0f} k changes/s; look up {:.1f} s, apply {:.1f} s, maintain {:.1f} s, "
          "commit {:.1f} s, checkpoints {:.1f} s\n",
          existing, static_cast<double>(changes) / milliseconds_since(begin), look_up / 1000,
          apply / 1000, maintain / 1000, commit / 1000, checkpoints / 1000);
    }
  }
  std::sort(totals.begin(), totals.end());
  fmt::print(
      "growth to {} rows, batches of {}: {:.0f} k changes/s; batch p50 {:.1f}, p99 {:.1f}, worst "
      "{:.1f} ms; "
      "{} checkpoints, worst {:.1f} ms; {}\n",
      rows, size, static_cast<double>(changes) / milliseconds_since(begin), median(totals),
      totals[totals.size() * 99 / 100], totals.back(), pauses.size(), worst(pauses),
      format_size(std::filesystem::file_size(bench.directory + "/engine.duckdb")));
}

// What a small batch costs at the least: 25 changes over 3 tables, without views.
void batches(int count) {
  const std::string directory =
      (std::filesystem::temp_directory_path() / "pgweir_bench_batches").string();
  std::filesystem::remove_all(directory);
  Logger logger(LogLevel::kWarning);
  const auto all = [](const model::Table& table) {
    std::vector<std::uint32_t> columns(table.columns.size());
    for (std::uint32_t i = 0; i < columns.size(); ++i) columns[i] = i;
    return std::optional(columns);
  };
  auto engine =
      Engine::open({.directory = directory, .memory_bytes = 256 * kMiB}, all, logger).value();
  std::vector<std::shared_ptr<const model::Table>> tables;
  for (std::uint32_t i = 0; i < 3; ++i) {
    model::Table table{.id = model::Oid{i + 1},
                       .schema = "public",
                       .name = fmt::format("t{}", i),
                       .columns = {int_column("id", true), int_column("n"), text_column("t")},
                       .primary_key = {0}};
    tables.push_back(std::make_shared<const model::Table>(table));
  }
  std::vector<double> times;
  std::clock_t processor = 0;
  model::Position from;
  for (int i = 0; i < count; ++i) {
    BatchBuilder builder(from);
    builder.begin(100 + 10 * static_cast<std::uint64_t>(i), model::Timestamp{1767225600000000 + i});
    for (int change = 0; change < 25; ++change) {
      const int id = i * 4 + change / 3;
      const auto& table = tables[static_cast<std::size_t>(change) % 3];
      if (change >= 12 && i == 0) continue;
      if (change >= 12)
        builder.update(table, {},
                       {std::to_string((i - 1) * 4 + change / 3 % 4), std::to_string(i), "x"});
      else
        builder.insert(table, {std::to_string(id), "1", "some text"});
    }
    builder.end();
    const std::clock_t before = std::clock();
    const auto start = Clock::now();
    check(engine->apply(builder.batch()));
    times.push_back(milliseconds_since(start));
    processor += std::clock() - before;
    from = builder.batch().to;
    if ((i + 1) % (count / 4) == 0) {
      const std::vector<double> last(times.end() - count / 4, times.end());
      fmt::print(
          "batches of 25 over 3 tables, {} to {}: median {:.2f} ms, worst {:.1f} ms, "
          "processor {:.2f} ms\n",
          i + 1 - count / 4, i + 1, median(last), worst(last),
          1000.0 * static_cast<double>(processor) / CLOCKS_PER_SEC / (count / 4));
      processor = 0;
    }
  }
}

// The engine without views under a backlog: half inserts, four in ten updates, one in ten deletes.
void stream(int changes, int size) {
  const std::string directory =
      (std::filesystem::temp_directory_path() / "pgweir_bench_stream").string();
  std::filesystem::remove_all(directory);
  Logger logger(LogLevel::kWarning);
  const auto all = [](const model::Table& table) {
    std::vector<std::uint32_t> columns(table.columns.size());
    for (std::uint32_t i = 0; i < columns.size(); ++i) columns[i] = i;
    return std::optional(columns);
  };
  auto engine =
      Engine::open({.directory = directory, .memory_bytes = 256 * kMiB}, all, logger).value();
  model::Table made{.id = model::Oid{1},
                    .schema = "public",
                    .name = "t",
                    .columns = {int_column("id", true), int_column("n"),
                                typed_column("amount", 1700, (12 << 16 | 2) + 4),
                                typed_column("at", 1184), text_column("t")},
                    .primary_key = {0}};
  const auto table = std::make_shared<const model::Table>(made);
  std::vector<int> live;
  int next = 0;
  model::Position from;
  std::vector<double> times;
  std::uint64_t random = 1;
  std::clock_t processor = 0;
  for (int done = 0; done < changes; done += size) {
    BatchBuilder builder(from);
    for (int i = 0; i < size; ++i) {
      if (i % 10 == 0) {
        if (i > 0) builder.end();
        builder.begin(100 + static_cast<std::uint64_t>(done + i),
                      model::Timestamp{1767225600000000 + done});
      }
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      const auto row = [&](int id) {
        return TextRow{std::to_string(id), std::to_string(done), "12.34",
                       "2026-01-01 12:34:56.789+00", "some text of a row"};
      };
      if (live.empty() || i % 10 < 5) {
        live.push_back(next);
        builder.insert(table, row(next++));
        continue;
      }
      const std::size_t index = (random >> 33) % live.size();
      if (i % 10 < 9) {
        builder.update(table, {}, row(live[index]));
      } else {
        builder.remove(table, row(live[index]));
        live[index] = live.back();
        live.pop_back();
      }
    }
    builder.end();
    const std::clock_t before = std::clock();
    const auto start = Clock::now();
    check(engine->apply(builder.batch()));
    times.push_back(milliseconds_since(start));
    processor += std::clock() - before;
    from = builder.batch().to;
  }
  double total = 0;
  for (const double time : times) total += time;
  fmt::print(
      "stream of {} changes in batches of {}: {:.0f} k changes/s, {:.2f} us of processor a change; "
      "batch median {:.1f}, worst {:.1f} ms\n",
      changes, size, changes / total,
      1e6 * static_cast<double>(processor) / CLOCKS_PER_SEC / changes, median(times), worst(times));
}

// PostgreSQL's texts into the appender's form, one type after the other.
void cells() {
  const auto database = duck::Database::open("", {{"threads", "2"}}).value();
  const auto connection = database->connect().value();
  const struct {
    std::uint32_t oid;
    std::int32_t modifier;
    const char* text;
  } types[] = {{20, -1, "1234567890123"},
               {701, -1, "12345.678901"},
               {1700, (12 << 16 | 2) + 4, "123456.78"},
               {1700, -1, "123456.78"},
               {25, -1, "a text of some thirty letters."},
               {1184, -1, "2026-02-28 12:34:56.789012+00"},
               {2950, -1, "12345678-9abc-def0-1234-56789abcdef0"}};
  for (const auto& type : types) {
    const ColumnType mapped = map_type(typed_column("v", type.oid, type.modifier), {});
    check(connection->execute(fmt::format("CREATE OR REPLACE TABLE t (v {})", mapped.duck_type)));
    auto appender = connection->appender("", "", "t").value();
    constexpr int kCells = 2'000'000;
    const std::string_view text = type.text;
    const auto start = Clock::now();
    for (int i = 0; i < kCells; ++i) {
      if (mapped.convert(mapped, text, *appender) != Fit::kOk) std::exit(1);
      check(appender->end_row());
    }
    check(appender->flush());
    fmt::print("cells of {}: {:.1f} M/s\n", mapped.duck_type,
               kCells / 1000.0 / milliseconds_since(start));
  }
}

}  // namespace
}  // namespace pgweir::engine

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string what = arguments.empty() ? "all" : arguments[0];
  if (what == "growth" || what == "all")
    pgweir::engine::growth(arguments.size() > 1 ? std::stoll(arguments[1]) : 5'000'000,
                           arguments.size() > 2 ? std::stoll(arguments[2]) : 10'000);
  if (what == "batches" || what == "all")
    pgweir::engine::batches(arguments.size() > 1 ? std::stoi(arguments[1]) : 4000);
  if (what == "stream" || what == "all")
    pgweir::engine::stream(arguments.size() > 1 ? std::stoi(arguments[1]) : 2'000'000,
                           arguments.size() > 2 ? std::stoi(arguments[2]) : 50'000);
  if (what == "cells" || what == "all") pgweir::engine::cells();
  if (what == "lookups" || what == "all") {
    std::vector<std::string> rows(
        arguments.begin() + std::min<std::ptrdiff_t>(1, std::ssize(arguments)), arguments.end());
    if (rows.empty()) rows = {"200000", "20000000"};
    for (const std::string& count : rows) pgweir::engine::lookups(std::stoll(count));
  }
  return 0;
}
