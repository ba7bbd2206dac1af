// How fast rows and keys become JSON: of a transfer of the payments workload.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>
#include <vector>

#include "debezium/table_encoding.h"

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

model::Table transfers() {
  model::Table out;
  out.schema = "public";
  out.name = "transfers";
  out.columns = {column("id", 20),         column("from_account", 20),
                 column("to_account", 20), column("amount", 1700, (14 << 16 | 2) + 4),
                 column("note", 25),       column("created_at", 1184)};
  out.primary_key = {0};
  return out;
}

void rows_and_keys(benchmark::State& state) {
  const TableEncoding encoding(transfers(), {.topic_prefix = "bank"});
  const std::vector<model::Cell> row = {text("123456789"),
                                        text("48211"),
                                        text("991"),
                                        text("1234.56"),
                                        text("a transfer of some length, with words"),
                                        text("2026-11-23 12:34:56.789012+00")};
  std::string out;
  for (auto _ : state) {
    out.clear();
    if (!encoding.append_key(row, out).ok() || !encoding.append_row(row, out).ok())
      state.SkipWithError("refused");
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(out.size()));
}
BENCHMARK(rows_and_keys);

}  // namespace
}  // namespace pgweir::debezium
