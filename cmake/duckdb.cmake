# DuckDB: the shared library and its C header, brought by tools/setup.sh into .deps/duckdb.
set(PGWEIR_DEPS "${PROJECT_SOURCE_DIR}/.deps" CACHE PATH "Where tools/setup.sh puts what is not packaged")
set(duckdb_dir "${PGWEIR_DEPS}/duckdb")
if(NOT EXISTS "${duckdb_dir}/libduckdb.so" OR NOT EXISTS "${duckdb_dir}/duckdb.h")
  message(FATAL_ERROR "DuckDB is missing in ${duckdb_dir}: run tools/setup.sh once while the npm "
                      "registry answers (make build does it); after that the build works offline")
endif()
add_library(duckdb SHARED IMPORTED)
set_target_properties(duckdb PROPERTIES
  IMPORTED_LOCATION "${duckdb_dir}/libduckdb.so"
  IMPORTED_NO_SONAME TRUE
  INTERFACE_INCLUDE_DIRECTORIES "${duckdb_dir}")
