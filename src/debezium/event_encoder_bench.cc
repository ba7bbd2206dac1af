// How fast changes become events, keys and envelopes together: transfers of the payments workload,
// ten to a transaction. Items are events.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>
#include <vector>

#include "debezium/event_encoder.h"

namespace pgweir::debezium {
namespace {

model::Column column(std::string name, std::uint32_t type, std::int32_t modifier = -1) {
  model::Column out;
  out.name = std::move(name);
  out.type = out.base_type = model::Oid{type};
  out.type_modifier = out.facts.modifier = modifier;
  return out;
}

model::Cell text(std::string_view value) {
  return {value.data(), static_cast<std::uint32_t>(value.size()), model::CellKind::kText};
}

model::Batch transfers() {
  model::Table table;
  table.id = model::Oid{16400};
  table.schema = "public";
  table.name = "transfers";
  table.columns = {column("id", 20),         column("from_account", 20),
                   column("to_account", 20), column("amount", 1700, (14 << 16 | 2) + 4),
                   column("note", 25),       column("created_at", 1184)};
  table.primary_key = {0};
  model::Batch batch;
  batch.tables.push_back(std::make_shared<const model::Table>(std::move(table)));
  constexpr std::uint32_t kTransactions = 100, kChanges = 10;
  constexpr std::uint64_t kLsn = 0x2'0000'0000;
  for (std::uint32_t i = 0; i < kTransactions; ++i) {
    batch.transactions.push_back({.xid = model::Xid{7000 + i},
                                  .commit_lsn = model::Lsn{kLsn + 4096 * (i + 1)},
                                  .end_lsn = model::Lsn{kLsn + 4096 * (i + 1) + 48},
                                  .commit_time = model::Timestamp{1'795'262'425'348'641},
                                  .first_change = i * kChanges,
                                  .change_count = kChanges,
                                  .begins = true,
                                  .ends = true});
    for (std::uint32_t n = 0; n < kChanges; ++n) {
      model::Change change;
      change.op = n % 2 == 0 ? model::Op::kInsert : model::Op::kUpdate;
      change.transaction = i;
      change.after = static_cast<std::uint32_t>(batch.cells.size());
      change.sequence = n + 1;
      change.lsn = model::Lsn{kLsn + 4096 * i + 120 * n};
      batch.changes.push_back(change);
      for (const char* value :
           {"123456789", "48211", "991", "1234.56", "a transfer of some length, with words",
            "2026-11-23 12:34:56.789012+00"})
        batch.cells.push_back(text(value));
    }
  }
  return batch;
}

void events(benchmark::State& state, bool schemas) {
  EventOptions options;
  options.tables.topic_prefix = "bank";
  options.database = "bank";
  options.key_schemas = options.value_schemas = schemas;
  EventEncoder encoder(options);
  const model::Batch batch = transfers();
  Events out;
  for (auto _ : state) {
    out.clear();
    if (!encoder.encode(batch, 1'795'262'425'396'257, out).ok()) state.SkipWithError("refused");
    benchmark::DoNotOptimize(out.bytes.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(out.events.size()));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(out.bytes.size()));
}
BENCHMARK_CAPTURE(events, without_schema, false);
BENCHMARK_CAPTURE(events, with_schema, true);

}  // namespace
}  // namespace pgweir::debezium
