// DuckDB's errors and types as ours.
#include <fmt/core.h>

#include "duck/c_api_internal.h"

namespace pgweir::duck {
namespace {

bool is_out_of_memory(std::string_view text) {
  // The second stands in errors of other types that have run out of memory on their way.
  return text.starts_with("Out of Memory Error") || contains(text, "Increasing the memory limit");
}

// Of the disk, or of what this user or this process may write to it: ENOSPC, EDQUOT, EFBIG.
bool is_out_of_room(std::string_view text) {
  return contains(text, "No space left on device") || contains(text, "Disk quota exceeded") ||
         contains(text, "File too large");
}

Code code_of(duckdb_error_type type, std::string_view text) {
  // Some calls tell no type; the message starts with its name.
  const bool untold = type == DUCKDB_ERROR_INVALID;
  const auto is = [&](duckdb_error_type wanted, const char* name) {
    return type == wanted || (untold && text.starts_with(name));
  };
  if (is(DUCKDB_ERROR_FATAL, "FATAL Error") || is(DUCKDB_ERROR_INTERNAL, "INTERNAL Error") ||
      contains(text, "has been invalidated"))
    return Code::kBroken;
  if (is_out_of_room(text)) return Code::kNoSpace;
  if (type == DUCKDB_ERROR_OUT_OF_MEMORY || is_out_of_memory(text)) return Code::kUnavailable;
  // A failed COMMIT has a type that says nothing of the reason.
  if (is(DUCKDB_ERROR_IO, "IO Error") || contains(text, "Could not write file")) return Code::kIo;
  if (is(DUCKDB_ERROR_INTERRUPT, "INTERRUPT")) return Code::kCancelled;
  if (type == DUCKDB_ERROR_SERIALIZATION) return Code::kCorruption;
  return Code::kInvalid;
}

// DuckDB's text of a type, for those with a fixed one.
const char* name_of(duckdb_type type) {
  switch (type) {
    case DUCKDB_TYPE_BOOLEAN:
      return "BOOLEAN";
    case DUCKDB_TYPE_TINYINT:
      return "TINYINT";
    case DUCKDB_TYPE_SMALLINT:
      return "SMALLINT";
    case DUCKDB_TYPE_INTEGER:
      return "INTEGER";
    case DUCKDB_TYPE_BIGINT:
      return "BIGINT";
    case DUCKDB_TYPE_UTINYINT:
      return "UTINYINT";
    case DUCKDB_TYPE_USMALLINT:
      return "USMALLINT";
    case DUCKDB_TYPE_UINTEGER:
      return "UINTEGER";
    case DUCKDB_TYPE_UBIGINT:
      return "UBIGINT";
    case DUCKDB_TYPE_HUGEINT:
      return "HUGEINT";
    case DUCKDB_TYPE_UHUGEINT:
      return "UHUGEINT";
    case DUCKDB_TYPE_FLOAT:
      return "FLOAT";
    case DUCKDB_TYPE_DOUBLE:
      return "DOUBLE";
    case DUCKDB_TYPE_VARCHAR:
      return "VARCHAR";
    case DUCKDB_TYPE_BLOB:
      return "BLOB";
    case DUCKDB_TYPE_DATE:
      return "DATE";
    case DUCKDB_TYPE_TIME:
      return "TIME";
    case DUCKDB_TYPE_TIME_TZ:
      return "TIME WITH TIME ZONE";
    case DUCKDB_TYPE_TIMESTAMP:
      return "TIMESTAMP";
    case DUCKDB_TYPE_TIMESTAMP_S:
      return "TIMESTAMP_S";
    case DUCKDB_TYPE_TIMESTAMP_MS:
      return "TIMESTAMP_MS";
    case DUCKDB_TYPE_TIMESTAMP_NS:
      return "TIMESTAMP_NS";
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return "TIMESTAMP WITH TIME ZONE";
    case DUCKDB_TYPE_UUID:
      return "UUID";
    case DUCKDB_TYPE_INTERVAL:
      return "INTERVAL";
    case DUCKDB_TYPE_BIT:
      return "BIT";
    default:
      return "OTHER";
  }
}

}  // namespace

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Error to_error(duckdb_error_type type, const char* message) {
  std::string text = message != nullptr ? message : "DuckDB gave no message";
  const Code code = code_of(type, text);
  // Its advice is about settings that nobody but the engine can make.
  const std::size_t advice = text.find("\n\nPossible solutions:");
  if (advice != std::string::npos) text.resize(advice);
  return error(code, text);
}

Type kind_of(duckdb_type type) {
  switch (type) {
    case DUCKDB_TYPE_BOOLEAN:
      return Type::kBoolean;
    case DUCKDB_TYPE_TINYINT:
      return Type::kTinyint;
    case DUCKDB_TYPE_SMALLINT:
      return Type::kSmallint;
    case DUCKDB_TYPE_INTEGER:
      return Type::kInteger;
    case DUCKDB_TYPE_BIGINT:
      return Type::kBigint;
    case DUCKDB_TYPE_UBIGINT:
      return Type::kUbigint;
    case DUCKDB_TYPE_HUGEINT:
      return Type::kHugeint;
    case DUCKDB_TYPE_FLOAT:
      return Type::kFloat;
    case DUCKDB_TYPE_DOUBLE:
      return Type::kDouble;
    case DUCKDB_TYPE_DECIMAL:
      return Type::kDecimal;
    case DUCKDB_TYPE_VARCHAR:
      return Type::kVarchar;
    case DUCKDB_TYPE_BLOB:
      return Type::kBlob;
    case DUCKDB_TYPE_DATE:
      return Type::kDate;
    case DUCKDB_TYPE_TIME:
      return Type::kTime;
    case DUCKDB_TYPE_TIMESTAMP:
      return Type::kTimestamp;
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return Type::kTimestampTz;
    case DUCKDB_TYPE_UUID:
      return Type::kUuid;
    case DUCKDB_TYPE_INTERVAL:
      return Type::kInterval;
    default:
      return Type::kOther;
  }
}

std::string LogicalType::text() const {
  if (id() == DUCKDB_TYPE_DECIMAL)
    return fmt::format("DECIMAL({},{})", duckdb_decimal_width(type_), duckdb_decimal_scale(type_));
  if (id() == DUCKDB_TYPE_LIST)
    return LogicalType(duckdb_list_type_child_type(type_)).text() + "[]";
  return name_of(id());
}

}  // namespace pgweir::duck
