#include "server/change_json.h"

#include <charconv>

#include "server/json_writer.h"
#include "server/names.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

// OIDs of the built-in types that JSON has words for (pg_type.dat).
constexpr std::uint32_t kBool = 16, kInt8 = 20, kInt2 = 21, kInt4 = 23, kFloat4 = 700,
                        kFloat8 = 701;

template <typename T>
bool parse(std::string_view text, T& out) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failure == std::errc{} && end == text.data() + text.size();
}

void write_cell(JsonWriter& json, const model::Column& column, const model::Cell& cell) {
  if (cell.kind == model::CellKind::kNull) {
    json.null();
    return;
  }
  const std::string_view text = cell.text();
  switch (model::value(column.base_type)) {
    case kBool:
      json.boolean(text == "t");
      return;
    case kInt2:
    case kInt4:
    case kInt8:
      if (std::int64_t integer = 0; parse(text, integer)) {
        json.integer(integer);
        return;
      }
      break;
    case kFloat4:
    case kFloat8:
      // NaN and the infinities have no number in JSON: they stay text.
      if (double real = 0; parse(text, real) && real - real == 0) {
        json.number(real);
        return;
      }
      break;
    default:
      break;
  }
  json.string(text);
}

void write_row(JsonWriter& json, const model::Batch& batch, const model::Table& table,
               std::uint32_t first_cell) {
  if (first_cell == model::kNoRow) {
    json.null();
    return;
  }
  const auto row = batch.row(first_cell, table);
  json.begin_object();
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (row[i].kind == model::CellKind::kUnchanged || row[i].kind == model::CellKind::kAbsent)
      continue;
    json.key(table.columns[i].name);
    write_cell(json, table.columns[i], row[i]);
  }
  json.end_object();
}

}  // namespace

Operation operation_of(model::Op op) {
  switch (op) {
    case model::Op::kInsert:
      return Operation::kInsert;
    case model::Op::kUpdate:
      return Operation::kUpdate;
    case model::Op::kDelete:
      return Operation::kDelete;
    case model::Op::kTruncate:
      return Operation::kTruncate;
    case model::Op::kRead:
      return Operation::kRead;
    case model::Op::kMessage:
      return Operation::kMessage;
  }
  return Operation::kInsert;
}

std::string change_as_json(const model::Batch& batch, const model::Change& change,
                           const model::Position& position) {
  const model::Table& table = batch.table_of(change);
  JsonWriter json;
  json.begin_object();
  json.key("op").string(name_of(operation_of(change.op)));
  json.key("table").string(table.qualified_name());
  json.key("lsn");
  write_lsn(json, position.lsn);
  json.key("time");
  write_time(json, model::value(batch.transactions[change.transaction].commit_time));
  json.key("position").string(model::to_string(position));
  if (const auto& origin = batch.transactions[change.transaction].origin)
    json.key("origin").string(*origin);
  json.key("before");
  write_row(json, batch, table, change.before);
  json.key("after");
  write_row(json, batch, table, change.after);
  json.end_object();
  return json.take();
}

}  // namespace pgweir::server
