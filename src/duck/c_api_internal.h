// What duck/ itself knows of DuckDB's C API: its handles behind our opaque pointers, its errors and
// types as ours. Private to duck/.
#pragma once

#include <duckdb.h>

#include <string>
#include <string_view>

#include "duck/duck.h"

namespace pgweir::duck {

inline duckdb_database as_database(void* handle) {
  return static_cast<duckdb_database>(handle);
}
inline duckdb_connection as_connection(void* handle) {
  return static_cast<duckdb_connection>(handle);
}
inline duckdb_prepared_statement as_statement(void* handle) {
  return static_cast<duckdb_prepared_statement>(handle);
}
inline duckdb_data_chunk as_chunk(void* handle) {
  return static_cast<duckdb_data_chunk>(handle);
}

// By the error's type or, where a call tells none (DUCKDB_ERROR_INVALID), by its words.
Error to_error(duckdb_error_type type, const char* message);

Type kind_of(duckdb_type type);

bool contains(std::string_view text, std::string_view part);

class LogicalType {
 public:
  explicit LogicalType(duckdb_logical_type type) : type_(type) {}
  ~LogicalType() { duckdb_destroy_logical_type(&type_); }
  LogicalType(const LogicalType&) = delete;
  LogicalType& operator=(const LogicalType&) = delete;
  duckdb_logical_type get() const { return type_; }
  duckdb_type id() const { return duckdb_get_type_id(type_); }
  // As DuckDB prints it: "DECIMAL(18,3)".
  std::string text() const;

 private:
  duckdb_logical_type type_;
};

}  // namespace pgweir::duck
