// Rows per second that one thread writes as Parquet, out of decoded batches: the payments workload,
// ten changes a transaction. The memory counter is the most that anonymous memory grew by (the
// pages of DuckDB's library, which a process has but once, do not count).
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "sinks/event_log_internal.h"
#include "sinks/parquet_sink.h"

namespace pgweir::sinks {
namespace {

constexpr std::size_t kTransactionsPerBatch = 2'000;
constexpr std::uint64_t kBatches = 10;  // that differ
constexpr std::size_t kChangesPerTransaction = 10;

model::Column column(const std::string& name, std::uint32_t type, const std::string& type_name,
                     std::int32_t modifier = -1) {
  return {name, model::Oid{type}, modifier, type_name, model::Oid{type}, name == "id", false};
}

std::shared_ptr<const model::Table> table(std::uint32_t id, const std::string& name,
                                          std::vector<model::Column> columns) {
  return std::make_shared<const model::Table>(model::Table{
      model::Oid{id}, "public", name, model::ReplicaIdentity::kDefault, std::move(columns), {0}});
}

EventLog payments() {
  constexpr std::int32_t kNumeric18With2 = (18 << 16 | 2) + 4;
  const auto accounts =
      table(1, "accounts",
            {column("id", 20, "bigint"), column("owner", 25, "text"), column("region", 25, "text"),
             column("balance", 1700, "numeric(18,2)", kNumeric18With2),
             column("updated_at", 1184, "timestamp with time zone")});
  const auto entries = table(2, "entries",
                             {column("id", 20, "bigint"), column("transfer_id", 20, "bigint"),
                              column("account_id", 20, "bigint"),
                              column("amount", 1700, "numeric(18,2)", kNumeric18With2)});
  const auto transfers =
      table(3, "transfers",
            {column("id", 20, "bigint"), column("reference", 2950, "uuid"),
             column("amount", 1700, "numeric(18,2)", kNumeric18With2), column("note", 25, "text"),
             column("created_at", 1184, "timestamp with time zone")});
  EventLog log;
  for (std::size_t i = 0; i < kTransactionsPerBatch * kBatches; ++i) {
    log.begin(model::Timestamp{1'772'366'400'000'000 + static_cast<std::int64_t>(i) * 1000});
    const std::string time =
        fmt::format("2026-03-01 12:{:02}:{:02}.{:06}+00", i / 60 % 60, i % 60, i * 37 % 1000000);
    for (std::size_t change = 0; change < kChangesPerTransaction; ++change) {
      const std::string id = std::to_string(i * 1000 + change);
      const std::string amount = fmt::format("{}.{:02}", i * 7919 % 10'000, i % 100);
      if (change < 3) {
        log.add({model::Op::kUpdate,
                 accounts,
                 {},
                 {id, "Customer " + id, change % 2 ? "north" : "south", amount, time}});
      } else if (change < 7) {
        log.add({model::Op::kInsert, entries, {}, {id, id, std::to_string(i % 977), amount}});
      } else if (change < 9) {
        log.add(
            {model::Op::kInsert,
             transfers,
             {},
             {id,
              fmt::format("{:08x}-0000-4000-8000-{:012x}", i * 2654435761u & 0xffffffffu, change),
              amount, "invoice " + id, time}});
      } else {
        log.add({model::Op::kDelete, entries, {id, kAbsentText, kAbsentText, kAbsentText}, {}});
      }
    }
  }
  return log;
}

// The same changes, so many transactions later.
model::BatchPtr shifted(const model::Batch& source, std::uint64_t number,
                        const model::Position& from) {
  auto batch = std::make_shared<model::Batch>(source);
  const std::uint64_t offset = number / kBatches * kBatches * 0x100 * kTransactionsPerBatch;
  const auto shift = [&](model::Lsn lsn) { return model::Lsn{model::value(lsn) + offset}; };
  batch->from = from;
  batch->to.lsn = shift(batch->to.lsn);
  for (auto& transaction : batch->transactions)
    transaction.commit_lsn = shift(transaction.commit_lsn);
  return batch;
}

std::uint64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) * kKiB;
  }
  return 0;
}

std::uint64_t growth_since(std::uint64_t before) {
  return std::max(anonymous_bytes(), before) - before;
}

void parquet_sink_write(benchmark::State& state) {
  const auto batches = static_cast<std::uint64_t>(state.range(0));
  const EventLog log = payments();
  std::vector<model::BatchPtr> sources;
  model::Position at;
  while (const auto part = log.read(at, kTransactionsPerBatch * (kChangesPerTransaction + 1))) {
    sources.push_back(part);
    at = part->to;
  }
  const std::string folder = std::filesystem::temp_directory_path() / "pgweir-sinks-bench";
  std::uint64_t rows = 0, bytes = 0, sent = 0, growth = 0;
  for (const auto& change : sources[0]->changes) sent += change.bytes;
  io::RealFs fs;
  const io::RealClock clock;
  for ([[maybe_unused]] auto _ : state) {
    std::filesystem::remove_all(folder);
    const std::uint64_t before = anonymous_bytes();
    ParquetOptions options;
    options.name = "bench";
    options.directory = folder;
    options.roll_bytes = 128 * kMiB;
    auto sink = ParquetSink::open(fs, clock, options).value();
    sink->bind_log("bench").value();
    model::Position position;
    for (std::uint64_t i = 0; i < batches; ++i) {
      const auto batch = shifted(*sources[i % sources.size()], i, position);
      position = batch->to;
      sink->apply(batch).value();
      growth = std::max(growth, growth_since(before));
    }
    sink->flush().value();
    rows += sink->stats().rows_written;
    bytes = sink->stats().bytes_written;
    growth = std::max(growth, growth_since(before));
  }
  std::filesystem::remove_all(folder);
  state.SetItemsProcessed(static_cast<std::int64_t>(rows));
  state.counters["file_MiB"] = static_cast<double>(bytes) / kMiB;
  state.counters["sent_MiB"] = static_cast<double>(sent * batches) / kMiB;
  state.counters["peak_MiB"] = static_cast<double>(growth) / kMiB;
}
BENCHMARK(parquet_sink_write)
    ->Arg(100)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1)
    ->Repetitions(5)
    ->UseRealTime();

}  // namespace
}  // namespace pgweir::sinks
