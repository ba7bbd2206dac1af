#include "engine/meta.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

namespace pgweir::engine {
namespace {

using nlohmann::json;

// Of everything that the database holds; another one cannot be read.
constexpr int kFormatVersion = 3;
// Stands in the column of the phase, added to it.
constexpr std::int32_t kHalfApplied = 8;

json to_json(const model::TypeFacts& facts) {
  return {{"name", facts.name},
          {"modifier", facts.modifier},
          {"element", model::value(facts.element)},
          {"element_name", facts.element_name},
          {"labels", facts.labels}};
}

model::TypeFacts facts_from(const json& from) {
  return {.name = from.at("name").get<std::string>(),
          .modifier = from.at("modifier").get<std::int32_t>(),
          .element = model::Oid{from.at("element").get<std::uint32_t>()},
          .element_name = from.at("element_name").get<std::string>(),
          .labels = from.at("labels").get<std::vector<std::string>>()};
}

json to_json(const model::Table& table) {
  json columns = json::array();
  for (const model::Column& column : table.columns) {
    json each = {{"name", column.name},
                 {"type", model::value(column.type)},
                 {"modifier", column.type_modifier},
                 {"type_name", column.type_name},
                 {"base_type", model::value(column.base_type)},
                 {"in_key", column.in_key},
                 {"not_null", column.not_null},
                 {"number", column.number},
                 {"revision", column.revision}};
    if (column.missing) each["missing"] = *column.missing;
    if (column.facts != model::TypeFacts{}) each["facts"] = to_json(column.facts);
    if (!column.default_value.empty()) each["default"] = column.default_value;
    columns.push_back(std::move(each));
  }
  json partitions = json::array();
  for (const model::Partition& partition : table.partitions)
    partitions.push_back(
        {model::value(partition.id), partition.storage, partition.made_here, partition.attached});
  return {{"id", model::value(table.id)},
          {"schema", table.schema},
          {"name", table.name},
          {"identity", std::string(1, static_cast<char>(table.replica_identity))},
          {"columns", std::move(columns)},
          {"primary_key", table.primary_key},
          {"presence", std::string(1, static_cast<char>(table.presence))},
          {"storage", table.storage},
          {"numbers_max", table.numbers_max},
          {"partitions", std::move(partitions)},
          {"row_filter", table.row_filter},
          {"published_by", table.published_by}};
}

model::Table table_from(const json& from) {
  model::Table table;
  table.id = model::Oid{from.at("id").get<std::uint32_t>()};
  table.schema = from.at("schema").get<std::string>();
  table.name = from.at("name").get<std::string>();
  table.replica_identity =
      static_cast<model::ReplicaIdentity>(from.at("identity").get<std::string>().at(0));
  table.primary_key = from.at("primary_key").get<std::vector<std::uint32_t>>();
  for (const json& column : from.at("columns")) {
    model::Column each = {.name = column.at("name").get<std::string>(),
                          .type = model::Oid{column.at("type").get<std::uint32_t>()},
                          .type_modifier = column.at("modifier").get<std::int32_t>(),
                          .type_name = column.at("type_name").get<std::string>(),
                          .base_type = model::Oid{column.at("base_type").get<std::uint32_t>()},
                          .in_key = column.at("in_key").get<bool>(),
                          .not_null = column.at("not_null").get<bool>(),
                          .number = column.value("number", std::int16_t{0}),
                          .revision = column.value("revision", 0u)};
    if (column.contains("missing")) each.missing = column.at("missing").get<std::string>();
    if (column.contains("facts")) each.facts = facts_from(column.at("facts"));
    each.default_value = column.value("default", std::string());
    table.columns.push_back(std::move(each));
  }
  // Since the tables' facts are kept; in a database made before they are unknown.
  table.presence = static_cast<model::Presence>(from.value("presence", std::string("c")).at(0));
  table.storage = from.value("storage", 0u);
  table.numbers_max = from.value("numbers_max", std::int16_t{0});
  for (const json& partition : from.value("partitions", json::array()))
    table.partitions.push_back(
        {.id = model::Oid{partition.at(0).get<std::uint32_t>()},
         .storage = partition.at(1).get<std::uint32_t>(),
         .made_here = partition.at(2).get<bool>(),
         .attached = partition.size() > 3 ? partition.at(3).get<std::uint32_t>() : 0});
  table.row_filter = from.value("row_filter", std::string());
  table.published_by = from.value("published_by", std::vector<std::uint64_t>());
  return table;
}

}  // namespace

Result<std::unique_ptr<Meta>> Meta::open(duck::Connection& connection) {
  TRY(connection.execute(
      "CREATE TABLE IF NOT EXISTS pgweir_internal.version (version INTEGER);"
      "CREATE TABLE IF NOT EXISTS pgweir_internal.state (epoch BIGINT, lsn BIGINT, sequence "
      "BIGINT, "
      "end_lsn BIGINT, commit_time BIGINT, snapshot_complete BOOLEAN, phase INTEGER, "
      "log_identity VARCHAR);"
      "CREATE TABLE IF NOT EXISTS pgweir_internal.tables (oid BIGINT, definition VARCHAR);"
      "CREATE OR REPLACE VIEW pgweir.positions AS SELECT 'engine' AS follower, epoch, "
      "printf('%X/%X', end_lsn >> 32, end_lsn & 4294967295) AS lsn, sequence, "
      "CASE WHEN commit_time > 0 THEN make_timestamptz(commit_time) END AS commit_time, "
      "snapshot_complete FROM pgweir_internal.state"));
  TRY_ASSIGN(const auto version,
             connection.query_texts("SELECT max(version) FROM pgweir_internal.version"));
  const std::string found = version.rows[0][0].value_or("");
  if (found.empty()) {
    TRY(connection.execute(
        fmt::format("INSERT INTO pgweir_internal.version VALUES ({});"
                    "INSERT INTO pgweir_internal.state VALUES (0, 0, 0, 0, 0, false, 0, '')",
                    kFormatVersion)));
  } else if (found != std::to_string(kFormatVersion)) {
    return error(Code::kCorruption, "the engine's database was made by another version of pgweir",
                 fmt::format("format {}; this program reads {}", found, kFormatVersion),
                 "Run that version, or remove the folder engine to build it anew from the log");
  }
  auto meta = std::unique_ptr<Meta>(new Meta(connection));
  // Not an UPDATE: while a reader is open that began before one, DuckDB refuses every checkpoint.
  TRY_ASSIGN(meta->clear_state_, connection.prepare("DELETE FROM pgweir_internal.state"));
  TRY_ASSIGN(meta->write_state_,
             connection.prepare("INSERT INTO pgweir_internal.state (epoch, lsn, sequence, end_lsn, "
                                "commit_time, snapshot_complete, phase, log_identity) "
                                "VALUES ($1, $2, $3, $4, $5, $6 <> 0, $7, $8)"));
  return meta;
}

Result<std::unique_ptr<duck::Statement>> prepare_read_state(duck::Connection& connection) {
  return connection.prepare(
      "SELECT epoch, lsn, sequence, end_lsn, commit_time, snapshot_complete, phase, log_identity "
      "FROM pgweir_internal.state");
}

Result<State> read_state(duck::Statement& statement) {
  TRY_ASSIGN(duck::Rows rows, statement.execute());
  const duck::Chunk* chunk = rows.next();
  if (chunk == nullptr || chunk->row_count() != 1)
    return error(Code::kCorruption, "the engine's database holds no position");
  const auto number = [&](std::size_t column) { return chunk->data<std::int64_t>(column)[0]; };
  State state;
  state.position.position = {static_cast<std::uint32_t>(number(0)),
                             model::Lsn{static_cast<std::uint64_t>(number(1))},
                             static_cast<std::uint64_t>(number(2))};
  state.position.end_lsn = model::Lsn{static_cast<std::uint64_t>(number(3))};
  state.position.commit_time = model::Timestamp{number(4)};
  state.position.snapshot_complete = chunk->data<bool>(5)[0];
  const std::int32_t phase = chunk->data<std::int32_t>(6)[0];
  state.phase = static_cast<Phase>(phase % kHalfApplied);
  state.half_applied = phase >= kHalfApplied;
  state.position.log_identity = std::string(chunk->string(7, 0));
  return state;
}

Result<State> Meta::read_state() const {
  TRY_ASSIGN(const auto statement, prepare_read_state(connection_));
  return engine::read_state(*statement);
}

Status Meta::write_state(const State& state) {
  const EnginePosition& position = state.position;
  const std::int64_t numbers[] = {
      position.position.epoch,
      static_cast<std::int64_t>(model::value(position.position.lsn)),
      static_cast<std::int64_t>(position.position.sequence),
      static_cast<std::int64_t>(model::value(position.end_lsn)),
      model::value(position.commit_time),
      position.snapshot_complete ? 1 : 0,
      static_cast<std::int64_t>(state.phase) + (state.half_applied ? kHalfApplied : 0),
  };
  TRY(clear_state_->execute());
  std::size_t parameter = 0;
  for (const std::int64_t number : numbers) TRY(write_state_->bind(++parameter, number));
  TRY(write_state_->bind(++parameter, position.log_identity));
  TRY_ASSIGN(const duck::Rows written, write_state_->execute());
  return {};
}

Result<std::vector<StoredTable>> Meta::read_tables() const {
  TRY_ASSIGN(const duck::TextRows rows,
             connection_.query_texts("SELECT definition FROM pgweir_internal.tables ORDER BY oid"));
  std::vector<StoredTable> tables;
  try {
    for (const duck::TextRow& row : rows.rows) {
      const json definition = json::parse(row[0].value_or(""));
      tables.push_back({.table = table_from(definition.at("table")),
                        .kept_columns = definition.at("kept").get<std::vector<std::uint32_t>>(),
                        .mirrored = definition.at("mirrored").get<bool>(),
                        .stopped = definition.at("stopped").get<std::string>(),
                        .awaits_rows = definition.value("awaits_rows", false),
                        .hidden = definition.value("hidden", false),
                        .rows_id = definition.value("rows_id", std::string()),
                        .reading = definition.value("reading", false),
                        .counts_seen = definition.value("counts_seen", false),
                        .released = definition.value("released", false)});
    }
  } catch (const json::exception& failure) {
    return error(Code::kCorruption, "the engine's list of tables cannot be read", failure.what());
  }
  return tables;
}

Status Meta::write_table(const StoredTable& table) {
  const json definition = {{"table", to_json(table.table)},    {"kept", table.kept_columns},
                           {"mirrored", table.mirrored},       {"stopped", table.stopped},
                           {"awaits_rows", table.awaits_rows}, {"hidden", table.hidden},
                           {"rows_id", table.rows_id},         {"reading", table.reading},
                           {"counts_seen", table.counts_seen}, {"released", table.released}};
  const std::uint32_t oid = model::value(table.table.id);
  TRY(connection_.execute(fmt::format("DELETE FROM pgweir_internal.tables WHERE oid = {}", oid)));
  return connection_.execute(fmt::format("INSERT INTO pgweir_internal.tables VALUES ({}, {})", oid,
                                         duck::quote_literal(definition.dump())));
}

Status Meta::forget_tables() {
  return connection_.execute("DELETE FROM pgweir_internal.tables");
}

}  // namespace pgweir::engine
