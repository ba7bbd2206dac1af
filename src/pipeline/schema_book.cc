#include "pipeline/schema_book.h"

#include <utility>

#include "postgres/catalog.h"
#include "postgres/pgoutput.h"
#include "postgres/table_facts.h"

namespace pgweir::pipeline {

Status SchemaBook::load(const log::Log& log) {
  tables_.clear();
  for (const auto& [key, frame] : log.schemas()) {
    log::RecordReader records(frame->payload);
    std::string_view bytes;
    while (records.next(bytes)) {
      TRY_ASSIGN(postgres::SchemaRecord record, postgres::decode_schema(bytes));
      tables_[model::value(record.table.id)] = std::move(record.table);
    }
  }
  return {};
}

const model::Table* SchemaBook::find(model::Oid table) const {
  const auto found = tables_.find(model::value(table));
  return found == tables_.end() ? nullptr : &found->second;
}

Result<model::Table> SchemaBook::merge(std::string_view relation, const model::Table* catalog,
                                       model::Presence presence) const {
  TRY_ASSIGN(model::Table parsed, postgres::parse_relation(relation));
  const model::Table* known = find(parsed.id);
  model::Table now = postgres::merge_facts(std::move(parsed), known, catalog);
  const bool captured = known != nullptr && known->presence == model::Presence::kCaptured;
  now.presence = captured ? model::Presence::kCaptured : presence;
  return now;
}

Result<std::string> SchemaBook::describe(std::string_view relation, const model::Table* catalog,
                                         model::Presence presence) {
  TRY_ASSIGN(model::Table now, merge(relation, catalog, presence));
  const model::Table* known = find(now.id);
  if (known != nullptr && *known == now) return std::string();
  std::string record = postgres::encode_schema({std::string(relation), now});
  tables_[model::value(now.id)] = std::move(now);
  return record;
}

Result<std::string> SchemaBook::peek(std::string_view relation, const model::Table* catalog,
                                     model::Presence presence) const {
  TRY_ASSIGN(model::Table now, merge(relation, catalog, presence));
  return postgres::encode_schema({std::string(relation), std::move(now)});
}

std::string SchemaBook::record(const model::Table& table) {
  const model::Table* known = find(table.id);
  if (known != nullptr && *known == table) return {};
  tables_[model::value(table.id)] = table;
  return postgres::encode_schema({"", table});
}

}  // namespace pgweir::pipeline
